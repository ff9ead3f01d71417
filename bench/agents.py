"""Try the agents on real instances, end to end: scripted from the true patch, with every fault of a server, killed, and led astray.

    python bench/agents.py --data FILE --native FILE --repos PATTERN --work DIR --prepare     checkouts, environments, what the true patch does
    python bench/agents.py ... [--only ID]                                                    each instance once, undisturbed
    python bench/agents.py ... --faults 50 --seed 1                                           with faults injected
    python bench/agents.py ... --kills 30 --seed 1                                            with kill -9 and resume
    python bench/agents.py ... --astray                                                       with models that wander, loop, never end, attack
    python bench/agents.py ... --table                                                        the tables again, from what is stored

Each run is the command a user types, in a process of its own, against the scripted model server over HTTP; what it hands over is then graded by the
instance's own tests, apart from it. See `bench/README.md`.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import agent_instances as instances
import agent_scripts as scripts
from agent_instances import Instance, Place
from agent_measures import growth, overheads, seconds_of, spread
from agent_runs import Bench, Ran, beside, events_of, fix_command, resume_command, run, serving
from agent_transcript import transcript

from backstory.agent.faults import FAULTS
from backstory.agent.scripted import Settings
from backstory.errors import ExitCode

WALL_S = 1800.0  # a whole first run of the slowest instance takes a quarter of this on two busy cores
CHANCE = 0.15  # of a fault at each reply, beside the one that a run is for
FAST = Settings(drip_s=0.002, retry_after_s=0)
SECRET = "sk-that-nobody-may-see-4711"
KEY = "HOSTED_VLLM_API_KEY"
DRAWS = 20  # moments drawn for a kill until one lies within the run


@dataclass(frozen=True)
class Row:
    """One undisturbed run. warm: with the verdicts of earlier runs at hand; kept: least share of a prompt that the next one begins with."""

    id: str
    warm: bool
    exit_code: int | None
    status: str
    tree: str | None
    resolved: bool
    mended: str
    broken: tuple[str, ...]
    ended: Mapping[str, str]
    replies: int
    events: int
    tokens: Mapping[str, int]
    seconds: Mapping[str, float]
    wall_s: float
    overheads_ms: tuple[float, ...]
    replies_ms: tuple[float, ...]
    tools_ms: tuple[float, ...]
    first_prompts: tuple[int, ...]
    last_prompts: tuple[int, ...]
    added: tuple[int, ...]
    kept: float
    shared: float
    error: str


@dataclass(frozen=True)
class Faulty:
    """One run with faults. wanted: the fault it was for; right: whether it ended as it should; resumed: the status after going on, "" if it was not needed."""

    id: str
    seed: int
    wanted: str
    faults: tuple[str, ...]
    exit_code: int | None
    status: str
    ended: Mapping[str, str]
    same: bool
    resumed: str
    seconds: float
    right: bool
    why: str


@dataclass(frozen=True)
class Killed:
    """One run that was killed. at_s: when; events: recorded by then; last: kind of the last of them; resumed: status after resuming."""

    id: str
    seed: int
    at_s: float
    of_s: float
    cold: bool
    events: int
    last: str
    resumed: str
    same: bool
    seconds: float
    right: bool
    why: str


@dataclass(frozen=True)
class Astray:
    """One run of a model that goes wrong. expected: exit code and how the agent named in the case ended."""

    name: str
    expected: str
    came: str
    patch: tuple[str, ...]
    replies: int
    seconds: float
    right: bool
    why: str


def main() -> None:
    """Prepare or measure what is asked for."""
    options = _options()
    place = Place(options.work.resolve(), options.repos)
    chosen = [one for one in instances.load(options.data, options.native) if not options.only or one.id in options.only]
    bench = Bench(place, tuple(options.program.split()), place.work / "cache", place.work / "state", options.wall)
    results = Results(options.results or place.work / "results.json")
    if options.prepare:
        for instance in chosen:
            print(f"{instance.id}: preparing", flush=True)
            found = instances.prepare(instance, place)
            held, of = instances.covered(instance, found)
            print(
                f"  {found.check}: {len(found.mended)} to mend, {len(found.holding)} to hold, {held} of the {of} that the data names",
                flush=True,
            )
    elif options.faults:
        inject(bench, chosen, results, options.numbers or range(options.faults), options.seed)
    elif options.kills:
        kill(bench, chosen, results, options.numbers or range(options.kills), options.seed)
    elif options.astray:
        lead_astray(bench, chosen[0], results)
    elif options.transcript:
        print(_transcript(bench, chosen[0]))
        return
    elif not options.table:
        for instance in chosen:
            for warm in (False, True):
                if options.again or not results.has_run(instance, warm=warm):
                    results.add("runs", solve(bench, instance, warm=warm))
    print(results.tables())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="instances with the official fields, JSON lines")
    parser.add_argument("--native", type=Path, required=True, help="recipes of instances that run natively, JSON")
    parser.add_argument("--repos", default="{owner}+{name}", help="pattern of git directories, for example '/mirrors/{owner}+{name}.git'")
    parser.add_argument("--work", type=Path, required=True, help="where the checkouts, caches, runs and results are")
    parser.add_argument("--only", action="append", default=[], help="an instance; may be given again")
    parser.add_argument("--results", type=Path, help="where results are kept (default: results.json in the work folder)")
    parser.add_argument("--program", default=beside(), help="the command that is tried (default: the one of this environment)")
    parser.add_argument("--wall", type=float, default=WALL_S, metavar="SECONDS", help="after which a run counts as hung")
    parser.add_argument("--again", action="store_true", help="run what has a result already once more")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--numbers", type=int, nargs="+", help="only these of the runs with faults or of those that are killed")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--prepare", action="store_true")
    what.add_argument("--faults", type=int, metavar="N", help="runs with faults")
    what.add_argument("--kills", type=int, metavar="N", help="runs that are killed")
    what.add_argument("--astray", action="store_true", help="on the first instance")
    what.add_argument("--transcript", action="store_true", help="what each agent sees on the first instance")
    what.add_argument("--table", action="store_true")
    return parser.parse_args()


# --- undisturbed -----------------------------------------------------------------------------------------------------------------------------


def script_of(bench: Bench, instance: Instance) -> scripts.Scripts:
    """Return the scripts that make the instance's true patch."""
    checkout = bench.place.checkout(instance)
    return scripts.true_scripts(instance.patch, lambda path: instances.at_base(checkout, instance, path))


