"""A vLLM that somebody started without the flags that `serve` sets, and that stands still on some prompts."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from backstory.agent.calls import Call, read_calls
from backstory.agent.gate import Gate, servers_at
from backstory.agent.messages import Message
from backstory.agent.schedule import Ledger
from backstory.agent.stall import Stall
from backstory.agent.vitals import vitals_of
from backstory.agent.wire import read_reply, write_tools
from backstory.errors import ModelError
from command import CommandLine
from serving import READ, ask, remote

MODEL = "hosted_vllm/plain"
MARKUP = '<tool_call>\n{"name": "read", "arguments": {"path": "a.py"}}\n</tool_call>'
QUICK_LOOKS_S = 0.5


def test_what_it_does_not_say_is_not_reckoned_with(plain):
    """Without `--enable-prompt-tokens-details` nothing is known of the cached tokens, the second time neither; the gate lets everybody through as it fits."""
    gate, model = Gate(Ledger(servers_at(plain))), remote(plain, model=MODEL)
    history = (Message("user", "word " * 300),)
    with gate.program(model, phase="solve", opening=history, tools=()) as program:
        replies = [ask(program, history, tools=(), output_tokens=8) for _ in range(2)]
    assert [reply.usage.cached_tokens for reply in replies] == [None, None] and replies[1].usage.reusable_tokens > 0
    assert [engine.tokens for engine in gate.servers] == [5120] and gate.counts.held == 0


def test_it_is_adopted_with_what_is_wrong(plain, tmp_path):
    """`serve --endpoint` names the flags that it lacks, and ends with 7."""
    adopted = CommandLine(tmp_path)("serve", "--endpoint", plain)
    assert adopted.exit_code == 7, adopted.out + adopted.err
    said = adopted.out + adopted.err
    assert "--enable-prompt-tokens-details" in said and "--enable-auto-tool-choice" in said


def test_tools_that_it_does_not_take_are_one_line(plain):
    """vLLM answers 400, and it is said how to start it."""
    with pytest.raises(ModelError, match="--enable-auto-tool-choice"):
        ask(remote(plain, model=MODEL), tools=(READ,))


def test_a_call_that_it_leaves_in_the_text_is_read(plain):
    """Nothing at the server parses it: the reply says "stop" and its text holds the markup, which is read as the call that it is."""
    body = {
        "model": "plain",
        "messages": [{"role": "user", "content": "Read a.py."}],
        "tools": write_tools((READ,)),
        "tool_choice": "none",
        "structured_outputs": {"choice": [MARKUP]},
        "max_tokens": 100,
    }
    answer = httpx.post(f"{plain}/chat/completions", json=body, timeout=120.0, trust_env=False).json()
    (choice,) = answer["choices"]
    assert (choice["finish_reason"], choice["message"]["content"], choice["message"].get("tool_calls") or []) == ("stop", MARKUP, [])
    said = read_calls(read_reply(choice["message"], turn=0), (READ,), cut=False, turn=0)
    assert [(call.name, dict(call.arguments)) for call in said.calls if isinstance(call, Call)] == [("read", {"path": "a.py"})]


def test_a_server_that_stands_still_is_named(plain):
    """A prompt that never finds room waits, and whoever comes after it; by `/health` all is well. The call is taken back and made again, and then it is said;
    the server goes on with others once nobody asks for that prompt any more.
    """
    model = remote(plain, model=MODEL)
    model._stall = lambda base: Stall(base, look_s=QUICK_LOOKS_S)
    with ThreadPoolExecutor(1) as thread:
        stuck = thread.submit(ask, model, (Message("user", "word " * 2000),), tools=(), output_tokens=8)
        with pytest.raises(ModelError, match="stands still"):
            stuck.result(120)
    assert httpx.get(f"{plain.removesuffix('/v1')}/health", trust_env=False).status_code == 200
    assert ask(remote(plain, model=MODEL), (Message("user", "word"),), tools=(), output_tokens=8).stop == "length"
    assert vitals_of((plain,)).waiting == 0
