"""tools/lines.py: texts come apart and together without losing a byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.tools.lines import is_binary, join_lines, line_end, mixes_line_ends, split_lines


@given(st.binary(max_size=30) | st.text(alphabet="a\r\n", max_size=12).map(str.encode))
@settings(deadline=None)
def test_joined_lines_are_the_text(text):
    """Whatever ends the lines, mixed or not, with or without a newline at the end."""
    mixed = mixes_line_ends(text)
    assert join_lines(split_lines(text, keep_cr=mixed), like=text, keep_cr=mixed) == text


@pytest.mark.parametrize(("text", "end"), [(b"a", None), (b"a\nb", b"\n"), (b"a\r\nb", b"\r\n"), (b"a\r\nb\n", b""), (b"a\r\nb\r", b"")])
def test_line_ends_are_told(text, end):
    """None where there is none, empty where they are mixed."""
    assert line_end(text) == end


def test_a_nul_among_the_first_bytes_makes_binary():
    """As git decides."""
    assert is_binary(b"a\0b")
    assert not is_binary(b"a" * 8000 + b"\0")
