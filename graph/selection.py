"""Which paths of a repository count, by the user's own words: folders and patterns to leave out, languages to look at."""

import fnmatch
from collections.abc import Sequence

from backstory.graph.languages import language_of
from backstory.graph.types import RepoPath


def selected(path: RepoPath, *, exclude: Sequence[str], languages: Sequence[str]) -> bool:
    """Return whether a path is neither left out nor in a source language that was not asked for; a file in no known language counts."""
    language = language_of(path)
    name = "typescript" if language is not None and language.name == "tsx" else language and language.name
    return (name is None or name in languages) and not left_out(path, exclude)


def left_out(path: str, patterns: Sequence[str]) -> bool:
    """Return whether a path is below one of the folders (`vendor/`) or matches one of the shell patterns (`*.min.js`).

    >>> left_out("a/vendor/x.py", ["vendor/"]), left_out("vendor/x.py", ["vendor/"]), left_out("a/b.min.js", ["*.min.js"])
    (False, True, True)
    """
    return any(path.startswith(pattern) if pattern.endswith("/") else fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