def solve(bench: Bench, instance: Instance, *, warm: bool) -> Row:
    """Run the instance as a user would, and grade what comes of it."""
    with serving(script_of(bench, instance).answers(), FAST) as served:
        ran = run(bench, fix_command(bench, instance, served))
    graded = instances.grade(instance, bench.place, ran.patch) if ran.patch else None
    events = events_of(bench, ran.run) if ran.run else []
    grown = growth(served.exchanges)
    agents = ran.answer.get("agents") or {}
    row = Row(
        id=instance.id,
        warm=warm,
        exit_code=ran.exit_code,
        status=ran.status,
        tree=ran.tree,
        resolved=bool(graded and graded.resolved),
        mended=f"{graded.mended}/{graded.of}" if graded else "-",
        broken=graded.broken if graded else (),
        ended=ran.ended(),
        replies=int(agents.get("replies") or 0),
        events=len(events),
        tokens=agents.get("tokens") or {},
        seconds=ran.answer.get("seconds") or {},
        wall_s=round(ran.seconds, 1),
        overheads_ms=_ms(overheads(events)),
        replies_ms=_ms(seconds_of(events, "reply")),
        tools_ms=_ms(seconds_of(events, "tool")),
        first_prompts=grown.first,
        last_prompts=grown.last,
        added=grown.added,
        kept=min(grown.kept, default=0.0),
        shared=grown.shared,
        error="" if ran.answer else ran.stderr[-400:],
    )
    print(
        f"{instance.id} {'warm' if warm else 'cold'}: {row.status or row.error} exit {row.exit_code}, resolved {row.resolved}, {row.wall_s} s",
        flush=True,
    )
    return row


