"""Tools: what a model is told of them and how what it wrote is read."""

import json

import pytest

from backstory.tools.tool import Observation, Parameter, Tool, read_arguments


def tool():
    return Tool(
        "look",
        "Looks.",
        (
            Parameter("path", "string", "where", required=True),
            Parameter("limit", "integer", "how many", default=10),
            Parameter("deep", "boolean", "all of it", default=False),
            Parameter("kinds", "strings", "edges", choices=("calls", "imports")),
        ),
        "reads",
        lambda arguments: Observation(json.dumps(arguments)),
    )


def test_the_schema_is_stated_in_declared_order():
    """A model reads names, types, choices and what is required, in the order of the declaration, so that the bytes never change."""
    assert json.dumps(tool().schema()) == (
        '{"type": "object", "properties": {"path": {"type": "string", "description": "where"}, '
        '"limit": {"type": "integer", "description": "how many"}, "deep": {"type": "boolean", "description": "all of it"}, '
        '"kinds": {"type": "array", "items": {"type": "string", "enum": ["calls", "imports"]}, "description": "edges"}}, "required": ["path"]}'
    )


def test_absent_parameters_take_their_defaults():
    """What the model leaves out, or writes as null, stands for the default."""
    assert read_arguments(tool(), {"path": "a.py", "limit": None}) == {"path": "a.py", "limit": 10, "deep": False, "kinds": None}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"limit": "7"}, {"limit": 7}),
        ({"limit": 7.0}, {"limit": 7}),
        ({"deep": "True"}, {"deep": True}),
        ({"kinds": "calls"}, {"kinds": ("calls",)}),
        ({"kinds": '["calls", "imports"]'}, {"kinds": ("calls", "imports")}),
        ({"kinds": []}, {"kinds": ()}),
        ({"path": ["one", "two"]}, {"path": "one\ntwo"}),
        ({"path": 5}, {"path": "5"}),
    ],
)
def test_what_can_mean_one_thing_only_is_taken_for_it(written, read):
    """Numbers, switches and lists written as text, and text written as lines, are understood."""
    arguments = read_arguments(tool(), {"path": "a.py", **written})
    assert {name: arguments[name] for name in read} == read


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ({}, "look needs 'path' (where)"),
        ({"path": "a", "depth": 2}, "look has no parameter 'depth'; it takes path, limit, deep, kinds"),
        ({"path": "a", "limit": "many"}, "look: 'limit' must be a whole number, not 'many'"),
        ({"path": "a", "limit": True}, "look: 'limit' must be a whole number, not True"),
        ({"path": "a", "deep": 1}, "look: 'deep' must be true or false, not 1"),
        ({"path": {}}, "look: 'path' must be a text, not {}"),
        ({"path": "a", "kinds": ["blames"]}, "look: 'kinds' must be some of calls, imports, not ['blames']"),
        ({"path": "a", "kinds": "[1,"}, "look: 'kinds' must be a list of texts, not '[1,'"),
    ],
)
def test_anything_else_is_answered_with_what_is_wrong(written, complaint):
    """A wrong argument becomes one sentence the model can act on."""
    assert read_arguments(tool(), written) == complaint
