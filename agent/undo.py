"""Proposes to undo what the culprit did, in today's code: piece by piece, hunk by hunk, together, and whole.

Each proposal is a three-way merge: base the culprit's version, ours today, theirs the culprit's version with some of its change taken back. So lines
renamed, moved deeper or otherwise edited since keep what was done to them. Where the file has gone or the place cannot be found by merging, the lines
the culprit left, with a little around them, are looked for elsewhere in today's code, indentation aside, and merged there.

What is taken back follows the operators of relifix (Tan and Roychoudhury 2015, "relifix: automated repair of software regressions"), which search
the change that broke the code for the ingredients of its repair: all of a hunk; only the lines it removed (a dropped guard); only the lines it added;
only the lines it changed (the old condition); one changed expression of a line. Then hunks together: neighbours, a whole file, hunks that share
a rare word; and the whole commit, early, since when it passes `repair.minimise` finds what of it is needed in fewer trials.

Tests, documentation and change logs are left as they are: taking them back would hide the fault, not repair it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from math import log2
from pathlib import PurePosixPath

from backstory.agent.pieces import Piece, hunks, put, words_changed
from backstory.agent.relocate import Elsewhere
from backstory.agent.repair import Today, make
from backstory.agent.types import Proposal
from backstory.graph.types import Change, Commit, Evidence, Location, Oid, RepoPath, Span
from backstory.tools.diff import Edit, carried, diff
from backstory.tools.lines import is_binary, join_lines, mixes_line_ends, split_lines
from backstory.tools.merge import merge
from backstory.tools.tokens import tokens

WHOLE_AFTER = 3
"""Parts proposed before the whole: when one of the likeliest parts is enough, nothing larger is tried; past that the whole, minimised, is cheaper."""

LIKELIHOOD_WEIGHT = 3.0
"""How many doublings in size a part at the place of the failure is worth over one that nothing points at."""

PART_COST = {"undo-part": 0.0, "restore-lines": 0.5, "drop-lines": 0.5, "old-lines": 0.5, "one-piece": 1.0, "old-words": 1.5}
"""What each way of taking back less than a hunk costs, in doublings of size: the less it takes back, the more such parts there are."""

NEAR_LINES = 3
"""Distance at which a line of a traceback still points at a hunk."""

WINDOW = 3
"""Neighbouring hunks taken back together, at most; above that it is the whole file."""

RARE_HUNKS = 4
"""A word in the changed lines of so many hunks or fewer ties them together."""

PROSE_SUFFIXES = frozenset({".md", ".rst", ".adoc", ".markdown"})
PROSE_STEMS = frozenset(
    {"authors", "changelog", "changes", "contributors", "history", "license", "news", "readme", "releases", "thanks", "todo"}
)


@dataclass(frozen=True)
class TornFile:
    """One file the culprit changed.

    path: where it is today; where the culprit left it (or removed it) when it is gone. before: None when the culprit made the file; after: None when
    it removed it; today: None when there is none now.
    """

    path: RepoPath
    before: bytes | None
    after: bytes | None
    today: bytes | None

    @property
    def merges(self) -> bool:
        """Whether the change has hunks; else the file appeared, went or is binary, and is taken back as a whole or not at all."""
        return self.before is not None and self.after is not None and not is_binary(self.before) and not is_binary(self.after)

    @cached_property
    def hunks(self) -> tuple[tuple[Piece, ...], ...]:
        """What turns the culprit's version back, over its lines."""
        return tuple(hunks(self.lines, split_lines(self.before or b"", keep_cr=self._mixed))) if self.merges else ()

    @cached_property
    def lines(self) -> list[bytes]:
        return split_lines(self.after or b"", keep_cr=self._mixed)

    @cached_property
    def moves(self) -> list[Edit]:
        """What became of the culprit's lines until today."""
        return diff(self.lines, split_lines(self.today or b"", keep_cr=self._mixed))

    @cached_property
    def _mixed(self) -> bool:
        return mixes_line_ends(self.before or b"", self.after or b"")

    def without(self, pieces: Sequence[Piece]) -> bytes:
        """Return the culprit's version with `pieces` of its change taken back."""
        return join_lines(put(pieces, self.lines), like=self.after or b"", keep_cr=self._mixed)


