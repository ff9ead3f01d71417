"""The files and symbols of a tree as documents, ready to be ranked.

Built once for a graph and kept as long as the graph lives: a second issue on the same commit only pays for its own query.
"""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from backstory.agent.places import Places
from backstory.graph.repograph import RepoGraph
from backstory.graph.selection import PROSE_ENDINGS, place_of
from backstory.graph.types import RepoPath, Symbol
from backstory.graph.words import count_words, tokens

# Text of files in no known language is read up to this size; larger ones are data.
MAX_TEXT_BYTES = 200_000
_BINARY_PREFIX_BYTES = 8_000
# A name says what a definition is for: its words count this often, on top of standing in the text.
NAME_WEIGHT = 2


@dataclass(frozen=True)
class Corpus:
    """Documents in a fixed order: `paths` sorted; `symbols` by path and line.

    words, lengths: of each path's text, empty for what cannot be read as text. path_words: of the path itself. number, symbol_number: the way back
    from a path or a symbol id. place: what kind of file it is: "code", "test", "prose" (documentation, data, settings) or "aside" (examples and
    the like).
    """

    paths: Sequence[RepoPath]
    words: Sequence[Mapping[str, int]]
    lengths: Sequence[int]
    path_words: Sequence[Mapping[str, int]]
    place: Sequence[str]
    symbols: Sequence[Symbol]
    symbol_words: Sequence[Mapping[str, int]]
    symbol_lengths: Sequence[int]
    number: Mapping[RepoPath, int]
    symbol_number: Mapping[str, int]
    places: Places


_built: "WeakKeyDictionary[RepoGraph, Corpus]" = WeakKeyDictionary()


def corpus_of(graph: RepoGraph) -> Corpus:
    """Return the documents of a graph's tree; counted on the first call."""
    corpus = _built.get(graph)
    if corpus is None:
        corpus = _built[graph] = _build(graph)
    return corpus


def _build(graph: RepoGraph) -> Corpus:
    code = graph.code
    parsed = set(code.files())
    paths = sorted(graph.files())
    words = [code.words(path) if path in parsed else _text_words(graph, path) for path in paths]
    symbols = [symbol for path in paths if path in parsed for symbol in code.symbols(path)]
    symbol_words = [_symbol_words(symbol, code.symbol_words(symbol.id)) for symbol in symbols]
    return Corpus(
        paths=paths,
        words=words,
        lengths=[sum(counts.values()) for counts in words],
        path_words=[_path_words(path) for path in paths],
        place=[place_of(path, is_test=code.is_test(path)) for path in paths],
        symbols=symbols,
        symbol_words=symbol_words,
        symbol_lengths=[sum(counts.values()) for counts in symbol_words],
        number={path: number for number, path in enumerate(paths)},
        symbol_number={symbol.id: number for number, symbol in enumerate(symbols)},
        places=Places(paths, code),
    )


def _text_words(graph: RepoGraph, path: RepoPath) -> Mapping[str, int]:
    """Return the words of a file that was not parsed: source in another language; prose and data only by their path."""
    if PROSE_ENDINGS.fullmatch(posixpath.splitext(path)[1].lower()):
        return {}
    raw = graph.text(path)
    if len(raw) > MAX_TEXT_BYTES or b"\0" in raw[:_BINARY_PREFIX_BYTES]:
        return {}
    return count_words(tokens(raw.decode("utf-8", "replace")))


def _path_words(path: RepoPath) -> dict[str, int]:
    stem, _ = posixpath.splitext(path)
    return count_words(tokens(stem.replace("/", " ").replace("-", " ")))


def _symbol_words(symbol: Symbol, words: Mapping[str, int]) -> Mapping[str, int]:
    merged = dict(words)
    for word, count in count_words(tokens(symbol.qualname)).items():
        merged[word] = merged.get(word, 0) + NAME_WEIGHT * count
    return merged
