"""Runs checks on trees: any commit, or the base with edits, each in a worktree that holds exactly that tree.

The check's own files are laid over every tree before it is checked out, so one test asks the same question of every commit, and nothing an edit
does to those files can change the answer. Laying over happens on git trees, not on files: what is judged has one tree id, which with the
command and the environment is the key of the verdict.
"""

import copy
import hashlib
import itertools
import queue
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from backstory.agent.budget import Purse
from backstory.agent.trace import Codec, Json, Trace
from backstory.graph.mirror import Mirror
from backstory.graph.types import Oid, RepoPath
from backstory.tools.checks import Check, Verdict, run_check, verdict_from_json, verdict_to_json
from backstory.tools.desk import Desk
from backstory.tools.editing import RUN_AT_MOST_S
from backstory.tools.environment import Environment
from backstory.tools.limits import Limits
from backstory.tools.patch import write_tree
from backstory.tools.sandbox import Sandbox
from backstory.tools.shell import Mount
from backstory.tools.verdicts import VerdictCache
from backstory.tools.workspace import Workspace


def _stable(recorded: Json) -> Json:
    """Return what must recur when a check runs again: the status and each test's outcome, not times or output."""
    assert isinstance(recorded, Mapping)
    return {name: recorded[name] for name in ("status", "results")}


VERDICT: Codec[Verdict] = Codec(encode=lambda verdict: cast(Json, verdict_to_json(verdict)), decode=verdict_from_json, stable=_stable)


@dataclass(frozen=True)
class Stage:
    """Where checks run. bound_at: the path at which the sandbox shows the work tree; mounts: read-only extras such as build outputs."""

    sandbox: Sandbox
    environment: Environment
    bound_at: Path
    mounts: tuple[Mount, ...]
    limits: Limits


@dataclass(frozen=True)
class Patience:
    """How long a check that was seen to pass may take on another tree: so many times as long as it took, and no less than `least_s` seconds.

    A repair or an old commit may wait for ever, and would take what is left of the run. Ten times is more than a busy machine costs. No check is hurried
    before it has passed once: one that fails early says nothing of how long it takes.
    """

    times: float = 10.0
    least_s: float = 15.0


