"""Finds a small part of a change that still does what the whole does: delta debugging.

The algorithm is ddmin (Zeller and Hildebrandt 2002, "Simplifying and isolating failure-inducing input"): cut the atoms into n parts, keep one part
alone if it holds, else leave one part out if the rest holds, else cut finer. At the end no single atom can be left out. There, inputs that fail
are made smaller; here it is changes that pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Atom = TypeVar("Atom")


@dataclass(frozen=True)
class Minimum(Generic[Atom]):
    """What is left. minimal: no single atom can go; False when `go_on` ended the search. trials: how often `holds` was asked."""

    atoms: tuple[Atom, ...]
    minimal: bool
    trials: int


def ddmin(atoms: Sequence[Atom], holds: Callable[[tuple[Atom, ...]], bool], *, go_on: Callable[[], bool] = lambda: True) -> Minimum[Atom]:
    """Return a subsequence of `atoms` that holds and of which no single atom can be left out.

    holds: whether these atoms, in their order, do what all do; all of them do by assumption, none of them do not, and neither is asked.
    It is asked at most once for the same atoms. go_on: asked before each trial; on False the smallest so far is returned.

    >>> ddmin("abcdefgh", lambda part: "b" in part and "g" in part).atoms
    ('b', 'g')
    """
    kept = tuple(range(len(atoms)))
    known: dict[tuple[int, ...], bool] = {(): False, kept: True}
    asked = 0

    def ask(part: tuple[int, ...]) -> bool:
        nonlocal asked
        if part not in known:
            if not go_on():
                raise _StoppedError
            asked += 1
            known[part] = holds(tuple(atoms[i] for i in part))
        return known[part]

    parts = 2
    minimal = True
    try:
        while len(kept) > 1:
            cuts = [kept[len(kept) * k // parts : len(kept) * (k + 1) // parts] for k in range(parts)]
            rests = [tuple(i for i in kept if i not in cut) for cut in map(frozenset, cuts)]
            if (one := next((cut for cut in cuts if ask(cut)), None)) is not None:
                kept, parts = one, 2
            elif parts > 2 and (one := next((rest for rest in rests if ask(rest)), None)) is not None:
                kept, parts = one, max(parts - 1, 2)
            elif parts < len(kept):
                parts = min(2 * parts, len(kept))
            else:
                break
    except _StoppedError:
        minimal = False
    return Minimum(tuple(atoms[i] for i in kept), minimal, asked)


class _StoppedError(Exception):
    """The budget is spent; leaves the nested search."""