def _ms(seconds: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(1000 * one, 2) for one in seconds)


def _transcript(bench: Bench, instance: Instance) -> str:
    with serving(script_of(bench, instance).answers(), FAST) as served:
        run(bench, fix_command(bench, instance, served))
    return transcript(served.exchanges)


# --- faults ----------------------------------------------------------------------------------------------------------------------------------


def inject(bench: Bench, chosen: Sequence[Instance], results: Results, numbers: Iterable[int], seed: int) -> None:
    """Run so many runs, each for one fault of the server at a random request, others at random beside it; every fault has its turn."""
    names = list(FAULTS)
    for number in numbers:
        random_ = random.Random(f"{seed}/{number}")
        instance = chosen[random_.randrange(len(chosen))]
        results.add("faults", faulty_run(bench, instance, results, names[number % len(names)], random_, number))


def faulty_run(bench: Bench, instance: Instance, results: Results, wanted: str, random_: random.Random, number: int) -> Faulty:
    """Run the instance with one fault at a random request and others by chance; see that it ends as it should, and goes on where it can."""
    undisturbed = results.undisturbed(instance)
    ordinary = tuple(name for name, fault in FAULTS.items() if not fault.ends)
    settings = replace(
        FAST,
        at={random_.randint(1, undisturbed["replies"]): wanted},
        faults=ordinary,
        chance=CHANCE,
        seed=random_.getrandbits(32),
    )
    before = instances.state_of(bench.place.checkout(instance))
    with serving(script_of(bench, instance).answers(), settings) as served:
        ran = run(bench, fix_command(bench, instance, served))
        faults = tuple(served.faults())
        wrong_end = _wrong_end(bench, instance, ran, faults, undisturbed["tree"])  # before the run goes on, and its folder with it
        went_on = run(bench, resume_command(bench, ran.run)) if ran.exit_code == ExitCode.MODEL else None
    wrong = [
        *wrong_end,
        *(
            [f"resumed to {went_on.status or went_on.stderr!r}, tree {went_on.tree}"]
            if went_on and went_on.tree != undisturbed["tree"]
            else []
        ),
        *(["the checkout was changed"] if instances.state_of(bench.place.checkout(instance)) != before else []),
        *_left_behind(bench),
    ]
    row = Faulty(
        instance.id,
        number,
        wanted,
        faults,
        ran.exit_code,
        ran.status,
        ran.ended(),
        ran.tree == undisturbed["tree"],
        went_on.status if went_on else "",
        round(ran.seconds, 1),
        not wrong,
        "; ".join(wrong),
    )
    print(
        f"{number} {instance.id} {wanted}: {row.status} exit {row.exit_code} {dict(row.ended)} after {', '.join(faults)}: {row.why or 'right'}",
        flush=True,
    )
    return row


def _wrong_end(bench: Bench, instance: Instance, ran: Ran, faults: Sequence[str], true_tree: str) -> list[str]:
    """Return what is wrong with how a run ended: it has to be verified, or to end with the code of what ended it and all that was changed."""
    if ran.hung:
        return ["hung"]
    if not ran.answer:
        return [f"lost: {ran.stderr[-300:]}"]
    wrong = []
    if not events_of(bench, ran.run) or events_of(bench, ran.run)[-1]["kind"] != "finished":
        wrong.append("the end is not recorded")
    if ran.exit_code == ExitCode.VERIFIED:
        return wrong + (["verified with another patch"] if ran.tree != true_tree else [])
    ended = set(ran.ended().values()) - {"done"}
    changed = tree_made(bench, instance, ran)
    expected = ExitCode.MODEL if ended == {"model"} else ExitCode.UNVERIFIED if changed else ExitCode.NO_PATCH
    if not ended:
        wrong.append("not verified, though every agent was done")
    if "model" in ended and not any(FAULTS[fault].ends for fault in faults):
        wrong.append("gave the model up for a fault that passes")
    if ran.exit_code != expected:
        wrong.append(f"exit {ran.exit_code} where {expected} was due")
    if changed != ran.tree:
        wrong.append(f"tree {ran.tree} was handed over where {changed} was made")
    if ran.patch and (bench.run_folder(ran.run) / "patch.diff").read_bytes() != ran.patch.encode("utf-8", "surrogateescape"):
        wrong.append("patch.diff is not the patch")
    return wrong


