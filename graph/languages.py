"""The table of languages: what a file is by its name, which grammar reads it, and the rules that differ.

A language is one row. Its grammar comes from a wheel and is loaded on first use; what counts as a definition, an import or a reference is said in
query files (`queries/*.scm`), whose capture names `backstory.graph.parse` reads the same way for every language, and its words in
`queries/*.words.toml`. Adding a language means adding a row, its queries and its words, and, when its modules work like no other's, a rule in
`backstory.graph.modules`.
"""

import posixpath
import re
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from importlib import import_module
from importlib.resources import files as package_files
from typing import Literal

from tree_sitter import Language as Grammar
from tree_sitter import Query

from backstory.graph.types import RepoPath

TABLE_VERSION = "5"
"""Raise it whenever what is read from a file changes by more than queries and words: stored parses are keyed by it (see `parse_version`)."""

Modules = Literal["dotted", "paths", "packages", "folders", "crates", "includes", "constants"]

_TEST_FOLDERS = frozenset({"test", "tests", "testing", "__tests__", "spec", "specs"})
# Folders of tests where names are written in camel case or with dots: `androidTest`, `testFixtures`, `AutoMapper.UnitTests`.
_TEST_FOLDER = re.compile(r"(?:.*[a-z0-9.])?Tests?|tests?[A-Z].*")


@dataclass(frozen=True)
class Language:
    """One row of the table.

    grammar: the module of the wheel and its function. queries: the query files, `<name>.structure.scm` (definitions, imports, exports) and
    `<name>.names.scm` (references), joined in order. words_file: where `keywords` and `common` are listed.
    family: languages that call each other's code share one. modules: how an import names a file (`backstory.graph.modules`).
    tests: what the name of a test file looks like.
    own: receivers that mean "this object"; above: those that mean what the base class has; anchors: those a full name may begin with.
    outside: names that belong to no repository. masked: what is blanked before parsing, as the groups of a pattern.
    dialect: another row that reads a file in whose contents a pattern is found.
    doc: whether documentation stands inside the definition or in a comment before it.
    joints: what stands between the parts of a name, as a pattern. sigils: characters before a variable's name that are no part of it.
    generics: the brackets of type arguments, or "".
    wrappers: generic types whose members are those of their first argument. builders: methods every class has that give an object of it.
    reopens: whether a class may be defined in several pieces. opens_above: whether a package sees the names of those it lies in.
    bare_members: whether members of the own class are visible without a receiver. guesses: what a bare name that means nothing may be guessed to be.
    constructor: the name of the method that makes an object; "" when it is the name of the class. bare_above: what calling a base class without
    naming a member means, its constructor or its method of the same name. tags: whether a class's name is no value and cannot be called.
    structural: whether a type satisfies an interface by having its methods.
    inner_tests: what a part of a source file that holds its tests is called.
    """

    name: str
    extensions: tuple[str, ...]
    grammar: tuple[str, str]
    queries: tuple[str, ...]
    words_file: str
    family: str
    modules: Modules
    tests: re.Pattern[str]
    own: frozenset[str]
    above: frozenset[str] = frozenset({"super"})
    anchors: frozenset[str] = frozenset()
    outside: frozenset[str] = frozenset()
    masked: re.Pattern[bytes] | None = None
    dialect: tuple[str, re.Pattern[bytes]] | None = None
    doc: Literal["inside", "before"] = "before"
    joints: str = r"\."
    sigils: str = ""
    generics: Literal["<>", "[]", ""] = ""
    wrappers: frozenset[str] = frozenset()
    builders: frozenset[str] = frozenset()
    reopens: bool = False
    opens_above: bool = False
    bare_members: bool = False
    guesses: Literal["function", "method", ""] = ""
    constructor: str = ""
    bare_above: Literal["constructor", "method"] = "constructor"
    tags: bool = False
    structural: bool = False
    inner_tests: frozenset[str] = frozenset()

    @property
    def shares_names(self) -> bool:
        """Whether a file may use names of other files that it does not import, such as those of its package."""
        return self.modules not in ("dotted", "paths")

    @property
    def nests_names(self) -> bool:
        """Whether shared names are seen from inside a namespace as if they stood there: all files share one space."""
        return self.modules in ("includes", "constants")

    @cached_property
    def keywords(self) -> frozenset[str]:
        """Tokens that say nothing about a file."""
        return frozenset(_words(self.words_file)["keywords"])

    @cached_property
    def common(self) -> frozenset[str]:
        """Methods of built-in types, too frequent to be resolved by name alone."""
        return frozenset(_words(self.words_file)["common"])

    @cached_property
    def builtins(self) -> frozenset[str]:
        """Functions that need no import and are no file's."""
        return frozenset(_words(self.words_file).get("builtins", ()))


