"""A model server that says what it is told: OpenAI's chat completions API over real HTTP, on the loopback interface, without a model.

It plays a script, a function of the conversation or a recorded run (`backstory.agent.script`), and makes things go wrong by name
(`backstory.agent.faults`), so that everything between an agent and a model can be tried without one: the wire, the keys, retries, broken replies,
budgets, the prefix cache. What it reports is true of what was sent: tokens are counted by one rule (four bytes each), cached tokens are those a
prefix cache would have kept, and with a window set a prompt that does not fit is refused like any server refuses it.

Routes: POST /v1/chat/completions (whole or as a stream of events) and /tokenize; GET /v1/models, /health and /metrics (counters of what really
happened, under vLLM's names). Standard library only.

>>> from backstory.agent.messages import Message
>>> with serve(Script([Message("assistant", "hello")])) as server:
...     server.api_base.startswith("http://127.0.0.1:")
True
"""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.message import Message as HeaderFields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, Final, TypeAlias

from backstory.agent.faults import FAULTS, Occasion, Outcome, Refused, Said, check_fault, said
from backstory.agent.messages import Message, Sampling
from backstory.agent.prefix_cache import BLOCK_TOKENS, PrefixCache, count_tokens
from backstory.agent.script import Answer, Answers, Request, Script, Way
from backstory.agent.vitals import BEGAN, GAUGE
from backstory.agent.wire import prompt_digest, read_messages, read_tools, write_messages, write_reply, write_stop, write_tools
from backstory.errors import UserError

__all__ = ["Script", "ScriptedServer", "Settings", "serve"]

MODEL: Final = "scripted"
WINDOW: Final = 131_072  # tokens, told in overflows and in the list of models; held to only where a window is set
MAX_REQUEST_BYTES: Final = 64_000_000  # more than any window in use holds; a client's mistake should not fill the memory
STREAM_PIECE_CHARS: Final = 24  # text and arguments come in pieces of a few tokens
IDLE_S: Final = 120.0  # a kept connection without a request is closed after this, as vLLM's server does


