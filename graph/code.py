"""The code of one tree: what is defined where, what uses what, and which tests exercise it.

`code_view` assembles it from what is stored by blob, parses what is new, links, and keeps the result by the contents of the tree's source files,
so that a second look at the same code does neither. A `CodeView` is read-only; every answer has a defined order.
"""

import gc
import posixpath
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha1
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from backstory.graph.languages import is_test as is_test_path
from backstory.graph.languages import language_of, parse_version, table_version
from backstory.graph.link import LINK_VERSION, link
from backstory.graph.manifests import is_manifest, read_manifests
from backstory.graph.pack import Numbers, pack, unpack, unpack_words
from backstory.graph.parallel import Job, parse_jobs
from backstory.graph.parse import MAX_FILE_BYTES, TOO_LARGE, Parse
from backstory.graph.snapshot import (
    SNAPSHOT_VERSION,
    Snapshot,
    kind_named,
    kind_numbers,
    make_snapshot,
    pack_snapshot,
    symbol_kind_number,
    unpack_snapshot,
)
from backstory.graph.types import Edge, EdgeKind, Oid, RepoPath, Report, Symbol, SymbolId, silent
from backstory.graph.word_table import WORDS_VERSION, WordTable, join_words, pack_table, unpack_table

Direction = Literal["out", "in"]

FILE_TEST_SHARE = 0.5  # a test of something else in the file says less about a symbol than one that reaches the symbol itself


class Entry(Protocol):
    """An entry of a tree."""

    @property
    def blob(self) -> Oid: ...
    @property
    def is_file(self) -> bool: ...


class Trees(Protocol):
    """Where trees and blobs are read from: a mirror."""

    def files(self, commit: Oid, /) -> Mapping[RepoPath, Entry]: ...
    def read_blob(self, oid: Oid, /) -> bytes: ...
    def blob_size(self, oid: Oid, /) -> int: ...


class Kept(Protocol):
    """Where parses and snapshots are kept: the store."""

    def parses(self, blobs: Iterable[Oid], version: str, /) -> dict[Oid, bytes]: ...
    def save_parses(self, rows: Iterable[tuple[Oid, str, bytes]], /) -> None: ...
    def snapshot(self, tree: Oid, version: str, /) -> bytes | None: ...
    def save_snapshot(self, tree: Oid, version: str, payload: bytes, /) -> None: ...


def code_view(mirror: Trees, commit: Oid, store: Kept, *, report: Report | None = None, workers: int = 2) -> "CodeView":
    """Return the code of a commit's tree; parses only blobs that were never parsed, and links only trees that were never linked.

    workers: processes for parsing, used when there is much to parse. Phases reported: "parsing", "linking".
    Raises StorageError when what is stored is damaged or cannot be written.
    """
    files = {path: entry.blob for path, entry in sorted(mirror.files(commit).items()) if entry.is_file}
    blobs = {path: blob for path, blob in files.items() if language_of(path) is not None}
    project = {path: blob for path, blob in files.items() if is_manifest(path)}
    key = _digest({**blobs, **project})
    say = report or silent

    def table() -> WordTable:
        return _word_table(store, key, lambda: _packed(mirror, blobs, store, say, workers))

    version = f"{SNAPSHOT_VERSION}.{LINK_VERSION}.{table_version()}"
    payload = store.snapshot(key, version)
    if payload is not None:
        return CodeView(unpack_snapshot(payload), table)
    packed = _packed(mirror, blobs, store, say, workers)
    say("linking", 0, None)
    manifests = read_manifests({path: mirror.read_blob(blob) for path, blob in project.items()})
    with uncollected():
        parses = {path: unpack(payload, words=False) for path, payload in packed.items()}
        snapshot = make_snapshot(parses, blobs, link(parses, manifests))
    store.save_snapshot(key, version, pack_snapshot(snapshot))
    return CodeView(snapshot, table)


