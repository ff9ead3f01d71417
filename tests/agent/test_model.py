"""The model over real HTTP: what is sent, what comes back, what is asked again, what fails and how it is said."""

import logging
import socket
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from email.utils import formatdate

import pytest

from backstory.agent.budget import total
from backstory.agent.failures import Failure, is_overflow, read_retry_after, remedy
from backstory.agent.faults import FAULTS
from backstory.agent.messages import Message, ToolCall, Usage
from backstory.agent.script import Answer, Script, call
from backstory.agent.scripted import Settings
from backstory.agent.secret import Secret
from backstory.agent.stall import Stall
from backstory.agent.vitals import Vitals
from backstory.errors import ModelError, UnreachableError
from serving import START, TOOLS, ask, conversation, remote

KEY = "sk-canary-7f3a9"
SCRIPT = Script([call("read", path="a.py"), Message("assistant", "Done.", reasoning="It was the sign.")])


def test_a_reply_says_what_was_said_and_what_it_cost():
    """Calls, text, reasoning, the reason it ended and the tokens arrive as the server sent them, and the second prompt is mostly cached."""
    with conversation(SCRIPT) as (model, exchanges):
        first = ask(model)
        history = (*START, first.message, Message("tool", "def f(): pass", answers=first.message.calls[0].id))
        second = ask(model, history)
    assert (first.stop, first.retries) == ("calls", 0)
    assert first.message.calls == (ToolCall("call_2_0", "read", '{"path": "a.py"}'),)
    assert (second.stop, second.message.text, second.message.reasoning) == ("end", "Done.", "It was the sign.")
    for reply, exchange in zip((first, second), exchanges, strict=True):
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == (exchange.prompt_tokens, exchange.output_tokens)
        assert reply.usage.cached_tokens == exchange.cached_tokens
    assert (first.usage.queued_s, first.usage.first_s) == (0.0, 0.0)  # they are told beside the usage
    assert first.usage.cached_tokens == 0
    assert first.usage.input_tokens <= second.usage.cached_tokens + 16  # all whole blocks of the first prompt, and its reply
    assert (first.usage.reusable_tokens, second.usage.reusable_tokens > 0) == (0, True)
    assert second.usage.cached_tokens >= 0.8 * second.usage.reusable_tokens  # the server forgot nothing; it lays prompts out in its own way


def test_a_server_that_does_not_say_what_it_had_cached():
    """vLLM without its flag says null: unknown is not none, here and in the sum over a run."""
    with conversation(SCRIPT, Settings(tells_cached=False)) as (model, _):
        usage = ask(model).usage
    assert usage.cached_tokens is None and usage.input_tokens > 0 and usage.reusable_tokens == 0
    assert total(usage, usage).cached_tokens is None and total(usage, replace(usage, cached_tokens=3)).cached_tokens == 3


def test_the_history_arrives_whole():
    """Reasoning, calls and results come back to the server in the next request as they were."""
    turns = (
        *START,
        Message("assistant", "Look.", (ToolCall("c1", "read", '{"path": "ä\\n"}'),), reasoning="First look."),
        Message("tool", "a = 1\n", answers="c1"),
    )
    with conversation(Script([])) as (model, exchanges), pytest.raises(ModelError, match="the script is at its end"):
        ask(model, turns, temperature=0.5, seed=7, output_tokens=99)
    request = exchanges[0].request
    assert request.messages == turns
    assert request.tools == TOOLS
    assert (request.sampling.temperature, request.sampling.seed, request.sampling.output_tokens) == (0.5, 7, 99)


@pytest.mark.parametrize("broken", ["{'path': 'a.py',}", '{"path": "a.py"', '```json\n{"path": "a.py"}\n```'])
def test_broken_arguments_are_mended_before_they_are_sent_again(broken):
    """A history with arguments that are no JSON goes out with what they meant; the server, like real ones, would refuse it as it is."""
    turns = (*START, Message("assistant", calls=(ToolCall("c1", "read", broken),)), Message("tool", "no", answers="c1"))
    with conversation(lambda _: Message("assistant", "ok")) as (model, exchanges):
        assert ask(model, turns).message.text == "ok"
    assert exchanges[0].request.messages[2].calls[0].arguments == '{"path": "a.py"}'


