"""Which functions and classes a commit touched: the symbol half of `touched`, made when first asked for.

A commit's stored hunks say which lines it changed, and outlines say whose lines these are. Only the innermost definition around a line counts, so
a class is touched where its own lines are, not by every change of a method. `symbols_touched` says it under the names of then, by the outlines of
the two versions of each file. Parsing both versions of every file of every commit would cost more than all the rest of the graph, so it is done for
the commits somebody asks about, and kept by commit. `Lasting` says it of the symbols there are today, for which today's outlines are enough: what a
commit wrote is found there by how the version it made differs from today's, a hundred times cheaper than parsing.
"""

import json
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from backstory.errors import DamagedStore
from backstory.graph.code import cut_lines
from backstory.graph.follow import Follower
from backstory.graph.hunks import new_lines, old_lines, traced_back
from backstory.graph.languages import language_of, table_version
from backstory.graph.outlines import Defined
from backstory.graph.past import FileChange
from backstory.graph.store import Store
from backstory.graph.types import Hunk, Oid, RepoPath, Span, SymbolId

KIND = "symbols"
FILES = 50  # a commit over this many source files touches no symbol in particular
VERSION = "1"


def version() -> str:
    """Return what kept answers are keyed by."""
    return f"{VERSION}.{table_version()}"


class SymbolChange(NamedTuple):
    """What a commit did to a symbol: path and qualified name after it, or before it when it was removed; added, removed: lines of its own."""

    path: RepoPath
    qualname: str
    kind: Literal["added", "edited", "removed"]
    added: int
    removed: int


def symbols_touched(follower: Follower, store: Store, commits: Iterable[tuple[Oid, int]]) -> dict[Oid, tuple[SymbolChange, ...]]:
    """Return what each commit (given with its row id) did to symbols, by file and then by position; empty where it changed too many files.

    Raises StorageError when what is stored is damaged.
    """
    wanted = dict(commits)
    found = {Oid(key.hex()): _unpack(payload) for key, payload in store.derived(KIND, map(bytes.fromhex, wanted), version()).items()}
    new = {oid: tuple(_changes(follower, number)) for oid, number in wanted.items() if oid not in found}
    follower.outlines.save()
    if new:
        store.save_derived(KIND, version(), ((bytes.fromhex(oid), _pack(changes)) for oid, changes in new.items()))
    return {oid: found[oid] if oid in found else new[oid] for oid in wanted}


@dataclass
class Lasting:
    """Tells which of today's symbols commits changed. today: the blobs of today's files."""

    follower: Follower
    today: Mapping[RepoPath, Oid]
    _cuts: dict[RepoPath, "_Cut"] = field(default_factory=dict)

    def changed(self, commit: int) -> set[SymbolId]:
        """Return the symbols of today whose own lines a commit, given by row id, wrote or took something out of.

        Lines that were rewritten since count for what stands in their place; what is gone since, for nothing.
        """
        position = self.follower.positions[commit]
        found: set[SymbolId] = set()
        for change in self.follower.past.changes_in(commit):
            path = self.follower.lineage.today(change.path, position)
            if path is not None and change.blob is not None and change.status != "type_changed" and language_of(path) is not None:
                found |= self._of_file(path, change.blob, self.follower.hunks(change) or ())
        return found

    def _of_file(self, path: RepoPath, then: Oid, hunks: Sequence[Hunk]) -> set[SymbolId]:
        if path not in self.today or not hunks:
            return set()
        cut = self._cut(path)
        since = self.follower.mirror.hunks(self.today[path], then) if cut.names else None
        if since is None:
            return set()
        owners: set[int] = set()
        for hunk in hunks:
            if hunk.new_count:
                span = traced_back(since, new_lines(hunk))
                owners |= cut.owners(span) if span is not None else set()
            else:  # what was taken out stood in what both its neighbours are in
                before, after = (traced_back(since, Span(line, line)) for line in (hunk.new_first, hunk.new_first + 1))
                owners |= cut.owners(before) & cut.owners(after) if before is not None and after is not None else set()
        return {SymbolId(f"{path}:{cut.names[owner]}") for owner in owners}

    def _cut(self, path: RepoPath) -> "_Cut":
        if path not in self._cuts:
            rows = self.follower.outlines.of(self.today[path], path)
            self._cuts[path] = _Cut(
                [row.qualname for row in rows], *cut_lines([row.span.first for row in rows], [row.span.last for row in rows])
            )
        return self._cuts[path]


class _Cut(NamedTuple):
    """A file cut where its innermost definition changes. names: qualified names of definitions; begins, holders: as `cut_lines` gives them."""

    names: Sequence[str]
    begins: Sequence[int]
    holders: Sequence[int]

    def owners(self, span: Span) -> set[int]:
        """Return the definitions that are innermost at some line of a span."""
        first = bisect_right(self.begins, span.first) - 1
        return {owner for owner in self.holders[first : bisect_right(self.begins, span.last)] if owner >= 0}


def _changes(follower: Follower, commit: int) -> list[SymbolChange]:
    changes = [change for change in follower.past.changes_in(commit) if language_of(change.path) is not None]
    if len(changes) > FILES:
        return []
    return [found for change in changes for found in _of_file(follower, change)]


def _of_file(follower: Follower, change: FileChange) -> list[SymbolChange]:
    old_path = change.was or change.path
    now = follower.outlines.of(change.blob, change.path) if change.blob is not None else ()
    then = follower.outlines.of(change.was_blob, old_path) if change.was_blob is not None else ()
    if change.blob is None or change.was_blob is None:
        size = {row.qualname: row.span.last - row.span.first + 1 for row in (*now, *then)}
        return [SymbolChange(change.path, row.qualname, "added", size[row.qualname], 0) for row in now] + [
            SymbolChange(change.path, row.qualname, "removed", 0, size[row.qualname]) for row in then
        ]
    hunks = follower.hunks(change)
    if not hunks:
        return []
    added = _counted(now, [new_lines(hunk) for hunk in hunks if hunk.new_count])
    removed = _counted(then, [old_lines(hunk) for hunk in hunks if hunk.old_count])
    before, after = {row.qualname for row in then}, {row.qualname for row in now}
    found = [
        SymbolChange(change.path, name, "edited" if name in before else "added", added.get(name, 0), removed.get(name, 0))
        for name in (row.qualname for row in now)
        if name in added or name in removed
    ]
    return found + [
        SymbolChange(old_path, row.qualname, "removed", 0, removed.get(row.qualname, 0)) for row in then if row.qualname not in after
    ]


def _counted(rows: Sequence[Defined], lines: Sequence[Span]) -> dict[str, int]:
    """Return how many of some lines each definition holds without those inside it."""
    begins, owners = cut_lines([row.span.first for row in rows], [row.span.last for row in rows])
    counts: dict[str, int] = {}
    for span in lines:
        for line in range(span.first, span.last + 1):
            owner = owners[bisect_right(begins, line) - 1]
            if owner >= 0:
                counts[rows[owner].qualname] = counts.get(rows[owner].qualname, 0) + 1
    return counts


def _pack(changes: Sequence[SymbolChange]) -> bytes:
    return zlib.compress(json.dumps(changes, separators=(",", ":")).encode("ascii"))


def _unpack(payload: bytes) -> tuple[SymbolChange, ...]:
    try:
        return tuple(SymbolChange(*row) for row in json.loads(zlib.decompress(payload)))
    except (ValueError, TypeError, zlib.error) as error:
        raise DamagedStore(f"a stored list of changed symbols is damaged ({error}); run `backstory cache clear` and try again") from error
