"""The question a repair has to answer: the user's check, or failing tests found from the issue, and why there is none."""

import pytest

from backstory.agent.localize import localize
from backstory.agent.question import Question, Unanswerable, ask_given, find_question
from backstory.graph.types import RepoPath
from fixing import solved
from judging import graph_of, judge_of
from repos import Repo

pytestmark = pytest.mark.sandbox

SHOP = "def total(prices):\n    return sum(prices) + 1\n\n\ndef mean(prices):\n    return sum(prices) / len(prices)\n"
FAILS = """
from shop import mean, total


def test_mean():
    assert mean([1, 3]) == 2


def test_total():
    assert total([1, 2]) == 3


class TestKinds:
    def test_none(self):
        assert total([]) == 0
"""
HOLDS = "from shop import mean\n\n\ndef test_one():\n    assert mean([1]) == 1\n"


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A shop whose total is wrong at the base, with tests that fail, hold and cannot run; no test changes it."""
    repo = Repo(tmp_path_factory.mktemp("shop") / "repo")
    repo.commit("Open", {"shop.py": SHOP, "tests/test_shop.py": FAILS, "tests/test_mean.py": HOLDS})
    repo.commit(
        "More",
        {
            "tests/test_lost.py": "import nowhere\n\n\ndef test_lost():\n    pass\n",
            "run.sh": "python -m pytest -q tests/test_shop.py tests/test_mean.py\n",
            "check_shop.py": "import shop\nassert shop.total([1]) == 1\n",
            "use_unittest.py": "import unittest\nimport shop\n\n\nclass TestShop(unittest.TestCase):\n    def test_total(self):\n"
            "        self.assertEqual(shop.total([1]), 1)\n",
        },
    )
    return repo


@pytest.fixture(scope="module")
def graph(repo, tmp_path_factory):
    with graph_of(repo.root, tmp_path_factory.mktemp("graph")) as graph:
        yield graph


def given(graph, repo, tmp_path, command, *, timeout_s=60.0):
    with judge_of(graph, repo.root, tmp_path) as judge:
        return ask_given(command, judge=judge, read=lambda path: graph.mirror.blob_at(graph.at, path), timeout_s=timeout_s)


def found(graph, repo, tmp_path, text):
    places = localize(graph, text, limit=20).locations
    with judge_of(graph, repo.root, tmp_path) as judge:
        read = lambda path: graph.mirror.blob_at(graph.at, path)  # noqa: E731
        return find_question(text, places, code=graph.code, judge=judge, read=read, timeout_s=60)


BOTH = ["tests/test_shop.py::TestKinds::test_none", "tests/test_shop.py::test_total"]


@pytest.mark.parametrize("command", ["python -m pytest --ignore tests/test_lost.py", "sh run.sh"])
def test_a_command_that_names_no_test_file_is_narrowed_to_what_fails(graph, repo, tmp_path, command):
    """History is searched with the failing tests, whose files are laid over every commit; the patch answers to the whole command."""
    question = given(graph, repo, tmp_path, command)
    assert isinstance(question, Question), question
    assert question.check.command == command and question.origin == "given"
    assert question.narrowed.command == f"python -m pytest -q {' '.join(BOTH)}"
    assert question.narrowed.files == (RepoPath("tests/test_shop.py"),)


@pytest.mark.parametrize(
    "command",
    [
        "python -m pytest -q tests/test_shop.py",
        "python check_shop.py",
        "python -m unittest use_unittest.py",
        "cd . && pytest -q -o pythonpath=. ./tests/test_shop.py",
    ],
)
def test_a_command_that_names_its_files_is_taken_as_it_is(graph, repo, tmp_path, command):
    """It asks the same of every commit already."""
    question = given(graph, repo, tmp_path, command)
    assert isinstance(question, Question), question
    assert question.narrowed == question.check
    assert len(question.check.files) == 1


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (
            "python -m pytest -q tests/test_mean.py",
            "the check passes at the base, so it shows no fault: 'python -m pytest -q tests/test_mean.py'",
        ),
        ("true", "the check passes at the base"),
        ("python -m pytest -q tests/test_lost.py", "tests could not be collected: tests/test_lost.py: "),
        ("python -m pytest -q tests/test_gone.py", "the check cannot run at the base: pytest was called wrongly"),
        ("python -m pytest -q tests", "tests could not be collected: tests/test_lost.py: "),
        ("no-such-program", "the check cannot run at the base: a program was not found"),
        ("exit 125", "the check cannot run at the base: the command said it cannot be tested"),
        ("python -m pytest -q -k nothing tests/test_mean.py", "the check cannot run at the base: "),
        ("sleep 100", "the check gave no answer at the base (timed_out: "),
    ],
)
def test_what_is_no_question(graph, repo, tmp_path, command, reason):
    """A check that passes, cannot run or does not end shows no fault, and each is said as what it is, with what to do."""
    answer = given(graph, repo, tmp_path, command, timeout_s=2 if "sleep" in command else 60)
    assert isinstance(answer, Unanswerable)
    assert reason in answer.reason and "; " in answer.reason, answer.reason
    assert answer.verdict is not None and "\n" not in answer.reason


@pytest.mark.parametrize(
    ("text", "tests"),
    [
        ("It fails\n\npytest tests/test_shop.py::test_total fails, see the log.", BOTH[1:]),
        ("It fails\n\n`tests/test_shop.py::TestKinds::test_none`", BOTH[:1]),
        ("It fails\n\ntest_total and test_one", BOTH[1:]),
        ("It fails\n\ntests/test_shop.py::test_unheard_of", BOTH),
        ("It fails\n\nsee test_shop.py", BOTH),
    ],
)
def test_tests_that_the_issue_names(graph, repo, tmp_path, text, tests):
    """Ids, names and files of tests in the text are run, a wrong id stands for its file, and those that fail are the question."""
    question = found(graph, repo, tmp_path, text)
    assert isinstance(question, Question), question
    assert (question.origin, question.check.command) == ("named in the issue", f"python -m pytest -q {' '.join(tests)}")
    assert question.check.files == (RepoPath("tests/test_shop.py"),)


def test_tests_linked_to_the_place(graph, repo, tmp_path):
    """Without a name, the tests that exercise the places which the issue points at are run."""
    question = found(graph, repo, tmp_path, "total() in shop.py adds one too many")
    assert isinstance(question, Question), question
    assert (question.origin, question.check.command) == ("linked to the places found", f"python -m pytest -q {' '.join(BOTH)}")


def test_named_tests_that_hold(graph, repo, tmp_path):
    """When the tests that were found do not fail, this is said, and not that there are none."""
    answer = found(graph, repo, tmp_path, "test_one is slow\n\nmean of one price")
    if isinstance(answer, Question):  # the linked tests of the same file may fail for another reason
        assert answer.origin == "linked to the places found"
    else:
        assert "do not fail at the base; give a failing one with --check" in answer.reason


def test_named_tests_that_cannot_run(tmp_path):
    """Tests that cannot be collected gave no answer, and the reason is theirs."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Open", {"shop.py": SHOP, "tests/test_lost.py": "import nowhere\n\n\ndef test_lost():\n    pass\n"})
    outcome = solved(repo.root, tmp_path, issue_text="test_lost fails\n", check=None)
    assert outcome.exit_code == 3
    assert "gave no answer at the base" in outcome.solution.reason and "nowhere" in outcome.solution.reason