def test_arguments_beyond_repair_are_sent_as_a_text():
    """What cannot be read stays visible to the model, inside an object that servers accept."""
    turns = (*START, Message("assistant", calls=(ToolCall("c1", "read", '{"path": ":'),)), Message("tool", "no", answers="c1"))
    with conversation(lambda _: Message("assistant", "ok")) as (model, exchanges):
        ask(model, turns)
    assert exchanges[0].request.messages[2].calls[0].arguments == '{"unreadable": "{\\"path\\": \\":"}'


@pytest.mark.parametrize("fault", ["429", "429_seconds", "429_date", "500", "502", "503", "504", "reset"])
def test_what_passes_is_asked_again(fault):
    """Busy, failing and broken connections cost a try, and the same request is sent again."""
    with conversation(SCRIPT, Settings(at={1: fault}, retry_after_s=0)) as (model, exchanges):
        reply = ask(model)
    assert (reply.stop, reply.retries, reply.message.calls[0].name) == ("calls", 1, "read")
    assert exchanges[0].request.messages == exchanges[1].request.messages


def test_it_gives_up_after_a_bounded_number_of_tries():
    """A gateway that never gets its server back is asked seven times, then named with what it said."""
    with conversation(SCRIPT, Settings(at=dict.fromkeys(range(1, 20), "502"))) as (model, exchanges), pytest.raises(ModelError) as caught:
        ask(model)
    assert len(exchanges) == 7
    assert "keeps failing with status 502 (Bad gateway)" in str(caught.value)


def test_a_full_queue_is_asked_for_as_long_as_there_is_time():
    """Nothing is wrong with a server whose queue is as long as its owner lets it be; it is asked more often than one that fails."""
    with conversation(SCRIPT, Settings(at=dict.fromkeys(range(1, 12), "503_queue"))) as (model, exchanges):
        assert ask(model).retries == 11
    assert len(exchanges) == 12


@pytest.mark.parametrize("fault", ["500", "503"])
def test_an_error_inside_a_server_is_asked_again_twice(fault):
    """What the same prompt does three times it will do again."""
    with (
        conversation(SCRIPT, Settings(at=dict.fromkeys(range(1, 20), fault))) as (model, exchanges),
        pytest.raises(UnreachableError) as caught,
    ):
        ask(model)
    assert len(exchanges) == 3 and caught.value.failing


def stuck_at(*ticks, looks):
    """Return what watches a server that shows these vitals at one look after another, a minute apart."""
    clock = iter(range(0, 10**6, 60))
    shown = iter(ticks)

    def look(_):
        looks.append(next(shown, ticks[-1]))
        return looks[-1]

    return lambda base: Stall(base, clock=lambda: next(clock), look=look)


STILL = Vitals(computed=100, generated=10, waiting=3)


def test_a_server_that_stands_still_is_asked_once_more_then_named():
    """Requests wait, none runs and nothing is computed, look after look: the call is taken back, made again, and given up when that changes nothing."""
    looks = []
    with conversation(lambda _: Answer(Message("assistant", "late"), seconds=60)) as (model, exchanges):
        model._stall = stuck_at(STILL, looks=looks)
        with pytest.raises(ModelError, match="stands still: requests wait and none is worked on"):
            ask(model)
    assert len(exchanges) == 2 and len(looks) >= 6


