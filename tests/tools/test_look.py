"""The tools an agent looks with, on a small real repository: each answer word for word."""

import pytest
from graphs import graph_of

from backstory.tools.look import View, look_tools
from backstory.tools.tool import read_arguments
from repos import Repo

SHELF = '''\
"""Shelves of books."""

from store.rules import checked


class Shelf:
    """Holds books."""

    def __init__(self, size):
        self.size = size
        self.books = []

    def add(self, book):
        """Put a book on the shelf."""
        self.books.append(checked(book, self.size))
        return self


class TallShelf(Shelf):
    def add(self, book):
        return super().add(book)
'''
RULES = """\
def checked(book, size):
    if len(book) > size:
        raise ValueError(f"no room for {book}")
    return book
"""
TEST = """\
from store.shelf import Shelf


def test_add():
    assert Shelf(9).add("short").books
"""


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    repo = Repo(tmp_path_factory.mktemp("library") / "repo")
    repo.commit("Make shelves (#1)", {"store/shelf.py": SHELF.replace("checked(book, self.size)", "book"), "store/__init__.py": ""})
    repo.commit("Refuse long books\n\nFixes #7", {"store/rules.py": RULES.replace("> size", ">= size"), "store/shelf.py": SHELF})
    repo.commit("Test shelves", {"tests/test_shelf.py": TEST})
    repo.commit("Let a book fill its shelf", {"store/rules.py": RULES})
    return repo


@pytest.fixture(scope="module")
def graph(repo, tmp_path_factory):
    graph = graph_of(repo, tmp_path_factory.mktemp("cache"))
    yield graph
    graph.close()


@pytest.fixture
def call(graph):
    return caller(View(graph))


def caller(view):
    """Return a function that calls a tool by name, as a loop would, and gives back its answer."""
    tools = {tool.name: tool for tool in look_tools(view)}

    def call(name, **written):
        arguments = read_arguments(tools[name], written)
        assert not isinstance(arguments, str), arguments
        return tools[name].run(arguments)

    return call


def test_find_answers_with_the_first_step_that_finds_something(call):
    """A name is answered with its symbols and a text with the lines below the symbol they stand in; the answer says which it was."""
    assert call("find", query="add").text == (
        "2 symbols named 'add':\nstore/shelf.py:Shelf.add 13-16 def add(self, book)\nstore/shelf.py:TallShelf.add 20-21 def add(self, book)"
    )
    assert call("find", query="no room").text == (
        '1 line in 1 file hold the text:\nstore/rules.py:checked\n3|        raise ValueError(f"no room for {book}")'
    )


def test_read_shows_a_symbol_with_its_lines(call):
    """A body comes with the numbers its lines have in the file."""
    assert call("read", target="TallShelf").text == (
        "store/shelf.py:TallShelf  lines 19-21 of 21\n"
        "19|class TallShelf(Shelf):\n"
        "20|    def add(self, book):\n"
        "21|        return super().add(book)"
    )


def test_walk_says_on_each_branch_how_it_is_linked(call):
    """What it calls and what calls and overrides it stand below what they are linked to, in words that read from the line above."""
    assert call("walk", start="store/shelf.py:Shelf.add").text == (
        "store/shelf.py:Shelf.add 13-16\n"
        "  calls store/rules.py:checked 1-4\n"
        "  called by, overridden by store/shelf.py:TallShelf.add 20-21\n"
        "  tested by tests/test_shelf.py:test_add 4-5 [test]"
    )


def test_history_lists_commits_newest_first(call, repo):
    """Each commit of a file is a line with its date, id, lines, subject and the issues it fixes."""
    newest, _, second, _ = repo.git("log", "--format=%H").split()
    assert call("history", target="store/rules.py").text == (
        "store/rules.py: 2 changes, the first 2023-11-15\n"
        f"2023-11-15 {newest[:10]} +1 -1 Let a book fill its shelf\n"
        f"2023-11-15 {second[:10]} +4 -0 Refuse long books [begins here; fixes #7]"
    )


def test_history_shows_what_one_commit_did_to_the_target(call, repo):
    """With a commit the diff of the target comes, and nothing of other files."""
    text = call("history", target="store/rules.py:checked", commit=repo.head[:6]).text
    assert "-    if len(book) >= size:\n+    if len(book) > size:" in text


def test_similar_finds_what_was_done_before(call):
    """A complaint finds the past change with its words, and the symbols that it touched."""
    text = call("similar", text="a long book is refused").text
    assert "Refuse long books" in text and "store/rules.py (added) +4 -0: checked" in text


def test_a_changed_file_is_read_and_found_as_it_is_now(graph):
    """Bytes, names and line numbers are those of the current text, and the answer says that the file was changed."""
    edited = b"# moved down\n" + RULES.encode().replace(b"checked", b"fitting")
    call = caller(View(graph, changed=lambda: ["store/rules.py"], current=lambda path: edited))
    assert call("read", target="fitting").text.startswith("store/rules.py:fitting  lines 2-5 of 5, changed since the base\n2|def fitting(")
    assert not call("read", target="store/rules.py:checked").ok
