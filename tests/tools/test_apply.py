"""Bringing a patch into the user's checkout and taking it out: all or nothing, exact bytes, and nothing but files touched."""

import os
import re
import resource
import shutil
import stat
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.errors import SandboxError, StorageError, UserError
from backstory.graph.mirror import open_mirror, open_source
from backstory.graph.types import Oid
from backstory.tools.apply import apply_patch, undo_patch
from backstory.tools.patch import diff_trees, write_tree
from hostile import arm
from repos import Repo

TEXT = "".join(f"line {number}\n" for number in range(1, 21))
FILES = {
    "src/app.py": TEXT,
    "src/other.py": "x = 1\n",
    "crlf.txt": "a\r\nb\r\nc\r\n",
    "no-newline.txt": "a\nb",
    "latin.txt": "caf\xe9\n".encode("latin-1"),
    "data.bin": bytes(range(256)) * 4,
    "old/gone.txt": "going\n",
}
CHANGED = TEXT.replace("line 5\n", "line five\n").encode()


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.write(FILES)
    (repo.root / "run.sh").write_text("echo\n")
    (repo.root / "run.sh").chmod(0o755)
    (repo.root / "link").symlink_to("src/app.py")
    repo.commit("first")
    return repo


@pytest.fixture
def make(repo, tmp_path):
    """Return a patch of HEAD from edits."""
    mirror = open_mirror(open_source(repo.root), Oid(repo.head), cache_dir=tmp_path / "cache")

    def make(edits):
        return diff_trees(mirror, Oid(repo.head), write_tree(mirror, Oid(repo.head), edits))

    return make


def snapshot(root):
    """Return everything about a checkout that must come back: kind, permissions and bytes of all files, those of git included."""
    found = {}
    for path in sorted(root.rglob("*")):
        facts = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None  # noqa: PTH115
        found[path.relative_to(root).as_posix()] = (stat.S_IFMT(facts.st_mode), stat.S_IMODE(facts.st_mode), content)
    return found


def refused(repo, patch, undo, error=UserError, match=None):
    """Applying is refused in one line, and nothing at all has changed."""
    before = snapshot(repo.root)
    with pytest.raises(error, match=match) as caught:
        apply_patch(open_source(repo.root), patch, undo)
    assert "\n" not in str(caught.value)
    assert snapshot(repo.root) == before
    assert not undo.exists()


EDITS = {
    "src/app.py": CHANGED,
    "src/other.py": b"",
    "crlf.txt": b"a\r\nB\r\nc\r\n",
    "no-newline.txt": b"a\nb\nc",
    "latin.txt": "na\xefve\n".encode("latin-1"),
    "data.bin": bytes(range(255, -1, -1)) * 4,
    "old/gone.txt": None,
    "run.sh": b"echo changed\n",
    "new/deep/file.txt": b"new\n",
    "link": b"src/other.py",
}


def test_a_patch_is_applied_and_undone_to_the_byte(repo, make, tmp_path):
    """Changed, new, deleted, binary, linked and oddly encoded files become the patch's tree and come back exactly, folders and modes included."""
    before = snapshot(repo.root)
    patch, source = make(EDITS), open_source(repo.root)
    applied = apply_patch(source, patch, tmp_path / "undo")
    assert (applied.files, applied.merged) == (patch.files, ())
    assert {path: (repo.root / path).read_bytes() for path, content in EDITS.items() if content is not None and path != "link"} == {
        path: content for path, content in EDITS.items() if content is not None and path != "link"
    }
    assert os.readlink(repo.root / "link") == "src/other.py"  # noqa: PTH115
    assert not (repo.root / "old").exists()
    assert stat.S_IMODE((repo.root / "run.sh").stat().st_mode) == 0o755
    after = snapshot(repo.root)
    assert {path: facts for path, facts in after.items() if path.startswith(".git")} == {
        path: facts for path, facts in before.items() if path.startswith(".git")
    }
    assert undo_patch(source, tmp_path / "undo") == patch.files
    assert snapshot(repo.root) == before
    assert not (tmp_path / "undo").exists()
    apply_patch(source, patch.diff, tmp_path / "undo")
    assert snapshot(repo.root) == after


