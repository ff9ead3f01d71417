"""Listing and removing what is kept."""

import json
import subprocess
from pathlib import Path

import pytest

from backstory.cache import chosen, kept_in, remember, remove
from backstory.errors import StorageError, UserError
from backstory.graph.lock import clearing_cache, using_cache
from command import CommandLine
from repos import Repo


@pytest.fixture
def kept(tmp_path):
    """A cache with two repositories and an environment, beside something that is not ours."""
    for name, size in {"repos/aa11/mirror.git/pack": 3000, "repos/ab22/graph.db": 1000, "envs/e1/lib": 10, "mine/notes": 5}.items():
        path = tmp_path / "home" / "cache" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * size)
    return tmp_path / "home" / "cache"


def test_what_is_kept_is_listed_largest_first(kept, tmp_path):
    """Names, kinds and sizes; a repository says where it was last seen; folders that are not ours are not listed."""
    remember(kept / "repos" / "aa11", tmp_path / "a")
    remember(kept / "repos" / "aa11", tmp_path / "b")
    remember(kept / "repos" / "aa11", tmp_path / "b")
    listed = [(item.name, item.kind, item.note) for item in kept_in(kept)]
    assert listed == [("aa11", "repository", str(tmp_path / "b")), ("ab22", "repository", ""), ("e1", "environment", "")]
    assert kept_in(kept)[1].size == 1000
    assert kept_in(kept / "none") == []


def test_one_or_all_are_chosen(kept):
    """A name, or the beginning of one; what is unclear is asked back."""
    items = kept_in(kept)
    assert chosen(items, None) == items
    assert [item.name for item in chosen(items, "ab")] == ["ab22"]
    with pytest.raises(UserError, match="'a' begins 2 names"):
        chosen(items, "a")
    with pytest.raises(UserError, match="nothing is kept under 'zz'"):
        chosen(items, "zz")


def test_clearing_stays_in_the_cache(kept, tmp_path):
    """A link in the cache is removed, what it leads to stays; a folder that leads elsewhere is refused."""
    outside = tmp_path / "outside"
    (outside / "work").mkdir(parents=True)
    (outside / "work" / "precious").write_text("keep")
    (kept / "repos" / "link").symlink_to(outside)
    (kept / "work").symlink_to(outside)
    items = {item.name: item for item in kept_in(kept)}
    remove(kept, items["link"])
    assert not (kept / "repos" / "link").is_symlink()
    with pytest.raises(StorageError, match="is not below"):
        remove(kept, items["work"])
    assert (outside / "work" / "precious").read_text() == "keep"


def test_clear_asks_and_removes(kept, tmp_path):
    """Without --yes and without anyone to ask, nothing is removed; with it, what was named."""
    cli = CommandLine(tmp_path / "home")
    refused = cli("cache", "clear")
    assert (refused.exit_code, refused.error) == (2, "nobody to ask whether to remove it; pass --yes")
    assert cli("cache", "clear", "ab", "--yes").out == "removed ab22 (0.0 MB)\n"
    listed = json.loads(cli("cache", "list", "--json").out)
    assert ([row["name"] for row in listed["kept"]], listed["bytes"]) == (["aa11", "e1"], 3010)
    assert cli("cache", "clear", "--yes").exit_code == 0
    assert cli("cache", "clear", "--yes").out == f"nothing is kept in {kept}\n"
    assert (kept / "mine" / "notes").exists()


def test_clear_does_not_pull_the_cache_from_under_a_command(kept, tmp_path):
    """While somebody uses the cache nothing is removed: 2 and one line. Afterwards it is."""
    cli = CommandLine(tmp_path / "home")
    with using_cache(kept):
        refused = cli("cache", "clear", "aa11", "--yes")
        assert (refused.exit_code, refused.out) == (2, "")
        assert refused.error == f"another command is using {str(kept)!r}; wait for it or end it, then clear again"
        assert (kept / "repos" / "aa11" / "mirror.git" / "pack").exists()
    assert cli("cache", "clear", "aa11", "--yes").exit_code == 0


def test_a_command_waits_while_the_cache_is_cleared(tmp_path):
    """What begins in the middle of clearing begins with what is left."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"a.py": "x = 1\n"})
    cli = CommandLine(tmp_path / "home")
    argv = cli.argv("index", "--repo", repo.root)
    with clearing_cache(cli.home / "cache"):
        process = subprocess.Popen(argv, cwd=cli.home, env=cli.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        while not waits_for_a_lock(process):
            assert process.poll() is None
        assert not (cli.home / "cache" / "repos").exists()
    out, _ = process.communicate()
    assert process.returncode == 0 and out.startswith(b"1 commits, 1 files")


def waits_for_a_lock(process):
    """Return whether the system lists a process among those that wait for a lock."""
    return any(" -> " in line and str(process.pid) in line.split() for line in Path("/proc/locks").read_text().splitlines())
