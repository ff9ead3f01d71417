"""Edges from fixes to the commits that wrote what they took out."""

import pytest
from graphs import graph_of

from backstory.errors import StorageError
from backstory.graph.introduced import pack_counts, spans_of, telling, unpack_counts
from repos import Repo

ONE = "def f():\n    a = one()\n    b = two()\n    # why\n    return a + b\n"


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit("First", {"a.py": ONE, "NEWS": "1\n"})
    repo.commit("Second", {"a.py": ONE.replace("two()", "too()")})
    fixed = ONE.replace("one()", "won()").replace("two()", "tow()").replace("# why", "# because")
    repo.commit("Fix f", {"a.py": fixed, "NEWS": "2\n"})
    return repo


def test_a_fix_has_an_edge_to_each_writer_of_its_removed_lines(repo, tmp_path):
    """Weights are shares of the telling lines, most first; comments and change logs do not count; a second question reads what was kept."""
    graph = graph_of(repo, tmp_path / "cache")
    edges = graph.introduced(repo.head)
    first, second = repo.git("rev-parse", "HEAD~2"), repo.git("rev-parse", "HEAD~1")
    assert {(edge.kind, edge.src, edge.dst, edge.weight) for edge in edges} == {
        ("introduced", repo.head, first, 0.5),
        ("introduced", repo.head, second, 0.5),
    }
    assert edges[0].evidence == "wrote 1 of the 2 lines it took out"
    assert graph.introduced(repo.head) == edges


def test_only_what_says_it_mends_is_an_edge_of_the_walk(repo, tmp_path):
    """Of the edges at a commit a fix has those to the writers, a writer those from later fixes; other changes of its lines are none."""
    graph = graph_of(repo, tmp_path / "cache")
    first, second = repo.git("rev-parse", "HEAD~2"), repo.git("rev-parse", "HEAD~1")
    assert {edge.dst for edge in graph.edges_at(repo.head, ("introduced",))} == {first, second}
    assert [(edge.src, edge.dst) for edge in graph.edges_at(first, ("introduced",))] == [(repo.head, first)]
    assert graph.edges_at(second, ("introduced",)) == graph.mended(second) and graph.introduced(second)[0].dst == first
    walked = graph.subgraph([first], ("introduced",), depth=2, limit=10)
    assert set(walked.nodes) == {first, second, repo.head}
    assert graph.pinned(second).edges_at(first, ("introduced",)) == []


def test_commits_that_take_nothing_out_have_none(repo, tmp_path):
    """A root, a merge and an insertion introduce nothing that was there; a commit out of sight is a KeyError."""
    repo.git("checkout", "-q", "-b", "side")
    inserted = repo.commit("Add", {"b.py": "x = 1\n"})
    repo.git("checkout", "-q", "main")
    merge = repo.merge("side", "Merge side")
    graph = graph_of(repo, tmp_path / "cache")
    root = repo.git("rev-list", "--max-parents=0", "HEAD")
    assert [graph.introduced(oid) for oid in (root, merge, inserted)] == [[], [], []]
    with pytest.raises(KeyError):
        graph.pinned(root).introduced(merge)


def test_a_graph_pinned_at_an_ancestor_sees_only_its_past(repo, tmp_path):
    """The same store shows an older commit's past; a commit that is no ancestor cannot be pinned."""
    graph = graph_of(repo, tmp_path / "cache")
    older = graph.pinned(repo.git("rev-parse", "HEAD~1"))
    assert len(older) == 2 and repo.head not in older
    with pytest.raises(KeyError):
        older.pinned(repo.head)


@pytest.mark.parametrize("line", [b"", b"   }", b"*/", b"// so", b"/* so */", b"# so", b"import os", b"return;", b"} else {"])
def test_lines_that_decide_nothing(line):
    """Brackets, comments, imports and bare keywords can carry no fault."""
    assert not telling(line)


@pytest.mark.parametrize("line", [b"x = 1", b"#if A", b"return x;", b"*p = 3;", b"} else if (x) {", b"importance = 3"])
def test_lines_that_may_decide_something(line):
    """What can change behaviour can carry a fault."""
    assert telling(line)


def test_kept_counts_survive_the_round_trip_and_damage_is_told():
    """What is packed is unpacked; damaged bytes are a StorageError, not a guess."""
    counted = [("a" * 40, 3), ("b" * 40, 1)]
    assert unpack_counts(pack_counts(counted)) == counted
    assert spans_of([]) == []
    with pytest.raises(StorageError, match="damaged"):
        unpack_counts(b"no")
