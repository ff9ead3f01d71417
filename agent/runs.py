"""Runs on disk: begins them, goes on with them after a crash, replays them, lists them.

A run is a folder `state_dir/runs/<id>` with `events.jsonl` (everything that happened), `patch.diff` (the result, if there is one) and what `apply`
saved for `undo`. Its first event holds the request with all that came from outside (the issue's text, the user's uncommitted test files, the base
commit), so that nothing but the repository's own past is needed to resume or to replay it.
"""

import base64
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from backstory.agent.budget import Budget, Purse
from backstory.agent.judge import Judge, Stage
from backstory.agent.loop import Asked, Handover
from backstory.agent.messages import Model, Prompt, Reply, Sampling, Usage
from backstory.agent.phases import Phases
from backstory.agent.solve import Case, solve
from backstory.agent.surroundings import find_surroundings
from backstory.agent.trace import Divergence, Event, RecordedTrace, ReplayedTrace, Trace, is_held, read_events
from backstory.agent.types import Issue, Solution
from backstory.agent.vitals import Vitals, vitals_of
from backstory.agent.written import from_json, save, to_json
from backstory.errors import ExitCode, StorageError, UserError
from backstory.graph.build import build_graph
from backstory.graph.lock import using_cache
from backstory.graph.selection import selected
from backstory.graph.source import Source, circumstances, in_short, open_source, resolve, uncommitted
from backstory.graph.types import Oid, RepoPath, Report
from backstory.tools.commands import check_files
from backstory.tools.environment import PipSettings
from backstory.tools.limits import Limits
from backstory.tools.paths import read_file
from backstory.tools.sandbox import CONTAINERS, Choice, Containers, open_sandbox
from backstory.tools.verdicts import VerdictCache
from backstory.tools.workspace import clear_dead

