"""The user's repository in every state it may be in, and the private mirror of it."""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backstory.errors import StorageError, UserError
from backstory.graph.lock import exclusively
from backstory.graph.mirror import Mirror, open_mirror, open_source, resolve, uncommitted
from backstory.graph.source import in_short
from backstory.graph.types import Oid, RepoPath
from repos import Repo, git


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"a.txt": "1\n", "lib/b.txt": "2\n"})
    repo.commit("two", {"a.txt": "1\n2\n"})
    return repo


def mirrored(repo: Repo, tmp_path: Path) -> Mirror:
    return open_mirror(open_source(repo.root), Oid(repo.head), cache_dir=tmp_path / "cache")


def objects(mirror: Mirror) -> set[str]:
    listed = git(mirror.path, "--git-dir=.", "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return set(listed.split())


# --- finding a repository ----------------------------------------------------------------------------------------------------------------


def test_a_repository_is_found_from_a_folder_or_file_inside(repo):
    """Any place in a checkout leads to its root."""
    for place in (repo.root, repo.root / "lib", repo.root / "lib" / "b.txt", repo.root / ".git"):
        source = open_source(place)
        assert (source.work_tree, source.git_dir, source.head) == (repo.root.resolve(), (repo.root / ".git").resolve(), repo.head)


def test_a_linked_worktree_is_read_through_the_common_directory(repo, tmp_path):
    """A linked worktree has its own HEAD, and the main repository's objects."""
    repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"), "HEAD~1")
    source = open_source(tmp_path / "linked" / "lib")
    assert source.work_tree == (tmp_path / "linked").resolve()
    assert source.git_dir == (repo.root / ".git").resolve()
    assert source.own_git_dir.parent.name == "worktrees"
    assert resolve(source, "HEAD") == repo.git("rev-parse", "HEAD~1")
    assert (
        open_mirror(source, resolve(source, "HEAD"), cache_dir=tmp_path / "cache").read_blob(Oid(repo.git("rev-parse", "HEAD~1:a.txt")))
        == b"1\n"
    )


def test_a_bare_repository_has_no_work_tree(repo, tmp_path):
    """A bare repository is read as it is; nothing in it can be uncommitted."""
    git(tmp_path, "clone", "-q", "--bare", str(repo.root), "bare.git")
    source = open_source(tmp_path / "bare.git")
    assert (source.work_tree, source.head, uncommitted(source)) == (None, repo.head, ())
    assert open_mirror(source, Oid(repo.head), cache_dir=tmp_path / "cache").blob_at(Oid(repo.head), RepoPath("a.txt")) == b"1\n2\n"


def test_a_place_that_is_no_repository_is_refused(tmp_path):
    """Neither a missing folder nor one outside any repository is a repository."""
    with pytest.raises(UserError, match="there is no"):
        open_source(tmp_path / "missing")
    with pytest.raises(UserError, match="not in a git repository"):
        open_source(tmp_path)


def test_an_empty_repository_is_refused(tmp_path):
    """A repository without commits is told to be one."""
    with pytest.raises(UserError, match="no commits"):
        open_source(Repo(tmp_path / "empty").root)


def test_an_unborn_head_is_told_when_it_is_asked_for(repo):
    """A branch without commits beside others opens, and HEAD of it resolves to nothing."""
    repo.git("checkout", "-q", "--orphan", "new")
    source = open_source(repo.root)
    assert source.head is None
    with pytest.raises(UserError, match="branch without commits"):
        resolve(source, "HEAD")
    assert resolve(source, "main") == repo.git("rev-parse", "main")


def test_a_sha256_repository_is_refused(tmp_path):
    """An object format that cannot be read yet is named."""
    tmp_path.joinpath("new").mkdir()
    git(tmp_path / "new", "init", "-q", "--object-format=sha256")
    git(tmp_path / "new", "commit", "-q", "--allow-empty", "-m", "one")
    with pytest.raises(UserError, match="not supported yet"):
        open_source(tmp_path / "new")


def test_an_unknown_extension_is_refused(repo):
    """A repository format from the future is named rather than misread."""
    repo.git("config", "core.repositoryFormatVersion", "1")
    config = repo.root / ".git" / "config"
    config.write_text(config.read_text() + "[extensions]\n\tsomethingNew = true\n")
    with pytest.raises(UserError, match="not supported yet"):
        open_source(repo.root)


def test_a_broken_gitfile_is_refused(tmp_path):
    """A `.git` file that leads nowhere is told with a remedy."""
    (tmp_path / ".git").write_text("gitdir: /nowhere/at/all\n")
    with pytest.raises(UserError, match="does not lead to a git directory"):
        open_source(tmp_path)


# --- its state ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["merge", "rebase", "cherry-pick", "revert"])
def test_an_operation_in_progress_is_seen(repo, operation, tmp_path):
    """A merge, rebase, cherry-pick or revert that stopped at a conflict is named, and history is read all the same."""
    repo.git("checkout", "-q", "-b", "other", "HEAD~1")
    repo.commit("side", {"a.txt": "side\n"})
    argument = "HEAD~1" if operation == "revert" else "main"
    if operation == "revert":
        repo.commit("again", {"a.txt": "again\n"})
    with contextlib.suppress(AssertionError):
        repo.git(operation, *(["--no-edit"] if operation == "revert" else []), argument)
    source = open_source(repo.root)
    assert source.operation == operation
    assert RepoPath("a.txt") in uncommitted(source)
    assert source.head is not None
    open_mirror(source, source.head, cache_dir=tmp_path / "cache")


def test_a_bisection_in_progress_is_seen(repo):
    """A running bisection is named."""
    repo.git("bisect", "start", "HEAD", "HEAD~1")
    assert open_source(repo.root).operation == "bisect"


def test_what_is_uncommitted_is_listed(repo):
    """Changed, staged, deleted and untracked files are listed by path; ignored ones are not; nothing in the repository changes."""
    repo.commit("ignore", {".gitignore": "*.log\n", "gone.txt": "", "staged.txt": ""})
    repo.write({"a.txt": "other\n", "new/x.txt": "", "x.log": "", "gone.txt": None, "staged.txt": "s"})
    repo.git("add", "staged.txt")
    index = (repo.root / ".git" / "index").read_bytes()
    assert uncommitted(open_source(repo.root)) == ("a.txt", "gone.txt", "new/x.txt", "staged.txt")
    assert (repo.root / ".git" / "index").read_bytes() == index


def test_what_is_uncommitted_is_told_in_short(repo):
    """A folder without anything tracked stands for all its files, one with a tracked file does not, and a long list is counted."""
    repo.commit("tracked", {"src/one.py": "", "src/deep/two.py": ""})
    repo.write({".venv/bin/python": "", ".venv/lib/x.py": "", "src/new.py": "", "src/deep/er/x.py": "", "src/deep/er/y.py": ""})
    source = open_source(repo.root)
    assert in_short(source, uncommitted(source)) == ".venv/, src/deep/er/, src/new.py"
    repo.write({f"{number:02}.txt": "" for number in range(20)})
    assert in_short(source, uncommitted(source)).endswith("08.txt and 13 more")
    assert in_short(source, ()) == ""
    repo.commit("odd", {"raw\udcff/x\udcff.txt": ""})
    repo.write({"raw\udcff/y.txt": "", "new\udcff/y.txt": ""})
    source = open_source(repo.root)
    assert in_short(source, uncommitted(source)) == "new\udcff/, raw\udcff/y.txt"


def test_a_clean_tree_has_nothing_uncommitted(repo):
    """A fresh commit leaves nothing to list, files with CRLF and no final newline included."""
    repo.commit("ends", {"crlf.txt": "a\r\nb\r\n", "open.txt": "no newline"})
    assert uncommitted(open_source(repo.root)) == ()


def test_files_without_history_are_listed_by_odd_names(repo):
    """Names with spaces, quotes, newlines, other scripts and bytes that are not UTF-8 come back exactly."""
    names = ["two words.txt", 'quo"te.txt', "new\nline.txt", "Käse/日本.txt", "raw\udcff.txt", "-dash.txt", "tab\t.txt"]
    repo.write(dict.fromkeys(names, "x"))
    assert set(uncommitted(open_source(repo.root))) == set(names)
    repo.commit("odd")
    mirror = mirrored(repo, repo.root.parent)
    assert set(names) <= set(mirror.files(Oid(repo.head)))
    assert all(mirror.blob_at(Oid(repo.head), RepoPath(name)) == b"x" for name in names)


def test_submodules_are_named_and_not_entered(repo, tmp_path):
    """A submodule is listed by its path, also of a bare clone, and is no file of the tree."""
    library = Repo(tmp_path / "library")
    library.commit("library", {"x.py": ""})
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library.root), "vendor/library")
    repo.commit("add submodule")
    assert open_source(repo.root).submodules == ("vendor/library",)
    git(tmp_path, "clone", "-q", "--bare", str(repo.root), "bare.git")
    assert open_source(tmp_path / "bare.git").submodules == ("vendor/library",)
    entry = mirrored(repo, tmp_path).files(Oid(repo.head))[RepoPath("vendor/library")]
    assert (entry.mode, entry.is_file, entry.blob) == (0o160000, False, library.head)
    assert open_source(repo.root / "vendor" / "library").head == library.head


