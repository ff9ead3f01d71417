"""How projects are installed and tested, as data: one TOML file for a repository, one entry for the versions that share it.

    repository = "octo/cat"

    [[environment]]
    versions = ["1.0", "1.1"]                        # as the data set names them; ["*"] for all, which then share one environment
    python = "3.9"
    commands = ["python -m pip install -e ."]        # run in order, at the root of the tree, with the new environment active and with network
    test = "python -m pytest -rA"                    # the test files are put behind it
    log = "pytest"                                   # the form of its log; "recorded": none that anybody reads, the record alone says
    one = "{file}::{names}"                          # how one test is named to it, may be left out; what it can hold is told below
    variables = { PYTHONWARNINGS = "ignore" }        # of the test command, may be left out
    timeout = 1800                                   # seconds for all test files of an instance, may be left out
    image = "octo/cat:{id}"                          # of `--env docker`, where the project is; may be left out
    mounts = ["/data/corpora"]                       # folders of this machine that its containers see, read-only; may be left out
    runner = ["bin/test"]                            # paths of the tree that run its tests, folders end with /; a patch is not judged by its own

In `one`, {file} is the test's file and {names} its names below it with `::` between; {titles} are the names with blanks between, {name} is the last of
them. What `commands` leave in the tree, and git ignores, is kept: an egg-info, compiled modules, `node_modules`.

Those that come with Backstory lie in `harness/recipes`; a user's own are read after them and win.
"""

import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from backstory.errors import UserError
from backstory.graph.types import RepoPath
from backstory.harness.instances import Instance, Setup
from backstory.harness.logs import reader_named
from backstory.tools.dependencies import Dependencies

TIMEOUT_S = 1800.0  # what the official harness gives
ANY = "*"
BY_FILE = "{file}::{names}"
BY_NAME = "{file} -k {name}"  # sympy's own runner
_KEYS = frozenset({"versions", "python", "commands", "test", "log", "one", "variables", "timeout", "runner", "image", "mounts"})
_NEEDED = ("versions", "test")


@dataclass(frozen=True)
class Recipe:
    """How one environment is made and how tests run in it. The fields are those of the file; timeout_s: in seconds.

    at: the commit in whose tree the commands are run, "" for the base of the instance that is first; in no file, since it is for one stretch of a history.
    """

    repository: str
    versions: tuple[str, ...]
    python: str
    commands: tuple[str, ...]
    test: str
    log: str = "pytest"
    variables: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = TIMEOUT_S
    runner: tuple[str, ...] = ()
    image: str = ""
    mounts: tuple[str, ...] = ()
    one: str = ""
    at: str = ""

    def command_for(self, file: RepoPath, names: Sequence[str]) -> str:
        """Return the test command for one test of a file; names: of what it lies in, its own last."""
        form = self.one or (BY_NAME if self.log in ("sympy", "parse_log_sympy") else BY_FILE)
        said = {"file": file, "names": "::".join(names), "titles": " ".join(names), "name": names[-1]}
        return f"{self.test} {shlex.join(word.format(**said) for word in shlex.split(form))}"

    def name(self, version: str) -> str:
        """Return what an environment made by this recipe is kept for: the repository and the version, or the repository alone where all share one."""
        name = self.repository if ANY in self.versions else f"{self.repository} {version}"
        return f"{name} at {self.at}" if self.at else name


def read_recipes(folders: Sequence[Path] = ()) -> list[Recipe]:
    """Return all recipes, those that win first. folders: of the user's own. Raises UserError naming the file for what is no recipe."""
    own = [(file.name, str(file), _text(file)) for folder in reversed(folders) for file in _toml_files(folder)]
    shipped = [
        (file.name, file.name, file.read_text("utf-8")) for file in resources.files("backstory.harness").joinpath("recipes").iterdir()
    ]
    return [recipe for _, origin, text in [*own, *sorted(shipped)] for recipe in _recipes(text, origin)]


