"""Where an issue asks for a change, on hand-made repositories."""

from dataclasses import replace

import pytest
from graphs import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.agent.localize import DEFAULT_WEIGHTS, OF_HISTORY, localize
from repos import Repo

WITHOUT_PAST = replace(DEFAULT_WEIGHTS, **dict.fromkeys(OF_HISTORY, 0.0))
FILES = {
    "app/__init__.py": "",
    "app/parser.py": "def parse_date(text):\n    return split_fields(text)\n\n\ndef split_fields(text):\n    return text.split('-')\n",
    "app/server.py": "from app.parser import parse_date\n\n\nclass Server:\n    def close(self):\n        self.socket = None\n\n    def start(self):\n        return parse_date('x')\n",
    "app/colours.py": "def mix(left, right):\n    return left + right\n",
    "tests/test_parser.py": "from app.parser import parse_date\n\n\ndef test_parse_date():\n    assert parse_date('2020-01')\n",
    "README.md": "# App\n\nparse_date parses a date.\n",
    "core/engine.xyz": "procedure ignite(spark) begin flame end\n",
}


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """A small program with some past; in a module scope because nothing changes it."""
    root = tmp_path_factory.mktemp("localize")
    repo = Repo(root / "repo")
    repo.commit("Start", FILES)
    repo.commit("Blend hues with less banding", {"app/colours.py": "def mix(left, right):\n    return (left + right) / 2\n"})
    repo.commit("Speak of servers in the readme", {"README.md": "# App\n\nServers.\n"})
    return graph_of(repo, root / "cache")


def first(graph, text, **options):
    return localize(graph, text, limit=5, **options).files[0]


def test_an_identifier_leads_to_its_definition(graph):
    """A name in the issue finds the file and the function that define it, and says so."""
    found = localize(graph, "It is wrong\n\n`split_fields`", limit=5)
    assert found.files[0].path == "app/parser.py"
    assert found.locations[0].symbol == "app/parser.py:split_fields"
    assert (found.locations[0].span.first, found.locations[0].span.last) == (5, 6)
    assert "identifier" in {evidence.kind for evidence in found.files[0].why}
    assert "name" in {evidence.kind for evidence in found.locations[0].why}


def test_a_similar_past_change_votes_for_what_it_touched(graph):
    """Words that only a past message holds find the file that commit changed; without history they find nothing there."""
    found = first(graph, "Banding of hues is back")
    assert found.path == "app/colours.py"
    [past] = [evidence for evidence in found.why if evidence.kind == "past"]
    assert past.note.endswith("Blend hues with less banding")
    assert past.ref in graph
    without = localize(graph, "Banding of hues is back", limit=0, weights=WITHOUT_PAST)
    assert all(not file.why for file in without.files)


def test_a_traceback_leads_to_its_innermost_frame(graph):
    """The innermost frame inside the repository wins over its callers and over the library it called."""
    text = """Crash

Traceback (most recent call last):
  File "/x/site-packages/app/server.py", line 9, in start
    return parse_date('x')
  File "/x/site-packages/app/parser.py", line 6, in split_fields
    return text.split('-')
  File "/x/lib/strings.py", line 1, in split
    raise KeyError
"""
    found = localize(graph, text, limit=5)
    assert found.files[0].path == "app/parser.py"
    assert found.locations[0].symbol == "app/parser.py:split_fields"
    assert "traceback" in {evidence.kind for evidence in found.locations[0].why}


def test_a_written_path_and_a_module_are_found(graph):
    """A path or a dotted name in the text leads to the file it means."""
    assert first(graph, "Wrong result, see app/colours.py").path == "app/colours.py"
    assert first(graph, "Wrong result from app.colours.mix").path == "app/colours.py"


def test_tests_and_prose_are_pushed_down_unless_only_they_match(graph):
    """A test that shares all words stands behind the code; when nothing else matches it comes first."""
    files = [found.path for found in localize(graph, "test_parse_date parse_date", limit=0).files]
    assert files.index("app/parser.py") < files.index("tests/test_parser.py")
    assert first(graph, "servers readme", weights=WITHOUT_PAST).path in ("app/server.py", "README.md")


def test_a_file_in_an_unknown_language_ranks_and_is_a_place_as_a_whole(graph):
    """Text without a grammar is searched too, and its place is its lines."""
    found = localize(graph, "spark does not ignite the flame", limit=3)
    assert found.files[0].path == "core/engine.xyz"
    assert ("core/engine.xyz", None, 1) in [(place.path, place.symbol, place.span.last) for place in found.locations]


