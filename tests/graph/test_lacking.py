"""Histories that lack some blobs, for measuring on stored snapshots."""

import pytest

from backstory.errors import UserError
from backstory.graph.build import HISTORY_TIERS, build_graph
from backstory.graph.source import open_source, resolve
from backstory.graph.types import RepoPath
from repos import Repo


@pytest.fixture
def repo(tmp_path):
    """Four commits; the first version of a picture, and a text of the same commit, are gone."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Begin", {"pic.bin": b"\0one" * 100, "notes.txt": "a\nb\n", "a.py": "x = 1\n"})
    repo.commit("Change", {"pic.bin": b"\0two" * 100, "notes.txt": "a\nc\n"})
    repo.commit("Break", {"a.py": "x = 2\n"})
    repo.commit("Fix", {"a.py": "x = 3\n"})
    for name in ("pic.bin", "notes.txt"):
        blob = repo.git("rev-parse", f"HEAD~3:{name}")
        (repo.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    return repo


def opened(repo, tmp_path, at="HEAD", **options):
    source = open_source(repo.root)
    return build_graph(source, resolve(source, at), cache_dir=tmp_path / "cache", tiers=HISTORY_TIERS, **options)


def test_what_is_there_is_told_and_what_is_not_stays_unknown(repo, tmp_path):
    """Commits and the lines of whole files are known; a change of a missing blob is known by its path alone."""
    graph = opened(repo, tmp_path, may_lack_blobs=True)
    assert [message.subject for message in graph.messages()] == ["Fix", "Break", "Change", "Begin"]
    assert [edge.dst for edge in graph.introduced(repo.head)] == [repo.git("rev-parse", "HEAD~1")]
    hunks = {change.path: change.hunks for change in graph.commit(repo.git("rev-parse", "HEAD~2")).changes}
    assert hunks == {"pic.bin": None, "notes.txt": None}
    assert graph.mirror.hunks(repo.git("rev-parse", "HEAD~3:notes.txt"), repo.git("rev-parse", "HEAD:notes.txt")) is None
    assert {span.first for span, _ in graph.origin(RepoPath("notes.txt"))} == {1}


def test_nobody_else_is_shown_a_history_that_lacks_something(repo, tmp_path):
    """Unless it is asked for, the repository is refused as ever, also after it was opened; a whole past of it is kept with the whole ones."""
    opened(repo, tmp_path, may_lack_blobs=True).close()
    with pytest.raises(UserError, match="history incomplete"):
        opened(repo, tmp_path)
    assert len(list((tmp_path / "cache" / "lacking").iterdir())) == 1


def test_a_later_commit_is_added_to_what_lacks_something(repo, tmp_path):
    """A second commit of the same repository, and the same once more, are opened from what is there."""
    opened(repo, tmp_path, at="HEAD~1", may_lack_blobs=True).close()
    assert opened(repo, tmp_path, may_lack_blobs=True).built.fetched
    assert not opened(repo, tmp_path, may_lack_blobs=True).built.did_work


def test_a_missing_commit_or_tree_is_never_made_do_with(repo, tmp_path):
    """Only blobs may be missing: without a tree nobody knows what a commit changed."""
    tree = repo.git("rev-parse", "HEAD~1^{tree}")
    (repo.root / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(UserError, match="history incomplete"):
        opened(repo, tmp_path, may_lack_blobs=True)


def test_a_whole_history_is_kept_with_the_whole_ones(tmp_path):
    """Being ready to make do changes nothing where nothing is missing."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Begin", {"a.py": "x = 1\n"})
    opened(repo, tmp_path, may_lack_blobs=True).close()
    assert not (tmp_path / "cache" / "lacking").exists() and not opened(repo, tmp_path).built.fetched
