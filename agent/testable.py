"""How likely a commit can be tested at all, judged by the commits around it that were tried.

Commits that cannot be tested come in stretches: before a feature existed, while a dependency was broken. So along the order of the history each
place is in an open or a closed stretch, a two-state Markov chain; in an open one a trial fails now and then, in a closed one nearly always (a
hidden Markov model with two states, solved exactly by forward and backward messages: Rabiner 1989, "A tutorial on hidden Markov models"). The
oldest end is probably closed. Two skips in a row thus close what lies between them, while one bad commit alone closes little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OPEN_SKIPS = 0.05
"""Share of commits in an open stretch that cannot be tested: a typo, a half-done change. A guess; it only steers the order of trials."""

CLOSED_SKIPS = 0.97
"""Share in a closed stretch; not 1, so that one success can reopen it."""

CLOSED_SHARE = 0.2
"""Share of a history that is closed, with nothing known. A guess, as OPEN_SKIPS."""

CLOSED_AT_ROOT = 0.9
"""Chance that the oldest commit is closed: today's check rarely runs on the first day's code."""

CHANGES = 4.0
"""How often the state changes over the candidates that are left, whatever their number: the model has no scale of its own, so a large closed
stretch is sampled sparsely and the last few candidates are each tried."""

# A message is (closed, open); both are kept as plain floats since there are only as many as trials.
_Message = tuple[float, float]


@dataclass(frozen=True)
class Trial:
    """A tried commit. position: its place in the order of the history, 0 the newest."""

    position: int
    testable: bool


def chance_testable(positions: Sequence[int], trials: Sequence[Trial], *, length: int, candidates: int) -> NDArray[np.float64]:
    """Return for each position the probability that a trial there says good or bad.

    length: commits in the whole history, newest at 0. candidates: how many of them the search is still about; sets the scale.
    """
    rate = CHANGES / max(candidates, 1)
    ordered = sorted(trials, key=lambda trial: trial.position)
    newer = _newer_messages(ordered, rate)
    older = _older_messages(ordered, rate, length)
    at = np.asarray(positions, dtype=np.float64)
    places = np.array([trial.position for trial in ordered], dtype=np.float64)
    slot = np.searchsorted(places, at)  # trials before `slot` are newer than the position
    from_newer = _carried(np.array(newer)[slot], at - np.concatenate([[0.0], places])[slot], rate)
    from_older = _carried(np.array(older)[slot], np.concatenate([places, [float(length)]])[slot] - at, rate)
    # Both messages carry the stationary share as their prior; it must count once.
    closed = from_newer[:, 0] * from_older[:, 0] / CLOSED_SHARE
    opened = from_newer[:, 1] * from_older[:, 1] / (1 - CLOSED_SHARE)
    chance = closed / (closed + opened)
    return 1 - (chance * CLOSED_SKIPS + (1 - chance) * OPEN_SKIPS)


def _newer_messages(trials: Sequence[Trial], rate: float) -> list[_Message]:
    """Return what is believed right after each trial from the newer side; the first entry is before any."""
    out: list[_Message] = [(CLOSED_SHARE, 1 - CLOSED_SHARE)]
    position = 0
    for trial in trials:
        out.append(_seen(_moved(out[-1], trial.position - position, rate), trial))
        position = trial.position
    return out


def _older_messages(trials: Sequence[Trial], rate: float, length: int) -> list[_Message]:
    """Return what is believed at each trial from the older side; the last entry is the root's."""
    out: list[_Message] = [(CLOSED_AT_ROOT, 1 - CLOSED_AT_ROOT)]
    position = length
    for trial in reversed(trials):
        out.append(_seen(_moved(out[-1], position - trial.position, rate), trial))
        position = trial.position
    return out[::-1]


def _seen(belief: _Message, trial: Trial) -> _Message:
    closed = belief[0] * (1 - CLOSED_SKIPS if trial.testable else CLOSED_SKIPS)
    opened = belief[1] * (1 - OPEN_SKIPS if trial.testable else OPEN_SKIPS)
    return closed / (closed + opened), opened / (closed + opened)


def _moved(belief: _Message, distance: float, rate: float) -> _Message:
    closed = CLOSED_SHARE + (belief[0] - CLOSED_SHARE) * float(np.exp(-rate * distance))
    return closed, 1 - closed


def _carried(messages: NDArray[np.float64], distance: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    closed = CLOSED_SHARE + (messages[:, 0] - CLOSED_SHARE) * np.exp(-rate * distance)
    return np.stack([closed, 1 - closed], axis=1)
