"""A work tree to change and to run programs in, apart from the user's checkout.

It is a worktree of the mirror, so that the mirror knows of it, but git never looks at its files: `backstory.tools.worktree` writes and reads them.
Programs run in it may do what they like to it. Whatever they leave, `.git` rewritten, filters and hooks configured, folders without permissions, is
gone with the next checkout, and nothing of it is ever run or believed here.

Beside the work tree, in the folder of the run, are its lock (held as long as we live, so a crash is told from a run in progress), its trash, and
the small repository that covers `.git`. All is removed on leaving; what a killed run left is removed by the next workspace on the same mirror.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from backstory.errors import StorageError, UserError
from backstory.graph.encoding import path_bytes, path_text
from backstory.graph.git import Git
from backstory.graph.lock import exclusively, lock_within
from backstory.graph.mirror import Mirror
from backstory.graph.types import Oid, RepoPath
from backstory.tools import paths
from backstory.tools.cover import build_cover
from backstory.tools.patch import Patch, diff_trees
from backstory.tools.shell import Mount
from backstory.tools.survey import Seen, survey
from backstory.tools.trees import changed_tree, entry_at, objects, open_objects, tree_of
from backstory.tools.worktree import WorkTree

CHECK_FOLDER = "check-"  # what a check keeps beside the tree while it runs, and leaves when it is killed
_LOCK, _TRASH, _COVER = ".lock", ".trash", "cover-"
CLEARING_S = 60.0  # removing a large tree on a busy machine took more than two seconds; that a run is in use is told by the lock of its trace, at once
_WORKTREES_LOCK = "worktrees.lock"  # held while what the mirror knows of a worktree is made or removed, so a half one seen under it is dead


class Workspace:
    """A worktree of the mirror at `root`, for one thread at a time. A context manager; inside, it starts with the base checked out.

    root: a folder that is ours alone; its parent is the folder of the run. What is there from an earlier run is removed. patience_s: how long to wait
    for a root that another has, who may only be clearing up what a killed run left there.
    """

    def __init__(self, mirror: Mirror, base: Oid, root: Path, *, patience_s: float = CLEARING_S) -> None:
        self.root = root.absolute()
        self.base = base
        self._mirror = mirror
        self._cover = self.root.parent / f"{_COVER}{base[:12]}"
        self._written: set[RepoPath] = set()
        self._tracked = base
        self._lock: int | None = None
        self._patience_s = patience_s

    def __enter__(self) -> "Workspace":
        """Make the worktree and check out the base. Raises UserError when the root is in use or the base unknown, StorageError."""
        with paths.disk_errors(str(self.root)):
            clear_dead(self._mirror, but=self.root)
            self._lock = _acquire(_beside(self.root, _LOCK), patience_s=self._patience_s)
            if self._lock is None:
                raise UserError(f"{str(self.root)!r} is in use by another run; wait for it or end it")
            try:
                self._objects = open_objects(self._mirror.path)
                self._worktree = WorkTree(self.root, _beside(self.root, _TRASH), self._objects)
                self._worktree.clear()
                self._admin = _register(self._mirror, self.base, self.root)
                self.checkout(self.base)
            except BaseException:
                self._close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def checkout(self, oid: Oid) -> None:
        """Make the files exactly those of a commit or tree of the mirror: everything else goes, whatever its permissions; bytes are as committed.

        Submodules become empty folders. Raises UserError for an unknown id, StorageError when the disk is full.
        """
        tree = tree_of(self._objects, oid)
        self._renew_dot_git()
        self._worktree.checkout(tree, keep={".git"})
        self._tracked = tree
        self._written.clear()

    def restore(self, tree: Oid) -> None:
        """Bring the files back to what `tree()` once returned; scratch goes. Edits in `tree` count as made on purpose from now on."""
        self.checkout(tree)

    def read(self, path: str, *, limit: int = paths.MAX_FILE_BYTES) -> bytes:
        """Return a file's bytes. Raises FileNotFoundError; SandboxError for a path that leaves the work tree, a special or an over-large file."""
        return paths.read_file(self.root, path, limit=limit)

    def write(self, path: str, content: bytes) -> None:
        """Give a file new bytes at one stroke; its mode stays. Raises SandboxError for a path that leaves the work tree or passes a link."""
        paths.write_file(self.root, path, content)
        self._written.add(RepoPath(path))

    def delete(self, path: str) -> None:
        """Delete a file and the folders that are empty then. Raises FileNotFoundError, SandboxError."""
        paths.delete_file(self.root, path)
        self._written.add(RepoPath(path))

    def tree(self) -> Oid:
        """Return what the work tree is now as a git tree: the tree checked out with its files changed or deleted, and new source files."""
        return changed_tree(self._objects, self._tracked, self._seen().changes)

    def scratch(self) -> tuple[str, ...]:
        """Return what is in the work tree but left out of `tree()`: caches, build outputs, ignored files, tampering; folders end in `/`."""
        return self._seen().left_out

    def patch(self, exclude: Collection[RepoPath] = ()) -> Patch:
        """Return the patch from the base to `tree()`. Changes to the paths in `exclude` are kept out and named in `Patch.left_out`."""
        tree = self.tree()
        base = tree_of(self._objects, self.base)
        kept = {path: entry_at(self._objects, base, path) for path in sorted(exclude)}
        left_out = tuple(path for path, entry in kept.items() if entry_at(self._objects, tree, path) != entry)
        return diff_trees(
            self._mirror, self.base, changed_tree(self._objects, tree, {path: kept[path] for path in left_out}), left_out=left_out
        )

    def mounts(self, bound_at: Path | None = None) -> tuple[Mount, ...]:
        """Return what covers `.git` inside the sandbox: a repository of one commit, made on the first call.

        bound_at: where the sandbox shows the work tree; by default where it is.
        """
        build_cover(self._mirror, self.base, self._cover)
        self._renew_dot_git()
        return (Mount(self._cover, self._cover), Mount(self.root / ".git", (bound_at or self.root) / ".git"))

    def _seen(self) -> Seen:
        seen = survey(self._worktree, self._tracked, written=self._written, ignored=self._ignored)
        if not self._dot_git_is_ours():
            return Seen(seen.changes, tuple(sorted({*seen.left_out, ".git"})))
        return seen

    def _ignored(self, new: Sequence[RepoPath]) -> Collection[RepoPath]:
        """Return which of these paths the ignore files in the work tree name. Git reads those files itself; it runs nothing for it."""
        git = Git(self._admin, work_tree=self.root)
        # check-ignore knows no literal pathspecs; with `./` before it, no name is taken for anything but a name.
        asked = b"".join(b"./" + path_bytes(path) + b"\0" for path in new)
        named = git.run("--no-literal-pathspecs", "check-ignore", "-z", "--stdin", "--no-index", stdin=asked, allowed=(0, 1))
        return {path_text(raw.removeprefix(b"./")) for raw in named.split(b"\0") if raw}

    @property
    def _gitfile(self) -> bytes:
        """The contents of `.git`: even a program that runs without a sandbox is led to the small repository, not to the mirror."""
        return b"gitdir: " + os.fsencode(self._cover) + b"\n"

    def _dot_git_is_ours(self) -> bool:
        marker = self.root / ".git"
        try:
            return not marker.is_symlink() and marker.is_file() and marker.stat().st_size < 1 << 16 and marker.read_bytes() == self._gitfile
        except OSError:
            return False

    def _renew_dot_git(self) -> None:
        if not self._dot_git_is_ours():
            self._worktree.remove(".git")
            (self.root / ".git").write_bytes(self._gitfile)

    def _close(self) -> None:
        """Remove everything of ours; the folder of the run goes with its last workspace."""
        if self._lock is None:
            return
        with suppress(OSError, StorageError):
            _remove(self._mirror, self.root)
        _release(_beside(self.root, _LOCK), self._lock)
        self._lock = None
        _leave(self.root.parent)


