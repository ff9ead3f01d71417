"""The repository and the commit a command is about, and what the project at that commit says about itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pygit2

from backstory.config import PROJECT_FILE, Config, Layer, Value, from_project
from backstory.face import Face
from backstory.graph.mirror import Source, open_source, resolve
from backstory.graph.selection import selected
from backstory.graph.source import open_repository
from backstory.graph.types import Oid, RepoPath

T = TypeVar("T")


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
    at = resolve(source, "HEAD" if revision is None else revision)
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


def counting(config: Config) -> Callable[[RepoPath], bool]:
    """Return the question whether a path is neither left out nor in a source language that was not asked for."""
    project = config.project
    return lambda path: selected(path, exclude=project.exclude, languages=project.languages)
