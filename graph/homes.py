"""Which spaces a file belongs to, and which one a name in an import means: what a package is differs from language to language.

packages    Java: a file says its package
folders     Go: a folder is a package, imported by a path that begins with the name of its module
crates      Rust: a file is a module of its crate, named by its path below the crate's root
"""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from backstory.graph.languages import language_named
from backstory.graph.manifests import Manifest
from backstory.graph.nearness import nearest_to
from backstory.graph.parse import Parse
from backstory.graph.types import RepoPath

SpaceName = str
Named = tuple[SpaceName, tuple[str, ...]]
"""A space, and the names to follow from it."""

_CRATE_FILES = ("lib.rs", "main.rs")


@dataclass(frozen=True)
class Homes:
    """The spaces of one file. own: those its definitions belong to. seen: those whose names it sees besides, nearest first."""

    own: tuple[SpaceName, ...]
    seen: tuple[SpaceName, ...] = ()


class Packages:
    """Packages that files declare. above: whether one sees the names of those it lies in; else of the one without a name alone."""

    def __init__(self, files: Mapping[RepoPath, Parse], *, above: bool) -> None:
        self._packages = {path: tuple(parse.packages) or ("",) for path, parse in files.items()}
        self._above = above

    def of(self, path: RepoPath) -> Homes:
        """Return the spaces of a file."""
        own = self._packages[path]
        return Homes(own, tuple(outer for outer in self._outer(own) if outer not in own))

    def named(self, importer: RepoPath, module: str) -> Iterator[Named]:
        """Yield what a dotted name may mean in a file: a full name, or one that begins in a package that is seen."""
        names = tuple(module.split("."))
        yield "", names
        own = self._packages[importer]
        for seen in dict.fromkeys((*own, *self._outer(own))):
            if seen:
                yield seen, names

    def _outer(self, packages: Sequence[str]) -> Iterator[str]:
        for package in packages:
            while package:
                package = package.rpartition(".")[0] if self._above else ""
                yield package


class Program:
    """One space for all files; namespaces and classes are spaces within it."""

    def of(self, path: RepoPath) -> Homes:
        """Return the space of a file."""
        return Homes(("",))

    def named(self, importer: RepoPath, module: str) -> Iterator[Named]:
        """Yield what a dotted name means."""
        yield "", tuple(module.split("."))


class Folders:
    """Go's packages. A space is called by its folder, after a slash that no name can begin with."""

    def __init__(self, files: Mapping[RepoPath, Parse], manifests: Sequence[Manifest]) -> None:
        self._folders = {posixpath.dirname(path): None for path in sorted(files)}
        self._by_last: dict[str, list[RepoPath]] = {}
        for folder in self._folders:
            self._by_last.setdefault(posixpath.basename(folder), []).append(RepoPath(folder))
        self._modules = [(said.name, said.folder) for said in sorted(manifests, key=lambda said: -len(said.name))]
        if not self._modules:
            self._modules = self._guessed(files)
        self._known: dict[str, tuple[RepoPath, ...]] = {}

    def of(self, path: RepoPath) -> Homes:
        """Return the space of a file."""
        return Homes((f"/{posixpath.dirname(path)}",))

    def named(self, importer: RepoPath, module: str) -> Iterator[Named]:
        """Yield the folders an import path may mean in a file."""
        if module not in self._known:
            self._known[module] = self._found(module)
        for folder in nearest_to(posixpath.dirname(importer), self._known[module]):
            yield f"/{folder}", ()

    def _found(self, module: str) -> tuple[RepoPath, ...]:
        for name, root in self._modules:
            if module == name or module.startswith(name + "/"):
                folder = posixpath.join(root, module[len(name) + 1 :]).rstrip("/")
                if folder in self._folders:
                    return (RepoPath(folder),)
        # In a vendor folder, or below GOPATH, the whole import path is the end of the folder's.
        ending = "/" + module
        return tuple(folder for folder in self._by_last.get(posixpath.basename(module), ()) if f"/{folder}".endswith(ending))

    def _guessed(self, files: Mapping[RepoPath, Parse]) -> list[tuple[str, str]]:
        """Return the name of the module where no `go.mod` says it: what most imports of folders that are here begin with."""
        votes: dict[str, int] = {}
        for module in {binding.module for parse in files.values() for binding in parse.imports}:
            parts = module.split("/")
            for cut in range(1, len(parts)):
                if "/".join(parts[cut:]) in self._folders:
                    name = "/".join(parts[:cut])
                    votes[name] = votes.get(name, 0) + 1
        best = max(votes, key=lambda name: (votes[name], len(name), name), default=None)
        return [(best, "")] if best is not None else []


