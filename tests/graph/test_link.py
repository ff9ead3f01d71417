"""Resolution of names: the claims in caret fixtures, and the kinds of edges that no single name shows."""

from pathlib import Path

import pytest
from carets import Caret, read_project

from backstory.graph.code import CodeView
from backstory.graph.languages import language_of
from backstory.graph.link import link
from backstory.graph.manifests import is_manifest, read_manifests
from backstory.graph.parse import parse_blob
from backstory.graph.resolve import MAX_CANDIDATES, NAME_ONLY_WEIGHT
from backstory.graph.snapshot import make_snapshot
from backstory.graph.word_table import join_words

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.txt"))
PROJECTS = {path.stem: read_project(path) for path in FIXTURES}
CLAIMS = [(project, caret) for project, (_, carets) in PROJECTS.items() for caret in carets]


def parsed(files):
    return {path: parse_blob(language_of(path), source.encode()) for path, source in files.items() if language_of(path) is not None}


def linked(files):
    manifests = read_manifests({path: source.encode() for path, source in files.items() if is_manifest(path)})
    parses = parsed(files)
    snapshot = make_snapshot(parses, dict.fromkeys(parses, "0" * 40), link(parses, manifests))
    return CodeView(snapshot, lambda: join_words([])).edges()


def edges(files, kind):
    return {(edge.src, edge.dst): edge for edge in linked(files) if edge.kind == kind}


@pytest.fixture(scope="module")
def projects():
    return {name: (parsed(files), linked(files)) for name, (files, _) in PROJECTS.items()}


def claim_name(value):
    return f"{value.path}:{value.line}:{value.name}" if isinstance(value, Caret) else value


@pytest.mark.parametrize(("project", "caret"), CLAIMS, ids=claim_name)
def test_a_name_is_found_where_its_caret_says(projects, project, caret):
    """Each caret's name has edges to the definitions it claims, and to no other of that name; or none where it is external."""
    parses, found = projects[project]
    definitions = parses[caret.path].definitions
    around = [row for row in definitions if caret.line in row.span]
    # The innermost of the definitions whose span begins last.
    owner = f"{caret.path}:{max(around, key=lambda row: (row.span.first, -row.span.last)).qualname}" if around else caret.path
    claimed = {f"{path}:{row.qualname}" for path, line in caret.targets for row in parses[path].definitions if row.span.first == line}
    assert len(claimed) == len(caret.targets), "a claim points at no definition"
    reached = {edge.dst: edge for edge in found if edge.src == owner and edge.kind in ("calls", "inherits")}
    if caret.way == "external":
        assert not [node for node in reached if node.rpartition(".")[2] == caret.name or node.rpartition(":")[2] == caret.name]
        return
    assert claimed <= set(reached), sorted(reached)
    ways = {reached[node].evidence.startswith("name only") for node in claimed}
    assert ways == {caret.way == "by name"}, {node: reached[node].evidence for node in claimed}
    shares = {round(reached[node].weight, 6) for node in claimed}
    if caret.way == "by name":
        assert shares == {round(NAME_ONLY_WEIGHT / len(claimed), 6)}


def test_files_contain_their_definitions_level_by_level():
    """A file contains its top definitions, and a class its methods; an object literal's functions belong to the file."""
    files = {"a.py": "class A:\n    def f(self):\n        def g(): ...\n", "b.js": "const api = { get() {} };\n"}
    assert set(edges(files, "contains")) == {
        ("a.py", "a.py:A"),
        ("a.py:A", "a.py:A.f"),
        ("a.py:A.f", "a.py:A.f.g"),
        ("b.js", "b.js:api.get"),
    }


def test_imports_join_files_and_reach_through_reexports():
    """A re-exported name joins the importer to the package and, more weakly, to the file that defines it."""
    found = edges(PROJECTS["python_imports"][0], "imports")
    assert found["tests/test_cart.py", "src/shop/__init__.py"].weight == 1.0
    through = found["tests/test_cart.py", "src/shop/cart.py"]
    assert (through.weight, through.evidence) == (0.5, "line 4, through src/shop/__init__.py")
    assert found["src/shop/cart.py", "src/shop/tax.py"].weight == 1.0
    assert not any("numpy" in dst for _, dst in found)


JAVA = {
    "a/src/Shop.java": "package shop;\npublic class Shop implements Open {\n  public void ring() {}\n}\n",
    "a/src/Open.java": "package shop;\npublic interface Open {\n  void ring();\n}\n",
    "a/src/Unused.java": "package shop;\nclass Unused {}\n",
}


def test_a_whole_package_is_imported_by_the_files_of_it_that_are_used():
    """A star import joins the importer to those files whose names it uses; an import of a class to that one's file."""
    files = {**JAVA, "b/Use.java": "package b;\nimport shop.*;\nclass Use { void f() { new Shop().ring(); } }\n"}
    assert set(edges(files, "imports")) == {("b/Use.java", "a/src/Shop.java")}
    files = {**JAVA, "b/Use.java": "package b;\nimport shop.Open;\nclass Use { Open open; }\n"}
    assert set(edges(files, "imports")) == {("b/Use.java", "a/src/Open.java")}