def clear_dead(mirror: Mirror, *, but: Path | None = None) -> None:
    """Remove the worktrees of this mirror whose workspace is gone, which is when its lock can be had.

    but: the root that is left to whoever locks it.
    """
    for dead in _registered(mirror):
        if dead == but:
            continue
        marker = _beside(dead, _LOCK)
        lock = _acquire(marker, patience_s=0)
        if lock is not None:
            with suppress(OSError, StorageError):
                _remove(mirror, dead)
            _release(marker, lock)
            _leave(dead.parent)


def _leave(folder: Path) -> None:
    """Remove what is ours in a run's folder with its last workspace, and the folder when nothing else is in it."""
    with suppress(OSError):
        names = [path.name for path in folder.iterdir()]
        if any(name.endswith(_LOCK) for name in names):
            return
        for name in names:
            if name.startswith((_COVER, CHECK_FOLDER)):
                shutil.rmtree(folder / name, ignore_errors=True)
        folder.rmdir()


def _register(mirror: Mirror, base: Oid, root: Path) -> Path:
    """Make `root` a worktree of the mirror, without files, and return its own git directory.

    Written by hand, as `git worktree add` would: it is three small files, and a git that outlives us when we are killed would write them later.
    """
    root.mkdir(exist_ok=True)
    admin = _admin(mirror, root)
    with exclusively(mirror.folder / _WORKTREES_LOCK):
        shutil.rmtree(admin, ignore_errors=True)
        admin.mkdir(parents=True)
        (admin / "gitdir").write_bytes(os.fsencode(root / ".git") + b"\n")
        (admin / "commondir").write_text("../..\n")
        (admin / "HEAD").write_text(f"{base}\n")
    return admin


