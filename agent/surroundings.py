"""Where the checks of a run take place: which environment they run in, where the sandbox shows the work tree, what is laid over it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backstory.graph.repograph import RepoGraph
from backstory.graph.source import Source
from backstory.graph.types import Report
from backstory.tools.docker import Docker
from backstory.tools.environment import Environment, PipSettings, build_outputs, find_environment, open_prepared, prepare_environment
from backstory.tools.image import image_environment, not_tracked
from backstory.tools.sandbox import Sandbox
from backstory.tools.shell import Mount
from backstory.tools.workspace import Workspace

if TYPE_CHECKING:
    from backstory.agent.runs import FixRequest

# Where a bare repository's work tree appears inside the sandbox; a checkout's appears at its own path.
BARE_ROOT = Path("/workspace")


@dataclass(frozen=True)
class Surroundings:
    """Where checks run. bound_at: where the sandbox shows a work tree; laid_over: what no commit has of it and an install needs."""

    environment: Environment
    bound_at: Path
    laid_over: tuple[Mount, ...]


def find_surroundings(
    request: "FixRequest",
    source: Source,
    graph: RepoGraph,
    sandbox: Sandbox,
    work_dir: Path,
    pip: PipSettings | None,
    report: Report,
) -> Surroundings:
    """Return what the image brings; else what was prepared; else what the checkout or the user has, or with --prepare what is built from the base."""
    own = source.work_tree or BARE_ROOT / request.repo.resolve().name.removesuffix(".git")
    if isinstance(sandbox, Docker) and not sandbox.own_programs:
        brought = image_environment(sandbox, cache_dir=request.cache_dir)
        bound_at = brought.root or own
        return Surroundings(brought.environment, bound_at, not_tracked(brought.outputs, bound_at, graph.mirror.files(graph.at)))
    if request.prepared is not None:
        prepared = open_prepared(request.prepared, path=request.search_path)
        return Surroundings(prepared.environment, prepared.bound_at, ())
    outputs = build_outputs(source.work_tree) if source.work_tree else ()
    if not request.prepare:
        return Surroundings(find_environment(source.work_tree, active=request.active_environment, path=request.search_path), own, outputs)
    with Workspace(graph.mirror, graph.at, work_dir / "prepare") as workspace:
        environment = prepare_environment(
            workspace.root,
            bound_at=own,
            cache_dir=request.cache_dir,
            sandbox=sandbox,
            path=request.search_path,
            pip=pip,
            mounts=workspace.mounts(own),
            report=report,
        )
    return Surroundings(environment, own, outputs)