def test_another_form_of_a_word_finds_it_and_is_told_as_the_issue_spells_it(graph):
    """An issue that speaks of parsing and splitting finds what parses and splits; the reason says the issue's own word."""
    found = first(graph, "Parsing of dates loses splits", weights=WITHOUT_PAST)
    assert found.path == "app/parser.py"
    assert "parsing" in " ".join(evidence.note for evidence in found.why if evidence.kind in ("title", "text"))


def test_without_any_match_the_past_decides(graph):
    """A text that shares nothing still gives an order, every file once."""
    found = localize(graph, "???", limit=0)
    assert {file.path for file in found.files} == set(FILES)
    assert found.files[0].path == "app/colours.py"  # the code changed last
    assert "recent" in {evidence.kind for evidence in found.files[0].why}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.sampled_from(["parse_date", "Server.close", "app/colours.py", "error", "\n", "`mix`", "é", "tests/test_parser.py:3"]), max_size=8
    )
)
def test_scores_are_ordered_bounded_and_the_same_each_time(graph, words):
    """Scores fall from at most 1 to at least 0, and asking again answers the same."""
    text = " ".join(words)
    found = localize(graph, text, limit=0)
    for scores in ([file.score for file in found.files], [place.score for place in found.locations]):
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
    assert localize(graph, text, limit=0) == found
    assert len(found.files) == len(FILES)
    assert localize(graph, text, limit=2).files == found.files[:2]


TRACE_ONLY = """Traceback (most recent call last):
  File "/x/site-packages/app/server.py", line 9, in start
    return parse_date('x')
  File "/x/site-packages/app/parser.py", line 6, in split_fields
    return text.split('-')
AttributeError: 'int' object has no attribute 'split'
"""
LOG = "2020-01-01 12:00:00 INFO worker idle 17\n" * 25_000


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("`split_fields` verliert das letzte Feld, wenn ein Bindestrich am Ende steht", "app/parser.py"),  # another language than English
        (TRACE_ONLY, "app/parser.py"),  # nothing but a stack trace
        (f"split_fields drops the last field\n\n{LOG}", "app/parser.py"),  # a megabyte of log after what matters
        (f"It stops\n\n{LOG}{TRACE_ONLY}", "app/parser.py"),  # before it
        ("![shot](https://example.org/assets/1/0f3a.png)", None),  # nothing but a picture
        ("See src/gone.py, app/nowhere.py and lib\\\\gone.dll", None),  # names of files that do not exist
        ("it does not work, please help", None),  # no word of code at all
        ("", None),
        ("\x00\ud800 \x1b[31m" + "(" * 5000, None),  # what is no text
    ],
)
def test_any_text_is_answered_in_order(graph, text, place):
    """Whatever is pasted gives every file once, with scores in 0..1 and a confidence; where the text points at a place, that is first."""
    found = localize(graph, text, limit=0)
    assert {file.path for file in found.files} == set(FILES)
    assert all(0 <= file.score <= 1 for file in found.files)
    assert 0 <= found.confidence < 1
    if place is not None:
        assert found.files[0].path == place


def test_confidence_is_low_where_the_text_says_nothing(graph):
    """A complaint without a word of code, a picture and an empty text are answered with less confidence than one that names its function."""
    named = localize(graph, "split_fields drops the last field", limit=1).confidence
    for text in ("it does not work, please help", "![shot](https://example.org/assets/1/0f3a.png)", ""):
        assert localize(graph, text, limit=1).confidence < min(0.5, named)


def test_confidence_is_of_the_files_that_are_kept(graph):
    """Where the best file is left out, the answer is about the next, and nothing is sure where nothing is left."""
    text = "split_fields drops the last field"
    whole, without = localize(graph, text, limit=1), localize(graph, text, limit=1, keep=lambda path: path != "app/parser.py")
    assert without.files[0].path != "app/parser.py"
    assert without.confidence < whole.confidence
    none = localize(graph, text, limit=1, keep=lambda path: False)
    assert (none.files, none.locations, none.confidence) == ([], [], 0.0)


@pytest.mark.parametrize("files", [{"README.md": "# Nothing but words\n"}, {"a/engine.xyz": "ignite spark\n", "b/engine.xyz": "douse\n"}])
def test_a_tree_without_code_is_ranked_too(tmp_path, files):
    """Where nothing can be parsed, files rank by text, path and past, and each is one place."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Start", files)
    found = localize(graph_of(repo, tmp_path / "cache"), "spark does not ignite", limit=0)
    assert {file.path for file in found.files} == set(files)
    assert [place.symbol for place in found.locations] == [None] * len(found.locations)
    if "a/engine.xyz" in files:
        assert found.files[0].path == found.locations[0].path == "a/engine.xyz"
