"""From files read one by one to edges between their definitions.

What a name points at is decided in `backstory.graph.resolve`. No edge is certain; its weight says how sure it is, and its evidence how it was found.

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
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from backstory.graph.languages import is_test
from backstory.graph.manifests import Manifest
from backstory.graph.outline import WHOLE_FILE, Definition
from backstory.graph.parse import Parse
from backstory.graph.resolve import MAX_CANDIDATES, NAME_ONLY, SCOPED_WEIGHT, Resolver
from backstory.graph.scope import Names
from backstory.graph.snapshot import EdgeColumns, kind_numbers
from backstory.graph.spaces import Place
from backstory.graph.types import EdgeKind, RepoPath

LINK_VERSION = "4"
"""Raise it whenever the edges made from the same parses change: stored snapshots are keyed by it."""

REEXPORT_WEIGHT = 0.5
SATISFYING_WEIGHT = 0.5
MAX_SATISFYING = 30  # types that have all methods of an interface; where more do, the interface says nothing about any

_TEST_MARK = re.compile(r"^(?:tests?[_-]|Test(?=[A-Z]))|[_.-](?:tests?|spec|unittest)$|(?<=[a-z0-9])(?:Tests?|TestCase|IT|Spec)$")
_USES: tuple[EdgeKind, ...] = ("calls", "inherits")
_ORDER: tuple[EdgeKind, ...] = ("contains", "imports", "calls", "inherits", "overrides", "tests")


def link(files: Mapping[RepoPath, Parse], manifests: Sequence[Manifest] = ()) -> EdgeColumns:
    """Return the edges between and inside files: by kind in the order above, then by file, in source order.

    manifests: what the project says of the names of its modules. At most one edge of a kind joins two nodes: the surest. Nodes are numbered as
    in a snapshot: the files that were not skipped in order of path, then their definitions.
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
    return linker.columns()


