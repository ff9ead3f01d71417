"""From an issue to a patch and back, by the commands alone, on a real repository in a real sandbox."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from command import CommandLine
from fixing import CULPRIT, broken
from fixing import ISSUE as PRICES
from hostile import arm
from repos import Repo

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

TEST = "from dates import parse\n\n\ndef test_blanks():\n    assert parse(' 1-2 ') == ['1', '2']\n"
CHECK = "python -m pytest -q test_blanks.py"
ISSUE = "parse() fails on blanks\n\n`parse(' 1-2 ')` in dates.py keeps the blanks.\n"


@pytest.fixture
def cli(tmp_path):
    return CommandLine(tmp_path / "home", VIRTUAL_ENV=sys.prefix)


@pytest.fixture
def repo(tmp_path):
    """A parser that lost a call in its second commit, and a test for it that is not committed yet."""
    repo = Repo(tmp_path / "repo")
    repo.commit(
        "Parse dates",
        {
            "dates.py": "def parse(text):\n    return text.strip().split('-')\n",
            "test_dates.py": "from dates import parse\n\n\ndef test_parse():\n    assert parse('1-2') == ['1', '2']\n",
        },
    )
    repo.commit("parse: faster", {"dates.py": "def parse(text):\n    return text.split('-')\n"})
    repo.commit("Describe it", {"README": "dates\n"})
    repo.write(
        {
            "test_blanks.py": TEST,
            "notes.txt": "mine\n",
            "dates.py": "def parse(text):\n    return text.split('-')\n\n\n# a thought of the user's\n",
        }
    )
    return repo


def snapshot(repo):
    """Everything of the checkout and its git directory that a user could miss."""
    files = {path: path.read_bytes() for path in sorted(repo.root.rglob("*")) if path.is_file()}
    return {str(path.relative_to(repo.root)): content for path, content in files.items()}


def test_the_story_of_a_fix(cli, repo, tmp_path):
    """fix finds the commit and a verified patch and touches nothing; apply brings it in, undo takes it out; show and replay agree."""
    before = snapshot(repo)
    out = tmp_path / "fix.diff"
    ended = cli("fix", ISSUE, "--repo", repo.root, "--check", CHECK, "--json", "--out", out)
    assert ended.exit_code == 0, ended.err
    found = json.loads(ended.out)
    assert (found["status"], found["exit_code"], found["blamed"]["subject"]) == ("verified", 0, "parse: faster")
    assert found["patch"]["files"] == ["dates.py"] and "+    return text.strip().split('-')" in found["patch"]["diff"]
    assert any("test_blanks.py" in note for note in found["notes"]) and any("notes.txt" in note for note in found["notes"])
    assert out.read_bytes().decode() == found["patch"]["diff"]
    assert snapshot(repo) == before

    run = found["run"]
    assert json.loads(cli("runs", "--json").out)["runs"][0] | {"started": ""} == {
        "run": run,
        "started": "",
        "repo": str(repo.root),
        "title": "parse() fails on blanks",
        "state": "verified",
        "exit_code": 0,
        "blamed": found["blamed"]["commit"],
        "tokens": None,
    }
    assert cli("show", run, "--patch").out == found["patch"]["diff"]
    story = json.loads(cli("show", "last", "--json").out)
    assert story["outcome"] == found and story["events"][0]["kind"] == "started" and story["events"][-1]["kind"] == "finished"
    told = cli("show", "last").out
    assert told.startswith(f"run {run}\n") and f"verified patch — run {run}" in told
    handed = cli("show", "last", "--handover").out
    assert handed.startswith("# Hand-over: verified patch\n") and f"```\n{CHECK}\n```" in handed

    applied = cli("apply", "last")
    assert (applied.exit_code, applied.out.splitlines()[0]) == (0, "dates.py"), applied.err
    assert (repo.root / "dates.py").read_text() == "def parse(text):\n    return text.strip().split('-')\n\n\n# a thought of the user's\n"
    assert cli("apply", "last").exit_code == 2
    assert cli("undo", "last").exit_code == 0
    assert snapshot(repo) == before
    assert cli("undo", "last").exit_code == 2

    replayed = json.loads(cli("replay", run, "--json").out)
    assert replayed == {"same": True, "divergence": None, "patch_tree": found["patch"]["tree"]}
    again = cli("resume", run, "--json")
    assert (again.exit_code, json.loads(again.out)) == (0, found)
    last = json.loads(cli("resume", run, "--jsonl").out)
    assert (last["v"], last["kind"]) == (1, "finished")


def test_events_stream_as_lines_and_a_limit_ends_with_5(cli, repo):
    """--jsonl prints each event as it is recorded; a budget that is spent is exit 5, and resume with a larger one goes on to the end."""
    ended = cli("fix", ISSUE, "--repo", repo.root, "--check", CHECK, "--budget-steps", "1", "--jsonl")
    assert ended.exit_code == 5, ended.err
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert {event["v"] for event in events} == {1} and events[-1]["kind"] == "finished"
    assert "stopped by a limit" in cli("show", "last").out
    resumed = cli("resume", "last", "--budget-steps", "100")
    assert resumed.exit_code == 0, resumed.err
    assert resumed.out.startswith("verified patch")


def test_what_history_cannot_repair_still_delivers_places(cli, repo):
    """A fault that was always there ends with 3, names no commit as guilty, and says where to look."""
    repo.write({"test_blanks.py": "from dates import parse\n\n\ndef test_slash():\n    assert parse('1/2') == ['1', '2']\n"})
    ended = cli("fix", "parse() in dates.py does not know slashes", "--repo", repo.root, "--check", CHECK)
    assert ended.exit_code == 3, ended.err
    assert ended.out.startswith("no patch — run") and "dates.py:1-2 (parse)" in ended.out
    refused = cli("apply", "last")
    assert refused.exit_code == 2 and "has no patch to apply" in refused.error


class TestRefusals:
    """What stops a fix: one line, the documented exit code, and nothing lost."""

    @pytest.fixture
    def broken(self, tmp_path):
        return broken(tmp_path / "repo")

    def fix(self, cli, repo, *arguments, **environ):
        return cli("fix", PRICES, "--repo", repo.root, "--check", "python check.py", *arguments, **environ)

    @pytest.fixture
    def small_disk(self, tmp_path):
        """A disk of its own with 256 kB."""
        place = tmp_path / "disk"
        place.mkdir()
        if os.geteuid() != 0 or shutil.which("mount") is None:
            pytest.skip("only root may mount a disk of its own")
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True).returncode != 0:
            pytest.skip("mounting is not allowed here")
        yield place
        subprocess.run(["umount", "-l", place], check=True)

    @pytest.mark.parametrize("pages", [0, 1, 2])
    def test_a_full_disk_while_recording(self, cli, broken, small_disk, pages):
        """The run ends with 9 where the next event finds no room; with room again it goes on to the patch, and nothing is repeated."""
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        with filler.open("r+b") as file:
            file.truncate(filler.stat().st_size - pages * 4096)
        environ = {"BACKSTORY_STATE_DIR": str(small_disk / "state")}
        before = snapshot(broken)
        ended = self.fix(cli, broken, **environ)
        if ended.exit_code == 0:
            pytest.skip(f"the whole run fits into {pages} pages here")
        assert (ended.exit_code, ended.out) == (9, ""), ended.err
        assert "free some room" in ended.error or "BACKSTORY_STATE_DIR" in ended.error
        filler.unlink()
        recorded = [path.read_bytes() for path in (small_disk / "state").glob("runs/*/events.jsonl")]
        if recorded and recorded[0].count(b"\n"):
            resumed = cli("resume", "last", "--json", **environ)
            assert resumed.exit_code == 0 and json.loads(resumed.out)["status"] == "verified", resumed.err
            (path,) = (small_disk / "state").glob("runs/*/events.jsonl")
            assert path.read_bytes().startswith(recorded[0][: recorded[0].rfind(b"\n") + 1])
        else:
            assert self.fix(cli, broken, **environ).exit_code == 0
        assert snapshot(broken) == before
        assert not list((cli.home / "cache" / "work").glob("*"))

    def test_a_damaged_store_of_verdicts(self, cli, broken):
        """Remembered verdicts that are no database any more are said with 9; clearing the cache mends it."""
        assert self.fix(cli, broken).exit_code == 0
        (store,) = (cli.home / "cache" / "repos").glob("*/verdicts.db")
        for beside in store.parent.glob("verdicts.db-*"):
            beside.unlink()
        store.write_bytes(b"this is no database" * 1000)
        ended = self.fix(cli, broken)
        assert (ended.exit_code, ended.out) == (9, "") and "backstory cache clear" in ended.error
        assert cli("cache", "clear", "--yes").exit_code == 0
        assert self.fix(cli, broken).exit_code == 0

    def test_a_state_folder_that_cannot_be_made(self, cli, broken, tmp_path):
        """A file where runs should be kept: 9, and the variable that moves them, before anything is run."""
        (tmp_path / "file").write_text("")
        ended = self.fix(cli, broken, BACKSTORY_STATE_DIR=str(tmp_path / "file" / "state"))
        assert (ended.exit_code, ended.out) == (9, "") and "BACKSTORY_STATE_DIR" in ended.error

    def test_a_run_that_does_not_come_out_as_recorded(self, cli, broken):
        """replay ends with 4 and names the first event that differs, here a verdict that was changed."""
        assert self.fix(cli, broken).exit_code == 0
        (path,) = (cli.home / "state").glob("runs/*/events.jsonl")
        lines = path.read_bytes().splitlines(keepends=True)
        at = next(number for number, line in enumerate(lines) if b'"role":"history"' in line)
        assert b'"status":"passed"' in lines[at]
        lines[at] = lines[at].replace(b'"status":"passed"', b'"status":"broken"')
        path.write_bytes(b"".join(lines))
        ended = cli("replay", "last")
        assert ended.exit_code == 4 and ended.out.startswith(f"different: event {at} (check): recorded "), ended.out

    def test_a_damaged_run(self, cli, broken):
        """show, resume, replay and apply say that a run is damaged, in one line; the others are listed all the same."""
        assert self.fix(cli, broken).exit_code == 0
        (path,) = (cli.home / "state").glob("runs/*/events.jsonl")
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:2], b'{"v":1}\n', *lines[3:]]))
        for command in ("show", "resume", "replay", "apply"):
            ended = cli(command, "last")
            assert (ended.exit_code, ended.out) == (9, "") and "damaged at event 2" in ended.error
        assert "damaged" in cli("runs").out

    def test_no_namespaces(self, cli, broken):
        """Where the kernel makes no more namespaces nothing of the repository runs: 6, with what to do; `none` works when it is asked for."""
        words = cli.argv("fix", PRICES, "--repo", broken.root, "--check", "python check.py")
        script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
        inside = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"]
        if shutil.which("unshare") is None or subprocess.run([*inside, "true"], capture_output=True).returncode != 0:
            pytest.skip("namespaces cannot be limited here")
        ended = subprocess.run([*inside, *words], env=cli.environ, cwd=cli.home, capture_output=True, text=True)
        assert (ended.returncode, ended.stdout) == (6, ""), ended.stderr
        (said,) = [line for line in ended.stderr.splitlines() if "error" in line]
        assert "no sandbox: bubblewrap cannot make one here" in said and "pass --sandbox none" in said
        assert not (cli.home / "state" / "runs").exists()
        ended = subprocess.run([*inside, *words, "--sandbox", "none"], env=cli.environ, cwd=cli.home, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr


def test_a_repository_that_would_run_programs(cli, tmp_path):
    """Its config, hooks, filters and drivers run in no command, from the first index to apply and undo."""
    repo = broken(tmp_path / "repo")
    canary = arm(repo)
    before = snapshot(repo)
    check = ["--repo", repo.root, "--check", "python check.py"]
    assert cli("index", "--repo", repo.root).exit_code == 0
    assert cli("locate", "--repo", repo.root, "--issue", PRICES).exit_code == 0
    assert cli("fix", PRICES, *check, "--dry-run").exit_code == 0
    ended = cli("fix", PRICES, *check, "--budget-steps", "2")
    assert ended.exit_code == 5, ended.err
    ended = cli("resume", "last", "--budget-steps", "99")
    assert ended.exit_code == 0, ended.err
    for command in (["show", "last"], ["show", "last", "--handover"], ["runs"], ["replay", "last"]):
        assert cli(*command).exit_code == 0
    assert snapshot(repo) == before
    canary.assert_silent()
    ended = cli("apply", "last")
    assert (ended.exit_code, ended.out.splitlines()[0]) == (0, "prices.py"), ended.err
    ended = cli("undo", "last")
    assert ended.exit_code == 0, ended.err
    assert snapshot(repo) == before
    canary.assert_silent()


def test_a_check_sees_nothing_of_the_user(cli, tmp_path):
    """Inside the sandbox there is no home, no mirror, no other repository, no variable of the user's and no network."""
    repo = broken(tmp_path / "repo")
    (cli.home / "secret.txt").write_text("secret\n")
    looks = f"""
import os, pathlib, socket
assert not pathlib.Path({str(cli.home)!r}, "secret.txt").exists()
assert "TOKEN_OF_MINE" not in os.environ
try:
    socket.create_connection(("127.0.0.1", 1), 1)
except OSError as error:
    assert error.errno in (101, 111), error
assert not any("mirror" in line for line in open("/proc/self/mountinfo"))
history = os.popen("git log --oneline --all 2>/dev/null").read().splitlines()
assert len(history) <= 1, history
"""
    repo.commit("Look around", {"check.py": looks + (repo.root / "check.py").read_text()})
    ended = cli("fix", PRICES, "--repo", repo.root, "--check", "python check.py", "--json", TOKEN_OF_MINE="secret")
    assert ended.exit_code == 0, ended.out
    assert json.loads(ended.out)["blamed"]["subject"] == CULPRIT