def test_git_agrees_that_the_patch_is_in(repo, make, tmp_path):
    """What was written is what git itself would have made of the diff."""
    patch = make(EDITS)
    apply_patch(open_source(repo.root), patch, tmp_path / "undo")
    repo.git("add", "-A")
    assert repo.git("write-tree") == patch.tree


def test_other_work_of_the_user_stays(repo, make, tmp_path):
    """Staged, stashed, unstaged and untracked work and a merge in progress are as before, after applying and after undoing."""
    patch = make({"src/app.py": CHANGED})
    repo.write({"src/app.py": "stashed\n"})
    repo.git("stash")
    repo.git("checkout", "-q", "-b", "side")
    repo.commit("theirs", {"src/other.py": "theirs\n"})
    repo.git("checkout", "-q", "main")
    repo.commit("ours", {"src/other.py": "ours\n"})
    with pytest.raises(AssertionError, match="merge"):  # it conflicts
        repo.git("merge", "-q", "side")
    repo.write({"untracked.txt": "mine\n", "staged.txt": "mine\n"})
    repo.git("add", "staged.txt")
    assert open_source(repo.root).operation == "merge"
    before = snapshot(repo.root)
    apply_patch(open_source(repo.root), patch, tmp_path / "undo")
    assert (repo.root / "src" / "app.py").read_bytes() == CHANGED
    undo_patch(open_source(repo.root), tmp_path / "undo")
    assert snapshot(repo.root) == before


def test_line_ends_of_the_checkout_are_kept(repo, make, tmp_path):
    """Where the checkout has CRLF for the repository's LF, or LF for its CRLF, the patched files have the checkout's."""
    patch = make({"src/app.py": CHANGED, "crlf.txt": b"a\r\nB\r\nc\r\n", "old/gone.txt": None})
    repo.write({"src/app.py": TEXT.replace("\n", "\r\n"), "crlf.txt": "a\nb\nc\n", "old/gone.txt": "going\r\n"})
    before = snapshot(repo.root)
    apply_patch(open_source(repo.root), patch, tmp_path / "undo")
    assert (repo.root / "src" / "app.py").read_bytes() == CHANGED.replace(b"\n", b"\r\n")
    assert (repo.root / "crlf.txt").read_bytes() == b"a\nB\nc\n"
    assert not (repo.root / "old").exists()
    undo_patch(open_source(repo.root), tmp_path / "undo")
    assert snapshot(repo.root) == before


def test_edits_of_the_user_elsewhere_in_a_file_are_kept(repo, make, tmp_path):
    """A file with changes on other lines gets the patch's change beside them, and undoing brings the edited file back."""
    mine = TEXT.replace("line 15\n", "my line\n")
    repo.write({"src/app.py": mine})
    applied = apply_patch(open_source(repo.root), make({"src/app.py": CHANGED}), tmp_path / "undo")
    assert applied.merged == ("src/app.py",)
    assert (repo.root / "src" / "app.py").read_text() == mine.replace("line 5\n", "line five\n")
    undo_patch(open_source(repo.root), tmp_path / "undo")
    assert (repo.root / "src" / "app.py").read_text() == mine


@pytest.mark.parametrize(
    ("edits", "mine", "match"),
    [
        ({"src/app.py": CHANGED}, {"src/app.py": TEXT.replace("line 5\n", "mine 5\n")}, "'src/app.py' at line 5"),
        ({"data.bin": b"\0patched"}, {"data.bin": b"\0mine"}, "'data.bin'"),
        ({"old/gone.txt": None}, {"old/gone.txt": "mine\n"}, "'old/gone.txt'"),
        ({"new.txt": b"new\n"}, {"new.txt": "mine\n"}, "'new.txt' is already there"),
        ({"src/app.py": CHANGED}, {"src/app.py": None}, "'src/app.py' is not there"),
    ],
    ids=["same line", "binary", "deleted", "added", "missing"],
)
def test_what_does_not_go_with_the_users_changes_is_refused_whole(edits, mine, match, repo, make, tmp_path):
    """One file that cannot take the patch stops all of it; the message names the file."""
    repo.write(mine)
    refused(repo, make({**edits, "src/other.py": b"x = 2\n"}), tmp_path / "undo", match=match)


