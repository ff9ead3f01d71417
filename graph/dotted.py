"""Modules named with dots, as Python has them.

Names are looked up from the roots of packages, wherever those lie: a package's root is the first folder above it without `__init__.py`, so `src/`
layouts, monorepos and test folders need no configuration.
"""

import posixpath
import sys
from collections.abc import Collection

from backstory.graph.nearness import nearest_to
from backstory.graph.types import RepoPath

_PACKAGE_FILE = "__init__.py"


class DottedModules:
    """The Python modules of one tree."""

    def __init__(self, paths: Collection[RepoPath]) -> None:
        self._files = frozenset(paths)
        self._packages = {posixpath.dirname(path) for path in paths if posixpath.basename(path) == _PACKAGE_FILE}
        self._by_name: dict[str, list[RepoPath]] = {}
        self._by_last: dict[str, list[tuple[tuple[str, ...], RepoPath]]] = {}
        for path in sorted(paths):
            if path.endswith(".py"):
                self._add(path)
        self._known: dict[tuple[str, str], tuple[RepoPath, ...]] = {}

    def targets(self, importer: RepoPath, module: str, level: int) -> tuple[RepoPath, ...]:
        """Return the files an import of `module` may mean; level: leading dots of a relative import."""
        folder = posixpath.dirname(importer)
        if level:
            return self._relative(folder, module, level)
        key = (folder, module)
        if key not in self._known:
            self._known[key] = self._absolute(folder, module)
        return self._known[key]

    def submodule(self, package: RepoPath, name: str) -> tuple[RepoPath, ...]:
        """Return the module `name` inside the package whose `__init__` file is `package`."""
        folder, base = posixpath.split(package)
        return self._python_file(posixpath.join(folder, name)) if base == _PACKAGE_FILE else ()

    def _add(self, path: RepoPath) -> None:
        parts = path.removesuffix(".py").split("/")
        if parts[-1] == "__init__":
            parts.pop()
        if not parts:
            return
        root = posixpath.dirname(path)
        while root and root in self._packages:
            root = posixpath.dirname(root)
        below_root = parts[len(root.split("/")) if root else 0 :]
        self._by_name.setdefault(".".join(below_root or parts), []).append(path)
        self._by_last.setdefault(parts[-1], []).append((tuple(parts), path))

    def _absolute(self, folder: str, module: str) -> tuple[RepoPath, ...]:
        top, _, rest = module.partition(".")
        found = self._by_name.get(module, [])
        if "." not in module:
            # A lone file is importable by its bare name from beside or below it; elsewhere only when nothing else can be meant.
            beside = [path for path in found if self._reaches(posixpath.dirname(path), folder)]
            packages = [path for path in found if posixpath.basename(path) == _PACKAGE_FILE]
            found = beside or packages or ([] if top in sys.stdlib_module_names or len(found) > 1 else found)
        elif not found and top not in sys.stdlib_module_names:
            wanted = tuple(module.split("."))
            found = [path for parts, path in self._by_last.get(wanted[-1], ()) if parts[-len(wanted) :] == wanted]
            if not found and top in self._by_name:
                # Folders may be installed under a package's name without lying below it.
                found = self._by_name.get(rest, [])
        return nearest_to(folder, found)

    def _reaches(self, root: str, folder: str) -> bool:
        return not root or folder == root or folder.startswith(root + "/")

    def _relative(self, folder: str, module: str, level: int) -> tuple[RepoPath, ...]:
        for _ in range(level - 1):
            if not folder:
                return ()
            folder = posixpath.dirname(folder)
        if not module:
            package = RepoPath(posixpath.join(folder, _PACKAGE_FILE))
            return (package,) if package in self._files else ()
        return self._python_file(posixpath.join(folder, *module.split(".")))

    def _python_file(self, stem: str) -> tuple[RepoPath, ...]:
        for path in (posixpath.join(stem, _PACKAGE_FILE), stem + ".py"):
            if path in self._files:
                return (RepoPath(path),)
        return ()
