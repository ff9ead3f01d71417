"""A `Parse` as bytes for the store, and back.

Two sections, each JSON under zlib: what linking needs, and the words, which are the larger half and not needed to link. JSON rather than a binary
format of Python's own, so that a damaged or foreign row can never do more than fail to load.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence

from backstory.errors import StorageError
from backstory.graph.outline import Definition
from backstory.graph.parse import Base, Import, Parse, Reference, Typed
from backstory.graph.types import Span

LEVEL = 3  # of zlib: a third larger than level 9 and several times faster


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
    return join_sections([_compressed(outline), _compressed(_words_out(parse.own_words))])


def unpack(payload: bytes, *, words: bool = True) -> Parse:
    """Return the parse that `pack` wrote; without its words unless `words`. Raises StorageError when the payload is damaged."""
    try:
        first, second = split_sections(payload)
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
            own_words=_words_in(json.loads(zlib.decompress(second))) if words else (),
        )
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise StorageError(f"a stored parse is damaged ({error}); run `backstory cache clear` and try again") from error


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


def _compressed(value: object) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode("ascii"), LEVEL)


def _words_out(parts: Sequence[Mapping[str, int]]) -> list[object]:
    """Return [vocabulary, then for each part its word numbers and counts in turn]."""
    numbers: dict[str, int] = {}
    rows = [[value for word, count in part.items() for value in (numbers.setdefault(word, len(numbers)), count)] for part in parts]
    return [list(numbers), *rows]


def _words_in(rows: list[list[int]]) -> tuple[dict[str, int], ...]:
    if not rows:
        return ()
    vocabulary: Sequence[str] = rows[0]  # type: ignore[assignment]  # the first row holds the words themselves
    return tuple({vocabulary[number]: count for number, count in zip(row[::2], row[1::2], strict=True)} for row in rows[1:])
