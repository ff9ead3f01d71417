"""A patch: what turns the base into another tree, as a diff any tool applies.

A patch's identity is its tree. It is made in the mirror without any files: `write_tree` builds the edited tree from objects, `diff_trees` prints
the difference. The diff names whole blob ids and no renames, carries binaries, and is byte-exact: line ends, missing final newlines and
encodings come out as they went in. Reading a diff from elsewhere is `backstory.tools.unified`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pygit2

from backstory.errors import SandboxError
from backstory.graph.mirror import Mirror, TreeEntry
from backstory.graph.types import Oid, RepoPath
from backstory.tools.paths import link_stays_inside, repo_path
from backstory.tools.trees import FILE, LINK, SUBMODULE, changed_tree, differing, entry_at, objects, tree_of

# What makes the text independent of configuration and attributes, and keeps git from running a program for it.
_DIFF = ("-r", "-p", "--binary", "--full-index", "--no-renames", "--no-textconv", "--no-ext-diff", "--no-color", "--submodule=short")
_DIFF_TEXT = ("--unified=3", "--diff-algorithm=myers", "--no-indent-heuristic", "--src-prefix=a/", "--dst-prefix=b/")


@dataclass(frozen=True)
class Patch:
    """The difference between a base and a tree.

    base: the commit (or tree) it applies to. tree: what it makes of it; two patches with one tree are the same. diff: unified text in git's form.
    files: the paths it changes, sorted. left_out: paths that differ in the work tree but were asked to be kept out, such as the check's own files.
    """

    base: Oid
    tree: Oid
    diff: bytes
    files: tuple[RepoPath, ...]
    left_out: tuple[RepoPath, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files)


def write_tree(mirror: Mirror, base: Oid, edits: Mapping[RepoPath, bytes | None]) -> Oid:
    """Return the tree that the commit or tree `base` becomes with whole new contents by path (None: deleted); it is stored in the mirror.

    A file keeps its mode; a new one is an ordinary file. The contents of a link are where it leads. Deleting what is not there does nothing.
    Raises SandboxError for a path or link that leaves the repository, or a submodule.
    """
    repository = objects(mirror.path)
    tree = tree_of(repository, base)
    return changed_tree(repository, tree, {path: _edited(repository, tree, path, content) for path, content in edits.items()})


def diff_trees(mirror: Mirror, base: Oid, tree: Oid, *, left_out: tuple[RepoPath, ...] = ()) -> Patch:
    """Return the patch from `base` to `tree`, each a commit or a tree in the mirror."""
    repository = objects(mirror.path)
    made = tree_of(repository, tree)
    files = differing(repository, tree_of(repository, base), made)
    diff = mirror.git.run("diff-tree", *_DIFF, *_DIFF_TEXT, base, made, "--") if files else b""
    return Patch(base, made, diff, files, left_out)


def _edited(repository: pygit2.Repository, tree: Oid, path: RepoPath, content: bytes | None) -> TreeEntry | None:
    repo_path(path)
    old = entry_at(repository, tree, path)
    if old is not None and old.mode == SUBMODULE:
        raise SandboxError(f"path {path!r} is refused: it is a submodule, which is not edited; edit files of the repository itself")
    if content is None:
        return None
    mode = old.mode if old is not None else FILE
    if mode == LINK and not link_stays_inside(path, content):
        raise SandboxError(f"path {path!r} is refused: the link would lead out of the repository; link to a file inside")
    return TreeEntry(mode, Oid(str(repository.create_blob(content))))
