"""How often `backstory fixes` finds the commit that mended a described fault, when it is looked for in the whole history.

    python bench/fixes.py --data INSTANCES --repos MIRRORS --cache DIR [--only pytest-dev/] [--json FILE]

INSTANCES are issues with the patch that mended each, one JSON object a line in SWE-bench's form; MIRRORS is a pattern such as '/mirrors/{owner}+{name}.git'.
The fix is the commit that is no ancestor of the base and adds most of the lines the patch adds to its first file, at least `LEAST` of them; an instance
without such a commit is left out and named. The issue's text is the question, the repository's HEAD is where it is asked from.
"""

import argparse
import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from unidiff.patch import PatchSet

from backstory.graph.build import HISTORY_TIERS, build_graph
from backstory.graph.repograph import RepoGraph
from backstory.graph.source import open_source, resolve
from backstory.graph.types import Oid, RepoPath
from backstory.harness.data import read_dataset
from backstory.harness.instances import Instance, folder_of
from backstory.harness.intervals import interval
from backstory.memory.fixes import rank_fixes

LEAST = 0.5  # of the lines that the patch adds to its first file
DEPTH = 100  # places looked at
CUTS = (1, 5, 10, 50)


@dataclass(frozen=True)
class Found:
    """Where the fix of an instance stands, from 1; None when it is not among the first `DEPTH`."""

    id: str
    fix: Oid
    place: int | None


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repos", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--only", default="", help="only instances whose repository contains this")
    parser.add_argument("--json", type=Path, help="write where each fix was found")
    asked = parser.parse_args()
    by_repository: dict[str, list[Instance]] = defaultdict(list)
    for instance in read_dataset(asked.data).instances:
        if asked.only in instance.repository:
            by_repository[instance.repository].append(instance)
    found: list[Found] = []
    for repository, instances in by_repository.items():
        folder = folder_of(repository, asked.repos)
        if not folder.is_dir():
            print(f"{repository}: not there")
            continue
        source = open_source(folder)
        graph = build_graph(source, resolve(source, "HEAD"), cache_dir=asked.cache, tiers=HISTORY_TIERS)
        for instance in instances:
            fix = fix_of(instance, graph)
            if fix is None:
                print(f"{instance.id}: no commit adds its patch")
                continue
            ranked = [one.commit for one in rank_fixes(instance.text, graph, limit=DEPTH)]
            found.append(Found(instance.id, fix, ranked.index(fix) + 1 if fix in ranked else None))
            print(f"{instance.id}: {found[-1].place}", flush=True)
        graph.close()
    if asked.json is not None:
        asked.json.write_text(json.dumps([asdict(one) for one in found], indent=1))
    for cut in CUTS:
        value = interval([float(one.place is not None and one.place <= cut) for one in found])
        print(f"first {cut:3}  {value.mean:.3f} [{value.low:.3f}, {value.high:.3f}] of {value.count}")


def fix_of(instance: Instance, graph: RepoGraph) -> Oid | None:
    """Return the commit that brought the patch of an instance."""
    file = next((file for file in PatchSet(instance.patch) if not file.is_added_file), None)
    if file is None or instance.base not in graph:
        return None
    wanted = {line.value.strip() for hunk in file for line in hunk if line.is_added and line.value.strip()}
    base = graph.pinned(Oid(instance.base))
    path = _today(RepoPath(file.path), base, graph)
    if path is None:
        return None
    later = [oid for oid in graph.touched(path) if oid not in base]
    shares = {
        changed.oid: len(wanted & {line.decode("utf-8", "replace").strip() for line in changed.added}) / max(1, len(wanted))
        for changed in graph.changed_lines(later, [path])
    }
    best = max(shares, key=lambda oid: (shares[oid], later.index(oid)), default=None)
    return best if best is not None and shares[best] >= LEAST else None


def _today(path: RepoPath, base: RepoGraph, graph: RepoGraph) -> RepoPath | None:
    """Return what a file of an older commit is called now, None when it is gone."""
    newest = next(iter(base.touched(path)), None)
    if newest is None:
        return None
    places = [number for number, change in enumerate(graph.commit(newest).changes) if change.path == path]
    return graph.changed_paths(newest)[places[0]] if places else None


if __name__ == "__main__":
    main()
