"""Graphs of hand-made repositories, for tests above the graph."""

from pathlib import Path

from backstory.graph.build import build_graph
from backstory.graph.repograph import RepoGraph
from backstory.graph.source import open_source, resolve
from repos import Repo


def graph_of(repo: Repo, cache_dir: Path, *, at: str = "HEAD") -> RepoGraph:
    """Return the whole graph of a repository at a revision, its cache below `cache_dir`."""
    source = open_source(repo.root)
    return build_graph(source, resolve(source, at), cache_dir=cache_dir)
