"""Text from elsewhere, with everything taken out that a reader would not see."""

import re
from dataclasses import dataclass

# ECMA-48 control sequences: CSI; OSC, DCS, SOS, PM and APC up to their terminator; other two-byte escapes. 7-bit and 8-bit introducers.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
# C0 but tab and newline, DEL, C1; soft hyphen, Arabic letter mark, Mongolian vowel separator; zero-width and bidi marks; invisible operators;
# byte order mark; interlinear marks; tag characters and the supplementary variation selectors, both used to smuggle text.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e01ef]"
)
_LINE_ENDS = re.compile("\r\n|\r|\u2028|\u2029|\x85")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Cleaned:
    """Visible text, and how many characters were taken out of it (line ends made uniform do not count)."""

    text: str
    removed: int


def clean(text: str) -> Cleaned:
    r"""Return `text` without control sequences, control characters and invisible characters; tabs and newlines stay.

    Every line end becomes a newline. Half surrogates, which stand for bytes that are not UTF-8, become U+FFFD.

    >>> clean("a\x1b[31mred\x1b[0m")
    Cleaned(text='ared', removed=9)
    """
    uniform = _LINE_ENDS.sub("\n", text)
    visible = _INVISIBLE.sub("", _SEQUENCES.sub("", uniform))
    return Cleaned(_SURROGATES.sub("\ufffd", visible), len(uniform) - len(visible))


def visible(output: bytes) -> str:
    r"""Return what a program printed, cleaned; bytes that are no UTF-8 become U+FFFD.

    >>> visible(b"a\x1b[31mred\x1b[0m\r\n\xff")
    'ared\n\ufffd'
    """
    return clean(output.decode("utf-8", "replace")).text


def one_line(text: str, *, limit: int = 200) -> str:
    """Return `text` cleaned, on one line with white space folded, at most `limit` characters."""
    folded = " ".join(clean(text).text.split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"
