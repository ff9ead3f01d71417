"""What a localizer names is held to what is there, and joined with the ranking."""

from contextlib import contextmanager
from itertools import pairwise

import pytest

from backstory.agent.localizer import found_tool, merged, read_places
from backstory.graph.types import Evidence, Location, Span
from backstory.tools.tool import read_arguments
from backstory.tools.view import View
from judging import graph_of
from talking import faulty


@contextmanager
def view_of(tmp_path):
    repo = faulty(tmp_path / "repo")
    with graph_of(repo.root, tmp_path / "home") as graph:
        yield View(graph)


def arguments(view, places):
    return read_arguments(found_tool(view), {"places": places, "diagnosis": "it divides"})


@pytest.mark.parametrize(
    ("written", "place", "why"),
    [
        ("prices.py:mean — divides by zero", "prices.py:mean", "divides by zero"),
        ("- prices.py:mean: divides by zero", "prices.py:mean", "divides by zero"),
        ("`prices.py:8-9` here", "8-9", "here"),
        ("prices.py", "1-13", "named by the localizer"),
        ("mean - by its name", "prices.py:mean", "by its name"),
    ],
)
def test_a_place_is_read_with_its_reason(tmp_path, written, place, why):
    """Ids of functions, spans and files, with or without marks around them."""
    with view_of(tmp_path) as view:
        ((location, complaint),) = read_places(view, arguments(view, [written]))
        assert complaint is None
        named = location.symbol or f"{location.span.first}-{location.span.last}"
        assert (named, location.path, location.why[0].note) == (place, "prices.py", why)


def test_places_that_are_not_there_are_answered(tmp_path):
    """None at all is sent back with what is near; some are noted, with a word on the others."""
    with view_of(tmp_path) as view:
        tool = found_tool(view)
        nothing = tool.run(arguments(view, ["nowhere.py:gone — x"]))
        some = tool.run(arguments(view, ["nowhere.py:gone — x", "prices.py:mean — y"]))
        assert (nothing.ok, some.ok) == (False, True)
        assert "none of these places is there" in nothing.text and "nowhere.py" in some.text


def test_named_places_come_first_and_keep_the_evidence_of_the_ranking():
    """Each once, scores falling, all in 0..1."""
    ranked = [
        Location("a.py", Span(1, 9), "a.py:f", 0.8, (Evidence("text", "w", "shares words"),)),
        Location("b.py", Span(1, 9), "b.py:g", 0.4, ()),
    ]
    named = [
        Location("b.py", Span(1, 9), "b.py:g", 1.0, (Evidence("model", "", "loses it"),)),
        Location("b.py", Span(1, 9), "b.py:g", 1.0, (Evidence("model", "", "again"),)),
        Location("c.py", Span(3, 4), None, 1.0, (Evidence("model", "", "and here"),)),
    ]
    places = merged(named, ranked)
    assert [place.path for place in places] == ["b.py", "c.py", "a.py"]
    assert places[0].score == 1.0 and all(one.score > other.score for one, other in pairwise(places))
    assert [item.note for item in merged([named[0]], [ranked[0]])[1].why] == ["shares words"]
