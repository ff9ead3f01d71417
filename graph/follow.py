"""Follows one place back through the past: a function, a class or a span of lines, through edits, renames and moves between files.

Where a place stands is known in one version of its file, the one at the pinned commit. A commit that changed the file leads from a version to the
one before it; where its stored hunks pass the place by, the place only shifts and nothing is read. Where they come near, the two versions are
parsed (kept by blob id), and the place is looked for in the older one: by its qualified name, else among the definitions that the commit took
away, in this file and then in the others it changed, by how many words their bodies share. So a thousand versions cost a few parses, and what is
claimed about a rename or a move carries the share of words it rests on.

A history is wanted whole, so what branches did is put off until the version they began with is reached: its hunks tell then, going on from there, whether they
pass the place by, and most tips of branches are never read.

Places are known by blob, not by commit: a version that two branches share is one, and what a merge made of two branches is a version whose place
is found again by its text or its name. A merge that itself edits the place is therefore not told as a step. Git's own `log -L` follows spans of
one file in this way and neither parses nor leaves the file (git documentation, git-log); taking a vanished definition with a similar body as the
earlier name is the body-similarity rule of origin analysis (Godfrey and Zou 2005, IEEE TSE 31(2)).
"""

import json
import re
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heappop, heappush
from itertools import islice
from operator import itemgetter
from typing import Literal, NamedTuple, TypeAlias

from backstory.errors import DamagedStore
from backstory.graph.history import Hunks
from backstory.graph.hunks import Inside, inside, near, nearby, new_lines, old_lines, shifted_back, traced_back, turned
from backstory.graph.languages import language_of, table_version
from backstory.graph.lineage import Lineage
from backstory.graph.mirror import Mirror
from backstory.graph.outlines import Defined, Outlines
from backstory.graph.past import FileChange, Past
from backstory.graph.types import Hunk, Oid, RepoPath, Span, Status
from backstory.graph.words import tokens

StepKind = Literal["added", "edited", "renamed", "moved", "removed"]

# Two bodies are one definition when this share of their words is common; less is asked of one that keeps its last name, as git asks half of a file.
SAME_BODY = 0.6
SAME_NAMED_BODY = 0.4
# A body of fewer words than this is like many others: it must keep its name or nearly all of its words.
FEW_WORDS = 12
SAME_FEW_WORDS = 0.85
# A line stands for another when half of their words are common.
SAME_LINE = 0.5
# A commit over this many files moves nothing that can be told from what it sweeps over.
MOVE_FILES = 100
# Versions read before the place began, to see whether it was there once and taken out.
REMOVALS_LOOKED_FOR = 40
# Versions older than the commit that put a span of lines there, read without finding them there too. Of 1,170 such versions, asked about 100 lines of
# sympy, 5 held them, each among the first four read (docs/log.md, 2026-11-27).
OLDER_LOOKED_AT = 10
# A moved stretch of lines must be at least this long to be told from boilerplate; a shorter one is looked for with as much of what stands around it.
MOVED_CHARS = 60
CONTEXT_CHARS = 200

_FILE_STEPS: Mapping[Status, StepKind] = {"added": "added", "deleted": "removed", "renamed": "moved"}


class Step(NamedTuple):
    """What one commit did to a place.

    path, span, name: where it stands after the commit, or, when it was removed, stood before it; span is None for a whole file, name "" for what is
    no symbol. was_path, was_span, was_name: where it stood before, None where it was not or, for path and name, where nothing differs.
    added, removed: lines inside the place.
    """

    commit: Oid
    kind: StepKind
    path: RepoPath
    span: Span | None
    name: str
    was_path: RepoPath | None
    was_span: Span | None
    was_name: str | None
    added: int
    removed: int
    evidence: str


WHITE_SPACE = "only white space differs"
HISTORY_KIND = "history"
NEWLINE = b"\n"
FOLLOW_VERSION = "4"
"""Raise it whenever the same past would be told otherwise: what is kept is told anew then."""


def history_version() -> str:
    """Return what kept histories are keyed by: how places are followed, and how files are parsed."""
    return f"{FOLLOW_VERSION}.{table_version()}"