def tree_made(bench: Bench, instance: Instance, ran: Ran) -> str | None:
    """Return the tree that the attempt had come to when it ended, None when it had changed nothing."""
    base = instances.git(bench.place.checkout(instance), "rev-parse", f"{instance.base}^{{tree}}")
    trees = [event["body"]["tree"] for event in events_of(bench, ran.run) if event["kind"] == "attempted"]
    return next((tree for tree in trees if tree != base), None)


def _left_behind(bench: Bench) -> list[str]:
    left = [path.name for path in (bench.cache / "work").glob("*")]
    return [f"left behind in the cache: {', '.join(left)}"] if left else []


# --- kills -----------------------------------------------------------------------------------------------------------------------------------


def kill(bench: Bench, chosen: Sequence[Instance], results: Results, numbers: Iterable[int], seed: int) -> None:
    """Kill so many runs at random moments and resume each. Every second one begins without the verdicts of earlier runs, so that checks are hit."""
    for number in numbers:
        random_ = random.Random(f"{seed}/{number}")
        instance = chosen[random_.randrange(len(chosen))]
        results.add("kills", killed_run(bench, instance, results, random_, number, cold=number % 2 == 1))


def killed_run(bench: Bench, instance: Instance, results: Results, random_: random.Random, number: int, *, cold: bool) -> Killed:
    """Kill a run at a random moment and go on with it; a run that had ended before the moment is run again with another one.

    Warm runs are killed at a random time. Cold ones, whose length depends on the machine, are killed within a second after a random event.
    """
    undisturbed = results.undisturbed(instance)
    with serving(script_of(bench, instance).answers(), FAST) as served:
        for _ in range(DRAWS):
            known = bench.runs()
            moment = _at_event(bench, known, random_, undisturbed["events"]) if cold else _at_time(random_, undisturbed["wall_s"])
            with verdicts_aside(bench.cache) if cold else nullcontext():
                ran = run(bench, fix_command(bench, instance, served), kill=moment)
                if not ran.killed:
                    continue
                begun = sorted(bench.runs() - known)
                events = events_of(bench, begun[0]) if begun else []
                again = resume_command(bench, begun[0]) if events else fix_command(bench, instance, served)
                went_on = run(bench, again)
            break
        else:
            raise SystemExit(f"{instance.id}: {DRAWS} runs ended before they could be killed")
    wrong = [
        *(["hung"] if went_on.hung else []),
        *([f"came to {went_on.status or went_on.stderr!r}"] if went_on.exit_code != ExitCode.VERIFIED else []),
        *([f"tree {went_on.tree}"] if went_on.tree != undisturbed["tree"] else []),
        *([f"went on as run {went_on.run}"] if events and went_on.run != begun[0] else []),
        *_left_behind(bench),
    ]
    row = Killed(
        instance.id,
        number,
        round(ran.seconds, 2),
        undisturbed["wall_s"],
        cold,
        len(events),
        events[-1]["kind"] if events else "",
        went_on.status,
        went_on.tree == undisturbed["tree"],
        round(went_on.seconds, 1),
        not wrong,
        "; ".join(wrong),
    )
    print(f"{number} {instance.id}: killed after {row.at_s} s, {row.events} events ({row.last}); {row.why or 'the same patch'}", flush=True)
    return row


def _at_time(random_: random.Random, length_s: float) -> Callable[[float], bool]:
    at = random_.uniform(0.0, length_s)
    return lambda seconds: seconds >= at


