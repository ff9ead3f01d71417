"""The table of languages: what a file is by its name, which grammar reads it, and the rules that differ.

A language is one row. Its grammar comes from a wheel and is loaded on first use; what counts as a definition, an import or a reference is said in
query files (`queries/*.scm`), whose capture names `backstory.graph.parse` reads the same way for every language. Adding a language means adding a
row and its queries.
"""

import builtins
import keyword
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files as package_files
from typing import Literal

from tree_sitter import Language as Grammar
from tree_sitter import Query

from backstory.graph.types import RepoPath

TABLE_VERSION = "1"
"""Raise it whenever the table, or what is read from a file, changes: stored parses and snapshots are keyed by it (see `table_version`)."""

_TEST_FOLDERS = frozenset({"test", "tests", "testing", "__tests__", "spec", "specs"})
_TEST_NAMES = re.compile(r"(test_.*|.*_test|conftest)\.pyi?|.*[.-](test|spec)\.[cm]?[jt]sx?")


@dataclass(frozen=True)
class Language:
    """One row of the table.

    queries: the query files, `<name>.structure.scm` (definitions, imports, exports) and `<name>.names.scm` (references), joined in order.
    family: languages that call each other's code share one. modules: how an import names a file.
    own: receivers that mean "this object". doc: whether documentation stands inside the definition or in a comment before it.
    keywords: tokens that say nothing about a file. common: methods of built-in types, too frequent to be resolved by name alone.
    """

    name: str
    extensions: tuple[str, ...]
    grammar: Callable[[], object]
    queries: tuple[str, ...]
    family: str
    modules: Literal["dotted", "paths"]
    own: frozenset[str]
    doc: Literal["inside", "before"]
    keywords: frozenset[str]
    common: frozenset[str]


@dataclass(frozen=True)
class Compiled:
    """A language ready to parse: its grammar and its two queries."""

    grammar: Grammar
    structure: Query
    names: Query


def _python() -> object:
    import tree_sitter_python

    return tree_sitter_python.language()


def _javascript() -> object:
    import tree_sitter_javascript

    return tree_sitter_javascript.language()


def _typescript() -> object:
    import tree_sitter_typescript

    return tree_sitter_typescript.language_typescript()


def _tsx() -> object:
    import tree_sitter_typescript

    return tree_sitter_typescript.language_tsx()


def _set_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PYTHON_COMMON = frozenset(
    name
    for kind in (str, bytes, list, dict, set, tuple, int, float, type(re.compile("")), type(re.match("", "")))
    for name in dir(kind)
    if not name.startswith("__")
) | {"read", "write", "close", "flush", "seek", "readline", "readlines"}

_SCRIPT_KEYWORDS = _set_of("""
    abstract any as async await boolean break case catch class const continue debugger declare default delete do else enum export
    extends false finally for from function get if implements import in instanceof interface let namespace new null number of private
    protected public readonly return set static string super switch this throw true try type typeof undefined var void while with yield
""")
# Methods of Array, String, Object, Map, Set, Promise, RegExp, Date and of DOM events.
_SCRIPT_COMMON = _set_of("""
    add all apply assign bind call catch charAt charCodeAt clear concat copyWithin delete endsWith entries every exec fill filter
    finally find findIndex flat flatMap forEach freeze from get getTime has hasOwnProperty includes indexOf join keys lastIndexOf length
    log map match matchAll max min next now of on padEnd padStart parse pop preventDefault push random reduce reduceRight repeat replace
    replaceAll resolve reverse search set shift slice some sort splice split startsWith stopPropagation stringify substr substring test
    then toFixed toISOString toLowerCase toString toUpperCase trim trimEnd trimStart unshift valueOf values
""")

LANGUAGES: tuple[Language, ...] = (
    Language(
        name="python",
        extensions=(".py",),
        grammar=_python,
        queries=("python",),
        family="python",
        modules="dotted",
        own=frozenset({"self", "cls"}),
        doc="inside",
        keywords=frozenset(keyword.kwlist) | {"self", "cls"},
        common=_PYTHON_COMMON,
    ),
    Language(
        name="javascript",
        extensions=(".js", ".jsx", ".mjs", ".cjs"),
        grammar=_javascript,
        queries=("ecmascript", "javascript", "jsx"),
        family="script",
        modules="paths",
        own=frozenset({"this"}),
        doc="before",
        keywords=_SCRIPT_KEYWORDS,
        common=_SCRIPT_COMMON,
    ),
    Language(
        name="typescript",
        extensions=(".ts", ".mts", ".cts"),
        grammar=_typescript,
        queries=("ecmascript", "typescript"),
        family="script",
        modules="paths",
        own=frozenset({"this"}),
        doc="before",
        keywords=_SCRIPT_KEYWORDS,
        common=_SCRIPT_COMMON,
    ),
    Language(
        name="tsx",
        extensions=(".tsx",),
        grammar=_tsx,
        queries=("ecmascript", "typescript", "jsx"),
        family="script",
        modules="paths",
        own=frozenset({"this"}),
        doc="before",
        keywords=_SCRIPT_KEYWORDS,
        common=_SCRIPT_COMMON,
    ),
)

_BY_NAME = {language.name: language for language in LANGUAGES}
_BY_EXTENSION = {extension: language for language in LANGUAGES for extension in language.extensions}
PYTHON_BUILTINS = frozenset(dir(builtins))


def language_of(path: RepoPath) -> Language | None:
    """Return the language a file is written in, judged by its extension alone, or None."""
    return _BY_EXTENSION.get(posixpath.splitext(path)[1].lower())


def language_named(name: str) -> Language:
    """Return a row by its name. Raises KeyError for a name that is not in the table."""
    return _BY_NAME[name]


def is_test(path: RepoPath) -> bool:
    """Return whether a file is a test or serves tests: it lies in a test folder, or its name says so."""
    *folders, name = path.lower().split("/")
    return not _TEST_FOLDERS.isdisjoint(folders) or _TEST_NAMES.fullmatch(name) is not None


@cache
def compiled(name: str) -> Compiled:
    """Return the grammar and queries of a language, loaded once a process."""
    row = language_named(name)
    grammar = Grammar(row.grammar())
    return Compiled(grammar, Query(grammar, _query_text(row, "structure")), Query(grammar, _query_text(row, "names")))


@cache
def table_version() -> str:
    """Return what stored parses are keyed by: TABLE_VERSION and a digest of the query files."""
    digest = sha256()
    for row in LANGUAGES:
        digest.update((_query_text(row, "structure") + _query_text(row, "names")).encode())
    return f"{TABLE_VERSION}-{digest.hexdigest()[:8]}"


def _query_text(row: Language, part: str) -> str:
    folder = package_files("backstory.graph") / "queries"
    texts = [folder / f"{name}.{part}.scm" for name in row.queries]
    return "\n".join(text.read_text("utf-8") for text in texts if text.is_file())
