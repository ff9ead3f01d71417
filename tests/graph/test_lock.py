"""Locks: who holds one keeps the others out, who died does not, and the cache is not cleared from under anybody."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backstory.errors import StorageError, UserError
from backstory.graph.lock import clearing_cache, exclusively, lock_within, using_cache

HOLDER = """
import sys
from pathlib import Path
from backstory.graph.lock import exclusively, using_cache

with {"alone": exclusively, "shared": using_cache}[sys.argv[1]](Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Start processes that hold a lock until they are told to end."""
    started = []

    def start(kind: str, place: Path) -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", HOLDER, kind, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def had(lock: Path) -> bool:
    """Return whether a lock can be had at once."""
    handle = os.open(lock, os.O_RDWR)
    try:
        return lock_within(handle, 0)
    finally:
        os.close(handle)


def test_a_lock_keeps_others_out_and_ends_with_its_process(holder, tmp_path):
    """Held by a living process it cannot be had; when that is killed it can."""
    lock = tmp_path / "a" / "lock"
    process = holder("alone", lock)
    assert not had(lock)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert had(lock)


def test_a_lock_that_ends_soon_is_waited_for(holder, tmp_path):
    """What a dying process or its child still holds for a moment is no obstacle: the lock is had as soon as it is free."""
    lock = tmp_path / "lock"
    process = holder("alone", lock)
    handle = os.open(lock, os.O_RDWR)
    process.stdin.close()  # it ends when it comes to read that
    assert lock_within(handle, 600)
    os.close(handle)


def test_many_use_the_cache_and_one_clears_it(holder, tmp_path):
    """Users do not keep each other out; clearing is refused in one line while there is one, and keeps new ones waiting."""
    first = holder("shared", tmp_path)
    with using_cache(tmp_path):
        pass
    with pytest.raises(UserError, match="another command is using") as refused, clearing_cache(tmp_path):
        pass
    assert "\n" not in str(refused.value)
    first.stdin.close()
    first.wait()
    with clearing_cache(tmp_path):
        assert not had(tmp_path / "in-use.lock")
    assert had(tmp_path / "in-use.lock")


def test_a_lock_that_cannot_be_made_is_a_storage_error(tmp_path):
    """A file where the folder should be: one line and what to do."""
    (tmp_path / "file").write_text("")
    for lock in (exclusively(tmp_path / "file" / "lock"), using_cache(tmp_path / "file"), clearing_cache(tmp_path / "file")):
        with pytest.raises(StorageError, match="BACKSTORY_CACHE_DIR"), lock:
            pass
