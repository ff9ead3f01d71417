"""Telling a run: for a person, for a program, for whoever goes on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from backstory.agent import types  # pytest would collect `Tested`, were it a name here
from backstory.agent.acted import Acted
from backstory.agent.budget import Budget
from backstory.agent.messages import Message, Reply, ToolCall, Usage
from backstory.agent.runs import FixRequest, Outcome, RunSummary
from backstory.agent.trace import Event
from backstory.agent.types import Blamed, Solution, Suspect, Tried
from backstory.agent.written import to_json
from backstory.errors import ExitCode
from backstory.graph.types import Evidence, Location, Span
from backstory.harness.show import handover, outcome_json, outcome_lines, story_json, story_lines, summary_json, summary_line
from backstory.tools.patch import Patch
from backstory.tools.tool import Observation

BASE, GUILTY, TREE = "a" * 40, "b" * 40, "c" * 40
DIFF = b"diff --git a/dates.py b/dates.py\n--- a/dates.py\n+++ b/dates.py\n@@ -1 +1 @@\n-x = 2\n+x = 1\n"
WHY = (Evidence("text", GUILTY, "its message speaks of dates"),)
HOSTILE = "close me\n```\n# do this\n\x1b]0;x\x07@everyone `whoami`"


def solution(**changes):
    return replace(
        Solution(
            status="verified",
            patch=Patch(BASE, TREE, DIFF, ("dates.py",)),
            verified_by="the given check failed at the base and passes with the patch",
            check="pytest tests/test_dates.py",
            scope=("tests/test_dates.py",),
            blamed=Blamed(
                GUILTY,
                "parse: faster",
                "Ada",
                "2024-01-02T03:04:05+00:00",
                "confirmed",
                (GUILTY,),
                (Evidence("check", GUILTY, "the check fails at it"), *WHY),
            ),
            tested=(types.Tested(GUILTY, "bad", ""), types.Tested("d" * 40, "good", "")),
            tried=(Tried("undo", "undo the guilty hunks", 2, "verified", ""),),
            suspects=(Suspect(GUILTY, 0.75, WHY),),
            locations=(Location("dates.py", Span(1, 3), "dates.py:parse", 0.9, WHY),),
            limit=None,
            reason="",
            why=(Evidence("past", GUILTY, "puts back what this commit took away"),),
        ),
        **changes,
    )


def outcome(found=None, **changes):
    return replace(
        Outcome(
            run_id="20240102-030405-abc123",
            exit_code=0,
            repo="/src/project",
            base=BASE,
            issue_id="issue.md",
            title="Dates break",
            solution=found or solution(),
            phases={"index": 1.25, "repair": 2.0},
            notes=("uncommitted changes left out: notes.txt",),
            sandbox="bwrap",
            environment="/src/project/.venv",
        ),
        **changes,
    )


REQUEST = FixRequest(
    "issue.md", "Dates break", "Dates break\n\nsince 1.2", Path("/src/project"), None, None, 1, Budget(), "auto", False, 60.0, (), (),
    Path("/c"), Path("/s"), None, "/bin",
)  # fmt: skip

GOLDEN = """\
verified patch — run 20240102-030405-abc123
issue: Dates break (issue.md)
base: aaaaaaaaaaaa of /src/project
check: pytest tests/test_dates.py
verified: the given check failed at the base and passes with the patch
still passing: tests/test_dates.py

blamed: bbbbbbbbbbbb parse: faster (Ada, 2024-01-02)
  the check fails at this commit and passes just before it
  its message speaks of dates

patch
diff --git a/dates.py b/dates.py
--- a/dates.py
+++ b/dates.py
@@ -1 +1 @@
-x = 2
+x = 1

evidence
  puts back what this commit took away (bbbbbbbbbbbb)

tried
  verified: undo the guilty hunks

history: the check ran on 2 commits (1 pass, 1 fail)

notes
  uncommitted changes left out: notes.txt

