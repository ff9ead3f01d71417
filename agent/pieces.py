"""Takes a change of a file apart into the smallest pieces that still mean something, and puts chosen ones into effect.

A hunk often mixes things: a guard that went, a line that came, a condition that became another. Lines that a hunk removed and lines it added are
paired where they are alike; a pair is one piece (the line changed), what has no partner is a piece that only removes or only adds.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from backstory.tools.diff import diff
from backstory.tools.tokens import tokens

PieceKind = Literal["add", "remove", "change"]

LEAST_ALIKE = 0.5
"""Tokens that two lines must share to be one line that changed, as a part of all tokens of both (Dice)."""

PAIRED_LINES = 60
"""Lines of a hunk's side up to which lines are paired; the work grows with the product of both sides."""


@dataclass(frozen=True, order=True)
class Piece:
    """Lines `start` to `stop` (from 0, stop excluded) of the old text become `lines`."""

    start: int
    stop: int
    lines: tuple[bytes, ...]

    @property
    def kind(self) -> PieceKind:
        return "add" if self.start == self.stop else "change" if self.lines else "remove"

    @property
    def size(self) -> int:
        """Lines removed and added together."""
        return self.stop - self.start + len(self.lines)


def hunks(old: Sequence[bytes], new: Sequence[bytes]) -> list[tuple[Piece, ...]]:
    """Return what turns `old` into `new`: hunks in order, each as its pieces in order."""
    return [tuple(_pieces(old, edit.start, edit.stop, new[edit.new_start : edit.new_stop])) for edit in diff(old, new)]


def put(pieces: Sequence[Piece], old: Sequence[bytes]) -> list[bytes]:
    """Return `old` with `pieces` (which must not overlap; any order) in effect; of additions at one place, the first given comes first."""
    out: list[bytes] = []
    at = 0
    for piece in sorted(pieces, key=lambda piece: (piece.start, piece.stop)):
        out += old[at : piece.start]
        out += piece.lines
        at = piece.stop
    return out + list(old[at:])


def lines_of(piece: Piece) -> list[Piece]:
    """Return the piece line by line; a changed line stays whole."""
    if piece.kind == "change":
        return [piece]
    removed = [Piece(i, i + 1, ()) for i in range(piece.start, piece.stop)]
    return removed or [Piece(piece.start, piece.stop, (line,)) for line in piece.lines]


def words_changed(piece: Piece, old: Sequence[bytes]) -> list[Piece]:
    """Return, for one line changed at several words, a piece per word; else nothing.

    A condition with two parts that both changed can so be undone in one part alone.
    """
    if piece.stop - piece.start != 1 or len(piece.lines) != 1:
        return []
    before, after = tokens(old[piece.start]), tokens(piece.lines[0])
    edits = diff(before, after)
    if len(edits) < 2:
        return []
    return [
        Piece(
            piece.start, piece.stop, (b"".join(t.text for t in (*before[: e.start], *after[e.new_start : e.new_stop], *before[e.stop :])),)
        )
        for e in edits
    ]


def alike(one: bytes, other: bytes) -> float:
    """Return how many tokens, white space aside, two lines share: 0 none, 1 all."""
    a, b = _counted(one), _counted(other)
    whole = a.total() + b.total()
    return 2 * (a & b).total() / whole if whole else 0.0


@lru_cache(maxsize=4096)
def _counted(line: bytes) -> Counter[bytes]:
    return Counter(token.text for token in tokens(line) if token.kind not in ("space", "newline"))


def _pieces(old: Sequence[bytes], start: int, stop: int, new: Sequence[bytes]) -> list[Piece]:
    """Cut one hunk at its paired lines. Where lines with no partner face each other, the new ones are added before the old ones are removed."""
    out: list[Piece] = []
    at, new_at = start, 0
    for i, j in [*_paired(old[start:stop], new), (stop - start, len(new))]:
        if new_at < j:
            out.append(Piece(at, at, tuple(new[new_at:j])))
        if at < start + i:
            out.append(Piece(at, start + i, ()))
        if start + i < stop and j < len(new) and old[start + i] != new[j]:
            out.append(Piece(start + i, start + i + 1, (new[j],)))
        at, new_at = start + i + 1, j + 1
    return out


def _paired(old: Sequence[bytes], new: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return pairs of lines that are alike, in order on both sides, with the greatest likeness in all."""
    n, m = len(old), len(new)
    if not n or not m or max(n, m) > PAIRED_LINES:
        return []
    best = [[0.0] * (m + 1) for _ in range(n + 1)]  # best[i][j]: of old[i:] with new[j:]
    likeness = [[alike(a, b) for b in new] for a in old]
    for i in reversed(range(n)):
        for j in reversed(range(m)):
            with_pair = best[i + 1][j + 1] + likeness[i][j] if likeness[i][j] >= LEAST_ALIKE else 0.0
            best[i][j] = max(with_pair, best[i + 1][j], best[i][j + 1])
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < n and j < m:
        if best[i][j] == best[i + 1][j]:
            i += 1
        elif best[i][j] == best[i][j + 1]:
            j += 1
        else:
            pairs.append((i, j))
            i, j = i + 1, j + 1
    return pairs
