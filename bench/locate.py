"""How well issues are located: scores `localize` on SWE-bench style instances, with and without the past.

    python bench/locate.py --data FILE.jsonl --repos 'DIR/{owner}+{name}/repo' [--only NAME] [--limit N] [--arms full,no-history] [--out ROWS.jsonl]

Each line of the data has `instance_id`, `repo`, `base_commit`, `problem_statement` and `patch`. The graph is pinned at the base commit, so whatever else
the repository holds is not seen.

Gold files are those the true patch changes that exist at the base and are no tests. Gold functions are the innermost functions or methods that hold
the lines the patch removes, or, where it only inserts, that hold the place; lines outside functions have none. File @k asks for the one gold file among
the first k, over instances with exactly one; "all in k" asks for every gold file (or function) among the first k.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from unidiff import Hunk, PatchSet

from backstory.agent.corpus import corpus_of
from backstory.agent.localize import DEFAULT_WEIGHTS, Localization, Weights, localize
from backstory.errors import UserError
from backstory.graph.build import build_graph
from backstory.graph.repograph import RepoGraph
from backstory.graph.source import open_source, resolve
from backstory.graph.types import RepoPath, SymbolId

ARMS: Mapping[str, Weights] = {
    "full": DEFAULT_WEIGHTS,
    "no-history": replace(DEFAULT_WEIGHTS, past=0.0, recent=0.0),
    "no-code-walk": replace(DEFAULT_WEIGHTS, neighbour=0.0),
}
DEPTH = 10
MEASURES = ("file @1", "file @3", "file @5", "files in 5", "files in 10", "functions in 5", "functions in 10")


@dataclass(frozen=True)
class Instance:
    """One issue with its true patch. repository: owner/name."""

    id: str
    repository: str
    base: str
    text: str
    patch: str


@dataclass(frozen=True)
class Row:
    """What one arm found for one instance. files, functions: its first `DEPTH`; build_s: to open the graph and count its words; seconds: to
    locate after that.
    """

    id: str
    repository: str
    arm: str
    gold_files: tuple[str, ...]
    gold_functions: tuple[str, ...]
    files: tuple[str, ...]
    functions: tuple[str, ...]
    build_s: float
    seconds: float


def main() -> int:
    """Run the benchmark; exits 1 when no instance could run."""
    parser = argparse.ArgumentParser(description="Score the localizer on SWE-bench style instances.")
    parser.add_argument("--data", type=Path, required=True, help="instances, one JSON object a line")
    parser.add_argument("--repos", required=True, help="where repositories are, for example 'DIR/{owner}+{name}/repo'")
    parser.add_argument("--only", default="", help="only repositories whose owner/name contains this")
    parser.add_argument("--limit", type=int, default=0, help="at most this many instances (0: all)")
    parser.add_argument("--arms", default="full,no-history", help=f"comma-separated, of {', '.join(ARMS)}")
    parser.add_argument("--cache", type=Path, help="where graphs are kept (default: a directory that is removed)")
    parser.add_argument("--out", type=Path, help="write one JSON object for each instance and arm")
    options = parser.parse_args()
    arms = {name: ARMS[name] for name in options.arms.split(",")}
    instances = [instance for instance in read_instances(options.data) if options.only in instance.repository]
    if options.limit:
        instances = instances[: options.limit]
    rows: list[Row] = []
    failed: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, instance in enumerate(instances, 1):
            print(f"{number}/{len(instances)} {instance.id}", file=sys.stderr)
            try:
                rows += run(instance, arms, repos=options.repos, cache=options.cache or Path(scratch))
            except UserError as error:
                failed.append((instance.id, str(error)))
    if options.out:
        options.out.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
    for arm in arms:
        print_arm(arm, [row for row in rows if row.arm == arm])
    for name, reason in failed:
        print(f"could not run {name}: {reason}")
    return 0 if rows else 1


def read_instances(path: Path) -> list[Instance]:
    """Return the instances of a file, by repository and then as they stand: bases near each other share most of their parses."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found.append(Instance(row["instance_id"], row["repo"], row["base_commit"], row["problem_statement"], row["patch"]))
    return sorted(found, key=lambda instance: instance.repository)


