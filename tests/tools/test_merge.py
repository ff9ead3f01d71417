"""tools/merge.py: laws of three-way merging, git as the reference where it has an answer, and the cases git leaves to a person."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.graph.types import Span
from backstory.tools.lines import split_lines
from backstory.tools.merge import LEAST_KEPT, merge
from repos import git

# Few letters make repeated lines, and so ambiguous alignments; the ends and depths of lines vary too.
LINE = st.builds(
    lambda depth, word: b" " * depth + word, st.sampled_from([0, 2, 4]), st.sampled_from([b"a", b"b", b"c", b"d e", b"", b"f(g)"])
)
END = st.sampled_from([b"\n", b"\r\n"])
TEXT = st.builds(
    lambda lines, end, closed: end.join(lines) + (end if closed and lines else b""), st.lists(LINE, max_size=9), END, st.booleans()
) | st.binary(max_size=12)


@given(TEXT, TEXT)
@settings(deadline=None)
def test_a_side_that_changed_nothing_takes_the_other(base, changed):
    """merge(b, b, x) = merge(b, x, b) = merge(b, x, x) = x, for every kind of bytes."""
    for ours, theirs in ((base, changed), (changed, base), (changed, changed)):
        merged = merge(base, ours, theirs)
        assert (merged.text, merged.clean) == (changed, True)


@given(TEXT, TEXT, TEXT)
@settings(max_examples=300, deadline=None)
def test_the_sides_may_be_swapped(base, ours, theirs):
    """Both orders conflict or neither does; without a conflict the text is the same."""
    there, back = merge(base, ours, theirs), merge(base, theirs, ours)
    assert there.clean == back.clean
    if there.clean:
        assert there.text == back.text
    assert there.text == merge(base, theirs, ours, prefer="theirs").text


@given(TEXT, TEXT, TEXT)
@settings(max_examples=300, deadline=None)
def test_stretches_point_at_their_lines(base, ours, theirs):
    """Every stretch lies inside its versions, and in a conflict the merged lines are those of the preferred side."""
    merged = merge(base, ours, theirs)
    for stretch in merged.stretches:
        for span, text in zip((stretch.base, stretch.ours, stretch.theirs, stretch.merged), (base, ours, theirs, merged.text), strict=True):
            assert 1 <= span.first <= span.last + 1
            assert b"\0" in text or span.last <= text.count(b"\n") + 1
        if stretch.how == "conflict" and b"\0" not in base + ours + theirs:
            kept, mine = (
                split_lines(text)[span.first - 1 : span.last] for text, span in ((merged.text, stretch.merged), (ours, stretch.ours))
            )
            assert [line.rstrip(b"\r") for line in kept] == [line.rstrip(b"\r") for line in mine]


@st.composite
def changed_twice(draw):
    """A base of distinct lines and two sides that delete, replace and insert lines seen nowhere else: one alignment is possible."""
    count = draw(st.integers(0, 8))
    base = [b"base %d" % i for i in range(count)]
    sides = []
    for name in (b"x", b"y"):
        lines = []
        for i in range(count + 1):
            lines += [b"%s new %d %d" % (name, i, n) for n in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2])))]
            if i < count:
                fate = draw(st.sampled_from(["keep"] * 5 + ["delete", "replace", "same"]))
                lines += {"keep": [base[i]], "delete": [], "replace": [b"%s for %d" % (name, i)], "same": [b"both for %d" % i]}[fate]
        sides.append(lines)
    return tuple(b"".join(line + b"\n" for line in lines) for lines in (base, *sides))


def merge_file(folder: Path, *versions: bytes) -> tuple[bytes, int]:
    """What git merge-file prints, and how many conflicts it counts."""
    names = []
    for name, text in zip(("base", "ours", "theirs"), versions, strict=True):
        (folder / name).write_bytes(text)
        names.append(name)
    done = subprocess.run(["git", "merge-file", "-p", "-q", "ours", "base", "theirs"], cwd=folder, capture_output=True)
    return done.stdout, done.returncode


@given(changed_twice())
@settings(max_examples=120, deadline=None)
def test_where_git_has_an_answer_it_is_ours(tmp_path_factory, versions):
    """Over distinct lines, a merge that git finds clean is clean here and gives the same bytes."""
    folder = tmp_path_factory.mktemp("merge")
    expected, conflicts = merge_file(folder, *versions)
    if conflicts == 0:
        merged = merge(*versions)
        assert merged.clean
        assert merged.text == expected


def test_a_merge_commit_made_by_git_is_reproduced(tmp_path):
    """The same answer as a real `git merge` of two branches."""
    git(tmp_path, "init", "-q", "-b", "main")
    text = [f"line {i}" for i in range(40)]

    def commit(lines):
        (tmp_path / "f").write_text("\n".join(lines) + "\n")
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "-m", "step")
        return (tmp_path / "f").read_bytes()

    base = commit(text)
    git(tmp_path, "checkout", "-q", "-b", "side")
    theirs = commit([*text[:5], "theirs", *text[7:30], "also theirs", *text[30:]])
    git(tmp_path, "checkout", "-q", "main")
    ours = commit([*text[:20], "ours", *text[22:]])
    git(tmp_path, "merge", "-q", "--no-edit", "side")
    assert merge(base, ours, theirs).text == (tmp_path / "f").read_bytes()


def clean(base: str, ours: str, theirs: str) -> str:
    merged = merge(base.encode(), ours.encode(), theirs.encode())
    assert merged.clean, merged
    assert merge(base.encode(), theirs.encode(), ours.encode()).text == merged.text
    return merged.text.decode()


def test_edits_of_neighbouring_lines_do_not_conflict():
    """Unlike git, no unchanged line is wanted between two edits."""
    assert clean("a\nb\n", "A\nb\n", "a\nB\n") == "A\nB\n"
    assert clean("a\nb\n", "a\n", "a\nb\nc\n") == "a\nc\n"


def test_one_addition_seen_at_two_places_is_not_made_twice():
    """Both sides add the same function, but one also changed the line next to it: nothing comes out doubled."""
    ours = "a\ndef f():\n    return 1\nb\n"
    theirs = "a\ndef f():\n    return 1\nB\n"
    merged = merge(b"a\nb\n", ours.encode(), theirs.encode())
    assert merged.text.count(b"def f") == 1


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ("if n > limit:\n", "if count > limit:\n", "if n >= limit:\n", "if count >= limit:\n"),
        ("x = f(a)\n", "y = f(a)\n", "x = f(a, b)\n", "y = f(a, b)\n"),
        ("x = f(a)\n", "x = f(c)\n", "x = f(a, b)\n", "x = f(c, b)\n"),
        ("return a  # first\n", "return a  # the first\n", "return b  # first\n", "return b  # the first\n"),
        ("if n > limit: stop\n", "if count >= limit: stop\n", "if n >= limit: stop\n", "if count >= limit: stop\n"),
        ("for (let i = 0; i < n; i++) {\n", "for (let k = 0; i < n; i++) {\n", "for (let i = 0; i <= n; i++) {\n", None),
    ],
)
def test_different_words_of_one_line_merge(base, ours, theirs, expected):
    """A line both sides changed is merged word by word, and the result says so."""
    merged = merge(base.encode(), ours.encode(), theirs.encode())
    assert merged.text.decode() == (expected or "for (let k = 0; i <= n; i++) {\n")
    assert [(stretch.how, stretch.merged) for stretch in merged.stretches] == [("tokens", Span(1, 1))]


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [
        ("if n > limit:\n", "if n >= limit:\n", "if n < limit:\n"),  # one operator, two opinions
        ("f(a)\n", "f(a, b)\n", "f(a, c)\n"),  # two insertions at one place
        ("a = 1\nb = 2\n", "a = 3\nb = 2\n", ""),  # changed here, deleted there
        ("alpha(beta)\n", "alpha(gamma)\n", "something else entirely\n"),  # nothing left of the base on one side
        ("s = 'one two'\n", "s = 'one three'\n", "s = 'four two'\n"),  # a string is one thing
    ],
)
def test_what_a_person_must_decide_is_a_conflict(base, ours, theirs):
    """Edits that meet in a word, or a side without common ground, are left alone; either side can be preferred."""
    merged = merge(base.encode(), ours.encode(), theirs.encode())
    assert not merged.clean
    assert merged.text.decode() == ours
    assert merge(base.encode(), ours.encode(), theirs.encode(), prefer="theirs").text.decode() == theirs


def test_chance_agreement_is_not_merged():
    """Below LEAST_KEPT of the base's tokens, common brackets are chance."""
    assert LEAST_KEPT == 0.5
    assert not merge(b"f(a, b)\n", b"g(x)[y]\n", b"f(a, c)\n").clean