def test_a_call_that_was_taken_back_from_a_server_that_stood_still_goes_through():
    """What it stood still on may be this very request."""
    answers = iter([Answer(Message("assistant", "late"), seconds=60), Answer(Message("assistant", "ok"), seconds=0.3)])
    with conversation(lambda _: next(answers)) as (model, _):
        model._stall = stuck_at(STILL, STILL, STILL, Vitals(computed=200, generated=10, running=1), looks=[])
        reply = ask(model)
    assert (reply.message.text, reply.retries) == ("ok", 1)


@pytest.mark.parametrize(
    "shown",
    [
        [None, None, None, None],
        [STILL, replace(STILL, computed=101), replace(STILL, computed=102), replace(STILL, computed=103)],
        [replace(STILL, waiting=0)] * 4,
        [replace(STILL, running=1)] * 4,
        [STILL, STILL, replace(STILL, generated=11), replace(STILL, generated=11)],
    ],
)
def test_a_server_that_gets_on_does_not_stand_still(shown):
    """Nor does one that says nothing, that has nothing to do, or that is at work on something."""
    stall = stuck_at(*shown, looks=[])("http://127.0.0.1:1/v1")
    assert not any(stall.stands_still() for _ in range(len(shown)))


def test_a_server_is_looked_at_when_it_is_time():
    """Between two looks no request is made."""
    looks = []
    stall = Stall("http://127.0.0.1:1/v1", look_s=30, clock=iter([0, 10, 20, 31, 40, 62]).__next__, look=lambda _: looks.append(1))
    assert not any(stall.stands_still() for _ in range(5)) and len(looks) == 2


@pytest.mark.parametrize("fault", ["429_seconds", "429_date"])
def test_it_waits_as_long_as_the_server_asks(fault):
    """With a Retry-After beyond the time left, the call ends when its time is over, and the server is not asked again."""
    with conversation(SCRIPT, Settings(at={2: fault}, retry_after_s=100)) as (model, exchanges):
        ask(model)  # the first call of a process takes its time
        reply = ask(model, timeout_s=5)
    assert (reply.stop, len(exchanges)) == ("cancelled", 2)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("unknown_model", "has no model 'hosted_vllm/scripted' (The model `scripted` does not exist.)"),
        ("bad_key", "refuses the key; set another"),
        ("forbidden", "does not let this key use 'hosted_vllm/scripted'"),
        ("bad_request", "start vLLM with --enable-auto-tool-choice"),
    ],
)
def test_what_does_not_pass_is_said_once(fault, said):
    """A wrong name, key or switch is one line with what to do, after one request, and the key is not in it."""
    with conversation(SCRIPT, Settings(at={1: fault}), key=KEY) as (model, exchanges), pytest.raises(ModelError) as caught:
        ask(model)
    assert len(exchanges) == 1
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_the_key_is_sent_and_a_wrong_one_refused():
    """The server sees the key as a bearer token; with another it answers 401."""
    with conversation(SCRIPT, Settings(api_key=KEY), key=KEY) as (model, _):
        assert ask(model).stop == "calls"
    with conversation(SCRIPT, Settings(api_key=KEY)) as (model, _), pytest.raises(ModelError, match="name the variable that holds one"):
        ask(model)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name.startswith("overflow")])
def test_an_overflow_is_a_reply(fault):
    """The window's overflow in the words of every server becomes a stop the caller can act on, and is not asked again."""
    with conversation(SCRIPT, Settings(at={1: fault})) as (model, exchanges):
        reply = ask(model)
    assert (reply.stop, reply.message, len(exchanges)) == ("overflow", Message("assistant"), 1)


def test_a_window_overflows_by_itself():
    """A server with a window refuses a prompt that does not fit, and takes it once it is shorter."""
    with conversation(SCRIPT, Settings(window=400)) as (model, _):
        assert ask(model, (*START, Message("user", "x" * 2000))).stop == "overflow"
        assert ask(model).stop == "calls"


