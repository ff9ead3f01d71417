"""Splitting text and identifiers into search words, the same way for code, issues and commit messages.

A token is a run of letters, digits and underscores. It gives itself in lower case, so that an exact name still matches exactly, and its parts, so
that `getHTTPResponse`, `get_http_response` and "HTTP response" meet. There is no stemming and no stop list: BM25 already gives common words next
to no weight.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

MIN_WORD_CHARS = 2  # a single letter is a loop variable or an article
MAX_WORD_CHARS = 64  # longer than any name a person types; what is longer is a hash or encoded bytes
SPLITS_KEPT = 1 << 16  # distinct tokens of a large repository, so that each is split once

_TOKEN = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


def tokens(text: str) -> list[str]:
    """Return the tokens of `text` in order, unchanged."""
    return _TOKEN.findall(text)


@lru_cache(maxsize=SPLITS_KEPT)
def split_token(token: str) -> tuple[str, ...]:
    """Return the words of one token: the whole in lower case first, then its parts in order when there is more than one.

    Words shorter than MIN_WORD_CHARS or longer than MAX_WORD_CHARS are left out. A token with letters outside ASCII is split at underscores only.

    >>> split_token("getHTTPResponse2")
    ('gethttpresponse2', 'get', 'http', 'response')
    >>> split_token("__init__")
    ('__init__', 'init')
    """
    whole = token.lower()
    parts = [part.lower() for part in (_PART.findall(token) if token.isascii() else token.split("_"))]
    found = [whole] if len(parts) == 1 and parts[0] == whole else [whole, *parts]
    return tuple(word for word in found if MIN_WORD_CHARS <= len(word) <= MAX_WORD_CHARS)


def split_words(text: str) -> list[str]:
    """Return the search words of `text` in order, repeats included.

    >>> split_words("KeyError in app.run_simple()")
    ['keyerror', 'key', 'error', 'in', 'app', 'run_simple', 'run', 'simple']
    """
    return [word for token in tokens(text) for word in split_token(token)]


def count_words(found: Iterable[str] | Mapping[str, int]) -> dict[str, int]:
    """Return how often each search word occurs in `found` tokens (or in tokens with their counts), in order of first occurrence."""
    counts: dict[str, int] = {}
    for token, times in Counter(found).items():
        for word in split_token(token):
            counts[word] = counts.get(word, 0) + times
    return counts
