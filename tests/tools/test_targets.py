"""What an agent writes for a path, a symbol, lines, a commit or an issue, and what it is taken for."""

from itertools import pairwise

import pytest
from graphs import graph_of
from looking import SHELF, caller

from backstory.graph.types import Symbol
from backstory.tools.targets import File, Folder, IssueNumber, Lines, Revision, find_commit, find_target, target_id
from backstory.tools.tool import Observation
from backstory.tools.view import View
from repos import Repo

VIEWS = """\
class View:
    def render(self):
        def inner():
            pass
        return inner

    @property
    def size(self):
        return 1

    @size.setter
    def size(self, value):
        pass
"""


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    repo = Repo(tmp_path_factory.mktemp("targets") / "repo")
    repo.commit("one (#12)", {"src/app/views.py": VIEWS, "src/app/__init__.py": "", "lib/views.py": VIEWS.replace("View", "Other")})
    repo.commit(
        "two", {"src/app/shelf.py": SHELF, "tests/test_views.py": "class View:\n    pass\n", "my dir/a  b.py": "def spaced(): pass\n"}
    )
    (repo.root / "alias.py").symlink_to("src/app/views.py")
    repo.commit("three")
    return repo


@pytest.fixture(scope="module")
def view(repo, tmp_path_factory):
    graph = graph_of(repo, tmp_path_factory.mktemp("cache"))
    yield View(graph)
    graph.close()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("src/app/views.py", "src/app/views.py"),
        ("./src/app/views.py", "src/app/views.py"),
        ("`src/app/views.py`", "src/app/views.py"),
        ("/testbed/src/app/views.py", "src/app/views.py"),
        ("app/views.py", "src/app/views.py"),
        ("shelf.py", "src/app/shelf.py"),
        ("app.shelf", "src/app/shelf.py"),
        ("src/app", "src/app"),
        ("src/app/", "src/app"),
        (".", "."),
        ("src/app/views.py:View", "src/app/views.py:View"),
        ("src/app/views.py:View.render", "src/app/views.py:View.render"),
        ("src/app/views.py::View::render", "src/app/views.py:View.render"),
        ("app/views.py:render()", "src/app/views.py:View.render"),
        ("src/app/views.py:render(self, x)", "src/app/views.py:View.render"),
        ("tests/test_views.py::View[param-1]", "tests/test_views.py:View"),
        ("src/app/views.py:View.size", "src/app/views.py:View.size"),
        ("src/app/views.py:View.size#2", "src/app/views.py:View.size#2"),
        ("class View", "src/app/views.py:View"),
        ("View.render", None),
        ("def Shelf.add", "src/app/shelf.py:Shelf.add"),
        ("app.views.View.render", "src/app/views.py:View.render"),
        ("src/app/views.py:3", "src/app/views.py:3"),
        ("src/app/views.py:3-5", "src/app/views.py:3-5"),
        ("src/app/views.py#L3-L5", "src/app/views.py:3-5"),
        ("src/app/views.py:5-3", "src/app/views.py:5"),
        ("src/app/views.py:10-999", "src/app/views.py:10-13"),
        ("#12", "#12"),
        ("GH-12", "#12"),
        ("my dir/a  b.py", "my dir/a  b.py"),
        ("my dir/a b.py", "my dir/a  b.py"),
        ("my dir/a b.py:spaced", "my dir/a  b.py:spaced"),
    ],
)
def test_what_can_mean_one_thing_is_taken_for_it(view, written, meant):
    """Paths cut short or from elsewhere, test ids, dotted names, calls and line marks all lead to the one thing they can mean."""
    if meant is None:
        meant = "src/app/views.py:View.render"
    target = find_target(view, written)
    assert not isinstance(target, Observation), target.text
    assert target_id(target) == meant


