"""Repositories that are odd, damaged or enormous are read as far as they can be, and what cannot be read is told in a line."""

import json
import subprocess
import sys

import pytest
from graphs import graph_of

from backstory.errors import UserError
from backstory.graph.story import story_of
from backstory.graph.types import Oid, RepoPath, Span, SymbolId
from repos import Repo

FUNCTION = "def price():\n    return {0}\n"


@pytest.fixture
def repo(tmp_path):
    return Repo(tmp_path / "repo")


def fast_import(repo: Repo, commands: bytes) -> str:
    """Make commits from a stream of `git fast-import`; return the newest."""
    repo.git("fast-import", "--quiet", stdin=commands)
    return repo.git("rev-parse", "main")


def data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def commit_header(message: str, when: int) -> bytes:
    return b"commit refs/heads/main\ncommitter Ada <ada@example.org> %d +0000\n" % when + data(message.encode())


# --- damaged ------------------------------------------------------------------------------------------------------------------------------


def test_a_corrupt_pack_is_told(repo, tmp_path):
    """When the bytes of a pack are wrong the history is said to be incomplete, with what to do; nothing half read is kept."""
    for number in range(20):
        repo.commit(f"change {number}", {"app.py": FUNCTION.format(number) * 50, f"f{number}": str(number) * 500})
    repo.git("repack", "-q", "-a", "-d", "-F")
    (pack,) = (repo.root / ".git" / "objects" / "pack").glob("*.pack")
    pack.chmod(0o644)
    whole = bytearray(pack.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 64] = bytes(byte ^ 0xFF for byte in whole[middle : middle + 64])
    pack.write_bytes(whole)
    for _ in range(2):
        with pytest.raises(UserError, match=r"git fsck|complete clone|cannot be read"):
            graph_of(repo, tmp_path)


# --- odd ----------------------------------------------------------------------------------------------------------------------------------


def test_paths_that_differ_only_in_case_are_different_files(repo, tmp_path):
    """`App.py` and `app.py` have each their own history, code and words, also where folders collide."""
    first = repo.commit("one", {"App.py": FUNCTION.format(1), "app.py": FUNCTION.format(2), "Lib/a.py": "x = 1\n"})
    second = repo.commit("two", {"app.py": FUNCTION.format(3), "lib/a.py": "x = 2\n"})
    graph = graph_of(repo, tmp_path)
    assert (list(graph.touched(RepoPath("App.py"))), list(graph.touched(RepoPath("app.py")))) == ([first], [second, first])
    assert [symbol.id for symbol in graph.code.definitions("price")] == ["App.py:price", "app.py:price"]
    assert graph.text(RepoPath("Lib/a.py")) == b"x = 1\n" and graph.text(RepoPath("lib/a.py")) == b"x = 2\n"


def test_a_submodule_that_became_a_file_has_a_story(repo, tmp_path):
    """A path that was a submodule's commit, or a link, before it was a file is followed as far as there was a file."""
    repo.commit("start", {"other.py": FUNCTION.format(0)})
    link = repo.git("hash-object", "-w", "--stdin", stdin=b"other.py")
    for mode, target, message in (("160000", repo.head, "a submodule"), ("120000", link, "a link")):
        repo.time += 3600
        repo.git("update-index", "--add", "--cacheinfo", f"{mode},{target},shop.py")
        repo.git("commit", "-q", "-m", message)
    repo.git("rm", "-q", "--cached", "shop.py")
    born = repo.commit("a file", {"shop.py": FUNCTION.format(1)})
    edited = repo.commit("edit", {"shop.py": FUNCTION.format(2), "other.py": FUNCTION.format(1)})
    graph = graph_of(repo, tmp_path)
    story = story_of(graph, SymbolId("shop.py:price"))
    assert [event.step.commit for event in story.events] == [born, edited]
    assert [oid for _, oid in graph.origin(RepoPath("shop.py"))] == [born, edited]
    assert graph.origins() and story_of(graph, RepoPath("shop.py")).events
    for oid in graph.order():
        graph.symbols_touched([oid])


