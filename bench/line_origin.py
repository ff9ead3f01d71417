"""Hold the origin of every line against `git blame`, and time both: `python bench/line_origin.py REPOSITORY [REVISION] [--files N] [--cache DIR]`.

The origins of all files are found in one walk over the stored history; the history is indexed before, and the index is not counted, as git's objects
are not. `git blame --incremental` is then run on a sample of the text files, drawn evenly, one process a file. Prints the share of lines for which both
name the same commit, the files that differ, and CPU seconds: of the walk, of git for the sample, and of git for all files, estimated by lines.
Where the repository lists commits to be ignored, once without and once with them: whom git gives a line of such a commit is a guess by likeness.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from backstory.graph.build import build_graph
from backstory.graph.repograph import RepoGraph
from backstory.graph.source import open_source, resolve
from backstory.graph.types import Span

Result = TypeVar("Result")


def measured(work: Callable[[], Result]) -> tuple[Result, float, float]:
    """Return the result of `work`, its wall seconds and its CPU seconds, those of git included."""
    before, start = os.times(), time.perf_counter()
    result = work()
    wall, after = time.perf_counter() - start, os.times()
    return result, wall, sum(after[:4]) - sum(before[:4])


def compare(graph: RepoGraph, size: int, seed: int, ignoring: bool) -> None:
    """Find the origin of all files, blame a sample of them, and print how they compare."""
    traced, wall, cpu = measured(lambda: graph.traced(list(graph.files()), ignoring=ignoring))
    files = {path: spans for path, spans in traced.items() if spans}
    total = sum(spans[-1][0].last for spans in files.values())
    print(f"with {len(graph.ignored)} commits ignored:" if ignoring else "no commit ignored:")
    print(f"  {len(graph)} commits; all {len(files)} files, {total} lines: {wall:.1f} s, {cpu:.1f} CPU s", flush=True)
    sample = random.Random(seed).sample(sorted(files), min(size, len(files)))
    lines = same = 0
    differing: list[str] = []
    git_cpu = 0.0
    for path in sample:
        count = files[path][-1][0].last
        blamed, _, spent = measured(lambda path=path, count=count: graph.blamed(path, [Span(1, count)], ignoring=ignoring))
        git_cpu += spent
        ours, theirs = ([oid for span, oid in spans for _ in range(span.first, span.last + 1)] for spans in (files[path], blamed))
        equal = sum(one == other for one, other in zip(ours, theirs, strict=True))
        lines, same = lines + count, same + equal
        if equal < count:
            differing.append(f"{path} ({count - equal})")
    print(
        f"  same commit as git blame: {same} of {lines} lines, {100 * same / lines:.3f} %; {len(sample) - len(differing)} of {len(sample)} files"
    )
    print(f"  that differ: {', '.join(differing) or 'none'}")
    print(f"  git blame: {git_cpu:.1f} CPU s for the sample, {git_cpu / lines * total:.1f} for all lines at that rate:", end=" ")
    print(f"{git_cpu / lines * total / cpu:.1f} times the walk", flush=True)


def main() -> None:
    """Measure one repository."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("revision", nargs="?", default="HEAD")
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="keep the index there, to use it again")
    asked = parser.parse_args()
    source = open_source(asked.repository)
    with tempfile.TemporaryDirectory() as folder:
        tiers = frozenset({"paths", "lines"})
        graph = build_graph(source, resolve(source, asked.revision), cache_dir=asked.cache or Path(folder), tiers=tiers)  # type: ignore[arg-type]
        for ignoring in (False, True) if graph.ignored else (False,):
            compare(graph, asked.files, asked.seed, ignoring)
        graph.close()


if __name__ == "__main__":
    main()
