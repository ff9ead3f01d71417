"""Reading `git blame --incremental`: which commit each line of a file comes from."""

from collections.abc import Sequence

from backstory.graph.types import Oid, Span


def line_count(text: bytes) -> int:
    """Return how many lines git counts in a file; a last one without its newline is one."""
    return text.count(b"\n") + (not text.endswith(b"\n") and bool(text))


def read_blame(said: bytes) -> list[tuple[Span, Oid]]:
    """Return the spans of a blame in line order, neighbouring ones of one commit joined.

    Each begins with a line `oid old-line new-line count`; the lines about the commit that follow it are passed over.
    """
    found: list[tuple[Span, Oid]] = []
    for line in said.split(b"\n"):
        words = line.split(b" ")
        if len(words) == 4 and len(words[0]) == 40 and words[1].isdigit() and words[2].isdigit() and words[3].isdigit():
            first = int(words[2])
            found.append((Span(first, first + int(words[3]) - 1), Oid(words[0].decode("ascii"))))
    return _joined(sorted(found))


def _joined(spans: Sequence[tuple[Span, Oid]]) -> list[tuple[Span, Oid]]:
    joined: list[tuple[Span, Oid]] = []
    for span, oid in spans:
        if joined and joined[-1][1] == oid and joined[-1][0].last + 1 == span.first:
            joined[-1] = (Span(joined[-1][0].first, span.last), oid)
        else:
            joined.append((span, oid))
    return joined
