"""Brings two changes of one file together: by lines, then by indentation and by tokens where lines are not enough.

To undo an old change in today's code is a three-way merge whose base is the old version, whose one side is today and whose other side is the version
before the change. Merging by lines is diff3 (Khanna, Kunal and Pierce 2007, "A formal investigation of diff3"): stretches that only one side
changed are taken from it, stretches that both changed alike are taken once. A stretch that both sides changed differently is tried again:

1. *Indentation.* When one side moved the whole stretch deeper (into an `if`, a `with`, a class) or back out, the others are moved the same way
   and merged again, so that a line restored by the other side lands at the depth its block now has.
2. *Tokens.* Each side's changed lines are compared word by word; edits of different words do not disturb each other:
   base `if n > limit:`, ours `if count > limit:`, theirs `if n >= limit:` give `if count >= limit:`.

What is left is a conflict. Two rules differ from git on purpose. Edits that touch but share no line do not conflict here (git wants an unchanged
line between them), unless both add a same line there. Line endings and the missing newline at the end of a file are merged as facts of the whole file, not as part of each line, so
that a file converted to CRLF since still takes an old change.

Nothing is read or written; bytes come in and go out, and no encoding is assumed beyond ASCII for the white space.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from backstory.graph.types import Span
from backstory.tools.diff import Edit, diff
from backstory.tools.lines import Lines, is_binary, merged_layout, split_lines
from backstory.tools.tokens import Token, tokens

Side = Literal["ours", "theirs"]
How = Literal["indentation", "tokens", "conflict"]

LEAST_KEPT = 0.5
"""Share of a stretch's tokens (white space aside) that each side must keep for a merge by tokens; under it the words that happen to agree are
chance, not a common origin. `x = 1` keeps 2/3 whichever of its two ends changes."""

LEAST_REINDENTED = 0.5
"""Share of a stretch's lines that must come back at another depth before the stretch counts as moved as a whole."""

NEAR_LINES = 3
"""Unchanged lines between two additions of the same lines up to which they are taken for one."""

TOKEN_LIMIT = 20_000
"""Tokens of a stretch, on its largest side, that are still compared; about 2,000 lines."""

Place = tuple[int, int]
"""Positions of lines or tokens: from 0, the second excluded."""


@dataclass(frozen=True)
class Stretch:
    """Lines that merging by lines could not settle, and how they were settled.

    base, ours, theirs, merged: where it is in each version; an empty place between two lines is `Span(n + 1, n)`.
    """

    how: How
    base: Span
    ours: Span
    theirs: Span
    merged: Span


@dataclass(frozen=True)
class Merged:
    """The result. text: the preferred side stands wherever `conflicts` say so. stretches: in order, those that lines alone settled are left out."""

    text: bytes
    stretches: tuple[Stretch, ...]

    @property
    def conflicts(self) -> tuple[Stretch, ...]:
        return tuple(stretch for stretch in self.stretches if stretch.how == "conflict")

    @property
    def clean(self) -> bool:
        return not self.conflicts


def merge(base: bytes, ours: bytes, theirs: bytes, *, prefer: Side = "ours") -> Merged:
    r"""Return what both sides made of `base`.

    prefer: whose lines stand where the sides conflict. Binary versions (git's rule) that all differ are one conflict.
    Swapping the sides gives the same text when there is no conflict.

    >>> merge(b"if n > limit:\n", b"if count > limit:\n", b"if n >= limit:\n").text
    b'if count >= limit:\n'
    """
    if ours == theirs or theirs == base:
        return Merged(ours, ())
    if ours == base:
        return Merged(theirs, ())
    if any(is_binary(version) for version in (base, ours, theirs)):
        return _undecided(base, ours, theirs, prefer)
    layout = merged_layout(base, ours, theirs)
    versions = _Three(*(split_lines(version, keep_cr=layout.mixed) for version in (base, ours, theirs)))
    lines: list[bytes] = []
    stretches: list[Stretch] = []
    for part in _merge_lines(versions, deeper=True):
        chosen = part.theirs if part.how == "conflict" and prefer == "theirs" else part.lines
        if part.how:
            before, mine, other = (_span(place) for place in part.places)
            stretches.append(Stretch(part.how, before, mine, other, _span((len(lines), len(lines) + len(chosen)))))
        lines += chosen
    return Merged(layout.joined(lines), tuple(stretches))


def _undecided(base: bytes, ours: bytes, theirs: bytes, prefer: Side) -> Merged:
    before, mine, other = (Span(1, version.count(b"\n") + 1) for version in (base, ours, theirs))
    if prefer == "ours":
        return Merged(ours, (Stretch("conflict", before, mine, other, mine),))
    return Merged(theirs, (Stretch("conflict", before, mine, other, other),))


