"""Where the code must change for an issue: files and symbols, best first, each with its reasons. No model, no network.

The idea: many weak signals, each 0..1, added with a few fixed weights. What the text says (BM25 over files, symbols and paths; the title once more by
itself, since it is the part its author chose), what it points at (paths, modules, identifiers, traceback frames), and what the past says (files that
similar past changes touched, what all changes of a file spoke of, files changed lately). Tests, documentation and examples are damped: they describe
the fault, the change goes elsewhere.

A symbol inherits the score of its file and adds its own signals. Every score can be taken apart: the reasons given are the largest terms of the
sum. What each signal is, how the weights were fitted and what they are worth: docs/localizer.md.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backstory.agent.clues import Clues, ends, find_clues
from backstory.agent.corpus import Corpus, corpus_of
from backstory.agent.signals import (
    Scores,
    Signal,
    best_symbol_signal,
    folder_signal,
    frame_signals,
    issue_query,
    literal_signals,
    mention_signal,
    name_signal,
    own_name_signal,
    owner_signal,
    past_signal,
    rank_signal,
    recent_signal,
    text_signal,
)
from backstory.graph.code import uncollected
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Evidence, Location, RepoPath, Report, Span
from backstory.graph.words import spelled_stems
from backstory.memory.bm25 import query_words
from backstory.memory.recall import Past, past_of, similarity

# Long functions are changed more often than their share of words says, so BM25 discounts length less for symbols than its usual 0.75.
SYMBOL_B = 0.5
# A reason is given when it makes at least this share of the score, and at most so many are.
REASON_SHARE = 0.05
MAX_REASONS = 8
# What remains of the score of a file that describes the code rather than being it.
PLACE_FACTORS: Mapping[str, float] = {"code": 1.0, "aside": 0.4, "test": 0.1, "prose": 0.1}
# What is asked for where a model or a search through history goes on from the ranking: further down nothing is ever looked at.
LOOKED_AT = 200


@dataclass(frozen=True)
class Weights:
    """How much each signal counts for a file; any positive scale. Fitted by `bench/fit_localizer.py` (docs/localizer.md).

    text, title: words of the issue, of its title, in the file. symbol_title, symbol_code, symbol_name: words of its title, of its code, of all of it,
    in the best symbol of the file, the last in the symbol's name alone. path: in its path. mention: named by path or module. name: defines
    identifiers named. frame: in a traceback. literal: says what the issue repeats. past: touched by similar past changes. told, told_title: words
    of the issue, of its title, in the messages of all past changes of the file. recent: changed lately. folder: beside the best.
    """

    text: float = 0.7
    title: float = 1.4
    symbol_title: float = 1.0
    symbol_code: float = 0.7
    symbol_name: float = 0.9
    path: float = 1.9
    mention: float = 1.1
    name: float = 0.2
    frame: float = 0.9
    literal: float = 1.1
    past: float = 1.6
    told: float = 0.6
    told_title: float = 1.4
    recent: float = 0.4
    folder: float = 1.7


@dataclass(frozen=True)
class SymbolWeights:
    """How much each signal counts for a symbol, as for files.

    file, file_rank: score and place of the file it is in. rank: score of its file by its place there. owner: words of the title in the class it
    belongs to. code: words of the issue's blocks of code. own_name: words of the issue in its name.
    """

    file: float = 2.2
    file_rank: float = 1.8
    rank: float = 2.7
    text: float = 1.7
    title: float = 1.7
    owner: float = 0.8
    code: float = 1.7
    own_name: float = 1.3
    frame: float = 0.8
    literal: float = 0.7


@dataclass(frozen=True)
class Confidence:
    """How sure an answer is, by a logistic curve over what is known when it is given; fitted with the weights, over held-out repositories.

    score: of the best file. lead: over the next one. matched: logarithm of 1 + the BM25 score of the issue's words in the best file, which is small
    where hardly a rare word of the issue occurs in the code. What was said and what was: docs/localizer.md.
    """

    start: float = -1.06
    score: float = 1.6
    lead: float = 3.36
    matched: float = 0.11

    def of(self, score: float, lead: float, matched: float) -> float:
        """Return the share of such answers whose first file is right."""
        return 1 / (1 + math.exp(-(self.start + self.score * score + self.lead * lead + self.matched * math.log1p(matched))))


DEFAULT_WEIGHTS = Weights()
CONFIDENCE = Confidence()
DEFAULT_SYMBOL_WEIGHTS = SymbolWeights()
OF_HISTORY = frozenset({"past", "told", "told_title", "recent"})
"""The signals that only the past gives."""


@dataclass(frozen=True)
class FileScore:
    """A file with its score in 0..1 and the reasons, strongest first."""

    path: RepoPath
    score: float
    why: tuple[Evidence, ...]


@dataclass(frozen=True)
class Localization:
    """Files and places in them, each best first, ties by path and line.

    confidence: of how many such answers in a hundred, as a share, the first file is one that the change touches; None when a model has chosen.
    """

    files: list[FileScore]
    locations: list[Location]
    confidence: float | None = None


@dataclass(frozen=True)
class Signals:
    """All signals of an issue, by the names of the weights. factors: what remains of a file's score, by the kind of file it is."""

    files: Mapping[str, Signal]
    symbols: Mapping[str, Signal]
    factors: Scores


