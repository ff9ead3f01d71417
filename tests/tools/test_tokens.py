"""tools/tokens.py: nothing is lost, and what belongs together stays together."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.tools.tokens import tokens


@given(st.binary(max_size=60) | st.text(alphabet="ab1 '\"\\\n\r\t=<>!", max_size=40).map(str.encode))
@settings(deadline=None)
def test_joined_tokens_are_the_text(text):
    """No byte is lost or made up, whatever the text."""
    assert b"".join(token.text for token in tokens(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a>=10", [b"a", b">=", b"10"]),
        (b"x==='it\\'s'", [b"x", b"===", b"'it\\'s'"]),
        (b"rb'\\d' f'{x}'", [b"rb'\\d'", b" ", b"f'{x}'"]),
        (b"don't", [b"don", b"'", b"t"]),
        ("naïve = 1.5e3".encode(), ["naïve".encode(), b" ", b"=", b" ", b"1.5e3"]),
        (b"a\r\nb", [b"a", b"\r\n", b"b"]),
        (b"a  \tb", [b"a", b"  \t", b"b"]),
    ],
)
def test_tokens_are_what_a_reader_sees(text, expected):
    """Operators are taken whole, a string on one line is one token, words may be in any script."""
    assert [token.text for token in tokens(text)] == expected
