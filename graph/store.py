"""What was learned about one repository, in one SQLite file.

The file holds two kinds of rows. History (commits, changes, hunks) is append-only and ancestor-closed: a commit is written after its parents, in
batches, so a killed build leaves a store that is merely shorter. Everything derived from file contents is keyed by blob or tree id and by the
version of what derived it, so a snapshot is assembled from what is there and a second run does no work.

Rows know nothing of where a graph is pinned: `backstory.graph.repograph` decides what may be seen. Failures of the disk become `StorageError`
here, once, and a transaction that fails leaves the store as it was.
"""

import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from backstory.errors import DamagedStore, StorageError
from backstory.graph.lock import exclusively
from backstory.graph.types import Oid

APPLICATION_ID = 0x42535459  # "BSTY": tells our file from any other SQLite file
BUSY_TIMEOUT_S = 60.0  # another run writes in batches of well under a second; a minute means it hangs
PARAMETERS_AT_ONCE = 500  # SQLite's oldest limit is 999 parameters a statement


def m001_history_and_parses(connection: sqlite3.Connection) -> None:
    """Commits by integer id (parents always have the smaller id), paths, changes, hunks packed by commit, and parses by blob."""
    for statement in (
        "CREATE TABLE commits (id INTEGER PRIMARY KEY, oid BLOB NOT NULL UNIQUE, parents BLOB NOT NULL, committed INTEGER NOT NULL)",
        "CREATE TABLE messages (commit_id INTEGER PRIMARY KEY, author TEXT NOT NULL, authored INTEGER NOT NULL,"
        " subject TEXT NOT NULL, body TEXT NOT NULL)",
        "CREATE TABLE paths (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE)",
        "CREATE TABLE changes (commit_id INTEGER NOT NULL, ordinal INTEGER NOT NULL, path_id INTEGER NOT NULL, was_id INTEGER,"
        " status TEXT NOT NULL, blob BLOB, was_blob BLOB, PRIMARY KEY (commit_id, ordinal)) WITHOUT ROWID",
        "CREATE INDEX changes_by_path ON changes (path_id, commit_id)",
        "CREATE INDEX renames ON changes (commit_id) WHERE was_id IS NOT NULL",
        "CREATE TABLE hunks (commit_id INTEGER PRIMARY KEY, payload BLOB NOT NULL)",
        "CREATE TABLE tips (commit_id INTEGER NOT NULL, tier TEXT NOT NULL, PRIMARY KEY (commit_id, tier)) WITHOUT ROWID",
        "CREATE TABLE parses (blob BLOB NOT NULL, version TEXT NOT NULL, payload BLOB NOT NULL, UNIQUE (blob, version))",
        "CREATE TABLE snapshots (tree BLOB NOT NULL, version TEXT NOT NULL, payload BLOB NOT NULL, UNIQUE (tree, version))",
    ):
        connection.execute(statement)


