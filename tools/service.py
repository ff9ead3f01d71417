"""Programs that go on after the command that began them: a model server. Begun outside any sandbox, on the user's word alone.

A service has a process group of its own and writes to a log. Whoever stops it later knows it by its process id and by when that process began, since ids
are used again.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backstory.errors import StorageError, UserError
from backstory.tools.limits import BEGAN, process_stat

STOP_S: Final = 30.0
"""How long a service may take to end when it is asked to, before it is killed."""
_LOOK_S: Final = 0.1


@dataclass(frozen=True)
class Service:
    """A process that was begun. pid: also its group's; began: when, in ticks of the kernel's clock since it started."""

    pid: int
    began: int

    def runs(self) -> bool:
        """Return whether this very process is still there; one that ended and was not waited for is not."""
        return _began(self.pid) == self.began

    def stop(self, within_s: float = STOP_S) -> bool:
        """End it and all of its group: asked first, killed after `within_s`. Returns False when it had to be killed."""
        ended = self._signal(signal.SIGTERM, within_s)
        # Its children may outlive it: an engine that does not see its parent's end.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if not ended:
            self._signal(signal.SIGKILL, within_s)
        return ended

    def _signal(self, sign: signal.Signals, within_s: float) -> bool:
        """Send a signal to the process and return whether it ended within so many seconds."""
        until = time.monotonic() + within_s
        if self.runs():
            with suppress(ProcessLookupError):
                os.kill(self.pid, sign)
        while self.runs():
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK_S)
        return True


def begin(argv: Sequence[str], *, env: Mapping[str, str], log: Path) -> Service:
    """Start a program in a group of its own; its output goes to the end of `log`. Raises UserError when it cannot be started."""
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                argv, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
    except OSError as error:
        if error.filename == str(log):
            raise StorageError(f"cannot write {str(log)!r}: {error.strerror}") from error
        raise UserError(f"cannot start {argv[0]!r}: {error.strerror}") from error
    process.returncode = 0  # it is known by its id from here on; nobody waits for it through this object
    began = _began(process.pid)
    return Service(process.pid, -1 if began is None else began)


def _began(pid: int) -> int | None:
    """Return when a process began, None when there is none that runs. A child of ours that ended is reaped by that."""
    with suppress(ChildProcessError, OSError):
        os.waitpid(pid, os.WNOHANG)
    fields = process_stat(pid)
    return None if fields is None or fields[0] in (b"Z", b"X") else int(fields[BEGAN])
