"""Proposes to make here the edit that a sibling place once received.

Code that looks alike was written alike and breaks alike; when one copy was repaired, the others often were not (Saha et al. 2019, "Harnessing
evolution for multi-hunk program repair", call such places evolutionary siblings; Meng, Kim and McKinley 2013, "LASE", abstract an edit's identifiers
to carry it elsewhere). So the lines a past change touched, with a little around them, are looked for where the fault probably is, with identifiers
free to differ as long as each always stands for the same other one. Where they fit, the past edit is made with today's names, at today's depth.

A fit must be long enough, mostly of the same names, and leave no name in the new lines that today's file does not know; the constants say how much.
"""

import builtins
import keyword
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from backstory.agent.pieces import Piece, hunks, put
from backstory.agent.repair import Today, make
from backstory.agent.types import Proposal
from backstory.graph.types import Evidence, Location, Oid, RepoPath
from backstory.tools.lines import is_binary, join_lines, mixes_line_ends, split_lines
from backstory.tools.tokens import Token, tokens

SURROUNDINGS = (3, 2, 1, 0)
"""Lines around a past edit that must fit with it: the most that fit are taken. 0 only for an edit that replaces lines."""

LEAST_TOKENS = 10
"""Tokens a fit must hold, white space aside: about two short lines. Below that, any two assignments fit each other."""

LEAST_SAME = 0.5
"""Share of a fit's distinct names that must be the same in both places: siblings differ in what they work on, not in what they do."""

NEAR_LINES = 10
"""Lines around a fit that are searched for the new lines: where they are already, the sibling has its fix."""

_JAVASCRIPT = """
abstract arguments async await boolean break case catch class const continue debugger default delete do else enum export extends false finally for
from function get if implements import in instanceof interface let new null of package private protected public return set static super switch this
throw true try type typeof undefined var void while with yield Array Boolean Date Error JSON Map Math Number Object Promise RegExp Set String Symbol
console document isFinite isNaN parseFloat parseInt window
"""
_FIXED = frozenset(word.encode() for word in (*keyword.kwlist, *keyword.softkwlist, "self", "cls", *_JAVASCRIPT.split()))
_KNOWN = _FIXED | frozenset(name.encode() for name in dir(builtins))


@dataclass(frozen=True)
class PastEdit:
    """What a past commit did to one file, as the two texts."""

    commit: Oid
    subject: str
    path: RepoPath
    before: bytes
    after: bytes


def sibling_proposals(past: Sequence[PastEdit], located: Sequence[Location], *, today: Today) -> Iterator[Proposal]:
    """Yield the past edits that fit a located place, each made there: the longest and most alike fits at the likeliest places first.

    past: of commits that resemble the issue or touched similar code, in any order; equal fits keep it.
    """
    places = {place.path: _Here.read(place.path, located, today) for place in located}
    fits = [fit for edit in past for cut in _cuts(edit) for here in places.values() if here for fit in _fits(cut, here)]
    for fit in sorted(fits, key=lambda fit: -fit.strength):
        yield _proposal(fit, today)


# The past edit -----------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cut:
    """One edit of the past: in `block`, the lines from `start` to `stop` become `new`; what is before and after them are its surroundings."""

    edit: PastEdit
    block: tuple[bytes, ...]
    start: int
    stop: int
    new: tuple[bytes, ...]


def _cuts(edit: PastEdit) -> Iterator[_Cut]:
    """Yield each hunk, and each piece of a hunk of several, with the surroundings that it must have, widest first."""
    if is_binary(edit.before) or is_binary(edit.after):
        return
    mixed = mixes_line_ends(edit.before, edit.after)
    before, after = (split_lines(text, keep_cr=mixed) for text in (edit.before, edit.after))
    for hunk in hunks(before, after):
        for pieces in [hunk, *((piece,) for piece in hunk if len(hunk) > 1)]:
            start, stop = min(piece.start for piece in pieces), max(piece.stop for piece in pieces)
            new = put([Piece(piece.start - start, piece.stop - start, piece.lines) for piece in pieces], before[start:stop])
            for around in SURROUNDINGS:
                low, high = max(start - around, 0), min(stop + around, len(before))
                # An insertion must be held on both sides, unless the file ends there.
                if stop > start or around:
                    yield _Cut(edit, tuple(before[low:high]), start - low, stop - low, tuple(new))


# Today's place -----------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Here:
    """A located file of today. score: per line, of the best location that covers it. starts: lines by shape. words: all it knows."""

    path: RepoPath
    text: bytes
    lines: list[bytes]
    score: dict[int, float]
    starts: dict[tuple[bytes, ...], list[int]]
    words: frozenset[bytes]

    @staticmethod
    def read(path: RepoPath, located: Sequence[Location], today: Today) -> "_Here | None":
        text = today(path)
        if text is None or is_binary(text):
            return None
        lines = split_lines(text, keep_cr=mixes_line_ends(text))
        score: dict[int, float] = {}
        for place in located:
            if place.path == path:
                for i in range(place.span.first - 1, min(place.span.last, len(lines))):
                    score[i] = max(score.get(i, 0.0), place.score)
        starts: dict[tuple[bytes, ...], list[int]] = {}
        for i, line in enumerate(lines):
            starts.setdefault(_shape(line), []).append(i)
        words = frozenset(token.text for line in lines for token in tokens(line) if token.kind == "word")
        return _Here(path, text, lines, score, starts, words)


