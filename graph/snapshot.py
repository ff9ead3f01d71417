"""A whole tree's code as columns: symbols, edges and words, stored as one payload and loaded at once.

Objects are made only when they are asked for, so that a warm query over a large repository pays for what it looks at. A node is a number: first
the files in order, then the symbols in order of file and position. Words are kept per node in compressed sparse rows; a row holds a symbol's own
words, or those of a file outside all its symbols.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np
import numpy.typing as npt

from backstory.errors import StorageError
from backstory.graph.pack import LEVEL, Numbers, WordRows, as_json, join_sections, numbers_in, raw_numbers, split_sections
from backstory.graph.parse import Parse
from backstory.graph.types import EdgeKind, Oid, RepoPath, Span, Symbol, SymbolId, SymbolKind

SNAPSHOT_VERSION = "2"

_KINDS: tuple[EdgeKind, ...] = get_args(EdgeKind)
_SYMBOL_KINDS: tuple[SymbolKind, ...] = get_args(SymbolKind)


@dataclass(frozen=True)
class SymbolColumns:
    """Symbols by column; those of file i are rows starts[i] to starts[i + 1]."""

    starts: list[int]
    kinds: list[int]
    qualnames: list[str]
    firsts: list[int]
    lasts: list[int]
    signatures: list[str]
    docs: list[str]


@dataclass(frozen=True)
class EdgeColumns:
    """Edges by column. kind: index into the values of EdgeKind; src, dst: nodes; evidence: index into texts."""

    kind: npt.NDArray[np.uint8]
    src: Numbers
    dst: Numbers
    weight: npt.NDArray[np.float32]
    evidence: Numbers
    texts: list[str]


@dataclass(frozen=True)
class WordTable:
    """Word counts of all nodes: node n holds words[starts[n]:starts[n + 1]], indices into vocabulary, with as many counts."""

    vocabulary: list[str]
    starts: Numbers
    words: Numbers
    counts: Numbers

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The place of each word in the vocabulary."""
        return {word: number for number, word in enumerate(self.vocabulary)}

    @cached_property
    def lengths(self) -> npt.NDArray[np.float64]:
        """How many words each node has, repeats counted."""
        before = np.concatenate(([0.0], np.cumsum(self.counts, dtype=np.float64)))
        return before[self.starts[1:]] - before[self.starts[:-1]]

    def holders(self, number: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the nodes that hold a word of the vocabulary, in order, and how often each does."""
        order, begins, nodes = self._by_word
        places = order[begins[number] : begins[number + 1]]
        return nodes[places], self.counts[places].astype(np.float64)

    @cached_property
    def _by_word(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The places of `words` sorted by word, where each word begins among them, and the node of each place."""
        order = np.argsort(self.words, kind="stable")
        begins = np.concatenate(([0], np.cumsum(np.bincount(self.words, minlength=len(self.vocabulary)))))
        return order, begins, np.repeat(np.arange(len(self.starts) - 1), self.starts[1:] - self.starts[:-1])

    def row(self, first: int, end: int) -> dict[str, int]:
        """Return the summed counts of nodes `first` to `end` (exclusive)."""
        part = slice(int(self.starts[first]), int(self.starts[end]))
        found: dict[str, int] = {}
        for number, count in zip(self.words[part].tolist(), self.counts[part].tolist(), strict=True):
            word = self.vocabulary[number]
            found[word] = found.get(word, 0) + count
        return found


@dataclass(frozen=True)
class Snapshot:
    """The code of one tree. paths, blobs: the parsed files, sorted; skipped: files in a known language that were not parsed, and why."""

    paths: list[RepoPath]
    blobs: list[Oid]
    skipped: dict[RepoPath, str]
    symbols: SymbolColumns
    edges: EdgeColumns
    packed_words: bytes

    def symbol(self, row: int, file: int) -> Symbol:
        """Return the symbol in a row, which belongs to the file with that number."""
        path, columns = self.paths[file], self.symbols
        return Symbol(
            id=SymbolId(f"{path}:{columns.qualnames[row]}"),
            kind=_SYMBOL_KINDS[columns.kinds[row]],
            path=path,
            qualname=columns.qualnames[row],
            span=Span(columns.firsts[row], columns.lasts[row]),
            signature=columns.signatures[row],
            doc=columns.docs[row],
            blob=self.blobs[file],
        )

    def node_ids(self) -> list[str]:
        """Return the id of every node, in order."""
        starts, qualnames = self.symbols.starts, self.symbols.qualnames
        ids: list[str] = list(self.paths)
        for file, path in enumerate(self.paths):
            ids += [f"{path}:{qualname}" for qualname in qualnames[starts[file] : starts[file + 1]]]
        return ids

    def words(self) -> WordTable:
        """Return the word counts. Raises StorageError when they are damaged."""
        try:
            vocabulary, starts, words, counts = map(zlib.decompress, split_sections(self.packed_words))
            return WordTable(json.loads(vocabulary), numbers_in(starts), numbers_in(words), numbers_in(counts))
        except (ValueError, zlib.error) as error:
            raise _damaged(error) from error


def make_snapshot(
    parses: Mapping[RepoPath, Parse], words: Mapping[RepoPath, WordRows], blobs: Mapping[RepoPath, Oid], edges: EdgeColumns
) -> Snapshot:
    """Return the columns of parsed files, in sorted order, and of the edges between them.

    words: those of each parse. edges: between nodes numbered as here, the files in order and then their definitions.
    """
    paths = [path for path in sorted(parses) if not parses[path].skipped]
    rows = [definition for path in paths for definition in parses[path].definitions]
    starts = [0]
    for path in paths:
        starts.append(starts[-1] + len(parses[path].definitions))
    symbols = SymbolColumns(
        starts=starts,
        kinds=[_SYMBOL_KINDS.index(row.kind) for row in rows],
        qualnames=[row.qualname for row in rows],
        firsts=[row.span.first for row in rows],
        lasts=[row.span.last for row in rows],
        signatures=[row.signature for row in rows],
        docs=[row.doc for row in rows],
    )
    skipped = {path: parses[path].skipped for path in sorted(parses) if parses[path].skipped}
    packed = _pack_words([words[path] for path in paths])
    return Snapshot(paths, [blobs[path] for path in paths], skipped, symbols, edges, packed)


def pack_snapshot(snapshot: Snapshot) -> bytes:
    """Return a snapshot as bytes; `unpack_snapshot` is the inverse."""
    symbols, edges = snapshot.symbols, snapshot.edges
    outline = {
        "paths": snapshot.paths,
        "blobs": snapshot.blobs,
        "skipped": snapshot.skipped,
        "symbols": [symbols.starts, symbols.kinds, symbols.qualnames, symbols.firsts, symbols.lasts, symbols.signatures, symbols.docs],
        "texts": edges.texts,
    }
    columns = [edges.kind.tobytes(), raw_numbers(edges.src), raw_numbers(edges.dst), raw_numbers(edges.evidence), edges.weight.tobytes()]
    return join_sections([*map(_compressed, (as_json(outline), *columns)), snapshot.packed_words])


def unpack_snapshot(payload: bytes) -> Snapshot:
    """Return the snapshot that was packed. Raises StorageError when the payload is damaged."""
    try:
        *sections, words = split_sections(payload)
        first, kind, src, dst, evidence, weight = map(zlib.decompress, sections)
        outline = json.loads(first)
        return Snapshot(
            paths=outline["paths"],
            blobs=outline["blobs"],
            skipped=outline["skipped"],
            symbols=SymbolColumns(*outline["symbols"]),
            edges=EdgeColumns(
                kind=np.frombuffer(kind, np.uint8),
                src=numbers_in(src),
                dst=numbers_in(dst),
                weight=np.frombuffer(weight, "<f4"),
                evidence=numbers_in(evidence),
                texts=outline["texts"],
            ),
            packed_words=words,
        )
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise _damaged(error) from error


def kind_numbers(kinds: Iterable[EdgeKind] | None) -> list[int]:
    """Return the numbers edges carry for these kinds; all of them for None."""
    return list(range(len(_KINDS))) if kinds is None else [_KINDS.index(kind) for kind in kinds]


def kind_named(number: int) -> EdgeKind:
    """Return the kind with this number."""
    return _KINDS[number]


def _pack_words(files: Sequence[WordRows]) -> bytes:
    """Return the words of all nodes as sections: each file's own first, then those of all symbols."""
    numbers: dict[str, int] = {}
    own: list[Numbers] = []
    inner: list[Numbers] = []
    own_counts: list[Numbers] = []
    inner_counts: list[Numbers] = []
    lengths = [np.diff(rows.starts) for rows in files]
    for rows in files:
        known = np.array([numbers.setdefault(word, len(numbers)) for word in rows.vocabulary], np.uint32)
        words, cut = known[rows.words], int(rows.starts[1])
        own.append(words[:cut])
        inner.append(words[cut:])
        own_counts.append(rows.counts[:cut])
        inner_counts.append(rows.counts[cut:])
    each = np.concatenate([np.zeros(1, np.uint32), *(part[:1] for part in lengths), *(part[1:] for part in lengths)])
    columns = [np.cumsum(each), np.concatenate([each[:0], *own, *inner]), np.concatenate([each[:0], *own_counts, *inner_counts])]
    return join_sections(map(_compressed, (as_json(list(numbers)), *map(raw_numbers, columns))))


def _compressed(raw: bytes) -> bytes:
    return zlib.compress(raw, LEVEL)


def _damaged(error: Exception) -> StorageError:
    return StorageError(f"a stored snapshot is damaged ({error}); run `backstory cache clear` and try again")
