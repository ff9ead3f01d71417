"""What is stored is what would be derived again, and where it is not, that is found and mended."""

import pytest
from graphs import graph_of

from backstory.graph.store import Store
from backstory.graph.types import Oid, RepoPath, Span, SymbolId
from backstory.graph.verify import forget, verify
from repos import Repo

SHOP = "class Shop:\n    def price(self):\n        return tax({0})\n\n\ndef tax(value):\n    return value\n"


@pytest.fixture
def repo(tmp_path):
    """A merge, a rename, a fix, several languages, and a file that is not parsed."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"a.py": SHOP.format(1), "b.js": "function f() { return 1 }\n", "notes": "x\ny\n", "raw.py": b"\0\1"})
    repo.git("checkout", "-q", "-b", "side")
    repo.commit("side", {"notes": "x\ny\nz\n"})
    repo.git("checkout", "-q", "main")
    repo.commit("edit", {"a.py": SHOP.format(2)})
    repo.merge("side", "join")
    repo.git("mv", "a.py", "shop.py")
    repo.commit("move")
    repo.commit("Fix the price", {"shop.py": SHOP.format(3)})
    return repo


def asked(repo, tmp_path):
    """Return the graph of a repository after one question of each kind."""
    graph = graph_of(repo, tmp_path)
    graph.history(SymbolId("shop.py:Shop.price"))
    graph.history(RepoPath("shop.py"), Span(3, 3))
    graph.symbols_touched([Oid(repo.head), Oid(repo.git("rev-parse", "HEAD~1^"))])
    graph.introduced(Oid(repo.head))
    graph.origin(RepoPath("notes"))
    graph.defined_in(Oid(repo.git("rev-parse", "HEAD~1^:a.py")), RepoPath("a.py"))
    graph.origins()
    return graph


@pytest.mark.parametrize("everything", [False, True])
def test_nothing_differs_in_a_sound_store(repo, tmp_path, everything):
    """Each kind of row was looked at, and each is what it was."""
    graph = asked(repo, tmp_path)
    verified = verify(graph, everything=everything)
    assert verified.differences == []
    assert verified.checked["commits"] == 6 and verified.checked["parses"] == 3 and verified.checked["histories"] == 2
    assert all(verified.checked.values())


DAMAGES = {
    "commits": "UPDATE messages SET subject = 'two' WHERE subject = 'one'",
    "lines": "UPDATE hunks SET payload = x'00000000' WHERE commit_id = 2",
    "parses": "UPDATE parses SET payload = (SELECT max(payload) FROM parses)",
    "links": "UPDATE snapshots SET payload = x'00'",
    "outlines": "UPDATE derived SET payload = x'00' WHERE kind = 'outline'",
    "histories": "UPDATE derived SET payload = (SELECT max(payload) FROM derived WHERE kind = 'history') WHERE kind = 'history'",
    "symbols": "UPDATE derived SET payload = (SELECT max(payload) FROM derived WHERE kind = 'symbols') WHERE kind = 'symbols'",
    "introduced": "UPDATE derived SET payload = x'789c03000000000001' WHERE kind = 'introduced'",
    "origins": "UPDATE derived SET payload = (SELECT max(payload) FROM derived WHERE kind = 'origin') WHERE kind = 'origin'",
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_row_that_is_wrong_is_found_and_made_anew(repo, tmp_path, kind):
    """A wrong row is told under its kind, and after it was forgotten, building and asking again leave nothing that differs."""
    graph = asked(repo, tmp_path)
    with graph.store.transaction():
        graph.store.write(DAMAGES[kind], [()])
    differences = verify(graph, everything=True).differences
    assert differences and {difference.kind for difference in differences} == {kind}
    forget(graph, differences)
    graph.close()
    assert verify(asked(repo, tmp_path), everything=True).differences == []


def test_a_commit_that_is_missing_or_too_many_is_told(repo, tmp_path):
    """A store whose commits have other parents than git says shows other ancestors; each commit too few or too many is named."""
    graph = asked(repo, tmp_path)
    with graph.store.transaction():
        graph.store.write("UPDATE commits SET parents = x'' WHERE id = (SELECT max(id) FROM commits)", [()])
    graph.close()
    graph = graph_of(repo, tmp_path)
    missing = {difference.what for difference in verify(graph).differences if difference.note == "is missing"}
    assert missing == set(repo.git("rev-list", "HEAD~1").split())


def test_verifying_keeps_nothing(repo, tmp_path):
    """What was derived again is compared and dropped: the store is the same byte for byte where answers are kept."""
    graph = asked(repo, tmp_path)
    rows = "SELECT kind, key, payload FROM derived ORDER BY kind, key"
    before = Store(graph.store.path).rows(rows)
    verify(graph, everything=True)
    assert graph.store.rows(rows) == before
