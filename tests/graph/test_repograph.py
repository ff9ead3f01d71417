"""A graph shows the ancestors of its commit and nothing else, and answers as git does."""

import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pygit2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backstory.graph.build import build_graph
from backstory.graph.lineage import Lineage
from backstory.graph.mirror import open_source
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Edge, Oid, RepoPath, Span
from repos import BASE_TIME, Repo, git

LINES = frozenset({"paths", "lines"})


def graph_of(repo: Repo, tmp_path: Path, at: str | None = None) -> RepoGraph:
    return build_graph(open_source(repo.root), Oid(at or repo.head), cache_dir=tmp_path / "cache", tiers=LINES)


def test_a_graph_is_not_disturbed_by_commits_stored_after_it_was_opened(tmp_path):
    """Another process may add later commits to the store while a graph is in use; it goes on answering for its own commit."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"a.py": "x = 1\n"})
    graph = graph_of(repo, tmp_path)
    for number in range(3):
        repo.git("mv", "a.py", "b.py") if number == 1 else None
        repo.commit(f"later {number}", {"c.py": f"x = {number}\n"})
    graph_of(repo, tmp_path)
    assert [message.subject for message in graph.messages()] == ["one"]
    assert graph.counts().commits == 1
    assert [graph.message(oid).subject for oid in graph.touched(RepoPath("a.py"))] == ["one"]


# --- only ancestors ----------------------------------------------------------------------------------------------------------------------

Plan = list[tuple[list[int], int, int]]
"""For each commit: how far back its parents are (at least 1), its clock's error in hours, and which file it writes."""

PLANS = st.lists(
    st.tuples(st.lists(st.integers(1, 6), max_size=3, unique=True), st.integers(-50, 50), st.integers(0, 3)), min_size=1, max_size=14
)


def commit_plan(root: Path, plan: Plan) -> tuple[pygit2.Repository, list[str]]:
    """Write the planned commits, each on its own branch, some tagged, and return them in order; clocks may run backwards."""
    repository = pygit2.init_repository(str(root), bare=True)
    oids: list[pygit2.Oid] = []
    for number, (back, hours, file) in enumerate(plan):
        parents = [oids[number - distance] for distance in back if distance <= number]
        blob = repository.create_blob(f"{number}\n".encode())
        builder = repository.TreeBuilder(repository[parents[0]].tree) if parents else repository.TreeBuilder()
        builder.insert(f"{file}.txt", blob, pygit2.enums.FileMode.BLOB)
        who = pygit2.Signature("Ada", "ada@example.org", BASE_TIME + 3600 * (number + hours), 0)
        oids.append(
            repository.create_commit(
                None,
                who,
                who,
                f"commit {number} reverts\n\nThis reverts commit {oids[-1] if oids else '0' * 40}.",
                builder.write(),
                parents,
            )
        )
        if number % 3 == 0:
            repository.references.create(f"refs/heads/b{number}", oids[-1])
        elif number % 3 == 1:
            repository.references.create(f"refs/tags/t{number}", oids[-1])
    repository.set_head(oids[0])
    return repository, [str(oid) for oid in oids]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLANS, st.data())
