"""A part of the graph is written so that other programs read the same nodes and edges."""

import io
import re

import networkx
import pytest
from graphs import graph_of

from backstory.graph.export import as_dot, as_graphml, as_json, node_facts
from repos import Repo

KINDS = ("contains", "calls", "tests", "touched", "co_changed", "mentions", "renamed_from")


@pytest.fixture
def graph(tmp_path):
    """A call, a test, a renamed file, an issue number, and names that no XML can hold."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"old.py": "def price():\n    return 1\n", "odd\x01\udcff\"'.py": "def odd():\n    return 1\n"})
    repo.git("mv", "old.py", "shop.py")
    repo.commit("move it", {})
    repo.commit('say "more" <of it> for #7', {"test_shop.py": "from shop import price\n\n\ndef test_price():\n    assert price()\n"})
    graph = graph_of(repo, tmp_path)
    yield graph
    graph.close()


def test_graphml_is_read_back_with_all_it_said(graph):
    """networkx reads the same nodes, kinds, weights and evidence; what XML cannot hold comes back as escapes."""
    found = graph.subgraph(list(graph.code.files()), KINDS, 2, 100)
    read = networkx.read_graphml(io.BytesIO(as_graphml(graph, found).encode()), force_multigraph=True)
    assert len(read) == len(found) and read.number_of_edges() == found.number_of_edges()
    assert read.nodes["shop.py"]["kind"] == "file" and read.nodes["test_shop.py"]["kind"] == "test" and read.nodes["#7"]["kind"] == "issue"
    assert read.nodes["old.py"]["kind"] == "name" and read.nodes["odd\\x01\\xff\"'.py:odd"]["label"] == "odd"
    assert read.nodes[graph.at]["label"] == 'say "more" <of it> for #7'
    told = sorted(
        (source, target, values["kind"], values["weight"], values["evidence"]) for source, target, values in read.edges(data=True)
    )
    assert ("test_shop.py:test_price", "shop.py:price", "tests", 1.0, "calls it") in told


def test_json_keeps_every_name_and_edge(graph):
    """Nodes and edges are those of the subgraph, in its order, with names as they are."""
    found = graph.subgraph(["shop.py:price"], KINDS, 1, 100)
    value = as_json(graph, found)
    assert value["at"] == graph.at and [node["id"] for node in value["nodes"]] == list(found)
    assert value["nodes"][0] == {
        "id": "shop.py:price",
        "kind": "function",
        "label": "price",
        "path": "shop.py",
        "first_line": 1,
        "last_line": 2,
        "signature": "def price()",
    }
    kinds = {(edge["kind"], edge["source"]) for edge in value["edges"]}
    assert ("contains", "shop.py") in kinds and ("tests", "test_shop.py:test_price") in kinds
    assert {edge["evidence"] for edge in value["edges"] if edge["kind"] == "touched"} == {
        "the file was old.py",
        "its 2 lines first appear here",
    }


def test_dot_quotes_whatever_a_name_holds(graph):
    """Each line is a statement of quoted names; quotes, backslashes and control characters cannot end one."""
    dot = as_dot(graph, graph.subgraph([*graph.code.files(), graph.at], KINDS, 1, 100))
    name = r'"(?:[^"\\\n]|\\.)*"'
    attributes = rf"\[\w+=(?:{name}|[\w.]+)(?:, \w+=(?:{name}|[\w.]+))*\]"
    head, *statements, tail = dot.splitlines()
    assert (head, tail) == ("digraph backstory {", "}")
    for line in statements[2:]:
        assert re.fullmatch(rf"  {name}(?: -> {name})? {attributes};", line), line
    assert r'"odd\\x01\\xff\"' in dot


def test_the_past_of_a_seed_is_in_the_subgraph(graph):
    """A symbol the walk starts at has edges from the commits that touched it; one it comes upon has not."""
    assert {kind for *_, kind in graph.subgraph(["shop.py:price"], ("touched",), 1, 100).edges(keys=True)} == {"touched"}
    found = graph.subgraph(["shop.py"], ("contains", "touched"), 2, 100)
    assert not any(target == "shop.py:price" for _, target, kind in found.edges(keys=True) if kind == "touched")


def test_an_author_is_a_node(graph):
    """Linked to each commit, newest first; told by name, with how many commits are theirs."""
    author = graph.message(graph.at).author
    found = graph.subgraph([author], ("authored",), 1, 100)
    assert list(found) == [author, *(message.oid for message in graph.messages())] and found.number_of_edges() == 3
    assert node_facts(graph, author) == {"kind": "author", "label": author.partition(" <")[0], "is_bot": False, "commits": 3}
    around = graph.subgraph([graph.at], ("authored",), 2, 100)
    assert set(around) == set(found)
    assert list(graph.subgraph([author], KINDS, 1, 100)) == [author]
