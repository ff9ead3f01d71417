"""The files of a work tree, made equal to a git tree, and which of them still are.

No git process and no filter touches a file: blobs are written as they are stored and hashed as they are read, so what stands in attributes or
configuration, ours or a test's, changes nothing. That is why a checkout is byte-exact.

A checkout writes again only what differs. A file is taken to hold its blob as long as its stamp (times, size, inode, mode) is the one it had when
we wrote it. The change time cannot be set back by a program, but clocks tick coarsely: a file changed in the very tick in which it was written
would keep its stamp. So a stamp is remembered only if the file system's clock had moved on since (what git calls racy entries are hashed again).

What does not belong is moved to a `trash` folder beside the work tree and taken apart there level by level, so neither depth nor permissions stop
it. What a program made of the files is told by `backstory.tools.survey`.
"""

import os
import secrets
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import pygit2

from backstory.errors import SandboxError, StorageError
from backstory.graph.encoding import path_bytes
from backstory.graph.mirror import TreeEntry
from backstory.graph.types import Oid, RepoPath
from backstory.tools.paths import disk_errors, facts_in_folder, is_dot_git, open_folder, read_in_folder
from backstory.tools.trees import EXECUTABLE, LINK, SUBMODULE, Folder, blob_id, walk

# Nanoseconds of modification and of change, size, inode, mode.
Stamp = tuple[int, int, int, int, int]

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class WorkTree:
    """The files below `root`, and which of them are known to hold which blob."""

    def __init__(self, root: Path, trash: Path, repository: pygit2.Repository) -> None:
        """trash: a folder that need not exist, on the same file system as `root`; ours alone."""
        self.root = root
        self.repository = repository
        self._trash = trash
        self._known: dict[RepoPath, tuple[Stamp, TreeEntry]] = {}

    def checkout(self, tree: Oid, *, keep: Collection[str] = ()) -> None:
        """Make the files below the root exactly those of `tree`; submodules become empty folders.

        keep: names at the root that are let be. Raises StorageError when the disk is full or something cannot be removed.
        """
        known: dict[RepoPath, tuple[Stamp, TreeEntry]] = {}
        with disk_errors(str(self.root)):
            try:
                self._open_up_root()
                for parts, folder in walk(self.repository, tree):
                    with open_folder(self.root, parts) as descriptor:
                        self._settle(descriptor, parts, folder, known, keep=keep if not parts else ())
                clock = self.clock()
                take_apart(self._trash)
            except PermissionError as error:
                raise StorageError(f"cannot clean {str(self.root)!r}: {error.strerror}; remove it by hand and try again") from error
        self._known = {path: row for path, row in known.items() if _older(row[0], clock)}

    def clear(self) -> None:
        """Remove the work tree altogether."""
        self._remove(self.root.parent, self.root.name)

    def remove(self, name: str) -> None:
        """Remove what is called `name` at the root, file or folder, if it is there."""
        self._remove(self.root, name)

    def _remove(self, folder: Path, name: str) -> None:
        self._open_up_root()
        with open_folder(folder, ()) as descriptor:
            facts = facts_in_folder(descriptor, name)
            if facts is not None:
                self._discard(descriptor, name, facts)
        take_apart(self._trash)

    def clock(self) -> int:
        """Return the file system's time in nanoseconds: whatever changes from now on is stamped with this time or a later one."""
        self._trash.mkdir(exist_ok=True)
        probe = self._trash / f"clock-{secrets.token_hex(8)}"
        probe.touch()
        now = probe.stat().st_ctime_ns
        probe.unlink()
        return now

    def holds(self, path: RepoPath, facts: os.stat_result, entry: TreeEntry) -> bool:
        """Return whether a file with these facts is known, by its stamp alone, to be `entry`."""
        return self._known.get(path) == (_stamp(facts), entry)

    def learn(self, path: RepoPath, facts: os.stat_result, entry: TreeEntry, *, clock: int) -> None:
        """Remember that the file at `path` was read as `entry`. facts: taken before reading; clock: taken before that."""
        if _older(_stamp(facts), clock):
            self._known[path] = (_stamp(facts), entry)

    def _open_up_root(self) -> None:
        self._trash.mkdir(exist_ok=True)
        with open_folder(self.root.parent, ()) as above:
            if facts_in_folder(above, self.root.name) is not None:
                _open_up(above, self.root.name)

    def _settle(
        self,
        descriptor: int,
        parts: tuple[str, ...],
        folder: Folder,
        known: dict[RepoPath, tuple[Stamp, TreeEntry]],
        *,
        keep: Collection[str],
    ) -> None:
        """Make one folder right: what does not belong goes, the folders in it are there and can be entered, its files hold their blobs."""
        for name in (*folder.files, *folder.folders):
            if name in ("", ".", "..") or "/" in name or is_dot_git(name):
                raise SandboxError(f"the repository's tree holds a file named {name!r}, which is not checked out; name another commit")
        there = {name: facts for name in os.listdir(descriptor) if (facts := facts_in_folder(descriptor, name)) is not None}
        for name, facts in there.items():
            if name in keep:
                continue
            entry = folder.files.get(name)
            is_folder = stat.S_ISDIR(facts.st_mode)
            if (is_folder and name not in folder.folders) or (not is_folder and (entry is None or entry.mode == SUBMODULE)):
                self._discard(descriptor, name, facts)
        for name in [*folder.folders, *(name for name, entry in folder.files.items() if entry.mode == SUBMODULE)]:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=descriptor)
            _open_up(descriptor, name)
        for name, entry in folder.files.items():
            if entry.mode == SUBMODULE or name in keep:
                continue
            path = RepoPath("/".join((*parts, name)))
            before = there.get(name)
            stamp = self._unchanged(descriptor, path, name, before, entry) if before is not None else None
            if stamp is None:
                if before is not None and not stat.S_ISDIR(before.st_mode):
                    os.unlink(name, dir_fd=descriptor)
                stamp = self._write(descriptor, name, entry)
            known[path] = (stamp, entry)

    def _unchanged(self, descriptor: int, path: RepoPath, name: str, facts: os.stat_result, entry: TreeEntry) -> Stamp | None:
        """Return the stamp of the file that is there if it is already `entry` in contents, kind and mode."""
        if self.holds(path, facts, entry):
            return _stamp(facts)
        if entry.mode == LINK:
            if not stat.S_ISLNK(facts.st_mode) or blob_id(os.fsencode(os.readlink(name, dir_fd=descriptor))) != entry.blob:
                return None
        elif not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or stat.S_IMODE(facts.st_mode) != _mode(entry):
            return None
        else:
            try:
                if blob_id(read_in_folder(descriptor, name, path)) != entry.blob:
                    return None
            except (SandboxError, OSError):
                return None
        return _stamp(facts)

    def _write(self, descriptor: int, name: str, entry: TreeEntry) -> Stamp:
        content = self.repository.odb.read(entry.blob)[1]
        if entry.mode == LINK:
            os.symlink(content, path_bytes(name), dir_fd=descriptor)
            return _stamp(os.stat(name, dir_fd=descriptor, follow_symlinks=False))
        file = os.open(name, _NEW_FILE, 0o600, dir_fd=descriptor)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(file, left) :]
            os.fchmod(file, _mode(entry))
            return _stamp(os.fstat(file))
        finally:
            os.close(file)

    def _discard(self, descriptor: int, name: str, facts: os.stat_result) -> None:
        if not stat.S_ISDIR(facts.st_mode):
            os.unlink(name, dir_fd=descriptor)
            return
        _open_up(descriptor, name)  # moving a folder rewrites its `..`, for which it must be writable
        os.rename(name, self._trash / secrets.token_hex(8), src_dir_fd=descriptor)