def run(instance: Instance, arms: Mapping[str, Weights], *, repos: str, cache: Path) -> list[Row]:
    """Return one row for each arm. Raises UserError when the repository or its base commit is not at hand."""
    owner, _, name = instance.repository.partition("/")
    started = time.perf_counter()
    source = open_source(Path(repos.format(owner=owner, name=name)))
    graph = build_graph(source, resolve(source, instance.base), cache_dir=cache, tiers=frozenset({"paths", "code"}))
    corpus_of(graph)
    build_s = time.perf_counter() - started
    gold = gold_lines(instance.patch, graph)
    functions = gold_functions(gold, graph)
    rows = []
    for arm, weights in arms.items():
        started = time.perf_counter()
        found = localize(graph, instance.text, limit=5 * DEPTH, weights=weights)
        seconds = time.perf_counter() - started
        rows.append(
            Row(
                instance.id,
                instance.repository,
                arm,
                tuple(sorted(gold)),
                functions,
                tuple(file.path for file in found.files[:DEPTH]),
                tuple(first_functions(found, graph))[:DEPTH],
                round(build_s, 2),
                round(seconds, 2),
            )
        )
    graph.close()
    return rows


def gold_lines(patch: str, graph: RepoGraph) -> dict[RepoPath, list[int]]:
    """Return the lines of today's files that a patch changes: those removed, or for a hunk that only inserts, the line before the place."""
    lines: dict[RepoPath, list[int]] = {}
    for file in PatchSet(patch):
        path = RepoPath(file.source_file.removeprefix("a/"))
        if path not in graph.files() or graph.code.is_test(path):
            continue
        wanted = lines.setdefault(path, [])
        for hunk in file:
            removed = [line.source_line_no for line in hunk if line.is_removed]
            wanted += removed or _insertion_points(hunk)
    return lines


def _insertion_points(hunk: Hunk) -> Iterator[int]:
    before = 0
    for line in hunk:
        if line.is_added:
            yield max(1, before)
        else:
            before = line.source_line_no


def gold_functions(lines: Mapping[RepoPath, Sequence[int]], graph: RepoGraph) -> tuple[SymbolId, ...]:
    """Return the innermost functions and methods that hold some lines."""
    symbols = (graph.code.symbol_at(path, line) for path, found in lines.items() for line in found)
    return tuple(sorted({symbol.id for symbol in symbols if symbol is not None and symbol.kind != "class"}))


def first_functions(found: Localization, graph: RepoGraph) -> Iterator[SymbolId]:
    """Yield the functions and methods among the places found, best first."""
    for place in found.locations:
        symbol = graph.code.symbol(place.symbol) if place.symbol else None
        if symbol is not None and symbol.kind != "class":
            yield symbol.id


def measure(row: Row) -> dict[str, bool]:
    """Return which measures apply to a row, and whether it reached them."""
    reached: dict[str, bool] = {}
    if len(row.gold_files) == 1:
        reached |= {f"file @{k}": row.gold_files[0] in row.files[:k] for k in (1, 3, 5)}
    if row.gold_files:
        reached |= {f"files in {k}": set(row.gold_files) <= set(row.files[:k]) for k in (5, 10)}
    if row.gold_functions:
        reached |= {f"functions in {k}": set(row.gold_functions) <= set(row.functions[:k]) for k in (5, 10)}
    return reached


def print_arm(arm: str, rows: Sequence[Row]) -> None:
    """Print the shares reached by one arm, by repository and in all, each with how many instances it is over."""
    by_repository: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_repository[row.repository].append(row)
    print(f"\n{arm}\n{'':24}" + "".join(f"{name:>17}" for name in MEASURES) + f"{'s, median':>12}")
    for name, part in [*sorted(by_repository.items()), ("all", list(rows))]:
        measured = [measure(row) for row in part]
        cells = []
        for key in MEASURES:
            values = [one[key] for one in measured if key in one]
            cells.append(f"{sum(values) / len(values):.3f} ({len(values)})" if values else "-")
        seconds = sorted(row.seconds for row in part)
        middle = seconds[len(seconds) // 2] if seconds else 0.0
        print(f"{name:24}" + "".join(f"{cell:>17}" for cell in cells) + f"{middle:12.2f}")


if __name__ == "__main__":
    sys.exit(main())
