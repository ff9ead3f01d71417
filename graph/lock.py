"""A lock file that one process holds against the others."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backstory.errors import StorageError


@contextmanager
def exclusively(lock: Path) -> Iterator[None]:
    """Hold a lock file against other processes; released when the block, or the process, ends.

    Raises StorageError when the file cannot be made.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(f"cannot write {str(lock)!r}: {error.strerror}; make its folder writable or set BACKSTORY_CACHE_DIR") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