def pack_steps(steps: Sequence[Step]) -> bytes:
    """Return steps as bytes; `unpack_steps` is the inverse."""
    rows = [[*step[:3], _ends(step[3]), step[4], step[5], _ends(step[6]), *step[7:]] for step in steps]
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode("ascii"))


def unpack_steps(payload: bytes) -> list[Step]:
    """Return the steps that were packed. Raises StorageError when the payload is damaged."""
    try:
        return [
            Step(commit, kind, path, _span(span), name, was_path, _span(was_span), was_name, added, removed, evidence)
            for commit, kind, path, span, name, was_path, was_span, was_name, added, removed, evidence in json.loads(
                zlib.decompress(payload)
            )
        ]
    except (ValueError, TypeError, zlib.error) as error:
        raise DamagedStore(f"a stored history is damaged ({error}); run `backstory cache clear` and try again") from error


class Place(NamedTuple):
    """Where a place is in one version. name: the qualified name of a symbol, "" for a span; body: its lines there, without the last newline."""

    span: Span
    name: str
    body: bytes


@dataclass
class Follower:
    """What following reads: stored changes, blobs, outlines, and which commits may be seen. positions: place in the order by row id;
    numbers: row ids by commit.
    """

    past: Past
    mirror: Mirror
    lineage: Lineage
    positions: Mapping[int, int]
    outlines: Outlines
    numbers: Mapping[Oid, int]
    _changes: dict[RepoPath, list[tuple[int, FileChange]]] = field(default_factory=dict)
    _hunks: dict[FileChange, Hunks] = field(default_factory=dict)

    def follow(self, path: RepoPath, blob: Oid, span: Span, name: str = "", *, newest: int | None = None) -> list[Step]:
        """Return the steps of a place in the file at `path`, whose contents are `blob`, newest first.

        name: a symbol's qualified name. newest: go no further back once that many are found; fewer means that these are all.
        """
        if newest is None:
            steps = _WholeWalk(self, path, blob, span, name).all_steps()
        else:
            steps = list(islice(_Walk(self, path, blob, span, name).steps(after=-1), newest))
        self.outlines.save()
        return steps

    def last_writer(self, path: RepoPath, blob: Oid, span: Span, *, before: Oid) -> Step | None:
        """Return the step that last wrote lines of a version: the newest, before a commit, that changed or added some of them.

        path, blob: the file as the commit found it. Moves are followed and are no writing.
        """
        walk = _Walk(self, path, blob, span, "")
        return next((step for step in walk.steps(after=self.positions[self.numbers[before]]) if step.kind != "moved" or step.added), None)

    def changes_of(self, path: RepoPath, after: int) -> list[tuple[int, FileChange]]:
        """Return the changes of the file that was at `path` right before position `after`, under all its names, each with its position."""
        owner = self.lineage.today(path, after + 1)
        if (owner or path) not in self._changes:
            found: list[tuple[int, FileChange]] = []
            for name in self.lineage.names(owner) if owner is not None else [path]:
                for change in self.past.changes_at(name):
                    position = self.positions.get(change.commit)
                    if position is not None and (owner is None or self.lineage.today(name, position) == owner):
                        found.append((position, change))
            self._changes[owner or path] = found
            self._hunks.update(self.past.hunks_at([change for _, change in found]))
        return [(position, change) for position, change in self._changes[owner or path] if position > after]

    def hunks(self, change: FileChange) -> Hunks:
        """Return a change's hunks as stored, or as the two blobs give them where a giant commit is known by its paths only."""
        if change not in self._hunks:
            self._hunks.update(self.past.hunks_at([change]))
        if self._hunks[change] is None and change.blob is not None and change.was_blob is not None:
            self._hunks[change] = self.mirror.hunks(change.was_blob, change.blob)
        return self._hunks[change]

    def follow_file(self, path: RepoPath) -> list[Step]:
        """Return the steps of the whole file at `path`, newest first."""
        return [self._file_step(change, self._hunks[change]) for _, change in sorted(self.changes_of(path, -1), key=lambda row: row[0])]

    def oid(self, change: FileChange) -> Oid:
        """Return the commit of a change."""
        return self._oids[change.commit]

    @cached_property
    def _oids(self) -> dict[int, Oid]:
        return {number: oid for oid, number in self.numbers.items()}

    def _file_step(self, change: FileChange, hunks: Hunks) -> Step:
        added, removed = sum(hunk.new_count for hunk in hunks or ()), sum(hunk.old_count for hunk in hunks or ())
        kind: StepKind = _FILE_STEPS.get(change.status, "edited")
        evidence = "its lines were not read" if hunks is None else f"{added} added, {removed} removed"
        if change.was is not None:
            evidence = f"the file was {change.was}; {evidence}"
        return Step(self.oid(change), kind, change.path, None, "", change.was, None, None, added, removed, evidence)


