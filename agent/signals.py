"""What speaks for a file or a symbol: one function for each kind of evidence, none of which decides alone.

A signal is an array of raw scores, at least 0, over the corpus's paths or symbols, with the reason for each of the strongest. The scales differ
and do not matter: `backstory.agent.localize` divides each by its largest value before it adds them up.
"""

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backstory.agent.clues import Clues
from backstory.agent.corpus import Corpus
from backstory.agent.literals import repeated
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Evidence, RepoPath
from backstory.memory.bm25 import Counted, Words, query_words
from backstory.memory.recall import Past

Scores = NDArray[np.float64]

# Below 1: what comes close to the best of a signal counts as nearly as good (docs/log.md, 2026-11-26).
CLOSENESS = 0.7
# Names are short and of much the same length.
NAME_B = 0.3
# A name defined in more files than this tells nothing (`run`, `get`, `__init__`).
MAX_DEFINING_FILES = 20
# Each caller up a traceback is this much less likely to be where the fault is than the frame it called.
FRAME_DECAY = 0.7
# One part of a dotted name that is a module (`import xarray`) says only which project it is.
SINGLE_PART_WEIGHT = 0.1
# `Dataset.quantile` says more than a name alone.
MEMBER_WEIGHT = 3.0
# How many similar past changes vote, and how much more a closer one counts: the best few decide (docs/log.md).
PAST_CHANGES = 60
PAST_POWER = 4.0
SECONDS_A_DAY = 86_400.0
RECENT_DAYS = 365
RECENT_HALF_LIFE_DAYS = 60.0
RECENT_COMMITS = 1500


@dataclass(frozen=True)
class Signal:
    """Raw scores, one for each document, and how to say why a document has one. closeness: power of the scaled ones."""

    scores: Scores
    why: Callable[[int], Evidence]
    closeness: float = CLOSENESS

    @cached_property
    def scaled(self) -> Scores:
        """Scores in 0..1, the largest 1 if any is positive; a close second is nearly as good."""
        top = self.scores.max(initial=0.0)
        return (self.scores / top) ** self.closeness if top > 0 else self.scores


def text_signal(documents: Counted, query: Words, spelled: Mapping[str, str], *, what: str, b: float = 0.75) -> Signal:
    """Score documents by the stems they share with the query.

    spelled: how the issue spells each stem. what: "text", "title", "code", "path" or "told", the kind of the evidence.
    """

    def why(number: int) -> Evidence:
        words = ", ".join(spelled.get(found, found) for found in documents.strongest(number, query))
        return Evidence(what, words, _SHARES[what].format(words))

    return Signal(documents.scores(query, b=b), why)


_SHARES: Mapping[str, str] = {
    "text": "shares words with the issue: {}",
    "title": "shares words with the issue title: {}",
    "code": "shares words with the code in the issue: {}",
    "path": "its path shares words with the issue: {}",
    "told": "past changes of this file speak of: {}",
}


def own_name_signal(names: Counted, query: Words, spelled: Mapping[str, str]) -> Signal:
    """Score symbols by the words of the issue in their own name, those in few names most: `free_symbols` for "free symbols"."""

    def why(number: int) -> Evidence:
        words = ", ".join(spelled.get(found, found) for found in names.strongest(number, query))
        return Evidence("name", words, f"its name shares words with the issue: {words}")

    return Signal(names.scores(query, b=NAME_B), why, closeness=1.0)


def literal_signals(graph: RepoGraph, corpus: Corpus, text: str) -> tuple[Signal, Signal]:
    """Score (files, symbols) by the pieces of their string literals that the issue repeats, by how many words, shared by all who say the same."""
    files, symbols = np.zeros(len(corpus.paths)), np.zeros(len(corpus.file_of))
    reasons: dict[int, Evidence] = {}
    symbol_reasons: dict[int, Evidence] = {}
    spoken = [path for path in corpus.code.files() if corpus.place[corpus.number[path]] in ("code", "aside")]
    sayers: dict[str, dict[tuple[int, int], Evidence]] = {}
    for path, line, words in repeated(graph, spoken, text):
        symbol = corpus.code.symbol_at(path, line)
        place = (corpus.number[path], -1 if symbol is None else corpus.code.number_of(symbol.id))
        evidence = Evidence("literal", f"{path}:{line}", f"says what the issue repeats: {words}")
        sayers.setdefault(words, {}).setdefault(place, evidence)
    for words in sorted(sayers, key=lambda words: (-len(words.split()), words)):
        share = len(words.split()) / len(sayers[words])
        for (file, number), evidence in sayers[words].items():
            reasons.setdefault(file, evidence)
            if number >= 0:
                symbols[number] += share
                symbol_reasons.setdefault(number, evidence)
            else:
                files[file] = max(files[file], share)
    np.maximum.at(files, corpus.file_of, symbols)
    return Signal(files, reasons.__getitem__), Signal(symbols, symbol_reasons.__getitem__)


