"""Fixture projects in one text file each, whose comments say where names are defined.

A line `=== path` begins a file; tabs are four columns wide. Below a line of code, a comment with a caret speaks of the name above it:
`^ defined: 3` (line 3 of this file), `^ defined: other.py:3, 8` (several), `^ by name: ...` (found by name alone), `^ external` (nothing here).
"""

import re
from dataclasses import dataclass
from pathlib import Path

CARET = re.compile(r"\s*(?:#|//)\s*\^ (defined|by name|external)(?:: (.*))?$")
NAME = re.compile(r"[\w$]+")


@dataclass(frozen=True)
class Caret:
    """One claim: the name at a line of a file is found in a way ("defined", "by name", "external") at (path, line) targets."""

    path: str
    line: int
    name: str
    way: str
    targets: tuple[tuple[str, int], ...]


def read_project(fixture: Path) -> tuple[dict[str, str], list[Caret]]:
    """Return a fixture's files and the claims in their comments."""
    files: dict[str, list[str]] = {}
    for line in fixture.read_text("utf-8").splitlines():
        if line.startswith("=== "):
            lines = files.setdefault(line.removeprefix("=== "), [])
        else:
            lines.append(line)
    carets = [caret for path, lines in files.items() for caret in carets_in(path, lines)]
    return {path: "\n".join(lines) + "\n" for path, lines in files.items()}, carets


def carets_in(path: str, lines: list[str]) -> list[Caret]:
    found = []
    code = 0
    for number, line in enumerate(lines):
        match = CARET.match(line)
        if match is None:
            code = number
            continue
        name = next(name.group() for name in NAME.finditer(lines[code].expandtabs(4)) if name.start() <= line.index("^") < name.end())
        targets = []
        for target in filter(None, (match.group(2) or "").split(", ")):
            place, _, at = target.rpartition(":")
            targets.append((place or path, int(at)))
        found.append(Caret(path, code + 1, name, match.group(1), tuple(targets)))
    return found
