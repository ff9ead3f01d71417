"""What all commits said and what they touched, as columns: for questions that ask the whole past at once.

Counting the words of 60,000 messages takes many times longer than looking some up, so the counts are stored, by row id in pieces of `PIECE` commits.
A new commit makes the last piece anew and no other. Whether a commit may be seen is not told here: rows know nothing of where a graph is pinned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backstory.errors import DamagedStore
from backstory.graph.pack import Numbers, join_sections, numbers_in, raw_numbers, split_sections
from backstory.graph.past import MessageRow, Past
from backstory.graph.store import Store
from backstory.graph.word_table import WordTable, pack_table, table_from, unpack_table
from backstory.graph.words import count_words, tokens

KIND = "said"
VERSION = "1"
PIECE = 2048  # counted in a quarter of a second, which is what a new base commit costs at most
# A subject is written to say what the change is about; bodies wander (trailers, lists of squashed commits).
SUBJECT_WEIGHT = 2
BODY_CHARS = 2000


@dataclass(frozen=True)
class Piece:
    """Some commits in order of row id, the first of them `first`.

    words: of their messages, the subject's counted SUBJECT_WEIGHT times. changes, paths: place in the piece, and path id, of each file changed.
    """

    first: int
    words: WordTable
    changes: Numbers
    paths: Numbers


def read_said(store: Store, past: Past, last: int, *, size: int = PIECE) -> list[Piece]:
    """Return the pieces that hold the rows up to `last`, counting now what is not stored. size: rows of a piece, always the same for a store.

    Raises StorageError when what is stored is damaged.
    """
    firsts = range(1, last + 1, size)
    stored = store.derived(KIND, map(_key, firsts), VERSION)
    pieces: list[Piece] = []
    made: list[tuple[bytes, bytes]] = []
    for first in firsts:
        payload = stored.get(_key(first))
        piece = None if payload is None else _unpack(first, payload)
        if piece is None or first + len(piece.words.starts) - 1 <= min(last, first + size - 1):
            payload = _pack(past, first, first + size - 1)
            made.append((_key(first), payload))
            piece = _unpack(first, payload)
        pieces.append(piece)
    if made:
        store.save_derived(KIND, VERSION, made)
    return pieces


def message_words(subject: str, body: str) -> dict[str, int]:
    """Return the counted words of a message."""
    return count_words(tokens(subject) * SUBJECT_WEIGHT + tokens(body[:BODY_CHARS]))


def _key(first: int) -> bytes:
    return first.to_bytes(8, "big")


def _pack(past: Past, first: int, last: int) -> bytes:
    messages: Sequence[MessageRow] = past.messages_between(first, last)
    touched = past.paths_between(first, last)
    columns = ([commit - first for commit, _ in touched], [path for _, path in touched])
    words = pack_table(table_from(message_words(row.subject, row.body) for row in messages))
    return join_sections([words, *(raw_numbers(np.array(column, np.uint32)) for column in columns)])


def _unpack(first: int, payload: bytes) -> Piece:
    try:
        words, changes, paths = split_sections(payload)
        return Piece(first, unpack_table(words), numbers_in(changes), numbers_in(paths))
    except ValueError as error:
        raise DamagedStore(f"the stored words of messages are damaged ({error}); run `backstory cache clear` and try again") from error
