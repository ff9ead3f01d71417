"""agent/undo.py: old changes taken back in code that has moved on since."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from backstory.agent.repair import PROPOSAL_LIMIT, Sieve
from backstory.agent.undo import TornFile, is_prose, torn_files, tree_changes, undo_proposals
from backstory.graph.types import Change, Commit, Location, Span
from repos import Repo

CULPRIT = Commit("c" * 40, ("b" * 40,), "Ada", datetime(2024, 1, 1, tzinfo=UTC), "Speed up the parser", "")


def proposals(*torn, elsewhere=None, **options):
    """Everything that would be tried for these files, as a list."""
    today = {file.path: file.today for file in torn} | (elsewhere or {})
    sieve = Sieve(today=today.get)
    made = undo_proposals(torn, culprit=CULPRIT, today=today.get, elsewhere=sorted(elsewhere or {}), **options)
    return list(sieve(made))


def torn(before, after, today, path="src/app.py"):
    return TornFile(path, *(text.encode() if isinstance(text, str) else text for text in (before, after, today)))


def results(found, path="src/app.py"):
    """The texts proposed for one file."""
    return [proposal.edits[path].decode() for proposal in found if proposal.edits.get(path) is not None]


GUARDED = "def size(box):\n    if box is None:\n        return 0\n    return box.width * box.height\n"
UNGUARDED = "def size(box):\n    return box.width * box.height\n"


def test_a_dropped_guard_comes_back_in_code_that_changed_since():
    """Today the function has another name and its result is rounded: both stay."""
    today = "def area(box):\n    return round(box.width * box.height)\n"
    expected = "def area(box):\n    if box is None:\n        return 0\n    return round(box.width * box.height)\n"
    first, *_ = proposals(torn(GUARDED, UNGUARDED, today))
    assert first.edits == {"src/app.py": expected.encode()}
    assert (first.kind, first.size) == ("undo-part", 2)
    assert first.title == "Undo what cccccccccc did at src/app.py:2"
    assert [(why.kind, why.ref) for why in first.why] == [("undo", CULPRIT.oid)]


def test_a_changed_boundary_comes_back_on_a_line_renamed_since():
    """The operator is the culprit's, the name is today's."""
    found = proposals(torn("if n >= limit:\n    stop()\n", "if n > limit:\n    stop()\n", "if count > limit:\n    stop()\n"))
    assert results(found) == ["if count >= limit:\n    stop()\n"]


def test_a_guard_comes_back_in_a_function_moved_deeper():
    """The whole function was put into a class since: the guard has its depth."""
    method = "class Box:\n" + "".join(f"    {line}\n" for line in UNGUARDED.splitlines())
    expected = "class Box:\n" + "".join(f"    {line}\n" for line in GUARDED.splitlines())
    assert expected in results(proposals(torn(GUARDED, UNGUARDED, method)))


def test_a_regression_mixed_with_a_wanted_feature_comes_apart():
    """One hunk drops a guard, adds logging and changes a line: each is also taken back alone."""
    before = "def f(x):\n    if x is None:\n        return 0\n    y = g(x, limit)\n    return y\n"
    after = "def f(x):\n    log.debug('f', x)\n    y = g(x, bound)\n    return y\n"
    made = {proposal.kind: proposal.edits["src/app.py"].decode() for proposal in reversed(proposals(torn(before, after, after)))}
    assert made["restore-lines"] == after.replace("    log", "    if x is None:\n        return 0\n    log")
    assert made["drop-lines"] == after.replace("    log.debug('f', x)\n", "")
    assert made["old-lines"] == after.replace("bound", "limit")
    assert before in made.values()


def test_one_of_two_changed_expressions_comes_back_alone():
    """Two words of one condition changed; each is undone without the other."""
    before, after = "if n >= limit and not done:\n", "if n > limit and done:\n"
    found = proposals(torn(before, after, after))
    assert "if n >= limit and done:\n" in results(found)
    assert "if n > limit and not done:\n" in results(found)


def test_pure_deletion_and_pure_addition_are_taken_back():
    """Lines that went return; lines that came go."""
    assert results(proposals(torn("a\nb\nc\n", "a\nc\n", "a\nc\nd\n"))) == ["a\nb\nc\nd\n"]
    assert results(proposals(torn("a\nc\n", "a\nb\nc\n", "zero\na\nb\nc\n"))) == ["zero\na\nc\n"]


def test_line_ends_and_a_missing_last_newline_stay_as_they_are_today():
    """CRLF today and no newline at the end: only the guard's lines are new."""
    today = UNGUARDED.replace("\n", "\r\n").removesuffix("\r\n")
    expected = GUARDED.replace("\n", "\r\n").removesuffix("\r\n")
    assert results(proposals(torn(GUARDED, UNGUARDED, today))) == [expected]
    crlf = [text.replace("\n", "\r\n") for text in (GUARDED, UNGUARDED, UNGUARDED)]
    assert results(proposals(torn(*crlf))) == [crlf[0]]


