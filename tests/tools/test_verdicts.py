"""Remembered verdicts."""

import threading
from dataclasses import replace

import pytest

from backstory.errors import StorageError
from backstory.tools.verdict import Verdict
from backstory.tools.verdicts import VerdictCache

PASSED = Verdict("passed", {"t.py::a": "passed", "t.py::b": "skipped"}, (), "1 passed", "output\n", 1.25, "in_tree")
FAILED = replace(PASSED, status="failed", results={"t.py::a": "failed"}, failure=("KeyError",))


def test_an_answer_is_remembered_by_later_runs(tmp_path):
    """What passed or failed is read back whole after the cache was closed and opened again."""
    with VerdictCache(tmp_path / "new" / "verdicts.db") as cache:
        cache.put("one", PASSED)
        cache.put("two", FAILED)
        assert cache.get("three") is None
    with VerdictCache(tmp_path / "new" / "verdicts.db") as cache:
        assert (cache.get("one"), cache.get("two")) == (PASSED, FAILED)


@pytest.mark.parametrize("status", ["timed_out", "broken", "not_run"])
def test_no_answer_is_remembered_for_this_run_alone(tmp_path, status):
    """A check that gave no answer is not asked again in this run, and asked again in the next."""
    with VerdictCache(tmp_path / "verdicts.db") as cache:
        cache.put("one", replace(PASSED, status=status))
        assert cache.get("one").status == status
    with VerdictCache(tmp_path / "verdicts.db") as cache:
        assert cache.get("one") is None


def test_two_runs_and_many_threads_share_one_file(tmp_path):
    """Writers do not lose each other's verdicts."""
    with VerdictCache(tmp_path / "v.db") as first, VerdictCache(tmp_path / "v.db") as second:

        def write(cache, name):
            for number in range(20):
                cache.put(f"{name}{number}", PASSED)

        threads = [threading.Thread(target=write, args=(cache, name)) for cache, name in ((first, "a"), (first, "b"), (second, "c"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(cache.get(f"{name}{number}") == PASSED for cache in (first, second) for name in "abc" for number in range(20))


def test_a_damaged_file_is_told(tmp_path):
    """A file that is no database is an error of storage, with what to do."""
    (tmp_path / "v.db").write_bytes(b"no database at all " * 100)
    with pytest.raises(StorageError, match="cache clear"):
        VerdictCache(tmp_path / "v.db")


def test_a_row_that_cannot_be_read_is_as_good_as_none(tmp_path):
    """A verdict of another version is asked for again."""
    with VerdictCache(tmp_path / "v.db") as cache:
        cache._database.execute("INSERT INTO verdicts VALUES ('old', '{\"status\": \"odd\"}')")
        assert cache.get("old") is None
