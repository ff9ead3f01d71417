"""CPU seconds of LocAgent's graph builder and of the code half of ours, on one tree.

    python bench/locagent_baseline.py REPOSITORY [REVISION] --locagent CHECKOUT --python PYTHON [--most TIMES] [--parts FOLDER ...]

CHECKOUT is one of github.com/gersteinlab/LocAgent, PYTHON an interpreter with networkx and matplotlib; neither is a dependency of ours. Theirs builds a
graph of the Python files of a tree in one process, as its batch does (`global_import=True`); ours is cold, of the files of all languages, its worker
processes included. Theirs is ended when it has taken so many times our CPU seconds, and what is printed is then a bound.
"""

import argparse
import resource
import subprocess
import tempfile
from pathlib import Path

from history import measured, said
from tool_tokens import checked_out

from backstory.graph.code import code_view
from backstory.graph.mirror import open_mirror
from backstory.graph.source import open_source, resolve
from backstory.graph.store import Store

THEIRS = """
import sys
sys.path.insert(0, sys.argv[1])
from dependency_graph.build_graph import build_graph
graph = build_graph(sys.argv[2], global_import=True)
print(graph.number_of_nodes(), "nodes,", graph.number_of_edges(), "edges")
"""


def main() -> None:
    """Measure one repository."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("revision", nargs="?", default="HEAD")
    parser.add_argument("--locagent", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--most", type=float, default=40.0, help="times our CPU seconds that theirs may take (default: 40)")
    parser.add_argument("--parts", nargs="*", default=(), help="only these folders of the tree, for theirs; ours has them all")
    asked = parser.parse_args()
    source = open_source(asked.repository)
    commit = resolve(source, asked.revision)
    with tempfile.TemporaryDirectory() as folder:
        mirror = open_mirror(source, commit, cache_dir=Path(folder) / "cache")
        code, ours = measured(lambda: code_view(mirror, commit, Store(Path(folder) / "graph.db")))
        said(f"ours, {len(code.files())} files", ours)
        limit = int(asked.most * ours.cpu) + 1
        with checked_out(mirror.path, commit, asked.parts, Path(folder) / "tree") as tree:
            done, theirs = measured(
                lambda: subprocess.run(
                    [asked.python.absolute(), "-c", THEIRS, asked.locagent.absolute(), tree],
                    capture_output=True,
                    text=True,
                    cwd=folder,
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit)),
                )
            )
    said(f"LocAgent, {done.stdout.strip() or 'not done'}", theirs)
    if done.returncode > 0:
        raise SystemExit(done.stderr)
    print(f"{'more than ' if done.returncode else ''}{theirs.cpu / ours.cpu:.1f} times our CPU seconds")


if __name__ == "__main__":
    main()
