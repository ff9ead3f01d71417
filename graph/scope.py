"""What a name means where it stands.

One table per file is built once: what is defined in each scope, what imports bind, which variables have a class that can be told. A name is then
looked up the way the language does it: enclosing scopes, the module, its imports, followed through re-exports, the names its package shares
(`backstory.graph.spaces`); `self.name` in the class and its bases; a dotted receiver part by part, through what functions are said to return. The
answer is a tuple of places, because conditional definitions, overloads and like-named modules are real: the caller shares its belief among them.
Control flow and values are not followed.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from backstory.graph.languages import Language, language_named
from backstory.graph.manifests import Manifest
from backstory.graph.modules import Modules
from backstory.graph.nearness import nearest_to
from backstory.graph.parse import RETURNS, Base, Import, Parse, bound_name
from backstory.graph.spaces import Place, Spaces, table_of
from backstory.graph.types import RepoPath, SymbolKind

MAX_HOPS = 16  # files a name may be re-exported through, or variables a type may be passed on by; real chains have two or three
MAX_INCLUDED = 2_000  # files one file includes, all in all; the largest of large projects come near
MAX_BASES = 200  # classes in one class's ancestry that are looked at


class Meaning(NamedTuple):
    """What a name was found to mean.

    places: the candidates; empty when nothing in the repository is meant. how: the way it was found, for evidence. is_bound: whether the name is
    known to be something, inside the repository or not, so that guessing by name would be wrong.
    """

    places: tuple[Place, ...]
    how: str
    is_bound: bool


_NO_MEMBERS: Mapping[str, tuple[str, ...]] = {}
_NONE: Mapping[str, str] = {}
UNKNOWN = Meaning((), "", False)
EXTERNAL = Meaning((), "external", True)


@dataclass
class FileScope:
    """The visible names of one file.

    members: scope -> name -> qualnames. scopes: qualname -> the scope it is defined in. typed: variable -> scope -> type, where a member of a
    class is written `.name` and what a function gives RETURNS. owners: qualname by the owner of a reference, "" for the whole file.
    inside, outside: what definitions of the file, and names it does not define, were found to mean.
    """

    path: RepoPath
    language: Language
    parse: Parse
    members: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    scopes: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, SymbolKind] = field(default_factory=dict)
    bound: dict[str, list[Import]] = field(default_factory=dict)
    stars: list[Import] = field(default_factory=list)
    typed: dict[str, dict[str, str]] = field(default_factory=dict)
    bases: dict[str, list[Base]] = field(default_factory=dict)
    owners: Sequence[str] = ()
    hidden: frozenset[str] = frozenset()
    inside: dict[tuple[str, ...], Meaning] = field(default_factory=dict)
    outside: dict[tuple[str, str], Meaning] = field(default_factory=dict)
    _chains: dict[str, Sequence[str]] = field(default_factory=dict)
    _visible: dict[str, Sequence[Mapping[str, tuple[str, ...]]]] = field(default_factory=dict)
    _inner: set[str] | None = None

    def is_class(self, scope: str) -> bool:
        """Return whether a scope is a class of this file."""
        return self.kinds.get(scope) == "class"

    def visible(self, scope: str) -> Sequence[Mapping[str, tuple[str, ...]]]:
        """Return the names that are seen bare in a scope, innermost first: not those of a class around it."""
        found = self._visible.get(scope)
        if found is None:
            seen = [around for around in self.enclosing(scope) if around == scope or not self.is_class(around)]
            found = self._visible[scope] = [self.members[around] for around in seen if around in self.members]
        return found

    def depends_on_scope(self, receiver: str) -> bool:
        """Return whether what a receiver means can differ between scopes: it begins with the object itself, a variable, or what a scope defines."""
        if self.language.bare_members or self.language.nests_names:
            return True
        first = receiver.partition(".")[0].removesuffix("()")
        if first in self.language.own or first in self.typed:
            return True
        if self._inner is None:
            self._inner = {name for scope, members in self.members.items() if scope for name in members}
        return first in self._inner

    def holders(self) -> list[str]:
        """Return the scopes that hold members and are no definition of this file: an object literal, the class of another file."""
        return [scope for scope in self.members if scope and scope not in self.kinds]

    def enclosing(self, scope: str) -> Sequence[str]:
        """Return `scope` and the scopes around it, innermost first, the file's own ("") last."""
        found = self._chains.get(scope)
        if found is None:
            around = scope
            found = []
            while around:
                found.append(around)
                around = self.scopes.get(around, "")
            found.append("")
            self._chains[scope] = found
        return found

    def enclosing_class(self, scope: str) -> str | None:
        """Return the innermost class around a scope, itself included; a scope that holds members stands in for one."""
        for around in self.enclosing(scope):
            if around and (around not in self.kinds or self.kinds[around] == "class"):
                return around
        return self.scopes.get(scope) or None  # `Constructor.prototype.get` has an owner that is no class


