"""How well the commits that introduced a fault are found: the ranker on fixes whose culprits are known.

A row is a fix and the commits that introduced what it mends. Everything is asked of a graph pinned at the fix's parent, so nothing later has a say,
and unless told otherwise what the fix's message says of its culprit is left out: most rows were found by such messages, and reading them would be
reading the answer. Rows are split in two by a hash of the repository's name: what is fitted is fitted on one half ("tune") and judged on the other
("held").

Two kinds of figures: how often a true culprit is among the first k ranked, and precision, recall and F1 of the answer, which is the first one: a second
costs more precision than it brings recall (docs/log.md, 2026-11-26). Precision and recall are over all rows together: hits by commits answered, and by
commits to be found.
"""

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from backstory.agent.defect import defect_of_fix
from backstory.agent.inducers import rank_inducers
from backstory.errors import UserError
from backstory.graph.build import HISTORY_TIERS, build_graph
from backstory.graph.repograph import RepoGraph
from backstory.graph.source import Source, committed_at, open_source, resolve
from backstory.graph.types import Oid, Report
from backstory.harness.instances import folder_of
from backstory.harness.intervals import Interval, interval, ratio
from backstory.harness.locate_bench import Failed

Split = Literal["all", "tune", "held"]
CUTS = (1, 3, 5, 10)
ANSWERED = 1  # commits that are held responsible
_FIELDS = ("repo", "fix_commit", "inducing_commits", "language", "source_dataset")


@dataclass(frozen=True)
class Row:
    """A fix with known culprits. repository: owner/name. source: where the row comes from."""

    repository: str
    fix: str
    inducers: tuple[str, ...]
    language: str
    source: str

    @property
    def id(self) -> str:
        """What the row is called in a report."""
        return f"{self.repository}@{self.fix[:12]}"


@dataclass(frozen=True)
class Ranked:
    """One candidate as it was ranked. clues: what speaks for it, by name; those that are 0 are left out."""

    commit: Oid
    probability: float
    rung: str
    clues: Mapping[str, float]


@dataclass(frozen=True)
class Judged:
    """What was found for a row. places: of its true culprits in the ranking, from 1, in order, those not ranked left out; answered, right: commits of the
    answer, and true ones among them; cpu_s: processor seconds of the answer, git's left out.
    """

    row: Row
    ranking: tuple[Ranked, ...]
    places: tuple[int, ...]
    answered: int
    right: int
    cpu_s: float


@dataclass(frozen=True)
class Ran:
    """What came of a set of rows, in the order they were given."""

    judged: tuple[Judged, ...]
    failed: tuple[Failed, ...]


def read_rows(path: Path, *, split: Split = "all") -> list[Row]:
    """Return the rows of a file: a JSON list, or a JSON object a line. Raises UserError when it cannot be read or a row lacks a field."""
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the rows in {str(path)!r}: {error}") from error
    rows = []
    for number, row in enumerate(found, 1):
        try:
            repository, fix, inducers, language, source = (row[name] for name in _FIELDS)
            if not isinstance(inducers, list) or not inducers:
                raise TypeError
            rows.append(Row(str(repository), str(fix), tuple(map(str, inducers)), str(language), str(source)))
        except (KeyError, TypeError) as error:
            raise UserError(
                f"row {number} of {str(path)!r} is no row; each needs {', '.join(_FIELDS)}, with one inducer or more"
            ) from error
    return [row for row in rows if split in ("all", split_of(row.repository))]


def split_of(repository: str) -> Split:
    """Return which half a repository's rows belong to: the parity of the first byte of its name's SHA-256.

    >>> split_of("wikimedia/parsoid"), split_of("haproxy/haproxy")
    ('tune', 'held')
    """
    return "held" if hashlib.sha256(repository.encode()).digest()[0] % 2 else "tune"


def find_origins(
    rows: Sequence[Row], *, repos: str, cache: Path, redact: bool = True, workers: int = 1, report: Report | None = None
) -> Ran:
    """Rank the candidates of every row. repos: where git repositories are, with `{owner}` and `{name}` in it; workers: processes.

    A repository that lacks some blobs is made do with (`backstory.graph.lacking`). A row whose repository or commits are not at hand, or whose fix
    mends nothing that can be followed, is a `Failed`.
    """
    tell = report or (lambda phase, done, total: None)
    by_repository: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_repository[row.repository].append(row)
    found: dict[Row, Judged | Failed] = {}
    tell("finding origins", 0, len(rows))
    jobs = [(repository, own, repos, cache, redact) for repository, own in by_repository.items()]
    if workers < 2:
        for job in jobs:
            for row, outcome in _judge(*job):
                found[row] = outcome
                tell("finding origins", len(found), len(rows))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for done in as_completed([pool.submit(_judge_all, *job) for job in jobs]):
                found.update(done.result())
                tell("finding origins", len(found), len(rows))
    outcomes = [found[row] for row in rows]
    return Ran(
        tuple(outcome for outcome in outcomes if isinstance(outcome, Judged)),
        tuple(outcome for outcome in outcomes if isinstance(outcome, Failed)),
    )