def test_a_graph_shows_what_rev_list_reaches_and_nothing_else(plan, data):
    """Whatever branches, merges, tags, clocks and unreachable objects there are, and whatever the store holds besides, every view of a graph
    is the set that `git rev-list` gives, children before parents, and the same as from a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _, oids = commit_plan(root / "repo.git", plan)
        source = open_source(root / "repo.git")
        first, at = (Oid(oids[data.draw(st.integers(0, len(oids) - 1))]) for _ in range(2))
        build_graph(source, first, cache_dir=root / "cache", tiers=LINES).close()
        graph = build_graph(source, at, cache_dir=root / "cache", tiers=LINES)
        expected = set(git(root / "repo.git", "rev-list", at).split())
        assert set(graph.order()) == expected and len(graph.order()) == len(expected) == len(graph)
        assert {oid for oid in oids if oid in graph} == expected
        assert [message.oid for message in graph.messages()] == list(graph.order())
        place = {oid: number for number, oid in enumerate(graph.order())}
        for oid in graph.order():
            assert list(graph.parents(oid)) == git(root / "repo.git", "rev-list", "-1", "--parents", oid).split()[1:]
            assert all(place[parent] > place[oid] for parent in graph.parents(oid))
        for path in graph.files():
            assert set(graph.touched(path)) <= expected
            assert {oid for _, oid in graph.origin(path)} <= expected
            assert {step.commit for step in graph.history(path).steps} == set(graph.touched(path))
            assert {step.commit for step in graph.history(path, Span(1, 1)).steps} <= expected
        assert {edge.dst for edge in graph.reverts()} | {edge.src for edge in graph.reverts()} <= expected
        kinds = ("parent", "touched", "reverts")
        assert {node for node in graph.subgraph([at], kinds, 99, 999) if len(node) == 40} <= expected
        for oid in set(oids) - expected:
            with pytest.raises(KeyError):
                graph.commit(Oid(oid))
            with pytest.raises(KeyError):
                graph.message(Oid(oid))
            with pytest.raises(KeyError):
                graph.diff(Oid(oid))
            assert list(graph.subgraph([oid], kinds, 2, 9)) == [oid]
        alone = build_graph(source, at, cache_dir=root / "alone", tiers=LINES)
        assert list(alone.order()) == list(graph.order())
        assert [alone.commit(oid) for oid in alone.order()] == [graph.commit(oid) for oid in graph.order()]
        assert [alone.touched(path) for path in alone.files()] == [graph.touched(path) for path in graph.files()]
        for path in graph.files():
            assert [alone.history(path, span) for span in (None, Span(1, 1))] == [graph.history(path, span) for span in (None, Span(1, 1))]
        graph.close()
        alone.close()


# --- answers as git's --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    """A repository whose files are edited, renamed, deleted and merged at random, and its graph."""
    chance = random.Random(11)
    folder = tmp_path_factory.mktemp("lively")
    repo = Repo(folder / "repo")
    files = {f"f{number}.txt": [f"{number}-{line}" for line in range(12)] for number in range(5)}
    repo.commit("start", {name: "\n".join(lines) + "\n" for name, lines in files.items()})
    for number in range(40):
        name = chance.choice(sorted(files))
        lines = files[name]
        lines[chance.randrange(len(lines))] = f"changed {number}"
        lines.insert(chance.randrange(len(lines)), f"inserted {number}")
        if number % 9 == 8:
            new = f"dir{number}/{name.rsplit('/')[-1]}"
            files[new] = files.pop(name)
            repo.write({name: None})
            name = new
        repo.commit(f"change {number}", {name: "\n".join(lines) + "\n"})
        if number % 10 == 5:
            repo.git("checkout", "-q", "-b", f"side{number}", "HEAD~1")
            repo.commit(f"side {number}", {f"side{number}.txt": f"{number} beside\n"})
            repo.git("checkout", "-q", "main")
            repo.merge(f"side{number}", f"merge {number}")
    return repo, graph_of(repo, folder)


def test_origin_is_what_blame_says(lively):
    """Every line of every file comes from the commit `git blame` names, for whole files and for spans."""
    repo, graph = lively
    for path in graph.files():
        blamed = [
            line.split()[0]
            for line in repo.git("blame", "--line-porcelain", graph.at, "--", path).split("\n")
            if len(line.split(" ")[0]) == 40 and not line.startswith("\t")
        ]
        spans = graph.origin(path)
        assert [oid for span, oid in spans for _ in range(span.first, span.last + 1)] == blamed
        part = graph.origin(path, Span(3, 7))
        assert [oid for span, oid in part for _ in range(span.first, span.last + 1)] == blamed[2:7]


def test_origin_stays_inside_the_file(lively):
    """Lines that do not exist have no origin; a file that does not exist is a KeyError."""
    _, graph = lively
    path = next(iter(graph.files()))
    assert list(graph.origin(path, Span(5_000, 6_000))) == []
    assert graph.origin(path, Span(1, 10**9)) == graph.origin(path)
    with pytest.raises(KeyError):
        graph.origin(RepoPath("missing"))


def test_diffs_are_what_git_shows(lively):
    """A commit's text equals `git diff-tree -p`, for merges against the first parent, for roots against nothing, and for chosen paths."""
    repo, graph = lively
    for oid in graph.order():
        against = repo.git("rev-parse", f"{oid}~1") if graph.parents(oid) else "--root"
        expected = repo.git(
            "diff-tree", "-r", "-p", "-M", "--full-index", "--no-commit-id", *([against] if graph.parents(oid) else ["--root"]), oid
        )
        assert graph.diff(oid).decode().strip() == expected
        for change in graph.commit(oid).changes:
            assert graph.diff(oid, [change.path]).count(b"diff --git") == 1


