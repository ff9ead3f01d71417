"""Carrying tests into the old version of their file."""

import ast
import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.agent import transplant as module
from backstory.agent.transplant import transplant

NEW = b'''"""Tests of today."""
import os
from app import parse, Parser, brand_new
import pytest


def make():
    return helper()


def helper():
    return 7


LIMIT = 5


@pytest.fixture
def machine():
    return brand_new()


class TestParser:
    """All of it."""

    @pytest.mark.parametrize("n", [1, 2])
    def test_n(self, n: Parser):
        assert parse(n) < LIMIT + make()

    def test_other(self):
        pass


def test_machine(machine):
    assert machine


def test_plain():
    assert parse(1)
'''


def carried(old: bytes, *tests: str) -> str:
    done = transplant(old, NEW, tests)
    assert done is not None
    ast.parse(done)
    return done.decode()


def test_a_test_replaces_its_older_self():
    """Nothing else of the old file changes."""
    old = b"from app import parse\n\n\ndef test_plain():\n    assert parse(0)\n\n\ndef test_kept():\n    pass\n"
    assert carried(old, "test_plain") == old.decode().replace("parse(0)", "parse(1)")


def test_a_method_goes_to_the_end_of_its_class_with_what_it_needs():
    """Helpers come with the helpers they need, constants with them; what the old file has is not brought again."""
    old = b"import pytest\nfrom app import parse\n\n\nclass TestParser:\n    def test_old(self):\n        pass\n\n\ndef test_last():\n    pass\n"
    done = carried(old, "TestParser::test_n[2]")
    assert done.index("def test_old") < done.index("def test_n") < done.index("def test_last")
    assert "def make" in done and "def helper" in done and "LIMIT = 5" in done
    assert done.count("import pytest") == 1 and done.count("import parse") == 1
    assert "test_other" not in done and "brand_new" not in done
    assert done.index("LIMIT = 5") < done.index("class TestParser")


def test_a_class_that_is_missing_is_made_for_the_one_test():
    """The class comes with its decorators and docstring, and with this test alone."""
    done = carried(b"def test_a():\n    pass", "TestParser::test_n")
    assert "class TestParser" in done and "def test_n" in done and "test_other" not in done


def test_a_name_that_cannot_be_imported_is_none():
    """The carried file can be run where the module lacks a name, and the name is None there."""
    done = carried(b"def test_a():\n    pass\n", "test_machine")
    assert "def machine" in done
    space: dict[str, object] = {}
    exec(compile(done.replace("from app import", "from os import"), "carried", "exec"), space)
    assert space["brand_new"] is None


@pytest.mark.parametrize(
    ("old", "tests"),
    [(b"def broken(:\n", ["test_plain"]), (b"", ["test_missing"]), (b"", ["TestParser::test_missing"]), (b"", []), (b"\0", ["test_plain"])],
)
def test_what_cannot_be_carried_is_said(old, tests):
    """None for source that this Python cannot read and for tests that are not there."""
    assert transplant(old, NEW, tests) is None


def test_an_empty_file_takes_a_test():
    """An old file may be empty."""
    assert "def test_plain" in carried(b"", "test_plain")


@given(
    st.lists(st.sampled_from(["import os\n", "x = 1\n", "def f():\n    pass\n", "class TestParser:\n    def test_n(self): pass\n", "\n"]))
)
def test_the_result_is_python_and_holds_the_test_once(parts):
    """Whatever the old file is made of, what comes out parses, and the test in it is today's."""
    tree = ast.parse(carried("".join(parts).encode(), "TestParser::test_n", "test_plain"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found = [node for outer in classes for node in outer.body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    assert len(found) == 1


def test_the_example_of_the_docstring_holds():
    """The docstring's example is what happens."""
    assert doctest.testmod(module).failed == 0
