"""Which paths count."""

import doctest

import pytest

from backstory.graph import selection
from backstory.graph.selection import selected


def test_the_examples_in_the_documentation_hold():
    """The module's doctests pass."""
    assert doctest.testmod(selection).failed == 0


@pytest.mark.parametrize(
    ("path", "languages", "expected"),
    [
        ("a.py", ["python"], True),
        ("a.py", ["go"], False),
        ("README", [], True),
        ("a.tsx", ["typescript"], True),
        ("a.h", ["c"], True),
        ("a.h", ["cpp"], True),
        ("a.h", ["java"], False),
        ("a.cc", ["c"], False),
    ],
)
def test_languages_that_were_not_asked_for_are_left_out(path, languages, expected):
    """A file in no known language always counts; a header belongs to both C and C++."""
    assert selected(path, exclude=[], languages=languages) is expected
