"""The tools an agent looks with, on a small real repository: each answer word for word."""

import pytest
from graphs import graph_of
from looking import RULES, caller, edited_view, library

from backstory.tools.look import View, look_tools
from repos import Repo


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return library(tmp_path_factory.mktemp("library") / "repo")


@pytest.fixture(scope="module")
def commits(made):
    return {name: oid[:10] for name, oid in made[1].items()}


@pytest.fixture(scope="module")
def graph(made, tmp_path_factory):
    graph = graph_of(made[0], tmp_path_factory.mktemp("cache"))
    yield graph
    graph.close()


@pytest.fixture
def call(graph):
    return caller(View(graph))


def test_the_tools_are_five_and_read_only(graph):
    """Their names, order and effect never change, so a prompt that lists them stays the same bytes."""
    assert [(tool.name, tool.effect) for tool in look_tools(View(graph))] == [
        (name, "reads") for name in ("find", "walk", "read", "history", "similar")
    ]


# --- find ----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"query": "add"},
            "2 symbols named 'add':\n"
            "store/shelf.py:Shelf.add 13-16 def add(self, book)\n"
            "store/shelf.py:TallShelf.add 20-21 def add(self, book)",
        ),
        (
            {"query": "store.shelf.TallShelf.add()"},
            "1 symbol named 'store.shelf.TallShelf.add':\nstore/shelf.py:TallShelf.add 20-21 def add(self, book)",
        ),
        ({"query": "tallshelf"}, "1 symbol named 'TallShelf' (no 'tallshelf'):\nstore/shelf.py:TallShelf 19-21 class TallShelf(Shelf)"),
        ({"query": "store/rules.py:checked"}, "exactly this symbol:\nstore/rules.py:checked 1-4 def checked(book, size)"),
        ({"query": "rules.py"}, "1 file named so:\nstore/rules.py 1 symbol"),
        ({"query": "test_*.py"}, "1 file named so:\ntests/test_shelf.py 1 symbol [test]"),
        (
            {"query": "no room"},
            '1 line in 1 file holds the text:\nstore/rules.py:checked\n3|        raise ValueError(f"no room for {book}")',
        ),
        (
            {"query": "NO ROOM", "path": "store"},
            '1 line in 1 file holds the text but for case:\nstore/rules.py:checked\n3|        raise ValueError(f"no room for {book}")',
        ),
        (
            {"query": r"class \w+\("},
            "1 line in 1 file matches the pattern:\nstore/shelf.py:TallShelf\n19|class TallShelf(Shelf):",
        ),
        (
            {"query": "where is a book put on a shelf"},
            "nothing is called so and no line holds it; nearest by words of the base, best first:\n"
            "store/shelf.py:Shelf.add 13-16 def add(self, book)\n"
            "store/rules.py:checked 1-4 def checked(book, size)\n"
            "store/shelf.py:TallShelf.add 20-21 def add(self, book)\n"
            "tests/test_shelf.py 1 symbol [test]\n"
            "store/shelf.py:TallShelf 19-21 class TallShelf(Shelf)\n"
            "store/shelf.py:Shelf 6-16 class Shelf\n"
            "tests/test_shelf.py:test_add 4-5 def test_add() [test]",
        ),
    ],
)
def test_find_answers_with_the_first_step_that_finds_something(call, asked, said):
    """Ids, names in any case, files, globs, text, patterns and words are tried in turn; the answer says which it was."""
    found = call("find", **asked)
    assert (found.text, found.ok) == (said, True)


def test_find_says_what_a_mistyped_name_may_mean(call):
    """A name that is nowhere is answered with the ids of those that look like it."""
    found = call("find", query="Shlef", kind="symbol")
    assert not found.ok
    assert found.text == "no symbol is called 'Shlef'; did you mean\n  store/shelf.py:Shelf 6-16 class Shelf"


