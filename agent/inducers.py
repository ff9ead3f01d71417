"""Which commits introduced what a fix mends: candidates from a ladder of evidence, ranked by a few weighted clues.

The first rung are the commits that wrote the lines the fix takes out, as in SZZ (Sliwerski, Zimmermann and Zeller 2005, MSR). They hold the culprit of
two faults in three. So the ladder goes on: who wrote the lines beside the change, what changed the same functions, the same files, and at last the files
that change with these; together they hold nine in ten. What each rung is worth against the others is told by the clues, not by the rung: a commit
blamed for a line may only have moved it, while one two functions away brought the name the fix takes out.

A candidate's score is the weighted sum of its clues, and its probability the share of exp(score): the weights are those of a conditional logit, one
choice among the candidates of a fix (McFadden 1974), fitted on half of the development repositories and rounded. There is no model and no training
at run time. That selection inside a wide candidate set is where recent gains come from is shown by Risse and Boehme 2026 (arXiv 2603.29378).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

from backstory.agent.defect import Defect, Piece, words
from backstory.graph.follow import WHITE_SPACE
from backstory.graph.introduced import spans_of
from backstory.graph.languages import is_test
from backstory.graph.repograph import RepoGraph
from backstory.graph.selection import place_of
from backstory.graph.types import Evidence, Oid, RepoPath, SymbolId

Rung = Literal["named", "blamed", "beside", "function", "file", "neighbour"]

BESIDE = 3  # lines to either side of a hunk whose writers are the second rung, as the context of a diff
AROUND = 15  # lines to either side that count as around it: a screen
FUNCTIONS = 6  # of a file that are followed, those with most changed lines
NEIGHBOURS = 8  # files that change with those of the fix, whose newest changes are the last rung
NEIGHBOUR_COMMITS = 40
READ = 200  # candidates whose diffs are read for words, the likeliest by all other clues
BROAD_FILES = 8  # a commit over so many files is the less likely the more it changed: imports, moves, reformatting
YOUNG_DAYS = 60.0  # regressions are often met and mended within two months
SECONDS_A_DAY = 86_400.0
WORDS_NAMED = 4


@dataclass(frozen=True)
class Clues:
    """What speaks for and against one candidate, each between 0 and 1 unless said.

    blamed: root of the share of the removed telling lines it wrote. around: 1 for the newest writer of the lines within a screen of the change, 1/2 for
    the next, and so on. function: the same over the history of a function the fix changes. files: share of the fix's files it changed. words_out: share
    of the words of the removed lines that it brought, rare ones more; words_all: of all words of the fix. young: exp(-days before the fix / 60). age:
    logarithm of the days, over 8. breadth: logarithm of how many times eight files it changed, over 4. named: 1 where the fix's own message blames it.
    """

    blamed: float = 0.0
    around: float = 0.0
    function: float = 0.0
    files: float = 0.0
    words_out: float = 0.0
    words_all: float = 0.0
    young: float = 0.0
    age: float = 0.0
    breadth: float = 0.0
    named: float = 0.0


@dataclass(frozen=True)
class InducerWeights:
    """What each clue is worth: fitted on the tune half of the rows and rounded (`bench/fit_origin.py`; docs/log.md, 2026-11-26).

    named is not fitted, since most rows it could be fitted on were found by such messages: it says that a developer's word outweighs all else.
    """

    blamed: float = 1.2
    around: float = 1.9
    function: float = 1.2
    files: float = 1.3
    words_out: float = 1.9
    words_all: float = 1.4
    young: float = 2.3
    age: float = -1.7
    breadth: float = -1.2
    named: float = 8.0


DEFAULT_WEIGHTS = InducerWeights()


@dataclass(frozen=True)
class Inducer:
    """A commit that may have introduced a defect. probability: among all candidates, summing to 1. rung: the first of the ladder it stands on."""

    commit: Oid
    probability: float
    rung: Rung
    clues: Clues
    why: tuple[Evidence, ...]


@dataclass
class _Candidate:
    """A candidate while it is gathered. clues, why: by name; some reasons have no clue of their own and only say how a candidate was found."""

    rung: Rung
    clues: dict[str, float] = field(default_factory=dict)
    why: dict[str, Evidence] = field(default_factory=dict)

    def at_least(self, clue: str, value: float, reason: Evidence) -> None:
        if value > self.clues.get(clue, 0.0):
            self.clues[clue] = value
            self.why[clue] = reason


def rank_inducers(graph: RepoGraph, defect: Defect, *, weights: InducerWeights = DEFAULT_WEIGHTS) -> list[Inducer]:
    """Return the commits that may have introduced a defect, likeliest first, newest first on a tie. graph: pinned at the defect's base."""
    ladder = _Ladder(graph, defect)
    for climb in (ladder.named, ladder.writers, ladder.functions, ladder.files, ladder.neighbours):
        climb()
    ladder.kinds()
    ladder.read(weights)
    return _ranked(ladder, weights)


