"""Simple guesses at the commit that introduced a fault, each a distribution over commits made from one kind of evidence.

None of them is good alone and none needs to be: `backstory.agent.suspects` mixes them. A guess returns positive weights of any scale for the commits
it speaks of, with one reason each; it returns nothing when its evidence is absent.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backstory.agent.clues import Clues
from backstory.agent.corpus import Corpus
from backstory.agent.localize import Localization
from backstory.graph.code import CodeView
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Evidence, Location, Oid, RepoPath, Span, SymbolId
from backstory.memory.recall import recall

# Blame costs a git process each; past the first places the ranking says little anyway.
MAX_SPANS_BLAMED = 8
MAX_LINES_BLAMED = 400
MAX_FILES = 15
MAX_RECALLED = 100
# Lines around a frame that stands in no symbol.
FRAME_MARGIN = 10
# The k-th newest change of a place is suspected 1 / (k + this), k from 0: recent ones more, old ones never nothing. Of the lines of one function the
# newest are the best guess by far; a file's history says less, so it is spread wider.
LINE_RANK_OFFSET = 1.0
FILE_RANK_OFFSET = 2.0
# What passed before cannot have been broken by the commit that created the place, unless it came from elsewhere (a move, a rewrite).
CREATOR_FACTOR = 0.3
# A file that the test exercises through another one.
INDIRECT_SHARE = 0.3


@dataclass
class Guess:
    """Weights for commits, and why each has one: the reason of its largest share."""

    weights: dict[Oid, float] = field(default_factory=dict)
    reasons: dict[Oid, tuple[float, Evidence]] = field(default_factory=dict)

    def add(self, commit: Oid, weight: float, reason: Evidence) -> None:
        if weight <= 0:
            return
        self.weights[commit] = self.weights.get(commit, 0.0) + weight
        if commit not in self.reasons or weight > self.reasons[commit][0]:
            self.reasons[commit] = (weight, reason)

    def scaled(self, share: float) -> "Guess":
        """Return the same guess with weights that sum to `share`; it has some."""
        factor = share / math.fsum(self.weights.values())
        return Guess({commit: weight * factor for commit, weight in self.weights.items()}, self.reasons)


@dataclass(frozen=True)
class Place:
    """A span whose lines are suspected, with its share; symbol: what to call it."""

    path: RepoPath
    span: Span
    name: str
    share: float


def frame_places(graph: RepoGraph, corpus: Corpus, clues: Clues) -> list[Place]:
    """Return where the frames of a traceback stand, innermost first, the deeper the smaller the share; the traceback is of this very tree."""
    found: dict[tuple[RepoPath, Span], Place] = {}
    depth = 0
    for frame in sorted(clues.frames, key=lambda frame: frame.depth):
        paths = [path for path in corpus.places.files(frame.path) if corpus.place[corpus.number[path]] != "test"]
        if len(paths) != 1 or not frame.line:
            continue
        symbol = graph.code.symbol_at(paths[0], frame.line)
        span = symbol.span if symbol and symbol.kind != "class" else Span(max(1, frame.line - FRAME_MARGIN), frame.line + FRAME_MARGIN)
        name = symbol.qualname if symbol else f"line {frame.line}"
        if (paths[0], span) not in found:
            found[paths[0], span] = Place(paths[0], span, name, 0.7**depth)
            depth += 1
    return list(found.values())


def located_places(locations: Sequence[Location]) -> list[Place]:
    """Return the places the localizer found; shares fall with the square of the score."""
    return [
        Place(location.path, location.span, str(location.symbol or location.path).rpartition(":")[2], location.score**2)
        for location in locations
    ]


def guess_lines(graph: RepoGraph, places: Sequence[Place], *, kind: str) -> Guess:
    """Suspect the commits that wrote the lines of `places`: the more lines and the more lately, the more."""
    guess = Guess()
    position = {message.oid: number for number, message in enumerate(graph.messages())}
    for place in sorted(places, key=lambda place: (-place.share, place.path, place.span))[:MAX_SPANS_BLAMED]:
        if place.span.last - place.span.first >= MAX_LINES_BLAMED:
            continue
        lines: dict[Oid, int] = {}
        for span, oid in graph.origin(place.path, place.span):
            lines[oid] = lines.get(oid, 0) + span.last - span.first + 1
        newest_first = sorted(lines, key=lambda oid: position.get(oid, len(position)))
        weights = {oid: math.log1p(lines[oid]) / (rank + LINE_RANK_OFFSET) for rank, oid in enumerate(newest_first)}
        if len(weights) > 1:
            weights[newest_first[-1]] *= CREATOR_FACTOR
        whole = sum(weights.values())
        for oid, weight in weights.items():
            guess.add(oid, place.share * weight / whole, Evidence(kind, place.path, f"wrote {lines[oid]} lines of {place.name}"))
    return guess


def guess_files(graph: RepoGraph, shares: Mapping[RepoPath, float], *, kind: str, what: str) -> Guess:
    """Suspect the commits that changed some files, the newest of each most."""
    guess = Guess()
    best = sorted(shares, key=lambda path: (-shares[path], path))[:MAX_FILES]
    for path in best:
        touched = graph.touched(path)
        weights = [1 / (rank + FILE_RANK_OFFSET) for rank in range(len(touched))]
        if len(weights) > 1:
            weights[-1] *= CREATOR_FACTOR
        whole = sum(weights)
        for oid, weight in zip(touched, weights, strict=True):
            guess.add(oid, shares[path] * weight / whole, Evidence(kind, path, f"changed {path}, {what}"))
    return guess


def located_files(localization: Localization) -> dict[RepoPath, float]:
    """Return the shares of the files found; they fall with the square of the score."""
    return {found.path: found.score**2 for found in localization.files[:MAX_FILES] if found.score > 0}


def exercised_files(graph: RepoGraph, corpus: Corpus, check_files: Sequence[RepoPath]) -> dict[RepoPath, float]:
    """Return the shares of the files that the check's tests exercise or import, and of those these import."""
    code = graph.code
    shares: dict[RepoPath, float] = {}

    def add(node: str, share: float) -> None:
        path = _path_of(node, corpus, code)
        if path is not None and corpus.place[corpus.number[path]] == "code":
            shares[path] = shares.get(path, 0.0) + share

    for test in check_files:
        for node in [test, *(symbol.id for symbol in code.symbols(test))]:
            for edge in code.neighbours(node, ("tests", "imports", "calls")):
                add(edge.dst, edge.weight)
    for path, share in list(shares.items()):
        edges = code.neighbours(path, ("imports",))
        for edge in edges:
            add(edge.dst, INDIRECT_SHARE * share / len(edges))
    return shares


