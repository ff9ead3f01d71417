"""What goes wrong between an agent and a model, by name, made to happen: each fault turns one reply into what servers and models really send.

A fault is a function from an occasion (the reply that was due, and the request) to what is sent instead. None of them takes the reply away for
good: a refusal comes before it, a spoilt form of it says the same, an extra reply stands before it; whoever plays the script says the reply again
until the history shows that it was understood.

The texts and statuses of refusals are those of the servers themselves (vLLM 0.32, SGLang 0.5, llama.cpp b6000 and later, OpenAI, Anthropic).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from random import Random
from typing import Any, Final, TypeAlias

from backstory.agent.arguments import read_object
from backstory.agent.dialects import DIALECTS, Dialect, render_call
from backstory.agent.messages import Message, Stop, ToolCall, ToolSchema
from backstory.errors import UserError


@dataclass(frozen=True)
class Occasion:
    """When a fault happens. due: what the script says here; now: seconds since the epoch; random: seeded, the fault's own.

    prompt_tokens, window: what an overflow tells; retry_after_s: what a busy server tells.
    """

    due: Message
    tools: tuple[ToolSchema, ...]
    model: str
    prompt_tokens: int
    output_tokens: int
    window: int
    now: float
    random: Random
    retry_after_s: int = 1


@dataclass(frozen=True)
class Said:
    """A reply that is sent. drips: byte by byte; resets: the connection is reset in the middle of it."""

    message: Message
    stop: Stop
    drips: bool = False
    resets: bool = False


@dataclass(frozen=True)
class Refused:
    """An answer that is no reply."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


Outcome: TypeAlias = Said | Refused


@dataclass(frozen=True)
class Fault:
    """One way things go wrong. ends: whether a client is right to give up because of it, so that it never happens by chance."""

    doc: str
    happen: Callable[[Occasion], Outcome]
    ends: bool = False


def said(message: Message) -> Said:
    """Return a message sent as it is."""
    return Said(message, "calls" if message.calls else "end")


def _bad_json(occasion: Occasion) -> Outcome:
    """Spoil the arguments of the first call; without one, the text says what is no JSON."""
    spoil = occasion.random.choice(_SPOILERS)
    return _changed_call(occasion, lambda call: replace(call, arguments=spoil(call.arguments)))


def _trailing_comma(arguments: str) -> str:
    return arguments.rstrip().removesuffix("}") + ",}"


def _python_literal(arguments: str) -> str:
    return repr(json.loads(arguments))


def _raw_newlines(arguments: str) -> str:
    return arguments.replace("\\n", "\n").replace("\\t", "\t")


def _encoded_twice(arguments: str) -> str:
    return json.dumps(arguments)


def _fenced(arguments: str) -> str:
    return f"```json\n{arguments}\n```"


def _no_end(arguments: str) -> str:
    return arguments.rstrip().removesuffix("}")


