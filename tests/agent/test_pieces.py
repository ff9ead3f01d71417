"""agent/pieces.py: hunks come apart and go together again."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.agent.pieces import Piece, hunks, lines_of, put, words_changed

TEXT = st.lists(st.sampled_from([b"if a > b:", b"if a >= b:", b"    return c", b"    return d", b"x = f(y)", b""]), max_size=8)


@given(TEXT, TEXT)
@settings(deadline=None)
def test_all_pieces_together_are_the_change(old, new):
    """put(all pieces) is the new text, also line by line, and pieces do not overlap."""
    pieces = [piece for hunk in hunks(old, new) for piece in hunk]
    assert put(pieces, old) == new
    assert put([line for piece in pieces for line in lines_of(piece)], old) == new
    assert all(before.stop <= after.start for before, after in pairwise(pieces))


def test_a_hunk_that_mixes_things_comes_apart():
    """A dropped guard, a changed line and an added line in one hunk are three pieces."""
    old = [b"if x is None:", b"    return 0", b"y = f(x, limit)", b"end"]
    new = [b"log(name)", b"y = f(x, bound)", b"end"]
    assert hunks(old, new) == [(Piece(0, 0, (b"log(name)",)), Piece(0, 2, ()), Piece(2, 3, (b"y = f(x, bound)",)))]
    assert [piece.kind for piece in hunks(old, new)[0]] == ["add", "remove", "change"]


def test_unlike_lines_are_not_paired():
    """What replaced what is not guessed."""
    ((added, removed),) = hunks([b"alpha()"], [b"beta[gamma]"])
    assert (added.kind, removed.kind) == ("add", "remove")


def test_a_line_changed_at_two_words_comes_apart_by_words():
    """Each changed word alone, against the old line."""
    old = [b"if n >= limit and not done:"]
    assert words_changed(Piece(0, 1, (b"if n > limit and done:",)), old) == [
        Piece(0, 1, (b"if n > limit and not done:",)),
        Piece(0, 1, (b"if n >= limit and done:",)),
    ]
    assert words_changed(Piece(0, 1, (b"if n > limit and not done:",)), old) == []
