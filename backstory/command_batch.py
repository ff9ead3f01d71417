"""`bench run`, `bench score`, `bench report` and `bench mine`: instances of the SWE-bench family solved, judged, told and made."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from backstory import options
from backstory.face import Face

if TYPE_CHECKING:
    from backstory.agent.runs import ModelSettings
    from backstory.harness.instances import Instance
    from backstory.harness.report import Prices
    from backstory.harness.run import Arm, Batch, Bench, Ended, OpenModel, Perform, Propose, Row, Whole
    from backstory.tools.environment import PipSettings

F = TypeVar("F", bound=Callable[..., Any])

# Never a whole npmrc, nor what in it is a key: an install runs programs of strangers, with network.
_OF_INSTALLERS = re.compile(r"PIP_\w+|(?i:npm_config_(?:registry|cafile))|NODE_EXTRA_CA_CERTS")
PIP_FILES = (".config/pip/pip.conf", ".pip/pip.conf")  # where pip looks below the home folder, best first


def _data(command: F) -> F:
    for option in (
        click.option(
            "--data",
            type=click.Path(path_type=Path),
            required=True,
            help="Instances: a JSON, JSON-lines or Parquet file, a folder, or hub:OWNER/NAME[@REVISION].",
        ),
        click.option("--form", type=click.Choice(["classic", "live", "rebench"]), help="Form of the data.  [default: told by its columns]"),
        click.option("--split", default="", metavar="NAME", help="Of a folder, only the files of this split."),
        click.option("--ids", default="", metavar="LIST", help="Only these instances, with commas between, or a file with one a line."),
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first so many."),
    ):
        command = option(command)
    return command


def _judging(command: F) -> F:
    for option in (
        click.option("--repos", required=True, metavar="PATTERN", help="Where the repositories are, with {owner} and {name} in it."),
        click.option(
            "--env",
            type=click.Choice(["docker", "native", "auto"]),
            default="auto",
            show_default=True,
            help="Where tests run: in images, or in environments built by recipes; auto takes the first that is to be had.",
        ),
        click.option(
            "--image", metavar="NAME", help="Image of each instance, with {id} in it.  [default: of the data, or the official one]"
        ),
        click.option(
            "--pull",
            type=click.Choice(["missing", "always", "never"]),
            help="When images are fetched.  [default: missing; with auto never]",
        ),
        click.option(
            "--recipes", type=click.Path(path_type=Path), multiple=True, metavar="DIR", help="Recipes of your own; may be repeated."
        ),
        click.option(
            "--executor",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Where instances are worked on: here, or on the Ray cluster of RAY_ADDRESS.",
        ),
        click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Instances at once."),
        click.option(
            "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for everything; a batch goes on there."
        ),
        click.option("--no-validate", is_flag=True, help="Believe environments without trying them with the true patch and with none."),
        click.option(
            "--strict", is_flag=True, help="Excuse no test that the true patch does not pass here; such instances count as broken."
        ),
    ):
        command = option(command)
    return command


@click.command(
    short_help="Run Backstory on instances with known answers, and judge what comes of it.",
    cls=options.Command,
    examples=(
        "backstory bench run --data lite.jsonl --repos '/mirrors/{owner}+{name}.git' --gold --out gold",
        "backstory bench run --data lite.jsonl --repos '/mirrors/{owner}+{name}.git' --model hosted_vllm/NAME --workers 4 --out run1",
    ),
)
@_data
@_judging
@options.model
@click.option(
    "--replay", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Say again what the runs of this batch were answered."
)
@click.option("--gold", is_flag=True, help="Take the true patches: every instance that can be judged here is resolved.")
@click.option("--empty", is_flag=True, help="Take no patch: nothing is resolved.")
@click.option("--attempts", type=click.INT, metavar="N", help="Independent attempts at a repair.")
@options.budget
@click.option("--check-timeout", type=click.FLOAT, metavar="SECONDS", help="Seconds one check of a run may take.")
@click.option("--batch-seconds", type=click.FLOAT, metavar="N", help="Begin no further instance after so many seconds.")
@click.option("--batch-tokens", type=click.INT, metavar="N", help="Begin no further instance after so many tokens.")
@click.option("--with-check", is_flag=True, help="Give each run one failing test of its instance as the check; all of them judge it.")
@click.option("--no-history", is_flag=True, help="Show runs the base alone, no commit before it: what the past is worth.")
@click.option("--no-score", is_flag=True, help="Make predictions only.")
@options.as_json
@options.talk
@options.with_face
def run(
    face: Face,
    /,
    gold: bool,
    empty: bool,
    replay: Path | None,
    no_model: bool,
    no_score: bool,
    with_check: bool,
    no_history: bool,
    batch_seconds: float | None,
    batch_tokens: int | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Run Backstory on instances with known answers, and judge what comes of it.

    Finished instances are kept in the folder of --out, with a trace each: the same command goes on where a batch was killed. Ends with 0 when every
    instance has an outcome, whatever it is, and with 5 when a budget of the batch ended it.
    """
    from backstory.agent.budget import Budget
    from backstory.endpoint import model_settings
    from backstory.endpoint import open_model as opened
    from backstory.harness.run import Batch, Whole, played

    if sum([gold, empty, replay is not None]) > 1:
        raise click.UsageError("--gold, --empty and --replay exclude each other", click.get_current_context())
    flags = {
        name: given[name] for name in ("model", "api_base", "attempts", "check_timeout", "budget_seconds", "budget_steps", "budget_tokens")
    }
    config = face.config(flags)
    arm: Arm = "gold" if gold else "empty" if empty else "agent"
    settings = model_settings(face, config.model, no_model=no_model) if arm == "agent" else None
    if replay is not None:
        settings = _replayed(settings)
    instances = _instances(face, given)
    name = {"gold": "gold", "empty": "empty"}.get(arm) or (f"backstory+{settings.name}" if settings else "backstory")
    if arm == "agent" and no_history:
        name += "-without-history"
    batch = Batch(
        name=name,
        arm=arm,
        model=settings,
        budget=Budget(config.limits.budget_seconds, config.limits.budget_steps, config.limits.budget_tokens),
        attempts=config.limits.attempts,
        check_timeout_s=config.limits.check_timeout,
        judge=not no_score,
        validate=not given["no_validate"],
        strict=given["strict"],
        with_check=with_check,
        languages=config.project.languages,
        history=not no_history,
    )

    choice, environ = config.model, dict(face.environ)  # values, since another machine may open it

    def open_model(wanted: "ModelSettings", instance: "Instance") -> Any:
        return played(replay, wanted, instance) if replay is not None else opened(wanted, choice, environ)

    propose = {"gold": _true_patch, "empty": _no_patch}.get(arm)
    return _batch(face, batch, instances, given, propose, open_model, Whole(batch_seconds, batch_tokens), as_json=as_json)