@uncollected()
def localize(
    graph: RepoGraph,
    text: str,
    *,
    limit: int,
    keep: Callable[[RepoPath], bool] | None = None,
    report: Report | None = None,
    weights: Weights = DEFAULT_WEIGHTS,
    symbol_weights: SymbolWeights = DEFAULT_SYMBOL_WEIGHTS,
    past: Past | None = None,
) -> Localization:
    """Return where `text`, an issue whose first line is its title, asks for a change in the tree of `graph`.

    limit: how many files and how many places to return; 0 for all files and every place with a score. keep: whether a path may be returned. past:
    to be used instead of the graph's own. Without any match the order is by the past.
    """
    tell = report or (lambda phase, done, total: None)
    tell("rank", 0, 2)
    corpus, clues = corpus_of(graph), find_clues(text)
    signals = find_signals(graph, corpus, clues, text, past or past_of(graph))
    tell("rank", 1, 2)
    files_alone = _add_up(weights, signals.files, signals.factors)
    files = _add_up(weights, {**signals.files, "folder": folder_signal(corpus.paths, files_alone.total)}, signals.factors)
    inherited = file_signals(corpus.paths, corpus.file_of, files.total)
    factors = signals.factors[corpus.file_of]
    symbols_alone = _add_up(symbol_weights, {**inherited, **signals.symbols}, factors)
    ranks = {"rank": rank_signal(corpus.file_of, corpus.code.is_class, files=files.total, symbols=symbols_alone.total)}
    symbols = _add_up(symbol_weights, {**inherited, **signals.symbols, **ranks}, factors)
    # A file without symbols is one place: scored as a symbol would be whose words are all of the file's.
    each = np.arange(len(corpus.paths))
    own = {**file_signals(corpus.paths, each, files.total), "rank": rank_signal(each, each < 0, files=files.total, symbols=files.total)}
    wholes = _add_up(symbol_weights, {**own, **signals.files}, signals.factors)
    is_kept = np.array([keep is None or keep(path) for path in corpus.paths], dtype=bool)
    localization = Localization(
        _file_scores(corpus, files, is_kept, limit),
        _locations(graph, corpus, clues, wholes, symbols, is_kept, limit),
        _confidence(files.total, is_kept, signals.files["text"].scores),
    )
    tell("rank", 2, 2)
    return localization


def find_signals(graph: RepoGraph, corpus: Corpus, clues: Clues, text: str, past: Past) -> Signals:
    """Return every signal of an issue, unweighted."""
    issue, title = issue_query(clues), query_words(clues.title, stemmed=True)
    code = query_words("\n".join(clues.blocks), stemmed=True)
    read = ends(text)
    whole = query_words(read, stemmed=True)  # addresses too: they often end in a path
    spelled = spelled_stems(read)
    stems = sorted({*issue, *title, *code})
    files, symbols, symbol_names = corpus.counted(stems)
    messages = past.messages(stems, stemmed=True)
    told = past.file_messages(messages)
    texts = text_signal(symbols, issue, spelled, what="text", b=SYMBOL_B)
    titles = text_signal(symbols, title, spelled, what="title", b=SYMBOL_B)
    codes = text_signal(symbols, code, spelled, what="code", b=SYMBOL_B)
    own_names = own_name_signal(symbol_names, issue, spelled)
    literals, symbol_literals = literal_signals(graph, corpus, read)
    frames, symbol_frames = frame_signals(corpus, clues)
    return Signals(
        files={
            "text": text_signal(files, issue, spelled, what="text"),
            "title": text_signal(files, title, spelled, what="title"),
            "symbol_title": best_symbol_signal(corpus, titles),
            "symbol_code": best_symbol_signal(corpus, codes),
            "symbol_name": best_symbol_signal(corpus, own_names),
            "path": text_signal(corpus.counted_paths(sorted(whole)), whole, spelled, what="path"),
            "mention": mention_signal(corpus, clues),
            "name": name_signal(corpus, clues),
            "frame": frames,
            "literal": literals,
            "past": past_signal(graph, corpus, past, similarity(messages, [title, issue])),
            "told": text_signal(told, issue, spelled, what="told"),
            "told_title": text_signal(told, title, spelled, what="told"),
            "recent": recent_signal(graph, corpus, past),
        },
        symbols={
            "text": texts,
            "title": titles,
            "owner": owner_signal(corpus, titles),
            "code": codes,
            "own_name": own_names,
            "frame": symbol_frames,
            "literal": symbol_literals,
        },
        factors=np.array([PLACE_FACTORS[place] for place in corpus.place]),
    )


