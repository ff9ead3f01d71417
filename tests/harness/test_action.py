"""The job summary of the Action."""

import json
from datetime import UTC, datetime

import pytest

from backstory.agent.types import Suspect
from backstory.errors import UserError
from backstory.graph.types import Commit, Evidence, Location, Span
from backstory.harness.action import SUMMARY_CHARS, asked_by, summary

AT, GUILTY = "a" * 40, "b" * 40
HOSTILE = "x` @everyone closes #1 ![](http://evil.example/p.png) <img src=x> \x1b[2J|"


def place(note="named in the issue"):
    return Location("src/dates.py", Span(3, 9), "src/dates.py:parse", 0.8, (Evidence("identifier", "parse", note),))


def commit(subject):
    return Commit(GUILTY, (), "Ada", datetime(2024, 1, 2, tzinfo=UTC), subject, "", ())


def test_an_issue_event_gives_title_and_visible_body():
    """HTML comments, which templates are full of, are not part of what is asked."""
    asked = asked_by(json.dumps({"action": "opened", "issue": {"number": 5, "title": "Dates", "body": "fail<!-- hidden -->"}}).encode())
    assert (asked.id, asked.title, asked.text, asked.base) == ("issue #5", "Dates", "fail", None)


def test_a_pull_request_is_looked_at_from_its_base():
    """The commit it would be merged into is trusted; the head of a fork is not looked at."""
    event = {"pull_request": {"number": 6, "title": "Fix", "body": None, "base": {"sha": AT}, "head": {"sha": GUILTY}}}
    asked = asked_by(json.dumps(event).encode())
    assert (asked.id, asked.text, asked.base) == ("pull request #6", "", AT)


@pytest.mark.parametrize("event", [b"{}", b"[]", b'{"push": 1}', b"not json"])
def test_other_events_are_refused(event):
    """A push has no issue; the message says which events have."""
    with pytest.raises(UserError, match=r"issue|GITHUB_EVENT_PATH"):
        asked_by(event)


def test_places_and_suspects_come_with_reasons():
    """The summary lists both, best first, each with why."""
    text = summary(
        title="Dates", at=AT, places=[place()], suspects=[Suspect(GUILTY, 0.5, (Evidence("recent", GUILTY, "changed parse"),))],
        commits={GUILTY: commit("parse: faster")}, notes=["the history is cut"],
    )  # fmt: skip
    assert "1. `src/dates.py:3-9 parse`\n   - `named in the issue`" in text
    assert "1. 50% `bbbbbbbbbbbb` `parse: faster` (`Ada`, 2024-01-02)\n   - `changed parse`" in text
    assert text.endswith("> `the history is cut`\n")


def test_foreign_text_stays_in_code():
    """Mentions, closing words, images, HTML and control characters of an issue or a commit are inert."""
    text = summary(
        title=HOSTILE,
        at=AT,
        places=[place(HOSTILE)],
        suspects=[Suspect(GUILTY, 0.5, ())],
        commits={GUILTY: commit(HOSTILE)},
        notes=[HOSTILE],
    )
    assert "\x1b" not in text
    for line in text.split("\n"):
        if "@everyone" in line:
            assert "``x` @everyone closes #1 ![](http://evil.example/p.png) <img src=x> |``" in line


def test_a_summary_is_never_larger_than_github_takes():
    """What is too long is cut at the end of a line and said."""
    text = summary(title="t", at=AT, places=[place()], suspects=[], commits={}, notes=["n" * 150] * 1000)
    assert len(text) < SUMMARY_CHARS + 100 and text.endswith("`\n\nThe rest was left out.\n")