def _significant(line: bytes) -> list[Token]:
    return [token for token in tokens(line) if token.kind not in ("space", "newline")]


def _shape(line: bytes) -> tuple[bytes, ...]:
    """Return the line's tokens with every name that may differ replaced by one mark."""
    return tuple(b"\0" if _is_name(token) else token.text for token in _significant(line))


def _is_name(token: Token) -> bool:
    return token.kind == "word" and token.text not in _FIXED


# Fitting -----------------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fit:
    """A past edit at a place of today: its block is at line `at` (from 0) there, under `names`."""

    cut: _Cut
    here: _Here
    at: int
    names: Mapping[bytes, bytes]
    strength: float
    new: tuple[bytes, ...]


def _fits(cut: _Cut, here: _Here) -> Iterator[_Fit]:
    """Yield where a past edit fits, touching a located line."""
    shapes = [_shape(line) for line in cut.block]
    length = sum(len(shape) for shape in shapes)
    if length < LEAST_TOKENS:
        return
    anchor = max(range(len(shapes)), key=lambda i: len(shapes[i]))
    for place in here.starts.get(shapes[anchor], ()):
        at = place - anchor
        window = here.lines[max(at, 0) : at + len(shapes)]
        touched = range(at + cut.start, max(at + cut.stop, at + cut.start + 1))
        likely = max((here.score[i] for i in touched if i in here.score), default=0.0)
        if at < 0 or likely == 0.0 or [_shape(line) for line in window] != shapes:
            continue
        names = _names(cut.block, window)
        if names is None:
            continue
        same = sum(one == other for one, other in names.items()) / max(len(names), 1)
        new = _renamed(cut, window, names)
        if same < LEAST_SAME or new is None or not _new_here(cut, new, here, at):
            continue
        yield _Fit(cut, here, at, names, length * same * likely, new)


def _names(block: Sequence[bytes], window: Sequence[bytes]) -> dict[bytes, bytes] | None:
    """Return which name stands for which, one for one; None when a name would stand for two."""
    names: dict[bytes, bytes] = {}
    for old, new in zip(block, window, strict=True):
        for one, other in zip(_significant(old), _significant(new), strict=True):
            if _is_name(one) and names.setdefault(one.text, other.text) != other.text:
                return None
    return names if len(set(names.values())) == len(names) else None


def _renamed(cut: _Cut, window: Sequence[bytes], names: Mapping[bytes, bytes]) -> tuple[bytes, ...] | None:
    """Return the new lines with today's names at today's depth; None when the depths of the two places do not correspond."""
    depths = {_depth(line): _depth(here) for line, here in zip(cut.block, window, strict=True) if line.strip()}
    new: list[bytes] = []
    for line in cut.new:
        depth = _depth_here(_depth(line), depths)
        if depth is None:
            return None
        words = b"".join(names.get(token.text, token.text) if _is_name(token) else token.text for token in tokens(line.lstrip()))
        new.append(depth + words if words else b"")
    return tuple(new)


def _depth(line: bytes) -> bytes:
    return line[: len(line) - len(line.lstrip())]


def _depth_here(depth: bytes, depths: Mapping[bytes, bytes]) -> bytes | None:
    """Return today's indentation for a line of the past: that of its own depth, else further in from the deepest that it is inside of."""
    outer = max((known for known in depths if depth.startswith(known)), key=len, default=None)
    return None if outer is None else depths[outer] + depth.removeprefix(outer)


def _new_here(cut: _Cut, new: Sequence[bytes], here: _Here, at: int) -> bool:
    """Return whether the edit says something new with known names."""
    window = here.lines[at + cut.start : at + cut.stop]
    brought = [line.strip() for line in new if line.strip() and line not in window]
    around = {line.strip() for line in here.lines[max(at - NEAR_LINES, 0) : at + len(cut.block) + NEAR_LINES]}
    if list(new) == window or (brought and all(line in around for line in brought)):
        return False
    mine = {token.text for line in brought for token in tokens(line) if token.kind == "word"}
    return mine <= here.words | _KNOWN


def _proposal(fit: _Fit, today: Today) -> Proposal:
    cut, here = fit.cut, fit.here
    start, stop = fit.at + cut.start, fit.at + cut.stop
    text = join_lines(put([Piece(start, stop, fit.new)], here.lines), like=here.text, keep_cr=mixes_line_ends(here.text))
    renamed = sorted(
        f"{one.decode(errors='replace')} to {other.decode(errors='replace')}" for one, other in fit.names.items() if one != other
    )
    note = f"{cut.edit.subject!r} made this edit in {cut.edit.path}" + (f"; here with {', '.join(renamed)}" if renamed else "")
    title = f"Make the edit of {cut.edit.commit[:10]} at {here.path}:{start + 1}"
    return make("sibling", title, {here.path: text}, (Evidence("sibling", cut.edit.commit, note),), today=today)
