"""agent/bisect.py: right answers on any history whose truth is one culprit, and few trials."""

from dataclasses import dataclass
from math import ceil, log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.agent.bisect import Finding, bisect


@dataclass(frozen=True)
class World:
    """A history (newest commit first bad), who broke it, and which commits cannot be tested."""

    parents: dict[str, list[str]]
    culprit: str
    untestable: frozenset[str] = frozenset()

    @property
    def at(self) -> str:
        return str(len(self.parents) - 1)

    def above(self, commit: str) -> set[str]:
        seen: set[str] = set()
        stack = [commit]
        while stack:
            one = stack.pop()
            if one not in seen:
                seen.add(one)
                stack += self.parents[one]
        return seen

    def is_bad(self, commit: str) -> bool:
        return self.culprit in self.above(commit)

    def outcome(self, commit: str) -> str:
        return "skip" if commit in self.untestable else "bad" if self.is_bad(commit) else "good"

    def search(self, prior=None, go_on=lambda: True) -> Finding:
        return bisect(self.parents.__getitem__, self.at, prior or {}, self.outcome, go_on=go_on)


def chain(length: int, culprit: int, untestable=()) -> World:
    """Commits 0 (root) to length - 1 in a row."""
    return World({str(i): [str(i - 1)] if i else [] for i in range(length)}, str(culprit), frozenset(map(str, untestable)))


