"""Reading files of every kind: numbered lines give the text back exactly, and what cannot be shown is said."""

import re

import pytest
from graphs import graph_of
from hypothesis import given
from hypothesis import strategies as st
from looking import caller, edited_view

from backstory.graph.types import Span
from backstory.tools.look import View
from backstory.tools.numbered import lines_and_notes, numbered
from backstory.tools.page import ANSWER_TOKENS, BODY_TOKENS, TOKEN_BYTES, size
from repos import Repo

ROW = re.compile(r" *(\d+)\|(.*)", re.DOTALL)
LONG = "class Long:\n" + "".join(f"    def method_{number}(self, value):\n        return value + {number}\n\n" for number in range(400))
BODY = (
    "def long_function(value):\n"
    + "".join(f"    value = value + {number}  # step {number}\n" for number in range(1200))
    + "    return value\n"
)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    repo = Repo(tmp_path_factory.mktemp("odd") / "repo")
    repo.commit(
        "odd files",
        {
            "tabs.py": b"def f():\n\treturn 1  \t\n",
            "crlf.py": b"def f():\r\n    return 1\r\n",
            "mixed.py": b"a = 1\r\nb = 2\n",
            "page.py": b"a = 1\n\x0c\nb = 2\n",
            "latin.py": b"# -*- coding: latin-1 -*-\nname = 'caf\xe9'\n",
            "unicode.py": "name = 'naïve ✓'\nhidden = 'a\u202eb'\nline = 'a\u2028b'\n".encode(),
            "unended.py": b"a = 1\nb = 2",
            "empty.py": b"",
            "data.bin": b"\x00\x01" * 100,
            "min.js": b"var a=1;" * 9000,
            "long.py": LONG,
            "body.py": BODY,
            "nested.py": "class A:\n    class B:\n        def c(self):\n            def d():\n                pass\n            return d\n"
            + "x = 1\n" * 900,
            "table.txt": "".join(f"row {number}\n" for number in range(3000)),
        },
    )
    graph = graph_of(repo, tmp_path_factory.mktemp("cache"))
    yield graph
    graph.close()


@pytest.fixture
def call(graph):
    return caller(View(graph))


def shown_lines(text):
    """Return the numbered lines of an answer as (number, text)."""
    return [(int(match[1]), match[2]) for line in text.split("\n") if (match := ROW.fullmatch(line))]


@given(
    st.lists(
        st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"], include_characters="\t"), max_size=40),
        min_size=1,
        max_size=30,
    )
)
def test_numbered_lines_give_back_the_text(lines):
    """What stands after the bar is the line to the byte, tabs and trailing blanks included, whatever visible text it holds."""
    source = ("\n".join(lines) + "\n").encode()
    split, _ = lines_and_notes(source)
    part = numbered(split, Span(1, len(split)))
    assert not part.altered and not part.cut
    assert "".join(f"{ROW.fullmatch(row)[2]}\n" for row in part.rows).encode() == source
    assert [int(ROW.fullmatch(row)[1]) for row in part.rows] == list(range(1, len(split) + 1))


@given(st.binary(max_size=300))
def test_a_line_that_is_not_shown_as_it_is_is_named(source):
    """For any bytes each line is one row, and a line without a note is exactly what the file holds."""
    split, _ = lines_and_notes(source)
    if split:
        part = numbered(split, Span(1, len(split)))
        assert len(part.rows) == len(split) and not any("\n" in row or "\r" in row for row in part.rows)
        for number, (row, line) in enumerate(zip(part.rows, split, strict=True), 1):
            if number not in part.altered + part.cut:
                assert ROW.fullmatch(row)[2].encode() == line


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("tabs.py", "tabs.py  2 lines\n1|def f():\n2|\treturn 1  \t"),
        ("crlf.py", "crlf.py  2 lines, lines end in CRLF\n1|def f():\n2|    return 1"),
        (
            "mixed.py",
            "mixed.py  2 lines, LF and CRLF are mixed\n1|a = 1\n2|b = 2\n(line 1: characters that cannot be shown were taken out; do not copy)",
        ),
        ("page.py", "page.py  3 lines\n1|a = 1\n2|\n3|b = 2\n(line 2: characters that cannot be shown were taken out; do not copy)"),
        (
            "latin.py",
            "latin.py  2 lines, not UTF-8\n1|# -*- coding: latin-1 -*-\n2|name = 'caf\ufffd'\n"
            "(line 2: characters that cannot be shown were taken out; do not copy)",
        ),
        (
            "unicode.py",
            "unicode.py  3 lines\n1|name = 'naïve ✓'\n2|hidden = 'ab'\n3|line = 'a b'\n"
            "(line 2, 3: characters that cannot be shown were taken out; do not copy)",
        ),
        ("unended.py", "unended.py  2 lines, no newline at the end\n1|a = 1\n2|b = 2"),
        ("empty.py", "empty.py  empty"),
    ],
)
def test_what_must_be_known_before_copying_is_said(call, path, said):
    """Line ends, a missing last newline, and characters that are not shown are told; the lines themselves stay as they are."""
    assert call("read", target=path).text == said