@click.command(
    short_help="Judge predictions by the tests of their instances.",
    cls=options.Command,
    examples=("backstory bench score --data lite.jsonl --repos '/mirrors/{owner}+{name}.git' --predictions all_preds.jsonl --out scored",),
)
@_data
@_judging
@click.option("--predictions", type=click.Path(path_type=Path, dir_okay=False), help="The patches, in the official form.")
@click.option("--again", is_flag=True, help="Grade the runs that --out holds once more, by today's grader; nothing is run.")
@options.as_json
@options.talk
@options.with_face
def score(face: Face, /, predictions: Path | None, again: bool, as_json: bool, **given: Any) -> int:
    """Judge predictions by the tests of their instances.

    Test files are run whole. The verdict rests on what the runner recorded outside the tree; what the official graders would read in the log stands
    beside it. Verdicts are kept by the tree that was judged, the command and the environment, so no patch is run twice.
    """
    from backstory.agent.budget import Budget
    from backstory.harness.predictions import read_predictions
    from backstory.harness.run import Batch, Whole

    instances = _instances(face, given)
    if again:
        return _graded_again(face, instances, given, as_json=as_json)
    if predictions is None:
        raise click.UsageError("--predictions names the patches to judge", click.get_current_context())
    found = read_predictions(predictions, known=[instance.id for instance in instances])
    chosen = [instance for instance in instances if instance.id in found]
    if not chosen:
        face.warn("the file holds no prediction")
    name = next(iter(found.values())).model if found else "unknown"
    batch = Batch(name, "given", None, Budget(), 1, 1.0, validate=not given["no_validate"], strict=given["strict"])
    return _batch(face, batch, chosen, given, lambda instance: found.get(instance.id), None, Whole(), as_json=as_json)