def file_signals(paths: Sequence[RepoPath], file_of: NDArray[np.int64], files: Scores) -> dict[str, Signal]:
    """Return the signals that symbols have from the scores of their files."""

    def why(number: int) -> Evidence:
        return Evidence("file", paths[file_of[number]], "is in a file that ranks high")

    ranks = np.empty(len(files))
    ranks[(-files).argsort(kind="stable")] = np.arange(1, len(files) + 1)
    return {
        "file": Signal(files[file_of], why, closeness=1.0),
        "file_rank": Signal(1 / ranks[file_of], why, closeness=1.0),
    }


@dataclass(frozen=True)
class _Sum:
    """Weighted signals added up and damped, in 0..1, and the terms they came from."""

    total: Scores
    terms: Sequence[tuple[float, Signal]]

    def why(self, number: int) -> tuple[Evidence, ...]:
        """Return the reasons that make up most of one score, largest first, those about its surroundings after the others."""
        parts = [(weight * float(signal.scaled[number]), place, signal) for place, (weight, signal) in enumerate(self.terms)]
        whole = sum(part for part, _, _ in parts)
        spoken = [(part, place, signal) for part, place, signal in parts if part > 0 and part >= REASON_SHARE * whole]
        reasons = [signal.why(number) for _, _, signal in sorted(spoken, key=lambda part: (-part[0], part[1]))]
        return tuple(sorted(dict.fromkeys(reasons), key=lambda reason: reason.kind in _AROUND))[:MAX_REASONS]


_AROUND = frozenset({"folder", "file", "rank"})  # kinds of evidence that are not about the place itself


def _add_up(weights: Weights | SymbolWeights, signals: Mapping[str, Signal], factors: Scores) -> _Sum:
    """Add the signals that are there by their weights; the most that all could come to is 1."""
    terms = [(weight, signals[name]) for name, weight in vars(weights).items() if name in signals]
    whole = sum(vars(weights).values()) or 1.0
    total = np.zeros(len(factors))
    for weight, signal in terms:
        total += weight / whole * signal.scaled
    return _Sum(total * factors, terms)


def _confidence(files: Scores, is_kept: NDArray[np.bool_], matched: Scores) -> float:
    """Return how sure the first file is; 0 when there is none."""
    best = _best(files, is_kept, 2)
    if not best or files[best[0]] <= 0:
        return 0.0
    second = float(files[best[1]]) if len(best) > 1 else 0.0
    return CONFIDENCE.of(float(files[best[0]]), float(files[best[0]]) - second, float(matched[best[0]]))


def _file_scores(corpus: Corpus, files: _Sum, is_kept: NDArray[np.bool_], limit: int) -> list[FileScore]:
    best = _best(files.total, is_kept, limit)
    return [FileScore(corpus.paths[number], float(files.total[number]), files.why(number)) for number in best]


def _locations(
    graph: RepoGraph, corpus: Corpus, clues: Clues, wholes: _Sum, symbols: _Sum, is_kept: NDArray[np.bool_], limit: int
) -> list[Location]:
    """Return the best symbols, and the own lines of well-ranked files that have none."""
    found = [
        (float(symbols.total[number]), int(corpus.file_of[number]), number)
        for number in _best(symbols.total, is_kept[corpus.file_of], limit)
    ]
    has_symbols = np.bincount(corpus.file_of, minlength=len(corpus.paths)) > 0
    found += [(float(wholes.total[number]), number, -1) for number in _best(wholes.total, is_kept & ~has_symbols, limit)]
    found = sorted((place for place in found if place[0] > 0), key=lambda place: (-place[0], place[1:]))

    def location(score: float, file: int, symbol: int) -> Location:
        path = corpus.paths[file]
        if symbol < 0:
            return Location(path, _named_lines(corpus, clues, path) or _whole_file(graph, path), None, score, wholes.why(file))
        known = corpus.symbol(symbol)
        return Location(path, known.span, known.id, score, symbols.why(symbol))

    return [location(*place) for place in (found[:limit] if limit else found)]


def _named_lines(corpus: Corpus, clues: Clues, path: RepoPath) -> Span | None:
    """Return the lines of `path` that the issue names with it."""
    for mention in clues.paths:
        if mention.first and path in corpus.places.files(mention.path):
            return Span(mention.first, max(mention.first, mention.last))
    return None


def _whole_file(graph: RepoGraph, path: RepoPath) -> Span:
    return Span(1, max(1, len(graph.text(path).splitlines())))


def _best(scores: Scores, is_kept: NDArray[np.bool_], limit: int) -> list[int]:
    """Return the numbers of the highest scores that are kept, best first, ties in the corpus's order; all of them when the limit is 0."""
    kept = np.flatnonzero(is_kept)
    order: list[int] = kept[(-scores[kept]).argsort(kind="stable")].tolist()
    return order[:limit] if limit else order