def m002_derived(connection: sqlite3.Connection) -> None:
    """What questions of the past derived, by kind, key and version: kept so that a question costs its work once."""
    connection.execute(
        "CREATE TABLE derived (kind TEXT NOT NULL, key BLOB NOT NULL, version TEXT NOT NULL, payload BLOB NOT NULL,"
        " PRIMARY KEY (kind, key, version)) WITHOUT ROWID"
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (m001_history_and_parses, m002_derived)
"""In order; the file's `user_version` says how many have been applied. Never edited, only added to."""


class Store:
    """One repository's SQLite file; safe to share between threads and to open from several processes."""

    def __init__(self, path: Path) -> None:
        """Open the store, making or upgrading it.

        Raises StorageError when the file is damaged, is not ours, is newer than this program, or cannot be written.
        """
        self.path = path
        self._lock = threading.RLock()
        with self._mapped_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            self._closing = weakref.finalize(self, self._connection.close)  # a store that is dropped closes its file
            try:
                # Turning on WAL and making the tables are several steps; SQLite's own lock does not cover them together.
                with exclusively(path.with_name(path.name + ".lock")):
                    self._prepare()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        with self._lock:
            self._closing()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is written inside one unit: all of it is kept, or none.

        Raises StorageError when the disk is full, read-only or damaged; the store stays as it was.
        """
        with self._lock, self._mapped_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite rolls back by itself on some errors, a full disk among them
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Return all rows of a query."""
        with self._lock, self._mapped_errors():
            return self._connection.execute(query, tuple(parameters)).fetchall()

    def write(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row; call it inside `transaction`."""
        with self._mapped_errors():
            self._connection.executemany(statement, rows)

    # --- derived from contents --------------------------------------------------------------------------------------------------------

    def parses(self, blobs: Iterable[Oid], version: str) -> dict[Oid, bytes]:
        """Return what is stored for those of `blobs` that were parsed by `version` of the language table."""
        wanted = sorted(set(blobs))
        found: dict[Oid, bytes] = {}
        for start in range(0, len(wanted), PARAMETERS_AT_ONCE):
            part = [bytes.fromhex(oid) for oid in wanted[start : start + PARAMETERS_AT_ONCE]]
            marks = ",".join("?" * len(part))
            query = f"SELECT blob, payload FROM parses WHERE version = ? AND blob IN ({marks})"
            found.update((Oid(_bytes(blob).hex()), _bytes(payload)) for blob, payload in self.rows(query, [version, *part]))
        return found

    def save_parses(self, rows: Iterable[tuple[Oid, str, bytes]]) -> None:
        """Keep (blob, version, payload) rows, in one transaction; a row that is there already is replaced."""
        with self.transaction():
            self.write(
                "INSERT OR REPLACE INTO parses (blob, version, payload) VALUES (?, ?, ?)",
                ((bytes.fromhex(blob), version, payload) for blob, version, payload in rows),
            )

    def snapshot(self, tree: Oid, version: str) -> bytes | None:
        """Return what was saved for a whole tree by `version`, or None."""
        rows = self.rows("SELECT payload FROM snapshots WHERE tree = ? AND version = ?", (bytes.fromhex(tree), version))
        return _bytes(rows[0][0]) if rows else None

    def save_snapshot(self, tree: Oid, version: str, payload: bytes) -> None:
        """Keep `payload` for a whole tree; one that is there already is replaced."""
        with self.transaction():
            self.write(
                "INSERT OR REPLACE INTO snapshots (tree, version, payload) VALUES (?, ?, ?)", [(bytes.fromhex(tree), version, payload)]
            )

    # --- derived from history -----------------------------------------------------------------------------------------------------------

    def derived(self, kind: str, keys: Iterable[bytes], version: str) -> dict[bytes, bytes]:
        """Return what is stored of one kind for those of `keys` that `version` of the derivation answered, by key."""
        wanted = sorted(set(keys))
        found: dict[bytes, bytes] = {}
        for start in range(0, len(wanted), PARAMETERS_AT_ONCE):
            part = wanted[start : start + PARAMETERS_AT_ONCE]
            query = f"SELECT key, payload FROM derived WHERE kind = ? AND version = ? AND key IN ({','.join('?' * len(part))})"
            found.update((_bytes(key), _bytes(payload)) for key, payload in self.rows(query, [kind, version, *part]))
        return found

    def save_derived(self, kind: str, version: str, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep (key, payload) rows of one kind, in one transaction; a row that is there already is replaced."""
        with self.transaction():
            self.write("INSERT OR REPLACE INTO derived VALUES (?, ?, ?, ?)", ((kind, key, version, payload) for key, payload in rows))

    def derived_count(self, kind: str, version: str) -> int:
        """Return how many answers of one kind are stored."""
        return int(str(self.rows("SELECT count(*) FROM derived WHERE kind = ? AND version = ?", (kind, version))[0][0]))

    # --- opening and failing ----------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        connection = self._connection
        application, version, objects = self._header()
        if application not in (0, APPLICATION_ID) or (application == 0 and objects):
            raise StorageError(f"{str(self.path)!r} is not a Backstory store; run `backstory cache clear` to remove it and build anew")
        if version > len(MIGRATIONS):
            raise StorageError(
                f"{str(self.path)!r} was written by a newer Backstory (schema {version}, this one knows {len(MIGRATIONS)});"
                " upgrade, or run `backstory cache clear`"
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last batch, never the file
        connection.execute("PRAGMA temp_store = MEMORY")
        if version == len(MIGRATIONS):
            return
        with self.transaction():
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            for migrate in MIGRATIONS[version:]:
                migrate(connection)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _header(self) -> tuple[int, int, int]:
        """Return (application id, schema version, number of tables and indexes)."""
        application, version, objects = (
            self._connection.execute(query).fetchone()[0]
            for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
        return int(application), int(version), int(objects)

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise _storage_error(self.path, error) from error


def _storage_error(path: Path, error: Exception) -> StorageError:
    """Return what to tell the user about a failure of SQLite or of the disk."""
    said, place = str(error).lower(), repr(str(path))
    if "full" in said or "no space" in said or "too large" in said or "quota" in said:
        return StorageError(f"no room left to write {place}; free some space or set BACKSTORY_CACHE_DIR to another disk")
    if "readonly" in said or "read-only" in said or "unable to open" in said or isinstance(error, OSError):
        return StorageError(f"cannot write {place}: {error}; make its folder writable or set BACKSTORY_CACHE_DIR")
    if "disk i/o" in said:
        return StorageError(f"the disk failed at {place}; see that it has room and is sound, or set BACKSTORY_CACHE_DIR to another one")
    if "locked" in said or "busy" in said:
        return StorageError(f"{place} is in use by another run; wait for it to end and try again")
    return DamagedStore(f"{place} is damaged ({error}); run `backstory cache clear` and try again")


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
