"""A `Parse` as bytes for the store, and back.

Two sections: what linking needs, as JSON, and the words, which are the larger half and not needed to link, as numbers that can be joined to those of
other files without being looked at one by one. JSON rather than a binary format of Python's own, so that a damaged or foreign row can never do
more than fail to load.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from backstory.errors import DamagedStore
from backstory.graph.outline import Definition
from backstory.graph.parse import Base, Import, Parse, Reference, Typed
from backstory.graph.types import Span

LEVEL = 3  # of zlib: a third larger than level 9 and several times faster
FAST = 1  # a tenth larger still, in half the time: for what is made while a user waits

Numbers = npt.NDArray[np.uint32]


class WordRows(NamedTuple):
    """The words of one file: row n holds words[starts[n]:starts[n + 1]], indices into vocabulary, with as many counts.

    The rows are those of `Parse.own_words`: what stands outside all definitions, then each definition.
    """

    vocabulary: Sequence[str]
    starts: Numbers
    words: Numbers
    counts: Numbers


def pack(parse: Parse) -> bytes:
    """Return `parse` as bytes; `unpack(pack(parse)) == parse`."""
    outline = {
        "language": parse.language,
        "skipped": parse.skipped,
        "definitions": [[*row[:4], row.span.first, row.span.last, row.signature, row.doc] for row in parse.definitions],
        "references": parse.references,
        "imports": parse.imports,
        "typed": parse.typed,
        "exports": parse.exports,
        "bases": parse.bases,
        "packages": parse.packages,
        "hidden": parse.hidden,
    }
    rows = word_rows(parse.own_words)
    numbers = [raw_numbers(part) for part in (rows.starts, rows.words, rows.counts)]
    words = join_sections([as_json(rows.vocabulary), *numbers])
    return join_sections([zlib.compress(as_json(outline), LEVEL), zlib.compress(words, LEVEL)])


def unpack(payload: bytes, *, words: bool = True) -> Parse:
    """Return the parse that `pack` wrote; without its words unless `words`. Raises StorageError when the payload is damaged."""
    try:
        first, _ = split_sections(payload)
        outline = json.loads(zlib.decompress(first))
        return Parse(
            language=outline["language"],
            skipped=outline["skipped"],
            definitions=tuple(
                Definition(kind, name, qualname, scope, Span(start, end), signature, doc)
                for kind, name, qualname, scope, start, end, signature, doc in outline["definitions"]
            ),
            references=tuple(map(Reference._make, outline["references"])),
            imports=tuple(map(Import._make, outline["imports"])),
            typed=tuple(map(Typed._make, outline["typed"])),
            exports=outline["exports"],
            bases=tuple(map(Base._make, outline["bases"])),
            packages=tuple(outline["packages"]),
            hidden=tuple(outline["hidden"]),
            own_words=_dictionaries(unpack_words(payload)) if words else (),
        )
    except (ValueError, KeyError, TypeError, IndexError, zlib.error) as error:
        raise _damaged(error) from error


def unpack_words(payload: bytes) -> WordRows:
    """Return the words of a packed parse. Raises StorageError when the payload is damaged."""
    try:
        _, second = split_sections(payload)
        vocabulary, starts, words, counts = split_sections(zlib.decompress(second))
        return WordRows(json.loads(vocabulary), numbers_in(starts), numbers_in(words), numbers_in(counts))
    except (ValueError, zlib.error) as error:
        raise _damaged(error) from error


def word_rows(parts: Sequence[Mapping[str, int]]) -> WordRows:
    """Return the words of the parts of a file as rows."""
    numbers: dict[str, int] = {}
    words = [numbers.setdefault(word, len(numbers)) for part in parts for word in part]
    counts = [count for part in parts for count in part.values()]
    starts = np.cumsum([0, *map(len, parts)], dtype=np.uint32)
    return WordRows(list(numbers), starts, np.array(words, np.uint32), np.array(counts, np.uint32))


def join_sections(sections: Iterable[bytes]) -> bytes:
    """Return sections one after the other, each after its length in 8 bytes."""
    return b"".join(len(section).to_bytes(8, "big") + section for section in sections)


def split_sections(payload: bytes) -> list[bytes]:
    """Return what `join_sections` joined. Raises ValueError when a length does not fit."""
    sections, at = [], 0
    while at < len(payload):
        size = int.from_bytes(payload[at : at + 8], "big")
        section = payload[at + 8 : at + 8 + size]
        if len(section) != size:
            raise ValueError(f"a section of {size} bytes is cut short")
        sections.append(section)
        at += 8 + size
    return sections


def as_json(value: object) -> bytes:
    """Return a value as compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def raw_numbers(numbers: Numbers) -> bytes:
    """Return numbers as bytes, the same on every machine."""
    return numbers.astype("<u4").tobytes()


def numbers_in(raw: bytes) -> Numbers:
    """Return the numbers that `raw_numbers` wrote. Raises ValueError for a number of bytes that does not fit."""
    return cast(Numbers, np.frombuffer(raw, "<u4"))


def _dictionaries(rows: WordRows) -> tuple[dict[str, int], ...]:
    starts, words, counts = rows.starts.tolist(), rows.words.tolist(), rows.counts.tolist()
    return tuple(
        {rows.vocabulary[word]: count for word, count in zip(words[first:end], counts[first:end], strict=True)}
        for first, end in pairwise(starts)
    )


def _damaged(error: Exception) -> DamagedStore:
    return DamagedStore(f"a stored parse is damaged ({error}); run `backstory cache clear` and try again")
