"""Run Backstory on the fixed list of real regressions and set the outcome beside plain git's.

`--prepare` builds the checkouts and environments from git directories with the full histories; without it, each row's
`backstory fix` is run as a user would run it, its patch is applied in the checkout, judged by the fix's own tests, and taken
out again. See `bench/README.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import regression_rows as rows
from regression_functions import compare_functions

BUDGET_S = 900
GRACE_S = 300  # for the run to end by itself after its budget


@dataclass(frozen=True)
class Outcome:
    """One row's result, as printed and stored."""

    id: str
    exit_code: int | None
    status: str
    blamed: str | None
    blamed_right: bool
    culprit_rank: int | None
    """Place of the known culprit among the suspects, 1-based; None where it is not listed."""
    hidden: str
    all_hidden: bool
    newly_failing: tuple[str, ...]
    functions: str
    seconds: float
    check_runs: int | None
    """Commits on which the check was run while history was searched."""
    error: str


def main() -> None:
    """Prepare or measure the rows asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where the checkouts are, or will be built")
    parser.add_argument("--repos", default="{owner}+{name}", help="pattern of git directories, for example '/mirrors/{owner}+{name}.git'")
    parser.add_argument("--only", action="append", default=[], help="a row; may be given again")
    parser.add_argument("--json", type=Path, help="where the outcomes go; rows there already are kept, so a run can be continued")
    parser.add_argument("--baseline", type=Path, default=Path(__file__).with_name("regressions_baseline.json"), help="plain git's results")
    parser.add_argument("--prepare", action="store_true", help="build checkouts and environments, run nothing")
    parser.add_argument("--warm", action="store_true", help="keep the caches of an earlier run instead of starting from nothing")
    parser.add_argument("--table", action="store_true", help="only print the table of stored outcomes")
    options = parser.parse_args()
    place = rows.Place(options.work.resolve(), options.repos)
    listed, recipes = rows.load()
    chosen = [row for row in listed if not options.only or row.id in options.only]
    if options.prepare:
        for row in chosen:
            print(f"{row.id}: preparing", flush=True)
            rows.prepare(row, recipes[row.recipe], place)
        return
    outcomes = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    for row in () if options.table else chosen:
        outcomes[row.id] = asdict(measure(row, place, warm=options.warm))
        print(json.dumps(outcomes[row.id]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(outcomes, indent=1) + "\n")
    baseline = json.loads(options.baseline.read_text()) if options.baseline.exists() else {}
    print(table(listed, outcomes, baseline))


def measure(row: rows.Row, place: rows.Place, *, warm: bool) -> Outcome:
    """Run `backstory fix` on the row and judge its patch; leaves the checkout in its starting state."""
    rows.reset(row, place)
    start = time.monotonic()
    answer, exit_code, error = ask(row, place, warm=warm)
    seconds = time.monotonic() - start
    try:
        verdict, functions = judge(row, place, (answer.get("patch") or {}).get("diff", ""))
    finally:
        rows.reset(row, place)
    blamed = (answer.get("blamed") or {}).get("commit")
    suspects = [suspect["commit"] for suspect in answer.get("suspects") or []]
    return Outcome(
        id=row.id,
        exit_code=exit_code,
        status=str(answer.get("status", "no answer")),
        blamed=blamed,
        blamed_right=blamed in row.culprits,
        culprit_rank=next((place_ for place_, commit in enumerate(suspects, start=1) if commit in row.culprits), None),
        hidden=f"{verdict.hidden_passed}/{verdict.hidden_total}" if verdict else "-",
        all_hidden=bool(verdict and verdict.all_hidden),
        newly_failing=verdict.newly_failing if verdict else (),
        functions=functions,
        seconds=round(seconds, 1),
        check_runs=len(answer["tested"]) if "tested" in answer else None,
        error=error,
    )


def ask(row: rows.Row, place: rows.Place, *, warm: bool) -> tuple[dict, int | None, str]:
    """Run the command line and return its JSON, its exit code and the end of what it said on a failure."""
    home = place.work / row.id
    if not warm:
        for name in ("cache", "state"):
            shutil.rmtree(home / name, ignore_errors=True)
    issue = home / "issue.md"
    issue.write_text(row.issue + "\n", encoding="utf-8")
    command = [backstory(), "fix", str(issue), "--repo", str(place.checkout(row)), "--base", row.base, "--check", row.command]
    command += ["--no-model", "--json", "--budget-seconds", str(BUDGET_S)]
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environment |= {"BACKSTORY_CACHE_DIR": str(home / "cache"), "BACKSTORY_STATE_DIR": str(home / "state")}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=BUDGET_S + GRACE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {}, None, "did not end in time"
    (home / "stderr.txt").write_text(done.stderr, encoding="utf-8")
    (home / "answer.json").write_text(done.stdout, encoding="utf-8")
    try:
        return json.loads(done.stdout), done.returncode, ""
    except ValueError:
        return {}, done.returncode, done.stderr.strip()[-400:]


def backstory() -> str:
    """The command installed beside this Python, else the one on PATH."""
    beside = Path(sys.executable).parent / "backstory"
    return str(beside) if beside.exists() else "backstory"


def judge(row: rows.Row, place: rows.Place, patch: str) -> tuple[rows.Grade | None, str]:
    """Apply the patch in the checkout (the environment imports from there), grade it and compare the functions it changes."""
    if not patch.strip():
        return None, "-"
    checkout = place.checkout(row)
    done = subprocess.run(
        ["git", "-C", str(checkout), "apply", "--whitespace=nowarn", "-"],
        input=patch.encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        return None, "does not apply"
    functions = compare_functions(row, place)
    return rows.grade(row, place), functions


HEAD = (
    "| row | blamed right | culprit's rank | verified | exit | fix's tests | newly failing | functions | s | runs "
    "| git bisect right | runs | s | git revert | fix's tests | newly failing |"
)


def table(listed: list[rows.Row], outcomes: Mapping[str, dict], baseline: Mapping[str, dict]) -> str:
    """A Markdown table of every row, run or not, and a line of totals."""
    lines = [HEAD, "|" + "---|" * (HEAD.count("|") - 1)]
    lines += ["| " + " | ".join([row.id, *ours(outcomes.get(row.id)), *plain(row, baseline.get(row.id))]) + " |" for row in listed]
    lines += ["", totals(listed, outcomes, baseline)]
    return "\n".join(lines)


def ours(outcome: Mapping[str, object] | None) -> list[str]:
    """Backstory's cells of a row."""
    if outcome is None:
        return ["not run"] + [""] * 8
    keys = ("blamed_right", "culprit_rank", "status", "exit_code", "hidden")
    return [shown(outcome[key]) for key in keys] + [
        str(len(outcome["newly_failing"])) if outcome["hidden"] != "-" else "-",  # type: ignore[arg-type]
        *(shown(outcome[key]) for key in ("functions", "seconds", "check_runs")),
    ]