def plain_recipe(repository: str, python: str, needs: Dependencies) -> Recipe:
    """Return the recipe for a Python project nobody wrote one for: what its files say that its tests need, pytest, and the project itself, editable."""
    install = f"python -m pip install {shlex.join(needs.pip_targets(['pytest']))}"
    return Recipe(repository, (ANY,), python, (install,), "python -m pytest -rA -p no:cacheprovider")


def recipe_for(instance: Instance, recipes: Iterable[Recipe]) -> Recipe | str:
    """Return the recipe for an instance, or why there is none, as half a sentence.

    One that names the version wins over one for all; where there is neither, what the data set says itself will do.
    """
    of_repository = [recipe for recipe in recipes if recipe.repository == instance.repository]
    for wanted in (instance.version, ANY):
        found = next((recipe for recipe in of_repository if wanted in recipe.versions), None)
        if found is not None:
            return found
    if instance.setup.python and instance.setup.test_command:
        return _of_row(instance)
    if not of_repository:
        return f"there is no recipe for {instance.repository}; write one and name its folder with --recipes"
    return f"no recipe for {instance.repository} names version {instance.version!r}; write one and name its folder with --recipes"


def setup_of(recipe: Recipe) -> Setup:
    """Return what a row says of a recipe, so that it needs none elsewhere; its variables, runner and limits it cannot say."""
    return Setup(python=recipe.python, commands=recipe.commands, test_command=recipe.test, parser=recipe.log, one=recipe.one, at=recipe.at)


def _of_row(instance: Instance) -> Recipe:
    """Return the recipe that a row of a data set holds; rows that say the same share an environment."""
    setup = instance.setup
    version = instance.version or ANY
    return Recipe(
        instance.repository,
        (version,),
        setup.python,
        setup.commands,
        setup.test_command,
        setup.parser or "pytest",
        one=setup.one,
        at=setup.at,
    )


def _toml_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"there is no folder of recipes {str(folder)!r}")
    return sorted(folder.glob("*.toml"))


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the recipe {str(file)!r}: {error}") from error


def _recipes(text: str, origin: str) -> Iterator[Recipe]:
    try:
        whole = tomllib.loads(text)
        repository = whole["repository"]
        entries = whole["environment"]
        if not isinstance(repository, str) or not isinstance(entries, list):
            raise ValueError("'repository' is text, and [[environment]] stands at least once")
        for entry in entries:
            yield _recipe(repository, entry)
    except KeyError as error:
        raise UserError(f"the recipe {origin!r} lacks {error}") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"the recipe {origin!r} cannot be read: {error}") from error


def _recipe(repository: str, entry: Mapping[str, Any]) -> Recipe:
    unknown = sorted(entry.keys() - _KEYS)
    if unknown:
        raise ValueError(f"an environment has no {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    for key in _NEEDED:
        if key not in entry:
            raise KeyError(key)
    if "python" not in entry and "image" not in entry:
        raise KeyError("python")
    reader_named(entry.get("log", "pytest"))
    one = str(entry.get("one", ""))
    try:
        [word.format(file="", names="", titles="", name="") for word in shlex.split(one)]
    except (KeyError, IndexError) as error:
        raise ValueError(f"'one' speaks of {error}; it may speak of {{file}}, {{names}}, {{titles}} and {{name}}") from error
    return Recipe(
        repository,
        _texts(entry["versions"], "versions"),
        str(entry.get("python", "")),
        _texts(entry.get("commands", []), "commands"),
        str(entry["test"]),
        str(entry.get("log", "pytest")),
        {str(name): str(value) for name, value in entry.get("variables", {}).items()},
        float(entry.get("timeout", TIMEOUT_S)),
        _texts(entry.get("runner", []), "runner"),
        str(entry.get("image", "")),
        _texts(entry.get("mounts", []), "mounts"),
        one,
    )


def _texts(value: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key!r} is a list of texts")
    return tuple(value)
