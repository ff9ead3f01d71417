"""Which definitions a use of a name points at, and how sure that is.

Resolution goes by scope first (`backstory.graph.scope`): what a name means by definitions, imports, `self` and types that can be told. A call whose
receiver is unknown falls back on its name: those definitions of that name that could be meant, preferably in files this one sees, share a low
weight, and when there are too many the call points nowhere, for such an edge would say nothing. A name that is bound to something outside the
repository points nowhere either.
"""

from collections.abc import Mapping
from typing import NamedTuple

from backstory.graph.parse import Reference
from backstory.graph.scope import FileScope, Meaning, Names
from backstory.graph.spaces import Place
from backstory.graph.types import RepoPath

SCOPED_WEIGHT = 1.0
MENTION_WEIGHT = 0.5
NAME_ONLY_WEIGHT = 0.25
NAME_ONLY = "name only"
MAX_CANDIDATES = 6  # beyond it a name alone points nowhere; with all of them an edge would weigh 0.04


class Resolved(NamedTuple):
    """What a reference points at: places that share a weight, and how they were found."""

    places: tuple[Place, ...]
    how: str
    weight: float


NOTHING = Resolved((), "", 0.0)


class Resolver:
    """Resolves the references of all files of a tree.

    imported, spaces: the files and the spaces each file imports, filled while imports are linked.
    """

    def __init__(self, names: Names, is_test: Mapping[RepoPath, bool]) -> None:
        self.names = names
        self.imported: dict[RepoPath, set[RepoPath]] = {path: set() for path in names.files}
        self.spaces: dict[RepoPath, set[Place]] = {path: set() for path in names.files}
        self._is_test = is_test
        self._values: dict[tuple[RepoPath, str, str], Meaning] = {}
        self._guesses: dict[tuple[RepoPath, str, bool], Resolved] = {}
        self._by_name: dict[tuple[str, bool, str], list[Place]] = {}  # (family, is it a method, name)
        for path, file in names.files.items():
            for definition in file.parse.definitions:
                key = (file.language.family, definition.kind == "method", definition.name)
                self._by_name.setdefault(key, []).append(Place(path, definition.qualname))

    def resolve(self, file: FileScope, reference: Reference) -> Resolved:
        """Return what one reference of a file points at."""
        receiver, language = reference.receiver, file.language
        is_call = reference.kind == "call"
        weight = SCOPED_WEIGHT if is_call else MENTION_WEIGHT
        if receiver is None:
            return self._guess(file, reference.name, as_method=True) if is_call else NOTHING
        scope = file.owners[reference.owner]
        if receiver == "":
            if reference.name in language.above:
                same = scope.rpartition(".")[2].partition("#")[0] if language.bare_above == "method" else ""
                return self._above(file, scope, same, weight)
            meaning = self.names.lookup(file, scope, reference.name)
            if not meaning.is_bound:
                guess = is_call and language.guesses
                return self._guess(file, reference.name, as_method=language.guesses == "method") if guess else NOTHING
            return Resolved(self._called(file, meaning.places, is_call), meaning.how, weight)
        if receiver in language.above:
            return self._above(file, scope, reference.name, weight)
        meaning = self._value(file, scope, receiver)
        places = self.names.members_of(meaning.places, reference.name)
        if not places and reference.name in language.builders:
            places = meaning.places
        if places:
            return Resolved(places, meaning.how, weight)
        if not is_call or (meaning.is_bound and meaning.how != "self" and not any(place.qualname for place in meaning.places)):
            return NOTHING  # a member of a module that is outside, or that makes its names as it runs
        return self._guess(file, reference.name, as_method=True)

    def _value(self, file: FileScope, scope: str, receiver: str) -> Meaning:
        """Return what a receiver evaluates to, found once a scope; once a file where no scope of it can have a say."""
        here = scope if file.depends_on_scope(receiver) else ""
        key = (file.path, here, receiver)
        meaning = self._values.get(key)
        if meaning is None:
            meaning = self._values[key] = self.names.value(file, here, receiver)
        return meaning

    def _called(self, file: FileScope, places: tuple[Place, ...], is_call: bool) -> tuple[Place, ...]:
        """Return what using a bare name means: for a whole module its default export, and no struct where only functions are called."""
        if is_call and file.language.tags:
            return tuple(place for place in places if place.is_space or not self.names.files[place.path].is_class(place.qualname))
        if len(places) == 1 and places[0].qualname:  # nearly all of them
            return places
        return tuple(map(self._callable, places))

    def _callable(self, place: Place) -> Place:
        if place.qualname or place.is_space:
            return place
        return next(iter(self.names.exported(place.path, "default")), place)

    def _above(self, file: FileScope, scope: str, name: str, weight: float) -> Resolved:
        """Resolve a member of the base class; the constructor when name is ""."""
        around = file.enclosing_class(scope)
        if around is None:
            return NOTHING
        here = self.names.whole(Place(file.path, around))
        if name:
            return Resolved(self.names.inherited(here, name), "super", weight)
        for base in self.names.ancestry(here)[1:]:
            found = self.names.members(base, file.language.constructor or base.qualname.rpartition(".")[2])
            if found:
                return Resolved(found, "super", weight)
        return NOTHING

    # --- guesses ----------------------------------------------------------------------------------------------------------------------

    def _guess(self, file: FileScope, name: str, *, as_method: bool) -> Resolved:
        """Return the definitions a call could mean by its name alone, those in this file and in those it sees before all others."""
        key = (file.path, name, as_method)
        known = self._guesses.get(key)
        if known is None:
            known = self._guesses[key] = self._find_guess(file, name, as_method)
        return known

    def _find_guess(self, file: FileScope, name: str, as_method: bool) -> Resolved:
        language = file.language
        if name in language.common or (not as_method and name in language.builtins):
            return NOTHING
        candidates = self._by_name.get((language.family, as_method, name))
        if candidates is None:
            return NOTHING
        if not self._is_test[file.path]:
            candidates = [place for place in candidates if not self._is_test[place.path]]
        near = [place for place in candidates if self._is_near(file.path, place.path)]
        chosen = near or candidates
        return NOTHING if len(chosen) > MAX_CANDIDATES else Resolved(tuple(chosen), NAME_ONLY, NAME_ONLY_WEIGHT)

    def _is_near(self, path: RepoPath, other: RepoPath) -> bool:
        """Return whether a file sees the names of another: the same, imported, or of its package or an imported one."""
        if other == path or other in self.imported[path]:
            return True
        homes = self.names.spaces.homes(other)
        return bool(homes) and (homes[0] in self.names.spaces.homes(path) or homes[0] in self.spaces[path])
