"""The example repository: the same everywhere, healthy but for one fault, and beyond what plain git can undo."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backstory.tools.merge import merge

EXAMPLES = Path(__file__).parent.parent / "examples"
HEAD = "ad17017f3119ff70bd7e37488d4b32c67d35155d"
CHECK = "tests/test_last_pieces.py"
SUBJECT = "Keep running totals instead of summing reservations (#19)"


def git(root: Path, *arguments: str, succeeds: bool = True) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
    }
    done = subprocess.run(["git", *arguments], cwd=root, env=environment, capture_output=True, text=True)
    assert (done.returncode == 0) == succeeds, done.stderr
    return done.stdout.strip()


def run_tests(root: Path, *names: str) -> tuple[int, str]:
    """Run the example's tests with plain pytest and return its exit code and output."""
    plain = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-m", "pytest", *plain, *names], cwd=root, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout


def build(target: Path) -> str:
    done = subprocess.run([sys.executable, EXAMPLES / "build_example.py", target], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("example") / "example"
    build(root)
    return root


@pytest.fixture
def example(built, tmp_path):
    return Path(shutil.copytree(built, tmp_path / "example"))


@pytest.fixture(scope="module")
def culprit(built):
    return git(built, "log", "--format=%H", "--fixed-strings", f"--grep={SUBJECT}")


def test_every_commit_has_the_same_id_on_every_machine(built, tmp_path):
    """The script depends on nothing but itself, and building again over an old example gives the same."""
    assert git(built, "rev-parse", "HEAD") == HEAD
    again = tmp_path / "again"
    assert [build(again), build(again)] == [HEAD, HEAD]
    assert git(again, "status", "--porcelain", "--ignored") == ""


def test_nothing_else_is_overwritten(tmp_path):
    """A folder that is no example is refused and left as it is."""
    (tmp_path / "mine.txt").write_text("mine")
    done = subprocess.run([sys.executable, EXAMPLES / "build_example.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and "not an example" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_history_looks_like_one(built):
    """There are over sixty commits with merges, several people, releases and a renamed file."""
    assert int(git(built, "rev-list", "--count", "HEAD")) == 69
    assert len(git(built, "rev-list", "--merges", "HEAD").split()) >= 5
    assert len(set(git(built, "log", "--format=%an").splitlines())) == 4
    assert git(built, "tag").split() == ["v0.1.0", "v0.2.0", "v0.3.0", "v0.4.0"]
    assert "stockroom/inventory.py" in git(built, "log", "--follow", "--name-only", "--format=", "stockroom/stock.py")


def test_all_tests_pass_but_the_one_for_the_issue(built):
    """Today's suite is green but for the failing test, which fails as the issue says."""
    code, output = run_tests(built)
    assert code == 1
    assert re.findall(r"^FAILED (\S+?)::", output, re.MULTILINE) == [CHECK] * 2
    assert "TEA-01: 3 wanted, 3 available" in output
    assert "TEA-01: 3 wanted, 3 available" in (EXAMPLES / "issue.md").read_text()


def test_the_issue_gives_nothing_away(built, culprit):
    """The issue names no commit, no author and not the line at fault."""
    text = (EXAMPLES / "issue.md").read_text()
    assert culprit[:7] not in text and "#19" not in text and "running" not in text and ">" not in text
    assert not any(name.split()[0] in text for name in git(built, "log", "--format=%an").splitlines())


def outcome(root: Path) -> str:
    """Ask the issue's question of the files that are checked out: "good", "bad", or "skip" when it cannot be asked."""
    question = 'from stockroom import Inventory; shelf = Inventory(); shelf.receive("TEA-01", 3); shelf.reserve("TEA-01", 3)'
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", question], cwd=root, env=environment, capture_output=True, text=True)
    return "good" if done.returncode == 0 else "bad" if "OutOfStock: TEA-01" in done.stderr else "skip"


def test_the_fault_comes_in_with_one_commit(example, culprit):
    """The question of the issue is answered well before the culprit and badly from it on; before there was an inventory it cannot be asked."""
    found = {}
    for commit in git(example, "rev-list", "--reverse", "HEAD").split():
        git(example, "checkout", "-q", commit)
        found[commit] = outcome(example)
    after = set(git(example, "rev-list", "--ancestry-path", f"{culprit}..HEAD").split()) | {culprit}
    assert {commit for commit, answer in found.items() if answer == "bad"} == after
    assert [answer for answer in found.values() if answer == "skip"] == ["skip"] * 6


def test_git_bisect_finds_the_culprit(example, culprit):
    """Bisecting by hand ends at the culprit."""
    git(example, "bisect", "start", "HEAD", "v0.2.0")
    said = ""
    while "is the first bad commit" not in said:
        said = git(example, "bisect", outcome(example))
    assert said.startswith(culprit)


@pytest.mark.parametrize("revision", ["v0.1.0", "v0.2.0", "culprit", "v0.3.0", "v0.4.0"])
def test_the_suite_of_the_day_passes(revision, example, culprit):
    """No suite of its day catches the fault: releases and the culprit itself pass their own tests."""
    git(example, "checkout", "-q", culprit if revision == "culprit" else revision)
    assert run_tests(example)[0] == 0


def test_the_culprit_cannot_be_reverted(example, culprit):
    """`git revert` conflicts, also when it is told to look hard for the renamed file."""
    git(example, "revert", "--no-edit", culprit, succeeds=False)
    git(example, "revert", "--abort")
    git(example, "revert", "--no-edit", "-Xfind-renames=30%", culprit, succeeds=False)
    assert "U" in git(example, "status", "--porcelain")


def test_taking_everything_of_the_culprit_back_breaks_what_came_later(example, culprit):
    """With today's stock.py as it was before the culprit, later tests fail: much of the culprit has to stay."""
    (example / "stockroom" / "stock.py").write_text(git(example, "show", f"{culprit}~:stockroom/inventory.py") + "\n")
    code, output = run_tests(example, "tests/test_stock.py")
    assert code != 0 and "test_more_than_is_held_cannot_be_released" in output


def test_the_guilty_line_can_be_merged_out(example, culprit):
    """Undoing the one line, merged three-way onto today's text, makes every test pass and keeps all that came later."""
    base = git(example, "show", f"{culprit}:stockroom/inventory.py").encode()
    assert base.count(b"if quantity >= free:") == 1
    today = git(example, "show", "HEAD:stockroom/stock.py").encode()
    merged = merge(base, today, base.replace(b"if quantity >= free:", b"if quantity > free:"))
    assert not any(stretch.how == "conflict" for stretch in merged.stretches)
    assert merged.text == today.replace(b"if quantity >= available and not backorder:", b"if quantity > available and not backorder:")
    (example / "stockroom" / "stock.py").write_bytes(merged.text + b"\n")
    assert run_tests(example)[0] == 0