def _span(place: Place) -> Span:
    return Span(place[0] + 1, place[1])


# Regions: what one side, or both, changed --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Region:
    """A stretch of the base between unchanged elements, with its place on both sides. ours, theirs: the edits each side made in it."""

    places: tuple[Place, Place, Place]
    ours: tuple[Edit, ...]
    theirs: tuple[Edit, ...]


def _regions(ours: Sequence[Edit], theirs: Sequence[Edit]) -> list[_Region]:
    """Group edits that share a base element, or insert at one place; edits that only touch stay apart."""
    regions: list[_Region] = []
    shift = [0, 0]
    queue = sorted([(edit.start, edit.stop, side, edit) for side, edits in enumerate((ours, theirs)) for edit in edits])
    at = 0
    while at < len(queue):
        start, stop = queue[at][:2]
        members: tuple[list[Edit], list[Edit]] = ([], [])
        while at < len(queue):
            edit = queue[at][3]
            if any(members) and not (edit.start < stop or edit.start == edit.stop == start == stop):
                break
            members[queue[at][2]].append(edit)
            stop = max(stop, edit.stop)
            at += 1
        places = [(start, stop)]
        for side in (0, 1):
            new_start = start + shift[side]
            shift[side] += sum((edit.new_stop - edit.new_start) - (edit.stop - edit.start) for edit in members[side])
            places.append((new_start, stop + shift[side]))
        regions.append(_Region((places[0], places[1], places[2]), tuple(members[0]), tuple(members[1])))
    return regions


# Lines -----------------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """Merged lines in order. how: None when lines were enough. theirs: only set by a conflict, whose `lines` are ours."""

    lines: Lines
    how: How | None
    places: tuple[Place, Place, Place]
    theirs: Lines = ()


@dataclass(frozen=True)
class _Three:
    """Three versions of the same lines."""

    base: Lines
    ours: Lines
    theirs: Lines

    def at(self, region: _Region) -> "_Three":
        (a, b), (c, d), (e, f) = region.places
        return _Three(self.base[a:b], self.ours[c:d], self.theirs[e:f])

    @cached_property
    def shifts(self) -> tuple["_Shift | None", "_Shift | None"]:
        return _shift(self.base, self.ours), _shift(self.base, self.theirs)


def _merge_lines(versions: "_Three", *, deeper: bool) -> Iterator[_Part]:
    """Yield the merge part by part. deeper: whether indentation may still be tried; a re-indented stretch is not re-indented again."""
    base, at = versions.base, 0
    regions = _once(_regions(diff(base, versions.ours), diff(base, versions.theirs)), versions)
    for group in _moved_together(regions, versions) if deeper else [[region] for region in regions]:
        start, stop = group[0].places[0][0], group[-1].places[0][1]
        yield _Part(base[at:start], None, ((0, 0), (0, 0), (0, 0)))
        if len(group) > 1:
            moved = _by_indentation(versions.at(_spanning(group)))
            if moved is not None:
                yield _Part(moved, "indentation", _spanning(group).places)
                at = stop
                continue
        for region in group:
            yield _settle(region, versions.at(region), deeper=deeper)
        at = stop
    yield _Part(base[at:], None, ((0, 0), (0, 0), (0, 0)))


def _once(regions: Sequence[_Region], versions: _Three) -> list[_Region]:
    """Join neighbouring regions in which the two sides add the same lines: one addition, which the two diffs have placed differently."""
    out: list[_Region] = []
    for region in regions:
        if out and _adds_again(out[-1], region, versions):
            out[-1] = _spanning([out[-1], region])
        else:
            out.append(region)
    return out


def _adds_again(before: _Region, after: _Region, versions: _Three) -> bool:
    """Return whether one side adds in one region what the other side adds in the next: any line where they touch, most of it where they are near."""
    gap = after.places[0][0] - before.places[0][1]
    if gap > NEAR_LINES:
        return False
    ours, theirs = ([_added(region, versions, side) for region in (before, after)] for side in (1, 2))
    for one, other in ((ours[0], theirs[1]), (theirs[0], ours[1])):
        common = one & other
        if common and (gap == 0 or 2 * len(common) > min(len(one), len(other)) > 1):
            return True
    return False


def _added(region: _Region, versions: _Three, side: int) -> set[bytes]:
    lines = (versions.base, versions.ours, versions.theirs)[side]
    edits = (region.ours, region.theirs)[side - 1]
    return {line for edit in edits for line in lines[edit.new_start : edit.new_stop] if line.strip()}


