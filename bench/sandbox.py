"""How long the sandbox takes to start: `true` in it, beside `true` alone, taken in turn.

    python bench/sandbox.py [--runs N] [--json]

Prints the median of each and the difference; on a quiet machine the difference is to stay under 100 ms.
"""

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from backstory.tools.limits import Limits
from backstory.tools.sandbox import SYSTEM_PATH, Sandbox, open_sandbox
from backstory.tools.shell import Command, Mount

ROOT = Path(__file__).resolve().parent.parent
REACH_MS = 100.0


def bare() -> None:
    """Run the command with nothing around it."""
    subprocess.run(["/bin/sh", "-c", "true"], check=True, env={"PATH": SYSTEM_PATH}, stdin=subprocess.DEVNULL, capture_output=True)


def inside(sandbox: Sandbox) -> Callable[[], None]:
    """Return a function that runs the command in `sandbox`, with a tree bound as a check has it."""
    command = Command(("/bin/sh", "-c", "true"), ROOT, {"PATH": SYSTEM_PATH}, (Mount(ROOT, ROOT),))

    def run() -> None:
        assert sandbox.run(command, Limits()).exit_code == 0

    return run


def seconds(run: Callable[[], None]) -> float:
    """Return how long one run takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ways = {"bare": bare, "none": inside(open_sandbox("none")), "bwrap": inside(open_sandbox("bwrap"))}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for run in ways.values():
        run()  # programs and libraries come from the disk once
    for _ in range(options.runs):
        for name, run in ways.items():  # in turn, so that a busy moment of the machine meets all
            times[name].append(1000 * seconds(run))
    medians = {name: round(statistics.median(taken), 2) for name, taken in times.items()}
    extra = round(medians["bwrap"] - medians["bare"], 2)
    if options.json:
        print(json.dumps({"runs": options.runs, "median_ms": medians, "extra_ms": extra, "within_reach": extra < REACH_MS}))
        return
    for name, median in medians.items():
        print(f"{name:<6} median {median:7.2f} ms   90th percentile {sorted(times[name])[int(0.9 * options.runs)]:7.2f} ms")
    print(
        f"bwrap starts in {extra} ms over the bare command ({medians['bwrap'] / medians['bare']:.1f} times it); the reach is {REACH_MS:.0f} ms"
    )


if __name__ == "__main__":
    main()