def test_links_and_executables_keep_their_modes(repo, tmp_path):
    """A link's blob is its target and is no file; an executable is one."""
    (repo.root / "link").symlink_to("lib/b.txt")
    repo.write({"run.sh": "#!/bin/sh\n"})
    (repo.root / "run.sh").chmod(0o755)
    repo.commit("modes")
    files = mirrored(repo, tmp_path).files(Oid(repo.head))
    assert (files[RepoPath("link")].mode, files[RepoPath("link")].is_file) == (0o120000, False)
    assert (files[RepoPath("run.sh")].mode, files[RepoPath("run.sh")].is_file) == (0o100755, True)


# --- naming commits ----------------------------------------------------------------------------------------------------------------------


def test_two_blobs_differ_as_git_says(repo, tmp_path):
    """Hunks of two blobs are those git prints with no context; the same blob has none, and a binary one is not read."""
    before = "".join(f"line {number}\n" for number in range(30))
    after = "new\n" + before.replace("line 7\n", "line seven\nand more\n").replace("line 20\n", "") + "last"
    old = repo.commit("old", {"x": before, "bin": b"\0\n"})
    new = repo.commit("new", {"x": after})
    mirror = mirrored(repo, tmp_path)
    one, two, binary = (Oid(repo.git("rev-parse", place)) for place in (f"{old}:x", f"{new}:x", "HEAD:bin"))
    for left, right in ((one, two), (two, one)):
        printed = repo.git("diff", "-U0", left, right)
        heads = [line.split("@@")[1].split() for line in printed.splitlines() if line.startswith("@@")]
        expected = [tuple(int(part) for side in head for part in [*side[1:].split(","), "1"][:2]) for head in heads]
        found = mirror.hunks(left, right)
        assert [(hunk.old_first, hunk.old_count, hunk.new_first, hunk.new_count) for hunk in found] == expected
    assert mirror.hunks(one, one) == ()
    assert mirror.hunks(binary, one) is None


