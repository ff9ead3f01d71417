"""The stream parsers against git itself, and on what messages say."""

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.graph.history import (
    GIANT_FILES,
    LINE_TIER,
    PATH_TIER,
    fixed_issues,
    issue_numbers,
    read_line_tier,
    read_path_tier,
    revert_targets,
)
from backstory.graph.mirror import open_mirror, open_source
from backstory.graph.past import pack_hunks, unpack_hunks
from backstory.graph.types import Hunk, Oid
from repos import Repo, git


def read(repo: Repo, tmp_path):
    """Return the path tier and the line tier of HEAD, as read through the mirror."""
    mirror = open_mirror(open_source(repo.root), Oid(repo.head), cache_dir=tmp_path / "cache")
    with mirror.git.stream(*PATH_TIER, stdin=f"{repo.head}\n".encode()) as stream:
        commits = list(read_path_tier(stream))
    with mirror.git.stream(*LINE_TIER, stdin="".join(f"{commit.oid}\n" for commit in commits).encode()) as stream:
        return commits, dict(read_line_tier(stream))


def told_by_git(repo: Repo, oid: str) -> list[tuple[str, ...]]:
    """Return (status letter, paths...) of a commit as `git diff-tree` tells them."""
    fields = repo.git("diff-tree", "-r", "-M", "--root", "--no-commit-id", "--name-status", "-z", oid).split("\0")[:-1]
    told = []
    while fields:
        letter = fields.pop(0)[0]
        told.append((letter, *(fields.pop(0) for _ in range(2 if letter == "R" else 1))))
    return told


def test_random_commits_are_read_as_git_tells_them(tmp_path):
    """Statuses, paths, renames and hunks of a random history with branches equal `git diff-tree`, and hunks equal their own line counts."""
    chance = random.Random(7)
    repo = Repo(tmp_path / "repo")
    names = ["a.py", "lib/b.py", "odd name.txt", "Käse.txt", 'q"uote', "new\nline", "deep/er/c.py"]
    repo.commit("start", {name: "".join(f"{name} {line}\n" for line in range(20)) for name in names})
    for number in range(25):
        name = chance.choice(names)
        lines = [f"{chance.random()}\n" if chance.random() < 0.2 else line for line in read_lines(repo, name)]
        if number % 6 == 5:
            new = f"moved/{number}-{name.replace('/', '-')}"
            names[names.index(name)] = new
            repo.write({name: None, new: "".join(lines)})
        else:
            repo.write({name: "".join(lines[chance.randrange(3) :]) + chance.choice(["", "tail\n", "no newline"])})
        repo.commit(f"change {number}")
    commits, hunks = read(repo, tmp_path)
    assert [commit.oid for commit in commits] == repo.git("rev-list", "--reverse", "--topo-order", "HEAD").split()
    letters = {"added": "A", "modified": "M", "deleted": "D", "renamed": "R", "type_changed": "T"}
    for commit in commits:
        ours = [(letters[change.status], *((change.was,) if change.was else ()), change.path) for change in commit.changes]
        assert ours == told_by_git(repo, commit.oid)
        numbers = repo.git("diff-tree", "-r", "-M", "--root", "--no-commit-id", "--numstat", commit.oid).split("\n") if ours else []
        counts = [(sum(hunk.new_count for hunk in found), sum(hunk.old_count for hunk in found)) for found in hunks.get(commit.oid, ())]
        assert counts == [tuple(int(word) for word in line.split("\t")[:2]) for line in numbers]


def read_lines(repo: Repo, name: str) -> list[str]:
    return (repo.root / name).read_text().splitlines(keepends=True)


def test_hunks_are_those_git_prints(tmp_path):
    """A changed line, an added one, a removed one and a missing final newline give git's own numbers."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"a": "1\n2\n3\n4\n5\n"})
    at = repo.commit("two", {"a": "1\nx\n3\n3.5\n5"})
    _, hunks = read(repo, tmp_path)
    assert hunks[at] == ((Hunk(2, 1, 2, 1), Hunk(4, 2, 4, 2)),)


def test_binary_modes_links_and_empty_files_have_the_hunks_they_have(tmp_path):
    """A binary file and a changed type have none to read; a pure rename, a changed mode and an empty file have no lines."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"bin": b"\0\1", "file": "x\n", "moved": "1\n2\n3\n", "mode": "m\n", "z": "1\n"})
    (repo.root / "file").unlink()
    (repo.root / "file").symlink_to("z")
    (repo.root / "mode").chmod(0o755)
    at = repo.commit("two", {"bin": b"\0\2", "moved": None, "new": "1\n2\n3\n", "empty": "", "z": "2\n"})
    commits, hunks = read(repo, tmp_path)
    found = dict(zip([(change.path, change.status) for change in commits[-1].changes], hunks[at], strict=True))
    assert found == {
        ("bin", "modified"): None,
        ("empty", "added"): (),
        ("file", "type_changed"): None,
        ("mode", "modified"): (),
        ("new", "renamed"): (),
        ("z", "modified"): (Hunk(1, 1, 1, 1),),
    }


def test_contents_that_look_like_a_patch_do_not_confuse(tmp_path):
    """Lines that read like headers, hunks or commits are contents."""
    repo = Repo(tmp_path / "repo")
    tricky = f"diff --git a/x b/x\n@@ -1,9 +1,9 @@\n{'a' * 40}\n:100644 100644 M\tx\nBinary files differ\n-- a\n++ b\n\\ No newline\n"
    at = repo.commit("one", {"a": tricky, "b": "1\n"})
    assert read(repo, tmp_path)[1][at] == ((Hunk(0, 0, 1, 8),), (Hunk(0, 0, 1, 1),))