def file_scope(path: RepoPath, parse: Parse) -> FileScope:
    """Return the table of one file."""
    language = language_named(parse.language)
    owners = [*(definition.qualname for definition in parse.definitions), ""]  # WHOLE_FILE is the last
    scope = FileScope(path, language, parse, owners=owners, hidden=frozenset(parse.hidden))
    for definition in parse.definitions:
        named = scope.members.setdefault(definition.scope, {})
        named[definition.name] = (*named.get(definition.name, ()), definition.qualname)
        scope.scopes[definition.qualname] = definition.scope
        scope.kinds[definition.qualname] = definition.kind
    for binding in parse.imports:
        if binding.name == "*":
            scope.stars.append(binding)
        name = bound_name(language, binding)
        if name:
            scope.bound.setdefault(name, []).append(binding)
        if language.modules == "dotted" and binding.name is None and binding.alias is None and "." in binding.module:
            scope.bound.setdefault(binding.module, []).append(binding)
    for typed in parse.typed:
        owner = owners[typed.owner]
        first, _, rest = typed.name.partition(".")
        if rest and (not first or first in language.own):
            scope.typed.setdefault(f".{rest}", {})[scope.enclosing_class(owner) or ""] = typed.type
        elif not rest:
            scope.typed.setdefault(typed.name, {})[owner] = typed.type
    for base in parse.bases:
        scope.bases.setdefault(base.scope, []).append(base)
    return scope