class Crates:
    """Rust's modules. A space is called by the crate's folder and the module's path below it."""

    def __init__(self, files: Mapping[RepoPath, Parse], manifests: Sequence[Manifest]) -> None:
        self._roots = {said.folder: posixpath.dirname(said.entry) if said.entry else "src" for said in manifests}
        self._by_name = {said.name: f"{posixpath.join(said.folder, self._roots[said.folder])}/" for said in manifests}
        self._lone = {posixpath.dirname(path) for path in files if posixpath.basename(path) in _CRATE_FILES}
        self._modules = {path: self._module(path) for path in files}

    def of(self, path: RepoPath) -> Homes:
        """Return the space of a file."""
        crate, parts = self._modules[path]
        return Homes((".".join((crate, *parts)),))

    def named(self, importer: RepoPath, module: str) -> Iterator[Named]:
        """Yield what a path may mean in a file: within the crate, of its own or a parent module, or another crate of the repository."""
        crate, here = self._modules[importer]
        first, *rest = module.split(".")
        if first == "crate":
            yield crate, tuple(rest)
            return
        if first in ("self", "super"):
            up = here
            for part in (first, *rest):
                if part == "super":
                    up = up[:-1]
                elif part != "self":
                    break
            names = [part for part in (first, *rest) if part not in ("self", "super")]
            yield ".".join((crate, *up)), tuple(names)
            if up != here:  # written in a module inside the file, whose parent is the file
                yield ".".join((crate, *here)), tuple(names)
            return
        yield ".".join((crate, *here)), (first, *rest)
        if first in self._by_name:
            yield self._by_name[first], tuple(rest)
        if here:
            yield ".".join((crate, *here[:-1])), (first, *rest)  # `mod common;` in a test that is a crate's root
            yield crate, (first, *rest)

    def _module(self, path: RepoPath) -> tuple[str, tuple[str, ...]]:
        """Return the crate of a file and its module path in it."""
        folder, name = posixpath.split(path)
        around = folder
        while around and around not in self._roots and around not in self._lone:
            around = posixpath.dirname(around)
        root = around
        if around in self._roots:
            source = posixpath.join(around, self._roots[around])
            below = path[len(around) :].lstrip("/")
            # Tests, examples and benchmarks are crates of their own, taken together by folder.
            root = source if path.startswith(source + "/") else posixpath.join(around, below.split("/")[0] if "/" in below else "")
        stem = name.removesuffix(".rs")
        inner = posixpath.relpath(folder, root or ".") if folder != root else ""
        parts = tuple(part for part in inner.split("/") if part not in ("", "."))
        return f"{root}/", parts if name in (*_CRATE_FILES, "mod.rs") else (*parts, stem)


Rule = Packages | Program | Folders | Crates


def homes_rules(files: Mapping[RepoPath, Parse], manifests: Sequence[Manifest]) -> Mapping[str, Rule]:
    """Return the rule of each language that shares names and has files here, by the language's name."""
    by_language: dict[str, dict[RepoPath, Parse]] = {}
    for path, parse in files.items():
        by_language.setdefault(parse.language, {})[path] = parse
    rules: dict[str, Rule] = {}
    for name, own in by_language.items():
        said = [manifest for manifest in manifests if manifest.kind == name]
        match language_named(name).modules:
            case "packages":
                rules[name] = Packages(own, above=language_named(name).opens_above)
            case "folders":
                rules[name] = Folders(own, said)
            case "crates":
                rules[name] = Crates(own, said)
            case "includes" | "constants":
                rules[name] = Program()
    return rules
