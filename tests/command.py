"""Runs the real command line in a process of its own, with a clean environment and a home of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    exit_code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of error, without what came before it on standard error; fails if there is a traceback or more than one."""
        assert "Traceback" not in self.err
        errors = [line for line in self.err.splitlines() if line.startswith("backstory: error: ")]
        assert len(errors) == 1, self.err
        return errors[0].removeprefix("backstory: error: ")


class CommandLine:
    """`backstory` with everything it keeps below `home`. environ: added to its environment; within_s: a command that takes longer hangs."""

    within_s = 300.0

    def __init__(self, home: Path, **environ: str) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "BACKSTORY_CACHE_DIR": str(home / "cache"),
            "BACKSTORY_STATE_DIR": str(home / "state"),
            "BACKSTORY_CONFIG_DIR": str(home / "config"),
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",  # whoever runs the tests may have an engine
            **environ,
        }

    def __call__(self, *arguments: str | Path, stdin: bytes = b"", cwd: Path | None = None, **environ: str) -> Ended:
        """Run `backstory ARGUMENTS` to its end."""
        done = subprocess.run(
            self.argv(*arguments),
            cwd=cwd or self.home,
            env={**self.environ, **environ},
            input=stdin,
            capture_output=True,
            timeout=self.within_s,
        )
        return Ended(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))

    def argv(self, *arguments: str | Path) -> list[str]:
        """Return the command to start, for tests that start it themselves."""
        return [sys.executable, "-m", "backstory", *map(str, arguments)]
