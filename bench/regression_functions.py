"""Which functions a change touches, to compare a patch with the true fix.

A function or class counts as touched when its own syntax tree differs, comments and layout aside, or when it was added or
removed; a change inside a nested definition counts for the nested one only. What is outside all of them is `<module>`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import regression_rows as rows
from checkouts import file_at, git

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def compare_functions(row: rows.Row, place: rows.Place) -> str:
    """`same`, `all of them and more`, `some` or `none` of the functions that the true fix changes are changed in the checkout."""
    mirror, checkout = place.mirror(row), place.checkout(row)
    true = touched(row, git(mirror, "diff", "--name-only", row.base, row.fix).split(), place, None)
    patched = touched(row, git(checkout, "diff", "--name-only", row.base).split(), place, checkout)
    if true == patched:
        return "same"
    if true <= patched:
        return "all of them and more"
    return "some" if true & patched else "none"


def touched(row: rows.Row, paths: list[str], place: rows.Place, checkout: Path | None) -> set[tuple[str, str]]:
    """(path, qualified name) of what differs between the base and the fix, or the checkout where one is given; tests left out."""
    found = set()
    for path in paths:
        if path.endswith(".py") and path not in row.files:
            before = file_at(place.mirror(row), row.base, path) or b""
            after = (file_at(place.mirror(row), row.fix, path) or b"") if checkout is None else (checkout / path).read_bytes()
            found |= {(path, name) for name in differing(before, after)}
    return found


def differing(before: bytes, after: bytes) -> set[str]:
    """Names of the definitions that differ; `<file>` when either text is no Python that this interpreter reads."""
    try:
        old, new = (definitions(ast.parse(text)) for text in (before, after))
    except (SyntaxError, ValueError):
        return {"<file>"}
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def definitions(module: ast.Module) -> Mapping[str, str]:
    """Each function and class by qualified name with its own syntax, the definitions inside it taken out."""
    found: dict[str, str] = {}
    waiting: list[tuple[str, ast.AST]] = [("<module>", module)]
    for name, node in waiting:
        inner: list[Definition] = []
        own = Without(inner).generic_visit(node)
        # One name may be defined twice, as a property and its setter are.
        found[name] = found.get(name, "") + ast.dump(own)
        prefix = "" if node is module else f"{name}."
        waiting.extend((prefix + child.name, child) for child in inner)
    return found


class Without(ast.NodeTransformer):
    """Takes imports and definitions out of a tree and keeps the definitions in a list."""

    def __init__(self, taken: list[Definition]) -> None:
        self.taken = taken

    def _take(self, node: Definition) -> None:
        self.taken.append(node)

    def _drop(self, node: ast.AST) -> None:
        """Imports only follow from what the functions need."""

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _take
    visit_Import = visit_ImportFrom = _drop
