"""BM25 over counted words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from backstory.graph.word_table import table_from
from backstory.memory.bm25 import CountedBM25, counted, query_words

WORDS = st.sampled_from(["ice", "cream", "parse", "error", "the"])
DOCUMENTS = st.lists(st.dictionaries(WORDS, st.integers(1, 5)), min_size=1, max_size=8)


def scores(documents, query):
    return CountedBM25(documents, query).scores().tolist()


def test_a_rare_word_says_more_than_a_common_one():
    """Of two documents with one word of the query each, the one with the rarer word wins."""
    documents = [{"the": 1}, {"the": 1, "ice": 1}, {"the": 1, "parse": 1}, {"the": 1, "error": 1}]
    assert max(range(4), key=scores(documents, {"the": 1.0, "ice": 1.0}).__getitem__) == 1


def test_a_word_of_the_query_in_no_document_changes_nothing():
    """A word that occurs nowhere adds nothing to any score."""
    documents = [{"ice": 2}, {"cream": 1}]
    assert scores(documents, {"ice": 1.0}) == scores(documents, {"ice": 1.0, "nowhere": 9.0})


def test_nothing_to_rank_gives_nothing():
    """No documents, and documents without words, are ranked without an error."""
    assert scores([], {"ice": 1.0}) == []
    assert scores([{}, {}], {"ice": 1.0}) == [0.0, 0.0]


@given(DOCUMENTS, st.dictionaries(WORDS, st.floats(0.5, 3.0), max_size=4))
def test_scores_are_those_of_the_plain_formula(documents, query):
    """Scores equal BM25 written out word by word, and are 0 exactly where nothing is shared."""
    import math

    found = scores(documents, query)
    lengths = [sum(document.values()) for document in documents]
    mean = sum(lengths) / len(lengths)
    for document, length, score in zip(documents, lengths, found, strict=True):
        expected = 0.0
        for word, weight in query.items():
            holding = sum(word in other for other in documents)
            idf = math.log1p((len(documents) - holding + 0.5) / (holding + 0.5))
            tf = document.get(word, 0)
            if tf:
                expected += weight * idf * tf * 2.5 / (tf + 1.5 * (0.25 + 0.75 * length / mean))
        assert score == pytest.approx(expected)
        assert (score > 0) == bool(document.keys() & query.keys())


def test_a_repeated_word_weighs_more_but_not_as_often():
    """A word that stands ten times in a query weighs more than once and less than ten times."""
    weights = query_words("boom " * 10 + "once")
    assert weights["once"] == 1.0
    assert 1.0 < weights["boom"] < 10.0


@given(DOCUMENTS, st.dictionaries(WORDS, st.floats(0.5, 3.0), max_size=4), st.floats(0.0, 1.0))
def test_sparse_columns_give_the_librarys_scores(documents, query, b):
    """`Counted` scores as `CountedBM25` does, whatever other words were asked for with the query's."""
    table = table_from(documents)
    sparse = counted([(table, np.arange(len(documents)))], sorted({*query, "parse", "nowhere"}), len(documents))
    assert sparse.scores(query, b=b) == pytest.approx(CountedBM25(documents, query, b=b).scores())


def test_rows_of_a_table_are_put_together_by_document():
    """Rows of one document are added up, and those of none are left out of lengths and counts."""
    table = table_from([{"ice": 2}, {"cream": 1}, {"ice": 1, "the": 3}, {"error": 9}])
    found = counted([(table, np.array([1, 0, 1, -1]))], ["error", "ice"], 2)
    assert found.matrix.toarray().tolist() == [[0, 0], [0, 3]]
    assert found.lengths.tolist() == [1, 6]
    assert found.strongest(1, {"ice": 1.0, "error": 1.0}) == ("ice",)


def test_documents_made_of_others_hold_their_words():
    """A gathered document has the weighted sum of the words, and of the lengths, of its parts."""
    table = table_from([{"ice": 2}, {"cream": 4}])
    found = counted([(table, np.arange(2))], ["cream", "ice"], 2).gathered(csr_matrix([[1.0, 0.5]]))
    assert found.matrix.toarray().tolist() == [[2, 2]]
    assert found.lengths.tolist() == [4]


def test_common_words_are_no_reason_beside_a_rare_one():
    """What speaks for a document is told by its rare words of the query; the common ones are named only where there are no others."""
    table = table_from([{"the": 3, "ice": 1}, *({"the": 1} for _ in range(20)), {"error": 1}])
    found = counted([(table, np.arange(22))], ["ice", "the"], 22)
    assert found.strongest(0, {"ice": 1.0, "the": 1.0}) == ("ice",)
    assert found.strongest(1, {"ice": 1.0, "the": 1.0}) == ("the",)
    assert found.strongest(21, {"ice": 1.0, "the": 1.0}) == ()


def test_words_of_one_stem_are_counted_as_one():
    """Asked by stems, a document holds every form of a word, and a question in another form scores it."""
    table = table_from([{"parser": 2, "parsed": 1, "the": 1}, {"ice": 1}])
    found = counted([(table, np.arange(2))], ["ice", "pars"], 2, stemmed=True)
    assert found.matrix.toarray().tolist() == [[0, 3], [1, 0]]
    assert found.lengths.tolist() == [4, 1]
    assert found.scores(query_words("Parsing, parses", stemmed=True)).nonzero()[0].tolist() == [0]