def test_revisions_are_resolved_as_git_does(repo):
    """Branches, annotated tags, prefixes, steps back and searches in messages name the commits git says they do."""
    repo.git("tag", "-a", "v1", "-m", "one", "HEAD~1")
    source = open_source(repo.root)
    for revision in ("HEAD", "main", "v1", "v1^{commit}", "HEAD~1", "HEAD^", "@", "main^0", "HEAD~0", repo.head[:8], ":/one"):
        assert resolve(source, revision) == repo.git("rev-list", "-1", revision), revision


@pytest.mark.parametrize("revision", ["nope", "HEAD~9", "HEAD^2", "HEAD:a.txt", "--output=x", "", "0" * 40, "a" * 7, "HEAD\n", "^HEAD"])
def test_what_names_no_commit_is_refused(repo, revision):
    """A revision that names nothing, or something else than a commit, is an error of one line."""
    with pytest.raises(UserError) as caught:
        resolve(open_source(repo.root), revision)
    assert "\n" not in str(caught.value)


# --- the mirror --------------------------------------------------------------------------------------------------------------------------


def test_the_mirror_holds_the_ancestors_and_nothing_else(repo, tmp_path):
    """Later commits, other branches, later tags, stashes and unreachable objects stay behind."""
    at = repo.head
    repo.commit("later", {"later.txt": "later\n"})
    repo.git("tag", "v-later")
    repo.git("checkout", "-q", "-b", "side", at)
    repo.commit("side", {"side.txt": "side\n"})
    repo.write({"a.txt": "stashed\n"})
    repo.git("stash", "-q")
    repo.git("hash-object", "-w", "--stdin", stdin=b"unreachable")
    mirror = open_mirror(open_source(repo.root), Oid(at), cache_dir=tmp_path / "cache")
    assert objects(mirror) == {line.split()[0] for line in repo.git("rev-list", "--objects", at).split("\n")}
    assert mirror.git.run("for-each-ref", "--format=%(refname)").split() == [f"refs/backstory/at/{at}".encode()]


