"""`graph`: a part of the graph for other programs. Nothing of the repository is run."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstory import options
from backstory.command_look import open_graph
from backstory.face import Face

if TYPE_CHECKING:
    from backstory.graph.types import EdgeKind
    from backstory.tools.view import View

DEPTH, LIMIT = 1, 500  # the neighbours of what was named; as many nodes as a drawing can hold


@click.command(
    short_help="Write a part of the graph for other programs.",
    cls=options.Command,
    examples=(
        "backstory graph src/app.py --export dot | dot -Tsvg > app.svg",
        "backstory graph --export graphml --limit 5000 > all.graphml",
    ),
)
@click.argument("seeds", nargs=-1)
@options.repo
@click.option("--at", metavar="REV", help="Commit to look from.  [default: HEAD]")
@click.option("--export", "form", type=click.Choice(["graphml", "json", "dot"]), default="json", show_default=True, help="How to write it.")
@click.option(
    "--kind",
    "kinds",
    metavar="KIND",
    multiple=True,
    help="A kind of edge to walk; may be repeated.  [default: all but parent and authored]",
)
@click.option("--depth", type=click.IntRange(min=0), default=DEPTH, show_default=True, help="Edges to walk from the seeds, either way.")
@click.option("--limit", type=click.IntRange(min=1), default=LIMIT, show_default=True, help="Nodes to write at most, nearest first.")
@options.talk
@options.with_face
def graph(
    face: Face, seeds: tuple[str, ...], repo: Path, at: str | None, form: str, kinds: tuple[str, ...], depth: int, limit: int
) -> None:
    """Write the part of the graph around SEEDS: files, symbols, lines, commits, issue numbers (#123) or authors; around every source file when none is named.

    Every edge carries its kind, how sure it is (weight), and what it rests on (evidence).
    """
    from backstory.graph.export import WRITERS, as_json
    from backstory.subject import open_subject
    from backstory.tools.view import View

    wanted = _kinds(kinds)
    subject = open_subject(face, repo, at)
    with open_graph(face, subject) as whole:
        view = View(whole)
        nodes = [_seed(view, seed) for seed in seeds] or list(whole.code.files())
        found = whole.subgraph(nodes, wanted, depth, limit)
        if form == "json":
            return face.give(as_json(whole, found))
        return face.give_bytes(WRITERS[form](whole, found).encode("utf-8", "replace"))  # type: ignore[index]


def _kinds(named: tuple[str, ...]) -> "list[EdgeKind]":
    """Return the kinds of edges to walk. Raises UserError for one that is none."""
    from typing import get_args

    from backstory.errors import UserError
    from backstory.graph.types import EdgeKind

    known: list[EdgeKind] = list(get_args(EdgeKind))
    for kind in named:
        if kind not in known:
            raise UserError(f"{kind!r} is no kind of edge; there are {', '.join(known)}")
    return [kind for kind in known if (kind in named if named else kind not in ("parent", "authored"))]


def _seed(view: "View", asked: str) -> str:
    """Return the node an argument means. Raises UserError with what it may have meant."""
    from backstory.command_past import why_not
    from backstory.errors import UserError
    from backstory.graph.types import Symbol
    from backstory.tools.targets import File, IssueNumber, Lines, Revision, find_target
    from backstory.tools.tool import Observation

    found = find_target(view, asked)
    match found:
        case File():
            return found.path
        case Lines():
            symbol = view.graph.code.symbol_at(found.path, found.span.first)
            return found.path if symbol is None else symbol.id
        case Symbol():
            return found.id
        case Revision():
            return found.oid
        case IssueNumber():
            return found.node
        case Observation():
            authors = [author for author in view.graph.authors() if asked in (author, author.partition(" <")[0])]
            if len(authors) == 1:
                return authors[0]
            if authors:
                raise UserError(f"{asked!r} has several addresses; name one: {', '.join(repr(author) for author in authors)}")
            raise UserError(why_not(found))
        case _:
            raise UserError(f"{asked!r} is a folder; name a file, a symbol, a commit or an issue number")
