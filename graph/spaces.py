"""Names that are visible across files without naming a file: those of a package, a namespace, a crate, or of the whole program.

A family of languages that shares names has one table of full dotted names (`shop.cart.Cart`), whatever its packages are made of; which these are
is a rule of the language (`backstory.graph.homes`). A *space* is a prefix of such names, written as a place in the table instead of a file. A
file's *homes* are the spaces whose names it sees as its own.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backstory.graph.languages import Language, language_named
from backstory.graph.modules import Modules
from backstory.graph.parse import Parse
from backstory.graph.types import RepoPath


class Place(NamedTuple):
    """A definition in a file; the whole module when qualname is ""; a space when `is_space`."""

    path: RepoPath
    qualname: str

    @property
    def is_space(self) -> bool:
        """Whether it is a space: the path is then that of its family's table, and the qualname its prefix."""
        return self.path.startswith("\0")


def table_of(language: Language) -> RepoPath:
    """Return what stands for a path where a place is a space; no file's path begins so."""
    return RepoPath(f"\0{language.family}")


class Spaces:
    """The shared names of all files of a tree."""

    def __init__(self, files: Mapping[RepoPath, Parse], modules: Modules) -> None:
        self._names: dict[tuple[RepoPath, str], list[Place]] = {}
        self._files: dict[Place, list[RepoPath]] = {}
        self._homes: dict[RepoPath, tuple[Place, ...]] = {}
        self._known: set[Place] = set()
        for path, parse in files.items():
            language = language_named(parse.language)
            if not language.shares_names:
                continue
            table = table_of(language)
            homes = modules.homes(path)
            self._homes[path] = tuple(Place(table, home) for home in (*homes.own, *homes.seen))
            for home in homes.own:
                self._add(path, parse, Place(table, home), nested=language.nests_names)

    def _add(self, path: RepoPath, parse: Parse, home: Place, *, nested: bool) -> None:
        """Put the definitions of a file below a space, with what merely holds definitions: as spaces where these are nested, else as its own."""
        self._files.setdefault(home, []).append(path)
        self._add_prefixes(home)
        own = [definition.qualname for definition in parse.definitions]
        known = set(own)
        holders = dict.fromkeys(definition.scope for definition in parse.definitions if definition.scope and definition.scope not in known)
        for qualname in own if nested else (*own, *holders):
            full = _joined(home.qualname, qualname.partition("#")[0])
            self._names.setdefault((home.path, full), []).append(Place(path, qualname))
        for holder in holders if nested else ():
            self._add_prefixes(Place(home.path, _joined(home.qualname, holder)))

    def _add_prefixes(self, home: Place) -> None:
        prefix = home.qualname
        while Place(home.path, prefix) not in self._known:
            self._known.add(Place(home.path, prefix))
            prefix = prefix.rpartition(".")[0]

    def homes(self, path: RepoPath) -> Sequence[Place]:
        """Return the spaces whose names a file sees as its own, nearest first."""
        return self._homes.get(path, ())

    def files(self, space: Place) -> Sequence[RepoPath]:
        """Return the files that put names into a space, sorted."""
        return self._files.get(space, ())

    def members(self, space: Place, name: str) -> tuple[Place, ...]:
        """Return what `space.name` is: definitions, else the space of that name."""
        full = _joined(space.qualname, name)
        found = self._names.get((space.path, full))
        if found:
            return tuple(found)
        below = Place(space.path, full)
        return (below,) if below in self._known else ()


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
