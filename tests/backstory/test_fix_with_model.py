"""The command line with a model: scripted over real HTTP, killed, resumed, refused."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from backstory.agent.runs import ModelSettings
from backstory.agent.script import Answer, call
from backstory.agent.scripted import Settings, serve
from backstory.endpoint import key_variable
from command import CommandLine
from talking import CHECK, FOUND, ISSUE, SOLVED, faulty, is_localizer, model_that, roles


@pytest.fixture
def cli(tmp_path):
    return CommandLine(tmp_path / "home", VIRTUAL_ENV=sys.prefix)


@pytest.fixture
def repo(tmp_path):
    return faulty(tmp_path / "repo")


def words(repo, model, *more):
    return ["fix", ISSUE, "--repo", repo.root, "--check", CHECK, "--model", model.name, "--api-base", model.api_base, *more]


def test_a_fix_with_a_model_says_what_it_cost(cli, repo):
    """Exit 0, the patch, and in the JSON the agents with their tokens; the key reaches the server and nothing that is written."""
    with model_that(roles([FOUND], SOLVED)) as (model, _, _):
        ended = cli(*words(repo, model, "--json"), HOSTED_VLLM_API_KEY="sesame-4711")
    said = json.loads(ended.out)
    assert (ended.exit_code, said["status"], said["agents"]["model"]) == (0, "verified", "hosted_vllm/scripted")
    assert said["agents"]["tokens"]["cached"] > 0 and said["agents"]["replies"] == 5
    kept = [path for path in cli.home.rglob("*") if path.is_file()]
    assert not any(b"sesame-4711" in path.read_bytes() for path in kept)
    shown = cli("show", "last").out
    assert "[attempt-1] edit: edited prices.py (checkpoint 1)" in shown and "localizer: done after 1 replies" in shown
    # What the server says of itself and what it says of each reply agree, for nobody else asked it; its cache forgets nothing.
    served, tokens = said["served"], said["agents"]["tokens"]
    assert (served["found"], served["computed"]) == (tokens["cached"], tokens["input"] - tokens["cached"])
    assert f"the server meanwhile: {served['found']:,} tokens of prompts found in its cache" in shown and "no request put back" in shown
    assert "cache: of 3 turns 3 found all of the turn before" in shown
    assert (said["agents"]["queued_s"], said["agents"]["first_s"]) == (0.0, 0.0)
    listed = json.loads(cli("runs", "--json").out)["runs"][0]
    assert listed["tokens"] == tokens and f"{tokens['input'] + tokens['output']:,} tokens, " in cli("runs").out


def test_locate_with_a_model_puts_its_places_first(cli, repo):
    """The places that the agent names, with its diagnosis and what it cost."""
    with model_that(roles([call("read", target="prices.py:spread"), FOUND], [])) as (model, _, _):
        ended = cli("locate", "--issue", ISSUE, "--repo", repo.root, "--model", model.name, "--api-base", model.api_base, "--json")
    said = json.loads(ended.out)
    assert (ended.exit_code, said["locations"][0]["symbol"], said["files"][0]["path"]) == (0, "prices.py:mean", "prices.py")
    assert said["agent"]["diagnosis"] == "the mean of nothing divides by zero" and said["agent"]["replies"] == 2


@pytest.mark.parametrize("moment", [4, 7, 9, 11, 13])
def test_killed_at_any_event_it_resumes_to_the_same_patch(cli, repo, moment):
    """`kill -9` when the k-th event is on disk; resuming asks the model nothing that was answered, and ends verified."""
    slow = [Answer(one, seconds=0.1) for one in SOLVED]
    with model_that(roles([FOUND], slow)) as (model, _, exchanges):
        process = subprocess.Popen(
            cli.argv(*words(repo, model)),
            cwd=cli.home,
            env=cli.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while (
            process.poll() is None
            and sum(path.read_bytes().count(b"\n") for path in (cli.home / "state").glob("runs/*/events.jsonl")) < moment
        ):
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        ended = cli("resume", "last", "--json")
        said = json.loads(ended.out)
        assert (ended.exit_code, said["status"], said["patch"]["files"]) == (0, "verified", ["prices.py"])
        assert len(exchanges) <= 6  # five replies, and at most the one that was under way
    assert cli("replay", "last").exit_code == 0


def test_a_model_that_is_not_there_is_exit_7(cli, repo):
    """The suspects and places are handed over, the reason says what to do, and the run goes on at another address."""
    with model_that(roles([FOUND], SOLVED)) as (model, _, _):
        gone = "http://127.0.0.1:9/v1"
        ended = cli(*words(repo, model, "--json", "--api-base", gone), BACKSTORY_REPLY_TIMEOUT="3")
        said = json.loads(ended.out)
        assert (ended.exit_code, said["status"]) == (7, "no_patch")
        assert "the model could not be asked" in said["reason"] and said["locations"]
        again = cli("resume", "last", "--api-base", model.api_base, "--json")
        assert (again.exit_code, json.loads(again.out)["status"]) == (0, "verified")


def test_a_server_that_is_started_again_in_the_middle_of_a_run(cli, repo):
    """Stopped while the run checks its work, and started again at its address: the run waits, goes on and ends verified."""
    gone = threading.Event()

    def until_gone(request):
        """Say what is due; the third turn of the attempt is the last that this server sees."""
        if len(request.turns) == 2 and not is_localizer(request):
            gone.set()
        return roles([FOUND], SOLVED)(request)

    with serve(until_gone, Settings(pool_tokens=10**6)) as server:
        port = int(server.api_base.split(":")[2].split("/")[0])
        arguments = [str(word) for word in words(repo, ModelSettings("hosted_vllm/scripted", server.api_base, None, None, 60.0), "--json")]
        process = subprocess.Popen(
            cli.argv(*arguments), cwd=cli.home, env=cli.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert gone.wait(timeout=300)
    time.sleep(2.0)
    exchanges = []
    with serve(roles([FOUND], SOLVED), Settings(pool_tokens=10**6), port=port, on_exchange=exchanges.append):
        out, said_beside = process.communicate(timeout=300)
    assert process.returncode == 0, said_beside
    said = json.loads(out)
    assert said["status"] == "verified"
    assert said["served"]["found"] == sum(one.cached_tokens for one in exchanges)  # the second of the two has counted anew


def test_several_addresses_serve_one_run(cli, repo):
    """The run asks the first that is there; when that goes away the next turn goes to the other one."""
    seen = []

    def answer(request):
        seen.append(request)
        return roles([FOUND], SOLVED)(request)

    with serve(roles([FOUND], SOLVED), Settings(pool_tokens=10**6)) as gone:
        pass
    with serve(answer, Settings(pool_tokens=10**6)) as there:
        model = ModelSettings("hosted_vllm/scripted", f"{gone.api_base}, {there.api_base}", None, None, 60.0)
        ended = cli(*words(repo, model, "--json"))
    assert (ended.exit_code, json.loads(ended.out)["status"], len(seen)) == (0, "verified", 5)


def test_a_named_key_that_is_not_set_is_said(cli, repo):
    """The variable is named; nothing is asked without it."""
    ended = cli("fix", ISSUE, "--repo", repo.root, "--check", CHECK, "--model", "openai/some", BACKSTORY_API_KEY_ENV="TEAM_KEY")
    assert ended.exit_code == 2
    assert ended.error.startswith("the key of 'openai/some' should be in the variable TEAM_KEY, which is not set")


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("hosted_vllm/x", "HOSTED_VLLM_API_KEY"),
        ("anthropic/c", "ANTHROPIC_API_KEY"),
        ("gpt-x", "OPENAI_API_KEY"),
        ("mistral/a", "MISTRAL_API_KEY"),
    ],
)
def test_the_key_of_a_provider_has_its_variable(model, variable):
    """As litellm names them."""
    assert key_variable(model) == variable
