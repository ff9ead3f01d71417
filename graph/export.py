"""A part of the graph as text for other programs: GraphML, JSON or DOT.

What is written is what `RepoGraph.subgraph` found, with what each node is. Names and messages are foreign text: GraphML can hold neither control
characters nor bytes that are not UTF-8, so there and in DOT these are written as escapes; JSON keeps them.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from backstory.graph.history import is_bot
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Oid, RepoPath, SymbolId

if TYPE_CHECKING:
    import networkx

Format = Literal["graphml", "json", "dot"]
NodeFacts = Mapping[str, str | int]
"""What is said of a node: always `kind` ("commit", "file", "test", "class", "function", "method", "issue", "author" or "name", one a file had once) and `label`."""

SHORT_OID = 12  # digits of a commit shown to a person
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # the complement of XML 1.0's Char
_SHAPES = {"commit": "ellipse", "file": "folder", "test": "note", "issue": "diamond", "name": "plaintext", "author": "house"}


def node_facts(graph: RepoGraph, node: str) -> NodeFacts:
    """Return what a node is, and what a person wants to read beside it."""
    if node in graph:
        message = graph.message(Oid(node))
        return {
            "kind": "commit",
            "label": message.subject,
            "author": message.author,
            "is_bot": message.is_bot,
            "when": message.when.isoformat(),
        }
    if RepoPath(node) in graph.files():
        return {"kind": "test" if graph.code.is_test(RepoPath(node)) else "file", "label": node}
    symbol = graph.code.symbol(SymbolId(node))
    if symbol is not None:
        return {
            "kind": symbol.kind,
            "label": symbol.qualname,
            "path": symbol.path,
            "first_line": symbol.span.first,
            "last_line": symbol.span.last,
            "signature": symbol.signature,
        }
    if node in graph.authors():
        return {"kind": "author", "label": node.partition(" <")[0], "is_bot": is_bot(node), "commits": len(graph.authors()[node])}
    return {"kind": "issue" if re.fullmatch(r"#\d+", node) else "name", "label": node}


def as_json(graph: RepoGraph, found: "networkx.MultiDiGraph[str]") -> dict[str, object]:
    """Return a part of the graph as a value for JSON: nodes and edges, in the order they were found."""
    return {
        "at": graph.at,
        "nodes": [{"id": node, **node_facts(graph, node)} for node in found.nodes],
        "edges": [
            {"kind": kind, "source": source, "target": target, "weight": values["weight"], "evidence": values["evidence"]}
            for source, target, kind, values in found.edges(keys=True, data=True)
        ],
    }


def as_graphml(graph: RepoGraph, found: "networkx.MultiDiGraph[str]") -> str:
    """Return a part of the graph as GraphML (http://graphml.graphdrawing.org), which Gephi, yEd and networkx read."""
    import networkx

    plain: networkx.MultiDiGraph[str] = networkx.MultiDiGraph()
    for node in found.nodes:
        plain.add_node(_writable(node), **_written(node_facts(graph, node)))
    for number, (source, target, kind, values) in enumerate(found.edges(keys=True, data=True)):  # ids of edges must differ
        plain.add_edge(_writable(source), _writable(target), key=f"e{number}", kind=kind, **_written(values))
    return "\n".join(networkx.generate_graphml(plain)) + "\n"


def as_dot(graph: RepoGraph, found: "networkx.MultiDiGraph[str]") -> str:
    """Return a part of the graph in Graphviz's DOT language; edges found by name alone and the like are drawn thin."""
    lines = ["digraph backstory {", "  rankdir=LR;", "  node [fontname=sans, shape=box];"]
    for node in found.nodes:
        facts = node_facts(graph, node)
        label = f"{node[:SHORT_OID]} {facts['label']}" if facts["kind"] == "commit" else str(facts["label"])
        lines.append(f"  {_quoted(node)} [label={_quoted(label)}, shape={_SHAPES.get(str(facts['kind']), 'box')}];")
    for source, target, kind, values in found.edges(keys=True, data=True):
        width = min(2.0, max(0.3, values["weight"]))
        lines.append(
            f"  {_quoted(source)} -> {_quoted(target)} [label={_quoted(kind)}, tooltip={_quoted(values['evidence'])}, penwidth={width:.2f}];"
        )
    return "\n".join([*lines, "}"]) + "\n"


WRITERS: Mapping[Literal["graphml", "dot"], Callable[[RepoGraph, "networkx.MultiDiGraph[str]"], str]] = {
    "graphml": as_graphml,
    "dot": as_dot,
}


def _written(values: Mapping[str, str | int | float]) -> dict[str, str | int | float]:
    return {name: _writable(value) if isinstance(value, str) else value for name, value in values.items()}


def _writable(text: str) -> str:
    r"""Return text with what XML cannot hold as escapes; a byte that is not UTF-8 as the byte it is.

    >>> print(_writable("a\x00b\udcff"))
    a\x00b\xff
    """
    return _UNWRITABLE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}" if ord(found[0]) < 0x100 or found[0] >= "\udc80" else "\\?", text)


def _quoted(text: str) -> str:
    """Return text as a DOT string."""
    escaped = _writable(text).replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "\\n")
    return f'"{escaped}"'