def take_apart(trash: Path) -> None:
    """Remove a folder and everything in it, however deep and whatever its permissions.

    Each folder's folders are first moved up into `trash` itself, so no path grows long and nothing is recursive.
    """
    try:
        top = os.open(trash, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        waiting = _emptied_of_files(top)
        while waiting:
            name = waiting.pop()
            _open_up(top, name)
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
            try:
                for folder in _emptied_of_files(inner):
                    _open_up(inner, folder)
                    moved = secrets.token_hex(8)  # never a name that a killed run left
                    os.rename(folder, moved, src_dir_fd=inner, dst_dir_fd=top)
                    waiting.append(moved)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    trash.rmdir()


def _emptied_of_files(descriptor: int) -> list[str]:
    """Delete everything in a folder but its folders, and return those."""
    folders: list[str] = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=descriptor)
    return folders


def _open_up(descriptor: int, name: str) -> None:
    """Let us read, write and enter a folder that is there."""
    mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
        os.chmod(name, stat.S_IMODE(mode) | 0o700, dir_fd=descriptor)


def _mode(entry: TreeEntry) -> int:
    return 0o755 if entry.mode == EXECUTABLE else 0o644


def _stamp(facts: os.stat_result) -> Stamp:
    return facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino, facts.st_mode


def _older(stamp: Stamp, clock: int) -> bool:
    """Return whether a file with this stamp was last touched before the clock showed `clock`."""
    return stamp[1] < clock
