"""A whole tree's code as columns: symbols, edges and words, stored as one payload and loaded at once.

Objects are made only when they are asked for, so that a warm query over a large repository pays for what it looks at. A node is a number: first
the files in order, then the symbols in order of file and position. Its words are kept apart (`backstory.graph.word_table`).
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from backstory.errors import DamagedStore
from backstory.graph.pack import FAST, Numbers, as_json, join_sections, numbers_in, raw_numbers, split_sections
from backstory.graph.parse import Parse
from backstory.graph.types import EdgeKind, Oid, RepoPath, Span, Symbol, SymbolId, SymbolKind

SNAPSHOT_VERSION = "3"

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
class Snapshot:
    """The code of one tree. paths, blobs: the parsed files, sorted; skipped: files in a known language that were not parsed, and why."""

    paths: list[RepoPath]
    blobs: list[Oid]
    skipped: dict[RepoPath, str]
    symbols: SymbolColumns
    edges: EdgeColumns

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


def make_snapshot(parses: Mapping[RepoPath, Parse], blobs: Mapping[RepoPath, Oid], edges: EdgeColumns) -> Snapshot:
    """Return the columns of parsed files, in sorted order, and of the edges between them.

    edges: between nodes numbered as here, the files in order and then their definitions.
    """
    paths = [path for path in sorted(parses) if not parses[path].skipped]
    rows = [definition for path in paths for definition in parses[path].definitions]
    starts = [0]
    for path in paths:
        starts.append(starts[-1] + len(parses[path].definitions))
    numbers = {kind: number for number, kind in enumerate(_SYMBOL_KINDS)}
    symbols = SymbolColumns(
        starts=starts,
        kinds=[numbers[row.kind] for row in rows],
        qualnames=[row.qualname for row in rows],
        firsts=[row.span.first for row in rows],
        lasts=[row.span.last for row in rows],
        signatures=[row.signature for row in rows],
        docs=[row.doc for row in rows],
    )
    skipped = {path: parses[path].skipped for path in sorted(parses) if parses[path].skipped}
    return Snapshot(paths, [blobs[path] for path in paths], skipped, symbols, edges)


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
    return join_sections(zlib.compress(section, FAST) for section in (as_json(outline), *columns))


def unpack_snapshot(payload: bytes) -> Snapshot:
    """Return the snapshot that was packed. Raises StorageError when the payload is damaged."""
    try:
        first, kind, src, dst, evidence, weight = map(zlib.decompress, split_sections(payload))
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
        )
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise _damaged(error) from error


def kind_numbers(kinds: Iterable[EdgeKind] | None) -> list[int]:
    """Return the numbers edges carry for these kinds; all of them for None."""
    return list(range(len(_KINDS))) if kinds is None else [_KINDS.index(kind) for kind in kinds]


def symbol_kind_number(kind: SymbolKind) -> int:
    """Return the number of a kind of symbol in `SymbolColumns.kinds`."""
    return _SYMBOL_KINDS.index(kind)


def kind_named(number: int) -> EdgeKind:
    """Return the kind with this number."""
    return _KINDS[number]


def _damaged(error: Exception) -> DamagedStore:
    return DamagedStore(f"a stored snapshot is damaged ({error}); run `backstory cache clear` and try again")
