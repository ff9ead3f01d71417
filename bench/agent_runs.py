"""Runs `backstory fix` as a user would, as a process of its own, against a scripted model server over HTTP, and reads what it left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_instances import Instance, Place, truth

from backstory.agent.script import Answers
from backstory.agent.scripted import Exchange, ScriptedServer, Settings, serve

MODEL = "hosted_vllm/scripted"


@dataclass(frozen=True)
class Bench:
    """Where the runs of a benchmark live. program: how the command is started; cache: shared by all runs, so that a tree is judged once."""

    place: Place
    program: tuple[str, ...]
    cache: Path
    state: Path
    wall_s: float

    def run_folder(self, run: str) -> Path:
        """Return the folder of a run."""
        return self.state / "runs" / run

    def runs(self) -> set[str]:
        """Return the ids of the runs there are."""
        folder = self.state / "runs"
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


@dataclass(frozen=True)
class Ran:
    """What one process came to. exit_code: None when it was ended from outside; answer: its JSON, {} without; killed: by us; hung: at the wall limit."""

    exit_code: int | None
    answer: Mapping[str, Any]
    seconds: float
    stderr: str
    killed: bool = False
    hung: bool = False

    @property
    def run(self) -> str:
        """The id of the run, "" when it gave none."""
        return str(self.answer.get("run") or "")

    @property
    def status(self) -> str:
        """The status that it gave, "" when it gave none."""
        return str(self.answer.get("status") or "")

    @property
    def patch(self) -> str:
        """The patch, "" without."""
        return str((self.answer.get("patch") or {}).get("diff") or "")

    @property
    def tree(self) -> str | None:
        """The tree that the patch makes of the base."""
        tree = (self.answer.get("patch") or {}).get("tree")
        return str(tree) if tree else None

    def ended(self) -> dict[str, str]:
        """Return how each agent ended, by its name."""
        return {run["name"]: run["ended"] for run in (self.answer.get("agents") or {}).get("runs", [])}


@dataclass
class Served:
    """A server and what was exchanged with it."""

    server: ScriptedServer
    exchanges: list[Exchange] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Return the faults that happened."""
        return [exchange.fault for exchange in self.exchanges if exchange.fault]


@contextmanager
def serving(answers: Answers, settings: Settings | None = None) -> Iterator[Served]:
    """Yield a server that plays `answers`, and what is exchanged with it."""
    exchanges: list[Exchange] = []
    with serve(answers, settings or Settings(), on_exchange=exchanges.append) as server:
        yield Served(server, exchanges)


def fix_command(bench: Bench, instance: Instance, served: Served, *more: str) -> list[str]:
    """Return the command that a user types for the instance."""
    return [
        *bench.program,
        "fix",
        str(bench.place.home(instance) / "issue.md"),
        "--repo",
        str(bench.place.checkout(instance)),
        "--check",
        truth(instance, bench.place).check,
        "--model",
        MODEL,
        "--api-base",
        served.server.api_base,
        "--json",
        *more,
    ]


def resume_command(bench: Bench, run: str, *more: str) -> list[str]:
    """Return the command that goes on with a run."""
    return [*bench.program, "resume", run, "--json", *more]


def run(
    bench: Bench,
    command: Sequence[str],
    *,
    kill: Callable[[float], bool] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ran:
    """Run a command. kill: asked every few milliseconds with the seconds since the start; when it says so, the process gets SIGKILL."""
    kept = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    kept |= {"BACKSTORY_CACHE_DIR": str(bench.cache), "BACKSTORY_STATE_DIR": str(bench.state), **(environment or {})}
    started = time.monotonic()
    process = subprocess.Popen(
        command, env=kept, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
    )
    killed = hung = False
    while True:
        try:
            out, err = process.communicate(timeout=0.01 if kill is not None else bench.wall_s)
            break
        except subprocess.TimeoutExpired:
            seconds = time.monotonic() - started
            hung = seconds >= bench.wall_s
            killed = kill is not None and kill(seconds)
            if hung or killed:
                process.send_signal(signal.SIGKILL)
                kill = None
    seconds = time.monotonic() - started
    try:
        answer = json.loads(out)
    except ValueError:
        answer = {}
    exit_code = process.returncode if process.returncode >= 0 else None
    return Ran(exit_code, answer, seconds, err.decode(errors="replace")[-2000:], killed=killed and exit_code is None, hung=hung)


def events_of(bench: Bench, run_id: str) -> list[dict[str, Any]]:
    """Return the whole events of a run."""
    path = bench.run_folder(run_id) / "events.jsonl"
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def beside() -> str:
    """Return the command installed beside this Python, else the one on PATH."""
    found = Path(sys.executable).parent / "backstory"
    return str(found) if found.exists() else "backstory"
