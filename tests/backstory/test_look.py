"""`index`, `locate`, `doctor` and the Action's command, on real repositories, in processes of their own."""

import contextlib
import json
import os
import pty
import re
import sqlite3
import subprocess

import pytest

from hostile import arm
from repos import Repo


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit(
        "Read dates",
        {"src/dates.py": "def parse_date(text):\n    return text.split('-')\n", "src/money.py": "def price():\n    return 3\n"},
    )
    repo.commit(
        "Test dates", {"tests/test_dates.py": "from src.dates import parse_date\n\n\ndef test_parse():\n    assert parse_date('1-2')\n"}
    )
    repo.commit("parse_date: accept blanks", {"src/dates.py": "def parse_date(text):\n    return text.strip().split('-')\n"})
    return repo


ISSUE = "parse_date fails on blanks\n\nparse_date(' 1-2 ') in src/dates.py gives the wrong parts.\n"


def test_index_counts_and_says_whether_it_worked(cli, repo):
    """The first run reads everything, the second does nothing and gives the same counts."""
    first, second = (json.loads(cli("index", "--repo", repo.root, "--json").out) for _ in range(2))
    assert (first["at"], first["commits"], first["files"], first["done"], second["done"]) == (repo.head, 3, 3, True, False)
    assert set(first) == {"at", "commits", "files", "symbols", "edges", "seconds", "done"}
    assert first["edges"] == second["edges"] and first["edges"]["touched"] == 4
    assert json.loads(cli("index", "--repo", repo.root, "--at", "HEAD~1", "--json").out)["commits"] == 2


def test_index_finds_the_origin_of_every_line_when_asked(cli, repo):
    """With --origins the first run has work to do even when all else is there; a second has none."""
    cli("index", "--repo", repo.root)
    done = [json.loads(cli("index", "--repo", repo.root, "--origins", "--json").out)["done"] for _ in range(2)]
    assert done == [True, False]


def test_index_verifies_and_mends_what_is_stored(cli, repo):
    """A sound store has no differences; a wrong row is told, made anew and gone; a store that is no database is made anew with a warning."""
    cli("index", "--repo", repo.root)
    told = json.loads(cli("index", "--repo", repo.root, "--verify", "all", "--json").out)["verified"]
    assert told["checked"]["commits"] == 3 and told["differences"] == []
    (store,) = cli.home.rglob("graph.db")
    with contextlib.closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE messages SET subject = 'forged' WHERE commit_id = 2")
    ended = cli("index", "--repo", repo.root, "--verify")
    assert f"commits: {repo.git('rev-parse', 'HEAD~1')} its words were stored otherwise\n" in ended.out
    assert "; 0 differ" in cli("index", "--repo", repo.root, "--verify").out
    for leftover in store.parent.glob("graph.db-*"):
        leftover.unlink()
    store.write_bytes(b"no database" * 1000)
    ended = cli("index", "--repo", repo.root, "-q")
    assert ended.exit_code == 0 and "made anew" in ended.err and ended.out.startswith("3 commits")


def test_index_says_it_to_a_person(cli, repo):
    """Counts go to standard output, progress to standard error, and -q leaves only the counts."""
    ended = cli("index", "--repo", repo.root)
    assert ended.out.startswith(f"3 commits, 3 files, 3 symbols at {repo.head[:12]}\n")
    assert "history" in ended.err
    again = cli("index", "--repo", repo.root, "-q")
    assert again.err == "" and "nothing to do" in again.out


def test_a_part_of_the_graph_is_written_for_other_programs(cli, repo):
    """What is named is where the walk starts, in any of the forms; a kind that is none, or a name that is nothing, is one line."""
    found = json.loads(cli("graph", "parse_date", "--repo", repo.root, "--kind", "tests", "--kind", "touched").out)
    assert next(node["id"] for node in found["nodes"]) == "src/dates.py:parse_date"
    assert {(edge["kind"], edge["source"]) for edge in found["edges"]} >= {
        ("tests", "tests/test_dates.py:test_parse"),
        ("touched", repo.head),
    }
    assert cli("graph", "--export", "graphml", "--repo", repo.root).out.startswith("<graphml")
    author = repo.git("log", "-1", "--format=%an").strip()
    wrote = json.loads(cli("graph", author, "--kind", "authored", "--depth", "1", "--repo", repo.root).out)
    assert wrote["nodes"][0]["kind"] == "author" and {edge["kind"] for edge in wrote["edges"]} == {"authored"}
    assert cli("graph", "src/dates.py:1", repo.head[:9], "--export", "dot", "--repo", repo.root).out.startswith("digraph backstory {\n")
    for arguments in (["--kind", "loves"], ["nothing_like_it"]):
        ended = cli("graph", *arguments, "--repo", repo.root)
        assert ended.exit_code == 2 and ended.out == "" and arguments[-1] in ended.error