@dataclass(frozen=True)
class Compiled:
    """A language ready to parse: its grammar and its two queries."""

    grammar: Grammar
    structure: Query
    names: Query


_SCRIPT_TESTS = re.compile(r".*[.-](test|spec)\.[cm]?[jt]sx?", re.IGNORECASE)

_C_TESTS = re.compile(r"(tests?|(test|unittest)[_-].*|.*[_-](tests?|unittests?)|\w*[a-z0-9](Test|Tests|TestCase))\.\w+")
# What a header of C never holds; it decides for all files that are named as C's.
_SAYS_CPP = re.compile(
    rb"^[ \t]*(?:class\s+\w+[^;()]*[{:]|namespace\b[\w:\s]*\{|template\s*<|using\s+(?:namespace\s+)?\w+|(?:public|private|protected)\s*:|"
    rb"virtual\b|explicit\b)|\bstd::",
    re.MULTILINE,
)
# Macros where the grammar knows only names: `class EXPORT Shop {`, `int till GUARDED_BY(lock);`.
_CPP_MACROS = re.compile(
    rb"\b(?:class|struct)\s+([A-Z][A-Z0-9_]+(?:\([^()\n]*\))?)(?=\s+\w+(?:\s+final)?\s*[:{])"
    rb"|^[ \t]+(?!return\b|else\b|throw\b|case\b|delete\b|new\b|goto\b|using\b|typedef\b)[\w:<>,*&\t ]+[\w\]]\s+"
    rb"([A-Z][A-Z0-9_]{3,}\([^()\n]*\))(?=\s*[;=])",
    re.MULTILINE,
)

