"""Recall of past changes."""

import numpy as np
import pytest
from graphs import graph_of

from backstory.memory.recall import past_of, recall
from repos import Repo


@pytest.fixture
def repo(tmp_path):
    return Repo(tmp_path / "repo")


def test_the_change_that_speaks_of_the_same_comes_first(repo, tmp_path):
    """A text finds the commit whose message it resembles, with the files that commit changed."""
    repo.commit("Start", {"app/cli.py": "a = 1\n", "app/quantile.py": "b = 1\n"})
    wanted = repo.commit("Fix quantile of an empty array", {"app/quantile.py": "b = 2\n"})
    repo.commit("Speed up the command line", {"app/cli.py": "a = 2\n"})
    found = recall("quantile fails on an empty array", graph_of(repo, tmp_path / "cache"), limit=5)
    assert [change.commit for change in found] == [wanted]
    assert found[0].paths == ("app/quantile.py",)
    assert found[0].score > 0


def test_paths_have_todays_names_and_vanished_files_are_left_out(repo, tmp_path):
    """A file renamed since is told by its present name; a change whose files are all gone is not recalled."""
    text = "".join(f"line = {number}\n" for number in range(20))
    renamed = repo.commit("Compute frobnication", {"old.py": text})
    repo.commit("Compute frobnication elsewhere", {"gone.py": "x = 1\n"})
    repo.commit("Move", {"old.py": None, "new.py": text, "gone.py": None})
    found = recall("frobnication", graph_of(repo, tmp_path / "cache"), limit=5)
    assert [(change.commit, change.paths) for change in found] == [(renamed, ("new.py",))]


def test_only_ancestors_are_recalled(repo, tmp_path):
    """A graph pinned at an old commit recalls nothing that came later."""
    old = repo.commit("Fix the parser", {"parser.py": "a = 1\n"})
    repo.commit("Fix the parser again", {"parser.py": "a = 2\n"})
    found = recall("the parser", graph_of(repo, tmp_path / "cache", at=old), limit=5)
    assert [change.commit for change in found] == [old]


def test_limit_and_no_match(repo, tmp_path):
    """At most `limit` changes come back, and none when no word is shared."""
    for number in range(4):
        repo.commit(f"Fix the parser, part {number}", {"parser.py": f"a = {number}\n"})
    graph = graph_of(repo, tmp_path / "cache")
    assert len(recall("fix the parser", graph, limit=2)) == 2
    assert recall("zzz", graph, limit=2) == []
    assert recall("", graph, limit=2) == []


def test_a_subject_counts_more_than_a_body(repo, tmp_path):
    """Of two messages with the word, that with it in the subject comes first."""
    repo.commit("Tidy up\n\nConcerns the lexer", {"a.py": "a = 1\n"})
    subject = repo.commit("Concerns the lexer\n\nTidy up", {"b.py": "a = 1\n"})
    found = recall("lexer", graph_of(repo, tmp_path / "cache"), limit=5)
    assert found[0].commit == subject
    assert len(found) == 2


def test_a_file_is_described_by_the_messages_of_its_changes(repo, tmp_path):
    """A file's document holds the words of the changes that touched it, less of each the more files that one touched."""
    repo.commit("Start", {"lexer.py": "a = 1\n", "parser.py": "a = 1\n"})
    repo.commit("Read commas", {"lexer.py": "a = 2\n"})
    repo.commit("Count brackets", {"lexer.py": "a = 3\n", "parser.py": "a = 2\n"})
    past = past_of(graph_of(repo, tmp_path / "cache"))
    told = past.file_messages(past.messages(["brackets", "commas"]))
    assert list(past.paths) == ["lexer.py", "parser.py"]
    assert told.matrix.toarray() == pytest.approx(np.array([[2 / 2**0.5, 2.0], [2 / 2**0.5, 0.0]]))


def test_what_was_said_is_stored_and_grows_with_the_history(repo, tmp_path):
    """A graph opened again counts no message again, and one at a newer commit knows the new message too."""
    repo.commit("Read commas", {"lexer.py": "a = 1\n"})
    old = graph_of(repo, tmp_path / "cache")
    assert [change.subject for change in recall("commas", old, limit=5)] == ["Read commas"]
    assert old.store.derived_count("said", "1") == 1
    repo.commit("Read more commas", {"lexer.py": "a = 2\n"})
    new = graph_of(repo, tmp_path / "cache")
    assert {change.subject for change in recall("commas", new, limit=5)} == {"Read commas", "Read more commas"}
    assert new.store.derived_count("said", "1") == 1
    again = graph_of(repo, tmp_path / "cache", at=old.at)
    assert [change.subject for change in recall("commas", again, limit=5)] == ["Read commas"]