LONG = "import os\n\n\ndef width(box):\n    left = box.left\n    right = box.right\n    return right - left\n"
BROKEN = LONG.replace("    return right - left\n", "    return right + left\n")


def test_a_block_moved_to_another_file_is_repaired_there():
    """The function lives elsewhere today, inside a class; its old file is gone."""
    moved = "class Box:\n" + "".join(f"    {line}\n" for line in BROKEN.splitlines()[3:]) + "\n    def other(self):\n        return 1\n"
    found = proposals(torn(LONG, BROKEN, None), elsewhere={"src/box.py": moved.encode(), "src/zoo.py": b"nothing\n"})
    assert results(found, "src/box.py") == [moved.replace("right + left", "right - left")]


def test_a_block_found_twice_is_left_alone():
    """Two places fit: no guess is made, and the conflict is counted."""
    dropped: Counter[str] = Counter()
    twice = {"src/a.py": (BROKEN * 2).encode()}
    assert proposals(torn(LONG, BROKEN, None), elsewhere=twice, dropped=dropped) == []
    assert dropped["conflict"] == 1


def test_a_file_the_culprit_removed_comes_back():
    """Unless there is one again."""
    assert results(proposals(torn("x = 1\n", None, None))) == ["x = 1\n"]
    assert proposals(torn("x = 1\n", None, "y = 2\n")) == []


def test_a_file_the_culprit_added_goes_with_the_whole_and_is_also_kept():
    """Later code may need it, so both are proposed; a file changed since is not removed."""
    use = torn("x = 1\n", "x = new()\n", "x = new()\n", "src/use.py")
    added = torn(None, "def new(): return 2\n", "def new(): return 2\n", "src/new.py")
    found = proposals(use, added)
    assert {"src/use.py": b"x = 1\n", "src/new.py": None} in [proposal.edits for proposal in found]
    assert {"src/use.py": b"x = 1\n"} in [proposal.edits for proposal in found]
    changed = torn(None, "def new(): return 2\n", "def new(): return 3\n", "src/new.py")
    assert all("src/new.py" not in proposal.edits for proposal in proposals(use, changed))


def test_a_binary_file_goes_back_only_if_nobody_touched_it():
    """Binary contents are whole."""
    same = torn(b"\0old", b"\0new", b"\0new", "logo.png")
    assert [proposal.edits for proposal in proposals(same)] == [{"logo.png": b"\0old"}]
    assert proposals(torn(b"\0old", b"\0new", b"\0newer", "logo.png")) == []


def test_the_part_at_the_failure_is_tried_first():
    """Of two hunks the smaller leads; a traceback frame or a located span turns that round."""
    before = "a = 1\n" + "keep\n" * 9 + "b = 1\nc = 1\nd = 1\n"
    after = "a = 2\n" + "keep\n" * 9 + "b = 2\nc = 2\nd = 2\n"
    file = torn(before, after, "# a comment since\n" + after)
    small, large = "a = 1", "b = 1"
    assert small in results(proposals(file))[0]
    assert large in results(proposals(file, frames=[("src/app.py", 14)]))[0]
    place = Location("src/app.py", Span(12, 14), None, 0.9, ())
    assert large in results(proposals(file, located=[place]))[0]


def test_hunks_that_share_a_rare_word_go_together():
    """A function renamed in one file and its call in another are taken back at once."""
    one = torn("def old_name():\n    return 1\n", "def new_name():\n    return 1\n", "def new_name():\n    return 1\n", "src/one.py")
    other = torn("x = old_name()\n", "x = new_name()\n", "x = new_name()\n", "src/other.py")
    third = torn("unrelated = 1\n", "unrelated = 2\n", "unrelated = 2\n", "src/third.py")
    both = {"src/one.py": b"def old_name():\n    return 1\n", "src/other.py": b"x = old_name()\n"}
    assert both in [proposal.edits for proposal in proposals(one, other, third)]


def test_the_whole_comes_early_and_says_when_it_is_not_all():
    """After three parts; what conflicts stays as it is today."""
    before, after = ([f"line {i}" for i in range(40)] for _ in range(2))
    for i in range(0, 40, 5):
        after[i] = f"changed {i} {i} {i}"
    today = [*after[:5], "rewritten beyond recognition", *after[6:]]
    texts = ["\n".join(lines) + "\n" for lines in (before, after, today)]
    found = proposals(torn(*texts))
    kinds = [proposal.kind for proposal in found]
    assert kinds.index("undo") == 3
    whole = found[3]
    assert whole.title == "Undo what still can be undone of cccccccccc"
    expected = [*before[:5], "rewritten beyond recognition", *before[6:]]
    assert whole.edits["src/app.py"].decode().splitlines() == expected


