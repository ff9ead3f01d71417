"""Arithmetic of changed stretches: where lines of the new side were on the old side, and what a change did inside a span.

Hunks are git's with no context, in order. Where a hunk has no lines on a side, its number there is the line *before* the place.
"""

from collections.abc import Sequence
from typing import NamedTuple

from backstory.graph.types import Hunk, Span


class Inside(NamedTuple):
    """How much a change did to a span: lines added on its new side, lines removed on its old side."""

    added: int
    removed: int

    @property
    def touched(self) -> bool:
        """Whether it did anything."""
        return bool(self.added or self.removed)


def old_lines(hunk: Hunk) -> Span:
    """Return the lines a hunk removed; first is after last when there are none."""
    first = hunk.old_first if hunk.old_count else hunk.old_first + 1
    return Span(first, first + hunk.old_count - 1)


def new_lines(hunk: Hunk) -> Span:
    """Return the lines a hunk added; first is after last when there are none."""
    first = hunk.new_first if hunk.new_count else hunk.new_first + 1
    return Span(first, first + hunk.new_count - 1)


def near(hunks: Sequence[Hunk], span: Span) -> bool:
    """Return whether a hunk changes a line of `span` on the new side, or stands right before or after it."""
    return any(new_lines(hunk).first <= span.last + 1 and new_lines(hunk).last >= span.first - 1 for hunk in hunks)


def inside(hunks: Sequence[Hunk], new: Span | None, old: Span | None) -> Inside:
    """Return how much was added inside `new` and removed inside `old`; None is a side where the place is not."""
    added = sum(_shared(new_lines(hunk), new) for hunk in hunks) if new is not None else 0
    removed = sum(_shared(old_lines(hunk), old) for hunk in hunks) if old is not None else 0
    return Inside(added, removed)


def shifted_back(hunks: Sequence[Hunk], span: Span) -> Span:
    """Return where a span that no hunk is near was before.

    >>> shifted_back([Hunk(0, 0, 1, 3)], Span(10, 12))
    Span(first=7, last=9)
    """
    shift = sum(hunk.old_count - hunk.new_count for hunk in hunks if new_lines(hunk).first <= span.first)
    return Span(span.first + shift, span.last + shift)


def traced_back(hunks: Sequence[Hunk], span: Span) -> Span | None:
    """Return the old lines a span of new lines grew from: those kept, and all that a hunk inside it replaced; None when all of it is new.

    A hunk that reaches out of the span at one end is cut there in proportion: as many lines in from its own end, at most all.

    >>> traced_back([Hunk(2, 1, 2, 2)], Span(1, 4))
    Span(first=1, last=3)
    >>> traced_back([Hunk(1, 0, 2, 2)], Span(2, 3)) is None
    True
    """
    found: list[Span] = []
    kept_from, shift = 1, 0  # new lines from here to the next hunk are old lines at this distance
    for hunk in hunks:
        new, old = new_lines(hunk), old_lines(hunk)
        found.append(_part(Span(kept_from, new.first - 1), span, shift))
        if new.overlaps(span) if hunk.new_count else span.first < new.first <= span.last:
            before, after = max(0, span.first - new.first), max(0, new.last - span.last)
            found.append(Span(old.first + before, old.last - after))
        kept_from, shift = new.last + 1, shift + hunk.old_count - hunk.new_count
    found.append(_part(Span(kept_from, span.last), span, shift))
    parts = [part for part in found if part.first <= part.last]
    return Span(parts[0].first, parts[-1].last) if parts else None


def _part(kept: Span, span: Span, shift: int) -> Span:
    """Return the old lines of those kept lines that lie in `span`; first is after last when there are none."""
    return Span(max(kept.first, span.first) + shift, min(kept.last, span.last) + shift)


def _shared(lines: Span, span: Span) -> int:
    return max(0, min(lines.last, span.last) - max(lines.first, span.first) + 1)
