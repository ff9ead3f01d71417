"""`cache`, `doctor`, `config` and the hidden `action`: what Backstory keeps, whether it can run here, and what steers it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstory import options
from backstory.face import Face

if TYPE_CHECKING:
    from backstory.cache import Kept
    from backstory.config import Layer, Value


@click.group(
    short_help="List or clear what is kept about repositories.",
    cls=options.Group,
    examples=(
        "backstory cache list",
        "backstory cache clear 3f2a --yes",
    ),
)
def cache() -> None:
    """List or clear what is kept about repositories: mirrors, graphs, verdicts, prepared environments.

    Everything in it can be made again. Runs are not part of it.
    """


@cache.command("list", short_help="List what is kept, with sizes.", cls=options.Command, examples=("backstory cache list",))
@options.as_json
@options.talk
@options.with_face
def cache_list(face: Face, as_json: bool) -> None:
    """List what is kept, with sizes, largest first."""
    from backstory.cache import kept_in

    folder = face.folders().cache
    kept = kept_in(folder)
    if as_json:
        rows = [{"name": item.name, "kind": item.kind, "bytes": item.size, "used": item.used, "note": item.note} for item in kept]
        return face.give({"folder": str(folder), "bytes": sum(item.size for item in kept), "kept": rows})
    for item in kept:
        face.say(f"{item.name:<20} {item.kind:<12} {_megabytes(item.size):>10}  {item.used[:10]}  {item.note}".rstrip())
    face.say(f"{_megabytes(sum(item.size for item in kept))} in {folder}", style="dim")
    return None


@cache.command("clear", short_help="Remove one thing that is kept, or all.", cls=options.Command, examples=("backstory cache clear --yes",))
@click.argument("name", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.talk
@options.with_face
def cache_clear(face: Face, name: str | None, yes: bool) -> None:
    """Remove what is kept under NAME (the beginning of it is enough), or everything.

    Refused while another command is using the cache.
    """
    from backstory.cache import chosen, kept_in, remove
    from backstory.graph.lock import clearing_cache

    folder = face.folders().cache
    going = chosen(kept_in(folder), name)
    if not going:
        return face.say(f"nothing is kept in {folder}")
    _confirm(face, going, yes=yes)
    with clearing_cache(folder):
        for item in going:
            remove(folder, item)
            face.say(f"removed {item.name} ({_megabytes(item.size)})")
    return None


def _confirm(face: Face, going: "list[Kept]", *, yes: bool) -> None:
    from backstory.errors import UserError

    if yes:
        return
    if not face.stdin.isatty():
        raise UserError("nobody to ask whether to remove it; pass --yes")
    size = _megabytes(sum(item.size for item in going))
    if not click.confirm(f"Remove {', '.join(item.name for item in going)} ({size})?", err=True):
        raise click.Abort


@click.command(
    short_help="Look whether everything a run needs is here.",
    cls=options.Command,
    examples=("backstory doctor", "backstory doctor --model hosted_vllm/NAME --api-base http://127.0.0.1:8000/v1"),
)
@options.model
@options.as_json
@options.talk
@options.with_face
def doctor(face: Face, model: str | None, api_base: str | None, no_model: bool, as_json: bool) -> int:
    """Look whether everything a run needs is here, and say what to do if not. A model that is named or configured is asked for one short reply.

    Ends with 0, with 6 if there is no sandbox, with 9 if nothing can be kept, with 2 for anything else that is missing here, with 7 for a model
    that does not answer or calls no tool.
    """
    from backstory.containers import containers_of
    from backstory.endpoint import model_settings, open_model
    from backstory.harness.doctor import examine, examine_model, verdict

    folders = face.folders()
    config = face.config({"model": model, "api_base": api_base})
    choice, containers = config.model, containers_of(config, face.environ)
    settings = model_settings(face, choice, no_model=no_model)
    findings = examine(cache_dir=folders.cache, state_dir=folders.state, containers=containers)
    if settings is not None:
        findings += examine_model(open_model(settings, choice, face.environ))
    code = verdict(findings)
    if as_json:
        rows = [
            {"name": finding.name, "ok": finding.ok, "said": finding.said, "remedy": None if finding.ok else finding.remedy}
            for finding in findings
        ]
        face.give({"ok": code == 0, "findings": rows})
        return int(code)
    for finding in findings:
        face.say(f"{'ok  ' if finding.ok else 'BAD '} {finding.name}: {finding.said}", style="" if finding.ok else "bad")
        if not finding.ok:
            face.say(f"     {finding.remedy}")
    return int(code)


@click.group(short_help="Show what steers a run.", cls=options.Group, examples=("backstory config show --origin",))
def config() -> None:
    """Show what steers a run."""


@config.command("show", short_help="Print every value in force.", cls=options.Command, examples=("backstory config show --origin",))
@options.repo
@click.option("--base", metavar="REV", help="Commit whose pyproject.toml counts.  [default: HEAD]")
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@options.as_json
@options.talk
@options.with_face
def config_show(face: Face, repo: Path, base: str | None, origin: bool, as_json: bool) -> None:
    """Print every value in force, and where it comes from with --origin.

    Outside a repository the project says nothing. The folders can be moved by BACKSTORY_CACHE_DIR, BACKSTORY_STATE_DIR and BACKSTORY_CONFIG_DIR.
    """
    loaded = face.config(project=_project(repo, base))
    folders = face.folders()
    places = {"cache_dir": str(folders.cache), "state_dir": str(folders.state), "config_dir": str(folders.config)}
    if as_json:
        values = {name: {"value": value, "origin": loaded.origins[name]} for name, value in loaded.values().items()}
        return face.give({"values": values, "folders": places})
    for name, value in loaded.values().items():
        face.say(f"{name} = {_written(value)}" + (f"  ({loaded.origins[name]})" if origin else ""))
    for name, place in places.items():
        variable = f"BACKSTORY_{name.upper()}"
        where = f"  ({'environment' if face.environ.get(variable) else 'default'})" if origin else ""
        face.say(f"{name} = {_written(place)}{where}")
    return None


def _project(repo: Path, base: str | None) -> "Layer | None":
    """Return what the project at `base` says; outside a repository, and when neither was asked for, nothing."""
    from backstory.errors import UserError
    from backstory.graph.mirror import open_source, resolve
    from backstory.subject import project_layer

    try:
        source = open_source(repo)
        return project_layer(source, resolve(source, "HEAD" if base is None else base))
    except UserError:
        if base is not None or repo != Path():
            raise
        return None


@click.command(
    hidden=True, short_help="Write a job summary for a GitHub event.", cls=options.Command, examples=("backstory action --repo .",)
)
@options.repo
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Places and commits to list.")
@options.talk
@options.with_face
def action(face: Face, repo: Path, limit: int) -> None:
    """Write where to look for the issue or pull request of a GitHub event into the job summary.

    Reads GITHUB_EVENT_PATH, appends to GITHUB_STEP_SUMMARY, runs nothing of the repository. action.yml calls it.
    """
    from backstory.agent.localize import LOOKED_AT, localize
    from backstory.agent.suspects import rank_suspects
    from backstory.command_look import open_graph
    from backstory.graph.source import circumstances
    from backstory.harness.action import asked_by, summary
    from backstory.harness.untrusted import inert_log
    from backstory.issue import issue_from_text
    from backstory.subject import counting, open_subject
    from backstory.tools.visible import one_line

    asked = asked_by(_event(face))
    issue = issue_from_text(asked.text, id=asked.id, title=asked.title)
    subject = open_subject(face, repo, asked.base)
    with open_graph(face, subject) as graph:
        found = localize(graph, issue.text, limit=LOOKED_AT, keep=counting(subject.config))
        suspects = rank_suspects(graph, text=issue.text, localization=found)[:limit]
        text = summary(
            title=issue.title,
            at=subject.at,
            places=found.locations[:limit],
            suspects=suspects,
            commits={suspect.commit: graph.commit(suspect.commit) for suspect in suspects},
            notes=(*issue.notes, *circumstances(subject.source)),
        )
    target = face.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        return face.say(text)
    with Path(target).open("a", encoding="utf-8") as file:
        file.write(text)
    return face.say(inert_log(f"summary written for {one_line(asked.id)}"))


def _event(face: Face) -> bytes:
    from backstory.errors import UserError

    path = face.environ.get("GITHUB_EVENT_PATH")
    if not path:
        raise UserError("GITHUB_EVENT_PATH is not set; run this inside a GitHub workflow")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the event in {path!r}: {error.strerror}") from error


def _written(value: "Value") -> str:
    """Return a value as TOML would have it; "-" for none."""
    import json

    if value is None:
        return "-"
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:,.1f} MB"
