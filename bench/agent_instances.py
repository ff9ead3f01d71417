"""The instances that the agents are tried on: facts from a data set, the checkout a user would have, and how a patch is graded.

An instance names a base commit, the true patch and the patch of its tests. Its checkout is that of a user who wrote the failing
test: the base with only the history that leads to it, the tests as uncommitted changes, and a `.venv`. Grading runs the test
files whole, before and after the true patch once, and with a patch whenever one is graded. Nothing of Backstory is imported here.
"""

from __future__ import annotations

import ast
import hashlib
import json
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from checkouts import bad, clone, git, make_environment, run_tests

CHOSEN = Path(__file__).with_name("agents.json")
# Added where a project's own runner says nothing that can be counted. Later ones do not bring `py`, which test helpers of that time import.
PYTEST = "python -m pip install -q 'pytest<7.2'"


@dataclass(frozen=True)
class Instance:
    """One instance. failing, passing: ids of tests as the data set has them, which may be cut at the first blank or be bare names."""

    id: str
    repository: str
    base: str
    issue: str
    patch: str
    test_patch: str
    failing: tuple[str, ...]
    passing: tuple[str, ...]
    python: str
    installs: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where everything of the instances is. mirrors: a pattern with `{owner}` and `{name}`, a git directory for each repository."""

    work: Path
    mirrors: str

    def home(self, instance: Instance) -> Path:
        """The folder of an instance."""
        return self.work / instance.id

    def checkout(self, instance: Instance) -> Path:
        """The checkout of an instance."""
        return self.home(instance) / "repo"


@dataclass(frozen=True)
class Truth:
    """What the true patch does to the tests here. mended: fail before, pass after; holding: the others that pass after; check: what a user names."""

    files: tuple[str, ...]
    check: str
    mended: tuple[str, ...]
    holding: tuple[str, ...]


@dataclass(frozen=True)
class Grade:
    """How a patch does. resolved: all that the true patch mends is mended, and all that holds with it holds."""

    mended: int
    of: int
    broken: tuple[str, ...]

    @property
    def resolved(self) -> bool:
        """Whether the instance's tests count it as a solution."""
        return self.mended == self.of and not self.broken


def load(data: Path, native: Path) -> list[Instance]:
    """Return the chosen instances in their order, from a file of instances (JSON lines) and one of recipes."""
    recipes = {row["instance_id"]: row for row in json.loads(native.read_text(encoding="utf-8"))}
    chosen = json.loads(CHOSEN.read_text(encoding="utf-8"))["instances"]
    rows = {row["instance_id"]: row for row in map(json.loads, data.read_text(encoding="utf-8").splitlines())}
    return [_instance(rows[name], recipes[name]) for name in chosen]


def _instance(row: Mapping[str, str], recipe: Mapping[str, object]) -> Instance:
    installs = [str(command) for command in recipe["install_commands"][1:]]  # type: ignore[index]  # the first makes the environment
    if "pytest" not in str(recipe["full_test_command"]):
        installs.append(PYTEST)
    return Instance(
        row["instance_id"],
        row["repo"],
        row["base_commit"],
        row["problem_statement"],
        row["patch"],
        row["test_patch"],
        tuple(json.loads(row["FAIL_TO_PASS"])),
        tuple(json.loads(row["PASS_TO_PASS"])),
        str(recipe["python"]),
        tuple(installs),
    )


def prepare(instance: Instance, place: Place) -> Truth:
    """Build the checkout and its environment unless they are there, and return what the true patch does, found out once."""
    checkout = place.checkout(instance)
    if not (checkout / ".git").exists():
        owner, name = instance.repository.split("/")
        clone(checkout, place.mirrors.format(owner=owner, name=name), instance.base)
    make_environment(checkout, instance.python, instance.installs, recipe="\n".join([instance.python, *instance.installs]))
    reset(instance, place)
    (place.home(instance) / "issue.md").write_text(instance.issue, encoding="utf-8")
    stored = place.home(instance) / "truth.json"
    if not stored.exists():
        stored.write_text(json.dumps(find_truth(instance, place).__dict__, indent=1), encoding="utf-8")
    return truth(instance, place)


def truth(instance: Instance, place: Place) -> Truth:
    """Return what was found out when the instance was prepared."""
    stored = json.loads((place.home(instance) / "truth.json").read_text(encoding="utf-8"))
    return Truth(**{name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()})


def reset(instance: Instance, place: Place) -> None:
    """Put the checkout at the base with the tests as its only changes."""
    checkout = place.checkout(instance)
    git(checkout, "checkout", "-q", "-f", "main")
    git(checkout, "clean", "-q", "-fd")
    apply(checkout, instance.test_patch)


