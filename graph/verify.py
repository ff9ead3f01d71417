"""Derives again what is stored and compares: the proof that an answer from the store is the answer git and the parser would give.

Everything in a store comes from the mirror, so each kind of row can be made a second time: commits and their changed files, changed lines, parses,
the links of a tree, and the kept answers to questions. Questions are put to the same graph over a store that has forgotten its answers, so no
second way of answering is needed. A sample takes seconds; all of it takes about as long as building did.

`forget` drops what differed with everything of its kind; the next build, or the next question, makes it anew.
"""

import random
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, cast, get_args

from backstory.errors import DamagedStore
from backstory.graph.build import of_length, remove_store
from backstory.graph.encoding import path_text
from backstory.graph.follow import HISTORY_KIND, history_version, unpack_steps
from backstory.graph.history import GIANT_FILES, LINE_TIER, PATH_TIER, PathCommit, read_line_tier, read_path_tier
from backstory.graph.introduced import KIND as INTRODUCED_KIND
from backstory.graph.introduced import VERSION as INTRODUCED_VERSION
from backstory.graph.languages import language_of, parse_version
from backstory.graph.origin import ORIGIN_KIND, ORIGIN_VERSION, line_count, unpack_origin
from backstory.graph.outlines import KIND as OUTLINE_KIND
from backstory.graph.outlines import Outlines
from backstory.graph.outlines import version as outline_version
from backstory.graph.pack import unpack
from backstory.graph.parse import parse_blob
from backstory.graph.past import Past, storable
from backstory.graph.repograph import RepoGraph
from backstory.graph.store import Store
from backstory.graph.symbol_changes import KIND as SYMBOLS_KIND
from backstory.graph.symbol_changes import version as symbols_version
from backstory.graph.types import Oid, RepoPath, Report, Span, SymbolId, silent

Kind = Literal["commits", "lines", "parses", "links", "outlines", "histories", "symbols", "introduced", "origins"]

SAMPLE = 200  # of each kind, or all there are: some ten seconds for the largest repositories
SLOW_SAMPLE = 10  # of answers that take a tenth of a second and more to derive again

_ANSWERS: Mapping[Kind, str] = {
    "outlines": OUTLINE_KIND,
    "histories": HISTORY_KIND,
    "symbols": SYMBOLS_KIND,
    "introduced": INTRODUCED_KIND,
    "origins": ORIGIN_KIND,
}
_LOG = tuple(argument for argument in PATH_TIER if argument not in ("--topo-order", "--reverse"))
Item = TypeVar("Item")


@dataclass(frozen=True)
class Difference:
    """A stored row that is not what is derived again. what: the commit, blob or place it is about; note: how it differs."""

    kind: Kind
    what: str
    note: str


@dataclass(frozen=True)
class Verified:
    """What was compared. checked: how many of each kind, in order; differences: in the order found."""

    checked: Mapping[Kind, int]
    differences: Sequence[Difference]


class _Forgetful(Store):
    """A store that knows its history and has forgotten all answers; it keeps none."""

    def __init__(self, real: Store, *, parses: bool) -> None:
        self._real, self._parses = real, parses
        self.path = real.path

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        return self._real.rows(query, parameters)

    def parses(self, blobs: Iterable[Oid], version: str) -> dict[Oid, bytes]:
        return self._real.parses(blobs, version) if self._parses else {}

    def save_parses(self, rows: Iterable[tuple[Oid, str, bytes]]) -> None:
        pass

    def snapshot(self, tree: Oid, version: str) -> bytes | None:
        return None

    def save_snapshot(self, tree: Oid, version: str, payload: bytes) -> None:
        pass

    def derived(self, kind: str, keys: Iterable[bytes], version: str) -> dict[bytes, bytes]:
        return {}

    def save_derived(self, kind: str, version: str, rows: Iterable[tuple[bytes, bytes]]) -> None:
        pass


def verify(graph: RepoGraph, *, everything: bool = False, seed: int = 0, report: Report | None = None) -> Verified:
    """Derive again a sample of what is stored for a graph, or `everything`, and return what differs.

    Of kept answers those given at the graph's own commit are looked at. seed: which sample.
    Raises DamagedStore when the database itself cannot be read.
    """
    check = _Check(graph, random.Random(seed), everything)
    checked: dict[Kind, int] = {}
    steps = (
        check.commits,
        check.lines,
        check.parses,
        check.links,
        check.outlines,
        check.histories,
        check.symbols,
        check.introduced,
        check.origins,
    )
    kinds: tuple[Kind, ...] = get_args(Kind)
    for number, (kind, step) in enumerate(zip(kinds, steps, strict=True)):
        (report or silent)("verifying " + kind, number, len(kinds))
        checked[kind] = step()
    return Verified(checked, check.found)