class _Walk:
    """One place being followed. at: where it is in the versions reached, None where it is not; names: what it was called, newest first."""

    def __init__(self, follower: Follower, path: RepoPath, blob: Oid, span: Span, name: str) -> None:
        self.follower, self.path, self.is_symbol = follower, path, bool(name)
        self.at: dict[Oid, Place | None] = {}
        self.names: dict[str, bytes] = {}
        self.last: tuple[Oid, Place] | None = None
        self.waiting: list[tuple[int, int, FileChange]] = []
        self.queued: set[tuple[int, int]] = set()
        self.looked = 0
        self.born_at, self.in_vain = sys.maxsize, 0
        self.read: tuple[Oid, bytes, list[bytes]] = (Oid(""), b"", [])
        self.context: _Context | None = None
        self.context_of: tuple[Oid, Span] | None = None
        self._know(blob, self._cut(blob, span, name))

    def steps(self, *, after: int) -> Iterator[Step]:
        """Yield the steps before the commit at position `after`, newest first."""
        self._expect(self.path, after)
        while self.waiting:
            position, _, change = heappop(self.waiting)
            yield from self._step(change, position)

    # --- which changes are looked at ------------------------------------------------------------------------------------------------------

    def _expect(self, path: RepoPath, after: int) -> None:
        """Queue the changes of the file that was at `path` right before the commit at position `after`, under all its names."""
        for position, change in self.follower.changes_of(path, after):
            if (change.commit, change.ordinal) not in self.queued:
                self.queued.add((change.commit, change.ordinal))
                self._wait((position, change.ordinal), change)

    def _wait(self, turn: "_Turn", change: FileChange) -> None:
        heappush(self.waiting, (*turn, change))

    def _step(self, change: FileChange, position: int) -> Iterator[Step]:
        if change.was is not None and self.follower.lineage.today(change.path, position) is None:
            self._expect(change.was, position)  # a file that is gone today: its names are found one by one
        here = self._find(change.blob, change.path, position) if change.blob is not None else None
        if here is None:
            yield from self._step_without(change)
            return
        assert change.blob is not None
        self.last = (change.blob, here)
        if change.was_blob is None:
            yield from self._born(change, here, position)
            return
        hunks = self.follower.hunks(change)
        if hunks is None:
            return
        old, share = self._before(change, hunks, here)
        if old is None:
            if change.was_blob not in self.at:
                self._reach(change.was_blob, None)
            yield from self._born(change, here, position)
            return
        self._know(change.was_blob, old)
        done = inside(hunks, here.span, old.span)
        if here.name != old.name:
            yield self._told(change, "renamed", here, old, done, f"was {old.name}; {share:.0%} of its words are the same")
        elif change.was is not None:
            yield self._told(change, "moved", here, old, done, f"the file was {change.was}")
        elif done.touched or here.body != old.body:
            yield self._told(change, "edited", here, old, done, _edit(here, old, done))

    def _step_without(self, change: FileChange) -> Iterator[Step]:
        """Look at a change after which the place is not there: it may have taken it out."""
        was = change.was_blob
        if was is None or was in self.at:
            return
        self._reach(was, None)
        if not self.is_symbol or self.looked >= REMOVALS_LOOKED_FOR:
            return
        hunks = (Hunk(1, 1 << 30, 0, 0),) if change.blob is None else self.follower.hunks(change) or ()
        if not any(hunk.old_count for hunk in hunks):
            return
        self.looked += 1
        text = self._lines(was)
        removed = b"\n".join(line for hunk in hunks for line in text[old_lines(hunk).first - 1 : old_lines(hunk).last])
        if not any(mark in removed for mark in self.names.values()):
            return
        old = self._defined(was, change.was or change.path)
        if old is None:
            return
        self._know(was, old)
        size = old.span.last - old.span.first + 1
        where = change.was or change.path
        yield Step(
            self._oid(change), "removed", where, old.span, old.name, None, old.span, None, 0, size, f"its {_lines(size)} were removed"
        )

    def _born(self, change: FileChange, here: Place, position: int) -> Iterator[Step]:
        """Tell where a place came from that the file did not hold before: from another file, or from nowhere."""
        size = here.span.last - here.span.first + 1
        found = self._moved_symbol(change, here) if here.name else self._moved_lines(change, here)
        if found is None:
            if change.was_blob is not None:  # a file that begins whole may be another's beginning, as where two histories were joined
                self.born_at = min(self.born_at, position)
            yield self._told(change, "added", here, None, Inside(size, 0), f"its {_lines(size)} first appear here")
            return
        source, old, evidence = found
        assert source.was_blob is not None
        self._know(source.was_blob, old)
        self.last = (source.was_blob, old)
        where = source.was or source.path
        self._expect(where, position)
        done = Inside(size, old.span.last - old.span.first + 1)
        yield Step(
            self._oid(change),
            "moved",
            change.path,
            here.span,
            here.name,
            where,
            old.span,
            old.name if old.name != here.name else None,
            *done,
            evidence,
        )

    # --- where the place is in a version --------------------------------------------------------------------------------------------------

    def _know(self, blob: Oid, place: Place) -> None:
        """Note where the place is in a version, and what it looks like there."""
        if self.at.get(blob) is None:
            self._reach(blob, place)
        if place.name and place.name not in self.names:
            self.names[place.name] = _definition_mark(place)

    def _find(self, blob: Oid, path: RepoPath, position: int) -> Place | None:
        """Return where the place is in the version that the commit at `position` made: as reached from a later one, or found anew at a branch's tip.

        A span of lines that a later commit put into the file is there only if somebody wrote the very same lines beside it, and that is soon found.
        """
        if blob in self.at:
            return self.at[blob]
        if self.is_symbol or position < self.born_at:
            found = self._by_text(blob) or self._by_difference(blob, path)
        else:
            found = self._by_text(blob) if self.in_vain < OLDER_LOOKED_AT else None
            self.in_vain = 0 if found is not None else self.in_vain + 1
        self._reach(blob, found)
        return found

    def _reach(self, blob: Oid, place: Place | None) -> None:
        self.at[blob] = place

    def _by_text(self, blob: Oid) -> Place | None:
        """Return the place where a version holds, exactly once, the lines of the last one known, with those around them that tell short ones from others.

        What stood around them when the place was last edited is tried before the last version is read for it.
        """
        if self.last is None:
            return None
        known, place = self.last
        found = self.context.found_in(self._text(blob)) if self.context is not None and self.context.body == place.body else None
        if found is None and self.context_of != (known, place.span):
            self.context, self.context_of = _in_context(place, self._lines(known)), (known, place.span)
            found = self.context.found_in(self._text(blob))
        return None if found is None else Place(Span(found, found + place.span.last - place.span.first), place.name, place.body)

    def _defined(self, blob: Oid, path: RepoPath) -> Place | None:
        """Return the definition of a version that bears the newest of the place's names."""
        rows = {row.qualname: row for row in self.follower.outlines.of(blob, path)}
        return next((self._cut(blob, rows[name].span, name) for name in self.names if name in rows), None)

    def _by_difference(self, blob: Oid, path: RepoPath) -> Place | None:
        """Return where the place is in a version by how that differs from the last one known, else by what is defined in it."""
        if self.is_symbol and not any(mark in self._text(blob) for mark in self.names.values()):
            return None
        hunks = self.follower.mirror.hunks(blob, self.last[0]) if self.last is not None else None
        found = self._without_parsing(blob, hunks, self.last[1]) if self.last is not None and hunks is not None else None
        return self._defined(blob, path) if found is None and self.is_symbol else found

    def _before(self, change: FileChange, hunks: Sequence[Hunk], here: Place) -> tuple[Place | None, float]:
        """Return where the place was before a change of its file, and the share of words that says so; None when it was not there."""
        assert change.was_blob is not None and change.blob is not None
        found = self._without_parsing(change.was_blob, hunks, here)
        if found is not None or not here.name:
            return found, 1.0
        olds = self.follower.outlines.of(change.was_blob, change.was or change.path)
        same = next((row for row in olds if row.qualname == here.name), None)
        if same is not None:
            return self._cut(change.was_blob, same.span, same.qualname), 1.0
        kept = {row.qualname for row in self.follower.outlines.of(change.blob, change.path)}
        best = self._most_alike(here, change.was_blob, (row for row in olds if row.qualname not in kept))
        return (None, 0.0) if best is None else (self._cut(change.was_blob, best[1].span, best[1].qualname), best[0])

    def _without_parsing(self, old: Oid, hunks: Sequence[Hunk], here: Place) -> Place | None:
        """Return where a place was in an older version that differs by `hunks`; None when it was not there or only parsing can tell."""
        if not near(hunks, here.span):
            return Place(shifted_back(hunks, here.span), here.name, here.body)
        return self._edited_within(old, hunks, here) if here.name else self._lines_before(old, hunks, here)

    def _edited_within(self, blob: Oid, hunks: Sequence[Hunk], here: Place) -> Place | None:
        """Return where a symbol was when all that changed near it lies well inside it, which needs no parsing; None when it may not be so.

        Its first and last lines must be kept, and no line taken out may be indented as little as its own first line: that could have been where
        another definition began.
        """
        first = here.body.split(b"\n", 1)[0]
        least = len(first) - len(first.lstrip())
        edge = Span(here.span.first + 1, here.span.last - 1)
        around = nearby(hunks, here.span)
        if any(new_lines(hunk).first <= edge.first or new_lines(hunk).last >= edge.last for hunk in around):
            return None
        old = self._lines(blob)
        removed = (line for hunk in around for line in old[old_lines(hunk).first - 1 : old_lines(hunk).last])
        if any(len(line) - len(line.lstrip()) <= least and line.strip() for line in removed):
            return None
        span = traced_back(hunks, here.span)
        return None if span is None else self._cut(blob, span, here.name)

    def _lines_before(self, blob: Oid, hunks: Sequence[Hunk], here: Place) -> Place | None:
        """Return the old lines that a span of lines stands for: what it grew from, or within one larger hunk those that read alike."""
        around = next((hunk for hunk in nearby(hunks, here.span) if _holds(hunk, here.span)), None)
        if around is None:
            span = traced_back(hunks, here.span)
            return None if span is None else self._cut(blob, span, "")
        if not around.old_count:
            return None
        gone, old, new = old_lines(around), self._lines(blob), here.body.split(b"\n")
        candidates = [(number, _words(old[number - 1])) for number in range(gone.first, gone.last + 1)]
        ends: list[int] = []
        for line in sorted({here.span.first, here.span.last}):
            words = _words(new[line - here.span.first])
            expected = gone.first + line - new_lines(around).first
            share, _, number = max((_alike(words, other), -abs(number - expected), number) for number, other in candidates)
            if share >= SAME_LINE:
                ends.append(number)
        return self._cut(blob, Span(min(ends), max(ends)), "") if ends else None

    # --- moves ----------------------------------------------------------------------------------------------------------------------------

    def _moved_symbol(self, change: FileChange, here: Place) -> tuple[FileChange, Place, str] | None:
        """Return the definition another file of the same commit lost and this one is made of, with its evidence."""
        name = _last_part(here.name)
        best: tuple[float, FileChange, Defined] | None = None
        for source in self._sources(change):
            assert source.was_blob is not None
            if name.encode() not in self._text(source.was_blob):
                continue
            kept = {row.qualname for row in self.follower.outlines.of(source.blob, source.path)} if source.blob is not None else set()
            lost = (row for row in self.follower.outlines.of(source.was_blob, source.was or source.path) if row.qualname not in kept)
            found = self._most_alike(here, source.was_blob, (row for row in lost if row.name == name))
            if found is not None and (best is None or found[0] > best[0]):
                best = (found[0], source, found[1])
        if best is None:
            return None
        share, source, row = best
        evidence = f"from {source.was or source.path}; {share:.0%} of its words are the same"
        assert source.was_blob is not None
        return source, self._cut(source.was_blob, row.span, row.qualname), evidence

    def _moved_lines(self, change: FileChange, here: Place) -> tuple[FileChange, Place, str] | None:
        """Return where another file of the same commit held these very lines, when it lost them."""
        before, wanted = self._in_context(change, here)
        if sum(map(len, wanted)) < MOVED_CHARS:
            return None
        for source in self._sources(change):
            assert source.was_blob is not None
            stripped = [line.strip() for line in self._lines(source.was_blob)]
            for hunk in self.follower.hunks(source) or () if source.blob is not None else (Hunk(1, len(stripped), 0, 0),):
                gone = old_lines(hunk)
                at = _find_run(stripped[gone.first - 1 : gone.last], wanted)
                if at is not None:
                    first = gone.first + at + before
                    evidence = f"from {source.was or source.path}; the same lines were removed there"
                    return source, self._cut(source.was_blob, Span(first, first + here.body.count(NEWLINE)), ""), evidence
        return None

    def _in_context(self, change: FileChange, here: Place) -> tuple[int, list[bytes]]:
        """Return the place's lines, with as many as needed of those its commit added around it to tell them from boilerplate, stripped.

        The number says how many were put before it.
        """
        assert change.blob is not None
        lines = self._lines(change.blob)
        added = [new_lines(hunk) for hunk in (self.follower.hunks(change) or () if change.was_blob is not None else ())]
        around = next((span for span in added if span.first <= here.span.first and here.span.last <= span.last), Span(1, len(lines)))
        first, last = here.span.first, here.span.last
        while sum(len(line.strip()) for line in lines[first - 1 : last]) < MOVED_CHARS and (first > around.first or last < around.last):
            first, last = max(around.first, first - 1), min(around.last, last + 1)
        return here.span.first - first, [line.strip() for line in lines[first - 1 : last]]

    def _sources(self, change: FileChange) -> list[FileChange]:
        """Return the other changes of a commit that took lines away from a file of the same language, or none where it changed too much."""
        others = self.follower.past.changes_in(change.commit)
        if len(others) > MOVE_FILES:
            return []
        language = language_of(change.path)
        kept = [
            other
            for other in others
            if other.ordinal != change.ordinal and other.was_blob is not None and language_of(other.was or other.path) is language
        ]
        return [other for other in kept if other.blob is None or any(hunk.old_count for hunk in self.follower.hunks(other) or ())]

    def _most_alike(self, here: Place, blob: Oid, rows: Iterable[Defined]) -> tuple[float, Defined] | None:
        """Return the definition of `blob` that shares most words with a place, with the share; None when none shares enough."""
        body, name = _words(here.body), _last_part(here.name)
        found: list[tuple[float, int, Defined]] = []
        for row in rows:
            share = _alike(body, _words(self._cut(blob, row.span, "").body))
            same_name = row.name == name
            few = body.total() < FEW_WORDS
            if share >= (SAME_NAMED_BODY if same_name else SAME_FEW_WORDS if few else SAME_BODY):
                found.append((share + same_name, -row.span.first, row))
        if not found:
            return None
        score, _, best = max(found, key=lambda item: item[:2])
        return score - (best.name == name), best

    # --- reading --------------------------------------------------------------------------------------------------------------------------

    def _told(self, change: FileChange, kind: StepKind, here: Place, old: Place | None, done: Inside, evidence: str) -> Step:
        return Step(
            self._oid(change),
            kind,
            change.path,
            here.span,
            here.name,
            change.was,
            None if old is None else old.span,
            old.name if old is not None and old.name != here.name else None,
            done.added,
            done.removed,
            evidence,
        )

    def _oid(self, change: FileChange) -> Oid:
        return self.follower.oid(change)

    def _cut(self, blob: Oid, span: Span, name: str) -> Place:
        return Place(span, name, b"\n".join(self._lines(blob)[span.first - 1 : span.last]))

    def _text(self, blob: Oid) -> bytes:
        if self.read[0] != blob:
            self.read = (blob, self.follower.mirror.read_blob(blob), [])
        return self.read[1]

    def _lines(self, blob: Oid) -> list[bytes]:
        text = self._text(blob)
        if not self.read[2]:
            self.read[2].extend(text.split(b"\n"))
        return self.read[2]


