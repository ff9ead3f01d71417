"""Finds the commit that made a check fail, by running it on past trees in the order that tells most.

The prior comes from the suspects (`backstory.agent.suspects`), the search from `backstory.agent.bisect`; this module says what a verdict on an
old tree means. A tree on which the check cannot run, runs out of time or fails with *another* exception than at the base is no witness: a test
that asks for a feature which did not exist yet fails too, and counting that as "bad" would blame the commit that brought the feature. Where only
the test file of today cannot run, its tests are carried into the file's old version first (`backstory.agent.transplant`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from backstory.agent.bisect import Finding, Outcome, bisect
from backstory.agent.budget import Purse
from backstory.agent.judge import Judge
from backstory.agent.question import Question
from backstory.agent.transplant import transplant
from backstory.agent.types import Blamed, BlameStatus, Suspect, Tested
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Evidence, Oid, RepoPath, Report
from backstory.tools.checks import Check, Verdict
from backstory.tools.commands import tests_named

# Share of their words in which the messages of two exceptions of one type agree when they tell of one fault; a guess between "the same but for a
# path or a value" and "another attribute is missing".
ALIKE = 0.4
_ASSERTIONS = frozenset({"AssertionError", "Failed"})
# Candidates handed over when the search could not tell them apart; more is no help to a person.
CANDIDATES = 10


def search_history(
    graph: RepoGraph,
    question: Question,
    suspects: list[Suspect],
    *,
    judge: Judge,
    purse: Purse,
    report: Report,
    go_on: Callable[[Sequence[Tested]], bool] = lambda tested: True,
) -> tuple[Finding, tuple[Tested, ...]]:
    """Return what the search found and every commit it tested, in order.

    go_on: whether to go on searching, given what was tested; asked before each trial.
    """
    tested: list[Tested] = []

    def test(commit: Oid) -> Outcome:
        report("search history", len(tested), None)
        verdict = judge.verdict(commit, question.narrowed, role="history")
        if verdict.status == "broken":
            instead = _carried(graph, commit, question.narrowed, judge.overlay)
            verdict = judge.verdict(commit, question.narrowed, role="history", instead=instead) if instead else verdict
        outcome, note = read_verdict(verdict, question.verdict)
        if verdict.status != "not_run":
            tested.append(Tested(commit, outcome, note))
        return outcome

    finding = bisect(
        graph.parents,
        graph.at,
        {suspect.commit: suspect.probability for suspect in suspects},
        test,
        go_on=lambda: purse.spent_out() is None and go_on(tested),
    )
    if purse.stopped is not None and finding.status != "found":
        finding = replace(finding, status="stopped")  # the last trial was not run, so what it seems to leave was not told apart
    return finding, tuple(tested)


def _carried(graph: RepoGraph, commit: Oid, check: Check, overlay: Mapping[RepoPath, bytes]) -> dict[RepoPath, bytes]:
    """Return the check's files as they were at `commit`, with the tests of the check carried into them; empty when that cannot be done."""
    instead: dict[RepoPath, bytes] = {}
    for path in check.files:
        tests = [test.removeprefix(f"{path}::") for test in tests_named(check.command) if test.startswith(f"{path}::")]
        was = graph.was_path(path, commit)
        old = graph.mirror.blob_at(commit, was) if was is not None else None
        if old is None or not tests or path not in overlay:
            return {}
        carried = transplant(old, overlay[path], tests)
        if carried is None:
            return {}
        instead[path] = carried
    return instead


def read_verdict(verdict: Verdict, at_base: Verdict) -> tuple[Outcome, str]:
    """Return what a verdict on an old tree says about that commit, and why, given how the check failed at the base."""
    match verdict.status:
        case "passed":
            return "good", "passes"
        case "failed" if _fails_alike(verdict, at_base):
            return "bad", "fails as at the base"
        case "failed":
            return "skip", f"fails otherwise: {verdict.summary}"
        case _:
            return "skip", f"{verdict.status}: {verdict.summary}"


def _fails_alike(verdict: Verdict, at_base: Verdict) -> bool:
    """Return whether two failures share an exception and, unless it is an assertion, most of what it says.

    What an assertion says holds the values it saw, which differ from tree to tree; what another exception says names what was missing or wrong.
    """
    if not verdict.failure or not at_base.failure:
        return True
    shared = set(verdict.failure) & set(at_base.failure)
    if not shared or shared & _ASSERTIONS:
        return bool(shared)
    now, then = _words_said(verdict), _words_said(at_base)
    return len(now & then) >= ALIKE * len(now | then)


def _words_said(verdict: Verdict) -> set[str]:
    """Return the words of a verdict's summary after the counts and the name of the test."""
    return set(re.findall(r"[A-Za-z_]+", verdict.summary.split(": ", 2)[-1]))


def blame(graph: RepoGraph, finding: Finding, suspects: list[Suspect]) -> Blamed | None:
    """Return the commit held responsible: the one found, else the likeliest of those left; None when nothing points at one."""
    if finding.status == "not_a_regression" or not finding.candidates:
        return None
    candidates = tuple(commit for commit, _ in finding.candidates[:CANDIDATES])
    commit = graph.commit(candidates[0])
    if finding.status == "found":
        status: BlameStatus = "confirmed"
        reason = "the check fails at this commit and passes at its parents"
    elif finding.status == "narrowed":
        status = "narrowed"
        reason = f"one of {len(finding.candidates)} commits that the check cannot tell apart, the likeliest by its history"
    else:
        status = "suspected"
        reason = f"the likeliest of the {len(finding.candidates)} commits left when the search was stopped"
    why = next((suspect.why for suspect in suspects if suspect.commit == commit.oid), ())
    return Blamed(
        commit.oid,
        commit.subject,
        commit.author,
        commit.when.date().isoformat(),
        status,
        candidates[:1] if status == "confirmed" else candidates,
        (Evidence("check", commit.oid, reason), *why),
    )


def read_finding(finding: Finding, tested: tuple[Tested, ...], *, cut: bool) -> str:
    """Return what the search of the history came to, in one clause for a person. cut: the beginning of the history is not here."""
    ran = f"{len(tested)} commit{'' if len(tested) == 1 else 's'} tested"
    match finding.status:
        case "found":
            return f"the commit that broke the check was found ({ran})"
        case "narrowed":
            return f"the search narrowed it down to {len(finding.candidates)} commits that cannot be told apart ({ran})"
        case "not_a_regression" if cut:
            return f"no tested ancestor passes the check ({ran}), but the history is cut: older commits may"
        case "not_a_regression":
            return f"not a regression: no tested ancestor passes the check ({ran})"
        case _:
            return f"the search of the history was stopped with {len(finding.candidates)} commits left ({ran})"