def test_applying_twice_is_told(repo, make, tmp_path):
    """A second apply of the same run, or of a patch whose result is there already, says so."""
    patch, source = make({"src/app.py": CHANGED, "new.txt": b"x\n", "old/gone.txt": None}), open_source(repo.root)
    apply_patch(source, patch, tmp_path / "undo")
    before = snapshot(repo.root)
    with pytest.raises(UserError, match="already applied"):
        apply_patch(source, patch, tmp_path / "undo")
    with pytest.raises(UserError, match="nothing to apply"):
        apply_patch(source, patch, tmp_path / "elsewhere")
    assert snapshot(repo.root) == before


def test_undo_refuses_what_was_changed_since(repo, make, tmp_path):
    """A file edited after applying stops the undo and is left; put right by hand as the message says, everything is undone."""
    before, source = snapshot(repo.root), open_source(repo.root)
    apply_patch(source, make(EDITS), tmp_path / "undo")
    for path in ("src/other.py", "new/deep/file.txt"):
        (repo.root / path).write_text("edited since\n")
        changed = snapshot(repo.root)
        with pytest.raises(UserError, match=f"'{path}' was changed since .* so nothing is undone; ") as refused:
            undo_patch(source, tmp_path / "undo")
        assert snapshot(repo.root) == changed and "\n" not in str(refused.value)
        if path == "src/other.py":
            (saved,) = re.findall(r"put '(.*)' in its place, then undo again", str(refused.value))
            (repo.root / path).write_bytes(Path(saved).read_bytes())  # as `cp` would: the mode stays
        else:
            assert "delete it, then undo again" in str(refused.value)
            (repo.root / path).unlink()
    undo_patch(source, tmp_path / "undo")
    assert snapshot(repo.root) == before


def test_undo_without_apply_is_told(repo, make, tmp_path):
    """Nothing applied, undone twice, damaged or in another checkout: each is told in one line."""
    source = open_source(repo.root)
    with pytest.raises(UserError, match="not applied"):
        undo_patch(source, tmp_path / "undo")
    apply_patch(source, make({"src/app.py": CHANGED}), tmp_path / "undo")
    other = Repo(tmp_path / "other")
    other.commit("first", FILES)
    with pytest.raises(UserError, match="undo it there"):
        undo_patch(open_source(other.root), tmp_path / "undo")
    shutil.copytree(tmp_path / "undo", tmp_path / "damaged")
    (tmp_path / "damaged" / "manifest.json").write_text('{"version": 1')
    with pytest.raises(StorageError, match="cannot be read"):
        undo_patch(source, tmp_path / "damaged")
    undo_patch(source, tmp_path / "undo")
    with pytest.raises(UserError, match="not applied"):
        undo_patch(source, tmp_path / "undo")


def test_an_apply_cut_off_half_way_is_undone(repo, make, tmp_path):
    """When only some files were replaced, as after a power cut, undo restores those and leaves the others."""
    before, source = snapshot(repo.root), open_source(repo.root)
    apply_patch(source, make(EDITS), tmp_path / "undo")
    repo.git("checkout", "-q", "--", "src/app.py", "old/gone.txt", "data.bin")
    undo_patch(source, tmp_path / "undo")
    assert {path: facts for path, facts in snapshot(repo.root).items() if path != ".git/index"} == {
        path: facts for path, facts in before.items() if path != ".git/index"
    }


