"""The history half of the store: commits, changes and hunks as rows.

A commit has a small integer id, given in the order of writing, and it is written after its parents. So ids are dense, a parent's id is always
smaller than its child's, and walking ids downwards is walking the history backwards: what a commit can reach is one pass over a list. Hunks are
packed, one row a commit, because a row for each would make the file several times as large.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

from backstory.graph.encoding import path_bytes, path_text
from backstory.graph.history import Hunks, PathCommit, is_bot
from backstory.graph.store import PARAMETERS_AT_ONCE, Store
from backstory.graph.types import Change, Hunk, Oid, RepoPath, Status

Tier = Literal["paths", "lines"]


@dataclass(frozen=True)
class Skeleton:
    """The shape of all stored history, by commit id; index 0 is not a commit.

    oids: the ids git knows them by. parents: commit ids, in git's order. committed: seconds since 1970.
    """

    oids: Sequence[bytes]
    parents: Sequence[Sequence[int]]
    committed: Sequence[int]


@dataclass(frozen=True)
class MessageRow:
    """A commit's words. authored: seconds since 1970."""

    commit: int
    author: str
    authored: int
    subject: str
    body: str


class FileChange(NamedTuple):
    """One row of `changes`: what a commit (by row id) did to the file at `path`, as `types.Change` says. ordinal: its place in the commit."""

    commit: int
    ordinal: int
    path: RepoPath
    was: RepoPath | None
    status: Status
    blob: Oid | None
    was_blob: Oid | None