# An uncommitted test larger than this is not carried: it would be written into the trace.
CARRIED_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class ModelSettings:
    """Which model is asked and how; no key, since this is recorded.

    api_base: its address, several with a comma between them, None for the provider's own. context_tokens: its window, None when unknown. handover: what
    whoever repairs is given of the search for the place.
    """

    name: str
    api_base: str | None
    temperature: float | None
    context_tokens: int | None
    reply_timeout_s: float
    handover: Handover = "findings"

    @property
    def bases(self) -> tuple[str, ...]:
        """The addresses the model is served at."""
        return tuple(base.strip() for base in (self.api_base or "").split(",") if base.strip())

    def asking(self, model: Model) -> Asked:
        """Return how `model` is asked by these settings. A reply may fill half of a small window: servers refuse one that is allowed more than all of it."""
        sampling = Sampling(temperature=self.temperature)
        if self.context_tokens is not None:
            sampling = replace(sampling, output_tokens=min(sampling.output_tokens, max(1, self.context_tokens // 2)))
        return Asked(model, sampling, self.reply_timeout_s, self.context_tokens, self.handover)


@dataclass(frozen=True)
class FixRequest:
    """What `fix` was asked.

    search_path: where programs such as python3 are looked for (the caller's PATH). base, check: None means to be found. model: None to do without.
    repair: whether to go on once the commit to blame is known. prepared: the folder of an environment that was built for this repository, in place
    of one that is found. containers: how they are used, where the sandbox is one.
    """

    issue_id: str
    title: str
    issue_text: str
    repo: Path
    base: str | None
    check: str | None
    attempts: int
    budget: Budget
    sandbox: Choice
    prepare: bool
    check_timeout_s: float
    exclude: tuple[str, ...]
    languages: tuple[str, ...]
    cache_dir: Path
    state_dir: Path
    active_environment: Path | None
    search_path: str
    model: ModelSettings | None = None
    repair: bool = True
    prepared: Path | None = None
    containers: Containers = CONTAINERS


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    phases: seconds by phase; notes: what a user should know (uncommitted files left out, a history that is cut, ...). served: what the model's servers did
    meanwhile, for this run and whoever else asked them, None where they do not tell.
    """

    run_id: str
    exit_code: int
    repo: str
    base: Oid
    issue_id: str
    title: str
    solution: Solution
    phases: Mapping[str, float]
    notes: tuple[str, ...]
    sandbox: str
    environment: str
    served: Vitals | None = None


@dataclass(frozen=True)
class RunSummary:
    """One line of `backstory runs`. state: "running", "interrupted" or the solution's status. usage: what its model's replies cost, None without any."""

    id: str
    when: str
    repo: str
    title: str
    state: str
    exit_code: int | None
    blamed: str | None
    usage: Usage | None = None


@dataclass(frozen=True)
class Replay:
    """What came of a replay. divergence: the first event that differs, in words, or None."""

    same: bool
    divergence: str | None
    patch_tree: Oid | None


@dataclass(frozen=True)
class _Start:
    """The first event of a run: everything that came from outside. carried: uncommitted check files, base64 by path."""

    request: FixRequest
    base: Oid
    carried: Mapping[str, str]
    notes: tuple[str, ...]


OnEvent = Callable[[Event], None] | None
OpenModel = Callable[[ModelSettings], Model] | None


class _Recorded:
    """The model of a replay, whose replies all come from the record."""

    def __init__(self, settings: ModelSettings) -> None:
        self.name = settings.name

    def reply(self, _: Prompt) -> Reply:
        """Never called: `ReplayedTrace.decide` has the reply."""
        raise AssertionError("a replay asks no model")


def fix(
    request: FixRequest,
    *,
    report: Report,
    on_event: OnEvent = None,
    pip: PipSettings | None = None,
    open_model: OpenModel = None,
    carried: Mapping[RepoPath, bytes] | None = None,
) -> Outcome:
    """Solve an issue, recording the run; see `Outcome`. Raises the `UserError` family for what the user has to mend.

    pip: how --prepare reaches packages. open_model: makes the model of `request.model`. Both may hold keys, so they are never recorded.
    carried: files of the check that the base has not, beside those of the checkout.
    """
    source = open_source(request.repo)
    base = resolve(source, "HEAD" if request.base is None else request.base)
    _refuse_contradictions(request)
    open_sandbox(request.sandbox, request.containers)  # refuse before any work is done
    # A prepared environment is that of a commit, whatever the checkout is at.
    uncommitted_files, notes = _carry(request, source) if request.prepared is None else ({}, ())
    given = {str(path): base64.b64encode(content).decode() for path, content in (carried or {}).items()}
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    start = _Start(request, base, {**uncommitted_files, **given}, notes)
    with RecordedTrace(events_path(request.state_dir, run_id), run_id, on_event=on_event) as trace:
        trace.note("started", **to_json(start))
        return _go(run_id, start, trace, report=report, pip=pip, seconds_before=0.0, remember=True, open_model=open_model)


def resume(
    run_id: str,
    *,
    state_dir: Path,
    report: Report,
    budget: Budget | None = None,
    on_event: OnEvent = None,
    pip: PipSettings | None = None,
    open_model: OpenModel = None,
) -> Outcome:
    """Go on with a run that was killed, ran into a limit or lost its model; any other finished one gives its outcome again.

    budget: another one than the run began with.
    """
    run_id = find_run(state_dir, run_id)
    path = events_path(state_dir, run_id)
    events = read_events(path)
    done = outcome_of(events)
    lost_its_model = done is not None and done.exit_code == ExitCode.MODEL
    if done is not None and not lost_its_model and (done.solution.limit is None or budget is None):
        return done
    start = _start_of(events, run_id)
    if budget is not None:
        start = replace(start, request=replace(start.request, budget=budget))
    spent = seconds_at_work(events)
    with RecordedTrace(path, run_id, on_event=on_event, past_limit=budget is not None) as trace:
        trace.note("started", **dict(events[0].body))
        return _go(run_id, start, trace, report=report, pip=pip, seconds_before=spent, remember=True, open_model=open_model)


def replay(run_id: str, *, state_dir: Path, report: Report, on_event: OnEvent = None, pip: PipSettings | None = None) -> Replay:
    """Walk a recorded run again through the real code: every edit and check is made anew, and each must come out as it did."""
    run_id = find_run(state_dir, run_id)
    events = read_events(events_path(state_dir, run_id))
    recorded = outcome_of(events)
    start = _start_of(events, run_id)
    if recorded is None:
        raise UserError(f"run {run_id} has not finished; go on with `backstory resume {run_id}` first")
    start = replace(start, request=replace(start.request, budget=Budget()))
    trace = ReplayedTrace(events, on_event=on_event)
    try:
        outcome = _go(run_id, start, trace, report=report, pip=pip, seconds_before=0.0, remember=False, open_model=_Recorded)
        trace.finish()
    except Divergence as divergence:
        return Replay(False, str(divergence), None)
    tree = outcome.solution.patch.tree if outcome.solution.patch else None
    recorded_tree = recorded.solution.patch.tree if recorded.solution.patch else None
    if tree != recorded_tree:
        return Replay(False, f"the patch is tree {tree}, recorded was {recorded_tree}", tree)
    return Replay(True, None, tree)


def list_runs(state_dir: Path) -> list[RunSummary]:
    """Return the recorded runs, newest first. A damaged one is listed as such."""
    folder = state_dir / "runs"
    return (
        [_summary(state_dir, path.name) for path in sorted(folder.iterdir(), reverse=True) if (path / "events.jsonl").exists()]
        if folder.is_dir()
        else []
    )


def seconds_at_work(events: Sequence[Event]) -> float:
    """Return the wall-clock seconds in which some step of a run was under way; steps of parallel attempts count once."""
    worked = 0.0
    until = float("-inf")
    steps = [(datetime.fromisoformat(event.at).timestamp(), event.body["seconds"]) for event in events if "seconds" in event.body]
    for began, ended in sorted((at - float(cast(float, seconds)), at) for at, seconds in steps):
        worked += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return worked


def find_run(state_dir: Path, prefix: str) -> str:
    """Return the id of the one run that begins with `prefix`; "last" is the newest. Raises UserError when there is none or more than one."""
    known = [summary.id for summary in list_runs(state_dir)]
    if prefix == "last" and known:
        return known[0]
    matching = [run for run in known if prefix and run.startswith(prefix)]
    if prefix in known:
        return prefix
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UserError(f"{prefix!r} begins {len(matching)} runs; give more of the id (`backstory runs` lists them)")
    raise UserError(f"no run {prefix!r}; `backstory runs` lists them")


def open_run(state_dir: Path, prefix: str) -> tuple[str, list[Event], Outcome | None]:
    """Return a run's id, its events, and its outcome if it has ended."""
    run_id = find_run(state_dir, prefix)
    events = read_events(events_path(state_dir, run_id))
    return run_id, events, outcome_of(events)


def request_of(events: list[Event], run_id: str) -> FixRequest:
    """Return what a run was asked."""
    return _start_of(events, run_id).request


def outcome_of(events: list[Event]) -> Outcome | None:
    """Return how a run ended, or None while it has not."""
    if not events or events[-1].kind != "finished":
        return None
    try:
        return from_json(events[-1].body, Outcome)
    except ValueError as error:
        raise _damaged(events[-1], error) from error


def run_folder(state_dir: Path, run_id: str) -> Path:
    """Return the folder of a run."""
    return state_dir / "runs" / run_id


def events_path(state_dir: Path, run_id: str) -> Path:
    """Return the file of a run's events."""
    return run_folder(state_dir, run_id) / "events.jsonl"


def _go(
    run_id: str,
    start: _Start,
    trace: Trace,
    *,
    report: Report,
    pip: PipSettings | None,
    seconds_before: float,
    remember: bool,
    open_model: OpenModel,
) -> Outcome:
    """Open everything a case needs, solve it and record how it ended. remember: whether verdicts of other runs may be used."""
    request, base = start.request, start.base
    phases, purse = Phases(report), Purse(request.budget, trace, seconds_before)
    work_dir = request.cache_dir / "work" / run_id
    with ExitStack() as stack:
        stack.enter_context(using_cache(request.cache_dir))
        stack.callback(shutil.rmtree, work_dir, ignore_errors=True)
        source = open_source(request.repo)
        with phases("index"):
            graph = build_graph(source, base, cache_dir=request.cache_dir, report=report)
            stack.callback(graph.close)
        stack.callback(clear_dead, graph.mirror)  # a killed run that had nothing left to run leaves its work trees to whoever ends it
        sandbox = open_sandbox(request.sandbox, request.containers)
        with phases("environment"):
            surroundings = find_surroundings(request, source, graph, sandbox, work_dir, pip, report)
        environment = surroundings.environment
        stage = Stage(sandbox, environment, surroundings.bound_at, surroundings.laid_over, Limits(wall_s=request.check_timeout_s))
        cache = stack.enter_context(VerdictCache(graph.mirror.path.parent / "verdicts.db")) if remember else None
        judge = stack.enter_context(
            Judge(
                graph.mirror,
                base,
                overlay={},
                stage=stage,
                work_dir=work_dir,
                cache=cache,
                trace=trace,
                purse=purse,
                workers=request.attempts,
            )
        )
        carried = {RepoPath(path): base64.b64decode(content) for path, content in start.carried.items()}

        def read(path: RepoPath) -> bytes | None:
            return carried[path] if path in carried else graph.mirror.blob_at(base, path)

        issue = Issue(request.issue_id, str(request.repo), base, request.title, request.issue_text)

        def counts(path: RepoPath) -> bool:
            return selected(path, exclude=request.exclude, languages=request.languages)

        asked = _asked(request.model, open_model)
        case = Case(
            issue,
            graph,
            judge,
            read,
            counts,
            request.check,
            request.check_timeout_s,
            request.attempts,
            trace,
            purse,
            phases,
            asked,
            request.repair,
        )
        bases = request.model.bases if request.model is not None and remember else ()
        before = vitals_of(bases)
        solution = solve(case)
        after = vitals_of(bases) if before is not None else None
        outcome = Outcome(
            run_id=run_id,
            exit_code=exit_code(solution),
            repo=str(request.repo),
            base=base,
            issue_id=request.issue_id,
            title=request.title,
            solution=solution,
            phases={name: round(seconds, 3) for name, seconds in phases.seconds.items()},
            notes=(*start.notes, *circumstances(source), *environment.notes),
            sandbox=sandbox.name,
            environment=environment.label,
            served=after.since(before) if before is not None and after is not None else None,
        )
    if isinstance(trace, RecordedTrace):
        if solution.patch is not None:
            save(run_folder(request.state_dir, run_id) / "patch.diff", solution.patch.diff, again=f"`backstory resume {run_id}`")
        trace.note("finished", **to_json(outcome))
    return outcome


def _asked(settings: ModelSettings | None, open_model: OpenModel) -> Asked | None:
    if settings is None:
        return None
    if open_model is None:
        raise UserError(f"this run asks the model {settings.name!r}; give its address and key again")
    return settings.asking(open_model(settings))


def exit_code(solution: Solution) -> ExitCode:
    """Return the documented exit code: verified wins over a limit, a limit over a lost model, that over what it cut short."""
    if solution.status == "verified":
        return ExitCode.VERIFIED
    if solution.limit is not None:
        return ExitCode.LIMIT
    if solution.agents is not None and solution.agents.failure is not None:
        return ExitCode.MODEL
    return ExitCode.UNVERIFIED if solution.patch is not None else ExitCode.NO_PATCH


def _refuse_contradictions(request: FixRequest) -> None:
    image = request.containers.image
    if image and request.sandbox not in ("docker", "auto"):
        raise UserError(f"the image {image!r} needs containers, and the sandbox is {request.sandbox!r}; pass --sandbox docker")
    if image and request.prepare:
        raise UserError(f"the image {image!r} brings its own environment; leave out --prepare, or the image")


def _carry(request: FixRequest, source: Source) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the user's uncommitted versions of the check's files (base64 by path), and a note that names what is left out."""
    changed = uncommitted(source)
    if not changed or source.work_tree is None:
        return {}, ()
    root = source.work_tree
    named = check_files(request.check, lambda path: (root / path).is_file()) if request.check else ()
    carried: dict[str, str] = {}
    for path in named:
        if path in changed:
            content = read_file(root, path)
            if len(content) > CARRIED_BYTES:
                raise UserError(f"the uncommitted check file {path!r} is over {CARRIED_BYTES >> 20} MB; commit it and try again")
            carried[path] = base64.b64encode(content).decode()
    left_out = [path for path in changed if path not in carried]
    notes = []
    if carried:
        notes.append(f"carried from the checkout, uncommitted: {', '.join(sorted(carried))}")
    if left_out:
        notes.append(f"uncommitted changes left out: {in_short(source, left_out)}")
    return carried, tuple(notes)


def _start_of(events: list[Event], run_id: str) -> _Start:
    if not events or events[0].kind != "started":
        raise UserError(f"run {run_id} was killed before it began; start it again with `backstory fix`")
    try:
        return from_json(events[0].body, _Start)
    except ValueError as error:
        raise _damaged(events[0], error) from error


def _damaged(event: Event, error: ValueError) -> StorageError:
    return StorageError(f"run {event.run} is damaged at event {event.seq} ({event.kind}: {error}); it cannot be used, remove its folder")


def _summary(state_dir: Path, run_id: str) -> RunSummary:
    path = events_path(state_dir, run_id)
    try:
        events = read_events(path)
        start = _start_of(events, run_id)
        done = outcome_of(events)
    except UserError:
        return RunSummary(run_id, "", "", "", "damaged", None, None)
    if done is None:
        return RunSummary(
            run_id, events[0].at, str(start.request.repo), start.request.title, "running" if is_held(path) else "interrupted", None, None
        )
    blamed = done.solution.blamed.commit if done.solution.blamed else None
    state = done.solution.status if done.solution.limit is None or done.solution.status == "verified" else "limit"
    agents = done.solution.agents
    usage = agents.usage if agents is not None and agents.replies else None
    return RunSummary(run_id, events[0].at, done.repo, done.title, state, done.exit_code, blamed, usage)
