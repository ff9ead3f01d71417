"""Reading single files: what is found, and that nothing a file holds can break the reader."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.errors import StorageError
from backstory.graph.languages import LANGUAGES, compiled, is_test, language_named, language_of, table_version
from backstory.graph.outline import WHOLE_FILE, first_paragraph
from backstory.graph.pack import pack, unpack
from backstory.graph.parse import MAX_ERROR_CHILDREN, MAX_FILE_BYTES, MAX_LINE_BYTES, parse_blob, parse_definitions
from backstory.graph.words import count_words, tokens

PYTHON = '''"""Module words."""
import os.path as paths


@register("shop", kind=1)
class Shop(Base, mixins.Mixin[int], metaclass=Meta):
    """A shop.

    With more to say.
    """

    # leading comment
    async def open(
        self,
        door: int = 3,
    ) -> None:  # opens
        """Open the door
        slowly.
        """
        self.door.push("hard")
        build(door)(1).turn()

    @property
    def name(self): return 1

    @name.setter
    def name(self, value): self._name = value


def run():
    class Local:
        def deep(self): pass
    return lambda: Shop()
'''

TYPESCRIPT = """/** Adds things. @param a first */
export function add(a: number): number { return a; }

export default class extends Base<string> {
  @first @second('x')
  private handle = async (event: Event) => { this.add?.(event); };
}
"""


def read(source, language="python"):
    return parse_blob(language_named(language), source.encode() if isinstance(source, str) else source)


def outline(parse):
    return [(row.kind, row.qualname, row.span.first, row.span.last) for row in parse.definitions]


def test_python_definitions_nest_and_span_their_decorators():
    """Names nest with dots, spans begin at the first decorator, and a second definition of a name gets #2."""
    assert outline(read(PYTHON)) == [
        ("class", "Shop", 5, 27),
        ("method", "Shop.open", 13, 21),
        ("method", "Shop.name", 23, 24),
        ("method", "Shop.name#2", 26, 27),
        ("function", "run", 30, 33),
        ("class", "run.Local", 31, 32),
        ("method", "run.Local.deep", 32, 32),
    ]


def test_a_signature_is_one_line_up_to_the_body():
    """The signature starts after the decorators, ends before the body and any comment, and has its white space folded."""
    signatures = {row.qualname: row.signature for row in read(PYTHON).definitions}
    assert signatures["Shop"] == "class Shop(Base, mixins.Mixin[int], metaclass=Meta)"
    assert signatures["Shop.open"] == "async def open( self, door: int = 3, ) -> None"


def test_documentation_is_its_first_paragraph():
    """Python's stands inside the definition, JavaScript's right before it; white space is folded and tags are left out."""
    docs = {row.qualname: row.doc for row in read(PYTHON).definitions}
    assert (docs["Shop"], docs["Shop.open"], docs["run"]) == ("A shop.", "Open the door slowly.", "")
    assert read("/** One\n * two.\n *\n * three */\n\nfunction f() {}\n", "javascript").definitions[0].doc == "One two."
    assert read("/** A. */\nlet x;\nfunction f() {}\n", "javascript").definitions[0].doc == ""
    assert first_paragraph("/** @param x */") == ""


def test_references_say_who_uses_what_through_which_receiver():
    """Calls and bases are kept with their receiver: empty for a bare name, dotted when simple, None when it is an expression."""
    parse = read(PYTHON)
    names = [row.qualname for row in parse.definitions]
    found = {(row.kind, row.receiver, row.name, names[row.owner] if row.owner != WHOLE_FILE else "") for row in parse.references}
    assert [tuple(base)[:3] for base in parse.bases] == [("Shop", "", "Base"), ("Shop", "mixins", "Mixin")]
    assert found >= {
        ("call", "", "register", "Shop"),
        ("call", "self.door", "push", "Shop.open"),
        ("call", "", "build", "Shop.open"),
        ("call", None, "turn", "Shop.open"),
        ("call", "", "Shop", "run"),
    }
    assert not [row for row in parse.references if row.name == "Meta"]


def test_references_are_counted_once_each_in_order():
    """The same use in one owner is one reference with a count and its first line."""
    parse = read("def f():\n    g()\n    h()\n    g()\n")
    assert [(row.name, row.line, row.uses) for row in parse.references] == [("g", 2, 2), ("h", 3, 1)]