_Turn: TypeAlias = tuple[int, int]
"""Where a change stands among all: the position of its commit in the order, newest first, and its place within it."""


class _Late(NamedTuple):
    """A change that is put off. last: the last version known when its turn came, and the place in it."""

    change: FileChange
    last: tuple[Oid, Place] | None


class _WholeWalk(_Walk):
    """A walk to the very end, which reads few versions.

    Where branches meet, their tips are versions that no hunks lead to, and the place has to be found in them by reading. One such way back is enough: what
    the other branches did is put off until the version they began with is reached. Hunks say then, going on from there, that most of it passes the
    place by. Only where something does not, the tip of that branch is read.
    """

    def __init__(self, follower: Follower, path: RepoPath, blob: Oid, span: Span, name: str) -> None:
        self.reached: list[Oid] = []  # the versions of `at` from which nothing was decided yet
        self.waiting_by_new: dict[Oid | None, set[_Turn]] = defaultdict(set)
        self.ways: set[_Turn] = set()  # that wait, and lead back from a version in which the place is known
        self.late: dict[_Turn, _Late] = {}
        self.late_by_old: dict[Oid | None, list[_Turn]] = defaultdict(list)
        self.late_by_new: dict[Oid, list[_Turn]] = defaultdict(list)
        self.due: dict[_Turn, tuple[Oid, Place] | None] = {}  # taken up; the last version known when their turn came
        super().__init__(follower, path, blob, span, name)

    def all_steps(self) -> list[Step]:
        """Return all steps, newest first."""
        found: list[tuple[_Turn, Step]] = []
        self._expect(self.path, -1)
        while self.waiting or self.late:
            if not self.waiting:
                self._take_up(min(self.late))
            position, ordinal, change = heappop(self.waiting)
            turn = (position, ordinal)
            self.waiting_by_new[change.blob].discard(turn)
            self.ways.discard(turn)
            if turn in self.due:
                self.last = self.due.pop(turn)
            elif change.blob is not None and change.blob not in self.at and (change.was_blob in self.at or self.ways):
                self._put_off(turn, change)
                continue
            found += ((turn, step) for step in self._step(change, position))
            self._settle()
        return [step for _, step in sorted(found, key=itemgetter(0))]

    def _wait(self, turn: "_Turn", change: FileChange) -> None:
        super()._wait(turn, change)
        self.waiting_by_new[change.blob].add(turn)
        if change.blob is not None and self.at.get(change.blob) is not None:
            self.ways.add(turn)

    def _reach(self, blob: Oid, place: Place | None) -> None:
        super()._reach(blob, place)
        self.reached.append(blob)

    def _put_off(self, turn: "_Turn", change: FileChange) -> None:
        assert change.blob is not None
        self.late[turn] = _Late(change, self.last)
        self.late_by_old[change.was_blob].append(turn)
        self.late_by_new[change.blob].append(turn)
        if change.was_blob in self.at:
            self._settle_from(change.was_blob)
            self._settle()

    def _settle(self) -> None:
        """Decide about the changes that were put off for versions which are reached now."""
        while self.reached:
            blob = self.reached.pop()
            if self.at[blob] is not None:
                self.ways |= self.waiting_by_new[blob]
            for turn in self.late_by_new.pop(blob, ()):
                self._take_up(turn)
            self._settle_from(blob)

    def _settle_from(self, old: Oid) -> None:
        """Decide about the changes that begin with a version: pass them by, or look at the newest that comes of them."""
        place = self.at[old]
        for turn in self.late_by_old.pop(old, ()):
            if turn not in self.late:
                continue
            change = self.late[turn].change
            ahead = turned(self.follower.hunks(change) or ()) if change.was is None else ()
            if place is None or not ahead or near(ahead, place.span):
                self._take_up(self._newest_after(turn))
                continue
            del self.late[turn]
            if change.blob is not None and change.blob not in self.at:
                self._reach(change.blob, place._replace(span=shifted_back(ahead, place.span)))

    def _newest_after(self, turn: "_Turn") -> "_Turn":
        """Return the newest change that was put off and that leads, over others, back to one."""
        while newer := [other for other in self.late_by_old.get(self.late[turn].change.blob, ()) if other < turn and other in self.late]:
            turn = min(newer)
        return turn

    def _take_up(self, turn: "_Turn") -> None:
        """Give a change that was put off its turn, next."""
        late = self.late.pop(turn, None)
        if late is not None:
            self.due[turn] = late.last
            self._wait(turn, late.change)