def test_touched_holds_what_log_follow_finds(lively):
    """`touched` has every commit `git log --follow` has, newest first."""
    repo, graph = lively
    place = {oid: number for number, oid in enumerate(graph.order())}
    for path in graph.files():
        touched = list(graph.touched(path))
        assert set(repo.git("log", "--follow", "--format=%H", "--no-merges", graph.at, "--", path).split()) <= set(touched)
        assert touched == sorted(touched, key=place.__getitem__)
        assert all(path in graph.changed_paths(oid) for oid in touched)


def test_was_path_names_a_file_that_is_there(lively):
    """The name a file had at a commit is in that commit's tree, and its changes there are today's file's."""
    repo, graph = lively
    for path in graph.files():
        for oid in graph.touched(path):
            name = graph.was_path(path, oid)
            assert name is not None and repo.git("cat-file", "-t", f"{oid}:{name}") == "blob"
            assert name in [change.path for change in graph.commit(oid).changes]


def test_commits_are_whole(tmp_path):
    """A commit has its words, author and date besides its changes; the date is aware and in UTC."""
    repo = Repo(tmp_path / "repo")
    at = repo.commit("Subject line\n\nBody of two\nlines.\n", {"a": "1\n"})
    commit = graph_of(repo, tmp_path).commit(Oid(at))
    assert (commit.subject, commit.body, commit.author) == ("Subject line", "Body of two\nlines.", "Ada <ada@example.org>")
    assert commit.when == datetime.fromtimestamp(BASE_TIME + 3600, UTC) and commit.when.utcoffset() is not None
    assert [(change.path, change.status, change.blob) for change in commit.changes] == [("a", "added", repo.git("rev-parse", "HEAD:a"))]


def test_dates_no_calendar_holds_are_clamped(tmp_path):
    """A commit from the year 3,170,843 is shown at the end of time and does not break the order."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"a": ""})
    content = f"tree {repo.git('rev-parse', 'HEAD^{tree}')}\nparent {repo.head}\nauthor A <a> 99999999999999 +0000\ncommitter A <a> 99999999999999 +0000\n\nfar\n"
    repo.git("update-ref", "HEAD", repo.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=content.encode()))
    graph = graph_of(repo, tmp_path)
    assert graph.messages()[0].when.year == 9999


# --- files through time ------------------------------------------------------------------------------------------------------------------


def test_renames_are_followed_back_through_reused_names(tmp_path):
    """When `a` became `b` and a new `a` was made, the old `a` is today's `b`; a deleted file is nobody's."""
    repo = Repo(tmp_path / "repo")
    long = "".join(f"line {number}\n" for number in range(10))
    born = repo.commit("born", {"a": long, "gone": "x\n"})
    moved = repo.commit("moved", {"a": None, "b": long})
    new = repo.commit("new a", {"a": "something else\n", "gone": None})
    edit = repo.commit("edit both", {"a": "something else now\n", "b": long + "more\n"})
    graph = graph_of(repo, tmp_path)
    assert list(graph.touched(RepoPath("b"))) == [edit, moved, born]
    assert list(graph.touched(RepoPath("a"))) == [edit, new]
    assert list(graph.changed_paths(Oid(born))) == ["b", None]
    assert (graph.was_path(RepoPath("b"), Oid(born)), graph.was_path(RepoPath("a"), Oid(born))) == ("a", None)
    assert graph.was_path(RepoPath("b"), Oid(moved)) == "b"
    assert list(graph.touched(RepoPath("gone"))) == [new, born]


def test_a_branch_that_used_the_old_name_counts(tmp_path):
    """A change under the old name on a branch, made after the rename elsewhere and merged, belongs to today's file."""
    repo = Repo(tmp_path / "repo")
    lines = [f"line {number}\n" for number in range(20)]
    repo.commit("born", {"old.txt": "".join(lines)})
    repo.git("checkout", "-q", "-b", "side")
    repo.git("checkout", "-q", "main")
    repo.commit("moved", {"old.txt": None, "new.txt": "".join(lines)})
    repo.git("checkout", "-q", "side")
    late = repo.commit("late", {"old.txt": "".join(["first\n", *lines])})
    repo.git("checkout", "-q", "main")
    repo.merge("side", "join")
    graph = graph_of(repo, tmp_path)
    assert late in graph.touched(RepoPath("new.txt"))
    assert list(graph.changed_paths(Oid(late))) == ["new.txt"]
    assert graph.was_path(RepoPath("new.txt"), Oid(late)) == "old.txt"


