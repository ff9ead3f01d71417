"""What the ISSUE argument may stand for."""

import io

import pytest

from backstory.errors import UserError
from backstory.harness.github import Comment, IssueAddress, IssuePage
from backstory.issue import MAX_BYTES, issue_from_bytes, read_issue


def no_network(address):
    raise AssertionError(f"asked GitHub for {address}")


def read(argument, *, stdin=b"", fetch=no_network):
    return read_issue(str(argument), stdin=lambda: io.BytesIO(stdin), fetch=fetch)


def test_a_file_a_stream_and_the_text_itself(tmp_path):
    """The same words give the same title and body wherever they come from."""
    text = "# Dates break\n\nParsing fails.\n"
    (tmp_path / "issue.md").write_text(text)
    issues = [read(tmp_path / "issue.md"), read("-", stdin=text.encode()), read(text)]
    assert [issue.id for issue in issues] == ["issue.md", "standard input", "the command line"]
    assert {(issue.title, issue.body, issue.text) for issue in issues} == {("Dates break", text.strip(), text.strip())}


def test_a_github_address_is_fetched():
    """Title, body and comments become one issue; what was left out is said."""
    page = IssuePage(
        IssueAddress("github.com", "o", "r", 3), "Dates break", "Since 1.2.", (Comment("bob", "2026-01-01", "me too"),), left_out=4
    )
    issue = read("https://github.com/o/r/issues/3", fetch=lambda _: page)
    assert (issue.id, issue.title, issue.notes) == ("o/r#3", "Dates break", ("4 later comments of o/r#3 were left out",))
    assert issue.text == "Dates break\n\nSince 1.2.\n\nComment by bob, 2026-01-01:\n\nme too"


def test_the_title_is_the_first_line_that_says_something():
    """Marks of a heading are no part of it."""
    assert issue_from_bytes(b"\n\n## It fails ##\nmore", id="x").title == "It fails"
    assert issue_from_bytes(b"---\nIt fails\n", id="x").title == "It fails"
    assert issue_from_bytes(b"It fails\n# Steps\n", id="x").title == "It fails"


def test_invisible_characters_are_removed_and_said():
    """Colours, bidi marks and tag characters do not reach anything that reads the issue."""
    issue = issue_from_bytes("It \x1b[31mfails\x1b[0m \u202ehere\U000e0041".encode(), id="x")
    assert issue.body == "It fails here"
    assert issue.notes == ("11 control or invisible characters were removed from the issue",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the issue in 'x' is empty; describe the fault in it"),
        (b" \n\t\n", "the issue in 'x' is empty; describe the fault in it"),
        ("\u200b\u202e".encode(), "the issue in 'x' is empty; describe the fault in it"),
        (b"it fails\0", "the issue in 'x' is not text; give a text file in UTF-8"),
        (bytes(range(128, 256)), "the issue in 'x' is not text; give a text file in UTF-8"),
        (b"a" * (MAX_BYTES + 1), "the issue in 'x' is over 5 MB; keep the part that describes the fault"),
    ],
)
def test_what_is_no_issue_is_refused(content, said):
    """Empty, binary and over 5 MB are errors that say what to do."""
    with pytest.raises(UserError) as caught:
        issue_from_bytes(content, id="x")
    assert str(caught.value) == said


def test_a_few_bytes_of_another_encoding_are_read():
    """One Latin-1 word in a long text does not make it binary."""
    assert issue_from_bytes(b"caf\xe9 fails when the file is read twice in a row", id="x").title.startswith("caf\ufffd fails")


def test_a_mistyped_name_is_not_taken_for_the_text():
    """One word with a folder or an ending is a file that is not there; a sentence is a text."""
    with pytest.raises(
        UserError, match=r"no file 'isue.md'; give a file, '-', the text itself in quotes, or the address of a GitHub issue"
    ):
        read("isue.md")
    assert read("parse(None) fails in dates.py").title == "parse(None) fails in dates.py"
    assert read("x" * 5000).id == "the command line"


def test_a_folder_is_no_issue(tmp_path):
    """Reading a folder is refused with the reason the system gives."""
    with pytest.raises(UserError, match=r"cannot read the issue in .*: Is a directory"):
        read(tmp_path)