def test_locate_finds_the_place_and_says_why(cli, repo, tmp_path):
    """The file and the function that the issue is about come first, each with reasons, in the documented shape."""
    (tmp_path / "issue.md").write_text(ISSUE)
    ended = cli("locate", "--repo", repo.root, "--issue", tmp_path / "issue.md", "--json")
    found = json.loads(ended.out)
    assert list(found) == ["at", "confidence", "files", "locations", "seconds"]
    assert 0 < found["confidence"] < 1
    assert found["at"] == repo.head
    assert list(found["files"][0]) == ["path", "score", "why"] and found["files"][0]["path"] == "src/dates.py"
    assert list(found["files"][0]["why"][0]) == ["kind", "ref", "note"]
    best = found["locations"][0]
    assert list(best) == ["path", "span", "symbol", "score", "why"]
    assert (best["path"], best["span"], best["symbol"]) == ("src/dates.py", [1, 2], "src/dates.py:parse_date")


def test_locate_says_when_it_is_not_sure(cli, repo):
    """An issue that says nothing about the code is answered with the share of such answers that are right; one that names its function is not."""
    vague = cli("locate", "--repo", repo.root, "--issue", "-", stdin=b"please help me").out
    assert vague.startswith("not sure: of a hundred such answers the first file is right in ")
    assert "not sure" not in cli("locate", "--repo", repo.root, "--issue", "-", stdin=ISSUE.encode()).out


def test_locate_for_a_person_and_its_limit(cli, repo):
    """One line a place with its first reason; --limit cuts, and 0 gives every file."""
    out = cli("locate", "--repo", repo.root, "--issue", "-", "--limit", "1", stdin=ISSUE.encode()).out
    assert "src/dates.py" in out and "src/dates.py:1-2 (parse_date)" in out and "money" not in out
    everything = json.loads(cli("locate", "--repo", repo.root, "--issue", ISSUE, "--limit", "0", "--json").out)
    assert {file["path"] for file in everything["files"]} == {"src/dates.py", "src/money.py", "tests/test_dates.py"}


def test_what_the_project_leaves_out_is_left_out(cli, repo):
    """`exclude` and `languages` of the commit's pyproject.toml narrow what is found."""
    repo.commit("narrow", {"pyproject.toml": '[tool.backstory]\nexclude = ["tests/"]\n', "web/dates.js": "function parse_date(text) {}\n"})
    paths = {
        file["path"] for file in json.loads(cli("locate", "--repo", repo.root, "--issue", ISSUE, "--limit", "0", "--json").out)["files"]
    }
    assert "web/dates.js" in paths and "tests/test_dates.py" not in paths
    narrowed = cli(
        "locate", "--repo", repo.root, "--issue", ISSUE, "--limit", "0", "--json", BACKSTORY_LANGUAGES="python", BACKSTORY_EXCLUDE="src/"
    )
    paths = {file["path"] for file in json.loads(narrowed.out)["files"]}
    assert "web/dates.js" not in paths and "src/dates.py" not in paths and "tests/test_dates.py" in paths


def test_a_dry_run_says_what_it_would_do_and_does_nothing(cli, repo):
    """Base, check and uncommitted files are named; nothing is recorded."""
    repo.write({"notes.txt": "mine\n"})
    plan = json.loads(cli("fix", ISSUE, "--repo", repo.root, "--check", "pytest", "--dry-run", "--json").out)
    assert (plan["base"], plan["check"], plan["uncommitted"]) == (repo.head, "pytest", ["notes.txt"])
    out = cli("fix", ISSUE, "--repo", repo.root, "--dry-run").out
    assert "uncommitted, used only as far as the check names them: notes.txt" in out
    assert not (cli.home / "state").exists() and not (cli.home / "cache").exists()


