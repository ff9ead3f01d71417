"""What speaks for a file or a symbol: one function for each kind of evidence, none of which decides alone.

A signal is an array of raw scores, at least 0, over the corpus's paths or symbols, with the reason for each of the strongest. The scales differ
and do not matter: `backstory.agent.localize` divides each by its largest value before it adds them up.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backstory.agent.clues import Clues
from backstory.agent.corpus import Corpus
from backstory.graph.code import CodeView
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Evidence, RepoPath, Symbol
from backstory.memory.bm25 import CountedBM25, Words, query_words
from backstory.memory.recall import PastChange

Scores = NDArray[np.float64]

# A name defined in more files than this tells nothing (`run`, `get`, `__init__`).
MAX_DEFINING_FILES = 20
# Each caller up a traceback is this much less likely to be where the fault is than the frame it called.
FRAME_DECAY = 0.7
# One part of a dotted name that is a module (`import xarray`) says only which project it is.
SINGLE_PART_WEIGHT = 0.1
# A path or module in the title is what the issue is about; in a listing of installed versions it is not.
RECENT_DAYS = 365
RECENT_HALF_LIFE_DAYS = 60.0
RECENT_COMMITS = 1500


@dataclass(frozen=True)
class Signal:
    """Raw scores, one for each document, and how to say why a document has one."""

    scores: Scores
    why: Callable[[int], Evidence]

    @cached_property
    def scaled(self) -> Scores:
        """Scores in 0..1, the largest 1 if any is positive."""
        top = self.scores.max(initial=0.0)
        return self.scores / top if top > 0 else self.scores


def text_signal(documents: Sequence[Words], lengths: Sequence[float], query: Words, *, what: str, b: float = 0.75) -> Signal:
    """Score documents by the words they share with the query. what: "text", "title" or "path", the kind of the evidence."""
    ranking = CountedBM25(documents, query, lengths=lengths, b=b)

    def why(number: int) -> Evidence:
        words = ranking.strongest(documents[number])
        return Evidence(what, ", ".join(words), f"shares words with the issue{' title' if what == 'title' else ''}: {', '.join(words)}")

    return Signal(ranking.scores(), why)


def best_symbol_signal(corpus: Corpus, symbols: Signal) -> Signal:
    """Score each file by the best of its symbols."""
    scores = np.zeros(len(corpus.paths))
    best: dict[int, int] = {}
    for number in np.flatnonzero(symbols.scores).tolist():
        path = corpus.number[corpus.symbols[number].path]
        if symbols.scores[number] > scores[path]:
            scores[path] = symbols.scores[number]
            best[path] = number

    def why(path: int) -> Evidence:
        symbol = corpus.symbols[best[path]]
        return Evidence("text", symbol.id, f"{symbol.qualname} matches: {symbols.why(best[path]).ref}")

    return Signal(scores, why)


def mention_signal(corpus: Corpus, clues: Clues) -> Signal:
    """Score files by the paths and dotted names written in the issue that mean them."""
    scores = np.zeros(len(corpus.paths))
    reasons: dict[int, Evidence] = {}

    def add(path: RepoPath, weight: float, written: str, note: str) -> None:
        number = corpus.number[path]
        if weight > scores[number]:
            scores[number] = weight
            reasons[number] = Evidence("path", written, note)

    framed = {frame.path for frame in clues.frames}  # a traceback names every caller; frame_signals tells them apart
    for mention in clues.paths:
        if mention.path in framed:
            continue
        found = corpus.places.files(mention.path)
        for path in found:
            add(path, 1.0 / len(found), mention.path, f"the issue names {mention.path}")
    for dotted in clues.modules:
        found, _, parts = corpus.places.module(dotted)
        weight = SINGLE_PART_WEIGHT if parts == 1 else 1.0
        for path in found:
            add(path, weight / len(found), dotted, f"the issue names the module {dotted}")
    return Signal(scores, reasons.__getitem__)


def name_signals(corpus: Corpus, clues: Clues, code: CodeView) -> tuple[Signal, Signal]:
    """Score (files, symbols) by the identifiers in the issue that they define, rare ones most."""
    files = np.zeros(len(corpus.paths))
    by_symbol: dict[str, float] = defaultdict(float)
    strongest: dict[str, tuple[float, str]] = {}

    def add(symbols: Sequence[Symbol], weight: float, name: str) -> None:
        kept = [symbol for symbol in symbols if corpus.place[corpus.number[symbol.path]] == "code"]
        paths = {symbol.path for symbol in kept}
        if not paths or len(paths) > MAX_DEFINING_FILES:
            return
        share = weight / len(paths)
        for path in paths:
            files[corpus.number[path]] += share
            strongest[path] = max(strongest.get(path, (0.0, "")), (share, name))
        for symbol in kept:
            by_symbol[symbol.id] += weight / len(kept)
            strongest[symbol.id] = max(strongest.get(symbol.id, (0.0, "")), (share, name))

    for name, weight in clues.names.items():
        add(code.definitions(name), weight, name)
    for dotted in clues.modules:
        add(corpus.places.members(dotted), 3.0, dotted)
    symbol_scores = np.array([by_symbol.get(symbol.id, 0.0) for symbol in corpus.symbols])

    def evidence(key: str) -> Evidence:
        name = strongest[key][1]
        return Evidence("identifier", name, f"defines {name}, which the issue names")

    return (
        Signal(files, lambda number: evidence(corpus.paths[number])),
        Signal(symbol_scores, lambda number: evidence(corpus.symbols[number].id)),
    )


def frame_signals(corpus: Corpus, clues: Clues) -> tuple[Signal, Signal]:
    """Score (files, symbols) by the traceback frames that stand in them, the innermost one inside the repository most."""
    files = np.zeros(len(corpus.paths))
    by_symbol: dict[str, float] = {}
    reasons: dict[str, Evidence] = {}
    skipped = 0  # frames further in, outside the repository
    for frame in sorted(clues.frames, key=lambda frame: frame.depth):
        found = [path for path in corpus.places.files(frame.path) if corpus.place[corpus.number[path]] != "test"]
        if not found or "/" not in frame.path:
            skipped = max(skipped, frame.depth + 1) if frame.depth == skipped else skipped
            continue
        weight = FRAME_DECAY ** max(0, frame.depth - skipped) / len(found)
        for path in found:
            note = f"traceback frame {frame.function or frame.path}, line {frame.line}"
            if weight > files[corpus.number[path]]:
                files[corpus.number[path]] = weight
                reasons[path] = Evidence("traceback", f"{path}:{frame.line}", note)
            symbol = corpus.places.symbol_in(path, frame.function, frame.line)
            if symbol is not None and weight > by_symbol.get(symbol.id, 0.0):
                by_symbol[symbol.id] = weight
                reasons[symbol.id] = Evidence("traceback", f"{path}:{frame.line}", note)
    symbol_scores = np.array([by_symbol.get(symbol.id, 0.0) for symbol in corpus.symbols])
    return (
        Signal(files, lambda number: reasons[corpus.paths[number]]),
        Signal(symbol_scores, lambda number: reasons[corpus.symbols[number].id]),
    )


def past_signal(corpus: Corpus, changes: Sequence[PastChange], *, power: float = 2.0, spread: float = 1.0) -> Signal:
    """Score files by the similar past changes that touched them; a change spreads its vote over what it touched.

    power: how much more a closer match counts. spread: 1 divides a vote by the number of files, 0 gives each the whole.
    """
    scores = np.zeros(len(corpus.paths))
    reasons: dict[int, tuple[float, PastChange]] = {}
    for change in changes:
        numbers = [corpus.number[path] for path in change.paths if path in corpus.number]
        source = [number for number in numbers if corpus.place[number] == "code"]
        vote = change.score**power / max(1, len(source)) ** spread
        for number in numbers:
            scores[number] += vote
            if number not in reasons or vote > reasons[number][0]:
                reasons[number] = (vote, change)

    def why(number: int) -> Evidence:
        change = reasons[number][1]
        return Evidence("past", change.commit, f"changed this file for a similar issue: {change.subject}")

    return Signal(scores, why)


def recent_signal(corpus: Corpus, graph: RepoGraph) -> Signal:
    """Score files by how much was changed in them lately, seen from the newest commit; a change of many files counts little for each."""
    scores = np.zeros(len(corpus.paths))
    latest: dict[int, Evidence] = {}
    messages = graph.messages()
    newest = max((message.when for message in messages[:RECENT_COMMITS]), default=None)
    for message in messages[:RECENT_COMMITS]:
        assert newest is not None
        days = (newest - message.when).total_seconds() / 86_400
        if days > RECENT_DAYS:
            continue
        numbers = [corpus.number[path] for path in graph.changed_paths(message.oid) if path is not None and path in corpus.number]
        for number in numbers:
            scores[number] += math.exp2(-days / RECENT_HALF_LIFE_DAYS) / len(numbers)
            latest.setdefault(number, Evidence("recent", message.oid, f"changed {days:.0f} days before the base: {message.subject}"))
    return Signal(scores, latest.__getitem__)


def issue_query(clues: Clues) -> dict[str, float]:
    """Return the weighted words of the whole issue, the title's counted more; addresses and the template's comments are left out."""
    return query_words("\n".join([clues.title, clues.title, clues.prose, *clues.blocks]))