def torn_files(
    changes: Iterable[Change],
    *,
    culprit: Oid,
    parent: Oid | None,
    base: Oid,
    text: Callable[[Oid, RepoPath], bytes | None],
    path_today: Callable[[Oid, RepoPath], RepoPath | None],
    leave_out: Callable[[RepoPath], bool] = lambda path: False,
) -> list[TornFile]:
    """Return the changed files that may be taken back, in the order of `changes`.

    parent: None for a root. text: a file's bytes at a commit, None when it has none. path_today: the path at `base` of the file that is at a path in
    a commit, None when it is gone. leave_out: tests, generated files; documentation is left out in any case. For a merge, call once per parent with
    `tree_changes`.
    """
    torn: list[TornFile] = []
    for change in changes:
        if leave_out(change.path) or is_prose(change.path):
            continue
        before = text(parent, change.was or change.path) if parent and change.status != "added" else None
        after = text(culprit, change.path) if change.status != "deleted" else None
        path = (path_today(culprit, change.path) if after is not None else None) or change.path
        torn.append(TornFile(path, before, after, text(base, path)))
    return torn


def tree_changes(before: Mapping[RepoPath, Oid], after: Mapping[RepoPath, Oid]) -> list[Change]:
    """Return what changed between two trees, given as blobs by path: paths sorted, a file that moved unchanged counts as removed and added."""
    changes: list[Change] = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old != new:
            changes.append(Change(path, None, "added" if old is None else "deleted" if new is None else "modified", None, new, old))
    return changes


def is_prose(path: RepoPath) -> bool:
    """Return whether a path names documentation or a change log, by its name alone."""
    name = PurePosixPath(path)
    return name.suffix.lower() in PROSE_SUFFIXES or (name.suffix.lower() in ("", ".txt") and name.stem.lower() in PROSE_STEMS)


def undo_proposals(
    torn: Sequence[TornFile],
    *,
    culprit: Commit,
    today: Today,
    elsewhere: Sequence[RepoPath] = (),
    located: Sequence[Location] = (),
    frames: Sequence[tuple[RepoPath, int]] = (),
    dropped: Counter[str] | None = None,
) -> Iterator[Proposal]:
    """Yield ways to take `culprit` back, best tried first: small and likely parts, the whole after a few of them, then the rest.

    elsewhere: today's files in which to look for moved code, nearest first. located: where the fault probably is, today. frames: path and line of
    each frame of the failing traceback, today. dropped: counts parts that cannot be merged, as "conflict". Results may repeat; see `repair.Sieve`.
    """
    maker = _Maker(culprit, today, Elsewhere(elsewhere, today), Counter() if dropped is None else dropped)
    parts = [_Part(file, n, pieces, _likelihood(file, pieces, located, frames)) for file in torn for n, pieces in enumerate(file.hunks)]
    parts += [_Part(file, 0, (), 0.0) for file in torn if not file.merges and file.before is not None]
    selections = sorted(_selections(parts), key=lambda selection: selection.rank)
    made = (proposal for selection in selections if (proposal := maker.part(selection)) is not None)
    yield from islice(made, WHOLE_AFTER)
    yield from maker.whole(torn)
    yield from made


# What to take back -------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """A hunk, or some of its pieces. likelihood: how much points at its place, 0 to 1. No pieces: the whole file is put back."""

    file: TornFile
    number: int
    pieces: tuple[Piece, ...]
    likelihood: float

    @property
    def size(self) -> int:
        whole = (self.file.before or b"").count(b"\n") + (self.file.after or b"").count(b"\n")
        return sum(piece.size for piece in self.pieces) if self.pieces else whole

    @property
    def where(self) -> str:
        """The place in the culprit's version, as a person writes it."""
        if not self.pieces:
            return self.file.path
        first, last = self.pieces[0].start + 1, max(self.pieces[-1].stop, self.pieces[0].start + 1)
        return f"{self.file.path}:{first}" if first == last else f"{self.file.path}:{first}-{last}"


