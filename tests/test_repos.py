"""The test repositories themselves."""

from repos import Repo


def test_commit_ids_are_the_same_everywhere(tmp_path):
    """Dates and identity are fixed, so one script gives one id."""
    repo = Repo(tmp_path / "a")
    assert repo.commit("first", {"a.txt": "one\n"}) == Repo(tmp_path / "b").commit("first", {"a.txt": "one\n"})
