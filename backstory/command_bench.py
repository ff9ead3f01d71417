"""`bench`: how good a part of Backstory is, on data given by path. Each benchmark prints its figures with how sure they are."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstory import options
from backstory.command_batch import fetched, mine, report, run, score
from backstory.face import Face

if TYPE_CHECKING:
    from backstory.harness.locate_bench import Compared, Ran
    from backstory.harness.origin_bench import Split

EXAMPLE = "backstory bench locate --data instances.jsonl --repos '/mirrors/{owner}+{name}.git'"


@click.group(short_help="Measure Backstory, or a part of it, on data of yours.", cls=options.Group, examples=(EXAMPLE,))
def bench() -> None:
    """Measure Backstory, or a part of it, on data of yours. See docs/harness.md."""


for command in (run, score, report, mine):
    bench.add_command(command)


@bench.command(short_help="How often the localizer finds the right files and functions.", cls=options.Command, examples=(EXAMPLE,))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Instances, as for `bench run`.")
@click.option("--repos", required=True, metavar="PATTERN", help="Where the repositories are, with {owner} and {name} in it.")
@click.option(
    "--arms",
    default="full,no-history,other-history,churn",
    show_default=True,
    metavar="NAMES",
    help="What to compare; the first is held against the others.",
)
@click.option("--only", default="", metavar="TEXT", help="Only instances whose id contains this.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write one JSON object for each instance and arm here.")
@options.as_json
@options.talk
@options.with_face
def locate(face: Face, data: Path, repos: str, arms: str, only: str, workers: int, out: Path | None, as_json: bool) -> None:
    """Say how often the localizer finds the files and functions that the true patches changed.

    Gold files are those the patch changes that exist at the base and are no tests; gold functions are the innermost ones that hold the removed
    lines or the place of an insertion. Every mean has a 95 % bootstrap interval, and so has the lead of the first arm over each other.
    """
    from backstory.config import made
    from backstory.errors import UserError
    from backstory.harness.data import read_dataset
    from backstory.harness.locate_bench import ARMS, OTHER_HISTORY, compare, locate_all, strangers

    names = tuple(dict.fromkeys(name for name in arms.split(",") if name))
    unknown = [name for name in names if name not in ARMS]
    if unknown or not names:
        raise UserError(f"unknown arms {', '.join(unknown) or '(none)'}; there are {', '.join(ARMS)}")
    instances = [instance for instance in read_dataset(fetched(face, data)).instances if only in instance.id]
    if OTHER_HISTORY in names[1:] and not strangers(instances, repos):
        face.warn(f"there is one repository only, so no other one's history to compare with: without {OTHER_HISTORY}")
        names = tuple(name for name in names if name != OTHER_HISTORY)
    with face.screen() as screen:
        ran = locate_all(instances, names, repos=repos, cache=made(face.folders().cache), workers=workers, report=screen.report)
    if out is not None:
        _write(out, "".join(json.dumps(asdict(row)) + "\n" for row in ran.rows))
    if not ran.rows:
        raise UserError(f"no instance could run; the first: {ran.failed[0].reason}" if ran.failed else f"no instance in {str(data)!r} fits")
    compared = compare(ran.rows, names)
    if as_json:
        face.give(_as_json(ran, compared))
    else:
        _say(face, ran, names, compared)


ORIGIN_EXAMPLE = "backstory bench origin --data rows.json --repos '/mirrors/{owner}+{name}.git' --split held"


@bench.command(short_help="How often the commit that introduced a fault is found.", cls=options.Command, examples=(ORIGIN_EXAMPLE,))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="Rows: a JSON list of objects with repo, fix_commit, inducing_commits, language and source_dataset, or one object a line.",
)
@click.option("--repos", required=True, metavar="PATTERN", help="Where the repositories are, with {owner} and {name} in it.")
@click.option(
    "--split",
    type=click.Choice(["all", "tune", "held"]),
    default="all",
    show_default=True,
    help="All rows, those the weights were fitted on, or the other half; by a hash of the repository's name.",
)
@click.option("--unredacted", is_flag=True, help="Read what the fixes' messages say of their culprits.")
@click.option("--only", default="", metavar="TEXT", help="Only rows whose repository or fix contains this.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write one JSON object for each row here, with every candidate."
)
@options.as_json
@options.talk
@options.with_face
def origin(
    face: Face, data: Path, repos: str, split: "Split", unredacted: bool, only: str, workers: int, out: Path | None, as_json: bool
) -> None:
    """Say how well the commits that introduced known faults are found.

    A true culprit is looked for among the first 1, 3, 5 and 10 candidates; precision, recall and F1 are those of the first. Every figure has a 95 % bootstrap interval. Nothing that the fix's parent cannot reach has a say.
    """
    from backstory.config import made
    from backstory.errors import UserError
    from backstory.graph.lock import using_cache
    from backstory.harness.origin_bench import find_origins, judged_json, measures, read_rows, slices

    rows = [row for row in read_rows(data, split=split) if only in row.id]
    cache = made(face.folders().cache)
    with using_cache(cache), face.screen() as screen:
        ran = find_origins(rows, repos=repos, cache=cache, redact=not unredacted, workers=workers, report=screen.report)
    if out is not None:
        _write(out, "".join(json.dumps(judged_json(one)) + "\n" for one in ran.judged))
    if not ran.judged:
        raise UserError(f"no row could run; the first: {ran.failed[0].reason}" if ran.failed else f"no row in {str(data)!r} fits")
    whole, parts = measures(ran.judged), slices(ran.judged)
    if as_json:
        return face.give(
            {
                "rows": len(ran.judged),
                "split": split,
                "redacted": not unredacted,
                "measures": {name: asdict(value) for name, value in whole.items()},
                **{
                    f"by_{kind}": {name: {measure: asdict(value) for measure, value in found.items()} for name, found in groups.items()}
                    for kind, groups in parts.items()
                },
                "failed": [asdict(one) for one in ran.failed],
            }
        )
    face.say(f"{len(ran.judged)} rows, {len(ran.failed)} that could not run; with 95 % bootstrap intervals")
    for name, value in whole.items():
        face.say(f"  {name:20} {value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]")
    for kind, groups in parts.items():
        face.say(f"\nby {kind}", style="bold")
        for name, found in groups.items():
            shown = ", ".join(f"{measure} {found[measure].mean:.2f}" for measure in _ORIGIN_SHOWN)
            face.say(f"  {name}: {shown} of {found['F1'].count}")
    for failed in ran.failed:
        face.say(f"could not run {failed.id}: {failed.reason}")
    return None


def _as_json(ran: "Ran", compared: "Sequence[Compared]") -> dict[str, object]:
    from backstory.harness.locate_bench import by_repository, seconds

    measures: dict[str, dict[str, object]] = {}
    for one in compared:
        lead = {"lead": asdict(one.lead)} if one.lead is not None else {}
        measures.setdefault(one.arm, {})[one.measure] = {**asdict(one.value), **lead}
    return {
        "instances": len({row.id for row in ran.rows}),
        "arms": measures,
        "repositories": by_repository(ran.rows),
        "seconds": seconds(ran.rows),
        "failed": [asdict(one) for one in ran.failed],
    }


def _say(face: Face, ran: "Ran", names: "Sequence[str]", compared: "Sequence[Compared]") -> None:
    from backstory.harness.locate_bench import by_repository, seconds

    face.say(f"{len({row.id for row in ran.rows})} instances, {len(ran.failed)} that could not run; means with 95 % bootstrap intervals")
    for name in names:
        face.say(f"\n{name}" + ("" if name == names[0] else f"  (and by how much {names[0]} leads it)"), style="bold")
        for one in compared:
            if one.arm == name and one.value.count:
                lead = "" if one.lead is None else f"   {one.lead.mean:+.3f} [{one.lead.low:+.3f}, {one.lead.high:+.3f}]"
                face.say(
                    f"  {one.measure:26} {one.value.mean:.3f} [{one.value.low:.3f}, {one.value.high:.3f}] of {one.value.count:<4}{lead}"
                )
    face.say(f"\n{names[0]} by repository", style="bold")
    for repository, measures in by_repository(ran.rows).items():
        shown = ", ".join(
            f"{measure} {value['mean']:.2f} of {value['count']:.0f}" for measure, value in measures[names[0]].items() if measure in _SHOWN
        )
        face.say(f"  {repository}: {shown}")
    face.say("\nseconds to open the graph and answer (p50, p95)", style="bold")
    for repository, spent in seconds(ran.rows).items():
        face.say(
            f"  {repository}: base met now {spent['new_p50']:.2f}, {spent['new_p95']:.2f}; again {spent['warm_p50']:.2f}, {spent['warm_p95']:.2f}"
        )
    for failed in ran.failed:
        face.say(f"could not run {failed.id}: {failed.reason}")


_ORIGIN_SHOWN = ("F1", "first 1", "first 3", "first 10")
# By repository there are few instances each: only what is compared most often.
_SHOWN = ("file one @1", "file all @5", "file all @10", "function all @10")


def _write(path: Path, text: str) -> None:
    from backstory.errors import UserError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {str(path)!r}: {error.strerror}") from error
