"""A batch: one run for each instance, audited, judged and kept, so that a batch that is killed goes on where it was.

    out/run.json                      what was asked; a resumption must ask the same
    out/predictions.jsonl             the patches so far, in the official form
    out/instances/ID/row.json         what came of the instance; it is finished when this is there, unless it could not run here
    out/instances/ID/runs/RUN/        the trace of its run, which resumes after a kill and replays without a model
    out/instances/ID/heard.jsonl      what the model was told
    out/instances/ID/log.txt          what the tests printed
    out/instances/ID/base.git         of a batch without history: the base alone, as the runs saw it

Runs are threads of one process: what takes long in them are other programs. How many there are is decided in one place, `Admit`, which is a fixed
number today.
"""

import fcntl
import json
import os
import queue
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Literal, Protocol

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from backstory.agent.budget import Budget
from backstory.agent.gate import with_inside
from backstory.agent.messages import Model, Usage
from backstory.agent.runs import FixRequest, ModelSettings, Outcome, fix, open_run, resume, seconds_at_work
from backstory.agent.script import recorded
from backstory.agent.trace import read_events
from backstory.agent.written import from_json, save, to_json
from backstory.errors import ExitCode, StorageError, UserError
from backstory.graph.mirror import Mirror
from backstory.graph.source import open_source, resolve
from backstory.graph.types import Oid, RepoPath, Report, silent
from backstory.harness.audit import Audit, Finding, Heard, audit_store, audit_texts
from backstory.harness.grading import Grade
from backstory.harness.images import Boxed
from backstory.harness.instances import Instance, changed_functions
from backstory.harness.judging import Grader, Judged, Validity, excusing
from backstory.harness.listening import Listening, Played, read_heard
from backstory.harness.native import NotHere, Ready
from backstory.harness.predictions import Prediction
from backstory.harness.recipes import Recipe, recipe_for
from backstory.harness.trees import first_check
from backstory.tools.cover import build_cover
from backstory.tools.sandbox import CONTAINERS

RowStatus = Literal["resolved", "failed", "empty", "not_applied", "timed_out", "leaked", "broken", "not_here", "not_judged"]
"""leaked: the run saw the future, so its patch counts for nothing. not_here: the instance cannot run on this machine. not_judged: nobody asked. The last
three say nothing about the patch and are counted apart."""

Arm = Literal["agent", "gold", "empty", "given"]
"""Where patches come from: a run of Backstory, the true patch, nothing, a file of predictions."""

Admit = Callable[[Instance], AbstractContextManager[None]]
"""The one seam where it is decided when an instance may begin: entered before it does, left when it has ended."""


@dataclass(frozen=True)
class Spent:
    """What a run of Backstory took.

    run: its id; ended: how it calls its own result; stopped: the budget that ended it, or why its model was lost; preempted: requests that the model's
    server put back meanwhile, for this run and for others.
    """

    run: str
    exit_code: int
    ended: str
    verified_by: str
    stopped: str
    usage: Usage
    replies: int
    steps: int
    seconds: float
    preempted: int = 0


@dataclass(frozen=True)
class Changed:
    """What two patches change, side by side: ours and the true one. Files, lines added and removed, and functions as `path:qualname`."""

    files: tuple[str, ...]
    true_files: tuple[str, ...]
    lines: int
    true_lines: int
    functions: tuple[str, ...] = ()
    true_functions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """What came of an instance. official: whether the official reading of the log calls it resolved, None when nothing ran or nobody reads it.

    excused: tests that the true patch does not bring to pass here, left out of the verdict. flaky: tests that two runs on the same tree disagree on.
    seconds: of judging. data: digest of the instance. where: the environment its tests ran in.
    """

    id: str
    data: str
    repository: str
    status: RowStatus
    reason: str
    official: bool | None
    grade: Grade | None
    validity: str
    excused: tuple[str, ...]
    changed: Changed
    spent: Spent | None
    audit: Audit | None
    trials: tuple[str, ...]
    seconds: float
    flaky: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True)