class Past:
    """Reads and writes the history of one store. Writers hold the build's lock; ids are cached while writing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._commit_ids: dict[bytes, int] | None = None
        self._path_ids: dict[bytes, int] | None = None

    # --- writing ----------------------------------------------------------------------------------------------------------------------

    def save_commits(self, commits: Sequence[PathCommit]) -> None:
        """Write commits, parents before children, in one transaction; those already there are left alone."""
        commit_ids, path_ids = self._ids()
        commit_rows: list[tuple[object, ...]] = []
        message_rows: list[tuple[object, ...]] = []
        change_rows: list[tuple[object, ...]] = []
        path_rows: list[tuple[object, ...]] = []

        def path_id(path: RepoPath | None) -> int | None:
            if path is None:
                return None
            raw = path_bytes(path)
            if raw not in path_ids:
                path_ids[raw] = len(path_ids) + 1
                path_rows.append((path_ids[raw], raw))
            return path_ids[raw]

        for commit in commits:
            oid = bytes.fromhex(commit.oid)
            if oid in commit_ids:
                continue
            parents = [commit_ids[bytes.fromhex(parent)] for parent in commit.parents]
            number = commit_ids[oid] = len(commit_ids) + 1
            commit_rows.append((number, oid, struct.pack(f"<{len(parents)}I", *parents), storable(commit.committed)))
            message_rows.append((number, commit.author, storable(commit.authored), commit.subject, commit.body))
            for ordinal, change in enumerate(commit.changes):
                change_rows.append(
                    (
                        number,
                        ordinal,
                        path_id(change.path),
                        path_id(change.was),
                        change.status,
                        _raw_oid(change.blob),
                        _raw_oid(change.was_blob),
                    )
                )
        try:
            with self._store.transaction():
                self._store.write("INSERT INTO commits VALUES (?, ?, ?, ?)", commit_rows)
                self._store.write("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", message_rows)
                self._store.write("INSERT INTO paths VALUES (?, ?)", path_rows)
                self._store.write("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)", change_rows)
        except BaseException:
            self._commit_ids = self._path_ids = None  # they name rows that were rolled back
            raise

    def save_hunks(self, rows: Iterable[tuple[int, Sequence[Hunks]]]) -> None:
        """Write the hunks of commits, given by id, in one transaction."""
        packed = [(commit, pack_hunks(hunks)) for commit, hunks in rows]
        with self._store.transaction():
            self._store.write("INSERT OR REPLACE INTO hunks VALUES (?, ?)", packed)

    def mark_complete(self, tip: int, tier: Tier) -> None:
        """Note that everything `tip` can reach has been read for `tier`."""
        with self._store.transaction():
            self._store.write("INSERT OR REPLACE INTO tips VALUES (?, ?)", [(tip, tier)])

    # --- reading ----------------------------------------------------------------------------------------------------------------------

    def commit_id(self, oid: Oid) -> int | None:
        """Return the row id of a commit, None when it is not stored."""
        rows = self._store.rows("SELECT id FROM commits WHERE oid = ?", (bytes.fromhex(oid),))
        return cast(int, rows[0][0]) if rows else None

    def is_complete(self, tip: int, tier: Tier) -> bool:
        """Return whether `mark_complete` was called for exactly this tip."""
        return bool(self._store.rows("SELECT 1 FROM tips WHERE commit_id = ? AND tier = ?", (tip, tier)))

    def skeleton(self) -> Skeleton:
        """Return the shape of everything stored."""
        rows = cast("list[tuple[bytes, bytes, int]]", self._store.rows("SELECT oid, parents, committed FROM commits ORDER BY id"))
        unpack = [struct.Struct(f"<{count}I").unpack for count in range(3)]
        parents: list[Sequence[int]] = [()]
        parents.extend(unpack[len(raw) >> 2](raw) if len(raw) <= 8 else struct.unpack(f"<{len(raw) >> 2}I", raw) for _, raw, _ in rows)
        return Skeleton(oids=[b"", *(row[0] for row in rows)], parents=parents, committed=[0, *(row[2] for row in rows)])

    def frontier(self) -> list[Oid]:
        """Return the stored commits that no stored commit has as a parent: together they reach all that is stored."""
        skeleton = self.skeleton()
        has_child = bytearray(len(skeleton.oids))
        for parents in skeleton.parents:
            for parent in parents:
                has_child[parent] = 1
        return [Oid(oid.hex()) for oid, covered in zip(skeleton.oids[1:], has_child[1:], strict=True) if not covered]

    def with_hunks(self) -> set[int]:
        """Return the ids of the commits whose lines have been read."""
        return {cast(int, row[0]) for row in self._store.rows("SELECT commit_id FROM hunks")}

    def change_counts(self) -> dict[int, int]:
        """Return the number of changes of each commit that has any."""
        return dict(cast("list[tuple[int, int]]", self._store.rows("SELECT commit_id, count(*) FROM changes GROUP BY commit_id")))

    def messages(self) -> Iterator[MessageRow]:
        """Yield the words of every stored commit, oldest row first."""
        for row in self._store.rows("SELECT commit_id, author, authored, subject, body FROM messages ORDER BY commit_id"):
            yield MessageRow(*cast("tuple[int, str, int, str, str]", row))

    def messages_between(self, low: int, high: int) -> list[MessageRow]:
        """Return the words of the commits from `low` to `high`, oldest row first."""
        rows = self._store.rows(
            "SELECT commit_id, author, authored, subject, body FROM messages WHERE commit_id BETWEEN ? AND ? ORDER BY commit_id",
            (low, high),
        )
        return [MessageRow(*row) for row in cast("list[tuple[int, str, int, str, str]]", rows)]

    def messages_with(self, words: str) -> list[MessageRow]:
        """Return the words of the commits whose message holds `words` (letters and spaces), in any ASCII case, oldest row first."""
        rows = self._store.rows(
            "SELECT commit_id, author, authored, subject, body FROM messages WHERE body LIKE ?1 OR subject LIKE ?1 ORDER BY commit_id",
            (f"%{words}%",),
        )
        return [MessageRow(*row) for row in cast("list[tuple[int, str, int, str, str]]", rows)]

    def message(self, commit: int) -> MessageRow:
        """Return the words of one commit."""
        rows = self._store.rows("SELECT commit_id, author, authored, subject, body FROM messages WHERE commit_id = ?", (commit,))
        return MessageRow(*cast("tuple[int, str, int, str, str]", rows[0]))

    def changes(self, commit: int) -> tuple[Change, ...]:
        """Return what one commit changed, with hunks where they were read, in git's order."""
        rows = self._store.rows(
            "SELECT p.path, w.path, c.status, c.blob, c.was_blob FROM changes c JOIN paths p ON p.id = c.path_id"
            " LEFT JOIN paths w ON w.id = c.was_id WHERE c.commit_id = ? ORDER BY c.ordinal",
            (commit,),
        )
        packed = self._store.rows("SELECT payload FROM hunks WHERE commit_id = ?", (commit,))
        hunks = unpack_hunks(cast(bytes, packed[0][0]), len(rows)) if packed else [None] * len(rows)
        return tuple(
            Change(
                path=path_text(path),
                was=path_text(was) if was is not None else None,
                status=status,
                hunks=lines,
                blob=_oid(blob),
                was_blob=_oid(was_blob),
            )
            for (path, was, status, blob, was_blob), lines in zip(
                cast("list[tuple[bytes, bytes | None, Status, bytes | None, bytes | None]]", rows), hunks, strict=True
            )
        )

    def changes_at(self, path: RepoPath) -> list[FileChange]:
        """Return every change of a file under exactly this name (a deletion included), oldest row first."""
        return self._file_changes("c.path_id = (SELECT id FROM paths WHERE path = ?)", path_bytes(path))

    def changes_in(self, commit: int) -> list[FileChange]:
        """Return the changes of one commit, in git's order."""
        return self._file_changes("c.commit_id = ?", commit)

    def hunks_at(self, changes: Sequence[FileChange]) -> dict[FileChange, Hunks]:
        """Return the hunks of some changes; None where they were not read."""
        commits = sorted({change.commit for change in changes})
        payloads: dict[int, bytes] = {}
        for start in range(0, len(commits), PARAMETERS_AT_ONCE):
            part = commits[start : start + PARAMETERS_AT_ONCE]
            query = f"SELECT commit_id, payload FROM hunks WHERE commit_id IN ({','.join('?' * len(part))})"
            payloads.update(cast("list[tuple[int, bytes]]", self._store.rows(query, part)))
        return {change: unpack_change(payloads.get(change.commit, b""), change.ordinal) for change in changes}

    def changes_between(self, low: int, high: int) -> dict[int, list[tuple[FileChange, bytes]]]:
        """Return the changes of the commits from `low` to `high`, by commit, each with its commit's packed hunks (for `unpack_change`)."""
        payloads = dict(
            cast(
                "list[tuple[int, bytes]]",
                self._store.rows("SELECT commit_id, payload FROM hunks WHERE commit_id BETWEEN ? AND ?", (low, high)),
            )
        )
        found: dict[int, list[tuple[FileChange, bytes]]] = {}
        for change in self._file_changes("c.commit_id BETWEEN ? AND ?", low, high):
            found.setdefault(change.commit, []).append((change, payloads.get(change.commit, b"")))
        return found

    def _file_changes(self, condition: str, *values: object) -> list[FileChange]:
        rows = self._store.rows(
            "SELECT c.commit_id, c.ordinal, p.path, w.path, c.status, c.blob, c.was_blob FROM changes c JOIN paths p ON p.id = c.path_id"
            f" LEFT JOIN paths w ON w.id = c.was_id WHERE {condition} ORDER BY c.commit_id, c.ordinal",
            values,
        )
        return [
            FileChange(commit, ordinal, path_text(path), None if was is None else path_text(was), status, _oid(blob), _oid(was_blob))
            for commit, ordinal, path, was, status, blob, was_blob in cast(
                "list[tuple[int, int, bytes, bytes | None, Status, bytes | None, bytes | None]]", rows
            )
        ]

    def change_count(self, commit: int) -> int:
        """Return the number of changes of one commit."""
        return cast(int, self._store.rows("SELECT count(*) FROM changes WHERE commit_id = ?", (commit,))[0][0])

    def at_most(self, changes: int, commits: Sequence[int]) -> list[int]:
        """Return those of `commits` with at most so many changes, in their order."""
        over: set[int] = set()
        for start in range(0, len(commits), PARAMETERS_AT_ONCE):
            part = commits[start : start + PARAMETERS_AT_ONCE]
            query = f"SELECT commit_id FROM changes WHERE ordinal = ? AND commit_id IN ({','.join('?' * len(part))})"
            over.update(cast(int, row[0]) for row in self._store.rows(query, [changes, *part]))  # the first change too many
        return [commit for commit in commits if commit not in over]

    def of_people(self, commits: Sequence[int]) -> list[int]:
        """Return those of `commits` that no bot wrote, in their order."""
        bots: set[int] = set()
        for start in range(0, len(commits), PARAMETERS_AT_ONCE):
            part = commits[start : start + PARAMETERS_AT_ONCE]
            query = f"SELECT commit_id, author FROM messages WHERE commit_id IN ({','.join('?' * len(part))})"
            bots.update(cast(int, row[0]) for row in self._store.rows(query, part) if is_bot(cast(str, row[1])))
        return [commit for commit in commits if commit not in bots]

    def changed_paths(self, commits: Sequence[int]) -> list[tuple[int, RepoPath]]:
        """Return (commit, path after the change) of every change of `commits`, by commit and in git's order."""
        found: list[tuple[int, RepoPath]] = []
        for start in range(0, len(commits), PARAMETERS_AT_ONCE):
            part = commits[start : start + PARAMETERS_AT_ONCE]
            rows = self._store.rows(
                "SELECT c.commit_id, p.path FROM changes c JOIN paths p ON p.id = c.path_id"
                f" WHERE c.commit_id IN ({','.join('?' * len(part))}) ORDER BY c.commit_id, c.ordinal",
                part,
            )
            found.extend((commit, path_text(path)) for commit, path in cast("list[tuple[int, bytes]]", rows))
        return found

    def paths_between(self, low: int, high: int) -> list[tuple[int, int]]:
        """Return (commit, path id) of every change of the commits from `low` to `high`, by commit and in git's order."""
        rows = self._store.rows(
            "SELECT commit_id, path_id FROM changes WHERE commit_id BETWEEN ? AND ? ORDER BY commit_id, ordinal", (low, high)
        )
        return cast("list[tuple[int, int]]", rows)

    def all_changed_paths(self) -> list[tuple[int, int]]:
        """Return (commit, path id) of every stored change, by commit."""
        return cast("list[tuple[int, int]]", self._store.rows("SELECT commit_id, path_id FROM changes ORDER BY commit_id, ordinal"))

    def paths(self) -> dict[int, RepoPath]:
        """Return every path that ever was, by path id."""
        return {number: path_text(path) for number, path in cast("list[tuple[int, bytes]]", self._store.rows("SELECT id, path FROM paths"))}

    def commits_touching(self, path: RepoPath) -> list[int]:
        """Return the commits with a change under exactly this name, oldest row first."""
        rows = self._store.rows(
            "SELECT commit_id FROM changes WHERE path_id = (SELECT id FROM paths WHERE path = ?) ORDER BY commit_id", (path_bytes(path),)
        )
        return [cast(int, row[0]) for row in rows]

    def rename_limited(self, limit: int) -> list[int]:
        """Return the commits in which git looked for exact renames only: those left with more pairs of added and deleted files than `limit` squared."""
        rows = self._store.rows(
            "SELECT commit_id FROM changes WHERE status IN ('added', 'deleted') GROUP BY commit_id"
            " HAVING sum(status = 'added') * sum(status = 'deleted') > ? ORDER BY commit_id",
            (limit * limit,),
        )
        return [cast(int, row[0]) for row in rows]

    def renames(self) -> list[tuple[int, RepoPath, RepoPath]]:
        """Return (commit, old path, new path) of every stored rename, oldest row first."""
        rows = self._store.rows(
            "SELECT c.commit_id, w.path, p.path FROM changes c JOIN paths p ON p.id = c.path_id JOIN paths w ON w.id = c.was_id"
            " WHERE c.was_id IS NOT NULL ORDER BY c.commit_id, c.ordinal"
        )
        return [(commit, path_text(was), path_text(path)) for commit, was, path in cast("list[tuple[int, bytes, bytes]]", rows)]

    def _ids(self) -> tuple[dict[bytes, int], dict[bytes, int]]:
        if self._commit_ids is None or self._path_ids is None:
            self._commit_ids = dict(cast("list[tuple[bytes, int]]", self._store.rows("SELECT oid, id FROM commits")))
            self._path_ids = dict(cast("list[tuple[bytes, int]]", self._store.rows("SELECT path, id FROM paths")))
        return self._commit_ids, self._path_ids