def test_find_counts_what_it_does_not_show(call):
    """With a limit the first are shown, and the last line says how many more there are and how to see them."""
    assert call("find", query="book", kind="text", limit=2).text == (
        "13 lines in 3 files hold the text:\n"
        "store/rules.py:checked\n"
        "1|def checked(book, size):\n"
        "2|    if len(book) > size:\n"
        "also in store/shelf.py (8), tests/test_shelf.py (1)\n"
        "(11 lines not shown; narrow with path, or raise limit)"
    )


def test_find_lists_the_commits_that_name_an_issue(call, commits):
    """An issue number leads to the commits whose messages name it."""
    assert call("find", query="#7").text == f"commits that name #7, newest first:\n{commits['rules']} 2023-11-15 Refuse long books"


# --- read ----------------------------------------------------------------------------------------------------------------------------------


def test_read_shows_a_symbol_with_its_lines(call):
    """A body comes with the numbers its lines have in the file."""
    assert call("read", target="TallShelf").text == (
        "store/shelf.py:TallShelf  lines 19-21 of 21\n"
        "19|class TallShelf(Shelf):\n"
        "20|    def add(self, book):\n"
        "21|        return super().add(book)"
    )


def test_read_shows_a_folder_as_its_parts(call):
    """Folders say how many files lie below them, files how much they define."""
    assert call("read", target=".").text == "the repository: 2 folders, 1 file\nstore/ 3 files\ntests/ 1 file\nREADME.md"
    assert call("read", target="store/").text == "store/: 0 folders, 3 files\n__init__.py\nrules.py 1 symbol\nshelf.py 5 symbols"


# --- walk ----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"start": "store/shelf.py:Shelf.add"},
            "store/shelf.py:Shelf.add 13-16\n"
            "  calls store/rules.py:checked 1-4\n"
            "  called by, overridden by store/shelf.py:TallShelf.add 20-21\n"
            "  tested by tests/test_shelf.py:test_add 4-5 [test]",
        ),
        (
            {"start": "checked", "direction": "used_by", "depth": 2},
            "store/rules.py:checked 1-4\n"
            "  called by store/shelf.py:Shelf.add 13-16\n"
            "    called by, overridden by store/shelf.py:TallShelf.add 20-21\n"
            "    tested by tests/test_shelf.py:test_add 4-5 [test]",
        ),
        (
            {"start": "checked", "direction": "uses"},
            "store/rules.py:checked 1-4\nnothing is linked to it by imports, calls, inherits, overrides, tests; other kinds: contains",
        ),
        (
            {"start": "store/shelf.py", "kinds": ["contains", "imports"], "direction": "uses", "depth": 2, "limit": 4},
            "store/shelf.py\n"
            "  contains store/shelf.py:Shelf 6-16\n"
            "    contains store/shelf.py:Shelf.__init__ 9-11\n"
            "    … 1 more: contains 1\n"
            "  imports store/rules.py\n"
            "    contains store/rules.py:checked 1-4\n"
            "  … 1 more: contains 1",
        ),
    ],
)
def test_walk_says_on_each_branch_how_it_is_linked(call, asked, said):
    """Callers and callees, bases and tests stand below what they are linked to, in words that read from the line above; what is cut is counted."""
    assert call("walk", **asked).text == said


