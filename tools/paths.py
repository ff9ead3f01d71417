"""Paths that cannot leave their folder: every file an agent reads or writes in-process goes through here.

A path is judged three times. As text: nothing absolute, no `..`, no way of spelling `.git`. As it resolves: links are followed and the place they
end at must lie inside. As it is opened: folder by folder from the root, never through a link, so a link that is swapped in after the check fails
instead of leading out. Reading may follow links that stay inside; writing follows none.

What a refusal means for the caller: `SandboxError`, one line. An absent file is `FileNotFoundError`, as usual.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from backstory.errors import SandboxError, StorageError
from backstory.graph.types import RepoPath

MAX_PATH_BYTES = 4095  # PATH_MAX of Linux less its end mark; git checks out nothing longer
MAX_NAME_BYTES = 255  # NAME_MAX
MAX_FILE_BYTES = 64 << 20  # far above any source file, far below memory

# Code points that HFS+ leaves out when it compares names (git's utf8.c, next_hfs_char).
_IGNORED_BY_HFS = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def repo_path(path: str) -> RepoPath:
    """Return `path` as a repository path, judged as text alone.

    Raises SandboxError for one that is empty, absolute, over-long, holds a NUL, an empty part, `.` or `..`, or names `.git` in any spelling that
    some file system takes for it.

    >>> repo_path("src/app.py")
    'src/app.py'
    """
    if not path or "\0" in path or path.startswith("/"):
        raise _refused(path, "it must be relative to the repository")
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise _refused(path, "it is too long")
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise _refused(path, "it must name each folder once, with no '.' and no '..'")
        if len(os.fsencode(part)) > MAX_NAME_BYTES:
            raise _refused(path, "a name in it is too long")
        if is_dot_git(part):
            raise _refused(path, "git's own folder is out of bounds")
    return RepoPath(path)


def is_dot_git(name: str) -> bool:
    r"""Return whether some file system takes `name` for `.git`.

    HFS+ ignores case and invisible letters; NTFS ignores dots and blanks at the end and what follows `:`, has the short name `git~1`, and takes a
    backslash for a slash.

    >>> [is_dot_git(name) for name in (".git", ".GIT ", "git~1", ".g\u200cit", "a\\.git", ".github", ".gitignore")]
    [True, True, True, True, True, False, False]
    """
    if name.isascii() and "git" not in name.lower():
        return False  # nearly every name; the rest costs twenty times more
    if name.translate(_IGNORED_BY_HFS).casefold() == ".git":
        return True
    return any(part.split(":")[0].rstrip(" .").casefold() in (".git", "git~1") for part in name.split("\\"))


def checked(root: Path, path: str) -> Path:
    """Return where `path` really lies below `root`, links resolved; it need not exist.

    Raises SandboxError when the text is refused or a link leads out of `root` or into `.git`.
    """
    repo_path(path)
    home = os.path.realpath(root)
    try:
        real = os.path.realpath(f"{home}/{path}")
    except OSError as error:
        raise _refused(path, f"it cannot be resolved ({error.strerror})") from error
    if not real.startswith(home.rstrip("/") + "/"):
        raise _refused(path, "a link leads out of the repository")
    repo_path(os.path.relpath(real, home))
    return Path(real)


def read_file(root: Path, path: str, *, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return the bytes of a regular file below `root`. Links are followed while they stay inside.

    Raises FileNotFoundError; SandboxError for what is not a regular file, or is larger than `limit` bytes.
    """
    real = checked(root, path)
    parts = real.relative_to(os.path.realpath(root)).parts
    with open_folder(Path(os.path.realpath(root)), parts[:-1]) as folder:
        return read_in_folder(folder, parts[-1], path, limit=limit)


