"""Lock files: one process against the others, and all who use the cache against the one who clears it.

A lock ends with its process, except that a child which was forked and has not begun its own program yet still holds it. So what must not wait
for ever waits a little (`PATIENCE_S`) before it takes a lock for one of the living.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backstory.errors import StorageError, UserError

PATIENCE_S = 2.0  # hundred times what a fork takes to its exec on a busy machine; a user waits that long to hear that a run is in progress
_RETRY_S = 0.01


@contextmanager
def exclusively(lock: Path) -> Iterator[None]:
    """Hold a lock file against other processes; released when the block, or the process, ends.

    Raises StorageError when the file cannot be made.
    """
    handle = _opened(lock)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def using_cache(cache_dir: Path) -> Iterator[None]:
    """Keep everything in the cache where it is; any number of processes may do so at once. Waits while it is being cleared.

    Raises StorageError when the cache cannot be written.
    """
    handle = _opened(_cache_lock(cache_dir))
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


@contextmanager
def clearing_cache(cache_dir: Path) -> Iterator[None]:
    """Keep everybody else out of the cache. Raises UserError while somebody uses it, StorageError when it cannot be written."""
    handle = _opened(_cache_lock(cache_dir))
    try:
        if not lock_within(handle, PATIENCE_S):
            raise UserError(f"another command is using {str(cache_dir)!r}; wait for it or end it, then clear again")
        yield
    finally:
        os.close(handle)


def lock_within(handle: int, seconds: float) -> bool:
    """Take the lock of an open file against all others, waiting at most so long; return whether it was had."""
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(_RETRY_S)
        else:
            return True


def _cache_lock(cache_dir: Path) -> Path:
    return cache_dir / "in-use.lock"


def _opened(lock: Path) -> int:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(f"cannot write {str(lock)!r}: {error.strerror}; make its folder writable or set BACKSTORY_CACHE_DIR") from error
