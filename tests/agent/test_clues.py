"""What is read out of an issue's text."""

from hypothesis import given
from hypothesis import strategies as st

from backstory.agent.clues import MAX_CHARS, Frame, Mention, find_clues

PYTHON = """It fails

```
Traceback (most recent call last):
  File "/home/me/run.py", line 3, in <module>
    main()
  File "/usr/lib/python3/site-packages/app/core.py", line 41, in start
    raise KeyError(name)
KeyError: 'x'
```
"""
PYTEST = """Test fails

____________ test_one ____________

    def test_one():
>       start()

tests/test_core.py:5:
_ _ _ _ _
app/core.py:41: in start
    raise KeyError(name)
E   KeyError: 'x'

app/inner.py:7: KeyError
"""
IPYTHON = """Fails in a notebook

KeyError                                  Traceback (most recent call last)
<ipython-input-3-abc> in <module>
----> 1 start()

~/lib/app/core.py in start(self, name)
     40     # look
---> 41     raise KeyError(name)
"""
V8 = """Crash on start

TypeError: x is not a function
    at Server.close (/srv/app/lib/server.js:12:7)
    at async /srv/app/index.ts:3:1
    at node:internal/main:1:1
"""


def test_python_frames_have_the_innermost_last_line_at_depth_0():
    """A plain Python traceback is read inside out."""
    assert find_clues(PYTHON).frames == (
        Frame("/home/me/run.py", 3, "<module>", 1),
        Frame("/usr/lib/python3/site-packages/app/core.py", 41, "start", 0),
    )
    assert find_clues(PYTHON).errors == ("KeyError",)


def test_pytest_frames():
    """The short lines that pytest prints below each frame are frames too."""
    assert [(frame.path, frame.line, frame.depth) for frame in find_clues(PYTEST).frames] == [
        ("tests/test_core.py", 5, 2),
        ("app/core.py", 41, 1),
        ("app/inner.py", 7, 0),
    ]


def test_ipython_frames_take_the_line_of_the_arrow():
    """A notebook's frame names the function first and marks the line below."""
    assert find_clues(IPYTHON).frames[-1] == Frame("~/lib/app/core.py", 41, "start", 0)


def test_script_frames_have_the_innermost_first():
    """Frames of JavaScript engines are read outside in."""
    assert find_clues(V8).frames == (
        Frame("/srv/app/lib/server.js", 12, "Server.close", 0),
        Frame("/srv/app/index.ts", 3, "", 1),
        Frame("node:internal/main", 1, "", 2),
    )


def test_two_tracebacks_are_numbered_apart():
    """A chained traceback has two innermost frames."""
    text = PYTHON + "\nDuring handling of the above exception, another exception occurred:\n" + PYTHON
    assert [frame.depth for frame in find_clues(text).frames] == [1, 0, 1, 0]


def test_paths_are_found_bare_with_a_line_and_in_addresses():
    """A path may stand by itself, carry a line, or be part of an address at a forge."""
    text = (
        "See app/core.py and lib\\win.py:7\n"
        "and https://forge.example/owner/name/blob/1a2b3c/src/app/io.py#L10-L20, not https://forge.example/about.html"
    )
    assert set(find_clues(text).paths) == {Mention("src/app/io.py", 10, 20), Mention("app/core.py"), Mention("lib/win.py", 7, 7)}


def test_modules_come_from_imports_and_dotted_names():
    """`from a import b` means `a.b`; dotted names in prose count as written."""
    clues = find_clues("Fails\n\n```\nfrom app.core import start, stop as halt\nimport app.io\n```\nCalling app.core.start() hangs")
    assert clues.modules[:3] == ("app.core.start", "app.core.stop", "app.io")


def test_names_weigh_most_in_the_title_and_least_in_blocks():
    """Where an identifier stands decides what it weighs; words of prose are none."""
    names = find_clues("get_items is slow\n\nCalling `fetch` here, with parse_url too.\n\n```\nunrelated = 1\n```\n").names
    assert names["get_items"] > names["fetch"] > names["parse_url"] > names["unrelated"]
    assert "slow" not in names and "here" not in names


def test_template_comments_are_not_read():
    """What stands in a Markdown comment was written by nobody."""
    assert find_clues("Title\n\n<!-- see docs/CONTRIBUTING.md and some_name -->\nText").paths == ()


def test_a_huge_paste_is_cut():
    """The middle of what is beyond the bound is not read, its two ends are; what is too long to be a path or a name is dropped."""
    blank = " " * MAX_CHARS
    assert set(find_clues(f"t\nfirst_name\n{blank}\nmiddle_name\n{blank}\nlast_name").names) == {"first_name", "last_name"}
    assert find_clues("t\n" + "a_" * 100_000).names == {}


@given(
    st.text(max_size=400)
    | st.lists(st.sampled_from([PYTHON, PYTEST, V8, "`a.b`", "```\n", ">>> x\n", "\r\n", "<!--"]), max_size=6).map("".join)
)
def test_any_text_is_read(text):
    """No text is refused; a title is one line, and depths count up from 0."""
    clues = find_clues(text)
    assert "\n" not in clues.title
    assert all(frame.depth >= 0 and frame.line >= 0 for frame in clues.frames)
    assert all(weight > 0 for weight in clues.names.values())
