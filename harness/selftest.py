"""What a model server can do, found out by asking it: what it says of itself, and four small requests.

The features are what Backstory makes use of; each that is missing is told with what it costs. The self-test asks what agents will ask: is a repeated beginning
of a prompt computed again, is a call of a tool parsed, does it stream, and is a prompt that does not fit refused in a way the client understands.
"""

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx

from backstory.agent.failures import Failure, is_overflow
from backstory.agent.vitals import get, metrics_of, pools, root
from backstory.harness.doctor import Finding

ANSWER_S: Final = 120.0
QUICK_S: Final = 5.0
# A prompt of four blocks of the largest size seen on plain models, and a little.
BLOCKS: Final = 4
DEFAULT_BLOCK: Final = 128
CALL_TOKENS: Final = 200

_BLOCK_SIZE = re.compile(r'block_size="(\d+)"')


@dataclass(frozen=True)
class Served:
    """A server that answers, as far as it tells. models: the names it serves, the first asked for; window, pool: tokens; block: tokens of a block of its
    cache; version: of vLLM, None where it is another.
    """

    api_base: str
    models: tuple[str, ...]
    window: int | None = None
    pool: int | None = None
    block: int | None = None
    version: str | None = None


def look(api_base: str) -> Served | None:
    """Return what a server tells of itself, None where nothing answers or it lists no model."""
    answer = get(f"{api_base}/models", timeout_s=QUICK_S)
    models = _models(answer) if answer is not None and answer.is_success else []
    if not models:
        return None
    metrics = metrics_of(api_base) or ""
    held = [size for size in pools(metrics) if size is not None]
    block = _BLOCK_SIZE.search(metrics)
    window = models[0].get("max_model_len")
    return Served(
        api_base,
        tuple(str(model["id"]) for model in models),
        window if isinstance(window, int) else None,
        sum(held) if held else None,
        int(block[1]) if block else None,
        _version(get(f"{root(api_base)}/version", timeout_s=QUICK_S)),
    )


def missing(served: Served) -> Iterator[str]:
    """Yield what a server does not tell or is not, each with what that costs."""
    if served.version is None:
        yield "it is not vLLM: requests carry no priority"
    if served.pool is None:
        yield "it does not say how much its cache holds: programs are not held back when contexts outgrow it"
    if served.window is None:
        yield "it does not say how long a prompt may be: a prompt is compacted only after it was refused; --context-tokens says it instead"


def self_test(served: Served) -> list[Finding]:
    """Return what four small requests came to."""
    return [_prefix(served), _call(served), _stream(served), _overflow(served)]


