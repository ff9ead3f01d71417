"""What a fix mends, taken apart for asking who broke it: the lines it takes out or stands beside, and the words it uses.

A fix is read against its parent, and everything asked about it is asked of a graph pinned there, so that neither the fix nor anything later has a
say. What the fix's message says of its culprit ("introduced in 1a2b3c", `Fixes:`) can be hidden: in a judgement of how well culprits are found that
would be reading the answer.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from backstory.errors import UserError
from backstory.graph.hunks import new_lines, old_lines
from backstory.graph.introduced import mended, removed_lines, telling
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Change, Hunk, Oid, RepoPath, Span

CONTEXT = 3  # lines shown around a hunk, as in a diff
FILES = 20  # of one fix that are looked into, largest changes first; a fix of more is several

_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]{2,}")


@dataclass(frozen=True)
class Piece:
    """One file of a defect, as it was before the fix.

    path, blob: the file at the base. lines: its lines. hunks: what the fix changes; for lines named by a person, their removal.
    added: the lines the fix put in, in order.
    """

    path: RepoPath
    blob: Oid
    lines: Sequence[bytes]
    hunks: Sequence[Hunk]
    added: Sequence[bytes]

    def removed(self) -> list[int]:
        """Return the telling lines that are taken out."""
        return removed_lines(self.hunks, self.lines)

    def around(self, margin: int) -> Mapping[int, int]:
        """Return the telling lines within `margin` of a hunk that stay, each with its distance from the nearest one, 1 the nearest."""
        gone = set(self._gone())
        found: dict[int, int] = {}
        for hunk in self.hunks:
            span = old_lines(hunk)
            for distance in range(1, margin + 1):
                for line in (span.first - distance, span.last + distance):
                    if 1 <= line <= len(self.lines) and line not in gone and telling(self.lines[line - 1]):
                        found[line] = min(found.get(line, distance), distance)
        return found

    def places(self) -> list[int]:
        """Return a line for each line taken out, and for each insertion the line before it."""
        return self._gone() + [hunk.old_first for hunk in self.hunks if not hunk.old_count and hunk.old_first]

    def _gone(self) -> list[int]:
        spans = [old_lines(hunk) for hunk in self.hunks]
        return [line for span in spans for line in range(span.first, min(span.last, len(self.lines)) + 1)]


@dataclass(frozen=True)
class Defect:
    """What was wrong, as far as a fix or a person shows it.

    base: the commit that has the fault; nothing that it cannot reach counts. pieces: by size, largest first. when: of the fix, None when there is
    none. said: what the fix's message says, or "". named: beginnings of the ids of commits that the message blames.
    """

    base: Oid
    pieces: Sequence[Piece]
    when: datetime | None = None
    said: str = ""
    named: Sequence[str] = ()

    def removed_words(self) -> frozenset[bytes]:
        """Return the words of the lines taken out."""
        return frozenset(word for piece in self.pieces for line in piece.removed() for word in words(piece.lines[line - 1]))

    def added_words(self) -> frozenset[bytes]:
        """Return the words of the lines put in."""
        return frozenset(word for piece in self.pieces for line in piece.added for word in words(line))


def words(line: bytes) -> list[bytes]:
    """Return the words of a line that may be names: letters, digits and underscores, at least three."""
    return _WORD.findall(line)


def defect_of_fix(graph: RepoGraph, fix: Oid, *, redact: bool) -> Defect:
    """Return what a fix mends. graph: pinned where the fix is visible. redact: leave out of its message what names the culprit.

    Raises UserError for a merge, a root, or a fix that changes no file that was there before; KeyError for a commit that may not be seen.
    """
    commit = graph.commit(fix)
    if len(commit.parents) != 1:
        raise UserError(
            f"{fix[:12]} is {'a merge' if commit.parents else 'the first commit'}, which mends nothing by itself; name the commit of the fix"
        )
    changes = mended(commit.changes)
    if not changes:
        raise UserError(
            f"{fix[:12]} {_nothing_mended(commit.changes)}, so no line tells whose fault it was; give the faulty lines with --lines PATH:FIRST-LAST"
        )
    said = f"{commit.subject}\n{commit.body}"
    pieces = tuple(_piece(graph, change) for change in changes[:FILES])
    if redact:
        return Defect(commit.parents[0], pieces, commit.when, redacted(said))
    return Defect(commit.parents[0], pieces, commit.when, said, blamed_ids(said))


def defect_of_lines(graph: RepoGraph, path: RepoPath, span: Span) -> Defect:
    """Return the defect that some lines at the graph's commit are. Raises KeyError when there is no such file."""
    lines = graph.text(path).split(b"\n")
    hunk = Hunk(span.first, span.last - span.first + 1, span.first - 1, 0)
    return Defect(graph.at, (Piece(path, graph.files()[path], lines, (hunk,), ()),))


