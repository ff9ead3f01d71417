"""BM25 over counted words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.memory.bm25 import CountedBM25, query_words

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