def pack_hunks(changes: Sequence[Hunks]) -> bytes:
    """Return the hunks of a commit's changes as 32-bit numbers: for each change 0 when they were not read, else 1 + how many and four a hunk."""
    if all(hunks is None for hunks in changes):
        return b""
    numbers: list[int] = []
    for hunks in changes:
        numbers.append(0 if hunks is None else 1 + len(hunks))
        for hunk in hunks or ():
            numbers += (hunk.old_first, hunk.old_count, hunk.new_first, hunk.new_count)
    return struct.pack(f"<{len(numbers)}I", *numbers)


def unpack_hunks(payload: bytes, changes: int) -> list[Hunks]:
    """Return what `pack_hunks` packed, for a commit with that many changes.

    >>> unpack_hunks(pack_hunks([None, (Hunk(1, 0, 2, 1),), ()]), 3)
    [None, (Hunk(old_first=1, old_count=0, new_first=2, new_count=1),), ()]
    """
    if not payload:
        return [None] * changes
    numbers = struct.unpack(f"<{len(payload) >> 2}I", payload)
    found: list[Hunks] = []
    place = 0
    for _ in range(changes):
        count, place = numbers[place], place + 1
        if count == 0:
            found.append(None)
            continue
        end = place + 4 * (count - 1)
        found.append(tuple(Hunk(*numbers[start : start + 4]) for start in range(place, end, 4)))
        place = end
    return found


