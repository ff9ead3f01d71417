"""Making foreign text safe to show."""

import re

from hypothesis import given
from hypothesis import strategies as st

from backstory.harness.untrusted import code_span, fenced, inert_log
from backstory.tools.visible import clean, one_line


def test_sequences_that_drive_a_terminal_are_taken_out_whole():
    """Colours, titles, links and clipboard writes leave no residue; the visible words stay."""
    text = "a\x1b[2Jb\x1b]52;c;aGk=\x07c\x1b]8;;http://x\x1b\\d\x9b1me\x1bPq\x1b\\f"
    assert clean(text).text == "abcdef"


def test_invisible_characters_are_taken_out_and_counted():
    """Bidi, zero-width and tag characters disappear; the count says how many."""
    assert clean("a\u202eb\u200bc\U000e0041d\ufeff").text == "abcd"
    assert clean("a\u202eb\u200bc\U000e0041d\ufeff").removed == 4


def test_ordinary_text_is_left_alone():
    """Tabs, newlines, accents and emoji stay, and nothing counts as removed."""
    cleaned = clean("naïve\tvalue\r\n  日本 🙂\n")
    assert (cleaned.text, cleaned.removed) == ("naïve\tvalue\n  日本 🙂\n", 0)


def test_bytes_that_are_not_utf8_can_be_printed():
    """A surrogate escape becomes a replacement character, so that printing it cannot fail."""
    assert clean("caf\udce9").text.encode() == "caf\ufffd".encode()


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text):
    """What is cleaned is clean."""
    once = clean(text).text
    assert clean(once).text == once
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", once)


@given(st.text(alphabet="`~ab\n:#[@", max_size=40))
def test_a_fence_is_closed_only_by_its_own_last_line(text):
    """No line inside a fence is as long a run of backticks as the fence."""
    first, *inside, last = fenced(text).split("\n")
    assert set(first) == {"`"} and first == last
    assert all(first not in line for line in inside)


@given(st.text(alphabet="`a @<", min_size=1, max_size=20))
def test_a_code_span_holds_its_text(text):
    """The delimiter of a code span does not occur in it."""
    span = code_span(text)
    if span:
        ticks = re.match("`+", span)[0]
        if not span.startswith(ticks + " "):
            assert ticks not in span[len(ticks) : -len(ticks)]


def test_workflow_commands_are_inert():
    """A line that a runner would obey is broken up; other lines stay."""
    assert inert_log("ok\n::set-output name=x::y\n  ::error::z\nx ##[group]q\na::b") == (
        "ok\n: :set-output name=x::y\n  : :error::z\nx # #[group]q\na::b"
    )


def test_a_line_is_one_line_of_bounded_length():
    """White space folds and a long line ends with an ellipsis."""
    assert one_line("a\n\n b\t c") == "a b c"
    assert one_line("x" * 300, limit=10) == "x" * 9 + "…"
