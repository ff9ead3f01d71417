"""Finds the commit that broke something, with as few trials as the suspicions allow.

Every ancestor of a bad commit is a hypothesis: "it brought the fault", so that it and its descendants are bad and everything else is good. One more
says "never good": not a regression. Suspicions are the prior. A trial at a commit splits the hypotheses exactly, and the next trial is the one that
is expected to tell most: the entropy of its outcome (MacKay 1992, "Information-based objective functions"), times the chance that the commit can be
tested at all (`testable.py`). With equal suspicions on a chain this is ordinary bisection; with good ones two or three trials are enough.

Merges need no special case. What a trial at a commit would tell depends on the suspicion summed over its ancestors, which differs from branch to
branch; to have it for many commits at once, each of up to `PROBES` chosen ones gets a bit, and one pass from children to parents collects for every
commit the bits of its descendants. Among a thousand candidates or fewer the choice is over all of them; above, over a sample that holds the heaviest
suspects, their parents, and steps of equal weight along the order of the history and along the main line. The beliefs are exact in both cases.

Before anything good was seen, an old commit may fail merely because what the check asks for did not exist yet. So until then a failure does not
rule out younger commits, it only makes them unlikely, the less so the older the commit that failed. Once a good commit is known, only commits
that are not its ancestors count, and outcomes are taken at their word; a parent of the last candidate that fails although a tested descendant of it
passed shows that the candidate's branch never had the feature, and the search goes on elsewhere.

Commits are tried by the caller's `test`; nothing here touches a repository.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, log2
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backstory.agent.testable import Trial, chance_testable
from backstory.graph.types import Oid

Outcome = Literal["good", "bad", "skip"]
"""What a trial said. skip: the commit cannot be tested."""

Status = Literal["found", "narrowed", "not_a_regression", "stopped"]

NEVER_GOOD = 0.1
"""Prior of "not a regression". A guess: too high or too low costs a trial or two, since the first good commit settles it."""

UNIFORM_SHARE = 0.1
"""Part of the belief that is spread over all ancestors alike, so that a commit nobody suspects can still be found. About one culprit in ten is not
in the history of the files involved (91 % of 202 known ones are)."""

LEAST_HOPE = 0.02
"""With nothing good seen, the search ends when the most promising trial has less than this chance of being good."""

LEAST_TESTABLE = 0.1
"""Commits believed to be testable with less than this chance are not tried; when only such are left, skips hide the culprit."""

MASQUERADE = 0.1
"""Chance that a check fails just as today, rather than cannot run, on code from before the feature it asks about. A guess: kept small because the
caller reports another kind of failure as a skip."""

PROBES = 1024
"""Commits weighed per step: a pass over 60,000 commits with masks of this many bits takes a fraction of a second."""


@dataclass(frozen=True)
class Step:
    """One trial. chance_bad: the belief, before it, that it would be bad; None for a parent tried only to confirm the culprit."""

    commit: Oid
    outcome: Outcome
    chance_bad: float | None


@dataclass(frozen=True)
class Finding:
    """What the search came to.

    status: found (the culprit is bad, its parents are good) · narrowed (skips hide which candidate it is) · not_a_regression (nothing tried was good)
    · stopped (by `go_on`). A parent that cannot be tested counts as good when a descendant of it was seen good.
    candidates: every commit still possible with its probability, most probable first; with `never_good` they sum to 1.
    steps: every trial in order. plain_steps_estimate: how many a plain bisection between the root and the bad commit would take by the logarithm;
    it was not run.
    """

    status: Status
    culprit: Oid | None
    candidates: tuple[tuple[Oid, float], ...]
    never_good: float
    steps: tuple[Step, ...]
    plain_steps_estimate: int


def bisect(
    parents: Callable[[Oid], Sequence[Oid]],
    at: Oid,
    prior: Mapping[Oid, float],
    test: Callable[[Oid], Outcome],
    *,
    go_on: Callable[[], bool],
    never_good: float = NEVER_GOOD,
) -> Finding:
    """Return which ancestor of the bad commit `at` (itself included) brought the fault.

    prior: any non-negative scale; commits left out weigh little, commits that are no ancestors nothing; empty means all alike.
    test: asked at most once per commit, never about `at`. go_on: asked before each trial. The same inputs give the same trials.
    """
    history = _History.above(at, parents)
    search = _Search(history, _weights(history, prior, never_good), never_good)
    steps: list[Step] = []
    while True:
        choice = search.choice()
        stopped = isinstance(choice, _Trial) and not go_on()
        if stopped or not isinstance(choice, _Trial):
            status: Status = "stopped" if isinstance(choice, _Trial) else choice
            candidates, never = search.beliefs()
            culprit = candidates[0][0] if status == "found" else None
            return Finding(status, culprit, candidates, never, tuple(steps), ceil(log2(len(history.oids))))
        commit = history.oids[choice.index]
        outcome = test(commit)
        steps.append(Step(commit, outcome, choice.chance_bad))
        search.learn(choice.index, outcome)


# The history as numbers --------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _History:
    """Ancestors numbered children first: 0 is the bad commit, parents have larger numbers."""

    oids: list[Oid]
    parents: list[tuple[int, ...]]

    @staticmethod
    def above(at: Oid, parents: Callable[[Oid], Sequence[Oid]]) -> "_History":
        links: dict[Oid, tuple[Oid, ...]] = {}
        waiting_for = {at: 0}  # children not yet numbered
        frontier = [at]
        while frontier:
            oid = frontier.pop()
            links[oid] = tuple(dict.fromkeys(parents(oid)))
            for parent in links[oid]:
                if parent not in waiting_for:
                    waiting_for[parent] = 0
                    frontier.append(parent)
                waiting_for[parent] += 1
        number: dict[Oid, int] = {}
        ready = deque([at])  # first in, first out: branches that ran side by side stay side by side
        while ready:
            oid = ready.popleft()
            number[oid] = len(number)
            for parent in links[oid]:
                waiting_for[parent] -= 1
                if waiting_for[parent] == 0:
                    ready.append(parent)
        return _History(list(number), [tuple(number[parent] for parent in links[oid]) for oid in number])

    def mark(self, starts: Sequence[int], marks: bytearray) -> list[int]:
        """Mark `starts` and their ancestors; return those that were not marked, in no order. Nothing is searched past a mark."""
        new: list[int] = []
        stack = list(starts)
        while stack:
            i = stack.pop()
            if not marks[i]:
                marks[i] = 1
                new.append(i)
                stack += self.parents[i]
        return new


def _weights(history: _History, prior: Mapping[Oid, float], never_good: float) -> NDArray[np.float64]:
    """Return the prior by number, summing to 1 - never_good."""
    given = np.array([max(prior.get(oid, 0.0), 0.0) for oid in history.oids])
    alike = np.full(len(given), 1 / len(given))
    total = float(given.sum())
    mixed = (1 - UNIFORM_SHARE) * given / total + UNIFORM_SHARE * alike if total > 0 else alike
    weights: NDArray[np.float64] = (1 - never_good) * mixed
    return weights


# The search --------------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Trial:
    index: int
    chance_bad: float | None


class _Search:
    """What is known after the trials so far: `alive` holds the candidates, children first, and `weight` their beliefs (any scale)."""

    def __init__(self, history: _History, weights: NDArray[np.float64], never_good: float) -> None:
        self.history = history
        self.prior = weights
        self.never_prior = never_good
        self.outcomes: dict[int, Outcome] = {0: "bad"}
        self.explained: set[int] = set()  # bad, but for a reason older than a good commit
        self._weigh()

    # Beliefs

    def _weigh(self) -> None:
        goods = [i for i, outcome in self.outcomes.items() if outcome == "good"]
        cleared = bytearray(len(self.history.oids))
        self.history.mark([*goods, *self.explained], cleared)
        bads = [i for i in sorted(self._bads()) if not cleared[i]]
        if goods:
            self.bad, self.alive = self._narrowest(bads, cleared)
            self.weight = self.prior[self.alive]
            self.since = np.zeros(len(self.alive), dtype=np.int64) + len(self.history.oids)
            self.never = 0.0
        else:
            self.bad, self.alive = 0, list(range(len(self.history.oids)))
            self.since = self._contradicted_by(bads)
            length = len(self.history.oids)
            excuse = MASQUERADE * np.maximum(self.since - np.arange(length), 1) / length
            self.weight = self.prior * np.where(self.since < length, excuse, 1.0)
            self.never = self.never_prior
        self.seen_good = bool(goods)

    def _bads(self) -> set[int]:
        return {i for i, outcome in self.outcomes.items() if outcome == "bad"} - self.explained

    def _narrowest(self, bads: Sequence[int], cleared: bytearray) -> tuple[int, list[int]]:
        """Return the bad commit with the fewest candidates behind it, and those, in order."""
        reaches = [(self.history.mark([bad], bytearray(cleared)), bad) for bad in bads]
        reach, bad = min(reaches, key=lambda pair: (len(pair[0]), pair[1]))
        return bad, sorted(reach)

    def _contradicted_by(self, bads: Sequence[int]) -> NDArray[np.int64]:
        """Return for each hypothesis the newest failure that it calls good, or one past the oldest commit.

        While nothing good is known, such a failure may have been for want of the feature, which then came between it and the culprit. Nothing being
        known of when it came, each commit of the history is as likely to have brought it: the gap's share of the history is the chance.
        """
        since = np.full(len(self.history.oids), len(self.history.oids), dtype=np.int64)
        for bad in reversed(bads):  # newer ones overwrite
            marks = bytearray(len(self.history.oids))
            self.history.mark([bad], marks)
            since[np.frombuffer(marks, dtype=np.uint8) == 0] = bad
        return since

    def beliefs(self) -> tuple[tuple[tuple[Oid, float], ...], float]:
        """Return the candidates with their probabilities, most probable first, and that of never having been good."""
        whole = float(self.weight.sum()) + self.never
        ranked = sorted(zip(self.alive, self.weight.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
        return tuple((self.history.oids[i], weight / whole) for i, weight in ranked), self.never / whole

    def learn(self, index: int, outcome: Outcome) -> None:
        self.outcomes[index] = outcome
        if outcome == "skip":
            return
        if outcome == "bad" and len(self.alive) == 1 and self.bad != 0:  # a parent of the last candidate fails
            self._explain(self.bad)
        self._weigh()

    def _explain(self, bad: int) -> None:
        """Set aside a bad commit whose parent is bad as well, and its bad descendants, up to where a good commit is merged in."""
        goods = {i for i, outcome in self.outcomes.items() if outcome == "good"}
        for other in self._bads():
            above = set(self.history.mark([other], bytearray(len(self.history.oids))))
            if other == bad or (bad in above and not above & goods):
                self.explained.add(other)

    # The next trial

    def choice(self) -> _Trial | Status:
        """Return what to try next, or how the search ends."""
        if self.seen_good and len(self.alive) == 1:
            return self._confirmation()
        probes = [i for i in self._probes() if i not in self.outcomes]
        if not probes:
            return self._hidden()
        chance_good = np.clip(_belief_in_good(self, probes) / (float(self.weight.sum()) + self.never), 0.0, 1.0)
        trials = [Trial(i, outcome != "skip") for i, outcome in self.outcomes.items()]
        can_test = chance_testable(probes, trials, length=len(self.history.oids), candidates=self.alive[-1] - self.alive[0] + 1)
        if not self.seen_good and float(np.max(chance_good * can_test)) < LEAST_HOPE:
            return "not_a_regression"
        worth = np.where(can_test >= LEAST_TESTABLE, _entropy(chance_good) * can_test, -1.0).round(12)
        best = int(np.argmax(worth))  # the first of equals: the newest
        return _Trial(probes[best], 1 - float(chance_good[best])) if worth[best] >= 0 else self._hidden()

    def _hidden(self) -> Status:
        return "narrowed" if self.seen_good else "not_a_regression"

    def _confirmation(self) -> _Trial | Status:
        """One candidate is left, and it is bad: try the parents that were not tried; all are good or ancestors of good ones."""
        parents = self.history.parents[self.bad]
        if any(self.outcomes.get(parent) == "bad" for parent in parents):
            return "narrowed"  # the one case: `at` itself merges a branch that was always bad
        untried = [parent for parent in parents if parent not in self.outcomes]
        return _Trial(untried[0], None) if untried else "found"

    def _probes(self) -> list[int]:
        """Return the candidates to choose among, newest first."""
        if len(self.alive) <= PROBES:
            return self.alive
        share = PROBES // 4
        place = {i: k for k, i in enumerate(self.alive)}
        heaviest = [self.alive[k] for k in np.argsort(-self.weight, kind="stable")[:share].tolist()]
        chosen = set(heaviest) | {parent for i in heaviest for parent in self.history.parents[i][:1] if parent in place}
        chosen |= set(_even_steps(self.alive, self.weight.tolist(), share))
        line = [self.bad]
        while (first := self.history.parents[line[-1]][:1]) and first[0] in place:
            line.append(first[0])
        chosen |= set(_even_steps(line, self._brought_in(line, place), share))
        return sorted(chosen)

    def _brought_in(self, line: Sequence[int], place: Mapping[int, int]) -> list[float]:
        """Return for each commit of the main line the belief in it and in what it merged."""
        marks = bytearray(b"\1") * len(self.history.oids)
        for i in self.alive:
            marks[i] = 0
        return [sum(float(self.weight[place[i]]) for i in self.history.mark([commit], marks)) for commit in reversed(line)][::-1]


def _even_steps(items: Sequence[int], weights: Sequence[float], count: int) -> list[int]:
    """Return about `count` of `items`, spaced by equal shares of the weight."""
    step = sum(weights) / count
    sums = list(accumulate(weights))
    return [item for item, low, high in zip(items, [0.0, *sums], sums, strict=False) if int(low / step) != int(high / step)]


def _belief_in_good(search: _Search, probes: Sequence[int]) -> NDArray[np.float64]:
    """Return for each probe the belief in hypotheses that call it good: the candidates that it does not descend from.

    One pass, children first: each candidate collects as a bit mask the probes among its descendants. Candidates with equal masks are summed up first.
    A hypothesis that must excuse a failure (`since`) calls a commit good only if the feature came between the two: their distance is the chance.
    """
    length = len(search.history.oids)
    masks = dict.fromkeys(search.alive, 0)
    for bit, probe in enumerate(probes):
        masks[probe] = 1 << bit
    sums: dict[tuple[int, int], float] = {}
    for i, weight, failed in zip(search.alive, search.prior[search.alive].tolist(), search.since.tolist(), strict=True):
        mask = masks[i]
        sums[mask, failed] = sums.get((mask, failed), 0.0) + weight
        for parent in search.history.parents[i]:
            if parent in masks:
                masks[parent] |= mask
    width = (len(probes) + 7) // 8
    places = np.array(probes)
    out = np.zeros(len(probes))
    entries = list(sums.items())
    for start in range(0, len(entries), PROBES):  # in slices: the unpacked bits of all could be large
        part = entries[start : start + PROBES]
        packed = np.frombuffer(b"".join(mask.to_bytes(width, "little") for (mask, _), _ in part), dtype=np.uint8)
        descends = np.unpackbits(packed.reshape(len(part), width), axis=1, count=len(probes), bitorder="little").astype(bool)
        since = np.array([failed for (_, failed), _ in part])[:, None]
        calls_good = np.where(since < length, MASQUERADE * np.maximum(since - places, 0) / length, 1.0) * ~descends
        out += np.array([weight for _, weight in part]) @ calls_good
    return out


def _entropy(chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the bits an outcome of this chance tells."""
    inside = np.clip(chance, 1e-300, 1 - 1e-16)
    bits: NDArray[np.float64] = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
    return bits
