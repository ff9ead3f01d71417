"""Runs a check on a checked-out tree and says how it ended.

The tree is shown inside the sandbox at the checkout's own path, so that an editable install of the checkout tests this tree. Beside it come two
recorders (`backstory.tools.inside`) and a folder outside the tree that they write into; from these, the exit code and the output,
`backstory.tools.outcome` judges what the tests said and `backstory.tools.proof` whether it was this tree's code that they judged.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from backstory.tools.environment import Environment
from backstory.tools.inside import MOCHA_RECORDER, RESULTS_VARIABLE
from backstory.tools.limits import Limits
from backstory.tools.outcome import judge
from backstory.tools.proof import Proof, read_proof, write_witness
from backstory.tools.sandbox import Sandbox
from backstory.tools.sessions import Session, read_sessions
from backstory.tools.shell import SHELL, Command, Execution, Mount
from backstory.tools.verdict import Check, Verdict, verdict_from_json, verdict_to_json
from backstory.tools.visible import visible
from backstory.tools.workspace import CHECK_FOLDER

__all__ = ["Check", "Recorded", "Verdict", "run_check", "run_program", "run_recorded", "verdict_from_json", "verdict_to_json"]

# Where the recorders are inside a sandbox; the same in every run, so that a check cannot behave differently for it.
_INSIDE = Path("/run/backstory")
_OUTPUT_BYTES = 64 * 1024  # of a verdict's output: enough for some dozen tracebacks
# A command that sets PYTHONPATH itself would hide the recorders.
_SETS_PYTHONPATH = re.compile(r"\bPYTHONPATH=(?P<quote>[\"']?)(?!\$PYTHONPATH)")
# Below it some programs refuse to start, and what is left of a budget is no reason to call a check slow.
_MINIMUM_S = 1.0


@dataclass(frozen=True)
class Recorded:
    """A command that ran, with what was recorded beside it and is not judged yet."""

    execution: Execution
    sessions: tuple[Session, ...]
    proof: Proof


def run_check(
    check: Check,
    *,
    root: Path,
    bound_at: Path,
    sandbox: Sandbox,
    environment: Environment,
    limits: Limits,
    mounts: Sequence[Mount] = (),
) -> Verdict:
    """Run `check` on the tree checked out in `root` and return how it ended. The tree may be written to.

    bound_at: where the sandbox shows the tree. limits: the smaller of their wall time and the check's holds. mounts: laid over the tree or beside
    it; one whose folder the tree lacks is left out. Raises SandboxError when the sandbox cannot be made.
    """
    wall_s = max(_MINIMUM_S, min(limits.wall_s, check.timeout_s))
    held = replace(limits, wall_s=wall_s, kept_bytes=min(limits.kept_bytes, _OUTPUT_BYTES))
    ran = run_recorded(check.command, root=root, bound_at=bound_at, sandbox=sandbox, environment=environment, limits=held, mounts=mounts)
    text = visible(ran.execution.output)
    outcome = judge(check.command, ran.execution, sessions=ran.sessions, text=text)
    seconds = round(ran.execution.seconds, 3)
    verdict = Verdict(outcome.status, outcome.results, outcome.failure, outcome.summary, text, seconds, ran.proof.status)
    return _believed(verdict, ran.proof)


def run_recorded(
    command: str,
    *,
    root: Path,
    bound_at: Path,
    sandbox: Sandbox,
    environment: Environment,
    limits: Limits,
    mounts: Sequence[Mount] = (),
) -> Recorded:
    """Run a shell command as `run_check` does, and return how it ended with what its tests recorded outside the tree."""
    with _staged(root, bound_at, sandbox, environment, mounts) as stage:
        execution = stage.run(command, limits)
        sessions = tuple(read_sessions(stage.beside / "results"))
        return Recorded(execution, sessions, read_proof(stage.beside / "results", root=root, bound_at=stage.shown_at))


def run_program(
    command: str,
    *,
    root: Path,
    bound_at: Path,
    sandbox: Sandbox,
    environment: Environment,
    limits: Limits,
    mounts: Sequence[Mount] = (),
) -> Execution:
    """Run a shell command on the tree checked out in `root`, exactly where and how `run_check` would, and return how it ended."""
    with _staged(root, bound_at, sandbox, environment, mounts) as stage:
        return stage.run(command, limits)


@dataclass(frozen=True)
class _Stage:
    """A tree with the recorders beside it, ready for a command. beside: the folder that `results` is written into."""

    root: Path
    shown_at: Path
    at: Path
    beside: Path
    sandbox: Sandbox
    environment: Environment
    laid_over: tuple[Mount, ...]

    def run(self, text: str, limits: Limits) -> Execution:
        command = Command(
            (SHELL, "-c", _SETS_PYTHONPATH.sub(rf"PYTHONPATH=\g<quote>{self.at / 'witness'}:", text)),
            self.shown_at,
            self._variables(),
            (
                Mount(self.root, self.shown_at, writable=True),
                Mount(self.beside / "witness", self.at / "witness"),
                Mount(self.beside / "programs", self.at / "programs"),
                Mount(self.beside / "results", self.at / "results", writable=True),
                *self.laid_over,
            ),
        )
        with _without_mount_points(self.root, self.shown_at, self.laid_over if self.sandbox.isolates else ()):
            return self.sandbox.run(command, limits)

    def _variables(self) -> dict[str, str]:
        """Return the environment of the command. Where nothing else leads imports to the tree, PYTHONPATH does."""
        tree, witness = None if self.sandbox.isolates else self.root, self.at / "witness"
        search = [str(witness)] + ([str(tree / "src"), str(tree)] if tree else [])
        of_node = [self.environment.env.get("NODE_OPTIONS", ""), f'--require "{witness / MOCHA_RECORDER}"']
        return {
            **self.environment.env,
            "PATH": f"{self.environment.env['PATH']}{os.pathsep}{self.at / 'programs'}",
            "PYTHONPATH": os.pathsep.join(search),
            **({"NODE_OPTIONS": " ".join(of_node).strip()} if (self.beside / "witness" / MOCHA_RECORDER).exists() else {}),
            RESULTS_VARIABLE: str(self.at / "results"),
        }


@contextmanager
def _staged(root: Path, bound_at: Path, sandbox: Sandbox, environment: Environment, mounts: Sequence[Mount]) -> Iterator[_Stage]:
    shown_at = bound_at if sandbox.isolates else root
    with tempfile.TemporaryDirectory(prefix=CHECK_FOLDER, dir=root.parent, ignore_cleanup_errors=True) as name:
        beside = Path(name).resolve()
        (beside / "results").mkdir()
        (beside / "programs").mkdir()
        write_witness(beside / "witness", root)
        _provide_python(beside / "programs", environment)
        at = _INSIDE if sandbox.isolates else beside
        laid_over = tuple(mount for mount in (*environment.mounts, *mounts) if _has_place(mount, root, shown_at))
        yield _Stage(root, shown_at, at, beside, sandbox, environment, laid_over)


def _believed(verdict: Verdict, proof: Proof) -> Verdict:
    """Return the verdict, or a broken one when it was given about other code."""
    if proof.status == "elsewhere" and verdict.status in ("passed", "failed"):
        return replace(verdict, status="broken", summary=proof.complaint)
    return verdict


def _provide_python(folder: Path, environment: Environment) -> None:
    """Make `python` for a system that has only `python3`; found after every other program."""
    if environment.python is not None:
        (folder / "python").symlink_to(environment.python)


def _has_place(mount: Mount, root: Path, shown_at: Path) -> bool:
    """Return whether the tree has the folder that a mount inside it goes to; an older tree may not."""
    if not mount.target.is_relative_to(shown_at) or mount.target == shown_at:
        return True
    return (root / mount.target.relative_to(shown_at)).parent.is_dir()


@contextmanager
def _without_mount_points(root: Path, shown_at: Path, mounts: Sequence[Mount]) -> Iterator[None]:
    """Remove afterwards the empty files and folders that mounting inside the tree makes."""
    inside = [root / mount.target.relative_to(shown_at) for mount in mounts if mount.target.is_relative_to(shown_at)]
    made = [path for path in inside if not os.path.lexists(path)]
    try:
        yield
    finally:
        for path in made:
            with suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                elif path.stat().st_size == 0:
                    path.unlink()