def forget(graph: RepoGraph, differences: Sequence[Difference]) -> None:
    """Drop everything of the kinds that differ, so that it is made anew; where history differs the whole store, and the graph is closed then.

    Raises StorageError when the cache cannot be written.
    """
    kinds = {difference.kind for difference in differences}
    if kinds & {"commits", "lines"}:  # a graph in use elsewhere goes on with the file it has open, whose numbering of commits it knows
        graph.close()
        remove_store(graph.mirror)
        return
    with graph.store.transaction():
        if "parses" in kinds:
            graph.store.write("DELETE FROM parses", [()])
        if kinds & {"parses", "links"}:
            graph.store.write("DELETE FROM snapshots", [()])
        graph.store.write("DELETE FROM derived WHERE kind = ?", [(name,) for kind, name in _ANSWERS.items() if kind in kinds])


class _Check:
    """One verification. found: the differences so far."""

    def __init__(self, graph: RepoGraph, random: random.Random, everything: bool) -> None:
        self.graph, self.random, self.everything = graph, random, everything
        self.found: list[Difference] = []
        self.past = Past(graph.store)
        self.fresh = RepoGraph(graph.mirror, _Forgetful(graph.store, parses=not everything), graph.at)

    # --- history ----------------------------------------------------------------------------------------------------------------------

    def commits(self) -> int:
        """Read commits again as the path tier does."""
        listed = {Oid(line) for line in self.graph.mirror.git.run("rev-list", self.graph.at).decode("ascii").split()}
        for oid in sorted(listed ^ set(self.graph.order())):
            self.differ("commits", oid, "is missing" if oid in listed else "is no ancestor")
        asked = [oid for oid in self.sample(self.graph.order(), SAMPLE) if oid in listed]
        with self.graph.mirror.git.stream(*_LOG, "--no-walk=unsorted", stdin="".join(f"{oid}\n" for oid in asked).encode()) as stream:
            for commit in read_path_tier(stream):
                for field, stored, derived in self.compared(commit):
                    if stored != derived:
                        self.differ("commits", commit.oid, f"its {field} were stored otherwise")
        return len(asked)

    def compared(self, commit: PathCommit) -> Iterator[tuple[str, object, object]]:
        number = self.past.commit_id(commit.oid)
        assert number is not None
        row = self.past.message(number)
        yield "words", (row.author, row.subject, row.body), (commit.author, commit.subject, commit.body)
        yield "dates", row.authored, storable(commit.authored)
        yield "parents", self.graph.parents(commit.oid), commit.parents
        yield "changed files", tuple(replace(change, hunks=None) for change in self.past.changes(number)), commit.changes

    def lines(self) -> int:
        """Read hunks again as the line tier does."""
        numbers = {oid: self.past.commit_id(oid) for oid in self.sample(self.graph.order(), SAMPLE)}
        counts = {oid: self.past.change_count(number) for oid, number in numbers.items() if number is not None}
        have = self.past.with_hunks() if counts else set()
        asked = [oid for oid, changes in counts.items() if 0 < changes <= GIANT_FILES and numbers[oid] in have]
        with self.graph.mirror.git.stream(*LINE_TIER, stdin="".join(f"{oid}\n" for oid in asked).encode()) as stream:
            for oid, hunks in read_line_tier(stream):
                number = numbers[oid]
                assert number is not None
                try:
                    stored = tuple(change.hunks for change in self.past.changes(number))
                except (ValueError, struct.error):
                    self.differ("lines", oid, "cannot be read")
                    continue
                if stored != of_length(hunks, counts[oid]):
                    self.differ("lines", oid, "its changed lines were stored otherwise")
        return len(asked)

    # --- code -------------------------------------------------------------------------------------------------------------------------

    def parses(self) -> int:
        """Parse files of the tree again."""
        files = {blob: language for path, blob in self.graph.files().items() if (language := language_of(path)) is not None}
        asked = self.sample(sorted(files), SAMPLE)
        checked = 0
        for blob in asked:
            language = files[blob]
            payload = self.graph.store.parses([blob], parse_version(language.name)).get(blob)
            if payload is None:
                continue
            checked += 1
            with self.readable("parses", blob):
                if unpack(payload) != parse_blob(language, self.graph.mirror.read_blob(blob)):
                    self.differ("parses", blob, "is parsed otherwise")
        return checked

    def links(self) -> int:
        """Link the tree again."""
        if any(difference.kind == "parses" for difference in self.found):
            return 0  # it would be linked from what is wrong
        with self.readable("links", self.graph.at):
            stored, derived = self.graph.pinned(self.graph.at).code, self.fresh.code
            if (stored.symbols(), stored.edges()) != (derived.symbols(), derived.edges()):
                self.differ("links", self.graph.at, "is linked otherwise")
        return 1

    # --- kept answers -----------------------------------------------------------------------------------------------------------------

    def outlines(self) -> int:
        """Read the definitions of versions again."""
        known, fresh = Outlines(self.graph.store, self.graph.mirror.read_blob), Outlines(self.fresh.store, self.graph.mirror.read_blob)
        keys = self.kept(OUTLINE_KIND, outline_version(), SAMPLE)
        for key in keys:
            blob, language = Oid(key[:20].hex()), key[20:].decode("ascii")
            with self.readable("outlines", blob):
                if known.in_language(blob, language) != fresh.in_language(blob, language):
                    self.differ("outlines", blob, "is read otherwise")
        return len(keys)

    def histories(self) -> int:
        """Follow places again."""
        keys = self.kept(HISTORY_KIND, history_version(), SLOW_SAMPLE, prefix=f"{self.graph.at}:".encode())
        for key in keys:
            place = path_text(key).partition(":")[2]
            path, _, what = place.rpartition(":")
            first, _, last = what.partition("-")
            is_span = first.isdigit() and last.isdigit() and RepoPath(path) in self.graph.files()
            with self.readable("histories", place):
                stored = unpack_steps(self.graph.store.derived(HISTORY_KIND, [key], history_version())[key])
                derived = (
                    self.fresh.history(RepoPath(path), Span(int(first), int(last))) if is_span else self.fresh.history(SymbolId(place))
                )
                if stored != list(derived.steps):
                    self.differ("histories", place, "is followed otherwise")
        return len(keys)

    def symbols(self) -> int:
        """Look again which symbols commits touched."""
        oids = [Oid(key.hex()) for key in self.kept(SYMBOLS_KIND, symbols_version(), SLOW_SAMPLE)]
        for oid in [oid for oid in oids if oid in self.graph]:
            with self.readable("symbols", oid):
                if self.graph.symbols_touched([oid]) != self.fresh.symbols_touched([oid]):
                    self.differ("symbols", oid, "touched other symbols")
        return len(oids)

    def introduced(self) -> int:
        """Blame again what fixes took out."""
        oids = [Oid(key.hex()) for key in self.kept(INTRODUCED_KIND, INTRODUCED_VERSION, SLOW_SAMPLE)]
        for oid in [oid for oid in oids if oid in self.graph]:
            with self.readable("introduced", oid):
                if self.graph.introduced(oid) != self.fresh.introduced(oid):
                    self.differ("introduced", oid, "took out lines of others")
        return len(oids)

    def origins(self) -> int:
        """Blame files again; both ways of finding an origin count, git's own and the walk over all files."""
        keys = self.kept(ORIGIN_KIND, ORIGIN_VERSION, SLOW_SAMPLE, prefix=bytes.fromhex(self.graph.at))
        for key in keys:
            path = RepoPath(path_text(key[20:]))
            with self.readable("origins", path):
                stored = unpack_origin(self.graph.store.derived(ORIGIN_KIND, [key], ORIGIN_VERSION)[key])
                lines = line_count(self.graph.text(path))
                if lines and stored != list(self.graph.blamed(path, [Span(1, lines)])) and stored != self.fresh.traced([path]).get(path):
                    self.differ("origins", path, "comes from others")
        return len(keys)

    # --- helpers of the above ---------------------------------------------------------------------------------------------------------

    def sample(self, items: Sequence[Item], size: int) -> Sequence[Item]:
        return items if self.everything or len(items) <= size else self.random.sample(items, size)

    def kept(self, kind: str, version: str, size: int, *, prefix: bytes = b"") -> Sequence[bytes]:
        """Return keys of kept answers of a kind that begin so."""
        rows = self.graph.store.rows("SELECT key FROM derived WHERE kind = ? AND version = ? ORDER BY key", (kind, version))
        return self.sample([key for (key,) in cast("list[tuple[bytes]]", rows) if key.startswith(prefix)], size)

    @contextmanager
    def readable(self, kind: Kind, what: str) -> Iterator[None]:
        """Note a difference where what is stored cannot even be read."""
        try:
            yield
        except DamagedStore:
            self.differ(kind, what, "cannot be read")

    def differ(self, kind: Kind, what: str, note: str) -> None:
        self.found.append(Difference(kind, what, note))
