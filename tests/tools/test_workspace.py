"""Workspaces: exact checkouts whatever was done to the files, trees and patches of what changed, and nothing left behind."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygit2.enums import ObjectType

from backstory.errors import SandboxError, UserError
from backstory.graph.lock import PATIENCE_S
from backstory.graph.mirror import open_mirror, open_source
from backstory.graph.types import Oid
from backstory.tools.cover import build_cover
from backstory.tools.patch import write_tree
from backstory.tools.trees import files_of, objects
from backstory.tools.workspace import Workspace, clear_dead
from hostile import arm
from repos import Repo, git

HOSTILE_ATTRIBUTES = "* text=auto eol=crlf ident filter=evil working-tree-encoding=UTF-16\n*.py text eol=crlf\n"
FILES = {
    "src/app.py": "def run():\n    return 1\n",
    "src/pkg/__init__.py": "",
    "src/pkg/deep/er/mod.py": "x = 1\n",
    "crlf.txt": "a\r\nb\r\n",
    "mixed.txt": "a\nb\r\nc",
    "ident.txt": "$Id$\n",
    "data.bin": bytes(range(256)),
    "ünï code.txt": "x\n",
    ".gitignore": "*.log\n/out/\n",
}


def build(root: Path) -> Repo:
    repo = Repo(root)
    repo.write(FILES)
    (root / "run.sh").write_text("echo\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("src/app.py")
    repo.commit("first")
    return repo


def mirror_of(repo: Repo, cache: Path):
    return open_mirror(open_source(repo.root), Oid(repo.head), cache_dir=cache)


@pytest.fixture
def repo(tmp_path):
    return build(tmp_path / "repo")


@pytest.fixture
def mirror(repo, tmp_path):
    return mirror_of(repo, tmp_path / "cache")


@pytest.fixture
def workspace(repo, mirror, tmp_path):
    with Workspace(mirror, Oid(repo.head), tmp_path / "work" / "1") as workspace:
        yield workspace


def tree_of_files(root: Path, repo: Repo) -> str:
    """Return the tree git itself makes of the files below a folder, byte for byte and with their modes."""
    index = root.parent / "index-of-test"
    lines = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name == ".git" or (path.is_dir() and not path.is_symlink()):
            continue
        content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        mode = "120000" if path.is_symlink() else "100755" if path.stat().st_mode & 0o100 else "100644"
        lines.append(f"{mode} {repo.git('hash-object', '-w', '--stdin', '--no-filters', stdin=content)}\t{name}")
    environment = {"PATH": os.environ["PATH"], "GIT_INDEX_FILE": str(index), "GIT_DIR": str(repo.root / ".git")}
    subprocess.run(["git", "update-index", "-z", "--index-info"], input="\0".join([*lines, ""]).encode(), env=environment, check=True)
    tree = subprocess.run(["git", "write-tree"], env=environment, check=True, capture_output=True).stdout.decode().strip()
    index.unlink()
    return tree


def test_a_checkout_is_byte_exact_whatever_attributes_say(tmp_path):
    """Committed attributes that convert line ends, encodings, identifiers or run filters have no effect on the files."""
    repo = build(tmp_path / "repo")
    repo.git("config", "filter.evil.smudge", f"touch {tmp_path}/canary; cat")
    repo.git("config", "filter.evil.clean", "cat")
    # Written as an object, so that the user's own git does not convert while committing.
    blob = repo.git("hash-object", "-w", "--stdin", stdin=HOSTILE_ATTRIBUTES.encode())
    repo.git("update-index", "--add", "--cacheinfo", f"100644,{blob},.gitattributes")
    repo.git("commit", "-q", "-m", "attributes")
    with Workspace(mirror_of(repo, tmp_path / "cache"), Oid(repo.head), tmp_path / "work" / "1") as workspace:
        for name, content in FILES.items():
            assert (workspace.root / name).read_bytes() == (content if isinstance(content, bytes) else content.encode())
        assert workspace.tree() == repo.git("rev-parse", "HEAD^{tree}")
        assert not workspace.patch()
    assert not (tmp_path / "canary").exists()


def test_modes_and_links_are_checked_out(workspace, repo):
    """Executables, links and folders are what the commit says, and an untouched work tree is the base's tree."""
    assert os.access(workspace.root / "run.sh", os.X_OK)
    assert (workspace.root / "link").readlink() == Path("src/app.py")
    assert tree_of_files(workspace.root, repo) == workspace.tree() == repo.git("rev-parse", "HEAD^{tree}")
    assert workspace.scratch() == ()