@contextmanager
def small_files(limit):
    """Let the kernel refuse to write files over `limit` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_changes_nothing(repo, make, tmp_path):
    """When a new file does not fit, no file is half written, none is replaced, and it is told as a matter of storage."""
    patch = make({"src/app.py": CHANGED, "src/other.py": b"x" * 40_000, "new/file.txt": b"y", "old/gone.txt": None})
    with small_files(20_000):
        refused(repo, patch, tmp_path / "undo", error=StorageError, match="free some room")
    apply_patch(open_source(repo.root), patch, tmp_path / "undo")


def test_a_place_that_cannot_be_written_changes_nothing(repo, make, tmp_path):
    """Also when the originals were saved already and other files were ready: a folder in the way, or one that may not be written, stops all."""
    if os.geteuid() != 0:
        (repo.root / "src").chmod(0o555)
        error: type[Exception] = UserError
    else:
        (repo.root / "new").mkdir()
        (repo.root / "new" / "file.txt").mkdir()  # a folder where a file has to go
        (repo.root / "new" / "file.txt" / "kept").write_text("x")
        error = UserError
    try:
        refused(repo, make({"src/app.py": CHANGED, "new/file.txt": b"y", "old/gone.txt": None}), tmp_path / "undo", error=error)
    finally:
        (repo.root / "src").chmod(0o755)


def test_links_in_the_checkout_do_not_lead_a_patch_out(repo, make, tmp_path):
    """A folder or file of the checkout that is a link by now is not written through."""
    patch = make({"src/app.py": CHANGED, "old/gone.txt": b"changed\n"})
    outside = tmp_path / "outside"
    shutil.copytree(repo.root / "src", outside)
    shutil.rmtree(repo.root / "src")
    (repo.root / "src").symlink_to(outside)
    refused(repo, patch, tmp_path / "undo", error=SandboxError)
    (repo.root / "src").unlink()
    shutil.copytree(outside, repo.root / "src")
    (repo.root / "src" / "app.py").unlink()
    (repo.root / "src" / "app.py").symlink_to(outside / "app.py")
    refused(repo, patch, tmp_path / "undo", match="is a link")
    assert (outside / "app.py").read_text() == TEXT


@pytest.mark.parametrize(
    "diff",
    [
        b"diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n",
        b"diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+../outside\n\\ No newline at end of file\n",
        b"diff --git a/../x b/../x\nnew file mode 100644\n--- /dev/null\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n",
        b"diff --git a/.git/hooks/x b/.git/hooks/x\nnew file mode 100755\n--- /dev/null\n+++ b/.git/hooks/x\n@@ -0,0 +1 @@\n+x\n",
    ],
)
def test_a_patch_that_leads_out_is_refused(diff, repo, tmp_path):
    """A patch that would make a link out of the checkout, or a file outside or in `.git`, changes nothing."""
    refused(repo, diff, tmp_path / "undo", error=SandboxError)


def test_files_links_and_folders_change_places(repo, make, tmp_path):
    """A file becomes a folder, a folder a file, a file a link and a link a file; undoing brings all back."""
    before = snapshot(repo.root)
    for path in ("link", "src/other.py"):
        (repo.root / path).unlink()
    (repo.root / "link").write_text("a file now\n")
    (repo.root / "src" / "other.py").symlink_to("app.py")
    kinds = repo.git("diff", "--no-renames").encode() + b"\n"
    repo.git("checkout", "-q", "--", ".")
    places = make({"crlf.txt": None, "crlf.txt/inner.txt": b"x\n", "old/gone.txt": None, "old": b"a file\n"}).diff
    apply_patch(open_source(repo.root), kinds + places, tmp_path / "undo")
    assert (repo.root / "link").read_text() == "a file now\n"
    assert not (repo.root / "link").is_symlink()
    assert (repo.root / "src" / "other.py").is_symlink()
    assert (repo.root / "crlf.txt" / "inner.txt").read_text() == "x\n"
    assert (repo.root / "old").read_text() == "a file\n"
    undo_patch(open_source(repo.root), tmp_path / "undo")
    assert {path: facts for path, facts in snapshot(repo.root).items() if not path.startswith(".git")} == {
        path: facts for path, facts in before.items() if not path.startswith(".git")
    }


def test_modes_and_renames_of_a_foreign_diff_are_applied(repo, tmp_path):
    """A diff of git's with a rename and a mode change moves the file and sets the bit; undoing takes both back."""
    before = snapshot(repo.root)
    repo.git("mv", "old/gone.txt", "moved.txt")
    repo.write({"moved.txt": "going\nand more\n"})
    (repo.root / "src" / "app.py").chmod(0o755)
    repo.git("add", "-A")
    diff = repo.git("diff", "--cached", "-M20%").encode() + b"\n"
    repo.git("reset", "-q", "--hard")
    assert b"rename from" in diff
    applied = apply_patch(open_source(repo.root), diff, tmp_path / "undo")
    assert applied.files == ("moved.txt", "old/gone.txt", "src/app.py")
    assert (repo.root / "moved.txt").read_text() == "going\nand more\n"
    assert (repo.root / "src" / "app.py").stat().st_mode & 0o111 == 0o111
    undo_patch(open_source(repo.root), tmp_path / "undo")
    assert {path: facts for path, facts in snapshot(repo.root).items() if not path.startswith(".git")} == {
        path: facts for path, facts in before.items() if not path.startswith(".git")
    }


