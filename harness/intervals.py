"""How sure a mean over instances is: percentile bootstrap intervals, alone and paired; and how sure a share is.

Resampling whole instances needs no assumption about how scores are spread, and pairing (one draw of instances for both arms) takes out what makes
an instance hard for either. The draws are seeded, so that the same rows always give the same interval.

Source: Efron and Tibshirani 1993, chapter 13 (percentile intervals).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 10_000  # the ends of a 95 % interval then move by less than 0.002 from seed to seed
COVERED = 0.95
SEED = 0


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its interval, and over how many values; nan when there are none."""

    mean: float
    low: float
    high: float
    count: int


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of `values`, one for each instance, with its interval.

    >>> interval([1.0, 1.0, 1.0])
    Interval(mean=1.0, low=1.0, high=1.0, count=3)
    """
    if not values:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    array = np.asarray(values, dtype=float)
    drawn = np.random.default_rng(SEED).integers(0, len(array), size=(DRAWS, len(array)))
    low, high = np.quantile(array[drawn].mean(axis=1), [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return Interval(float(array.mean()), float(low), float(high), len(array))


def ratio(parts: Sequence[float], wholes: Sequence[float]) -> Interval:
    """Return the sum of `parts` over the sum of `wholes`, one of each for an instance, with its interval; nan when the wholes sum to 0.

    >>> ratio([1, 0], [1, 1]).mean
    0.5
    """
    if not sum(wholes):
        return Interval(float("nan"), float("nan"), float("nan"), len(wholes))
    above, below = np.asarray(parts, dtype=float), np.asarray(wholes, dtype=float)
    drawn = np.random.default_rng(SEED).integers(0, len(above), size=(DRAWS, len(above)))
    sums = below[drawn].sum(axis=1)
    low, high = np.quantile(above[drawn].sum(axis=1)[sums > 0] / sums[sums > 0], [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return Interval(float(above.sum() / below.sum()), float(low), float(high), len(above))


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Return the mean of the differences between two scores of the same instances, in the same order, with its interval.

    Raises ValueError when the lengths differ.
    """
    return interval([one - other for one, other in zip(ours, theirs, strict=True)])


def share_of(held: int, of: int) -> Interval:
    """Return the share of instances that something held for, with its Wilson interval, which is honest for all and for none; nan for none at all.

    Source: Wilson 1927; 1.96 standard deviations cover 95 %.

    >>> round(share_of(9, 9).low, 2), share_of(9, 9).high
    (0.7, 1.0)
    """
    if not of:
        return interval(())
    z, mean = 1.96, held / of
    middle, spread = (mean + z * z / (2 * of)), z * math.sqrt(mean * (1 - mean) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    # Rounded: at the ends the bounds are 0 and 1 but for what floats lose.
    return Interval(mean, max(0.0, round((middle - spread) / scale, 12)), min(1.0, round((middle + spread) / scale, 12)), of)
