"""Twenty questions that agents ask of a repository, each as one call of our tools and one of another's. Plain data: every script may import it.

must: what an answer has to hold to be one, in any order; LocAgent's ids and ours have the same form. theirs: None where LocAgent's tools have no answer
(they know no history and hide tests). git: what a shell would be asked instead, for the questions of the past.
"""

from dataclasses import dataclass, field
from typing import Any

COMMITS = {
    "pallets/flask": "2ac89889f4cc330eabd50f295dcef02828522c69",
    "pytest-dev/pytest": "df87db7b0462fb764ef73fa00561adf8ad047572",
    "sympy/sympy": "e950d313a932bc6cccbc95376b3821cd2f8b5af4",
}
"""Where the questions are asked: the commits that were the newest when they were written down."""

PARTS = {"sympy/sympy": ("sympy/core", "sympy/printing")}
"""What LocAgent's graph is made of where that of the whole tree takes too long (sympy: not done after 18 CPU minutes): all that its questions are about, so
that its answers can only be shorter.
"""


@dataclass(frozen=True)
class Question:
    """ask: in words. ours, theirs: (tool, arguments)."""

    ask: str
    repository: str
    ours: tuple[str, dict[str, Any]]
    theirs: tuple[str, dict[str, Any]] | None = None
    git: tuple[str, ...] = ()
    must: tuple[str, ...] = field(default=())


def _search(*terms: str) -> tuple[str, dict[str, Any]]:
    return "search_code_snippets", {"search_terms": list(terms)}


def _explore(start: str, direction: str, depth: int, *kinds: str) -> tuple[str, dict[str, Any]]:
    arguments = {"start_entities": [start], "direction": direction, "traversal_depth": depth, "dependency_type_filter": list(kinds)}
    return "explore_tree_structure", arguments