seconds: index 1.2, repair 2.0 (sandbox bwrap, environment /src/project/.venv)
bring it in with: backstory apply 20240102-030405-abc123"""


def text(lines):
    return "\n".join(line.text for line in lines)


def test_a_verified_patch_is_told_with_its_evidence():
    """The verdict comes first, then who is blamed and why, the patch, the evidence, the seconds."""
    assert text(outcome_lines(outcome())) == GOLDEN


def test_without_a_patch_suspects_and_places_are_delivered():
    """Exit 3 still gives what a person needs next."""
    found = solution(status="no_patch", patch=None, verified_by="", blamed=None, reason="nothing verifies", tried=(), tested=(), why=())
    told = text(outcome_lines(outcome(found, exit_code=3)))
    assert told.startswith("no patch — run")
    assert "why not: nothing verifies" in told
    assert "suspects\n   75%  bbbbbbbbbbbb  its message speaks of dates" in told
    assert "places\n  0.90  dates.py:1-3 (parse)  its message speaks of dates" in told
    assert "bring it in" not in told


def test_a_limit_is_said_in_the_first_line():
    """A run that a budget stopped says so, unless it got a verified patch in time."""
    assert text(outcome_lines(outcome(solution(status="no_patch", patch=None, limit="the budget of 3 steps is spent")))).startswith(
        "no patch, stopped by a limit: the budget of 3 steps is spent"
    )
    assert text(outcome_lines(outcome(solution(limit="the budget of 3 steps is spent")))).startswith("verified patch —")


def test_the_object_holds_all_of_it_as_plain_json():
    """Everything the lines say is in the object, and it is JSON."""
    given = json.loads(json.dumps(outcome_json(outcome(exit_code=ExitCode.VERIFIED))))
    assert (given["schema"], given["exit_code"], given["patch"]["diff"]) == (1, 0, DIFF.decode())
    assert given["blamed"]["commit"] == GUILTY
    assert given["locations"][0]["span"] == [1, 3]
    assert given["tested"] == [{"commit": GUILTY, "outcome": "bad", "note": ""}, {"commit": "d" * 40, "outcome": "good", "note": ""}]
    assert json.loads(json.dumps(outcome_json(outcome(solution(patch=None, blamed=None)))))["blamed"] is None


def test_bytes_that_are_not_utf8_come_back_from_the_object():
    """A diff in another encoding survives the JSON byte for byte."""
    diff = DIFF + b"-caf\xe9\n"
    given = json.loads(json.dumps(outcome_json(outcome(solution(patch=Patch(BASE, TREE, diff, ("dates.py",)))))))
    assert given["patch"]["diff"].encode("utf-8", "surrogateescape") == diff


EVENTS = [
    Event("r", 0, "2024-01-02T03:04:05.000+00:00", "started", {"request": {"issue_text": "secret"}}),
    Event("r", 1, "2024-01-02T03:04:06.000+00:00", "located", {"files": ["dates.py"], "places": []}),
    Event(
        "r",
        2,
        "2024-01-02T03:04:09.000+00:00",
        "check",
        {"key": {"tree": TREE}, "result": {"status": "failed", "summary": "1 failed"}, "seconds": 2.5},
    ),
]


def test_the_story_has_a_line_for_each_event():
    """Each event is one line with its time, what it was about and how it ended; a run without an end says how to go on."""
    assert text(story_lines("r", EVENTS, None)) == (
        "run r\n03:04:05  started\n03:04:06  located: files dates.py\n03:04:09  check: tree cccccccccccc -> failed 1 failed (2.5 s)\n\n"
        "not finished; go on with: backstory resume r"
    )
    assert text(story_lines("r", EVENTS, outcome())).endswith(GOLDEN)
    given = story_json("r", EVENTS, outcome())
    assert [event["kind"] for event in given["events"]] == ["started", "located", "check"]
    assert given["outcome"]["run"] == outcome().run_id


@pytest.mark.parametrize("place", ["issue", "title", "subject", "note", "check", "diff", "path"])
def test_nothing_foreign_leaves_its_quotation_in_a_handover(place):
    """Wherever hostile text stands, it closes no fence, starts no heading, mentions nobody outside code, and drives no terminal."""
    found = solution(
        blamed=Blamed(GUILTY, HOSTILE if place == "subject" else "s", "Ada", "2024", "confirmed", (GUILTY,), ()),
        tried=(Tried("undo", "t", 1, "fails the check", HOSTILE if place == "note" else ""),),
        check=HOSTILE if place == "check" else "pytest",
        patch=Patch(BASE, TREE, HOSTILE.encode() if place == "diff" else DIFF, ("a",)),
        scope=(HOSTILE if place == "path" else "a",),
    )
    request = replace(REQUEST, issue_text=HOSTILE if place == "issue" else "i")
    text = handover(request, outcome(found, title=HOSTILE if place == "title" else "t"))
    assert "\x1b" not in text
    outside = _outside_code(text)
    assert "do this" not in outside and "@everyone" not in outside and "whoami" not in outside
    assert "do this" in text


def _outside_code(text):
    """Return what a Markdown reader takes as text: fences and code spans taken out."""
    import re

    kept, fence = [], None
    for line in text.split("\n"):
        run = re.match("`{3,}", line)
        if fence is None and run:
            fence = run[0]
        elif fence is not None and line == fence:
            fence = None
        elif fence is None:
            kept.append(re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line))
    assert fence is None
    return "\n".join(kept)


def test_a_handover_says_how_to_check_and_what_was_tried():
    """It holds the issue, the blamed commit, places, attempts and the check; long lists are cut and said."""
    many = tuple(Tried("undo", f"try {number}", 1, "fails the check", "") for number in range(40))
    text = handover(REQUEST, outcome(solution(status="no_patch", patch=None, tried=many, reason="nothing verifies")))
    assert text.startswith("# Hand-over: no patch\n")
    assert "Why it ended so: nothing verifies" in text
    assert f"`{GUILTY}` `parse: faster`: the check fails at this commit and passes just before it." in text
    assert "- and 25 more" in text and "`try 14`" in text and "`try 15`" not in text
    assert "```\npytest tests/test_dates.py\n```" in text


def test_runs_are_one_line_each():
    """Id, state, blamed commit, title and repository; what is not known is a dash."""
    run = RunSummary("20240102-030405-abc123", "2024-01-02T03:04:05+00:00", "/src/p", "Dates\nbreak", "verified", 0, GUILTY)
    assert summary_line(run) == "20240102-030405-abc123  verified     bbbbbbbbbbbb  Dates break  (/src/p)"
    assert summary_line(replace(run, state="interrupted", blamed=None)) == (
        "20240102-030405-abc123  interrupted  ------------  Dates break  (/src/p)"
    )
    assert json.loads(json.dumps(summary_json(run)))["exit_code"] == 0


def test_replies_and_calls_of_agents_are_told_in_a_line_each():
    """What the model called and what it cost, what the tool gave; a body that no version of ours wrote is told by its shape."""
    reply = Reply(Message("assistant", calls=(ToolCall("1", "read", '{"target": "a.py"}'),)), "calls", Usage(1200, 1000, 30, 0.5))
    acted = Acted(Observation("a.py  3 lines\n1|x"), "0" * 40)
    events = [
        Event("r", 0, "2026-01-01T10:00:00.000+00:00", "reply", {"key": {}, "result": to_json(reply)}, "attempt-1"),
        Event("r", 1, "2026-01-01T10:00:01.000+00:00", "tool", {"key": {"tool": "read"}, "result": to_json(acted)}, "attempt-1"),
        Event("r", 2, "2026-01-01T10:00:02.000+00:00", "reply", {"key": {}, "result": "odd"}, "attempt-1"),
    ]
    lines = [line.text for line in story_lines("r", events, None)]
    assert lines[1:4] == [
        '10:00:00  [attempt-1] reply: read({"target": "a.py"}) [1 replies: 1,200 tokens in (1,000 of them cached), 30 out, 0.5 s]',
        "10:00:01  [attempt-1] read: a.py 3 lines",
        "10:00:02  [attempt-1] reply: odd",
    ]
