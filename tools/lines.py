"""Lines and line ends: a text as lines without their ends, and back, to the byte.

What ends the lines and whether the last line is ended at all are facts of the file (`Layout`), so that lines of files that differ in them can be
compared. A text that mixes LF and CRLF keeps the CR on its lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

BINARY_PREFIX = 8000
"""Bytes searched for a NUL to tell binary from text: git's own rule (xdiff-interface.c, FIRST_FEW_BYTES)."""

Lines = Sequence[bytes]
T = TypeVar("T")


def is_binary(text: bytes) -> bool:
    """Return whether git would call this binary: a NUL among the first bytes."""
    return b"\0" in text[:BINARY_PREFIX]


def split_lines(text: bytes, *, keep_cr: bool = False) -> list[bytes]:
    """Return the lines without their ends. keep_cr: leave the CR of CRLF on the line, for text that mixes both.

    A missing newline at the end makes no difference: that is a fact of the file, not of its last line.
    """
    if not text:
        return []
    lines = text.removesuffix(b"\n").split(b"\n")
    return lines if keep_cr else [line.removesuffix(b"\r") for line in lines]


def join_lines(lines: Lines, *, like: bytes, keep_cr: bool = False) -> bytes:
    """Return the text of `lines` with the line ends of `like`, and with or without a newline at its end, as there.

    keep_cr: whether `split_lines` was told so, and a CR is still on its line.
    """
    end = b"\n" if keep_cr else line_end(like) or b"\n"
    return Layout(end, not like or like.endswith(b"\n"), keep_cr).joined(lines)


def mixes_line_ends(*texts: bytes) -> bool:
    """Return whether one of `texts` has both LF and CRLF, so that their lines must be compared with the CR on."""
    return any(line_end(text) == b"" for text in texts)


@dataclass(frozen=True)
class Layout:
    """How lines are joined to a file. mixed: a version mixes line ends, so a CR stays on its line. closed: a newline ends the last line."""

    end: bytes
    closed: bool
    mixed: bool

    def joined(self, lines: Lines) -> bytes:
        # An empty last line exists only by the newline that ends it.
        closed = lines and (self.closed or not lines[-1])
        return self.end.join(lines) + (self.end if closed else b"")


def merged_layout(base: bytes, ours: bytes, theirs: bytes) -> Layout:
    """Return the layout of the merge: what one side changed holds; where both did, differently, it is LF and a newline at the end."""
    closed = [version.endswith(b"\n") if version else None for version in (base, ours, theirs)]
    ends = [line_end(version) for version in (base, ours, theirs)]
    mixed = b"" in ends
    end = b"\n" if mixed else _merged_fact(ends[0], ends[1], ends[2], otherwise=b"\n")
    return Layout(end, _merged_fact(closed[0], closed[1], closed[2], otherwise=True), mixed)


def line_end(text: bytes) -> bytes | None:
    """Return what ends the lines of `text` (LF or CRLF): None when it has no line end to tell by, empty when it mixes them."""
    feeds, pairs = text.count(b"\n"), text.count(b"\r\n")
    if (pairs and feeds != pairs) or text.endswith(b"\r"):  # a CR that ends the file ends no line
        return b""
    return (b"\r\n" if pairs else b"\n") if feeds else None


def _merged_fact(base: T | None, ours: T | None, theirs: T | None, *, otherwise: T) -> T:
    """Merge one fact of the file: the side that changed it wins; None is not knowing; otherwise: when both changed it, differently."""
    if ours is None or theirs is None:
        known = theirs if ours is None else ours
        return otherwise if known is None else known
    if ours == theirs:
        return ours
    return theirs if ours == base else ours if theirs == base else otherwise
