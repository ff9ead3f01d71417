"""A disk that is full or read-only is told with its exit code, and what was stored stays readable.

The disks are real: small memory file systems, mounted in a mount namespace of their own, where the machine lets an ordinary user make one.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backstory.errors import StorageError
from backstory.graph.build import build_graph
from backstory.graph.mirror import open_source
from backstory.graph.store import Store
from backstory.graph.types import Oid
from repos import Repo

BUILD = """
import sys
from pathlib import Path
from backstory.errors import StorageError
from backstory.graph.build import build_graph
from backstory.graph.mirror import open_source
source = open_source(Path(sys.argv[1]))
try:
    graph = build_graph(source, source.head, cache_dir=Path(sys.argv[2]), tiers=frozenset({"paths", "lines"}))
    print("built", len(graph))
except StorageError as error:
    print("storage", str(error))
"""


def namespaces() -> bool:
    unshare = shutil.which("unshare")
    return (
        unshare is not None
        and subprocess.run([unshare, "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
    )


needs_mounts = pytest.mark.skipif(not namespaces(), reason="this machine lets no ordinary user mount a file system in a namespace")


def in_namespace(script: str, *arguments: object) -> str:
    """Run a shell script where mounts are private; return what it printed."""
    done = subprocess.run(["unshare", "-rm", "sh", "-ec", script, "sh", *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    for number in range(5):
        repo.commit(f"change {number}", {"a.txt": f"{number}\n", f"{number}.txt": "x\n"})
    return repo


@needs_mounts
@pytest.mark.parametrize("size", ["4k", "24k", "80k", "100k", "140k"])
def test_a_disk_that_fills_up_is_told_wherever_it_happens(repo, tmp_path, size):
    """Whether the mirror or the store finds no room, it is one StorageError; with room again the same cache is finished."""
    (tmp_path / "disk").mkdir()
    script = (
        'mount -t tmpfs -o "size=$5" none "$4"; "$1" -c "$2" "$3" "$4/cache"; mount -o remount,size=50m "$4"; "$1" -c "$2" "$3" "$4/cache"'
    )
    said = in_namespace(script, sys.executable, BUILD, repo.root, tmp_path / "disk", size).splitlines()
    assert said[0].startswith("storage ") and "BACKSTORY_CACHE_DIR" in said[0], said
    assert said[1:] == ["built 5"]


@needs_mounts
def test_a_read_only_disk_is_told(repo, tmp_path):
    """A cache that cannot be written is one StorageError, with nothing in it as with an older mirror in it."""
    disk = tmp_path / "disk"
    (disk / "empty").mkdir(parents=True)
    build_graph(open_source(repo.root), Oid(repo.git("rev-parse", "HEAD~1")), cache_dir=disk / "used", tiers=frozenset({"paths"})).close()
    script = 'mount --bind "$4" "$4"; mount -o remount,bind,ro "$4"; "$1" -c "$2" "$3" "$4/empty"; "$1" -c "$2" "$3" "$4/used"'
    said = in_namespace(script, sys.executable, BUILD, repo.root, disk).splitlines()
    assert len(said) == 2
    for line in said:
        assert line.startswith("storage ") and "BACKSTORY_CACHE_DIR" in line, said


def test_a_full_store_keeps_what_it_had(tmp_path):
    """When there is no room for a transaction it is rolled back, and what was saved before can still be read and added to."""
    store = Store(tmp_path / "graph.db")
    store.save_snapshot(Oid("ab" * 20), "1", b"kept")
    pages = store.rows("PRAGMA page_count")[0][0]
    store.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="no room left"):
        store.save_parses([(Oid(f"{number:040x}"), "1", b"x" * 4000) for number in range(50)])
    assert store.snapshot(Oid("ab" * 20), "1") == b"kept"
    assert store.parses([Oid(f"{0:040x}")], "1") == {}
    store.rows("PRAGMA max_page_count = 100000")
    store.save_snapshot(Oid("ab" * 20), "1", b"new")
    assert store.snapshot(Oid("ab" * 20), "1") == b"new"


def test_a_cache_folder_that_is_a_file_is_told(repo, tmp_path):
    """A file where the cache should be is a StorageError naming it."""
    (tmp_path / "cache").write_text("")
    with pytest.raises(StorageError, match="cache"):
        build_graph(open_source(repo.root), Oid(repo.head), cache_dir=Path(tmp_path / "cache"), tiers=frozenset({"paths"}))
