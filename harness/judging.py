"""From an instance and a patch to a verdict: the test files run whole, once, and two graders read what came of it.

A run is kept by what it was a run of: the tree, the command, the environment and its limits. So the same patch is never run twice, a changed recipe
or environment never shows an old verdict, and a grade, which is computed from what was kept, can be given again by a later grader without a run.

An environment is believed when it tells the truth: with the true patch the instance resolves, without a patch it does not. Tests that the true
patch itself does not bring to pass here (a missing network, another version of a dependency) are the environment's; where only such tests of PASS_TO_PASS
miss, they are excused, by name, and the rest is judged. Where more is missing, every verdict on the instance is "broken" and none is "failed".
"""

import gzip
import json
import math
import re
import secrets
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal, cast

from backstory.agent.written import from_json, to_json
from backstory.errors import UserError
from backstory.graph.lock import using_cache
from backstory.graph.types import Oid, RepoPath
from backstory.harness.grading import Ended, Grade, official_grade, strict_grade
from backstory.harness.images import Boxed
from backstory.harness.instances import Instance
from backstory.harness.logs import RECORDED, reader_named
from backstory.harness.native import Ready
from backstory.harness.trees import Trees, judged_trees
from backstory.tools.checks import Recorded, run_recorded
from backstory.tools.layer import between_marks
from backstory.tools.limits import GIB, MIB, Limits
from backstory.tools.outcome import judge
from backstory.tools.sandbox import Sandbox
from backstory.tools.visible import visible
from backstory.tools.workspace import Workspace

Status = Literal["resolved", "failed", "not_applied", "timed_out", "broken"]
"""broken: the environment gave no answer, which says nothing about the patch."""

# Changes when what is recorded of a run changes; how it is graded is computed anew each time.
RECORD_VERSION = "1"
_LOG_BYTES = 64 * MIB  # kept whole: a log that is cut in the middle would lose tests
_LIMITS = Limits(cpu_s=7200, memory_bytes=8 * GIB, processes=1024, kept_bytes=_LOG_BYTES)
# What pytest and sympy's runner say where nothing of the patch can be at fault; everything else that keeps tests from running may be its doing.
_NOT_OF_THE_PATCH = re.compile(
    r"a program was not found|a program cannot be run|killed from outside|the command said it cannot be tested|was imported from"
)


@dataclass(frozen=True)
class Trial:
    """What one run of the test files recorded. tree: what was judged; distrust: why the record is not to be believed, ""; results: by full test id."""

    tree: Oid
    command: str
    environment: str
    exit_code: int | None
    stopped: str
    seconds: float
    summary: str
    distrust: str
    results: Mapping[str, str]


def gave_no_answer(trial: Trial) -> str:
    """Return why a run says nothing of the tree, for a limit or for what is missing here, or ""."""
    if trial.stopped:
        return trial.summary
    return trial.distrust if _NOT_OF_THE_PATCH.search(trial.distrust) else ""


@dataclass(frozen=True)
class Judged:
    """A verdict. grade: ours, by the record; official: by the log, None where nobody reads it; both None when nothing ran. trials: keys of the runs behind it, ours first.

    flaky: tests that decided against the patch in the first run and ended otherwise in a second one. The verdict is that of the first.
    """

    status: Status
    reason: str
    grade: Grade | None
    official: Grade | None
    seconds: float
    trials: tuple[str, ...]
    flaky: tuple[str, ...] = ()


@dataclass(frozen=True)
class Validity:
    """Whether an environment tells the truth about an instance.

    status: "valid"; "excused" when only tests of PASS_TO_PASS miss with the true patch, which are then left out; "broken" when it cannot be used.
    missed: tests that miss with the true patch; always: those of them that miss without a patch as well.
    """

    status: Literal["valid", "excused", "broken"]
    reason: str
    excused: tuple[str, ...]
    missed: tuple[str, ...]
    always: tuple[str, ...]