def test_two_roots_and_an_octopus_are_one_past(repo, tmp_path):
    """A history that begins twice and joins four branches at once shows every side's commits, and each line comes from its side."""
    first = repo.commit("root", {"a.py": FUNCTION.format(1)})
    sides = []
    for number in range(3):
        repo.git("checkout", "-q", "-b", f"side{number}", first)
        sides.append(repo.commit(f"side {number}", {f"s{number}.py": FUNCTION.format(number)}))
    repo.git("checkout", "-q", "main")
    repo.time += 3600
    repo.git("merge", "-q", "-m", "join all", "side0", "side1", "side2")
    octopus = repo.head
    repo.git("checkout", "-q", "--orphan", "other")
    repo.git("rm", "-q", "-rf", ".")
    root = repo.commit("another root", {"z.py": FUNCTION.format(9)})
    repo.git("checkout", "-q", "main")
    repo.time += 3600
    repo.git("merge", "-q", "--allow-unrelated-histories", "-m", "join roots", "other")
    graph = graph_of(repo, tmp_path)
    assert set(graph.order()) == {first, *sides, octopus, root, repo.head} and len(graph.parents(Oid(octopus))) in (3, 4)
    graph.origins()
    for number, side in enumerate(sides):
        assert [oid for _, oid in graph.origin(RepoPath(f"s{number}.py"))] == [side]
    assert [event.step.commit for event in story_of(graph, SymbolId("z.py:price")).events] == [root]


def test_what_cannot_be_parsed_still_has_its_past(repo, tmp_path):
    """A minified line, broken syntax and bytes that are no UTF-8: the first is left out with the reason, of the others what can be is read."""
    repo.commit(
        "one",
        {
            "min.js": "var a=1;" * 20_000,
            "broken.py": "def good():\n    return 1\n\n\ndef bad(:\n  ((\n",
            "raw.py": b"def raw():\n    return '\xff\xfe'\n",
        },
    )
    repo.commit(
        "two",
        {
            "min.js": "var a=2;" * 20_000,
            "broken.py": "def good():\n    return 2\n\n\ndef bad(:\n  ((\n",
            "raw.py": b"def raw():\n    return '\xff\xfd'\n",
        },
    )
    graph = graph_of(repo, tmp_path)
    assert "longer than" in graph.code.skipped()[RepoPath("min.js")]
    assert {"broken.py:good", "raw.py:raw"} <= {symbol.id for symbol in graph.code.symbols()}
    for place in (SymbolId("broken.py:good"), SymbolId("raw.py:raw"), RepoPath("min.js")):
        assert len(story_of(graph, place).events) == 2
    assert len(story_of(graph, RepoPath("min.js"), Span(1, 1)).events) == 2


# --- a past that changes ------------------------------------------------------------------------------------------------------------------


def test_a_rewritten_history_is_seen_as_it_is_now(repo, tmp_path):
    """After an amended, a reset and a rebased branch, and with the old commits collected, a graph shows the new ancestors and no old one."""
    base = repo.commit("base", {"a.py": FUNCTION.format(0)})
    old = [repo.commit(f"old {number}", {"a.py": FUNCTION.format(number + 1)}) for number in range(3)]
    graph_of(repo, tmp_path).close()
    repo.git("reset", "-q", "--hard", base)
    new = [repo.commit(f"new {number}", {"a.py": FUNCTION.format(number + 10)}) for number in range(2)]
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")
    graph = graph_of(repo, tmp_path)
    assert graph.order() == [new[1], new[0], base] and (graph.built.commits, graph.built.fetched) == (2, True)
    assert [event.step.commit for event in story_of(graph, SymbolId("a.py:price")).events] == [base, *new]
    assert not any(oid in graph for oid in old)


def test_a_commit_whose_branch_is_gone_can_still_be_asked_about(repo, tmp_path):
    """What was indexed stays when its branch is deleted: the object is still there, and once collected, other commits are as they were."""
    repo.commit("base", {"a.py": FUNCTION.format(0)})
    repo.git("checkout", "-q", "-b", "topic")
    topic = repo.commit("topic", {"a.py": FUNCTION.format(1)})
    graph_of(repo, tmp_path).close()
    repo.git("checkout", "-q", "main")
    repo.git("branch", "-q", "-D", "topic")
    assert not graph_of(repo, tmp_path, at=topic).built.did_work
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")
    later = repo.commit("later", {"a.py": FUNCTION.format(2)})
    graph = graph_of(repo, tmp_path)
    assert topic not in graph and graph.order()[0] == later and len(graph) == 2