def test_proposals_are_made_one_by_one_and_end():
    """A commit of three hundred hunks costs nothing before it is asked for, and the number of tries is limited."""
    before = "".join(f"a{i} = 1\n\n" for i in range(300))
    after = before.replace("= 1", "= 2")
    assert len(proposals(torn(before, after, after))) == PROPOSAL_LIMIT


def test_tests_and_documentation_are_left_out():
    """Taking them back would hide the fault."""
    texts = {"a.py": "a", "tests/test_a.py": "t", "docs/a.rst": "d", "CHANGES": "c", "HISTORY.md": "h", "requirements.txt": "r"}
    changes = [Change(path, None, "modified", None) for path in texts]
    found = torn_files(
        changes,
        culprit="c" * 40,
        parent="b" * 40,
        base="d" * 40,
        text=lambda commit, path: texts[path].encode() + commit[:1].encode(),
        path_today=lambda commit, path: path,
        leave_out=lambda path: path.startswith("tests/"),
    )
    assert found == [TornFile("a.py", b"ab", b"ac", b"ad"), TornFile("requirements.txt", b"rb", b"rc", b"rd")]


@pytest.mark.parametrize(
    ("path", "prose"), [("README", True), ("docs/x.RST", True), ("changes.txt", True), ("news.py", False), ("data.txt", False)]
)
def test_prose_is_told_by_its_name(path, prose):
    """Only the name is looked at."""
    assert is_prose(path) == prose


class History:
    """A real repository read the way the seam wants it."""

    def __init__(self, repo: Repo):
        self.repo = repo

    def text(self, commit, path):
        if path not in self.files(commit):
            return None
        return self.repo.git("cat-file", "blob", self.files(commit)[path]).encode() + b"\n"  # the helper strips the last newline

    def files(self, commit):
        rows = self.repo.git("ls-tree", "-r", commit).splitlines()
        return {row.split("\t")[1]: row.split()[2] for row in rows}


def test_a_file_renamed_by_the_culprit_and_again_later_is_followed(tmp_path):
    """The repair lands where the file is today, under real git."""
    repo = Repo(tmp_path)
    parent = repo.commit("start", {"a.py": GUARDED + LONG})
    culprit = repo.commit("move and break", {"a.py": None, "b.py": UNGUARDED + LONG})
    base = repo.commit("move again", {"b.py": None, "lib/c.py": "# new home\n" + UNGUARDED + LONG})
    history = History(repo)
    (file,) = torn_files(
        [Change("b.py", "a.py", "renamed", None)],
        culprit=culprit,
        parent=parent,
        base=base,
        text=history.text,
        path_today=lambda commit, path: "lib/c.py",
    )
    assert results(proposals(file), "lib/c.py") == ["# new home\n" + GUARDED + LONG]


def test_a_merge_that_broke_what_both_sides_had_is_undone_against_either_parent(tmp_path):
    """An evil merge changed a line neither parent has: each parent's version of it is proposed, and the rest of the merge stays."""
    repo = Repo(tmp_path)
    start = LONG.splitlines(keepends=True)
    repo.commit("start", {"a.py": LONG})
    repo.git("checkout", "-q", "-b", "side")
    side = repo.commit("side", {"b.py": "side = 1\n"})
    repo.git("checkout", "-q", "main")
    main = repo.commit("main", {"a.py": "".join(["# main\n", *start])})
    repo.git("merge", "-q", "--no-ff", "--no-commit", side)
    merged = repo.commit("merge", {"a.py": "".join(["# main\n", *BROKEN.splitlines(keepends=True)])})
    assert len(repo.git("rev-list", "--parents", "-n1", merged).split()) == 3
    base = repo.commit("later", {"c.py": "later = 1\n"})
    history = History(repo)
    fixed = {}
    for parent in (main, side):
        changes = tree_changes(history.files(parent), history.files(merged))
        torn_by_merge = torn_files(
            changes, culprit=merged, parent=parent, base=base, text=history.text, path_today=lambda commit, path: path
        )
        fixed[parent] = results(proposals(*torn_by_merge), "a.py")
    assert "".join(["# main\n", *start]) in fixed[main]
    assert "".join(["# main\n", *start]) in fixed[side]


def test_tree_changes_say_what_came_went_and_changed():
    """By path and blob alone."""
    found = tree_changes({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "d": "4"})
    assert [(change.path, change.status) for change in found] == [("b", "modified"), ("c", "deleted"), ("d", "added")]
