"""Issues with a known answer: the fixing patch, the tests that judge a fix, and what the patch says about where the change belonged.

Where the change belonged, the gold, is read from the patch and the tree at its base, by one definition for every measure:

- gold files are those the patch changes that exist at the base and are no tests;
- gold functions are the innermost functions or methods that hold the lines the patch removes or, for a hunk that only inserts, the place of the
  insertion (a new function behind another is not in it); what stands outside every function (module level, a class body) has none.

Files of instances are read in `backstory.harness.data`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol, TypeVar

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchSet

from backstory.errors import UserError
from backstory.graph.languages import is_test, language_of
from backstory.graph.outline import Definition
from backstory.graph.parse import parse_definitions
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import RepoPath, Span, SymbolId, SymbolKind


@dataclass(frozen=True)
class Setup:
    """What a data set itself says about how an instance is installed and tested; empty where it says nothing.

    python: "3.9". commands: shell commands, in order. test_command: without the files. parser: the name of a log's form. image: of a container.
    script: the official one that puts the tests in place and runs them. one: how one test is named to the test command, "" by its form.
    at: the commit in whose tree the commands were run, "" for the instance's base.
    """

    python: str = ""
    commands: tuple[str, ...] = ()
    test_command: str = ""
    parser: str = ""
    image: str = ""
    script: str = ""
    one: str = ""
    at: str = ""


@dataclass(frozen=True)
class Instance:
    """One issue with its true patch.

    repository: owner/name. text: the statement; the title is its first line. test_patch: brings the tests that judge a fix. fail_to_pass: ids of
    tests that fail before the true patch and pass after it; pass_to_pass: of those that pass before and after. Ids are the data set's: some are cut at
    the first blank, some are bare names. Without tests (the second half) an instance can be located, and not judged.
    """

    id: str
    repository: str
    base: str
    text: str
    patch: str
    test_patch: str = ""
    fail_to_pass: tuple[str, ...] = ()
    pass_to_pass: tuple[str, ...] = ()
    version: str = ""
    created_at: str = ""
    hints: str = ""
    setup: Setup = Setup()


def folder_of(repository: str, repos: str) -> Path:
    """Return where `owner/name` is by a pattern with `{owner}` and `{name}`. Raises UserError when `repos` is no such pattern.

    >>> str(folder_of("pallets/flask", "/mirrors/{owner}+{name}"))
    '/mirrors/pallets+flask'
    """
    owner, _, name = repository.partition("/")
    try:
        return Path(repos.format(owner=owner, name=name))
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(f"{repos!r} is no pattern of repositories; it may hold {{owner}} and {{name}}, and {{{{ for a {{") from error


@dataclass(frozen=True)
class Gold:
    """Where the true patch changed the code: files and functions, each sorted."""

    files: tuple[RepoPath, ...]
    functions: tuple[SymbolId, ...]


def added_text(patch: str) -> str:
    """Return the lines that a patch adds, without their plus."""
    return "\n".join(line[1:] for line in patch.splitlines() if line.startswith("+") and not line.startswith("+++"))


def gold_of(patch: str, graph: RepoGraph) -> Gold:
    """Return what a patch says of the tree of `graph`. Raises UserError when it is no unified diff."""
    try:
        found = _changed(
            patch, lambda path: graph.text(path) if path in graph.files() else None, lambda path, source: graph.code.symbols(path)
        )
    except UnidiffParseError as error:
        raise UserError(f"the true patch is no unified diff: {error}") from error
    return Gold(tuple(sorted(found)), tuple(sorted({symbol.id for symbols in found.values() for symbol in symbols})))


def changed_functions(patch: str, content: Callable[[RepoPath], bytes | None]) -> tuple[str, ...]:
    """Return the functions that a patch changes, by the definition of gold ones, as `path:qualname`, sorted. Needs no graph: the files alone are parsed.

    content: of a file at the base, None where there is none. Raises UnidiffParseError for what is no unified diff.
    """

    def definitions(path: RepoPath, source: bytes) -> Sequence[Definition]:
        language = language_of(path)
        return () if language is None else parse_definitions(language, source)

    found = _changed(patch, content, definitions)
    return tuple(sorted({f"{path}:{one.qualname}" for path, changed in found.items() for one in changed}))


class _Spanned(Protocol):
    """What is defined on some lines: a symbol of a graph, or a definition of a parse."""

    @property
    def kind(self) -> SymbolKind: ...
    @property
    def span(self) -> Span: ...


_One = TypeVar("_One", bound=_Spanned)


def _changed(
    patch: str, content: Callable[[RepoPath], bytes | None], definitions: Callable[[RepoPath, bytes], Sequence[_One]]
) -> dict[RepoPath, list[_One]]:
    """Return the functions that a patch changes in each file that exists and is no test. content: of a file at the base, None where there is none."""
    found: dict[RepoPath, list[_One]] = {}
    for file in PatchSet(patch):
        path = RepoPath(file.source_file.removeprefix("a/"))
        source = None if is_test(path) else content(path)
        if source is not None:
            lines, known = source.decode("utf-8", "replace").splitlines(), definitions(path, source)
            holders = [holder for hunk in file for holder in _holders(hunk, lines, known)]
            found[path] = [holder for holder in holders if holder is not None and holder.kind != "class"]
    return found


def _holders(hunk: Hunk, lines: Sequence[str], definitions: Sequence[_One]) -> Iterator[_One | None]:
    """Yield the innermost definition around each line a hunk removes or, where it only inserts, around each place of an insertion."""
    moved = _moved(hunk, lines)
    removed = [line.source_line_no or 1 for line in hunk if line.is_removed]
    for number in removed:
        yield _innermost(one for one in definitions if number + moved in one.span)
    for before, added in () if removed else _insertions(hunk):
        yield _innermost(one for one in definitions if _is_around(one.span, before + moved, added, lines))


def _innermost(holding: Iterable[_One]) -> _One | None:
    return max(holding, key=lambda one: (one.span.first, -one.span.last), default=None)


def _is_around(span: Span, before: int, added: str, lines: Sequence[str]) -> bool:
    """Tell whether what is inserted after a line is part of a definition; behind its last line, only where it is indented more than its head."""
    return before in span and (before < span.last or _indent(added) > _indent(lines[span.first - 1]))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _moved(hunk: Hunk, lines: Sequence[str]) -> int:
    """Return how many lines further down than it says a hunk's lines stand in the file: published patches were made against other trees.

    The nearest place counts, as for `git apply`; 0 when there is none.
    """
    own = [line.value.rstrip("\r\n") for line in hunk if line.is_context or line.is_removed]
    first = hunk.source_start - 1
    places = (place for place in range(len(lines) - len(own) + 1) if lines[place : place + len(own)] == own) if own else ()
    return min((place - first for place in places), key=lambda moved: (abs(moved), moved), default=0)


def _insertions(hunk: Hunk) -> Iterator[tuple[int, str]]:
    """Yield (line before, first line that is not blank) of each run of lines that a hunk inserts."""
    before = 0
    for is_added, run in groupby(hunk, key=lambda line: line.is_added):
        found = list(run)
        if is_added:
            yield max(1, before), next((line.value for line in found if line.value.strip()), "")
        else:
            before = found[-1].source_line_no or before
