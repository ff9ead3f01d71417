"""What a name means where it stands.

One table per file is built once: what is defined in each scope, what imports bind, which variables have a written class. A name is then looked up
the way the language does it: enclosing scopes, the module, its imports, followed through re-exports; `self.name` in the class and its bases; a
dotted receiver part by part. The answer is a tuple of places, because conditional definitions, overloads and like-named modules are real: the
caller shares its belief among them. Control flow and values are not followed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from backstory.graph.languages import Language, language_named
from backstory.graph.modules import Modules
from backstory.graph.outline import WHOLE_FILE
from backstory.graph.parse import Import, Parse, bound_name
from backstory.graph.types import RepoPath

MAX_HOPS = 16  # files a name may be re-exported through; real chains have two or three, cycles have no end
MAX_BASES = 200  # classes in one class's ancestry that are looked at
SUPER = ("super()", "super")


class Place(NamedTuple):
    """A definition in a file, or the whole module when qualname is ""."""

    path: RepoPath
    qualname: str


class Meaning(NamedTuple):
    """What a name was found to mean.

    places: the candidates; empty when nothing in the repository is meant. how: the way it was found, for evidence. is_bound: whether the name is
    known to be something, inside the repository or not, so that guessing by name would be wrong.
    """

    places: tuple[Place, ...]
    how: str
    is_bound: bool


UNKNOWN = Meaning((), "", False)
EXTERNAL = Meaning((), "external", True)


@dataclass
class FileScope:
    """The visible names of one file. members: scope -> name -> qualnames; scopes: qualname -> the scope it is defined in."""

    path: RepoPath
    language: Language
    parse: Parse
    members: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    scopes: dict[str, str] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)
    bound: dict[str, list[Import]] = field(default_factory=dict)
    stars: list[Import] = field(default_factory=list)
    typed: dict[tuple[str, str], str] = field(default_factory=dict)
    bases: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def owner(self, index: int) -> str:
        """Return the qualname of a reference's owner, "" for the whole file."""
        return "" if index == WHOLE_FILE else self.parse.definitions[index].qualname

    def enclosing(self, scope: str) -> Iterable[str]:
        """Yield `scope` and the scopes around it, innermost first, the file's own ("") last."""
        while scope:
            yield scope
            scope = self.scopes.get(scope, "")
        yield ""

    def enclosing_class(self, scope: str) -> str | None:
        """Return the innermost class around a scope, itself included; a scope that holds members stands in for one."""
        for around in self.enclosing(scope):
            if around in self.classes:
                return around
        return self.scopes.get(scope) or None  # `api.get` and `Constructor.prototype.get` have an owner that is no class


def file_scope(path: RepoPath, parse: Parse) -> FileScope:
    """Return the table of one file."""
    language = language_named(parse.language)
    scope = FileScope(path, language, parse)
    for definition in parse.definitions:
        named = scope.members.setdefault(definition.scope, {})
        named[definition.name] = (*named.get(definition.name, ()), definition.qualname)
        scope.scopes[definition.qualname] = definition.scope
        if definition.kind == "class":
            scope.classes.add(definition.qualname)
    for binding in parse.imports:
        if binding.name == "*":
            scope.stars.append(binding)
        name = bound_name(language, binding)
        if name:
            scope.bound.setdefault(name, []).append(binding)
        if binding.name is None and binding.alias is None and "." in binding.module:
            scope.bound.setdefault(binding.module, []).append(binding)
    for typed in parse.typed:
        owner = scope.owner(typed.owner)
        first, _, rest = typed.name.partition(".")
        if rest and first in language.own:
            scope.typed[scope.enclosing_class(owner) or "", f".{rest}"] = typed.type
        elif not rest:
            scope.typed[owner, typed.name] = typed.type
    for reference in parse.references:
        if reference.kind == "inherit" and reference.receiver is not None:
            scope.bases.setdefault(scope.owner(reference.owner), []).append((reference.receiver, reference.name))
    return scope