def test_typescript_definitions():
    """Anonymous default exports are called "default", arrow functions in fields are methods, and decorators belong to their member."""
    parse = read(TYPESCRIPT, "typescript")
    assert outline(parse) == [("function", "add", 2, 2), ("class", "default", 4, 7), ("method", "default.handle", 5, 6)]
    assert parse.definitions[0].doc == "Adds things. @param a first"
    assert ("call", "this", "add") in {(row.kind, row.receiver, row.name) for row in parse.references}


def test_imports_in_all_their_forms():
    """Each bound name is one import; a relative import has a level where modules are dotted names."""
    source = "import a.b\nimport c as d\nfrom . import e\nfrom ..f.g import h as i, j\nfrom k import *\n"
    assert [tuple(row)[:4] for row in read(source).imports] == [
        ("a.b", None, None, 0),
        ("c", None, "d", 0),
        ("", "e", None, 1),
        ("f.g", "h", "i", 2),
        ("f.g", "j", None, 2),
        ("k", "*", None, 0),
    ]
    source = "import a, { b as c, d } from './x';\nimport * as e from 'y';\nimport './z';\nexport * from './w';\nconst { f, g: h } = require('./v');\n"
    assert {tuple(row)[:3] for row in read(source, "javascript").imports} == {
        ("./x", "default", "a"),
        ("./x", "b", "c"),
        ("./x", "d", None),
        ("y", None, "e"),
        ("./z", None, None),
        ("./w", "*", None),
        ("./v", "f", None),
        ("./v", "g", "h"),
    }


def test_words_belong_to_the_innermost_definition():
    """Identifiers, comments and strings count for the definition they stand in; keywords do not count."""
    parse = read(PYTHON)
    own = dict(zip(["", *(row.qualname for row in parse.definitions)], parse.own_words, strict=True))
    assert own["Shop.open"]["slowly"] == own["Shop.open"]["hard"] == own["Shop.open"]["opens"] == 1
    assert "slowly" not in own["Shop"]
    assert own["Shop"]["leading"] == 1
    assert own[""]["module"] == 1
    assert "async" not in parse.words
    assert parse.words["door"] == 4


def test_what_can_be_parsed_of_broken_source_is_kept():
    """A syntax error does not hide the definitions around it."""
    broken = "def before():\n    pass\n\ndef broken():\n    x = = 3\n\ndef after():\n    before()\n"
    assert {"before", "after"} <= {row.name for row in read(broken).definitions}
    broken = "class A { ok() {} bad( { }\nfunction after() { return 1 }\n"
    assert "ok" in {row.name for row in read(broken, "javascript").definitions}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"x = 1\n" * (MAX_FILE_BYTES // 6 + 1), "larger"),
        (b"a" * (MAX_LINE_BYTES + 1), "line"),
        (b"x = 1\0", "binary"),
        (b"{\n" * (MAX_ERROR_CHILDREN + 1), "broken"),
    ],
)
def test_files_nobody_wrote_are_skipped_with_a_reason(source, reason):
    """Giant, minified, binary and ruined files give nothing but the reason."""
    parse = read(source)
    assert reason in parse.skipped
    assert not parse.definitions
    assert not parse.own_words


def test_odd_bytes_are_tolerated():
    """Bytes that are not UTF-8, a byte order mark and CRLF line ends do not hide definitions or shift lines."""
    assert outline(read(b"\xef\xbb\xbf# caf\xe9\r\ndef f():\r\n    return '\xff'\r\n")) == [("function", "f", 2, 3)]


def test_deep_nesting_is_no_recursion():
    """Thousands of levels, far beyond Python's recursion limit, are read or skipped without an error."""
    read("f(" * 20_000 + ")" * 20_000)
    read("\n".join(" " * depth + "def f():" for depth in range(1_300)))
    read("function f() {\n" * 20_000, "javascript")
    assert read("a" + "\n.b" * 100_000, "javascript").skipped == ""


# Pieces that open and close things, so that mutations make nearly valid and badly broken source alike.
OPENING = (
    "def f(self):\n",
    "class A(B):\n",
    "(",
    "{",
    "[",
    "'",
    '"""',
    "`${",
    "/** d */",
    "function f() {",
    "export default ",
    "<A b={c}>",
    "#",
    "//",
)
OTHER = (
    ")",
    "}",
    "]",
    "@d\n",
    "x.y(",
    "=>",
    "\n",
    "\r",
    "é",
    "\ufeff",
    "import a from './b'\n",
    "from . import *\n",
    "const a = ",
    ": T",
    "    ",
)
PIECES = st.sampled_from([*OPENING, *OTHER])