def measures(judged: Sequence[Judged]) -> dict[str, Interval]:
    """Return every measure over some rows, with bootstrap intervals over rows."""
    found = {f"first {cut}": interval([float(bool(one.places) and one.places[0] <= cut) for one in judged]) for cut in CUTS}
    found["reciprocal rank"] = interval([1 / one.places[0] if one.places else 0.0 for one in judged])
    found["candidates hold one"] = interval([float(bool(one.places)) for one in judged])
    right = [one.right for one in judged]
    answered, true = [one.answered for one in judged], [len(one.row.inducers) for one in judged]
    found["precision"] = ratio(right, answered)
    found["recall"] = ratio(right, true)
    found["F1"] = ratio([2 * one for one in right], [a + b for a, b in zip(answered, true, strict=True)])
    return found


def slices(judged: Sequence[Judged]) -> dict[str, dict[str, dict[str, Interval]]]:
    """Return the measures by source, by language and by repository."""
    found: dict[str, dict[str, dict[str, Interval]]] = {}
    for kind in ("source", "language", "repository"):
        groups: dict[str, list[Judged]] = defaultdict(list)
        for one in judged:
            groups[getattr(one.row, kind)].append(one)
        found[kind] = {name: measures(groups[name]) for name in sorted(groups)}
    return found


def judged_json(one: Judged) -> dict[str, object]:
    """Return what was found for a row as an object for a line of a file, with all candidates and their clues."""
    return asdict(one)


def _judge_all(repository: str, rows: Sequence[Row], repos: str, cache: Path, redact: bool) -> list[tuple[Row, Judged | Failed]]:
    return list(_judge(repository, rows, repos, cache, redact))


def _judge(repository: str, rows: Sequence[Row], repos: str, cache: Path, redact: bool) -> Iterator[tuple[Row, Judged | Failed]]:
    """Yield what is found for the rows of one repository. Newest fixes first: the graph of one often holds the others."""
    try:
        source = open_source(folder_of(repository, repos))
    except UserError as error:
        yield from ((row, Failed(row.id, str(error))) for row in rows)
        return
    known: list[tuple[int, Oid, list[Oid], Row]] = []
    for row in rows:
        try:
            oid = resolve(source, row.fix)
            known.append((committed_at(source, oid), oid, [resolve(source, inducer) for inducer in row.inducers], row))
        except UserError as error:
            yield row, Failed(row.id, str(error))
    with ExitStack() as stack:
        graphs: list[RepoGraph] = []
        for _, oid, inducers, row in sorted(known, key=lambda one: (-one[0], one[1])):
            try:
                graph = next((graph for graph in graphs if oid in graph), None)
                if graph is None:
                    graph = _open(source, oid, cache)
                    stack.callback(graph.close)
                    graphs.append(graph)
                yield row, _judge_row(row, oid, inducers, graph, redact=redact)
            except UserError as error:
                yield row, Failed(row.id, str(error))


def _open(source: Source, oid: Oid, cache: Path) -> RepoGraph:
    return build_graph(source, oid, cache_dir=cache, tiers=HISTORY_TIERS, may_lack_blobs=True)


def _judge_row(row: Row, oid: Oid, inducers: Sequence[Oid], graph: RepoGraph, *, redact: bool) -> Judged:
    unknown = [inducer for inducer in inducers if inducer not in graph]
    if unknown:
        raise UserError(f"the inducer {unknown[0][:12]} is no ancestor of the fix {oid[:12]}")
    started = time.process_time()
    defect = defect_of_fix(graph, oid, redact=redact)
    ranking = rank_inducers(graph.pinned(defect.base), defect)
    cpu_s = time.process_time() - started
    answered = ranking[:ANSWERED]
    return Judged(
        row,
        tuple(
            Ranked(one.commit, one.probability, one.rung, {clue: round(value, 6) for clue, value in asdict(one.clues).items() if value})
            for one in ranking
        ),
        tuple(place for place, one in enumerate(ranking, 1) if one.commit in inducers),
        len(answered),
        sum(one.commit in inducers for one in answered),
        round(cpu_s, 3),
    )
