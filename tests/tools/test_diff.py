"""tools/diff.py against a plain quadratic reference and its own inverse."""

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.tools.diff import MYERS_LIMIT, Edit, apply, carried, diff

SEQUENCES = st.lists(st.sampled_from("abcde"), max_size=14)


def longest_common(a, b) -> int:
    """The length of a longest common subsequence, by the textbook table."""
    row = [0] * (len(b) + 1)
    for x in a:
        before = row[:]
        for j, y in enumerate(b):
            row[j + 1] = before[j] + 1 if x == y else max(before[j + 1], row[j])
    return row[-1]


@given(SEQUENCES, SEQUENCES)
@settings(deadline=None)
def test_applying_a_diff_gives_the_new_sequence(a, b):
    """apply(diff(a, b)) = b."""
    assert apply(diff(a, b), a, b) == b


@given(SEQUENCES, SEQUENCES)
@settings(deadline=None)
def test_a_diff_is_as_short_as_can_be(a, b):
    """The elements removed and added are all those outside a longest common subsequence, and edits never touch."""
    edits = diff(a, b)
    assert sum(edit.size for edit in edits) == len(a) + len(b) - 2 * longest_common(a, b)
    assert all(before.stop < after.start for before, after in pairwise(edits))


@given(SEQUENCES, SEQUENCES)
@settings(deadline=None)
def test_what_a_diff_keeps_is_equal_on_both_sides(a, b):
    """Between two edits the sequences agree, and `carried` finds a kept element's new place."""
    edits = diff(a, b)
    changed = {i for edit in edits for i in range(edit.start, edit.stop)}
    for i in set(range(len(a))) - changed:
        assert b[carried(edits, i)] == a[i]


def test_a_repeated_line_is_inserted_as_late_as_possible():
    """Of the places an insertion can have, the last is taken, as git does."""
    assert diff("aab", "aaab") == [Edit(2, 2, 2, 3)]
    assert diff("xyxy", "xyxyxy") == [Edit(4, 4, 4, 6)]
    assert diff("xyxyxy", "xyxy") == [Edit(4, 6, 4, 4)]


def test_past_the_limit_the_script_is_still_right():
    """Sequences too different for the exact search are cut at their unique elements."""
    dice = random.Random(7)
    a = [dice.randrange(4 * MYERS_LIMIT) for _ in range(4 * MYERS_LIMIT)]
    b = a[:MYERS_LIMIT] + [dice.randrange(4 * MYERS_LIMIT) for _ in range(3 * MYERS_LIMIT)]
    edits = diff(a, b)
    assert apply(edits, a, b) == b
    assert edits[0].start >= MYERS_LIMIT


def test_a_block_moved_past_many_lines_is_one_deletion_and_one_insertion():
    """Only the shorter half of a rotation moves."""
    a = list(range(3000))
    assert len(diff(a, a[1000:] + a[:1000])) == 2
