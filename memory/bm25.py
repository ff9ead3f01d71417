"""BM25 over counted words: the library's ranking, fed with what the graph already counted.

`rank_bm25` wants lists of words and counts them itself, for every document at once. Here documents are mappings word -> count, and only the
words of the query are looked at. Scores are those of `BM25Okapi` (k1, b as there) with the inverse document frequency of Lucene,
log(1 + (N - n + 0.5) / (n + 0.5)), which is never negative and therefore needs no floor computed over the whole vocabulary.

`CountedBM25` is the library's class and asks each document in turn. `Counted` gives equal scores (tested) from sparse columns: a question to 50,000
messages and 40,000 functions costs milliseconds there and seconds here.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi
from scipy.sparse import csr_matrix

from backstory.graph.word_table import WordTable
from backstory.graph.words import count_words, stem_counts, tokens

Words = Mapping[str, float]
"""How often each word occurs in a document, or how much it weighs in a query."""


def query_words(text: str, *, stemmed: bool = False) -> dict[str, float]:
    """Return the words of a query, or their stems; one that occurs n times weighs 1 + ln n, so that a pasted log does not drown the rest."""
    counts: Mapping[str, int] = count_words(tokens(text))
    if stemmed:
        counts = stem_counts(counts)
    return {word: 1.0 + math.log(count) for word, count in counts.items()}


class CountedBM25(BM25Okapi):  # type: ignore[misc]
    """The documents of one query, scored for it.

    documents: counted words, in an order the scores keep. query: the words asked for, with their weights; others are not indexed.
    lengths: words in each document, when known more cheaply than by summing.
    """

    def __init__(
        self,
        documents: Sequence[Words],
        query: Words,
        *,
        lengths: Sequence[float] | None = None,
        k1: float = 1.5,
        b: float = 0.75,
    ) -> None:
        self.query = dict(query)
        self._lengths = lengths
        self._postings: dict[str, tuple[list[int], list[float]]] = {word: ([], []) for word in query}
        super().__init__(documents, k1=k1, b=b)

    def _initialize(self, corpus: Sequence[Words]) -> dict[str, int]:
        """Index the query's words; called by the library. Returns how many documents hold each."""
        asked = self.query.keys()
        for index, document in enumerate(corpus):
            for word in asked & document.keys():
                documents, counts = self._postings[word]
                documents.append(index)
                counts.append(document[word])
        lengths = self._lengths if self._lengths is not None else [sum(document.values()) for document in corpus]
        self.doc_len = np.asarray(lengths, dtype=float)
        self.corpus_size = len(corpus)
        self.avgdl = float(self.doc_len.mean()) if len(corpus) else 0.0
        return {word: len(documents) for word, (documents, _) in self._postings.items() if documents}

    def _calc_idf(self, nd: dict[str, int]) -> None:
        self.idf = {word: math.log1p((self.corpus_size - count + 0.5) / (count + 0.5)) for word, count in nd.items()}

    def scores(self) -> NDArray[np.float64]:
        """Return one score per document; 0 where nothing of the query occurs. Each word counts by its weight in the query."""
        total = np.zeros(self.corpus_size)
        if not self.avgdl:
            return total
        norm = self.k1 * (1 - self.b + self.b * self.doc_len / self.avgdl)
        for word in sorted(self.idf):  # sorted: sums of floats depend on their order
            indices, counts = self._postings[word]
            where, tf = np.asarray(indices), np.asarray(counts)
            total[where] += self.query[word] * self.idf[word] * tf * (self.k1 + 1) / (tf + norm[where])
        return total

    def strongest(self, document: Words, *, limit: int = 3) -> tuple[str, ...]:
        """Return the query's words that speak most for `document`, rarest first."""
        held = [word for word in self.idf if word in document]
        return tuple(sorted(held, key=lambda word: (-self.idf[word], word))[:limit])


@dataclass(frozen=True)
class Counted:
    """How often some words occur in some documents.

    words: those asked for, the columns of the matrix; documents are its rows. lengths: all words of each document, not those asked for alone.
    """

    words: Sequence[str]
    matrix: csr_matrix
    lengths: NDArray[np.float64]

    def scores(self, query: Words, *, k1: float = 1.5, b: float = 0.75) -> NDArray[np.float64]:
        """Return one score per document; 0 where nothing of the query occurs. Words of the query that were not asked for count as absent."""
        size = self.matrix.shape[0]
        average = float(self.lengths.mean()) if size else 0.0
        if not average:
            return np.zeros(size)
        weights = np.array([query.get(word, 0.0) for word in self.words]) * self._idf
        tf = self.matrix.data
        norm = k1 * (1 - b + b * self.lengths / average)
        parts = weights[self.matrix.indices] * tf * (k1 + 1) / (tf + norm[self._rows])
        return np.bincount(self._rows, weights=parts, minlength=size).astype(np.float64)

    def strongest(self, document: int, query: Words, *, limit: int = 3) -> tuple[str, ...]:
        """Return the query's words that speak most for a document, rarest first; those half as rare as the first, or less, are left out."""
        held = self.matrix.indices[self.matrix.indptr[document] : self.matrix.indptr[document + 1]].tolist()
        asked = [place for place in held if self.words[place] in query]
        rarest = max((self._idf[place] for place in asked), default=0.0)
        spoken = sorted(
            (place for place in asked if self._idf[place] > rarest / 2), key=lambda place: (-self._idf[place], self.words[place])
        )
        return tuple(self.words[place] for place in spoken[:limit])

    def gathered(self, parts: csr_matrix) -> "Counted":
        """Return documents that are sums of these. parts: how much of each of these (column) is in each new one (row)."""
        return Counted(self.words, (parts @ self.matrix).tocsr(), parts @ self.lengths)

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(self.matrix.shape[0]), np.diff(self.matrix.indptr))

    @cached_property
    def _idf(self) -> NDArray[np.float64]:
        holders = np.bincount(self.matrix.indices, minlength=len(self.words))
        found: NDArray[np.float64] = np.log1p((self.matrix.shape[0] - holders + 0.5) / (holders + 0.5))
        return found


def counted(tables: Iterable[tuple[WordTable, NDArray[np.int64]]], words: Sequence[str], size: int, *, stemmed: bool = False) -> Counted:
    """Return how often distinct words occur in `size` documents, or with `stemmed` how often the words of distinct stems do.

    tables: with the document that each row of a table is part of, -1 for a row that is part of none.
    """
    parts = []
    lengths = np.zeros(size)
    for table, document_of in tables:
        rows, places, counts = table.entries(words, stemmed=stemmed)
        kept = document_of[rows] >= 0
        parts.append((document_of[rows][kept], places[kept], counts[kept]))
        told = document_of >= 0
        lengths += np.bincount(document_of[told], weights=table.lengths[told], minlength=size)
    documents, columns, values = (
        (np.concatenate(column) for column in zip(*parts, strict=True)) if parts else (np.zeros(0, dtype=np.int64),) * 3
    )
    return Counted(words, csr_matrix((values, (documents, columns)), shape=(size, len(words))), lengths)


def table_scores(table: WordTable, query: Words, *, k1: float = 1.5, b: float = 0.5) -> NDArray[np.float64]:
    """Return the same score for every node of a word table, without making a document of each.

    b: length counts less than for files, since long functions are asked for more often than their share of words says (docs/log.md).
    """
    size = len(table.lengths)
    return counted([(table, np.arange(size))], sorted(query), size).scores(query, k1=k1, b=b)
