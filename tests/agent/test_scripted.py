"""The scripted server, asked over plain HTTP as any client would."""

import http.client
import json
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.agent.arguments import read_object
from backstory.agent.faults import FAULTS
from backstory.agent.messages import Message, Reply, ToolCall, Usage
from backstory.agent.prefix_cache import BYTES_PER_TOKEN, PrefixCache, count_tokens
from backstory.agent.script import Answer, Script, call, read_script, recorded
from backstory.agent.scripted import Settings, serve
from backstory.agent.trace import Event
from backstory.agent.wire import prompt_digest, read_messages, read_reply, read_tools, write_messages, write_reply, write_tools
from backstory.agent.written import to_json
from backstory.errors import UserError
from serving import START, TOOLS

SCRIPT = Script(
    [
        call("read", path="a.py"),
        call("edit", path="a.py", old="x\n", new='"y"'),
        Message("assistant", "Done. " * 20, reasoning="It was the sign."),
    ]
)


def send(server, method, path, body=None, **headers):
    """Return status, headers and content of one request."""
    connection = http.client.HTTPConnection(server.api_base.removeprefix("http://").removesuffix("/v1"), timeout=60)
    try:
        connection.request(method, path, body=body if isinstance(body, bytes | None) else json.dumps(body), headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def asked(messages=START, *, tools=TOOLS, **fields):
    return {"model": "scripted", "messages": write_messages(messages), "tools": write_tools(tools), **fields}


def complete(server, messages=START, **fields):
    status, _, content = send(server, "POST", "/v1/chat/completions", asked(messages, **fields))
    return status, json.loads(content)


def followed(history, reply):
    """Return the history with a reply of the server and with results for its calls."""
    message = read_reply(reply["choices"][0]["message"], turn=len(history))
    return (*history, message, *(Message("tool", "ok", answers=one.id) for one in message.calls))


def finish(server, history=START, *, limit=40):
    """Answer every reply until the server says the last one; return the history and the calls that were whole."""
    for _ in range(limit):
        status, reply = complete(server, history)
        if status in (429, 500, 502, 503, 504):
            continue
        if status != 200:
            return history
        message = read_reply(reply["choices"][0]["message"], turn=len(history))
        history = followed(history, reply)
        if not message.calls:
            history = (*history, Message("user", "go on"))
    raise AssertionError("the script does not end")


def said(history):
    return [(one.name, one.arguments) for message in history for one in message.calls]


def test_it_says_its_script():
    """Each conversation gets the replies in order, with ids, and is told when nothing is left."""
    with serve(SCRIPT) as server:
        for _ in range(2):
            history = finish(server)
            assert [one for one, _ in said(history)] == ["read", "edit"]
            assert [message.text for message in history if message.role == "assistant"] == ["", "", "Done. " * 20]
            assert complete(server, history)[1]["error"]["message"].startswith("the script is at its end")


def test_a_request_sent_again_gets_the_same_reply():
    """Repeating a request moves nothing on, and gives the same bytes but for the number and the time."""
    with serve(SCRIPT) as server:
        replies = [complete(server)[1]["choices"] for _ in range(3)]
    assert replies[0] == replies[1] == replies[2]


def test_a_shortened_history_goes_on_where_it_was():
    """After a compaction that keeps nothing of the transcript, the script continues instead of starting over."""
    with serve(SCRIPT) as server:
        history = followed(START, complete(server)[1])
        complete(server, history)  # the second reply is due
        short = (*START, Message("user", "Summary: the file was read."))
        _, reply = complete(server, short)
        assert reply["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "edit"
        history = followed(short, reply)
        assert complete(server, history)[1]["choices"][0]["message"]["content"] == "Done. " * 20


def test_a_function_answers():
    """A function is given the conversation at hand and may take its time or order a fault."""
    with serve(lambda request: Answer(Message("assistant", request.messages[-1].text.upper()), seconds=0.01)) as server:
        assert complete(server)[1]["choices"][0]["message"]["content"] == "THE SUM IS WRONG."


def test_a_stream_is_the_same_reply():
    """Put together, the pieces of a streamed reply are the reply sent whole, and the last one tells what it cost."""
    with serve(SCRIPT) as server:
        history = START
        while True:
            status, whole = complete(server, history)
            if status != 200:
                break
            _, headers, content = send(server, "POST", "/v1/chat/completions", asked(history, stream=True))
            assert headers["content-type"] == "text/event-stream"
            *events, done = [line.removeprefix("data: ") for line in content.decode().split("\n\n") if line]
            chunks = [json.loads(event) for event in events]
            assert done == "[DONE]"
            assert read_reply(_joined(chunks), turn=len(history)) == read_reply(whole["choices"][0]["message"], turn=len(history))
            assert chunks[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
            assert chunks[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
            history = followed(history, whole)


def _joined(chunks):
    message = {"content": "", "reasoning_content": "", "tool_calls": []}
    for chunk in chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["reasoning_content"] += delta.get("reasoning_content") or ""
            for part in delta.get("tool_calls", []):
                if "id" in part:
                    message["tool_calls"].append(part)
                else:
                    message["tool_calls"][part["index"]]["function"]["arguments"] += part["function"]["arguments"]
    return message


def test_usage_is_true():
    """Prompt tokens are those /tokenize counts; a longer prompt has its beginning, reply included, in the cache; nothing cached is made up."""
    with serve(SCRIPT, Settings(block_tokens=16)) as server:
        history = START
        before = 0
        for _ in range(3):
            _, reply = complete(server, history)
            usage = reply["usage"]
            _, _, content = send(server, "POST", "/tokenize", asked(history))
            assert json.loads(content)["count"] == usage["prompt_tokens"]
            cached = usage["prompt_tokens_details"]["cached_tokens"]
            assert cached % 16 == 0 and cached < usage["prompt_tokens"]
            assert cached >= (before // 16) * 16
            before = usage["prompt_tokens"]
            history = followed(history, reply)
        other = (Message("system", "Something else. " * 20), Message("user", "x"))
        assert complete(server, other)[1]["usage"]["prompt_tokens_details"]["cached_tokens"] < 160  # the tools alone are shared


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=8), st.sampled_from([1, 4, 16]))
def test_the_cache_finds_the_longest_known_beginning(prompts, block_tokens):
    """The blocks counted as known are exactly those of the longest beginning shared with any earlier prompt, the last token never."""
    cache = PrefixCache(block_tokens)
    size = block_tokens * BYTES_PER_TOKEN
    for place, prompt in enumerate(prompts):
        longest = 0
        for earlier in prompts[:place]:
            same = next(
                (at for at, (one, two) in enumerate(zip(prompt, earlier, strict=False)) if one != two), min(len(prompt), len(earlier))
            )
            longest = max(longest, same // size)
        expected = min(longest, max(0, count_tokens(prompt) - 1) // block_tokens)
        assert cache.admit(prompt) == expected * block_tokens


def test_the_other_routes():
    """Models, health and metrics say what is so, and an unknown route or model is 404."""
    with serve(SCRIPT, Settings(models=("one", "two"), window=5000)) as server:
        models = json.loads(send(server, "GET", "/v1/models")[2])["data"]
        assert [(model["id"], model["max_model_len"]) for model in models] == [("one", 5000), ("two", 5000)]
        assert send(server, "GET", "/health")[0] == 200
        assert send(server, "POST", "/v1/chat/completions", {**asked(), "model": "two"})[0] == 200
        assert complete(server)[0] == 404
        assert send(server, "GET", "/v2")[0] == send(server, "POST", "/v2", {})[0] == 404
        text = send(server, "GET", "/metrics")[2].decode()
    assert 'vllm:request_success_total{model_name="one"} 1\n' in text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "the body is no JSON"),
        ([], "must be an object"),
        ({"model": "scripted"}, "'messages' must be a list"),
        ({"model": "scripted", "messages": [{"role": "bot"}]}, "'messages[0]' must be an object with the role"),
        ({"model": "scripted", "messages": [{"role": "user"}], "tools": [{}]}, "'tools[0]' must be a function with a name"),
        (
            {"model": "scripted", "messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]}]},
            "are no JSON object",
        ),
        ({"model": "scripted", "messages": [{"role": "tool", "tool_call_id": "a"}]}, "a call that was not made"),
        (
            {
                "model": "scripted",
                "messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "user"}],
            },
            "comes before the results of a",
        ),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused(body, said):
    """What real servers refuse, or silently change, is 400 with what is wrong."""
    with serve(SCRIPT) as server:
        status, _, content = send(server, "POST", "/v1/chat/completions", body)
    assert status == 400
    assert said in json.loads(content)["error"]["message"]


def test_a_key_can_be_asked_for():
    """With a key set, requests without it are 401; health is open to all."""
    with serve(SCRIPT, Settings(api_key="k")) as server:
        assert complete(server)[0] == 401
        assert send(server, "GET", "/v1/models")[0] == 401
        assert send(server, "GET", "/health")[0] == 200
        assert send(server, "POST", "/v1/chat/completions", asked(), authorization="Bearer k")[0] == 200


def test_only_this_machine_is_served():
    """The server listens on the loopback interface and nowhere else."""
    with serve(SCRIPT) as server:
        assert server._http.server_address[0] == "127.0.0.1"


def test_a_taken_port_is_said():
    """A port in use is a line for the user."""
    with (
        serve(SCRIPT) as server,
        pytest.raises(UserError, match=r"cannot listen on port \d+ of 127.0.0.1"),
        serve(SCRIPT, port=int(server.api_base.split(":")[2].split("/")[0])),
    ):
        pass


@pytest.mark.parametrize("fault", [name for name, fault in FAULTS.items() if not fault.ends and name not in ("reset", "slow_drip")])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_no_fault_loses_a_reply(fault, at):
    """Whatever goes wrong at whichever reply, a client that keeps asking still gets every reply of the script, in order."""
    with serve(SCRIPT, Settings(at={at: fault})) as server:
        if fault.startswith("overflow"):
            assert 400 in [complete(server)[0] for _ in range(at)]
        history = finish(server)
    meant = [(name, read_object(arguments)) for name, arguments in said(history)]
    calls = [one for one in meant if one in (("read", {"path": "a.py"}), ("edit", {"path": "a.py", "old": "x\n", "new": '"y"'}))]
    assert {name for name, _ in calls} == {"read", "edit"} and [name for name, _ in calls] == sorted(
        (name for name, _ in calls), reverse=True
    )
    assert history[-2].text == "Done. " * 20


@pytest.mark.parametrize("seed", range(5))
def test_chance_faults_are_the_seed_s(seed):
    """The same seed makes the same things go wrong for the same client; every script is still finished."""
    runs = []
    for _ in range(2):
        exchanges = []
        names = tuple(name for name in FAULTS if not name.startswith(("overflow", "reset", "slow")) and not FAULTS[name].ends)
        with serve(SCRIPT, Settings(faults=names, chance=0.6, seed=seed), on_exchange=exchanges.append) as server:
            finish(server)
        runs.append([exchange.fault for exchange in exchanges])
    assert runs[0] == runs[1]
    assert any(runs[0])


def test_a_bounded_number_of_chance_faults():
    """`most` bounds what goes wrong by chance."""
    exchanges = []
    with serve(SCRIPT, Settings(faults=("500",), chance=1.0, most=2), on_exchange=exchanges.append) as server:
        finish(server)
    assert [exchange.status for exchange in exchanges].count(500) == 2


def test_a_reset_is_an_error_to_the_client():
    """The connection breaks with a reset in the middle of the reply, whole or streamed, and the next try gets it."""
    for stream in (False, True):
        with serve(SCRIPT, Settings(at={1: "reset"})) as server:
            with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
                complete(server, stream=stream)
            assert complete(server)[0] == 200


def test_a_drip_is_slow_and_whole():
    """Byte by byte the whole reply arrives; closing the server does not wait for it."""
    with serve(SCRIPT, Settings(at={1: "slow_drip", 2: "slow_drip"}, drip_s=0.0001)) as server:
        assert complete(server)[1]["choices"][0]["message"]["tool_calls"]
    with serve(SCRIPT, Settings(at={1: "slow_drip"}, drip_s=1000.0)) as server:
        host, _, port = server.api_base.removeprefix("http://").removesuffix("/v1").partition(":")
        client = socket.create_connection((host, int(port)))
        body = json.dumps(asked()).encode()
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert client.recv(4).startswith(b"HTTP")
    client.close()


def test_many_clients_at_once():
    """Conversations on many connections do not disturb each other."""
    ended = []

    def talk(name):
        with_name = (Message("system", name), Message("user", "go"))
        ended.append([one for one, _ in said(finish(server, with_name))])

    with serve(SCRIPT, Settings(faults=("500", "empty", "bad_json"), chance=0.3)) as server:
        threads = [threading.Thread(target=talk, args=(f"agent {number}",)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(ended) == 10 and all(names[0] == "read" and names[-1] == "edit" for names in ended)


def test_a_recorded_run_is_said_again():
    """The replies of a trace answer the prompts they answered, and other prompts conversation by conversation."""
    replies = [call("read", path="a.py", id="c1"), call("edit", path="a.py", old="1", new="2", id="c2"), call("read", path="b.py", id="c3")]
    keys = [{"conversation": "localizer", "prompt": prompt_digest(START)}, {"conversation": "localizer"}, {"conversation": "resolver"}]
    events = [
        Event("run", seq, "", "reply", {"key": key, "result": to_json(Reply(message, "calls", Usage()))})
        for seq, (key, message) in enumerate(zip(keys, replies, strict=True))
    ]
    with serve(recorded(events)) as server:
        _, first = complete(server)
        assert said(followed(START, first)) == [("read", '{"path": "a.py"}')]
        assert said(followed(START, complete(server, followed(START, first))[1]))[0][0] == "edit"
        other = (Message("system", "x"), Message("user", "y"))
        assert said(followed(other, complete(server, other)[1])) == [("read", '{"path": "b.py"}')]
    with pytest.raises(UserError, match="the run asked no model"):
        recorded([Event("run", 0, "", "started", {})])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('[{"text": "a"}, {"calls": [{"name": "read", "arguments": {"path": "a"}}], "reasoning": "r", "fault": "500", "seconds": 0.5}]', 2),
        ('{"text": "a"}\n\n{"text": "b"}\n', 2),
        ('{"content": null, "tool_calls": [{"id": "x", "function": {"name": "read", "arguments": "{}"}}]}', 1),
        ("[]", 0),
    ],
)
def test_scripts_are_read(text, count):
    """A list, lines, or messages as the API writes them."""
    assert len(read_script(text, origin="s.json")._replies) == count


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "s.json is neither a JSON list nor one JSON object per line"),
        ("[3]", "reply 1 of s.json is not an object"),
        ('[{"text": "a"}, {"txt": "b"}]', r"reply 2 of s.json has \['txt'\]"),
        ('[{"calls": [{}]}]', "'calls' must be a list of objects with 'name'"),
        ('[{"text": "a", "seconds": -1}]', "'seconds' must be a number"),
        ('[{"text": "a", "fault": "fire"}]', "no fault 'fire'"),
    ],
)
def test_a_wrong_script_is_said(text, said):
    """Which reply is wrong, and what about it."""
    with pytest.raises(UserError, match=said):
        read_script(text, origin="s.json")


TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
CALLS = st.builds(
    ToolCall,
    st.text("abc123", min_size=1, max_size=5),
    st.text("abc_", min_size=1, max_size=5),
    st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(), st.booleans(), st.none(), st.lists(TEXTS, max_size=2)), max_size=3).map(
        json.dumps
    ),
)
MESSAGES = st.one_of(
    st.builds(Message, st.sampled_from(["system", "user"]), TEXTS),
    st.builds(Message, st.just("assistant"), TEXTS, st.lists(CALLS, max_size=3).map(tuple), TEXTS),
    st.builds(lambda text, answers: Message("tool", text, answers=answers), TEXTS, st.text("abc", min_size=1, max_size=3)),
)


@given(st.lists(MESSAGES, min_size=1, max_size=6))
def test_the_wire_is_read_as_it_is_written(messages):
    """Histories, tools and replies survive the way over JSON, under either name for the reasoning."""
    for fields in (("reasoning_content",), ("reasoning",), ("reasoning_content", "reasoning")):
        written = json.loads(json.dumps(write_messages(messages, reasoning_fields=fields)))
        assert read_messages(written) == tuple(messages)
    for message in messages:
        if message.role == "assistant":
            assert read_reply(json.loads(json.dumps(write_reply(message))), turn=0) == message
    assert read_tools(json.loads(json.dumps(write_tools(TOOLS)))) == TOOLS