def defect_text(defect: Defect) -> str:
    """Return a defect as a diff reads: for each file its hunks with three lines around, what is taken out and what is put in."""
    rows: list[str] = []
    for piece in defect.pieces:
        rows.append(f"--- {piece.path}")
        added = iter(piece.added)
        for hunk in piece.hunks:
            span = old_lines(hunk)
            rows.append(f"@@ line {span.first} @@")
            rows += [f" {_decoded(line)}" for line in piece.lines[max(0, span.first - 1 - CONTEXT) : span.first - 1]]
            rows += [f"-{_decoded(line)}" for line in piece.lines[span.first - 1 : span.last]]
            rows += [f"+{_decoded(line)}" for line in islice(added, hunk.new_count)]
            rows += [f" {_decoded(line)}" for line in piece.lines[span.last : span.last + CONTEXT]]
    return "\n".join(rows)


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "replace")


def _nothing_mended(changes: Sequence[Change]) -> str:
    """Return what a commit does instead of changing text that was there before.

    >>> _nothing_mended(())
    'changes no file'
    """
    if not changes:
        return "changes no file"
    if all(change.was_blob is None for change in changes):
        return "only adds files"
    if all(change.was is not None and change.blob == change.was_blob for change in changes):
        return "only renames files"
    return "changes no text that was there before (new, renamed, binary or too many files)"


def _piece(graph: RepoGraph, change: Change) -> Piece:
    assert change.was_blob is not None
    new = graph.mirror.read_blob(change.blob).split(b"\n") if change.blob is not None else []
    hunks = change.hunks or ()
    added = [line for hunk in hunks for line in new[new_lines(hunk).first - 1 : new_lines(hunk).last]]
    return Piece(change.was or change.path, change.was_blob, graph.mirror.read_blob(change.was_blob).split(b"\n"), hunks, added)


# --- what the message says of the culprit ------------------------------------------------------------------------------------------------------------

_TRAILER = re.compile(
    r"^\s*(?:fixes|fixed|introduced(?:[ -]?(?:by|in))?|caused[ -]?by|cc|reverts?|see(?:[ -]also)?|refs?|related|bug|regression)\s*:.*$",
    re.I | re.M,
)
_HEX = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{6,40}\b", re.IGNORECASE)
_QUOTED = re.compile(r"\"[^\"\n]{8,}\"|“[^”\n]{8,}”|(?<!\w)'[^'\n]{12,}'(?!\w)|\([^()\n]*\b(?:commit|since|introduced)\b[^()\n]*\)")
_BLAMING = re.compile(
    r"[^.!?\n]*\b(?:introduced|regress\w*|since (?:commit|version|release|r?\d)|broke[n]? (?:by|in|since|with)|caused by|due to commit"
    r"|bisect\w*|culprit|follow[- ]?up (?:to|for|of)|amends?|revert\w*)\b[^.!?\n]*[.!?]?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\b[A-Z][A-Z0-9]+-\d+\b|#\d+\b|\bGH-\d+\b|https?://\S+")


def blamed_ids(message: str) -> list[str]:
    r"""Return the commit ids, often shortened, that a message blames: in a trailer, in a sentence of blame, or as what it reverts.

    >>> blamed_ids("Fix crash\n\nBroken by 1a2b3c4d. See 99aa88bb.\n\nFixes: 5e6f7a8b9c0d (\"Read lists\")")
    ['5e6f7a8b9c0d', '1a2b3c4d']
    """
    said = [part[0] for pattern in (_TRAILER, _BLAMING) for part in pattern.finditer(_unwrapped(message))]
    return list(dict.fromkeys(oid.lower() for part in said for oid in _HEX.findall(part)))


def redacted(message: str) -> str:
    r"""Return a message without what may name the commit that a fix mends.

    Commit ids, quoted subjects, issue numbers and addresses go, and so do trailers and whole sentences that blame.

    >>> redacted("Fix crash on empty input. Broken by 1a2b3c4d (\"Read lists lazily\").\n\nFixes: 1a2b3c4d5e6f (\"Read lists\")")
    'Fix crash on empty input.'
    """
    message = _unwrapped(message)
    for pattern in (_TRAILER, _QUOTED, _HEX, _BLAMING, _NUMBER):
        message = pattern.sub(" ", message)
    return "\n".join(line for line in (" ".join(line.split()) for line in message.splitlines()) if line.strip(" ."))


def _unwrapped(message: str) -> str:
    r"""Return a message with each paragraph on one line, trailers and items of a list on their own: a sentence is judged as a whole.

    >>> _unwrapped("Fix x\n\nBroken\nby y.\nCc: z")
    'Fix x\n\nBroken by y.\nCc: z'
    """
    rows: list[str] = []
    for line in message.splitlines():
        if rows and rows[-1].strip() and line.strip() and not _OWN_LINE.match(line):
            rows[-1] += f" {line.strip()}"
        else:
            rows.append(line)
    return "\n".join(rows)


_OWN_LINE = re.compile(r"\s*(?:[-*+•]\s|\d+[.)]\s|[A-Za-z][A-Za-z-]+:\s)")
