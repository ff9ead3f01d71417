"""What plain git does with the same rows: `git bisect run` with the check, then `git revert` of what it found.

`python bench/regressions_baseline.py --work DIR --repos PATTERN --json OUT [--only ROW]` works in the prepared checkouts. A
release that passes is looked for from the newest back (one by one, then by doubling steps), else a commit in the same way over first parents,
which is what a person does; those runs are counted.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import regression_rows as rows
from checkouts import activated, git, run_tests

SKIP = 125  # what `git bisect run` takes as "this commit cannot be tested"
CHECK_TIMEOUT_S = 300.0
NEAREST = 2  # so many releases back are tried one by one
FIRST_PARENTS = 20_000  # more than the longest of these histories has had since its tests ran on today's interpreters
UNFINISHED = re.compile(r"(\.?dev|rc|alpha|beta|a|b|pre|c)\d*$", re.IGNORECASE)


def main() -> None:
    """Run the baseline on the rows asked for, or one step of a bisection."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where the checkouts are")
    parser.add_argument("--repos", default="{owner}+{name}", help="a pattern of git directories with the full histories")
    parser.add_argument("--only", action="append", default=[], help="a row; may be given again")
    parser.add_argument("--json", type=Path, help="where the results go; rows there already are kept")
    parser.add_argument("--step", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    place = rows.Place(options.work.resolve(), options.repos)
    chosen = [row for row in rows.load()[0] if not options.only or row.id in options.only]
    if options.step:
        sys.exit(step(chosen[0], place))
    results = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    for row in chosen:
        results[row.id] = measure(row, place)
        print(row.id, json.dumps(results[row.id]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n")


def measure(row: rows.Row, place: rows.Place) -> dict[str, object]:
    """Bisect with the check, then revert what was found; leaves the checkout in its starting state."""
    checkout = place.checkout(row)
    log = checkout.parent / "steps"
    log.unlink(missing_ok=True)
    start = time.monotonic()
    try:
        clean(row, checkout)
        good = find_good(row, place)
        before = count(log)
        found = bisect(row, place, good) if good else []
        searched = time.monotonic() - start
        result: dict[str, object] = {
            "good": good,
            "runs_to_find_good": before,
            "runs": count(log),
            "untestable": log.read_text().split().count(str(SKIP)),
            "found": found,
            "seconds": round(searched, 1),
        }
        return {**result, **(revert(row, place, found[0]) if len(found) == 1 else {"revert": "nothing to revert"})}
    finally:
        git(checkout, "bisect", "reset", check=False)
        rows.reset(row, place)


def clean(row: rows.Row, checkout: Path) -> None:
    """Take the fix's test files out again.

    Never `git clean`: what an editable install has written, such as a version file, is ignored today but was not in old trees.
    """
    git(checkout, "checkout", "-q", "-f", "HEAD", "--", ".")
    tracked = git(checkout, "ls-files", "--", *row.files).splitlines()
    for path in set(row.files) - set(tracked):
        (checkout / path).unlink(missing_ok=True)


def count(log: Path) -> int:
    """How many times the check was run so far."""
    return len(log.read_text().split()) if log.exists() else 0


def step(row: rows.Row, place: rows.Place) -> int:
    """Run the check on the commit that is checked out: 0 passes, 1 fails, 125 cannot be tested."""
    checkout = place.checkout(row)
    rows.overlay(row, place)
    command = [str(checkout / ".venv" / "bin" / "python"), *shlex.split(row.command)[1:]]
    try:
        done = subprocess.run(command, cwd=checkout, env=activated(checkout), capture_output=True, timeout=CHECK_TIMEOUT_S, check=False)
        # Python itself also exits with 1, when pytest cannot even be imported.
        ran = re.search(rb"\d (passed|failed|error)", done.stdout)
        code = done.returncode if done.returncode in (0, 1) and ran else SKIP
    except subprocess.TimeoutExpired:
        code = SKIP
    clean(row, checkout)
    with (checkout.parent / "steps").open("a") as log:
        log.write(f"{code}\n")
    return code


def find_good(row: rows.Row, place: rows.Place) -> str | None:
    """The first commit at which the check passes: over the releases, newest first, then over the first parents."""
    checkout = place.checkout(row)
    tags = git(checkout, "for-each-ref", "--merged", row.base, "--format=%(refname:short)", "refs/tags").split()
    releases = [tag for tag in tags if re.search(r"\d$", tag) and not UNFINISHED.search(tag)]
    releases.sort(key=lambda tag: [int(number) for number in re.findall(r"\d+", tag)], reverse=True)
    parents = git(checkout, "rev-list", "--first-parent", "--skip=1", f"--max-count={FIRST_PARENTS}", row.base).split()
    for commits in (releases, parents):
        for index in widening(len(commits)):
            git(checkout, "checkout", "-q", "-f", commits[index])
            if step(row, place) == 0:
                return commits[index]
    return None


def widening(length: int) -> Iterator[int]:
    """0, 1, 2, 3, 5, 9, 17, ... below `length`: one by one at first, then by doubling steps."""
    index, stride = 0, 1
    while index < length:
        yield index
        index += stride
        stride *= 2 if index > NEAREST else 1


def bisect(row: rows.Row, place: rows.Place, good: str) -> list[str]:
    """The commits that `git bisect run` ends with: one, or those between which it could not decide."""
    checkout = place.checkout(row)
    git(checkout, "checkout", "-q", "-f", row.base)
    git(checkout, "bisect", "start", row.base, good)
    again = [sys.executable, str(Path(__file__).resolve()), "--step", "--work", str(place.work), "--repos", place.mirrors, "--only", row.id]
    output = git(checkout, "bisect", "run", *again, check=False)
    if match := re.search(r"^([0-9a-f]{40}) is the first bad commit", output, re.MULTILINE):
        return [match[1]]
    return re.findall(r"^([0-9a-f]{40})$", output, re.MULTILINE)


def revert(row: rows.Row, place: rows.Place, culprit: str) -> dict[str, object]:
    """Revert `culprit` on the base and grade what comes out."""
    checkout = place.checkout(row)
    git(checkout, "bisect", "reset", check=False)
    git(checkout, "checkout", "-q", "-f", "main")
    merge = ["-m", "1"] if len(git(checkout, "rev-list", "--parents", "-1", culprit).split()) > 2 else []
    done = subprocess.run(["git", "-C", str(checkout), "revert", "--no-commit", *merge, culprit], capture_output=True, check=False)
    if done.returncode:
        return {"revert": "conflicts"}
    rows.overlay(row, place)
    passed = run_tests(checkout, [row.check]).exit_code == 0
    verdict = rows.grade(row, place)
    return {
        "revert": "clean",
        "check": passed,
        "hidden": f"{verdict.hidden_passed}/{verdict.hidden_total}",
        "all_hidden": verdict.all_hidden,
        "newly_failing": list(verdict.newly_failing),
    }


if __name__ == "__main__":
    main()
