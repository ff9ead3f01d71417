"""Where the code must change for an issue: files and symbols, best first, each with its reasons. No model, no network.

The idea: many weak signals, each 0..1, added with a few fixed weights. What the text says (BM25 over files, symbols and paths; the title once more by
itself, since it is the part its author chose), what it points at (paths, modules, identifiers, traceback frames), what the past says (files that
similar past changes touched, files changed lately), and what the code says (neighbours of the strongest by calls, imports and tests). Tests,
documentation and examples are damped: they describe the fault, the change goes elsewhere.

A symbol inherits the score of its file and adds its own signals. Every score can be taken apart: the reasons given are the largest terms of the
sum. How much each weight was worth: docs/log.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backstory.agent.clues import MAX_CHARS, Clues, find_clues
from backstory.agent.corpus import Corpus, corpus_of
from backstory.agent.neighbours import neighbour_signals
from backstory.agent.signals import (
    Scores,
    Signal,
    best_symbol_signal,
    frame_signals,
    issue_query,
    mention_signal,
    name_signals,
    past_signal,
    recent_signal,
    text_signal,
)
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Evidence, Location, RepoPath, Report, Span
from backstory.memory.bm25 import query_words
from backstory.memory.recall import recall

# How many similar past changes vote: more adds their noise, fewer miss the change that matters (docs/log.md).
PAST_CHANGES = 60
# Long functions are changed more often than their share of words says, so BM25 discounts length less for symbols than its usual 0.75.
SYMBOL_B = 0.5
# A reason is given when it makes at least this share of the score, and at most so many are.
REASON_SHARE = 0.08
MAX_REASONS = 6
# What remains of the score of a file that describes the code rather than being it.
PLACE_FACTORS: Mapping[str, float] = {"code": 1.0, "aside": 0.4, "test": 0.1, "prose": 0.1}
# A file without symbols is one place; its score stands for the two thirds of a symbol's that come from its file and its text.
MODULE_FACTOR = 0.7


@dataclass(frozen=True)
class Weights:
    """How much each signal counts for a file, and for a symbol; any positive scale. Zero switches a signal off and saves its cost.

    text, title: words of the issue, of its title, in the file. symbol, symbol_title: the same in the best symbol of the file.
    path: in its path. mention: named by path or module. name: defines identifiers named. frame: in a traceback.
    past: touched by similar past changes. recent: changed lately. neighbour: linked to the strongest by calls, imports, tests.
    """

    text: float = 0.2
    title: float = 0.4
    symbol: float = 0.2
    symbol_title: float = 0.4
    path: float = 0.5
    mention: float = 0.5
    name: float = 0.1
    frame: float = 0.5
    past: float = 0.5
    recent: float = 0.1
    neighbour: float = 0.1


@dataclass(frozen=True)
class SymbolWeights:
    """How much each signal counts for a symbol; file: the score of the file it is in."""

    file: float = 2.5
    text: float = 0.4
    title: float = 1.0
    name: float = 0.4
    frame: float = 1.0
    neighbour: float = 0.1


DEFAULT_WEIGHTS = Weights()
DEFAULT_SYMBOL_WEIGHTS = SymbolWeights()


@dataclass(frozen=True)
class FileScore:
    """A file with its score in 0..1 and the reasons, strongest first."""

    path: RepoPath
    score: float
    why: tuple[Evidence, ...]


@dataclass(frozen=True)
class Localization:
    """Files and places in them, each best first, ties by path and line."""

    files: list[FileScore]
    locations: list[Location]


def localize(
    graph: RepoGraph,
    text: str,
    *,
    limit: int,
    report: Report | None = None,
    weights: Weights = DEFAULT_WEIGHTS,
    symbol_weights: SymbolWeights = DEFAULT_SYMBOL_WEIGHTS,
) -> Localization:
    """Return where `text`, an issue whose first line is its title, asks for a change in the tree of `graph`.

    limit: how many files and how many places to return; 0 for all files and every place with a score. Without any match the order is by the past.
    """
    tell = report or (lambda phase, done, total: None)
    tell("rank", 0, 2)
    corpus = corpus_of(graph)
    clues = find_clues(text)
    tell("rank", 1, 2)
    files, symbols = _rank(graph, corpus, clues, text, weights, symbol_weights)
    localization = Localization(_file_scores(corpus, files, limit), _locations(graph, corpus, clues, files, symbols, limit))
    tell("rank", 2, 2)
    return localization


@dataclass(frozen=True)
class _Sum:
    """Weighted signals added up and damped, in 0..1, and the terms they came from."""

    total: Scores
    terms: Sequence[tuple[float, Signal]]
    factors: Scores

    def why(self, number: int) -> tuple[Evidence, ...]:
        """Return the reasons that make up most of one score, largest first."""
        parts = [(weight * float(signal.scaled[number]), place, signal) for place, (weight, signal) in enumerate(self.terms)]
        whole = sum(part for part, _, _ in parts)
        spoken = [(part, place, signal) for part, place, signal in parts if part > 0 and part >= REASON_SHARE * whole]
        reasons = [signal.why(number) for _, _, signal in sorted(spoken, key=lambda part: (-part[0], part[1]))]
        return tuple(dict.fromkeys(reasons))[:MAX_REASONS]


def _add_up(terms: Sequence[tuple[float, Signal]], factors: Scores) -> _Sum:
    """Add weighted signals; what no weight could exceed is 1."""
    whole = sum(weight for weight, _ in terms) or 1.0
    total = np.zeros(len(factors))
    for weight, signal in terms:
        total += weight / whole * signal.scaled
    return _Sum(total * factors, terms, factors)


def _rank(graph: RepoGraph, corpus: Corpus, clues: Clues, text: str, weights: Weights, symbol_weights: SymbolWeights) -> tuple[_Sum, _Sum]:
    """Return the scores of files and of symbols: first without, then with what their neighbours add."""
    query, title = issue_query(clues), query_words(clues.title)
    everything = query_words(text[:MAX_CHARS])  # addresses too: they often end in a path
    path_lengths = [sum(words.values()) for words in corpus.path_words]
    texts = text_signal(corpus.symbol_words, corpus.symbol_lengths, query, what="text", b=SYMBOL_B)
    titles = text_signal(corpus.symbol_words, corpus.symbol_lengths, title, what="title", b=SYMBOL_B)
    names, symbol_names = name_signals(corpus, clues, graph.code)
    frames, symbol_frames = frame_signals(corpus, clues)
    file_terms = [
        (weights.text, text_signal(corpus.words, corpus.lengths, query, what="text")),
        (weights.title, text_signal(corpus.words, corpus.lengths, title, what="title")),
        (weights.symbol, best_symbol_signal(corpus, texts)),
        (weights.symbol_title, best_symbol_signal(corpus, titles)),
        (weights.path, text_signal(corpus.path_words, path_lengths, everything, what="path")),
        (weights.mention, mention_signal(corpus, clues)),
        (weights.name, names),
        (weights.frame, frames),
    ]
    if weights.past > 0:
        file_terms.append((weights.past, past_signal(corpus, recall(clues.title, graph, limit=PAST_CHANGES))))
    if weights.recent > 0:
        file_terms.append((weights.recent, recent_signal(corpus, graph)))
    factors = np.array([PLACE_FACTORS[place] for place in corpus.place])
    file_of = np.array([corpus.number[symbol.path] for symbol in corpus.symbols], dtype=int)

    def symbol_terms(files: _Sum) -> list[tuple[float, Signal]]:
        in_file = Signal(files.total[file_of], lambda number: Evidence("file", corpus.symbols[number].path, "is in a file that ranks high"))
        return [
            (symbol_weights.file, in_file),
            (symbol_weights.text, texts),
            (symbol_weights.title, titles),
            (symbol_weights.name, symbol_names),
            (symbol_weights.frame, symbol_frames),
        ]

    files = _add_up(file_terms, factors)
    symbols = _add_up(symbol_terms(files), factors[file_of])
    if weights.neighbour <= 0:
        return files, symbols
    near_files, near_symbols = neighbour_signals(graph, corpus, files.total, symbols.total)
    files = _add_up([*file_terms, (weights.neighbour, near_files)], factors)
    return files, _add_up([*symbol_terms(files), (symbol_weights.neighbour, near_symbols)], factors[file_of])


def _file_scores(corpus: Corpus, files: _Sum, limit: int) -> list[FileScore]:
    best = _best(files.total, limit)
    return [FileScore(corpus.paths[number], float(files.total[number]), files.why(number)) for number in best]


def _locations(graph: RepoGraph, corpus: Corpus, clues: Clues, files: _Sum, symbols: _Sum, limit: int) -> list[Location]:
    """Return the best symbols, and the own lines of well-ranked files that have none."""
    found = [_symbol_location(corpus, symbols, number) for number in _best(symbols.total, limit) if symbols.total[number] > 0]
    has_symbols = {symbol.path for symbol in corpus.symbols}
    for number in _best(files.total, limit):
        path = corpus.paths[number]
        if path not in has_symbols and files.total[number] > 0:
            span = _named_lines(corpus, clues, path) or _whole_file(graph, path)
            found.append(Location(path, span, None, MODULE_FACTOR * float(files.total[number]), files.why(number)))
    found.sort(key=lambda location: (-location.score, location.path, location.span))
    return found[:limit] if limit else found


def _symbol_location(corpus: Corpus, symbols: _Sum, number: int) -> Location:
    symbol = corpus.symbols[number]
    return Location(symbol.path, symbol.span, symbol.id, float(symbols.total[number]), symbols.why(number))


def _named_lines(corpus: Corpus, clues: Clues, path: RepoPath) -> Span | None:
    """Return the lines of `path` that the issue names with it."""
    for mention in clues.paths:
        if mention.first and path in corpus.places.files(mention.path):
            return Span(mention.first, max(mention.first, mention.last))
    return None


def _whole_file(graph: RepoGraph, path: RepoPath) -> Span:
    return Span(1, max(1, len(graph.text(path).splitlines())))


def _best(scores: Scores, limit: int) -> list[int]:
    """Return the numbers of the highest scores, best first, ties in the corpus's order; all of them when the limit is 0."""
    order: list[int] = (-scores).argsort(kind="stable").tolist()
    return order[:limit] if limit else order
