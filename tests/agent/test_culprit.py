"""What a verdict on an old tree says about its commit, and how the search of a history ends."""

import pytest

from backstory.agent.budget import Budget, Purse
from backstory.agent.culprit import blame, read_finding, read_verdict, search_history
from backstory.agent.question import ask_given
from backstory.agent.types import Suspect
from backstory.tools.checks import Verdict
from judging import graph_of, judge_of
from repos import Repo

AT_BASE = Verdict(
    "failed", {}, ("AttributeError",), "1 failed: t.py::a: AttributeError: 'PosixPath' has no attribute 'rstrip'", "", 1.0, "in_tree"
)


def verdict(status, failure=(), summary=""):
    return Verdict(status, {}, failure, summary, "", 1.0, "in_tree")


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (verdict("passed"), "good"),
        (verdict("failed", ("AttributeError",), "1 failed: t.py::a: AttributeError: 'WindowsPath' has no attribute 'rstrip'"), "bad"),
        (verdict("failed", ("AttributeError",), "1 failed: t.py::a: AttributeError: module 'app' lacks 'open_store'"), "skip"),
        (verdict("failed", ("TypeError",), "1 failed: t.py::a: TypeError: unexpected keyword argument"), "skip"),
        (verdict("failed"), "bad"),
        (verdict("broken", (), "cannot be collected"), "skip"),
        (verdict("timed_out"), "skip"),
    ],
)
def test_only_the_same_failure_makes_a_commit_bad(seen, outcome):
    """Another exception, or one of the same type that speaks of something else, is no witness; so is a check that could not run."""
    assert read_verdict(seen, AT_BASE)[0] == outcome


def test_assertions_are_alike_whatever_values_they_saw():
    """Their messages hold values that differ from tree to tree."""
    base = verdict("failed", ("AssertionError",), "1 failed: t.py::a: assert 3 == 4")
    assert read_verdict(verdict("failed", ("AssertionError",), "1 failed: t.py::a: assert []"), base)[0] == "bad"


@pytest.mark.sandbox
def test_the_test_is_carried_where_todays_test_file_cannot_be_imported(tmp_path):
    """The culprit renamed a function that another test of the file imports: with the whole file no older tree could be tested."""
    repo = Repo(tmp_path / "app")
    old_test = "from app import old_name\n\n\ndef test_old():\n    assert old_name() == 1\n"
    good = "def old_name():\n    return 1\n\n\ndef answer():\n    return 42\n"
    for number in range(4):
        repo.commit(f"good {number}", {"app.py": good, "tests/test_app.py": old_test, "other.txt": f"{number}\n"})
    bad = good.replace("old_name", "new_name").replace("42", "41")
    culprit = repo.commit("Rename", {"app.py": bad, "tests/test_app.py": old_test.replace("old_name", "new_name")})
    for number in range(3):
        repo.commit(f"later {number}", {"other.txt": f"later {number}\n"})
    today = "from app import answer, new_name\n\n\ndef test_old():\n    assert new_name() == 1\n\n\ndef test_answer():\n    assert answer() == 42\n"
    with graph_of(repo.root, tmp_path) as graph, judge_of(graph, repo.root, tmp_path) as judge:
        question = ask_given(
            "python -m pytest -q tests/test_app.py::test_answer",
            judge=judge,
            read=lambda path: today.encode() if path == "tests/test_app.py" else None,
            timeout_s=60,
        )
        suspects = [Suspect(oid, 1 / len(graph), ()) for oid in graph.order()]
        finding, tested = search_history(graph, question, suspects, judge=judge, purse=Purse(Budget(), judge.trace), report=lambda *_: None)
        assert (finding.status, finding.culprit) == ("found", culprit), tested
        assert blame(graph, finding, suspects).status == "confirmed"
    assert "was found" in read_finding(finding, tested, cut=False)
