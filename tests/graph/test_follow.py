"""A place is followed through edits, renames and moves between files, and what is said of each commit is what the commit did."""

import random

import pytest

from backstory.graph.build import build_graph
from backstory.graph.follow import pack_steps, unpack_steps
from backstory.graph.mirror import open_source
from backstory.graph.telling import tell_history
from backstory.graph.types import Oid, RepoPath, Span, SymbolId
from repos import Repo

LINES = frozenset({"paths", "lines"})


def graph_of(repo, tmp_path, at=None, tiers=LINES):
    return build_graph(open_source(repo.root), Oid(at or repo.head), cache_dir=tmp_path / "cache", tiers=tiers)


def told(history):
    """Return (commit, kind) of each step."""
    return [(step.commit, step.kind) for step in history.steps]


PARSE = "def parse(text):\n    parts = text.split('-')\n    if len(parts) != 3:\n        raise ValueError(text)\n    return [int(part) for part in parts]\n"
OTHER = "def other(value):\n    return value + 1\n"


@pytest.fixture
def repo(tmp_path):
    return Repo(tmp_path / "repo")


def test_a_function_is_followed_through_edits_renames_and_moves(repo, tmp_path):
    """Every commit that changed the function is told, what passed it by is not, and renames and moves name where it was."""
    born = repo.commit("born", {"dates.py": PARSE})
    repo.commit("beside", {"dates.py": OTHER + "\n\n" + PARSE})
    edit = repo.commit("edit", {"dates.py": OTHER + "\n\n" + PARSE.replace("!= 3", "not in (2, 3)")})
    renamed_body = PARSE.replace("!= 3", "not in (2, 3)").replace("def parse(", "def parse_date(")
    renamed = repo.commit("rename it", {"dates.py": OTHER + "\n\n" + renamed_body})
    moved = repo.commit("move it", {"dates.py": OTHER, "core.py": "import os\n\n\n" + renamed_body})
    file_moved = repo.commit("move the file", {"core.py": None, "lib/core.py": "import os\n\n\n" + renamed_body})
    repo.commit("beside again", {"lib/core.py": "import os\nimport re\n\n\n" + renamed_body + "\n\n" + OTHER})
    graph = graph_of(repo, tmp_path)
    history = graph.history(SymbolId("lib/core.py:parse_date"))
    assert told(history) == [(file_moved, "moved"), (moved, "moved"), (renamed, "renamed"), (edit, "edited"), (born, "added")]
    by_commit = {step.commit: step for step in history.steps}
    assert (by_commit[moved].was_path, by_commit[moved].path) == ("dates.py", "core.py")
    assert "100% of its words" in by_commit[moved].evidence
    assert (by_commit[renamed].was_name, by_commit[renamed].name) == ("parse", "parse_date")
    assert (by_commit[edit].added, by_commit[edit].removed) == (1, 1)
    assert by_commit[edit].span == Span(5, 9) and by_commit[born].span == Span(1, 5)
    assert history.name == "lib/core.py:parse_date" and history.span == Span(5, 9)


def test_what_is_pinned_earlier_is_told_only_so_far(repo, tmp_path):
    """A graph at an older commit tells of that commit's ancestors, from the same store."""
    first = repo.commit("one", {"a.py": PARSE})
    second = repo.commit("two", {"a.py": PARSE.replace("3", "4")})
    third = repo.commit("three", {"a.py": PARSE.replace("3", "5")})
    assert told(graph_of(repo, tmp_path).history(SymbolId("a.py:parse"))) == [(third, "edited"), (second, "edited"), (first, "added")]
    assert told(graph_of(repo, tmp_path, second).history(SymbolId("a.py:parse"))) == [(second, "edited"), (first, "added")]


def test_a_function_taken_out_and_brought_back_is_told_whole(repo, tmp_path):
    """A removal between two appearances is a step, and what came before it too."""
    born = repo.commit("born", {"a.py": PARSE + "\n\n" + OTHER})
    gone = repo.commit("gone", {"a.py": OTHER})
    repo.commit("beside", {"a.py": OTHER.replace("1", "2")})
    back = repo.commit("back", {"a.py": PARSE + "\n\n" + OTHER.replace("1", "2")})
    history = graph_of(repo, tmp_path).history(SymbolId("a.py:parse"))
    assert told(history) == [(back, "added"), (gone, "removed"), (born, "added")]
    assert history.steps[1].removed == 5


def test_both_sides_of_a_merge_are_told(repo, tmp_path):
    """What two branches did to one function, and a merge joined, is all told, though the merge's version is on neither."""
    body = "def long(value):\n" + "".join(f"    value += {number}\n" for number in range(30)) + "    return value\n"
    born = repo.commit("born", {"a.py": body})
    repo.git("checkout", "-q", "-b", "side")
    side = repo.commit("side", {"a.py": body.replace("value += 25\n", "value += 125\n")})
    repo.git("checkout", "-q", "main")
    main = repo.commit("main", {"a.py": body.replace("value += 3\n", "value += 103\n")})
    repo.merge("side", "join")
    last = repo.commit("last", {"a.py": (repo.root / "a.py").read_text().replace("value += 11\n", "value += 111\n")})
    history = graph_of(repo, tmp_path).history(SymbolId("a.py:long"))
    assert set(told(history)) == {(last, "edited"), (side, "edited"), (main, "edited"), (born, "added")}
    assert (history.steps[0].commit, history.steps[-1].commit) == (last, born)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("newest", [None, 1000])