@pytest.mark.parametrize(
    ("fault", "stop"), [("truncated", "length"), ("empty", "end"), ("only_reasoning", "end"), ("two_calls", "calls"), ("bad_json", "calls")]
)
def test_a_bad_reply_is_handed_on_as_it_is(fault, stop):
    """What a model got wrong is not the transport's to judge."""
    with conversation(SCRIPT, Settings(at={1: fault})) as (model, exchanges):
        reply = ask(model)
    sent = exchanges[0].outcome.message
    assert (reply.stop, reply.message) == (stop, sent)


@pytest.mark.parametrize("model_name", ["hosted_vllm/scripted", "openai/scripted", "scripted"])
def test_a_slow_drip_ends_with_the_time(model_name):
    """A reply that would take minutes, byte by byte, does not outlast the call's time, through either of litellm's ways."""

    def answer(request):
        return Answer(Message("assistant", "Here I am."), fault="slow_drip" if request.messages[-1].text == "slowly" else "")

    with conversation(answer, Settings(drip_s=0.5), model=model_name) as (model, _):
        assert ask(model, (*START, Message("user", "slowly")), timeout_s=1.0).stop == "cancelled"
        assert ask(model).stop == "end"  # the model can be used again


def test_a_cancelled_call_ends():
    """Setting the event from another thread ends a call that waits for its reply, and one that was cancelled before is not made."""
    with conversation(Script([Answer(Message("assistant", "late"), seconds=60)])) as (model, _):
        ask(model, timeout_s=0.2)  # litellm is imported now
        cancel = threading.Event()
        threading.Timer(0.3, cancel.set).start()
        assert ask(model, cancel=cancel).stop == "cancelled"
        assert ask(model, cancel=cancel).stop == "cancelled"


def test_many_threads_share_a_model():
    """Replies go to whoever asked."""
    with conversation(lambda request: Message("assistant", request.messages[-1].text)) as (model, _):
        said = {}

        def talk(name):
            said[name] = ask(model, (*START, Message("user", name))).message.text

        threads = [threading.Thread(target=talk, args=(f"agent {number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert said == {name: name for name in said} and len(said) == 8


def test_nobody_there():
    """An address where nothing listens is named, with the question to ask."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    with pytest.raises(ModelError) as caught:
        ask(remote(base))
    assert str(caught.value).startswith(f"cannot reach {base} (") and str(caught.value).endswith("is the address right?")


@pytest.mark.parametrize("name", ["scripted", "org/scripted", "hosted_vllm/org/scripted", "openai/org/scripted"])
def test_names_of_weights_work_with_an_address(name):
    """With an address a name needs no provider, and an address without a path means the API below /v1."""
    served = "org/scripted" if "org" in name else "scripted"
    with conversation(SCRIPT, Settings(models=(served,))) as (model, _):
        base = model._endpoint.api_base.removesuffix("/v1")
        assert ask(remote(base, model=name)).stop == "calls"


def test_a_name_that_says_nothing_needs_an_address():
    """Without a provider and without an address there is nobody to ask."""
    with pytest.raises(ModelError, match="nobody knows whose model 'nonesuch' is"):
        ask(remote(None, model="nonesuch"))


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch):
    """A proxy named by the environment gets none of what goes to the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0.1)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        for variable in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(variable, address)
        for model_name in ("hosted_vllm/scripted", "openai/scripted"):
            with conversation(SCRIPT, model=model_name) as (model, _):
                assert ask(model).stop == "calls"
        with pytest.raises(TimeoutError):
            proxy.accept()


def test_the_key_is_in_no_log(caplog):
    """Nothing that is logged at any level, by us or by litellm, holds the key; a retried and a refused call included."""
    caplog.set_level(logging.DEBUG)
    with conversation(SCRIPT, Settings(at={1: "500", 3: "bad_key"}), key=KEY) as (model, _):
        ask(model)
        with pytest.raises(ModelError):
            ask(model)
    assert KEY not in caplog.text
    assert "model.retry retries=1 status=500" in caplog.text


def test_importing_costs_nothing_and_prints_nothing(tmp_path):
    """litellm is imported by the first reply, not before; it prints nothing, not even when a call fails, and leaves the interpreter in order."""
    code = """
        import os, sys
        import backstory.agent.model as seam
        from backstory.agent.messages import Message, Prompt
        from backstory.config import keep_litellm_quiet
        from backstory.errors import ModelError
        assert "litellm" not in sys.modules and "httpx" not in sys.modules
        model = seam.RemoteModel(seam.Endpoint("hosted_vllm/x", sys.argv[1]), before_import=lambda: keep_litellm_quiet(os.environ), jitter=lambda: 0)
        assert "litellm" not in sys.modules
        try:
            model.reply(Prompt([Message("user", "hi")], timeout_s=60))
        except ModelError:
            assert "litellm" in sys.modules
    """
    (tmp_path / ".env").write_text("OPENAI_API_KEY=from-the-repository\n")
    with conversation(SCRIPT) as (model, _):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), model._endpoint.api_base],
            cwd=tmp_path,
            env={"HTTPS_PROXY": "http://127.0.0.1:9"},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_secret_shows_nowhere():
    """Printing, formatting, pickling and JSON give nothing away."""
    import json
    import pickle

    secret = Secret(KEY)
    assert KEY not in f"{secret} {secret!r} {[secret]} {secret:}"
    for write in (json.dumps, pickle.dumps):
        with pytest.raises(TypeError):
            write(secret)
    assert secret.reveal() == KEY


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        (formatdate(1_700_000_060, usegmt=True), 60.0),
        (formatdate(1_699_999_000, usegmt=True), 0.0),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(value, seconds):
    """Seconds and dates are understood, the past is now, and nonsense says nothing."""
    assert read_retry_after(value, 1_700_000_000.0) == seconds


