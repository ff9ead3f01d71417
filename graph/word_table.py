"""Which word is how often in which document, for search: of the nodes of a tree's code, of messages, of texts.

Words are kept per document in compressed sparse rows, so that looking for a few words in a hundred thousand documents is a pass over arrays. The
table of a tree has a row for each node, numbered as in a snapshot: a symbol's own words, or those of a file outside all its symbols. It is joined
from the rows of single files when it is first asked for, and then kept.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from backstory.errors import DamagedStore
from backstory.graph.pack import FAST, Numbers, WordRows, as_json, join_sections, numbers_in, raw_numbers, split_sections
from backstory.graph.words import of_stems

WORDS_VERSION = "1"


@dataclass(frozen=True)
class WordTable:
    """Word counts of all nodes: node n holds words[starts[n]:starts[n + 1]], indices into vocabulary, with as many counts."""

    vocabulary: list[str]
    starts: Numbers
    words: Numbers
    counts: Numbers

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The place of each word in the vocabulary."""
        return {word: number for number, word in enumerate(self.vocabulary)}

    @cached_property
    def lengths(self) -> npt.NDArray[np.float64]:
        """How many words each node has, repeats counted."""
        before = np.concatenate(([0.0], np.cumsum(self.counts, dtype=np.float64)))
        return before[self.starts[1:]] - before[self.starts[:-1]]

    def holders(self, number: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the nodes that hold a word of the vocabulary, in order, and how often each does."""
        order, begins, nodes = self._by_word
        places = order[begins[number] : begins[number + 1]]
        return nodes[places], self.counts[places].astype(np.float64)

    def entries(
        self, words: Sequence[str], *, stemmed: bool = False
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return (nodes, places in `words`, counts) of every occurrence of some distinct words, in order of node.

        stemmed: `words` are stems, and every word that has one of them is an occurrence.
        """
        place_of = np.full(len(self.vocabulary), -1, dtype=np.int64)
        if stemmed:
            places_of_stems = {word: place for place, word in enumerate(words)}
            for number, found in of_stems(places_of_stems.keys(), self.vocabulary):
                place_of[number] = places_of_stems[found]
        else:
            for place, word in enumerate(words):
                if word in self.numbers:
                    place_of[self.numbers[word]] = place
        places = place_of[self.words]
        held = np.flatnonzero(places >= 0)
        nodes = np.searchsorted(self.starts, held, side="right") - 1
        return nodes.astype(np.int64), places[held], self.counts[held].astype(np.float64)

    @cached_property
    def _by_word(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The places of `words` sorted by word, where each word begins among them, and the node of each place."""
        order = np.argsort(self.words, kind="stable")
        begins = np.concatenate(([0], np.cumsum(np.bincount(self.words, minlength=len(self.vocabulary)))))
        return order, begins, np.repeat(np.arange(len(self.starts) - 1), self.starts[1:] - self.starts[:-1])

    def row(self, first: int, end: int) -> dict[str, int]:
        """Return the summed counts of nodes `first` to `end` (exclusive)."""
        part = slice(int(self.starts[first]), int(self.starts[end]))
        found: dict[str, int] = {}
        for number, count in zip(self.words[part].tolist(), self.counts[part].tolist(), strict=True):
            word = self.vocabulary[number]
            found[word] = found.get(word, 0) + count
        return found


def join_words(files: Sequence[WordRows]) -> WordTable:
    """Return the table of the files of a snapshot, in its order: each file's own words first, then those of all symbols."""
    numbers: dict[str, int] = {}
    own: list[Numbers] = []
    inner: list[Numbers] = []
    own_counts: list[Numbers] = []
    inner_counts: list[Numbers] = []
    lengths = [np.diff(rows.starts) for rows in files]
    for rows in files:
        known = np.array([numbers.setdefault(word, len(numbers)) for word in rows.vocabulary], np.uint32)
        words, cut = known[rows.words], int(rows.starts[1])
        own.append(words[:cut])
        inner.append(words[cut:])
        own_counts.append(rows.counts[:cut])
        inner_counts.append(rows.counts[cut:])
    none = np.zeros(0, np.uint32)
    each = np.concatenate([np.zeros(1, np.uint32), *(part[:1] for part in lengths), *(part[1:] for part in lengths)])
    return WordTable(
        vocabulary=list(numbers),
        starts=np.cumsum(each).astype(np.uint32),
        words=np.concatenate([none, *own, *inner]),
        counts=np.concatenate([none, *own_counts, *inner_counts]),
    )


def table_from(rows: Iterable[Mapping[str, int]]) -> WordTable:
    """Return the table of documents given by their counted words."""
    numbers: dict[str, int] = {}
    words: list[int] = []
    counts: list[int] = []
    starts = [0]
    for row in rows:
        words += [numbers.setdefault(word, len(numbers)) for word in row]
        counts += row.values()
        starts.append(len(words))
    return WordTable(list(numbers), *(np.array(column, np.uint32) for column in (starts, words, counts)))


def pack_table(table: WordTable) -> bytes:
    """Return a table as bytes; `unpack_table` is the inverse."""
    numbers = map(raw_numbers, (table.starts, table.words, table.counts))
    return join_sections(zlib.compress(section, FAST) for section in (as_json(table.vocabulary), *numbers))


def unpack_table(payload: bytes) -> WordTable:
    """Return the table that was packed. Raises StorageError when the payload is damaged."""
    try:
        vocabulary, starts, words, counts = map(zlib.decompress, split_sections(payload))
        return WordTable(json.loads(vocabulary), numbers_in(starts), numbers_in(words), numbers_in(counts))
    except (ValueError, zlib.error) as error:
        raise DamagedStore(f"a stored table of words is damaged ({error}); run `backstory cache clear` and try again") from error
