"""Checks on trees: what is judged is exactly the tree asked about, with the check's files laid over it."""

import pytest

from backstory.agent.judge import Patience
from backstory.agent.trace import read_events
from backstory.tools.checks import Check
from backstory.tools.patch import write_tree
from judging import graph_of, judge_of
from repos import Repo

pytestmark = pytest.mark.sandbox

TEST = "import app\n\n\ndef test_answer():\n    assert app.answer() == 42\n"
CHECK = Check("python -m pytest -q tests/test_app.py", 60, ("tests/test_app.py",))


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "app")
    repo.commit("good", {"app.py": "def answer():\n    return 42\n"})
    repo.commit("bad", {"app.py": "def answer():\n    return 41\n"})
    return repo


def test_a_check_is_laid_over_trees_that_never_had_it(repo, tmp_path):
    """The test file comes from outside, the code from the commit."""
    with graph_of(repo.root, tmp_path) as graph, judge_of(graph, repo.root, tmp_path) as judge:
        judge.add_overlay({"tests/test_app.py": TEST.encode()})
        assert judge.verdict(graph.at, CHECK, role="base").status == "failed"
        assert judge.verdict(graph.parents(graph.at)[0], CHECK, role="history").status == "passed"


def test_an_edit_of_the_check_does_not_count(repo, tmp_path):
    """A tree that rewrites the check's file, or leaves it out, is judged by the original."""
    with graph_of(repo.root, tmp_path) as graph, judge_of(graph, repo.root, tmp_path) as judge:
        judge.add_overlay({"tests/test_app.py": TEST.encode()})
        cheat = write_tree(graph.mirror, graph.at, {"tests/test_app.py": b"def test_answer():\n    pass\n"})
        assert judge.verdict(cheat, CHECK, role="proposal").status == "failed"


def test_what_a_check_leaves_behind_is_gone_before_the_next(repo, tmp_path):
    """A test that writes files and breaks tracked ones does not touch the next verdict, although the worktree is used again."""
    vandal = (
        b"import pathlib\n\n\ndef test_vandal():\n    pathlib.Path('app.py').write_text('')\n    pathlib.Path('new.py').write_text('')\n"
    )
    with graph_of(repo.root, tmp_path) as graph, judge_of(graph, repo.root, tmp_path) as judge:
        judge.add_overlay({"tests/test_app.py": TEST.encode(), "tests/test_vandal.py": vandal})
        good = graph.parents(graph.at)[0]
        assert judge.verdict(good, Check("python -m pytest -q tests/test_vandal.py", 60), role="history").status == "passed"
        clean = Check("test ! -e new.py && python -m pytest -q tests/test_app.py", 60)
        assert judge.verdict(good, clean, role="history").status == "passed"


def test_trees_side_by_side_give_the_verdicts_of_one_by_one(repo, tmp_path):
    """Two workers answer in the order of the trees."""
    with graph_of(repo.root, tmp_path) as graph, judge_of(graph, repo.root, tmp_path, workers=2) as judge:
        judge.add_overlay({"tests/test_app.py": TEST.encode()})
        trees = [graph.at, *graph.parents(graph.at), graph.at]
        assert [verdict.status for verdict in judge.verdicts(trees, CHECK, role="proposal")] == ["failed", "passed", "failed"]


def test_a_verdict_is_remembered_unless_it_has_to_be_clean(repo, tmp_path):
    """The same tree, overlay, command and environment are asked once; a clean verdict always runs."""
    with graph_of(repo.root, tmp_path) as graph, judge_of(graph, repo.root, tmp_path, cache=True) as judge:
        judge.add_overlay({"tests/test_app.py": TEST.encode()})
        first = judge.verdict(graph.at, CHECK, role="base")
        assert judge.verdict(graph.at, CHECK, role="again") == first
        assert judge.verdict(graph.at, CHECK, role="clean", clean=True) != first  # its seconds differ
        assert [event.body["key"]["role"] for event in read_events(tmp_path / "run" / "events.jsonl")] == ["base", "again", "clean"]


def test_a_check_that_was_seen_to_pass_is_not_waited_for_long(repo, tmp_path):
    """Once it has passed, a tree on which it hangs costs little, and that it was hurried is not remembered; before, it has all its time."""
    check = Check("sh check.sh", 4, ("check.sh",))
    waiting = {"check.sh": b"while grep -q 41 app.py; do sleep 0.1; done\n"}
    with graph_of(repo.root, tmp_path) as graph:
        hangs, passes = graph.at, graph.parents(graph.at)[0]
        also_hangs = write_tree(graph.mirror, graph.at, {"other.py": b""})
        with judge_of(graph, repo.root, tmp_path, cache=True, patience=Patience(least_s=1.0, times=0.0)) as judge:
            judge.add_overlay(waiting)
            assert judge.verdict(also_hangs, check, role="history").seconds >= 4
            assert judge.verdict(passes, check, role="history").status == "passed"
            hurried = judge.verdict(hangs, check, role="smaller")
            assert hurried.status == "timed_out" and hurried.seconds < 4
            assert judge.verdict(hangs, check, role="clean", clean=True).seconds >= 4
        with judge_of(graph, repo.root, tmp_path, run="later", cache=True) as judge:
            judge.add_overlay(waiting)
            assert judge.verdict(hangs, check, role="history").seconds >= 4


def test_nothing_is_left_in_the_checkout_or_the_work_folder(repo, tmp_path):
    """The user's checkout is not touched, and worktrees are gone when the judge is."""
    before = sorted(path.relative_to(repo.root) for path in repo.root.rglob("*") if ".git" not in path.parts)
    with graph_of(repo.root, tmp_path) as graph:
        with judge_of(graph, repo.root, tmp_path) as judge:
            judge.add_overlay({"tests/test_app.py": TEST.encode()})
            judge.verdict(graph.at, CHECK, role="base")
        assert graph.mirror.git.run("worktree", "list", "--porcelain").count(b"worktree ") == 1
    assert sorted(path.relative_to(repo.root) for path in repo.root.rglob("*") if ".git" not in path.parts) == before
    assert not [path for path in (tmp_path / "work").rglob("*") if path.is_file() and path.name == "app.py"]