class _Linker:
    """Collects edges step by step; each step is one kind."""

    def __init__(self, files: Mapping[RepoPath, Parse], manifests: Sequence[Manifest]) -> None:
        self.names = Names(files, manifests)
        self.is_test = {path: is_test(path) for path in files}
        self.resolver = Resolver(self.names, self.is_test)
        self.spaces: list[tuple[RepoPath, Place, int]] = []  # a file, a space it imports whole, and the line
        self.places = [Place(path, "") for path in files]
        self.file_of = list(range(len(files)))
        self.definitions: dict[Place, Definition] = {}
        for number, (path, parse) in enumerate(files.items()):
            for definition in parse.definitions:
                place = Place(path, definition.qualname)
                self.definitions[place] = definition
                self.places.append(place)
                self.file_of.append(number)
        self.node = {place: number for number, place in enumerate(self.places)}
        self.notes: dict[tuple[float, str], int] = {}  # (weight, evidence) -> its number
        self.weights: list[float] = []  # by the number of a note
        # For each kind, src * len(places) + dst -> number of the note.
        self.found: dict[EdgeKind, dict[int, int]] = {kind: {} for kind in _ORDER}

    def note(self, weight: float, evidence: str) -> int:
        """Return the number of a weight with its evidence."""
        number = self.notes.setdefault((weight, evidence), len(self.notes))
        if number == len(self.weights):
            self.weights.append(weight)
        return number

    def add(self, kind: EdgeKind, src: int, dst: int, weight: float, evidence: str) -> None:
        edges = self.found[kind]
        key = src * len(self.places) + dst
        known = edges.get(key)
        if known is None or self.weights[known] < weight:
            edges[key] = self.note(weight, evidence)

    def columns(self) -> EdgeColumns:
        ends = [self.ends(kind) for kind in _ORDER]
        notes = np.array([note for kind in _ORDER for note in self.found[kind].values()], np.int64)
        texts: dict[str, int] = {}
        text_of = [texts.setdefault(evidence, len(texts)) for _, evidence in self.notes]
        return EdgeColumns(
            kind=np.repeat(np.array(kind_numbers(_ORDER), np.uint8), [len(self.found[kind]) for kind in _ORDER]),
            src=np.concatenate([src for src, _ in ends]).astype("<u4"),
            dst=np.concatenate([dst for _, dst in ends]).astype("<u4"),
            weight=np.array(self.weights, "<f4")[notes],
            evidence=np.array(text_of, "<u4")[notes],
            texts=list(texts),
        )

    def ends(self, kind: EdgeKind) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the nodes that the edges of a kind begin and end at, in order."""
        edges = self.found[kind]
        src, dst = np.divmod(np.fromiter(edges, np.int64, len(edges)), max(1, len(self.places)))
        return src, dst

    # --- contains, imports ------------------------------------------------------------------------------------------------------------

    def contains(self) -> None:
        for place, definition in self.definitions.items():
            around = Place(place.path, definition.scope)
            while around.qualname and around not in self.definitions:
                around = Place(place.path, around.qualname.rpartition(".")[0])
            self.add("contains", self.node[around], self.node[place], SCOPED_WEIGHT, "")

    def imports(self) -> None:
        for path, file in self.names.files.items():
            targets_of: dict[tuple[str, int], tuple[RepoPath, ...]] = {}  # many names come from one module
            for binding in file.parse.imports:
                module = (binding.module, binding.level)
                targets = targets_of.get(module)
                if targets is None:
                    targets = targets_of[module] = self.names.modules.targets(file.language, path, *module)
                passed_on = self.names.imported(file, binding)
                if file.language.shares_names and not targets:
                    spaces = [place for place in passed_on if place.is_space]
                    self.spaces += [(path, space, binding.line) for space in spaces]
                    self.resolver.spaces[path].update(spaces)
                    named = [place.path for place in passed_on if not place.is_space]
                    self._import_edges(path, named, SCOPED_WEIGHT, f"line {binding.line}")
                    continue
                direct = [place.path for place in passed_on if not place.qualname] or targets
                self._import_edges(path, direct, SCOPED_WEIGHT, f"line {binding.line}")
                if targets:
                    through = [place.path for place in passed_on if place.qualname and place.path not in targets]
                    self._import_edges(path, through, REEXPORT_WEIGHT, f"line {binding.line}, through {targets[0]}")

    def space_imports(self) -> None:
        """Make edges from files that import a whole space to those files of it that they use; to all of a small one when none is used."""
        file_of = np.array(self.file_of)
        used: dict[int, set[int]] = {}
        for kind in _USES if self.spaces else ():
            src, dst = self.ends(kind)
            for pair in np.unique(file_of[src] * len(self.places) + file_of[dst]).tolist():
                used.setdefault(pair // len(self.places), set()).add(pair % len(self.places))
        for path, space, line in self.spaces:
            files = self.names.spaces.files(space)
            own = used.get(self.node[Place(path, "")], set())
            chosen = [target for target in files if self.node[Place(target, "")] in own]
            if chosen:
                for target in chosen:
                    self._import_edges(path, [target], SCOPED_WEIGHT, f"line {line}")
            elif len(files) <= MAX_CANDIDATES:
                self._import_edges(path, files, SCOPED_WEIGHT, f"line {line}")

    def _import_edges(self, path: RepoPath, targets: Sequence[RepoPath], weight: float, evidence: str) -> None:
        if not targets:
            return
        unique = [target for target in dict.fromkeys(targets) if target != path]
        note = evidence if len(unique) < 2 else f"{evidence}, {len(unique)} candidates"
        for target in unique:
            self.resolver.imported[path].add(target)
            self.add("imports", self.node[Place(path, "")], self.node[Place(target, "")], weight / len(unique), note)

    # --- calls ------------------------------------------------------------------------------------------------------------------------

    def calls(self) -> None:
        node, files, total = self.node, len(self.names.files), len(self.places)
        edges, weights = self.found["calls"], self.weights
        first = files  # the node of a file's first definition
        for number, file in enumerate(self.names.files.values()):
            for reference in file.parse.references:
                resolved = self.resolver.resolve(file, reference)
                if not resolved.places:
                    continue
                targets = [target for place in resolved.places if (target := node.get(place, 0)) >= files]
                src = number if reference.owner == WHOLE_FILE else first + reference.owner
                weight, how = resolved.weight, resolved.how
                if len(targets) > 1:
                    weight, how = weight / len(targets), f"{how}, {len(targets)} candidates"
                for target in targets:
                    if target != src:
                        known = edges.get(src * total + target)
                        if known is None or weights[known] < weight:
                            edges[src * total + target] = self.note(weight, how)
            first += len(file.parse.definitions)

    # --- classes ----------------------------------------------------------------------------------------------------------------------

    def inherits(self) -> None:
        for place, definition in self.definitions.items():
            if definition.kind == "class":
                for base in self.names.bases(place):
                    if base in self.definitions:
                        how = "same file" if base.path == place.path else "import"
                        self.add("inherits", self.node[place], self.node[base], SCOPED_WEIGHT, how)

    def overrides(self) -> None:
        for place, definition in self.definitions.items():
            if definition.kind != "method":
                continue
            base = self.names.inherited(Place(place.path, definition.scope), definition.name)
            for other in base:
                if other in self.definitions and other != place:
                    note = f"base {other.qualname.rpartition('.')[0]}"
                    self.add("overrides", self.node[place], self.node[other], SCOPED_WEIGHT / len(base), note)

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
                self.add("inherits", self.node[other], self.node[place], SATISFYING_WEIGHT, "has its methods")
                for name, method in wanted.items():
                    own = methods[other][name]
                    if method != own:
                        self.add("overrides", self.node[own], self.node[method], SATISFYING_WEIGHT, f"interface {place.qualname}")

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
        tests = np.array([self.is_test[place.path] or self._tests_inside(place) for place in self.places], bool)
        notes = list(self.notes)
        for kind in ("calls", "imports"):
            src, dst = self.ends(kind)
            rows = list(self.found[kind].values())
            for row in np.flatnonzero(tests[src] & ~tests[dst]).tolist():
                weight, evidence = notes[rows[row]]
                if not evidence.startswith(NAME_ONLY):
                    said = "calls it" if kind == "calls" else f"imports it, {evidence}"
                    self.add("tests", int(src[row]), int(dst[row]), weight, said)
        by_stem: dict[str, list[RepoPath]] = {}
        for path, is_one in self.is_test.items():
            if not is_one:
                by_stem.setdefault(_stem(path), []).append(path)
        for path, is_one in self.is_test.items():
            named = _TEST_MARK.sub("", _stem(path))
            if is_one and named != _stem(path):
                self._named_after(path, by_stem.get(named, []))

    def _tests_inside(self, place: Place) -> bool:
        """Return whether a definition lies in the part of a source file that holds its tests."""
        inner = self.names.files[place.path].language.inner_tests
        return bool(inner) and "." in place.qualname and place.qualname.partition(".")[0] in inner

    def _named_after(self, path: RepoPath, candidates: list[RepoPath]) -> None:
        near = _closest(path, candidates)
        if 0 < len(near) <= MAX_CANDIDATES:
            for target in near:
                self.add("tests", self.node[Place(path, "")], self.node[Place(target, "")], SCOPED_WEIGHT / len(near), "named after it")


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
