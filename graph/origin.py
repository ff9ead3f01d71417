"""Which commit each line of a file comes from: what `git blame --incremental` prints, as values, and the form it is kept in."""

import json
import re
import zlib
from collections.abc import Sequence

from backstory.errors import DamagedStore
from backstory.graph.types import Oid, RepoPath, Span

ORIGIN_KIND = "origin"
ORIGIN_VERSION = "1"
IGNORED_FILE = RepoPath(".git-blame-ignore-revs")
"""Where repositories by custom list the commits that blame should look through, mass reformatting above all; forges read it there."""

_OID = re.compile(rb"[0-9a-f]{40}")


def line_count(text: bytes) -> int:
    """Return how many lines git counts in a file; a last one without its newline is one."""
    return text.count(b"\n") + (not text.endswith(b"\n") and bool(text))


def ignored_commits(text: bytes) -> frozenset[Oid]:
    """Return the full commit ids a file of commits to ignore lists, one a line, comments after `#`."""
    lines = (line.partition(b"#")[0].strip().lower() for line in text.splitlines())
    return frozenset(Oid(line.decode("ascii")) for line in lines if _OID.fullmatch(line))


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


def within(origin: Sequence[tuple[Span, Oid]], span: Span | None) -> list[tuple[Span, Oid]]:
    """Return the part of an origin that lies in a span; all of it for None."""
    if span is None:
        return list(origin)
    return [(Span(max(one.first, span.first), min(one.last, span.last)), oid) for one, oid in origin if one.overlaps(span)]


def pack_origin(origin: Sequence[tuple[Span, Oid]]) -> bytes:
    """Return an origin as bytes; `unpack_origin` is the inverse. Each commit is written once."""
    numbers: dict[Oid, int] = {}
    rows = [(span.first, span.last, numbers.setdefault(oid, len(numbers))) for span, oid in origin]
    return zlib.compress(json.dumps([list(numbers), rows], separators=(",", ":")).encode("ascii"))


def unpack_origin(payload: bytes) -> list[tuple[Span, Oid]]:
    """Return the origin that was packed. Raises StorageError when the payload is damaged."""
    try:
        oids, rows = json.loads(zlib.decompress(payload))
        return [(Span(first, last), oids[number]) for first, last, number in rows]
    except (ValueError, TypeError, IndexError, zlib.error) as error:
        raise DamagedStore(f"a stored origin is damaged ({error}); run `backstory cache clear` and try again") from error


def _joined(spans: Sequence[tuple[Span, Oid]]) -> list[tuple[Span, Oid]]:
    joined: list[tuple[Span, Oid]] = []
    for span, oid in spans:
        if joined and joined[-1][1] == oid and joined[-1][0].last + 1 == span.first:
            joined[-1] = (Span(joined[-1][0].first, span.last), oid)
        else:
            joined.append((span, oid))
    return joined
