"""The repository and the commit a command is about, and what the project at that commit says about itself."""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pygit2

from backstory.config import PROJECT_FILE, Config, Layer, Value, from_project
from backstory.face import Face
from backstory.graph.languages import language_of
from backstory.graph.mirror import Source, open_source, resolve
from backstory.graph.source import open_repository
from backstory.graph.types import Oid, RepoPath

T = TypeVar("T")

SUBMODULES_NAMED = 5


@dataclass(frozen=True)
class Subject:
    """A repository pinned to a commit. config: with the project's own layer, read at that commit."""

    source: Source
    at: Oid
    config: Config


def open_subject(face: Face, repo: Path, revision: str | None, *, flags: Mapping[str, Value] | None = None) -> Subject:
    """Return the subject at `revision` (HEAD when None), its circumstances said. Raises UserError."""
    from backstory.config import load

    early = load(flags=flags or {}, environ=face.environ, folders=face.folders())  # a wrong flag is said before a wrong repository
    source = open_source(repo)
    at = resolve(source, revision or "HEAD")
    project = project_layer(source, at)
    return Subject(source, at, face.config(flags, project=project) if project.values or project.warnings else early)


def project_layer(source: Source, at: Oid) -> Layer:
    """Return what pyproject.toml says at commit `at`; the checkout's own file is not looked at."""
    origin = f"{PROJECT_FILE} at {at[:12]}"
    tree = open_repository(source)[at].peel(pygit2.Tree)
    try:
        found = tree[PROJECT_FILE]
    except KeyError:
        return from_project(None, origin=origin)
    return from_project(found.data if isinstance(found, pygit2.Blob) else None, origin=origin)


def circumstances(source: Source) -> tuple[str, ...]:
    """Return what a person should know about the repository before believing what is said of it."""
    notes = []
    if source.shallow:
        notes.append("the history is cut (a shallow clone); `git fetch --unshallow` brings the rest")
    if source.submodules:
        named = ", ".join(source.submodules[:SUBMODULES_NAMED])
        more = f" and {len(source.submodules) - SUBMODULES_NAMED} more" if len(source.submodules) > SUBMODULES_NAMED else ""
        notes.append(f"submodules are not entered: {named}{more}")
    return tuple(notes)


def kept(rows: Sequence[T], path_of: Callable[[T], RepoPath], config: Config) -> list[T]:
    """Return the rows whose path is neither left out nor in a source language that was not asked for; order stays."""
    return [row for row in rows if _wanted(path_of(row), config) and not left_out(path_of(row), config.project.exclude)]


def _wanted(path: RepoPath, config: Config) -> bool:
    language = language_of(path)
    name = "typescript" if language is not None and language.name == "tsx" else language and language.name
    return name is None or name in config.project.languages


def left_out(path: str, patterns: Sequence[str]) -> bool:
    """Return whether a path is below one of the folders (`vendor/`) or matches one of the shell patterns (`*.min.js`).

    >>> left_out("a/vendor/x.py", ["vendor/"]), left_out("vendor/x.py", ["vendor/"]), left_out("a/b.min.js", ["*.min.js"])
    (False, True, True)
    """
    return any(path.startswith(pattern) if pattern.endswith("/") else fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
