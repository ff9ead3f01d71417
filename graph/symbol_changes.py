"""Which functions and classes a commit touched: the symbol half of `touched`, made when first asked for and kept by commit.

A commit's stored hunks say which lines it changed; the outlines of the two versions of each file say whose lines these are. Only the innermost
definition around a line counts, so a class is touched where its own lines are, not by every change of a method. Parsing both versions of every file
of every commit would cost more than all the rest of the graph, so it is done for the commits somebody asks about.
"""

import json
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from backstory.errors import StorageError
from backstory.graph.code import cut_lines
from backstory.graph.follow import Follower
from backstory.graph.hunks import new_lines, old_lines
from backstory.graph.languages import language_of, table_version
from backstory.graph.outlines import Defined
from backstory.graph.past import FileChange
from backstory.graph.store import Store
from backstory.graph.types import Oid, RepoPath, Span

KIND = "symbols"
FILES = 50  # a commit over this many source files touches no symbol in particular
VERSION = "1"


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
    version = f"{VERSION}.{table_version()}"
    found = {Oid(key.hex()): _unpack(payload) for key, payload in store.derived(KIND, map(bytes.fromhex, wanted), version).items()}
    new = {oid: tuple(_changes(follower, number)) for oid, number in wanted.items() if oid not in found}
    follower.outlines.save()
    if new:
        store.save_derived(KIND, version, ((bytes.fromhex(oid), _pack(changes)) for oid, changes in new.items()))
    return {oid: found[oid] if oid in found else new[oid] for oid in wanted}


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
        raise StorageError(f"a stored list of changed symbols is damaged ({error}); run `backstory cache clear` and try again") from error
