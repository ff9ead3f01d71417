"""A user's checkout of a public project at some commit: its clone without a future, its environment, its tests.

What the benchmarks on real projects share. Nothing of Backstory is imported here.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TESTS_TIMEOUT_S = 900.0  # a whole test file of the largest project takes about two minutes on two busy cores
OUTCOME = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (\S.*)$")


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


def clone(checkout: Path, mirror: str, base: str) -> None:
    """Make a clone that holds the base's ancestors and the tags among them, and nothing later."""
    checkout.mkdir(parents=True, exist_ok=True)
    git(checkout, "init", "-q", "-b", "main")
    names = git(mirror, "for-each-ref", "--merged", base, "--format=%(refname)", "refs/tags").split()
    git(checkout, "fetch", "-q", "--no-tags", mirror, f"+{base}:refs/heads/main", *(f"{name}:{name}" for name in names), "-u")
    git(checkout, "reset", "-q", "--hard", "main")
    with (checkout / ".git" / "info" / "exclude").open("a", encoding="utf-8") as exclude:
        exclude.write(".venv/\n")


def make_environment(checkout: Path, python: str, installs: Sequence[str], *, recipe: str) -> None:
    """Make `.venv` in the checkout and run the shell commands `installs` with it active, unless one made by this recipe is there."""
    marker = checkout / ".venv" / "installed"
    if marker.exists() and marker.read_text(encoding="utf-8") == recipe:
        return
    subprocess.run([interpreter(python), "-m", "venv", "--clear", ".venv"], cwd=checkout, check=True)
    for command in installs:
        subprocess.run(["bash", "-c", command], cwd=checkout, env=activated(checkout) | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}, check=True)
    marker.write_text(recipe, encoding="utf-8")


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