def best_symbol_signal(corpus: Corpus, symbols: Signal) -> Signal:
    """Score each file by the best of its symbols."""
    scores = np.zeros(len(corpus.paths))
    np.maximum.at(scores, corpus.file_of, symbols.scores)

    def why(path: int) -> Evidence:
        own = np.flatnonzero(corpus.file_of == path)
        best = int(own[symbols.scores[own].argmax()])
        symbol = corpus.symbol(best)
        return Evidence("text", symbol.id, f"{symbol.qualname} matches: {symbols.why(best).ref}")

    return Signal(scores, why)


def rank_signal(file_of: NDArray[np.int64], is_class: NDArray[np.bool_], *, files: Scores, symbols: Scores) -> Signal:
    """Give the first symbol of a file the score of the file, the n-th 1 / sqrt(n) of it, functions and classes apart.

    A change of several files is more often in the best function of each than in ten of one. symbols: scores by everything else, 0 stays 0.
    """
    order = np.lexsort((-symbols, is_class, file_of))
    file, kind = file_of[order], is_class[order]
    is_first = np.concatenate(([True], (file[1:] != file[:-1]) | (kind[1:] != kind[:-1])))[: len(order)]
    begins = np.flatnonzero(is_first)
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order)) - np.repeat(begins, np.diff([*begins, len(order)])) + 1

    def why(number: int) -> Evidence:
        return Evidence("rank", str(places[number]), f"ranks {places[number]} in its file")

    return Signal(np.where(symbols > 0, files[file_of] / np.sqrt(places), 0.0), why, closeness=1.0)


def folder_signal(paths: Sequence[RepoPath], files: Scores) -> Signal:
    """Score each file by itself and the best other one in its folder (their geometric mean): what goes wrong goes wrong in a package.

    files: scores by everything else.
    """
    best: dict[str, list[int]] = {}
    for number in (-files).argsort(kind="stable").tolist():
        found = best.setdefault(posixpath.dirname(paths[number]), [])
        if len(found) < 2:
            found.append(number)

    def other(number: int) -> int | None:
        return next((one for one in best[posixpath.dirname(paths[number])] if one != number), None)

    others = [other(number) for number in range(len(paths))]

    def why(number: int) -> Evidence:
        path = paths[others[number] or 0]
        return Evidence("folder", path, f"is in the same folder as {path}")

    return Signal(np.sqrt(files * np.array([0.0 if one is None else files[one] for one in others])), why, closeness=1.0)


def owner_signal(corpus: Corpus, symbols: Signal) -> Signal:
    """Score each symbol by what it is defined in: a method by its class."""
    owners = corpus.owners
    return Signal(
        np.where(owners >= 0, symbols.scores[np.maximum(owners, 0)], 0.0) if len(owners) else np.zeros(0),
        lambda number: Evidence("text", corpus.symbol(int(owners[number])).id, f"is part of {corpus.symbol(int(owners[number])).qualname}"),
    )


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


def name_signal(corpus: Corpus, clues: Clues) -> Signal:
    """Score files by the identifiers in the issue that they define, rare ones most."""
    scores = np.zeros(len(corpus.paths))
    strongest: dict[int, tuple[float, str]] = {}
    is_code = np.array([place == "code" for place in corpus.place], dtype=bool)

    def add(found: Sequence[int], weight: float, name: str) -> None:
        paths = np.unique(corpus.file_of[np.asarray(found, dtype=np.int64)])
        paths = paths[is_code[paths]]
        if len(paths) > MAX_DEFINING_FILES:
            return
        for path in paths.tolist():
            share = weight / len(paths)
            scores[path] += share
            strongest[path] = max(strongest.get(path, (0.0, "")), (share, name))

    for name, weight in clues.names.items():
        add(corpus.code.numbers_named(name), weight, name)
    for dotted in clues.modules:
        add(corpus.places.members(dotted), MEMBER_WEIGHT, dotted)

    def why(number: int) -> Evidence:
        name = strongest[number][1]
        return Evidence("identifier", name, f"defines {name}, which the issue names")

    return Signal(scores, why)


