"""Who wrote the lines that a commit took out: the edge from a fix to the commits that introduced what it mends.

A fix removes or rewrites lines; whoever last wrote them is the first suspect (Sliwerski, Zimmermann and Zeller 2005, MSR). Lines that carry no
behaviour (blank lines, comments, lone braces, imports) and changes of white space alone are left out, as AG-SZZ does (Kim et al. 2006, ASE). This is
evidence, not a verdict: of 202 fixes with known culprits, 65 in 100 have one among these commits. `backstory.agent.inducers` ranks wider.
"""

import json
import re
import zlib
from collections.abc import Iterable, Sequence

from backstory.errors import DamagedStore
from backstory.graph.hunks import old_lines
from backstory.graph.languages import is_test
from backstory.graph.selection import place_of
from backstory.graph.types import Change, Edge, Hunk, Oid, Span

KIND = "introduced"
VERSION = "1"

# What stands on a line that decides nothing: nothing, punctuation, a comment, an import, a keyword that only closes or opens a block.
_SAYS_NOTHING = re.compile(
    rb"""\s*(?: [{}()\[\];,]* | (?://|/\*|\*(?![^\s/*])|\#(?!\s*(?:if|elif|define))|--(?!\w)|;|\"\"\"|''').*
    | (?:import|from|using|package|use|require)\b.* | (?:\}\s*)?(?:else|try|do|finally|begin|end|pass|break|continue|return)\s*[:;{]?\s* )\s*""",
    re.VERBOSE | re.DOTALL,
)


def telling(line: bytes) -> bool:
    """Return whether a line can carry behaviour.

    >>> [telling(line) for line in (b"  x = 1", b"    }", b"# why", b"#ifdef X", b"import os", b"else:", b"")]
    [True, False, False, True, False, False, False]
    """
    return _SAYS_NOTHING.fullmatch(line) is None


def spans_of(lines: Iterable[int]) -> list[Span]:
    """Return line numbers as spans, in order, neighbouring ones joined.

    >>> spans_of([3, 1, 2, 7])
    [Span(first=1, last=3), Span(first=7, last=7)]
    """
    spans: list[Span] = []
    for line in sorted(set(lines)):
        if spans and spans[-1].last + 1 == line:
            spans[-1] = Span(spans[-1].first, line)
        else:
            spans.append(Span(line, line))
    return spans


def removed_lines(hunks: Iterable[Hunk], text: Sequence[bytes]) -> list[int]:
    """Return the telling lines of the old version that were taken out. text: the lines of that version."""
    gone = (line for hunk in hunks for line in range(old_lines(hunk).first, old_lines(hunk).last + 1))
    return [line for line in gone if line <= len(text) and telling(text[line - 1])]


def mended(changes: Iterable[Change]) -> list[Change]:
    """Return the changes of a fix in which the fault may have been, largest first: of text that was there before and did not only move.

    Tests and examples count only where no code is changed, and prose (a change log above all) only where there is nothing else.
    """
    before = sorted((change for change in changes if change.was_blob is not None and change.hunks), key=lambda one: (-one.size, one.path))
    kinds = [place_of(change.was or change.path, is_test=is_test(change.was or change.path)) for change in before]
    for wanted in ("code",), ("test", "aside"):
        found = [change for change, kind in zip(before, kinds, strict=True) if kind in wanted]
        if found:
            return found
    return before


def edges(fix: Oid, counted: Sequence[tuple[Oid, int]]) -> list[Edge]:
    """Return the edges of a fix to the commits that wrote what it removed, given how many of the lines each wrote; most lines first."""
    whole = sum(lines for _, lines in counted)
    return [
        Edge("introduced", fix, oid, lines / whole, f"wrote {lines} of the {whole} lines it took out")
        for oid, lines in sorted(counted, key=lambda item: (-item[1], item[0]))
    ]


def pack_counts(counted: Sequence[tuple[Oid, int]]) -> bytes:
    """Return lines by commit as bytes; `unpack_counts` is the inverse."""
    return zlib.compress(json.dumps(counted, separators=(",", ":")).encode("ascii"))


def unpack_counts(payload: bytes) -> list[tuple[Oid, int]]:
    """Return the lines by commit that were packed. Raises StorageError when the payload is damaged."""
    try:
        return [(Oid(oid), lines) for oid, lines in json.loads(zlib.decompress(payload))]
    except (ValueError, TypeError, zlib.error) as error:
        raise DamagedStore(f"stored writers of removed lines are damaged ({error}); run `backstory cache clear` and try again") from error