class _Context(NamedTuple):
    """A place's lines with what stands around them. before: how many lines of `around` come before the body."""

    body: bytes
    around: bytes
    before: int

    def found_in(self, whole: bytes) -> int | None:
        """Return the line at which the body begins in a text that holds all of this exactly once, as whole lines; None in any other."""
        at, size = whole.find(self.around), len(self.around)
        if size < MOVED_CHARS or at < 0 or (at and whole[at - 1 : at] != NEWLINE) or whole[at + size : at + size + 1] not in (NEWLINE, b""):
            return None
        return None if whole.find(self.around, at + 1) >= 0 else whole.count(NEWLINE, 0, at) + 1 + self.before


def _in_context(place: Place, lines: Sequence[bytes]) -> _Context:
    """Return a place with lines around it, as many as tell a short one from others."""
    first, last, size = place.span.first, place.span.last, len(place.body)
    if size >= MOVED_CHARS:
        return _Context(place.body, place.body, 0)
    while size < CONTEXT_CHARS and (first > 1 or last < len(lines)):
        first, last = max(1, first - 1), min(len(lines), last + 1)
        size = sum(len(line) + 1 for line in lines[first - 1 : last])
    return _Context(place.body, NEWLINE.join(lines[first - 1 : last]), place.span.first - first)


