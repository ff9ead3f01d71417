"""Environments without containers: one virtual environment for a repository and version, built by a recipe in the sandbox, and kept.

An instance runs in it at the place the environment was built for, so an editable install made at one base judges the trees of all bases of that version.
Building has network, since it installs; running has none.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from backstory.agent.surroundings import BARE_ROOT
from backstory.errors import UserError
from backstory.graph.lock import using_cache
from backstory.graph.mirror import Mirror, open_mirror, open_source, resolve
from backstory.graph.source import Source
from backstory.graph.types import Oid, Report, silent
from backstory.harness.instances import Instance, folder_of
from backstory.harness.recipes import Recipe, recipe_for
from backstory.tools.environment import Environment, PipSettings, Prepared, build_environment, built_in, is_built, open_prepared
from backstory.tools.interpreter import Interpreter, of_version
from backstory.tools.sandbox import Sandbox
from backstory.tools.workspace import Workspace

if TYPE_CHECKING:
    from backstory.harness.images import Boxed


@dataclass(frozen=True)
class Ready:
    """An instance that can run here. prepared: what was built for it, or the image that it runs in; environment: with the variables of the recipe."""

    source: Source
    mirror: Mirror
    base: Oid
    recipe: Recipe
    prepared: "Prepared | Boxed"
    environment: Environment


@dataclass(frozen=True)
class NotHere:
    """An instance that cannot run here, and why, as half a sentence."""

    reason: str


@dataclass(frozen=True)
class Native:
    """Where environments come from. repos: pattern of git repositories with `{owner}` and `{name}`; path: where interpreters are looked for."""

    repos: str
    recipes: Sequence[Recipe]
    cache_dir: Path
    sandbox: Sandbox
    path: str
    pip: PipSettings | None = None
    report: Report = silent

    def open(self, instance: Instance) -> Ready | NotHere:
        """Return an instance with its environment, built now if it is not there. What is missing here, and an install that fails, is `NotHere`."""
        recipe = recipe_for(instance, self.recipes)
        if isinstance(recipe, str):
            return NotHere(recipe)
        if not recipe.python:
            return NotHere(f"the recipe for {instance.repository} names no interpreter, only an image")
        interpreter = of_version(recipe.python, self.path)
        if isinstance(interpreter, str):
            return NotHere(interpreter)
        name = instance.repository.partition("/")[2]
        try:
            source = open_source(folder_of(instance.repository, self.repos))
            base = resolve(source, instance.base)
            mirror = open_mirror(source, base, cache_dir=self.cache_dir, report=self.report)
        except UserError as error:
            return NotHere(str(error))
        try:
            prepared = self._prepared(source, base, recipe, interpreter, kept_for=recipe.name(instance.version), bound_at=BARE_ROOT / name)
        except UserError as error:
            return NotHere(f"the environment of {recipe.name(instance.version)} cannot be made: {error}")
        return Ready(source, mirror, base, recipe, prepared, with_variables(prepared.environment, recipe.variables))

    def _prepared(self, source: Source, base: Oid, recipe: Recipe, interpreter: Interpreter, *, kept_for: str, bound_at: Path) -> Prepared:
        """Return the environment of a recipe, built where it is not there yet in the tree that the recipe names, or else in that of `base`."""
        folder = built_in(recipe.commands, base=interpreter, name=kept_for, bound_at=bound_at, cache_dir=self.cache_dir)
        if is_built(folder):
            return open_prepared(folder, path=self.path)
        at = resolve(source, recipe.at or base)
        mirror = open_mirror(source, at, cache_dir=self.cache_dir, report=self.report)
        work = self.cache_dir / "work" / f"prepare-{secrets.token_hex(4)}"
        with using_cache(self.cache_dir), Workspace(mirror, at, work / "tree") as workspace:
            return build_environment(
                workspace.root,
                recipe.commands,
                base=interpreter,
                name=kept_for,
                bound_at=bound_at,
                cache_dir=self.cache_dir,
                sandbox=self.sandbox,
                path=self.path,
                pip=self.pip,
                mounts=workspace.mounts(bound_at),
                report=self.report,
            )


def with_variables(environment: Environment, variables: Mapping[str, str]) -> Environment:
    """Return the environment with more variables, and an id that says so."""
    if not variables:
        return environment
    said = "\0".join([environment.id, *(f"{name}={value}" for name, value in sorted(variables.items()))])
    return replace(environment, id=sha256(said.encode()).hexdigest()[:32], env={**environment.env, **variables})