class Batch:
    """What a batch is asked, which must be the same when it goes on; more instances may be asked for.

    judge: whether patches are judged. validate: whether environments are validated first. with_check: whether a run is given
    the first failing test of its instance as the check; the others judge it. languages: whose files runs look at. history: whether runs see the
    commits before the base.
    """

    name: str
    arm: Arm
    model: ModelSettings | None
    budget: Budget
    attempts: int
    check_timeout_s: float
    judge: bool = True
    validate: bool = True
    strict: bool = False
    with_check: bool = False
    languages: tuple[str, ...] = ()
    history: bool = True


@dataclass(frozen=True)
class Whole:
    """What all runs together may take; None is without limit. Looked at before an instance begins."""

    seconds: float | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class Ended:
    """How a batch ended. rows: those of all instances that are finished, in the order of the data; stopped: why no more were begun, ""."""

    rows: tuple[Row, ...]
    stopped: str


Propose = Callable[[Instance], Prediction | None]
OpenModel = Callable[[ModelSettings, Instance], Model]


@contextmanager
def static_cap(slots: threading.Semaphore) -> Iterator[None]:
    """Hold one of a fixed number of places."""
    with slots:
        yield


def at_most(count: int) -> Admit:
    """Return the admission that lets `count` instances run at once."""
    slots = threading.Semaphore(count)
    return lambda _: static_cap(slots)


class Opens(Protocol):
    """Where environments come from."""

    def open(self, instance: Instance) -> Ready | NotHere:
        """Return an instance that can run here, or why it cannot."""
        ...


@dataclass(frozen=True)
class Bench:
    """Everything a batch works with. search_path: for interpreters; propose: patches from elsewhere, for every arm but "agent"."""

    batch: Batch
    out: Path
    places: Opens
    grader: Grader | None
    cache_dir: Path
    search_path: str
    propose: Propose | None = None
    open_model: OpenModel | None = None

    def home(self, instance: Instance) -> Path:
        """Return the folder of an instance."""
        return self.out / "instances" / instance.id


Stage = Callable[[str], None]
"""Takes what is being done for an instance, in a word or two, for a person who watches."""

Perform = Callable[[Bench, Instance, Stage], Row]
"""Works on one instance, wherever that is."""


def unwatched(stage: str) -> None:
    """Tell nobody what is being done."""


def run_batch(
    bench: Bench,
    instances: Sequence[Instance],
    *,
    workers: int,
    admit: Admit | None = None,
    whole: Whole | None = None,
    perform_on: Perform | None = None,
    report: Report = silent,
    on_row: Callable[[Row], None] = lambda row: None,
    on_stage: Callable[[Instance, str], None] = lambda instance, stage: None,
) -> Ended:
    """Run every instance that is not finished. perform_on: works on one, here when None. on_stage: told by its threads what each is at, "" at its end.

    Raises UserError when `out` holds another batch, or another process works on it.
    """
    admit, whole = admit or at_most(workers), whole or Whole()
    with _held(bench):
        _begin(bench)
        done = {row.id: row for row in (_finished(bench, instance) for instance in instances) if row is not None}
        started = time.monotonic()
        waiting: queue.SimpleQueue[Instance] = queue.SimpleQueue()
        for instance in instances:
            if instance.id not in done:
                waiting.put(instance)
        ended: queue.SimpleQueue[Row | BaseException | None] = queue.SimpleQueue()
        halt, lock, stopped = threading.Event(), threading.Lock(), ""

        def work() -> None:
            """Work on one instance after the other until none is left or a budget is spent, and say so with None."""
            nonlocal stopped
            try:
                while not halt.is_set():
                    with lock:
                        stopped = stopped or _over(whole, time.monotonic() - started, list(done.values()))
                    if stopped:
                        break
                    instance = waiting.get_nowait()
                    with admit(instance):
                        try:
                            row = (perform_on or perform)(bench, instance, partial(on_stage, instance))
                        finally:
                            on_stage(instance, "")
                    with lock:
                        done[row.id] = row
                    ended.put(row)
            except queue.Empty:
                pass
            except BaseException as error:  # noqa: BLE001 (handed to the thread that waits, which raises it)
                ended.put(error)
            ended.put(None)

        report("instances", len(done), len(instances))
        # Daemons, so that an interrupt ends the process at once: what they were at is on disk, and what they started dies with it.
        for _ in range(workers):
            threading.Thread(target=work, daemon=True).start()
        at_work = workers
        try:
            while at_work:
                said = ended.get()
                if isinstance(said, BaseException):
                    raise said
                if said is None:
                    at_work -= 1
                    continue
                on_row(said)
                report("instances", len(done), len(instances))
                _write_predictions(bench, instances)
        finally:
            halt.set()
        _write_predictions(bench, instances)
    return Ended(tuple(done[instance.id] for instance in instances if instance.id in done), stopped)