class Grader:
    """Gives verdicts, and keeps what they rest on below `cache_dir`. For several threads at once."""

    def __init__(self, sandbox: Sandbox | None, cache_dir: Path, *, wall_s: float = math.inf) -> None:
        """sandbox: for environments that were built here; images bring their own. wall_s: of a run at most, where its recipe gives more."""
        self._sandbox, self._cache, self._wall_s = sandbox, cache_dir, wall_s

    def judge(self, instance: Instance, ready: Ready, patch: str) -> Judged:
        """Return the verdict on `patch`, "" for none, with nothing excused. Raises SandboxError when no sandbox can be made."""
        try:
            trees = judged_trees(ready.mirror, instance, patch, runner=ready.recipe.runner)
        except UserError as error:
            return Judged("broken", str(error), None, None, 0.0, ())
        if isinstance(trees, str):
            return Judged("not_applied", trees, None, None, 0.0, ())
        if not trees.tests:
            return Judged("broken", "the test patch brings no test file", None, None, 0.0, ())
        if isinstance(ready.prepared, Boxed) and ready.prepared.places_tests:
            trees = trees.without_tests()
        key, trial, log = self._tried(ready, trees.ours, trees.tests)
        official_key, official_trial, official_log = (
            (key, trial, log) if trees.official == trees.ours else self._tried(ready, trees.official, trees.tests)
        )
        keys = tuple(dict.fromkeys((key, official_key)))
        judged = _judged(instance, ready.recipe.log, trial, (official_trial, official_log), keys)
        return replace(judged, flaky=self._flaky(instance, ready, trees, judged))

    def _flaky(self, instance: Instance, ready: Ready, trees: Trees, judged: Judged) -> tuple[str, ...]:
        """Return the tests that a second run judges otherwise, where they alone stand between a patch that mends all it should and "resolved"."""
        grade = judged.grade
        if grade is None or grade.fixed.missed or not grade.kept.missed:
            return ()
        again = strict_grade(instance, cast(Mapping[str, Ended], self.trial(ready, trees.ours, trees.tests, 1).results))
        return tuple(test for test in grade.kept.missed if test not in set(again.kept.missed))

    def judge_again(self, instance: Instance, form: str, trials: Sequence[str]) -> Judged | None:
        """Return the verdict from the runs that were kept under the keys `trials`, ours first; None when they are gone. form: of the log."""
        kept = [self.trial_of(key) for key in trials]
        if not kept or kept[0] is None or kept[-1] is None:
            return None
        log = self.log_of(trials[-1]).decode("utf-8", "replace")
        return _judged(instance, form, kept[0], (kept[-1], log), tuple(trials))

    def validity(self, instance: Instance, ready: Ready) -> Validity:
        """Return whether this environment tells the truth about the instance: judged with the true patch and with none."""
        gold, none = self.judge(instance, ready, instance.patch), self.judge(instance, ready, "")
        if gold.grade is None or none.grade is None:
            bad = gold if gold.grade is None else none
            return Validity("broken", f"{'with the true patch' if bad is gold else 'without a patch'}: {bad.reason}", (), (), ())
        missed = (*gold.grade.fixed.missed, *gold.grade.kept.missed)
        without = {*none.grade.fixed.missed, *none.grade.kept.missed}
        always = tuple(test for test in missed if test in without)
        if gold.grade.fixed.missed or gold.grade.reason:
            said = gold.grade.reason or f"{len(gold.grade.fixed.missed)} tests that it should fix fail"
            return Validity("broken", f"the true patch does not resolve it here: {said}", (), missed, always)
        if not none.grade.fixed.missed:
            return Validity("broken", "what has to be fixed passes here without a patch", (), missed, always)
        if missed:
            said = f"{len(missed)} of {len(instance.pass_to_pass)} tests that should hold do not hold here with the true patch"
            return Validity("excused", said, missed, missed, always)
        return Validity("valid", "", (), (), ())

    def log_of(self, key: str) -> bytes:
        """Return the log of a run that was kept. Raises UserError when it is gone."""
        try:
            return gzip.decompress((self._folder(key) / "log.gz").read_bytes())
        except (OSError, EOFError) as error:
            raise UserError(f"the log of the run {key} is not in the cache ({error}); run it again") from error

    def trial_of(self, key: str) -> Trial | None:
        """Return a run that was kept, or None."""
        try:
            return from_json(json.loads((self._folder(key) / "trial.json").read_text("utf-8")), Trial)
        except (OSError, ValueError):
            return None

    def trial(self, ready: Ready, tree: Oid, tests: tuple[RepoPath, ...], repeat: int = 0) -> Trial:
        """Return what a run of the test files `tests` on a tree records, run now or taken from what was kept. repeat: tells runs of the same apart."""
        return self._tried(ready, tree, tests, repeat)[1]

    def _tried(self, ready: Ready, tree: Oid, tests: tuple[RepoPath, ...], repeat: int = 0) -> tuple[str, Trial, str]:
        command = f"{ready.recipe.test} {' '.join(map(shlex.quote, tests))}"
        if isinstance(ready.prepared, Boxed):
            command = ready.prepared.command(ready.recipe.test, tests)
        said = [RECORD_VERSION, tree, command, ready.environment.id, str(ready.prepared.bound_at), f"{ready.recipe.timeout_s:g}"]
        said += [f"run {repeat}"] if repeat else []
        key = sha256("\0".join(said).encode()).hexdigest()[:32]
        kept = self.trial_of(key)
        if kept is None:
            kept = self._run(ready, tree, command, key)
        return key, kept, self.log_of(key).decode("utf-8", "replace")

    def _run(self, ready: Ready, tree: Oid, command: str, key: str) -> Trial:
        work = self._cache / "work" / f"judge-{secrets.token_hex(4)}"
        bound_at = ready.prepared.bound_at
        with using_cache(self._cache), Workspace(ready.mirror, ready.base, work / "tree") as workspace:
            workspace.checkout(tree)
            # A run that is stopped is not kept, so one that was kept is the same under any limit that let it end.
            limits = replace(_LIMITS, wall_s=min(ready.recipe.timeout_s, self._wall_s))
            if isinstance(ready.prepared, Boxed):
                ran = ready.prepared.run(command, ready, workspace, tree, limits)
                command = ready.recipe.test  # what the script runs
            else:
                assert self._sandbox is not None
                ran = run_recorded(
                    command,
                    root=workspace.root,
                    bound_at=bound_at,
                    sandbox=self._sandbox,
                    environment=ready.environment,
                    limits=limits,
                    mounts=workspace.mounts(bound_at),
                )
        trial = _trial(ran, tree, command, ready.environment.id)
        self._keep(key, trial, ran.execution.output, for_good=not trial.stopped)  # a limit may have been this machine's at this moment
        return trial

    def _keep(self, key: str, trial: Trial, log: bytes, *, for_good: bool) -> None:
        """Keep a run; one that is not kept for good leaves its log alone, and is run again when it is asked for."""
        folder = self._folder(key)
        made = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}")
        made.mkdir(parents=True)
        (made / "log.gz").write_bytes(gzip.compress(log, mtime=0))
        if for_good:
            (made / "trial.json").write_text(json.dumps(to_json(trial)), "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            made.rename(folder)
        except OSError:  # another thread was faster with the same run
            shutil.rmtree(made, ignore_errors=True)

    def _folder(self, key: str) -> Path:
        return self._cache / "trials" / key


def excusing(judged: Judged, excused: tuple[str, ...]) -> Judged:
    """Return a verdict with some PASS_TO_PASS tests left out of it."""
    grade = judged.grade
    if not excused or grade is None:
        return judged
    kept = replace(grade.kept, missed=tuple(test for test in grade.kept.missed if test not in set(excused)))
    grade = replace(grade, kept=kept)
    return replace(judged, status="resolved" if grade.resolved else "failed", reason=_why(grade), grade=grade)


def _judged(instance: Instance, form: str, trial: Trial, other: tuple[Trial, str], keys: tuple[str, ...]) -> Judged:
    """Return the verdict on a run. other: the run that the official reading is of, with its log; mostly the same one."""
    other_trial, log = other
    seconds = trial.seconds + (other_trial.seconds if len(keys) > 1 else 0.0)
    official = (
        None if form == RECORDED else official_grade(instance, reader_named(form)(between_marks(log)), exit_code=other_trial.exit_code)
    )
    if official is not None and other_trial.stopped:
        official = replace(official, reason=other_trial.summary)
    if trial.stopped in ("wall", "cpu"):
        return Judged("timed_out", trial.summary, None, official, seconds, keys)
    if trial.stopped or _NOT_OF_THE_PATCH.search(trial.distrust):
        return Judged("broken", trial.distrust or trial.summary, None, official, seconds, keys)
    grade = strict_grade(instance, cast(Mapping[str, Ended], trial.results), reason=trial.distrust)
    return Judged("resolved" if grade.resolved else "failed", _why(grade), grade, official, seconds, keys)


def _trial(ran: Recorded, tree: Oid, command: str, environment: str) -> Trial:
    text = visible(ran.execution.output)
    outcome = judge(command, ran.execution, sessions=ran.sessions, text=text)
    expected = {test for session in ran.sessions for test in session.expected}
    distrust = outcome.summary if outcome.status == "broken" else ran.proof.complaint
    return Trial(
        tree=tree,
        command=command,
        environment=environment,
        exit_code=ran.execution.exit_code,
        stopped=ran.execution.stopped or "",
        seconds=round(ran.execution.seconds, 3),
        summary=outcome.summary,
        distrust=distrust,
        results={
            test: "xfailed" if result == "skipped" and test in expected else result for test, result in sorted(outcome.results.items())
        },
    )


def _why(grade: Grade) -> str:
    """Return what is missing, in words, "" for a resolved instance."""
    if grade.reason:
        return grade.reason
    parts = [
        f"{len(side.missed)} of {len(side.held) + len(side.missed)} {what}"
        for side, what in ((grade.fixed, "tests to fix still fail"), (grade.kept, "tests that passed fail now"))
        if side.missed
    ]
    return ", ".join(parts)