class Names:
    """The meaning of names over all files of a tree."""

    def __init__(self, files: Mapping[RepoPath, Parse]) -> None:
        self.files = {path: file_scope(path, parse) for path, parse in files.items()}
        self.modules = Modules(files)
        self._exported: dict[tuple[RepoPath, str], tuple[Place, ...]] = {}
        self._bases: dict[Place, tuple[Place, ...]] = {}
        self._ancestry: dict[Place, tuple[Place, ...]] = {}
        self._depth = 0  # of bases that are members of classes whose bases are ..., each found through the one before

    # --- names ------------------------------------------------------------------------------------------------------------------------

    def lookup(self, file: FileScope, scope: str, name: str) -> Meaning:
        """Return what a bare name means in a scope. A class's members are visible bare only in its own body."""
        for around in file.enclosing(scope):
            if around != scope and around in file.classes:
                continue
            found = file.members.get(around, {}).get(name)
            if found:
                return Meaning(tuple(Place(file.path, qualname) for qualname in found), "same file", True)
        if name in file.bound:
            return self._meaning_of_imports(file, file.bound[name])
        if name in file.members:  # an object literal's name
            return Meaning((Place(file.path, name),), "same file", True)
        places = self._from_stars(file, name, 0)
        return Meaning(places, "star import", True) if places else UNKNOWN

    def value(self, file: FileScope, scope: str, receiver: str) -> Meaning:
        """Return what a simple dotted expression evaluates to: modules, classes, or the class of an object."""
        first, _, rest = receiver.partition(".")
        if first in file.language.own:
            around = file.enclosing_class(scope)
            if around is None:
                return UNKNOWN
            here = Meaning((Place(file.path, around),), "self", True)
            return self._walk(here, rest.split("."), file.path) if rest else here
        kind = next((file.typed[around, first] for around in file.enclosing(scope) if (around, first) in file.typed), None)
        if kind is not None:
            places = self.class_named(file, scope, kind).places
            meaning = Meaning(places, f"type of {first}", bool(places))
            return self._walk(meaning, rest.split("."), file.path) if rest else meaning
        return self.class_named(file, scope, receiver)

    def class_named(self, file: FileScope, scope: str, dotted: str) -> Meaning:
        """Return what a dotted name means when no variable is involved."""
        parts = dotted.split(".")
        for size in range(len(parts), 1, -1):
            bound = file.bound.get(".".join(parts[:size]))
            if bound is not None:
                places = tuple(place for one in bound for place in self._module_places(file, one))
                if places:
                    return self._walk(Meaning(places, "import", True), parts[size:], file.path)
        return self._walk(self.lookup(file, scope, parts[0]), parts[1:], file.path)

    def members(self, place: Place, name: str) -> tuple[Place, ...]:
        """Return what `place.name` is: an export of a module, or a member of a class or of its nearest base that has it."""
        if not place.qualname:
            return self.exported(place.path, name)
        for around in self.ancestry(place):
            found = self.files[around.path].members.get(around.qualname, {}).get(name)
            if found:
                return tuple(Place(around.path, qualname) for qualname in found)
        return ()

    def inherited(self, place: Place, name: str) -> tuple[Place, ...]:
        """Return what `super().name` is in the class `place`."""
        for around in self.ancestry(place)[1:]:
            found = self.files[around.path].members.get(around.qualname, {}).get(name)
            if found:
                return tuple(Place(around.path, qualname) for qualname in found)
        return ()

    def _walk(self, meaning: Meaning, parts: Iterable[str], path: RepoPath) -> Meaning:
        """Follow `.part.part` from a meaning."""
        places = meaning.places
        for part in parts:
            places = _unique(found for place in places for found in self._attribute(place, part))
        return Meaning(places, meaning.how, meaning.is_bound)

    def _attribute(self, place: Place, name: str) -> tuple[Place, ...]:
        """Return the members a name has, or the class of the object kept under it."""
        found = self.members(place, name)
        if found or not place.qualname:
            return found
        for around in self.ancestry(place):
            file = self.files[around.path]
            kind = file.typed.get((around.qualname, f".{name}"))
            if kind is not None:
                return self.class_named(file, around.qualname, kind).places
        return ()

    # --- classes ----------------------------------------------------------------------------------------------------------------------

    def bases(self, place: Place) -> tuple[Place, ...]:
        """Return the classes a class names as its bases, as far as they are in the repository."""
        if place not in self._bases and self._depth < MAX_HOPS:
            self._depth += 1
            self._bases[place] = ()  # a class among its own bases ends here
            file = self.files[place.path]
            found = []
            for receiver, name in file.bases.get(place.qualname, ()):
                outside = file.scopes.get(place.qualname, "")
                meaning = self.class_named(file, outside, f"{receiver}.{name}" if receiver else name)
                found += [base for base in map(self._default, meaning.places) if base is not None and base != place]
            self._bases[place] = _unique(found)
            self._depth -= 1
        return self._bases.get(place, ())

    def ancestry(self, place: Place) -> tuple[Place, ...]:
        """Return a class and all its bases, nearest first, left before right (the order of Python's C3 in all but diamond shapes)."""
        if place not in self._ancestry:
            found: dict[Place, None] = {}
            waiting = [place]
            while waiting and len(found) < MAX_BASES:
                current = waiting.pop()
                if current not in found:
                    found[current] = None
                    waiting += reversed(self.bases(current))
            self._ancestry[place] = tuple(found)
        return self._ancestry[place]

    def _default(self, place: Place) -> Place | None:
        """Return the default export where a whole module stands for a value (`const Base = require(...)`)."""
        if place.qualname:
            return place
        return next((found for found in self.exported(place.path, "default") if found.qualname), None)

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
        """Return what the name bound by an import is."""
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
            for target in self.modules.targets(file.language, file.path, star.module, star.level):
                found = self.exported(target, name, hops + 1)
                if found:
                    return found
        return ()

    def _meaning_of_imports(self, file: FileScope, bindings: list[Import]) -> Meaning:
        places = []
        for binding in bindings:
            if binding.name is None and binding.alias is None and file.language.modules == "dotted":
                top = binding.module.partition(".")[0]  # `import a.b` makes `a` visible
                places += [Place(path, "") for path in self.modules.targets(file.language, file.path, top, binding.level)]
            else:
                places += self.imported(file, binding)
        return Meaning(_unique(places), "import", True) if places else EXTERNAL


def _unique(places: Iterable[Place]) -> tuple[Place, ...]:
    return tuple(dict.fromkeys(places))
