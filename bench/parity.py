"""Hold the harness's official reading of real logs against the `swebench` package: `python bench/parity.py --data FILE OUT...`

OUT: folders that `backstory bench run` or `bench score` wrote. Each log is read and graded by the package's own functions (version 5, whose parsers are
named by repository), and by ours; what differs is named with its tests. Our strict verdict stands beside. Needs `pip install 'backstory[swebench]'`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from swebench.harness.grading import get_eval_tests_report, get_resolution_status
from swebench.harness.log_parsers.python import MAP_REPO_TO_PARSER_PY

from backstory.harness.data import read_dataset
from backstory.harness.grading import official_grade
from backstory.harness.instances import Instance
from backstory.harness.logs import reader_named
from backstory.harness.recipes import Recipe, read_recipes, recipe_for
from backstory.harness.run import Row, read_rows


def main() -> None:
    """Compare every log there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("out", type=Path, nargs="+")
    options = parser.parse_args()
    instances = {instance.id: instance for instance in read_dataset(options.data, judged=True).instances}
    recipes = read_recipes()
    logs = same = 0
    for out in options.out:
        for row in read_rows(out):
            log = out / "instances" / row.id / "log.txt"
            recipe = recipe_for(instances[row.id], recipes)
            if log.exists() and isinstance(recipe, Recipe):
                logs += 1
                same += compared(out.name, row, instances[row.id], recipe.log, log.read_text("utf-8", "replace"))
    print(f"{same} of {logs} logs graded alike")


def compared(name: str, row: Row, instance: Instance, form: str, log: str) -> bool:
    """Return whether package and harness agree on a log, test by test; say where they do not, and where our strict verdict is another."""
    words = MAP_REPO_TO_PARSER_PY[instance.repository](log, None)
    report = get_eval_tests_report(words, {"FAIL_TO_PASS": instance.fail_to_pass, "PASS_TO_PASS": instance.pass_to_pass})
    theirs = (tuple(report["FAIL_TO_PASS"]["success"]), tuple(report["PASS_TO_PASS"]["success"]))
    ours = official_grade(instance, reader_named(form)(log))
    if theirs != (ours.fixed.held, ours.kept.held):
        print(f"{name} {row.id}: other tests hold: {set(theirs[0] + theirs[1]) ^ {*ours.fixed.held, *ours.kept.held}}")
        return False
    resolved = get_resolution_status(report) == "RESOLVED_FULL"
    if resolved != (row.status == "resolved"):
        missed = [*ours.fixed.missed, *ours.kept.missed]
        print(f"{name} {row.id}: official {'resolved' if resolved else 'not resolved'}, strict {row.status}; official misses {missed[:5]}")
    return True


if __name__ == "__main__":
    main()