def test_a_cut_history_and_submodules_are_said(cli, repo, tmp_path):
    """A shallow clone is looked at, with a warning that names the remedy; a submodule is named and not entered."""
    repo.git("clone", "-q", "--depth", "1", f"file://{repo.root}", str(tmp_path / "shallow"))
    ended = cli("locate", "--repo", tmp_path / "shallow", "--issue", ISSUE, "--json")
    assert json.loads(ended.out)["files"][0]["path"] == "src/dates.py"
    assert "backstory: the history is cut (a shallow clone); `git fetch --unshallow` brings the rest\n" in ended.err
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", f"file://{repo.root}", "lib/other")
    repo.commit("add a submodule")
    assert "backstory: submodules are not entered: lib/other\n" in cli("index", "--repo", repo.root).err


@pytest.mark.parametrize(
    ("environ", "moves", "colours"), [({}, True, True), ({"NO_COLOR": "1"}, True, False), ({"TERM": "dumb"}, False, False)]
)
def test_a_terminal_gets_bars_and_a_dumb_one_gets_lines(cli, repo, environ, moves, colours):
    """On a terminal the phases move in place; NO_COLOR takes the colours, TERM=dumb the movement as well."""
    ours, theirs = pty.openpty()
    argv, environ = cli.argv("index", "--repo", repo.root), {**cli.environ, "TERM": "xterm", **environ}
    with subprocess.Popen(argv, env=environ, cwd=cli.home, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = _all_of(ours)
        out = process.stdout.read()
    assert process.returncode == 0 and b"3 commits" in out and b"\x1b" not in out
    assert "history" in shown
    assert ("\x1b[?25l" in shown) == moves
    assert bool(re.search(r"\x1b\[[0-9;]*m", shown)) == colours


def _all_of(terminal):
    """Return what was written to a terminal until the other side closed it."""
    said = b""
    with contextlib.suppress(OSError):  # Linux says EIO then
        while chunk := os.read(terminal, 65536):
            said += chunk
    os.close(terminal)
    return said.decode()


def test_nothing_the_repository_names_is_run(cli, repo):
    """Hooks, filters, fsmonitor, textconv, helpers: a canary in all of them stays silent in every command that looks."""
    canary = arm(repo)
    for arguments in (
        ["index", "--repo", repo.root],
        ["locate", "--repo", repo.root, "--issue", ISSUE],
        ["fix", ISSUE, "--repo", repo.root, "--dry-run"],
        ["config", "show", "--repo", repo.root],
        ["cache", "list"],
        ["doctor"],
    ):
        ended = cli(*arguments, cwd=repo.root)
        assert ended.exit_code in (0, 6), ended.err
    canary.assert_silent()


def test_the_action_writes_a_summary(cli, repo, tmp_path):
    """For an issue event, places and suspects are appended to the job summary, and the log holds one inert line."""
    event = {"action": "opened", "issue": {"number": 5, "title": "::error::parse_date fails @everyone", "body": ISSUE}}
    (tmp_path / "event.json").write_text(json.dumps(event))
    (tmp_path / "summary.md").write_text("before\n")
    environ = {"GITHUB_EVENT_PATH": str(tmp_path / "event.json"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    ended = cli("action", "--repo", repo.root, **environ)
    assert (ended.exit_code, ended.out) == (0, "summary written for issue #5\n")
    written = (tmp_path / "summary.md").read_text()
    assert written.startswith("before\n## Backstory: where to look\n\nFor `::error::parse_date fails @everyone` at ")
    assert "`src/dates.py:1-2 parse_date`" in written
    assert "`parse_date: accept blanks`" in written
    missing = cli("action", "--repo", repo.root)
    assert (missing.exit_code, missing.error) == (2, "GITHUB_EVENT_PATH is not set; run this inside a GitHub workflow")


def test_the_doctor_looks_at_everything(cli):
    """Each finding has a name and a word; with a sandbox it ends with 0, without one with 6 and what to do."""
    ended = cli("doctor", "--json")
    given = json.loads(ended.out)
    names = [finding["name"] for finding in given["findings"]]
    assert names == [
        *("python", "system", "git", "libgit2", "grammars", "sandbox", "containers", "process limit", "memory limit"),
        *("cache folder", "state folder", "room"),
    ]
    sandbox = next(finding for finding in given["findings"] if finding["name"] == "sandbox")
    assert ended.exit_code == (0 if sandbox["ok"] else 6)
    assert sandbox["ok"] or sandbox["remedy"]
    assert cli("doctor").out.count("\n") >= len(names)
