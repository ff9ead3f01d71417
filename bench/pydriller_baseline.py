"""Commits per CPU second of PyDriller and of the graph, over the same history: `python bench/pydriller_baseline.py CHECKOUT`.

PyDriller (`pip install pydriller`, no dependency of ours) reads every commit with its modified files and their parsed diffs; the graph is built
with both tiers of history. One repository, one run, one process after the other.
"""

import argparse
import tempfile
from pathlib import Path

from history import measured, said
from pydriller import Repository

from backstory.graph.build import build_graph
from backstory.graph.source import open_source, resolve


def drilled(path: str) -> int:
    """Read every commit with its parsed diffs, and return how many there were."""
    commits = 0
    for commit in Repository(path).traverse_commits():
        commits += 1
        for file in commit.modified_files:
            _ = file.diff_parsed
    return commits


def main(path: str) -> None:
    """Measure one repository."""
    source = open_source(Path(path))
    commits, cost = measured(lambda: drilled(path))
    theirs = commits / said(f"PyDriller, {commits} commits", cost).cpu
    with tempfile.TemporaryDirectory() as folder:
        tiers = frozenset({"paths", "lines"})
        graph, cost = measured(lambda: build_graph(source, resolve(source, "HEAD"), cache_dir=Path(folder), tiers=tiers))  # type: ignore[arg-type]
        ours = len(graph) / said(f"mirror and both tiers, {len(graph)} commits", cost).cpu
        graph.close()
    print(f"commits per CPU second: {theirs:.0f} and {ours:.0f}, {ours / theirs:.1f} times as many")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository")
    main(parser.parse_args().repository)
