"""Arithmetic of changed stretches: where lines of the new side were on the old side, and what a change did inside a span.

Hunks are git's with no context, in order. Where a hunk has no lines on a side, its number there is the line *before* the place. Files of thousands
of changed stretches are asked about line by line, so what has to do with a span is found by bisection.
"""

from bisect import bisect_left, bisect_right
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


def nearby(hunks: Sequence[Hunk], span: Span) -> Sequence[Hunk]:
    """Return the hunks that change a line of `span` on the new side, or stand right before or after it."""
    return hunks[bisect_left(hunks, span.first - 1, key=_new_last) : bisect_right(hunks, span.last + 1, key=_new_first)]


def near(hunks: Sequence[Hunk], span: Span) -> bool:
    """Return whether there are any `nearby`."""
    return bool(nearby(hunks, span))


def inside(hunks: Sequence[Hunk], new: Span | None, old: Span | None) -> Inside:
    """Return how much was added inside `new` and removed inside `old`; None is a side where the place is not."""
    added = sum(_shared(new_lines(hunk), new) for hunk in nearby(hunks, new)) if new is not None else 0
    removed = sum(_shared(old_lines(hunk), old) for hunk in hunks) if old is not None else 0
    return Inside(added, removed)


def shifted_back(hunks: Sequence[Hunk], span: Span) -> Span:
    """Return where a span that no hunk is near was before.

    >>> shifted_back([Hunk(0, 0, 1, 3)], Span(10, 12))
    Span(first=7, last=9)
    """
    shift = _shift_after(hunks, bisect_right(hunks, span.first, key=_new_first))
    return Span(span.first + shift, span.last + shift)


def turned(hunks: Sequence[Hunk]) -> Sequence[Hunk]:
    """Return hunks with their sides exchanged, so that what is said of going back holds for going on."""
    return [Hunk(hunk.new_first, hunk.new_count, hunk.old_first, hunk.old_count) for hunk in hunks]


def traced_back(hunks: Sequence[Hunk], span: Span) -> Span | None:
    """Return the old lines a span of new lines grew from: those kept, and all that a hunk inside it replaced; None when all of it is new.

    A hunk that reaches out of the span at one end is cut there in proportion: as many lines in from its own end, at most all.

    >>> traced_back([Hunk(2, 1, 2, 2)], Span(1, 4))
    Span(first=1, last=3)
    >>> traced_back([Hunk(1, 0, 2, 2)], Span(2, 3)) is None
    True
    """
    at = bisect_left(hunks, span.first, key=_new_last)
    shift, place = _shift_after(hunks, at), span.first  # new lines from here to the next hunk are old lines at this distance
    firsts: list[int] = []
    lasts: list[int] = []

    def add(first: int, last: int) -> None:
        if first <= last:
            firsts.append(first)
            lasts.append(last)

    for hunk in hunks[at : bisect_right(hunks, span.last, key=_new_first)]:
        new, old = new_lines(hunk), old_lines(hunk)
        add(place + shift, new.first - 1 + shift)
        add(old.first + max(0, span.first - new.first), old.last - max(0, new.last - span.last))
        place, shift = new.last + 1, old.last - new.last
    add(place + shift, span.last + shift)
    return Span(firsts[0], lasts[-1]) if firsts else None


def _new_first(hunk: Hunk) -> int:
    return hunk.new_first if hunk.new_count else hunk.new_first + 1


def _new_last(hunk: Hunk) -> int:
    return hunk.new_first + hunk.new_count - 1 if hunk.new_count else hunk.new_first


def _shift_after(hunks: Sequence[Hunk], count: int) -> int:
    """Return how far old lines are from new ones right after so many hunks."""
    return old_lines(hunks[count - 1]).last - _new_last(hunks[count - 1]) if count else 0


def _shared(lines: Span, span: Span) -> int:
    return max(0, min(lines.last, span.last) - max(lines.first, span.first) + 1)
