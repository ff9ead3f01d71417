"""Turns proposals into a proven patch, or says what each of them fell short of.

Proposals come smallest first and are tried as they come, several side by side when asked. One that makes the check pass is first made as small
as it can be, and then has to hold in a clean worktree: the check passes there, and every test of the printed scope that passed at the base still
passes. The first that holds is the answer; the choice depends on nothing but the order of the proposals, so it is the same on every machine.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from backstory.agent.budget import Purse
from backstory.agent.judge import Judge
from backstory.agent.question import Question
from backstory.agent.scope import Scope, ScopeVerdict, changed_spans, scope_files
from backstory.agent.trace import Trace
from backstory.agent.types import Proposal, Tried
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Oid, RepoPath, Report
from backstory.tools.patch import Patch, diff_trees, write_tree

# Test ids named in a note; the rest are counted.
NAMES_SHOWN = 3

Minimise = Callable[[Proposal, Callable[[Proposal], bool], Callable[[], bool]], Proposal]
"""Returns the smallest variant of a passing proposal that still passes, given what passes and whether to go on."""


@dataclass(frozen=True)
class Proof:
    """The outcome of all attempts. patch: the verified one, else the best that at least passes the check, else None."""

    patch: Patch | None
    proposal: Proposal | None
    verified_by: str
    scope: tuple[RepoPath, ...]
    tried: tuple[Tried, ...]
    reason: str


NOTHING_TRIED = Proof(None, None, "", (), (), "")


@dataclass
class Prover:
    """Tries proposals against one question."""

    graph: RepoGraph
    judge: Judge
    question: Question
    purse: Purse
    trace: Trace
    minimise: Minimise
    blamed: Oid | None
    attempts: int
    timeout_s: float
    report: Report
    judged: Callable[[Oid], Oid] = field(default=lambda tree: tree)
    """The tree that a verdict on a proposal's tree is given on: the same, or one with the original tests."""

    def __post_init__(self) -> None:
        self._scope = Scope(self.judge, timeout_s=self.timeout_s, like=self.question.check.command)
        self._tried: list[Tried] = []
        self._best: tuple[Proposal, Patch, ScopeVerdict] | None = None

    def prove(self, proposals: Iterable[Proposal]) -> Proof:
        """Return the first proposal that is proven, or what was learned from all of them."""
        for proposal in self._passing(proposals):
            for candidate in self._with_smallest(proposal):
                proof = self._hold(candidate)
                if proof is not None:
                    return proof
        return self._unproven()

    def _passing(self, proposals: Iterable[Proposal]) -> Iterator[Proposal]:
        """Yield the proposals that make the check pass, in order, until the budget is spent."""
        judged: set[Oid] = set()
        fresh = (proposal for proposal in proposals if self._is_new(proposal, judged))
        while self.purse.spent_out() is None and (batch := list(itertools.islice(fresh, self.attempts))):
            verdicts = self.judge.verdicts(
                [self.judged(self._tree(proposal)) for proposal in batch], self.question.narrowed, role="proposal"
            )
            for proposal, verdict in zip(batch, verdicts, strict=True):
                self.report("repair", len(self._tried), None)
                if verdict.status == "passed":
                    yield proposal
                elif verdict.status != "not_run":
                    self._note(proposal, "fails the check" if verdict.status == "failed" else verdict.status, verdict.summary)

    def _is_new(self, proposal: Proposal, judged: set[Oid]) -> bool:
        tree = self._tree(proposal)
        if tree in judged:
            return False
        judged.add(tree)
        self.trace.note("proposal", tree=tree, title=proposal.title, size=proposal.size)
        return True

    def _with_smallest(self, proposal: Proposal) -> list[Proposal]:
        """Return the smallest variant that passes and, if another, the proposal itself: the smallest may pass by cutting too deep."""

        def passes(candidate: Proposal) -> bool:
            return self.judge.verdict(self.judged(self._tree(candidate)), self.question.narrowed, role="smaller").status == "passed"

        smallest = self.minimise(proposal, passes, lambda: self.purse.spent_out() is None)
        same = self._tree(smallest) == self._tree(proposal)
        return [proposal] if same else [smallest, proposal]

    def _hold(self, proposal: Proposal) -> Proof | None:
        """Return the proof if `proposal` holds in a clean worktree, else None with the reason noted."""
        tree = self._tree(proposal)
        patch = diff_trees(self.graph.mirror, self.graph.at, tree)
        judged = self.judged(tree)
        verdict = self.judge.verdict(judged, self.question.check, role="clean", clean=True)
        if verdict.status == "not_run":
            self._keep(proposal, patch, ScopeVerdict((), (), 0, verdict.summary))
            return None
        if verdict.status != "passed":
            whole = self.question.narrowed == self.question.check
            fell_short = "passes once only" if whole else "passes only the tests that failed"
            self._note(proposal, fell_short, f"in a clean worktree: {verdict.status}: {verdict.summary}")
            return None
        files = scope_files(self.graph, changed_spans(patch), check_files=self.question.check.files, blamed=self.blamed)
        scope = self._scope.verdict(judged, files, clean=True)
        if scope.broke:
            self._note(proposal, "breaks tests", _named(scope.broke))
            return None
        if scope.reason:
            self._keep(proposal, patch, scope)
            return None
        self._note(proposal, "verified", "")
        words = f"{self.question.check.command!r} ({self.question.origin}) fails at {self.graph.at[:12]} and passes with the patch; {_held(scope)}"
        return Proof(patch, proposal, words, scope.files, tuple(self._tried), "")

    def _keep(self, proposal: Proposal, patch: Patch, scope: ScopeVerdict) -> None:
        self._note(proposal, "not judged", scope.reason)
        if self._best is None:
            self._best = (proposal, patch, scope)

    def _unproven(self) -> Proof:
        if self._best is not None:
            proposal, patch, scope = self._best
            return Proof(
                patch,
                proposal,
                "",
                scope.files,
                tuple(self._tried),
                f"the patch passes the check, but the tests around it could not be judged: {scope.reason}",
            )
        reason = f"{len(self._tried)} repairs were tried and none holds" if self._tried else "the history offers no repair to try"
        return Proof(None, None, "", (), tuple(self._tried), reason)

    def _tree(self, proposal: Proposal) -> Oid:
        return proposal.tree or write_tree(self.graph.mirror, self.graph.at, proposal.edits)

    def _note(self, proposal: Proposal, outcome: str, note: str) -> None:
        self._tried.append(Tried(proposal.kind, proposal.title, proposal.size, outcome, note))


def _held(scope: ScopeVerdict) -> str:
    if not scope.files:
        return "no other test is linked to it"
    tests = f"{scope.held} tests in {len(scope.files)} files" if scope.held else f"the tests in {len(scope.files)} files"
    return f"{tests} that passed at the base still pass"


def _named(tests: tuple[str, ...]) -> str:
    more = f" and {len(tests) - NAMES_SHOWN} more" if len(tests) > NAMES_SHOWN else ""
    return ", ".join(tests[:NAMES_SHOWN]) + more
