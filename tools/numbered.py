"""Lines of a file with their numbers, so that a reader can copy the text exactly.

A line is `12|text`: the number, one bar, the bytes of the line as text, tabs and trailing blanks included. What cannot be shown as it is (control
characters, bytes that are not UTF-8, a line that is cut) is named after the lines, because such a line cannot be copied.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from backstory.graph.types import Span
from backstory.tools.lines import line_end, split_lines
from backstory.tools.visible import clean

LINE_CHARS = 600  # of one line; code written by people stays below, data and generated code do not
NAMED = 12  # line numbers named in a note


@dataclass(frozen=True)
class Numbered:
    """Some lines ready to be shown, and what a reader must know before copying one.

    altered: numbers of lines whose text is not what the file holds. cut: of lines too long to be shown whole.
    """

    rows: tuple[str, ...]
    altered: tuple[int, ...]
    cut: tuple[int, ...]

    def notes(self) -> list[str]:
        """Return what must be said of these lines, if anything."""
        said = []
        if self.altered:
            said.append(f"(line {_listed(self.altered)}: characters that cannot be shown were taken out; do not copy)")
        if self.cut:
            said.append(f"(line {_listed(self.cut)}: cut; do not copy)")
        return said


def numbered(lines: Sequence[bytes], span: Span, *, line_chars: int = LINE_CHARS) -> Numbered:
    """Return lines `span` of a file, given all its lines without their ends."""
    width = len(str(span.last))
    rows: list[str] = []
    altered: list[int] = []
    cut: list[int] = []
    for number in range(span.first, span.last + 1):
        text, is_whole = shown(lines[number - 1])
        if not is_whole:
            altered.append(number)
        if len(text) > line_chars:
            cut.append(number)
            text = f"{text[:line_chars]}…[{len(text) - line_chars} characters more]"
        rows.append(f"{number:{width}}|{text}")
    return Numbered(tuple(rows), tuple(altered), tuple(cut))


def shown(line: bytes) -> tuple[str, bool]:
    """Return a line as visible text of one line, and whether that is all it holds."""
    text = line.decode("utf-8", "replace")
    visible = clean(text.rstrip("\r")).text.replace("\n", " ")
    return visible, visible == text and (line.isascii() or text.encode() == line)


def lines_and_notes(source: bytes) -> tuple[list[bytes], list[str]]:
    """Return the lines of a file without their ends, and what is to be said of how they end.

    Where LF and CRLF are mixed, the CR stays on its line, as one of the characters that are not shown.
    """
    end = line_end(source)
    lines = split_lines(source, keep_cr=end == b"")
    notes = []
    if end == b"\r\n":
        notes.append("lines end in CRLF")
    if end == b"":
        notes.append("LF and CRLF are mixed")
    if not is_utf8(source):
        notes.append("not UTF-8")
    if source and not source.endswith(b"\n"):
        notes.append("no newline at the end")
    return lines, notes


def is_utf8(source: bytes) -> bool:
    """Return whether bytes are text in UTF-8."""
    try:
        source.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _listed(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, numbers[:NAMED]))
    return named if len(numbers) <= NAMED else f"{named} and {len(numbers) - NAMED} more"