def test_a_chain_of_renames_is_one_file():
    """Names are given on along a chain, also when a branch put its older half first."""
    a, b, c = RepoPath("a"), RepoPath("b"), RepoPath("c")
    for renames in ([(3, b, c), (7, a, b)], [(3, a, b), (7, b, c)]):
        lineage = Lineage([c], renames)
        assert list(lineage.names(c)) == ["c", "a", "b"]
        assert lineage.today(a, 9) == lineage.today(b, 5) == "c"
    assert Lineage([c], []).today(a, 1) is None


# --- edges -------------------------------------------------------------------------------------------------------------------------------


def test_what_a_bot_changes_together_couples_nothing(tmp_path):
    """A bot's commit is marked, and its files are as uncoupled as before; a person's with the same files couples them."""
    repo = Repo(tmp_path / "repo")
    pair = {"0.txt": "1", "1.txt": "1"}
    bot = repo.commit("Bump pins", pair, author="pins[bot] <pins@example.org>")
    graph = graph_of(repo, tmp_path)
    assert graph.message(Oid(bot)).is_bot and list(graph.co_changed(RepoPath("0.txt"))) == []
    assert graph.counts().edges["co_changed"] == 0
    person = repo.commit("Bump pins", {"0.txt": "2", "1.txt": "2"})
    graph = graph_of(repo, tmp_path)
    assert not graph.message(Oid(person)).is_bot
    assert [edge.evidence for edge in graph.co_changed(RepoPath("0.txt"))] == ["together in 1 commit"]
    assert graph.counts().edges["co_changed"] == 1


def test_files_that_change_together_are_coupled(tmp_path):
    """The nearer in time and the smaller the commit, the more it couples; huge commits couple nothing, and files gone are left out."""
    repo = Repo(tmp_path / "repo")
    repo.commit("huge", {f"{number}.txt": "" for number in range(40)})
    repo.commit("pair", {"0.txt": "1", "1.txt": "1"})
    repo.commit("triple", {"0.txt": "2", "2.txt": "1", "gone.txt": "1"})
    repo.commit("pair again", {"0.txt": "3", "1.txt": "2"})
    repo.commit("alone", {"3.txt": "3", "gone.txt": None})
    graph = graph_of(repo, tmp_path)
    edges = graph.co_changed(RepoPath("0.txt"))
    assert [(edge.dst, edge.evidence) for edge in edges] == [("1.txt", "together in 2 commits"), ("2.txt", "together in 1 commit")]
    assert 1.9 < edges[0].weight < 2 and 0.45 < edges[1].weight < 0.5
    assert len(graph.co_changed(RepoPath("0.txt"), limit=1)) == 1
    assert list(graph.co_changed(RepoPath("3.txt"))) == []


