"""`fix`, `resume` and `replay`: from an issue to a verified patch, once more after a crash, and once more to see that it holds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from backstory import options
from backstory.face import Face

if TYPE_CHECKING:
    from backstory.agent.runs import FixRequest, Outcome
    from backstory.agent.trace import Event
    from backstory.config import Config
    from backstory.issue import IssueText
    from backstory.subject import Subject

F = TypeVar("F", bound=Callable[..., Any])


def _result(command: F) -> F:
    command = click.option("--jsonl", "as_jsonl", is_flag=True, help="Print each event as a line of JSON, the outcome last.")(command)
    command = options.as_json(command)
    return click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the patch there as well.")(
        command
    )


@click.command(
    short_help="Find the change that broke it, repair it, prove the repair.",
    cls=options.Command,
    examples=(
        'backstory fix issue.md --repo . --check "pytest tests/test_dates.py"',
        "backstory fix https://github.com/octo/cat/issues/12 --json",
    ),
)
@click.argument("argument", metavar="ISSUE")
@options.repo
@click.option("--base", metavar="REV", help="Commit to repair.  [default: HEAD]")
@click.option("--check", metavar="CMD", help="Command that shows the fault: fails now, passes when it is mended.")
@click.option("--check-timeout", type=click.FLOAT, metavar="SECONDS", help="Seconds one check may take.")
@options.model
@click.option("--attempts", type=click.INT, metavar="N", help="Independent attempts at a repair.")
@options.budget
@click.option(
    "--sandbox", type=click.Choice(["auto", "bwrap", "docker", "none"]), help="Where commands of the repository run.  [default: auto]"
)
@click.option("--image", metavar="NAME", help="Image whose programs they run with, in containers.")
@click.option("--prepare", is_flag=True, default=None, help="Install what the repository needs first, with network.")
@_result
@click.option("--dry-run", is_flag=True, help="Say what would be done; run nothing of the repository, record nothing.")
@options.talk
@options.with_face
def fix(
    face: Face,
    /,
    argument: str,
    repo: Path,
    base: str | None,
    no_model: bool,
    out: Path | None,
    as_json: bool,
    as_jsonl: bool,
    dry_run: bool,
    **flags: Any,
) -> int:
    """Find the change that broke the code, repair it and prove the repair.

    ISSUE is a file, '-' for standard input, the text itself, or the address of a GitHub issue. The checkout, its index, stash and branches are
    never touched: the result is a patch, which `backstory apply` brings in.
    """
    from backstory.cache import remember
    from backstory.endpoint import model_settings, open_model
    from backstory.graph.mirror import find_mirror
    from backstory.subject import open_subject

    _refuse_two_formats(as_json, as_jsonl)
    _refuse_unwritable(out)
    subject = open_subject(face, repo, base, flags=flags)
    choice = subject.config.model
    issue = face.issue(argument)
    if dry_run:
        return _plan(face, subject, issue, as_json=as_json, no_model=no_model)
    from backstory.agent.runs import fix as solve_and_record  # only now: it brings everything else along

    request = fix_request(face, subject.config, issue, repo=repo, base=subject.at)
    request = replace(request, model=model_settings(face, choice, no_model=no_model))
    with face.screen() as screen:
        outcome = solve_and_record(
            request,
            report=screen.report,
            on_event=_streaming(face, as_jsonl),
            open_model=lambda settings: open_model(settings, choice, face.environ),
        )
    mirror = find_mirror(subject.source, subject.at, cache_dir=request.cache_dir)
    if mirror is not None:
        remember(mirror.folder, repo)
    return _deliver(face, outcome, out=out, as_json=as_json, as_jsonl=as_jsonl)


@click.command(
    short_help="Go on with a run that was interrupted or ran into a limit.",
    cls=options.Command,
    examples=("backstory resume last --budget-seconds 600",),
)
@click.argument("run")
@options.budget
@options.api_base
@_result
@options.talk
@options.with_face
def resume(
    face: Face,
    run: str,
    budget_seconds: float | None,
    budget_steps: int | None,
    budget_tokens: int | None,
    api_base: str | None,
    out: Path | None,
    as_json: bool,
    as_jsonl: bool,
) -> int:
    """Go on with a run that was interrupted, ran into a limit or lost its model.

    RUN is its id, the beginning of it, or `last`. A budget or an address given here takes the place of the one it began with; any other
    finished run gives its outcome again.
    """
    from backstory.config import from_flags
    from backstory.endpoint import open_model

    _refuse_two_formats(as_json, as_jsonl)
    _refuse_unwritable(out)
    choice = face.config().model
    given = {"budget_seconds": budget_seconds, "budget_steps": budget_steps, "budget_tokens": budget_tokens}
    from_flags(given)  # refuses what is out of range
    from backstory.agent.budget import Budget
    from backstory.agent.runs import open_run
    from backstory.agent.runs import resume as go_on

    budget = Budget(budget_seconds, budget_steps, budget_tokens) if any(value is not None for value in given.values()) else None
    with face.screen() as screen:
        state, write = face.folders().state, _streaming(face, as_jsonl)
        seen: list[Event] = []

        def on_event(event: "Event") -> None:
            seen.append(event)
            if write is not None:
                write(event)

        outcome = go_on(
            run,
            state_dir=state,
            report=screen.report,
            budget=budget,
            on_event=on_event,
            open_model=lambda settings: open_model(replace(settings, api_base=api_base or settings.api_base), choice, face.environ),
        )
    if write is not None and not seen:  # it had ended before
        write(open_run(state, run)[1][-1])
    return _deliver(face, outcome, out=out, as_json=as_json, as_jsonl=as_jsonl)


@click.command(short_help="Run a recorded run again and compare every step.", cls=options.Command, examples=("backstory replay last",))
@click.argument("run")
@options.as_json
@options.talk
@options.with_face
def replay(face: Face, run: str, as_json: bool) -> int:
    """Run a recorded run again, every edit and check anew, and compare each step with what was recorded.

    Ends with 0 if it arrives at the same patch, with 4 and the first difference if it does not.
    """
    from backstory.agent.runs import replay as walk_again
    from backstory.errors import ExitCode

    with face.screen() as screen:
        replayed = walk_again(run, state_dir=face.folders().state, report=screen.report)
    if as_json:
        face.give({"same": replayed.same, "divergence": replayed.divergence, "patch_tree": replayed.patch_tree})
    elif replayed.same:
        face.say("the same" + (f": patch tree {replayed.patch_tree}" if replayed.patch_tree else ", without a patch"), style="good")
    else:
        face.say(f"different: {replayed.divergence}", style="bad")
    return ExitCode.VERIFIED if replayed.same else ExitCode.UNVERIFIED


def fix_request(face: Face, config: "Config", issue: "IssueText", *, repo: Path, base: str) -> "FixRequest":
    """Return a request with what the configuration says; it names no model."""
    from backstory.agent.budget import Budget
    from backstory.agent.runs import FixRequest
    from backstory.config import made
    from backstory.containers import containers_of

    folders, active = face.folders(), face.environ.get("VIRTUAL_ENV")
    return FixRequest(
        issue_id=issue.id,
        title=issue.title,
        issue_text=issue.text,
        repo=repo.resolve(),
        base=base,
        check=config.project.check,
        attempts=config.limits.attempts,
        budget=Budget(config.limits.budget_seconds, config.limits.budget_steps, config.limits.budget_tokens),
        sandbox=config.execution.sandbox,
        prepare=config.execution.prepare,
        check_timeout_s=config.limits.check_timeout,
        exclude=config.project.exclude,
        languages=config.project.languages,
        cache_dir=made(folders.cache),
        state_dir=made(folders.state),
        active_environment=Path(active) if active else None,
        search_path=face.environ.get("PATH", ""),
        containers=containers_of(config, face.environ),
    )


def _plan(face: Face, subject: "Subject", issue: "IssueText", *, as_json: bool, no_model: bool) -> int:
    """Say what `fix` would work on. Reads only; nothing is recorded."""
    from backstory.endpoint import model_settings
    from backstory.graph.source import in_short, uncommitted

    config, changed = subject.config, uncommitted(subject.source)
    model = model_settings(face, config.model, no_model=no_model)
    plan = {
        "issue": {"id": issue.id, "title": issue.title},
        "repo": str(subject.source.path),
        "base": subject.at,
        "check": config.project.check,
        "sandbox": config.execution.sandbox,
        "attempts": config.limits.attempts,
        "model": model.name if model else None,
        "uncommitted": list(changed),
    }
    if as_json:
        face.give(plan)
        return 0
    face.say(f"issue: {issue.title} ({issue.id})")
    face.say(f"base: {subject.at} of {subject.source.path}")
    face.say(f"check: {config.project.check or 'tests that the issue names, or that belong to the places it points at'}")
    face.say(f"sandbox: {config.execution.sandbox}")
    if model is not None:
        face.say(f"model, for what history cannot mend: {model.name}")
    if changed:
        face.say(f"uncommitted, used only as far as the check names them: {in_short(subject.source, changed)}")
    return 0


def _deliver(face: Face, outcome: "Outcome", *, out: Path | None, as_json: bool, as_jsonl: bool) -> int:
    """Write the patch where it was asked for, print the outcome and return its exit code."""
    from backstory.harness.show import outcome_json, outcome_lines

    if out is not None and outcome.solution.patch is not None:
        _write_patch(out, outcome.solution.patch.diff, outcome.run_id)
    if as_json:
        face.give(outcome_json(outcome))
    elif not as_jsonl:
        face.say_lines(outcome_lines(outcome))
    return int(outcome.exit_code)


def deliver_search(face: Face, outcome: "Outcome", *, as_json: bool) -> int:
    """Print what a search of the history came to, and return its exit code."""
    from backstory.errors import ExitCode
    from backstory.harness.show import search_json, search_lines

    if as_json:
        face.give(search_json(outcome))
    else:
        face.say_lines(search_lines(outcome))
    blamed = outcome.solution.blamed
    return ExitCode.VERIFIED if blamed is not None and blamed.status == "confirmed" else outcome.exit_code


def _write_patch(out: Path, diff: bytes, run_id: str) -> None:
    from backstory.errors import StorageError

    try:
        out.write_bytes(diff)
    except OSError as error:
        raise StorageError(f"cannot write {str(out)!r}: {error.strerror}; `backstory show {run_id} --patch` prints the patch") from error


def _streaming(face: Face, as_jsonl: bool) -> "Callable[[Event], None] | None":
    """Return what writes each event as a line, or None if that was not asked for."""

    def write(event: "Event") -> None:
        face.out.write(event.to_line().decode("ascii"))
        face.out.flush()

    return write if as_jsonl else None


def _refuse_two_formats(as_json: bool, as_jsonl: bool) -> None:
    if as_json and as_jsonl:
        raise click.UsageError("--json and --jsonl exclude each other", click.get_current_context())


def _refuse_unwritable(out: Path | None) -> None:
    """Raise before any work if `--out` names a place that cannot be written."""
    if out is not None and not out.parent.is_dir():
        raise click.UsageError(f"--out {str(out)!r}: there is no folder {str(out.parent)!r}", click.get_current_context())