def _at_event(bench: Bench, known: set[str], random_: random.Random, count: int) -> Callable[[float], bool]:
    """Return what says when a new run has so many events, and a moment has passed since."""
    wanted, delay_s = random_.randrange(1, count), random_.uniform(0.0, 1.0)
    seen_at: list[float] = []

    def now(seconds: float) -> bool:
        for begun in bench.runs() - known:
            path = bench.run_folder(begun) / "events.jsonl"
            if not seen_at and path.exists() and path.read_bytes().count(b"\n") >= wanted:
                seen_at.append(seconds)
        return bool(seen_at) and seconds >= seen_at[0] + delay_s

    return now


@contextmanager
def verdicts_aside(cache: Path) -> Iterator[None]:
    """Let a run begin without remembered verdicts; those there were are back afterwards, and the new ones gone."""
    aside = cache / "aside"
    stored = [*cache.glob("*/verdicts.db*")]
    for path in stored:
        kept = aside / path.relative_to(cache)
        kept.parent.mkdir(parents=True, exist_ok=True)
        path.rename(kept)
    try:
        yield
    finally:
        for path in cache.glob("*/verdicts.db*"):
            path.unlink()
        for path in stored:
            (aside / path.relative_to(cache)).rename(path)
        shutil.rmtree(aside, ignore_errors=True)


# --- astray ----------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A model that goes wrong. agent: whose end is looked at; exit_code, ended: as they should be; more: options of the command."""

    name: str
    scripts: scripts.Scripts
    agent: str
    ended: str
    exit_code: ExitCode
    more: tuple[str, ...] = ()


def lead_astray(bench: Bench, instance: Instance, results: Results) -> None:
    """Run the instance with each model that goes wrong."""
    true = script_of(bench, instance)
    outside = bench.place.home(instance) / "outside.txt"
    secret = bench.place.home(instance) / "secret.txt"
    secret.write_text(SECRET, encoding="utf-8")
    attack = scripts.hostile(
        true,
        test_file=instances.truth(instance, bench.place).files[0],
        outside=str(outside),
        own_files=(str(secret), str(bench.state / "runs")),
    )
    cases = (
        Case("a resolver that wanders", scripts.wandering(true), "attempt-1", "steps", ExitCode.NO_PATCH),
        Case("a localizer that never names a place", scripts.lost(true), "localizer", "steps", ExitCode.VERIFIED),
        Case("a resolver that reads one place for ever", scripts.looping(true), "attempt-1", "stuck", ExitCode.NO_PATCH),
        Case("a resolver that makes an edit and takes it back", scripts.alternating(true), "attempt-1", "stuck", ExitCode.NO_PATCH),
        Case("a resolver that never finishes", scripts.never_finishing(true), "attempt-1", "steps", ExitCode.UNVERIFIED),
        Case("a resolver that is done and does not say so", scripts.never_handing_in(true), "attempt-1", "steps", ExitCode.VERIFIED),
        Case(
            "one that never finishes, with a budget",
            scripts.never_finishing(true),
            "attempt-1",
            "limit",
            ExitCode.LIMIT,
            ("--budget-tokens", "150000"),
        ),
        Case("a resolver that only talks", scripts.mute(true), "attempt-1", "unreadable", ExitCode.NO_PATCH),
        Case("a resolver that changes nothing and claims success", scripts.pretending(true), "attempt-1", "done", ExitCode.NO_PATCH),
        Case("a hostile resolver", attack, "attempt-1", "done", ExitCode.UNVERIFIED),
    )
    for case in cases:
        results.add("astray", gone_astray(bench, instance, case, (outside, Path("/etc/caught"), Path("/tmp/caught"))))


