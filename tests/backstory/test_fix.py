"""From an issue to a patch and back, by the commands alone, on a real repository in a real sandbox."""

import json
import sys

import pytest

from command import CommandLine
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
