"""Searching lines finds exactly what reading every file would find."""

import re

import pytest
from graphs import graph_of
from hypothesis import given
from hypothesis import strategies as st
from looking import RULES, SHELF, TEST, edited_view

from backstory.tools.look import View
from backstory.tools.search import BadPattern, may_hold, search_pattern, search_text
from repos import Repo

FILES = {
    "store/shelf.py": SHELF,
    "store/rules.py": RULES,
    "tests/test_shelf.py": TEST,
    "web/app.js": "export class App {\n  start(x_1) { return this.x_1 + 'naïve'; }\n}\n",
    "docs/index.rst": "Shelves\n=======\n\nA ``Shelf`` holds books; see checked().\n",
    "odd.py": "a_b = ab = a__b = 1\nclass C: pass\nself.x = cls\n" + "name_" * 20 + " = 1\n",
    "crlf.py": "one = 1\r\ntwo = 2\r\n",
    "data.bin": b"\0book",
}
TEXT = "".join(text for text in FILES.values() if isinstance(text, str)).replace("\r\n", "\n")


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    repo = Repo(tmp_path_factory.mktemp("search") / "repo")
    repo.commit("one", FILES)
    graph = graph_of(repo, tmp_path_factory.mktemp("cache"))
    yield graph
    graph.close()


def found(hits):
    return {(hit.path, number, line) for hit in hits for number, line in hit.lines}


def expected(matches):
    """Return the lines that `matches`, by reading every file."""
    return {
        (path, number, line.encode())
        for path, text in FILES.items()
        if isinstance(text, str)
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n")[:-1], 1)
        if matches(line)
    }


@given(st.integers(0, len(TEXT)), st.integers(1, 12))
def test_a_text_is_found_wherever_it_stands(graph, start, length):
    """Any piece of a line that occurs is found in all its lines, though only files that may hold it are read."""
    piece = TEXT[start : start + length].split("\n")[0]
    if piece:
        view = View(graph)
        assert found(search_text(view, piece, view.paths())) == expected(lambda line: piece in line)


@given(st.integers(0, len(TEXT)), st.integers(1, 12))
def test_case_can_be_ignored(graph, start, length):
    """Without regard to case the same lines are found, for ASCII text."""
    piece = TEXT[start : start + length].split("\n")[0]
    if piece and piece.isascii():
        view = View(graph)
        assert found(search_text(view, piece.swapcase(), view.paths(), ignore_case=True)) == expected(
            lambda line: piece.lower() in line.lower()
        )


@given(st.integers(0, len(TEXT)), st.integers(1, 12))
def test_files_are_left_out_only_when_they_cannot_hold_the_text(graph, start, length):
    """The word table never rules out a file with the text in it, except where a token longer than a word may be hides it."""
    piece = TEXT[start : start + length].split("\n")[0]
    view = View(graph)
    kept = may_hold(view, piece, view.paths())
    assert {path for path, _, _ in expected(lambda line: piece in line and len(line) < 100)} <= set(kept)


def test_the_word_table_leaves_out_most_files(graph):
    """A word that one parsed file has leaves that file, what is not parsed and what was changed."""
    view = edited_view(graph, {"odd.py": b"x = 1\n"})
    assert may_hold(view, "raise ValueError(f", view.paths()) == ["data.bin", "docs/index.rst", "odd.py", "store/rules.py"]
    assert may_hold(view, "a" * 100, view.paths()) == view.paths()


@pytest.mark.parametrize("pattern", [r"class \w+", r"^def ", r"\bbook\b", r"return .*$", r"[A-Z]\w+\(", r"x_\d"])
def test_a_pattern_is_found_wherever_it_matches(graph, pattern):
    """A regular expression finds the lines that Python's own does."""
    view = View(graph)
    paths = [path for path in view.paths() if path != "crlf.py"]
    assert found(search_pattern(view, pattern, paths)) == {
        row for row in expected(lambda line: re.search(pattern, line)) if row[0] != "crlf.py"
    }


def test_changed_files_are_searched_as_they_are_now(graph):
    """A word that only the edited text has is found, and one that only the base had is not."""
    view = edited_view(graph, {"store/rules.py": b"def fitting(): pass\n", "new.py": b"zebra = 1\n", "odd.py": None})
    assert found(search_text(view, "zebra", view.paths())) == {("new.py", 1, b"zebra = 1")}
    assert found(search_text(view, "fitting", view.paths())) == {("store/rules.py", 1, b"def fitting(): pass")}
    assert not search_text(view, "no room", view.paths()) and not search_text(view, "a__b", view.paths())


@pytest.mark.parametrize("pattern", ["(", "[a", "(?P<n>", "a{9999999999}"])
def test_a_pattern_that_cannot_be_read_is_told(graph, pattern):
    """A broken pattern raises what the tool answers with."""
    view = View(graph)
    with pytest.raises(BadPattern, match="cannot be read"):
        search_pattern(view, pattern, view.paths())


def test_a_pattern_that_takes_for_ever_is_given_up(graph):
    """Backtracking without end is ended, and told as such."""
    view = edited_view(graph, {"trap.txt": b"a" * 200 + b"!\n"})
    with pytest.raises(BadPattern, match="takes too long"):
        search_pattern(view, r"(a|a)*(a|a)*(a|aa)+$x", ["trap.txt"])
