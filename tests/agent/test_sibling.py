"""agent/sibling.py: a past fix carried to a place that looks alike, and left where it does not fit."""

import pytest

from backstory.agent.repair import Sieve
from backstory.agent.sibling import LEAST_TOKENS, PastEdit, sibling_proposals
from backstory.graph.types import Location, Span

BEFORE = """\
def read_header(stream):
    size = stream.read_int()
    header = stream.read(size)
    return parse(header)
"""
AFTER = BEFORE.replace("    header =", "    if size < 0:\n        raise ValueError('negative size')\n    header =")

SIBLING = """\
class Reader:
    def read_body(stream):
        count = stream.read_int()
        body = stream.read(count)
        return parse(body)

    def other(self):
        return 1
"""

EVERYWHERE = Span(1, 99)


def carried(before, after, today, *, span=EVERYWHERE, path="today.py"):
    """The texts proposed for today's file, and the proposals."""
    texts = {path: today.encode()}
    edit = PastEdit("f" * 40, "Refuse negative sizes", "past.py", before.encode(), after.encode())
    found = list(Sieve(today=texts.get)(sibling_proposals([edit], [Location(path, span, None, 0.8, ())], today=texts.get)))
    return [proposal.edits[path].decode() for proposal in found], found


def test_a_guard_is_carried_to_a_sibling_with_its_names_and_depth():
    """Names are today's, the indentation is the method's, and the evidence names the past commit."""
    texts, found = carried(BEFORE, AFTER, SIBLING)
    assert texts == [
        SIBLING.replace("        body =", "        if count < 0:\n            raise ValueError('negative size')\n        body =")
    ]
    assert (found[0].kind, found[0].size) == ("sibling", 2)
    (why,) = found[0].why
    assert (why.kind, why.ref) == ("sibling", "f" * 40)
    assert why.note.startswith("'Refuse negative sizes' made this edit in past.py; here with")
    assert "size to count" in why.note


def test_a_changed_line_is_carried_inside_the_line():
    """A replaced line is renamed word by word."""
    before = "total = sum(price for price in basket.items if price > limit)\n"
    texts, _ = carried(before, before.replace(">", ">="), "total = sum(cost for cost in basket.items if cost > limit)\n")
    assert texts == ["total = sum(cost for cost in basket.items if cost >= limit)\n"]


def test_places_nobody_points_at_are_left_alone():
    """Only located lines are repaired."""
    assert carried(BEFORE, AFTER, SIBLING, span=Span(7, 8))[0] == []


def test_a_sibling_that_has_its_fix_is_left_alone():
    """The place the fix was made at does not receive it twice."""
    assert carried(BEFORE, AFTER, AFTER)[0] == []


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("read(count)", "read(stream)", "one name would stand for two"),
        ("stream.read(count)", "stream.read(count, 1)", "the line after the place has another shape"),
        ("return", "stream.close(); return", "nothing"),
        ("stream.read_int", "source.whole", "names do not stand for the same ones throughout"),
    ],
)
def test_what_only_resembles_is_not_a_sibling(old, new, why):
    """Precision first: a wrong fit costs a trial. A line further off may differ."""
    texts, _ = carried(BEFORE, AFTER, SIBLING.replace(old, new))
    assert len(texts) == (why == "nothing")


def test_places_that_share_few_names_are_not_siblings():
    """Any two pairs of calls have one shape; without common names they are strangers."""
    stranger = "def cook(pot):\n    salt = pot.pinch()\n    soup = pot.boil(salt)\n    return serve(soup)\n"
    assert carried(BEFORE, AFTER, stranger)[0] == []


def test_a_new_name_that_today_does_not_know_is_not_carried():
    """The fix called a function that this file has not."""
    assert carried(BEFORE, AFTER.replace("raise ValueError('negative size')", "refuse_size()"), SIBLING)[0] == []
    known = SIBLING + "\ndef refuse_size(): pass\n"
    assert len(carried(BEFORE, AFTER.replace("raise ValueError('negative size')", "refuse_size()"), known)[0]) == 1


def test_short_edits_fit_anywhere_and_so_nowhere():
    """Fewer tokens than LEAST_TOKENS are no evidence."""
    assert LEAST_TOKENS == 10
    assert carried("a = b\n", "a = c\n", "a = b\nc = 1\n")[0] == []


def test_line_ends_stay_as_today():
    """CRLF in, CRLF out."""
    texts, _ = carried(BEFORE, AFTER, SIBLING.replace("\n", "\r\n"))
    assert texts[0].count("\r\n") == texts[0].count("\n") == SIBLING.count("\n") + 2


def test_the_strongest_fit_comes_first():
    """Longer fits with more of the same names lead."""
    twin = BEFORE.replace("read_header", "read_twin")
    texts, _ = carried(BEFORE, AFTER, SIBLING + "\n\n" + twin)
    assert "if size < 0" in texts[0]
    assert "if count < 0" in texts[1]


def test_binary_and_missing_files_are_passed_over():
    """Nothing to fit."""
    location = Location("gone.py", Span(1, 9), None, 1.0, ())
    edit = PastEdit("f" * 40, "x", "logo.png", b"\0a", b"\0b")
    assert list(sibling_proposals([edit], [location], today={}.get)) == []
    assert list(sibling_proposals([edit], [location], today={"gone.py": b"a = 1\n"}.get)) == []