@click.command(
    short_help="Tell what a batch came to, or how two differ.",
    cls=options.Command,
    examples=("backstory bench report run1 --against run0 --format html --out report.html",),
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option("--against", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Another batch to hold it against.")
@click.option("--format", "form", type=click.Choice(["md", "json", "html"]), default="md", show_default=True)
@click.option("--prices", metavar="LIST", help="Of a million tokens of prompts, cached prompts and replies, to tell the cost: 3,0.3,15.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there.")
@options.talk
@options.with_face
def report(
    face: Face, folder: Path, against: Path | None, form: Literal["md", "json", "html"], prices: str | None, out: Path | None
) -> None:
    """Tell what a batch came to: how many were resolved and how sure that is, why the others were not, and what it took.

    Instances whose environment gave no answer are in no share of the judged; they are counted and named apart.
    """
    import json

    from backstory.errors import StorageError
    from backstory.harness.report import as_html, as_json, as_markdown, compare, tell
    from backstory.harness.run import read_batch, read_rows

    rows, name = read_rows(folder), read_batch(folder).name
    flips = compare(f"{read_batch(against).name} ({against})", read_rows(against), name, rows) if against is not None else None
    told = tell(name, rows, _prices(prices))
    if form == "json":
        text = json.dumps(as_json(told, flips, rows), indent=1) + "\n"
    else:
        text = as_html(told, flips, rows) if form == "html" else as_markdown(told, flips, rows)
    if out is None:
        face.say(text.rstrip("\n"))
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {str(out)!r}: {error.strerror}") from error


@click.command(
    short_help="Make instances of a repository's own merged fixes.",
    cls=options.Command,
    examples=("backstory bench mine . --name octo/cat --until v2.0 --commits 500 --out cat.jsonl",),
)
@click.argument("repo", type=click.Path(path_type=Path), metavar="REPO")
@click.option("--name", metavar="OWNER/NAME", help="What the repository is called.  [default: of its folder]")
@click.option("--until", default="HEAD", show_default=True, metavar="REV", help="Look at the commits up to this one.")
@click.option(
    "--commits", type=click.IntRange(min=1), default=200, show_default=True, metavar="N", help="Look at so many, along first parents."
)
@click.option(
    "--issues",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="An export of issues: a JSON list of GitHub's objects.",
)
@click.option("--github", is_flag=True, help="Ask GitHub for the issues that messages close, where no export has them.")
@click.option("--python", metavar="X.Y", help="Interpreter where no recipe names one.  [default: the one that runs this]")
@click.option("--recipes", type=click.Path(path_type=Path), multiple=True, metavar="DIR", help="Recipes of your own; may be repeated.")
@click.option(
    "--test-timeout",
    type=click.FloatRange(min=1),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Leave out a fix whose test files take longer.",
)
@click.option("--collected", is_flag=True, help="Leave out a fix without which its failing tests cannot even be collected.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Write the instances there, as JSON lines.",
)
@options.as_json
@options.talk
@options.with_face
def mine(
    face: Face,
    repo: Path,
    name: str | None,
    until: str,
    commits: int,
    issues: Path | None,
    github: bool,
    python: str | None,
    recipes: tuple[Path, ...],
    test_timeout: float,
    collected: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Make instances of a repository's own merged fixes, oldest first.

    A fix is a commit, or a merge, whose message says so and that changes code and tests. Its tests are run three times without it and with it: those that
    fail and then pass are FAIL_TO_PASS. The statement is the linked issue, where the export or GitHub has it, or the commit's message, in which names that
    the fix brings are withheld. A project that is not in Python needs a recipe.
    """
    import json
    import platform
    import time
    from dataclasses import replace

    from backstory.config import made
    from backstory.graph.languages import LANGUAGES
    from backstory.graph.mirror import open_mirror, open_source, resolve
    from backstory.harness.judging import Grader
    from backstory.harness.mine import Mine, Mined, row_of, told
    from backstory.harness.mine import mine as dig
    from backstory.harness.native import Native
    from backstory.harness.recipes import ANY, plain_recipe, read_recipes
    from backstory.tools.dependencies import find_dependencies
    from backstory.tools.sandbox import open_sandbox

    if github and name is None:
        raise click.UsageError("--github needs --name OWNER/NAME", click.get_current_context())
    source = open_source(repo)
    called = name or f"local/{repo.resolve().name.removesuffix('.git')}"
    cache, sandbox, path = made(face.folders().cache), open_sandbox("auto"), face.environ.get("PATH", "")
    version = python or ".".join(platform.python_version_tuple()[:2])
    started = time.monotonic()
    with face.screen() as screen, out.open("w", encoding="utf-8") as file:
        at = resolve(source, until)
        mirror = open_mirror(source, at, cache_dir=cache, report=screen.report)
        needs = find_dependencies(set(mirror.files(at)), lambda file: mirror.blob_at(at, file))
        known, languages = read_recipes(recipes), [language.name for language in LANGUAGES]
        if not any(recipe.repository == called and ANY in recipe.versions for recipe in known):
            known, languages = [plain_recipe(called, version, needs)], ["python"]
        known = [replace(recipe, at=at) for recipe in known]  # one environment for the whole stretch, that of its end
        native = Native(str(repo.resolve()).replace("{", "{{").replace("}", "}}"), known, cache, sandbox, path, _pip(face))

        def on_mined(mined: Mined) -> None:
            file.write(json.dumps(row_of(mined)) + "\n")
            file.flush()
            screen.note(
                f"{mined.instance.id}: {len(mined.instance.fail_to_pass)} to fix, {len(mined.instance.pass_to_pass)} to keep", style="good"
            )

        grader = Grader(sandbox, cache, wall_s=test_timeout)
        statements = _statements(face, _exported(issues), called if github else "")
        where = Mine(called, mirror, at, native, grader, statements, commits, languages, collected=collected, report=screen.report)
        found, tally = dig(where, on_mined=on_mined)
    if as_json:
        rejected = {reason: list(oids) for reason, oids in tally.rejected.items()}
        mined = [row_of(one) for one in found]
        face.give({"commits": tally.commits, "candidates": tally.candidates, "mined": mined, "rejected": rejected, "said": tally.said})
        return
    for line in told(tally, found, time.monotonic() - started):
        face.say(line)


def _statements(face: Face, exported: Mapping[str, tuple[str, str]], repository: str) -> Callable[[str], tuple[str, str] | None]:
    """Return what says title and body of an issue by its number. repository: where GitHub is asked for what no export has, "" for nowhere."""
    from backstory.harness.github import IssueAddress, fetch_statement

    owner, _, name = repository.partition("/")

    def statement(number: str) -> tuple[str, str] | None:
        if number in exported or not repository:
            return exported.get(number)
        return fetch_statement(IssueAddress("github.com", owner, name, int(number)), face.github())

    return statement


def _prices(text: str | None) -> "Prices | None":
    """Return the prices that an option names."""
    from backstory.harness.report import Prices

    if text is None:
        return None
    try:
        prices = Prices(*map(float, text.split(",")))
    except (ValueError, TypeError) as error:
        raise click.BadParameter(
            "three numbers with commas between: of prompts, cached prompts and replies", param_hint="--prices"
        ) from error
    return prices


def _exported(file: Path | None) -> dict[str, tuple[str, str]]:
    """Return title and body of every issue of an export by its number. Pull requests among them are left out."""
    import json

    from backstory.errors import UserError

    if file is None:
        return {}
    try:
        rows = json.loads(file.read_text("utf-8"))
        return {str(row["number"]): (str(row["title"]), str(row.get("body") or "")) for row in rows if "pull_request" not in row}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{str(file)!r} is no export of issues: {error!r}; it is a JSON list of objects with number, title and body"
        ) from error


def fetched(face: Face, data: Path) -> Path:
    """Return where instances lie; a data set of the hub is fetched first."""
    from backstory.config import made
    from backstory.graph.lock import using_cache
    from backstory.harness.hub import PREFIX, fetch_dataset

    if not str(data).startswith(PREFIX):
        return data
    cache = made(face.folders().cache)
    with using_cache(cache), face.screen() as screen:
        screen.report("data set", 0, None)
        return fetch_dataset(data, cache_dir=cache)


def _instances(face: Face, given: dict[str, Any]) -> "list[Instance]":
    """Return the instances that are asked for, notes on the data said."""
    from backstory.errors import UserError
    from backstory.harness.data import read_dataset

    data = read_dataset(fetched(face, given["data"]), form=given["form"], judged=True, split=given["split"])
    for note in data.notes:
        face.warn(note)
    chosen = list(data.instances)
    if given["ids"]:
        listed = [id for id in given["ids"].split(",") if id]  # of many, no system takes the list for a file's name
        wanted = Path(given["ids"]).read_text("utf-8").split() if len(listed) == 1 and Path(given["ids"]).is_file() else listed
        unknown = sorted(set(wanted) - {instance.id for instance in chosen})
        if unknown:
            raise UserError(f"the data holds no instance {unknown[0]!r}")
        chosen = [instance for instance in chosen if instance.id in set(wanted)]
    return chosen[: given["limit"]]


def _batch(
    face: Face,
    batch: "Batch",
    instances: "Sequence[Instance]",
    given: dict[str, Any],
    propose: "Propose | None",
    open_model: "OpenModel | None",
    whole: "Whole",
    *,
    as_json: bool,
) -> int:
    from backstory.errors import ExitCode
    from backstory.harness.run import run_batch

    bench = _bench(face, batch, given, propose, open_model)
    with face.screen() as screen:

        def on_row(row: "Row") -> None:
            style = {"resolved": "good", "failed": "bad", "leaked": "bad"}.get(row.status, "notice")
            screen.note(f"{row.id}: {row.status.replace('_', ' ')}{f', {row.reason}' if row.reason else ''}", style=style)

        with _executor(face, given["executor"]) as perform_on:
            ended = run_batch(
                bench,
                instances,
                workers=given["workers"],
                whole=whole,
                perform_on=perform_on,
                report=screen.report,
                on_row=on_row,
                on_stage=lambda instance, stage: screen.at_work(instance.id, stage),
            )
    _told(face, batch.name, ended, as_json=as_json)
    return ExitCode.LIMIT if ended.stopped else ExitCode.VERIFIED


def _executor(face: Face, name: str) -> "AbstractContextManager[Perform | None]":
    if name == "local":
        return nullcontext()
    from backstory.harness.cluster import on_cluster

    return on_cluster(face.environ.get("RAY_ADDRESS") or "auto")


def _bench(face: Face, batch: "Batch", given: dict[str, Any], propose: "Propose | None", open_model: "OpenModel | None") -> "Bench":
    from dataclasses import replace

    from backstory.config import made
    from backstory.containers import containers_of
    from backstory.harness.images import EitherOf, Images
    from backstory.harness.instances import folder_of
    from backstory.harness.judging import Grader
    from backstory.harness.native import Native
    from backstory.harness.recipes import read_recipes
    from backstory.harness.run import Bench
    from backstory.tools.engine import open_engine
    from backstory.tools.sandbox import open_sandbox

    cache, path = made(face.folders().cache), face.environ.get("PATH", "")
    recipes = read_recipes(given["recipes"])
    folder_of("owner/name", given["repos"])  # which says at once where it is no pattern
    containers = replace(
        containers_of(face.config(), face.environ), image="", pull=given["pull"] or ("missing" if given["env"] == "docker" else "never")
    )
    images = Images(given["repos"], recipes, cache, containers, given["image"] or "")
    if given["env"] == "docker":
        open_engine(containers.engine)  # none of the instances could be judged without
        return Bench(batch, given["out"], images, Grader(None, cache), cache, path, propose, open_model)
    sandbox = open_sandbox("auto", containers)
    native = Native(given["repos"], recipes, cache, sandbox, path, _pip(face))
    places = native if given["env"] == "native" else EitherOf(images, native)
    return Bench(batch, given["out"], places, Grader(sandbox, cache), cache, path, propose, open_model)


def _graded_again(face: Face, instances: "Sequence[Instance]", given: dict[str, Any], *, as_json: bool) -> int:
    from backstory.config import made
    from backstory.harness.judging import Grader
    from backstory.harness.recipes import read_recipes
    from backstory.harness.run import Ended, grade_again, read_batch, read_rows
    from backstory.tools.sandbox import open_sandbox

    grader = Grader(open_sandbox("auto"), made(face.folders().cache))
    rows = grade_again(read_rows(given["out"]), instances, grader, read_recipes(given["recipes"]))
    _told(face, read_batch(given["out"]).name, Ended(tuple(rows), ""), as_json=as_json)
    return 0


def _told(face: Face, name: str, ended: "Ended", *, as_json: bool) -> None:
    from backstory.harness.report import as_json as in_json
    from backstory.harness.report import counts, summary, tell

    if as_json:
        face.give({**in_json(tell(name, ended.rows), None, ended.rows), "stopped": ended.stopped})
        return
    face.say(summary(tell(name, ended.rows)))
    face.say(counts(ended.rows))
    if ended.stopped:
        face.say(f"stopped: {ended.stopped}", style="notice")


def _pip(face: Face) -> "PipSettings":
    """Return how the user's pip and npm reach packages: pip's file and the variables of both, for environments that are built."""
    from backstory.tools.environment import PipSettings

    home = Path(face.environ.get("HOME", "/nonexistent"))
    named = [Path(face.environ["PIP_CONFIG_FILE"])] if "PIP_CONFIG_FILE" in face.environ else [home / name for name in PIP_FILES]
    config = next((file for file in named if file.is_file()), None)
    return PipSettings(
        config, {name: value for name, value in face.environ.items() if _OF_INSTALLERS.fullmatch(name) and name != "PIP_CONFIG_FILE"}
    )


def _replayed(settings: "ModelSettings | None") -> "ModelSettings":
    from backstory.agent.runs import ModelSettings

    return settings or ModelSettings("replay", None, None, None, 600.0)


def _true_patch(instance: "Instance") -> Any:
    from backstory.harness.predictions import Prediction

    return Prediction(instance.id, "gold", instance.patch)


def _no_patch(instance: "Instance") -> Any:
    from backstory.harness.predictions import Prediction

    return Prediction(instance.id, "empty", "")
