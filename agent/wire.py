"""Messages as OpenAI's chat completions API writes them, both ways: what a client sends, what a server reads, and a reply back.

Every server that Backstory talks to speaks this dialect of JSON (vLLM, SGLang, llama.cpp, Ollama, hosted providers through litellm), and so does
the scripted server. What is read is foreign: a field of the wrong type counts as absent, because a reply that is a little off is still a reply.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from backstory.agent.arguments import is_object, read_object
from backstory.agent.messages import Message, Role, Stop, ToolCall, ToolSchema, Usage

_ROLES: Final[Mapping[str, Role]] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_STOPS: Final[Mapping[str, Stop]] = {
    "stop": "end",
    "tool_calls": "calls",
    "function_call": "calls",
    "length": "length",
    "content_filter": "filtered",
}
_FINISH: Final[Mapping[Stop, str]] = {"end": "stop", "calls": "tool_calls", "length": "length", "filtered": "content_filter"}


# Messages whose bytes are kept: those of the conversations that go on side by side.
MESSAGES_KEPT: Final = 4096


def write_messages(messages: Sequence[Message], *, reasoning_fields: Sequence[str] = ("reasoning_content",)) -> list[dict[str, Any]]:
    """Return the history as a request carries it. reasoning_fields: under which names a server looks for what the model thought.

    Arguments of past calls are always a JSON object: servers parse them again to render the prompt, and refuse the request, or drop the arguments
    without a word, where they cannot.
    """
    return [_write_message(message, reasoning_fields) for message in messages]


def read_messages(written: object) -> tuple[Message, ...]:
    """Return the history that a request carries. Raises ValueError naming the first message that is none."""
    if not isinstance(written, list) or not written:
        raise ValueError("'messages' must be a list with at least one message")
    return tuple(_read_message(item, place) for place, item in enumerate(written))


def prompt_bytes(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> bytes:
    """Return a prompt in the order in which chat templates lay it out (the first message, the tools, the others), to compare it with other prompts.

    A prompt with messages appended begins with the same bytes. Each message is written once, for every prompt that holds it.
    """
    first, *others = messages
    return b"\n".join((_message_bytes(first), _as_bytes(write_tools(tools)), *map(_message_bytes, others)))


@lru_cache(maxsize=MESSAGES_KEPT)
def _message_bytes(message: Message) -> bytes:
    return _as_bytes(_write_message(message, ("reasoning_content",)))


def _as_bytes(part: object) -> bytes:
    return json.dumps(part, ensure_ascii=False).encode("utf-8", "surrogatepass")


def write_tools(tools: Sequence[ToolSchema]) -> list[dict[str, Any]]:
    """Return the tools in the order given, keys in a fixed order, so that the same tools are the same bytes."""
    return [
        {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}}
        for tool in tools
    ]


def read_tools(written: object) -> tuple[ToolSchema, ...]:
    """Return the tools that a request offers. Raises ValueError if they are not a list of functions."""
    if written is None:
        return ()
    if not isinstance(written, list):
        raise ValueError("'tools' must be a list")
    functions = [tool.get("function") if isinstance(tool, dict) else None for tool in written]
    tools = []
    for place, function in enumerate(functions):
        if not isinstance(function, dict) or not _text(function.get("name")):
            raise ValueError(f"'tools[{place}]' must be a function with a name")
        parameters = function.get("parameters")
        tools.append(ToolSchema(function["name"], _text(function.get("description")), parameters if isinstance(parameters, dict) else {}))
    return tuple(tools)


def write_reply(message: Message, *, reasoning_field: str = "reasoning_content") -> dict[str, Any]:
    """Return an assistant's message as a reply carries it: the arguments exactly as they are, however broken."""
    written: dict[str, Any] = {"role": "assistant", "content": message.text or None}
    if message.reasoning:
        written[reasoning_field] = message.reasoning
    if message.calls:
        written["tool_calls"] = [_write_call(call, call.arguments) for call in message.calls]
    return written


def read_reply(written: Mapping[str, Any], *, turn: int) -> Message:
    """Return an assistant's message. turn: its place in the history; a call without an id is given one made of it, the same in every replay."""
    calls = written.get("tool_calls")
    reasoning = _text(written.get("reasoning_content")) or _text(written.get("reasoning"))
    return Message(
        "assistant",
        _content(written.get("content")),
        tuple(_read_call(call, turn, place) for place, call in enumerate(calls)) if isinstance(calls, list) else (),
        reasoning,
    )


def read_stop(finish_reason: object, message: Message) -> Stop:
    """Return why a reply ended. Some servers say "stop" although tools are called, and some say what nobody else does."""
    stop = _STOPS.get(finish_reason, "end") if isinstance(finish_reason, str) else "end"
    return "calls" if message.calls and stop == "end" else "end" if stop == "calls" and not message.calls else stop


def read_usage(written: object, metrics: object, seconds: float) -> Usage:
    """Return what a reply cost. metrics: what vLLM says of one request with `--enable-per-request-metrics`."""
    fields = written if isinstance(written, dict) else {}
    details = fields.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    times = metrics if isinstance(metrics, dict) else {}
    return Usage(
        _count(fields.get("prompt_tokens")),
        cached if isinstance(cached, int) else None,
        _count(fields.get("completion_tokens")),
        seconds,
        queued_s=_seconds(times.get("queue_time_ms")),
        first_s=_seconds(times.get("time_to_first_token_ms")),
    )


def _seconds(milliseconds: object) -> float | None:
    return round(milliseconds / 1000, 4) if isinstance(milliseconds, int | float) else None


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def write_stop(stop: Stop) -> str:
    """Return the finish reason of a reply that was given."""
    return _FINISH[stop]


def prompt_digest(messages: Sequence[Message]) -> str:
    """Return what identifies a history: the same before it is sent and after it was read."""
    canonical = json.dumps(write_messages(messages), ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def _write_message(message: Message, reasoning_fields: Sequence[str]) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.reasoning:
        written |= dict.fromkeys(reasoning_fields, message.reasoning)
    if message.calls:
        written["tool_calls"] = [_write_call(call, _valid(call.arguments)) for call in message.calls]
    if message.role == "tool":
        written["tool_call_id"] = message.answers
    return written


def _write_call(call: ToolCall, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _valid(arguments: str) -> str:
    """Return `arguments` if they are a JSON object, else the object they were meant to be, else one that holds the text."""
    if is_object(arguments):
        return arguments
    meant = read_object(arguments)
    return json.dumps({"unreadable": arguments} if isinstance(meant, str) else meant, ensure_ascii=False)


def _read_message(written: object, place: int) -> Message:
    role = _ROLES.get(_text(written.get("role"))) if isinstance(written, dict) else None
    if role is None or not isinstance(written, dict):
        raise ValueError(f"'messages[{place}]' must be an object with the role system, user, assistant or tool")
    if role == "assistant":
        return read_reply(written, turn=place)
    answers = _text(written.get("tool_call_id")) if role == "tool" else ""
    return Message(role, _content(written.get("content")), answers=answers)


def _read_call(written: object, turn: int, place: int) -> ToolCall:
    call = written if isinstance(written, dict) else {}
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    arguments = function.get("arguments")
    # Some servers hand out the object itself where the API has its text.
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False) if isinstance(arguments, dict) else ""
    return ToolCall(_text(call.get("id")) or f"call_{turn}_{place}", _text(function.get("name")), text)


def _content(content: object) -> str:
    """Return the text of a message, whose content may come in parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return _text(content)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