def _unregister(mirror: Mirror, root: Path) -> None:
    with exclusively(mirror.folder / _WORKTREES_LOCK):
        shutil.rmtree(_admin(mirror, root), ignore_errors=True)


def _registered(mirror: Mirror) -> list[Path]:
    """Return the roots the mirror knows of, in a fixed order. What a kill left half made or half removed goes, and what is of a folder that is gone."""
    roots = []
    with exclusively(mirror.folder / _WORKTREES_LOCK):
        for admin in sorted((mirror.path / "worktrees").glob("*")):
            root = _root_of(admin)
            if _admin(mirror, root) == admin and root.parent.is_dir():
                roots.append(root)
            else:
                shutil.rmtree(admin, ignore_errors=True)
    return roots


def _admin(mirror: Mirror, root: Path) -> Path:
    """Return where the mirror keeps what it knows of a worktree. The name tells the root, so that a cut `gitdir` is told from a whole one."""
    return mirror.path / "worktrees" / hashlib.sha256(os.fsencode(root)).hexdigest()[:16]


def _root_of(admin: Path) -> Path:
    """Return what `gitdir` names; the empty path when it is not there."""
    try:
        return Path(os.fsdecode((admin / "gitdir").read_bytes().rstrip(b"\n"))).parent
    except OSError:
        return Path()


def _remove(mirror: Mirror, root: Path) -> None:
    """Remove a worktree's files and what the mirror knows of it."""
    if root.parent.is_dir():
        WorkTree(root, _beside(root, _TRASH), objects(mirror.path)).clear()
    _unregister(mirror, root)


def _beside(root: Path, suffix: str) -> Path:
    return root.with_name(root.name + suffix)


def _acquire(marker: Path, *, patience_s: float) -> int | None:
    """Take a lock file and return its descriptor, or None when another keeps it."""
    until = time.monotonic() + patience_s
    while True:
        marker.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # the folder went with the last workspace in it
            lock = os.open(marker, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o644)
            with suppress(FileNotFoundError):
                # Its last owner may have deleted the file while we waited; then others would lock another one.
                if lock_within(lock, until - time.monotonic()) and os.path.samestat(os.fstat(lock), marker.stat()):
                    return lock
            os.close(lock)
        if time.monotonic() > until:
            return None


def _release(marker: Path, lock: int) -> None:
    with suppress(OSError):
        marker.unlink(missing_ok=True)
    os.close(lock)