def test_the_newest_tag_within_comes_along(repo, tmp_path):
    """Of the tags a commit can reach, the newest comes with it; later tags do not, nor do tags without a digit when there is another."""
    repo.git("tag", "v1.0", "HEAD~1")
    repo.git("tag", "nightly", "HEAD")
    at = Oid(repo.head)
    repo.commit("later", {"c.txt": ""})
    repo.git("tag", "-a", "v2.0", "-m", "two")
    source = open_source(repo.root)
    mirror = open_mirror(source, at, cache_dir=tmp_path / "cache")
    assert mirror.nearest_tag(at) == ("v1.0", repo.git("rev-parse", "v1.0"))
    assert open_mirror(source, Oid(repo.head), cache_dir=tmp_path / "cache").nearest_tag(Oid(repo.head)) == (
        "v2.0",
        repo.git("rev-parse", "v2.0"),
    )
    assert mirror.nearest_tag(at) == ("v1.0", repo.git("rev-parse", "v1.0"))


def test_a_tag_name_of_several_parts_and_scripts_survives(repo, tmp_path):
    """A tag like `release/ünï-1` keeps its name."""
    repo.git("tag", "release/ünï-1")
    assert mirrored(repo, tmp_path).nearest_tag(Oid(repo.head)) == ("release/ünï-1", repo.head)


def test_clones_share_a_mirror_and_a_second_opening_fetches_nothing(repo, tmp_path):
    """The key is the repository's beginnings, so a clone finds the mirror made before, even when the first is gone."""
    first = mirrored(repo, tmp_path)
    git(tmp_path, "clone", "-q", str(repo.root), "clone")
    at = Oid(repo.head)
    shutil.rmtree(repo.root)
    said: list[str] = []
    second = open_mirror(open_source(tmp_path / "clone"), at, cache_dir=tmp_path / "cache", report=lambda phase, *_: said.append(phase))
    assert (second.key, second.path, said) == (first.key, first.path, [])


def test_new_commits_join_the_mirror_that_holds_their_past(repo, tmp_path):
    """A few commits later the mirror is the same, nothing else comes in with them, and the newest tag is right whenever it was made."""
    first = mirrored(repo, tmp_path)
    repo.git("tag", "v1.0", "HEAD~1")  # made later, on a commit that was here before
    repo.git("checkout", "-q", "-b", "side", "HEAD~1")
    repo.commit("side", {"side.txt": "side\n"})
    repo.git("tag", "v9.0")
    repo.git("checkout", "-q", "main")
    at = Oid(repo.commit("three", {"a.txt": "3\n"}))
    second = mirrored(repo, tmp_path)
    assert second.path == first.path
    assert second.nearest_tag(at) == ("v1.0", repo.git("rev-parse", "v1.0"))
    assert objects(second) == {line.split()[0] for line in repo.git("rev-list", "--objects", at).split("\n")}
    repo.git("merge", "-q", "-m", "join", "side")
    assert mirrored(repo, tmp_path).nearest_tag(Oid(repo.head)) == ("v9.0", repo.git("rev-parse", "v9.0"))


def test_the_mirror_outlives_what_it_was_made_from(repo, tmp_path):
    """After the user's repository drops and collects what was mirrored, the mirror still has it, and takes what comes next."""
    repo.commit("dropped", {"a.txt": "dropped\n"})
    mirror, dropped = mirrored(repo, tmp_path), Oid(repo.head)
    repo.git("reset", "-q", "--hard", "HEAD~1")
    repo.commit("instead", {"a.txt": "instead\n"})
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")
    assert mirror.blob_at(dropped, RepoPath("a.txt")) == b"dropped\n"
    assert mirrored(repo, tmp_path).blob_at(Oid(repo.head), RepoPath("a.txt")) == b"instead\n"
    mirror.git.run("fsck", "--full", "--strict", "--no-dangling")


def test_two_roots_make_one_key(repo, tmp_path):
    """A history that begins twice is keyed by both beginnings."""
    before = mirrored(repo, tmp_path).key
    repo.git("checkout", "-q", "--orphan", "second")
    repo.commit("another beginning", {"z.txt": ""})
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--allow-unrelated-histories", "-m", "join", "second")
    after = mirrored(repo, tmp_path)
    assert after.key != before
    assert len(objects(after)) == len(repo.git("rev-list", "--objects", "HEAD").split("\n"))