def plain(row: rows.Row, result: Mapping[str, object] | None) -> list[str]:
    """Plain git's cells of a row."""
    if result is None:
        return ["not run"] + [""] * 5
    newly = str(len(result["newly_failing"])) if "newly_failing" in result else "-"  # type: ignore[arg-type]
    return [shown(found_right(row, result)), *(shown(result.get(key)) for key in ("runs", "seconds", "revert", "hidden")), newly]


def found_right(row: rows.Row, result: Mapping[str, object]) -> bool:
    """Whether git bisect ended with the culprit alone."""
    found = result["found"]
    return isinstance(found, list) and len(found) == 1 and found[0] in row.culprits


def shown(value: object) -> str:
    """A cell: yes and no for truth values, a dash for what is absent."""
    if value is None:
        return "-"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def totals(listed: list[rows.Row], outcomes: Mapping[str, dict], baseline: Mapping[str, dict]) -> str:
    """One line: how many of the rows each way."""
    done = [outcomes[row.id] for row in listed if row.id in outcomes]
    measured = [row for row in listed if row.id in baseline]
    git = [baseline[row.id] for row in measured]
    return (
        f"Backstory on {len(done)} of {len(listed)} rows: culprit right {sum(o['blamed_right'] for o in done)}, "
        f"verified {sum(o['exit_code'] == 0 for o in done)}, all of the fix's tests {sum(o['all_hidden'] for o in done)}, "
        f"of these nothing newly failing {sum(o['all_hidden'] and not o['newly_failing'] for o in done)}. "
        f"git bisect and revert on {len(git)}: culprit right {sum(found_right(row, baseline[row.id]) for row in measured)}, "
        f"reverts cleanly {sum(b['revert'] == 'clean' for b in git)}, all of the fix's tests {sum(bool(b.get('all_hidden')) for b in git)}, "
        f"of these nothing newly failing {sum(bool(b.get('all_hidden')) and not b['newly_failing'] for b in git)}."
    )


if __name__ == "__main__":
    main()