def test_merges_carry_no_changes_and_empty_commits_have_none(tmp_path):
    """An octopus merge has all its parents and no changes; a commit that changes nothing is there all the same."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"a": "1\n"})
    for branch in ("x", "y"):
        repo.git("checkout", "-q", "-b", branch, "main")
        repo.commit(branch, {branch: "1\n"})
    repo.git("checkout", "-q", "main")
    repo.commit("empty")
    repo.git("merge", "-q", "-m", "octopus", "x", "y")
    commits, _ = read(repo, tmp_path)
    by_subject = {commit.subject: commit for commit in commits}
    assert len(by_subject["octopus"].parents) == 3 and by_subject["octopus"].changes == ()
    assert by_subject["empty"].changes == ()
    seen = set()
    for commit in commits:
        assert set(commit.parents) <= seen
        seen.add(commit.oid)


def commit_object(
    repo: Repo, message: bytes, *, author: bytes = b"A <a@b>", when: bytes = b"1700000000 +0000", headers: bytes = b""
) -> str:
    """Write a commit object byte by byte and make it HEAD."""
    tree, parent = repo.git("rev-parse", "HEAD^{tree}"), repo.head
    content = (
        f"tree {tree}\nparent {parent}\n".encode()
        + b"author "
        + author
        + b" "
        + when
        + b"\ncommitter A <a@b> "
        + when
        + b"\n"
        + headers
        + b"\n"
        + message
    )
    oid = repo.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=content)
    repo.git("update-ref", "HEAD", oid)
    return oid


@pytest.mark.parametrize(
    ("message", "headers", "author", "subject"),
    [
        ("grün".encode("latin-1"), b"encoding ISO-8859-1\n", "Jürgen".encode("latin-1"), "grün"),
        ("grün".encode("latin-1"), b"", "Jürgen".encode("latin-1"), "grün"),
        ("grün".encode(), b"", "Jürgen".encode(), "grün"),
        ("зелёный".encode("koi8-r"), b"encoding KOI8-R\n", b"J\xf5rgen", "зелёный"),
        ("緑".encode("shift_jis"), b"encoding Shift_JIS\n", b"J", "緑"),
        (b"plain", b"encoding no-such-thing\n", b"J", "plain"),
        (b"plain", b"encoding zip\n", b"J", "plain"),
        (b"", b"", b"J", ""),
        (b"\n\n  two\nlines  \n\nbody", b"", b"J", "two lines"),
    ],
)
def test_messages_are_decoded_as_they_declare(tmp_path, message, headers, author, subject):
    """A message is read by its declared encoding, else as UTF-8, else as Latin-1, and never holds what cannot be stored."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one")
    commit_object(repo, message, headers=headers, author=author + b" <a@b>")
    last = read(repo, tmp_path)[0][-1]
    assert last.subject == subject
    (last.author + last.body).encode("utf-8")


def test_forged_dates_are_read(tmp_path):
    """Dates before 1970, far ahead, and none at all do not stop the reader."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one")
    for when in (b"0 +0000", b"99999999999999 +0000", b"nonsense"):
        commit_object(repo, b"m", when=when)
    assert len(read(repo, tmp_path)[0]) == 4


def test_giant_commits_are_path_only(tmp_path):
    """A commit with more than a megabyte of patch, or over the file limit, keeps its paths and loses its lines."""
    repo = Repo(tmp_path / "repo")
    long = repo.commit("long", {"long.txt": "".join(f"{number} {'x' * 90}\n" for number in range(12_000)), "short.txt": "1\n"})
    commits, hunks = read(repo, tmp_path)
    assert hunks[long] == (None, None) and len(commits[0].changes) == 2
    wide = repo.commit("wide", {f"many/{number}": "" for number in range(GIANT_FILES + 1)})
    assert set(read(repo, tmp_path)[1][wide]) == {None}


@pytest.mark.parametrize("size", [1, 7, 64])
def test_fields_are_joined_across_reads(tmp_path, size):
    """Where a chunk of the stream ends makes no difference."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"a": "1\n", "b": "2\n"})
    repo.commit("two", {"a": "2\n"})
    raw = git(repo.root, *PATH_TIER, stdin=f"{repo.head}\n".encode()).encode()

    class Dribble(io.BytesIO):
        def read(self, _=-1):
            return super().read(size)

    assert list(read_path_tier(Dribble(raw))) == read(repo, tmp_path)[0]


HUNKS = st.one_of(st.none(), st.lists(st.builds(Hunk, *[st.integers(0, 2**32 - 1)] * 4), max_size=4).map(tuple))


@given(st.lists(HUNKS, max_size=6))
def test_packed_hunks_come_back(changes):
    """Unpacking is the inverse of packing."""
    assert unpack_hunks(pack_hunks(changes), len(changes)) == changes


def test_what_messages_say_is_found():
    """Reverts, mentioned and closed issues are read; colours, anchors and longer words are not."""
    assert revert_targets("Revert\n\nThis reverts commit 0123456789abcdef0123456789abcdef01234567.") == [
        "0123456789abcdef0123456789abcdef01234567"
    ]
    assert revert_targets("this reverts commit\nabcdef1, and This reverts commit 1234567 too") == ["abcdef1", "1234567"]
    assert revert_targets("This reverts commit zzz") == []
    said = "Fix (#12), GH-7 and https://github.com/a/b/issues/300; not a#5, &#39; x/#6 or #abc, #12 again"
    assert issue_numbers(said) == ["#7", "#12", "#300"]
    assert fixed_issues("Fixes #3, closes: #4, resolved https://github.com/a/b/issues/5, see #6; prefix #7") == ["#3", "#4", "#5"]