def test_a_shallow_clone_has_its_own_key_and_says_so(repo, tmp_path):
    """Cut history is mirrored up to the cut, apart from the whole one; a deeper fetch is another repository."""
    for number in range(4):
        repo.commit(f"more {number}", {"a.txt": f"{number}\n"})
    whole = mirrored(repo, tmp_path)
    git(tmp_path, "clone", "-q", "--depth=2", repo.root.as_uri(), "shallow")
    source = open_source(tmp_path / "shallow")
    mirror = open_mirror(source, Oid(repo.head), cache_dir=tmp_path / "cache")
    assert source.shallow and mirror.shallow and not whole.shallow
    assert mirror.key != whole.key
    assert mirror.git.run("rev-list", "--count", repo.head).strip() == b"2"
    with pytest.raises(UserError, match="no commit"):
        resolve(source, "HEAD~2")
    git(tmp_path / "shallow", "fetch", "-q", "--depth=3")
    assert open_mirror(open_source(tmp_path / "shallow"), Oid(repo.head), cache_dir=tmp_path / "cache").key not in (mirror.key, whole.key)


def test_a_repository_with_borrowed_objects_is_mirrored_whole(repo, tmp_path):
    """A clone that shares another's objects (`--shared`) is copied with all of them."""
    git(tmp_path, "clone", "-q", "--shared", str(repo.root), "shared")
    mirror = open_mirror(open_source(tmp_path / "shared"), Oid(repo.head), cache_dir=tmp_path / "cache")
    shutil.rmtree(repo.root)
    assert mirror.blob_at(mirror.tree(Oid(source_head(tmp_path / "shared"))), RepoPath("lib/b.txt")) == b"2\n"


def source_head(root: Path) -> str:
    return (root / ".git" / "refs" / "heads" / "main").read_text().strip()


def test_odd_folder_names_are_no_obstacle(tmp_path):
    """Spaces, quotes, newlines and percent signs in the paths of the repository and of the cache are only characters."""
    repo = Repo(tmp_path / 'a "b"\n %41 ü #')
    repo.commit("one", {"a.txt": "1\n"})
    mirror = open_mirror(open_source(repo.root), Oid(repo.head), cache_dir=tmp_path / "cache %20 ü")
    assert mirror.blob_at(Oid(repo.head), RepoPath("a.txt")) == b"1\n"


def test_a_relative_cache_folder_works(repo, tmp_path, monkeypatch):
    """The cache folder may be given relative to the current one."""
    monkeypatch.chdir(tmp_path)
    mirror = open_mirror(open_source(repo.root), Oid(repo.head), cache_dir=Path("cache"))
    assert mirror.path.is_absolute() and mirror.git.run("cat-file", "-t", repo.head) == b"commit\n"


def test_nothing_in_the_users_repository_changes(repo, tmp_path):
    """Every file of the user's `.git` is the same before and after."""

    def content():
        return {path: path.read_bytes() for path in (repo.root / ".git").rglob("*") if path.is_file()}

    before = content()
    mirrored(repo, tmp_path)
    uncommitted(open_source(repo.root))
    assert content() == before


