"""Text that came from an issue, a repository or a program, made safe to put before a person.

Such text can move a cursor, set a clipboard, hide words, mention people or close the quotation it stands in. Three answers: `clean`
(`backstory.tools.visible`) takes out what is not visible text, `fenced` and `code_span` quote for Markdown so that the text cannot end its own
quotation, and `inert_log` keeps a CI runner from reading commands in it. Nothing here judges what a text says.
"""

import re

from backstory.tools.visible import clean, one_line


def fenced(text: str, *, language: str = "") -> str:
    """Return `text` cleaned in a Markdown fence one backtick longer than any run of backticks in it, so that it cannot close it."""
    visible = clean(text).text.rstrip("\n")
    fence = "`" * max(3, _longest_run(visible) + 1)
    return f"{fence}{language}\n{visible}\n{fence}"


def code_span(text: str, *, limit: int = 200) -> str:
    """Return `text` on one line as a Markdown code span, in which mentions, links and HTML are inert; empty text gives an empty string."""
    line = one_line(text, limit=limit)
    if not line:
        return ""
    ticks = "`" * (_longest_run(line) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def inert_log(text: str) -> str:
    """Return `text` so that a GitHub runner reads no workflow command in it.

    A runner takes `::name::` at the start of a line and `##[name]` anywhere in one.

    >>> inert_log("::error::x")
    ': :error::x'
    """
    return re.sub(r"^(\s*):(?=:)", r"\1: ", clean(text).text.replace("##[", "# #["), flags=re.MULTILINE)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
