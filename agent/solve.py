"""The whole way from an issue to a patch. Read this file first.

    issue -> graph at the base commit -> places -> a failing check -> suspects -> search of the history -> repairs, each in its own worktree
          -> checks in a clean worktree -> the first that holds -> patch

Every effect on that way goes through the trace (`backstory.agent.trace`), so a run can be killed and resumed, and replayed without a model.
Opening the parts (mirror, graph, sandbox, environment) is `backstory.agent.runs`; each line below is one module.
"""

from collections.abc import Callable
from dataclasses import dataclass

from backstory.agent.budget import Purse
from backstory.agent.culprit import blame, read_finding, search_history
from backstory.agent.judge import Judge
from backstory.agent.localize import Localization, localize
from backstory.agent.phases import Phases
from backstory.agent.prove import Proof, Prover
from backstory.agent.question import Question, Read, Unanswerable, ask_given, find_question
from backstory.agent.repairs import Repairs
from backstory.agent.suspects import rank_suspects
from backstory.agent.trace import Trace
from backstory.agent.types import Blamed, Issue, Solution, Suspect
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import RepoPath

# Places and suspects that are handed over: what a person reads before looking elsewhere.
PLACES = 20
LOOKED_AT = 200  # ranked before those that do not count are left out
SUSPECTS = 10
# The head of a ranking that the trace records, enough to see a replay go another way.
TRACED = 10


@dataclass(frozen=True)
class Case:
    """An issue with everything opened that solving it needs.

    read: a file as the check shall see it, the user's uncommitted test first. counts: whether a path is looked at and may be changed.
    """

    issue: Issue
    graph: RepoGraph
    judge: Judge
    read: Read
    counts: Callable[[RepoPath], bool]
    check: str | None
    check_timeout_s: float
    attempts: int
    trace: Trace
    purse: Purse
    phases: Phases


def solve(case: Case) -> Solution:
    """Return what can be done about the issue: a verified patch at best, suspects and places at least."""
    with case.phases("locate"):
        localization = locate(case)
        case.trace.note("located", places=[f"{place.path}:{place.span.first}" for place in localization.locations[:TRACED]])
    with case.phases("check the base"):
        question = ask(case, localization)
    with case.phases("suspect"):
        suspects = suspect(case, localization, question)
    if isinstance(question, Unanswerable):
        return unanswered(case, question, localization, suspects)
    with case.phases("search history"):
        finding, tested = search_history(case.graph, question, suspects, judge=case.judge, purse=case.purse, report=case.phases.report)
        blamed = blame(case.graph, finding, suspects)
        case.trace.note("searched", status=finding.status, culprit=finding.culprit, tests=len(tested))
    with case.phases("repair"):
        proof = prove(case, question, localization, blamed)
    return Solution(
        status="verified" if proof.verified_by else "unverified" if proof.patch else "no_patch",
        patch=proof.patch,
        verified_by=proof.verified_by,
        check=question.check.command,
        scope=proof.scope,
        blamed=blamed,
        tested=tested,
        tried=proof.tried,
        suspects=tuple(suspects[:SUSPECTS]),
        locations=tuple(localization.locations),
        limit=case.purse.stopped,
        reason="" if proof.verified_by else f"{read_finding(finding, tested)}; {proof.reason}",
        why=proof.proposal.why if proof.proposal else (),
    )


def locate(case: Case) -> Localization:
    """Return the places that the issue points at, among the paths that count."""
    found = localize(case.graph, case.issue.text, limit=LOOKED_AT)
    files = [file for file in found.files if case.counts(file.path)]
    return Localization(files[:PLACES], [place for place in found.locations if case.counts(place.path)][:PLACES])


def ask(case: Case, localization: Localization) -> Question | Unanswerable:
    """Return the check that a repair has to answer to: the user's, or one found from the issue."""
    if case.check is not None:
        return ask_given(case.check, judge=case.judge, read=case.read, timeout_s=case.check_timeout_s)
    return find_question(
        case.issue.text, localization.locations, code=case.graph.code, judge=case.judge, read=case.read, timeout_s=case.check_timeout_s
    )


def suspect(case: Case, localization: Localization, question: Question | Unanswerable) -> list[Suspect]:
    """Return the commits that may have introduced the fault, likeliest first."""
    return rank_suspects(
        case.graph,
        text=case.issue.text,
        localization=localization,
        failing_output=question.verdict.output if question.verdict is not None else "",
        check_files=question.check.files if isinstance(question, Question) else (),
    )


def prove(case: Case, question: Question, localization: Localization, blamed: Blamed | None) -> Proof:
    """Return the first repair that holds, or what each of them fell short of."""
    repairs = Repairs(case.graph, localization.locations, question, text=case.issue.text, counts=case.counts)
    prover = Prover(
        case.graph,
        case.judge,
        question,
        case.purse,
        case.trace,
        minimise=repairs.minimise,
        blamed=blamed.commit if blamed else None,
        attempts=case.attempts,
        timeout_s=case.check_timeout_s,
        report=case.phases.report,
    )
    return prover.prove(repairs.proposals(blamed))


def unanswered(case: Case, question: Unanswerable, localization: Localization, suspects: list[Suspect]) -> Solution:
    """Return what is known when no failing check could be had: places and suspects, and why there is nothing to prove a repair with."""
    return Solution(
        status="no_patch",
        patch=None,
        verified_by="",
        check=case.check,
        scope=(),
        blamed=None,
        tested=(),
        tried=(),
        suspects=tuple(suspects[:SUSPECTS]),
        locations=tuple(localization.locations),
        limit=case.purse.stopped,
        reason=question.reason,
        why=(),
    )
