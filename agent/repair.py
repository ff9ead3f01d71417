"""What every kind of repair shares: how large a proposal is, which are worth trying, and how little of one is enough.

`undo.py` and `sibling.py` make proposals, in the order in which they are best tried. A `Sieve` lets each distinct, well-formed result through once.
When one passes the checks, `minimise` takes away what it does not need. Nothing is tried here: passing is the caller's word.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from backstory.agent.delta import ddmin
from backstory.agent.pieces import Piece, hunks, lines_of, put
from backstory.agent.types import Proposal
from backstory.graph.types import Evidence, RepoPath
from backstory.tools.diff import diff
from backstory.tools.lines import is_binary, join_lines, mixes_line_ends, split_lines

PROPOSAL_LIMIT = 60
"""Proposals tried for one culprit: at a few seconds per check some minutes, past which a person reads the suspects faster."""

Edits = Mapping[RepoPath, bytes | None]
Today = Callable[[RepoPath], bytes | None]
"""The text of a file today; None when there is none."""

Parses = Callable[[RepoPath, bytes], bool]
"""Whether a text is well-formed for its language; True where that cannot be told."""


def make(kind: str, title: str, edits: Edits, why: tuple[Evidence, ...], *, today: Today) -> Proposal:
    """Return a proposal that leaves out files it would not change; its size is counted against today."""
    real = {path: text for path, text in sorted(edits.items()) if text != today(path)}
    return Proposal(kind, title, real, change_size(real, today=today), why)


def change_size(edits: Edits, *, today: Today) -> int:
    """Return the lines removed and added in all; a binary file counts by its newlines too."""
    return sum(edit.size for path, text in edits.items() for edit in diff(raw_lines(today(path) or b""), raw_lines(text or b"")))


def raw_lines(text: bytes) -> list[bytes]:
    """Return the lines with their ends, so that joining them gives the text back exactly."""
    return [line for line in re.split(rb"(?<=\n)", text) if line]


class Sieve:
    """Lets through proposals that change something, keep the syntax and were not made before; counts the rest in `dropped` by reason.

    reasons: "unchanged", "unparsable" (a file that parsed no longer would), "repeated". parses: None lets every syntax through.
    """

    def __init__(self, *, today: Today, parses: Parses | None = None, limit: int = PROPOSAL_LIMIT) -> None:
        self.dropped: Counter[str] = Counter()
        self._today = today
        self._parses = parses
        self._left = limit
        self._seen: set[tuple[tuple[RepoPath, bytes | None], ...]] = set()

    def __call__(self, proposals: Iterable[Proposal]) -> Iterator[Proposal]:
        """Yield what is worth trying, lazily; ends for good after `limit` in all."""
        for proposal in proposals:
            if self._left == 0:
                return
            reason = self._objection(proposal)
            if reason:
                self.dropped[reason] += 1
                continue
            self._left -= 1
            yield proposal

    def _objection(self, proposal: Proposal) -> str:
        identity = tuple(sorted(proposal.edits.items()))
        if all(text == self._today(path) for path, text in identity):
            return "unchanged"
        if identity in self._seen:
            return "repeated"
        self._seen.add(identity)
        return "" if keeps_syntax(proposal.edits, today=self._today, parses=self._parses) else "unparsable"


def keeps_syntax(edits: Edits, *, today: Today, parses: Parses | None) -> bool:
    """Return whether every file that parses today still does; new files must parse."""
    if parses is None:
        return True
    for path, text in edits.items():
        before = today(path)
        if text is not None and not parses(path, text) and (before is None or parses(path, before)):
            return False
    return True


# Minimising --------------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Minimised:
    """minimal: no hunk and then no single line could go; False when `go_on` ended it. trials: how often `passes` was asked."""

    proposal: Proposal
    minimal: bool
    trials: int


@dataclass(frozen=True)
class _Atom:
    """Some pieces of one file's change; none: the whole file, which appears, goes or is binary."""

    path: RepoPath
    pieces: tuple[Piece, ...]


def minimise(
    proposal: Proposal,
    passes: Callable[[Proposal], bool],
    *,
    today: Today,
    parses: Parses | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> Minimised:
    """Return the least of a passing `proposal` that still passes: ddmin over its hunks, then over the lines of the hunks that are left.

    What would break the syntax is not asked about. The result is never larger than the proposal.
    """
    by_hunk = _least(proposal, _by_hunk(proposal, today), passes, today=today, parses=parses, go_on=go_on)
    by_line = _least(by_hunk.proposal, _by_line(by_hunk.proposal, today), passes, today=today, parses=parses, go_on=go_on)
    return Minimised(by_line.proposal, by_hunk.minimal and by_line.minimal, by_hunk.trials + by_line.trials)


def _least(
    whole: Proposal,
    atoms: list["_Atom"],
    passes: Callable[[Proposal], bool],
    *,
    today: Today,
    parses: Parses | None,
    go_on: Callable[[], bool],
) -> Minimised:
    best, trials = whole, 0

    def holds(part: tuple[_Atom, ...]) -> bool:
        nonlocal best, trials
        smaller = _made_of(part, whole, today)
        if not smaller.edits or smaller.size >= best.size or not keeps_syntax(smaller.edits, today=today, parses=parses):
            return False
        trials += 1
        if passes(smaller):
            best = smaller
            return True
        return False

    minimal = ddmin(atoms, holds, go_on=go_on).minimal
    return Minimised(best, minimal, trials)


def _by_hunk(proposal: Proposal, today: Today) -> list[_Atom]:
    atoms: list[_Atom] = []
    for path, text in proposal.edits.items():
        before = today(path)
        if before is None or text is None or is_binary(before) or is_binary(text):
            atoms.append(_Atom(path, ()))
        else:
            found = hunks(*_split(before, text))
            atoms += [_Atom(path, hunk) for hunk in found] or [_Atom(path, ())]  # none: only line ends change
    return atoms


def _by_line(proposal: Proposal, today: Today) -> list[_Atom]:
    return [
        atom
        for whole in _by_hunk(proposal, today)
        for atom in ([_Atom(whole.path, (line,)) for piece in whole.pieces for line in lines_of(piece)] or [whole])
    ]


def _made_of(atoms: tuple[_Atom, ...], whole: Proposal, today: Today) -> Proposal:
    edits: dict[RepoPath, bytes | None] = {}
    for path in dict.fromkeys(atom.path for atom in atoms):
        pieces = [piece for atom in atoms if atom.path == path for piece in atom.pieces]
        before, after = today(path), whole.edits[path]
        if pieces and before is not None and after is not None:
            after = join_lines(put(pieces, _split(before, after)[0]), like=after, keep_cr=mixes_line_ends(before, after))
        edits[path] = after
    return make(whole.kind, whole.title, edits, whole.why, today=today)


def _split(before: bytes, after: bytes) -> tuple[list[bytes], list[bytes]]:
    mixed = mixes_line_ends(before, after)
    return split_lines(before, keep_cr=mixed), split_lines(after, keep_cr=mixed)
