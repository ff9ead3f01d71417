"""Which paths of a repository count, by the user's own words: folders and patterns to leave out, languages to look at."""

import fnmatch
from collections.abc import Sequence

from backstory.graph.languages import Language, language_of
from backstory.graph.types import RepoPath


def selected(path: RepoPath, *, exclude: Sequence[str], languages: Sequence[str]) -> bool:
    """Return whether a path is neither left out nor in a source language that was not asked for; a file in no known language counts."""
    language = language_of(path)
    return (language is None or not _asked_as(language).isdisjoint(languages)) and not left_out(path, exclude)


def _asked_as(language: Language) -> set[str]:
    """Return the names a language is asked for by: one that is another's dialect, or has one, by both."""
    names = {"typescript" if language.name == "tsx" else language.name}
    return names if language.dialect is None else names | {language.dialect[0]}


def left_out(path: str, patterns: Sequence[str]) -> bool:
    """Return whether a path is below one of the folders (`vendor/`) or matches one of the shell patterns (`*.min.js`).

    >>> left_out("a/vendor/x.py", ["vendor/"]), left_out("vendor/x.py", ["vendor/"]), left_out("a/b.min.js", ["*.min.js"])
    (False, True, True)
    """
    return any(path.startswith(pattern) if pattern.endswith("/") else fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
