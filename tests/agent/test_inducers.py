"""Where a defect came from: what a fix takes apart to, and how the candidates are ranked."""

import math

import pytest
from graphs import graph_of

from backstory.agent.defect import blamed_ids, defect_of_fix, defect_of_lines, redacted
from backstory.agent.inducers import rank_inducers
from backstory.graph.types import Hunk, RepoPath, Span
from repos import Repo

SIZES = "def area(box):\n    width = box.right - box.left\n    height = box.bottom - box.top\n    return width * height\n"
CHURN = "def {name}(box):\n    return box.{name}\n"


@pytest.fixture
def repo(tmp_path):
    """A function whose line is broken, then moved past by many commits to the same file, then mended."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Measure boxes", {"box.py": SIZES, "CHANGES": "1\n"})
    broken = SIZES.replace("box.right - box.left", "abs(box.right) - abs(box.left)")
    repo.git("tag", "culprit", repo.commit("Take absolute values", {"box.py": broken}))
    more = ""
    for name in ("colour", "weight", "price", "owner"):
        more += "\n\n" + CHURN.format(name=name)
        repo.commit(f"Tell the {name}", {"box.py": broken + more})
    repo.commit(
        "Fix area", {"box.py": broken.replace("abs(box.right) - abs(box.left)", "abs(box.right - box.left)") + more, "CHANGES": "2\n"}
    )
    return repo


def ranked(repo, tmp_path, fix="HEAD"):
    graph = graph_of(repo, tmp_path / "cache")
    defect = defect_of_fix(graph, repo.git("rev-parse", fix), redact=True)
    return rank_inducers(graph.pinned(defect.base), defect)


def test_newer_changes_of_the_file_do_not_hide_the_writer(repo, tmp_path):
    """Recency in the file is outweighed by having written the line and brought its words; reasons come strongest first."""
    first = ranked(repo, tmp_path)[0]
    assert first.commit == repo.git("rev-parse", "culprit") and first.rung == "blamed"
    assert "brought what the fix takes out: abs" in " ".join(reason.note for reason in first.why)


def test_probabilities_are_a_distribution(repo, tmp_path):
    """They fall along the ranking and sum to 1; the same question has the same answer."""
    once, again = ranked(repo, tmp_path), ranked(repo, tmp_path)
    shares = [one.probability for one in once]
    assert shares == sorted(shares, reverse=True) and math.fsum(shares) == pytest.approx(1)
    assert once == again


def test_a_change_log_is_no_suspect_of_a_fix_of_code(repo, tmp_path):
    """Prose that a fix changes beside code is not looked into."""
    graph = graph_of(repo, tmp_path / "cache")
    defect = defect_of_fix(graph, repo.head, redact=True)
    assert [piece.path for piece in defect.pieces] == ["box.py"]
    assert defect.pieces[0].removed() == [2] and b"abs" in defect.removed_words()


def test_named_lines_stand_for_what_a_fix_takes_out(repo, tmp_path):
    """Lines at the graph's commit are the defect; blank ones carry none."""
    graph = graph_of(repo, tmp_path / "cache")
    defect = defect_of_lines(graph, RepoPath("box.py"), Span(2, 5))
    assert defect.base == repo.head and defect.pieces[0].hunks == (Hunk(2, 4, 1, 0),)
    assert defect.pieces[0].removed() == [2, 3, 4]


def test_a_link_that_is_mended_has_an_origin_too(tmp_path):
    """The target of a symbolic link is text with a writer, though no file that is parsed."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Begin", {"a.py": "x = 1\n"})
    (repo.root / "link.py").symlink_to("b.py")
    wrong = repo.commit("Link")
    (repo.root / "link.py").unlink()
    (repo.root / "link.py").symlink_to("a.py")
    repo.commit("Fix the link")
    assert [one.commit for one in ranked(repo, tmp_path)] == [wrong]


def test_one_line_in_an_empty_past_has_one_candidate(tmp_path):
    """A defect of the first commit has that commit alone as its origin."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Begin", {"a.py": "x = f(1)\n"})
    repo.commit("Fix", {"a.py": "x = f(2)\n"})
    assert [(one.commit, one.probability) for one in ranked(repo, tmp_path)] == [(repo.git("rev-parse", "HEAD~1"), 1.0)]


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ('Fix x\n\nFixes: 0123456789ab ("Add x")\nSigned-off-by: A <a@b>', "Fix x\nSigned-off-by: A <a@b>"),
        ("Fix the crash introduced in 1234567 by the new parser", ""),
        ("HADOOP-12 mend the list, see #3", "mend the list, see"),
        ("Fix x\n\nThis reverts commit 0123456789abcdef0123456789abcdef01234567.", "Fix x"),
        ('Fix x\n\nThe list was broken in\ncommit 1234567 ("Read the\nlist lazily").\nCc: B', "Fix x"),
        ("Keep words and decade 2020", "Keep words and decade 2020"),
    ],
)
def test_what_names_the_culprit_is_taken_out_of_a_message(message, left):
    """Ids, quoted subjects, tickets and sentences of blame go; the rest stays."""
    assert redacted(message) == left


def test_ids_outside_of_blame_are_not_the_culprit(repo):
    """A commit that a message only mentions is not said to be to blame."""
    assert blamed_ids("Fix x, like 1234567 did. Regression since abcdef1.") == ["abcdef1"]
