"""Circles and known failures: noticed, named once, then ended."""

import pytest

from backstory.agent.stuck import FAILURES, Advisor, Turn, Watch
from backstory.tools.tool import Observation

READ = (("read", '{"target":"a.py"}'),)
FIND = (("find", '{"query":"a"}'),)
EDIT = (("edit", "{}"),)


def told(turns):
    """Return what a watch says to each turn: "", "nudge" or "stop"."""
    watch = Watch()
    said = [watch.saw(turn) for turn in turns]
    return ["" if word is None else "stop" if word.stop else "nudge" for word in said]


class TestCircles:
    def test_the_same_turn_three_times(self):
        """The third is nudged, the fourth ends it."""
        assert told([Turn(READ, "t0")] * 4) == ["", "", "nudge", "stop"]

    def test_the_same_call_on_another_tree_is_no_repetition(self):
        """A check after each edit is what it should be."""
        assert told([Turn(READ, f"t{number}") for number in range(6)]) == [""] * 6

    def test_two_turns_in_alternation(self):
        """A-B-A-B is nudged, going on with A ends it."""
        assert told([Turn(READ, "t"), Turn(FIND, "t")] * 2 + [Turn(READ, "t")]) == ["", "", "", "nudge", "stop"]

    def test_edits_that_undo_each_other(self):
        """Back to the tree before the last edit is nudged, once more ends it; a revert on purpose is no circle."""
        assert told([Turn(EDIT, tree) for tree in ("t0", "t1", "t0", "t1")]) == ["", "", "nudge", "stop"]
        assert told([Turn(EDIT, "t0"), Turn(EDIT, "t1"), Turn((("revert", "{}"),), "t0", reverted=True), Turn(EDIT, "t2")]) == [""] * 4

    def test_a_nudge_is_forgiven_after_work(self):
        """Six turns of something else begin a new count."""
        work = [Turn(FIND, f"w{number}") for number in range(6)]
        assert told([*[Turn(READ, "t0")] * 3, *work, *[Turn(READ, "t0")] * 3]) == ["", "", "nudge", *[""] * 6, "", "", "nudge"]


class TestKnownFailures:
    def test_advice_is_given_when_a_failure_comes_again(self):
        """Not the first time; then twice; then no more."""
        advisor, failed = Advisor(), Observation("`old` is not in a.py; the nearest text is\n1|x", ok=False)
        assert [bool(advisor.saw("edit", failed)) for _ in range(5)] == [False, True, True, False, False]

    def test_what_worked_is_not_commented(self):
        """The words of a failure in a good answer, or from another tool, mean nothing."""
        advisor = Advisor()
        for _ in range(3):
            assert advisor.saw("edit", Observation("`old` is not in a.py")) == ""
            assert advisor.saw("read", Observation("SyntaxError", ok=False)) == ""

    @pytest.mark.parametrize(
        ("tool", "text", "name"),
        [
            ("edit", "`old` occurs 2 times in a.py (lines 2, 6); add lines", "edit is ambiguous"),
            ("write", "refused: 'test_a.py' belongs to the check and stays as it is", "the check is edited"),
            ("check", "broken: ...\nE   SyntaxError: invalid syntax", "syntax"),
            ("run", "exit 1\nModuleNotFoundError: No module named 'x'", "missing module"),
            ("run", "exit 127\nsh: 1: rg: not found", "missing command"),
            ("run", "exit 6\ncurl: (6) Could not resolve host: example.org", "no network"),
            ("check", "timed_out: 300 s", "time"),
            ("check", "failed: 1 failed\nE   AssertionError: assert 1 == 2", "the same assertion"),
        ],
    )
    def test_each_signature_is_found_in_what_its_tool_says(self, tool, text, name):
        """The signatures match real observations."""
        first = next(failure for failure in FAILURES if tool in failure.tools and failure.signature.search(text))
        assert first.name == name