def read_in_folder(folder: int, name: str, path: str, *, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return the bytes of the regular file `name` in an open folder; `path` is its name in messages. Errors as `read_file`."""
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
            raise _refused(path, "it is not a regular file") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _refused(path, "it is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(limit + 1) if os.fstat(descriptor).st_size <= limit else None
    if content is None or len(content) > limit:
        raise _refused(path, f"it is larger than {limit} bytes")
    return content


def write_file(root: Path, path: str, content: bytes, *, mode: int | None = None) -> None:
    """Give a file below `root` new bytes at one stroke; whoever looks sees the old file or the new one. As `stage_file`, then `commit`."""
    stage_file(root, path, content, mode=mode).commit()


def write_link(root: Path, path: str, target: bytes) -> None:
    """Make `path` a symbolic link, in place of a file or link that is there. As `stage_link`, then `commit`."""
    stage_link(root, path, target).commit()


@dataclass(frozen=True)
class Staged:
    """A file that lies ready beside its place under a name of its own; `commit` puts it there, `discard` removes it."""

    root: Path
    path: str
    temporary: str

    def commit(self) -> None:
        """Take the place of what is there, at one stroke and needing no room on the disk."""
        *parts, name = self.path.split("/")
        with disk_errors(self.path), open_folder(self.root, parts) as folder:
            os.replace(self.temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)

    def discard(self) -> None:
        """Remove it again."""
        with suppress(OSError, SandboxError), open_folder(self.root, self.path.split("/")[:-1]) as folder:
            os.unlink(self.temporary, dir_fd=folder)


def stage_file(root: Path, path: str, content: bytes, *, mode: int | None = None, durable: bool = False) -> Staged:
    """Write bytes that are to become the file at `path`; folders are made.

    mode: permission bits; None keeps those of the file that is there, or gives a new one the usual. durable: on disk on return.
    A hard link elsewhere keeps the old bytes. Raises SandboxError when a link, a folder or a special file is in the way, StorageError when the
    disk is full or read-only.
    """
    *parts, name = repo_path(path).split("/")
    with disk_errors(path), open_folder(root, parts, create=True) as folder:
        there = facts_in_folder(folder, name)
        if there is not None and not stat.S_ISREG(there.st_mode):
            raise _refused(
                path, "it is a link, and links are not written through" if stat.S_ISLNK(there.st_mode) else "it is not a regular file"
            )
        if mode is None and there is not None:
            mode = stat.S_IMODE(there.st_mode) & 0o777
        return Staged(root, path, _written(folder, content, mode=mode, durable=durable))


def stage_link(root: Path, path: str, target: bytes) -> Staged:
    """Make a symbolic link that is to take the place of the file or link at `path`. Raises SandboxError when `target` leads out of `root`."""
    *parts, name = repo_path(path).split("/")
    if not link_stays_inside(path, target):
        raise _refused(path, f"the link to {os.fsdecode(target)!r} leads out of the repository")
    with disk_errors(path), open_folder(root, parts, create=True) as folder:
        there = facts_in_folder(folder, name)
        if there is not None and not (stat.S_ISREG(there.st_mode) or stat.S_ISLNK(there.st_mode)):
            raise _refused(path, "it is not a regular file")
        temporary = _temporary_name()
        os.symlink(target, os.fsencode(temporary), dir_fd=folder)
        return Staged(root, path, temporary)


def delete_file(root: Path, path: str) -> None:
    """Delete a file or link below `root`, and the folders that are empty then. Raises FileNotFoundError, SandboxError, StorageError."""
    parts = repo_path(path).split("/")
    with disk_errors(path), open_folder(root, parts[:-1]) as folder:
        there = facts_in_folder(folder, parts[-1])
        if there is not None and not (stat.S_ISREG(there.st_mode) or stat.S_ISLNK(there.st_mode)):
            raise _refused(path, "it is not a regular file")
        os.unlink(parts[-1], dir_fd=folder)
    delete_empty_folders(root, parts[:-1])


def delete_empty_folders(root: Path, parts: Sequence[str]) -> None:
    """Delete the folder named by `parts` below `root` if it is empty, then its parent likewise, up to `root`, which stays."""
    for depth in range(len(parts), 0, -1):
        try:
            with open_folder(root, parts[: depth - 1]) as folder:
                os.rmdir(parts[depth - 1], dir_fd=folder)
        except (OSError, SandboxError):
            return


def link_stays_inside(path: str, target: bytes) -> bool:
    """Return whether a link at `path` to `target` stays inside the repository and out of `.git`, judged as text.

    >>> link_stays_inside("docs/a", b"../b"), link_stays_inside("docs/a", b"../../b"), link_stays_inside("a", b"/etc")
    (True, False, False)
    """
    text = os.fsdecode(target)
    if text.startswith("/"):
        return False
    here = path.split("/")[:-1]
    for part in text.split("/"):
        if part == "..":
            if not here:
                return False
            here.pop()
        elif part not in ("", "."):
            if is_dot_git(part):
                return False
            here.append(part)
    return True


@contextmanager
def open_folder(root: Path, parts: Sequence[str], *, create: bool = False) -> Iterator[int]:
    """Yield a descriptor of a folder below `root`, reached without passing a link. create: make what is missing.

    Raises FileNotFoundError, or SandboxError when a link or a file is in the way.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=descriptor)
            try:
                inner = os.open(part, _FOLDER, dir_fd=descriptor)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise _refused("/".join(parts), f"{part!r} is a link or a file, not a folder") from error
                raise
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def facts_in_folder(folder: int, name: str) -> os.stat_result | None:
    """Return what `name` in an open folder is (a link itself, not its target), or None when it is absent."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn a full or read-only disk under the block into a StorageError that names `what`."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            raise StorageError(f"cannot write {what!r}: {error.strerror}; free some room and try again") from error
        raise


def _written(folder: int, content: bytes, *, mode: int | None, durable: bool) -> str:
    temporary = _temporary_name()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if mode is not None:
                os.fchmod(descriptor, mode)
            file.flush()
            if durable:
                os.fsync(descriptor)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise
    return temporary


def _temporary_name() -> str:
    return f".backstory-{secrets.token_hex(8)}.tmp"


def _refused(path: str, why: str) -> SandboxError:
    shown = path if len(path) <= 200 else path[:200] + "..."
    return SandboxError(f"path {shown!r} is refused: {why}; name a file inside the repository")
