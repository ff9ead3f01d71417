"""`runs`, `show`, `apply` and `undo`: what became of runs, and bringing a patch into the checkout and out again."""

from pathlib import Path

import click

from backstory import options
from backstory.face import Face

DEFAULT_LIMIT = 20  # runs listed; a screenful


@click.command(short_help="List the recorded runs, newest first.", cls=options.Command, examples=("backstory runs --limit 5",))
@click.option("--limit", type=click.IntRange(min=0), default=DEFAULT_LIMIT, show_default=True, help="Runs to list; 0 is all.")
@options.as_json
@options.talk
@options.with_face
def runs(face: Face, limit: int, as_json: bool) -> None:
    """List the recorded runs, newest first: id, state, blamed commit, title and repository."""
    from backstory.agent.runs import list_runs
    from backstory.harness.show import SCHEMA_VERSION, summary_json, summary_line

    listed = list_runs(face.folders().state)[: limit or None]
    if as_json:
        return face.give({"schema": SCHEMA_VERSION, "runs": [summary_json(run) for run in listed]})
    if not listed:
        face.say("no runs yet; `backstory fix` makes one")
    for run in listed:
        face.say(summary_line(run))
    return None


@click.command(
    short_help="Tell the story of a run.",
    cls=options.Command,
    examples=(
        "backstory show last",
        "backstory show last --patch > fix.diff",
    ),
)
@click.argument("run")
@options.as_json
@click.option("--handover", "as_handover", is_flag=True, help="Print what whoever goes on needs, as Markdown.")
@click.option("--patch", "as_patch", is_flag=True, help="Print the patch alone.")
@options.talk
@options.with_face
def show(face: Face, run: str, as_json: bool, as_handover: bool, as_patch: bool) -> None:
    """Tell the story of a run: what was tried, what was found, and what came of it.

    RUN is its id, the beginning of it, or `last`.
    """
    if as_json + as_handover + as_patch > 1:
        raise click.UsageError("--json, --handover and --patch exclude each other", click.get_current_context())
    from backstory.agent.runs import open_run, request_of
    from backstory.errors import UserError
    from backstory.harness.show import handover, story_json, story_lines

    run_id, events, outcome = open_run(face.folders().state, run)
    if as_json:
        return face.give(story_json(run_id, events, outcome))
    if not as_handover and not as_patch:
        return face.say_lines(story_lines(run_id, events, outcome))
    if outcome is None:
        raise UserError(f"run {run_id} has not finished; go on with `backstory resume {run_id}`")
    if as_handover:
        return face.say(handover(request_of(events, run_id), outcome).rstrip("\n"))
    if outcome.solution.patch is None:
        raise UserError(f"run {run_id} has no patch; `backstory show {run_id}` says why")
    return face.give_bytes(outcome.solution.patch.diff)


@click.command(short_help="Bring the patch of a run into the checkout.", cls=options.Command, examples=("backstory apply last",))
@click.argument("run")
@options.talk
@options.with_face
def apply(face: Face, run: str) -> None:
    """Bring the patch of a run into the checkout it was made for: all of it, or nothing.

    Only files in the work tree change; the index, stash and branches stay. `backstory undo` restores the exact bytes.
    """
    from backstory.agent.runs import open_run, run_folder
    from backstory.errors import UserError
    from backstory.graph.mirror import open_source
    from backstory.tools.apply import apply_patch

    state = face.folders().state
    run_id, _, outcome = open_run(state, run)
    if outcome is None or outcome.solution.patch is None:
        raise UserError(f"run {run_id} has no patch to apply; `backstory show {run_id}` says why")
    source, patch = open_source(Path(outcome.repo)), outcome.solution.patch
    apply_patch(source, patch, run_folder(state, run_id) / "undo")
    if outcome.solution.status != "verified":
        face.warn("this patch is not verified")
    for path in patch.files:
        face.say(path)
    face.say(f"applied to {outcome.repo}; take it back with: backstory undo {run_id}", style="dim")


@click.command(short_help="Take the patch of a run out of the checkout again.", cls=options.Command, examples=("backstory undo last",))
@click.argument("run")
@options.talk
@options.with_face
def undo(face: Face, run: str) -> None:
    """Take the patch of a run out of the checkout again: every file gets the exact bytes it had."""
    from backstory.agent.runs import find_run, open_run, run_folder
    from backstory.errors import UserError
    from backstory.graph.mirror import open_source
    from backstory.tools.apply import undo_patch

    state = face.folders().state
    run_id = find_run(state, run)
    _, _, outcome = open_run(state, run_id)
    if outcome is None:
        raise UserError(f"run {run_id} has not finished, so there is nothing to undo")
    undo_patch(open_source(Path(outcome.repo)), run_folder(state, run_id) / "undo")
    face.say(f"{outcome.repo} is as it was before `backstory apply {run_id}`")
