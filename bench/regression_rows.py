"""The fixed list of real regressions: what a row says, and how its checkout and environment are built.

A row names a fix commit of a public project. Its checkout is what a user would have on the day before the fix: the fix's
parent with only the history that leads to it, the fix's test files as uncommitted changes, and a `.venv` of its own in which
the project is installed editable. Nothing of Backstory is imported here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROWS = Path(__file__).with_name("regressions.json")
TESTS_TIMEOUT_S = 900.0  # a whole test file of the largest project takes about two minutes on two busy cores
OUTCOME = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (\S.*)$")


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


def git(directory: str | Path, *arguments: str, check: bool = True) -> str:
    """Run git on a git directory or a checkout and return its output, stripped."""
    where = ["--git-dir", str(directory)] if (Path(directory) / "HEAD").exists() else ["-C", str(directory)]
    done = subprocess.run(["git", *where, *arguments], capture_output=True, text=True, check=False, errors="replace")
    if check and done.returncode:
        raise SystemExit(f"git {' '.join(arguments)} in {directory}: {done.stderr.strip()}")
    return done.stdout.strip()


def file_at(mirror: str, commit: str, path: str) -> bytes | None:
    """The bytes of `path` at `commit`, None where it is absent."""
    done = subprocess.run(["git", "--git-dir", mirror, "show", f"{commit}:{path}"], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def interpreter(version: str) -> str:
    """A Python of that version: pyenv's newest, else `pythonX.Y` on PATH."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(root.glob(f"{version}.*/bin/python"))
    return str(found[-1]) if found else f"python{version}"


def quiet_environment() -> dict[str, str]:
    """The environment of a row's own commands: no other virtual environment, no bytecode.

    Bytecode is keyed by modification time in whole seconds, and a bisection changes files faster than that.
    """
    names = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
    kept = {name: value for name, value in os.environ.items() if name in names or name.startswith("PIP_")}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PY_COLORS": "0", "NO_COLOR": "1"}


def prepare(row: Row, recipe: Recipe, place: Place) -> None:
    """Build the checkout and its environment unless they are there; then set the checkout to its starting state."""
    checkout = place.checkout(row)
    if not (checkout / ".git").exists():
        _clone(row, place)
    marker = checkout / ".venv" / "installed"
    if not marker.exists() or marker.read_text(encoding="utf-8") != recipe.text:
        _install(checkout, recipe)
        marker.write_text(recipe.text, encoding="utf-8")
    reset(row, place)


def _clone(row: Row, place: Place) -> None:
    """Make a clone that holds the base's ancestors and the tags among them, and nothing later."""
    checkout, mirror = place.checkout(row), place.mirror(row)
    checkout.mkdir(parents=True, exist_ok=True)
    git(checkout, "init", "-q", "-b", "main")
    names = git(mirror, "for-each-ref", "--merged", row.base, "--format=%(refname)", "refs/tags").split()
    git(checkout, "fetch", "-q", "--no-tags", mirror, f"+{row.base}:refs/heads/main", *(f"{name}:{name}" for name in names), "-u")
    git(checkout, "reset", "-q", "--hard", "main")
    with (checkout / ".git" / "info" / "exclude").open("a", encoding="utf-8") as exclude:
        exclude.write(".venv/\n")


def _install(checkout: Path, recipe: Recipe) -> None:
    """Make `.venv` in the checkout and install into it what the recipe says."""
    subprocess.run([interpreter(recipe.python), "-m", "venv", "--clear", ".venv"], cwd=checkout, check=True)
    for arguments in recipe.installs:
        command = [".venv/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *shlex.split(arguments)]
        subprocess.run(command, cwd=checkout, env=quiet_environment(), check=True)


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
class TestRun:
    """What one pytest run said."""

    exit_code: int
    outcomes: Mapping[str, str]
    seconds: float
    output: str


def run_tests(checkout: Path, names: Sequence[str]) -> TestRun:
    """Run pytest on files or test ids in the checkout's environment; 124 means that it ran past the limit."""
    command = [".venv/bin/python", "-m", "pytest", "-q", "-rfEsxXp", "--tb=no", "-p", "no:cacheprovider", "--color=no", *names]
    start = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=checkout,
            env=activated(checkout),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TESTS_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return TestRun(124, {}, time.monotonic() - start, "")
    return TestRun(done.returncode, _outcomes(done.stdout.splitlines()), time.monotonic() - start, done.stdout + done.stderr)


def activated(checkout: Path) -> dict[str, str]:
    environment = quiet_environment()
    return {**environment, "PATH": f"{checkout / '.venv' / 'bin'}:{environment['PATH']}"}


def _outcomes(lines: Iterable[str]) -> dict[str, str]:
    """Outcomes by test id, from pytest's summary lines; a setup error counts over a pass."""
    outcomes: dict[str, str] = {}
    for line in lines:
        match = OUTCOME.match(line)
        if match and "::" in match[2]:
            outcomes[match[2].split(" - ")[0]] = match[1]
    return outcomes


def bad(outcomes: Mapping[str, str]) -> list[str]:
    """The ids that failed or broke, sorted."""
    return sorted(name for name, outcome in outcomes.items() if outcome in ("FAILED", "ERROR"))


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
