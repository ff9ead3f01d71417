"""Issues with a known answer: what the fixing patch says about where the change belonged.

An instance is a line of a SWE-bench style file. Its gold is read from its patch and the tree at its base, by one definition for every measure:

- gold files are those the patch changes that exist at the base and are no tests;
- gold functions are the innermost functions or methods that hold the lines the patch removes or, for a hunk that only inserts, the place of the
  insertion; what stands outside every function (module level, a class body) has none.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchSet

from backstory.errors import UserError
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import RepoPath, SymbolId

_FIELDS = ("instance_id", "repo", "base_commit", "problem_statement", "patch")


@dataclass(frozen=True)
class Instance:
    """One issue with its true patch. repository: owner/name. text: the title is its first line."""

    id: str
    repository: str
    base: str
    text: str
    patch: str


@dataclass(frozen=True)
class Gold:
    """Where the true patch changed the code: files and functions, each sorted."""

    files: tuple[RepoPath, ...]
    functions: tuple[SymbolId, ...]


def read_instances(path: Path) -> list[Instance]:
    """Return the instances of a JSON-lines file, by repository and otherwise as they stand: bases near each other share most of their parses.

    Raises UserError when the file cannot be read or a line lacks a field.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the instances in {str(path)!r}: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            values = [row[name] for name in _FIELDS]
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"line {number} of {str(path)!r} is no instance; each needs {', '.join(_FIELDS)}") from error
        found.append(Instance(*map(str, values)))
    return sorted(found, key=lambda instance: instance.repository)


def gold_of(patch: str, graph: RepoGraph) -> Gold:
    """Return what a patch says of the tree of `graph`. Raises UserError when it is no unified diff."""
    try:
        lines = _gold_lines(patch, graph)
    except UnidiffParseError as error:
        raise UserError(f"the true patch is no unified diff: {error}") from error
    return Gold(tuple(sorted(lines)), _functions(lines, graph))


def _gold_lines(patch: str, graph: RepoGraph) -> dict[RepoPath, list[int]]:
    """Return the lines at the base that a patch removes from each file, or for a hunk that only inserts, the line before the place."""
    lines: dict[RepoPath, list[int]] = {}
    for file in PatchSet(patch):
        path = RepoPath(file.source_file.removeprefix("a/"))
        if path not in graph.files() or graph.code.is_test(path):
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
