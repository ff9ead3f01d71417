"""What all commits said and touched, as columns."""

import numpy as np
import pytest
from graphs import graph_of

from backstory.errors import StorageError
from backstory.graph import said
from backstory.graph.past import Past
from backstory.graph.said import message_words, read_said
from repos import Repo


@pytest.fixture
def repo(tmp_path):
    """A file that was renamed, one that is gone, and a commit on a branch of its own."""
    repo = Repo(tmp_path / "repo")
    text = "".join(f"line = {number}\n" for number in range(20))
    repo.commit("Start", {"old.py": text, "gone.py": "x = 1\n"})
    repo.commit("Move", {"old.py": None, "new.py": text, "gone.py": None})
    repo.commit("Add both", {"new.py": text + "more = 1\n", "other.py": "y = 1\n"})
    return repo


def test_words_stand_by_commit_and_files_by_their_names_of_today(repo, tmp_path):
    """Each visible commit has a row of its message's words, and a pair for each of today's files it touched under any name."""
    graph = graph_of(repo, tmp_path / "cache")
    told = graph.said()
    subjects = [graph.message(oid).subject for oid in graph.order()]
    rows = {
        subjects[place]: table.row(row, row + 1)
        for table, seen in zip(told.tables, told.positions, strict=True)
        for row, place in enumerate(seen)
    }
    assert rows == {"Start": {"start": 2}, "Move": {"move": 2}, "Add both": {"add": 2, "both": 2}}
    files = sorted(graph.files())
    assert {(subjects[commit], files[file]) for commit, file in zip(told.commits, told.files, strict=True)} == {
        ("Start", "new.py"),
        ("Move", "new.py"),
        ("Add both", "new.py"),
        ("Add both", "other.py"),
    }


def test_commits_that_may_not_be_seen_have_no_place(repo, tmp_path):
    """Pinned at an older commit, rows that a newer one brought into the store are of no commit."""
    newest = graph_of(repo, tmp_path / "cache")
    newest.said()
    old = graph_of(repo, tmp_path / "cache", at="HEAD~1")
    told = old.said()
    assert sorted(int(place) for seen in told.positions for place in seen if place >= 0) == [0, 1]
    assert set(told.commits.tolist()) <= {0, 1}


def test_commits_that_come_while_a_graph_is_open_have_no_place(repo, tmp_path):
    """What another run brings into the store between opening a graph and asking it is not seen, and does no harm."""
    opened, expected = graph_of(repo, tmp_path / "cache"), graph_of(repo, tmp_path / "other").said()
    repo.commit("Later", {"other.py": "y = 2\n"})
    graph_of(repo, tmp_path / "cache").said()
    told = opened.said()
    assert [place for seen in told.positions for place in seen.tolist() if place >= 0] == [
        place for seen in expected.positions for place in seen.tolist()
    ]
    assert (told.commits.tolist(), told.files.tolist()) == (expected.commits.tolist(), expected.files.tolist())


def test_pieces_hold_the_same_whatever_their_size(repo, tmp_path):
    """Cut into pieces of one commit, rows and changes are those of one piece; a commit that comes later is a new piece."""
    first, second = graph_of(repo, tmp_path / "cache"), graph_of(repo, tmp_path / "other")
    [whole] = read_said(first.store, Past(first.store), 3)
    cut = read_said(second.store, Past(second.store), 2, size=1)
    assert len(cut) == 2
    cut = read_said(second.store, Past(second.store), 3, size=1)
    assert [piece.words.row(0, 1) for piece in cut] == [whole.words.row(row, row + 1) for row in range(3)]
    assert np.array_equal(np.concatenate([piece.paths for piece in cut]), whole.paths)
    assert np.array_equal(np.concatenate([piece.changes + row for row, piece in enumerate(cut)]), whole.changes)


def test_a_damaged_piece_is_told_with_the_remedy(repo, tmp_path):
    """What cannot be read names the way out instead of being taken for something else."""
    graph = graph_of(repo, tmp_path / "cache")
    graph.store.save_derived(said.KIND, said.VERSION, [((1).to_bytes(8, "big"), b"\0" * 12)])
    with pytest.raises(StorageError, match="cache clear"):
        graph.said()


def test_a_subject_counts_twice_and_a_long_body_is_cut():
    """The words of a subject weigh more than those of a body, of which only the beginning is read."""
    words = message_words("Fix lexer", "lexer of commas " + "x " * said.BODY_CHARS + "brackets")
    assert (words["lexer"], words["commas"]) == (3, 1)
    assert "brackets" not in words