def test_walk_goes_back_in_time(call, commits):
    """What touched a file, what changed with it, what it was called, and from a commit what it touched, fixed and named."""
    assert call("walk", start="store/shelf.py", kinds=["touched", "co_changed", "renamed_from"]).text == (
        "store/shelf.py\n"
        f"  touched by {commits['rules']} 2023-11-15 Refuse long books\n"
        f"  touched by {commits['moved']} 2023-11-15 Move shelves into a package\n"
        f"  touched by {commits['born']} 2023-11-14 Make shelves (#1)\n"
        "  changed with store/rules.py  together in 1 commit\n"
        "  changed with store/__init__.py  together in 1 commit\n"
        "  changed with README.md  together in 1 commit\n"
        "  was called shelf.py"
    )
    assert call("walk", start=commits["rules"]).text == (
        f"{commits['rules']} 2023-11-15 Refuse long books\n  touched store/rules.py\n  touched store/shelf.py\n"
        f"  mends what came with {commits['born']} 2023-11-14 Make shelves (#1)\n  fixed #7\n  mentions #3"
    )
    assert call("walk", start=commits["born"], kinds=["introduced"]).text == (
        f"{commits['born']} 2023-11-14 Make shelves (#1)\n  mended by {commits['rules']} 2023-11-15 Refuse long books"
    )
    assert call("walk", start=commits["drop"], kinds=["reverts"]).text == (
        f'{commits["drop"]} 2023-11-15 Drop the readme\n  reverted by {commits["undrop"]} 2023-11-15 Revert "Drop the readme"'
    )
    assert call("walk", start="checked", kinds=["touched"]).text == (
        "store/rules.py:checked 1-4\n"
        f"  touched by {commits['fill']} 2023-11-15 Let a book fill its shelf\n"
        f"  touched by {commits['rules']} 2023-11-15 Refuse long books"
    )


