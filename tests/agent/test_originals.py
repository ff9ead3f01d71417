"""Trees are judged with the tests of the base."""

from backstory.agent.originals import with_original_tests
from backstory.tools.patch import write_tree
from judging import graph_of
from repos import Repo

BASE = {"a.py": "x = 1\n", "tests/test_a.py": "def test(): assert False\n", "conftest.py": "", "setup.cfg": "[metadata]\n"}


def judged(tmp_path, edits, **more):
    """Return what is left of edits in the tree that is judged: path -> content."""
    repo = Repo(tmp_path / "repo")
    repo.commit("base", BASE)
    with graph_of(repo.root, tmp_path / "home") as graph:
        tree = write_tree(graph.mirror, graph.at, edits)
        made = with_original_tests(graph, tree, **more)
        paths = set(BASE) | set(edits)
        return {path: text.decode() for path in sorted(paths) if (text := graph.mirror.blob_at(made, path)) is not None}


def test_tests_and_what_steers_them_are_put_back(tmp_path):
    """Edited and deleted tests return, a conftest is what it was, code stays edited."""
    edits = {"a.py": b"x = 2\n", "tests/test_a.py": None, "conftest.py": b"import os; os._exit(0)\n"}
    assert judged(tmp_path, edits) == {**BASE, "a.py": "x = 2\n"}


def test_added_tests_and_steering_are_left_out(tmp_path):
    """What the base lacks and would decide how tests run is not there when they do; other new files are."""
    edits = {"tests/conftest.py": b"boo\n", "pytest.py": b"\n", "tests/test_b.py": b"def test(): pass\n", "b.py": b"y = 1\n"}
    assert judged(tmp_path, edits) == {**BASE, "b.py": "y = 1\n"}


def test_named_paths_stay(tmp_path):
    """A test of its own that an attempt wants to run stays where it is asked for by name."""
    assert judged(tmp_path, {"tests/test_b.py": b"def test(): pass\n"}, but={"tests/test_b.py"})["tests/test_b.py"] == "def test(): pass\n"
