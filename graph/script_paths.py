"""Modules named by paths, as JavaScript and TypeScript have them.

A path is taken relative to the importing file, with extension and `index` filled in. Other names are a package of the same repository, or a prefix
that `tsconfig.json` maps to a folder; what is neither is external.
"""

import posixpath
from collections.abc import Collection, Iterable, Sequence

from backstory.graph.languages import LANGUAGES
from backstory.graph.manifests import Manifest
from backstory.graph.types import RepoPath

_EXTENSIONS = tuple(extension for row in LANGUAGES if row.modules == "paths" for extension in row.extensions)
# An import names the file as it will be once compiled.
_COMPILED_FROM = {".js": (".ts", ".tsx"), ".jsx": (".tsx",), ".mjs": (".mts",), ".cjs": (".cts",)}
# By custom these prefixes stand for the source root where no configuration says otherwise.
_ROOT_PREFIXES = ("@/", "~/")


class ScriptPaths:
    """The JavaScript and TypeScript files of one tree."""

    def __init__(self, paths: Collection[RepoPath], manifests: Sequence[Manifest]) -> None:
        self._files = frozenset(paths)
        self._packages = {said.name: said for said in sorted(manifests, key=lambda said: said.folder, reverse=True) if said.name}
        self._mapped = {said.folder: said.paths for said in manifests if said.paths}
        self._known: dict[tuple[str, str], tuple[RepoPath, ...]] = {}

    def targets(self, importer: RepoPath, module: str) -> tuple[RepoPath, ...]:
        """Return the file an import of `module` means, nothing when it is external."""
        module = module.partition("?")[0]
        key = (posixpath.dirname(importer), module)
        if key not in self._known:
            self._known[key] = self._found(importer, module)
        return self._known[key]

    def _found(self, importer: RepoPath, module: str) -> tuple[RepoPath, ...]:
        if module.startswith("."):
            return self._file(posixpath.normpath(posixpath.join(posixpath.dirname(importer), module)))
        return self._through_map(importer, module) or self._in_package(module) or self._below_root(importer, module)

    def _through_map(self, importer: RepoPath, module: str) -> tuple[RepoPath, ...]:
        """Return what the nearest configuration that maps names makes of a module."""
        folder = posixpath.dirname(importer)
        while folder not in self._mapped and folder:
            folder = posixpath.dirname(folder)
        for pattern, targets in sorted(self._mapped.get(folder, {}).items(), key=lambda item: -len(item[0])):
            start, star, end = pattern.partition("*")
            if module != pattern and not (star and module.startswith(start) and module.endswith(end)):
                continue
            middle = module[len(start) : len(module) - len(end)] if star else ""
            for target in targets:
                found = self._file(posixpath.normpath(target.replace("*", middle)))
                if found:
                    return found
        return ()

    def _in_package(self, module: str) -> tuple[RepoPath, ...]:
        """Return the file a package of this repository is, or has at a path below its name."""
        name = "/".join(module.split("/")[: 2 if module.startswith("@") else 1])
        package = self._packages.get(name)
        if package is None:
            return ()
        below = module[len(name) + 1 :]
        stems = [below, posixpath.join("src", below)] if below else [package.entry or "index", "src/index", "index", "lib/index", "src"]
        return next(
            (found for stem in stems for found in [self._file(posixpath.normpath(posixpath.join(package.folder, stem)))] if found), ()
        )

    def _below_root(self, importer: RepoPath, module: str) -> tuple[RepoPath, ...]:
        for prefix in _ROOT_PREFIXES:
            if module.startswith(prefix):
                bare = module.removeprefix(prefix)
                return next((found for root in _ancestors(importer) for found in [self._file(posixpath.join(root, bare))] if found), ())
        return ()

    def _file(self, stem: str) -> tuple[RepoPath, ...]:
        if stem in self._files:
            return (RepoPath(stem),)
        base, extension = posixpath.splitext(stem)
        candidates = [base + other for other in _COMPILED_FROM.get(extension, ())]
        candidates += [stem + other for other in _EXTENSIONS]
        candidates += [posixpath.normpath(posixpath.join(stem, "index" + other)) for other in _EXTENSIONS]
        return next(((RepoPath(path),) for path in candidates if path in self._files), ())


def _ancestors(path: str) -> Iterable[str]:
    """Yield the folders above a file, each with its `src`, innermost first."""
    folder = posixpath.dirname(path)
    while True:
        yield posixpath.join(folder, "src")
        yield folder
        if not folder:
            return
        folder = posixpath.dirname(folder)