def test_walk_says_how_sure_a_link_is(tmp_path):
    """A call that only its name explains is shown with its weight, and the answer says what that is."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"a.py": "class A:\n    def close_all(self): pass\n\n\ndef use(thing):\n    thing.close_all()\n"})
    graph = graph_of(repo, tmp_path / "cache")
    said = caller(View(graph))("walk", start="a.py:use").text
    graph.close()
    assert said == "a.py:use 5-6\n  calls a.py:A.close_all 2  ~0.25 name only\n(~: how sure, of 1)"


# --- history -------------------------------------------------------------------------------------------------------------------------------


def test_history_lists_changes_newest_first(call, commits):
    """Each is a line with its date, id, what it did, subject and the issues it names; renames and reverts are said."""
    assert call("history", target="store/rules.py").text == (
        "store/rules.py: 2 changes, the first 2023-11-15\n"
        f"2023-11-15 {commits['fill']} +1 -1 Let a book fill its shelf\n"
        f"2023-11-15 {commits['rules']} added in store/rules.py +4 -0 Refuse long books [fixes #7; #3]"
    )
    assert call("history", target="Shelf.add").text == (
        "store/shelf.py:Shelf.add: 3 changes, the first 2023-11-14\n"
        f"2023-11-15 {commits['rules']} +1 -1 Refuse long books [fixes #7; #3]\n"
        f"2023-11-15 {commits['moved']} moved from shelf.py to store/shelf.py Move shelves into a package\n"
        f"2023-11-14 {commits['born']} added in shelf.py +4 -0 Make shelves (#1)"
    )
    said = call("history", target="README.md").text
    assert f"{commits['drop']} removed from README.md +0 -1 Drop the readme [reverted by {commits['undrop']}]" in said


def test_history_stops_at_its_limit_and_says_so(call, commits):
    """With a limit only the newest come, and that there are older ones is said."""
    assert call("history", target="Shelf.add", limit=1).text == (
        "store/shelf.py:Shelf.add: the newest 1 change\n"
        f"2023-11-15 {commits['rules']} +1 -1 Refuse long books [fixes #7; #3]\n"
        "(older ones not shown; raise limit)"
    )


def test_history_shows_what_one_commit_did_to_the_target(call, commits):
    """With a commit the diff of the target comes, and nothing of what the commit did elsewhere; with whole all of it."""
    assert call("history", target="store/rules.py:checked", commit=commits["fill"][:6]).text == (
        f"2023-11-15 {commits['fill']} +1 -1 Let a book fill its shelf\n"
        "store/rules.py +1 -1: checked\n"
        "@@ -1,4 +1,4 @@\n"
        " def checked(book, size):\n"
        "-    if len(book) >= size:\n"
        "+    if len(book) > size:\n"
        '         raise ValueError(f"no room for {book}")\n'
        "     return book"
    )
    part = call("history", target="Shelf.add", commit=commits["rules"]).text
    assert "+        self.books.append(checked(book, self.size))" in part and "+from store.rules import checked" not in part
    assert part.endswith("(1 hunk elsewhere in this file not shown; target='store/shelf.py' shows all)")
    whole = call("history", target="Shelf.add", commit=commits["rules"], whole=True).text
    assert "+from store.rules import checked" in whole and "+def checked(book, size):" in whole


def test_history_of_a_commit_is_its_message_and_its_files(call, commits):
    """What a commit says and which files and symbols it touched, without its diff."""
    assert call("history", target=commits["rules"]).text == (
        f"2023-11-15 {commits['rules']} +7 -1 Refuse long books [fixes #7; #3]\n"
        "  by Ada\n"
        "  A book that is too long fell off.\n"
        "  Fixes #7, see #3\n"
        "store/rules.py (added) +4 -0: checked\n"
        "store/shelf.py +3 -1: Shelf.add\n"
        f"(history(target, commit='{commits['rules']}') shows its diff of a target, with whole=true all of it)"
    )


def test_history_says_which_files_a_commit_changed_when_the_target_is_not_among_them(call, commits):
    """A commit that left the target alone is an answer to act on."""
    said = call("history", target="store/shelf.py", commit=commits["fill"])
    assert not said.ok
    assert said.text.startswith(f"{commits['fill']} did not change store/shelf.py; it changed\n  store/rules.py +1 -1: checked\n")


# --- similar -------------------------------------------------------------------------------------------------------------------------------


def test_similar_finds_what_was_done_before(call, commits):
    """A complaint finds the past changes with its words, and the symbols that they touched."""
    assert call("similar", text="a long book is refused", limit=1).text == (
        "past changes that resemble it, most alike first:\n"
        f"2023-11-15 {commits['rules']} +7 -1 Refuse long books [fixes #7; #3]\n"
        "  store/rules.py (added) +4 -0: checked\n"
        "  store/shelf.py +3 -1: Shelf.add"
    )


def test_similar_says_when_nothing_is(call):
    """A text without a word of the past is told from an empty answer."""
    said = call("similar", text="zebra")
    assert not said.ok and said.text.startswith("no past change shares a word with this text")


# --- what was changed since ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def edited(graph):
    """Two lines put before `checked`, a method renamed, a new file, a deleted one."""
    renamed = graph.text("store/shelf.py").replace(b"def add(self, book):\n        return", b"def put(self, book):\n        return")
    return caller(
        edited_view(
            graph,
            {
                "store/rules.py": b"# One rule.\n\n" + RULES.encode(),
                "store/shelf.py": renamed,
                "store/new.py": b"def fresh():\n    return 1\n",
                "README.md": None,
            },
        )
    )


def test_changed_files_are_read_and_found_as_they_are_now(edited):
    """Bytes, names and line numbers are those of the current text, and the answer says that the file was changed."""
    assert edited("read", target="checked").text.startswith(
        "store/rules.py:checked  lines 3-6 of 6, changed since the base\n3|def checked("
    )
    assert edited("read", target="store/shelf.py:TallShelf.put").ok and not edited("read", target="store/shelf.py:TallShelf.add").ok
    assert edited("find", query="fresh").text == "1 symbol named 'fresh':\nstore/new.py:fresh 1-2 def fresh()"
    assert edited("find", query="return 1").text.endswith("store/new.py:fresh\n2|    return 1")
    assert "new.py 1 symbol changed" in edited("read", target="store").text
    assert edited("read", target="README.md").text == "README.md was deleted since the base"


def test_the_past_of_what_was_changed_is_that_of_the_base(edited, commits):
    """History and walk speak of the base, by the place a changed symbol came from, and the walk says so."""
    assert commits["fill"] in edited("history", target="checked").text
    assert commits["moved"] in edited("history", target="TallShelf.put").text
    assert commits["rules"] in edited("history", target="store/rules.py:3-6").text
    assert not edited("history", target="store/new.py").ok and not edited("history", target="store/rules.py:1-2").ok
    assert edited("walk", start="checked").text.endswith("(links are those of the base; changed since: store/rules.py, store/shelf.py)")
