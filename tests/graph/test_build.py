"""Building: in tiers, only what is missing, after a kill as well, and two at once."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backstory.errors import StorageError, UserError
from backstory.graph.build import build_graph
from backstory.graph.mirror import open_mirror, open_source
from backstory.graph.past import Past
from backstory.graph.repograph import RepoGraph
from backstory.graph.store import Store
from backstory.graph.types import Oid, RepoPath
from backstory.graph.verify import verify
from repos import Repo

PATHS, LINES, ALL = frozenset({"paths"}), frozenset({"paths", "lines"}), frozenset({"paths", "lines", "code"})


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    for number in range(6):
        repo.commit(f"change {number}", {"app.py": "".join(f"def f{line}(): return {number}\n" for line in range(number + 1))})
    return repo


def built(repo: Repo, tmp_path: Path, tiers=LINES, at: str | None = None) -> RepoGraph:
    return build_graph(open_source(repo.root), Oid(at or repo.head), cache_dir=tmp_path / "cache", tiers=tiers)


def test_the_path_tier_comes_without_lines_and_they_can_follow(repo, tmp_path):
    """After the path tier every commit has its paths and no hunks; the line tier adds them and reads nothing else again."""
    graph = built(repo, tmp_path, PATHS)
    assert (graph.built.fetched, graph.built.commits, graph.built.commits_with_lines) == (True, 6, 0)
    assert [change.hunks for change in graph.commit(Oid(repo.head)).changes] == [None]
    graph = built(repo, tmp_path, LINES)
    assert (graph.built.fetched, graph.built.commits, graph.built.commits_with_lines) == (False, 0, 6)
    assert graph.commit(Oid(repo.head)).changes[0].size == 11


def test_a_second_run_does_no_work(repo, tmp_path):
    """Nothing is fetched, read or parsed twice."""
    first = built(repo, tmp_path, ALL)
    assert first.built.did_work and first.built.files_parsed == 1
    assert not built(repo, tmp_path, ALL).built.did_work


def test_only_new_commits_are_read(repo, tmp_path):
    """Two commits later two are read; for an older commit nothing is."""
    older = repo.head
    built(repo, tmp_path)
    repo.commit("new 1", {"b.py": ""})
    repo.commit("new 2", {"b.py": "x = 1\n"})
    graph = built(repo, tmp_path)
    assert (graph.built.commits, graph.built.commits_with_lines) == (2, 2)
    graph = built(repo, tmp_path, at=repo.git("rev-parse", f"{older}~2"))
    assert (graph.built.commits, graph.built.commits_with_lines, len(graph)) == (0, 0, 4)


def test_branches_that_share_a_past_are_read_once(repo, tmp_path):
    """A second branch costs its own commits only, and each graph sees its own branch."""
    main = built(repo, tmp_path)
    repo.git("checkout", "-q", "-b", "side", "HEAD~3")
    repo.commit("side", {"side.py": ""})
    side = built(repo, tmp_path)
    assert side.built.commits == 1 and len(side) == 4 and len(main) == 6
    assert side.at not in built(repo, tmp_path, at=main.at)


def test_the_shares_of_several_gits_make_the_same_graph(repo, tmp_path, monkeypatch):
    """What two git processes print in turns is the past that git prints alone."""
    monkeypatch.setattr("backstory.graph.build.TURN_COMMITS", 2)
    assert not list(verify(built(repo, tmp_path), everything=True).differences)


@pytest.mark.parametrize("lost", ["HEAD~2:app.py", "HEAD~2:"])
def test_the_commit_that_git_failed_at_is_read_again(repo, tmp_path, lost):
    """A blob or tree is missing for a while: git ends in the middle of a commit, and nothing of what it had printed of it stays."""
    first = built(repo, tmp_path, PATHS, at=repo.git("rev-parse", "HEAD~4"))
    objects = first.mirror.path / "objects"
    open_mirror(open_source(repo.root), Oid(repo.head), cache_dir=tmp_path / "cache")
    for pack in list((objects / "pack").glob("*.pack")):
        moved = Path(shutil.move(pack, tmp_path))
        with moved.open("rb") as stream:
            subprocess.run(["git", "unpack-objects", "-q"], cwd=first.mirror.path, stdin=stream, check=True)
    oid = repo.git("rev-parse", lost)
    missing = objects / oid[:2] / oid[2:]
    content = missing.read_bytes()
    missing.unlink()
    with pytest.raises(StorageError, match="cannot be read"):
        built(repo, tmp_path)
    missing.write_bytes(content)
    graph = built(repo, tmp_path)
    assert graph.commit(Oid(repo.git("rev-parse", "HEAD~2"))).changes[0].hunks
    assert not list(verify(graph, everything=True).differences)


BUILD = """
import os, signal, sys
from pathlib import Path
import backstory.graph.build as build
from backstory.graph.mirror import open_source

reports_to_live = int(sys.argv[3])
build.BATCH_COMMITS = 2

def report(phase, done, total):
    global reports_to_live
    if phase in ("history", "lines"):
        reports_to_live -= 1
        if reports_to_live == 0:
            os.kill(os.getpid(), signal.SIGKILL)

