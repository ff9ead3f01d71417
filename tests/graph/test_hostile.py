"""Nothing a repository names is ever run: not by looking at it, mirroring it, building its graph or asking the graph."""

import subprocess

import pytest

from backstory.errors import UserError
from backstory.graph.build import build_graph
from backstory.graph.mirror import open_mirror, open_source, resolve, uncommitted
from backstory.graph.types import RepoPath, Span
from hostile import arm, remove_blob
from repos import Repo, git

HISTORY = frozenset({"paths", "lines"})


def grown(root, **options):
    repo = Repo(root, **options)
    repo.commit("one", {"app.py": "a = 1\nb = 2\n", "notes.txt": "x\n"})
    repo.commit("two", {"app.py": "a = 1\nb = 3\n"})
    return repo


@pytest.fixture
def canary(tmp_path):
    return arm(grown(tmp_path / "repo"))


def test_the_trap_works(canary):
    """Plain git in the armed repository runs what the repository names, so silence elsewhere means something."""
    (canary.repo.root / "app.py").write_text("a = 7\n")
    for command in (["status"], ["log", "-p", "--all"], ["diff"], ["worktree", "add", "../other"], ["fetch"]):
        subprocess.run(["git", *command], cwd=canary.repo.root, env={"PATH": "/usr/bin:/bin"}, capture_output=True, timeout=60)
    assert {"fsmonitor", "textconv", "diff-command", "clean", "smudge", "hook-post-checkout", "ssh"} <= set(canary.heard())


def test_looking_at_a_repository_runs_nothing(canary):
    """Opening, resolving and listing what is uncommitted start none of its programs."""
    (canary.repo.root / "app.py").write_text("a = 2\nb = 3\n")
    source = open_source(canary.repo.root)
    assert resolve(source, "HEAD") == canary.head
    assert RepoPath("app.py") in uncommitted(source)
    canary.assert_silent()


def test_building_and_asking_a_graph_runs_nothing(canary, tmp_path):
    """The mirror, both tiers of history, diff and origin start none of its programs."""
    source = open_source(canary.repo.root)
    graph = build_graph(source, resolve(source, "HEAD"), cache_dir=tmp_path / "cache", tiers=HISTORY)
    assert len(graph) == 3
    for oid in graph.order():
        assert graph.commit(oid).changes
        assert b"app.py" in graph.diff(oid) or oid == canary.head
    assert graph.origin(RepoPath("app.py"), Span(2, 2))[0][1] == graph.order()[1]
    canary.assert_silent()


def test_the_mirror_takes_over_neither_config_nor_hooks(canary, tmp_path):
    """The mirror has no hooks, and its config and attributes are ours alone."""
    mirror = open_mirror(open_source(canary.repo.root), canary.head, cache_dir=tmp_path / "cache")
    assert not (mirror.path / "hooks").exists()
    assert "canary" not in (mirror.path / "config").read_text()
    assert mirror.git.run("check-attr", "-a", "app.py") in (b"", b"app.py: text: unset\napp.py: ident: unset\n")
    canary.assert_silent()


def test_a_missing_blob_is_told_and_not_fetched(tmp_path):
    """A partial clone is told to be incomplete; its promisor remote, which names a program, is not asked."""
    repo = grown(tmp_path / "repo")
    remove_blob(repo, "HEAD~1:app.py")
    canary = arm(repo)
    with pytest.raises(UserError, match=r"^history incomplete: .*complete clone") as caught:
        open_mirror(open_source(repo.root), canary.head, cache_dir=tmp_path / "cache")
    assert "\n" not in str(caught.value)
    canary.assert_silent()


def test_a_nested_bare_repository_is_read_as_data(canary):
    """Naming the folder of a nested repository runs nothing either, whatever it answers."""
    with pytest.raises(UserError):
        open_source(canary.repo.root / "nested")
    canary.assert_silent()


def test_a_bare_repository_is_no_more_trusted(tmp_path):
    """A bare repository with the same traps stays silent."""
    work = grown(tmp_path / "work")
    canary = arm(work)
    bare = tmp_path / "bare.git"
    (work.root / ".git").rename(bare)
    git(bare, "config", "-f", str(bare / "config"), "core.bare", "true")
    source = open_source(bare)
    graph = build_graph(source, resolve(source, "HEAD"), cache_dir=tmp_path / "cache", tiers=HISTORY)
    assert len(graph) == 3 and uncommitted(source) == ()
    canary.assert_silent()


def test_core_worktree_cannot_send_us_elsewhere(tmp_path):
    """A config that names another folder as the work tree is refused: its files are not the repository's."""
    repo = grown(tmp_path / "repo")
    (tmp_path / "elsewhere").mkdir()
    repo.git("config", "core.worktree", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match=r"core\.worktree"):
        open_source(repo.root)


def test_replace_refs_and_grafts_have_no_say(tmp_path):
    """A replaced commit and a grafted parent are seen as they were committed."""
    repo = grown(tmp_path / "repo")
    first, second = repo.git("rev-list", "--reverse", "HEAD").split()
    third = repo.commit("three", {"app.py": "a = 4\n"})
    repo.git("replace", second, first)
    (repo.root / ".git" / "info").mkdir(exist_ok=True)
    (repo.root / ".git" / "info" / "grafts").write_text(f"{third} {first}\n")
    source = open_source(repo.root)
    graph = build_graph(source, resolve(source, "HEAD"), cache_dir=tmp_path / "cache", tiers=HISTORY)
    assert list(graph.order()) == [third, second, first]
    assert graph.commit(second).subject == "two"
    assert resolve(source, "HEAD~1") == second
