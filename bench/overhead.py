"""What Backstory itself costs per step of a run: everything that is neither the check, nor the sandbox, nor the work tree it runs in.

    python bench/overhead.py [--steps 200]

Builds a linear history with a fault in the middle, solves it again and again with a check that takes a few milliseconds, and reads the time between
the end of one step and the beginning of the next from the runs' own events, beside what the step took. Nothing is asserted: a figure is a figure.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

COMMITS = 400
FAULT_AT = 137
CHECK = "sh check.sh"


def build(root: Path) -> None:
    """Make a history of `COMMITS` commits of which one breaks `check.sh`."""
    environment = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    root.mkdir()
    subprocess.run(["git", "init", "-q", root], check=True)
    stream = []
    for number in range(COMMITS):
        files = {
            "check.sh": "grep -q good value.txt\n",
            "value.txt": "good\n" if number < FAULT_AT else "worse\n",
            f"part{number % 20}.py": f"x = {number}\n",
        }
        stream.append(f"commit refs/heads/main\ncommitter a <a@b> {1_700_000_000 + number} +0000\ndata 9\nChange {number % 100:02}\n")
        stream += [f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in files.items()]
    subprocess.run(["git", "fast-import", "--quiet"], cwd=root, input="".join(stream).encode(), check=True, env=environment)
    subprocess.run(["git", "checkout", "-q", "main"], cwd=root, check=True)


def steps_of(events: Path) -> list[tuple[float, float]]:
    """Return for each check of a run (seconds between the steps, seconds of the step)."""
    found, ended = [], None
    for line in events.read_text().splitlines():
        event = json.loads(line)
        at = datetime.fromisoformat(event["at"]).timestamp()
        if event["kind"] == "check":
            took = event["body"]["seconds"]
            if ended is not None:
                found.append((max(0.0, at - ended - took), took))
        ended = at
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="steps to look at, at least")
    arguments = parser.parse_args()
    steps: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder / "repository")
        environment = {**os.environ, **{f"BACKSTORY_{kind}_DIR": str(folder / kind.lower()) for kind in ("STATE", "CONFIG")}}
        runs = 0
        while len(steps) < arguments.steps:
            runs += 1
            command = [
                sys.executable,
                "-m",
                "backstory",
                "fix",
                "value.txt went wrong",
                "--repo",
                folder / "repository",
                "--check",
                CHECK,
                "-q",
            ]
            # A cache of its own for each run: a remembered verdict is no step.
            subprocess.run(command, env={**environment, "BACKSTORY_CACHE_DIR": str(folder / f"cache{runs}")}, stdout=subprocess.DEVNULL)
            newest = max((folder / "state" / "runs").iterdir())
            steps += steps_of(newest / "events.jsonl")
    between = sorted(pause for pause, _ in steps)
    took = sorted(step for _, step in steps)
    p95 = between[int(0.95 * (len(between) - 1))]
    print(
        f"{len(steps)} steps in {runs} runs: between two steps, median {1000 * statistics.median(between):.1f} ms, p95 {1000 * p95:.1f} ms"
    )
    print(f"a step itself (work tree, sandbox, check of a few ms): median {1000 * statistics.median(took):.0f} ms")


if __name__ == "__main__":
    main()
