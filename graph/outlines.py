"""What is defined in one version of a file, by blob: read once, kept in the store.

Following one function through a thousand versions of its file needs to know where it stands in the few versions that changed it. Only those are
parsed, for definitions alone, and what was found is kept by blob id, so a blob is parsed once whatever is asked later and at whichever commit.
"""

import json
import zlib
from collections.abc import Callable
from typing import NamedTuple

from backstory.errors import DamagedStore
from backstory.graph.languages import language_named, language_of, parse_version, table_version
from backstory.graph.store import Store
from backstory.graph.types import Oid, RepoPath, Span, SymbolKind

KIND = "outline"
VERSION = "2"
"""Raise it whenever the same bytes would be read otherwise for a reason the language table does not tell."""


class Defined(NamedTuple):
    """A definition in one blob. name: the last part of qualname, without `#2`."""

    kind: SymbolKind
    name: str
    qualname: str
    span: Span


class Outlines:
    """Outlines of blobs, parsed when first asked for; `save` keeps the new ones."""

    def __init__(self, store: Store, read_blob: Callable[[Oid], bytes]) -> None:
        self._store, self._read_blob = store, read_blob
        self._known: dict[tuple[Oid, str], tuple[Defined, ...]] = {}
        self._new: dict[bytes, bytes] = {}

    def of(self, blob: Oid, path: RepoPath) -> tuple[Defined, ...]:
        """Return what is defined in a blob read as the language of `path`, outer before inner; nothing in an unknown language."""
        language = language_of(path)
        return () if language is None else self.in_language(blob, language.name)

    def in_language(self, blob: Oid, language: str) -> tuple[Defined, ...]:
        """Return what is defined in a blob read as a language."""
        known = self._known.get((blob, language))
        if known is None:
            known = self._stored(blob, language)
            known = self._known[blob, language] = self._parsed(blob, language) if known is None else known
        return known

    def save(self) -> None:
        """Keep what was parsed since the last time."""
        if self._new:
            self._store.save_derived(KIND, version(), self._new.items())
            self._new = {}

    def _stored(self, blob: Oid, language: str) -> tuple[Defined, ...] | None:
        payload = self._store.derived(KIND, [_key(blob, language)], version()).get(_key(blob, language))
        if payload is None:
            return self._in_code(blob, language)
        try:
            return tuple(
                Defined(kind, name, qualname, Span(first, last))
                for kind, name, qualname, first, last in json.loads(zlib.decompress(payload))
            )
        except (ValueError, zlib.error) as error:
            raise DamagedStore(f"a stored outline is damaged ({error}); run `backstory cache clear` and try again") from error

    def _in_code(self, blob: Oid, language: str) -> tuple[Defined, ...] | None:
        """Return what the code half, which parses the versions of pinned trees, knows of a blob."""
        payload = self._store.parses([blob], parse_version(language)).get(blob)
        if payload is None:
            return None
        from backstory.graph.pack import unpack  # here: it loads the parser's module

        return tuple(Defined(row.kind, row.name, row.qualname, row.span) for row in unpack(payload, words=False).definitions)

    def _parsed(self, blob: Oid, language: str) -> tuple[Defined, ...]:
        from backstory.graph.parse import parse_definitions  # here: a question whose versions are all stored loads no parser

        rows = parse_definitions(language_named(language), self._read_blob(blob))
        found = tuple(Defined(row.kind, row.name, row.qualname, row.span) for row in rows)
        packed = [[row.kind, row.name, row.qualname, row.span.first, row.span.last] for row in found]
        self._new[_key(blob, language)] = zlib.compress(json.dumps(packed, separators=(",", ":")).encode("ascii"))
        return found


def version() -> str:
    """Return what kept outlines are keyed by."""
    return f"{VERSION}.{table_version()}"


def _key(blob: Oid, language: str) -> bytes:
    return bytes.fromhex(blob) + language.encode("ascii")
