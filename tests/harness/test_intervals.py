"""Intervals of means and of shares over instances."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.harness.intervals import interval, paired, share_of

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(SCORES)
def test_the_interval_holds_the_mean_and_stays_within_the_values(values):
    """Lowest value, lower end, mean, upper end and highest value stand in this order, and asking again answers the same."""
    found = interval(values)
    assert min(values) - 1e-9 <= found.low <= found.mean + 1e-9
    assert found.mean <= found.high + 1e-9 <= max(values) + 2e-9
    assert interval(values) == found


def test_the_interval_is_as_wide_as_theory_says():
    """For a hundred halves and halves it spans about 1.96 standard errors of a mean, 0.098, to each side."""
    found = interval([0.0, 1.0] * 50)
    assert found.mean == 0.5
    assert (found.high - found.low) / 2 == pytest.approx(0.098, abs=0.01)


def test_pairing_takes_out_what_both_share():
    """Two arms that differ by the same amount on every instance differ by it for sure, however much instances vary."""
    ours, theirs = [0.9, 0.2, 0.5], [0.8, 0.1, 0.4]
    found = paired(ours, theirs)
    assert (found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.1))
    with pytest.raises(ValueError, match="zip"):
        paired(ours, theirs[:2])


def test_nothing_has_no_mean():
    """No values give no number rather than a zero."""
    assert math.isnan(interval([]).mean)
    assert interval([]).count == 0


def test_a_share_is_not_sure_where_all_or_none_hold():
    """Nine of nine may well be seven of ten; the interval lies within 0 and 1 and narrows with the count."""
    all_, none, many = share_of(9, 9), share_of(0, 9), share_of(900, 900)
    assert (all_.mean, all_.high, round(all_.low, 3)) == (1.0, 1.0, 0.701)
    assert (none.mean, none.low, round(none.high, 3)) == (0.0, 0.0, 0.299)
    assert many.low > 0.99 and math.isnan(share_of(0, 0).mean)
    half = share_of(50, 100)
    assert (round(half.low, 3), round(half.high, 3)) == (0.404, 0.596)