def _hopeless(arguments: str) -> str:
    return arguments[: max(1, len(arguments) // 2)].rstrip('"} ') + ' "": : {'


_SPOILERS: Final = (_trailing_comma, _python_literal, _raw_newlines, _encoded_twice, _fenced, _no_end, _hopeless)


def _text_tool_call(dialect: Dialect | None) -> Callable[[Occasion], Outcome]:
    def happen(occasion: Occasion) -> Outcome:
        chosen = occasion.random.choice(DIALECTS) if dialect is None else dialect
        calls = []
        for call in occasion.due.calls:
            arguments = read_object(call.arguments)
            calls.append(render_call(chosen, call.name, {} if isinstance(arguments, str) else arguments))
        text = "\n".join(part for part in (occasion.due.text, *calls) if part)
        return Said(Message("assistant", text, reasoning=occasion.due.reasoning), "end")

    return happen


def _hallucinated_tool(occasion: Occasion) -> Outcome:
    return _extra_call(occasion, "open_browser", {"url": "https://example.org/"})


def _wrong_arguments(occasion: Occasion) -> Outcome:
    """Call the tool that was due (else the first on offer) with a parameter it does not have and without those it needs."""
    name = occasion.due.calls[0].name if occasion.due.calls else occasion.tools[0].name if occasion.tools else "read"
    return _extra_call(occasion, name, {"file_name_or_so": 3.5})


def _wrong_match(occasion: Occasion) -> Outcome:
    """Ask for an edit whose old text is nowhere: that of the call that is due, if it is an edit, else of any tool that takes an old text."""
    for call in occasion.due.calls:
        arguments = read_object(call.arguments)
        if not isinstance(arguments, str) and (old := next((key for key in _OLD_TEXT if key in arguments), None)):
            return _extra_call(occasion, call.name, {**arguments, old: f"{arguments[old]}\nno line like this is anywhere"})
    for tool in occasion.tools:
        properties = tool.parameters.get("properties")
        if isinstance(properties, dict) and (old := next((key for key in _OLD_TEXT if key in properties), None)):
            return _extra_call(
                occasion, tool.name, {key: "no line like this is anywhere" if key == old else "README.md" for key in properties}
            )
    return _wrong_arguments(occasion)


_OLD_TEXT: Final = ("old", "old_text", "old_str", "old_string", "search")


def _truncated(occasion: Occasion) -> Outcome:
    """Stop at the token limit in the middle of the arguments, or of the text."""
    due = occasion.due
    if due.calls:
        first = due.calls[0]
        cut = replace(first, arguments=first.arguments[: max(1, len(first.arguments) * 2 // 3)].rstrip("}"))
        return Said(replace(due, calls=(cut,)), "length")
    return Said(replace(due, text=due.text[: len(due.text) // 2]), "length")


def _empty(_: Occasion) -> Outcome:
    return Said(Message("assistant"), "end")


def _only_reasoning(occasion: Occasion) -> Outcome:
    return Said(Message("assistant", reasoning=occasion.due.reasoning or "Let me think about what to do next."), "end")


def _two_calls(occasion: Occasion) -> Outcome:
    """Make the call that is due twice in one reply, as models do that lose count."""
    calls = occasion.due.calls
    if not calls:
        return said(occasion.due)
    return Said(replace(occasion.due, calls=(*calls, replace(calls[-1], id=f"{calls[-1].id}b"))), "calls")


def _slow_drip(occasion: Occasion) -> Outcome:
    return replace(said(occasion.due), drips=True)


def _reset(occasion: Occasion) -> Outcome:
    return replace(said(occasion.due), resets=True)


def _extra_call(occasion: Occasion, name: str, arguments: Mapping[str, Any]) -> Said:
    call = ToolCall(f"call_{occasion.random.getrandbits(32):08x}", name, json.dumps(arguments))
    return Said(Message("assistant", calls=(call,)), "calls")


def _changed_call(occasion: Occasion, change: Callable[[ToolCall], ToolCall]) -> Outcome:
    if not occasion.due.calls:
        return said(occasion.due)
    first, *others = occasion.due.calls
    return Said(replace(occasion.due, calls=(change(first), *others)), "calls")


def _vllm(status: int, kind: str, message: str, param: str | None = None) -> Refused:
    return Refused(status, {"error": {"message": message, "type": kind, "param": param, "code": status}})


def _busy(occasion: Occasion, **headers: str) -> Refused:
    refused = _vllm(429, "TooManyRequestsError", f"Rate limit reached for {occasion.model}; try again later.")
    return replace(refused, headers={name.replace("_", "-"): value for name, value in headers.items()})


def _overflow_vllm(occasion: Occasion) -> Outcome:
    asked, window, prompt = occasion.output_tokens, occasion.window, occasion.prompt_tokens
    message = (
        f"This model's maximum context length is {window} tokens. However, you requested {asked} output tokens and your prompt contains at least "
        f"{prompt} input tokens, for a total of at least {asked + prompt} tokens. Please reduce the length of the input prompt or the number of "
        f"requested output tokens. (parameter=input_tokens, value={prompt})"
    )
    return _vllm(400, "BadRequestError", message, "input_tokens")


def _overflow_vllm_engine(occasion: Occasion) -> Outcome:
    message = (
        f"The decoder prompt (length {occasion.prompt_tokens}) is longer than the maximum model length of {occasion.window}. Make sure that "
        "`max_model_len` is no smaller than the number of text tokens."
    )
    return _vllm(400, "BadRequestError", message)


def _overflow_sglang(occasion: Occasion) -> Outcome:
    message = f"The input ({occasion.prompt_tokens} tokens) is longer than the model's context length ({occasion.window} tokens)."
    return Refused(400, {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400})


def _overflow_llama_cpp(occasion: Occasion) -> Outcome:
    message = f"request ({occasion.prompt_tokens} tokens) exceeds the available context size ({occasion.window} tokens), try increasing it"
    counts = {"n_prompt_tokens": occasion.prompt_tokens, "n_ctx": occasion.window}
    return Refused(400, {"error": {"code": 400, "message": message, "type": "exceed_context_size_error", **counts}})


def _overflow_openai(occasion: Occasion) -> Outcome:
    message = (
        f"This model's maximum context length is {occasion.window} tokens. However, your messages resulted in {occasion.prompt_tokens} tokens. "
        "Please reduce the length of the messages."
    )
    error = {"message": message, "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"}
    return Refused(400, {"error": error})


def _overflow_anthropic(occasion: Occasion) -> Outcome:
    message = f"prompt is too long: {occasion.prompt_tokens} tokens > {occasion.window} maximum"
    return Refused(400, {"type": "error", "error": {"type": "invalid_request_error", "message": message}})


FAULTS: Final[Mapping[str, Fault]] = {
    "bad_json": Fault("the arguments of the call are no JSON: one of seven ways, one of them beyond repair", _bad_json),
    "text_tool_call": Fault("the call stands in the text, in a dialect drawn by chance", _text_tool_call(None)),
    **{
        f"text_tool_call:{dialect}": Fault(f"the call stands in the text, in the {dialect} dialect", _text_tool_call(dialect))
        for dialect in DIALECTS
    },
    "hallucinated_tool": Fault("a tool that does not exist is called first", _hallucinated_tool),
    "wrong_arguments": Fault("the tool is called first with a parameter it does not have", _wrong_arguments),
    "wrong_match": Fault("an edit is asked for first whose old text does not occur", _wrong_match),
    "truncated": Fault("the reply ends at the token limit inside the call", _truncated),
    "empty": Fault("the reply has neither text nor calls", _empty),
    "only_reasoning": Fault("the reply has reasoning and nothing else", _only_reasoning),
    "two_calls": Fault("the call is made twice in one reply", _two_calls),
    "slow_drip": Fault("the reply comes byte by byte", _slow_drip),
    "reset": Fault("the connection is reset in the middle of the reply", _reset),
    "429": Fault("busy, without a word on when to come back", _busy),
    "429_seconds": Fault("busy, with Retry-After in seconds", lambda occasion: _busy(occasion, retry_after=str(occasion.retry_after_s))),
    "429_date": Fault(
        "busy, with Retry-After as a date",
        lambda occasion: _busy(occasion, retry_after=formatdate(occasion.now + occasion.retry_after_s, usegmt=True)),
    ),
    "500": Fault("an error inside the server", lambda _: _vllm(500, "InternalServerError", "Internal server error")),
    "502": Fault("a gateway without its server", lambda _: _vllm(502, "BadGateway", "Bad gateway")),
    "503": Fault(
        "a failure inside the server that passes", lambda _: _vllm(503, "ServiceUnavailableError", "Request failed; please retry")
    ),
    "503_queue": Fault(
        "the server's queue is as long as it may be",
        lambda _: _vllm(
            503,
            "ServiceUnavailableError",
            "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.",
        ),
    ),
    "504": Fault("a gateway that gave up waiting", lambda _: _vllm(504, "GatewayTimeout", "Gateway timeout")),
    "overflow": Fault("the prompt does not fit, as vLLM says it", _overflow_vllm),
    "overflow:vllm": Fault("the prompt does not fit, as vLLM says it", _overflow_vllm),
    "overflow:vllm_engine": Fault("the prompt does not fit, as vLLM's engine says it", _overflow_vllm_engine),
    "overflow:sglang": Fault("the prompt does not fit, as SGLang says it", _overflow_sglang),
    "overflow:llama.cpp": Fault("the prompt does not fit, as llama.cpp says it", _overflow_llama_cpp),
    "overflow:openai": Fault("the prompt does not fit, as OpenAI says it", _overflow_openai),
    "overflow:anthropic": Fault("the prompt does not fit, as Anthropic says it", _overflow_anthropic),
    "unknown_model": Fault(
        "404: the server has no such model",
        lambda occasion: _vllm(404, "NotFoundError", f"The model `{occasion.model}` does not exist.", "model"),
        ends=True,
    ),
    "bad_key": Fault("401: the key is refused", lambda _: _vllm(401, "AuthenticationError", "Unauthorized"), ends=True),
    "forbidden": Fault("403: the key may not use the model", lambda _: _vllm(403, "PermissionDeniedError", "Forbidden"), ends=True),
    "bad_request": Fault(
        "400: tools are not switched on",
        lambda _: _vllm(400, "BadRequestError", '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        ends=True,
    ),
}


def check_fault(name: str) -> str:
    """Return `name`. Raises UserError, with the names there are, if it is no fault."""
    if name not in FAULTS:
        raise UserError(f"no fault {name!r}; there are {', '.join(FAULTS)}")
    return name
