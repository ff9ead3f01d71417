"""Checked paths: what is refused, and what reading and writing keep."""

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.errors import ExitCode, SandboxError
from backstory.tools.paths import (
    MAX_NAME_BYTES,
    checked,
    delete_file,
    is_dot_git,
    link_stays_inside,
    read_file,
    repo_path,
    write_file,
    write_link,
)

REFUSED = [
    "",
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a/./b",
    "a//b",
    "a/",
    "a\0b",
    ".git/config",
    "sub/.GIT/hooks/pre-commit",
    ".git ",
    ".git.",
    ".git::$INDEX_ALLOCATION/config",
    "GIT~1/config",
    ".g\u200cit/config",
    "a\\.git\\config",
    "x" * (MAX_NAME_BYTES + 1),
    "/".join(["d"] * 2100),
]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: repr(path[:20]))
def test_a_path_that_could_leave_is_refused_in_one_line(path, tmp_path):
    """Reading, writing and deleting refuse the path with the policy's exit code before anything is touched."""
    for act in (checked, read_file, delete_file, lambda root, name: write_file(root, name, b"x")):
        with pytest.raises(SandboxError) as caught:
            act(tmp_path, path)
        assert caught.value.exit_code == ExitCode.SANDBOX
        assert "\n" not in str(caught.value) and "\0" not in str(caught.value)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "path", [".github/x.yml", ".gitignore", "a b/ü.txt", "git~2", "..a", "a..", "-rf", "--output=x", "new\nline", "a\\b"]
)
def test_odd_but_honest_names_work(path, tmp_path):
    """Names that only look odd can be written, read and deleted."""
    write_file(tmp_path, path, b"one\r\ntwo")
    assert read_file(tmp_path, path) == b"one\r\ntwo"
    delete_file(tmp_path, path)
    assert names(tmp_path) == []


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_whatever_passes_stays_below_the_root(text):
    """A path that is let through, joined to a root, normalises to something below that root, outside `.git`."""
    try:
        path = repo_path(text)
    except SandboxError:
        return
    normal = os.path.normpath(f"/root/of/tree/{path}")
    assert normal.startswith("/root/of/tree/")
    assert not any(is_dot_git(part) for part in path.split("/"))


def test_links_that_stay_inside_are_read_and_not_written(tmp_path):
    """A link inside the tree can be read through; writing through it is refused and leaves both alone."""
    write_file(tmp_path, "src/real.txt", b"real")
    (tmp_path / "link.txt").symlink_to("src/real.txt")
    (tmp_path / "folder").symlink_to("src")
    assert read_file(tmp_path, "link.txt") == b"real"
    assert read_file(tmp_path, "folder/real.txt") == b"real"
    for path in ("link.txt", "folder/real.txt", "folder/new.txt"):
        with pytest.raises(SandboxError):
            write_file(tmp_path, path, b"changed")
    with pytest.raises(SandboxError):
        delete_file(tmp_path, "folder/real.txt")
    assert read_file(tmp_path, "src/real.txt") == b"real"
    assert (tmp_path / "link.txt").is_symlink()


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside.txt", "in/../../outside.txt"])
def test_links_that_leave_are_refused(target, tmp_path):
    """A link out of the tree, as file or as folder, is neither read nor written."""
    (tmp_path / "outside.txt").write_bytes(b"secret")
    root = tmp_path / "tree"
    (root / "in").mkdir(parents=True)
    (root / "link").symlink_to(target)
    (root / "up").symlink_to("..")
    for path in ("link", "up/outside.txt"):
        with pytest.raises(SandboxError):
            read_file(root, path)
        with pytest.raises(SandboxError):
            write_file(root, path, b"changed")
    assert (tmp_path / "outside.txt").read_bytes() == b"secret"


def test_a_link_into_git_is_refused(tmp_path):
    """A link inside the tree that ends in `.git` is refused like the path itself."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_bytes(b"[core]\n")
    (tmp_path / "settings").symlink_to(".git/config")
    with pytest.raises(SandboxError):
        read_file(tmp_path, "settings")


def test_a_link_loop_is_refused(tmp_path):
    """A link that leads to itself is refused, not followed forever."""
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises((SandboxError, FileNotFoundError)):
        read_file(tmp_path, "loop")


def test_a_link_swapped_in_at_any_time_never_leads_out(tmp_path):
    """While a folder is swapped for a link to the outside and back, no read returns and no write reaches the outside file."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file.txt").write_bytes(b"outside")
    root = tmp_path / "tree"
    (root / "real").mkdir(parents=True)
    (root / "real" / "file.txt").write_bytes(b"inside")
    (root / "trap").symlink_to(outside)
    (root / "folder").symlink_to("real")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            for name in ("trap", "real"):
                (root / "next").symlink_to(outside if name == "trap" else "real")
                (root / "next").replace(root / "folder")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(400):
            with suppress(SandboxError, FileNotFoundError):
                assert read_file(root, "folder/file.txt") == b"inside"
            with pytest.raises(SandboxError):
                write_file(root, "folder/file.txt", b"written")
    finally:
        stop.set()
        thread.join()
    assert (outside / "file.txt").read_bytes() == b"outside"
    assert (root / "real" / "file.txt").read_bytes() == b"inside"


def test_special_files_and_giants_are_refused_at_once(tmp_path):
    """A FIFO, a folder and a sparse file over the limit are refused without waiting and without reading."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2 << 30)
    for path in ("fifo", "sparse"):
        with pytest.raises(SandboxError):
            read_file(tmp_path, path)
    with pytest.raises(SandboxError):
        read_file(tmp_path, "folder")
    for path in ("fifo", "folder"):
        with pytest.raises(SandboxError):
            write_file(tmp_path, path, b"x")
        with pytest.raises(SandboxError):
            delete_file(tmp_path, path)
    write_file(tmp_path, "sparse", b"small now")
    assert read_file(tmp_path, "sparse") == b"small now"


def test_writing_keeps_the_mode_and_leaves_hard_links_elsewhere_alone(tmp_path):
    """An executable stays executable; another name of the same file, outside the tree, keeps the old bytes."""
    root = tmp_path / "tree"
    root.mkdir()
    (root / "run.sh").write_bytes(b"old")
    (root / "run.sh").chmod(0o751)
    os.link(root / "run.sh", tmp_path / "outside")
    write_file(root, "run.sh", b"new")
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o751
    assert (tmp_path / "outside").read_bytes() == b"old"
    assert names(root) == ["run.sh"]


def test_links_are_written_only_when_they_stay_inside(tmp_path):
    """A new link inside the tree is made as asked; one that leads out is refused."""
    write_link(tmp_path, "docs/readme", b"../README")
    assert (tmp_path / "docs" / "readme").readlink() == Path("../README")
    with pytest.raises(SandboxError):
        write_link(tmp_path, "docs/readme", b"../../README")
    assert not link_stays_inside("a", b".git/config")


def test_deleting_takes_empty_folders_along_but_never_the_root(tmp_path):
    """Folders that a deletion empties go too; the root and folders with other files stay."""
    write_file(tmp_path, "a/b/c.txt", b"x")
    write_file(tmp_path, "a/d.txt", b"x")
    delete_file(tmp_path, "a/b/c.txt")
    assert names(tmp_path / "a") == ["d.txt"]
    delete_file(tmp_path, "a/d.txt")
    assert names(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        delete_file(tmp_path, "a/d.txt")
