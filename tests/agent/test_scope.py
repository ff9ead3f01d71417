"""What must keep passing around a repair: chosen by evidence, judged against the base."""

import pytest

from backstory.agent.budget import Budget
from backstory.agent.scope import SCOPE_FILES, Scope, changed_spans, scope_files
from backstory.graph.types import RepoPath, Span
from backstory.tools.patch import diff_trees, write_tree
from judging import graph_of, judge_of
from repos import Repo

pytestmark = pytest.mark.sandbox

SHOP = "def total(prices):\n    return sum(prices)\n\n\ndef mean(prices):\n    return total(prices) / len(prices)\n\n\ndef name():\n    return 'shop'\n"
TEST = "from shop import {0}\n\n\ndef test_{0}():\n    assert {0}({1}) == {2}\n"


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """Tests of each function, one that fails at the base, one that cannot run, and a commit with a test that nothing else leads to."""
    repo = Repo(tmp_path_factory.mktemp("shop") / "repo")
    repo.commit(
        "Open",
        {
            "shop.py": SHOP,
            "tests/test_total.py": TEST.format("total", "[1, 2]", 3),
            "tests/test_mean.py": TEST.format("mean", "[1, 3]", 2),
            "tests/test_name.py": TEST.format("name", "", "'shop'"),
            "tests/conftest.py": "",
        },
    )
    repo.commit("total: as before", {"shop.py": SHOP + "\n# closed on Sundays\n", "tests/test_sunday.py": "def test_sunday():\n    pass\n"})
    repo.commit(
        "Other tests",
        {
            "tests/test_wrong.py": TEST.format("total", "[1]", 2) + "\n\ndef test_right():\n    assert total([2]) == 2\n",
            "tests/test_lost.py": "import nowhere\n",
            "other/test_far.py": "def test_far():\n    pass\n",
        },
    )
    return repo


@pytest.fixture(scope="module")
def graph(repo, tmp_path_factory):
    with graph_of(repo.root, tmp_path_factory.mktemp("graph")) as graph:
        yield graph


def edited(graph, old, new):
    """The tree of the base with one edit in shop.py."""
    text = (SHOP + "\n# closed on Sundays\n").replace(old, new)
    return write_tree(graph.mirror, graph.at, {RepoPath("shop.py"): text.encode()})


def judged(graph, repo, tmp_path, tree, *files, budget=None):
    with judge_of(graph, repo.root, tmp_path, budget=budget) as judge:
        return Scope(judge, timeout_s=60).verdict(tree, tuple(map(RepoPath, files)), clean=True)


def test_changed_spans_leave_the_context_out(graph):
    """A replaced line is its own span, although the diff shows three lines around it."""
    patch = diff_trees(graph.mirror, graph.at, edited(graph, "len(prices)", "len(list(prices))"))
    assert changed_spans(patch) == {"shop.py": (Span(6, 6),)}


def test_the_most_telling_files_come_first(repo, graph):
    """The check's files, then those of the blamed commit, then the tests of the changed symbol, then those of the changed file; no conftest."""
    blamed = repo.git("rev-parse", "HEAD~1")
    files = scope_files(graph, {RepoPath("shop.py"): (Span(6, 6),)}, check_files=[RepoPath("tests/test_wrong.py")], blamed=blamed)
    assert files[:3] == ("tests/test_wrong.py", "tests/test_sunday.py", "tests/test_mean.py")
    assert set(files[3:]) == {"tests/test_total.py", "tests/test_name.py"}
    assert scope_files(graph, {}, check_files=[RepoPath("README"), RepoPath("gone.py")], blamed=None) == ()


def test_the_scope_is_capped(tmp_path):
    """However many tests are linked to a symbol, a bounded number runs."""
    repo = Repo(tmp_path / "repo")
    tests = {f"tests/test_{number}.py": TEST.format("total", f"[{number}]", number) for number in range(SCOPE_FILES + 5)}
    repo.commit("Open", {"shop.py": SHOP, **tests})
    with graph_of(repo.root, tmp_path) as graph:
        assert len(scope_files(graph, {RepoPath("shop.py"): (Span(1, 2),)}, check_files=(), blamed=None)) == SCOPE_FILES


def test_what_held_still_holds(repo, graph, tmp_path):
    """A harmless edit breaks nothing; a test that failed at the base already does not count, nor does a file that cannot run."""
    tree = edited(graph, "return sum(prices)", "return sum(iter(prices))")
    verdict = judged(graph, repo, tmp_path, tree, "tests/test_total.py", "tests/test_wrong.py", "tests/test_lost.py", "other/test_far.py")
    assert verdict.holds and verdict.broke == ()
    assert verdict.held == 3
    assert set(verdict.files) == {"tests/test_total.py", "tests/test_wrong.py", "other/test_far.py"}