def test_a_package_that_two_folders_hold_is_meant_where_it_is_nearest():
    """Two classes of one full name are told apart by the folders they share with the file that names them."""
    files = {**JAVA, "b/src/Shop.java": "package shop;\npublic class Shop {}\n", "b/Use.java": "package shop;\nclass Use extends Shop {}\n"}
    assert set(edges(files, "inherits")) == {("b/Use.java:Use", "b/src/Shop.java:Shop"), ("a/src/Shop.java:Shop", "a/src/Open.java:Open")}


def test_interfaces_are_overridden_too():
    """A method of a class overrides the one its interface declares, in a file of the same package."""
    assert set(edges(JAVA, "overrides")) == {("a/src/Shop.java:Shop.ring", "a/src/Open.java:Open.ring")}


def test_packages_of_one_workspace_import_each_other_by_name():
    """A package's name leads to its source where its entry is built, a path below the name to that file, and mapped prefixes to their folder."""
    files = {
        "packages/core/package.json": '{"name": "@shop/core", "main": "dist/index.js"}',
        "packages/core/src/index.ts": "export function make() {}\n",
        "packages/core/till/ring.ts": "export function ring() {}\n",
        "app/tsconfig.json": '{"compilerOptions": {"baseUrl": ".", "paths": {"#lib/*": ["lib/*"]}}}',
        "app/lib/help.ts": "export function help() {}\n",
        "app/main.ts": "import {make} from '@shop/core';\nimport {ring} from '@shop/core/till/ring';\nimport {help} from '#lib/help';\n"
        "import {help as same} from 'lib/help';\nimport react from 'react';\nmake(); ring(); help(); same();\n",
    }
    assert {dst for _, dst in edges(files, "calls")} == {
        "packages/core/src/index.ts:make",
        "packages/core/till/ring.ts:ring",
        "app/lib/help.ts:help",
    }


def test_a_type_satisfies_an_interface_by_its_methods():
    """In Go a type is joined to the interfaces all of whose methods it has, promoted ones included, and its methods to theirs."""
    files = {
        "a/i.go": "package a\ntype Door interface {\n\tOpen()\n\tShut(x int)\n}\ntype Base struct{}\nfunc (b *Base) Shut(x int) {}\n",
        "b/t.go": 'package b\nimport "m/a"\ntype Gate struct{ *a.Base }\nfunc (g Gate) Open() {}\ntype Wall struct{}\nfunc (w Wall) Shut() {}\n',
    }
    assert set(edges(files, "inherits")) == {("b/t.go:Gate", "a/i.go:Base"), ("b/t.go:Gate", "a/i.go:Door")}
    assert set(edges(files, "overrides")) == {("b/t.go:Gate.Open", "a/i.go:Door.Open"), ("a/i.go:Base.Shut", "a/i.go:Door.Shut")}


def test_methods_beside_their_class_belong_to_it():
    """Methods of one type in several files are found from each, and inherit together."""
    files = {
        "src/lib.rs": "mod a;\nmod b;\npub trait Ring { fn ring(&self); }\npub struct Bell;\n",
        "src/a.rs": "use crate::{Bell, Ring};\nimpl Ring for Bell { fn ring(&self) { self.swing() } }\n",
        "src/b.rs": "use super::Bell;\nimpl Bell { pub fn swing(&self) { self.ring() } }\n",
    }
    assert {("src/a.rs:Bell.ring", "src/b.rs:Bell.swing"), ("src/b.rs:Bell.swing", "src/a.rs:Bell.ring")} <= set(edges(files, "calls"))
    assert set(edges(files, "inherits")) == {("src/lib.rs:Bell", "src/lib.rs:Ring")}
    assert set(edges(files, "overrides")) == {("src/a.rs:Bell.ring", "src/lib.rs:Ring.ring")}


def test_a_class_in_several_pieces_is_one():
    """Bases, members and uses of a class that is opened again belong to the piece in the file named after it."""
    files = {
        "lib/till.rb": "class Till\n  def ring; shut; end\nend\n",
        "lib/more.rb": "class Till < Box\n  def shut(x); end\nend\nclass Box\n  def shut; end\n  def open(x); ring(1); end\nend\n",
        "lib/use.rb": "Till.new.open(1)\n",
    }
    assert set(edges(files, "inherits")) == {("lib/till.rb:Till", "lib/more.rb:Box"), ("lib/more.rb:Till", "lib/more.rb:Box")}
    assert {("lib/use.rb", "lib/till.rb:Till"), ("lib/use.rb", "lib/more.rb:Box.open")} <= set(edges(files, "calls"))
    assert set(edges(files, "overrides")) == {("lib/more.rb:Till.shut", "lib/more.rb:Box.shut")}