@st.composite
def worlds(draw, *, skips: bool):
    """Any history of up to 40 commits, merges and octopuses included; the culprit is an ancestor of the newest."""
    count = draw(st.integers(1, 40))
    parents: dict[str, list[str]] = {"0": []}
    for i in range(1, count):
        first = i - draw(st.integers(1, min(i, 4)))
        more = draw(st.lists(st.integers(max(0, i - 8), i - 1), max_size=2))
        parents[str(i)] = [str(p) for p in dict.fromkeys([first, *more])]
    world = World(parents, "0")
    ancestors = sorted(world.above(world.at), key=int)
    untestable = draw(st.frozensets(st.sampled_from(ancestors), max_size=len(ancestors) // 2)) if skips else frozenset()
    return World(parents, draw(st.sampled_from(ancestors)), untestable)


PRIORS = st.dictionaries(st.integers(0, 39).map(str), st.floats(0, 1), max_size=5)


@given(worlds(skips=False), PRIORS)
@settings(max_examples=150, deadline=None)
def test_where_all_can_be_tested_the_culprit_found_is_the_true_one(world, prior):
    """Whatever is suspected: `found` is right and confirmed; `not_a_regression` means that nothing tried was good."""
    finding = world.search(prior)
    outcomes = {step.commit: step.outcome for step in finding.steps}
    if finding.status == "found":
        assert finding.culprit == world.culprit
        assert finding.candidates == ((world.culprit, 1.0),)
        assert all(outcomes[parent] == "good" for parent in world.parents[world.culprit])
    else:
        assert finding.status == "not_a_regression"
        assert set(outcomes.values()) <= {"bad"}
    assert len(outcomes) == len(finding.steps)


@given(worlds(skips=True), PRIORS)
@settings(max_examples=150, deadline=None)
def test_the_culprit_is_always_among_the_candidates(world, prior):
    """With commits that cannot be tested anywhere, the truth is never ruled out, and probabilities sum to one."""
    finding = world.search(prior)
    candidates = dict(finding.candidates)
    assert world.culprit in candidates
    assert sum(candidates.values()) + finding.never_good == pytest.approx(1)
    assert list(candidates.values()) == sorted(candidates.values(), reverse=True)
    if finding.status == "narrowed":
        assert any(step.outcome == "good" for step in finding.steps)
        assert any(step.outcome == "skip" for step in finding.steps)


@given(worlds(skips=True), PRIORS, st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_a_stopped_search_keeps_what_it_knows(world, prior, budget):
    """`go_on` is asked before each trial; the first trials are those of the whole search, and the truth is still a candidate."""
    whole = world.search(prior)
    left = iter(range(budget))
    finding = world.search(prior, go_on=lambda: next(left, None) is not None)
    assert finding.steps == whole.steps[:budget]
    assert finding.status == ("stopped" if len(whole.steps) > budget else whole.status)
    assert world.culprit in dict(finding.candidates)


@pytest.mark.parametrize("length", [2, 10, 100, 1000])
def test_with_no_suspicion_a_chain_takes_about_its_logarithm(length):
    """At most two trials over a plain bisection, for a culprit anywhere in the chain but at its very root."""
    for culprit in range(1, length, max(1, length // 9)):
        finding = chain(length, culprit).search()
        assert (finding.status, finding.culprit) == ("found", str(culprit))
        assert len(finding.steps) <= log2(length) + 3
        assert finding.plain_steps_estimate == ceil(log2(length))


@pytest.mark.parametrize("culprit", [300, 400, 998])
def test_a_right_suspicion_takes_two_or_three_trials(culprit):
    """The culprit and its parent have to be tried in any case."""
    finding = chain(1000, culprit).search({str(culprit): 0.6, "17": 0.1, "700": 0.1})
    assert finding.culprit == str(culprit)
    assert len(finding.steps) <= 3


def test_a_right_suspicion_among_many_commits_is_as_quick():
    """More commits than are weighed at once: suspects and their parents are among those that are."""
    finding = chain(5000, 3210).search({"3210": 0.7, "40": 0.1})
    assert finding.culprit == "3210"
    assert len(finding.steps) <= 3


def test_a_large_history_full_of_merges_is_searched_quickly():
    """Side branches of four commits merged one after another, 30,000 commits, nobody suspected: near the logarithm."""
    parents: dict[str, list[str]] = {"0": []}
    tip, number = "0", 1
    while number < 30_000:
        side = [tip]
        for _ in range(4):
            parents[str(number)] = [side[-1]]
            side.append(str(number))
            number += 1
        parents[str(number)] = [tip, side[-1]]
        tip, number = str(number), number + 1
    culprit = str(15_003)  # inside a side branch
    reached: set[str] = set()  # what descends from it, from old to new
    for commit, above in parents.items():
        if commit == culprit or reached & set(above):
            reached.add(commit)
    finding = bisect(parents.__getitem__, tip, {}, lambda commit: "bad" if commit in reached else "good", go_on=lambda: True)
    assert (finding.status, finding.culprit) == ("found", culprit)
    assert len(finding.steps) <= log2(30_000) + 4


def test_a_merge_whose_parents_are_all_good_is_the_culprit():
    """Two branches that only break each other: the merge is blamed, after each of its parents was tried."""
    parents = {"0": [], "1": ["0"], "2": ["0"], "3": ["0"], "4": ["1", "2", "3"], "5": ["4"]}
    world = World(parents, "4")
    finding = world.search()
    assert (finding.status, finding.culprit) == ("found", "4")
    assert {step.commit for step in finding.steps if step.outcome == "good"} >= {"1", "2", "3"}


@pytest.mark.parametrize("culprit", ["2", "3", "4", "6"])
def test_a_culprit_in_any_branch_of_an_octopus_is_found(culprit):
    """Every parent of a merge is searched."""
    parents = {"0": [], "1": ["0"], "2": ["0"], "3": ["0"], "4": ["3"], "5": ["1", "2", "4"], "6": ["5"], "7": ["6"]}
    assert World(parents, culprit).search().culprit == culprit


def test_what_was_never_good_ends_after_a_few_trials():
    """Ten thousand commits that all fail: said after trials of ever other ages, and no commit is blamed."""
    finding = chain(10_000, 0).search()
    assert (finding.status, finding.culprit) == ("not_a_regression", None)
    assert {step.outcome for step in finding.steps} == {"bad"}
    assert len(finding.steps) <= 12
    assert finding.never_good > 0.8


def test_a_single_commit_cannot_be_a_regression():
    """There is nothing to test."""
    finding = chain(1, 0).search()
    assert (finding.status, finding.steps, finding.plain_steps_estimate) == ("not_a_regression", (), 0)


def test_code_older_than_the_feature_does_not_hide_the_regression():
    """The check fails before commit 600, where the feature came, passes up to 799 and fails again: 800 is blamed."""
    finding = bisect(
        lambda commit: [commit - 1] if commit else [], 999, {}, lambda commit: "good" if 600 <= commit < 800 else "bad", go_on=lambda: True
    )
    assert (finding.status, finding.culprit) == ("found", 800)


def test_a_branch_that_never_had_the_feature_is_not_blamed():
    """A side branch forked before the feature fails from its start; the culprit is on the main line, after the feature."""
    main = {i: [i - 1] if i else [] for i in range(40)}
    main[100] = [3]  # forked before the feature came in 10
    main[101] = [100]
    main[102] = [101]
    main[25] = [24, 102]
    good = set(range(10, 30))
    finding = bisect(main.__getitem__, 39, {102: 0.5, 12: 0.3}, lambda c: "good" if c in good else "bad", go_on=lambda: True)
    assert (finding.status, finding.culprit) == ("found", 30)


def test_a_stretch_that_cannot_be_tested_is_sampled_not_walked():
    """400 of 1000 commits cannot be tested and hide the culprit: exactly they and the next bad one remain, after few skips."""
    finding = chain(1000, 500, range(301, 700)).search()
    assert finding.status == "narrowed"
    assert {int(commit) for commit, _ in finding.candidates} == set(range(301, 701))
    assert sum(step.outcome == "skip" for step in finding.steps) <= 20


def test_one_untestable_commit_in_ten_costs_little():
    """Lone untestable commits are stepped over."""
    finding = chain(1000, 815, range(0, 1000, 10)).search()
    assert finding.culprit == "815"
    assert len(finding.steps) <= log2(1000) + 6


def test_an_untestable_parent_that_a_good_commit_descends_from_counts_as_good():
    """The culprit merges a branch whose tip cannot be tested but went on to a good commit elsewhere."""
    parents = {"0": [], "1": ["0"], "2": ["1"], "3": ["2"], "4": ["3", "1"], "5": ["4"]}
    finding = World(parents, "4", frozenset({"1"})).search()
    assert (finding.status, finding.culprit) == ("found", "4")


def test_equal_inputs_give_equal_trials():
    """Ties go to the newest commit, so a search can be replayed."""
    world = chain(200, 77, range(20, 50))
    assert world.search({"60": 0.5}) == world.search({"60": 0.5})
