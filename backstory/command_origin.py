"""`origin` and `fixes`: which commits introduced a fault, and which mended one. Only `origin --check` runs anything of the repository, in the sandbox."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstory import options
from backstory.command_fix import deliver_search, fix_request
from backstory.command_look import open_graph
from backstory.command_past import asked_place, folder_of
from backstory.face import Face

if TYPE_CHECKING:
    from backstory.agent.defect import Defect
    from backstory.agent.inducers import Inducer
    from backstory.agent.runs import ModelSettings
    from backstory.agent.trace import Json
    from backstory.config import Value
    from backstory.graph.repograph import RepoGraph
    from backstory.graph.types import Oid
    from backstory.subject import Subject

SHOWN = 10  # candidates; nine in ten true ones are among them (docs/log.md)


@click.command(
    short_help="Find the commits that introduced a fault.",
    cls=options.Command,
    examples=(
        "backstory origin 81a9eed5",
        "backstory origin --lines src/app.py:120-124",
        'backstory origin --check "pytest tests/test_dates.py"',
    ),
)
@click.argument("fix", required=False)
@click.option("--lines", metavar="PATH:FIRST-LAST", help="Faulty lines, instead of a fix.")
@click.option("--check", metavar="CMD", help="Command that fails at the fault, instead of a fix: it is run on past commits.")
@options.repo
@click.option("--at", metavar="REV", help="Commit to look from.  [default: HEAD]")
@click.option("--redact", is_flag=True, help="Do without what the fix's message says of the culprit.")
@click.option("--limit", type=click.IntRange(min=0), default=SHOWN, show_default=True, help="Candidates to show; 0 shows all.")
@options.model
@click.option("--check-timeout", type=click.FLOAT, metavar="SECONDS", help="Seconds one check may take.")
@click.option("--sandbox", type=click.Choice(["auto", "bwrap", "docker", "none"]), help="Where the check runs.  [default: auto]")
@options.as_json
@options.talk
@options.with_face
def origin(
    face: Face,
    fix: str | None,
    lines: str | None,
    check: str | None,
    repo: Path,
    at: str | None,
    redact: bool,
    limit: int,
    model: str | None,
    api_base: str | None,
    no_model: bool,
    check_timeout: float | None,
    sandbox: str | None,
    as_json: bool,
) -> int:
    """Find the commits that introduced what FIX mends, what is wrong with some lines, or what a check shows.

    FIX is a commit with one parent. Candidates are who wrote the lines it takes out and those beside them, what changed the same functions and files,
    and what changed the files that change with these; they are ranked with reasons. A check is run on past trees until the commit that broke it is
    found. A model, where there is one, reads the changes of the likeliest and says which it was.
    """
    _refuse_all_but_one(fix, lines, check)
    if check is not None:
        return _search(face, check, repo, at, as_json=as_json, flags={"check": check, "check_timeout": check_timeout, "sandbox": sandbox})
    from backstory.agent.inducers import rank_inducers
    from backstory.endpoint import model_settings
    from backstory.harness.origins import origin_json, origin_lines

    started = time.monotonic()
    with _opened(face, repo, at, fix, flags={"model": model, "api_base": api_base}) as (subject, graph, oid):
        defect = _defect(graph, subject, repo, oid, lines, redact=redact)
        pinned = graph.pinned(defect.base)
        ranked, agent = rank_inducers(pinned, defect), None
        settings = model_settings(face, subject.config.model, no_model=no_model)
        if settings is not None:
            ranked, agent = _read(face, subject, pinned, defect, ranked, settings)
        shown = limit or len(ranked)
        if as_json:
            face.give(
                {
                    "at": subject.at,
                    "fix": oid,
                    "base": defect.base,
                    "files": [piece.path for piece in defect.pieces],
                    "redacted": redact,
                    "candidates": origin_json(pinned, ranked, shown),
                    "count": len(ranked),
                    **({} if agent is None else {"agent": agent}),
                    "seconds": round(time.monotonic() - started, 3),
                }
            )
        else:
            if agent is not None and agent["reason"]:
                face.say(f"{agent['reason']}\n")
            face.say_lines(origin_lines(pinned, ranked, shown))
    return 0


@click.command(
    short_help="Find the commits that look like the fix of a described fault.",
    cls=options.Command,
    examples=('backstory fixes "crash when the list is empty"', "backstory fixes CVE-2020-1234", "backstory fixes advisory.md --json"),
)
@click.argument("argument", metavar="TEXT")
@options.repo
@click.option("--at", metavar="REV", help="Commit to look from.  [default: HEAD]")
@click.option("--limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, help="Commits to show.")
@options.as_json
@options.talk
@options.with_face
def fixes(face: Face, argument: str, repo: Path, at: str | None, limit: int, as_json: bool) -> None:
    """Find the commits that look like the fix of a described fault or advisory.

    TEXT is the description itself, a file, '-' for standard input, an advisory's id, or the address of a GitHub issue. What commits say and the lines
    they changed are searched, back from REV; one that names what TEXT names comes first.
    """
    from backstory.harness.origins import fixes_json, fixes_lines
    from backstory.memory.fixes import rank_fixes
    from backstory.subject import open_subject

    started = time.monotonic()
    issue = face.issue(argument)
    subject = open_subject(face, repo, at)
    with open_graph(face, subject, code=False) as graph:
        found = rank_fixes(issue.text, graph, limit=limit)
        if as_json:
            commits = fixes_json(graph, found)
            return face.give({"at": subject.at, "commits": commits, "seconds": round(time.monotonic() - started, 3)})
        face.say_lines(fixes_lines(graph, found))
        if not found:
            face.say("no commit shares a word with the text; name a function, a file or an error message in it")
    return None


def _refuse_all_but_one(fix: str | None, lines: str | None, check: str | None) -> None:
    given = [value for value in (fix, lines, check) if value is not None]
    if len(given) != 1:
        raise click.UsageError("give one of FIX, --lines PATH:FIRST-LAST and --check CMD", click.get_current_context())
    if not given[0].strip():
        raise click.UsageError("what was given is empty", click.get_current_context())


@contextmanager
def _opened(
    face: Face, repo: Path, at: str | None, fix: str | None, *, flags: "dict[str, Value]"
) -> "Iterator[tuple[Subject, RepoGraph, Oid | None]]":
    """Yield what to look from, its graph, and the fix. A fix that HEAD does not reach is looked at from itself."""
    from backstory.errors import UserError
    from backstory.graph.source import open_source, resolve
    from backstory.subject import open_subject

    source = open_source(repo)
    oid = None if fix is None else resolve(source, fix)
    subject = open_subject(face, repo, at or (oid if source.head is None else None), flags=flags)
    with ExitStack() as stack:
        graph = stack.enter_context(open_graph(face, subject, code=False))
        if oid is not None and oid not in graph:
            if at is not None:
                raise UserError(f"{fix!r} is no ancestor of {at!r}, so it cannot be seen from there; leave out --at")
            subject = open_subject(face, repo, oid, flags=flags)
            graph = stack.enter_context(open_graph(face, subject, code=False))
        yield subject, graph, oid


def _defect(graph: "RepoGraph", subject: "Subject", repo: Path, fix: "Oid | None", lines: str | None, *, redact: bool) -> "Defect":
    from backstory.agent.defect import defect_of_fix, defect_of_lines
    from backstory.errors import UserError

    if fix is not None:
        return defect_of_fix(graph, fix, redact=redact)
    assert lines is not None
    path, span = asked_place(graph, lines, folder_of(subject, repo))
    if span is None:
        raise UserError(f"{lines!r} names no lines; give PATH:FIRST-LAST")
    return defect_of_lines(graph, path, span)  # type: ignore[arg-type]  # only lines of a file have a span


def _read(
    face: Face, subject: "Subject", graph: "RepoGraph", defect: "Defect", ranked: "list[Inducer]", settings: "ModelSettings"
) -> "tuple[list[Inducer], dict[str, Json]]":
    """Return the ranking as a model leaves it, and what is told of its work. Raises ModelError when it cannot be asked."""
    from backstory.agent.budget import Budget
    from backstory.agent.reading import read_inducers
    from backstory.endpoint import open_model
    from backstory.errors import ModelError
    from backstory.harness.show import tokens_json

    limits = subject.config.limits
    budget = Budget(limits.budget_seconds, limits.budget_steps, limits.budget_tokens)
    asked = settings.asking(open_model(settings, subject.config.model, face.environ))
    with face.screen() as screen:
        screen.report("ask the model", 0, None)
        reading, purse = read_inducers(graph, defect, ranked, asked, budget)
    if reading.ended.why == "model":
        raise ModelError(reading.ended.note)
    usage = purse.usage
    return list(reading.ranked), {
        "model": settings.name,
        "ended": reading.ended.why,
        "note": reading.ended.note,
        "reason": reading.reason,
        "replies": reading.ended.replies,
        "tokens": tokens_json(usage),
    }


def _search(face: Face, check: str, repo: Path, at: str | None, *, as_json: bool, flags: "dict[str, Value]") -> int:
    """Run the check on past trees until the commit that broke it is found; recorded as any run is."""
    from backstory.agent.runs import fix as solve_and_record
    from backstory.issue import IssueText
    from backstory.subject import open_subject

    subject = open_subject(face, repo, at, flags=flags)
    asked = IssueText("check", check, check)
    request = replace(fix_request(face, subject.config, asked, repo=repo, base=subject.at), repair=False)
    with face.screen() as screen:
        outcome = solve_and_record(request, report=screen.report)
    return deliver_search(face, outcome, as_json=as_json)
