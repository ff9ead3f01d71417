"""A tree as it is judged: with the tests of the base, whatever an attempt made of them.

An attempt may change tests, and a good one often should. But it is not judged by them: a verdict on edited tests says nothing about the code. So what
decides how tests run and what they say is put back before a tree is judged, and what was added to it is left out. The patch itself keeps them.
"""

from collections.abc import Collection

from backstory.graph.languages import is_test
from backstory.graph.mirror import Mirror
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Oid, RepoPath
from backstory.tools.trees import changed_tree, differing, entry_at, objects, tree_of

# Files beside the tests that runners read and that can make any test pass.
_STEERING = frozenset(
    {"conftest.py", "pytest.ini", "tox.ini", "noxfile.py", "sitecustomize.py", "usercustomize.py", "pytest.py", "unittest.py", "_pytest.py"}
)


def with_original_tests(graph: RepoGraph, tree: Oid, *, but: Collection[RepoPath] = ()) -> Oid:
    """Return `tree` with every test file, and what steers test runs, as at the graph's commit; files of this kind that it lacks are taken out.

    but: paths that stay as they are in `tree`.
    """
    return restored(graph.mirror, graph.at, tree, but=but)


def restored(mirror: Mirror, base: Oid, tree: Oid, *, but: Collection[RepoPath] = ()) -> Oid:
    """The same for a commit of the mirror, where there is no graph."""
    repository = objects(mirror.path)
    before, after = tree_of(repository, base), tree_of(repository, tree)
    touched = [path for path in differing(repository, before, after) if path not in but and (is_test(path) or steers_tests(path))]
    return changed_tree(repository, after, {path: entry_at(repository, before, path) for path in touched}) if touched else after


def steers_tests(path: RepoPath) -> bool:
    """Return whether a file decides how tests run without being one."""
    return path.rpartition("/")[2] in _STEERING
