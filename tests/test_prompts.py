"""Strict rendering: a text and its callers cannot drift apart."""

import pytest

from backstory.prompts import fill

HELLO = "<!-- variables: name, place -->\nHello {{name}} of {{place}}.\n"


def test_values_fill_slots_and_are_not_filled_again():
    """A value that looks like a slot stays as it is."""
    assert fill(HELLO, name="{{place}}", place="Rome").text == "Hello {{place}} of Rome.\n"


@pytest.mark.parametrize("values", [{"name": "a"}, {"name": "a", "place": "b", "more": "c"}])
def test_missing_and_unused_values_are_errors(values):
    """Each side must name the same variables."""
    with pytest.raises(KeyError, match="declares"):
        fill(HELLO, **values)


def test_the_hash_names_the_text_not_the_values():
    """One text has one hash whatever is filled in."""
    assert fill(HELLO, name="a", place="b").source_hash == fill(HELLO, name="c", place="d").source_hash
