"""A vLLM server as a measurement needs it: started with a pool of a given size, asked over HTTP, its counters read. Standard library only, so that the
client can run wherever the server does.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from backstory.agent.messages import Message, Prompt, Reply, Usage
from backstory.agent.prefix_cache import PrefixCache
from backstory.agent.vitals import pools
from backstory.agent.wire import prompt_bytes, write_messages
from backstory.tools.service import Service, begin

if TYPE_CHECKING:
    from collections.abc import Iterator


NAME = "measured"
BLOCK = 32
START_S = 600.0
ANSWER_S = 900.0

_SAMPLE = re.compile(r"^(vllm:\w+)(?:\{(.*)\})? ([-+.\deE]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Work:
    """What a server did, from its counters. Tokens of prompts: computed, found in the cache, asked; preempted: requests put back."""

    computed: int
    cached: int
    asked: int
    preempted: int

    def __sub__(self, before: Work) -> Work:
        """Return what was done since."""
        return Work(
            self.computed - before.computed, self.cached - before.cached, self.asked - before.asked, self.preempted - before.preempted
        )


@dataclass(frozen=True)
class Server:
    """A running server. address: "host:port"."""

    address: str

    def get(self, path: str) -> str:
        """Return the answer to a GET. Raises OSError when there is none, or it is a refusal."""
        return self._answer("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON answer to a POST. Raises OSError when there is none, or it is a refusal."""
        return json.loads(self._answer("POST", path, body) or "null")

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None) -> str:
        connection = http.client.HTTPConnection(self.address, timeout=ANSWER_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise OSError(f"{method} {path}: {answer.status} {text[:300]}")
        return text

    def healthy(self) -> bool:
        """Return whether it answers."""
        try:
            self.get("/health")
        except OSError:
            return False
        return True

    def pool(self) -> int:
        """Return the tokens that its KV cache holds."""
        tokens = sum(size or 0 for size in pools(self.get("/metrics")))
        if not tokens:
            raise OSError("the server's metrics do not say how many tokens its KV cache holds")
        return tokens

    def work(self) -> Work:
        """Return its counters."""
        sums: dict[str, float] = {}
        for name, labels, value in _SAMPLE.findall(self.get("/metrics")):
            source = re.search(r'source="(\w+)"', labels)
            key = f"{name} {source[1]}" if source else name
            sums[key] = sums.get(key, 0.0) + float(value)
        count = {name: int(sums.get(f"vllm:{name}", 0)) for name in ("prefix_cache_hits_total", "prefix_cache_queries_total")}
        return Work(
            int(sums.get("vllm:prompt_tokens_by_source_total local_compute", 0)),
            count["prefix_cache_hits_total"],
            count["prefix_cache_queries_total"],
            int(sums.get("vllm:num_preemptions_total", 0)),
        )

    def forget(self) -> None:
        """Empty its prefix cache. Needs VLLM_SERVER_DEV_MODE=1 at the server. Raises OSError when blocks are still held after some tries."""
        for _ in range(20):
            if self.post("/reset_prefix_cache") in ({"success": True}, None):
                return
            time.sleep(0.2)
        raise OSError("the server does not empty its prefix cache: requests still hold blocks")

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """Return a prompt's tokens, the chat template's included."""
        ids: list[int] = self.post("/tokenize", {"model": NAME, "messages": write_messages(messages)})["tokens"]
        return ids


class Client:
    """A model for the gate: it streams a reply of a fixed length, and keeps for each how long the first token took, in seconds."""

    name = NAME

    def __init__(self, server: Server, cache: PrefixCache, first_s: list[float], *, priority: int | None = None) -> None:
        self._server, self._cache, self._first_s = server, cache, first_s
        self.priority = priority

    def reply(self, prompt: Prompt) -> Reply:
        """Return what the server said; see `Model`. The route is left alone: there is one server, and priorities are an arm of their own."""
        body: dict[str, Any] = {
            "model": NAME,
            "messages": write_messages(prompt.messages),
            "max_tokens": prompt.sampling.output_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.priority is not None:
            body["priority"] = self.priority
        reusable = self._cache.admit(prompt_bytes(prompt.messages, prompt.tools))
        started = time.monotonic()
        connection = http.client.HTTPConnection(self._server.address, timeout=prompt.timeout_s)
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise OSError(f"chat: {answer.status} {answer.read()[:300]!r}")
        text, usage = self._stream(answer, started)
        connection.close()
        details = usage.get("prompt_tokens_details") or {}
        return Reply(
            Message("assistant", text),
            "length",
            Usage(
                usage["prompt_tokens"],
                details.get("cached_tokens"),
                usage["completion_tokens"],
                time.monotonic() - started,
                reusable,
            ),
        )

    def _stream(self, answer: http.client.HTTPResponse, started: float) -> tuple[str, dict[str, Any]]:
        text, usage, first = "", {}, True
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if first and event.get("choices"):
                self._first_s.append(time.monotonic() - started)
                first = False
            text += "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))
            usage = event.get("usage") or usage
        return text, usage


@contextmanager
def started(python: Path, model: Path, *, pool: int, window: int, log: Path, more: Sequence[str]) -> Iterator[Server]:
    """Yield a server of `model` that this starts and ends. pool, window: tokens; more: arguments for vLLM. Raises OSError when it does not come up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--served-model-name", NAME),
        *("--host", "127.0.0.1", "--port", str(port), "--block-size", str(BLOCK), "--num-gpu-blocks-override", str(pool // BLOCK)),
        *("--max-model-len", str(window), "--scheduling-policy", "priority", "--enable-prompt-tokens-details", *more),
    ]
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "2",
    }
    service = begin(command, env=os.environ | quiet, log=log)
    try:
        yield _wait(service, Server(f"127.0.0.1:{port}"), log)
    finally:
        service.stop()


def _wait(service: Service, server: Server, log: Path) -> Server:
    until = time.monotonic() + START_S
    while not server.healthy():
        if not service.runs() or time.monotonic() > until:
            raise OSError(f"the server did not come up; see {log}")
        time.sleep(0.5)
    return server


def write_rows(rows: Mapping[str, Any], target: Path) -> None:
    """Write what was measured so far, whole or not at all."""
    part = target.with_suffix(".part")
    file: IO[str]
    with part.open("w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
    part.replace(target)