def test_binary_and_minified_files_are_answered_sensibly(call):
    """A binary is refused with its size, and a line of 70,000 characters is cut and said to be."""
    assert call("read", target="data.bin").text == "data.bin is binary (200 bytes)\nit cannot be shown as text"
    said = call("read", target="min.js")
    assert said.ok and "not parsed: a line is longer than" in said.text and "(line 1: cut; do not copy)" in said.text


def test_a_file_too_large_to_split_is_refused_before_it_is_read(graph):
    """Its size alone decides."""
    said = caller(edited_view(graph, {"huge.txt": b"a\n" * (9 << 20)}))("read", target="huge.txt")
    assert not said.ok and "files over 16777216 are not read" in said.text


def test_a_file_that_is_not_small_is_its_outline(call):
    """Members of a class are named with their lines, as many as there is room for, and the rest is counted."""
    said = call("read", target="long.py").text
    assert said.startswith("long.py  1201 lines\n1-1200 class Long\n  method_0 2, method_1 5, ")
    assert re.search(r"… \d+ more$", said, re.MULTILINE) and said.endswith(
        "(read(target='long.py', first, last) shows lines; read(path:Name) a body)"
    )
    assert "1-6 class A\n  2-6 class B\n    3-6 def c(self)\n      4-5 def d()" in call("read", target="nested.py").text


def test_a_long_class_is_its_head_and_its_members(call):
    """Reading the class gives its first lines and what it holds: names where signatures are too much, so that as many as can be are there."""
    said = call("read", target="Long").text
    assert said.startswith("long.py:Long  lines 1-1200 of 1201\n1|class Long:\n") and "  method_0 2, method_1 5, " in said
    assert re.search(r"method_2\d\d \d+, … \d+ more$", said, re.MULTILINE)
    assert "lines 2-1200 not shown: read(target='long.py', first, last)" in said


def test_a_body_can_be_read_on_to_its_end(call):
    """Following the last line of each answer gives every line of a long function once, in order."""
    said, seen = call("read", target="long_function").text, []
    for _ in range(20):
        seen += shown_lines(said)
        rest = re.search(r"\(lines (\d+)-(\d+) not shown: read\(target='(.*)', first=(\d+), last=(\d+)\)\)$", said)
        if rest is None:
            break
        said = call("read", target=rest[3], first=int(rest[4]), last=int(rest[5])).text
    assert [number for number, _ in seen] == list(range(1, 1203))
    assert "\n".join(text for _, text in seen) + "\n" == BODY


@pytest.mark.parametrize(
    ("asked", "lines"),
    [
        ({"first": 5, "last": 7}, [5, 6, 7]),
        ({"first": 2998}, [2998, 2999, 3000]),
        ({"last": 2}, [1, 2]),
        ({"first": 7, "last": 5}, [5, 6, 7]),
        ({"first": -3, "last": 1}, [1]),
        ({"first": 3000, "last": 9999}, [3000]),
    ],
)
def test_lines_are_asked_for_by_number(call, asked, lines):
    """First and last name lines of the file, either may be left out, and what lies outside the file is left off."""
    assert [number for number, _ in shown_lines(call("read", target="table.txt", **asked).text)] == lines


def test_lines_beyond_the_file_are_refused(call):
    """Asking behind the end says how many lines there are."""
    said = call("read", target="table.txt", first=4000)
    assert not said.ok and "table.txt has 3000 lines" in said.text


@pytest.mark.parametrize("target", ["long.py", "Long", "body.py", "long_function", "table.txt", "min.js", "nested.py", "unicode.py", "."])
def test_reading_is_held_to_its_budget(call, target):
    """No answer is over the budget of a body."""
    assert size(call("read", target=target).text) <= BODY_TOKENS * TOKEN_BYTES
    assert ANSWER_TOKENS < BODY_TOKENS
