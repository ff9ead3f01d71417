"""Arguments that were meant to be JSON."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backstory.agent.arguments import read_object, read_values

TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40) | st.lists(
    st.sampled_from(['"', "'", "\\", "\n", "\t", "{", "}", "[", "]", ",", ":", " ", "a", "key", "```", "\\n", "é", "\U0001f600"]),
    max_size=20,
).map("".join)
VALUES = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)
NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


@given(OBJECTS)
def test_json_is_read_as_json(value):
    """An object in JSON, indented or not, encoded once or twice, in a fence or alone, is read exactly."""
    for text in (json.dumps(value), json.dumps(value, indent=2, ensure_ascii=False), json.dumps(json.dumps(value))):
        assert read_object(text) == value
        assert read_object(f"```json\n{text}\n```") == value
        assert read_object(text, whole=False) == value


@given(OBJECTS, st.text(max_size=20))
def test_values_end_where_they_end(value, tail):
    """An object at the beginning of a longer text is read exactly, and the place behind it is found."""
    text = json.dumps(value)
    assert read_values(text + tail, 0) == (value, len(text))


@given(st.dictionaries(NAMES, TEXTS | st.integers() | st.booleans() | st.none() | st.lists(TEXTS, max_size=3), max_size=4))
def test_python_literals_are_read(value):
    """What Python prints for a dictionary of texts, numbers, lists and constants is read as the same, but for what JSON and Python escape differently."""
    assume("\\" not in repr(value))
    assert read_object(repr(value)) == value


@given(st.dictionaries(NAMES, st.text("abc \n\t(){}[];:.=+-'", max_size=30), min_size=1, max_size=3))
def test_raw_line_ends_and_a_trailing_comma_do_no_harm(value):
    """Line ends and tabs that were not escaped, and a comma too many, change nothing."""
    text = json.dumps(value).replace("\\n", "\n").replace("\\t", "\t")
    assert read_object(text) == value
    assert read_object(text[:-1] + ",\n}") == value


CODE = st.lists(
    st.sampled_from(['print("x")', 'say("a", "b")', "f(1)", "\n    ", "return", ' == "', '" + "', "x = y", '"""doc"""', "d[k]"]), max_size=6
)


@given(CODE.map("".join), CODE.map("".join))
def test_quotes_that_were_not_escaped(old, new):
    """Code with its quotes as they are is read whole, unless a quote in it looks like the end; then it is refused or ends there, never in between."""
    text = f'{{"path": "a.py", "old": "{old}", "new": "{new}"}}'
    read = read_object(text)
    if not isinstance(read, str) and set(read) == {"path", "old", "new"}:
        assert (
            (read["path"], read["old"], read["new"]) == ("a.py", old, new) or old.endswith('"') or new.endswith('"') or '"""' in old + new
        )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'path': 'a.py', 'all': True, 'last': None}", {"path": "a.py", "all": True, "last": None}),
        ('{"old": "say("hi", "you")", "new": "x"}', {"old": 'say("hi", "you")', "new": "x"}),
        ('{"pattern": "\\d+\\.\\w"}', {"pattern": "\\d+\\.\\w"}),
        ('{path: "a.py", "first": 3}', {"path": "a.py", "first": 3}),
        ('{"path": "a.py" "first": 3}', None),
        ('{"path": "a.py"\n "first": 3}', {"path": "a.py", "first": 3}),
        ('{"mode": skeleton}', {"mode": "skeleton"}),
        ('{"text": """def f():\n  return "x"\n"""}', {"text": 'def f():\n  return "x"\n'}),
        ("{'text': '''it's'''}", {"text": "it's"}),
        ("{`path`: `a.py`}", {"path": "a.py"}),
        ('{"a": 0x1F, "b": -2.5e3, "c": .5}', {"a": 31, "b": -2500.0, "c": 0.5}),
        ('{"a": ["x", \'y\', 3,], }', {"a": ["x", "y", 3]}),
        ('Here you are: {"a": 1}', {"a": 1}),
        ('```\n{"a": 1}\n```', {"a": 1}),
        ('"{\\"a\\": \\"b\\"}"', {"a": "b"}),
        ('[{"a": 1}]', {"a": 1}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        ("{'a': '\\ud83d\\ude00'}", {"a": "\U0001f600"}),
        ('{"a": "x', None),
        ('{"a": {"b": 1}', {"a": {"b": 1}}),
        ("", {}),
        ("null", {}),
        ("{}", {}),
        ("3", None),
        ('"text"', None),
        ("[1, 2]", None),
        ("read the file", None),
        ('{"a": 1} {"a": 2}', None),
        ("{" * 100, None),
    ],
)
def test_what_was_meant(text, value):
    """One reading each, or a reason."""
    read = read_object(text)
    assert (read == value) if value is not None else isinstance(read, str), read


@pytest.mark.parametrize("text", ['{"a": "x"', '{"a": ["x"', '{"a": "x', '{"a": ', "{", "", '{"a": "x",'])
def test_the_end_of_a_cut_text_is_not_made_up(text):
    """What a limit cut off is not read, although the same text would be if it were whole."""
    assert isinstance(read_object(text, whole=False), str)


def test_a_reason_says_where():
    """The reason names the place and shows what stands there."""
    assert read_object('{"first": 3, 5}') == "a key is missing, at character 13: '5}'"
    assert read_object('{"path": "a.py') == "the text that begins here does not end, at character 9: '\"a.py'"


@given(st.text(max_size=200) | st.lists(st.sampled_from(list("{}[]()\"'`\\,:=\n atrue1")), max_size=80).map("".join))
def test_anything_is_read_or_refused(text):
    """No text makes the reader fail in another way, and what is read can be written as JSON."""
    for whole in (True, False):
        read = read_object(text, whole=whole)
        if not isinstance(read, str):
            json.dumps(read)