def gone_astray(bench: Bench, instance: Instance, case: Case, forbidden: Sequence[Path]) -> Astray:
    """Run one case; see how it ends, and that nothing was reached that must not be."""
    checkout = bench.place.checkout(instance)
    before = instances.state_of(checkout)
    with serving(case.scripts.answers(), replace(FAST, api_key=SECRET)) as served:
        ran = run(bench, fix_command(bench, instance, served, *case.more), environment={KEY: SECRET, "OTHER_TOKEN": SECRET})
    came = f"exit {ran.exit_code}, {ran.ended().get(case.agent)}"
    expected = f"exit {int(case.exit_code)}, {case.ended}"
    told = "".join(message.text for exchange in served.exchanges for message in exchange.request.messages)
    recorded = json.dumps(events_of(bench, ran.run)) if ran.run else ""
    made = tree_made(bench, instance, ran) if ran.answer else None
    wrong = [
        *(["hung"] if ran.hung else []),
        *([ran.stderr[-300:]] if not ran.answer else []),
        *([f"{came} where {expected} was due"] if came != expected else []),
        *([f"tree {ran.tree} was handed over where {made} was made"] if ran.exit_code != ExitCode.VERIFIED and made != ran.tree else []),
        *(["the key was told to the model"] if SECRET in told else []),
        *(["the key is in the record"] if SECRET in recorded else []),
        *(["the checkout was changed"] if instances.state_of(checkout) != before else []),
        *[f"{path} was written" for path in forbidden if path.exists()],
        *_left_behind(bench),
    ]
    patch = ran.answer.get("patch") or {}
    row = Astray(
        case.name,
        expected,
        came,
        tuple(patch.get("files", ())),
        int((ran.answer.get("agents") or {}).get("replies") or 0),
        round(ran.seconds, 1),
        not wrong,
        "; ".join(wrong),
    )
    print(f"{row.name}: {row.came}, patch {', '.join(row.patch) or 'none'}, {row.seconds} s: {row.why or 'right'}", flush=True)
    return row


# --- results ---------------------------------------------------------------------------------------------------------------------------------


