"""Answers are held to their budget, whatever is put into them."""

from hypothesis import given
from hypothesis import strategies as st

from backstory.tools.page import TOKEN_BYTES, answer, label, shown_id, size

LINES = st.lists(st.text(alphabet=st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=60), max_size=12)


@given(head=LINES, rows=LINES, tail=LINES, budget=st.integers(1, 60))
def test_no_answer_is_over_its_budget(head, rows, tail, budget):
    """Whatever head, rows and tail are, the text takes no more bytes than the budget's tokens stand for."""
    said = answer(head, rows, tail=tail, budget=budget, more=lambda n: f"({n} more)")
    assert size(said.text) <= budget * TOKEN_BYTES


@given(rows=st.lists(st.text(alphabet="abc é", min_size=1, max_size=30), max_size=40), budget=st.integers(20, 80))
def test_the_first_rows_are_kept_and_the_rest_is_counted(rows, budget):
    """What fits is the beginning of the rows, and the last line says how many did not."""
    said = answer(["head"], rows, budget=budget, more=lambda n: f"({n} more)")
    lines = said.text.split("\n")
    if said.dropped_chars:
        kept = len(lines) - 2
        assert lines == ["head", *rows[:kept], f"({len(rows) - kept} more)"]
        assert said.dropped_chars == len("\n".join(rows[kept:]))
    else:
        assert lines == ["head", *rows]


def test_labels_are_one_visible_line():
    """A name or a subject from elsewhere cannot break out of its line, hide, or move a cursor; an id is not cut where a label is."""
    hostile = "a\x1b[2Jb\nc\u202ed\x00e" + "x" * 200
    assert label(hostile) == ("ab cde" + "x" * 200)[:159] + "…"
    assert shown_id(hostile) == "ab cde" + "x" * 200
