"""What the ISSUE argument stands for: a file, standard input, the text itself, or an issue on GitHub.

An issue is foreign text. It is bounded, it must be text, and what a person could not see in it is taken out before anything reads it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from backstory.errors import UserError
from backstory.tools.visible import clean, one_line

if TYPE_CHECKING:
    from backstory.harness.github import IssueAddress, IssuePage

MAX_BYTES: Final = 5_000_000  # the contract of the command line; far above any issue a person wrote
# More undecodable bytes than this make a text binary: real issues paste a few lines of another encoding, not a tenth of themselves.
MAX_UNDECODABLE_SHARE: Final = 0.1
TITLE_LIMIT: Final = 200

_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(?P<words>.*?)[ \t]*#*[ \t]*$")


@dataclass(frozen=True)
class IssueText:
    """An issue ready to work on. id: a short name for people; notes: what a person should know about how it was read."""

    id: str
    title: str
    body: str
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Title and body as one text, with the title said once."""
        return self.body if self.body.lstrip("# \t\n").startswith(self.title) else f"{self.title}\n\n{self.body}".rstrip()


def read_issue(argument: str, *, stdin: Callable[[], IO[bytes]], fetch: "Callable[[IssueAddress], IssuePage]") -> IssueText:
    """Return the issue that `argument` stands for. Raises UserError (exit 2) if it is no usable text, GitHubError (8) from `fetch`."""
    from backstory.harness.github import issue_address

    if argument == "-":
        return issue_from_bytes(stdin().read(MAX_BYTES + 1), id="standard input")
    address = issue_address(argument)
    if address is not None:
        return _from_page(fetch(address))
    path = Path(argument)
    if argument and _is_there(path):  # Path("") is the current folder
        return issue_from_bytes(_content(path), id=path.name)
    if _looks_like_a_path(argument):
        raise UserError(f"no file {argument!r}; give a file, '-', the text itself in quotes, or the address of a GitHub issue")
    return issue_from_bytes(argument.encode("utf-8", "surrogateescape"), id="the command line")


def issue_from_bytes(content: bytes, *, id: str) -> IssueText:
    """Return `content` as an issue. Raises UserError if it is empty, binary or over MAX_BYTES; the message names `id`."""
    if len(content) > MAX_BYTES:
        raise UserError(f"the issue in {id!r} is over {MAX_BYTES // 1_000_000} MB; keep the part that describes the fault")
    text = content.decode("utf-8-sig", "replace")
    if b"\0" in content or text.count("\ufffd") > MAX_UNDECODABLE_SHARE * len(text):
        raise UserError(f"the issue in {id!r} is not text; give a text file in UTF-8")
    return issue_from_text(text, id=id)


def issue_from_text(text: str, *, id: str, title: str = "", notes: tuple[str, ...] = ()) -> IssueText:
    """Return `text` as an issue, cleaned; without a `title` its first line that says something is one. Raises UserError if it is empty."""
    cleaned = clean(text)
    body = cleaned.text.strip()
    clean_title = one_line(title or _title(body), limit=TITLE_LIMIT)
    if not body and not clean_title:
        raise UserError(f"the issue in {id!r} is empty; describe the fault in it")
    if cleaned.removed:
        notes = (*notes, f"{cleaned.removed} control or invisible characters were removed from the issue")
    return IssueText(id, clean_title, body, notes)


def _from_page(page: "IssuePage") -> IssueText:
    notes = (f"{page.left_out} later comments of {page.address.id} were left out",) if page.left_out else ()
    if len(page.text.encode("utf-8", "replace")) > MAX_BYTES:
        raise UserError(
            f"{page.address.id} is over {MAX_BYTES // 1_000_000} MB; save the part that describes the fault to a file and pass that"
        )
    return issue_from_text(page.text, id=page.address.id, title=page.title or page.address.id, notes=notes)


def _title(body: str) -> str:
    """Return the first line that has a word, without the marks of a heading; else the first line."""
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    first = next((line for line in lines if re.search(r"\w", line)), lines[0] if lines else "")
    return _HEADING.sub(r"\g<words>", first)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read the issue in {str(path)!r}: {error.strerror}") from error


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name, or a NUL: it is the text itself
        return False


def _looks_like_a_path(text: str) -> bool:
    """Return whether `text` is one word with a folder or a file ending: a mistyped name rather than a description."""
    return len(text.split()) == 1 and bool(re.search(r"[/\\]|\.\w{1,5}$", text))