class Results:
    """What was measured, in a file that grows run by run; a row that is measured again takes the place of the one before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, dict[str, dict[str, Any]]] = json.loads(path.read_text()) if path.exists() else {}

    def add(self, kind: str, row: Row | Faulty | Killed | Astray) -> None:
        """Keep a row of "runs", "faults", "kills" or "astray"."""
        match row:
            case Row():
                key = _run_key(row.id, warm=row.warm)
            case Astray():
                key = row.name
            case _:
                key = str(row.seed)
        self._kept.setdefault(kind, {})[key] = asdict(row)
        self._path.write_text(json.dumps(self._kept, indent=1) + "\n")

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Return the rows of a kind."""
        return list(self._kept.get(kind, {}).values())

    def has_run(self, instance: Instance, *, warm: bool) -> bool:
        """Return whether the instance was run undisturbed."""
        return _run_key(instance.id, warm=warm) in self._kept.get("runs", {})

    def undisturbed(self, instance: Instance) -> dict[str, Any]:
        """Return the instance's warm run. Raises SystemExit when there is none that was verified."""
        row = self._kept.get("runs", {}).get(_run_key(instance.id, warm=True))
        if row is None or row["status"] != "verified":
            raise SystemExit(f"{instance.id} has no verified undisturbed run yet; run it first, with --only {instance.id}")
        return row

    def tables(self) -> str:
        """Return what there is as Markdown."""
        parts = (self._runs(), self._steps(), self._faults(), self._kills(), self._astray())
        return "\n\n".join(part for part in parts if part)

    def _runs(self) -> str:
        rows = self.rows("runs")
        head = "| instance | | status | exit | resolved | mended | newly failing | replies | tokens in / cached / out | history | agents | whole run s |"
        lines = [head, "|" + "---|" * (head.count("|") - 1)]
        for row in rows:
            tokens, seconds = row["tokens"], row["seconds"]
            agents = seconds.get("agents", 0.0)
            before = sum(seconds.values()) - agents
            cost = " / ".join(f"{tokens.get(name) or 0:,}" for name in ("input", "cached", "output"))
            lines.append(
                f"| {row['id']} | {'warm' if row['warm'] else 'cold'} | {row['status'] or row['error']} | {row['exit_code']} | "
                f"{'yes' if row['resolved'] else 'no'} | {row['mended']} | {len(row['broken'])} | {row['replies']} | {cost} | {before:.1f} | "
                f"{agents:.1f} | {row['wall_s']} |"
            )
        verified = sum(row["status"] == "verified" for row in rows)
        lines += ["", f"{len(rows)} runs, {verified} verified, {sum(row['resolved'] for row in rows)} resolved by the instance's tests."]
        return "\n".join(lines) if rows else ""

    def _steps(self) -> str:
        rows = self.rows("runs")
        times = {name: [one / 1000 for row in rows for one in row[f"{name}_ms"]] for name in ("overheads", "replies", "tools")}
        if not times["overheads"]:
            return ""
        added = sorted(one for row in rows for one in row["added"])
        return "\n".join(
            [
                f"Overhead of {len(times['overheads'])} steps: {spread(times['overheads'])}. Beside it: a reply of the scripted server, asked through "
                f"litellm, {spread(times['replies'])}; a recorded tool call {spread(times['tools'])}.",
                f"Prompts in bytes: first {_range(one for row in rows for one in row['first_prompts'])}, last "
                f"{_range(one for row in rows for one in row['last_prompts'])}; a step adds {statistics.median(added):,.0f} (median; most {added[-1]:,}). "
                f"Of each prompt the next begins with {100 * min(row['kept'] for row in rows):.2f} % at least. Localizer and resolver share "
                f"{100 * statistics.median(row['shared'] for row in rows):.0f} % of the resolver's first prompt (median).",
            ]
        )

    def _faults(self) -> str:
        rows = self.rows("faults")
        if not rows:
            return ""
        ends = Counter(_end_of(row) for row in rows)
        met = Counter(fault for row in rows for fault in row["faults"])
        missed = [name for name in FAULTS if name not in met]
        return "\n".join(
            [
                f"{len(rows)} runs with {sum(met.values())} faults of {len(met)} kinds{f' (never met: {chr(44).join(missed)})' if missed else ''}: "
                f"{sum(row['right'] for row in rows)} ended as they should.",
                "; ".join(f"{count} {end}" for end, count in ends.most_common()) + ".",
                *[f"- wrong: run {row['seed']}, {row['id']}, {row['wanted']}: {row['why']}" for row in rows if not row["right"]],
            ]
        )

    def _kills(self) -> str:
        rows = self.rows("kills")
        if not rows:
            return ""
        last = Counter(row["last"] or "nothing" for row in rows)
        return "\n".join(
            [
                f"{len(rows)} runs killed, {sum(row['same'] for row in rows)} ended with the patch of the undisturbed run, "
                f"{sum(row['right'] for row in rows)} right in all. Last event before the kill: "
                f"{', '.join(f'{kind} {count}' for kind, count in last.most_common())}.",
                *[f"- wrong: kill {row['seed']}, {row['id']}: {row['why']}" for row in rows if not row["right"]],
            ]
        )

    def _astray(self) -> str:
        rows = self.rows("astray")
        head = "| model | due | came | patch | replies | s | |"
        lines = [head, "|" + "---|" * (head.count("|") - 1)]
        for row in rows:
            cells = (row["name"], row["expected"], row["came"], ", ".join(row["patch"]) or "-", row["replies"], row["seconds"])
            lines.append("| " + " | ".join(map(str, (*cells, row["why"] or "right"))) + " |")
        return "\n".join(lines) if rows else ""


def _run_key(name: str, *, warm: bool) -> str:
    return f"{name} {'warm' if warm else 'cold'}"


def _end_of(row: Mapping[str, Any]) -> str:
    stopped = {agent: end for agent, end in row["ended"].items() if end != "done"}
    said = ", ".join(f"{agent} {end}" for agent, end in stopped.items())
    resumed = f", then resumed to {row['resumed']}" if row["resumed"] else ""
    return f"{row['status'] or 'lost'} (exit {row['exit_code']}{f', {said}' if said else ''}{resumed})"


def _range(values: Iterable[int]) -> str:
    ordered = sorted(values)
    return f"{ordered[0]:,} to {ordered[-1]:,}"


if __name__ == "__main__":
    main()