def test_all_branches_are_told_whatever_they_were_merged_with(repo, tmp_path, seed, newest):
    """Branches that each edit functions of their own, merged in any order: of each function exactly the commits that edited it, in the order of the graph."""
    draw = random.Random(seed)
    names = [f"f{number}" for number in range(8)]
    written = dict.fromkeys(names, 0)

    def text():
        return "\n\n".join(
            f"def {name}():\n    # {name} is of its own\n    {name}_value = {written[name]}\n    return {name}_value\n" for name in names
        )

    edits = {name: [] for name in names}
    born = repo.commit("born", {"a.py": text()})
    branches = {"main": dict(written)}
    repo.git("branch", "-q", "-M", "main")
    for number in range(30):
        branch = draw.choice(list(branches))
        repo.git("checkout", "-q", branch)
        written = branches[branch]
        chance = draw.random()
        if chance < 0.25 and len(branches) < 4:
            repo.git("checkout", "-q", "-b", f"side{number}")
            branches[f"side{number}"] = dict(written)
        elif chance < 0.45 and len(branches) > 1:
            other = draw.choice([name for name in branches if name != branch])
            repo.merge(other, f"join {other}")
            written.update({name: max(value, branches[other][name]) for name, value in written.items()})
            if other != "main":
                del branches[other]
        else:
            name = names[list(branches).index(branch) :: 4][draw.randrange(2)]
            if written[name] == max(values[name] for values in branches.values()):  # nobody else is ahead of it: no merge will conflict
                written[name] += 1
                edits[name].append(repo.commit(f"{name} {written[name]}", {"a.py": text()}))
    repo.git("checkout", "-q", "main")
    assert sum(map(len, edits.values())) > 5
    graph = graph_of(repo, tmp_path)
    order = {message.oid: place for place, message in enumerate(graph.messages())}
    for name in names:
        expected = sorted((oid for oid in [*edits[name], born] if oid in order), key=order.__getitem__)
        span = next(row.span for row in graph.outline(RepoPath("a.py")) if row.qualname == name)
        for place in ((SymbolId(f"a.py:{name}"), None), (RepoPath("a.py"), span)):
            assert [step.commit for step in graph.history(*place, newest=newest).steps] == expected, (name, place)


def test_two_functions_made_one_do_not_share_a_past_before(repo, tmp_path):
    """When the line that began a second function goes, what was done to the second before is not told of the first."""
    one = "def one(a):\n    a += 1\n    a += 2\n    b = a\n\ndef two(b):\n    b += 3\n    b += 4\n    return b\n"
    born = repo.commit("born", {"a.py": one})
    repo.commit("only two", {"a.py": one.replace("b += 3", "b += 33")})
    joined = repo.commit("join", {"a.py": one.replace("b += 3", "b += 33").replace("\ndef two(b):\n", "")})
    assert told(graph_of(repo, tmp_path).history(SymbolId("a.py:one"))) == [(joined, "edited"), (born, "added")]


def test_a_span_is_followed_line_by_line(repo, tmp_path):
    """Lines are followed through shifts and edits, and stop where a commit wrote them anew."""
    lines = [f"setting {number} = {number * 7}\n" for number in range(20)]
    born = repo.commit("born", {"conf": "".join(lines)})
    repo.commit("above", {"conf": "".join(["# head\n", "# more\n", *lines])})
    lines[10] = "setting 10 = 71\n"
    edit = repo.commit("edit", {"conf": "".join(["# head\n", "# more\n", *lines])})
    graph = graph_of(repo, tmp_path)
    assert told(graph.history(RepoPath("conf"), Span(13, 13))) == [(edit, "edited"), (born, "added")]
    assert told(graph.history(RepoPath("conf"), Span(5, 6))) == [(born, "added")]
    assert told(graph.history(RepoPath("conf"), Span(1, 1))) == [(graph.order()[1], "added")]


def test_a_moved_stretch_of_lines_is_followed_into_the_other_file(repo, tmp_path):
    """Lines that one file lost and another gained in one commit keep their past."""
    block = [f"first option {number} of the longer list\n" for number in range(4)]
    born = repo.commit("born", {"a.txt": "".join(["top\n", *block, "end\n"]), "b.txt": "begin\n"})
    moved = repo.commit("move", {"a.txt": "top\nend\n", "b.txt": "".join(["begin\n", *block])})
    history = graph_of(repo, tmp_path).history(RepoPath("b.txt"), Span(2, 5))
    assert told(history) == [(moved, "moved"), (born, "added")]
    assert history.steps[0].was_path == "a.txt" and history.steps[0].was_span == Span(2, 5)