class Names:
    """The meaning of names over all files of a tree."""

    def __init__(self, files: Mapping[RepoPath, Parse], manifests: Sequence[Manifest] = ()) -> None:
        self.files = {path: file_scope(path, parse) for path, parse in files.items()}
        self.modules = Modules(files, manifests)
        self.spaces = Spaces(files, self.modules)
        self._exported: dict[tuple[RepoPath, str], tuple[Place, ...]] = {}
        self._imported: dict[tuple[RepoPath, Import], tuple[Place, ...]] = {}
        self._members: dict[tuple[Place, str], tuple[Place, ...]] = {}
        self._bases: dict[Place, tuple[Place, ...]] = {}
        self._ancestry: dict[Place, tuple[Place, ...]] = {}
        self._whole: dict[Place, Place] = {}  # what holds members of a class of another file -> the class
        self._parts: dict[Place, list[Place]] = {}  # the other way round
        self._included: dict[RepoPath, frozenset[RepoPath]] = {}
        self._stems: dict[RepoPath, frozenset[str]] = {}  # of the files that are included: `shop.h` promises what `shop.c` defines
        self._telling: set[tuple[RepoPath, str, str]] = (
            set()
        )  # variables whose type is being told: in `till = till.open()` the second is another
        self._depth = 0  # of types told by other types, each found through the one before
        self._unsettled = 0  # bases that are being looked for; what is found meanwhile may be less than all, so it is not kept

        self._join_reopened()
        self._unsettled = 1  # until it is known which scopes belong to which class
        for path, file in self.files.items():
            for holder in file.holders() if file.language.shares_names else ():
                for place in self._class_held(file, holder):
                    self._whole[Place(path, holder)] = place
                    self._parts.setdefault(place, []).append(Place(path, holder))
        self._unsettled = 0

    # --- names ------------------------------------------------------------------------------------------------------------------------

    def lookup(self, file: FileScope, scope: str, name: str) -> Meaning:
        """Return what a bare name means in a scope. Where a language has it so, a class's members are visible bare only in its own body."""
        if file.language.bare_members:
            meaning = self._bare_member(file, scope, name)
            if meaning is not None:
                return meaning
        else:
            for members in file.visible(scope):
                if name in members:
                    return self._inside(file, members[name])
        key = (scope if file.language.nests_names else "", name)
        meaning = file.outside.get(key)
        if meaning is None:
            meaning = self._outside(file, scope, name)
            if not self._unsettled:
                file.outside[key] = meaning
        return meaning

    def _inside(self, file: FileScope, qualnames: tuple[str, ...]) -> Meaning:
        """Return some definitions of a file as a meaning."""
        meaning = file.inside.get(qualnames)
        if meaning is None:
            meaning = Meaning(_unique(self.whole(Place(file.path, qualname)) for qualname in qualnames), "same file", True)
            file.inside[qualnames] = meaning
        return meaning

    def _bare_member(self, file: FileScope, scope: str, name: str) -> Meaning | None:
        """Return what a name means in the scopes of a file whose classes show their members, inherited ones too; None when it is in none."""
        for around in file.enclosing(scope):
            if file.is_class(around) and _last(around) == name:
                continue  # the class, not its constructor
            found = file.members.get(around, _NO_MEMBERS).get(name)
            if found:
                return self._inside(file, found)
            owner = self._class_at(file, around)
            inherited = self.members(owner, name) if owner is not None else ()
            if inherited:
                return Meaning(inherited, "self", True)
        return None

    def _outside(self, file: FileScope, scope: str, name: str) -> Meaning:
        """Return what a name means that no scope of a file defines."""
        if name in file.language.outside:
            return EXTERNAL
        if name in file.bound:
            return self._meaning_of_imports(file, file.bound[name])
        if name in file.members:  # an object literal's name
            return Meaning((self.whole(Place(file.path, name)),), "same file", True)
        for home in self.spaces.homes(file.path):
            shared = self._seen_from(file, home, scope, name)
            if shared:
                return Meaning(shared, "linkage" if file.language.nests_names else "same package", True)
        places = self._from_stars(file, name, 0)
        return Meaning(places, "star import", True) if places else UNKNOWN

    def value(self, file: FileScope, scope: str, receiver: str) -> Meaning:
        """Return what a dotted expression evaluates to: modules, classes, or the class of an object."""
        parts = receiver.split(".")
        first, rest = parts[0], parts[1:]
        if first in file.language.own:
            around = file.enclosing_class(scope)
            if around is None:
                return self.class_named(file, scope, receiver) if first in file.language.anchors else UNKNOWN
            return self._walk(Meaning((self.whole(Place(file.path, around)),), "self", True), rest)
        if first.endswith("()"):
            return self._walk(self._called(self.class_named(file, scope, first.removesuffix("()"))), rest)
        kind = self._type_of(file, scope, first)
        if kind is not None:
            return self._walk(kind, rest)
        return self.class_named(file, scope, receiver)

    def class_named(self, file: FileScope, scope: str, dotted: str) -> Meaning:
        """Return what a dotted name means when no variable is involved."""
        parts = dotted.split(".")
        if file.language.modules == "dotted":
            for size in range(len(parts), 1, -1):
                bound = file.bound.get(".".join(parts[:size]))
                if bound is not None:
                    places = tuple(place for one in bound for place in self._module_places(file, one))
                    if places:
                        return self._walk(Meaning(places, "import", True), parts[size:])
        if parts[0] not in file.language.anchors:
            meaning = self.lookup(file, scope, parts[0])
            if meaning.is_bound or not file.language.shares_names or len(parts) == 1:
                return self._walk(meaning, parts[1:])
        places = self._absolute(file, dotted)
        return Meaning(places, "full name", True) if places else UNKNOWN

    def members(self, place: Place, name: str) -> tuple[Place, ...]:
        """Return what `place.name` is: an export of a module, a name of a space, or a member of a class or of its nearest base that has it."""
        if place.is_space:
            return self.spaces.members(place, name)
        if not place.qualname:
            return self.exported(place.path, name)
        key = (place, name)
        found = self._members.get(key)
        if found is None:
            found = self._member_of(self.ancestry(self.whole(place)), name)
            if not self._unsettled:
                self._members[key] = found
        return found

    def members_of(self, places: Sequence[Place], name: str) -> tuple[Place, ...]:
        """Return what `.name` is of any of several places."""
        if len(places) == 1:
            return self.members(places[0], name)
        return _unique(found for place in places for found in self.members(place, name))

    def inherited(self, place: Place, name: str) -> tuple[Place, ...]:
        """Return what `super().name` is in the class `place`."""
        return self._member_of(self.ancestry(self.whole(place))[1:], name)

    def _member_of(self, classes: Sequence[Place], name: str) -> tuple[Place, ...]:
        for around in classes:
            found = tuple(
                Place(part.path, qualname)
                for part in self.parts(around)
                for qualname in self.files[part.path].members.get(part.qualname, {}).get(name, ())
            )
            if found:
                return found
        return ()

    def _join_reopened(self) -> None:
        """Take the pieces of a class that is defined in several for one: that of the file named after it, else the one with the most members."""
        pieces: dict[tuple[RepoPath, str], list[Place]] = {}
        for path, file in self.files.items():
            if file.language.reopens:
                home = next(iter(self.spaces.homes(path)), Place(path, ""))
                for qualname, kind in file.kinds.items():
                    if kind == "class":
                        full = f"{home.qualname}.{qualname.partition('#')[0]}"
                        pieces.setdefault((home.path, full), []).append(Place(path, qualname))
        for places in pieces.values():
            if len(places) > 1:
                first = min(
                    places,
                    key=lambda place: (not self._named_after(place), -len(self.files[place.path].members.get(place.qualname, ())), place),
                )
                self._parts[first] = [place for place in places if place != first]
                self._whole.update((place, first) for place in self._parts[first])

    def _named_after(self, place: Place) -> bool:
        return _stem(place.path).replace("_", "").lower() == _last(place.qualname).lower()

    def whole(self, place: Place) -> Place:
        """Return the class that a place holds members of, which may be one of another file; the place itself for any other."""
        return self._whole.get(place, place)

    def _class_at(self, file: FileScope, scope: str) -> Place | None:
        """Return the class that a scope of a file is, or holds members of; None when it is no class."""
        here = Place(file.path, scope)
        return self._whole.get(here) or (here if file.is_class(scope) else None)

    def parts(self, place: Place) -> Sequence[Place]:
        """Return where a class has members: its definition, and what holds members of it elsewhere."""
        return (place, *self._parts.get(place, ()))

    def _class_held(self, file: FileScope, holder: str) -> tuple[Place, ...]:
        """Return the classes whose members a scope holds that is no definition of its file."""
        first, *rest = holder.split(".")
        if first in file.bound:
            places = self._meaning_of_imports(file, file.bound[first]).places
        else:
            places = next((found for home in self.spaces.homes(file.path) if (found := self._shared(file, home, first))), ())
        for part in rest:
            places = _unique(found for place in places for found in self._in_file(file, place, part))
        return tuple(place for place in places if not place.is_space and self.files[place.path].is_class(place.qualname))

    def _walk(self, meaning: Meaning, parts: Iterable[str]) -> Meaning:
        """Follow `.part.called()` from a meaning."""
        places = meaning.places
        for part in parts:
            name = part.removesuffix("()")
            found = _unique(other for place in places for other in self._attribute(place, name))
            if not found and any(name in self.files[place.path].language.builders for place in places if not place.is_space):
                continue  # an object of the class
            places = self._results(found) if name != part else found
        return Meaning(places, meaning.how, meaning.is_bound)

    def _attribute(self, place: Place, name: str) -> tuple[Place, ...]:
        """Return the members a name has, or the class of the object kept under it."""
        found = self.members(place, name)
        if found or not place.qualname or place.is_space:
            return found
        return self._kept_under(place, name)

    # --- types ------------------------------------------------------------------------------------------------------------------------

    def _type_of(self, file: FileScope, scope: str, name: str) -> Meaning | None:
        """Return what the variable `name` holds in a scope, None when no type is known for such a variable."""
        typed = file.typed.get(name)
        if typed is None and not file.language.bare_members:
            return None
        for around in file.enclosing(scope):
            kind = typed.get(around) if typed else None
            variable = (file.path, around, name)
            if kind is not None and variable not in self._telling:
                self._telling.add(variable)
                meaning = self._instance(file, scope, kind)
                self._telling.discard(variable)
                known = meaning.is_bound or not file.language.guesses  # a written type that is not here is elsewhere
                return Meaning(meaning.places, f"type of {name}", known)
            owner = self._class_at(file, around) if file.language.bare_members else None
            places = self._kept_under(owner, name) if owner is not None else ()
            if places:
                return Meaning(places, f"type of {name}", True)
        return None

    def _instance(self, file: FileScope, scope: str, kind: str) -> Meaning:
        """Return the class that a type written in a scope means: what is called gives what it is said to return."""
        if self._depth >= MAX_HOPS:  # `node = node.next()` tells of itself
            return UNKNOWN
        self._depth += 1
        try:
            if kind.endswith("()") or kind in file.language.own:
                return self.value(file, scope, kind)
            return self._called(self.class_named(file, scope, kind))
        finally:
            self._depth -= 1

    def _kept_under(self, place: Place, name: str) -> tuple[Place, ...]:
        """Return the class of the object a class, or a base of it, keeps under a name."""
        for around in self.ancestry(self.whole(place)):
            for part in self.parts(around):
                file = self.files[part.path]
                kind = file.typed.get(f".{name}", _NONE).get(part.qualname)
                if kind is not None:
                    return self._instance(file, part.qualname, kind).places
        return ()

    def _called(self, meaning: Meaning) -> Meaning:
        """Return what calling a meaning gives; nothing is known of it where a function does not say what it returns."""
        results = self._results(meaning.places)
        return meaning._replace(places=results) if results or not meaning.places else UNKNOWN

    def _results(self, places: Iterable[Place]) -> tuple[Place, ...]:
        """Return what calling each place gives: a class gives an object of itself, a function what it is said to return."""
        found: list[Place] = []
        for place in places:
            file = self.files.get(place.path)
            if file is None or not place.qualname or file.kinds.get(place.qualname, "class") == "class":
                found.append(place)
                continue
            kind = file.typed.get(RETURNS, _NONE).get(place.qualname)
            if kind is not None:
                around = file.scopes.get(place.qualname, "")
                found += self._instance(file, around, kind).places
        return _unique(found)

    # --- classes ----------------------------------------------------------------------------------------------------------------------

    def bases(self, place: Place) -> tuple[Place, ...]:
        """Return the classes a class names as its bases, as far as they are in the repository."""
        known = self._bases.get(place)
        if known is not None or self._unsettled >= MAX_HOPS:
            return known or ()
        self._unsettled += 1
        self._bases[place] = ()  # a class among its own bases ends here
        found = []
        for part in self.parts(place):
            file = self.files[part.path]
            outside = file.scopes.get(part.qualname, "")
            for base in file.bases.get(part.qualname, ()):
                meaning = self.class_named(file, outside, f"{base.receiver}.{base.name}" if base.receiver else base.name)
                found += [other for other in map(self._default, meaning.places) if other is not None and other != place]
        self._bases[place] = _unique(found)
        self._unsettled -= 1
        return self._bases[place]

    def ancestry(self, place: Place) -> tuple[Place, ...]:
        """Return a class and all its bases, nearest first, left before right (the order of Python's C3 in all but diamond shapes)."""
        known = self._ancestry.get(place)
        if known is not None:
            return known
        found: dict[Place, None] = {}
        waiting = [place]
        while waiting and len(found) < MAX_BASES:
            current = waiting.pop()
            if current not in found:
                found[current] = None
                waiting += reversed(self.bases(current))
        if not self._unsettled:
            self._ancestry[place] = tuple(found)
        return tuple(found)

    def _default(self, place: Place) -> Place | None:
        """Return the default export where a whole module stands for a value (`const Base = require(...)`)."""
        if place.is_space:
            return None
        if place.qualname:
            return place
        return next((found for found in self.exported(place.path, "default") if found.qualname), None)

    # --- spaces -----------------------------------------------------------------------------------------------------------------------

    def _seen_from(self, file: FileScope, home: Place, scope: str, name: str) -> tuple[Place, ...]:
        """Return what a name of a home means in a scope: where namespaces nest, the innermost that has it."""
        prefix = scope.partition("#")[0] if file.language.nests_names else ""
        while prefix:
            found = self._shared(file, Place(home.path, prefix), name)
            if found:
                return found
            prefix = prefix.rpartition(".")[0]
        return self._shared(file, home, name)

    def _shared(self, file: FileScope, space: Place, name: str) -> tuple[Place, ...]:
        """Return what a name of a space means in a file: of several definitions those it includes, else those nearest to it."""
        places = self.spaces.members(space, name)
        if file.language.reopens:
            places = _unique(map(self.whole, places))
        if file.language.modules == "includes":
            included = self.included(file.path)
            places = tuple(place for place in places if place.path in included or not self._is_hidden(place))
            if len(places) > 1:
                chosen = [place for place in places if place.path in included]
                places = tuple(chosen or [place for place in places if _stem(place.path) in self._stems[file.path]] or places)
        if len(places) < 2:
            return places
        near = set(nearest_to(posixpath.dirname(file.path), {place.path for place in places}))
        return tuple(place for place in places if place.path in near)

    def _is_hidden(self, place: Place) -> bool:
        return not place.is_space and place.qualname in self.files[place.path].hidden

    def included(self, path: RepoPath) -> frozenset[RepoPath]:
        """Return the files a file includes, itself and those they include too."""
        if path not in self._included:
            found: dict[RepoPath, None] = {path: None}
            waiting = [path]
            while waiting and len(found) < MAX_INCLUDED:
                file = self.files[waiting.pop()]
                for binding in file.parse.imports:
                    for target in self.modules.targets(file.language, file.path, binding.module) if binding.name is None else ():
                        if target not in found:
                            found[target] = None
                            waiting.append(target)
            self._included[path] = frozenset(found)
            self._stems[path] = frozenset(map(_stem, found))
        return self._included[path]

    def _absolute(self, file: FileScope, dotted: str) -> tuple[Place, ...]:
        """Return what a full dotted name, as an import gives it, means in a file."""
        table = table_of(file.language)
        for space, rest in self.modules.spaces(file.language, file.path, dotted):
            places: tuple[Place, ...] = (Place(table, space),)
            for part in rest:
                places = _unique(found for place in places for found in self._in_file(file, place, part))
            if places:
                return places
        return ()

    def _in_file(self, file: FileScope, place: Place, name: str) -> tuple[Place, ...]:
        return self._shared(file, place, name) if place.is_space else self._attribute(place, name)

    # --- imports ----------------------------------------------------------------------------------------------------------------------

    def exported(self, path: RepoPath, name: str, hops: int = 0) -> tuple[Place, ...]:
        """Return what `name` is for those who import it from a file: its own definition, an import it passes on, or a submodule."""
        key = (path, name)
        if key in self._exported:
            return self._exported[key]
        if hops > MAX_HOPS:
            return ()
        self._exported[key] = ()  # a cycle of imports ends here
        file = self.files[path]
        local = file.parse.exports.get(name, name)
        own = file.members.get("", {}).get(local)
        if own:
            found = tuple(Place(path, qualname) for qualname in own)
        elif local in file.bound:
            found = _unique(place for one in file.bound[local] for place in self.imported(file, one, hops + 1))
        elif local in file.members:
            found = (Place(path, local),)
        else:
            found = self._from_stars(file, local, hops + 1) or tuple(Place(target, "") for target in self.modules.submodule(path, local))
        self._exported[key] = found
        return found

    def imported(self, file: FileScope, binding: Import, hops: int = 0) -> tuple[Place, ...]:
        """Return what the name bound by an import is; for a star import of a space, the space."""
        if hops or self._unsettled:  # within a chain, what is found may end where a cycle does
            return self._find_imported(file, binding, hops)
        key = (file.path, binding)
        if key not in self._imported:
            self._imported[key] = self._find_imported(file, binding, 0)
        return self._imported[key]

    def _find_imported(self, file: FileScope, binding: Import, hops: int) -> tuple[Place, ...]:
        if file.language.shares_names:
            named = binding.name if binding.name != "*" else None
            return self._absolute(file, ".".join(part for part in (binding.module, named) if part))
        if binding.name is None:
            return self._module_places(file, binding)
        if binding.name == "*":
            return ()
        targets = self.modules.targets(file.language, file.path, binding.module, binding.level)
        found = _unique(place for target in targets for place in self.exported(target, binding.name, hops + 1))
        if not found:
            paths = self._submodules(file, binding, targets) if file.language.modules == "dotted" else ()
            if binding.name == "default":
                paths = targets
            found = tuple(Place(path, "") for path in paths)
        return found

    def _module_places(self, file: FileScope, binding: Import) -> tuple[Place, ...]:
        if binding.name is not None:
            return ()
        return tuple(Place(path, "") for path in self.modules.targets(file.language, file.path, binding.module, binding.level))

    def _submodules(self, file: FileScope, binding: Import, packages: tuple[RepoPath, ...]) -> tuple[RepoPath, ...]:
        """Return the module `from folder import name` means where the folder does not define the name, or is no package."""
        if not packages:
            dotted = f"{binding.module}.{binding.name}" if binding.module else binding.name or ""
            return self.modules.targets(file.language, file.path, dotted, binding.level)
        return tuple(path for package in packages for path in self.modules.submodule(package, binding.name or ""))

    def _from_stars(self, file: FileScope, name: str, hops: int) -> tuple[Place, ...]:
        for star in file.stars:
            for found in self._from_star(file, star, name, hops):
                if found:
                    return found
        return ()

    def _from_star(self, file: FileScope, star: Import, name: str, hops: int) -> Iterator[tuple[Place, ...]]:
        if file.language.shares_names:
            for place in self.imported(file, star):
                yield self._in_file(file, place, name)
            return
        for target in self.modules.targets(file.language, file.path, star.module, star.level):
            yield self.exported(target, name, hops + 1)

    def _meaning_of_imports(self, file: FileScope, bindings: list[Import]) -> Meaning:
        places: list[Place] = []
        for binding in bindings:
            if binding.name is None and binding.alias is None and file.language.modules == "dotted":
                top = binding.module.partition(".")[0]  # `import a.b` makes `a` visible
                places += [Place(path, "") for path in self.modules.targets(file.language, file.path, top, binding.level)]
            else:
                places += self.imported(file, binding)
        return Meaning(_unique(places), "import", True) if places else EXTERNAL


def _last(qualname: str) -> str:
    return qualname.rpartition(".")[2].partition("#")[0]


def _stem(path: RepoPath) -> str:
    return posixpath.basename(path).partition(".")[0]


def _unique(places: Iterable[Place]) -> tuple[Place, ...]:
    return tuple(dict.fromkeys(places))
