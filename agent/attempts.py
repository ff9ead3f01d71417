"""Several attempts at one issue, side by side, and the choice among them.

Each attempt has a lane of the trace, a desk, a judge's view and, so that they do not all think the same, other past changes to look at and another
draw of the model. The first whose patch is proven ends the others. Otherwise the choice is by what was executed, then by static faults, then by size:
nothing in it depends on who was faster.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from backstory.agent.budget import Purse
from backstory.agent.examine import Examiner
from backstory.agent.judge import Judge
from backstory.agent.localize import Localization
from backstory.agent.localizer import REPLIES as LOCALIZER_REPLIES
from backstory.agent.localizer import Findings, find_places, found_tool
from backstory.agent.loop import Asked, Voice
from backstory.agent.messages import Sampling
from backstory.agent.originals import with_original_tests
from backstory.agent.plan import Plan
from backstory.agent.prompting import SIMILAR, case_text, prompt_versions
from backstory.agent.prove import Proof, Prover
from backstory.agent.question import Question, Unanswerable
from backstory.agent.resolver import REPLIES as RESOLVER_REPLIES
from backstory.agent.resolver import Attempt, Resolver
from backstory.agent.trace import Codec, Trace
from backstory.agent.types import AgentRun, Agents, Blamed, Issue, Proposal, Solution, Tried
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Evidence, Oid, Report
from backstory.memory.recall import PastChange, recall
from backstory.tools.desk import Desk
from backstory.tools.editing import editing_tools, syntax_complaint
from backstory.tools.look import look_tools
from backstory.tools.patch import Patch
from backstory.tools.tool import Tool
from backstory.tools.view import View

# Temperature of every attempt but the first, which is drawn as the user set it: enough to differ, little enough to stay on the subject.
DIVERSE_TEMPERATURE = 0.7

WORD: Codec[str] = Codec(encode=lambda word: word, decode=str, stable=lambda _: None)


@dataclass(frozen=True)
class Candidate:
    """An attempt with what its patch proved. same_as: the attempt whose tree it equals, or ""."""

    name: str
    attempt: Attempt
    proof: Proof | None
    same_as: str = ""


@dataclass(frozen=True)
class Resolved:
    """What the attempts came to together. failure: why the model could not be used, or None."""

    findings: Findings
    candidates: tuple[Candidate, ...]
    best: Candidate | None
    failure: str | None


@dataclass(frozen=True)
class Team:
    """All that the agents on one issue share."""

    graph: RepoGraph
    judge: Judge
    issue: Issue
    question: Question | Unanswerable
    blamed: Blamed | None
    asked: Asked
    trace: Trace
    purse: Purse
    attempts: int
    timeout_s: float
    report: Report

    def resolve(self, ranking: Localization) -> Resolved:
        """Find the places, attempt the repair, and choose."""
        self.trace.note("prompts", **prompt_versions())
        case = self._case()
        self.report("localize", 0, None)
        findings = self._localize(case, ranking)
        if findings.ended is not None and findings.ended.why == "model":
            return Resolved(findings, (), None, findings.ended.note)
        candidates = self._attempt_all(case, findings)
        failures = [one.attempt.ended.note for one in candidates if one.attempt.ended.why == "model"]
        best = choose(candidates, self.graph)
        return Resolved(findings, candidates, best, failures[0] if len(failures) == len(candidates) else None)

    def _case(self) -> str:
        question = self.question if isinstance(self.question, Question) else None
        verdict = self.question.verdict if isinstance(self.question, Unanswerable) else None
        return case_text(self.graph, self.issue, self.similar(0), question=question, unanswered=verdict, blamed=self.blamed)

    def similar(self, number: int) -> list[PastChange]:
        """Return the past changes that resemble the issue: the first for all, others for each attempt after the first."""
        recalled = recall(self.issue.title, self.graph, limit=SIMILAR * max(1, self.attempts))
        return recalled[number * SIMILAR : (number + 1) * SIMILAR]

    def _localize(self, case: str, ranking: Localization) -> Findings:
        lane = _Lane(self, "localizer", self.asked.sampling, threading.Event(), case)
        with lane.open_desk() as desk:
            view = View(self.graph)
            tools = lane.tools(desk, view)[0]
            return find_places(lane.voice, case, ranking, tools, view=view, replies=LOCALIZER_REPLIES)

    def _attempt_all(self, case: str, findings: Findings) -> tuple[Candidate, ...]:
        proven = threading.Event()
        known = _Known()
        lanes = [_Lane(self, f"attempt-{number + 1}", self._sampling(number), proven, case) for number in range(self.attempts)]
        self.report("resolve", 0, len(lanes))
        if len(lanes) == 1:
            return (lanes[0].attempt(case, findings, known, number=0),)
        with ThreadPoolExecutor(len(lanes)) as pool:
            running = [pool.submit(lane.attempt, case, findings, known, number=number) for number, lane in enumerate(lanes)]
            try:
                return tuple(future.result() for future in running)
            except BaseException:
                proven.set()  # one attempt failed for good: the others need not go on
                raise

    def _sampling(self, number: int) -> Sampling:
        own = self.asked.sampling
        if number == 0:
            return own
        return replace(own, temperature=max(own.temperature or 0.0, DIVERSE_TEMPERATURE), seed=(own.seed or 0) + number)


class _Known:
    """Which attempt first came to a tree, for all attempts of a run; one proves at a time."""

    def __init__(self) -> None:
        self.proving = threading.Lock()
        self._first: dict[Oid, str] = {}

    def first(self, tree: Oid, name: str) -> str:
        return self._first.setdefault(tree, name)


class _Lane:
    """What one agent has for itself."""

    def __init__(self, team: Team, name: str, sampling: Sampling, cancel: threading.Event, case: str) -> None:
        self._team, self._name, self._cancel = team, name, cancel
        self._trace = team.trace.lane(name)
        self._purse = team.purse.in_lane(self._trace)
        self._judge = team.judge.in_lane(self._trace, self._purse)
        self.voice = Voice(name, replace(team.asked, sampling=sampling), self._trace, self._purse, cancel, shared=case)

    def open_desk(self) -> AbstractContextManager[Desk]:
        """Return a desk of its own on the base."""
        question = self._team.question
        kept = question.check.files if isinstance(question, Question) else ()
        return self._judge.desk(kept)

    def tools(self, desk: Desk, view: View) -> tuple[tuple[Tool, ...], Resolver]:
        """Return the tools, the same for every agent, and the resolver that they belong to."""
        team = self._team
        question = team.question if isinstance(team.question, Question) else None
        examiner = Examiner(team.graph, self._judge, desk, question, timeout_s=team.timeout_s)
        plan = Plan(team.graph)
        resolver = Resolver(self.voice, team.graph, desk, view, examiner, plan)
        tools: tuple[Tool, ...] = (
            *look_tools(view),
            *editing_tools(desk, seconds_left=self._purse.seconds_left),
            *examiner.tools(),
            plan.tool(),
            found_tool(view),
            resolver.submit_tool(),
        )
        return tools, resolver

    def attempt(self, case: str, findings: Findings, known: _Known, *, number: int) -> Candidate:
        team = self._team
        with self.open_desk() as desk:
            view = View(team.graph, changed=desk.changed, current=desk.read)
            tools, resolver = self.tools(desk, view)
            similar = team.similar(number) if number else []
            attempt = resolver.solve(case, findings, similar, tools, replies=RESOLVER_REPLIES)
        self._trace.note("attempted", why=attempt.ended.why, tree=attempt.patch.tree, passed=attempt.passed)
        if not attempt.patch:
            return Candidate(self._name, attempt, None)
        first = self._trace.decide("same tree", attempt.patch.tree, lambda: known.first(attempt.patch.tree, self._name), WORD)
        if first != self._name:
            return Candidate(self._name, attempt, None, same_as=first)
        with known.proving:
            proof = self._prove(attempt)
        if proof is not None and proof.verified_by:
            self._cancel.set()
        return Candidate(self._name, attempt, proof)

    def _prove(self, attempt: Attempt) -> Proof | None:
        """Return what the patch proves, None when there is nothing it could be held to, or it was not worth it."""
        if attempt.question is None or not attempt.passed:
            return None
        team = self._team
        title = attempt.summary.partition(". ")[0][:120] or f"the patch of {self._name}"
        proposal = Proposal(
            "model", title, {}, size_of(attempt.patch), (Evidence("model", "", attempt.summary or title),), attempt.patch.tree
        )
        prover = Prover(
            team.graph,
            self._judge,
            attempt.question,
            self._purse,
            self._trace,
            minimise=lambda whole, passes, go_on: whole,
            blamed=team.blamed.commit if team.blamed else None,
            attempts=1,
            timeout_s=team.timeout_s,
            report=team.report,
            judged=lambda tree: with_original_tests(team.graph, tree),
        )
        return prover.prove([proposal])


def merge(so_far: Solution, resolved: Resolved, *, model: str, purse: Purse) -> Solution:
    """Return the solution that history came to, with what the attempts came to: theirs where it is better."""
    best = resolved.best
    runs = [AgentRun("localizer", ended.why, ended.note, ended.replies)] if (ended := resolved.findings.ended) is not None else []
    runs += [AgentRun(one.name, one.attempt.ended.why, one.attempt.ended.note, one.attempt.ended.replies) for one in resolved.candidates]
    agents = Agents(
        model,
        tuple(runs),
        purse.usage,
        purse.replies,
        resolved.findings.diagnosis,
        best.attempt.summary if best else "",
        best.attempt.reproduction if best else None,
        resolved.failure,
    )
    shared = replace(
        so_far,
        tried=(*so_far.tried, *tried(resolved.candidates)),
        locations=resolved.findings.places or so_far.locations,
        limit=purse.stopped or next((run.note for run in runs if run.ended == "limit"), None),
        agents=agents,
        reason=f"{so_far.reason}; the model could not be asked: {resolved.failure}" if resolved.failure else so_far.reason,
    )
    if best is None or (so_far.patch is not None and not _is_proven(best)):
        return shared
    proof, question = best.proof, best.attempt.question
    return replace(
        shared,
        status="verified" if _is_proven(best) else "unverified",
        patch=best.attempt.patch,
        verified_by=proof.verified_by if proof is not None else "",
        check=question.check.command if question is not None else so_far.check,
        scope=proof.scope if proof is not None else (),
        reason="" if _is_proven(best) else _why_unproven(best),
        why=(Evidence("model", "", best.attempt.summary or f"{best.name}, which gave no summary"),),
    )


def _is_proven(candidate: Candidate) -> bool:
    return candidate.proof is not None and bool(candidate.proof.verified_by)


def _why_unproven(candidate: Candidate) -> str:
    attempt, proof = candidate.attempt, candidate.proof
    if attempt.question is None:
        said = "no check was given and no test was written that shows the fault"
    elif not attempt.passed:
        said = "the check does not pass with it"
    elif proof is not None:
        said = f"it passes the check, but {proof.tried[-1].outcome}: {proof.tried[-1].note}" if proof.tried else proof.reason
    else:
        said = "it was not held to the tests around it"
    return f"{said} ({attempt.ended.why}: {attempt.ended.note})" if attempt.ended.note else said


def choose(candidates: Sequence[Candidate], graph: RepoGraph) -> Candidate | None:
    """Return the best of the attempts that changed something: proven, then passing, then without static faults, then small; ties by name."""
    changed = [one for one in candidates if one.attempt.patch and not one.same_as]
    return min(
        changed,
        key=lambda one: (*_standing(one), static_faults(graph, one.attempt.patch), size_of(one.attempt.patch), one.name),
        default=None,
    )


def _standing(candidate: Candidate) -> tuple[bool, bool, bool]:
    proof = candidate.proof
    broke = proof is not None and proof.patch is None
    return (proof is None or not proof.verified_by, not candidate.attempt.passed, broke)


def static_faults(graph: RepoGraph, patch: Patch) -> int:
    """Return how many files of a patch no longer parse."""
    faults = 0
    for path in patch.files:
        now = graph.mirror.blob_at(patch.tree, path)
        faults += bool(now is not None and syntax_complaint(path, now.decode("utf-8", "surrogateescape")))
    return faults


def size_of(patch: Patch) -> int:
    """Return the lines a patch adds and removes."""
    return sum(line.startswith((b"+", b"-")) and not line.startswith((b"+++ ", b"--- ")) for line in patch.diff.splitlines())


def tried(candidates: Sequence[Candidate]) -> tuple[Tried, ...]:
    """Return each attempt as one line of what was tried."""
    rows: list[Tried] = []
    for one in candidates:
        if one.proof is not None and one.proof.tried:
            rows += one.proof.tried
            continue
        note = one.attempt.ended.note or one.attempt.summary
        rows.append(Tried("model", one.name, size_of(one.attempt.patch), _unproven_outcome(one), note))
    return tuple(rows)


def _unproven_outcome(candidate: Candidate) -> str:
    if candidate.same_as:
        return f"the same as {candidate.same_as}"
    if not candidate.attempt.patch:
        return "no change"
    if candidate.attempt.question is None:
        return "not judged"
    return "passes the check" if candidate.attempt.passed else "fails the check"
