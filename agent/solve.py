"""The whole way from an issue to a patch. Read this file first.

    issue -> graph at the base commit -> places -> a failing check -> suspects -> search of the history -> repairs, each in its own worktree
          -> (with a model: localizer -> attempts, each in its own worktree) -> checks in a clean worktree -> the first that holds -> patch

Every effect on that way goes through the trace (`backstory.agent.trace`), so a run can be killed and resumed, and replayed without a model.
Opening the parts (mirror, graph, sandbox, environment) is `backstory.agent.runs`; each line below is one module.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from backstory.agent.attempts import Team, merge
from backstory.agent.budget import Purse
from backstory.agent.culprit import blame, read_finding, search_history
from backstory.agent.judge import Judge
from backstory.agent.localize import Localization, localize
from backstory.agent.loop import Asked
from backstory.agent.phases import Phases
from backstory.agent.prove import NOTHING_TRIED, Proof, Prover
from backstory.agent.question import Question, Read, Unanswerable, ask_given, find_question
from backstory.agent.repairs import Repairs
from backstory.agent.suspects import rank_suspects
from backstory.agent.trace import Trace
from backstory.agent.types import Blamed, Issue, Solution, Suspect, Tested
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import RepoPath

# Places and suspects that are handed over: what a person reads before looking elsewhere.
PLACES = 20
SUSPECTS = 10
# With a model at hand history is searched no further than a regression of usual depth needs, given up sooner where nothing older passes (it is hardly a
# regression then), and only repairs of a commit that the check convicted are tried, those that come first: what lies beyond costs more checks than a
# model's attempt.
TRIALS_BEFORE_MODEL = 14
TRIALS_WITHOUT_A_PASS = 5
REPAIRS_BEFORE_MODEL = 12
# Of the seconds and steps of a run, those that the search may take when repairs follow: of 19 searches that a budget ended 17 had left nothing to
# try a repair with (docs/log.md, 2026-11-27).
SEARCH_SHARE = 2 / 3
# The head of a ranking that the trace records, enough to see a replay go another way.
TRACED = 10


@dataclass(frozen=True)
class Case:
    """An issue with everything opened that solving it needs.

    read: a file as the check shall see it, the user's uncommitted test first. counts: whether a path is looked at and may be changed. asked: the model,
    None to do without. repair: whether to go on once the commit to blame is known.
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
    asked: Asked | None = None
    repair: bool = True


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
        return with_model(case, unanswered(case, question, localization, suspects), question, localization)
    searching = case.purse.for_share(SEARCH_SHARE) if case.repair else case.purse
    with case.phases("search history"):
        finding, tested = search_history(
            case.graph,
            question,
            suspects,
            judge=case.judge,
            purse=searching,
            report=case.phases.report,
            go_on=lambda tested: case.asked is None or is_worth_going_on(tested),
        )
        blamed = blame(case.graph, finding, suspects)
        case.trace.note("searched", status=finding.status, culprit=finding.culprit, tests=len(tested))
    with case.phases("repair"):
        proof = prove(case, question, localization, blamed) if case.repair else NOTHING_TRIED
    from_history = Solution(
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
        limit=case.purse.stopped or searching.stopped,
        reason="" if proof.verified_by else "; ".join(filter(None, (read_finding(finding, tested, cut=case.graph.shallow), proof.reason))),
        why=proof.proposal.why if proof.proposal else (),
    )
    return with_model(case, from_history, question, localization)


def with_model(case: Case, so_far: Solution, question: Question | Unanswerable, localization: Localization) -> Solution:
    """Return what a model makes of what history could not mend: the same as `so_far` when there is no model, or nothing is left to do."""
    if case.asked is None or so_far.status == "verified" or case.purse.spent_out() is not None:
        return so_far
    with case.phases("agents"):
        team = Team(
            case.graph,
            case.judge,
            case.issue,
            question,
            so_far.blamed,
            case.asked,
            case.trace,
            case.purse,
            case.attempts,
            case.check_timeout_s,
            case.phases.report,
        )
        resolved = team.resolve(localization)
        case.trace.note("chosen", candidate=resolved.best.name if resolved.best else None)
    return merge(so_far, resolved, model=case.asked.model.name, purse=case.purse)


def is_worth_going_on(tested: Sequence[Tested]) -> bool:
    """Return whether history is worth another trial when a model could be asked instead."""
    return len(tested) < (TRIALS_BEFORE_MODEL if any(one.outcome == "good" for one in tested) else TRIALS_WITHOUT_A_PASS)


def locate(case: Case) -> Localization:
    """Return the places that the issue points at, among the paths that count."""
    return localize(case.graph, case.issue.text, limit=PLACES, keep=case.counts)


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
    proposals = repairs.proposals(blamed)
    if case.asked is not None:
        convicted = blamed is not None and blamed.status != "suspected"
        proposals = islice(proposals, REPAIRS_BEFORE_MODEL if convicted else 0)
    return prover.prove(proposals)


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
