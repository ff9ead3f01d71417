"""What a real server does when it is asked too much or is gone, and what the client makes of it."""

import json
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from backstory.agent.gate import Gate, servers_at
from backstory.agent.messages import Message
from backstory.agent.schedule import Ledger
from fixing import state_of
from real_vllm import START_S
from serving import ask, remote
from talking import CHECK, ISSUE, faulty

LONG_ISSUE = f"{ISSUE}\n\n{'It is wrong in many places. ' * 1500}"
LESS_BLOCKS = 144  # of the 160 that it has, and as many as its window needs at least
AT_ONCE = 16  # twice what the server lets in


@pytest.fixture
def repo(tmp_path):
    return faulty(tmp_path / "repo")


def fix_words(repo, issue, *more):
    return ("fix", issue, "--repo", repo.root, "--check", CHECK, "--attempts", "1", "--json", *more)


def events_of(server):
    """Return the events of the server's home's newest run."""
    newest = max((server.cli.home / "state" / "runs").iterdir())
    return [json.loads(line) for line in (newest / "events.jsonl").read_text().splitlines()]


def test_a_prompt_that_does_not_fit_is_understood(tiny):
    """vLLM refuses it, and that is a reply which says so."""
    reply = ask(remote(tiny.api_base, model="hosted_vllm/tiny"), (Message("user", "word " * 5000),), tools=())
    assert (reply.stop, reply.usage.output_tokens, reply.retries) == ("overflow", 0, 0)


def test_a_conversation_that_outgrows_the_window_is_compacted(tiny, repo):
    """Random weights fill the window with replies that hold no call: the localizer is refused, begins anew after its opening, and is answered again."""
    ended = tiny.cli(*fix_words(repo, LONG_ISSUE), VIRTUAL_ENV=sys.prefix)
    assert ended.exit_code == 3, ended.out + ended.err
    told = [event for event in events_of(tiny) if event.get("lane") == "localizer"]
    kinds = [(event["kind"], event["body"]["result"]["stop"] if event["kind"] == "reply" else "") for event in told]
    refused = kinds.index(("reply", "overflow"))
    assert kinds[refused + 1 : refused + 3] == [("compacted", ""), ("reply", "length")]
    before, after = (told[place]["body"]["result"]["usage"]["input_tokens"] for place in (refused - 1, refused + 2))
    assert after < before


def test_a_budget_of_steps_stops_it(tiny, repo):
    """Two checks and three replies, and the run says what it stopped at, with the code of a limit."""
    ended = tiny.cli(*fix_words(repo, ISSUE, "--budget-steps", "5"), VIRTUAL_ENV=sys.prefix)
    said = json.loads(ended.out)
    assert (ended.exit_code, said["limit"], said["agents"]["replies"]) == (5, "the budget of 5 steps is spent", 3)


def test_a_full_queue_is_waited_for(tiny):
    """vLLM answers 503 to whoever finds eight there; they ask again, later each time, and all get through."""
    turned_away, model = tiny.counted("admission_rejections_total"), remote(tiny.api_base, model="hosted_vllm/tiny", jitter=random.random)
    ask(model, tools=(), output_tokens=1)  # imports what the first of a process imports
    with ThreadPoolExecutor(AT_ONCE) as threads:
        replies = list(threads.map(lambda place: ask(model, (Message("user", f"{place}"),), tools=(), output_tokens=100), range(AT_ONCE)))
    assert [reply.stop for reply in replies] == ["length"] * AT_ONCE
    assert sum(reply.retries for reply in replies) == tiny.counted("admission_rejections_total") - turned_away > 0


def test_a_run_whose_server_is_killed_goes_on_when_it_is_back(tiny, repo):
    """`kill -9` in the middle of a reply: the run waits, and once the server is back at its port it asks for that reply anew, and comes to the end that an
    undisturbed run has.
    """
    before = state_of(repo.root)
    environ = {**tiny.cli.environ, "VIRTUAL_ENV": sys.prefix, "BACKSTORY_REPLY_TIMEOUT": str(2 * START_S)}
    with subprocess.Popen(tiny.cli.argv(*fix_words(repo, ISSUE)), cwd=tiny.cli.home, env=environ, stdout=subprocess.PIPE, text=True) as run:
        try:
            for counter in ("request_success_total", "generation_tokens_total"):  # one reply is had, and the next one is being written
                before_that = tiny.counted(counter)
                while tiny.counted(counter) == before_that:
                    assert run.poll() is None, run.communicate()
                    time.sleep(0.02)
            tiny.kill()
            tiny.start()
            said = json.loads(run.communicate(timeout=START_S)[0])
        finally:
            run.kill()
    assert (run.returncode, said["status"], said["agents"]["failure"]) == (3, "no_patch", None)
    assert [one["ended"] for one in said["agents"]["runs"]] == ["unreadable", "unreadable"]
    replies = [event["body"]["result"] for event in events_of(tiny) if event["kind"] == "reply"]
    (lost,) = (place for place, reply in enumerate(replies) if reply["retries"])
    assert 0 < lost < len(replies) - 1 and replies[lost]["usage"]["cached_tokens"] == 0 < replies[lost + 1]["usage"]["cached_tokens"]
    assert state_of(repo.root) == before


def test_a_server_that_comes_back_smaller_is_reckoned_with_as_it_is(tiny):
    """Killed between two turns and started with fewer blocks: the program waits, goes on, and what the server holds is read anew. The last test of this server."""
    gate, model = Gate(Ledger(servers_at(tiny.api_base))), remote(tiny.api_base, model="hosted_vllm/tiny")
    (before,) = servers_at(tiny.api_base)
    question = Message("user", "word " * 200)
    with gate.program(model, phase="solve", opening=(question,), tools=()) as program:
        assert ask(program, (question,), tools=(), output_tokens=8).stop == "length"
        tiny.kill()
        with ThreadPoolExecutor(1) as thread:
            second = thread.submit(
                ask, program, (question, Message("assistant", "?"), question), tools=(), output_tokens=8, timeout_s=2 * START_S
            )
            tiny.start("--num-gpu-blocks-override", str(LESS_BLOCKS))
            reply = second.result()
    assert (reply.stop, reply.usage.cached_tokens) == ("length", 0) and reply.held_s > 1
    assert [engine.tokens for engine in gate.servers] == [before.tokens * LESS_BLOCKS // 160]
    tiny.stop()