def damage(root: Path) -> None:
    """Do to a work tree what a wild test run does."""
    (root / "src" / "app.py").write_bytes(b"def run():\n    return 2\n")  # same size
    os.utime(root / "src" / "app.py", ns=(0, 0))
    (root / "crlf.txt").unlink()
    (root / "crlf.txt").mkdir()
    (root / "crlf.txt" / "inner").write_text("x")
    (root / "run.sh").chmod(0o644)
    (root / "link").unlink()
    (root / "link").symlink_to("/etc/passwd")
    (root / "data.bin").unlink()
    os.mkfifo(root / "data.bin")
    (root / "src" / "pkg").rename(root / "moved")
    (root / "src" / "pkg").symlink_to("/tmp")
    (root / "ignored.log").write_text("x")
    (root / "mixed.txt").chmod(0o000)
    locked = root / "locked"
    (locked / "inner").mkdir(parents=True)
    (locked / "inner" / "file").write_text("x")
    (locked / "inner").chmod(0o555)
    locked.chmod(0o000)
    (root / "src").chmod(0o555)


def test_a_checkout_repairs_everything_a_test_run_can_do(workspace, repo):
    """Changed, replaced, moved, locked, forged and added files are gone or restored after a checkout."""
    damage(workspace.root)
    workspace.checkout(Oid(repo.head))
    assert tree_of_files(workspace.root, repo) == repo.git("rev-parse", "HEAD^{tree}")
    assert sorted(path.name for path in workspace.root.iterdir()) == sorted(
        [".git", "link", "run.sh", "src", *(name for name in FILES if "/" not in name)]
    )
    assert stat.S_IMODE((workspace.root / "mixed.txt").stat().st_mode) == 0o644


def test_damage_can_be_told_as_a_tree(workspace, mirror, repo):
    """The tree of a damaged work tree holds what changed in tracked files and leaves out what no tree should hold."""
    damage(workspace.root)
    paths = files_of(objects(mirror.path), workspace.tree())
    assert "crlf.txt" not in paths and "crlf.txt/inner" in paths
    assert "moved/deep/er/mod.py" in paths and "src/pkg/deep/er/mod.py" not in paths
    assert paths["run.sh"].mode == 0o100644
    assert paths["link"].blob == git(repo.root, "rev-parse", "HEAD:link")  # it leads out now: the tree keeps what it was
    left_out = workspace.scratch()
    assert {"ignored.log", "link", "data.bin", "src/pkg"} <= set(left_out)