def at_base(checkout: Path, instance: Instance, path: str) -> str:
    """Return a file of the base."""
    command = ["git", "-C", str(checkout), "show", f"{instance.base}:{path}"]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", "surrogateescape")


def state_of(checkout: Path) -> str:
    """Return all that a run must leave as it was: the branch, the index, what is changed and what is new, and where the stash and worktrees are."""
    asked = (
        ("rev-parse", "HEAD"),
        ("status", "--porcelain=v2"),
        ("diff",),
        ("for-each-ref",),
        ("worktree", "list"),
        ("config", "--list", "--local"),
    )
    return "\n".join(git(checkout, *arguments) for arguments in asked)


def apply(checkout: Path, patch: str) -> None:
    """Apply a patch to the files of a checkout. Raises SystemExit when it does not apply."""
    command = ["git", "-C", str(checkout), "apply", "--whitespace=nowarn", "-"]
    done = subprocess.run(command, input=patch.encode("utf-8", "surrogateescape"), capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"the patch does not apply in {checkout}: {done.stderr.decode(errors='replace').strip()}")


def find_truth(instance: Instance, place: Place) -> Truth:
    """Run the test files before and after the true patch. Raises SystemExit where the instance does not do here what its data says."""
    checkout = place.checkout(instance)
    functions = sorted({function for name in instance.failing for function in functions_of(name, checkout, instance)})
    files = sorted({function.partition("::")[0] for function in functions})
    before = run_tests(checkout, files).outcomes
    apply(checkout, instance.patch)
    after = run_tests(checkout, files).outcomes
    reset(instance, place)
    passed = [name for name, outcome in after.items() if outcome == "PASSED"]
    mended = sorted(name for name in passed if function_of(name) in functions and before.get(name) != "PASSED")
    if {function_of(name) for name in mended} != set(functions):
        raise SystemExit(f"{instance.id}: not all of {', '.join(functions)} fail before and pass after the true patch here")
    check = f"python -m pytest -q {' '.join(shlex.quote(function) for function in functions)}"
    return Truth(tuple(files), check, tuple(mended), tuple(sorted(set(passed) - set(mended))))


def function_of(name: str) -> str:
    """Return the id of the test function, without the parameters of one run of it.

    >>> function_of("tests/test_a.py::TestA::test_x[1 2]")
    'tests/test_a.py::TestA::test_x'
    """
    return name.partition("[")[0]


def functions_of(name: str, checkout: Path, instance: Instance) -> list[str]:
    """Return the ids of the functions that a test id of the data set means; a bare name is looked for in the files of the test patch."""
    if "::" in name:
        return [function_of(name)]
    paths = [line.removeprefix("+++ b/") for line in instance.test_patch.splitlines() if line.startswith("+++ b/")]
    return [f"{path}::{name}" for path in paths if name in _functions((checkout / path).read_text(encoding="utf-8"))]


def _functions(text: str) -> set[str]:
    return {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}


def grade(instance: Instance, place: Place, patch: str) -> Grade:
    """Return how a patch does in the checkout, with the instance's tests; each patch is run once. Leaves the checkout as it was."""
    key = hashlib.sha256(patch.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    stored = place.home(instance) / "grades" / f"{key}.json"
    if not stored.exists():
        found = truth(instance, place)
        reset(instance, place)
        try:
            apply(place.checkout(instance), patch)
            outcomes = run_tests(place.checkout(instance), found.files).outcomes
        finally:
            reset(instance, place)
        stored.parent.mkdir(exist_ok=True)
        stored.write_text(json.dumps(_graded(found, outcomes).__dict__), encoding="utf-8")
    values = json.loads(stored.read_text(encoding="utf-8"))
    return Grade(values["mended"], values["of"], tuple(values["broken"]))


def _graded(found: Truth, outcomes: Mapping[str, str]) -> Grade:
    missing = {name for name in found.holding if name not in outcomes}
    broken = sorted(missing | (set(bad(outcomes)) & set(found.holding)))
    return Grade(sum(outcomes.get(name) == "PASSED" for name in found.mended), len(found.mended), tuple(broken))


def covered(instance: Instance, found: Truth) -> tuple[int, int]:
    """Return how many of the tests that the data set says must keep passing are held to, and how many it names."""
    known = {name.split(" ")[0] for name in found.holding} | {name.rpartition("::")[2] for name in found.holding}
    return sum(name.split(" ")[0] in known for name in instance.passing), len(instance.passing)
