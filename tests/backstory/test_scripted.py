"""The scripted model as a command: served, asked, interrupted, refused."""

import http.client
import io
import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from backstory.cli import run
from backstory.face import Face
from command import CommandLine
from talking import CHECK, FOUND, ISSUE, SOLVED, faulty, model_that, roles

REPLIES = [{"calls": [{"name": "read", "arguments": {"path": "a.py"}}]}, {"text": "Done."}]


@pytest.fixture
def cli(tmp_path):
    return CommandLine(tmp_path / "home", VIRTUAL_ENV=sys.prefix)


@contextmanager
def served(cli, *arguments):
    """Yield the process of the command and what it said when it was ready; it is interrupted like by Ctrl-C afterwards."""
    process = subprocess.Popen(
        cli.argv("scripted", *arguments, "--json"), cwd=cli.home, env=cli.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    process.rows = [json.loads(line) for line in out.splitlines()]


def ask(ready, messages=({"role": "user", "content": "hi"},)):
    connection = http.client.HTTPConnection(ready["api_base"].removeprefix("http://").removesuffix("/v1"), timeout=60)
    try:
        connection.request("POST", "/v1/chat/completions", body=json.dumps({"model": ready["model"], "messages": list(messages)}))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_it_serves_a_script_until_it_is_interrupted(cli, tmp_path):
    """The address comes first, then an object for each request; faults happen where they were asked for; Ctrl-C ends it with 0."""
    (tmp_path / "replies.json").write_text(json.dumps(REPLIES))
    with served(cli, "--script", tmp_path / "replies.json", "--fault", "429@1", "--name", "mine") as (process, ready):
        assert ready["model"] == "mine"
        assert ask(ready)[0] == 429
        status, reply = ask(ready)
        assert status == 200 and reply["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "read"
    assert [(row["number"], row["status"], row["fault"], row["calls"]) for row in process.rows] == [
        (1, 429, "429", []),
        (2, 200, None, ["read"]),
    ]


def test_a_recorded_run_is_served_and_its_patch_comes_again(cli, tmp_path):
    """A fix against the server of its own recording asks the same, is answered the same and ends with the same patch."""
    repo = faulty(tmp_path / "repo")
    fix = ["fix", ISSUE, "--repo", repo.root, "--check", CHECK, "--json"]
    with model_that(roles([FOUND], SOLVED)) as (model, _, _):
        first = json.loads(cli(*fix, "--model", model.name, "--api-base", model.api_base).out)
    with served(cli, "--run", "last") as (process, ready):
        again = json.loads(cli(*fix, "--model", "scripted", "--api-base", ready["api_base"]).out)
    assert first["status"] == again["status"] == "verified"
    assert first["patch"]["tree"] == again["patch"]["tree"]
    assert [row["calls"] for row in process.rows] == [["found"], ["read"], ["edit"], ["check"], ["submit"]]


def test_for_a_person_it_says_how_to_use_it(cli, tmp_path):
    """Without --json the address is a line, and each request is one on standard error."""
    (tmp_path / "replies.jsonl").write_text('{"text": "Done."}\n')
    process = subprocess.Popen(
        cli.argv("scripted", "--script", tmp_path / "replies.jsonl"),
        cwd=cli.home,
        env=cli.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    base = line.split(" at ")[1].split(";")[0]
    assert line == f"serving scripted at {base}; try `backstory fix ... --model hosted_vllm/scripted --api-base {base}`\n"
    ask({"api_base": base, "model": "scripted"})
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err.startswith("backstory: 1: 1 messages -> text of 5 characters, ") and err.endswith(" out\n")


def test_an_interrupt_between_the_address_and_the_wait_ends_it_too(tmp_path):
    """Whoever reads the address may press Ctrl-C before the server waits; it ends with 0 all the same."""

    class Interrupted(io.StringIO):
        def flush(self):
            if self.getvalue() and not seen:
                seen.append(self.getvalue())
                raise KeyboardInterrupt

    seen, err = [], io.StringIO()
    (tmp_path / "replies.jsonl").write_text('{"text": "Done."}\n')
    arguments = ["scripted", "--script", str(tmp_path / "replies.jsonl")]
    assert run(arguments, Face({"HOME": str(tmp_path)}, Interrupted(), err, io.BytesIO())) == 0
    assert seen[0].startswith("serving scripted at http://127.0.0.1:") and err.getvalue() == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "give either --script or --run"),
        (["--script", "x.json", "--run", "last"], 2, "give either --script or --run"),
        (["--script", "none.json"], 2, "cannot read 'none.json': No such file or directory; name a file of replies"),
        (["--script", "ok.json", "--fault", "fire"], 2, "no fault 'fire'; there are bad_json, "),
        (
            ["--script", "ok.json", "--fault", "500@0"],
            2,
            "--fault '500@0': '0' is no number of a request; they count from 1, such as 500@1",
        ),
        (["--script", "ok.json", "--fault", "bad_key"], 2, "say at which request, such as bad_key@1"),
        (["--script", "bad.json"], 2, "reply 1 of 'bad.json' has ['txt']"),
        (["--run", "last"], 2, "no run 'last'"),
        (["--script", "ok.json", "--port", "99999"], 2, "99999 is not in the range"),
    ],
)
def test_what_cannot_be_served_is_said(cli, arguments, code, said):
    """A missing or wrong script, run, fault or port is one line, before anything is served."""
    (cli.home / "ok.json").write_text("[]")
    (cli.home / "bad.json").write_text('[{"txt": "x"}]')
    ended = cli("scripted", *arguments)
    assert (ended.exit_code, ended.out) == (code, "")
    assert said in ended.error
