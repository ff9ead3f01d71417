"""Patches: trees built without files, diffs that any tool applies, and diffs read back."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.errors import SandboxError, UserError
from backstory.graph.mirror import open_mirror, open_source
from backstory.graph.types import Oid
from backstory.tools.patch import diff_trees, write_tree
from backstory.tools.trees import blob_id, differing, files_of, objects, tree_of
from backstory.tools.unified import apply_hunks, parse_patch
from repos import Repo, git

BINARY = bytes(range(256)) * 8
LATIN = "caf\xe9\n".encode("latin-1")
ODD_FILES = {
    "src/app.py": "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n",
    "src/deep/er/mod.py": "x = 1\n",
    "crlf.txt": "a\r\nb\r\nc\r\n",
    "no-newline.txt": "a\nb",
    "latin.txt": LATIN,
    "form\ffeed.txt": "a\x0cb\x85c\r\n",
    "with blank b/with blank.txt": "blank\n",
    'tab\tquote"back\\slash.txt': "x\n",
    "new\nline.txt": "x\n",
    "ünï.txt": "x\n",
    "data.bin": BINARY,
    "empty.txt": "",
}


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.write(ODD_FILES)
    (repo.root / "run.sh").write_text("echo\n")
    (repo.root / "run.sh").chmod(0o755)
    (repo.root / "link").symlink_to("src/app.py")
    with open(os.fsencode(repo.root) + b"/raw-\xff.txt", "wb") as file:  # noqa: PTH123 - a name that is no text
        file.write(b"x\n")
    repo.commit("first")
    return repo


@pytest.fixture
def mirror(repo, tmp_path):
    return open_mirror(open_source(repo.root), Oid(repo.head), cache_dir=tmp_path / "cache")


def applied(repo, diff: bytes) -> str:
    """Apply a diff by git itself onto HEAD and return the tree that comes out."""
    repo.git("apply", "--index", "--whitespace=nowarn", "-", stdin=diff)
    return repo.git("write-tree")


def test_no_edit_gives_the_tree_itself(repo, mirror):
    """The edited tree of nothing edited is the base's own tree, also when the base is named by its tree."""
    tree = repo.git("rev-parse", "HEAD^{tree}")
    assert write_tree(mirror, Oid(repo.head), {}) == tree
    assert write_tree(mirror, Oid(tree), {}) == tree
    assert not diff_trees(mirror, Oid(repo.head), Oid(tree))


def test_a_written_tree_is_what_git_would_have_committed(repo, mirror):
    """Edits, additions, deletions and nested folders give the very tree that a commit of the same files has; modes are kept."""
    base = Oid(repo.head)
    edits = {
        "src/app.py": b"changed\n",
        "run.sh": b"echo changed\n",
        "link": b"crlf.txt",
        "src/deep/er/mod.py": None,
        "not/there.txt": None,
        "new/folder/file.txt": b"new",
        "src.txt": b"sorts before the folder",
        "raw-\udcff.txt": b"y\n",
    }
    made = write_tree(mirror, base, edits)
    (repo.root / "link").unlink()
    (repo.root / "link").symlink_to("crlf.txt")
    repo.commit("same", {path: content for path, content in edits.items() if path not in ("link", "not/there.txt")})
    assert made == repo.git("rev-parse", "HEAD^{tree}")
    assert differing(objects(mirror.path), tree_of(objects(mirror.path), base), made) == tuple(sorted(set(edits) - {"not/there.txt"}))


def test_a_file_and_a_folder_can_change_places(repo, mirror):
    """A file may take a folder's name and the other way round; both at once is refused."""
    base = Oid(repo.head)
    paths = files_of(objects(mirror.path), write_tree(mirror, base, {"src": b"now a file\n", "crlf.txt/inner": b"x"}))
    assert "src" in paths and "src/app.py" not in paths
    assert "crlf.txt/inner" in paths and "crlf.txt" not in paths
    with pytest.raises(UserError):
        write_tree(mirror, base, {"new": b"file", "new/inner": b"x"})


@pytest.mark.parametrize("path", ["../x", "/x", ".git/config", "a/.GIT/hooks/x"])
def test_edits_outside_the_repository_are_refused(path, repo, mirror):
    """A path that leaves the repository never reaches a tree."""
    with pytest.raises(SandboxError):
        write_tree(mirror, Oid(repo.head), {path: b"x"})


