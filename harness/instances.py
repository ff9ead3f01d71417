"""Issues with a known answer: the fixing patch, the tests that judge a fix, and what the patch says about where the change belonged.

Where the change belonged, the gold, is read from the patch and the tree at its base, by one definition for every measure:

- gold files are those the patch changes that exist at the base and are no tests;
- gold functions are the innermost functions or methods that hold the lines the patch removes or, for a hunk that only inserts, the place of the
  insertion; what stands outside every function (module level, a class body) has none.

Files of instances are read in `backstory.harness.data`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchSet

from backstory.errors import UserError
from backstory.graph.languages import is_test, language_of
from backstory.graph.parse import parse_definitions
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import RepoPath, SymbolId


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
        lines = _lines_at_base(patch, lambda path: path in graph.files())
    except UnidiffParseError as error:
        raise UserError(f"the true patch is no unified diff: {error}") from error
    return Gold(tuple(sorted(lines)), _functions(lines, graph))


def changed_functions(patch: str, content: Callable[[RepoPath], bytes | None]) -> tuple[str, ...]:
    """Return the functions that a patch changes, by the definition of gold ones, as `path:qualname`, sorted. Needs no graph: the files alone are parsed.

    content: of a file at the base, None where there is none. Raises UnidiffParseError for what is no unified diff.
    """
    sources: dict[RepoPath, bytes | None] = {}
    lines = _lines_at_base(patch, lambda path: sources.setdefault(path, content(path)) is not None)
    found = set()
    for path, numbers in lines.items():
        language, source = language_of(path), sources[path]
        if language is None or source is None:
            continue
        definitions = parse_definitions(language, source)
        for number in numbers:
            holding = [one for one in definitions if one.span.first <= number <= one.span.last]
            if holding and (inner := max(holding, key=lambda one: (one.span.first, -one.span.last))).kind != "class":
                found.add(f"{path}:{inner.qualname}")
    return tuple(sorted(found))


def _lines_at_base(patch: str, is_there: Callable[[RepoPath], bool]) -> dict[RepoPath, list[int]]:
    """Return the lines at the base that a patch removes from each file that is no test, or for a hunk that only inserts, the line before the place."""
    lines: dict[RepoPath, list[int]] = {}
    for file in PatchSet(patch):
        path = RepoPath(file.source_file.removeprefix("a/"))
        if is_test(path) or not is_there(path):
            continue
        wanted = lines.setdefault(path, [])
        for hunk in file:
            removed = [line.source_line_no or 1 for line in hunk if line.is_removed]
            wanted += removed or _insertion_points(hunk)
    return lines


def _insertion_points(hunk: Hunk) -> Iterator[int]:
    before = 0
    for line in hunk:
        if line.is_added:
            yield max(1, before)
        else:
            before = line.source_line_no or before


def _functions(lines: Mapping[RepoPath, Sequence[int]], graph: RepoGraph) -> tuple[SymbolId, ...]:
    symbols = (graph.code.symbol_at(path, line) for path, found in lines.items() for line in found)
    return tuple(sorted({symbol.id for symbol in symbols if symbol is not None and symbol.kind != "class"}))