def test_the_tests_run_with_the_settings_of_the_check(tmp_path):
    """What lies in a folder that only the check's own variables put on the import path can be judged."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Open", {"src/shop.py": SHOP, "tests/test_total.py": TEST.format("total", "[1, 2]", 3)})
    with graph_of(repo.root, tmp_path) as graph, judge_of(graph, repo.root, tmp_path) as judge:
        for like, held in (("PYTHONPATH=src python -m pytest tests", 1), ("python -m pytest tests", 0)):
            verdict = Scope(judge, timeout_s=60, like=like).verdict(graph.at, (RepoPath("tests/test_total.py"),), clean=True)
            assert (verdict.holds, verdict.held) == (bool(held), held)


def test_what_breaks_is_named(repo, graph, tmp_path):
    """Each test that passed at the base and no longer does, and no other."""
    tree = edited(graph, "len(prices)", "1")
    verdict = judged(graph, repo, tmp_path, tree, "tests/test_mean.py", "tests/test_total.py", "tests/test_wrong.py")
    assert not verdict.holds and verdict.broke == ("tests/test_mean.py::test_mean",)


def test_a_test_that_vanishes_is_broken(repo, graph, tmp_path):
    """A repair that keeps a test file from being imported does not make its tests hold."""
    tree = edited(graph, "def mean(", "def average(")
    verdict = judged(graph, repo, tmp_path, tree, "tests/test_mean.py", "tests/test_total.py")
    assert "tests/test_mean.py::test_mean" in verdict.broke
    alone = judged(graph, repo, tmp_path / "alone", tree, "tests/test_mean.py")
    assert alone.broke == ("tests/test_mean.py::test_mean",)


def test_nothing_that_gives_a_result_is_no_proof(repo, graph, tmp_path):
    """Where no file runs at the base, it is said that nothing could be judged; without files there is nothing to judge."""
    tree = edited(graph, "len(prices)", "1")
    verdict = judged(graph, repo, tmp_path, tree, "tests/test_lost.py")
    assert not verdict.holds and verdict.broke == () and verdict.reason
    assert judged(graph, repo, tmp_path / "none", tree).holds


def test_a_budget_that_ends_in_the_middle_is_no_proof(repo, graph, tmp_path):
    """Neither at the base nor after the edit does a check that was not run count as one that holds."""
    tree = edited(graph, "len(prices)", "1")
    for steps in (1, 2, 3):
        verdict = judged(graph, repo, tmp_path / str(steps), tree, "other/test_far.py", "tests/test_mean.py", budget=Budget(steps=steps))
        assert not verdict.holds, steps


def test_the_checks_own_files_may_hold_nothing(tmp_path):
    """A check all of whose tests fail at the base has nothing to keep; another file of which none passes is no proof."""
    repo, path = Repo(tmp_path / "repo"), RepoPath("tests/test_new.py")
    repo.commit("Open", {"shop.py": SHOP, path: "def test_new():\n    assert False\n"})
    with graph_of(repo.root, tmp_path) as graph, judge_of(graph, repo.root, tmp_path) as judge:
        assert Scope(judge, timeout_s=60).verdict(graph.at, (path,), clean=True).reason == "they give no result at the base"
        judge.add_overlay({path: graph.text(path)})
        verdict = Scope(judge, timeout_s=60).verdict(graph.at, (path,), clean=True)
        assert (verdict.holds, verdict.files, verdict.held) == (True, (), 0)


@pytest.mark.slow
def test_files_that_do_not_end_in_time_are_no_part_of_the_scope(tmp_path):
    """Where the time is over at the base, the files that came to their end are held to, and only they; a fault in one of them is still found."""
    repo = Repo(tmp_path / "repo")
    repo.commit(
        "Open",
        {
            "shop.py": SHOP + "\n# closed on Sundays\n",
            "tests/test_a.py": TEST.format("mean", "[1, 3]", 2),
            "tests/test_b.py": "import time\n\n\ndef test_first():\n    pass\n\n\ndef test_endless():\n    time.sleep(600)\n",
            "pytest.ini": "[pytest]\naddopts = -p no:randomly\n",
        },
    )
    files = (RepoPath("tests/test_a.py"), RepoPath("tests/test_b.py"))
    with graph_of(repo.root, tmp_path) as graph, judge_of(graph, repo.root, tmp_path) as judge:
        scope = Scope(judge, timeout_s=40)
        good = scope.verdict(edited(graph, "len(prices)", "len(list(prices))"), files, clean=True)
        assert (good.reason, good.broke, good.files, good.held) == ("", (), files[:1], 1)
        assert scope.verdict(edited(graph, "len(prices)", "1"), files, clean=True).broke == ("tests/test_a.py::test_mean",)


@pytest.mark.slow
def test_a_patch_that_makes_tests_endless_is_not_proven(tmp_path):
    """Tests that ended at the base and do not with the patch are not called broken, and are no proof either."""
    repo = Repo(tmp_path / "repo")
    slow = "from shop import mean, name\n\n\ndef test_name():\n    assert name() == 'shop'\n\n\ndef test_mean():\n    assert mean([1, 3]) == 2\n"
    settings = "[pytest]\naddopts = -p no:randomly\n"
    repo.commit("Open", {"shop.py": SHOP + "\n# closed on Sundays\n", "tests/test_a.py": slow, "pytest.ini": settings})
    with graph_of(repo.root, tmp_path) as graph, judge_of(graph, repo.root, tmp_path) as judge:
        endless = edited(graph, "return total(prices) / len(prices)", "__import__('time').sleep(600)")
        verdict = Scope(judge, timeout_s=40).verdict(endless, (RepoPath("tests/test_a.py"),), clean=True)
    assert (verdict.holds, verdict.broke, verdict.held) == (False, (), 1)
    assert verdict.reason == "they do not end in time with the patch: 1 of 2 tests were held to"