def test_the_rest_of_a_file_merges_around_a_conflict():
    """A conflict holds its own lines only, and says where they are in each version."""
    base = b"a\nb\nc\nd\ne\n"
    merged = merge(base, b"zero\na\nours\nc\nd\ne\n", b"a\ntheirs!\nc\nd\ne\nlast\n")
    assert merged.text == b"zero\na\nours\nc\nd\ne\nlast\n"
    (conflict,) = merged.conflicts
    assert (conflict.base, conflict.ours, conflict.theirs, conflict.merged) == (Span(2, 2), Span(3, 3), Span(2, 2), Span(3, 3))


BLOCK = "def f(x):\n    y = g(x)\n    z = h(y)\n    return z\n"


def test_a_line_restored_into_a_block_moved_deeper_moves_with_it():
    """Ours wrapped the body in a `with`; theirs adds a guard inside the body: the guard gets the new depth."""
    ours = "def f(x):\n    with lock:\n        y = g(x)\n        z = h(y)\n        return z\n"
    theirs = "def f(x):\n    y = g(x)\n    if y is None:\n        return 0\n    z = h(y)\n    return z\n"
    expected = (
        "def f(x):\n    with lock:\n        y = g(x)\n        if y is None:\n            return 0\n        z = h(y)\n        return z\n"
    )
    assert clean(BLOCK, ours, theirs) == expected


