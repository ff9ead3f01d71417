"""What a tool says, held to a budget.

An answer is lines: a head, rows in order of worth, a tail. Rows are taken while they fit; when some do not, the last line says what is missing and how
to get it. A budget is in tokens of about four bytes, which is what tokenizers make of code; it bounds the answer whatever was asked.
"""

from collections.abc import Callable, Sequence

from backstory.tools.tool import Observation
from backstory.tools.visible import one_line

TOKEN_BYTES = 4
ANSWER_TOKENS = 1200  # of a list: what a model reads before it asks again
BODY_TOKENS = 3000  # of code or a diff: 250 to 350 lines
LABEL_CHARS = 160  # of a subject, a signature or a name in a list
ID_CHARS = 1000  # of a path or an id, which must be whole to be asked for again


def shown_id(text: str) -> str:
    """Return a path or an id for an answer: cleaned, on one line, whole unless it is absurd."""
    return one_line(text, limit=ID_CHARS)


def label(text: str, chars: int = LABEL_CHARS) -> str:
    """Return foreign text as part of a line: cleaned, white space folded, cut."""
    return one_line(text, limit=chars)


def counted(number: int, thing: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def answer(
    head: Sequence[str],
    rows: Sequence[str],
    *,
    more: Callable[[int], str],
    tail: Sequence[str] = (),
    budget: int = ANSWER_TOKENS,
    ok: bool = True,
) -> Observation:
    """Return head, as many of the first rows as fit `budget` tokens, and tail.

    more: the last line when `n` rows did not fit; it is kept whole, as are head and tail, so these must be short.
    """
    room = budget * TOKEN_BYTES
    fixed = "\n".join([*head, *tail])
    free = room - size(fixed) - 1
    if sum(size(row) + 1 for row in rows) <= free:
        return Observation(_cut("\n".join([*head, *rows, *tail]), room), ok=ok)
    free -= size(more(len(rows))) + 1
    taken = 0
    for row in rows:
        free -= size(row) + 1
        if free < 0:
            break
        taken += 1
    left = "\n".join(rows[taken:])
    text = "\n".join([*head, *rows[:taken], *tail, more(len(rows) - taken)])
    return Observation(_cut(text, room), ok=ok, dropped_chars=len(left))


def refuse(said: str, *, candidates: Sequence[str] = (), hint: str = "") -> Observation:
    """Return an answer that achieved nothing: what is wrong, what may have been meant, what to do."""
    rows = [f"  {candidate}" for candidate in candidates]
    return answer([said], rows, more=lambda n: f"({n} more)", tail=[hint] if hint else [], ok=False)


def size(text: str) -> int:
    """Return how many bytes of a budget a text takes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _cut(text: str, room: int) -> str:
    """Return text that fits whatever was put into its fixed parts."""
    return text if size(text) <= room else text.encode("utf-8", "replace")[:room].decode("utf-8", "ignore")