def read_rows(out: Path) -> list[Row]:
    """Return the rows of a batch, by id. Raises UserError when there is none, or one cannot be read."""
    files = sorted((out / "instances").glob("*/row.json"))
    if not files:
        raise UserError(f"there is no finished instance in {str(out)!r}; name the folder that `bench run --out` wrote")
    return [_read_row(file) for file in files]


def read_batch(out: Path) -> Batch:
    """Return what a batch was asked. Raises UserError when the folder holds none."""
    try:
        return from_json(json.loads((out / "run.json").read_text("utf-8")), Batch)
    except (OSError, ValueError) as error:
        raise UserError(f"there is no batch in {str(out)!r} ({error}); name the folder that `bench run --out` wrote") from error


def grade_again(rows: Sequence[Row], instances: Sequence[Instance], grader: Grader, recipes: Sequence[Recipe]) -> list[Row]:
    """Return the rows with grades given anew from the runs that were kept, by today's graders and nothing run. Rows without a kept run stay."""
    by_id = {instance.id: instance for instance in instances}
    again = []
    for row in rows:
        instance = by_id.get(row.id)
        recipe = recipe_for(instance, recipes) if instance is not None else ""
        if instance is None or isinstance(recipe, str) or row.status not in ("resolved", "failed"):
            again.append(row)
            continue
        judged = grader.judge_again(instance, recipe.log, row.trials)
        again.append(row if judged is None else _with_verdict(row, excusing(judged, row.excused)))
    return again


def data_digest(instance: Instance) -> str:
    """Return what tells an instance from another of the same id, whatever file it came in."""
    return sha256(json.dumps(to_json(instance), sort_keys=True).encode()).hexdigest()[:16]


# --- one instance ----------------------------------------------------------------------------------------------------------------------------


def perform(bench: Bench, instance: Instance, stage: Stage = unwatched) -> Row:
    """Work on one instance to its end, and keep what came of it."""
    home = bench.home(instance)
    home.mkdir(parents=True, exist_ok=True)
    try:
        row = _worked(bench, instance, stage)
    except (StorageError, KeyboardInterrupt):
        raise
    except UserError as error:
        row = _row(instance, "", "broken", str(error))
    except Exception as error:  # noqa: BLE001 (one instance that meets a bug must not end the others; the traceback is kept beside its row)
        (home / "traceback.txt").write_text(traceback.format_exc(), "utf-8")
        row = _row(instance, "", "broken", f"a bug: {type(error).__name__}: {error}; see {home / 'traceback.txt'}")
    if (
        row.spent is None or row.spent.exit_code != ExitCode.MODEL
    ):  # a run that lost its model is not finished: the same command goes on with it
        _save(home / "row.json", json.dumps(to_json(row), indent=1))
    return row