@settings(max_examples=60, deadline=None)
@given(
    source=st.one_of(st.binary(max_size=400), st.lists(PIECES, max_size=60).map("".join).map(str.encode)),
    language=st.sampled_from([row.name for row in LANGUAGES]),
)
def test_any_bytes_parse_into_spans_that_nest_inside_the_file(source, language):
    """Nothing raises; spans lie in the file, nest in the definition they are scoped by, ids are unique, packing loses nothing, and the
    definitions read alone are the same."""
    parse = read(source, language)
    lines = source.count(b"\n") + 1
    spans = {row.qualname: row.span for row in parse.definitions}
    assert len(spans) == len(parse.definitions)
    for row in parse.definitions:
        assert 1 <= row.span.first <= row.span.last <= lines
        around = spans.get(row.scope)
        assert around is None or row.kind == "method" or (around.first <= row.span.first and row.span.last <= around.last)
    for reference in parse.references:
        assert 1 <= reference.line <= lines
        assert WHOLE_FILE <= reference.owner < len(parse.definitions)
    assert unpack(pack(parse)) == parse
    assert parse_definitions(language_named(language), source) == parse.definitions


def test_definitions_alone_are_read_in_the_dialect_of_the_file():
    """A header named as C's that holds C++ is read as that, whether all of it is read or its definitions only."""
    source = b"class Shop {\n public:\n  int price() { return 1; }\n};\n"
    assert [row.qualname for row in parse_definitions(language_named("c"), source)] == ["Shop", "Shop.price"]
    assert parse_definitions(language_named("c"), source) == parse_blob(language_named("c"), source).definitions


def test_mutating_real_source_never_raises():
    """Cutting this file anywhere gives definitions that nest, whatever was cut."""
    source = PYTHON.encode()
    for cut in range(0, len(source), 7):
        for damaged in (source[:cut], source[cut:], source[:cut] + source[cut + 7 :]):
            parse = read(damaged)
            assert all(row.span.last <= damaged.count(b"\n") + 1 for row in parse.definitions)


def test_words_agree_with_a_plain_count():
    """The sum over all owners is the plain count of the whole text without keywords."""
    row = language_named("python")
    plain = count_words([token for token in tokens(PYTHON) if token not in row.keywords])
    assert read(PYTHON).words == plain


def test_packing_keeps_everything_and_can_leave_words_out():
    """A parse survives the round trip; without words the rest is the same; damage is said."""
    parse = read(PYTHON)
    assert unpack(pack(parse)) == parse
    assert unpack(pack(parse), words=False).references == parse.references
    assert unpack(pack(parse), words=False).own_words == ()
    for damaged in (pack(parse)[:-3], b"junk", pack(parse)[:40] + b"\0" + pack(parse)[41:]):
        with pytest.raises(StorageError, match="cache clear"):
            unpack(damaged)


def test_reading_is_deterministic():
    """The same bytes give equal results in equal order, every time."""
    first, *rest = [pack(read(TYPESCRIPT * 20, "typescript")) for _ in range(4)]
    assert all(other == first for other in rest)


@pytest.mark.parametrize("language", [row.name for row in LANGUAGES])
def test_every_row_of_the_table_loads(language):
    """Each language's grammar and queries compile."""
    assert compiled(language).structure.pattern_count > 10


def test_a_header_is_read_as_what_it_holds():
    """A file named as C's is C++ when it holds what C cannot; a word that only looks like it does not count."""
    assert read("struct shop { int till; };\nint open(int class);\n", "c").language == "c"
    for said in ("class Shop : public Till {};\n", "namespace a::b {\n}\n", "template <class T> T f(T);\n", "std::string f();\n"):
        assert read(said, "c").language == "cpp"


def test_macros_do_not_hide_what_they_decorate():
    """A class with an export macro and a field with an annotation are read, and no line moves."""
    source = "class SHOP_EXPORT(x) Shop final : public Base {\n  Till till_ GUARDED_BY(lock);\n  void f() { return CALL(x); }\n};\n"
    parse = read(source, "cpp")
    assert outline(parse) == [("class", "Shop", 1, 4), ("method", "Shop.f", 3, 3)]
    assert [tuple(row) for row in parse.typed] == [(".till_", "Till", 0)]
    assert ("call", "", "CALL") in {(row.kind, row.receiver, row.name) for row in parse.references}