LANGUAGES: tuple[Language, ...] = (
    Language(
        name="python",
        extensions=(".py",),
        grammar=("tree_sitter_python", "language"),
        queries=("python",),
        words_file="python",
        family="python",
        modules="dotted",
        tests=re.compile(r"(tests?|test_.*|.*_tests?|conftest)\.py", re.IGNORECASE),
        own=frozenset({"self", "cls"}),
        above=frozenset({"super()"}),
        doc="inside",
        generics="[]",
        wrappers=frozenset({"Optional", "Annotated", "Final", "ClassVar"}),
        guesses="function",
        constructor="__init__",
    ),
    Language(
        name="javascript",
        extensions=(".js", ".jsx", ".mjs", ".cjs"),
        grammar=("tree_sitter_javascript", "language"),
        queries=("ecmascript", "javascript", "jsx"),
        words_file="ecmascript",
        family="script",
        modules="paths",
        tests=_SCRIPT_TESTS,
        own=frozenset({"this"}),
        guesses="function",
        constructor="constructor",
    ),
    Language(
        name="typescript",
        extensions=(".ts", ".mts", ".cts"),
        grammar=("tree_sitter_typescript", "language_typescript"),
        queries=("ecmascript", "typescript"),
        words_file="ecmascript",
        family="script",
        modules="paths",
        tests=_SCRIPT_TESTS,
        own=frozenset({"this"}),
        generics="<>",
        wrappers=frozenset({"Readonly", "Partial", "Required"}),
        guesses="function",
        constructor="constructor",
    ),
    Language(
        name="tsx",
        extensions=(".tsx",),
        grammar=("tree_sitter_typescript", "language_tsx"),
        queries=("ecmascript", "typescript", "jsx"),
        words_file="ecmascript",
        family="script",
        modules="paths",
        tests=_SCRIPT_TESTS,
        own=frozenset({"this"}),
        generics="<>",
        wrappers=frozenset({"Readonly", "Partial", "Required"}),
        guesses="function",
        constructor="constructor",
    ),
    Language(
        name="java",
        extensions=(".java",),
        grammar=("tree_sitter_java", "language"),
        queries=("java",),
        words_file="java",
        family="java",
        modules="packages",
        tests=re.compile(r"(Test[A-Z]\w*|\w*(Test|Tests|TestCase|IT))\.java"),
        own=frozenset({"this"}),
        joints=r"\.|::",
        generics="<>",
        wrappers=frozenset({"Optional"}),
        bare_members=True,
    ),
    Language(
        name="go",
        extensions=(".go",),
        grammar=("tree_sitter_go", "language"),
        queries=("go",),
        words_file="go",
        family="go",
        modules="folders",
        tests=re.compile(r".*_test\.go"),
        own=frozenset(),
        above=frozenset(),
        generics="[]",
        structural=True,
    ),
    Language(
        name="rust",
        extensions=(".rs",),
        grammar=("tree_sitter_rust", "language"),
        queries=("rust",),
        words_file="rust",
        family="rust",
        modules="crates",
        tests=re.compile(r"(tests?|.*_tests?)\.rs"),
        own=frozenset({"self", "Self"}),
        above=frozenset(),
        anchors=frozenset({"crate", "self", "super"}),
        outside=frozenset({"std", "core", "alloc"}),
        joints=r"\.|::",
        generics="<>",
        wrappers=frozenset({"Box", "Rc", "Arc", "Option", "Result", "RefCell", "Cell", "Mutex", "RwLock", "Cow", "Pin"}),
        inner_tests=frozenset({"tests", "test"}),
    ),
    Language(
        name="c",
        extensions=(".c", ".h"),
        grammar=("tree_sitter_c", "language"),
        queries=("c",),
        words_file="c",
        family="c",
        modules="includes",
        tests=_C_TESTS,
        own=frozenset(),
        above=frozenset(),
        joints=r"\.|->",
        tags=True,
        dialect=("cpp", _SAYS_CPP),
    ),
    Language(
        name="cpp",
        extensions=(".cc", ".cpp", ".cxx", ".c++", ".hh", ".hpp", ".hxx", ".h++", ".inl", ".ipp", ".tpp", ".cu", ".cuh"),
        grammar=("tree_sitter_cpp", "language"),
        queries=("cpp",),
        words_file="cpp",
        family="c",
        modules="includes",
        tests=_C_TESTS,
        own=frozenset({"this"}),
        above=frozenset(),
        outside=frozenset({"std", "boost", "testing"}),
        joints=r"\.|::|->",
        generics="<>",
        wrappers=frozenset({"unique_ptr", "shared_ptr", "weak_ptr", "optional", "atomic", "reference_wrapper"}),
        masked=_CPP_MACROS,
        bare_members=True,
    ),
    Language(
        name="ruby",
        extensions=(".rb", ".rake", ".gemspec", ".ru"),
        grammar=("tree_sitter_ruby", "language"),
        queries=("ruby",),
        words_file="ruby",
        family="ruby",
        modules="constants",
        tests=re.compile(r"(test|spec|tests|(test|spec)_.*|.*_(test|spec|tests))\.rb"),
        own=frozenset({"self"}),
        joints=r"&?\.|::",
        sigils="@",
        builders=frozenset({"new"}),
        bare_members=True,
        reopens=True,
        guesses="method",
        constructor="initialize",
        bare_above="method",
    ),
    Language(
        name="php",
        extensions=(".php", ".phpt", ".inc"),
        grammar=("tree_sitter_php", "language_php"),
        queries=("php",),
        words_file="php",
        family="php",
        modules="packages",
        tests=re.compile(r"(test_.*|\w*(Test|Tests|TestCase|Cest|Spec))\.php|.*\.phpt"),
        own=frozenset({"this", "self", "static"}),
        above=frozenset({"parent"}),
        joints=r"->|::|\\",
        sigils="$",
        constructor="__construct",
    ),
    Language(
        name="csharp",
        extensions=(".cs",),
        grammar=("tree_sitter_c_sharp", "language"),
        queries=("csharp",),
        words_file="csharp",
        family="csharp",
        modules="packages",
        tests=re.compile(r"\w*(Test|Tests|TestCase|Spec|Specs)\.cs"),
        own=frozenset({"this"}),
        above=frozenset({"base"}),
        generics="<>",
        wrappers=frozenset({"Task", "ValueTask", "Nullable", "Lazy"}),
        bare_members=True,
        reopens=True,
        opens_above=True,
    ),
)