@pytest.mark.parametrize(
    ("status", "text", "overflows"),
    [
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4800 in the messages, 200 in the completion).", True),
        (400, "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 4196 tokens", True),
        (400, "the request exceeds the available context size. try increasing the context size or enable context shift", True),
        (500, "the request exceeds the available context size, try increasing it", True),
        (400, "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.", True),
        (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens`", True),
        (413, '{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}', True),
        (400, "max_tokens is too large: 9999. This model's maximum context length is 4096 tokens and your request has 10 input tokens", False),
        (400, "max_tokens=9999 cannot be greater than max_model_len=max_total_tokens=4096", False),
        (400, "Unsupported parameter: 'context'", False),
        (429, "Rate limit: maximum context length of the queue", False),
        (500, "Internal server error", False),
    ],
)  # fmt: skip
def test_overflow_is_told_from_other_refusals(status, text, overflows):
    """Status and text together decide, for the forms that servers of the last years used."""
    assert is_overflow(Failure(status, text)) is overflows


@pytest.mark.parametrize("status", [None, 400, 401, 403, 404, 413, 422, 429, 500, 503])
def test_every_failure_is_one_line_without_the_key(status):
    """Whatever a server says, control characters and the key included, the message is one line of bounded length."""
    said = f'litellm.X: YException - {{"error": {{"message": "no\\n\\u001b[31m {KEY} ' + "long " * 500 + '"}}'
    line = remedy(Failure(status, said), "hosted_vllm/m", "http://h/v1", Secret(KEY))
    assert KEY not in line and line.isprintable() and len(line) < 500


def test_a_spent_quota_is_not_asked_again():
    """429 for a quota that is used up does not pass by waiting."""
    assert not Failure(429, '{"error": {"code": "insufficient_quota"}}').passes
    assert Failure(429, "Rate limit reached").passes


def test_seconds_are_those_of_the_reply():
    """The time of the request that succeeded is told, not that of the waits before it."""
    started = time.monotonic()
    with conversation(SCRIPT, Settings(at={1: "500"})) as (model, _):
        usage = ask(model).usage
    assert isinstance(usage, Usage) and 0 < usage.seconds <= time.monotonic() - started
