"""What a program printed, as visible text."""

import re
import unicodedata

# ECMA-48: control sequences; strings (titles, links, clipboard) up to their end; other escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?"
)
_LINE_ENDS = re.compile("\r\n|\r|\u2028|\u2029|\x85")
_REMOVED = ("Cc", "Cf", "Co", "Cs")  # control, format (bidi, zero-width, tags), private use, surrogates


def visible(output: bytes) -> str:
    r"""Return output without escape sequences and invisible characters; tabs and newlines stay, bytes that are no UTF-8 become U+FFFD.

    >>> visible(b"a\x1b[31mred\x1b[0m\r\n\xff")
    'ared\n�'
    """
    text = _ESCAPES.sub("", _LINE_ENDS.sub("\n", output.decode("utf-8", "replace")))
    if text.isascii() and text.isprintable():
        return text
    return "".join(mark for mark in text if mark in "\n\t" or (mark.isprintable() or unicodedata.category(mark) not in _REMOVED))