def test_a_whole_file_is_told_with_its_moves(repo, tmp_path):
    """A file's history is that of its commits, under all its names, with the lines each changed."""
    born = repo.commit("born", {"a.txt": "one\ntwo\nthree\n"})
    moved = repo.commit("moved", {"a.txt": None, "b.txt": "one\ntwo\nthree\n"})
    edit = repo.commit("edit", {"b.txt": "one\n2\nthree\n"})
    steps = graph_of(repo, tmp_path).history(RepoPath("b.txt")).steps
    assert [(step.commit, step.kind, step.added, step.removed) for step in steps] == [
        (edit, "edited", 1, 1),
        (moved, "moved", 0, 0),
        (born, "added", 3, 0),
    ]


def test_a_history_is_the_same_without_the_line_tier(repo, tmp_path):
    """Where hunks are not stored yet they are made of the two versions, and the answer is the same."""
    repo.commit("born", {"a.py": PARSE})
    repo.commit("edit", {"a.py": OTHER + PARSE.replace("3", "4")})
    repo.commit("rename", {"a.py": OTHER + PARSE.replace("3", "4").replace("parse(", "read(")})
    bare = graph_of(repo, tmp_path / "bare", tiers=frozenset({"paths"})).history(SymbolId("a.py:read"))
    assert bare == graph_of(repo, tmp_path / "full").history(SymbolId("a.py:read"))
    assert len(bare.steps) == 3


def test_what_was_followed_once_is_kept(repo, tmp_path):
    """The same question again reads no blob, and packed steps come back as they were."""
    repo.commit("born", {"a.py": PARSE})
    repo.commit("edit", {"a.py": PARSE.replace("3", "4")})
    graph = graph_of(repo, tmp_path)
    first = graph.history(SymbolId("a.py:parse"))
    assert unpack_steps(pack_steps(first.steps)) == first.steps
    kept = graph.store.rows("SELECT count(*) FROM derived")
    assert graph_of(repo, tmp_path).history(SymbolId("a.py:parse")) == first
    assert graph.store.rows("SELECT count(*) FROM derived") == kept


def test_the_newest_steps_alone_can_be_asked_for(repo, tmp_path):
    """They are the first of the whole history; what stopped short says so and is not kept as the whole."""
    repo.commit("born", {"a.py": PARSE})
    for limit in "456":
        repo.commit(f"up to {limit}", {"a.py": PARSE.replace("3", limit)})
    graph = graph_of(repo, tmp_path)
    newest = graph.history(SymbolId("a.py:parse"), newest=2)
    assert not newest.is_whole
    whole = graph.history(SymbolId("a.py:parse"))
    assert whole.is_whole and len(whole.steps) == 4 and newest.steps == whole.steps[:2]
    assert graph.history(SymbolId("a.py:parse"), newest=2) == whole


def test_a_place_that_is_not_there_is_refused(repo, tmp_path):
    """An unknown file, an unknown symbol and lines outside the file are told apart from an empty history."""
    repo.commit("born", {"a.py": PARSE})
    graph = graph_of(repo, tmp_path)
    for place in ("b.py:parse", "a.py:nothing", "b.py"):
        with pytest.raises(KeyError):
            graph.history(SymbolId(place))
    with pytest.raises(ValueError, match="no lines 4-60"):
        graph.history(RepoPath("a.py"), Span(4, 60))


def test_the_lines_of_a_random_history_come_from_where_blame_says(repo, tmp_path):
    """The newest step of a line that was never reworded is the commit `git blame` names, in a history of insertions and removals."""
    chance = random.Random(5)
    lines = [f"start {number}" for number in range(15)]
    repo.commit("start", {"a.txt": "\n".join(lines) + "\n"})
    for number in range(25):
        at = chance.randrange(len(lines))
        if number % 3 == 2:
            del lines[at : at + 2]
        else:
            lines[at:at] = [f"line {number} of {chance.random()}" for _ in range(chance.randrange(1, 4))]
        repo.commit(f"change {number}", {"a.txt": "\n".join(lines) + "\n"})
    graph = graph_of(repo, tmp_path)
    for span, oid in graph.origin(RepoPath("a.txt")):
        for line in range(span.first, span.last + 1):
            assert graph.history(RepoPath("a.txt"), Span(line, line)).steps[-1].commit == oid


def test_a_history_in_words_keeps_its_budget(repo, tmp_path):
    """With a budget the first and the newest step stay, the smaller edits go first, and it is said how many."""
    repo.commit("born", {"a.py": PARSE})
    for number in range(40):
        repo.commit(f"edit {number}", {"a.py": PARSE.replace("3", str(number + 4))})
    graph = graph_of(repo, tmp_path)
    history = graph.history(SymbolId("a.py:parse"))
    whole, short = tell_history(graph, history), tell_history(graph, history, tokens=200)
    assert whole.count("\n") == 42 and whole.startswith("a.py:parse (lines 1-5): 41 changes since 2023-11-14, newest first\n")
    assert len(short) <= 200 * 4 and "edit 39" in short and "born" in short and "smaller changes left out" in short
    assert tell_history(graph, graph.history(SymbolId("a.py:parse")), tokens=200) == short
