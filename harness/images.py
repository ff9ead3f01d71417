"""Environments that are images: the official one of an instance, one that the data names, or one of the user's own.

Patches are judged on the image's own copy of the project. Where a row brings the official evaluation script, that script is run as it stands, and both
readings are of this run; else the test command of a recipe or of the row is run in the same form. Runs of Backstory see the image's programs and a
work tree in the place of the image's copy. There is no network in either.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from backstory.errors import SandboxError, UserError
from backstory.graph.mirror import open_mirror, open_source, resolve
from backstory.graph.types import Oid, RepoPath, Report, silent
from backstory.harness.instances import Instance, folder_of
from backstory.harness.logs import reader_named
from backstory.harness.native import Native, NotHere, Ready, with_variables
from backstory.harness.recipes import ANY, Recipe, recipe_for
from backstory.tools.checks import Recorded
from backstory.tools.docker import Docker
from backstory.tools.engine import open_engine
from backstory.tools.image import image_environment
from backstory.tools.layer import END, START, overlay_between, run_script
from backstory.tools.limits import Limits
from backstory.tools.sandbox import Containers, open_sandbox
from backstory.tools.trees import objects
from backstory.tools.workspace import Workspace

# How the official images spell the two underscores of an id, where a registry takes none.
_SEPARATOR = "_1776_"
_ARCHITECTURES = {"amd64": "x86_64"}
# An official script installs the project again, for which there is no network: what is installed already has to do.
_OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "false", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
_TEST_PATCH_FILE = re.compile(r"^diff --git a/.* b/(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Boxed:
    """An image that an instance is judged in. bound_at: where it has the project; script: the official one, "" for none; containers: as a run uses it."""

    sandbox: Docker
    bound_at: Path
    script: str
    containers: Containers

    @property
    def places_tests(self) -> bool:
        """Whether the script puts the tests of the instance in place itself."""
        return bool(self.script)

    def command(self, test: str, tests: Sequence[RepoPath]) -> str:
        """Return the script for these test files."""
        if self.script:
            return self.script
        words = " ".join(map(shlex.quote, tests))
        return f"set -uxo pipefail 2>/dev/null || set -ux\n: '{START}'\n{test} {words}\n: '{END}'\n"

    def run(self, script: str, ready: Ready, workspace: Workspace, tree: Oid, limits: Limits) -> Recorded:
        """Run a script on the image's project with `tree` laid over it; the workspace has that tree checked out."""
        overlay = overlay_between(objects(ready.mirror.path), ready.base, tree)
        env = {**ready.recipe.variables, **_OFFLINE} if self.script else ready.environment.env
        return run_script(
            script, root=workspace.root, shown_at=self.bound_at, sandbox=self.sandbox, env=env, overlay=overlay, limits=limits
        )


@dataclass(frozen=True)
class Images:
    """Where images come from. repos: as for `Native`; pattern: of the names of images, with `{id}` in it, "" for those of the data and the official ones."""

    repos: str
    recipes: Sequence[Recipe]
    cache_dir: Path
    containers: Containers
    pattern: str = ""
    report: Report = field(default=silent)

    def open(self, instance: Instance) -> Ready | NotHere:
        """Return an instance with its image, fetched now if it may be. What is missing here is `NotHere`."""
        recipe = image_recipe(instance, self.recipes)
        if isinstance(recipe, str):
            return NotHere(recipe)
        try:
            reader_named(recipe.log)
            source = open_source(folder_of(instance.repository, self.repos))
            base = resolve(source, instance.base)
            mirror = open_mirror(source, base, cache_dir=self.cache_dir, report=self.report)
            sandbox, containers = self._image(instance, recipe)
            brought = image_environment(sandbox, cache_dir=self.cache_dir)
        except UserError as error:
            return NotHere(str(error))
        if brought.root is None:
            return NotHere(f"the image {sandbox.image.name!r} does not say where it has the project; set its WORKDIR")
        boxed = Boxed(sandbox, brought.root, instance.setup.script, containers)
        identity = sha256(f"{brought.environment.id}\0{instance.setup.script}".encode()).hexdigest()[:32]
        return Ready(source, mirror, base, recipe, boxed, with_variables(replace(brought.environment, id=identity), recipe.variables))

    def _image(self, instance: Instance, recipe: Recipe) -> tuple[Docker, Containers]:
        """Return the first image that is to be had. Raises SandboxError with the reason of the last one where there is none."""
        engine = open_engine(self.containers.engine)
        problem: SandboxError | None = None
        for name, may_pull in _names(instance, self.pattern or recipe.image, engine.platform):
            pull = self.containers.pull if may_pull else "never"
            containers = replace(self.containers, image=name, pull=pull, mounts=recipe.mounts)
            try:
                sandbox = open_sandbox("docker", containers)
            except SandboxError as error:
                problem = error
                continue
            assert isinstance(sandbox, Docker)
            return sandbox, replace(containers, pull="never")
        assert problem is not None
        raise problem


