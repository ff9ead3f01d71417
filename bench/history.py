"""Time the history half of the graph beside git itself: `python bench/history.py REPOSITORY [REVISION]`.

Everything is done anew in a temporary folder: the mirror, the path tier, the line tier, and then the update for ten new commits (the graph is
first built ten commits back along first parents) and a look with nothing new. Beside it, in the same run and from the same mirror, git prints
what the graph is read from: `git log -p -U0 -M` over the same history. Prints wall and CPU seconds (git's included) and peak memory.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from backstory.graph.build import build_graph
from backstory.graph.git import Git
from backstory.graph.history import RENAMES
from backstory.graph.mirror import open_mirror
from backstory.graph.source import open_source, resolve
from backstory.graph.types import Oid

Result = TypeVar("Result")


@dataclass(frozen=True)
class Cost:
    """What something took. wall, cpu: seconds, those of child processes included in cpu. peak: MB, of Python and of any child."""

    wall: float
    cpu: float
    peak: float


def measured(work: Callable[[], Result]) -> tuple[Result, Cost]:
    """Run `work` and return its result and cost."""
    before, start = os.times(), time.perf_counter()
    result = work()
    wall, after = time.perf_counter() - start, os.times()
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    return result, Cost(wall, sum(after[:4]) - sum(before[:4]), peak)


def said(label: str, cost: Cost) -> Cost:
    """Print a cost and return it."""
    print(f"{label:34} {cost.wall:8.2f} s {cost.cpu:8.2f} CPU s   peak {cost.peak:5.0f} MB", flush=True)
    return cost


def print_past(git: Git, at: Oid) -> int:
    """Let git print the whole past with patches, as `git log` does it, and return how many bytes that is."""
    size = 0
    with git.stream("log", "-p", "-U0", *RENAMES, at) as stream:
        while chunk := stream.read(1 << 20):
            size += len(chunk)
    return size


def main(path: str, revision: str = "HEAD") -> None:
    """Measure one repository."""
    source = open_source(Path(path))
    at, before = resolve(source, revision), resolve(source, f"{revision}~10")
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        mirror, cost = measured(lambda: open_mirror(source, before, cache_dir=cache))
        said("mirror", cost)
        size, cost = measured(lambda: print_past(mirror.git, before))
        log = said(f"git log -p -U0 -M ({size >> 20} MB)", cost)
        paths = said("path tier", measured(lambda: build_graph(source, before, cache_dir=cache, tiers=frozenset({"paths"})).close())[1])
        graph, cost = measured(lambda: build_graph(source, before, cache_dir=cache, tiers=frozenset({"paths", "lines"})))
        lines = said("line tier", cost)
        print(
            f"  {len(graph)} commits; both tiers over git log: CPU {(paths.cpu + lines.cpu) / log.cpu:.2f}, wall {(paths.wall + lines.wall) / log.wall:.2f}"
        )
        print(f"  commits per CPU second: {len(graph) / (paths.cpu + lines.cpu):.0f}")
        graph.close()
        graph, cost = measured(lambda: build_graph(source, at, cache_dir=cache, tiers=frozenset({"paths", "lines"})))
        said(f"update for {graph.built.commits} new commits", cost)
        graph.close()
        said("nothing new", measured(lambda: build_graph(source, at, cache_dir=cache, tiers=frozenset({"paths", "lines"})).close())[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository")
    parser.add_argument("revision", nargs="?", default="HEAD")
    asked = parser.parse_args()
    main(asked.repository, asked.revision)
