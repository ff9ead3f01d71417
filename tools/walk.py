"""`walk`: what is linked to a place, in the code and back in time.

Breadth first over chosen kinds of edges, so that what is nearest is shown first and nothing in range is passed over. The answer is an indented tree: each
branch says how it is linked, in words that read from the line above. Where there is not room for all, every parent gets its share, and each says
how many more it has. A link that is not certain says how sure it is.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, get_args

from backstory.graph.types import Edge, EdgeKind, Oid, RepoPath, SymbolId
from backstory.tools.find import test_mark
from backstory.tools.page import answer, label, shown_id
from backstory.tools.spread import Branch, Link, spread
from backstory.tools.targets import File, Folder, IssueNumber, Lines, Revision, find_target, lines_of, short
from backstory.tools.tool import Arguments, Observation, Parameter, Tool, number_argument, text_argument
from backstory.tools.view import View

LIMIT = 30
MAX_LIMIT = 300
MAX_DEPTH = 6  # the whole of a program is within six calls of most functions
CODE: tuple[EdgeKind, ...] = ("contains", "imports", "calls", "inherits", "overrides", "tests")
TIME: tuple[EdgeKind, ...] = ("touched", "co_changed", "introduced", "fixed", "reverts", "mentions", "renamed_from")
KINDS = (*CODE, *TIME)
SUBJECT_CHARS = 90
STEPS = 30  # commits that a symbol is followed back through; history goes further
FILES = 5  # that change with a symbol's file, beside the symbols that change with it

Direction = Literal["uses", "used_by", "both"]

IMPLIED: tuple[tuple[EdgeKind, EdgeKind], ...] = (("calls", "tests"), ("imports", "tests"), ("mentions", "fixed"))

# What a branch says of the line above: (the line above is the source of the edge, it is the target).
WORDS: Mapping[EdgeKind, tuple[str, str]] = {
    "contains": ("contains", "is in"),
    "imports": ("imports", "imported by"),
    "calls": ("calls", "called by"),
    "inherits": ("inherits from", "inherited by"),
    "overrides": ("overrides", "overridden by"),
    "tests": ("tests", "tested by"),
    "touched": ("touched", "touched by"),
    "co_changed": ("changed with", "changed with"),
    "introduced": ("mends what came with", "mended by"),
    "fixed": ("fixed", "fixed by"),
    "reverts": ("reverts", "reverted by"),
    "mentions": ("mentions", "mentioned by"),
    "renamed_from": ("was called", "is now"),
    "authored": ("wrote", "written by"),
}


def walk_tool(view: View) -> Tool:
    """Return the tool over a view."""
    return Tool(
        "walk",
        "Show what is linked to a file, symbol, commit or issue, as a tree, nearest first. Code: calls, imports, inherits, overrides, tests, contains. Time:"
        " touched (commits that changed it), co_changed (files that change with it), introduced, fixed, reverts, mentions, renamed_from.",
        (
            Parameter("start", "string", "a path, symbol, commit id or #issue", required=True),
            Parameter(
                "kinds",
                "strings",
                "kinds of links to follow; default: the code links of a file or symbol, the past of a commit",
                choices=KINDS,
            ),
            Parameter(
                "direction",
                "string",
                "of code links. uses: what start calls (callees), imports, inherits from, overrides, contains, tests. used_by: its callers, importers,"
                " subclasses, overriders, container, tests. Time links go both ways",
                choices=get_args(Direction),
                default="both",
            ),
            Parameter("depth", "integer", "how many links from start", default=1),
            Parameter("limit", "integer", "at most so many nodes", default=LIMIT),
        ),
        "reads",
        lambda arguments: walk(view, arguments),
    )


def walk(view: View, arguments: Arguments) -> Observation:
    """Answer one call."""
    target = find_target(view, text_argument(arguments, "start"))
    match target:
        case Observation():
            return target
        case Folder():
            return answer(
                [f"{shown_id(target.path) or '.'} is a folder, which has no links; walk from one of its files"], [], more=str, ok=False
            )
        case File() | Lines():
            node = str(target.path)
            if isinstance(target, Lines):
                symbol = view.symbol_at(target.path, target.span.first)
                node = symbol.id if symbol else node
        case Revision():
            node = target.oid
        case IssueNumber():
            node = target.node
        case symbol:
            node = symbol.id
    asked = arguments["kinds"]
    kinds = tuple(kind for kind in KINDS if kind in asked) if isinstance(asked, tuple) and asked else default_kinds(view, node)
    direction: Direction = {"uses": "uses", "used_by": "used_by"}.get(text_argument(arguments, "direction"), "both")  # type: ignore[assignment]
    depth = number_argument(arguments, "depth", least=1, most=MAX_DEPTH) or 1
    limit = number_argument(arguments, "limit", least=1, most=MAX_LIMIT) or LIMIT
    root = spread(node, lambda one: links_of(view, one, kinds, direction, is_start=one == node), depth=depth, limit=limit)
    return _tree(view, root, kinds)


def default_kinds(view: View, node: str) -> tuple[EdgeKind, ...]:
    """Return the kinds followed when none are named: of code all links but, for a function, what contains it; of a commit or issue the past."""
    symbol = view.symbol(node)
    if symbol is not None and symbol.kind != "class":
        return tuple(kind for kind in CODE if kind != "contains")
    return CODE if symbol is not None or node in view else TIME


def links_of(view: View, node: str, kinds: Sequence[EdgeKind], direction: Direction, *, is_start: bool = True) -> Sequence[Link]:
    """Return what a node is linked to, by the kinds in order and each way of one.

    Then surest first, code before tests, by id; definitions by position, commits newest first. is_start: whether a symbol's past is worth following.
    """
    found: dict[str, list[tuple[int, Edge, str]]] = {}
    for order, edge in enumerate(_edges_at(view, node, kinds, is_start=is_start)):
        is_source = edge.src == node
        if edge.kind in CODE and ((direction == "uses" and not is_source) or (direction == "used_by" and is_source)):
            continue
        other = edge.dst if is_source else edge.src
        if other != node:
            found.setdefault(other, []).append(
                (order, edge, WORDS[edge.kind][0 if is_source else 1]) if edge.kind in WORDS else (order, edge, edge.kind)
            )
    rows: list[tuple[tuple[int, bool, float, bool, int, str], Link]] = []
    for other, edges in found.items():
        edges = _without_implied(edges)
        best = max(edges, key=lambda row: (row[1].weight, -row[0]))
        kind = min(kinds.index(edge.kind) for _, edge, _ in edges)
        in_time = kinds[kind] in TIME
        order = min(order for order, _, _ in edges) if in_time else _position(view, other) if kinds[kind] == "contains" else 0
        inward = all(edge.dst == node for _, edge, _ in edges)
        key = (kind, inward, 0.0 if in_time or kinds[kind] == "contains" else -best[1].weight, _is_test(view, other), order, other)
        rows.append((key, Link(other, tuple(dict.fromkeys(says for _, _, says in edges)), best[1].weight, _note(best[1]))))
    return [link for _, link in sorted(rows, key=lambda row: row[0])]


def _edges_at(view: View, node: str, kinds: Sequence[EdgeKind], *, is_start: bool) -> Iterator[Edge]:
    """Yield the edges at a node; the past of the symbol the walk starts at is followed now, as are the symbols and files that change with it."""
    yield from view.graph.edges_at(node, kinds)
    symbol = view.graph.code.symbol(SymbolId(node))
    if symbol is None or not is_start:
        return
    yield from view.graph.past_edges(symbol.id, kinds, newest=STEPS, files=FILES)


def _without_implied(edges: list[tuple[int, Edge, str]]) -> list[tuple[int, Edge, str]]:
    """Leave out that a test calls or imports what it tests, and that a commit mentions what it fixes."""
    kinds = {edge.kind for _, edge, _ in edges}
    implied = {kind for kind, by in IMPLIED if by in kinds}
    return [row for row in edges if row[1].kind not in implied]


def _note(edge: Edge) -> str:
    if edge.kind == "co_changed":
        return edge.evidence
    if edge.weight >= 1:
        return ""
    unsure = "candidates" in edge.evidence or edge.evidence.startswith("name only")
    return f"~{edge.weight:.2g} {edge.evidence if unsure or edge.kind != 'calls' else 'mentioned'}"


def _tree(view: View, root: Branch, kinds: Sequence[EdgeKind]) -> Observation:
    shown = {branch.node for branch in root.all()}
    rows = list(_rows(view, root, shown, 0))
    if not root.links:
        others = [kind for kind in (CODE if kinds[0] in CODE else TIME) if kind not in kinds]
        said = f"nothing is linked to it by {', '.join(kinds)}" + (f"; other kinds: {', '.join(others)}" if others else "")
        return answer([node_row(view, root.node), said], [], more=str)
    tail = []
    changed = sorted({path for path in view.changed if any(node == path or node.startswith(f"{path}:") for node in shown)})
    if any(branch.link and branch.link.note.startswith("~") for branch in root.all()):
        tail.append("(~: how sure, of 1)")
    if changed:
        tail.append(f"(links are those of the base; changed since: {', '.join(shown_id(path) for path in changed[:5])})")
    return answer(
        [node_row(view, root.node)], rows, tail=tail, more=lambda n: f"({n} lines did not fit; choose kinds, or walk from a node)"
    )


def _rows(view: View, branch: Branch, shown: set[str], depth: int) -> Iterable[str]:
    indent = "  " * (depth + 1)
    for inner in branch.shown:
        assert inner.link is not None
        note = f"  {label(inner.link.note, 60)}" if inner.link.note else ""
        yield f"{indent}{', '.join(inner.link.says)} {node_row(view, inner.node)}{note}"
        yield from _rows(view, inner, shown, depth + 1)
    hidden = Counter(link.says[0] for link in branch.links if link.node not in shown)
    if hidden:
        yield f"{indent}… {hidden.total()} more: {', '.join(f'{says} {count}' for says, count in hidden.items())}"


def node_row(view: View, node: str) -> str:
    """Return a node as part of a line: its id, then what tells it from others."""
    if node in view.graph:
        commit = view.graph.commit(Oid(node))
        return f"{short(commit.oid)} {commit.when:%Y-%m-%d} {label(commit.subject, SUBJECT_CHARS)}"
    symbol = view.symbol(node)
    if symbol is not None:
        return f"{shown_id(symbol.id)} {lines_of(symbol.span)}{test_mark(view, symbol.path)}"
    return f"{shown_id(node)}{test_mark(view, RepoPath(node)) if node in view else ''}"


def _position(view: View, node: str) -> int:
    symbol = view.symbol(node)
    return symbol.span.first if symbol is not None else 0


def _is_test(view: View, node: str) -> bool:
    return view.is_test(RepoPath(node.partition(":")[0]))
