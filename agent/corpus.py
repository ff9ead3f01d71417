"""The files and symbols of a tree as documents, ready to be ranked.

Nothing is counted here that the graph has counted: a question takes the columns of its own words out of the stored ones.
"""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backstory.agent.places import Places
from backstory.graph.code import CodeView
from backstory.graph.repograph import RepoGraph
from backstory.graph.selection import PROSE_ENDINGS, place_of
from backstory.graph.types import RepoPath, Symbol
from backstory.graph.word_table import WordTable, pack_table, table_from, unpack_table
from backstory.graph.words import count_words, split_token, stem, tokens
from backstory.memory.bm25 import Counted, counted

# Text of files in no known language is read up to this size; larger ones are data.
MAX_TEXT_BYTES = 200_000
_BINARY_PREFIX_BYTES = 8_000
# A name says what a definition is for: its words count this often, on top of standing in the text.
NAME_WEIGHT = 2
TEXT_KIND = "text words"
TEXT_VERSION = "1"


@dataclass(frozen=True)
class Corpus:
    """Documents in a fixed order: `paths` sorted; symbols by path and line, as `code` numbers them.

    place: what kind of file each path is: "code", "test", "prose" (documentation, data, settings) or "aside" (examples and the like). file_of: the
    place in `paths` of each symbol's file. number: the way back from a path. texts: words of the files that were not parsed, with their places.
    """

    paths: Sequence[RepoPath]
    place: Sequence[str]
    number: Mapping[RepoPath, int]
    file_of: NDArray[np.int64]
    code: CodeView
    places: Places
    texts: tuple[WordTable, NDArray[np.int64]]

    def symbol(self, number: int) -> Symbol:
        """Return a symbol by its number."""
        return self.code.symbol_numbered(number)

    def counted(self, stems: Sequence[str]) -> tuple[Counted, Counted, Counted]:
        """Return how often words of distinct stems occur in the text of each path, of each symbol and in the own name of each symbol.

        In the text of a symbol its whole name counts NAME_WEIGHT times more.
        """
        table, parsed = self.code.word_table, self._parsed
        owners = parsed[self.code.file_of_node] if len(parsed) else np.zeros(0, dtype=np.int64)
        symbols = np.arange(len(owners)) - len(parsed)
        symbols[: len(parsed)] = -1
        files = counted([(table, owners), self.texts], stems, len(self.paths), stemmed=True)
        own = counted([(table, symbols)], stems, len(self.file_of), stemmed=True)
        return files, *_with_names(own, self.code.qualnames)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """The number of the symbol that each symbol is defined in, -1 for one at the top of its file."""
        found = np.full(len(self.file_of), -1, dtype=np.int64)
        known: dict[str, int] = {}
        file = -1
        for number, (own, qualname) in enumerate(zip(self.file_of.tolist(), self.code.qualnames, strict=True)):
            if own != file:
                file, known = own, {}
            known[qualname] = number
            found[number] = known.get(qualname.rpartition(".")[0], -1)
        return found

    def counted_paths(self, stems: Sequence[str]) -> Counted:
        """Return how often words of distinct stems occur in each path itself."""
        return counted([(self._path_words, np.arange(len(self.paths)))], stems, len(self.paths), stemmed=True)

    @cached_property
    def _path_words(self) -> WordTable:
        return table_from(_path_words(path) for path in self.paths)

    @cached_property
    def _parsed(self) -> NDArray[np.int64]:
        return np.array([self.number[path] for path in self.code.files()], dtype=np.int64)


_built: "WeakKeyDictionary[RepoGraph, Corpus]" = WeakKeyDictionary()


def corpus_of(graph: RepoGraph) -> Corpus:
    """Return the documents of a graph's tree; made on the first call."""
    corpus = _built.get(graph)
    if corpus is None:
        corpus = _built[graph] = _build(graph)
    return corpus


def _build(graph: RepoGraph) -> Corpus:
    code = graph.code
    paths = sorted(graph.files())
    number = {path: place for place, path in enumerate(paths)}
    parsed = [number[path] for path in code.files()]
    file_of = np.asarray(parsed, dtype=np.int64)[code.file_of_node[len(parsed) :]] if parsed else np.zeros(0, dtype=np.int64)
    texts = _text_words(graph, sorted(set(paths).difference(code.files())))
    return Corpus(
        paths=paths,
        place=[place_of(path, is_test=code.is_test(path)) for path in paths],
        number=number,
        file_of=file_of,
        code=code,
        places=Places(paths, code),
        texts=(table_from(texts.values()), np.array([number[path] for path in texts], dtype=np.int64)),
    )


def _with_names(symbols: Counted, qualnames: Sequence[str]) -> tuple[Counted, Counted]:
    """Return documents of symbols with the words of their names added, and documents of the last part of each name alone."""
    parted = [qualname.rpartition(".") for qualname in qualnames]
    owners = _named([owner for owner, _, _ in parted], symbols.words)
    own = _named([last for _, _, last in parted], symbols.words)
    matrix = (symbols.matrix + NAME_WEIGHT * (owners.matrix + own.matrix)).tocsr()
    return Counted(symbols.words, matrix, symbols.lengths + NAME_WEIGHT * (owners.lengths + own.lengths)), own


def _named(names: Sequence[str], stems: Sequence[str]) -> Counted:
    """Return how often words of some stems occur in each name. Names recur, so each is split once."""
    places = {word: place for place, word in enumerate(stems)}

    @cache
    def read(name: str) -> tuple[list[int], int]:
        words = [word for token in tokens(name) for word in split_token(token)]
        return [places[found] for found in map(stem, words) if found in places], len(words)

    found = [read(name) for name in names]
    rows = np.repeat(np.arange(len(names)), [len(asked) for asked, _ in found])
    columns = np.fromiter(chain.from_iterable(asked for asked, _ in found), dtype=np.int64, count=len(rows))
    matrix = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(names), len(stems)))
    return Counted(stems, matrix, np.array([length for _, length in found], dtype=np.float64))


def _text_words(graph: RepoGraph, paths: Sequence[RepoPath]) -> dict[RepoPath, Mapping[str, int]]:
    """Return the words of files that were not parsed: source in another language; prose and data only by their path. Kept by blob."""
    blobs = {path: graph.files()[path] for path in paths if not PROSE_ENDINGS.fullmatch(posixpath.splitext(path)[1].lower())}
    stored = graph.store.derived(TEXT_KIND, (bytes.fromhex(blob) for blob in blobs.values()), TEXT_VERSION)
    found: dict[RepoPath, Mapping[str, int]] = {}
    new: dict[bytes, bytes] = {}
    for path, blob in blobs.items():
        key = bytes.fromhex(blob)
        if key in stored:
            found[path] = unpack_table(stored[key]).row(0, 1)
        else:
            raw = graph.mirror.read_blob(blob)
            is_text = len(raw) <= MAX_TEXT_BYTES and b"\0" not in raw[:_BINARY_PREFIX_BYTES]
            found[path] = count_words(tokens(raw.decode("utf-8", "replace"))) if is_text else {}
            new[key] = pack_table(table_from([found[path]]))
    if new:
        graph.store.save_derived(TEXT_KIND, TEXT_VERSION, new.items())
    return found


def _path_words(path: RepoPath) -> dict[str, int]:
    stem, _ = posixpath.splitext(path)
    return count_words(tokens(stem.replace("/", " ").replace("-", " ")))
