"""What an agent looks at: the graph of the base commit, and the files as they stand now.

Edits change files under way, so their bytes, outlines and line numbers are always those of the current text; a changed file is parsed anew, once for
each state of it. Edges and the past are those of the base, which `changed` lets a tool say where it matters.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from backstory.graph.code import cut_lines
from backstory.graph.languages import is_test, language_of
from backstory.graph.parse import parse_definitions
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Edge, Oid, RepoPath, Symbol, SymbolId
from backstory.tools.near import NearNames
from backstory.tools.page import shown_id

KEPT_TEXT_BYTES = 64 << 20  # of files read once and kept: all of most repositories, a sixth of the memory of a small machine at most
NOT_STORED = Oid("")
"""The blob of a symbol that stands in no commit yet."""


@dataclass(frozen=True)
class _Outline:
    """The symbols of one state of a file, and where the innermost of them changes."""

    source: bytes
    symbols: tuple[Symbol, ...]
    firsts: Sequence[int]
    owners: Sequence[int]


class View:
    """The base and what was made of it since. One thread at a time; `refresh` before each look.

    changed: the paths that differ from the base now, new and deleted ones included. current: the bytes of one of them, None when it is gone.
    """

    def __init__(
        self,
        graph: RepoGraph,
        *,
        changed: Callable[[], Iterable[RepoPath]] = tuple,
        current: Callable[[RepoPath], bytes | None] = lambda path: None,
    ) -> None:
        self.graph = graph
        self._list_changed, self._read_current = changed, current
        self._current: dict[RepoPath, bytes | None] = {}
        self._outlines: dict[RepoPath, _Outline] = {}
        self._kept: dict[RepoPath, bytes] = {}
        self._kept_bytes = 0
        self._near: tuple[Sequence[str], NearNames] | None = None
        self.refresh()

    def refresh(self) -> None:
        """Look again at which files are changed, and at their bytes."""
        self._current = {path: self._read_current(path) for path in sorted(self._list_changed())}
        self._paths: list[RepoPath] | None = None

    # --- files ------------------------------------------------------------------------------------------------------------------------

    @property
    def changed(self) -> Mapping[RepoPath, bytes | None]:
        """The changed files with their bytes now, None for one that is gone; sorted."""
        return self._current

    def paths(self) -> Sequence[RepoPath]:
        """Return the plain files that are there now, sorted."""
        if self._paths is None:
            if self._current:
                there = {path for path in self.graph.files() if path not in self._current}
                self._paths = sorted(there | {path for path, now in self._current.items() if now is not None})
            else:
                self._paths = self._base_paths
        return self._paths

    def __contains__(self, path: object) -> bool:
        if path in self._current:
            return self._current[RepoPath(str(path))] is not None
        return path in self.graph.files()

    def text(self, path: RepoPath) -> bytes | None:
        """Return a file's bytes now, None when there is no such file."""
        if path in self._current:
            return self._current[path]
        known = self._kept.get(path)
        if known is None and path in self.graph.files():
            known = self.graph.text(path)
            if self._kept_bytes + len(known) <= KEPT_TEXT_BYTES:
                self._kept[path] = known
                self._kept_bytes += len(known)
        return known

    def size(self, path: RepoPath) -> int | None:
        """Return how many bytes a file has now, without reading it; None when there is no such file."""
        if path in self._current:
            now = self._current[path]
            return None if now is None else len(now)
        blob = self.graph.files().get(path)
        return None if blob is None else self.graph.mirror.blob_size(blob)

    def is_test(self, path: RepoPath) -> bool:
        """Return whether a file is a test or serves tests, judged by its path."""
        return is_test(path)

    # --- symbols ----------------------------------------------------------------------------------------------------------------------

    def symbols(self, path: RepoPath) -> Sequence[Symbol]:
        """Return what is defined in a file now, outer before inner; nothing when it is not parsed."""
        if path not in self._current:
            return self.graph.code.symbols(path)
        return self._outline(path).symbols

    def symbol(self, symbol: str) -> Symbol | None:
        """Return the symbol with an id, as it is now; None when there is none."""
        base = self.graph.code.symbol(SymbolId(symbol))
        if base is not None and base.path not in self._current:
            return base
        for path in self._current:
            if symbol.startswith(f"{path}:"):
                return next((one for one in self.symbols(path) if one.id == symbol), None)
        return None

    def symbol_at(self, path: RepoPath, line: int) -> Symbol | None:
        """Return the innermost symbol around a line as it is now, None where there is none."""
        if path not in self._current:
            return self.graph.code.symbol_at(path, line)
        outline = self._outline(path)
        owner = outline.owners[bisect_left(outline.firsts, line + 1) - 1]
        return None if owner < 0 else outline.symbols[owner]

    def named(self, name: str) -> Sequence[Symbol]:
        """Return the symbols whose last name part is `name`, by path and position."""
        found = [symbol for symbol in self.graph.code.definitions(name) if symbol.path not in self._current]
        for path in self._current:
            found += [symbol for symbol in self.symbols(path) if last_name(symbol) == name]
        return sorted(found, key=lambda symbol: (symbol.path, symbol.span.first, -symbol.span.last)) if self._current else found

    def names(self) -> Sequence[str]:
        """Return the last name parts of all symbols, sorted, each once."""
        if not self._current:
            return self._base_names
        return sorted({*self._base_names, *(last_name(symbol) for path in self._current for symbol in self.symbols(path))})

    def near(self, word: str, limit: int) -> Sequence[str]:
        """Return names of symbols that look like `word`, nearest first; an exact one counts."""
        names = self.names()
        if self._near is None or self._near[0] != names:
            self._near = (names, NearNames(names))
        return self._near[1].nearest(word, limit)

    def _outline(self, path: RepoPath) -> _Outline:
        source = self._current[path] or b""
        known = self._outlines.get(path)
        if known is None or known.source != source:
            known = self._outlines[path] = _outline(path, source)
        return known

    @cached_property
    def odd_ids(self) -> Mapping[str, str]:
        """Paths and symbol ids of the base that cannot be shown as they are, by what is shown instead; the first of several."""
        found: dict[str, str] = {}
        for one in [*self._base_paths, *self.graph.code.nodes]:
            if not (one.isascii() and one.isprintable()) or "  " in one:
                found.setdefault(shown_id(one), one)
        return found

    @cached_property
    def commit_ids(self) -> Sequence[Oid]:
        """All commits the base can reach, sorted by id."""
        return sorted(self.graph.order())

    def reverts_at(self, oid: Oid) -> Sequence[Edge]:
        """Return the edges from a commit to what it reverts, and from what reverts it."""
        return self._reverts.get(oid, ())

    @cached_property
    def _reverts(self) -> Mapping[str, Sequence[Edge]]:
        found: dict[str, list[Edge]] = {}
        for edge in self.graph.reverts():
            found.setdefault(edge.src, []).append(edge)
            found.setdefault(edge.dst, []).append(edge)
        return found

    @cached_property
    def _base_paths(self) -> list[RepoPath]:
        return sorted(self.graph.files())

    @cached_property
    def _base_names(self) -> list[str]:
        return sorted(self.graph.code.names())


def last_name(symbol: Symbol) -> str:
    """Return the last part of a symbol's qualified name, without the number of a repeated definition."""
    return symbol.qualname.rpartition(".")[2].partition("#")[0] or symbol.qualname


def _outline(path: RepoPath, source: bytes) -> _Outline:
    language = language_of(path)
    rows = parse_definitions(language, source) if language is not None else ()
    symbols = tuple(
        Symbol(SymbolId(f"{path}:{row.qualname}"), row.kind, path, row.qualname, row.span, row.signature, row.doc, NOT_STORED)
        for row in rows
    )
    firsts, owners = cut_lines([symbol.span.first for symbol in symbols], [symbol.span.last for symbol in symbols])
    return _Outline(source, symbols, firsts, owners)
