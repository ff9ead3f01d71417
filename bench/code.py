"""Time the code half of the graph on a repository: `python bench/code.py PATH [REVISION]`.

Prints what was found, then seconds, CPU seconds (workers included) and peak memory for runs over one store: cold (nothing stored), warm
(everything stored), stale (all blobs parsed, but the snapshot is gone), and then pinned at older commits, most of whose blobs are stored.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pygit2

from backstory.graph.code import CodeView, code_view
from backstory.graph.git import Git
from backstory.graph.mirror import Mirror
from backstory.graph.store import Store
from backstory.graph.types import Oid

Result = TypeVar("Result")
OLDER = (10, 100, 1000)  # commits along first parents


def measured(label: str, work: Callable[[], Result]) -> Result:
    """Run `work` and print its cost."""
    before, start = os.times(), time.perf_counter()
    result = work()
    seconds, after = time.perf_counter() - start, os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    print(f"{label:28} {seconds:7.2f} s   {cpu:7.2f} CPU s   peak {peak:6.0f} MB")
    return result


class Parsed:
    """Counts the files that are parsed, as a report of progress."""

    files = 0

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        if phase == "parsing":
            self.files = done


def commit_named(git_dir: Path, revision: str) -> Oid | None:
    """Return the commit a revision names, None when there is none."""
    try:
        return Oid(str(pygit2.Repository(str(git_dir)).revparse_single(revision).peel(pygit2.Commit).id))
    except KeyError:
        return None


def main(path: str, revision: str = "HEAD") -> None:
    """Measure one repository."""
    git_dir = Path(pygit2.discover_repository(path) or path)
    commit = commit_named(git_dir, revision)
    assert commit is not None, f"no commit {revision!r}"
    mirror = Mirror(git_dir, "bench", Git(git_dir), shallow=False)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "graph.db")

        def view() -> CodeView:
            return code_view(mirror, commit, store)

        code = measured("cold", view)
        print(f"  {len(code.files())} files, {len(code.symbols())} symbols, {len(code.skipped())} skipped")
        print("  edges " + ", ".join(f"{kind} {count}" for kind, count in code.edge_counts().items()))
        code = measured("warm", view)
        measured("  all symbols", code.symbols)
        measured("  all edges", code.edges)
        measured("  words of every file", lambda: [code.words(path) for path in code.files()])
        measured("  words of every symbol", lambda: [code.symbol_words(symbol.id) for symbol in code.symbols()])
        with store.transaction():
            store.write("DELETE FROM snapshots", [()])
        measured("stale", view)
        for steps in OLDER:
            found = commit_named(git_dir, f"{revision}~{steps}")
            if found is not None:
                older, parsed = found, Parsed()
                measured(
                    f"pinned {steps} commits earlier", lambda older=older, parsed=parsed: code_view(mirror, older, store, report=parsed)
                )
                print(f"  {parsed.files} files parsed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository")
    parser.add_argument("revision", nargs="?", default="HEAD")
    asked = parser.parse_args()
    main(asked.repository, asked.revision)
