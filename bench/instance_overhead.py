"""What the harness itself costs for each instance, beside its tests and the runs of Backstory: wall, CPU and disk.

    python bench/instance_overhead.py --data FILE --repos PATTERN --cache DIR [--only sympy/sympy] [--limit 5] [--workers 2] [--json]

DIR is the cache of an earlier `backstory bench run` on these instances, so that mirrors and environments are there and what is measured is a warm machine. The
test command is `true`: what is left of judging is the harness (trees, a checkout, the sandbox, records, grades). Two arms, `gold` and a run without a model,
from whose time the run's own is taken away; nothing is validated. Disk is what lies there at most, beside the cache, shared among the instances at work.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from backstory.agent.budget import Budget
from backstory.harness.data import read_dataset
from backstory.harness.instances import Instance
from backstory.harness.judging import Grader
from backstory.harness.native import Native
from backstory.harness.predictions import Prediction
from backstory.harness.recipes import read_recipes
from backstory.harness.run import Arm, Batch, Bench, perform, run_batch
from backstory.tools.sandbox import open_sandbox

REACH_S = 3.0
REACH_MB = 200.0
SAMPLED_EVERY_S = 0.05
ARMS: tuple[Arm, ...] = ("gold", "agent")


@dataclass(frozen=True)
class Cost:
    """What one instance took beside its tests and its run. cpu_s: with the programs it started; of the arm `agent` the run's own is in it."""

    instance: str
    arm: str
    wall_s: float
    cpu_s: float


@contextmanager
def bench_of(options: argparse.Namespace, arm: Arm) -> Iterator[Bench]:
    """Yield a batch of one arm whose runs are kept nowhere else, so that each is done anew."""
    path, sandbox = os.environ.get("PATH", ""), open_sandbox("auto")
    recipes = [replace(recipe, test="true") for recipe in read_recipes()]
    with tempfile.TemporaryDirectory(prefix="backstory-overhead-") as name:
        batch = Batch("overhead", arm, None, Budget(), 1, 60.0, validate=False)
        yield Bench(
            batch,
            Path(name) / "out",
            Native(options.repos, recipes, options.cache, sandbox, path),
            Grader(sandbox, Path(name) / "trials"),
            options.cache,
            path,
            propose=None if arm == "agent" else lambda instance: Prediction(instance.id, "gold", instance.patch),
        )


def costs_of(options: argparse.Namespace, instances: Sequence[Instance], arm: Arm) -> list[Cost]:
    """Return what each instance takes, one after the other. Ends the script where one cannot be worked on here."""
    costs = []
    with bench_of(options, arm) as bench:
        for instance in instances:
            started, cpu = time.perf_counter(), cpu_seconds()
            row = perform(bench, instance)
            wall, cpu = time.perf_counter() - started, cpu_seconds() - cpu
            if row.status in ("broken", "not_here", "leaked"):
                raise SystemExit(f"{row.id}: {row.status}: {row.reason}")
            costs.append(Cost(row.id, arm, wall - (row.spent.seconds if row.spent else 0.0), cpu))
    return costs


def disk_of(options: argparse.Namespace, instances: Sequence[Instance], arm: Arm) -> float:
    """Return the most that lies on the disk while the instances are worked on, in MB for each of those at work."""
    with bench_of(options, arm) as bench:
        work = options.cache / "work"
        before, most, done = size_of(work), 0, threading.Event()

        def watch() -> None:
            nonlocal most
            while not done.wait(SAMPLED_EVERY_S):
                most = max(most, size_of(bench.out.parent) + size_of(work) - before)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            run_batch(bench, instances, workers=options.workers)
        finally:
            done.set()
            watcher.join()
    return most / 1e6 / options.workers


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those it started and that have ended."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def size_of(folder: Path) -> int:
    """Return the bytes that a folder takes on the disk, whatever goes while they are counted."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repos", required=True, help="pattern of git directories, for example '/mirrors/{owner}+{name}.git'")
    parser.add_argument("--cache", type=Path, required=True, help="the cache of an earlier `backstory bench run`")
    parser.add_argument("--only", default="sympy/sympy", metavar="REPOSITORY")
    parser.add_argument("--ids", default="", help="these instances, with commas between (default: the first of the repository)")
    parser.add_argument("--limit", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="instances at once while the disk is watched")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    wanted = set(filter(None, options.ids.split(",")))
    instances = [
        one
        for one in read_dataset(options.data, judged=True).instances
        if one.repository == options.only and (one.id in wanted or not wanted)
    ][: options.limit]
    if not instances:
        raise SystemExit(f"{options.data} holds no such instance of {options.only}")
    costs, disk = [], {}
    for arm in ARMS:
        costs_of(options, instances, arm)  # what is met for the first time: bases in the mirror, the graph of each
        costs += costs_of(options, instances, arm)
        disk[arm] = round(disk_of(options, instances, arm), 1)
    if options.json:
        print(json.dumps({"costs": [asdict(cost) for cost in costs], "disk_mb": disk, "load": os.getloadavg()}))
        return
    for arm in ARMS:
        of_arm = [cost for cost in costs if cost.arm == arm]
        wall, cpu = ([getattr(cost, name) for cost in of_arm] for name in ("wall_s", "cpu_s"))
        print(
            f"{arm:<6} {len(of_arm)} instances: wall median {statistics.median(wall):.2f} s, most {max(wall):.2f} s (reach {REACH_S:g} s);"
            f" CPU{' with the run' if arm == 'agent' else ''} median {statistics.median(cpu):.2f} s, most {max(cpu):.2f} s;"
            f" disk {disk[arm]:.0f} MB for each of {options.workers} at once (reach {REACH_MB:g} MB)"
        )
    print(f"load {', '.join(f'{one:.1f}' for one in os.getloadavg())}")


if __name__ == "__main__":
    main()