def _worked(bench: Bench, instance: Instance, stage: Stage) -> Row:
    stage("environment")
    ready = bench.places.open(instance)
    if isinstance(ready, NotHere):
        if bench.propose is not None:
            _save_patch(bench, instance, _proposed(bench, instance))
        return _row(instance, "", "not_here", ready.reason)
    stage("validation")
    validity = bench.grader.validity(instance, ready) if bench.grader and bench.batch.judge and bench.batch.validate else None
    spent: Spent | None = None
    audit: Audit | None = None
    if bench.propose is not None:
        patch = _proposed(bench, instance)
    else:
        planted = _audited_store(ready.mirror, ready.base, bench.cache_dir)
        if planted:
            return _row(
                instance, "", "leaked", f"the store shows more than the base: {planted[0].what}", audit=Audit(tuple(planted), (), 0)
            )
        stage("run")
        outcome = _solved(
            bench, instance, ready, lambda phase, done, total: stage(f"run: {phase}" + (f" {done} of {total}" if total else ""))
        )
        patch = outcome.solution.patch.diff.decode("utf-8", "surrogateescape") if outcome.solution.patch else ""
        spent = _spent(bench, instance, outcome)
        audit = audit_texts(_texts(bench, instance, outcome.run_id), instance, source=ready.source, mirror=ready.mirror)
    _save_patch(bench, instance, patch)
    changed = changed_by(patch, instance.patch, lambda path: ready.mirror.blob_at(ready.base, path))
    row = replace(_row(instance, patch, "empty", "", spent=spent, audit=audit), changed=changed, where=ready.environment.label)
    if audit is not None and audit.leaks:
        leak = audit.leaks[0]
        return replace(row, status="leaked", reason=f"{leak.kind} {leak.what!r} in a {leak.where}")
    if validity is not None:
        row = replace(row, validity=validity.status, excused=validity.excused)
        if validity.status == "broken" or (bench.batch.strict and validity.status == "excused"):
            return replace(row, status="broken", reason=_said(validity), excused=())
    if bench.grader is None or not bench.batch.judge:
        return replace(row, status="not_judged" if patch.strip() else "empty")
    if not patch.strip() and bench.batch.arm != "empty":
        return replace(row, reason=spent.stopped if spent else "")
    stage("tests")
    judged = bench.grader.judge(instance, ready, patch)
    for key in judged.trials[:1]:
        (bench.home(instance) / "log.txt").write_bytes(bench.grader.log_of(key))
    return _with_verdict(row, excusing(judged, row.excused))


def _with_verdict(row: Row, judged: Judged) -> Row:
    return replace(
        row,
        status=judged.status,
        reason=judged.reason,
        official=None if judged.official is None else judged.official.resolved,
        grade=judged.grade,
        trials=judged.trials,
        seconds=round(judged.seconds, 3),
        flaky=judged.flaky,
    )


def _proposed(bench: Bench, instance: Instance) -> str:
    assert bench.propose is not None
    prediction = bench.propose(instance)
    return prediction.patch if prediction is not None else ""


