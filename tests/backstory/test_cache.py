"""Listing and removing what is kept."""

import json

import pytest

from backstory.cache import chosen, kept_in, remember, remove
from backstory.errors import StorageError, UserError
from command import CommandLine


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