def test_messages_tell_of_reverts_and_issues(tmp_path):
    """A revert leads to the visible commit it names, shortened ids included; an id that names no ancestor leads nowhere."""
    repo = Repo(tmp_path / "repo")
    first = repo.commit("one (#7)", {"a": "1\n"})
    second = repo.commit(f"Back\n\nThis reverts commit {first[:10]}.\nFixes #9", {"a": "2\n"})
    repo.commit(f"Odd\n\nThis reverts commit {'f' * 40}.", {"a": "3\n"})
    graph = graph_of(repo, tmp_path)
    assert [(edge.src, edge.dst) for edge in graph.reverts()] == [(second, first)]
    assert [(edge.src, edge.dst) for edge in graph.mentions()] == [(second, "#9"), (first, "#7")]
    assert list(graph.fixes()) == [Edge("fixed", second, "#9", evidence="Back")]
    around = graph.subgraph(["#7"], ("mentions", "reverts"), 2, 10)
    assert set(around) == {"#7", first, second}
    assert around.get_edge_data(second, first)["reverts"]["evidence"] == "Back"


def test_counts_are_what_is_there(tmp_path):
    """Commits, files and edges are counted, those of the past and those of the code."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one (#1)", {"a.py": "def f():\n    return 1\n", "b.txt": ""})
    repo.commit("two", {"a.py": "def f():\n    return 2\n"})
    counts = graph_of(repo, tmp_path).counts()
    assert (counts.commits, counts.files, counts.symbols) == (2, 2, 1)
    found = {"parent": 1, "touched": 3, "mentions": 1, "co_changed": 1, "renamed_from": 0, "reverts": 0}
    assert {kind: counts.edges[kind] for kind in found} == found
    assert counts.edges["contains"] == 1


def test_a_subgraph_is_bounded(lively):
    """Depth and limit hold, seeds come first, and every edge is of a kind asked for."""
    _, graph = lively
    path = next(iter(graph.files()))
    small = graph.subgraph([path], ("touched", "parent", "co_changed"), 3, 7)
    assert len(small) == 7 and next(iter(small)) == path
    near = graph.subgraph([graph.at], ("parent",), 1, 100)
    assert set(near) == {graph.at, *graph.parents(graph.at)}
    assert {kind for *_, kind in small.edges(keys=True)} <= {"touched", "parent", "co_changed"}


def test_odd_paths_have_a_history_too(tmp_path):
    """Spaces, quotes, newlines, other scripts, bytes that are not UTF-8, globs and dashes are only names."""
    names = ["two words", 'quo"te', "new\nline", "Käse/日本", "raw\udcff", "-dash", "*", ":(top)x", "back\\slash"]
    repo = Repo(tmp_path / "repo")
    first = repo.commit("one", dict.fromkeys(names, "1\n"))
    second = repo.commit("two", dict.fromkeys(names, "1\n2\n"))
    graph = graph_of(repo, tmp_path)
    assert set(graph.files()) == set(names)
    for name in map(RepoPath, names):
        assert list(graph.touched(name)) == [second, first]
        assert [oid for _, oid in graph.origin(name)] == [first, second]
        assert graph.diff(Oid(second), [name]).count(b"diff --git") == 1
        assert graph.text(name) == b"1\n2\n"


def test_crlf_and_no_final_newline_are_counted_as_lines(tmp_path):
    """Line ends of either kind, a last line without one, an empty and a binary file have the origins they have."""
    repo = Repo(tmp_path / "repo")
    repo.git("config", "core.autocrlf", "false")
    at = repo.commit("one", {"crlf": "a\r\nb\r\n", "open": "a\nb", "empty": "", "bin": b"\0\n\1", "latin": "grün\n".encode("latin-1")})
    graph = graph_of(repo, tmp_path)
    assert graph.origin(RepoPath("crlf")) == graph.origin(RepoPath("open")) == [(Span(1, 2), at)]
    assert graph.origin(RepoPath("empty")) == []
    assert graph.origin(RepoPath("bin")) == [(Span(1, 2), at)]
    assert graph.text(RepoPath("latin")) == b"gr\xfcn\n" and b"gr\xfcn" in graph.diff(Oid(at))