@dataclass(frozen=True)
class Settings:
    """How the server behaves.

    models: names it answers to, the first is its own; api_key: what a client must send, None is anything; window: tokens of prompt and reply
    together, None is without limit; at: faults by the number of the request (from 1) they happen to; chance: how likely each other request is to
    meet one of `faults`, drawn from `seed`; most: chance faults at most, None is without limit; drip_s: between two bytes; retry_after_s: what a busy
    server tells; block_tokens: of the prefix cache; pool_tokens: what it says that its cache holds, None says nothing; engines: data-parallel ones, each
    with such a cache; unknown: a field of requests that it refuses; tells_cached: whether it says what it had cached; reasoning_field: how the server calls what the model thought.
    """

    models: tuple[str, ...] = (MODEL,)
    api_key: str | None = None
    window: int | None = None
    at: Mapping[int, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    chance: float = 0.2
    seed: int = 0
    most: int | None = None
    drip_s: float = 0.02
    retry_after_s: int = 1
    block_tokens: int = BLOCK_TOKENS
    pool_tokens: int | None = None
    engines: int = 1
    unknown: str = ""
    tells_cached: bool = True
    reasoning_field: str = "reasoning_content"

    def __post_init__(self) -> None:
        """Raise UserError for a fault nobody knows."""
        for name in (*self.at.values(), *self.faults):
            check_fault(name)


@dataclass(frozen=True)
class Exchange:
    """One request and what is answered. fault: what is made to go wrong, or ""; status: of HTTP."""

    request: Request
    outcome: Outcome
    fault: str
    status: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int


OnExchange: TypeAlias = Callable[[Exchange], None] | None


class ScriptedServer:
    """A server in a thread of its own. Use `serve`, or `close` it."""

    def __init__(self, answers: Answers, settings: Settings, *, port: int = 0, on_exchange: OnExchange = None) -> None:
        """Listen on 127.0.0.1. port: 0 takes a free one. Raises UserError if it is taken."""
        self.desk = _Desk(answers, settings, on_exchange)
        try:
            self._http = _HTTP(("127.0.0.1", port), self.desk)
        except OSError as error:
            raise UserError(
                f"cannot listen on port {port} of 127.0.0.1: {error.strerror}; name another with --port, or 0 for a free one"
            ) from error
        # A short poll, so that closing does not wait.
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, name="scripted-model", daemon=True)
        self._thread.start()

    @property
    def api_base(self) -> str:
        """The address to give to a client."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def wait(self) -> None:
        """Return when the server is closed from another thread, or with what interrupts this one."""
        self.desk.closing.wait()

    def close(self) -> None:
        """Stop listening and hang up on everyone."""
        self.desk.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@contextmanager
def serve(answers: Answers, settings: Settings | None = None, *, port: int = 0, on_exchange: OnExchange = None) -> Iterator[ScriptedServer]:
    """Yield a server that plays `answers`; it is gone when the block ends.

    on_exchange: told of each exchange before its answer is sent, from the server's threads.
    """
    server = ScriptedServer(answers, settings or Settings(), port=port, on_exchange=on_exchange)
    try:
        yield server
    finally:
        server.close()


class _Desk:
    """What all connections share: the script, the faults still to come, the prefix cache and the counters."""

    def __init__(self, answers: Answers, settings: Settings, on_exchange: OnExchange) -> None:
        self.settings = settings
        self.closing = threading.Event()
        self._answers = answers
        self._on_exchange = on_exchange
        self._lock = threading.Lock()
        self._random = Random(settings.seed)
        self._cache = PrefixCache(settings.block_tokens)
        self._number = 0
        self._by_chance = 0
        self._faulted: set[str] = set()
        self._counts = dict.fromkeys(_COUNTERS, 0)
        self._began = time.time()

    def number(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    def decide(self, request: Request) -> "_Decision":
        """Return what is sent for a request."""
        prompt = _rendered(request)
        prompt_tokens = count_tokens(prompt)
        window = self.settings.window
        answer = _as_answer(self._answers(request))
        with self._lock:
            occasion = Occasion(
                answer.message if answer else Message("assistant"),
                request.tools,
                request.model,
                prompt_tokens if window is not None else max(prompt_tokens, WINDOW + 1),
                request.sampling.output_tokens,
                window or WINDOW,
                time.time(),
                Random(self._random.getrandbits(64)),
                self.settings.retry_after_s,
            )
            if window is not None and prompt_tokens >= window:
                return _Decision(FAULTS["overflow"].happen(occasion), "", 0.0, prompt_tokens, 0)
            fault = self._fault(request, answer)
        if fault:
            outcome = FAULTS[fault].happen(occasion)
        elif answer is None:
            outcome = Refused(400, _error(400, "the script is at its end: every reply was said"))
        else:
            outcome = said(answer.message)
        if isinstance(outcome, Refused):
            return _Decision(outcome, fault, 0.0, prompt_tokens, 0)
        outcome = replace(outcome, message=_with_ids(outcome.message, request.messages))
        cached = self._cache.admit(prompt)
        self._cache.keep(_rendered(replace(request, messages=(*request.messages, outcome.message))))
        return _Decision(outcome, fault, answer.seconds if answer else 0.0, prompt_tokens, cached)

    def _fault(self, request: Request, answer: Answer | None) -> str:
        """Return the name of what goes wrong with this request, or "". One that was asked for happens once to one history."""
        if request.number in self.settings.at:
            return self.settings.at[request.number]
        history = prompt_digest(request.messages)
        if answer is None or history in self._faulted:
            return ""
        if answer.fault:
            self._faulted.add(history)
            return answer.fault
        names = [name for name in self.settings.faults if not FAULTS[name].ends or self.settings.chance >= 1]
        spent = self.settings.most is not None and self._by_chance >= self.settings.most
        if not names or spent or self._random.random() >= self.settings.chance:
            return ""
        self._faulted.add(history)
        self._by_chance += 1
        return self._random.choice(names)

    def note(self, exchange: Exchange) -> None:
        """Count an exchange and pass it on."""
        refused = isinstance(exchange.outcome, Refused)
        with self._lock:
            self._counts["vllm:request_success_total"] += 0 if refused else 1
            self._counts["vllm:prompt_tokens_total"] += 0 if refused else exchange.prompt_tokens
            self._counts["vllm:generation_tokens_total"] += exchange.output_tokens
            self._counts["vllm:prefix_cache_queries_total"] += 0 if refused else exchange.prompt_tokens
            self._counts["vllm:prefix_cache_hits_total"] += exchange.cached_tokens
        if self._on_exchange is not None:
            self._on_exchange(exchange)

    def metrics(self) -> str:
        with self._lock:
            counts = dict(self._counts)
        name, pool = f'{{model_name="{self.settings.models[0]}"}}', self.settings.pool_tokens
        engines = "".join(f'{GAUGE}{{engine="{rank}",kv_cache_size_tokens="{pool}"}} 1\n' for rank in range(self.settings.engines))
        told = "" if pool is None else f"# TYPE {GAUGE} gauge\n{engines}"
        return f"{BEGAN} {self._began}\n{told}" + "".join(
            f"# HELP {key} {_COUNTERS[key]}\n# TYPE {key} counter\n{key}{name} {value}\n" for key, value in counts.items()
        )


_COUNTERS: Final[Mapping[str, str]] = {
    "vllm:request_success_total": "Replies given.",
    "vllm:prompt_tokens_total": "Tokens of the prompts that were answered.",
    "vllm:generation_tokens_total": "Tokens of the replies.",
    "vllm:prefix_cache_queries_total": "Tokens looked up in the prefix cache.",
    "vllm:prefix_cache_hits_total": "Tokens found in the prefix cache.",
}


@dataclass(frozen=True)
class _Decision:
    outcome: Outcome
    fault: str
    seconds: float
    prompt_tokens: int
    cached_tokens: int


class _HTTP(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # a batch of agents connects at once

    def __init__(self, address: tuple[str, int], desk: _Desk) -> None:
        self.desk = desk
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away; anything else is a bug and is shown."""
        import sys

        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go out at once
    timeout = IDLE_S
    server: _HTTP

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log; exchanges are passed on by the desk."""

    def do_GET(self) -> None:
        desk = self.server.desk
        if self.path == "/health":
            self._send(200, b"")
        elif self.path == "/metrics":
            self._send(200, desk.metrics().encode(), kind="text/plain; version=0.0.4")
        elif self.path == "/v1/models":
            if self._allowed():
                window = desk.settings.window or WINDOW
                models = [
                    {"id": name, "object": "model", "owned_by": "backstory", "max_model_len": window} for name in desk.settings.models
                ]
                self._send_json(200, {"object": "list", "data": models})
        else:
            self._send_json(404, _error(404, "Not Found"))

    def do_POST(self) -> None:
        body = self._body()
        if self.server.desk.closing.is_set():
            return self._reset()  # a connection kept from before
        if body is None or not self._allowed():
            return None
        try:
            if self.path == "/v1/chat/completions":
                self._complete(_read_request(body, self.server.desk.number(), self.headers, unknown=self.server.desk.settings.unknown))
            elif self.path == "/tokenize":
                count = count_tokens(_rendered(_read_request(body, 0, self.headers)))
                self._send_json(200, {"count": count, "max_model_len": self.server.desk.settings.window or WINDOW})
            else:
                self._send_json(404, _error(404, "Not Found"))
        except ValueError as error:
            self._send_json(400, _error(400, str(error)))

    def _complete(self, request: Request) -> None:
        desk = self.server.desk
        if request.model not in desk.settings.models:
            return self._send_json(404, _error(404, f"The model `{request.model}` does not exist."))
        decision = desk.decide(request)
        outcome = decision.outcome
        output_tokens = 0 if isinstance(outcome, Refused) else count_tokens(_json(write_reply(outcome.message)))
        status = outcome.status if isinstance(outcome, Refused) else 200
        # Told before it is sent, so that whoever has the reply can look at the exchange.
        desk.note(Exchange(request, outcome, decision.fault, status, decision.prompt_tokens, decision.cached_tokens, output_tokens))
        if desk.closing.wait(decision.seconds):
            return self._reset()
        if isinstance(outcome, Refused):
            return self._send_json(outcome.status, outcome.body, outcome.headers)
        return self._say(request, outcome, _usage(decision, output_tokens, tells_cached=desk.settings.tells_cached))

    def _say(self, request: Request, outcome: Said, usage: Mapping[str, Any]) -> None:
        """Send a reply whole or as a stream of events, in whatever way it is to go wrong."""
        reasoning_field = self.server.desk.settings.reasoning_field
        fields = {"id": f"chatcmpl-{request.number}", "created": int(time.time()), "model": request.model}
        if request.stream:
            events = _events(outcome, usage, fields, reasoning_field)
            head = self._head(200, "text/event-stream", None, {"Transfer-Encoding": "chunked"})
            content = b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"
        else:
            choice = {
                "index": 0,
                "message": write_reply(outcome.message, reasoning_field=reasoning_field),
                "finish_reason": write_stop(outcome.stop),
                "logprobs": None,
            }
            content = _json({**fields, "object": "chat.completion", "choices": [choice], "usage": usage, "metrics": _TIMES})
            head = self._head(200, "application/json", len(content), {})
        if outcome.resets:
            self.wfile.write(head + content[: len(content) // 2])
            return self._reset()
        if not outcome.drips:
            self.wfile.write(head + content)
            return None
        self.wfile.write(head)
        for byte in content:
            if self.server.desk.closing.wait(self.server.desk.settings.drip_s):
                break
            self.wfile.write(bytes((byte,)))
        return None

    def _reset(self) -> None:
        """Close the connection so that the client is told of it as an error: with an RST, not a FIN."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            socket.socket(fileno=self.connection.detach()).close()

    def _body(self) -> bytes | None:
        """Return what was sent, or None when it was refused."""
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MAX_REQUEST_BYTES:
            self.close_connection = True
            self._send_json(413 if length.isdecimal() else 411, _error(413, "give a body with its length, of at most 64 MB"))
            return None
        return self.rfile.read(int(length))

    def _allowed(self) -> bool:
        """Return whether the key is right; if not, say so."""
        key = self.server.desk.settings.api_key
        if key is None or self.headers.get("authorization", "") == f"Bearer {key}":
            return True
        self._send_json(401, _error(401, "Unauthorized"))
        return False

    def _send_json(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self._send(status, _json(body), headers=headers or {})

    def _send(self, status: int, content: bytes, *, kind: str = "application/json", headers: Mapping[str, str] | None = None) -> None:
        self.wfile.write(self._head(status, kind, len(content), headers or {}) + content)

    def _head(self, status: int, kind: str, length: int | None, headers: Mapping[str, str]) -> bytes:
        """Return status line and headers, to be sent in one piece with what follows: two pieces cost a delayed acknowledgement each."""
        lengths = {} if length is None else {"Content-Length": str(length)}
        phrase = self.responses.get(status, ("",))[0]
        lines = (f"{name}: {value}\r\n" for name, value in {"Content-Type": kind, **lengths, **headers}.items())
        return f"HTTP/1.1 {status} {phrase}\r\n{''.join(lines)}\r\n".encode("latin-1")


def _read_request(body: bytes, number: int, headers: HeaderFields, *, unknown: str = "") -> Request:
    """Return what a client asks. Raises ValueError with what is wrong with it. unknown: a field that is refused."""
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise ValueError(f"the body is no JSON: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("model"), str):
        raise ValueError("the body must be an object with 'model' and 'messages'")
    if unknown in fields:
        raise ValueError(f"Unrecognized request argument supplied: {unknown}")
    asked = fields.get("max_completion_tokens") or fields.get("max_tokens")
    messages = read_messages(fields.get("messages"))
    _refuse_broken_history(messages)
    return Request(
        fields["model"],
        messages,
        read_tools(fields.get("tools")),
        _tool_choice(fields.get("tool_choice")),
        Sampling(
            temperature=value if isinstance(value := fields.get("temperature"), int | float) else None,
            seed=value if isinstance(value := fields.get("seed"), int) else None,
            output_tokens=asked if isinstance(asked, int) else 0,
        ),
        fields.get("stream") is True,
        number,
        Way(
            headers.get("X-Session-ID", ""),
            int(rank) if (rank := headers.get("X-data-parallel-rank", "")).isdecimal() else None,
            priority if isinstance(priority := fields.get("priority"), int) else None,
        ),
    )


def _refuse_broken_history(messages: Sequence[Message]) -> None:
    """Raise ValueError where real servers refuse or silently change a history: arguments that are no object, results of calls nobody made."""
    open_calls: set[str] = set()
    for place, message in enumerate(messages):
        for call in message.calls:
            try:
                if not isinstance(json.loads(call.arguments), dict):
                    raise ValueError("no object")
            except ValueError as error:
                raise ValueError(f"'messages[{place}].tool_calls': the arguments of {call.name!r} are no JSON object ({error})") from error
        open_calls |= {call.id for call in message.calls}
        if message.role == "tool":
            if message.answers not in open_calls:
                raise ValueError(f"'messages[{place}]' answers {message.answers!r}, a call that was not made")
            open_calls.discard(message.answers)
        elif message.role == "user" and open_calls:
            raise ValueError(f"'messages[{place}]' comes before the results of {', '.join(sorted(open_calls))}")


def _tool_choice(written: object) -> str:
    if isinstance(written, dict):
        function = written.get("function")
        return str(function.get("name", "auto")) if isinstance(function, dict) else "auto"
    return written if written in ("none", "required") and isinstance(written, str) else "auto"


def _as_answer(given: Message | Answer | None) -> Answer | None:
    return Answer(given) if isinstance(given, Message) else given


def _with_ids(message: Message, history: Sequence[Message]) -> Message:
    """Return `message` with an id for every call that the history does not hold yet, the same whenever the same reply is sent."""
    taken = {call.id for turn in history for call in turn.calls}
    calls = []
    for place, call in enumerate(message.calls):
        unique = call.id if call.id and call.id not in taken else f"call_{len(history)}_{place}"
        taken.add(unique)
        calls.append(replace(call, id=unique))
    return replace(message, calls=tuple(calls))


def _rendered(request: Request) -> bytes:
    """Return a prompt as a template would write it: tools, then the messages, each with its role; a longer history begins with a shorter one."""
    tools = _json(write_tools(request.tools)) if request.tools else b""
    parts = [_json(message) for message in write_messages(request.messages)]
    return b"<|tools|>" + tools + b"".join(b"<|message|>" + part for part in parts)


def _usage(decision: _Decision, output_tokens: int, *, tells_cached: bool) -> dict[str, Any]:
    return {
        "prompt_tokens": decision.prompt_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": decision.prompt_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": decision.cached_tokens} if tells_cached else None,
    }


# What vLLM says of a request with `--enable-per-request-metrics`; here nothing queues and nothing is computed.
_TIMES: Final = {"time_to_first_token_ms": 0.0, "queue_time_ms": 0.0}


def _events(outcome: Said, usage: Mapping[str, Any], fields: Mapping[str, Any], reasoning_field: str) -> list[bytes]:
    """Return a reply as server-sent events: reasoning, text and arguments in pieces, then why it ended, then what it cost."""
    message = outcome.message
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{reasoning_field: piece} for piece in _pieces(message.reasoning)]
    deltas += [{"content": piece} for piece in _pieces(message.text)]
    for index, call in enumerate(message.calls):
        head = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        deltas.append({"tool_calls": [head]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in _pieces(call.arguments)]
    base = {**fields, "object": "chat.completion.chunk"}
    rows = [{**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    rows.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": write_stop(outcome.stop)}]})
    rows.append({**base, "choices": [], "usage": usage})
    return [b"data: " + _json(row) + b"\n\n" for row in rows] + [b"data: [DONE]\n\n"]


def _pieces(text: str) -> list[str]:
    return [text[start : start + STREAM_PIECE_CHARS] for start in range(0, len(text), STREAM_PIECE_CHARS)]


def _error(status: int, message: str) -> dict[str, Any]:
    kinds = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError"}
    return {"error": {"message": message, "type": kinds.get(status, "BadRequestError"), "param": None, "code": status}}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()