def named_files(corpus: Corpus, names: Mapping[str, float], graph: RepoGraph) -> dict[RepoPath, float]:
    """Return the shares of files that define what a failing test's output names, rare names most."""
    shares: dict[RepoPath, float] = {}
    for name, weight in names.items():
        paths = {symbol.path for symbol in graph.code.definitions(name)}
        paths = {path for path in paths if corpus.place[corpus.number[path]] == "code"}
        for path in paths:
            shares[path] = shares.get(path, 0.0) + weight / len(paths) ** 2
    return shares


def guess_message(graph: RepoGraph, text: str) -> Guess:
    """Suspect the commits whose messages resemble the issue: what is complained about is often what was just worked on."""
    guess = Guess()
    for change in recall(text, graph, limit=MAX_RECALLED):
        guess.add(change.commit, change.score**2, Evidence("message", change.commit, f"speaks of the same things: {change.subject}"))
    return guess


def guess_recent(graph: RepoGraph, *, offset: float) -> Guess:
    """Suspect every commit but merges, newest most: the k-th newest by 1 / (k + offset), so that each doubling of age weighs alike."""
    guess = Guess()
    rank = 0
    for oid in graph.order():
        if len(graph.parents(oid)) > 1:
            continue
        guess.add(oid, 1 / (rank + offset), Evidence("recent", oid, f"is the {_ordinal(rank + 1)} newest change"))
        rank += 1
    return guess


def _path_of(node: str, corpus: Corpus, code: CodeView) -> RepoPath | None:
    if node in corpus.number:
        return RepoPath(node)
    symbol = code.symbol(SymbolId(node))
    return symbol.path if symbol is not None else None


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
