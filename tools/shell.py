"""The one place that starts programs (git on our mirror apart): a command, held to its limits, to one value.

A program is started behind a gate: a shell that waits for one line before it becomes the program. While it waits, its limits are put on it from
outside, so nothing has to run between fork and exec (which is not safe with threads) and nothing can slip out before the limits hold.

Standard output and error share one pipe, read as it fills; head and tail are kept and the rest is dropped, so a program that prints forever is
neither blocked nor remembered. Standard input is closed. When the program ends, or a limit ends it, everything it started is killed before
`execute` returns. Where programs run and what they see is `backstory.tools.sandbox`.
"""

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from backstory.errors import SandboxError
from backstory.tools.limits import Census, Limits, open_group, restrict, wait_gone

Stop = Literal["wall", "cpu", "memory", "processes", "output", "file"]

SHELL = "/bin/sh"
# `read` fails when we are gone before the gate opens, and then nothing runs.
_GATE = 'read -r _ && exec "$@" </dev/null'
_TICK_S = 0.05  # between two looks at the clock and at what runs
_CHUNK = 1 << 16
_DROPPED = b"\n[... %d bytes left out ...]\n"


@dataclass(frozen=True)
class Mount:
    """A file or folder of this machine as a command sees it: `source` here, at `target` there."""

    source: Path
    target: Path
    writable: bool = False


@dataclass(frozen=True)
class Command:
    """A program to run in a sandbox.

    argv: the program, found on `env["PATH"]` when it has no slash. cwd: as seen inside. env: the whole environment; nothing else is passed on.
    network: the machine's own network, for preparing an environment on the user's word; else there is none.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    mounts: tuple[Mount, ...] = ()
    network: bool = False


@dataclass(frozen=True)
class Execution:
    """How a program ended.

    exit_code: as a shell would say it (128 + N after signal N), or None when a limit stopped the run. signal: N, when a signal ended the program.
    stopped: the limit that ended it. output: standard output and error in order, head and tail; dropped_bytes: how much is missing between.
    """

    exit_code: int | None
    signal: int | None
    stopped: Stop | None
    output: bytes
    dropped_bytes: int
    seconds: float


@dataclass(frozen=True)
class Container:
    """Pipes of a program that makes its own namespaces and tells us about them, one JSON object a line (`bwrap --json-status-fd`)."""

    reading: int
    writing: int


def execute(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    limits: Limits,
    container: Container | None = None,
    mark: str | None = None,
) -> Execution:
    """Run a program to its end or to its limits and return how it ended; nothing it started is left.

    argv[0]: an absolute path, or found on `env["PATH"]`; exit code 127 when it is not there.
    container: closed here. mark: `NAME=value` put into the environment to find children that left their family.
    Raises SandboxError when the container could not be made, with what it said.
    """
    started = time.monotonic()
    kept = Kept(limits.kept_bytes)
    with ExitStack() as stack:
        reports = stack.enter_context(os.fdopen(container.reading, "rb", buffering=0)) if container else None
        name, _, value = (mark or "").partition("=")
        try:
            process = subprocess.Popen(
                [SHELL, "-c", _GATE, "sh", *argv],
                cwd=cwd,
                env={**env, name: value} if mark else dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(container.writing,) if container else (),
                bufsize=0,
            )
        except OSError as error:
            raise SandboxError(f"cannot start a program in {str(cwd)!r}: {error.strerror}; check that the folder exists") from error
        finally:
            if container:
                os.close(container.writing)
        stack.enter_context(process)
        group = open_group(limits)
        if group is not None:
            stack.callback(group.remove)
            if not group.admit(process.pid):
                group = None
        census = Census(process.pid, group=group, mark=mark.encode() if mark else None)
        inner: list[int] = []
        try:
            restrict(process.pid, limits)
            _open_gate(process)
            stopped = _supervise(process, census, limits, kept, started=started)
        finally:
            # Read before the kill: the container's own first process takes everything in it along, and its end is the end of all.
            told = _reports(reports)
            inner = [report["child-pid"] for report in told if "child-pid" in report]
            for pid in inner:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            census.kill()
            for pid in inner:
                wait_gone(pid)
        code = process.wait()
        assert process.stdout is not None
        _drain(process.stdout, kept, limits)
        told += _reports(reports)
        refused = group.refused() if group else None
    if container and not stopped and not any("exit-code" in report for report in told) and code != -signal.SIGKILL:
        raise SandboxError(_container_failed(kept.text()))
    return ended(code, stopped, refused, limits, kept, time.monotonic() - started)


def _open_gate(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(b"\n")
        process.stdin.close()


def _supervise(process: "subprocess.Popen[bytes]", census: Census, limits: Limits, kept: "Kept", *, started: float) -> Stop | None:
    """Read output until the program ends or is over a limit; return that limit."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    look_at = started + _TICK_S
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        selector.register(process.stdout, selectors.EVENT_READ)
        ends = _end_of(process.pid, stack)
        if ends is not None:
            selector.register(ends, selectors.EVENT_READ)
        while process.poll() is None:
            selector.select(_TICK_S if ends is not None else _TICK_S / 10)
            if not _read(process.stdout, kept) and process.stdout in selector.get_map():
                selector.unregister(process.stdout)  # closed by the program, which goes on
            if kept.total > limits.output_bytes:
                return "output"
            now = time.monotonic()
            if now - started > limits.wall_s:
                return "wall"
            if now >= look_at:
                over = census.over(limits)
                if over is not None:
                    return "memory" if over == "memory" else "processes"
                look_at = time.monotonic() + _TICK_S
    return None