def _settle(region: _Region, versions: _Three, *, deeper: bool) -> _Part:
    if not region.theirs or versions.ours == versions.theirs:
        return _Part(versions.ours, None, region.places)
    if not region.ours:
        return _Part(versions.theirs, None, region.places)
    moved = _by_indentation(versions) if deeper else None
    if moved is not None:
        return _Part(moved, "indentation", region.places)
    woven = _by_tokens(versions)
    if woven is not None:
        return _Part(woven, "tokens", region.places)
    return _Part(versions.ours, "conflict", region.places, versions.theirs)


# Indentation -------------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shift:
    """A change of depth: `prefix` put before every line that is not blank, or taken off it."""

    prefix: bytes
    inward: bool

    def moved(self, lines: Lines, *, unmoved: Collection[bytes]) -> list[bytes] | None:
        """Return `lines` at their new depth, or None when one has not that much indentation to lose.

        unmoved: lines that may be too shallow and then stay; those of the base, which the moving side has dropped.
        """
        if self.inward:
            return [self.prefix + line if line.strip() else line for line in lines]
        shallow = [line for line in lines if line.strip() and not line.startswith(self.prefix)]
        if any(line not in unmoved for line in shallow):
            return None
        return [line.removeprefix(self.prefix) if line.strip() else line for line in lines]


def _by_indentation(versions: _Three) -> list[bytes] | None:
    """Merge again with every version at the depth one side (or both alike) moved the stretch to; None when that does not settle it."""
    ours, theirs = versions.shifts
    shift = ours or theirs
    if shift is None or (ours and theirs and ours != theirs):
        return None
    unmoved = frozenset(versions.base)
    base = shift.moved(versions.base, unmoved=unmoved)
    moved_ours = versions.ours if ours else shift.moved(versions.ours, unmoved=unmoved)
    moved_theirs = versions.theirs if theirs else shift.moved(versions.theirs, unmoved=unmoved)
    if base is None or moved_ours is None or moved_theirs is None:
        return None
    parts = list(_merge_lines(_Three(base, moved_ours, moved_theirs), deeper=False))
    return None if any(part.how == "conflict" for part in parts) else [line for part in parts for line in part.lines]


def _shift(old: Lines, new: Lines) -> _Shift | None:
    """Return the one change of depth that the lines found in both underwent, or None when they do not agree or are too few."""
    kept = reindented_pairs(old, new)
    shifts = {_depth_change(indentation(a), indentation(b)) for a, b in kept}
    filled = sum(1 for line in old if line.strip())
    if len(shifts) != 1 or len(kept) < LEAST_REINDENTED * filled:
        return None
    return shifts.pop()


def reindented_pairs(old: Lines, new: Lines) -> list[tuple[bytes, bytes]]:
    """Return the lines, blank ones aside, that both hold in the same order when indentation is not looked at, as (old, new)."""
    bare_old, bare_new = ([line.lstrip() for line in lines] for lines in (old, new))
    pairs = kept_pairs(diff(bare_old, bare_new), len(old))
    return [(old[i], new[j]) for i, j in pairs if bare_old[i]]


def kept_pairs(edits: Sequence[Edit], old_length: int) -> Iterator[tuple[int, int]]:
    """Yield the positions (old, new) of the elements that `edits` leave alone."""
    at, shift = 0, 0
    for edit in edits:
        yield from ((i, i + shift) for i in range(at, edit.start))
        at, shift = edit.stop, edit.new_stop - edit.stop
    yield from ((i, i + shift) for i in range(at, old_length))


def indentation(line: bytes) -> bytes:
    """Return the white space a line begins with."""
    return line[: len(line) - len(line.lstrip())]


def _depth_change(old: bytes, new: bytes) -> _Shift | None:
    if old == new:
        return None
    if new.endswith(old):
        return _Shift(new.removesuffix(old), True)
    if old.endswith(new):
        return _Shift(old.removesuffix(new), False)
    return None


def _moved_together(regions: Sequence[_Region], versions: _Three) -> Iterator[list[_Region]]:
    """Group a moved stretch with an insertion of the other side right at its edge, when the inserted lines are as deep as the edge.

    A line restored at the end of a loop's body belongs in the body wherever the body has gone; by lines alone it would stay outside.
    """
    group: list[_Region] = []
    for region in regions:
        if group and not _moves_along(group[-1], region, versions):
            yield group
            group = []
        group.append(region)
    if group:
        yield group