def test_links_that_would_lead_out_and_submodules_are_refused(repo, mirror, tmp_path):
    """A link keeps being a link, but may not be pointed out of the tree; a submodule's entry is not a file to edit."""
    with pytest.raises(SandboxError):
        write_tree(mirror, Oid(repo.head), {"link": b"/etc/passwd"})
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{repo.head},sub")
    repo.git("commit", "-q", "-m", "submodule")
    later = open_mirror(open_source(repo.root), Oid(repo.head), cache_dir=tmp_path / "cache")
    with pytest.raises(SandboxError):
        write_tree(later, Oid(repo.head), {"sub": b"x"})


@pytest.mark.parametrize("name", [*ODD_FILES, "run.sh", "raw-\udcff.txt"])
@pytest.mark.parametrize("content", [b"changed\r\nwithout end", BINARY[::-1], None, b""], ids=["text", "binary", "deleted", "emptied"])
def test_a_diff_is_applied_by_git_to_the_same_tree(name, content, repo, mirror):
    """Whatever the name, the line ends or the bytes, `git apply` makes the patch's tree of the base, and so does our own reading of it."""
    base = Oid(repo.head)
    tree = write_tree(mirror, base, {name: content})
    patch = diff_trees(mirror, base, tree)
    if content == b"" and name == "empty.txt":
        assert not patch and patch.diff == b""
        return
    assert patch.files == (name,)
    (file,) = parse_patch(patch.diff)
    assert file.path == name
    if content is None:
        assert (file.status, apply_hunks(file, mirror.blob_at(base, name))) == ("deleted", b"")
    else:
        assert apply_hunks(file, mirror.blob_at(base, name)) == content
        assert (file.old_blob, file.new_blob) == (mirror.entry_at(base, name).blob, blob_id(content))
    assert applied(repo, patch.diff) == tree


def test_attributes_and_configuration_do_not_change_a_diff(repo, tmp_path):
    """Committed attributes that name diff drivers, text conversion or binary files leave the diff as it is."""
    repo.commit("hostile", {".gitattributes": "* diff=evil binary filter=evil\n*.py -diff\n", "src/app.py": "one\n"})
    mirror = open_mirror(open_source(repo.root), Oid(repo.head), cache_dir=tmp_path / "cache")
    patch = diff_trees(mirror, Oid(repo.head), write_tree(mirror, Oid(repo.head), {"src/app.py": b"two\n"}))
    assert b"\n-one\n+two\n" in patch.diff


def test_adding_and_deleting_are_told_apart_from_changing(repo, mirror):
    """The status, modes and blob ids of each file are read from git's headers."""
    base = Oid(repo.head)
    tree = write_tree(mirror, base, {"run.sh": None, "added.txt": b"x\n", "src/app.py": b"x\n", "link": b"run.sh"})
    files = {file.path: file for file in parse_patch(diff_trees(mirror, base, tree).diff)}
    assert {path: file.status for path, file in files.items()} == {
        "added.txt": "added",
        "link": "modified",
        "run.sh": "deleted",
        "src/app.py": "modified",
    }
    assert (files["run.sh"].old_mode, files["run.sh"].new_mode) == ("100755", None)
    assert (files["link"].old_mode, files["link"].new_mode) == ("120000", "120000")


def test_a_file_that_becomes_a_link_is_one_change(repo):
    """Git prints a change of kind as a deletion and an addition; it is read as one change of type, written from nothing."""
    (repo.root / "crlf.txt").unlink()
    (repo.root / "crlf.txt").symlink_to("empty.txt")
    (file,) = parse_patch(repo.git("diff", "HEAD").encode() + b"\n")
    assert (file.status, file.old_mode, file.new_mode) == ("type_changed", "100644", "120000")
    assert apply_hunks(file, b"a\r\nb\r\nc\r\n") == b"empty.txt"


def test_git_diffs_with_renames_and_mode_changes_are_read(repo):
    """A rename tells both names; a change of mode alone has no hunks."""
    repo.git("mv", "with blank b/with blank.txt", "moved name.txt")
    repo.git("mv", 'tab\tquote"back\\slash.txt', "plain.txt")
    (repo.root / "crlf.txt").chmod(0o755)
    repo.git("add", "-A")
    files = {file.path: file for file in parse_patch(repo.git("diff", "--cached", "-M", "HEAD").encode() + b"\n")}
    assert files["moved name.txt"].was == "with blank b/with blank.txt"
    assert files["plain.txt"].was == 'tab\tquote"back\\slash.txt'
    assert (files["crlf.txt"].old_mode, files["crlf.txt"].new_mode, files["crlf.txt"].hunks) == ("100644", "100755", ())


