"""A small library with a past, and calling the tools an agent looks with as a loop would."""

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
PLAIN = SHELF.replace("from store.rules import checked\n\n\n", "\n").replace("checked(book, self.size)", "book")
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


def library(root):
    """Make the repository; its commits by name, oldest first."""
    repo = Repo(root)
    commits = {
        "born": repo.commit("Make shelves (#1)", {"shelf.py": PLAIN, "README.md": "# Library\n"}),
        "moved": None,
    }
    repo.git("rm", "-q", "--cached", "shelf.py")
    (repo.root / "shelf.py").unlink()
    commits["moved"] = repo.commit(
        "Move shelves into a package",
        {"store/shelf.py": PLAIN, "store/__init__.py": ""},
    )
    commits["rules"] = repo.commit(
        "Refuse long books\n\nA book that is too long fell off.\n\nFixes #7, see #3",
        {"store/rules.py": RULES.replace("> size", ">= size"), "store/shelf.py": SHELF},
    )
    commits["test"] = repo.commit("Test shelves", {"tests/test_shelf.py": TEST})
    commits["fill"] = repo.commit("Let a book fill its shelf", {"store/rules.py": RULES})
    commits["drop"] = repo.commit("Drop the readme", {"README.md": None})
    repo.time += 3600
    repo.git("revert", "--no-edit", commits["drop"])
    commits["undrop"] = repo.head
    return repo, commits


def caller(view):
    """Return a function that calls a tool by name and gives back its answer."""
    tools = {tool.name: tool for tool in look_tools(view)}

    def call(name, **written):
        arguments = read_arguments(tools[name], written)
        assert not isinstance(arguments, str), arguments
        return tools[name].run(arguments)

    return call


def edited_view(graph, edits):
    """Return a view in which files have other bytes than in the base; None deletes one."""
    return View(graph, changed=lambda: list(edits), current=edits.get)
