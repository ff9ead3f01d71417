"""Splitting into search words."""

import doctest

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backstory.graph import words
from backstory.graph.words import (
    MAX_WORD_CHARS,
    MIN_WORD_CHARS,
    count_words,
    of_stems,
    spelled_stems,
    split_token,
    split_words,
    stem,
    stem_counts,
    tokens,
)


def test_the_examples_in_the_documentation_hold():
    """The module's doctests pass."""
    assert doctest.testmod(words).failed == 0


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("snake_case_name", ("snake_case_name", "snake", "case", "name")),
        ("XMLHttpRequest", ("xmlhttprequest", "xml", "http", "request")),
        ("HTTP", ("http",)),
        ("plain", ("plain",)),
        ("_private", ("_private", "private")),
        ("MAX_SIZE", ("max_size", "max", "size")),
        ("utf8", ("utf8", "utf")),
        ("404", ("404",)),
        ("x", ()),
        ("größe_außen", ("größe_außen", "größe", "außen")),
        ("_", ()),
    ],
)
def test_a_token_gives_itself_and_its_parts(token, expected):
    """The whole token comes first in lower case, then its parts; single letters are dropped."""
    assert split_token(token) == expected


def test_names_in_different_styles_meet():
    """A camel-case name, a snake-case name and plain words share all their parts."""
    parts = {"get", "http", "response"}
    assert all(parts <= set(split_words(text)) for text in ("getHttpResponse", "get_http_response", "Get HTTP response"))


@given(st.text())
def test_counting_equals_splitting(text):
    """Counting tokens gives every word as often as splitting the text does, each of a sensible length."""
    counts = count_words(tokens(text))
    found = split_words(text)
    assert counts == {word: found.count(word) for word in found}
    assert all(MIN_WORD_CHARS <= len(word) <= MAX_WORD_CHARS for word in counts)


def test_counts_can_be_given_instead_of_repeats():
    """A mapping of tokens to counts means the same as the repeated tokens."""
    assert count_words({"fooBar": 2, "foo": 1}) == count_words(["fooBar", "foo", "fooBar"]) == {"foobar": 2, "foo": 3, "bar": 2}


@pytest.mark.parametrize(
    "forms",
    [
        ("parse", "parses", "parsed", "parsing", "parser", "parsers"),
        ("normalize", "normalized", "normalizes", "normalization"),
        ("set", "sets", "setting", "setter"),
        ("stop", "stopped", "stopping"),
        ("copy", "copies", "copied"),
        ("class", "classes"),
        ("evaluate", "evaluation", "evaluates"),
    ],
)
def test_forms_of_one_word_have_one_stem(forms):
    """Plurals, verb forms, who does it and what comes of it meet."""
    assert len({stem(form) for form in forms}) == 1


def test_what_is_no_plain_word_is_its_own_stem():
    """Names with underscores or digits, words of another script and short words stay as they are."""
    for word in ("get_things", "utf8s", "größen", "its", "as", "status", "analysis"):
        assert stem(word) == word


@given(st.lists(st.text("aeiglnorsty_", min_size=1, max_size=9)), st.lists(st.text("aeiglnorsty_", min_size=1, max_size=9)))
@example(["try"], ["tries", "try", "tri"])
def test_words_are_found_by_their_stems(asked, vocabulary):
    """Looking stems up in a vocabulary finds the words that have them, and no others."""
    stems = {stem(word) for word in asked}
    assert list(of_stems(stems, vocabulary)) == [(place, stem(word)) for place, word in enumerate(vocabulary) if stem(word) in stems]


def test_stems_are_counted_together_and_spelled_as_they_stood():
    """The counts of a stem are those of its words, and the first of these stands for it."""
    assert stem_counts({"parsing": 2, "rows": 1, "parsed": 3}) == {"pars": 5, "row": 1}
    assert spelled_stems("Parsing was parsed")["pars"] == "parsing"
