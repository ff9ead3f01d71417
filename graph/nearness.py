"""Which of several files is nearest to a folder: of equal names, the one that lies closest is most likely meant."""

import posixpath
from collections.abc import Collection

from backstory.graph.types import RepoPath


def nearest_to(folder: str, paths: Collection[RepoPath]) -> tuple[RepoPath, ...]:
    """Return those of `paths` that share the most leading folders with `folder`."""
    if len(paths) < 2:
        return tuple(paths)
    shared = {path: len(posixpath.commonpath(["/" + folder, "/" + posixpath.dirname(path)]).rstrip("/").split("/")) for path in paths}
    most = max(shared.values())
    return tuple(path for path in paths if shared[path] == most)