def test_a_missing_commit_is_told(repo, tmp_path):
    """When a commit's object is gone the history is said to be incomplete, with what to do."""
    parent = repo.git("rev-parse", "HEAD~1")
    at = Oid(repo.head)
    (repo.root / ".git" / "objects" / parent[:2] / parent[2:]).unlink()
    with pytest.raises(UserError, match=f"history incomplete: commit {parent}"):
        open_mirror(open_source(repo.root), at, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("revision", ["HEAD~1:a.txt", "HEAD~1:lib", "HEAD~1^{tree}"])
def test_a_missing_tree_or_blob_is_told(repo, tmp_path, revision):
    """An object missing deep in the past is found when the mirror is made, not later."""
    repo.commit("three", {"lib/b.txt": "3\n"})
    oid, at = repo.git("rev-parse", revision), Oid(repo.head)
    (repo.root / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(UserError, match="history incomplete") as caught:
        open_mirror(open_source(repo.root), at, cache_dir=tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").glob(f"repos/*/mirror.git/refs/backstory/at/{at}"))


def test_a_partial_clone_is_told(repo, tmp_path):
    """A clone without blobs opens, and is said to be incomplete when its past is wanted."""
    repo.git("config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", repo.root.as_uri(), "partial")
    source = open_source(tmp_path / "partial")
    with pytest.raises(UserError, match="history incomplete"):
        open_mirror(source, resolve(source, "HEAD"), cache_dir=tmp_path / "cache")


def test_a_damaged_object_is_told(repo, tmp_path):
    """A blob whose bytes are wrong makes the fetch fail with the remedy."""
    oid, at = repo.git("rev-parse", "HEAD~1:a.txt"), Oid(repo.head)
    loose = repo.root / ".git" / "objects" / oid[:2] / oid[2:]
    loose.chmod(0o644)
    loose.write_bytes(loose.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(UserError, match="history incomplete"):
        open_mirror(open_source(repo.root), at, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("lost", ["HEAD", "its objects"])
def test_a_damaged_mirror_is_not_taken_for_a_damaged_repository(repo, tmp_path, lost):
    """When what fails is the mirror, clearing the cache is what helps, and it does."""
    mirror = mirrored(repo, tmp_path)
    for path in [mirror.path / "HEAD"] if lost == "HEAD" else (mirror.path / "objects" / "pack").iterdir():
        path.unlink()
    repo.git("checkout", "-q", "HEAD~1")
    with pytest.raises(StorageError, match="is damaged") as told:
        mirrored(repo, tmp_path)
    assert "\n" not in str(told.value)
    shutil.rmtree(tmp_path / "cache")
    assert mirrored(repo, tmp_path).holds(Oid(repo.head))


def test_a_head_that_cannot_be_read_is_no_branch_without_commits(repo):
    """A damaged commit at HEAD is said to be that."""
    tip = repo.head
    (repo.root / ".git" / "objects" / tip[:2] / tip[2:]).unlink()
    with pytest.raises(UserError, match="names a commit that cannot be read; `git fsck` there"):
        resolve(open_source(repo.root), "HEAD")


def test_a_killed_fetch_is_made_good(repo, tmp_path):
    """Locks, temporary packs and stages that a killed process left do not stop the next one and are removed."""
    mirror = mirrored(repo, tmp_path)
    at = Oid(repo.commit("three", {"a.txt": "3\n"}))
    (mirror.path / "refs" / "backstory" / "at" / f"{at}.lock").write_text("")
    (mirror.path / "objects" / "pack").mkdir(exist_ok=True)
    (mirror.path / "objects" / "pack" / "tmp_pack_x").write_text("")
    (mirror.path / "objects" / "pack" / "pack-half.pack").write_text("")
    (mirror.folder / "stage-dead").mkdir()
    again = mirrored(repo, tmp_path)
    assert again.blob_at(at, RepoPath("a.txt")) == b"3\n"
    assert not (mirror.folder / "stage-dead").exists()
    assert not [path.name for path in (mirror.path / "objects" / "pack").iterdir() if "half" in path.name or "tmp" in path.name]


def test_a_file_is_checked_out_as_it_was_committed(tmp_path):
    """Attributes that convert line ends, expand `$Id$`, change the encoding or filter have no effect in the mirror's worktrees."""
    repo = Repo(tmp_path / "repo")
    content = b"a\r\n$Id: old $\nb\n"
    repo.git("config", "core.autocrlf", "false")
    repo.commit("one", {"a.txt": content})
    repo.commit("two", {".gitattributes": "* text eol=crlf ident filter=x\n"})
    mirror = mirrored(repo, tmp_path)
    mirror.git.run("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"), repo.head)
    assert (tmp_path / "tree" / "a.txt").read_bytes() == mirror.blob_at(Oid(repo.head), RepoPath("a.txt"))


OPEN = """
import sys
from pathlib import Path
from backstory.graph.mirror import open_mirror, open_source
source = open_source(Path(sys.argv[1]))
print(open_mirror(source, source.head, cache_dir=Path(sys.argv[2])).blob_at(source.head, "a.txt"))
"""


def test_processes_may_open_a_mirror_at_once(repo, tmp_path):
    """Processes that open the same repository together all find what they need."""
    for number in range(20):
        repo.commit(f"more {number}", {"a.txt": f"{number}\n"})
    command = [sys.executable, "-c", OPEN, str(repo.root), str(tmp_path / "cache")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate()[0] for process in running] == [b"b'19\\n'\n"] * 3


def test_a_lock_is_given_back(tmp_path):
    """A lock can be taken again after the block that held it, also after a failure in it."""
    with pytest.raises(ZeroDivisionError), exclusively(tmp_path / "x.lock"):
        raise ZeroDivisionError
    with exclusively(tmp_path / "x.lock"):
        pass