def test_one_process_reads_while_another_builds(repo, tmp_path):
    """Graphs opened over and over while another process indexes new commits answer each for its own commit."""
    for number in range(3):
        repo.commit(f"change {number}", {"a.py": FUNCTION.format(number)})
    graph_of(repo, tmp_path).close()
    old = repo.head
    for number in range(40):
        repo.commit(f"later {number}", {"a.py": FUNCTION.format(number + 100), f"b{number}.py": FUNCTION.format(number)})
    script = (
        "import sys; from pathlib import Path; from backstory.graph.build import build_graph; from backstory.graph.source import open_source, resolve\n"
        "source = open_source(Path(sys.argv[1]))\n"
        "for back in range(39, -1, -3): build_graph(source, resolve(source, f'HEAD~{back}'), cache_dir=Path(sys.argv[2])).close()\n"
    )
    builder = subprocess.Popen([sys.executable, "-c", script, str(repo.root), str(tmp_path)])
    looks = 0
    while builder.poll() is None or looks < 3:
        graph = graph_of(repo, tmp_path, at=old)
        assert len(graph) == 3 and len(story_of(graph, SymbolId("a.py:price")).events) == 3 and len(graph.code.symbols()) == 1
        graph.close()
        looks += 1
    assert builder.wait() == 0
    assert len(graph_of(repo, tmp_path)) == 43


# --- enormous -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_tree_of_100000_files(repo, tmp_path):
    """The history, the code and a story of a tree of 100,000 files are there, and a commit that made them all couples nothing."""
    files = b"".join(
        b"M 644 :%d d%d/f%d.%s\n" % (1 + number % 2, number % 500, number, b"py" if number % 100 == 0 else b"txt")
        for number in range(100_000)
    )
    blobs = b"blob\nmark :1\n" + data(FUNCTION.format(1).encode()) + b"blob\nmark :2\n" + data(b"text\n")
    edit = commit_header("edit", 1_700_003_600) + b"M 644 inline d0/f0.py\n" + data(FUNCTION.format(2).encode())
    head = fast_import(repo, blobs + commit_header("all", 1_700_000_000) + files + b"\n" + edit + b"\n")
    graph = graph_of(repo, tmp_path, at=head)
    assert (len(graph.files()), len(graph.code.files())) == (100_000, 1000)
    story = story_of(graph, SymbolId("d0/f0.py:price"))
    assert [event.message.subject for event in story.events] == ["all", "edit"] and not story.moves_with
    assert not graph_of(repo, tmp_path, at=head).built.did_work


@pytest.mark.slow
def test_a_blob_of_500_megabytes_is_never_in_memory(repo, tmp_path):
    """A blob of 500 MB, named as source even, is a file with a history; indexing it, with the origin of every line, takes under 300 MB."""
    huge = repo.root / "data.py"
    with huge.open("wb") as file:
        file.truncate(500_000_000)
    repo.commit("huge", {"a.py": FUNCTION.format(1)})
    with huge.open("r+b") as file:
        file.write(b"x = 1\n")
    repo.commit("edit it", {"a.py": FUNCTION.format(2)})
    huge.unlink()
    script = (
        "import json, sys; from pathlib import Path; from backstory.graph.build import build_graph\n"
        "from backstory.graph.source import open_source, resolve; from backstory.graph.story import story_of\n"
        "source = open_source(Path(sys.argv[1]))\n"
        "graph = build_graph(source, resolve(source, 'HEAD'), cache_dir=Path(sys.argv[2]))\n"
        "graph.origins()\n"
        "steps = len(story_of(graph, 'data.py').events)\n"
        "peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"  # rusage counts the process that forked too
        "print(json.dumps([steps, dict(graph.code.skipped()), int(peak)]))\n"
    )
    said = subprocess.run([sys.executable, "-c", script, str(repo.root), str(tmp_path / "cache")], capture_output=True, check=True).stdout
    steps, skipped, peak_kb = json.loads(said)
    assert steps == 2 and "larger than" in skipped["data.py"]
    assert peak_kb < 300_000


@pytest.mark.slow
def test_a_merge_of_many_parents_and_a_long_chain(repo, tmp_path):
    """Twenty parents, and 20,000 commits in a row, are no obstacle: nothing recurses."""
    stream = [commit_header("0", 1_700_000_000) + b"M 644 inline a.py\n" + data(FUNCTION.format(0).encode())]
    stream += [
        commit_header(str(number), 1_700_000_000 + number) + b"M 644 inline n\n" + data(b"%d\n" % number) for number in range(1, 20_000)
    ]
    head = fast_import(repo, b"\n".join(stream) + b"\n")
    tree = repo.git("rev-parse", f"{head}^{{tree}}")
    parents = [repo.git("commit-tree", tree, "-p", head, "-m", f"side {number}") for number in range(20)]
    merge = repo.git("commit-tree", tree, *[part for parent in parents for part in ("-p", parent)], "-m", "join")
    graph = graph_of(repo, tmp_path, at=merge)
    assert len(graph) == 20_021 and len(graph.parents(Oid(merge))) == 20
    assert len(story_of(graph, RepoPath("n")).events) == 19_999
    assert [oid for _, oid in graph.origin(RepoPath("a.py"))] == [graph.order()[-1]]