def frame_signals(corpus: Corpus, clues: Clues) -> tuple[Signal, Signal]:
    """Score (files, symbols) by the traceback frames that stand in them, the innermost one inside the repository most."""
    files = np.zeros(len(corpus.paths))
    symbols = np.zeros(len(corpus.file_of))
    reasons: dict[int, Evidence] = {}
    symbol_reasons: dict[int, Evidence] = {}
    skipped = 0  # frames further in, outside the repository
    for frame in sorted(clues.frames, key=lambda frame: frame.depth):
        found = [path for path in corpus.places.files(frame.path) if corpus.place[corpus.number[path]] != "test"]
        if not found or "/" not in frame.path:
            skipped = max(skipped, frame.depth + 1) if frame.depth == skipped else skipped
            continue
        weight = FRAME_DECAY ** max(0, frame.depth - skipped) / len(found)
        for path in found:
            note = f"traceback frame {frame.function or frame.path}, line {frame.line}"
            number = corpus.number[path]
            if weight > files[number]:
                files[number] = weight
                reasons[number] = Evidence("traceback", f"{path}:{frame.line}", note)
            symbol = corpus.places.symbol_in(path, frame.function, frame.line)
            if symbol is None:
                continue
            number = corpus.code.number_of(symbol.id)
            if weight > symbols[number]:
                symbols[number] = weight
                symbol_reasons[number] = Evidence("traceback", f"{path}:{frame.line}", note)
    return Signal(files, reasons.__getitem__), Signal(symbols, symbol_reasons.__getitem__)


def past_signal(graph: RepoGraph, corpus: Corpus, past: Past, alike: Scores) -> Signal:
    """Score files by the similar past changes that touched them; a change spreads its vote over the source files it touched.

    alike: how much each past change resembles the issue.
    """
    scores = np.zeros(len(corpus.paths))
    is_code = np.array([place == "code" for place in corpus.place], dtype=bool)
    reasons: dict[int, tuple[float, int]] = {}
    for position in past.best(alike, PAST_CHANGES):
        files = past.files_of(position)
        vote = float(alike[position]) ** PAST_POWER / max(1, int(is_code[files].sum()))
        scores[files] += vote
        for number in files.tolist():
            if number not in reasons or vote > reasons[number][0]:
                reasons[number] = (vote, position)

    def why(number: int) -> Evidence:
        oid = graph.order()[reasons[number][1]]
        return Evidence("past", oid, f"changed this file for a similar issue: {graph.message(oid).subject}")

    return Signal(scores, why)


def recent_signal(graph: RepoGraph, corpus: Corpus, past: Past) -> Signal:
    """Score files by how much was changed in them lately, seen from the newest commit; a change of many files counts little for each."""
    when = graph.committed()[:RECENT_COMMITS]
    days = (when.max(initial=0.0) - when) / SECONDS_A_DAY
    weights = np.where(days <= RECENT_DAYS, np.exp2(-days / RECENT_HALF_LIFE_DAYS), 0.0) / np.maximum(1, past.touched[: len(when)])
    told = past.said.commits < len(when)
    commits, files = past.said.commits[told], past.said.files[told]

    def why(number: int) -> Evidence:
        newest = int(commits[files == number].min())
        message = graph.message(graph.order()[newest])
        return Evidence("recent", message.oid, f"changed {days[newest]:.0f} days before the base: {message.subject}")

    return Signal(np.bincount(files, weights=weights[commits], minlength=len(corpus.paths)).astype(np.float64), why)


def issue_query(clues: Clues) -> dict[str, float]:
    """Return the weighted stems of the whole issue, the title's counted more; addresses and the template's comments are left out."""
    return query_words("\n".join([clues.title, clues.title, clues.prose, *clues.blocks]), stemmed=True)