def test_a_hostile_checkout_runs_nothing(repo, make, tmp_path):
    """Hooks, filters and programs that the user's repository names never run while a patch is applied, merged and undone."""
    patch = make(EDITS)
    canary = arm(repo)
    repo.write({"src/app.py": TEXT.replace("line 15\n", "my line\n")})
    before = snapshot(repo.root)
    assert apply_patch(open_source(repo.root), patch, tmp_path / "undo").merged == ("src/app.py",)
    undo_patch(open_source(repo.root), tmp_path / "undo")
    assert snapshot(repo.root) == before
    canary.assert_silent()


def test_a_bare_repository_and_an_empty_patch_are_told(repo, tmp_path):
    """Where there are no files, or nothing to do, one line says so."""
    bare = tmp_path / "bare.git"
    repo.git("clone", "-q", "--bare", str(repo.root), str(bare))
    with pytest.raises(UserError, match="bare repository"):
        apply_patch(open_source(bare), b"", tmp_path / "undo")
    refused(repo, b"", tmp_path / "undo", match="empty")


def test_a_damaged_patch_is_refused(repo, make, tmp_path):
    """A diff whose lines were altered does not give the blob it promises, and nothing is written."""
    diff = make({"src/app.py": CHANGED}).diff.replace(b"+line five", b"+line six!")
    refused(repo, diff, tmp_path / "undo", match="damaged")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    repo = Repo(root / "repo")
    repo.write({path: content for path, content in FILES.items() if path != "data.bin"})
    repo.commit("first")
    return repo, open_mirror(open_source(repo.root), Oid(repo.head), cache_dir=root / "cache"), root


PATHS = st.sampled_from(["src/app.py", "src/other.py", "crlf.txt", "no-newline.txt", "new.txt", "new/deep.txt", "old/gone.txt", "old"])
CONTENTS = st.one_of(st.none(), st.lists(st.sampled_from([b"a", b"line 5", b"\r", b"x\0", b""]), max_size=6).map(b"\n".join))


@settings(max_examples=40, deadline=None)
@given(edits=st.dictionaries(PATHS, CONTENTS, min_size=1, max_size=5))
def test_undo_is_the_inverse_of_apply(edits, bench):
    """undo(apply(patch)) leaves every byte, mode and folder as before, whatever the patch."""
    repo, mirror, root = bench
    base = Oid(repo.head)
    try:
        patch = diff_trees(mirror, base, write_tree(mirror, base, edits))
    except UserError:
        return
    if not patch:
        return
    before = snapshot(repo.root)
    apply_patch(open_source(repo.root), patch, root / "undo")
    assert snapshot(repo.root) != before
    undo_patch(open_source(repo.root), root / "undo")
    assert snapshot(repo.root) == before