def test_each_kind_of_target_is_a_value_of_its_own(view, repo):
    """A folder, a file, a symbol, lines, a commit and an issue are told apart."""
    kinds = [type(find_target(view, written)) for written in ("src", "shelf.py", "Shelf", "shelf.py:2", repo.head[:7], "#3")]
    assert kinds == [Folder, File, Symbol, Lines, Revision, IssueNumber]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("views.py", "'views.py' can mean 2 things; name one of them\n  lib/views.py\n  src/app/views.py"),
        (
            "add",
            "'add' can mean 2 things; name one of them\n"
            "  src/app/shelf.py:Shelf.add 13-16 def add(self, book)\n"
            "  src/app/shelf.py:TallShelf.add 20-21 def add(self, book)",
        ),
        ("src/app/views.py:Veiw.render", "src/app/views.py defines no 'Veiw.render'; did you mean\n  src/app/views.py:View.render"),
        ("src/app/views.py:nothing", "src/app/views.py defines no 'nothing'; it defines\n  src/app/views.py:View 1"),
        ("src/app/veiws.py", "there is no 'src/app/veiws.py'; did you mean\n  lib/views.py\n  src/app/views.py"),
        ("Shelff", "there is no 'Shelff'; did you mean\n  src/app/shelf.py:Shelf 6-16 class Shelf"),
        ("zebra", "there is no 'zebra'\nfind(query) searches names and text"),
        ("src/app/views.py:99", "src/app/views.py has 13 lines, so there is no line 99\nask for lines it has"),
        ("alias.py", "alias.py is a link to src/app/views.py; name its target"),
        ("", "the repository"),
        ("../../etc/passwd", "there is no '../../etc/passwd'\nfind(query) searches names and text"),
        ("a\0b", "there is no 'ab'\nfind(query) searches names and text"),
    ],
)
def test_what_is_wrong_or_unclear_is_answered_with_what_is_near(view, written, said):
    """A wrong or ambiguous target is an answer that names candidates or says what to do; nothing outside the repository is ever meant."""
    target = find_target(view, written)
    if said == "the repository":
        assert target == Folder("")
        return
    assert isinstance(target, Observation) and not target.ok
    assert target.text == said


def test_commits_are_found_by_any_unique_beginning(tmp_path):
    """Four digits are enough when they are unique; several are listed with their subjects; none is said to be none."""
    repo = Repo(tmp_path / "repo")
    for number in range(300):  # enough that two begin with the same four digits
        repo.git("commit", "-q", "--allow-empty", "-m", f"commit {number}")
        repo.time += 1
    graph = graph_of(repo, tmp_path / "cache")
    view = View(graph)
    ids = sorted(graph.order())
    pair = next((one, other) for one, other in pairwise(ids) if one[:4] == other[:4])
    alone = next(oid for before, oid, after in zip(ids, ids[1:], ids[2:], strict=False) if oid[:4] not in (before[:4], after[:4]))
    assert find_commit(view, alone[:4]) == find_commit(view, f"commit {alone.upper()}") == Revision(alone)
    said = find_commit(view, pair[0][:4])
    assert not said.ok and f"  {pair[0][:10]} commit " in said.text and f"  {pair[1][:10]} commit " in said.text
    assert find_commit(view, pair[0][:8]) == Revision(pair[0])
    assert find_commit(view, "HEAD") == Revision(graph.at)
    assert "no ancestor of the base" in find_commit(view, "0" * 40).text
    assert "is no commit id" in find_commit(view, "abc").text
    graph.close()


def test_nothing_but_ancestors_is_ever_found(tmp_path):
    """Commits, files, symbols, issues and words that came after the base, or beside it, are in no tool's answer, whatever the store holds."""
    repo = Repo(tmp_path / "repo")
    base = repo.commit("Begin", {"a.py": "def first():\n    pass\n"})
    repo.git("checkout", "-q", "-b", "side")
    beside = repo.commit("Sideways secret, see #78", {"a.py": "def first():\n    sideways()\n", "side.py": "def sideways(): pass\n"})
    repo.git("checkout", "-q", "main")
    later = repo.commit("Later secret, fixes #77", {"a.py": "def first():\n    later_secret()\n\n\ndef later_secret(): pass\n"})
    later_graph = graph_of(repo, tmp_path / "cache", at=later)
    graph_of(repo, tmp_path / "cache", at=beside).close()
    graph = graph_of(repo, tmp_path / "cache", at=base)  # one store holds all three
    assert later_graph.store.path == graph.store.path
    call = caller(View(graph))
    texts = []
    for hidden in (later, beside):
        for digits in (4, 10, 40):
            for said in (
                call("history", target=hidden[:digits]),
                call("walk", start=hidden[:digits]),
                call("history", target="a.py", commit=hidden[:digits]),
                call("find", query=hidden[:digits], kind="symbol"),
            ):
                assert not said.ok
                texts.append(said.text)
    for query in ("later_secret", "sideways", "secret", "#77", "#78", "side.py"):
        texts += [call("find", query=query).text, call("read", target=query).text, call("similar", text=query).text]
    texts += [call("walk", start="a.py", kinds=[kind], depth=3).text for kind in ("touched", "co_changed", "mentions", "fixed", "contains")]
    texts += [call("history", target=target).text for target in ("a.py", "a.py:first", "a.py:1-2", "#77")]
    for text in texts:
        shown = "\n".join(line for line in text.splitlines() if "'" not in line)  # what was asked for is quoted back
        assert "Later" not in shown and "Sideways" not in shown and later[:10] not in shown and beside[:10] not in shown
    later_graph.close()
    graph.close()