class _Ladder:
    """Gathers the candidates of a defect, rung by rung. A commit keeps the first rung it is found on."""

    def __init__(self, graph: RepoGraph, defect: Defect) -> None:
        self.graph, self.defect = graph, defect
        self.found: dict[Oid, _Candidate] = {}
        self.paths = {piece.path for piece in defect.pieces}
        """Where the changed code stood: the fix's files, and those its functions came from."""
        self.position = {oid: number for number, oid in enumerate(graph.order())}

    def on(self, rung: Rung, oid: Oid) -> _Candidate:
        return self.found.setdefault(oid, _Candidate(rung))

    def named(self) -> None:
        """Whom the fix's message blames."""
        for begin in self.defect.named:
            known = [oid for oid in self.position if oid.startswith(begin)]
            if len(known) == 1:
                self.on("named", known[0]).at_least("named", 1.0, Evidence("named", known[0], "the fix's message blames it"))

    def writers(self) -> None:
        """Who wrote the lines that the fix takes out, those beside them, and those around."""
        removed: Counter[Oid] = Counter()
        beside: dict[Oid, float] = defaultdict(float)
        around: set[Oid] = set()
        for piece in self.defect.pieces:
            gone, near = piece.removed(), piece.around(AROUND)
            wrote = self._wrote(piece, [*gone, *near])
            removed.update(wrote[line] for line in gone if line in wrote)
            for line, distance in near.items():
                if line in wrote and distance <= BESIDE:
                    beside[wrote[line]] += 1 / distance
            around.update(wrote.values())
        for oid, lines in removed.most_common():
            share = lines / removed.total()
            note = f"wrote {lines} of the {removed.total()} lines taken out"
            self.on("blamed", oid).at_least("blamed", math.sqrt(share), Evidence("blamed", oid, note))
        for oid, weight in beside.items():
            self.on("beside", oid).at_least("beside", weight, Evidence("beside", oid, "wrote lines right beside the change"))
        for rank, oid in enumerate(sorted(around, key=self.position.__getitem__)):
            note = f"{_nth(rank)} to write the lines around the change"
            self.on("beside", oid).at_least("around", 1 / (1 + rank), Evidence("around", oid, note))

    def functions(self) -> None:
        """What changed the functions that the fix changes."""
        for piece in self.defect.pieces:
            outline = self.graph.outline(piece.path) if piece.path in self.graph.files() else ()  # a link has no functions
            inner: Counter[int] = Counter()
            for line in piece.places():
                holding = [number for number, row in enumerate(outline) if line in row.span and row.kind != "class"]
                inner.update(holding[-1:])
            for number, _ in inner.most_common(FUNCTIONS):
                row = outline[number]
                history = self.graph.history(SymbolId(f"{piece.path}:{row.qualname}"))
                commits = dict.fromkeys(step.commit for step in history.steps if step.evidence != WHITE_SPACE)
                self.paths.update(path for step in history.steps for path in (step.path, step.was_path) if path is not None)
                for rank, oid in enumerate(commits):
                    reason = Evidence("function", f"{piece.path}:{row.qualname}", f"{_nth(rank)} to change {row.qualname}")
                    self.on("function", oid).at_least("function", 1 / (1 + rank), reason)

    def files(self) -> None:
        """What changed the files that the fix changes."""
        touched: Counter[Oid] = Counter()
        for piece in self.defect.pieces:
            for rank, oid in enumerate(self.graph.touched(piece.path)):
                touched[oid] += 1
                self.on("file", oid).at_least("file", 1 / (2 + rank), Evidence("file", piece.path, f"{_nth(rank)} to change {piece.path}"))
        for oid, count in touched.items():
            self.found[oid].clues["files"] = count / len(self.defect.pieces)

    def neighbours(self) -> None:
        """What changed the files that most often change with those of the fix."""
        own = {piece.path for piece in self.defect.pieces}
        weights: dict[RepoPath, float] = defaultdict(float)
        for path in sorted(own):
            for edge in self.graph.co_changed(path, NEIGHBOURS):
                weights[RepoPath(edge.dst)] += edge.weight
        best = sorted(weights, key=lambda path: (-weights[path], path))[:NEIGHBOURS]
        for path in best:
            if path in own or place_of(path, is_test=is_test(path)) != "code":
                continue
            for rank, oid in enumerate(self.graph.touched(path)[:NEIGHBOUR_COMMITS]):
                reason = Evidence("neighbour", path, f"{_nth(rank)} to change {path}, which changes with the files of the fix")
                self.on("neighbour", oid).at_least("neighbour", 1 / (1 + rank), reason)

    def kinds(self) -> None:
        """How old and how broad each candidate is."""
        # The age of a defect that nobody has mended yet is counted from the base.
        when = self.defect.when or self.graph.message(self.defect.base).when
        for oid, candidate in self.found.items():
            days = max(0.0, (when - self.graph.message(oid).when).total_seconds() / SECONDS_A_DAY)
            candidate.clues["young"] = math.exp(-days / YOUNG_DAYS)
            candidate.clues["age"] = math.log1p(days) / 8
            candidate.clues["breadth"] = max(0.0, math.log(max(1, self.graph.change_count(oid)) / BROAD_FILES)) / 4

    def read(self, weights: InducerWeights) -> None:
        """Which of the fix's words the likeliest candidates brought."""
        out, put = self.defect.removed_words(), self.defect.added_words()
        likeliest = sorted(self.found, key=lambda oid: (-_score(self.found[oid].clues, weights), self.position[oid]))[:READ]
        brought: dict[Oid, frozenset[bytes]] = {}
        known: Counter[bytes] = Counter()
        for changed in self.graph.changed_lines(likeliest, sorted(self.paths)):
            brought[changed.oid] = _words(changed.added)
            known.update(brought[changed.oid] | _words(changed.removed))
        worth = {word: math.log(1 + len(likeliest) / (1 + known[word])) for word in out | put}
        for oid in brought:
            candidate = self.found[oid]
            for clue, asked, said in (
                ("words_out", out, "brought what the fix takes out"),
                ("words_all", out | put, "brought what the fix is about"),
            ):
                whole = math.fsum(worth[word] for word in sorted(asked))
                shared = sorted(asked & brought[oid], key=lambda word: (-worth[word], word))
                if shared:
                    share = math.fsum(worth[word] for word in shared) / whole
                    named = ", ".join(word.decode("ascii") for word in shared[:WORDS_NAMED])
                    candidate.at_least(clue, share, Evidence("words", named, f"{said}: {named}"))

    def _wrote(self, piece: Piece, lines: Sequence[int]) -> Mapping[int, Oid]:
        """Return who wrote some lines of a file at the base."""
        if not lines:
            return {}
        blamed = self.graph.blamed(piece.path, spans_of(lines), white_space=False)
        return {line: oid for span, oid in blamed for line in range(span.first, span.last + 1)}