def _end_of(pid: int, stack: ExitStack) -> int | None:
    """Return a descriptor that becomes readable when the process ends, or None on a kernel (before 5.3) without them."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
    stack.callback(os.close, descriptor)
    return descriptor


def _read(pipe: IO[bytes], kept: "Kept") -> bool:
    """Take what is there, at most one chunk; return False once the pipe is closed."""
    try:
        chunk = os.read(pipe.fileno(), _CHUNK)
    except BlockingIOError:
        return True
    kept.add(chunk)
    return bool(chunk)


def _drain(pipe: IO[bytes], kept: "Kept", limits: Limits) -> None:
    """Take what the pipe still holds; never waits, so a writer that got away cannot hold us."""
    before = -1
    while before != kept.total and kept.total <= limits.output_bytes + _CHUNK:
        before = kept.total
        _read(pipe, kept)


def _reports(pipe: IO[bytes] | None) -> list[dict[str, int]]:
    """Return what the container said so far."""
    if pipe is None:
        return []
    os.set_blocking(pipe.fileno(), False)
    text = b""
    with suppress(BlockingIOError):
        while chunk := os.read(pipe.fileno(), _CHUNK):
            text += chunk
    found: list[dict[str, int]] = []
    for line in text.splitlines():
        with suppress(ValueError):
            found.append({str(key): value for key, value in json.loads(line).items() if isinstance(value, int)})
    return found


def ended(code: int, stopped: Stop | None, refused: str | None, limits: Limits, kept: "Kept", seconds: float) -> Execution:
    """Return how a program ended. code: its exit code, or minus the signal that ended it; refused: "memory" or "processes" when the kernel did so."""
    exit_code = code if code >= 0 else 128 - code
    number = exit_code - 128 if 128 < exit_code <= 128 + signal.NSIG else None
    if stopped is None and exit_code != 0:
        if number == signal.SIGXCPU or (number == signal.SIGKILL and seconds >= limits.cpu_s):
            stopped = "cpu"
        elif number == signal.SIGXFSZ:
            stopped = "file"
        elif refused is not None:
            stopped = "memory" if refused == "memory" else "processes"
    return Execution(
        exit_code=None if stopped else exit_code,
        signal=number,
        stopped=stopped,
        output=kept.text(),
        dropped_bytes=kept.dropped,
        seconds=seconds,
    )


def _container_failed(said: bytes) -> str:
    line = said.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no reason given"]
    return f"the sandbox could not be made: {line[0]}; see `backstory doctor`, or pass --sandbox none to run without one"


class Kept:
    """The head and the tail of a stream within `room` bytes."""

    def __init__(self, room: int) -> None:
        self.total = 0
        self._head = bytearray()
        self._tail = bytearray()
        self._head_room = room // 2
        self._tail_room = room - room // 2

    def add(self, chunk: bytes) -> None:
        self.total += len(chunk)
        missing = self._head_room - len(self._head)
        self._head += chunk[:missing]
        self._tail += chunk[missing:]
        if len(self._tail) > 2 * self._tail_room + _CHUNK:  # cut rarely: each cut copies the tail
            del self._tail[: -self._tail_room]

    @property
    def dropped(self) -> int:
        return max(0, self.total - self._head_room - self._tail_room)

    def text(self) -> bytes:
        if not self.dropped:
            return bytes(self._head + self._tail)
        return bytes(self._head) + _DROPPED % self.dropped + bytes(self._tail[-self._tail_room :])