def test_what_a_function_calls_its_own_hides_what_is_outside():
    """A parameter or variable is no mention of a function of its name, and calling it is no call of that; a class is seen in spite of it."""
    parse = read("def total(x): ...\ndef f(total):\n    return total(1) + map(total, [])\ndef g():\n    return map(total, [])\n")
    assert [(row.name, row.line) for row in parse.references if row.name == "total"] == [("total", 5)]
    parse = read("struct till { int x; };\nint f(struct till *till) { return till->x; }\n", "c")
    assert [(row.kind, row.name) for row in parse.references] == [("name", "till")]


@pytest.mark.parametrize(
    ("language", "source", "doc"),
    [
        ("go", "// Open opens\n// the shop.\n//\n// More.\nfunc Open() {}\n", "Open opens the shop."),
        ("go", "// Elsewhere.\n\nfunc Open() {}\n", ""),
        ("rust", "/// Opens.\n///\n/// More.\n#[inline]\nfn open() {}\n", "Opens."),
        ("ruby", "# Opens\n# it.\ndef open; end\n", "Opens it."),
        ("c", "/* Opens\n * it.\n */\nint open(void) { return 1; }\n", "Opens it."),
        ("csharp", "class A {\n  /// <summary>\n  /// Opens.\n  /// </summary>\n  void Open() {}\n}\n", "Opens."),
        ("php", "<?php\n/**\n * Opens.\n * @return x\n */\nfunction open() {}\n", "Opens."),
        ("java", "class A {\n  /** Opens. */\n\n  void open() {}\n}\n", "Opens."),
    ],
)
def test_documentation_before_a_definition(language, source, doc):
    """Comment lines that follow one another are one; an empty line parts them from what follows, unless they have an end of their own."""
    assert read(source, language).definitions[-1].doc == doc


def test_a_grammar_is_loaded_when_a_file_of_it_is_read():
    """Reading Python loads Python's grammar and no other."""
    code = (
        "import sys\nfrom backstory.graph.languages import language_named\nfrom backstory.graph.parse import parse_blob\n"
        "parse_blob(language_named('python'), b'x = 1')\nprint(sorted(name for name in sys.modules if name.startswith('tree_sitter_')))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "['tree_sitter_python', 'tree_sitter_python._binding']\n"


def test_languages_are_told_by_extension():
    """Case does not matter, and what is not in the table is no language."""
    names = {
        path: row and row.name for path in ("a/b.py", "A.PY", "x.jsx", "x.mts", "x.tsx", "Makefile", "x.zig") for row in [language_of(path)]
    }
    assert names == {
        "a/b.py": "python",
        "A.PY": "python",
        "x.jsx": "javascript",
        "x.mts": "typescript",
        "x.tsx": "tsx",
        "Makefile": None,
        "x.zig": None,
    }
    assert table_version() == table_version()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/anything.txt", True),
        ("pkg/test/x.py", True),
        ("pkg/test_x.py", True),
        ("pkg/x_test.py", True),
        ("pkg/x_tests.py", True),
        ("app/tests.py", True),
        ("app/test.py", True),
        ("conftest.py", True),
        ("src/x.test.js", True),
        ("src/x.spec.ts", True),
        ("src/__tests__/x.tsx", True),
        ("src/attest.py", False),
        ("src/contests.py", False),
        ("latest/x.py", False),
        ("src/contest.js", False),
        ("src/testing.py", False),
        ("src/CartTest.java", True),
        ("src/CartIT.java", True),
        ("src/TestCart.java", True),
        ("src/Latest.java", False),
        ("src/Testing.java", False),
        ("app/src/androidTest/x.txt", True),
        ("Shop.UnitTests/x.txt", True),
        ("src/latest/x.java", False),
        ("pkg/cart_test.go", True),
        ("src/cart_test.cc", True),
        ("src/test_cart.c", True),
        ("src/CartTest.cpp", True),
        ("src/contest.c", False),
        ("src/cart_spec.rb", True),
        ("src/CartTest.php", True),
        ("src/CartTests.cs", True),
        ("src/tests.rs", True),
    ],
)
def test_test_files_are_told_by_path(path, expected):
    """Folders and names decide, as whole words."""
    assert is_test(path) is expected
