"""`why`: what is asked of the past of a place. Nothing of the repository is run."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstory import options
from backstory.command_look import open_graph
from backstory.face import Face

if TYPE_CHECKING:
    from backstory.graph.repograph import RepoGraph
    from backstory.graph.types import RepoPath, Span, SymbolId
    from backstory.subject import Subject
    from backstory.tools.tool import Observation

STORY_TOKENS = 1500  # two screens, and what a model reads at once


@click.command(
    short_help="Tell the story of a file, of lines or of a symbol.",
    cls=options.Command,
    examples=("backstory why src/app.py:120-140", "backstory why Server.close --json"),
)
@click.argument("place")
@options.repo
@click.option("--at", metavar="REV", help="Commit to look from.  [default: HEAD]")
@click.option(
    "--tokens", type=click.IntRange(min=0), default=STORY_TOKENS, show_default=True, help="About how much to say; 0 is everything."
)
@options.as_json
@options.talk
@options.with_face
def why(face: Face, place: str, repo: Path, at: str | None, tokens: int, as_json: bool) -> None:
    """Tell why a place is as it is: who introduced it and why, what changed it, what was mended or undone, what moves with it, which tests hold it.

    PLACE is PATH, PATH:LINE, PATH:FIRST-LAST, or the name of a symbol. It is followed through edits, renames and moves between files; what is told
    is in the order it happened.
    """
    from backstory.graph.story import story_of
    from backstory.graph.telling import tell_story
    from backstory.harness.past import story_json
    from backstory.subject import open_subject

    started = time.monotonic()
    subject = open_subject(face, repo, at)
    with open_graph(face, subject) as graph:
        story = story_of(graph, *asked_place(graph, place, folder_of(subject, repo)))
    if as_json:
        return face.give({"at": subject.at, **story_json(story), "seconds": round(time.monotonic() - started, 3)})
    for line in tell_story(story, tokens=tokens or None):
        face.say(line.text, style=_STYLES.get(line.kind, ""))
    return None


_STYLES = {"place": "bold", "event": "", "detail": "dim", "heading": "bold"}


def folder_of(subject: "Subject", repo: Path) -> str:
    """Return where in the repository the user stands, "" at its root or outside it."""
    root = subject.source.work_tree
    here = repo.resolve()
    return "" if root is None or here == root or not here.is_relative_to(root) else here.relative_to(root).as_posix() + "/"


def why_not(found: "Observation") -> str:
    """Return in one line why nothing is meant by what was asked for, with what may have been meant or a command that looks further."""
    from backstory.tools.targets import HINT

    lines = [" ".join(line.split()) for line in found.text.splitlines()]
    return "; ".join("`backstory locate` finds places by words" if line == HINT else line for line in lines)


def asked_place(graph: "RepoGraph", asked: str, folder: str) -> "tuple[SymbolId | RepoPath, Span | None]":
    """Return the place an argument means. Raises UserError with what it may have meant."""
    from backstory.errors import UserError
    from backstory.graph.types import Symbol
    from backstory.tools.targets import File, Lines, find_target
    from backstory.tools.tool import Observation
    from backstory.tools.view import View

    view = View(graph)
    found = find_target(view, folder + asked) if folder else find_target(view, asked)
    if folder and isinstance(found, Observation):
        found = find_target(view, asked)
    match found:
        case File():
            return found.path, None
        case Lines():
            return found.path, found.span
        case Symbol():
            return found.id, None
        case Observation():
            raise UserError(why_not(found))
        case _:
            raise UserError(f"{asked!r} is no place in the code; name a file, PATH:LINE, PATH:FIRST-LAST or a symbol")
