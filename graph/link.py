"""From files read one by one to edges between their definitions.

Resolution goes by scope first (`backstory.graph.scope`): what a name means by definitions, imports, `self` and written types. A call whose receiver
is unknown falls back on its name: those definitions of that name that could be meant, preferably in files this one imports, share a low weight, and
when there are too many the call gives no edge, for such an edge would say nothing. A name bound to something outside the repository gives none.
No edge is certain; its weight says how sure it is, and its evidence how it was found.

Edges, from -> to (src uses dst):
  contains   file -> definition, definition -> definition inside it
  imports    file -> file; also, weaker, the file that truly defines a re-exported name
  calls      definition (or file, for its own lines) -> definition; a mere mention is a call of half the weight
  inherits   class -> class
  overrides  method -> method of the nearest base that has it
  tests      test definition or file -> definition or file under test
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from backstory.graph.languages import is_test
from backstory.graph.manifests import Manifest
from backstory.graph.outline import Definition
from backstory.graph.parse import Parse, Reference
from backstory.graph.scope import FileScope, Names
from backstory.graph.spaces import Place
from backstory.graph.types import Edge, EdgeKind, RepoPath

LINK_VERSION = "3"
"""Raise it whenever the edges made from the same parses change: stored snapshots are keyed by it."""

SCOPED_WEIGHT = 1.0
MENTION_WEIGHT = 0.5
REEXPORT_WEIGHT = 0.5
NAME_ONLY_WEIGHT = 0.25
SATISFYING_WEIGHT = 0.5
MAX_SATISFYING = 30  # types that have all methods of an interface; where more do, the interface says nothing about any
MAX_CANDIDATES = 6  # beyond it a name alone points nowhere; with all of them an edge would weigh 0.04

_TEST_MARK = re.compile(r"^(?:tests?[_-]|Test(?=[A-Z]))|[_.-](?:tests?|spec|unittest)$|(?<=[a-z0-9])(?:Tests?|TestCase|IT|Spec)$")


class _Resolved(NamedTuple):
    places: tuple[Place, ...]
    how: str
    weight: float


_NOTHING = _Resolved((), "", 0.0)


def link(files: Mapping[RepoPath, Parse], manifests: Sequence[Manifest] = ()) -> list[Edge]:
    """Return the edges between and inside files: by kind in the order above, then by file, in source order.

    manifests: what the project says of the names of its modules. At most one edge of a kind joins two nodes: the surest. Skipped files take no
    part.
    """
    read = {path: files[path] for path in sorted(files) if not files[path].skipped}
    linker = _Linker(read, manifests)
    for step in (
        linker.contains,
        linker.imports,
        linker.calls,
        linker.inherits,
        linker.space_imports,
        linker.overrides,
        linker.implements,
        linker.tests,
    ):
        step()
    order: dict[EdgeKind, list[Edge]] = {kind: [] for kind in ("contains", "imports", "calls", "inherits", "overrides", "tests")}
    for (kind, src, dst), (weight, evidence) in linker.found.items():
        order[kind].append(Edge(kind, src, dst, weight, evidence))
    return [edge for edges in order.values() for edge in edges]


def node_id(place: Place) -> str:
    """Return a place as a node: the path for a whole module, else the symbol's id."""
    return f"{place.path}:{place.qualname}" if place.qualname else place.path