def unpack_change(payload: bytes, ordinal: int) -> Hunks:
    """Return the hunks of one change of a commit out of what `pack_hunks` packed.

    >>> unpack_change(pack_hunks([None, (Hunk(1, 0, 2, 1),), ()]), 1)
    (Hunk(old_first=1, old_count=0, new_first=2, new_count=1),)
    """
    numbers = hunk_numbers(payload, ordinal)
    return None if numbers is None else tuple(Hunk(*four) for four in numbers)


def hunk_numbers(payload: bytes, ordinal: int) -> list[tuple[int, int, int, int]] | None:
    """Return what `unpack_change` does, each hunk as its four numbers: making a million values of them costs more than reading them."""
    if not payload:
        return None
    place = 0
    for _ in range(ordinal):
        (count,) = _NUMBER.unpack_from(payload, place)
        place += 4 + 16 * max(0, count - 1)
    (count,) = _NUMBER.unpack_from(payload, place)
    if count == 0:
        return None
    return cast("list[tuple[int, int, int, int]]", list(_HUNK.iter_unpack(payload[place + 4 : place + 4 + 16 * (count - 1)])))


_NUMBER = struct.Struct("<I")
_HUNK = struct.Struct("<4I")


def storable(seconds: int) -> int:
    """Return a time stamp that fits SQLite's 64 bits; a forged commit may claim any number."""
    return max(-(2**62), min(2**62, seconds))


def _raw_oid(oid: Oid | None) -> bytes | None:
    return None if oid is None else bytes.fromhex(oid)


def _oid(raw: bytes | None) -> Oid | None:
    return None if raw is None else Oid(raw.hex())
