"""Splitting text and identifiers into search words, the same way for code, issues and commit messages.

A token is a run of letters, digits and underscores. It gives itself in lower case, so that an exact name still matches exactly, and its parts, so
that `getHTTPResponse`, `get_http_response` and "HTTP response" meet. There is no stop list: BM25 already gives common words next to no weight. Words are
kept as they stand; a question that wants "parsing", "parsed" and "parser" to meet compares them by their stem, which is found when it asks.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache

MIN_WORD_CHARS = 2  # a single letter is a loop variable or an article
MAX_WORD_CHARS = 64  # longer than any name a person types; what is longer is a hash or encoded bytes
SHORTEST_STEMMED = 4
SPLITS_KEPT = 1 << 16  # distinct tokens of a large repository, so that each is split once

# Endings taken off a word, the first that fits: the same idea as a verb, its forms, who does it and what comes of it. Longer ones first.
_ENDINGS = (
    *(
        "ization",
        "isation",
        "ations",
        "ation",
        "ators",
        "ator",
        "ating",
        "ated",
        "ate",
        "ities",
        "ity",
        "izing",
        "ising",
        "ized",
        "ised",
        "izer",
    ),
    *(
        "ize",
        "ise",
        "ings",
        "ing",
        "edly",
        "ed",
        "ers",
        "er",
        "ors",
        "or",
        "ions",
        "ion",
        "ments",
        "ment",
        "ly",
        "able",
        "ible",
        "al",
        "ness",
    ),
)
_SHORT_ROOT_ENDINGS = frozenset({"ing", "ed", "er"})  # may leave three letters (`setting`); others leave four, so that `station` is no `st`
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


@lru_cache(maxsize=SPLITS_KEPT)
def stem(word: str) -> str:
    """Return what a lower-case English word shares with its other forms; any other word as it is. No word by itself, and not meant to be read.

    A light one, for names in code: two words with one stem are nearly always one idea, and some that are (`simplify`, `simplification`) stay apart.

    >>> [stem(word) for word in ("parsing", "parsed", "parser", "normalized", "normalization", "matrix", "get_http")]
    ['pars', 'pars', 'pars', 'normal', 'normal', 'matrix', 'get_http']
    """
    if len(word) < SHORTEST_STEMMED or not (word.isascii() and word.isalpha()):
        return word
    found = _singular(word)
    for ending in _ENDINGS:
        root = found.removesuffix(ending)
        if root != found and len(root) >= (3 if ending in _SHORT_ROOT_ENDINGS else 4) and _VOWEL.search(root):
            doubled = len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsz"
            found = root[:-1] if doubled else root
            break
    found = found[:-1] if len(found) > 3 and found.endswith("e") else found
    return f"{found[:-1]}i" if len(found) > 3 and found.endswith("y") else found


def stem_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Return how often the words of each stem occur, in order of first occurrence."""
    found: dict[str, int] = {}
    for word, count in counts.items():
        found[stem(word)] = found.get(stem(word), 0) + count
    return found


def spelled_stems(text: str) -> dict[str, str]:
    """Return the first word of `text` with each stem."""
    found: dict[str, str] = {}
    for word in count_words(tokens(text)):
        found.setdefault(stem(word), word)
    return found


def of_stems(stems: Collection[str], vocabulary: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield (place, stem) of the words of a vocabulary that have one of some stems."""
    # A stem begins like its words but for a last `i` (`simplify`) or `y` (`tries`), so most words need no stemming to be passed over.
    begins = {(found[:-1] if found.endswith(("i", "y")) and len(found) > 2 else found)[:SHORTEST_STEMMED] for found in stems}
    firsts = {begin[:2] for begin in begins}  # turns most words away with one look
    for place, word in enumerate(vocabulary):
        if word[:2] in firsts and (word[:4] in begins or word[:3] in begins or word[:2] in begins):
            found = stem(word)
            if found in stems:
                yield place, found


_VOWEL = re.compile("[aeiouy]")


def _singular(word: str) -> str:
    """Return a word without the ending of a plural, or of a verb's third person."""
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith("sses") or (word.endswith("es") and len(word) > 4 and word[-3] in "sxh"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
