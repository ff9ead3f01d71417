"""The pace of programs at a server, reckoned from what their turns took."""

import pytest

from backstory.agent.messages import Usage
from backstory.agent.pace import LEAST_TURNS, Pace

PROMPT_SPEED, REPLY_SPEED = 1_000.0, 50.0  # tokens a second


def usage_of(computed, written, *, reusable=4_000, slowed=1.0):
    """Return what a turn costs at these speeds, or slowed by its neighbours."""
    first_s, wrote_s = slowed * computed / PROMPT_SPEED, slowed * written / REPLY_SPEED
    return Usage(4_000 + 500, 4_500 - computed, written, 0.2 + first_s + wrote_s, reusable, 0.2, first_s)


def pace_of(turns, *, idle_s=1.0):
    pace = Pace()
    for usage in turns:
        pace.answered(usage)
        pace.came_back(idle_s)
    return pace


def test_programs_that_share_nothing_but_the_wait_go_at_their_own_pace():
    """One alone goes round in the sum of its times: half a second for 500 new tokens, one for the reply, one for the tool; many go as fast as prompts are computed."""
    pace = pace_of([usage_of(500, 50)] * LEAST_TURNS)
    assert pace.turns_a_second(1, 0) == pytest.approx(1 / 2.5)
    assert 2 / 3.0 < pace.turns_a_second(2, 0) < 2 / 2.5
    assert pace.turns_a_second(100, 0) == pytest.approx(1 / 0.5, rel=0.01)


def test_computing_again_slows_everybody_down():
    """Twenty programs that compute 2,000 tokens more at each turn get through fewer turns than five that do not."""
    pace = pace_of([usage_of(500, 50)] * LEAST_TURNS)
    assert pace.turns_a_second(20, 2_000) < pace.turns_a_second(5, 0)
    assert pace_of([usage_of(500, 50)] * LEAST_TURNS, idle_s=60.0).turns_a_second(20, 2_000) > pace.turns_a_second(5, 0) / 10


def test_what_neighbours_slowed_is_not_taken_for_the_servers_speed():
    """The fastest quarter says how fast it computes, and one turn how fast it writes; what was computed only because it had been pushed out is no new token."""
    quick = pace_of([usage_of(500, 50)] * LEAST_TURNS)
    crowded = pace_of([*[usage_of(500, 50)] * LEAST_TURNS, *[usage_of(3_000, 50, slowed=4.0)] * LEAST_TURNS])
    assert crowded.turns_a_second(3, 100) == pytest.approx(quick.turns_a_second(3, 100))


def test_little_says_nothing():
    """Neither few turns, nor short ones, nor a server that does not tell its times or what it had cached."""
    assert pace_of([usage_of(500, 50)] * (LEAST_TURNS - 1)).turns_a_second(1, 0) is None
    assert pace_of([usage_of(500, 1)] * LEAST_TURNS).turns_a_second(1, 0) is None
    assert pace_of([usage_of(10, 50)] * LEAST_TURNS).turns_a_second(1, 0) is None
    assert pace_of([Usage(4_500, 4_000, 50, 2.0, 4_000)] * LEAST_TURNS).turns_a_second(1, 0) is None
    assert pace_of([Usage(4_500, None, 50, 2.0, 4_000, 0.0, 0.5)] * LEAST_TURNS).turns_a_second(1, 0) is None
