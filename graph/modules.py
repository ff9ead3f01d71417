"""Which file, or which space of shared names, an import names.

Dotted names (Python) are looked up from the roots of packages, wherever those lie: a package's root is the first folder above it without
`__init__.py`, so `src/` layouts, monorepos and test folders need no configuration. Paths (JavaScript, TypeScript) are taken relative to the
importing file, with extension and `index` filled in. Packages (Java) are spaces: a file says which one it belongs to, and an import names what
is in one. A module that is not among the files is external and has no target.
"""

import posixpath
import sys
from collections.abc import Collection, Iterable, Iterator

from backstory.graph.languages import LANGUAGES, Language
from backstory.graph.parse import Parse
from backstory.graph.types import RepoPath

_PACKAGE_FILE = "__init__.py"
_SCRIPT_EXTENSIONS = tuple(extension for row in LANGUAGES if row.modules == "paths" for extension in row.extensions)
# An import names the file as it will be once compiled.
_COMPILED_FROM = {".js": (".ts", ".tsx"), ".jsx": (".tsx",), ".mjs": (".mts",), ".cjs": (".cts",)}
# By custom these prefixes stand for the source root; the configuration that says so is not among the parsed files.
_ROOT_PREFIXES = ("@/", "~/")


class Modules:
    """The modules of one tree of files."""

    def __init__(self, paths: Collection[RepoPath]) -> None:
        self._files = frozenset(paths)
        self._packages = {posixpath.dirname(path) for path in paths if posixpath.basename(path) == _PACKAGE_FILE}
        self._by_name: dict[str, list[RepoPath]] = {}
        self._by_last: dict[str, list[tuple[tuple[str, ...], RepoPath]]] = {}
        for path in sorted(paths):
            if path.endswith(".py"):
                self._add_dotted(path)
        self._known: dict[tuple[str, str], tuple[RepoPath, ...]] = {}

    def targets(self, language: Language, importer: RepoPath, module: str, level: int = 0) -> tuple[RepoPath, ...]:
        """Return the files an import of `module` in `importer` may mean: none when it is external, several when that cannot be told."""
        if language.modules == "paths":
            return self._script(importer, module)
        if language.modules != "dotted":
            return ()
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

    # --- spaces -----------------------------------------------------------------------------------------------------------------------

    def homes(self, path: RepoPath, parse: Parse) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the spaces a file's definitions belong to, and those whose names it sees besides."""
        return tuple(parse.packages) or ("",), ()

    def spaces(self, language: Language, importer: RepoPath, module: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield (space, names to follow from it) for what `module` may mean in `importer`, likeliest first."""
        yield "", tuple(module.split("."))

    # --- dotted names -----------------------------------------------------------------------------------------------------------------

    def _add_dotted(self, path: RepoPath) -> None:
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
        return _nearest(folder, found)

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

    # --- paths ------------------------------------------------------------------------------------------------------------------------

    def _script(self, importer: RepoPath, module: str) -> tuple[RepoPath, ...]:
        module = module.partition("?")[0]
        if module.startswith("."):
            return self._script_file(posixpath.normpath(posixpath.join(posixpath.dirname(importer), module)))
        for prefix in _ROOT_PREFIXES:
            if module.startswith(prefix):
                bare = module.removeprefix(prefix)
                return next(
                    (found for root in _ancestors(importer) for found in [self._script_file(posixpath.join(root, bare))] if found), ()
                )
        return ()

    def _script_file(self, stem: str) -> tuple[RepoPath, ...]:
        if stem in self._files:
            return (RepoPath(stem),)
        base, extension = posixpath.splitext(stem)
        candidates = [base + other for other in _COMPILED_FROM.get(extension, ())]
        candidates += [stem + other for other in _SCRIPT_EXTENSIONS]
        candidates += [posixpath.normpath(posixpath.join(stem, "index" + other)) for other in _SCRIPT_EXTENSIONS]
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


def nearest(path: RepoPath, others: Collection[RepoPath]) -> tuple[RepoPath, ...]:
    """Return those of `others` that share the most leading folders with a file."""
    return _nearest(posixpath.dirname(path), others)


def _nearest(folder: str, paths: Collection[RepoPath]) -> tuple[RepoPath, ...]:
    """Return those of `paths` that share the most leading folders with `folder`."""
    if len(paths) < 2:
        return tuple(paths)
    shared = {path: len(posixpath.commonpath(["/" + folder, "/" + posixpath.dirname(path)]).rstrip("/").split("/")) for path in paths}
    most = max(shared.values())
    return tuple(path for path in paths if shared[path] == most)