def _audited_store(mirror: Mirror, base: Oid, cache_dir: Path) -> list[Finding]:
    """Return what is wrong with the store that programs of this base find behind `.git`: it is made as a run makes it, looked at, and removed."""
    folder = cache_dir / "work" / f"audit-{base[:12]}-{threading.get_ident()}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        build_cover(mirror, base, folder)
        return audit_store(folder, mirror.tree(base))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _solved(bench: Bench, instance: Instance, ready: Ready, report: Report) -> Outcome:
    """Solve the instance, or go on where a killed run was."""
    home, batch = bench.home(instance), bench.batch

    def open_model(settings: ModelSettings) -> Model:
        assert bench.open_model is not None and batch.model is not None
        there = replace(settings, api_base=batch.model.api_base)  # a server may come back at another address
        return with_inside(bench.open_model(there, instance), lambda model: Listening(model, home / "heard.jsonl"))

    begun = [path.parent.name for path in sorted((home / "runs").glob("*/events.jsonl")) if read_events(path)]
    if begun:
        return resume(begun[-1], state_dir=home, report=report, open_model=open_model)
    check = first_check(ready.mirror, instance, ready.recipe) if batch.with_check else None
    title, _, body = instance.text.partition("\n")
    place = ready.prepared
    repo, base = (ready.source.path, ready.base) if batch.history else _without_history(ready, home.resolve() / "base.git")
    request = FixRequest(
        issue_id=instance.id,
        title=title.strip(),
        issue_text=body.strip(),
        repo=repo,
        base=base,
        check=check.command if check is not None else None,
        attempts=batch.attempts,
        budget=batch.budget,
        sandbox="docker" if isinstance(place, Boxed) else "auto",
        prepare=False,
        check_timeout_s=batch.check_timeout_s,
        exclude=(),
        languages=batch.languages,
        cache_dir=bench.cache_dir,
        state_dir=home,
        active_environment=None,
        search_path=bench.search_path,
        model=batch.model,
        prepared=None if isinstance(place, Boxed) else place.folder,
        containers=place.containers if isinstance(place, Boxed) else CONTAINERS,
    )
    return fix(request, report=report, open_model=open_model, carried=check.files if check is not None else None)


def _without_history(ready: Ready, folder: Path) -> tuple[Path, Oid]:
    """Return a repository with one commit, whose tree is the base's, and that commit: what a run is given that shall know nothing of the past."""
    build_cover(ready.mirror, ready.base, folder)
    return folder, resolve(open_source(folder), "HEAD")


def _texts(bench: Bench, instance: Instance, run: str) -> list[Heard]:
    """Return everything a run put before its model, and what tools gave that no prompt shows (those of a run without a model)."""
    home = bench.home(instance)
    heard = read_heard(home / "heard.jsonl")
    if heard:
        return heard
    _, events, _ = open_run(home, run)
    return [Heard(f"{event.kind} event", "\n".join(_strings(event.body))) for event in events if event.kind in ("tool", "check")]


