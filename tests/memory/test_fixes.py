"""Likely fixes of a description, by messages, changed lines and names."""

import pytest
from graphs import graph_of

from backstory.memory.fixes import names_in, rank_fixes
from repos import Repo


@pytest.fixture
def graph(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit("Read headers", {"http.py": "def read_header(line):\n    return line.split(':')\n", "NEWS": "0\n"})
    repo.commit("Speak of overflow in the header", {"NEWS": "overflow in the header\n"})
    repo.commit("Check a length", {"http.py": "def read_header(line):\n    assert len(line) < OVERFLOW\n    return line.split(':')\n"})
    repo.commit("Fix overflow in the header", {"http.py": "def read_header(line):\n    return line[:9].split(':')\n"})
    for number in range(10, 18):
        repo.commit(f"Note {number}\n\nABC-{number}", {"NEWS": f"{number}\n"})
    repo.commit("Tidy\n\nFor ABC-7.", {"http.py": "def read_header(line):\n    return line[:8].split(':')\n"})
    return graph_of(repo, tmp_path / "cache")


def subjects(graph, text, limit=10):
    return [graph.message(found.commit).subject for found in rank_fixes(text, graph, limit=limit)]


def test_a_commit_of_code_that_says_it_mends_comes_before_talk(graph):
    """The same words count more of a fix that changes code than of a note in the change log; changed lines count beside the message."""
    assert subjects(graph, "overflow in the header")[:2] == ["Fix overflow in the header", "Speak of overflow in the header"]
    assert "Check a length" in subjects(graph, "length overflow")[:1]


def test_a_named_ticket_comes_first(graph):
    """What names what the text names is first, and says why."""
    found = rank_fixes("ABC-7: overflow in the header", graph, limit=1)[0]
    assert graph.message(found.commit).subject == "Tidy" and found.why[0].note == "names ABC-7"


def test_the_limit_and_the_empty_text(graph):
    """No more than asked for are given, and nothing for a text without words."""
    assert len(subjects(graph, "header", limit=2)) == 2
    assert subjects(graph, "") == []


def test_names_are_told_from_versions_and_words():
    """Advisories, whatever their case, tickets and issues are names; other numbers and words, and the versions of a list of packages, are not."""
    assert names_in("GHSA-aaaa-bbbb-cccc cve-2021-44228 (#5) AB-3 utf-8 pluggy-1.0 x#3") == {
        "GHSA-AAAA-BBBB-CCCC",
        "CVE-2021-44228",
        "#5",
        "AB-3",
    }


def test_what_looks_like_a_ticket_is_none(tmp_path):
    """`UTF-8` brings no commit to the front that says it: the past names no tickets of that kind."""
    repo = Repo(tmp_path / "repo")
    fix = repo.commit("Fix the price of nothing", {"shop.py": "def price():\n    return 0\n"})
    repo.commit("Write UTF-8 and UTF-16", {"text.py": "CODEC = 8\n"})
    found = rank_fixes("price of nothing is wrong\n\nI use UTF-8", graph_of(repo, tmp_path / "cache"), limit=1)
    assert [one.commit for one in found] == [fix]
