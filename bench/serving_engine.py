"""A vLLM server as a measurement needs it: started with a pool of a given size, asked over HTTP, its counters read. Standard library only, so that the
client can run wherever the server does.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from backstory.agent.messages import Message, Prompt, Reply
from backstory.agent.prefix_cache import PrefixCache, count_tokens
from backstory.agent.vitals import Vitals, pools, vitals
from backstory.agent.wire import prompt_bytes, read_usage, write_messages
from backstory.tools.service import Service, begin

if TYPE_CHECKING:
    from collections.abc import Iterator


NAME = "measured"
BLOCK = 32
START_S = 600.0
ANSWER_S = 900.0


@dataclass(frozen=True)
class Server:
    """A running server. address: "host:port"."""

    address: str

    @property
    def api_base(self) -> str:
        """Where its API is."""
        return f"http://{self.address}/v1"

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

    def vitals(self) -> Vitals:
        """Return what it has done so far."""
        told = vitals(self.get("/metrics"))
        if told is None:
            raise OSError("the server's metrics are not vLLM's")
        return told

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
    """A model for the gate: each reply is as long as it may be, and tells how long it was queued and computed, in seconds, where the server does."""

    name = NAME

    def __init__(self, server: Server, cache: PrefixCache, *, priority: int | None = None) -> None:
        self._server, self._cache = server, cache
        self.priority = priority

    def reply(self, prompt: Prompt) -> Reply:
        """Return what the server said; see `Model`. The route is left alone: there is one server, and priorities are an arm of their own."""
        body: dict[str, Any] = {
            "model": NAME,
            "messages": write_messages(prompt.messages),
            "max_tokens": prompt.sampling.output_tokens,
            "temperature": 0,
            "ignore_eos": True,
        }
        if self.priority is not None:
            body["priority"] = self.priority
        whole = prompt_bytes(prompt.messages, prompt.tools)
        known = self._cache.admit(whole) / count_tokens(whole)
        started = time.monotonic()
        answer = self._server.post("/v1/chat/completions", body)
        usage = read_usage(answer["usage"], answer.get("metrics"), time.monotonic() - started)
        return Reply(
            Message("assistant", answer["choices"][0]["message"]["content"] or ""),
            "length",
            replace(usage, reusable_tokens=int(known * usage.input_tokens)),
        )


@contextmanager
def started(python: Path, model: Path, *, pool: int, window: int, log: Path, more: Sequence[str]) -> Iterator[Server]:
    """Yield a server of `model` that this starts and ends. pool, window: tokens; more: arguments for vLLM. Raises OSError when it does not come up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--served-model-name", NAME),
        *("--host", "127.0.0.1", "--port", str(port), "--block-size", str(BLOCK), "--num-gpu-blocks-override", str(pool // BLOCK)),
        *(
            "--max-model-len",
            str(window),
            "--scheduling-policy",
            "priority",
            "--enable-prompt-tokens-details",
            "--enable-per-request-metrics",
            *more,
        ),
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
