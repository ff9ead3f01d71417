"""Git trees as plain values: reading them, and building a changed one, in-process and byte for byte.

Trees are parsed and printed here rather than through libgit2's tree builder, which takes no name that is not UTF-8. A tree is a list of
`mode SP name NUL id` in git's order, where a folder sorts as if its name ended in `/`. Only blobs, links, submodule entries and folders exist.
No process is started and nothing but objects is ever written.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pygit2
from pygit2.enums import ObjectType, RepositoryOpenFlag

from backstory.errors import UserError
from backstory.graph.encoding import path_bytes, path_text
from backstory.graph.mirror import TreeEntry
from backstory.graph.types import Oid, RepoPath

FOLDER = 0o040000
FILE = 0o100644
EXECUTABLE = 0o100755
LINK = 0o120000
SUBMODULE = 0o160000

_OID_BYTES = 20
_open = threading.local()


@dataclass(frozen=True)
class Folder:
    """One folder of a tree: its files (links and submodule entries too) and its folders by name."""

    files: Mapping[str, TreeEntry]
    folders: Mapping[str, Oid]


def objects(git_dir: Path) -> pygit2.Repository:
    """Return this thread's handle on the repository at `git_dir`, for reading and writing objects; the last one asked for is kept open."""
    if getattr(_open, "path", None) != git_dir or not git_dir.exists():
        _open.repository = open_objects(git_dir)
        _open.path = git_dir
    return cast(pygit2.Repository, _open.repository)


def open_objects(git_dir: Path) -> pygit2.Repository:
    """Return a new handle on the repository at `git_dir`, for whoever goes from thread to thread with it."""
    return pygit2.Repository(str(git_dir), RepositoryOpenFlag.BARE | RepositoryOpenFlag.NO_SEARCH)


def blob_id(content: bytes) -> Oid:
    """Return the id git gives to these bytes."""
    return Oid(str(pygit2.hash(content)))


def tree_of(repository: pygit2.Repository, oid: Oid) -> Oid:
    """Return the tree of a commit, or of a tag on one, or the tree itself. Raises UserError when there is no such object."""
    try:
        return Oid(str(repository[oid].peel(pygit2.Tree).id))
    except (KeyError, ValueError, pygit2.GitError) as error:
        raise UserError(f"no commit or tree {oid!r} in the mirror; name one that the base contains") from error


def read_folder(repository: pygit2.Repository, tree: Oid) -> Folder:
    """Return what the tree object `tree` holds, one level deep."""
    raw = repository.odb.read(tree)[1]
    files: dict[str, TreeEntry] = {}
    folders: dict[str, Oid] = {}
    at = 0
    while at < len(raw):
        blank = raw.index(b" ", at)
        nul = raw.index(b"\0", blank)
        mode, name = int(raw[at:blank], 8), path_text(raw[blank + 1 : nul])
        at = nul + 1 + _OID_BYTES
        oid = Oid(raw[nul + 1 : at].hex())
        if mode == FOLDER:
            folders[name] = oid
        else:
            files[name] = TreeEntry(mode, oid)
    return Folder(files, folders)


def walk(repository: pygit2.Repository, tree: Oid) -> Iterator[tuple[tuple[str, ...], Folder]]:
    """Yield every folder of `tree` with the names that lead to it, a folder before those inside it."""
    waiting: list[tuple[tuple[str, ...], Oid]] = [((), tree)]
    while waiting:
        parts, oid = waiting.pop()
        folder = read_folder(repository, oid)
        yield parts, folder
        waiting += [((*parts, name), inner) for name, inner in folder.folders.items()]


def files_of(repository: pygit2.Repository, tree: Oid) -> dict[RepoPath, TreeEntry]:
    """Return every file of `tree` by path."""
    return {RepoPath("/".join((*parts, name))): entry for parts, folder in walk(repository, tree) for name, entry in folder.files.items()}


def entry_at(repository: pygit2.Repository, tree: Oid, path: RepoPath) -> TreeEntry | None:
    """Return the file at `path` in `tree`, or None."""
    *parts, name = path.split("/")
    for part in parts:
        inner = read_folder(repository, tree).folders.get(part)
        if inner is None:
            return None
        tree = inner
    return read_folder(repository, tree).files.get(name)


def differing(repository: pygit2.Repository, old: Oid, new: Oid) -> tuple[RepoPath, ...]:
    """Return the paths whose entry is not the same in two trees, sorted; folders that are equal are not opened."""
    found: list[RepoPath] = []
    waiting: list[tuple[tuple[str, ...], Oid | None, Oid | None]] = [((), old, new)]
    while waiting:
        parts, *pair = waiting.pop()
        before, after = (read_folder(repository, oid) if oid is not None else Folder({}, {}) for oid in pair)
        names = before.files.keys() | after.files.keys()
        found += [RepoPath("/".join((*parts, name))) for name in names if before.files.get(name) != after.files.get(name)]
        for name in before.folders.keys() | after.folders.keys():
            inner = before.folders.get(name), after.folders.get(name)
            if inner[0] != inner[1]:
                waiting.append(((*parts, name), *inner))
    return tuple(sorted(found))


def changed_tree(repository: pygit2.Repository, tree: Oid, changes: Mapping[RepoPath, TreeEntry | None]) -> Oid:
    """Return the tree that `tree` becomes when each path gets its entry (None: goes). Folders left empty go too.

    A file where a folder was takes its place and the other way round. What is not mentioned keeps its id, so the cost follows the change.
    """
    return _changed(repository, tree, {tuple(path.split("/")): entry for path, entry in changes.items()}) or _write(
        repository, Folder({}, {})
    )


def _changed(repository: pygit2.Repository, tree: Oid | None, changes: Mapping[tuple[str, ...], TreeEntry | None]) -> Oid | None:
    """Return the changed tree, or None when nothing is left in it."""
    old = read_folder(repository, tree) if tree is not None else Folder({}, {})
    files, folders = dict(old.files), dict(old.folders)
    inside: dict[str, dict[tuple[str, ...], TreeEntry | None]] = {}
    for (first, *rest), entry in changes.items():
        if rest:
            inside.setdefault(first, {})[tuple(rest)] = entry
        elif entry is None:
            files.pop(first, None)
        else:
            files[first] = entry
            folders.pop(first, None)
    placed = {first for (first, *rest), entry in changes.items() if not rest and entry is not None}
    for name, inner in inside.items():
        made = _changed(repository, folders.pop(name, None), inner)
        if made is not None and name in placed:
            raise UserError(f"the edits make {name!r} both a file and a folder; keep one")
        if made is not None:
            folders[name] = made
            files.pop(name, None)
    return _write(repository, Folder(files, folders)) if files or folders else None


def _write(repository: pygit2.Repository, folder: Folder) -> Oid:
    named = [(path_bytes(name), entry.mode, entry.blob) for name, entry in folder.files.items()]
    named += [(path_bytes(name), FOLDER, oid) for name, oid in folder.folders.items()]
    named.sort(key=lambda row: row[0] + b"/" if row[1] == FOLDER else row[0])
    raw = b"".join(b"%o %b\0%b" % (mode, name, bytes.fromhex(oid)) for name, mode, oid in named)
    return Oid(str(repository.odb.write(ObjectType.TREE, raw)))