_BY_NAME = {language.name: language for language in LANGUAGES}
_BY_EXTENSION = {extension: language for language in LANGUAGES for extension in language.extensions}


def language_of(path: RepoPath) -> Language | None:
    """Return the language a file is written in, judged by its extension alone, or None."""
    return _BY_EXTENSION.get(posixpath.splitext(path)[1].lower())


def language_named(name: str) -> Language:
    """Return a row by its name. Raises KeyError for a name that is not in the table."""
    return _BY_NAME[name]


def is_test(path: RepoPath) -> bool:
    """Return whether a file is a test or serves tests: it lies in a test folder, or its name says so in its language."""
    *folders, name = path.split("/")
    if any(folder.lower() in _TEST_FOLDERS or _TEST_FOLDER.fullmatch(folder) for folder in folders):
        return True
    language = language_of(path)
    return language is not None and language.tests.fullmatch(name) is not None


def language_in(language: Language, source: bytes) -> Language:
    """Return the row that reads a file, given that of its extension: a header named as C's may be C++'s."""
    if language.dialect is not None and language.dialect[1].search(source):
        return language_named(language.dialect[0])
    return language


@cache
def compiled(name: str) -> Compiled:
    """Return the grammar and queries of a language, loaded once a process."""
    row = language_named(name)
    module, function = row.grammar
    grammar = Grammar(getattr(import_module(module), function)())
    return Compiled(grammar, Query(grammar, _query_text(row, "structure")), Query(grammar, _query_text(row, "names")))


@cache
def parse_version(name: str) -> str:
    """Return what stored parses of a language are keyed by: TABLE_VERSION and a digest of its queries and words, with its name."""
    row = language_named(name)
    said = _query_text(row, "structure") + _query_text(row, "names") + _file_text(f"{row.words_file}.words.toml")
    if row.dialect is not None:
        said += parse_version(row.dialect[0])
    return f"{TABLE_VERSION}-{sha256(said.encode()).hexdigest()[:8]}-{name}"


@cache
def table_version() -> str:
    """Return what stored snapshots are keyed by: a digest over the versions of all languages."""
    return sha256("\n".join(parse_version(row.name) for row in LANGUAGES).encode()).hexdigest()[:12]


def _query_text(row: Language, part: str) -> str:
    return "\n".join(_file_text(f"{name}.{part}.scm") for name in row.queries)


@cache
def _file_text(name: str) -> str:
    """Return a file of the table; "" when there is none, as not every query file has both parts."""
    path = package_files("backstory.graph") / "queries" / name
    return path.read_text("utf-8") if path.is_file() else ""


@cache
def _words(name: str) -> dict[str, list[str]]:
    return {key: text.split() for key, text in tomllib.loads(_file_text(f"{name}.words.toml")).items()}