@dataclass(frozen=True)
class EitherOf:
    """Two kinds of environments, the second for what the first has not."""

    first: Images
    second: Native

    def open(self, instance: Instance) -> Ready | NotHere:
        """Return the instance with the first environment that is to be had, or both reasons why there is none."""
        found = self.first.open(instance)
        if isinstance(found, Ready):
            return found
        other = self.second.open(instance)
        return other if isinstance(other, Ready) else NotHere(f"not in an image ({found.reason}) and not natively ({other.reason})")


def official_names(id: str, platform: str) -> tuple[str, str]:
    """Return what the official harness calls the image of an instance, built here and in the registry.

    >>> official_names("sympy__sympy-23824", "linux/amd64")
    ('sweb.eval.x86_64.sympy__sympy-23824:latest', 'swebench/sweb.eval.x86_64.sympy_1776_sympy-23824:latest')
    """
    machine = platform.rpartition("/")[2]
    name = f"sweb.eval.{_ARCHITECTURES.get(machine, machine)}.{id.lower()}:latest"
    return name, f"swebench/{name.replace('__', _SEPARATOR)}"


def image_recipe(instance: Instance, recipes: Sequence[Recipe]) -> Recipe | str:
    """Return how an instance is tested in an image: its recipe, or what its row says; or why nothing says it, as half a sentence."""
    setup, found = instance.setup, recipe_for(instance, recipes)
    if isinstance(found, Recipe):
        return replace(found, log=setup.parser) if setup.script and setup.parser else found
    test = setup.test_command or tested_command(setup.script, instance.test_patch)
    if not test:
        return f"{found}; nor does the data say how it is tested"
    return Recipe(instance.repository, (ANY,), "", (), test, setup.parser or "pytest")


def tested_command(script: str, test_patch: str) -> str:
    r"""Return the test command of an official script, without the files of the test patch; "" when there is none.

    >>> tested_command(": '>>>>> Start Test Output'\npytest -rA test_a.py\n: '>>>>> End Test Output'", "diff --git a/test_a.py b/test_a.py")
    'pytest -rA'
    """
    if START not in script or END not in script:
        return ""
    lines = [line.strip() for line in script.split(START)[1].split(END)[0].splitlines()[1:-1]]
    command = next((line for line in reversed(lines) if line and not line.startswith(":")), "")
    files = set(_TEST_PATCH_FILE.findall(test_patch))
    return " ".join(word for word in command.split(" ") if word not in files)


def _names(instance: Instance, pattern: str, platform: str) -> list[tuple[str, bool]]:
    """Return what the image of an instance may be called, best first, and whether it may be fetched by that name."""
    if pattern:
        return [(pattern.replace("{id}", instance.id.lower()), True)]
    if instance.setup.image:
        return [(instance.setup.image, True)]
    here, registered = official_names(instance.id, platform)
    return [(here, False), (registered, True)]