def test_a_plain_diff_is_read(tmp_path):
    """A diff of `diff -u`, with times and without git's headers, is read too."""
    (file,) = parse_patch(b"--- src/app.py.orig\t2020-01-01\n+++ src/app.py\t2020-01-02\n@@ -1,2 +1,2 @@\n one\n-two\n+zwei\n")
    assert (file.path, file.was, file.status) == ("src/app.py", None, "modified")
    assert apply_hunks(file, b"one\ntwo\n") == b"one\nzwei\n"


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\n",
        b"\x00\xff\x00",
        b"@@ -1 +1 @@\n-a\n+b\n",
        b"--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n",
        b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,3 +1,1 @@\n one\n",
        b"diff --git a/x b/x\n--- a/x\n+++ b/x\nnothing\n",
        b"diff --git a/x b/x\nBinary files a/x and b/x differ\n",
        b"diff --git a/x b/x\nGIT binary patch\nliteral 5\nzzzz\n\n",
        b"diff --git a/x b/x\nGIT binary patch\n",
        b"diff --git x\n",
        b"diff --git a/x b/x\nold mode 100644\nnew mode 100755\ndiff --git a/x b/x\nold mode 100644\nnew mode 100755\n",
    ],
)
def test_garbage_is_refused_in_one_line(garbage):
    """What is no diff, is cut off, or leaves something out is a user's error with a remedy."""
    with pytest.raises(UserError) as caught:
        parse_patch(garbage)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", ".git/hooks/pre-commit", "a/../../x"])
def test_paths_in_a_diff_are_checked(path):
    """A diff that names a path outside the repository is refused whole."""
    with pytest.raises(SandboxError):
        parse_patch(f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n".encode())


def test_a_hunk_must_stand_where_the_diff_says():
    """Applying is strict: the same lines one line further down are refused, naming the file."""
    (file,) = parse_patch(b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
    with pytest.raises(UserError, match="'x'"):
        apply_hunks(file, b"new first line\na\n")


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_no_input_breaks_the_reader(raw):
    """Any bytes are either read or refused."""
    for diff in (raw, b"diff --git a/x b/x\n" + raw, b"diff --git a/x b/x\nGIT binary patch\ndelta 9\n" + raw):
        try:
            for file in parse_patch(diff):
                apply_hunks(file, b"a\n")
        except UserError:
            pass


LINES = st.lists(
    st.sampled_from(["a", "b", "\r", "-- x", "+++ y", "--- z", "@@ -1 +1 @@", "diff --git a/x b/x", "\\ No newline", ""]), max_size=12
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    repo = Repo(root / "repo")
    repo.commit("first", {"other.txt": "x\n"})
    return repo, open_mirror(open_source(repo.root), Oid(repo.head), cache_dir=root / "cache")


@settings(max_examples=40, deadline=None)
@given(before=LINES, after=LINES, ends=st.tuples(st.booleans(), st.booleans()))
def test_applying_a_difference_gives_the_other_side(before, after, ends, bench):
    """apply(diff(a, b)) = b, also for lines that look like a diff's own."""
    repo, mirror = bench
    old, new = ("\n".join(lines).encode() + b"\n" * end for lines, end in zip((before, after), ends, strict=True))
    base = write_tree(mirror, Oid(repo.head), {"x": old})
    patch = diff_trees(mirror, base, write_tree(mirror, base, {"x": new}))
    assert [apply_hunks(file, old) for file in parse_patch(patch.diff)] == ([new] if old != new else [])


def test_renamed_paths_show_as_one_deleted_and_one_added(repo, mirror):
    """Our own diffs carry no renames, which not every tool applies."""
    base = Oid(repo.head)
    content = mirror.blob_at(base, "src/app.py")
    patch = diff_trees(mirror, base, write_tree(mirror, base, {"src/app.py": None, "src/renamed.py": content}))
    assert {file.path: file.status for file in parse_patch(patch.diff)} == {"src/app.py": "deleted", "src/renamed.py": "added"}
    assert git(repo.root, "rev-parse", "HEAD") == base
