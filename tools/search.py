"""Lines that hold a text or match a pattern, in the files as they are now.

Every file is read, once, for a view keeps what it read; on 25 MB of source a search then takes some thirty milliseconds. Only in a tree of very many
files is a literal text looked for where the graph's word table says that it may stand, at the price that `may_hold` names. Patterns are matched by the
`regex` library, which can be told to give up.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import regex

from backstory.graph.languages import LANGUAGES
from backstory.graph.parse import MAX_FILE_BYTES
from backstory.graph.types import RepoPath
from backstory.graph.words import MAX_WORD_CHARS, MIN_WORD_CHARS, tokens
from backstory.tools.lines import is_binary
from backstory.tools.view import View

PATTERN_SECONDS = 5.0  # of matching one pattern over all files; ordinary ones take a tenth of a second on 25 MB
MANY_FILES = 5_000  # over twice those of sympy: about what a view keeps
MAX_HITS = 10_000  # lines counted; beyond it the question was too broad
_KEYWORDS = frozenset(keyword.lower() for language in LANGUAGES for keyword in language.keywords)


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
    read = paths if len(paths) <= MANY_FILES else may_hold(view, text, paths)
    if ignore_case:
        pattern = regex.compile(regex.escape(needle, special_only=True), regex.IGNORECASE)
        return _scan(view, read, lambda source: (match.start() for match in pattern.finditer(source)))
    return _scan(view, read, lambda source: _occurrences(source, needle))


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


def may_hold(view: View, text: str, paths: Sequence[RepoPath]) -> Sequence[RepoPath]:
    """Leave out the files that are parsed, unchanged, and lack a word of a text in any case.

    The first and last token may be part of a longer one. Keywords and single letters are not in the word table, and neither are tokens over
    `MAX_WORD_CHARS`: a text that stands in such a token alone is missed.
    """
    code = view.graph.code
    parsed = code.files()
    found = tokens(text)
    holding = np.ones(len(parsed), dtype=bool)
    for place, token in enumerate(found):
        word = token.lower()
        is_part = (place == 0 and text.startswith(token)) or (place == len(found) - 1 and text.endswith(token))
        if not MIN_WORD_CHARS <= len(word) <= MAX_WORD_CHARS or any(
            word in keyword if is_part else word == keyword for keyword in _KEYWORDS
        ):
            continue
        holding &= code.files_with(word, part=is_part)
    lacking = {path for path, holds in zip(parsed, holding.tolist(), strict=True) if not holds}
    return [path for path in paths if path not in lacking or path in view.changed]
