"""agent/repair.py: what the sieve lets through, and how little of a passing proposal is left."""

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.agent.repair import Sieve, change_size, make, minimise


def parses(path, text):
    """Whether Python text is well-formed; other files always are."""
    if not path.endswith(".py"):
        return True
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def proposal(edits, today):
    return make("undo", "Undo it", edits, (), today=today.get)


def test_a_proposal_holds_only_what_it_changes_and_counts_lines():
    """A file set to what it is today is left out; lines that come and go are counted."""
    today = {"a.py": b"a = 1\nb = 2\n", "b.py": b"same\n"}
    made = proposal({"b.py": b"same\n", "a.py": b"a = 1\nb = 3\nc = 4\n"}, today)
    assert made.edits == {"a.py": b"a = 1\nb = 3\nc = 4\n"}
    assert made.size == 3
    assert change_size({"a.py": None, "new": b"x\ny"}, today=today.get) == 4


def test_the_sieve_lets_each_result_through_once():
    """What changes nothing, breaks the syntax or was there before is held back and counted; an iterator is read only as far as needed."""
    today = {"a.py": b"a = 1\n", "broken.py": b"a = (\n"}
    texts = [b"a = 2\n", b"a = 1\n", b"a = 2\n", b"a = = 2\n", b"a = 3\n", b"a = 4\n"]
    made = iter([proposal({"a.py": text}, today) for text in texts])
    sieve = Sieve(today=today.get, parses=parses, limit=2)
    assert [one.edits["a.py"] for one in sieve(made)] == [b"a = 2\n", b"a = 3\n"]
    assert sieve.dropped == {"unchanged": 1, "repeated": 1, "unparsable": 1}
    assert list(sieve([proposal({"a.py": b"a = 9\n"}, today)])) == []


def test_a_file_that_did_not_parse_need_not_parse():
    """Only the loss of syntax counts, and new files must have it."""
    today = {"broken.py": b"a = (\n"}
    sieve = Sieve(today=today.get, parses=parses)
    kept = list(
        sieve([proposal({"broken.py": b"b = (\n"}, today), proposal({"new.py": b"c = (\n"}, today), proposal({"new.js": b"("}, today)])
    )
    assert [list(one.edits) for one in kept] == [["broken.py"], ["new.js"]]


def test_minimising_keeps_the_hunk_and_the_lines_that_matter():
    """Of three hunks in two files one matters, and of that hunk one line; syntax is never broken on the way."""
    filler = "".join(f"x{i} = {i}\n" for i in range(9))
    today = {"a.py": f"a = 1\n{filler}def f(x):\n    return x\n".encode(), "b.py": b"b = 1\n"}
    guarded = f"a = 0\n{filler}def f(x):\n    log = 1\n    if x is None:\n        return 0\n    extra = 2\n    return x\n".encode()
    whole = proposal({"a.py": guarded, "b.py": b"b = 0\n"}, today)
    seen = []

    def passes(one):
        seen.append(one.edits)
        assert all(parses(path, text) for path, text in one.edits.items())
        return b"if x is None:\n        return 0\n" in one.edits.get("a.py", b"")

    least = minimise(whole, passes, today=today.get, parses=parses)
    expected = f"a = 1\n{filler}def f(x):\n    if x is None:\n        return 0\n    return x\n".encode()
    assert least.proposal.edits == {"a.py": expected}
    assert (least.minimal, least.trials, least.proposal.size) == (True, len(seen), 2)
    assert (least.proposal.kind, least.proposal.title) == (whole.kind, whole.title)


def test_whole_files_are_kept_or_left_whole():
    """A restored file and a binary one are each one atom."""
    today = {"logo.png": b"\0new", "a.py": b"a = 1\n"}
    whole = proposal({"logo.png": b"\0old", "gone.py": b"x = 1\ny = 2\n", "a.py": b"a = 2\n"}, today)
    least = minimise(whole, lambda one: "gone.py" in one.edits, today=today.get)
    assert least.proposal.edits == {"gone.py": b"x = 1\ny = 2\n"}


def test_a_budget_leaves_the_smallest_that_passed():
    """On a stop the best so far is returned and said not to be minimal."""
    today = {"a.txt": "".join(f"{i}\n" for i in range(20)).encode()}
    whole = proposal({"a.txt": "".join(f"{i}{'!' * (i % 2)}\n" for i in range(20)).encode()}, today)
    left = iter(range(2))
    least = minimise(whole, lambda one: b"1!\n" in one.edits["a.txt"], today=today.get, go_on=lambda: next(left, None) is not None)
    assert not least.minimal
    assert b"\n1!\n" in least.proposal.edits["a.txt"]
    assert least.proposal.size < whole.size


LINES = st.lists(st.sampled_from(["a", "b", "c", "d = e"]), max_size=7)
END = st.sampled_from(["\n", "\r\n"])


@given(LINES, LINES, END, END, st.booleans(), st.booleans(), st.integers(0, 2**20))
@settings(max_examples=150, deadline=None)
def test_minimising_never_grows_and_always_passes(before, after, end, new_end, closed, new_closed, salt):
    """Whatever passes, whatever the line ends: the result passed, is no larger, and its lines are today's or the proposal's."""
    texts = [(e.join(lines) + (e if c and lines else "")).encode() for lines, e, c in ((before, end, closed), (after, new_end, new_closed))]
    if texts[0] == texts[1]:
        return
    today = {"f": texts[0]}
    whole = proposal({"f": texts[1]}, today)

    def passes(one):
        return one.edits == whole.edits or hash((salt, one.edits["f"].count(b"a"))) % 3 == 0

    least = minimise(whole, passes, today=today.get)
    assert passes(least.proposal)
    assert least.proposal.size <= whole.size
    known = {line.strip() for text in texts for line in text.split(b"\n")}
    assert {line.strip() for line in least.proposal.edits["f"].split(b"\n")} <= known


@pytest.mark.parametrize("text", [b"", b"only\n"])
def test_a_single_hunk_of_one_line_needs_no_trial(text):
    """There is nothing to leave out."""
    today = {"f": text}
    whole = proposal({"f": text + b"new\n"}, today)
    assert minimise(whole, lambda one: pytest.fail("asked"), today=today.get).proposal == whole
