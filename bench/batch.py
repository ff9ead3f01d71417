"""Run a batch of real instances end to end against a scripted server that plays the true patches, killed and gone on with.

    python bench/batch.py --data FILE --ids FILE --repos PATTERN --out DIR [--workers 2] [--kills 3] [--seed 1]

It is the command a user types, `backstory bench run --model ... --with-check`, in a process of its own, ended by SIGKILL at random moments and typed
again. Afterwards every instance has one row, one prediction and one run, whatever was killed. See `bench/README.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from agent_runs import MODEL, beside, serving
from agent_scripts import Scripts, true_scripts
from checkouts import file_at

from backstory.agent.messages import Message
from backstory.agent.script import Answer, Request
from backstory.agent.scripted import Settings
from backstory.harness.data import read_dataset
from backstory.harness.instances import Instance, folder_of

TITLE_CHARS = 60  # of a title that are looked for in a prompt, where it may be cut or cleaned further on


def main() -> None:
    """Run the batch and say whether anything was lost or done twice."""
    options = _options()
    wanted = options.ids.read_text(encoding="utf-8").split()
    instances = [one for one in read_dataset(options.data, judged=True).instances if one.id in wanted]
    command = [
        *options.program.split(),
        *("bench", "run", "--data", str(options.data), "--repos", options.repos, "--ids", str(options.ids), "--out", str(options.out)),
        *("--model", MODEL, "--with-check", "--workers", str(options.workers), "--json"),
    ]
    started = time.monotonic()
    with serving(answering(instances, options.repos), Settings(drip_s=0.002, retry_after_s=0)) as served:
        command += ["--api-base", served.server.api_base]
        killed = []
        draw = random.Random(options.seed)
        for _ in range(options.kills):
            after = draw.uniform(options.least, options.most)
            killed.append(round(after, 1))
            if not kill_after(command, after):
                break
            print(
                f"killed after {after:.1f} s: {len(list(options.out.glob('instances/*/row.json')))} of {len(instances)} finished",
                flush=True,
            )
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(f"the batch ended with {done.returncode}")
    rows = json.loads(done.stdout)["rows"]
    for row in rows:
        spent = row["spent"] or {"ended": "-", "replies": 0, "seconds": 0.0}
        print(f"{row['id']}: {row['status']} ({row['reason'] or spent['ended']}), {spent['replies']} replies, {spent['seconds']:.0f} s")
    print(f"{Counter(row['status'] for row in rows)} in {time.monotonic() - started:.0f} s; killed after {killed} s")
    wrong = wrong_with(options.out, [row["id"] for row in rows], [instance.id for instance in instances])
    print("\n".join(wrong) or "nothing lost, nothing run twice")


def wrong_with(out: Path, rows: list[str], wanted: list[str]) -> list[str]:
    """Return what is lost or there twice."""
    predicted = [json.loads(line)["instance_id"] for line in (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    runs = {name: len(list(out.glob(f"instances/{name}/runs/*/events.jsonl"))) for name in wanted}
    return [
        *(f"{name} has no row" for name in wanted if name not in rows),
        *(f"{name} has {count} predictions" for name, count in Counter(dict.fromkeys(rows, 0) | Counter(predicted)).items() if count != 1),
        *(f"{name} has {count} runs" for name, count in runs.items() if count > 1),
    ]


def kill_after(command: list[str], seconds: float) -> bool:
    """Run a command and kill it with all it started after so many seconds; return whether it was still running. Ends the script where it failed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    if process.returncode:
        raise SystemExit(f"the batch ended by itself with {process.returncode}")
    return False


def answering(instances: list[Instance], repos: str) -> Callable[[Request], Message | Answer | None]:
    """Return what plays the true patch of whichever instance a request is about."""
    scripts = {instance.text.partition("\n")[0].strip()[:TITLE_CHARS]: scripts_of(instance, repos).answers() for instance in instances}

    def answer(request: Request) -> Message | Answer | None:
        opening = request.messages[1].text
        title = next((title for title in scripts if title in opening), None)
        return scripts[title](request) if title is not None else None

    return answer


def scripts_of(instance: Instance, repos: str) -> Scripts:
    """Return the scripts that make an instance's true patch."""
    mirror = str(folder_of(instance.repository, repos))
    return true_scripts(instance.patch, lambda path: (file_at(mirror, instance.base, path) or b"").decode("utf-8", "surrogateescape"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ids", type=Path, required=True, help="a file with an instance's id a line")
    parser.add_argument("--repos", required=True, help="pattern of git directories, for example '/mirrors/{owner}+{name}.git'")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--least", type=float, default=20.0, metavar="SECONDS", help="before the first chance of a kill")
    parser.add_argument("--most", type=float, default=120.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", default=beside(), help="the command that is tried (default: the one of this environment)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