class _Linker:
    """Collects edges step by step; each step is one kind."""

    def __init__(self, files: Mapping[RepoPath, Parse], manifests: Sequence[Manifest]) -> None:
        self.names = Names(files, manifests)
        self.found: dict[tuple[EdgeKind, str, str], tuple[float, str]] = {}
        self.is_test = {path: is_test(path) for path in files}
        self.imported: dict[RepoPath, set[RepoPath]] = {path: set() for path in files}
        self.spaces: dict[RepoPath, list[tuple[Place, int]]] = {path: [] for path in files}  # imported whole, with the line
        self.definitions: dict[Place, Definition] = {}
        self.by_name: dict[tuple[str, bool, str], list[Place]] = {}  # (family, is it a method, name)
        for path, file in self.names.files.items():
            for definition in file.parse.definitions:
                place = Place(path, definition.qualname)
                self.definitions[place] = definition
                key = (file.language.family, definition.kind == "method", definition.name)
                self.by_name.setdefault(key, []).append(place)

    def add(self, kind: EdgeKind, src: str, dst: str, weight: float, evidence: str) -> None:
        key = (kind, src, dst)
        known = self.found.get(key)
        if known is None or known[0] < weight:
            self.found[key] = (weight, evidence)

    # --- contains, imports ------------------------------------------------------------------------------------------------------------

    def contains(self) -> None:
        for place, definition in self.definitions.items():
            around = Place(place.path, definition.scope)
            while around.qualname and around not in self.definitions:
                around = Place(place.path, around.qualname.rpartition(".")[0])
            self.add("contains", node_id(around), node_id(place), SCOPED_WEIGHT, "")

    def imports(self) -> None:
        for path, file in self.names.files.items():
            for binding in file.parse.imports:
                targets = self.names.modules.targets(file.language, path, binding.module, binding.level)
                passed_on = self.names.imported(file, binding)
                if file.language.shares_names and not targets:
                    self.spaces[path] += [(place, binding.line) for place in passed_on if place.is_space]
                    named = [place.path for place in passed_on if not place.is_space]
                    self._import_edges(path, named, SCOPED_WEIGHT, f"line {binding.line}")
                    continue
                direct = [place.path for place in passed_on if not place.qualname] or targets
                self._import_edges(path, direct, SCOPED_WEIGHT, f"line {binding.line}")
                through = [place.path for place in passed_on if place.qualname and place.path not in targets]
                if targets:
                    self._import_edges(path, through, REEXPORT_WEIGHT, f"line {binding.line}, through {targets[0]}")

    def space_imports(self) -> None:
        """Make edges from files that import a whole space to those files of it that they use; to all of a small one when none is used."""
        used: dict[RepoPath, set[RepoPath]] = {}
        for kind, src, dst in self.found:
            if kind in ("calls", "inherits"):
                used.setdefault(_path_of(src, self.is_test), set()).add(_path_of(dst, self.is_test))
        for path, spaces in self.spaces.items():
            for space, line in spaces:
                files = self.names.spaces.files(space)
                chosen = [target for target in files if target in used.get(path, ())]
                if chosen:
                    for target in chosen:
                        self._import_edges(path, [target], SCOPED_WEIGHT, f"line {line}")
                elif len(files) <= MAX_CANDIDATES:
                    self._import_edges(path, files, SCOPED_WEIGHT, f"line {line}")

    def _import_edges(self, path: RepoPath, targets: Iterable[RepoPath], weight: float, evidence: str) -> None:
        unique = [target for target in dict.fromkeys(targets) if target != path]
        note = evidence if len(unique) < 2 else f"{evidence}, {len(unique)} candidates"
        for target in unique:
            self.imported[path].add(target)
            self.add("imports", path, target, weight / len(unique), note)

    # --- calls ------------------------------------------------------------------------------------------------------------------------

    def calls(self) -> None:
        for path, file in self.names.files.items():
            for reference in file.parse.references:
                src = node_id(Place(path, file.owner(reference.owner)))
                for place, weight, evidence in self._shared(self._resolve(file, reference)):
                    dst = node_id(place)
                    if dst != src:
                        self.add("calls", src, dst, weight, evidence)

    def _shared(self, resolved: _Resolved) -> Iterator[tuple[Place, float, str]]:
        """Share a weight among the candidates that are definitions."""
        places = [place for place in resolved.places if place in self.definitions]
        if len(places) > 1:
            weight, note = resolved.weight / len(places), f"{resolved.how}, {len(places)} candidates"
        else:
            weight, note = resolved.weight, resolved.how
        for place in places:
            yield place, weight, note

    def _resolve(self, file: FileScope, reference: Reference) -> _Resolved:
        is_call = reference.kind == "call"
        weight = SCOPED_WEIGHT if is_call else MENTION_WEIGHT
        scope = file.owner(reference.owner)
        if reference.receiver is None:
            return self._by_name(file, reference, True) if is_call else _NOTHING
        if reference.receiver == "":
            if reference.name in file.language.above:
                same = scope.rpartition(".")[2].partition("#")[0] if file.language.bare_above == "method" else ""
                return self._super(file, scope, same, weight)
            meaning = self.names.lookup(file, scope, reference.name)
            if meaning.is_bound:
                places = tuple(self._callable(place) for place in meaning.places)
                if is_call and file.language.tags:
                    places = tuple(place for place in places if place not in self.definitions or self.definitions[place].kind != "class")
                return _Resolved(places, meaning.how, weight)
            return self._by_name(file, reference, file.language.guesses == "method") if is_call and file.language.guesses else _NOTHING
        if reference.receiver in file.language.above:
            return self._super(file, scope, reference.name, weight)
        meaning = self.names.value(file, scope, reference.receiver)
        places = tuple(found for place in meaning.places for found in self.names.members(place, reference.name))
        if not places and reference.name in file.language.builders:
            places = meaning.places
        if places:
            return _Resolved(tuple(dict.fromkeys(places)), meaning.how, weight)
        if not is_call or (meaning.is_bound and not any(place.qualname for place in meaning.places) and meaning.how != "self"):
            return _NOTHING  # a member of a module that is outside, or that makes its names as it runs
        return self._by_name(file, reference, True)

    def _super(self, file: FileScope, scope: str, name: str, weight: float) -> _Resolved:
        """Resolve a member of the base class; the constructor when name is ""."""
        around = file.enclosing_class(scope)
        if around is None:
            return _NOTHING
        here = self.names.whole(Place(file.path, around))
        if name:
            return _Resolved(self.names.inherited(here, name), "super", weight)
        for base in self.names.ancestry(here)[1:]:
            found = self.names.members(base, file.language.constructor or base.qualname.rpartition(".")[2])
            if found:
                return _Resolved(found, "super", weight)
        return _NOTHING

    def _callable(self, place: Place) -> Place:
        """Return what calling a whole module means: its default export, where it has one."""
        if place.qualname or place.is_space:
            return place
        return next(iter(self.names.exported(place.path, "default")), place)

    def _by_name(self, file: FileScope, reference: Reference, as_method: bool) -> _Resolved:
        """Return the definitions a call could mean by its name alone, those in this file and in imported ones before all others."""
        name = reference.name
        if name in file.language.common or (not as_method and name in file.language.builtins):
            return _NOTHING
        candidates = self.by_name.get((file.language.family, as_method, name), ())
        if not self.is_test[file.path]:
            candidates = [place for place in candidates if not self.is_test[place.path]]
        near = [place for place in candidates if self._is_near(file.path, place.path)]
        chosen = near or candidates
        if len(chosen) > MAX_CANDIDATES:
            return _NOTHING
        return _Resolved(tuple(chosen), "name only", NAME_ONLY_WEIGHT)

    def _is_near(self, path: RepoPath, other: RepoPath) -> bool:
        """Return whether a file sees the names of another: the same, imported, or of its package or an imported one."""
        if other == path or other in self.imported[path]:
            return True
        homes = self.names.spaces.homes(other)[:1]
        return bool(homes) and (homes[0] in self.names.spaces.homes(path) or any(homes[0] == space for space, _ in self.spaces[path]))

    # --- classes ----------------------------------------------------------------------------------------------------------------------

    def inherits(self) -> None:
        for place, definition in self.definitions.items():
            if definition.kind == "class":
                bases = [base for base in self.names.bases(place) if base in self.definitions]
                for base in bases:
                    how = "same file" if base.path == place.path else "import"
                    self.add("inherits", node_id(place), node_id(base), SCOPED_WEIGHT, how)

    def overrides(self) -> None:
        for place, definition in self.definitions.items():
            if definition.kind != "method":
                continue
            base = self.names.inherited(self.names.whole(Place(place.path, definition.scope)), definition.name)
            for other in base:
                if other in self.definitions and other != place:
                    self.add(
                        "overrides", node_id(place), node_id(other), SCOPED_WEIGHT / len(base), f"base {other.qualname.rpartition('.')[0]}"
                    )

    def implements(self) -> None:
        """Make edges from types to the interfaces they satisfy by their methods alone, where a language asks for no more (Go)."""
        methods: dict[Place, dict[str, Place]] = {}
        having: dict[str, list[Place]] = {}
        for place, definition in self.definitions.items():
            if definition.kind == "class" and self.names.files[place.path].language.structural:
                methods[place] = self._methods(place)
                for name in methods[place]:
                    having.setdefault(name, []).append(place)
        for place, wanted in methods.items():
            if not wanted or not self._is_interface(place):
                continue
            rarest = min(wanted, key=lambda name: (len(having[name]), name))
            satisfying = [
                other
                for other in having[rarest]
                if other != place and not self._is_interface(other) and wanted.keys() <= methods[other].keys()
            ]
            if len(satisfying) > (MAX_SATISFYING if len(wanted) > 1 else MAX_CANDIDATES):
                continue
            for other in satisfying:
                self.add("inherits", node_id(other), node_id(place), SATISFYING_WEIGHT, "has its methods")
                for name, method in wanted.items():
                    if method != methods[other][name]:
                        self.add(
                            "overrides", node_id(methods[other][name]), node_id(method), SATISFYING_WEIGHT, f"interface {place.qualname}"
                        )

    def _methods(self, place: Place) -> dict[str, Place]:
        """Return the methods of a type by name, those it gets from what is inside it included."""
        found: dict[str, Place] = {}
        for around in self.names.ancestry(place):
            for part in self.names.parts(around):
                for name, qualnames in self.names.files[part.path].members.get(part.qualname, {}).items():
                    found.setdefault(name, Place(part.path, qualnames[0]))
        return {name: method for name, method in found.items() if method in self.definitions}

    def _is_interface(self, place: Place) -> bool:
        return self.definitions[place].signature.endswith("interface")

    # --- tests ------------------------------------------------------------------------------------------------------------------------

    def tests(self) -> None:
        """Make edges from what tests import and call by scope (a name alone proves no test), and from names of files."""
        inside = {node_id(place) for place, definition in self.definitions.items() if self._tests_inside(place, definition)}
        for (kind, src, dst), (weight, evidence) in list(self.found.items()):
            if kind in ("calls", "imports") and not evidence.startswith("name only"):
                source, target = _path_of(src, self.is_test), _path_of(dst, self.is_test)
                if (self.is_test[source] or src in inside) and not (self.is_test[target] or dst in inside):
                    self.add("tests", src, dst, weight, "calls it" if kind == "calls" else f"imports it, {evidence}")
        by_stem: dict[str, list[RepoPath]] = {}
        for path, tests in self.is_test.items():
            if not tests:
                by_stem.setdefault(_stem(path), []).append(path)
        for path, tests in self.is_test.items():
            named = _TEST_MARK.sub("", _stem(path))
            if tests and named != _stem(path):
                self._named_after(path, by_stem.get(named, []))

    def _tests_inside(self, place: Place, definition: Definition) -> bool:
        """Return whether a definition lies in the part of a source file that holds its tests."""
        return definition.qualname.partition(".")[0] in self.names.files[place.path].language.inner_tests and "." in definition.qualname

    def _named_after(self, path: RepoPath, candidates: list[RepoPath]) -> None:
        near = _closest(path, candidates)
        if 0 < len(near) <= MAX_CANDIDATES:
            for target in near:
                self.add("tests", path, target, SCOPED_WEIGHT / len(near), "named after it")


def _path_of(node: str, paths: Mapping[RepoPath, bool]) -> RepoPath:
    """Return the file of a node; a path may hold a colon of its own."""
    at = len(node)
    while node[:at] not in paths:
        at = node.rindex(":", 0, at)
    return RepoPath(node[:at])


def _stem(path: RepoPath) -> str:
    return posixpath.splitext(posixpath.basename(path))[0]


def _closest(path: RepoPath, candidates: list[RepoPath]) -> list[RepoPath]:
    """Return the candidates that share the most folder names, in order, with a test's path, leaving out its test folders."""

    def shared(candidate: RepoPath) -> int:
        own, other = path.split("/")[:-1], candidate.split("/")[:-1]
        return len(set(own) & set(other)) * 2 - len(other)  # the least deep of equals: `a/x.py` before `a/b/x.py` for `a/tests/test_x.py`

    scores = {candidate: shared(candidate) for candidate in candidates}
    most = max(scores.values(), default=0)
    return [candidate for candidate in candidates if scores[candidate] == most]