source = open_source(Path(sys.argv[1]))
tiers = frozenset({"paths", "lines"})
print(build.build_graph(source, source.head, cache_dir=Path(sys.argv[2]), tiers=tiers, report=report).built.commits)
"""
"""Builds in small batches and prints how many commits were read; dies after so many reports of progress."""


def start_build(repo: Repo, cache: Path, *, reports_to_live: int = 1000) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", BUILD, str(repo.root), str(cache), str(reports_to_live)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


@pytest.mark.parametrize("later", [0, 2])
def test_a_killed_build_goes_on_where_it_stopped(repo, tmp_path, later):
    """After `kill -9` in either tier what was stored is kept, and the next build reads the rest only."""
    at, cache = repo.head, tmp_path / "cache"
    process = start_build(repo, cache, reports_to_live=2 + later)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    graph = built(repo, tmp_path)
    assert 0 < graph.built.commits + graph.built.commits_with_lines < 12
    whole = build_graph(open_source(repo.root), Oid(at), cache_dir=tmp_path / "fresh", tiers=LINES)
    assert [graph.commit(oid) for oid in graph.order()] == [whole.commit(oid) for oid in whole.order()]


def test_builds_at_once_share_the_work(repo, tmp_path):
    """Of several processes that build one repository together, one reads each commit and all get the graph."""
    running = [start_build(repo, tmp_path / "cache") for _ in range(3)]
    assert sorted(int(process.communicate()[0]) for process in running) == [0, 0, 6]


def test_progress_is_told_with_totals(repo, tmp_path):
    """Each tier says how far it is of how much."""
    told: list[tuple[str, int, int | None]] = []
    source = open_source(repo.root)
    build_graph(source, Oid(repo.head), cache_dir=tmp_path / "cache", tiers=LINES, report=lambda *what: told.append(what))
    assert ("history", 6, 6) in told and ("lines", 6, 6) in told and told[0][0] == "mirror"


def damage_file(graph: RepoGraph) -> None:
    path = graph.store.path
    graph.close()
    for extra in path.parent.glob("graph.db-*"):
        extra.unlink()
    path.write_bytes(b"x" * 8192)


def damage_page(graph: RepoGraph) -> None:
    graph.store.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    path = graph.store.path
    graph.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))


def damage_row(graph: RepoGraph) -> None:
    with graph.store.transaction():
        graph.store.write("UPDATE snapshots SET payload = ?", [(b"no snapshot",)])
    graph.close()


@pytest.mark.parametrize("damage", [damage_file, damage_page, damage_row])
def test_a_damaged_store_is_made_anew_and_that_is_said(repo, tmp_path, damage):
    """Whether the file is no database, its pages are overwritten or a row says nonsense, the next build reads everything again and says why."""
    damage(built(repo, tmp_path, ALL))
    graph = built(repo, tmp_path, ALL)
    assert "damaged" in graph.built.damage and (graph.built.commits, graph.built.files_parsed, graph.built.fetched) == (6, 1, False)
    assert len(graph.order()) == 6 and graph.commit(Oid(repo.head)).changes[0].size == 11
    graph.close()
    assert not built(repo, tmp_path, ALL).built.did_work


def test_a_damaged_mirror_is_told(repo, tmp_path):
    """A mirror that lost its objects is a StorageError with the remedy: what is stored may not be what is there."""
    graph = built(repo, tmp_path)
    store, mirror = graph.store.path, graph.mirror.path
    graph.close()
    store.unlink()
    for thing in [*mirror.glob("objects/??/*"), *mirror.glob("objects/pack/*")]:
        thing.unlink()
    with pytest.raises(StorageError, match="backstory cache clear"):
        built(repo, tmp_path)


def test_an_unindexed_commit_is_told(repo, tmp_path):
    """A graph cannot be pinned where the history was not read."""
    mirror = open_mirror(open_source(repo.root), Oid(repo.head), cache_dir=tmp_path / "cache")
    with pytest.raises(UserError, match="not indexed"):
        RepoGraph(mirror, Store(tmp_path / "empty.db"), Oid(repo.head))


def test_a_shallow_history_is_built_up_to_its_cut(repo, tmp_path):
    """The commit at the cut counts as a root: it has no parents, and adds every file there was."""
    repo.git("clone", "-q", "--depth=2", repo.root.as_uri(), str(tmp_path / "shallow"))
    graph = build_graph(open_source(tmp_path / "shallow"), Oid(repo.head), cache_dir=tmp_path / "cache", tiers=LINES)
    assert graph.shallow and len(graph) == 2
    last = graph.order()[-1]
    assert graph.parents(last) == () and graph.commit(last).changes[0].status == "added"
    assert {oid for _, oid in graph.origin(RepoPath("app.py"))} <= set(graph.order())
    assert graph.diff(last).startswith(b"diff --git")


def test_saving_again_what_is_stored_changes_nothing(repo, tmp_path):
    """Commits already stored are left alone, so that batches may overlap."""
    graph = built(repo, tmp_path)
    rows = graph.store.rows("SELECT * FROM commits")
    commits = [graph.commit(oid) for oid in reversed(graph.order())]
    from backstory.graph.history import PathCommit

    again = [PathCommit(one.oid, one.parents, one.author, 0, 0, "other", "", one.changes) for one in commits]
    Past(graph.store).save_commits(again)
    assert graph.store.rows("SELECT * FROM commits") == rows
