"""`index` and `locate`: what a repository's past holds, and where an issue points. Neither runs anything of the repository."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstory import options
from backstory.face import Face

if TYPE_CHECKING:
    from backstory.agent.localize import Localization
    from backstory.agent.runs import ModelSettings
    from backstory.agent.trace import Json
    from backstory.graph.repograph import RepoGraph
    from backstory.graph.verify import Verified
    from backstory.issue import IssueText
    from backstory.subject import Subject

DIFFERENCES_SHOWN = 20
DEFAULT_LIMIT = 10  # files and places shown; what a person reads through
UNSURE = 0.6  # about a quarter of real issues get less, and their first file was right half of the time (docs/localizer.md)


@click.command(
    short_help="Read a repository's history and code into the store.", cls=options.Command, examples=("backstory index --repo . --json",)
)
@options.repo
@click.option("--at", metavar="REV", help="Commit to look at.  [default: HEAD]")
@click.option(
    "--origins", is_flag=True, help="Find which commit every line comes from too, all files at once; blame is not needed any more then."
)
@click.option(
    "--verify",
    type=click.Choice(["sample", "all"]),
    is_flag=False,
    flag_value="sample",
    help="Derive a sample of what is stored again, or all, say what differs, and make that anew.",
)
@options.as_json
@options.talk
@options.with_face
def index(face: Face, repo: Path, at: str | None, origins: bool, verify: str | None, as_json: bool) -> None:
    """Read a repository's history and code into the store.

    A second run does no work. The other commands do this by themselves when it is needed.
    """
    from backstory.subject import open_subject

    started = time.monotonic()
    subject = open_subject(face, repo, at)
    verified = None if verify is None else _verified(face, subject, everything=verify == "all")
    with open_graph(face, subject) as graph:
        counts, worked = graph.counts(), graph.built.did_work
        worked |= bool(origins and graph.origins())
        unsure = len(graph.rename_limited())
    if unsure:
        face.warn(
            f"in {unsure} commits git looks for exact renames only, so many files changed; a file moved and edited there begins there"
        )
    seconds = round(time.monotonic() - started, 3)
    edges = dict(sorted(counts.edges.items()))
    if as_json:
        numbers = {"commits": counts.commits, "files": counts.files, "symbols": counts.symbols, "edges": edges}
        told = {} if verified is None else {"verified": _verified_json(verified)}
        return face.give({"at": subject.at, **numbers, **told, "seconds": seconds, "done": worked})
    face.say(f"{counts.commits:,} commits, {counts.files:,} files, {counts.symbols:,} symbols at {subject.at[:12]}")
    for kind, count in edges.items():
        if count:
            face.say(f"  {count:>9,}  {kind}")
    if verified is not None:
        checked = ", ".join(f"{count:,} {kind}" for kind, count in verified.checked.items() if count)
        face.say(f"derived again and compared: {checked}; {len(verified.differences)} differ")
        for difference in verified.differences[:DIFFERENCES_SHOWN]:
            face.say(f"  {difference.kind}: {difference.what} {difference.note}")
        if verified.differences:
            face.say("what differs was made anew with everything of its kind")
    face.say(f"{'indexed' if worked else 'nothing to do'}, {seconds:.1f} s", style="dim")
    return None


@click.command(
    short_help="Find where the code must change for an issue.",
    cls=options.Command,
    examples=("backstory locate --repo . --issue issue.md",),
)
@options.repo
@click.option("--at", metavar="REV", help="Commit to look at.  [default: HEAD]")
@click.option("--issue", "argument", metavar="ISSUE", required=True, help="A file, '-', the text itself, or the address of a GitHub issue.")
@click.option("--limit", type=click.IntRange(min=0), default=DEFAULT_LIMIT, show_default=True, help="Files and places to show; 0 is all.")
@options.model
@options.as_json
@options.talk
@options.with_face
def locate(
    face: Face,
    repo: Path,
    at: str | None,
    argument: str,
    limit: int,
    model: str | None,
    api_base: str | None,
    no_model: bool,
    as_json: bool,
) -> None:
    """Find where the code must change for an issue, best place first, and say why."""
    from backstory.endpoint import model_settings
    from backstory.subject import counting, open_subject

    started = time.monotonic()
    subject = open_subject(face, repo, at, flags={"model": model, "api_base": api_base})
    issue, counts = face.issue(argument), counting(subject.config)
    from backstory.agent.localize import LOOKED_AT, localize
    from backstory.harness.show import location_lines, locations_json

    settings, agent = model_settings(face, subject.config.model, no_model=no_model), None
    with open_graph(face, subject) as graph:
        # A model reads further down the list than a person, and what it names is put before the rest.
        found = localize(graph, issue.text, limit=0 if limit == 0 else max(limit, LOOKED_AT), keep=counts)
        if settings is not None:
            found, agent = _ask(face, subject, graph, issue, found, settings)
    files = [file for file in found.files if counts(file.path)][: limit or None]
    places = [place for place in found.locations if counts(place.path)][: limit or None]
    if as_json:
        rows = [
            {
                "path": file.path,
                "score": round(file.score, 6),
                "why": [{"kind": item.kind, "ref": item.ref, "note": item.note} for item in file.why],
            }
            for file in files
        ]
        spoken = {} if agent is None else {"agent": agent}
        return face.give(
            {
                "at": subject.at,
                "confidence": None if found.confidence is None else round(found.confidence, 3),
                "files": rows,
                "locations": locations_json(places),
                **spoken,
                "seconds": round(time.monotonic() - started, 3),
            }
        )
    if agent is not None and agent["diagnosis"]:
        face.say(f"{agent['diagnosis']}\n")
    if found.confidence is not None and found.confidence < UNSURE and files:
        face.say(f"not sure: of a hundred such answers the first file is right in {100 * found.confidence:.0f}\n", style="dim")
    for file in files:
        face.say(f"{file.score:.2f}  {file.path}", style="name")
        for item in file.why[:2]:
            face.say(f"      {' '.join(item.note.split())}")
    if not files:
        face.say("nothing in this repository matches the issue; name a file, a function or an error message in it")
    face.say_lines(location_lines(places))
    return None


def _ask(
    face: Face, subject: "Subject", graph: "RepoGraph", issue: "IssueText", found: "Localization", settings: "ModelSettings"
) -> "tuple[Localization, dict[str, Json]]":
    """Return the ranking as a model leaves it, and what is told of its work. Raises ModelError when it cannot be asked."""
    from backstory.agent.budget import Budget
    from backstory.agent.localizer import locate_with_model
    from backstory.agent.types import Issue
    from backstory.endpoint import open_model
    from backstory.errors import ModelError
    from backstory.harness.show import tokens_json

    limits = subject.config.limits
    budget = Budget(limits.budget_seconds, limits.budget_steps, limits.budget_tokens)
    with face.screen() as screen:
        screen.report("ask the model", 0, None)
        findings, purse = locate_with_model(
            graph,
            Issue(issue.id, str(subject.source.path), subject.at, issue.title, issue.text),
            found,
            settings.asking(open_model(settings, subject.config.model, face.environ)),
            budget,
        )
    ended = findings.ended
    assert ended is not None
    if ended.why == "model":
        raise ModelError(ended.note)
    usage = purse.usage
    return findings.joined(found), {
        "model": settings.name,
        "ended": ended.why,
        "note": ended.note,
        "diagnosis": findings.diagnosis,
        "replies": ended.replies,
        "tokens": tokens_json(usage),
    }


def _verified(face: Face, subject: "Subject", *, everything: bool) -> "Verified":
    """Compare what is stored with what is derived again, and drop what differs. Whatever is missing is read first."""
    from backstory.graph.verify import forget, verify

    with open_graph(face, subject) as graph:
        with face.screen() as screen:
            verified = verify(graph, everything=everything, report=screen.report)
        if verified.differences:
            forget(graph, verified.differences)
    return verified


def _verified_json(verified: "Verified") -> "dict[str, Json]":
    rows: list[Json] = [{"kind": row.kind, "what": row.what, "note": row.note} for row in verified.differences]
    return {"checked": {str(kind): count for kind, count in verified.checked.items()}, "differences": rows}


@contextmanager
def open_graph(face: Face, subject: "Subject", *, code: bool = True) -> "Iterator[RepoGraph]":
    """Yield the graph of a subject, built with progress shown and with its notes said. code: whether the code is parsed now."""
    from backstory.cache import remember
    from backstory.config import made
    from backstory.graph.build import ALL_TIERS, HISTORY_TIERS, build_graph
    from backstory.graph.lock import using_cache
    from backstory.graph.source import circumstances

    cache = made(face.folders().cache)
    with using_cache(cache):
        with face.screen() as screen:
            graph = build_graph(
                subject.source, subject.at, cache_dir=cache, tiers=ALL_TIERS if code else HISTORY_TIERS, report=screen.report
            )
        try:
            remember(graph.mirror.folder, subject.source.path)
            if graph.built.damage:
                face.warn(f"what was stored could not be read and was made anew ({graph.built.damage.partition(';')[0]})")
            for note in circumstances(subject.source):
                face.warn(note)
            yield graph
        finally:
            graph.close()