@dataclass(frozen=True)
class _Selection:
    """Parts to take back together. kind: as in PART_COST."""

    kind: str
    parts: tuple[_Part, ...]

    @property
    def rank(self) -> float:
        """Doublings of size, and more for each further hunk; less where the failure points at it. The smallest is tried first."""
        size = sum(part.size for part in self.parts)
        likelihood = max(part.likelihood for part in self.parts)
        return log2(1 + size) + len(self.parts) - 1 + PART_COST[self.kind] - LIKELIHOOD_WEIGHT * likelihood


def _selections(parts: Sequence[_Part]) -> Iterator[_Selection]:
    for part in parts:
        yield _Selection("undo-part", (part,))
        yield from (_Selection(kind, (_Part(part.file, part.number, pieces, part.likelihood),)) for kind, pieces in _less(part))
    for group in _together(parts):
        yield _Selection("undo-part", group)


def _less(part: _Part) -> Iterator[tuple[str, tuple[Piece, ...]]]:
    """Yield less than all of a hunk. Pieces lead back in time, so one that adds restores what the culprit removed."""
    for kind, name in (("add", "restore-lines"), ("remove", "drop-lines"), ("change", "old-lines")):
        of_kind = tuple(piece for piece in part.pieces if piece.kind == kind)
        if 0 < len(of_kind) < len(part.pieces):
            yield name, of_kind
    if len(part.pieces) > 2:
        yield from (("one-piece", (piece,)) for piece in part.pieces)
    for piece in part.pieces:
        yield from (("old-words", (word,)) for word in words_changed(piece, part.file.lines))


def _together(parts: Sequence[_Part]) -> Iterator[tuple[_Part, ...]]:
    """Yield groups of hunks: neighbours in a file, all of a file, and those that share a rare word."""
    by_file: dict[int, list[_Part]] = {}
    for part in parts:
        by_file.setdefault(id(part.file), []).append(part)
    for of_file in by_file.values():
        for size in range(2, min(WINDOW, len(of_file)) + 1):
            yield from (tuple(of_file[i : i + size]) for i in range(len(of_file) - size + 1))
        if len(of_file) > WINDOW and len(by_file) > 1:
            yield tuple(of_file)
    sharing: dict[bytes, list[int]] = {}
    for i, part in enumerate(parts):
        for word in sorted(_words(part)):
            sharing.setdefault(word, []).append(i)
    for members in dict.fromkeys(tuple(members) for members in sharing.values() if 2 <= len(members) <= RARE_HUNKS):
        yield tuple(parts[i] for i in members)


def _words(part: _Part) -> set[bytes]:
    """Return the words that the culprit brought or took, those on both sides of the hunk left out."""
    old = {token.text for piece in part.pieces for line in part.file.lines[piece.start : piece.stop] for token in tokens(line)}
    new = {token.text for piece in part.pieces for line in piece.lines for token in tokens(line)}
    return {word for word in old ^ new if len(word) > 2 and word[:1].isalpha()}


def _likelihood(file: TornFile, pieces: Sequence[Piece], located: Sequence[Location], frames: Sequence[tuple[RepoPath, int]]) -> float:
    """Return how much points at the place a hunk has today: 1 for a frame of the traceback, else the best score of a location there."""
    if file.today is None:
        return 0.0
    moves = file.moves
    span = Span(carried(moves, pieces[0].start) + 1, max(carried(moves, max(pieces[-1].stop - 1, pieces[0].start)), 0) + 1)
    wide = Span(span.first - NEAR_LINES, span.last + NEAR_LINES)
    if any(path == file.path and line in wide for path, line in frames):
        return 1.0
    return max((place.score for place in located if place.path == file.path and place.span.overlaps(span)), default=0.0)


# Taking back -------------------------------------------------------------------------------------------------------------------------------------