def test_a_function_of_c_is_found_where_it_is_promised():
    """Of several functions of one name, the one whose file the included header is named after; a hidden one is nobody else's."""
    files = {
        "a/till.h": "int ring(void);\n",
        "a/till.c": '#include "till.h"\nint ring(void) { return 1; }\n',
        "b/bell.c": "int ring(void) { return 2; }\nstatic int shake(void) { return 3; }\n",
        "b/use.c": '#include "../a/till.h"\nint use(void) { return ring() + shake(); }\n',
    }
    assert set(edges(files, "calls")) == {("b/use.c:use", "a/till.c:ring")}
    assert set(edges(files, "imports")) == {("a/till.c", "a/till.h"), ("b/use.c", "a/till.h")}


def test_tests_inside_a_source_file_test_it():
    """What a file's own module of tests calls is tested by it, as long as it is no help for tests itself."""
    files = {
        "src/lib.rs": "pub fn f() {}\n#[cfg(test)]\nmod tests {\n    fn help() { super::f() }\n    #[test]\n    fn works() { help() }\n}\n"
    }
    assert set(edges(files, "tests")) == {("src/lib.rs:tests.help", "src/lib.rs:f")}


def test_a_method_overrides_the_nearest_base_across_files():
    """Overriding is seen through imports, and skips a base that does not have the method."""
    files = {
        "a.py": "class A:\n    def f(self): ...\n    def g(self): ...\n",
        "b.py": "from a import A\nclass B(A):\n    def g(self): ...\n",
        "c.py": "import b\nclass C(b.B):\n    def f(self): ...\n    def g(self): ...\n",
    }
    assert set(edges(files, "overrides")) == {("b.py:B.g", "a.py:A.g"), ("c.py:C.f", "a.py:A.f"), ("c.py:C.g", "b.py:B.g")}
    assert set(edges(files, "inherits")) == {("b.py:B", "a.py:A"), ("c.py:C", "b.py:B")}


def test_tests_are_joined_to_what_they_exercise():
    """A test reaches what it calls and imports, and the file it is named after; never by a bare guess, never another test's help."""
    files = dict(PROJECTS["python_imports"][0])
    found = edges(files, "tests")
    assert found["tests/test_cart.py:test_sum", "src/shop/cart.py:Cart.sum"].weight == 1.0
    assert found["tests/test_cart.py", "src/shop/cart.py"].evidence == "named after it"
    assert ("tests/test_cart.py:test_sum", "src/shop/cart.py:Cart.with_tax") in found
    assert ("tests/test_cart.py:test_guess", "src/shop/cart.py:Cart.with_tax") not in found
    assert not any("helpers" in dst for _, dst in found)


def test_a_test_is_named_after_the_closest_file():
    """Of two files with the name, the one whose folders the test shares is meant; equals share the weight."""
    found = edges({"a/core.py": "", "b/core.py": "", "a/tests/test_core.py": "", "tests/test_core.py": ""}, "tests")
    assert {key: edge.weight for key, edge in found.items()} == {
        ("a/tests/test_core.py", "a/core.py"): 1.0,
        ("tests/test_core.py", "a/core.py"): 0.5,
        ("tests/test_core.py", "b/core.py"): 0.5,
    }


def test_too_many_candidates_give_no_edge():
    """A name alone points nowhere once more definitions carry it than MAX_CANDIDATES."""
    few = {f"m{n}.py": "class A:\n    def spin(self): ...\n" for n in range(MAX_CANDIDATES)}
    use = {"use.py": "def f(x):\n    x.spin()\n"}
    assert len(edges({**few, **use}, "calls")) == MAX_CANDIDATES
    assert not edges({**few, **use, "one_more.py": few["m0.py"]}, "calls")


def test_a_file_being_imported_narrows_a_guess():
    """Candidates in imported files are preferred to equals elsewhere."""
    files = {
        "a.py": "class A:\n    def spin(self): ...\n",
        "b.py": "class B:\n    def spin(self): ...\n",
        "use.py": "import a\ndef f(x):\n    x.spin()\n",
    }
    assert set(edges(files, "calls")) == {("use.py:f", "a.py:A.spin")}


def test_code_never_calls_into_tests_by_name():
    """A guess from ordinary code leaves out what tests define."""
    assert not edges({"tests/test_a.py": "class A:\n    def spin(self): ...\n", "use.py": "def f(x):\n    x.spin()\n"}, "calls")


def test_circular_imports_and_bases_come_to_an_end():
    """Modules that import each other in a circle, and classes that are their own ancestors, are linked as far as they go."""
    files = {
        "p/__init__.py": "from .a import *\nfrom .b import thing\n",
        "p/a.py": "from . import *\nfrom .b import thing\nclass A(B): ...\nclass B(A):\n    def f(self):\n        self.g()\n        missing()\n",
        "p/b.py": "from .a import thing\nfrom p import other\nclass C(C): ...\n",
        "long.py": "".join(f"class K{n}(K{n + 1}.X): ...\n" for n in range(3000)),
    }
    assert ("p/a.py:A", "p/a.py:B") in edges(files, "inherits")


def test_links_do_not_depend_on_the_order_of_files():
    """The same files in another order give the same edges in the same order."""
    files = PROJECTS["javascript"][0]
    assert linked(files) == linked(dict(reversed(files.items())))