def _moves_along(before: _Region, after: _Region, versions: _Three) -> bool:
    if before.places[0][1] != after.places[0][0]:
        return False
    for moved, inserted, edge in ((before, after, -1), (after, before, 0)):
        side = 1 if moved.ours else 0  # 1: the insertion is theirs
        if (moved.ours and moved.theirs) or (inserted.ours if side else inserted.theirs) or inserted.places[0][0] != inserted.places[0][1]:
            continue
        at_moved, at_inserted = versions.at(moved), versions.at(inserted)
        new_lines = [line for line in (at_inserted.theirs if side else at_inserted.ours) if line.strip()]
        if not new_lines or not any(at_moved.shifts) or not at_moved.base[edge].strip():
            continue
        if min(len(indentation(line)) for line in new_lines) >= len(indentation(at_moved.base[edge])):
            return True
    return False


def _spanning(group: Sequence[_Region]) -> _Region:
    first, last = group[0].places, group[-1].places
    (a, _), (c, _), (e, _) = first
    (_, b), (_, d), (_, f) = last
    ours = tuple(edit for region in group for edit in region.ours)
    theirs = tuple(edit for region in group for edit in region.theirs)
    return _Region(((a, b), (c, d), (e, f)), ours, theirs)


# Tokens ----------------------------------------------------------------------------------------------------------------------------------------


def _by_tokens(versions: _Three) -> list[bytes] | None:
    """Merge token by token, or return None when two edits meet in a token, or a side has kept too little of the base."""
    base, ours, theirs = (_cut(lines) for lines in (versions.base, versions.ours, versions.theirs))
    if not base.flat or max(len(version.flat) for version in (base, ours, theirs)) > TOKEN_LIMIT:
        return None
    edits = [_token_edits(base, side) for side in (ours, theirs)]
    if any(_kept(base.flat, side) < LEAST_KEPT for side in edits):
        return None
    out: list[Token] = []
    at = 0
    for region in _regions(*edits):
        (start, stop), (c, d), (e, f) = region.places
        out += base.flat[at:start]
        if region.ours and region.theirs and ours.flat[c:d] != theirs.flat[e:f]:
            return None
        out += ours.flat[c:d] if region.ours else theirs.flat[e:f]
        at = stop
    out += base.flat[at:]
    return split_lines(b"".join(token.text for token in out), keep_cr=True)


@dataclass(frozen=True)
class _Cut:
    """Lines cut into tokens. starts: the first token of each line, and one past the last."""

    lines: Lines
    flat: list[Token]
    starts: list[int]


def _cut(lines: Lines) -> _Cut:
    flat: list[Token] = []
    starts = [0]
    for line in lines:
        flat += tokens(line)
        flat.append(Token("newline", b"\n"))
        starts.append(len(flat))
    return _Cut(lines, flat, starts)


def _token_edits(base: _Cut, side: _Cut) -> list[Edit]:
    """Return the side's edits token by token: lines it kept hold the alignment, only lines it replaced are compared inside."""
    out: list[Edit] = []
    for edit in diff(base.lines, side.lines):
        start, stop = base.starts[edit.start], base.starts[edit.stop]
        new_start, new_stop = side.starts[edit.new_start], side.starts[edit.new_stop]
        inner = _without_islands(diff(base.flat[start:stop], side.flat[new_start:new_stop]), base.flat[start:stop])
        out += [Edit(e.start + start, e.stop + start, e.new_start + new_start, e.new_stop + new_start) for e in inner]
    return out


def _without_islands(edits: Sequence[Edit], base: Sequence[Token]) -> list[Edit]:
    """Join neighbours that only white space or operators part, fewer than either neighbour changes: such tokens agree by chance.

    The idea is the semantic clean-up of Fraser's diff-match-patch, by tokens instead of characters.
    """
    out: list[Edit] = []
    for edit in edits:
        if out:
            before = out[-1]
            island = base[before.stop : edit.start]
            weak = all(token.kind in ("space", "newline", "operator") for token in island)
            if weak and len(island) < min(_extent(before), _extent(edit)):
                out[-1] = Edit(before.start, edit.stop, before.new_start, edit.new_stop)
                continue
        out.append(edit)
    return out


def _extent(edit: Edit) -> int:
    return max(edit.stop - edit.start, edit.new_stop - edit.new_start)


def _kept(base: Sequence[Token], edits: Sequence[Edit]) -> float:
    """Return the share of the base's tokens, white space aside, that survive."""

    def weight(some: Sequence[Token]) -> int:
        return sum(1 for token in some if token.kind not in ("space", "newline"))

    whole = weight(base)
    return 1.0 if whole == 0 else 1 - sum(weight(base[edit.start : edit.stop]) for edit in edits) / whole
