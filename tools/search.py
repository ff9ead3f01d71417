"""Lines that hold a text or match a pattern, in the files as they are now.

A literal text is looked for only in files whose words say that it may stand there: the graph's word table knows every token of every parsed file. What
is not parsed (documentation, data, other languages) is read. Patterns are matched by the `regex` library, which can be told to give up.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import regex

from backstory.graph.languages import LANGUAGES
from backstory.graph.parse import MAX_FILE_BYTES
from backstory.graph.types import RepoPath
from backstory.graph.words import MIN_WORD_CHARS, tokens
from backstory.tools.lines import is_binary
from backstory.tools.view import View

PATTERN_SECONDS = 5.0  # of matching one pattern over all files; ordinary ones take a tenth of a second on 25 MB
MAX_HITS = 10_000  # lines counted; beyond it the question was too broad
_KEYWORDS = frozenset().union(*(language.keywords for language in LANGUAGES))


@dataclass(frozen=True)
class Hits:
    """The lines of one file that hold what was asked for. lines: 1-based, with their bytes without line ends."""

    path: RepoPath
    lines: Sequence[tuple[int, bytes]]


class BadPattern(Exception):
    """A pattern that cannot be read, or that takes too long; says which."""


def search_text(view: View, text: str, paths: Sequence[RepoPath], *, ignore_case: bool = False) -> list[Hits]:
    """Return the lines that hold a literal text, by path. A text of several lines is found by its first line."""
    needle = text.encode("utf-8", "surrogateescape")
    if ignore_case:
        pattern = regex.compile(regex.escape(needle, special_only=True), regex.IGNORECASE)
        return _scan(view, _worth_reading(view, text, paths), lambda source: (match.start() for match in pattern.finditer(source)))
    return _scan(view, _worth_reading(view, text, paths), lambda source: _occurrences(source, needle))


def search_pattern(view: View, pattern: str, paths: Sequence[RepoPath]) -> list[Hits]:
    """Return the lines where a regular expression matches, by path. Raises BadPattern."""
    try:
        compiled = regex.compile(pattern.encode("utf-8", "surrogateescape"), regex.MULTILINE)
    except (regex.error, OverflowError, RecursionError) as error:
        raise BadPattern(f"the pattern cannot be read: {error}") from error
    try:
        return _scan(view, paths, lambda source: (match.start() for match in compiled.finditer(source, timeout=PATTERN_SECONDS)))
    except TimeoutError as error:
        raise BadPattern("the pattern takes too long to match; simplify it, or name a path") from error


def _scan(view: View, paths: Sequence[RepoPath], starts: Callable[[bytes], Iterator[int]]) -> list[Hits]:
    found: list[Hits] = []
    room = MAX_HITS
    for path in paths:
        if room <= 0:
            break
        size = view.size(path)
        if size is None or size > MAX_FILE_BYTES:
            continue
        source = view.text(path) or b""
        if is_binary(source):
            continue
        lines = _lines_at(source, starts(source), room)
        if lines:
            found.append(Hits(path, lines))
            room -= len(lines)
    return found


def _lines_at(source: bytes, starts: Iterator[int], room: int) -> list[tuple[int, bytes]]:
    """Return the lines some offsets, in order, lie in; each once."""
    lines: list[tuple[int, bytes]] = []
    counted, number, end = 0, 1, -1
    for start in starts:
        if start <= end:
            continue
        number += source.count(b"\n", counted, start)
        counted = start
        first = source.rfind(b"\n", 0, start) + 1
        end = source.find(b"\n", start)
        end = len(source) if end < 0 else end
        lines.append((number, source[first:end].removesuffix(b"\r")))
        if len(lines) >= room:
            break
    return lines


def _occurrences(source: bytes, needle: bytes) -> Iterator[int]:
    at = source.find(needle)
    while at >= 0:
        yield at
        at = source.find(needle, at + 1)


def _worth_reading(view: View, text: str, paths: Sequence[RepoPath]) -> Sequence[RepoPath]:
    """Leave out the files that are parsed and lack a word of the text.

    The first and last token may be part of a longer one. Keywords and single letters are not in the table; nor are tokens over 64 characters, so that a
    text inside of one of those alone is not found.
    """
    code = view.graph.code
    parsed = code.files()
    found = tokens(text)
    holding = np.ones(len(parsed), dtype=bool)
    for place, token in enumerate(found):
        word = token.lower()
        open_left = place == 0 and text.startswith(token)
        open_right = place == len(found) - 1 and text.endswith(token)
        if (
            len(word) < MIN_WORD_CHARS
            or ((open_left or open_right) and any(word in keyword for keyword in _KEYWORDS))
            or token in _KEYWORDS
        ):
            continue
        holding &= code.files_with(word, part=open_left or open_right)
    possible = {parsed[number] for number in np.flatnonzero(holding).tolist()} if not holding.all() else set(parsed)
    known = set(parsed)
    return [path for path in paths if path not in known or path in possible or path in view.changed]
