"""The command line as a user meets it: help, versions, what comes on which stream, and how it ends."""

import array
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

import backstory
from repos import Repo

COMMANDS = ["fix", "locate", "index", "show", "runs", "resume", "replay", "apply", "undo", "cache", "doctor", "config", "scripted"]
HEAVY = {
    "pygit2",
    "networkx",
    "numpy",
    "scipy",
    "rich",
    "httpx",
    "tree_sitter",
    "rank_bm25",
    "unidiff",
    "sqlite3",
    "cattrs",
    "platformdirs",
}


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit("start", {"dates.py": "def parse(text):\n    return text.split('-')\n", "README": "dates\n"})
    repo.commit("parse: strip blanks", {"dates.py": "def parse(text):\n    return text.strip().split('-')\n"})
    return repo


def test_help_imports_nothing_heavy():
    """`--help` loads click and the commands' names, and none of the libraries the work is done with."""
    script = (
        "import sys\nfrom backstory.cli import run\nfrom backstory.face import process_face\n"
        "code = run(['--help'], process_face({}))\nprint(sorted(name for name in sys.modules if '.' not in name), file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(eval(done.stderr))
    assert "click" in loaded
    assert not loaded & HEAVY


def test_every_command_is_listed_and_shows_an_example(cli):
    """The help of each command ends with at least one example that begins with its name."""
    listed = cli("--help").out
    for name in COMMANDS:
        assert f"\n  {name} " in listed
        shown = cli(name, "-h")
        assert shown.exit_code == 0
        assert f"  backstory {name}" in shown.out.partition("Example")[2]
    assert "action" not in listed


def test_the_version_is_the_packages(cli):
    """`--version` prints one line on standard output."""
    assert cli("--version").out == f"backstory {backstory.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing command; `backstory --help` tells more"),
        (["cache"], "Missing command; `backstory cache --help` tells more"),
        (["mend"], "No such command 'mend'; `backstory --help` tells more"),
        (["fix"], "Missing argument 'ISSUE'; `backstory fix --help` tells more"),
        (
            ["fix", "x y", "--sandbox", "podman"],
            "Invalid value for '--sandbox': 'podman' is not one of 'auto', 'bwrap', 'docker', 'none'; `backstory fix --help` tells more",
        ),
        (["fix", "x y", "--json", "--jsonl"], "--json and --jsonl exclude each other; `backstory fix --help` tells more"),
        (
            ["locate", "--issue", "x", "--limit", "-1"],
            "Invalid value for '--limit': -1 is not in the range x>=0; `backstory locate --help` tells more",
        ),
        (["show", "last", "--json", "--patch"], "--json, --handover and --patch exclude each other; `backstory show --help` tells more"),
        (["fix", "x y", "--attempts", "0"], "--attempts: expected a whole number above 0, got 0"),
        (
            ["fix", "x y", "--out", "no/folder/p.diff"],
            "--out 'no/folder/p.diff': there is no folder 'no/folder'; `backstory fix --help` tells more",
        ),
        (["resume", "x", "--budget-seconds", "-3"], "--budget-seconds: expected a number of seconds above 0, got -3.0"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(cli, arguments, said):
    """Whatever is wrong with the words of a command, it is one line that says what and what to do."""
    ended = cli(*arguments)
    assert (ended.exit_code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.error == said


@pytest.mark.parametrize("command", ["show", "resume", "replay", "apply", "undo"])
def test_an_unknown_run_is_named(cli, command):
    """Commands on runs say which run is unknown and where the known ones are listed."""
    ended = cli(command, "2020")
    assert (ended.exit_code, ended.out) == (2, "")
    assert ended.error == "no run '2020'; `backstory runs` lists them"


def test_no_runs_is_not_an_error(cli):
    """An empty list says how to fill it; as JSON it is an empty list."""
    assert cli("runs").out == "no runs yet; `backstory fix` makes one\n"
    assert json.loads(cli("runs", "--json").out) == {"schema": 1, "runs": []}


def test_a_key_of_the_terminal_ends_it_with_130(cli, repo):
    """Ctrl-C while it waits ends it with one line and the shell's code for it."""
    argv = cli.argv("locate", "--repo", repo.root, "--issue", "-")
    with subprocess.Popen(
        argv, env=cli.environ, cwd=cli.home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdin.write(b"it breaks")
        process.stdin.flush()
        _wait_until_it_reads(process.stdin)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode() == "backstory: error: interrupted; `backstory runs` shows what can be resumed\n"


def _wait_until_it_reads(pipe):
    """Return once what was written into the pipe has been taken out of it."""
    waiting = array.array("i", [1])
    while waiting[0]:
        fcntl.ioctl(pipe.fileno(), termios.FIONREAD, waiting)
        time.sleep(0.02)


def test_a_reader_that_went_away_is_no_error_message(cli):
    """When the pipe is closed the command ends quietly with the code a shell gives for it."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(cli.argv("config", "show"), env=cli.environ, cwd=cli.home, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_output_is_a_storage_error(cli):
    """A result that cannot be written ends with 9, not with success."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(cli.argv("config", "show"), env=cli.environ, cwd=cli.home, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 9
    assert done.stderr == (
        "backstory: error: the disk is full; free some room, or set BACKSTORY_CACHE_DIR and BACKSTORY_STATE_DIR to a writable folder\n"
    )


def test_a_bug_is_one_line_and_a_saved_traceback(tmp_path):
    """What nobody foresaw ends with 1 and says where the traceback is; -v shows it as well."""
    import io

    from backstory.cli import run
    from backstory.face import Face

    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise RuntimeError("no such thing")

    Repo(tmp_path / "repo").commit("start", {"a.py": "x = 1\n"})
    environ = {f"BACKSTORY_{name}_DIR": str(tmp_path / name) for name in ("CACHE", "STATE", "CONFIG")}
    out, err = io.StringIO(), io.StringIO()
    arguments = ["locate", "--repo", str(tmp_path / "repo"), "--issue", "-"]
    assert run(arguments, Face(environ, out, err, Broken())) == 1
    (crash,) = (tmp_path / "STATE" / "crashes").iterdir()
    assert err.getvalue() == f"backstory: error: internal error: RuntimeError: no such thing; the traceback is in {str(crash)!r}\n"
    assert "no such thing" in crash.read_text() and "Traceback" in crash.read_text()
    assert run([*arguments, "-v"], Face(environ, out, err, Broken())) == 1
    assert "Traceback" in err.getvalue()


def test_config_show_names_each_origin(cli, repo):
    """The project's keys come from the commit, not from the checkout; folders and defaults are told apart."""
    repo.commit("say how it is checked", {"pyproject.toml": '[tool.backstory]\ncheck = "pytest"\napi_base = "http://evil.example"\n'})
    repo.write({"pyproject.toml": '[tool.backstory]\ncheck = "rm -rf"\n'})
    ended = cli("config", "show", "--origin", BACKSTORY_ATTEMPTS="2", cwd=repo.root)
    assert ended.exit_code == 0
    lines = ended.out.splitlines()
    assert f'check = "pytest"  (pyproject.toml at {repo.head[:12]})' in lines
    assert "attempts = 2  (environment)" in lines
    assert 'sandbox = "auto"  (default)' in lines
    assert f'cache_dir = "{cli.home}/cache"  (environment)' in lines
    assert ended.err == (
        f"backstory: pyproject.toml at {repo.head[:12]} may not set api_base; ignored (a project sets only check, exclude and languages)\n"
    )
    values = json.loads(cli("config", "show", "--json").out)["values"]
    assert values["check"] == {"value": None, "origin": "default"}


def test_a_dotenv_file_is_never_read(cli, repo):
    """A `.env` in the repository or the current folder changes nothing."""
    repo.write({".env": "BACKSTORY_SANDBOX=none\nGITHUB_TOKEN=x\n"})
    assert json.loads(cli("config", "show", "--json", cwd=repo.root).out)["values"]["sandbox"] == {"value": "auto", "origin": "default"}


def test_an_unknown_key_ends_with_2(cli, repo):
    """In the user's file, the environment and the project alike."""
    assert cli("runs", "--json").exit_code == 0
    (cli.home / "config").mkdir()
    (cli.home / "config" / "config.toml").write_text('sandbux = "none"\n')
    ended = cli("config", "show")
    assert ended.exit_code == 2
    assert ended.error == f"unknown key 'sandbux' in '{cli.home}/config/config.toml'; did you mean 'sandbox'?"
    (cli.home / "config" / "config.toml").unlink()
    assert cli("config", "show", BACKSTORY_SANDBUX="none").error == "unknown variable BACKSTORY_SANDBUX; did you mean 'BACKSTORY_SANDBOX'?"
    repo.commit("misspell", {"pyproject.toml": '[tool.backstory]\nchek = "x"\n'})
    ended = cli("locate", "--repo", repo.root, "--issue", "it breaks")
    assert (ended.exit_code, ended.error) == (
        2,
        f"unknown key 'chek' in [tool.backstory] of pyproject.toml at {repo.head[:12]}; did you mean 'check'?",
    )
