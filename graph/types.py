"""The values the whole project speaks in: places in the code, commits, changes and edges.

All are frozen and hold no handle to a repository, so they can be stored, compared, sent to a worker or printed. Lines are 1-based and spans
inclusive everywhere. Paths are the repository's own, with `/` between parts; bytes that are not UTF-8 are kept as surrogate escapes
(`os.fsdecode`), so a path survives the round trip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NewType

Oid = NewType("Oid", str)
"""A git object id: 40 lower-case hexadecimal digits."""

RepoPath = NewType("RepoPath", str)
"""A path inside the repository, `/` between parts, never absolute and never with `..`."""

SymbolId = NewType("SymbolId", str)
"""`path:qualname`, for example `src/app.py:Server.close`; a second definition of one name gets `#2`, a third `#3`."""

SymbolKind = Literal["class", "function", "method"]

Status = Literal["added", "modified", "deleted", "renamed", "type_changed"]

EdgeKind = Literal[
    "contains",
    "imports",
    "calls",
    "inherits",
    "overrides",
    "tests",
    "parent",
    "touched",
    "co_changed",
    "introduced",
    "fixed",
    "reverts",
    "mentions",
    "renamed_from",
    "authored",  # snapshots keep a kind by its place in this list: new ones go to its end
]


@dataclass(frozen=True, order=True)
class Span:
    """Lines `first` to `last`, 1-based and inclusive."""

    first: int
    last: int

    def __contains__(self, line: object) -> bool:
        return isinstance(line, int) and self.first <= line <= self.last

    def overlaps(self, other: "Span") -> bool:
        """Return whether the two spans share a line."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Symbol:
    """One definition in one blob: a snapshot, not an identity through time.

    span covers the whole definition with its decorators; signature is its first line(s) up to the body, white space folded; doc is the first
    paragraph of its documentation, or "".
    """

    id: SymbolId
    kind: SymbolKind
    path: RepoPath
    qualname: str
    span: Span
    signature: str
    doc: str
    blob: Oid


@dataclass(frozen=True)
class Hunk:
    """One changed stretch, as git prints it with no context: where a count is 0, the line is the one *before* the place."""

    old_first: int
    old_count: int
    new_first: int
    new_count: int


@dataclass(frozen=True)
class Change:
    """What one commit did to one file.

    path: where the file is after the commit, or was before it when status is "deleted".
    was: the path before the commit when it differs, else None.
    hunks: None when they were not read (binary, a giant commit, or the path tier alone).
    """

    path: RepoPath
    was: RepoPath | None
    status: Status
    hunks: tuple[Hunk, ...] | None
    blob: Oid | None = None
    was_blob: Oid | None = None

    @property
    def size(self) -> int:
        """Lines added and removed together; 0 when the hunks were not read."""
        return sum(hunk.old_count + hunk.new_count for hunk in self.hunks or ())


@dataclass(frozen=True)
class Commit:
    """A commit with what it changed.

    when: author date, aware, UTC. changes: against the only parent; empty for a merge (its own work, if any, is read on demand) and for the
    path-less; against the empty tree for a root.
    """

    oid: Oid
    parents: tuple[Oid, ...]
    author: str
    when: datetime
    subject: str
    body: str
    changes: tuple[Change, ...] = ()

    @property
    def is_merge(self) -> bool:
        return len(self.parents) > 1


@dataclass(frozen=True)
class Evidence:
    """Why something is believed.

    kind: what sort of reason ("path", "traceback", "identifier", "text", "past", "neighbour", "recent", ...).
    ref: what it points at: a commit id, a symbol id, a path, or the word found in the issue.
    note: one short sentence for a person.
    """

    kind: str
    ref: str
    note: str


@dataclass(frozen=True)
class Edge:
    """A derived relation; src and dst are node ids (a commit id, a path, a symbol id, or `#123` for an issue number)."""

    kind: EdgeKind
    src: str
    dst: str
    weight: float = 1.0
    evidence: str = ""


@dataclass(frozen=True)
class Location:
    """A place where the code probably has to change. score is in 0..1, best first; symbol is None for a whole file or a module's own lines."""

    path: RepoPath
    span: Span
    symbol: SymbolId | None
    score: float
    why: tuple[Evidence, ...]


Report = Callable[[str, int, int | None], None]
"""How long work tells where it is: phase name, units done, units in all (None when unknown)."""


def silent(phase: str, done: int, total: int | None) -> None:
    """Report to nobody."""