_SAYS = {
    "undo-part": "Undo what {commit} did at {where}",
    "restore-lines": "Restore what {commit} removed at {where}",
    "drop-lines": "Drop what {commit} added at {where}",
    "old-lines": "Use the lines from before {commit} at {where}",
    "one-piece": "Undo one change of {commit} at {where}",
    "old-words": "Use the old expression from before {commit} at {where}",
}


@dataclass
class _Maker:
    """Turns selections into proposals. `dropped` counts those that do not merge."""

    culprit: Commit
    today: Today
    elsewhere: Elsewhere
    dropped: Counter[str] = field(default_factory=Counter)

    def part(self, selection: _Selection) -> Proposal | None:
        edits: dict[RepoPath, bytes | None] = {}
        if not all(self._take_back(group, edits) for group in _by_file(selection.parts)):
            self.dropped["conflict"] += 1
            return None
        where = ", ".join(part.where for part in selection.parts)
        return self._make(selection.kind, _SAYS[selection.kind].format(commit=self.culprit.oid[:10], where=where), edits)

    def whole(self, torn: Sequence[TornFile]) -> Iterator[Proposal]:
        """Yield the undoing of everything that can be; then the same, keeping files the culprit added, which later code may need."""
        edits: dict[RepoPath, bytes | None] = {}
        complete = True
        added: list[RepoPath] = []
        for file in torn:
            if file.before is None:
                if file.today is not None and file.today == file.after:
                    added.append(file.path)
                else:
                    complete = complete and file.today is None
                continue
            if not self._take_back_whole(file, edits):
                complete = False
        short = self.culprit.oid[:10]
        title = f"Undo {short}" if complete else f"Undo what still can be undone of {short}"
        if added:
            yield self._make("undo", title, {**edits, **dict.fromkeys(added, None)})
        if edits:
            yield self._make("undo", f"{title}, keeping the files it added" if added else title, edits)

    def _take_back_whole(self, file: TornFile, edits: dict[RepoPath, bytes | None]) -> bool:
        """Add the file's undoing to `edits`, hunk by hunk where it does not merge at once; return whether all of it was."""
        current = edits.get(file.path, file.today)
        if file.merges and current is not None and file.after is not None and file.before is not None:
            merged = merge(file.after, current, file.before)  # the versions as they are: line ends changed by the culprit are undone too
            if merged.clean:
                edits[file.path] = merged.text
                return True
        parts = [_Part(file, n, pieces, 0.0) for n, pieces in enumerate(file.hunks)] or [_Part(file, 0, (), 0.0)]
        done = [self._take_back([part], edits) for part in parts]
        return all(done)

    def _take_back(self, parts: Sequence[_Part], edits: dict[RepoPath, bytes | None]) -> bool:
        """Add the undoing of parts of one file to `edits` (which may hold some already); return False, adding nothing or less, when it conflicts."""
        file = parts[0].file
        current = edits.get(file.path, file.today)
        if not file.merges:
            # A file that appeared, went or is binary: only if nobody touched it since.
            if current != file.after:
                return False
            edits[file.path] = file.before
            return True
        if current is not None and file.after is not None:
            merged = merge(file.after, current, file.without([piece for part in parts for piece in part.pieces]))
            if merged.clean:
                edits[file.path] = merged.text
                return True
        if len(parts) > 1:
            return all(self._take_back([part], edits) for part in parts)
        moved = self.elsewhere.merged(file.lines, parts[0].pieces, edits, first=file.path)
        if moved is None:
            return False
        edits[moved[0]] = moved[1]
        return True

    def _make(self, kind: str, title: str, edits: Mapping[RepoPath, bytes | None]) -> Proposal:
        why = Evidence("undo", self.culprit.oid, f"takes back, in today's code, part of {self.culprit.subject!r}")
        if kind == "undo":
            why = Evidence("undo", self.culprit.oid, f"takes back, in today's code, {self.culprit.subject!r}")
        return make(kind, title, edits, (why,), today=self.today)


def _by_file(parts: Sequence[_Part]) -> list[list[_Part]]:
    groups: dict[int, list[_Part]] = {}
    for part in parts:
        groups.setdefault(id(part.file), []).append(part)
    return list(groups.values())