def _word_table(store: Kept, key: Oid, packed: Callable[[], Mapping[RepoPath, bytes]]) -> WordTable:
    """Return the words of a tree from the store, or joined now and stored. packed: gives the parses of its files."""
    version = f"words-{WORDS_VERSION}.{table_version()}"
    payload = store.snapshot(key, version)
    if payload is not None:
        return unpack_table(payload)
    with uncollected():
        rows = [unpack_words(payload) for _, payload in sorted(packed().items())]
        table = join_words([row for row in rows if len(row.starts) > 1])  # a file that was not parsed has no rows
    store.save_snapshot(key, version, pack_table(table))
    return table


class CodeView:
    """The code of one tree. Files are in order of path, symbols in order of position, outer before inner."""

    def __init__(self, snapshot: Snapshot, table: Callable[[], WordTable]) -> None:
        """Show a snapshot. table: gives its words, when they are first asked for."""
        self._snapshot = snapshot
        self._table = table
        self._numbers = {path: number for number, path in enumerate(snapshot.paths)}
        self._symbols: dict[int, tuple[Symbol, ...]] = {}

    # --- files and symbols ------------------------------------------------------------------------------------------------------------

    def files(self) -> Sequence[RepoPath]:
        """Return the parsed files, sorted."""
        return self._snapshot.paths

    def skipped(self) -> Mapping[RepoPath, str]:
        """Return the files in a known language that were not parsed, with the reason."""
        return self._snapshot.skipped

    def symbols(self, path: RepoPath | None = None) -> Sequence[Symbol]:
        """Return the symbols of a file (none when it was not parsed), or of all files."""
        if path is None:
            return [symbol for number in range(len(self._snapshot.paths)) for symbol in self._symbols_of(number)]
        number = self._numbers.get(path)
        return () if number is None else self._symbols_of(number)

    def symbol(self, symbol: SymbolId) -> Symbol | None:
        """Return the symbol with this id, None when there is none."""
        node = self._nodes.get(symbol)
        if node is None or node < len(self._snapshot.paths):
            return None
        return self._symbol_at_row(node - len(self._snapshot.paths))

    def symbol_at(self, path: RepoPath, line: int) -> Symbol | None:
        """Return the innermost symbol whose span holds a line, None where there is none."""
        number = self._numbers.get(path)
        if number is None:
            return None
        firsts, owners = self._pieces(number)
        owner = owners[bisect_left(firsts, line + 1) - 1]
        return None if owner < 0 else self._symbols_of(number)[owner]

    def definitions(self, name: str) -> Sequence[Symbol]:
        """Return the symbols whose last name part is `name` (repeated definitions included), in order of path and position."""
        return [self._symbol_at_row(row) for row in self._rows_by_name.get(name, ())]

    def numbers_named(self, name: str) -> Sequence[int]:
        """Return the places among all symbols of what `definitions` returns, without making them."""
        return self._rows_by_name.get(name, ())

    def names(self) -> Iterable[str]:
        """Return the last name parts of all symbols, each once, in order of first definition."""
        return self._rows_by_name.keys()

    def is_test(self, path: RepoPath) -> bool:
        """Return whether a file is a test or serves tests, judged by its path; any path may be asked."""
        return is_test_path(path)

    # --- edges ------------------------------------------------------------------------------------------------------------------------

    def edges(self, kinds: Iterable[EdgeKind] | None = None) -> Sequence[Edge]:
        """Return all edges of these kinds (all for None), by kind, then by file of the source."""
        wanted = np.isin(self._snapshot.edges.kind, kind_numbers(kinds))
        return list(self._made(np.flatnonzero(wanted)))

    def edge_counts(self) -> dict[EdgeKind, int]:
        """Return how many edges there are of each kind that occurs, without making them."""
        numbers, counts = np.unique(self._snapshot.edges.kind, return_counts=True)
        return {kind_named(number): count for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)}

    def neighbours(self, node: str, kinds: Iterable[EdgeKind] | None = None, direction: Direction = "out") -> Sequence[Edge]:
        """Return the edges of a file or symbol: those it begins ("out": what it uses) or ends ("in": what uses it), surest first.

        An unknown node has none.
        """
        number = self._nodes.get(node)
        if number is None:
            return ()
        rows = self._rows_at(number, direction)
        rows = rows[np.isin(self._snapshot.edges.kind[rows], kind_numbers(kinds))]
        return sorted(self._made(rows), key=lambda edge: (-edge.weight, edge.kind, edge.src, edge.dst))

    def users(self) -> npt.NDArray[np.int64]:
        """Return for each of `nodes` how many other files use it (import, call, inherit from or override it), tests left out."""
        edges, file_of = self._snapshot.edges, self.file_of_node
        is_test = np.array([self.is_test(path) for path in self._snapshot.paths], dtype=bool)
        user = file_of[edges.src]
        uses = (
            np.isin(edges.kind, kind_numbers(("imports", "calls", "inherits", "overrides"))) & (user != file_of[edges.dst]) & ~is_test[user]
        )
        pairs = np.unique(np.stack([user[uses], edges.dst[uses]]), axis=1)
        return np.bincount(pairs[1], minlength=len(self.nodes)).astype(np.int64)

    def tests_of(self, nodes: Iterable[str]) -> Sequence[RepoPath]:
        """Return the test files that exercise files or symbols, those that do so most surely first.

        A symbol is reached through itself, its members and what it belongs to, and less surely through the other tests of its file. A test
        among the nodes is a test of itself.
        """
        scores: dict[RepoPath, float] = {}
        for node in dict.fromkeys(nodes):
            number = self._nodes.get(node)
            if number is None:
                continue
            path = self._path_of(number)
            if self.is_test(path):
                scores[path] = scores.get(path, 0.0) + 1.0
            for part, share in self._tested_parts(number):
                for row in self._rows_at(part, "in").tolist():
                    if kind_named(int(self._snapshot.edges.kind[row])) == "tests":
                        test = self._path_of(int(self._snapshot.edges.src[row]))
                        scores[test] = scores.get(test, 0.0) + share * float(self._snapshot.edges.weight[row])
        return sorted(scores, key=lambda path: (-scores[path], path))

    # --- words ------------------------------------------------------------------------------------------------------------------------

    def words(self, path: RepoPath) -> Mapping[str, int]:
        """Return how often each search word occurs in a file; nothing when it was not parsed."""
        number = self._numbers.get(path)
        if number is None:
            return {}
        starts, files = self._snapshot.symbols.starts, len(self._snapshot.paths)
        counts = self.word_table.row(number, number + 1)
        for word, count in self.word_table.row(files + starts[number], files + starts[number + 1]).items():
            counts[word] = counts.get(word, 0) + count
        return counts

    def symbol_words(self, symbol: SymbolId) -> Mapping[str, int]:
        """Return how often each search word occurs in a symbol's own lines: what is defined inside it counts for itself."""
        number = self._nodes.get(symbol)
        return {} if number is None else self.word_table.row(number, number + 1)

    def files_with(self, word: str, *, part: bool = False) -> npt.NDArray[np.bool_]:
        """Return for each of `files()` whether it holds a search word, or with `part` any word that contains it."""
        table = self.word_table
        if part:
            numbers = [number for number, known in enumerate(table.vocabulary) if word in known]
        else:
            numbers = [table.numbers[word]] if word in table.numbers else []
        holding = np.zeros(len(self._snapshot.paths), dtype=bool)
        for number in numbers:
            holding[self.file_of_node[table.holders(number)[0]]] = True
        return holding

    @cached_property
    def word_table(self) -> WordTable:
        """The words of all nodes as sparse rows, in order of `nodes`; loaded when first asked for."""
        return self._table()

    @cached_property
    def nodes(self) -> Sequence[str]:
        """The ids of all nodes: files in order, then symbols in order."""
        return self._snapshot.node_ids()

    @property
    def qualnames(self) -> Sequence[str]:
        """The qualified names of all symbols, in order."""
        return self._snapshot.symbols.qualnames

    @cached_property
    def is_class(self) -> npt.NDArray[np.bool_]:
        """Whether each symbol, in order, is a class."""
        wanted = symbol_kind_number("class")
        return np.array([kind == wanted for kind in self._snapshot.symbols.kinds], dtype=bool)

    @cached_property
    def file_of_node(self) -> npt.NDArray[np.int64]:
        """The place in `files()` of each of `nodes`."""
        return np.concatenate((np.arange(len(self._snapshot.paths)), np.asarray(self._file_of_row, dtype=np.int64)))

    def number_of(self, symbol: SymbolId) -> int:
        """Return the place of a symbol among all. Raises KeyError when there is none."""
        return self._nodes[symbol] - len(self._snapshot.paths)

    def symbol_numbered(self, number: int) -> Symbol:
        """Return a symbol by its place among all."""
        return self._symbol_at_row(number)

    # --- inside -----------------------------------------------------------------------------------------------------------------------

    @cached_property
    def _nodes(self) -> dict[str, int]:
        return {node: number for number, node in enumerate(self.nodes)}

    @cached_property
    def _file_of_row(self) -> list[int]:
        starts = np.asarray(self._snapshot.symbols.starts)
        found: list[int] = np.repeat(np.arange(len(self._snapshot.paths)), starts[1:] - starts[:-1]).tolist()
        return found

    @cached_property
    def _rows_by_name(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for row, qualname in enumerate(self._snapshot.symbols.qualnames):
            rows.setdefault(qualname.rpartition(".")[2].partition("#")[0] or qualname, []).append(row)
        return rows

    @cached_property
    def _adjacency(self) -> dict[Direction, tuple[Numbers, Numbers]]:
        """For each direction: the rows of edges sorted by node, and where each node's rows begin."""
        edges = self._snapshot.edges
        found: dict[Direction, tuple[Numbers, Numbers]] = {}
        ends_of: dict[Direction, Numbers] = {"out": edges.src, "in": edges.dst}
        for direction, ends in ends_of.items():
            order = np.argsort(ends, kind="stable").astype(np.uint32)
            found[direction] = (order, np.searchsorted(ends[order], np.arange(len(self.nodes) + 1)).astype(np.uint32))
        return found

    def _rows_at(self, node: int, direction: Direction) -> Numbers:
        order, begins = self._adjacency[direction]
        return order[begins[node] : begins[node + 1]]

    def _made(self, rows: npt.NDArray[np.integer[Any]]) -> Iterator[Edge]:
        edges, nodes = self._snapshot.edges, self.nodes
        for kind, src, dst, weight, evidence in zip(
            *(column[rows].tolist() for column in (edges.kind, edges.src, edges.dst, edges.weight, edges.evidence)), strict=True
        ):
            yield Edge(kind_named(kind), nodes[src], nodes[dst], weight, edges.texts[evidence])

    def _symbols_of(self, file: int) -> tuple[Symbol, ...]:
        if file not in self._symbols:
            starts = self._snapshot.symbols.starts
            self._symbols[file] = tuple(self._snapshot.symbol(row, file) for row in range(starts[file], starts[file + 1]))
        return self._symbols[file]

    def _symbol_at_row(self, row: int) -> Symbol:
        file = self._file_of_row[row]
        return self._symbols_of(file)[row - self._snapshot.symbols.starts[file]]

    def _path_of(self, node: int) -> RepoPath:
        files = len(self._snapshot.paths)
        return self._snapshot.paths[node if node < files else self._file_of_row[node - files]]

    def _tested_parts(self, node: int) -> Iterator[tuple[int, float]]:
        """Yield the nodes whose tests are tests of a node, with the share they count for."""
        files, starts = len(self._snapshot.paths), self._snapshot.symbols.starts
        if node < files:
            yield node, 1.0
            yield from ((files + row, 1.0) for row in range(starts[node], starts[node + 1]))
            return
        file = self._file_of_row[node - files]
        own = self._snapshot.symbols.qualnames[node - files]
        yield file, FILE_TEST_SHARE
        for row in range(starts[file], starts[file + 1]):
            other = self._snapshot.symbols.qualnames[row]
            related = other == own or other.startswith(own + ".") or own.startswith(other + ".")
            yield files + row, 1.0 if related else FILE_TEST_SHARE / (starts[file + 1] - starts[file])

    def _pieces(self, file: int) -> tuple[list[int], list[int]]:
        """Return where the innermost symbol changes in a file: first lines, and the symbol's place in the file (-1: none)."""
        if file not in self._pieces_known:
            starts, columns = self._snapshot.symbols.starts, self._snapshot.symbols
            part = slice(starts[file], starts[file + 1])
            self._pieces_known[file] = cut_lines(columns.firsts[part], columns.lasts[part])
        return self._pieces_known[file]

    @cached_property
    def _pieces_known(self) -> dict[int, tuple[list[int], list[int]]]:
        return {}


def cut_lines(firsts: Sequence[int], lasts: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the lines at which the innermost of some nested spans changes, and which span is innermost from there on (-1: none).

    firsts, lasts: in order of position, outer before inner. Where two spans share a line, the later one has it.
    """
    begins, owners = [0], [-1]
    stack: list[int] = []

    def begin(line: int, owner: int) -> None:
        if begins[-1] == line:
            owners[-1] = owner
        else:
            begins.append(line)
            owners.append(owner)

    def close() -> None:
        after = lasts[stack.pop()] + 1
        while stack and lasts[stack[-1]] < after:  # spans that share a line do not nest by line
            stack.pop()
        begin(after, stack[-1] if stack else -1)

    for span, first in enumerate(firsts):
        while stack and lasts[stack[-1]] < first:
            close()
        begin(first, span)
        stack.append(span)
    while stack:
        close()
    return begins, owners


def _packed(mirror: Trees, blobs: Mapping[RepoPath, Oid], store: Kept, say: Report, workers: int) -> dict[RepoPath, bytes]:
    """Return every file's parse, packed, from the store or made now and stored."""
    wanted: dict[str, dict[Oid, None]] = {}
    named = {path: language.name for path in blobs if (language := language_of(path)) is not None}
    for path, name in named.items():
        wanted.setdefault(name, {})[blobs[path]] = None
    versions = {name: parse_version(name) for name in wanted}  # one blob may be read as two languages
    packed = {(name, blob): payload for name, oids in wanted.items() for blob, payload in store.parses(oids, versions[name]).items()}
    missing = [(blob, name) for name, oids in wanted.items() for blob in oids if (name, blob) not in packed]
    large = {(blob, name): pack(Parse(name, skipped=TOO_LARGE)) for blob, name in missing if mirror.blob_size(blob) > MAX_FILE_BYTES}
    store.save_parses((blob, versions[name], payload) for (blob, name), payload in large.items())
    packed.update(((name, blob), payload) for (blob, name), payload in large.items())
    jobs = (Job(blob, name, mirror.read_blob(blob)) for blob, name in missing if (blob, name) not in large)
    done = len(large)
    for batch in parse_jobs(jobs, workers=workers):
        store.save_parses((row.blob, versions[row.language], row.payload) for row in batch)
        packed.update(((row.language, row.blob), row.payload) for row in batch)
        done += len(batch)
        say("parsing", done, len(missing))
    return {path: packed[name, blobs[path]] for path, name in named.items()}


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep Python from looking for garbage while millions of small values are made: it would look through all of them again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _digest(blobs: Mapping[RepoPath, Oid]) -> Oid:
    """Return an id for the files of a tree that its code is read from, so that commits which change none of them share a snapshot."""
    digest = sha1(usedforsecurity=False)
    for path, blob in blobs.items():
        digest.update(f"{posixpath.normpath(path)}\0{blob}\0".encode("utf-8", "surrogateescape"))
    return Oid(digest.hexdigest())