def _strings(value: object) -> Iterator[str]:
    """Yield every text in a JSON value, keys too. As JSON writes it, a line would begin with the letter of its escape, and no word begin there."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield name
            yield from _strings(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _strings(inner)


def _spent(bench: Bench, instance: Instance, outcome: Outcome) -> Spent:
    solution = outcome.solution
    agents = solution.agents
    _, events, _ = open_run(bench.home(instance), outcome.run_id)
    return Spent(
        outcome.run_id,
        int(outcome.exit_code),
        solution.status,
        solution.verified_by,
        solution.limit or (agents.failure if agents and agents.failure else "") or "",
        agents.usage if agents else Usage(cached_tokens=None),
        agents.replies if agents else 0,
        sum(event.kind in ("check", "reply") for event in events),
        round(seconds_at_work(events), 3),
        outcome.served.preempted if outcome.served else 0,
    )


def _row(instance: Instance, patch: str, status: RowStatus, reason: str, *, spent: Spent | None = None, audit: Audit | None = None) -> Row:
    changed = changed_by(patch, instance.patch)
    return Row(instance.id, data_digest(instance), instance.repository, status, reason, None, None, "", (), changed, spent, audit, (), 0.0)


def changed_by(patch: str, true_patch: str, at_base: Callable[[RepoPath], bytes | None] = lambda path: None) -> Changed:
    """Return what a patch and the true one change. at_base: the content of a file there. A patch that cannot be read changes nothing."""
    (files, lines, functions), (true_files, true_lines, true_functions) = _size(patch, at_base), _size(true_patch, at_base)
    return Changed(files, true_files, lines, true_lines, functions, true_functions)


def _size(patch: str, at_base: Callable[[RepoPath], bytes | None]) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
    try:
        parsed, functions = PatchSet(patch), changed_functions(patch, at_base)
    except (UnidiffParseError, ValueError):
        return (), 0, ()
    return tuple(sorted({file.path for file in parsed})), sum(file.added + file.removed for file in parsed), functions


def _said(validity: Validity) -> str:
    also = f" ({len(validity.always)} of {len(validity.missed)} miss without it as well)" if validity.missed else ""
    return f"{validity.reason}{also}"


def played(folder: Path, settings: ModelSettings, instance: Instance) -> Model:
    """Return the model that says again what the run of the same instance in another batch was answered. Raises UserError when there is none."""
    runs = sorted((folder / "instances" / instance.id / "runs").glob("*/events.jsonl"))
    if not runs:
        raise UserError(f"{str(folder)!r} holds no run of {instance.id}; name the folder that `bench run --out` wrote")
    return Played(settings.name, recorded(read_events(runs[-1])))


# --- the folder ------------------------------------------------------------------------------------------------------------------------------


@contextmanager
def _held(bench: Bench) -> Iterator[None]:
    """Keep other processes out of the folder."""
    try:
        bench.out.mkdir(parents=True, exist_ok=True)
        lock = os.open(bench.out / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(f"cannot write {str(bench.out)!r}: {error.strerror}; name another folder with --out") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise UserError(f"another process works on {str(bench.out)!r}; wait for it or name another folder with --out") from error
    try:
        yield
    finally:
        os.close(lock)


def _begin(bench: Bench) -> None:
    """Write what is asked, or see that it is what was asked before."""
    file = bench.out / "run.json"
    if not file.exists():
        _save(file, json.dumps({**to_json(bench.batch), "begun": datetime.now(UTC).isoformat(timespec="seconds")}, indent=1))
        return
    before, now = (to_json(_anywhere(batch)) for batch in (read_batch(bench.out), bench.batch))
    other = [name for name in now if now[name] != before[name]]
    if other:
        raise UserError(
            f"{str(bench.out)!r} holds a batch with another {other[0]} ({before[other[0]]!r}, now {now[other[0]]!r}); name another folder with --out"
        )


def _anywhere(batch: Batch) -> Batch:
    """Return a batch without the address of its model, which may change while it is the same batch."""
    return batch if batch.model is None else replace(batch, model=replace(batch.model, api_base=None))


def _finished(bench: Bench, instance: Instance) -> Row | None:
    file = bench.home(instance) / "row.json"
    row = _read_row(file) if file.exists() else None
    if row is not None and row.data != data_digest(instance):
        raise UserError(
            f"{str(bench.out)!r} holds what came of another {instance.id}; the data has changed, name another folder with --out"
        )
    # What was missing here may be there by now: a repository, an interpreter, a recipe, an image. Nothing was run, so nothing is run twice.
    return None if row is not None and row.status == "not_here" else row


def _read_row(file: Path) -> Row:
    try:
        return from_json(json.loads(file.read_text("utf-8")), Row)
    except (OSError, ValueError) as error:
        raise UserError(f"{str(file)!r} cannot be read ({error}); delete it to run the instance again") from error


def _save_patch(bench: Bench, instance: Instance, patch: str) -> None:
    _save(bench.home(instance) / "prediction.json", Prediction(instance.id, bench.batch.name, patch).to_line())


def _write_predictions(bench: Bench, instances: Sequence[Instance]) -> None:
    files = [bench.home(instance) / "prediction.json" for instance in instances]
    _save(bench.out / "predictions.jsonl", "".join(file.read_text("utf-8") for file in files if file.exists()))


def _save(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    save(path, text.encode("utf-8", "surrogatepass"), again="run the batch again")


def _over(whole: Whole, seconds: float, rows: Sequence[Row]) -> str:
    tokens = sum(row.spent.usage.input_tokens + row.spent.usage.output_tokens for row in rows if row.spent)
    if whole.seconds is not None and seconds >= whole.seconds:
        return f"the batch has taken its {whole.seconds:g} seconds"
    if whole.tokens is not None and tokens >= whole.tokens:
        return f"the batch has spent its {whole.tokens} tokens"
    return ""
