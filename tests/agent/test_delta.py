"""agent/delta.py: what comes out holds, cannot lose an atom, and nothing is asked twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.agent.delta import ddmin

# Which atoms must be together: any one of the groups suffices. Such tests are monotone; others come from a set of accepted parts.
GROUPS = st.lists(st.frozensets(st.integers(0, 15), min_size=1, max_size=5), min_size=1, max_size=3)
ATOMS = st.lists(st.integers(0, 15), max_size=12, unique=True)


class Asked:
    """A test that remembers what it was asked."""

    def __init__(self, accepts):
        self.accepts = accepts
        self.parts = []

    def __call__(self, part):
        self.parts.append(part)
        return self.accepts(part)


@given(ATOMS, GROUPS)
@settings(deadline=None)
def test_the_result_holds_and_no_single_atom_can_go(atoms, groups):
    """1-minimality, for monotone tests: the result is exactly one of the sufficient groups."""
    atoms = list(dict.fromkeys([*groups[0], *atoms]))
    holds = Asked(lambda part: any(group <= set(part) for group in groups))
    found = ddmin(atoms, holds)
    assert found.minimal
    assert any(set(found.atoms) == group for group in groups)
    assert len(holds.parts) == len(set(holds.parts)) == found.trials


@given(ATOMS.filter(bool), st.integers(0, 2**31), st.integers(1, 9))
@settings(deadline=None)
def test_it_is_minimal_even_where_parts_hold_at_random(atoms, salt, share):
    """The test need not be monotone: the result holds, and each part one atom smaller does not."""

    def holds(part):
        return part == tuple(atoms) or (bool(part) and hash((salt, part)) % 10 < share)

    found = ddmin(atoms, holds)
    assert holds(found.atoms)
    smaller = [found.atoms[:i] + found.atoms[i + 1 :] for i in range(len(found.atoms))]
    assert not any(holds(part) for part in smaller)


@given(ATOMS.filter(bool), GROUPS, st.integers(0, 12))
@settings(deadline=None)
def test_a_budget_leaves_the_smallest_so_far(atoms, groups, budget):
    """When `go_on` says no the result still holds, and no more was asked than allowed."""
    atoms = list(dict.fromkeys([*groups[0], *atoms]))
    left = iter(range(budget))
    found = ddmin(atoms, lambda part: any(group <= set(part) for group in groups), go_on=lambda: next(left, None) is not None)
    assert any(group <= set(found.atoms) for group in groups)
    assert found.trials <= budget


@pytest.mark.parametrize("atoms", [[], ["a"]])
def test_nothing_and_one_atom_are_minimal(atoms):
    """Leaving out everything is never tried."""
    found = ddmin(atoms, Asked(lambda part: pytest.fail("asked")))
    assert (found.atoms, found.minimal, found.trials) == (tuple(atoms), True, 0)


def test_one_needed_atom_of_many_takes_about_twice_the_logarithm():
    """Halving works as long as one half holds."""
    found = ddmin(range(1024), lambda part: 700 in part)
    assert found.atoms == (700,)
    assert found.trials <= 20


def test_order_is_kept():
    """Atoms come back in the order they were given."""
    assert ddmin("hgfedcba", lambda part: {"f", "b", "g"} <= set(part)).atoms == ("g", "f", "b")