FLASK, PYTEST, SYMPY = COMMITS
QUESTIONS = (
    Question(
        "Where is Blueprint.register defined?",
        FLASK,
        ("find", {"query": "Blueprint.register"}),
        _search("Blueprint.register"),
        must=("src/flask/sansio/blueprints.py:Blueprint.register",),
    ),
    Question(
        "What calls Flask.dispatch_request?",
        FLASK,
        ("walk", {"start": "src/flask/app.py:Flask.dispatch_request", "kinds": ["calls"], "direction": "used_by"}),
        _explore("src/flask/app.py:Flask.dispatch_request", "upstream", 1, "invokes"),
        must=("Flask.full_dispatch_request",),
    ),
    Question(
        "What does Flask.full_dispatch_request call, two calls deep?",
        FLASK,
        ("walk", {"start": "src/flask/app.py:Flask.full_dispatch_request", "kinds": ["calls"], "direction": "uses", "depth": 2}),
        _explore("src/flask/app.py:Flask.full_dispatch_request", "downstream", 2, "invokes"),
        must=("Flask.dispatch_request", "Flask.finalize_request", "Flask.make_response"),
    ),
    Question(
        "What does the class SecureCookieSessionInterface look like?",
        FLASK,
        ("read", {"target": "SecureCookieSessionInterface"}),
        _search("SecureCookieSessionInterface"),
        must=("def open_session", "def save_session"),
    ),
    Question(
        "What does the file src/flask/sessions.py define?",
        FLASK,
        ("read", {"target": "src/flask/sessions.py"}),
        _search("src/flask/sessions.py"),
        must=("SecureCookieSessionInterface", "save_session", "NullSession"),
    ),
    Question(
        "Show the body of SecureCookieSessionInterface.save_session.",
        FLASK,
        ("read", {"target": "src/flask/sessions.py:SecureCookieSessionInterface.save_session"}),
        _search("src/flask/sessions.py:SecureCookieSessionInterface.save_session"),
        must=("def save_session", "response.delete_cookie("),
    ),
    Question(
        "Show the code around line 978 of src/flask/app.py.",
        FLASK,
        ("read", {"target": "src/flask/app.py", "first": 968, "last": 988}),
        ("search_code_snippets", {"line_nums": [978], "file_path_or_pattern": "src/flask/app.py"}),
        must=("if req.routing_exception is not None:",),
    ),
    Question(
        "Which classes derive from Node, directly or not?",
        PYTEST,
        ("walk", {"start": "src/_pytest/nodes.py:Node", "kinds": ["inherits"], "direction": "used_by", "depth": 3}),
        _explore("src/_pytest/nodes.py:Node", "upstream", 3, "inherits"),
        must=("nodes.py:Collector", "nodes.py:Item", "python.py:Function"),
    ),
    Question(
        "Which tests exercise import_path?",
        PYTEST,
        ("walk", {"start": "src/_pytest/pathlib.py:import_path", "kinds": ["tests"], "direction": "used_by"}),
        must=("testing/test_pathlib.py",),
    ),
    Question(
        "Which files import src/_pytest/config/findpaths.py?",
        PYTEST,
        ("walk", {"start": "src/_pytest/config/findpaths.py", "kinds": ["imports"], "direction": "used_by"}),
        _explore("src/_pytest/config/findpaths.py", "upstream", 1, "imports"),
        must=("src/_pytest/config/__init__.py",),
    ),
    Question(
        "Where does the message 'recursive dependency involving fixture' come from?",
        PYTEST,
        ("find", {"query": "recursive dependency involving fixture"}),
        _search("recursive dependency involving fixture"),
        must=("src/_pytest/fixtures.py",),
    ),
    Question(
        "What is in the folder src/_pytest/assertion?",
        PYTEST,
        ("read", {"target": "src/_pytest/assertion"}),
        _explore("src/_pytest/assertion", "downstream", 1, "contains"),
        must=("rewrite.py", "util.py"),
    ),
    Question(
        "Where is getfixturevalu (mistyped) defined?",
        PYTEST,
        ("find", {"query": "getfixturevalu"}),
        _search("getfixturevalu"),
        must=("src/_pytest/fixtures.py:FixtureRequest.getfixturevalue",),
    ),
    Question(
        "Where is _print_Derivative defined?",
        SYMPY,
        ("find", {"query": "_print_Derivative"}),
        _search("_print_Derivative"),
        must=("LatexPrinter._print_Derivative", "PrettyPrinter._print_Derivative", "StrPrinter._print_Derivative"),
    ),
    Question(
        "What does the class Expr look like?",
        SYMPY,
        ("read", {"target": "sympy/core/expr.py:Expr"}),
        _search("Expr"),
        must=("class Expr", "as_independent", "round"),
    ),
    Question(
        "Show the body of Mul.flatten.",
        SYMPY,
        ("read", {"target": "sympy/core/mul.py:Mul.flatten"}),
        _search("sympy/core/mul.py:Mul.flatten"),
        must=("def flatten",),
    ),
    Question(
        "What usually changes along with sympy/printing/latex.py?",
        SYMPY,
        ("walk", {"start": "sympy/printing/latex.py", "kinds": ["co_changed"]}),
        git=("log", "-n", "100", "--format=", "--name-only", "--full-diff", "--", "sympy/printing/latex.py"),
        must=("sympy/printing/tests/test_latex.py", "sympy/printing/pretty/pretty.py"),
    ),
    Question(
        "What happened to LatexPrinter._print_Derivative?",
        SYMPY,
        ("history", {"target": "sympy/printing/latex.py:LatexPrinter._print_Derivative"}),
        git=("log", "-n", "15", "-L832,867:sympy/printing/latex.py"),
        must=("707ed80845", "d7ed287805"),
    ),
    Question(
        "What did commit 530f07664c do to LatexPrinter._print_Derivative?",
        SYMPY,
        ("history", {"target": "sympy/printing/latex.py:LatexPrinter._print_Derivative", "commit": "530f07664c"}),
        git=("show", "530f07664c", "--", "sympy/printing/latex.py"),
        must=("_print_Derivative",),
    ),
    Question(
        "Which past changes resemble 'LaTeX printing of derivatives of a power is wrong', and what did they touch?",
        SYMPY,
        ("similar", {"text": "LaTeX printing of derivatives of a power is wrong"}),
        git=("log", "-n", "5", "-i", "--grep=latex", "--grep=derivative", "--all-match", "--stat"),
        must=("sympy/printing/latex.py", "_print_Derivative"),
    ),
)