def _prefix(served: Served) -> Finding:
    block = served.block or DEFAULT_BLOCK
    # Begins with what no cache holds, so that the first of the two is computed whole.
    prompt = f"{secrets.token_hex(8)} " + "the quick brown fox " * (BLOCKS * block // 4 + block // 4)
    seen: list[int | None] = []
    for _ in range(2):
        answer = _chat(served, [{"role": "user", "content": prompt}], max_tokens=1)
        if isinstance(answer, str):
            return Finding("prefix cache", False, answer, "look at the server's log")
        details = (answer.get("usage") or {}).get("prompt_tokens_details") or {}
        cached = details.get("cached_tokens")
        seen.append(cached if isinstance(cached, int) else None)
    if seen[1] is None:
        remedy = "for vLLM, start it with --enable-prompt-tokens-details"
        return Finding("prefix cache", False, "it does not say how much of a prompt was in its cache", remedy)
    reused = seen[1] - (seen[0] or 0)
    said = f"{seen[1]} tokens of a repeated prompt were in the cache"
    return Finding(
        "prefix cache", reused >= block // 2, said, "serve a model with full or sliding-window attention, with its prefix cache on"
    )


def _call(served: Served) -> Finding:
    tool = {
        "type": "function",
        "function": {
            "name": "open_file",
            "description": "Open a file.",
            "strict": True,  # vLLM 0.32 pins the arguments only where it is asked to
            "parameters": {
                "type": "object",
                "properties": {"path": {"type": "string", "enum": ["README", "LICENSE"]}},
                "required": ["path"],
                "additionalProperties": False,
            },
        },
    }
    answer = _chat(
        served,
        [{"role": "user", "content": "Open the file README."}],
        max_tokens=CALL_TOKENS,
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": "open_file"}},
    )
    remedy = "for vLLM, give the parser of the model's family: --enable-auto-tool-choice --tool-call-parser NAME"
    if isinstance(answer, str):
        return Finding("calls of tools", False, answer, remedy)
    calls = answer["choices"][0]["message"].get("tool_calls") or []
    try:
        arguments = json.loads(calls[0]["function"]["arguments"])
    except (IndexError, KeyError, TypeError, ValueError):
        return Finding("calls of tools", False, "a call that was forced came back as text", remedy)
    right = isinstance(arguments, dict) and arguments.get("path") in ("README", "LICENSE")
    return Finding(
        "calls of tools", right, "a forced call is parsed" if right else f"a forced call has the arguments {arguments!r}", remedy
    )


def _stream(served: Served) -> Finding:
    body = _body(served, [{"role": "user", "content": "Count."}], max_tokens=4, stream=True, stream_options={"include_usage": True})
    pieces, usage, ended = 0, False, False
    try:
        with httpx.stream("POST", f"{served.api_base}/chat/completions", json=body, timeout=ANSWER_S, trust_env=False) as answer:
            for line in answer.iter_lines():
                ended = ended or line == "data: [DONE]"
                if line.startswith("data: {"):
                    event = json.loads(line[6:])
                    pieces += bool(event.get("choices"))
                    usage = usage or bool(event.get("usage"))
    except (httpx.HTTPError, ValueError) as error:
        return Finding("streaming", False, str(error) or type(error).__name__, "look at the server's log")
    said = f"{pieces} pieces" + ("" if usage else ", without what they cost") + ("" if ended else ", without an end")
    return Finding("streaming", pieces > 0 and usage and ended, said, "for vLLM, start it with --enable-force-include-usage")


def _overflow(served: Served) -> Finding:
    if served.window is None:
        return Finding("overflow", True, "not tried: the server does not say how long a prompt may be")
    answer = _post(served, _body(served, [{"role": "user", "content": "word " * (served.window + 64)}], max_tokens=1))
    if isinstance(answer, str):
        return Finding("overflow", False, answer, "look at the server's log")
    refused = not answer.is_success and is_overflow(Failure(answer.status_code, answer.text))
    said = "a prompt that does not fit is refused, and that is understood"
    other = f"a prompt that does not fit is answered with {answer.status_code}: {answer.text[:120]}"
    return Finding("overflow", refused, said if refused else other, "give --context-tokens to every command, so that no prompt outgrows it")


def _body(served: Served, messages: list[dict[str, str]], **fields: Any) -> dict[str, Any]:
    return {"model": served.models[0], "messages": messages, "temperature": 0, **fields}


def _chat(served: Served, messages: list[dict[str, str]], **fields: Any) -> dict[str, Any] | str:
    """Return a whole answer, or what was wrong with it."""
    answer = _post(served, _body(served, messages, **fields))
    if isinstance(answer, str):
        return answer
    if not answer.is_success:
        return f"the server answered {answer.status_code}: {answer.text[:200]}"
    try:
        whole = answer.json()
        whole["choices"][0]["message"].get("content")
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"the server's answer is none of a chat: {answer.text[:120]}"
    assert isinstance(whole, dict)
    return whole


def _post(served: Served, body: dict[str, Any]) -> httpx.Response | str:
    try:
        return httpx.post(f"{served.api_base}/chat/completions", json=body, timeout=ANSWER_S, trust_env=False)
    except httpx.HTTPError as error:
        return f"the server did not answer: {str(error) or type(error).__name__}"


def _models(answer: httpx.Response) -> list[dict[str, Any]]:
    try:
        listed = answer.json()["data"]
    except (ValueError, LookupError, TypeError):
        return []
    return [model for model in listed if isinstance(model, dict) and "id" in model] if isinstance(listed, list) else []


def _version(answer: httpx.Response | None) -> str | None:
    try:
        version = answer.json()["version"] if answer is not None and answer.is_success else None
    except (ValueError, LookupError, TypeError):
        return None
    return version if isinstance(version, str) else None
