"""The store: what is saved comes back, and damage is told with its remedy."""

import contextlib
import sqlite3
import subprocess
import sys

import pytest

from backstory.errors import StorageError
from backstory.graph.store import APPLICATION_ID, MIGRATIONS, Store
from backstory.graph.types import Oid

BLOB = Oid("ab" * 20)
TREE = Oid("cd" * 20)


def test_parses_come_back_by_blob_and_version(tmp_path):
    """A parse is found under its blob and version only, also after the file is opened again."""
    Store(tmp_path / "graph.db").save_parses([(BLOB, "1", b"one"), (BLOB, "2", b"two")])
    store = Store(tmp_path / "graph.db")
    assert store.parses([BLOB, TREE], "1") == {BLOB: b"one"}
    assert store.parses([BLOB], "3") == {}


def test_many_parses_are_found_at_once(tmp_path):
    """More blobs than one SQL statement takes are looked up without loss."""
    store = Store(tmp_path / "graph.db")
    oids = [Oid(f"{number:040x}") for number in range(1_300)]
    store.save_parses((oid, "1", oid.encode()) for oid in oids)
    assert store.parses(oids, "1") == {oid: oid.encode() for oid in oids}


def test_a_snapshot_is_replaced(tmp_path):
    """The last payload saved for a tree and version is the one that counts."""
    store = Store(tmp_path / "graph.db")
    assert store.snapshot(TREE, "1") is None
    store.save_snapshot(TREE, "1", b"old")
    store.save_snapshot(TREE, "1", b"new")
    assert store.snapshot(TREE, "1") == b"new"


def test_derived_answers_come_back_by_kind_key_and_version(tmp_path):
    """An answer is found under its kind, key and version only; the last one saved counts."""
    store = Store(tmp_path / "graph.db")
    store.save_derived("outline", "1", [(b"a", b"old"), (b"b", b"")])
    store.save_derived("outline", "1", [(b"a", b"new")])
    assert store.derived("outline", [b"a", b"b", b"c"], "1") == {b"a": b"new", b"b": b""}
    assert store.derived("outline", [b"a"], "2") == store.derived("origin", [b"a"], "1") == {}
    assert (store.derived_count("outline", "1"), store.derived_count("outline", "2")) == (2, 0)


def test_a_store_of_the_first_schema_is_brought_up_to_date(tmp_path):
    """A store written before `derived` keeps what it has and can keep derived answers from then on."""
    path = tmp_path / "graph.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        MIGRATIONS[0](connection)
        connection.execute("INSERT INTO paths (path) VALUES (x'61')")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    store = Store(path)
    store.save_derived("outline", "1", [(b"a", b"x")])
    assert store.rows("SELECT path FROM paths") == [(b"a",)]


def test_processes_may_make_a_store_at_once(tmp_path):
    """Processes that open a new store together all find it whole."""
    script = "import sys; from pathlib import Path; from backstory.graph.store import Store; Store(Path(sys.argv[1])).save_snapshot('ab' * 20, '1', b'x')"
    running = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "graph.db")]) for _ in range(6)]
    assert [process.wait() for process in running] == [0] * 6


def test_a_failed_transaction_leaves_nothing(tmp_path):
    """What was written before a failure inside a transaction is gone after it."""
    store = Store(tmp_path / "graph.db")
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.write("INSERT INTO paths (path) VALUES (?)", [(b"a",)])
        raise ZeroDivisionError
    assert store.rows("SELECT * FROM paths") == []


def test_a_file_that_is_no_database_is_told_with_the_remedy(tmp_path):
    """Damage is a StorageError of one line naming the file and `backstory cache clear`."""
    path = tmp_path / "graph.db"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 40)
    with pytest.raises(StorageError, match=r"graph\.db.*backstory cache clear") as caught:
        Store(path)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 9


def test_a_damaged_page_is_told_with_the_remedy(tmp_path):
    """Damage behind an intact header is found when the rows are read."""
    path = tmp_path / "graph.db"
    store = Store(path)
    store.save_parses([(Oid(f"{number:040x}"), "1", b"x" * 3000) for number in range(50)])
    store.close()
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(StorageError, match="backstory cache clear"):
        Store(path).parses([Oid(f"{number:040x}") for number in range(50)], "1")


def test_another_programs_database_is_not_touched(tmp_path):
    """A SQLite file that is not ours is refused and stays as it was."""
    path = tmp_path / "graph.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="not a Backstory store"):
        Store(path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(tmp_path):
    """A store written by a later version is refused rather than misread."""
    path = tmp_path / "graph.db"
    store = Store(path)
    store.rows(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    store.close()
    with pytest.raises(StorageError, match="newer Backstory"):
        Store(path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    """When a file stands where the folder should be, the error names the place and the setting."""
    (tmp_path / "cache").write_text("")
    with pytest.raises(StorageError, match="BACKSTORY_CACHE_DIR"):
        Store(tmp_path / "cache" / "graph.db")