def _ranked(ladder: _Ladder, weights: InducerWeights) -> list[Inducer]:
    found = ladder.found
    scores = {oid: _score(candidate.clues, weights) for oid, candidate in found.items()}
    top = max(scores.values(), default=0.0)
    whole = math.fsum(math.exp(score - top) for score in scores.values())
    return [
        Inducer(oid, math.exp(scores[oid] - top) / whole, found[oid].rung, _clues(found[oid]), _reasons(found[oid], weights))
        for oid in sorted(scores, key=lambda oid: (-scores[oid], ladder.position[oid]))
    ]


def _clues(candidate: _Candidate) -> Clues:
    return Clues(**{clue.name: candidate.clues[clue.name] for clue in fields(Clues) if clue.name in candidate.clues})


def _score(clues: Mapping[str, float], weights: InducerWeights) -> float:
    return math.fsum(getattr(weights, clue.name) * clues.get(clue.name, 0.0) for clue in fields(Clues))


def _reasons(candidate: _Candidate, weights: InducerWeights) -> tuple[Evidence, ...]:
    """Return why a candidate is one, what counts most first, and then what only led to it; the same words are told once."""
    worth = {clue: getattr(weights, clue, 0.0) * candidate.clues[clue] for clue in candidate.why}
    first: dict[tuple[str, str], Evidence] = {}
    for clue in sorted(worth, key=lambda clue: (-worth[clue], clue)):
        reason = candidate.why[clue]
        first.setdefault((reason.kind, reason.ref), reason)
    return tuple(first.values())


def _words(lines: Iterable[bytes]) -> frozenset[bytes]:
    return frozenset(word for line in lines for word in words(line))


def _nth(rank: int) -> str:
    """Return a place in an order that begins with the newest, in words.

    >>> [_nth(rank) for rank in (0, 1, 2, 11)]
    ['the last', 'the last but one', 'the last but 2', 'the last but 11']
    """
    return "the last" if rank == 0 else "the last but one" if rank == 1 else f"the last but {rank}"
