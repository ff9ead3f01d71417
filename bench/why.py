"""Time `why` on random lines: `python bench/why.py REPOSITORY [REVISION] [--lines N] [--seed N] [--cache DIR]`.

The store is warm: the history and the code are indexed before, and every question is asked of an open graph. What a question costs that was never
asked is told apart from asking it again, and from the very first question, which loads the code half and the order of the commits. Lines are drawn
from all lines of source files at the revision, so large files are asked about most. Prints milliseconds of wall and CPU time, median and
95th percentile.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from backstory.graph.build import build_graph
from backstory.graph.languages import language_of
from backstory.graph.origin import line_count
from backstory.graph.repograph import RepoGraph
from backstory.graph.source import open_source, resolve
from backstory.graph.story import story_of
from backstory.graph.telling import tell_story
from backstory.graph.types import RepoPath, Span

TOKENS = 1500  # what the command tells when nothing else is asked


def random_lines(graph: RepoGraph, count: int, seed: int) -> list[tuple[RepoPath, Span]]:
    """Return so many different lines of source files, drawn evenly."""
    sizes = [(path, line_count(graph.mirror.read_blob(blob))) for path, blob in graph.files().items() if language_of(path) is not None]
    every = [(path, line) for path, lines in sizes for line in range(1, lines + 1)]
    return [(path, Span(line, line)) for path, line in random.Random(seed).sample(every, count)]


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the milliseconds of wall and CPU time that `work` takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000


def said(label: str, times: Sequence[tuple[float, float]]) -> None:
    """Print median, 95th percentile and maximum of some times."""
    parts = []
    for name, values in zip(("wall", "CPU"), zip(*times, strict=True), strict=True):
        ordered = sorted(values)
        p50, p95 = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.95))
        parts.append(f"{name} p50 {p50:6.1f}  p95 {p95:6.1f}  max {ordered[-1]:6.1f} ms")
    print(f"{label:18} n={len(times):<4} {'   '.join(parts)}", flush=True)


def main() -> None:
    """Measure one repository."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("revision", nargs="?", default="HEAD")
    parser.add_argument("--lines", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="keep the index there, to use it again")
    asked = parser.parse_args()
    source = open_source(asked.repository)
    at = resolve(source, asked.revision)
    with tempfile.TemporaryDirectory() as folder:
        cache = asked.cache or Path(folder)
        build_graph(source, at, cache_dir=cache).close()
        graph = build_graph(source, at, cache_dir=cache)
        with graph.store.transaction():  # answers of an earlier run
            graph.store.write("DELETE FROM derived", [()])
        first, *places = random_lines(graph, asked.lines + 1, asked.seed)
        said("very first", [timed(lambda: tell_story(story_of(graph, *first), tokens=TOKENS))])
        for label in ("first asked", "asked again"):
            said(label, [timed(lambda place=place: tell_story(story_of(graph, *place), tokens=TOKENS)) for place in places])
        graph.close()


if __name__ == "__main__":
    main()
