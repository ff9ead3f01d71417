"""Foreign text in a prompt: cleaned, bounded, and between markers that it cannot close.

The marker is made from the text itself, so it is the same in every run (a prompt keeps its bytes) and yet nobody can write a text that holds its own
marker. What stands between markers is data; the system text says so.
"""

import hashlib

from backstory.tools.bounded import bounded
from backstory.tools.visible import clean

MARKER_DIGITS = 12


def quoted(kind: str, text: str, *, limit: int) -> str:
    r"""Return `text` as a quotation of this kind, at most about `limit` characters of it, or "" when there is none.

    >>> quoted("issue", "It fails.", limit=100)
    '<issue f23e67e995a1>\nIt fails.\n</issue f23e67e995a1>'
    """
    visible = bounded(clean(text).text.strip("\n"), limit)[0]
    if not visible.strip():
        return ""
    marker = hashlib.sha256(visible.encode("utf-8", "surrogatepass")).hexdigest()[:MARKER_DIGITS]
    return f"<{kind} {marker}>\n{visible}\n</{kind} {marker}>"