def test_nothing_to_run(tmp_path):
    """A repository without tests and an issue without a check end with suspects, places and what to give."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Open", {"shop.py": SHOP})
    outcome = solved(repo.root, tmp_path, issue_text="total() in shop.py adds one\n", check=None)
    assert outcome.exit_code == 3
    assert outcome.solution.reason == "no test is named in the issue or linked to the places found; give a failing one with --check"
    assert outcome.solution.suspects[0].commit == repo.head
    assert outcome.solution.locations[0].path == "shop.py"


def test_another_copy_of_the_code_is_broken_not_failed(tmp_path):
    """Where Python imports an installed copy, the check judges other code: that is said, and is never a verdict on this code."""
    repo = Repo(tmp_path / "repo")
    installed = "installed/site-packages"
    asks = f"import sys\nsys.path.insert(0, {installed!r})\nimport shop\nassert shop.total([1]) == 1\n"
    repo.commit("Open", {"shop.py": SHOP, f"{installed}/shop.py": "def total(prices):\n    return 0\n", "ask.py": asks})
    outcome = solved(repo.root, tmp_path, check="python ask.py")
    assert outcome.exit_code == 3
    assert "'shop' was imported from" in outcome.solution.reason and "install it editable" in outcome.solution.reason
    assert outcome.solution.tested == ()
