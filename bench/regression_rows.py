"""The fixed list of real regressions: what a row says, and how its checkout and environment are built.

A row names a fix commit of a public project. Its checkout is what a user would have on the day before the fix: the fix's
parent with only the history that leads to it, the fix's test files as uncommitted changes, and a `.venv` of its own in which
the project is installed editable. Nothing of Backstory is imported here.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from checkouts import bad, clone, file_at, git, make_environment, run_tests

ROWS = Path(__file__).with_name("regressions.json")


@dataclass(frozen=True)
class Recipe:
    """How a group of rows is installed: an interpreter, then pip's arguments, one install after the other."""

    python: str
    installs: tuple[str, ...]

    @property
    def text(self) -> str:
        """The recipe as it is noted in an environment that was made from it."""
        return "\n".join([self.python, *self.installs])


@dataclass(frozen=True)
class Row:
    """One regression: facts only."""

    id: str
    repository: str
    fix: str
    base: str
    culprits: tuple[str, ...]
    known_from: str
    recipe: str
    files: tuple[str, ...]
    """Test files of the fix, laid over older trees."""
    check: str
    """The one failing test that a user names."""
    hidden: tuple[str, ...]
    """All tests of those files that fail before the fix and pass after it; used to grade."""
    failing_after: tuple[str, ...]
    """Tests of those files that fail even with the fix in this environment."""
    issue: str
    why: str

    @property
    def command(self) -> str:
        """The check as a user types it."""
        return f"python -m pytest -q {shlex.quote(self.check)}"


@dataclass(frozen=True)
class Place:
    """Where the checkouts and the source mirrors are."""

    work: Path
    mirrors: str
    """A pattern with `{owner}` and `{name}`: a git directory for each repository."""

    def checkout(self, row: Row) -> Path:
        """The checkout of `row`, a user's clone at the base."""
        return self.work / row.id / "repo"

    def mirror(self, row: Row) -> str:
        """The git directory that has all of the project's history."""
        owner, name = row.repository.split("/")
        return self.mirrors.format(owner=owner, name=name)


def load(path: Path = ROWS) -> tuple[list[Row], dict[str, Recipe]]:
    """Return the rows in their order and the recipes by name."""
    content = json.loads(path.read_text(encoding="utf-8"))
    recipes = {name: Recipe(item["python"], tuple(item["installs"])) for name, item in content["recipes"].items()}
    return [_row(item) for item in content["rows"]], recipes


def _row(item: Mapping[str, object]) -> Row:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}
    return Row(**values)  # type: ignore[arg-type]


def prepare(row: Row, recipe: Recipe, place: Place) -> None:
    """Build the checkout and its environment unless they are there; then set the checkout to its starting state."""
    checkout = place.checkout(row)
    if not (checkout / ".git").exists():
        clone(checkout, place.mirror(row), row.base)
    installs = [f"python -m pip install -q {arguments}" for arguments in recipe.installs]
    make_environment(checkout, recipe.python, installs, recipe=recipe.text)
    reset(row, place)


def reset(row: Row, place: Place) -> None:
    """Put the checkout at the base with the fix's test files as its only changes."""
    checkout = place.checkout(row)
    git(checkout, "checkout", "-q", "-f", "main")
    git(checkout, "reset", "-q", "--hard", row.base)
    git(checkout, "clean", "-q", "-fd")
    overlay(row, place)


def overlay(row: Row, place: Place) -> None:
    """Write the fix's test files over the tree that is checked out."""
    for path in row.files:
        content = file_at(place.mirror(row), row.fix, path)
        if content is not None:
            target = place.checkout(row) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


@dataclass(frozen=True)
class Grade:
    """How the fix's own test files judge the tree that is checked out."""

    hidden_passed: int
    hidden_total: int
    newly_failing: tuple[str, ...]
    """Tests of those files that pass with the true fix and fail here, the hidden ones left out."""

    @property
    def all_hidden(self) -> bool:
        return self.hidden_passed == self.hidden_total


def grade(row: Row, place: Place) -> Grade:
    """Run the fix's test files whole on the present tree of the checkout, with those files laid over it."""
    overlay(row, place)
    files = sorted({name.split("::")[0] for name in row.hidden})
    outcomes = run_tests(place.checkout(row), files).outcomes
    passed = sum(outcomes.get(name) == "PASSED" for name in row.hidden)
    others = set(bad(outcomes)) - set(row.failing_after) - set(row.hidden)
    return Grade(passed, len(row.hidden), tuple(sorted(others)))