def _edit(here: Place, old: Place, done: Inside) -> str:
    if b"".join(here.body.split()) == b"".join(old.body.split()):
        return WHITE_SPACE
    if not done.touched:  # what was cut off from it, or became part of it, stood outside before
        return f"{old.body.count(NEWLINE) + 1} lines before, {here.body.count(NEWLINE) + 1} after"
    return f"{done.added} added, {done.removed} removed"


def _holds(hunk: Hunk, span: Span) -> bool:
    """Return whether a hunk's new lines hold the whole span and more."""
    new = new_lines(hunk)
    return new.first <= span.first and span.last <= new.last and new != span


def _alike(one: Counter[str], other: Counter[str]) -> float:
    """Return the share of words that two texts have in common (Dice over multisets); 1 for two empty ones."""
    both = one.total() + other.total()
    return 2 * (one & other).total() / both if both else 1.0


def _find_run(lines: Sequence[bytes], wanted: Sequence[bytes]) -> int | None:
    """Return where `wanted` stands in `lines`, None when it does not."""
    return next(
        (at for at in range(len(lines) - len(wanted) + 1) if lines[at] == wanted[0] and lines[at : at + len(wanted)] == wanted), None
    )


def _definition_mark(place: Place) -> bytes:
    """Return what a version holds where a symbol is defined: its last name, after the keyword it is defined with if there is one."""
    name = _last_part(place.name).encode()
    return next((mark for mark in (keyword + b" " + name for keyword in _KEYWORDS) if mark in place.body), name)


_KEYWORDS = (b"def", b"class", b"function", b"func", b"fn", b"struct", b"enum", b"trait", b"interface", b"module")


def _last_part(qualname: str) -> str:
    return re.split(r"[.]", qualname.partition("#")[0])[-1]


def _lines(count: int) -> str:
    return "line" if count == 1 else f"{count} lines"


def _ends(span: Span | None) -> list[int] | None:
    return None if span is None else [span.first, span.last]


def _span(ends: list[int] | None) -> Span | None:
    return None if ends is None else Span(*ends)


def _words(text: bytes) -> Counter[str]:
    return Counter(tokens(text.decode("utf-8", "replace")))
