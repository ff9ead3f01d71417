"""Lines are carried back through changes as a plain count of lines says."""

from hypothesis import given
from hypothesis import strategies as st

from backstory.graph.hunks import inside, near, new_lines, old_lines, shifted_back, traced_back
from backstory.graph.types import Hunk, Span


@st.composite
def changes(draw):
    """Return (hunks, for each new line the old line it is or None), with at least one kept line between hunks."""
    hunks, origin = [], []
    old = new = 0
    for kept, removed, added in draw(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, 3)), max_size=5)):
        origin += range(old + 1, old + kept + 1)
        old, new = old + kept, new + kept
        if removed or added:
            hunks.append(Hunk(old + 1 if removed else old, removed, new + 1 if added else new, added))
        origin += [None] * added
        old, new = old + removed, new + added
    tail = draw(st.integers(1, 4))
    return tuple(hunks), origin + list(range(old + 1, old + tail + 1))


@given(changes(), st.data())
def test_a_span_is_carried_back_to_the_lines_it_grew_from(change, data):
    """The old span reaches from the first to the last old line that is kept in the span or removed by a hunk inside it."""
    hunks, origin = change
    first = data.draw(st.integers(1, len(origin)))
    span = Span(first, data.draw(st.integers(first, len(origin))))
    expected = {old for new, old in enumerate(origin, 1) if new in span and old is not None}
    cut = False
    for hunk in hunks:
        new, old = new_lines(hunk), old_lines(hunk)
        if hunk.new_count and new.overlaps(span):
            cut |= not (span.first <= new.first and new.last <= span.last)
            expected |= set(range(old.first, old.last + 1))
        elif not hunk.new_count and span.first < new.first <= span.last:
            expected |= set(range(old.first, old.last + 1))
    found = traced_back(hunks, span)
    if not cut:
        assert found == (Span(min(expected), max(expected)) if expected else None)
    elif found is not None:  # what reaches out of the span is cut, never grown
        assert {found.first, found.last} <= expected
    kept = {old for new, old in enumerate(origin, 1) if new in span and old is not None}
    assert not kept or (found is not None and found.first <= min(kept) and max(kept) <= found.last)


@given(changes(), st.data())
def test_a_span_no_hunk_is_near_only_moves(change, data):
    """Where nothing is near, nothing was added or removed and both ways back agree."""
    hunks, origin = change
    first = data.draw(st.integers(1, len(origin)))
    span = Span(first, data.draw(st.integers(first, len(origin))))
    if near(hunks, span):
        return
    old = shifted_back(hunks, span)
    assert [origin[line - 1] for line in range(span.first, span.last + 1)] == list(range(old.first, old.last + 1))
    assert old == traced_back(hunks, span) and not inside(hunks, span, old).touched


@given(changes())
def test_a_whole_file_holds_all_that_was_done(change):
    """Inside the whole of both sides lie all lines added and removed."""
    hunks, origin = change
    all_lines = Span(1, len(origin) + 100)
    assert inside(hunks, all_lines, all_lines) == (sum(h.new_count for h in hunks), sum(h.old_count for h in hunks))
