"""Files named by the end of their path, as `#include` and `require` do: where they are looked for is a matter of the build, not of the code."""

import posixpath
from collections.abc import Collection

from backstory.graph.nearness import nearest_to
from backstory.graph.types import RepoPath


class IncludedFiles:
    """The files of one tree that others may include. extensions: what may be left out of a name."""

    def __init__(self, paths: Collection[RepoPath], extensions: tuple[str, ...] = ()) -> None:
        self._files = frozenset(paths)
        self._extensions = ("", *extensions)
        self._by_name: dict[str, list[RepoPath]] = {}
        for path in sorted(paths):
            self._by_name.setdefault(posixpath.basename(path), []).append(path)
        self._known: dict[tuple[str, str], tuple[RepoPath, ...]] = {}

    def targets(self, importer: RepoPath, name: str) -> tuple[RepoPath, ...]:
        """Return the files that `name` may mean in a file: the one beside it, else those whose path ends so and that are nearest."""
        key = (posixpath.dirname(importer), name)
        if key not in self._known:
            self._known[key] = next(
                (found for extension in self._extensions for found in [self._found(key[0], name + extension)] if found), ()
            )
        return self._known[key]

    def _found(self, folder: str, name: str) -> tuple[RepoPath, ...]:
        beside = posixpath.normpath(posixpath.join(folder, name.lstrip("/")))
        if beside in self._files:
            return (RepoPath(beside),)
        if name.startswith("."):
            return ()
        ending = "/" + posixpath.normpath(name).lstrip("/")
        return nearest_to(folder, [path for path in self._by_name.get(posixpath.basename(name), ()) if f"/{path}".endswith(ending)])