def test_a_block_moved_out_takes_restored_lines_with_it():
    """The same in the other direction, with a change inside the moved lines too."""
    base = "if a:\n    with lock:\n        y = g(x)\n        z = h(y)\n        w = z\n"
    ours = "with lock:\n    y = g(x)\n    z = h(y)\n    w = z\n"
    theirs = "if a:\n    with lock:\n        y = g(x)\n        if y:\n            z = h(y, 1)\n        w = z\n"
    assert clean(base, ours, theirs) == "with lock:\n    y = g(x)\n    if y:\n        z = h(y, 1)\n    w = z\n"


def test_a_line_restored_at_the_end_of_a_moved_block_stays_in_the_block():
    """An insertion as deep as the moved lines it touches moves with them; a shallower one stays where it was."""
    base = "for a in b:\n    f(a)\n"
    ours = "while go:\n    for a in b:\n        f(a)\n"
    assert clean(base, ours, "for a in b:\n    f(a)\n    g(a)\n") == "while go:\n    for a in b:\n        f(a)\n        g(a)\n"
    assert clean(base, ours, "for a in b:\n    f(a)\nend()\n") == "while go:\n    for a in b:\n        f(a)\nend()\n"


def test_tabs_carry_over_as_they_are():
    """The depth a block gained is copied byte by byte."""
    assert clean("a\nb\nc\n", "if x:\n\ta\n\tb\n\tc\n", "a\nnew\nb\nc\n") == "if x:\n\ta\n\tnew\n\tb\n\tc\n"


def test_a_file_converted_to_crlf_since_takes_an_old_change():
    """Line ends are merged once for the file."""
    assert clean("a\nb\nc\n", "a\r\nb\r\nc\r\nd\r\n", "a\nB\nc\n") == "a\r\nB\r\nc\r\nd\r\n"
    assert clean("a\r\nb\r\n", "a\nb\n", "a\r\nB\r\n") == "a\nB\n"


def test_a_file_that_mixes_line_ends_keeps_each():
    """Only the lines that change, change."""
    assert clean("a\r\nb\nc\r\nd\n", "a\r\nb\nc\r\nD\n", "A\r\nb\nc\r\nd\n") == "A\r\nb\nc\r\nD\n"


def test_a_missing_newline_at_the_end_is_kept_or_mended_as_the_sides_did():
    """The last line's newline is a fact of its own: it neither conflicts nor glues two lines."""
    assert clean("a\nb", "A\nb", "a\nB") == "A\nB"
    assert clean("a\nb", "a\nb\nc", "A\nb") == "A\nb\nc"
    assert clean("a\nb\n", "a\nb", "a\nb\nc\n") == "a\nb\nc"
    assert clean("a\nb", "a\nB\n", "a\nb\nc") == "a\nB\nc\n"


def test_binary_versions_that_all_differ_are_one_conflict():
    """A NUL makes a file binary, as in git; nothing is guessed."""
    merged = merge(b"\0a", b"\0b", b"\0c")
    assert (merged.clean, merged.text) == (False, b"\0b")
    assert merge(b"\0a", b"\0b", b"\0c", prefer="theirs").text == b"\0c"
    assert merge(b"\0a", b"\0b", b"\0a").text == b"\0b"


def test_a_long_file_with_many_edits_merges_completely():
    """Ten thousand lines with edits on both sides in every tenth line come out whole."""
    base = [b"line %d" % i for i in range(10_000)]
    ours = [line + b" ours" if i % 20 == 0 else line for i, line in enumerate(base)]
    theirs = [line + b" theirs" if i % 20 == 10 else line for i, line in enumerate(base)]
    expected = [theirs[i] if i % 20 == 10 else ours[i] for i in range(10_000)]
    merged = merge(*(b"\n".join(lines) + b"\n" for lines in (base, ours, theirs)))
    assert merged.text == b"\n".join(expected) + b"\n"
    assert merged.stretches == ()
