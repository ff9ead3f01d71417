"""How well issues are located: the localizer on issues with a known answer, beside arms that lack something.

An arm is the localizer with part of what it uses taken away or replaced, so that what a part is worth is the difference between two arms on the
same instances. Files and functions are judged apart. "all @k" asks for every gold place among the first k, over instances that have any; "one @k" is
the same over instances with exactly one; the reciprocal rank is that of the first gold place; recall is the share of gold places among the
first ten.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from backstory.agent.localize import DEFAULT_WEIGHTS, OF_HISTORY, Localization, Weights, localize
from backstory.errors import UserError
from backstory.graph.build import build_graph
from backstory.graph.repograph import RepoGraph
from backstory.graph.source import open_source, resolve
from backstory.graph.types import RepoPath, Report, SymbolId
from backstory.harness.instances import Gold, Instance, folder_of, gold_of
from backstory.harness.intervals import Interval, interval, paired
from backstory.memory.recall import Past, past_of

DEPTH = 10
CUTS = (1, 3, 5, 10)
# Places asked for, so that ten functions are among them: classes and files without any are places too.
PLACES = 100
# Instances one worker takes at a time: of one repository, so that neighbouring bases share what is parsed.
CHUNK = 8


ARMS: Mapping[str, Weights] = {
    "full": DEFAULT_WEIGHTS,
    "no-history": replace(DEFAULT_WEIGHTS, **dict.fromkeys(OF_HISTORY, 0.0)),
    "other-history": DEFAULT_WEIGHTS,
    "churn": Weights(**{name: float(name == "recent") for name in vars(DEFAULT_WEIGHTS)}),
}
"""What each arm leaves of the localizer; `churn` has no text at all, only what changed lately. In `other-history` the commits say what those of another
repository say: what they touched and when is true, so what is lost is what messages tell."""
OTHER_HISTORY = "other-history"


@dataclass(frozen=True)
class Row:
    """What one arm found for one instance: its first `DEPTH` files and functions.

    new_s: to open the graph at a base and to answer, whatever was there before; warm_s: the same once more, with nothing kept but the store.
    """

    id: str
    repository: str
    arm: str
    gold_files: tuple[str, ...]
    gold_functions: tuple[str, ...]
    files: tuple[str, ...]
    functions: tuple[str, ...]
    new_s: float
    warm_s: float


@dataclass(frozen=True)
class Failed:
    """An instance that could not run, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Ran:
    """What came of a set of instances, rows by instance and arm in the order they were given."""

    rows: tuple[Row, ...]
    failed: tuple[Failed, ...]


@dataclass(frozen=True)
class Compared:
    """One measure of one arm. lead: how much the first arm is ahead of it on the same instances, None for the first arm itself."""

    arm: str
    measure: str
    value: Interval
    lead: Interval | None


def locate_all(
    instances: Sequence[Instance], arms: Sequence[str], *, repos: str, cache: Path, workers: int = 1, report: Report | None = None
) -> Ran:
    """Run every instance in every arm. repos: where git repositories are, with `{owner}` and `{name}` in it; workers: processes.

    An instance whose repository or base commit is not at hand is a `Failed`.
    """
    tell = report or (lambda phase, done, total: None)
    chunks = list(_chunks(instances))
    found: dict[str, list[Row] | Failed] = {}
    tell("locating", 0, len(instances))
    others = strangers(instances, repos) if OTHER_HISTORY in arms else {}
    jobs = [(chunk, tuple(arms), others.get(chunk[0].repository), repos, cache) for chunk in chunks]
    if workers < 2:
        for job in jobs:
            for instance in job[0]:
                found |= _run_chunk([instance], *job[1:])
                tell("locating", len(found), len(instances))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for done in as_completed([pool.submit(_run_chunk, *job) for job in jobs]):
                found |= done.result()
                tell("locating", len(found), len(instances))
    outcomes = [found[instance.id] for instance in instances]
    return Ran(
        tuple(row for outcome in outcomes if not isinstance(outcome, Failed) for row in outcome),
        tuple(outcome for outcome in outcomes if isinstance(outcome, Failed)),
    )


def compare(rows: Sequence[Row], arms: Sequence[str]) -> list[Compared]:
    """Return every measure of every arm over all rows, arms in their order; the first arm is the one the others are held against."""
    scores = {arm: {row.id: measured(row) for row in rows if row.arm == arm} for arm in arms}
    found = []
    for arm in arms:
        for measure in MEASURES:
            ids = [id for id, values in scores[arm].items() if measure in values]
            own = [scores[arm][id][measure] for id in ids]
            lead = None if arm == arms[0] else paired([scores[arms[0]][id][measure] for id in ids], own)
            found.append(Compared(arm, measure, interval(own), lead))
    return found


def measured(row: Row) -> dict[str, float]:
    """Return the measures that apply to a row; a row without gold functions, for example, has none of functions."""
    found: dict[str, float] = {}
    for what, gold, ranked in (("file", row.gold_files, row.files), ("function", row.gold_functions, row.functions)):
        if not gold:
            continue
        places = [ranked.index(place) + 1 for place in gold if place in ranked]
        for cut in CUTS:
            reached = float(len(places) == len(gold) and max(places) <= cut)
            found[f"{what} all @{cut}"] = reached
            if len(gold) == 1:
                found[f"{what} one @{cut}"] = reached
        found[f"{what} reciprocal rank"] = 1 / min(places) if places else 0.0
        found[f"{what} recall @{DEPTH}"] = len(places) / len(gold)
    return found


