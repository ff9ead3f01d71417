"""What a resolver works on: a tree that grows step by step, and a place to run programs in it.

The state is one git tree id and nothing else. An edit is a function from a tree to a tree, made in the mirror's objects without any file, so it is
atomic and byte-exact and a step back is free. Only a program needs files: they are checked out when one is to run, and what it changed becomes the
next tree. A killed run that knows the tree of its last event has lost nothing but scratch files.

Not for checks: those judge a tree in a worktree of their own (`backstory.agent.judge`).
"""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

from backstory.errors import SandboxError
from backstory.graph.mirror import Mirror
from backstory.graph.types import Oid, RepoPath
from backstory.tools.checks import run_program
from backstory.tools.environment import Environment
from backstory.tools.limits import Limits
from backstory.tools.patch import Patch, diff_trees, write_tree
from backstory.tools.paths import repo_path
from backstory.tools.sandbox import Sandbox
from backstory.tools.shell import Execution, Mount
from backstory.tools.trees import LINK, SUBMODULE, changed_tree, differing, entry_at, objects, tree_of
from backstory.tools.workspace import Workspace


class Desk:
    """A tree to change, beginning with the base. A context manager, for one thread: its worktree, if one was needed, goes on leaving."""

    def __init__(
        self,
        mirror: Mirror,
        base: Oid,
        *,
        kept: Collection[RepoPath],
        workspace: Callable[[], AbstractContextManager[Workspace]],
        sandbox: Sandbox,
        environment: Environment,
        bound_at: Path,
        mounts: tuple[Mount, ...],
        limits: Limits,
    ) -> None:
        """kept: files that no edit may change, such as the check's own. workspace: opens a worktree of the base. limits: of a program."""
        self.base = base
        self.kept = frozenset(kept)
        self._mirror = mirror
        self._objects = objects(mirror.path)
        self._base_tree = tree_of(self._objects, base)
        self._tree = self._base_tree
        self.checkpoints = [self._base_tree]
        self._open, self._stack = workspace, ExitStack()
        self._workspace: Workspace | None = None
        self._sandbox, self._environment = sandbox, environment
        self._bound_at, self._mounts, self._limits = bound_at, mounts, limits

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def tree(self) -> Oid:
        """Return the tree as it is now."""
        return self._tree

    @property
    def next_checkpoint(self) -> int:
        """Return the number under which the present tree will be kept, if it is a new one."""
        return len(self.checkpoints)

    def settle(self, tree: Oid) -> None:
        """Make `tree` the present one and, unless it is the one before, a checkpoint: a step is over, or was recorded to have come to this."""
        self.move_to(tree)
        if self._tree != self.checkpoints[-1]:
            self.checkpoints.append(self._tree)

    def move_to(self, tree: Oid) -> None:
        """Make `tree` the present one."""
        self._tree = tree_of(self._objects, tree)

    def read(self, path: str, tree: Oid | None = None) -> bytes | None:
        """Return a file's bytes now (or in another tree), None when there is no such file. Raises SandboxError for a path that leaves the tree."""
        entry = entry_at(objects(self._mirror.path), tree or self._tree, repo_path(path))
        return self._mirror.read_blob(entry.blob) if entry is not None and entry.is_file else None

    def at_base(self, path: str) -> bytes | None:
        """Return a file's bytes at the base, None when it was not there."""
        return self.read(path, self._base_tree)

    def put(self, path: str, content: bytes | None) -> None:
        """Give a file new bytes, or take it away (None). Raises SandboxError for a path that leaves the tree, leads through a link or is kept."""
        name = self._allowed(path)
        self._tree = write_tree(self._mirror, self._tree, {name: content})

    def put_back(self, path: str) -> None:
        """Make a file what it was at the base, its mode included. Raises SandboxError as `put` does."""
        name = repo_path(path)
        self._tree = changed_tree(self._objects, self._tree, {name: entry_at(self._objects, self._base_tree, name)})

    def changed(self) -> tuple[RepoPath, ...]:
        """Return the paths that differ from the base, sorted."""
        return differing(objects(self._mirror.path), self._base_tree, self._tree)

    def patch(self) -> Patch:
        """Return what was changed, without the files that are kept; those are named in `left_out`."""
        tampered = tuple(path for path in self.changed() if path in self.kept)
        back = {path: entry_at(self._objects, self._base_tree, path) for path in tampered}
        return diff_trees(self._mirror, self.base, changed_tree(self._objects, self._tree, back), left_out=tampered)

    def run(self, command: str, *, wall_s: float) -> Execution:
        """Run a shell command on the tree, in the sandbox; what it changes in source files becomes the present tree."""
        if self._workspace is None:
            self._workspace = self._stack.enter_context(self._open())
        workspace = self._workspace
        workspace.checkout(self._tree)
        try:
            return run_program(
                command,
                root=workspace.root,
                bound_at=self._bound_at,
                sandbox=self._sandbox,
                environment=self._environment,
                limits=replace(self._limits, wall_s=min(wall_s, self._limits.wall_s)),
                mounts=(*workspace.mounts(self._bound_at), *self._mounts),
            )
        finally:
            self._tree = workspace.tree()

    def _allowed(self, path: str) -> RepoPath:
        name = repo_path(path)
        if name in self.kept:
            raise SandboxError(f"{name!r} belongs to the check and stays as it is; change the code that it tests")
        parts = name.split("/")
        for end in range(1, len(parts) + 1):
            above = RepoPath("/".join(parts[:end]))
            entry = entry_at(self._objects, self._tree, above)
            if entry is not None and entry.mode in (LINK, SUBMODULE):
                kind = "a link" if entry.mode == LINK else "a submodule"
                raise SandboxError(f"path {name!r} is refused: {above!r} is {kind}; edit the file that it leads to")
            if entry is not None and end < len(parts):
                raise SandboxError(f"path {name!r} is refused: {above!r} is a file, not a folder")
        return name
