"""What tests of the agent share: a judge over a small repository, with the real sandbox and this interpreter's environment."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

from backstory.agent.budget import Budget, Purse
from backstory.agent.judge import Judge, Stage
from backstory.agent.trace import RecordedTrace
from backstory.graph.build import build_graph
from backstory.graph.source import open_source, resolve
from backstory.tools.desk import Desk
from backstory.tools.environment import find_environment
from backstory.tools.limits import Limits
from backstory.tools.sandbox import open_sandbox
from backstory.tools.verdicts import VerdictCache
from backstory.tools.workspace import Workspace


@contextmanager
def graph_of(root: Path, home: Path, revision: str = "HEAD"):
    """Yield the graph of a checkout at a revision; cache below `home`."""
    source = open_source(root)
    graph = build_graph(source, resolve(source, revision), cache_dir=home / "cache")
    try:
        yield graph
    finally:
        graph.close()


@contextmanager
def judge_of(graph, root: Path, home: Path, *, budget: Budget | None = None, run: str = "run", cache: bool = False, **options):
    """Yield a judge whose checks run in the real sandbox, shown at the checkout's own path."""
    environment = find_environment(None, active=Path(sys.prefix), path=os.environ["PATH"])
    stage = Stage(open_sandbox("auto"), environment, root, (), Limits(wall_s=60))
    with (
        RecordedTrace(home / run / "events.jsonl", run) as trace,
        VerdictCache(home / "verdicts.db") as verdicts,
        Judge(
            graph.mirror,
            graph.at,
            overlay={},
            stage=stage,
            work_dir=home / "work",
            cache=verdicts if cache else None,
            trace=trace,
            purse=Purse(budget or Budget(), trace),
            **options,
        ) as judge,
    ):
        yield judge


@contextmanager
def desk_of(graph, root: Path, home: Path, *, kept=()):
    """Yield a desk on the graph's commit, with the real sandbox; its worktree below `home`."""
    environment = find_environment(None, active=Path(sys.prefix), path=os.environ["PATH"])
    with Desk(
        graph.mirror,
        graph.at,
        kept=kept,
        workspace=lambda: Workspace(graph.mirror, graph.at, home / "desk" / "1"),
        sandbox=open_sandbox("auto"),
        environment=environment,
        bound_at=root,
        mounts=(),
        limits=Limits(wall_s=60),
    ) as desk:
        yield desk