def by_repository(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return repository -> arm -> measure -> mean and count, of the measures that apply to any of its rows."""
    values: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in sorted(rows, key=lambda row: row.repository):
        arms = values.setdefault(row.repository, {})
        for measure, value in measured(row).items():
            arms.setdefault(row.arm, {}).setdefault(measure, []).append(value)
    return {
        repository: {
            arm: {measure: {"mean": sum(found) / len(found), "count": float(len(found))} for measure, found in measures.items()}
            for arm, measures in arms.items()
        }
        for repository, arms in values.items()
    }


def seconds(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return repository -> median and 95th percentile of the seconds to answer at a base met now, and again with a warm store."""
    found: dict[str, dict[str, float]] = {}
    for repository in sorted({row.repository for row in rows}):
        spent = {row.id: (row.new_s, row.warm_s) for row in rows if row.repository == repository}
        new, warm = np.array(list(spent.values())).T
        found[repository] = {
            f"{name}_p{point}": float(np.percentile(values, point)) for name, values in (("new", new), ("warm", warm)) for point in (50, 95)
        }
    return found


MEASURES = tuple(
    f"{what} {measure}"
    for what in ("file", "function")
    for measure in (*(f"{kind} @{cut}" for kind in ("one", "all") for cut in CUTS), "reciprocal rank", f"recall @{DEPTH}")
)


def first_functions(found: Localization, graph: RepoGraph) -> Iterator[SymbolId]:
    """Yield the functions and methods among the places found, best first."""
    for place in found.locations:
        symbol = graph.code.symbol(place.symbol) if place.symbol else None
        if symbol is not None and symbol.kind != "class":
            yield symbol.id


def _chunks(instances: Sequence[Instance]) -> Iterator[list[Instance]]:
    chunk: list[Instance] = []
    for instance in instances:
        if chunk and (len(chunk) == CHUNK or chunk[0].repository != instance.repository):
            yield chunk
            chunk = []
        chunk.append(instance)
    if chunk:
        yield chunk


def strangers(instances: Sequence[Instance], repos: str) -> dict[str, Instance]:
    """Return for each repository at hand an instance of another one, whose history stands in for its own; empty when there is one only."""
    first: dict[str, Instance] = {}
    for instance in instances:
        if folder_of(instance.repository, repos).exists():
            first.setdefault(instance.repository, instance)
    names = list(first)
    return {name: first[names[(place + 1) % len(names)]] for place, name in enumerate(names)} if len(names) > 1 else {}


def _run_chunk(
    instances: Sequence[Instance], arms: Sequence[str], stranger: Instance | None, repos: str, cache: Path
) -> dict[str, list[Row] | Failed]:
    found: dict[str, list[Row] | Failed] = {}
    for instance in instances:
        try:
            found[instance.id] = _run(instance, arms, stranger, repos=repos, cache=cache)
        except UserError as error:
            found[instance.id] = Failed(instance.id, str(error))
    return found


def _run(instance: Instance, arms: Sequence[str], stranger: Instance | None, *, repos: str, cache: Path) -> list[Row]:
    def answered() -> tuple[RepoGraph, Localization, float]:
        started = time.perf_counter()
        graph = _graph(folder_of(instance.repository, repos), instance.base, cache)
        found = localize(graph, instance.text, limit=PLACES, weights=ARMS[arms[0]])
        return graph, found, time.perf_counter() - started

    graph, _, new_s = answered()
    graph.close()
    graph, found, warm_s = answered()
    try:
        gold = gold_of(instance.patch, graph)
        rows = [_row(instance, arms[0], gold, found, graph, (new_s, warm_s))]
        for arm in arms[1:]:
            past = None
            if arm == OTHER_HISTORY and stranger is not None:
                past = past_of(graph).saying(_past_at(folder_of(stranger.repository, repos), stranger.base, cache))
            found = localize(graph, instance.text, limit=PLACES, weights=ARMS[arm], past=past)
            rows.append(_row(instance, arm, gold, found, graph, (new_s, warm_s)))
    finally:
        graph.close()
    return rows


def _graph(folder: Path, base: str, cache: Path) -> RepoGraph:
    source = open_source(folder)
    return build_graph(source, resolve(source, base), cache_dir=cache, tiers=frozenset({"paths", "code"}))


@lru_cache(maxsize=1)
def _past_at(folder: Path, base: str, cache: Path) -> Past:
    graph = _graph(folder, base, cache)
    try:
        return past_of(graph)
    finally:
        graph.close()


def _row(instance: Instance, arm: str, gold: Gold, found: Localization, graph: RepoGraph, seconds: tuple[float, float]) -> Row:
    files: list[RepoPath] = [file.path for file in found.files[:DEPTH]]
    functions = list(islice(first_functions(found, graph), DEPTH))
    return Row(
        instance.id,
        instance.repository,
        arm,
        gold.files,
        gold.functions,
        tuple(files),
        tuple(functions),
        round(seconds[0], 3),
        round(seconds[1], 3),
    )
