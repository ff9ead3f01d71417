"""Verdicts that were given before, by what they were given on: a second search through one history asks nothing twice.

The key is the caller's (tree with overlay, command, environment, limits that matter). Only answers are kept on disk: a check that timed out or broke
may have done so because of this machine at this moment, and is remembered for this run alone.
"""

import json
import sqlite3
import threading
from pathlib import Path

from backstory.errors import StorageError
from backstory.tools.verdict import Verdict, verdict_from_json, verdict_to_json

ANSWERS = ("passed", "failed")
_BUSY_S = 10.0  # another run may be writing
_SCHEMA = "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, verdict TEXT NOT NULL) WITHOUT ROWID"


class VerdictCache:
    """Verdicts by key, in one SQLite file; used from several threads and by several runs at once."""

    def __init__(self, path: Path) -> None:
        """Open or make the cache. Raises StorageError when it is damaged or cannot be written."""
        self._path = path
        self._lock = threading.Lock()
        self._of_this_run: dict[str, Verdict] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")  # a lost verdict is given again
            self._database.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error

    def get(self, key: str) -> Verdict | None:
        """Return the verdict of that key, or None. One that cannot be read is as good as none."""
        with self._lock:
            if key in self._of_this_run:
                return self._of_this_run[key]
            try:
                row = self._database.execute("SELECT verdict FROM verdicts WHERE key = ?", (key,)).fetchone()
            except sqlite3.Error as error:
                raise self._error(error) from error
        try:
            return verdict_from_json(json.loads(row[0])) if row else None
        except ValueError:
            return None

    def put(self, key: str, verdict: Verdict) -> None:
        """Remember a verdict: for good when it is an answer, else until this cache is closed."""
        with self._lock:
            if verdict.status not in ANSWERS:
                self._of_this_run[key] = verdict
                return
            try:
                self._database.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", (key, json.dumps(verdict_to_json(verdict))))
            except sqlite3.Error as error:
                raise self._error(error) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> "VerdictCache":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _error(self, error: Exception) -> StorageError:
        return StorageError(
            f"cannot use the remembered verdicts at {str(self._path)!r} ({error}); free some room, or run `backstory cache clear`"
        )
