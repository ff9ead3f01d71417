"""`why` on real repositories, in processes of its own."""

import json

import pytest

from repos import Repo


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit("Read dates (#4)\n\nLogs have them.", {"src/dates.py": "def parse_date(text):\n    return text.split('-')\n"})
    repo.commit("Fix blanks\n\nCloses #7", {"src/dates.py": "def parse_date(text):\n    return text.strip().split('-')\n"})
    repo.commit("Beside", {"src/money.py": "def price():\n    return 3\n"})
    return repo


EVENT = [
    *("commit", "when", "author", "is_bot", "subject", "body", "what", "path", "span", "symbol", "was_path", "was_span", "was_symbol"),
    *("added", "removed", "note", "issues", "closes", "is_fix", "undoes", "undone_by", "mends", "mended_by"),
]


def test_why_tells_a_program(cli, repo):
    """The object has the documented shape, and the same place is meant however it is written."""
    told = json.loads(cli("why", "parse_date", "--repo", repo.root, "--json").out)
    assert list(told) == ["at", "place", "events", "moves_with", "tests", "seconds"]
    assert told["place"] == {"path": "src/dates.py", "span": [1, 2], "symbol": "parse_date", "around": None}
    assert [list(event) for event in told["events"]] == [EVENT, EVENT]
    assert [(event["subject"], event["what"], event["closes"]) for event in told["events"]] == [
        ("Read dates (#4)", "added", []),
        ("Fix blanks", "edited", ["#7"]),
    ]
    assert told["events"][1]["mends"] == [told["events"][0]["commit"]]
    again = json.loads(cli("why", "src/dates.py:parse_date", "--repo", repo.root, "--json").out)
    assert again["events"] == told["events"]


def test_why_tells_a_person(cli, repo):
    """The place, its events and why; from a subfolder paths may be written as they are seen there."""
    ended = cli("why", "src/dates.py:2", "--repo", repo.root, "-q")
    lines = ended.out.splitlines()
    assert lines[0] == "src/dates.py:2-2, in parse_date: 2 changes since 2023-11-14"
    assert lines[1].endswith("added in src/dates.py +1 -0: Read dates (#4) [Ada]") and "    Logs have them." in lines
    assert ended.exit_code == 0 and ended.err == ""
    assert cli("why", "dates.py:2", cwd=repo.root / "src").out == ended.out
    older = cli("why", "src/dates.py:2", "--repo", repo.root, "--at", "HEAD~2").out
    assert "1 change since" in older and "Fix blanks" not in older


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("src/dates.py:99", "has 2 lines, so there is no line 99"),
        ("parse_dat", "did you mean; src/dates.py:parse_date"),
        ("zebra", "there is no 'zebra'; `backstory locate` finds places by words"),
        ("src", "is no place in the code"),
        ("HEAD", "is no place in the code"),
    ],
)
def test_what_is_no_place_is_refused_with_what_may_be_meant(cli, repo, place, said):
    """One line says what is wrong and what is near."""
    ended = cli("why", place, "--repo", repo.root)
    assert (ended.exit_code, ended.out) == (2, "") and said in " ".join(ended.error.split())


def test_hostile_messages_cannot_drive_the_terminal(cli, tmp_path):
    """Control characters of a message or path are not printed."""
    repo = Repo(tmp_path / "repo")
    repo.commit("bad \x1b]0;title\x07subject\n\n\x1b[2Jbody", {"a\x1b[31m.py": "x = 1\n"})
    ended = cli("why", "a\x1b[31m.py:1", "--repo", repo.root)
    assert ended.exit_code == 0 and "\x1b" not in ended.out and "\x07" not in ended.out and "body" in ended.out