class Judge:
    """Gives verdicts. A context manager: its worktrees live in `work_dir` and are gone afterwards."""

    def __init__(
        self,
        mirror: Mirror,
        base: Oid,
        *,
        overlay: Mapping[RepoPath, bytes],
        stage: Stage,
        work_dir: Path,
        cache: VerdictCache | None,
        trace: Trace,
        purse: Purse,
        workers: int = 1,
        patience: Patience = Patience(),
    ) -> None:
        """overlay: the check's files, laid over every tree. cache: verdicts of earlier runs, or None to run everything. workers: trees at once."""
        self.base = base
        self._mirror, self._stage = mirror, stage
        self._overlay = dict(overlay)
        self.trace = trace
        self._work_dir, self._cache, self._purse, self._workers = work_dir, cache, purse, workers
        self._stack = ExitStack()
        self._idle: queue.SimpleQueue[Workspace] = queue.SimpleQueue()
        self._numbers = itertools.count(1)
        self._patience = patience
        self._passed_s: dict[str, float] = {}  # by command, of the slowest pass seen

    def __enter__(self) -> "Judge":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def in_lane(self, trace: Trace, purse: Purse) -> "Judge":
        """Return a judge that records into a lane of the run and may lay over files of its own; its worktrees are this one's. Not a context manager."""
        lane = copy.copy(self)
        lane.trace, lane._purse, lane._overlay = trace, purse, dict(self._overlay)
        return lane

    def add_overlay(self, files: Mapping[RepoPath, bytes]) -> None:
        """Lay `files` over every tree from now on, beside what is laid over already."""
        self._overlay.update(files)

    @property
    def overlay(self) -> Mapping[RepoPath, bytes]:
        """What is laid over every tree."""
        return self._overlay

    def judged_tree(self, tree: Oid, instead: Mapping[RepoPath, bytes] | None = None) -> Oid:
        """Return `tree` (or a commit's tree) with the check's files laid over it, those in `instead` as they are there."""
        return write_tree(self._mirror, tree, {**self._overlay, **(instead or {})})

    def verdict(
        self, tree: Oid, check: Check, *, role: str, clean: bool = False, instead: Mapping[RepoPath, bytes] | None = None
    ) -> Verdict:
        """Return how `check` ends on `tree` (a tree or a commit) with the check's files laid over it.

        role: why it is asked ("base", "history", "proposal", "scope", "clean"), for the trace. clean: in a worktree made for this one verdict and
        without any remembered verdict. instead: contents for this tree alone, in place of what is laid over every tree. The verdict is "not_run" when
        the budget is spent, before the check or while it ran.
        """
        judged = self.judged_tree(tree, instead)
        return self._recorded(judged, check, role=role, effect=lambda: self._run(judged, check, clean=clean))

    def verdicts(self, trees: Sequence[Oid], check: Check, *, role: str) -> Iterator[Verdict]:
        """Yield the verdicts of several trees in their order, running up to `workers` at once; stop early by leaving the iteration."""
        if self._workers == 1 or len(trees) == 1:
            for tree in trees:
                yield self.verdict(tree, check, role=role)
            return
        judged = [self.judged_tree(tree) for tree in trees]
        with ThreadPoolExecutor(self._workers) as pool:
            running = [pool.submit(self._run, tree, check, clean=False) for tree in judged]
            try:
                for tree, future in zip(judged, running, strict=True):
                    yield self._recorded(tree, check, role=role, effect=future.result)
            finally:
                for future in running:
                    future.cancel()

    def _recorded(self, judged: Oid, check: Check, *, role: str, effect: Callable[[], Verdict]) -> Verdict:
        reason = self._purse.spent_out()
        if reason is not None:
            return _not_run(reason)
        key: dict[str, Any] = {"role": role, "tree": judged, "command": check.command}
        self._purse.count_step()
        try:
            verdict = self.trace.step("check", key, effect, VERDICT)
        except _CutOffError:
            # Not recorded: with a larger budget the check is asked again, and may answer.
            return _not_run(self._purse.spent_out() or "the budget is spent")
        if verdict.status == "passed":
            self._passed_s[check.command] = max(verdict.seconds, self._passed_s.get(check.command, 0.0))
        return verdict

    def _run(self, judged: Oid, check: Check, *, clean: bool) -> Verdict:
        key = verdict_key(judged, check, self._stage.environment.id)
        if self._cache is not None and not clean:
            known = self._cache.get(key)
            if known is not None:
                return known
        patience_s = check.timeout_s if clean else self._patience_s(check)
        left_s = self._purse.seconds_left()
        # One second at least: a check that begins within the budget is cut off by it, not refused.
        wall_s = patience_s if left_s is None else max(1.0, min(patience_s, left_s))
        with self._fresh_workspace() if clean else self._idle_workspace() as workspace:
            workspace.checkout(judged)
            verdict = run_check(
                check,
                root=workspace.root,
                bound_at=self._stage.bound_at,
                sandbox=self._stage.sandbox,
                environment=self._stage.environment,
                limits=replace(self._stage.limits, wall_s=wall_s),
                mounts=(*workspace.mounts(self._stage.bound_at), *self._stage.mounts),
            )
        if verdict.status == "timed_out" and self._purse.seconds_left() == 0:
            raise _CutOffError
        hurried = verdict.status == "timed_out" and patience_s < check.timeout_s  # it may yet pass for who has more time
        if self._cache is not None and not hurried:
            self._cache.put(key, verdict)
        return verdict

    def _patience_s(self, check: Check) -> float:
        """Return how long a check may take, by the longest that it was seen to take when it passed."""
        passed_s = self._passed_s.get(check.command)
        return check.timeout_s if passed_s is None else min(check.timeout_s, max(self._patience.least_s, self._patience.times * passed_s))

    @contextmanager
    def desk(self, kept: Collection[RepoPath]) -> Iterator[Desk]:
        """Yield a desk on the base, for programs that run where the checks run. kept: files that no edit may change."""
        stage = self._stage
        with Desk(
            self._mirror,
            self.base,
            kept=kept,
            workspace=self._new_workspace,
            sandbox=stage.sandbox,
            environment=stage.environment,
            bound_at=stage.bound_at,
            mounts=stage.mounts,
            limits=replace(stage.limits, wall_s=RUN_AT_MOST_S),
        ) as desk:
            yield desk

    @contextmanager
    def _idle_workspace(self) -> Iterator[Workspace]:
        """Yield a workspace that is kept for the next tree, so that only changed files are written again."""
        try:
            workspace = self._idle.get_nowait()
        except queue.Empty:
            workspace = self._stack.enter_context(self._new_workspace())
        try:
            yield workspace
        finally:
            self._idle.put(workspace)

    @contextmanager
    def _fresh_workspace(self) -> Iterator[Workspace]:
        with self._new_workspace() as workspace:
            yield workspace

    def _new_workspace(self) -> Workspace:
        return Workspace(self._mirror, self.base, self._work_dir / str(next(self._numbers)))


class _CutOffError(Exception):
    """The budget ended while a check ran; keeps the step from being recorded, and does not leave this module."""


def _not_run(reason: str) -> Verdict:
    return Verdict("not_run", {}, (), reason, "", 0.0, "unknown")


def verdict_key(judged: Oid, check: Check, environment: str) -> str:
    """Return the name under which a verdict is remembered: tree with overlay, command, environment and time limit."""
    return hashlib.sha256("\0".join([judged, check.command, environment, f"{check.timeout_s:g}"]).encode()).hexdigest()
