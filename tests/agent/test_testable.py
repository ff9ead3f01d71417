"""agent/testable.py: what is believed about commits nobody tried."""

import numpy as np
import pytest

from backstory.agent.testable import CLOSED_SHARE, CLOSED_SKIPS, OPEN_SKIPS, Trial, chance_testable

LENGTH = 1000


def believed(positions, trials):
    return chance_testable(positions, trials, length=LENGTH, candidates=LENGTH)


def test_without_trials_the_newest_is_as_likely_as_any_and_the_oldest_hardly():
    """Only the root's end is suspected from the start."""
    newest, middle, oldest = believed([0, 500, 999], [])
    assert newest > middle > oldest
    assert newest == pytest.approx(1 - (CLOSED_SHARE * CLOSED_SKIPS + (1 - CLOSED_SHARE) * OPEN_SKIPS), abs=0.02)
    assert oldest < 0.15


def test_between_two_skips_little_hope_is_left_and_beside_a_success_much():
    """Stretches are contiguous."""
    trials = [Trial(0, True), Trial(400, False), Trial(450, False)]
    near, between = believed([5, 425], trials)
    assert near > 0.9
    assert between < 0.15


def test_a_success_reopens_a_stretch():
    """One commit that can be tested among skips makes its neighbours worth trying."""
    skips = [Trial(400, False), Trial(450, False)]
    assert believed([426], [*skips, Trial(425, True)])[0] > 4 * believed([426], skips)[0]


def test_the_order_of_trials_does_not_matter():
    """They are sorted by place."""
    trials = [Trial(10, True), Trial(700, False), Trial(300, True)]
    assert np.array_equal(believed([5, 500, 900], trials), believed([5, 500, 900], trials[::-1]))


def test_probabilities_are_probabilities():
    """Everywhere, with any trials."""
    chance = believed(range(LENGTH), [Trial(i, i % 3 == 0) for i in range(0, LENGTH, 7)])
    assert ((chance > 0) & (chance < 1)).all()
