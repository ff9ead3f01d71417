r"""Cuts source text into words, numbers, strings, operators and white space, for any language, without a grammar.

The same few rules serve Python, JavaScript, C and prose; what they lose (strings over several lines, comments, regular expressions) costs a merge
some precision but never a byte: joined, the tokens are the text again.

>>> [token.text for token in tokens(b'if n >= 10:  # "a b"')]
[b'if', b' ', b'n', b' ', b'>=', b' ', b'10', b':', b'  ', b'#', b' ', b'"a b"']
"""

import re
from typing import Literal, NamedTuple

TokenKind = Literal["word", "number", "string", "operator", "space", "newline"]


class Token(NamedTuple):
    """A piece of text that means something by itself. A string is one token only when it ends on its own line."""

    kind: TokenKind
    text: bytes


# Alternatives are tried in order: a prefixed string before the word its prefix would make, long operators before short ones.
_TOKEN = re.compile(
    rb"""
      (?P<newline>\r?\n)
    | (?P<space>[^\S\n]+)
    | (?P<string>(?:[rbfuRBFU]{1,2}(?=['"]))?(?P<quote>['"`])(?:\\[^\n]|(?!(?P=quote))[^\\\n])*(?P=quote))
    | (?P<number>[0-9]+(?:\.[0-9]+)?[0-9A-Za-z_]*)
    | (?P<word>[A-Za-z_$\x80-\xff][0-9A-Za-z_$\x80-\xff]*)
    | (?P<operator>===|!==|\*\*=|//=|<<=|>>=|\.\.\.|&&|\|\||[-+*/%@&|^<>=!:]=|->|=>|\*\*|//|<<|>>|\+\+|--|::|\?\?|\?\.|[\x00-\xff])
    """,
    re.VERBOSE,
)
_KINDS: tuple[TokenKind, ...] = ("newline", "space", "string", "number", "word", "operator")


def tokens(text: bytes) -> list[Token]:
    """Return the tokens of `text` in order; joined, they are `text`."""
    return [Token(_kind(found), found[0]) for found in _TOKEN.finditer(text)]


def _kind(found: re.Match[bytes]) -> TokenKind:
    return next(kind for kind in _KINDS if found[kind] is not None)