def test_a_folder_deeper_than_any_path_is_removed(workspace, repo):
    """A chain of folders nested far beyond the longest path is no obstacle, for seeing or for cleaning."""
    here = os.open(workspace.root, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("deep", dir_fd=here)
        inner = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    assert workspace.tree() == repo.git("rev-parse", "HEAD^{tree}")
    workspace.checkout(Oid(repo.head))
    assert not (workspace.root / "deep").exists()


def test_moving_between_commits_rewrites_only_what_differs(tmp_path):
    """A file that two commits share is the very same file afterwards; one that differs, came or went is made right."""
    repo = build(tmp_path / "repo")
    first = Oid(repo.head)
    second = Oid(repo.commit("second", {"src/app.py": "changed\n", "crlf.txt": None, "new/file.txt": "x"}))
    with Workspace(mirror_of(repo, tmp_path / "cache"), second, tmp_path / "work" / "1") as workspace:
        same = (workspace.root / "data.bin").stat().st_ino
        for commit in (first, second, first, Oid(repo.git("rev-parse", f"{second}^{{tree}}")), first):
            workspace.checkout(commit)
            assert tree_of_files(workspace.root, repo) == repo.git("rev-parse", f"{commit}^{{tree}}")
            assert not (workspace.root / "new").exists() or commit != first
        assert (workspace.root / "data.bin").stat().st_ino == same


def test_a_change_in_the_tick_of_the_checkout_is_seen(workspace, repo):
    """A file changed in place right after it was written, same size and times set back, is told from the committed one, every time."""
    path = workspace.root / "src" / "app.py"
    for _ in range(50):
        workspace.checkout(Oid(repo.head))
        facts = path.stat()
        with path.open("r+b") as file:
            file.write(b"DEF")
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        assert workspace.tree() != repo.git("rev-parse", "HEAD^{tree}")
        workspace.checkout(Oid(repo.head))
        assert path.read_bytes() == FILES["src/app.py"].encode()


def test_a_hard_link_made_by_a_test_cannot_reach_the_next_checkout(workspace, repo, tmp_path):
    """A file shared with another place by a hard link is written anew, so a later write there does not show here."""
    os.link(workspace.root / "src" / "app.py", tmp_path / "other")
    workspace.checkout(Oid(repo.head))
    (tmp_path / "other").write_text("changed from outside")
    assert workspace.read("src/app.py") == FILES["src/app.py"].encode()


def test_edits_become_a_patch_without_scratch(workspace, repo):
    """Written, deleted and new files are in the patch; caches, build outputs and ignored files are not, and are named."""
    workspace.write("src/app.py", b"def run():\n    return 3\n")
    workspace.write("run.sh", b"echo 2\n")
    workspace.write("docs/new.md", b"new\n")
    workspace.delete("crlf.txt")
    for name in (
        "src/__pycache__/app.cpython-311.pyc",
        ".pytest_cache/v/x",
        "x.egg-info/PKG-INFO",
        "build/lib/a.py",
        "out/a.txt",
        "a.log",
        ".coverage",
    ):
        (workspace.root / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace.root / name).write_text("scratch")
    patch = workspace.patch()
    assert patch.files == ("crlf.txt", "docs/new.md", "run.sh", "src/app.py")
    assert patch.tree == workspace.tree()
    assert b"old mode" not in patch.diff
    assert workspace.scratch() == (".coverage", ".pytest_cache/", "a.log", "build/", "out/a.txt", "src/__pycache__/", "x.egg-info/")
    repo.git("apply", "--index", "-", stdin=patch.diff)
    assert repo.git("write-tree") == patch.tree


def test_what_is_written_on_purpose_is_never_scratch(workspace):
    """An edit counts even where its name is ignored, is a build folder's or steers git."""
    for name in ("build/gen.py", "kept.log", "out/kept.txt", ".gitattributes"):
        workspace.write(name, b"x\n")
    assert workspace.patch().files == (".gitattributes", "build/gen.py", "kept.log", "out/kept.txt")


def test_files_of_the_check_are_kept_out_of_a_patch_and_named(workspace):
    """An excluded path keeps its base contents in the patch, whether it was changed, made or deleted; the others stay."""
    workspace.write("src/app.py", b"changed\n")
    workspace.write("tests/test_new.py", b"assert True\n")
    workspace.delete("mixed.txt")
    workspace.write("data.bin", b"kept\n")
    patch = workspace.patch(exclude=["src/app.py", "tests/test_new.py", "mixed.txt", "run.sh", "never/there.py"])
    assert patch.files == ("data.bin",)
    assert patch.left_out == ("mixed.txt", "src/app.py", "tests/test_new.py")


def test_a_tree_is_restored_with_its_new_files(workspace, repo):
    """Restoring a tree brings back edits made since the base, and a patch of it is the same patch."""
    workspace.write("src/app.py", b"one\n")
    workspace.write("kept.log", b"ignored but wanted\n")
    patch = workspace.patch()
    workspace.write("src/app.py", b"two\n")
    (workspace.root / "junk.txt").write_text("x")
    workspace.restore(patch.tree)
    assert (workspace.tree(), workspace.patch()) == (patch.tree, patch)
    assert workspace.scratch() == ()
    workspace.checkout(Oid(repo.head))
    assert not workspace.patch()


def test_a_tree_built_without_files_is_checked_out(workspace, mirror, repo):
    """A tree made in the mirror by edits can be checked out and is then what the work tree is."""
    tree = write_tree(mirror, Oid(repo.head), {"src/app.py": b"x\n", "tests/test_a.py": b"y\n", "crlf.txt": None})
    workspace.checkout(tree)
    assert workspace.tree() == tree
    assert workspace.patch().files == ("crlf.txt", "src/app.py", "tests/test_a.py")


def test_submodules_are_empty_folders(tmp_path):
    """A submodule's entry becomes an empty folder; what a program puts there is neither seen nor kept, and the entry stays."""
    repo = build(tmp_path / "repo")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{repo.head},vendor/sub")
    repo.git("commit", "-q", "-m", "submodule")
    with Workspace(mirror_of(repo, tmp_path / "cache"), Oid(repo.head), tmp_path / "work" / "1") as workspace:
        folder = workspace.root / "vendor" / "sub"
        assert folder.is_dir() and not list(folder.iterdir())
        (folder / "file").write_text("x")
        assert workspace.tree() == repo.git("rev-parse", "HEAD^{tree}")
        workspace.checkout(Oid(repo.head))
        assert not list(folder.iterdir())
        assert workspace.mounts()


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", ".git", ".git/config", "link", "a/../../x"])
def test_reading_and_writing_are_on_checked_paths(path, workspace):
    """Nothing outside the work tree, no `.git` and no link is written."""
    with pytest.raises(SandboxError):
        workspace.write(path, b"x")
    with pytest.raises(SandboxError):
        workspace.read(path) if path != "link" else workspace.write(path, b"x")


def canary(tmp_path: Path) -> tuple[str, Path]:
    """Return a command that leaves a mark when it runs, and the mark."""
    mark = tmp_path / "canary-ran"
    program = tmp_path / "canary.sh"
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\ncat\n")
    program.chmod(0o755)
    return str(program), mark


def tamper(root: Path, program: str, git_dir: Path) -> None:
    """Set every trap a program in the work tree can set for a git that runs there."""
    config = f"[core]\n\tfsmonitor = {program}\n\thooksPath = {root}/hooks\n\tbare = false\n\tworktree = {root}\n\tpager = {program}\n"
    config += f'[filter "evil"]\n\tclean = {program}\n\tsmudge = {program}\n\tprocess = {program}\n\trequired\n'
    config += f'[diff "evil"]\n\ttextconv = {program}\n\tcommand = {program}\n[diff]\n\texternal = {program}\n'
    evil = root / "evil.git"
    for place in (evil, root / "src" / ".git", root / "nested" / ".git", git_dir):
        (place / "objects").mkdir(parents=True)
        (place / "refs").mkdir()
        (place / "HEAD").write_text("ref: refs/heads/main\n")
        (place / "config").write_text(config)
        (place / "hooks").mkdir()
        for hook in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction"):
            (place / "hooks" / hook).write_text(f"#!/bin/sh\nexec {program}\n")
            (place / "hooks" / hook).chmod(0o755)
    (root / "nested" / "file.py").write_text("x\n")
    (root / ".gitattributes").write_text("* filter=evil diff=evil merge=evil text eol=crlf\n")
    (root / "src" / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (root / ".gitconfig").write_text(config)
    (root / ".gitmodules").write_text('[submodule "x"]\n\tpath = src\n\turl = ext::sh -c touch\n\tupdate = !touch\n')
    (root / "src" / "app.py").write_bytes(b"def run():\n    return 9\n")


@pytest.mark.parametrize("place", ["file", "folder", "link"])
def test_tampering_runs_nothing_and_stays_out_of_the_patch(place, workspace, repo, tmp_path):
    """After `.git` was re-pointed and filters, hooks, configuration and nested repositories were planted, only the source edit is in the patch."""
    program, mark = canary(tmp_path)
    marker = workspace.root / ".git"
    marker.unlink()
    if place == "folder":
        tamper(workspace.root, program, marker)
    else:
        tamper(workspace.root, program, tmp_path / "elsewhere")
        if place == "file":
            marker.write_text(f"gitdir: {workspace.root}/evil.git\n")
        else:
            marker.symlink_to(workspace.root / "evil.git")
    assert workspace.patch().files == ("src/app.py",)
    left_out = workspace.scratch()
    assert {".git", ".gitattributes", ".gitconfig", ".gitmodules", "evil.git/", "nested/", "src/.git/", "src/.gitattributes"} <= set(
        left_out
    )
    tree = workspace.tree()
    workspace.mounts()
    workspace.restore(tree)
    assert workspace.tree() == tree
    workspace.checkout(Oid(repo.head))
    assert tree_of_files(workspace.root, repo) == repo.git("rev-parse", "HEAD^{tree}")
    assert workspace.scratch() == ()
    assert not mark.exists()


def test_a_hostile_repository_runs_nothing(repo, tmp_path):
    """In a worktree of a repository that names programs in every way git offers, none runs: not on checkout, edits, patch, cover or leaving."""
    canary = arm(repo, partial=False)
    with Workspace(
        open_mirror(open_source(repo.root), Oid(canary.head), cache_dir=tmp_path / "cache"), Oid(canary.head), tmp_path / "work" / "1"
    ) as workspace:
        workspace.write("src/app.py", b"changed\n")
        (workspace.root / "new.log").write_text("x")
        assert workspace.patch().files == ("src/app.py",)
        workspace.mounts()
        workspace.checkout(Oid(canary.head))
        assert workspace.scratch() == ()
    canary.assert_silent()


def test_a_control_file_that_a_program_changes_or_deletes_keeps_its_committed_form(tmp_path):
    """Tracked attributes are part of the tree as committed unless they were edited on purpose."""
    repo = build(tmp_path / "repo")
    repo.commit("attributes", {".gitattributes": "*.bin binary\n", "src/.gitattributes": "* -text\n"})
    with Workspace(mirror_of(repo, tmp_path / "cache"), Oid(repo.head), tmp_path / "work" / "1") as workspace:
        (workspace.root / ".gitattributes").write_text("* filter=evil\n")
        (workspace.root / "src" / ".gitattributes").unlink()
        assert not workspace.patch()
        assert workspace.scratch() == (".gitattributes", "src/.gitattributes")
        workspace.write(".gitattributes", b"*.dat binary\n")
        assert workspace.patch().files == (".gitattributes",)


def test_a_tree_object_that_names_git_is_not_checked_out(mirror, repo, tmp_path):
    """A crafted tree with `.git` or `..` in it, which git would refuse too, is refused in one line."""
    store = objects(mirror.path)
    blob = bytes.fromhex(str(store.create_blob(b"[core]\n")))
    for name in (b".git", b"..", b".GIT", b"a/b"):
        tree = store.odb.write(ObjectType.TREE, b"100644 " + name + b"\0" + blob)
        with Workspace(mirror, Oid(repo.head), tmp_path / "work" / "1") as workspace, pytest.raises(SandboxError):
            workspace.checkout(Oid(str(tree)))


def test_programs_inside_find_a_repository_of_one_commit(tmp_path):
    """Behind `.git` there is one commit with the base's tree and its nearest tag, clean, with nothing of the history in it."""
    repo = build(tmp_path / "repo")
    repo.git("tag", "v1.2.3")
    secret = repo.commit("second", {"secret.txt": "from the past\n"})
    base = repo.commit("third", {"secret.txt": None, "new.txt": "x\n"})
    with Workspace(mirror_of(repo, tmp_path / "cache"), Oid(base), tmp_path / "work" / "1") as workspace:
        mounts = workspace.mounts(tmp_path / "seen")
        assert mounts == workspace.mounts(tmp_path / "seen")
        assert {(mount.source, mount.target, mount.writable) for mount in mounts} == {
            (tmp_path / "work" / f"cover-{base[:12]}", tmp_path / "work" / f"cover-{base[:12]}", False),
            (workspace.root / ".git", tmp_path / "seen" / ".git", False),
        }
        assert git(workspace.root, "status", "--porcelain") == ""
        assert git(workspace.root, "log", "--format=%T %an %at") == f"{repo.git('rev-parse', 'HEAD^{tree}')} backstory 0"
        assert git(workspace.root, "describe", "--tags", "--long", "--dirty").startswith("v1.2.3-0-g")
        assert "new.txt" in git(workspace.root, "ls-files").split("\n")
        assert git(workspace.root, "fsck", "--strict") == ""
        for oid in (base, secret, repo.git("rev-parse", f"{secret}:secret.txt")):
            with pytest.raises(AssertionError):
                git(workspace.root, "cat-file", "-e", oid)
        workspace.write("src/app.py", b"changed\n")
        assert git(workspace.root, "diff", "--name-only") == "src/app.py"


def test_what_programs_find_is_made_beside_the_mirror(mirror, repo, tmp_path):
    """Nothing passes through the mirror's packs, where a fetch that begins at the time would take it for what a killed one left behind."""
    packs = mirror.path / "objects" / "pack"
    before = packs.stat().st_mtime_ns
    build_cover(mirror, Oid(repo.head), tmp_path / "cover")
    assert packs.stat().st_mtime_ns == before
    assert not (tmp_path / "cover" / "objects" / "info" / "alternates").exists()


def test_who_comes_back_waits_for_what_another_clears_up(mirror, repo, tmp_path):
    """A killed run's work tree may be removed by a neighbour at the moment at which the run is gone on with: it waits for that, longer than for a run."""
    root = tmp_path / "work" / "1"
    root.parent.mkdir()
    with ThreadPoolExecutor(1) as pool, root.with_name("1.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pool.submit(lambda: (time.sleep(PATIENCE_S + 1), fcntl.flock(lock, fcntl.LOCK_UN)))
        with Workspace(mirror, Oid(repo.head), root):
            assert (root / "src" / "app.py").is_file()


def test_nothing_is_left_behind(repo, mirror, tmp_path):
    """After leaving, the work tree, its lock, trash and cover are gone, and the mirror knows of no worktree; the user's repository is as it was."""
    before = sorted(path.relative_to(repo.root) for path in repo.root.rglob("*"))
    with Workspace(mirror, Oid(repo.head), tmp_path / "work" / "1") as workspace:
        workspace.mounts()
        damage(workspace.root)
        assert "1" in git(mirror.path, "worktree", "list")
    assert not (tmp_path / "work").exists()
    assert not list((mirror.path / "worktrees").glob("*"))
    assert sorted(path.relative_to(repo.root) for path in repo.root.rglob("*")) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from backstory.graph.git import Git
from backstory.graph.mirror import Mirror
from backstory.tools.workspace import Workspace

path = Path(sys.argv[1])
workspace = Workspace(Mirror(path=path, key="", git=Git(path), shallow=False), sys.argv[2], Path(sys.argv[3]))
workspace.__enter__()
workspace.write("src/app.py", b"half done")
workspace.mounts()
print("ready", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_run_left_is_cleared_by_the_next(repo, mirror, tmp_path):
    """A run killed outright leaves files; the next workspace on the mirror removes them, but touches no run that lives."""
    roots = [tmp_path / "dead" / "1", tmp_path / "alive" / "1"]
    runs = [
        subprocess.Popen([sys.executable, "-c", KILLED, mirror.path, repo.head, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for root in roots
    ]
    try:
        for run in runs:
            assert run.stdout.readline() == b"ready\n"
        os.kill(runs[0].pid, signal.SIGKILL)
        runs[0].wait()
        assert (roots[0] / "src").is_dir()
        with Workspace(mirror, Oid(repo.head), tmp_path / "next" / "1") as workspace:
            assert not roots[0].exists()
            assert (roots[1] / "src" / "app.py").read_bytes() == b"half done"
            assert len(list((mirror.path / "worktrees").iterdir())) == 2
            assert workspace.tree() == repo.git("rev-parse", "HEAD^{tree}")
    finally:
        for run in runs:
            run.kill()
            run.wait()
            run.stdin.close()
            run.stdout.close()
    with Workspace(mirror, Oid(repo.head), roots[1]) as workspace:
        assert workspace.tree() == repo.git("rev-parse", "HEAD^{tree}")
    assert not list((mirror.path / "worktrees").iterdir())


def test_a_clean_up_that_was_killed_is_finished(repo, mirror, tmp_path):
    """Half a work tree, its trash and a locked folder in it, left by a run killed while it cleaned up, do not stand in the way."""
    root = tmp_path / "work" / "1"
    for folder in (root / "src", tmp_path / "work" / "1.trash" / "0" / "0", tmp_path / "work" / "1.trash" / "moved-0" / "locked"):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    (tmp_path / "work" / "1.trash" / "moved-0" / "locked").chmod(0o000)
    with Workspace(mirror, Oid(repo.head), root) as workspace:
        assert tree_of_files(workspace.root, repo) == repo.git("rev-parse", "HEAD^{tree}")
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("cut", [None, b"", b"/", b"/some/fold", b"/some/folder/1/.git"])
def test_a_worktree_half_made_or_half_removed_is_cleared_by_the_next(cut, repo, mirror, tmp_path):
    """Wherever a kill struck while the mirror noted or forgot a worktree, the rest of the note goes; one of a living workspace stays."""
    notes = mirror.path / "worktrees"
    with Workspace(mirror, Oid(repo.head), tmp_path / "alive" / "1") as alive:
        whole = list(notes.iterdir())
        half = notes / "0123456789abcdef"
        half.mkdir()
        (half / "HEAD").write_text(repo.head + "\n")
        if cut is not None:
            (half / "gitdir").write_bytes(cut)
        clear_dead(mirror)
        assert list(notes.iterdir()) == whole
        assert alive.tree() == repo.git("rev-parse", "HEAD^{tree}")
    half.mkdir()
    with Workspace(mirror, Oid(repo.head), tmp_path / "next" / "1"):
        assert len(list(notes.iterdir())) == 1
    assert not list(notes.iterdir())


def test_a_note_of_the_same_root_is_made_anew(repo, mirror, tmp_path):
    """A kill while a workspace was noted does not keep the next one from the same root."""
    root = tmp_path / "work" / "1"
    with Workspace(mirror, Oid(repo.head), root):
        (note,) = (mirror.path / "worktrees").iterdir()
    note.mkdir()
    (note / "gitdir").write_bytes(b"/cut")
    with Workspace(mirror, Oid(repo.head), root) as workspace:
        workspace.write("src/app.py", b"changed\n")
        (root / "new.log").write_text("x")
        assert workspace.patch().files == ("src/app.py",)
        assert workspace.scratch() == ("new.log",)
    assert not list((mirror.path / "worktrees").iterdir())


def test_a_root_in_use_is_refused(repo, mirror, tmp_path):
    """Two workspaces cannot share a root; the second says so and leaves the first alone."""
    with Workspace(mirror, Oid(repo.head), tmp_path / "work" / "1") as first:
        first.write("src/app.py", b"x")
        with pytest.raises(UserError, match="in use"), Workspace(mirror, Oid(repo.head), first.root, patience_s=1.0):
            pass
        assert first.read("src/app.py") == b"x"


def test_an_unknown_base_or_tree_is_refused(repo, mirror, tmp_path):
    """An id the mirror does not hold is a user's error, and nothing is left of the attempt."""
    missing = Oid("0123456789" * 4)
    with pytest.raises(UserError), Workspace(mirror, missing, tmp_path / "work" / "1"):
        pass
    assert not (tmp_path / "work").exists()
    with Workspace(mirror, Oid(repo.head), tmp_path / "work" / "1") as workspace, pytest.raises(UserError):
        workspace.checkout(missing)


def test_workspaces_work_side_by_side(tmp_path):
    """Several threads, each with a workspace on one mirror, make, change and leave them at once and see only their own changes."""
    repo = build(tmp_path / "repo")
    base = Oid(repo.head)
    mirror = mirror_of(repo, tmp_path / "cache")

    def work(number: int) -> None:
        for turn in range(3):
            with Workspace(mirror, base, tmp_path / "work" / str(number)) as workspace:
                workspace.write("src/app.py", f"{number} {turn}\n".encode())
                workspace.mounts()
                assert workspace.patch().files == ("src/app.py",)
                assert workspace.patch().tree == write_tree(mirror, base, {"src/app.py": f"{number} {turn}\n".encode()})

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, number) for number in range(4)]:
            done.result()
    assert not list((mirror.path / "worktrees").iterdir())


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    repo = build(root / "repo")
    with Workspace(mirror_of(repo, root / "cache"), Oid(repo.head), root / "work" / "1") as workspace:
        yield repo, workspace


NAMES = st.sampled_from(["a.py", "src/app.py", "src", "src/pkg", "src/pkg/deep", "b/c/d.txt", "b", "b/c", "crlf.txt"])


@settings(max_examples=40, deadline=None)
@given(edits=st.dictionaries(NAMES, st.one_of(st.none(), st.binary(max_size=20)), max_size=5))
def test_checking_out_an_edited_tree_gives_that_tree_back(edits, bench):
    """tree(checkout(t)) = t for any tree, also where files and folders change places."""
    repo, workspace = bench
    try:
        tree = write_tree(workspace._mirror, Oid(repo.head), edits)
    except UserError:
        return
    workspace.checkout(tree)
    assert workspace.tree() == tree
    assert tree_of_files(workspace.root, repo) == tree
