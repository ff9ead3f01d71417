"""A real vLLM on the CPU, begun by the command line in a home of its own, for the tests that `make test-serving` runs."""

import json
import os
import re
import signal
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import httpx

from backstory.agent.vitals import healthy
from backstory.tools.service import begin
from command import CommandLine, Ended

BUILD = Path(__file__).parent.parent / "build" / "serving"
START_S = 600  # a minute at most where nothing else runs, and five where ten others do

_SAMPLE = re.compile(r"^vllm:(\w+)(?:\{.*\})? ([-+.\deE]+)$", re.MULTILINE)


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class RealServer:
    """One model served at one port, perhaps several times. cli: the command line whose commands find it; flags: for vLLM."""

    def __init__(self, home: Path, model: str, *options: str, flags: tuple[str, ...]) -> None:
        self.cli = CommandLine(home)
        self.cli.within_s = 2 * START_S  # so that a server that is late is ended by its own command
        self.model, self._options, self._flags = model, options, flags
        self.port = free_port()
        self.api_base = f"http://127.0.0.1:{self.port}/v1"
        self.started: Ended | None = None

    def start(self, *more: str) -> None:
        """Serve the model in the background, unless it is served. more: flags for vLLM that overrule its own."""
        if self.cli("serve", "status").exit_code == 0:
            return
        for made in (BUILD / "venv" / "bin" / "python", BUILD / self.model / "config.json"):
            assert made.exists(), f"{made} is missing; `make test-serving` makes it"
        self.cli("serve", "stop")  # one that was killed is known still
        where = ("--cpu", "--python", BUILD / "venv" / "bin" / "python", "--port", str(self.port), "--background", "--wait", str(START_S))
        self.started = self.cli("serve", BUILD / self.model, *where, *self._options, "--", *self._flags, *more)
        assert self.started.exit_code == 0, self.started.out + self.started.err + self.cli("serve", "logs").out

    def stop(self) -> Ended:
        """End it."""
        return self.cli("serve", "stop")

    def kill(self) -> None:
        """End it and its children at once, as the kernel does when memory runs out."""
        os.killpg(self.pid, signal.SIGKILL)
        while self.processes():
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """Return its process, which leads the group of all its children."""
        return int(json.loads((self.cli.home / "state" / "server.json").read_text())["service"]["pid"])

    def processes(self) -> list[int]:
        """Return the processes of its group that run."""
        return running_of_group(self.pid)

    def counted(self, name: str) -> int:
        """Return one of its counters or gauges, all its samples summed."""
        metrics = httpx.get(f"http://127.0.0.1:{self.port}/metrics", trust_env=False).text
        return int(sum(float(value) for sample, value in _SAMPLE.findall(metrics) if sample == name))


@contextmanager
def plain_vllm(folder: Path, model: str, *flags: str, modules: Path):
    """Yield the address of a vLLM that is started by hand and called "plain". modules: where it finds modules of ours."""
    port = free_port()
    command = (BUILD / "venv" / "bin" / "python", "-m", "vllm.entrypoints.openai.api_server", "--model", BUILD / model)
    named = ("--served-model-name", "plain", "--host", "127.0.0.1", "--port", str(port))
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "PYTHONPATH": str(modules),
    }
    api_base, log = f"http://127.0.0.1:{port}/v1", folder / "server.log"
    service = begin([str(word) for word in (*command, *named, *flags)], env=os.environ | quiet, log=log)
    try:
        until = time.monotonic() + START_S
        while not healthy(api_base):
            assert service.runs() and time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.2)
        yield api_base
    finally:
        service.stop()


def running_of_group(group: int) -> list[int]:
    """Return the processes of a group that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(of) == group and state not in "ZX":
            found.append(int(stat.parent.name))
    return found
