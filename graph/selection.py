"""What a path says of its file: what kind it is, and whether it counts by the user's own words (folders and patterns to leave out, languages to look at)."""

import fnmatch
import posixpath
import re
from collections.abc import Sequence

from backstory.graph.languages import Language, language_of
from backstory.graph.types import RepoPath

# What is written for people or set for machines: an issue rarely asks to change it, and it mentions everything.
PROSE_ENDINGS = re.compile(
    r"\.(?:md|rst|txt|adoc|tex|html?|css|scss|less|svg|pot?|json|lock|toml|cfg|ini|ya?ml|xml|csv|tsv|ipynb|in|out|log|png|jpe?g|gif|ico|pdf|zip|gz"
    r"|ttf|woff2?|bat|sh)"
)
_ASIDE_FOLDERS = frozenset(
    {"doc", "docs", "example", "examples", "benchmark", "benchmarks", "asv_bench", "bench", "vendor", "third_party", "node_modules"}
)


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


def place_of(path: RepoPath, *, is_test: bool) -> str:
    """Return what kind of file a path names; "code", "test", "prose" (documentation, data, settings) or "aside" (examples and the like)."""
    if is_test:
        return "test"
    folder, name = posixpath.split(path)
    if PROSE_ENDINGS.fullmatch(posixpath.splitext(name)[1].lower()) or "." not in name or name.startswith("."):
        return "prose"
    if _ASIDE_FOLDERS & set(folder.lower().split("/")) or path in ("setup.py", "conftest.py", "noxfile.py"):
        return "aside"
    return "code"
