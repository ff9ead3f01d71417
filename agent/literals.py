r"""What a program tells its users: the words of its string literals, and which of them an issue repeats.

People paste what they were told. A literal is cut at its holes (`{name}`, `%s`, `\n`), and a piece of some words that stands in the issue word for
word leads to the line that says it, however common each of the words is. Literals are found by their quotes alone, the same way in every language;
blocks in triple quotes are documentation and no literals. Pieces are read once for each version of a file and stored.
"""

import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from backstory.graph.repograph import RepoGraph
from backstory.graph.types import RepoPath
from backstory.graph.words import tokens

KIND = "literals"
VERSION = "1"
FEWEST_WORDS = 3  # two words meet by chance
_LITERAL = re.compile(r'"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"((?:\\.|[^"\\\n])*)"|\'((?:\\.|[^\'\\\n])*)\'', re.S)
_HOLE = re.compile(r"\$?\{[^{}\n]*\}|%(?:\(\w+\))?[-#0-9.+ ]*[a-zA-Z]|\\[nrt]")


class Repeated(NamedTuple):
    """A piece of a literal that an issue repeats. line: where the literal begins; words: of the piece, in lower case, between single blanks."""

    path: RepoPath
    line: int
    words: str


def repeated(graph: RepoGraph, paths: Collection[RepoPath], text: str) -> list[Repeated]:
    """Return the pieces of the literals in some files of a graph's tree that stand in `text`, by path and line."""
    words = [token.lower() for token in tokens(text)]
    starts = {" ".join(words[place : place + FEWEST_WORDS]) for place in range(len(words) - FEWEST_WORDS + 1)}
    whole = f" {' '.join(words)} "
    return [
        Repeated(path, line, piece)
        for path, pieces in _pieces(graph, paths).items()
        for line, begin, piece in pieces
        if begin in starts and f" {piece} " in whole
    ]


def pieces_in(source: str) -> Iterator[tuple[int, str]]:
    r"""Yield (line, words) of each piece of FEWEST_WORDS words or more.

    >>> list(pieces_in('x = 1\nraise Error("no such file: %s, please try again", "ab")'))
    [(2, 'no such file'), (2, 'please try again')]
    """
    line, read = 1, 0
    for match in _LITERAL.finditer(source):
        literal = match[1] or match[2]
        if not literal or " " not in literal:
            continue
        line, read = line + source.count("\n", read, match.start()), match.start()
        for piece in _HOLE.split(literal):
            words = tokens(piece)
            if len(words) >= FEWEST_WORDS:
                yield line, " ".join(words).lower()


def _pieces(graph: RepoGraph, paths: Collection[RepoPath]) -> Mapping[RepoPath, list[tuple[int, str, str]]]:
    """Return (line, first words, words) of the pieces of each file, read now where they are not stored."""
    blobs = {path: graph.files()[path] for path in sorted(paths)}
    stored = graph.store.derived(KIND, map(bytes.fromhex, blobs.values()), VERSION)
    new: dict[bytes, bytes] = {}
    for blob in blobs.values():
        key = bytes.fromhex(blob)
        if key not in stored:
            found = pieces_in(graph.mirror.read_blob(blob).decode("utf-8", "replace"))
            stored[key] = new[key] = zlib.compress("\n".join(f"{line} {words}" for line, words in found).encode(), 1)
    if new:
        graph.store.save_derived(KIND, VERSION, new.items())
    return {path: list(map(_unpack, zlib.decompress(stored[bytes.fromhex(blob)]).decode().splitlines())) for path, blob in blobs.items()}


def _unpack(row: str) -> tuple[int, str, str]:
    line, _, words = row.partition(" ")
    return int(line), " ".join(words.split(" ", FEWEST_WORDS)[:FEWEST_WORDS]), words
