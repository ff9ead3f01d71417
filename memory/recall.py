"""Which past changes resemble a text: retrieval over the messages of all ancestors, with no model.

A commit message is the one place where a repository says, in the words of its own people, which files a complaint turned out to be about. So a
new issue is matched against past messages by BM25 (a subject's words count more than its body's), and what comes back says which of today's
files each of those changes touched. Merges are left out: their message repeats that of the change they bring.

The same messages, put together by the files they touched, describe each file in the words in which people have spoken of it (`file_messages`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backstory.graph.repograph import RepoGraph, Said
from backstory.graph.types import Oid, RepoPath
from backstory.memory.bm25 import Counted, Words, counted, query_words

# A change of more files than this says nothing about any of them: a release, a reformatting, a move.
MAX_PATHS = 100
# What describes files must be about few of them (docs/log.md, 2026-11-26).
MAX_DESCRIBED = 30


@dataclass(frozen=True)
class PastChange:
    """A past commit that resembles a text. score: any positive number; paths: what it changed, under today's names, still existing."""

    commit: Oid
    score: float
    subject: str
    paths: tuple[RepoPath, ...]


def recall(text: str, graph: RepoGraph, *, limit: int) -> list[PastChange]:
    """Return the `limit` ancestors whose messages resemble `text` most and that changed files existing today, best first, newest first on a tie."""
    past = past_of(graph)
    query = query_words(text)
    scores = past.messages(sorted(query)).scores(query)
    return [change(graph, past, position, float(scores[position])) for position in past.best(scores, limit)]


def change(graph: RepoGraph, past: "Past", position: int, score: float) -> PastChange:
    """Return the commit at a place of `graph.order()` as a `PastChange`."""
    oid = graph.order()[position]
    return PastChange(oid, score, graph.message(oid).subject, tuple(past.paths[number] for number in past.files_of(position).tolist()))


@dataclass(frozen=True)
class Past:
    """What all ancestors said and touched. paths: today's files, sorted; said: see `RepoGraph.said`, its files being places in `paths`."""

    size: int
    paths: Sequence[RepoPath]
    said: Said

    def messages(self, words: Sequence[str], *, stemmed: bool = False) -> Counted:
        """Return how often distinct words, or with `stemmed` the words of distinct stems, occur in each message, in `order()`."""
        return counted(zip(self.said.tables, self.said.positions, strict=True), words, self.size, stemmed=stemmed)

    def file_messages(self, messages: Counted) -> Counted:
        """Return a document for each path made of the messages of the changes that touched it; a change of n files gives each 1 / sqrt(n) of it."""
        told = self.touched[self.said.commits] <= MAX_DESCRIBED
        commits, files = self.said.commits[told], self.said.files[told]
        parts = csr_matrix((1 / np.sqrt(self.touched[commits]), (files, commits)), shape=(len(self.paths), self.size))
        return messages.gathered(parts)

    def best(self, scores: NDArray[np.float64], limit: int) -> list[int]:
        """Return the places in `order()` of the `limit` best commits that touched 1 to MAX_PATHS of today's files, best first, newest on a tie."""
        fit = np.flatnonzero((scores > 0) & (self.touched > 0) & (self.touched <= MAX_PATHS))
        found: list[int] = fit[np.argsort(-scores[fit], kind="stable")[:limit]].tolist()
        return found

    def files_of(self, position: int) -> NDArray[np.int64]:
        """Return the places in `paths` of what a commit touched, in order."""
        first, end = np.searchsorted(self.said.commits, [position, position + 1])
        return self.said.files[first:end]

    @cached_property
    def touched(self) -> NDArray[np.int64]:
        """How many of today's files each commit touched, in `order()`."""
        return np.bincount(self.said.commits, minlength=self.size)

    def saying(self, other: "Past") -> "Past":
        """Return this past with the messages of another repository's: what history is worth when its words are not about what it touched."""
        positions = [np.where(seen < self.size, seen, -1) for seen in other.said.positions]
        return replace(self, said=replace(self.said, tables=other.said.tables, positions=positions))


# A graph is pinned, so its past never changes.
_kept: "WeakKeyDictionary[RepoGraph, Past]" = WeakKeyDictionary()


def past_of(graph: RepoGraph) -> Past:
    """Return the past of a graph; loaded, or counted and stored, on the first call."""
    past = _kept.get(graph)
    if past is None:
        past = _kept[graph] = Past(len(graph), sorted(graph.files()), graph.said())
    return past


def similarity(messages: Counted, queries: Sequence[Words]) -> NDArray[np.float64]:
    """Return how much each message resembles several queries, each counting as much as the others: 1 where it is the best for all."""
    total = np.zeros(messages.matrix.shape[0])
    for query in queries:
        scores = messages.scores(query)
        total += scores / (scores.max(initial=0.0) or 1.0)
    return total / max(1, len(queries))
