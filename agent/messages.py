"""What is said between an agent and a model: messages, tool calls, replies and what they cost.

The values are those every chat API shares, and nothing of a particular one; `backstory.agent.model` writes and reads the wire. History is only
ever appended to, so a prompt of one turn is the beginning of the prompt of the next and a server's prefix cache holds (design rule 6).
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant", "tool"]

Stop = Literal["end", "calls", "length", "overflow", "filtered", "cancelled"]
"""Why a reply ended: by itself, to have tools called, cut at the token limit; the prompt did not fit the window (nothing was generated); withheld by
the provider; ended from our side before it was whole."""


@dataclass(frozen=True)
class ToolCall:
    """One call as the model wrote it. id: the server's or, where it gave none, ours. arguments: JSON text, which may be malformed."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Message:
    """One turn. calls, reasoning: of an assistant; answers: the id of the call whose result a tool message is."""

    role: Role
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    answers: str = ""


@dataclass(frozen=True)
class Usage:
    """What one reply cost.

    cached_tokens: those of the input that the server had kept (inside input_tokens), None where it does not say. reusable_tokens: those that a server
    which forgets nothing would have kept, of all that this process asked it before, None where nobody reckoned. queued_s, first_s: how long it waited in
    the server's queue, and from there to its first token, None where the server does not say.
    """

    input_tokens: int = 0
    cached_tokens: int | None = None
    output_tokens: int = 0
    seconds: float = 0.0
    reusable_tokens: int | None = None
    queued_s: float | None = None
    first_s: float | None = None


@dataclass(frozen=True)
class Reply:
    """What a model answered. usage: of the request that succeeded; retries: how often it was asked again before; held_s: how long it waited for room
    in the server's cache before it was asked at all.
    """

    message: Message
    stop: Stop
    usage: Usage
    retries: int = 0
    held_s: float = 0.0


@dataclass(frozen=True)
class Route:
    """Which way one turn of a program goes, as whoever schedules programs says.

    base: the address that is asked; session: what the program is called there, for routers that keep a conversation with one replica; rank: the
    data-parallel engine behind the address, None where there is one; priority: lower is served first, None where the server knows none; known: whether
    the server has answered before, so that a lost connection means that it went away.
    """

    base: str
    session: str
    rank: int | None = None
    priority: int | None = None
    known: bool = False


@dataclass(frozen=True)
class ToolSchema:
    """A tool as a model is told of it. parameters: a JSON schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Sampling:
    """How a reply is drawn. None leaves it to the server. output_tokens: at most so many in one reply."""

    temperature: float | None = None
    seed: int | None = None
    output_tokens: int = 4096


@dataclass(frozen=True)
class Prompt:
    """What a model is asked: a conversation so far, the tools that its next message may call, and how that message is wanted.

    timeout_s: for the whole call with its retries; cancel: ends it early from another thread. Both end in a reply with stop "cancelled".
    route: which way it goes, where somebody schedules programs.
    """

    messages: Sequence[Message]
    tools: Sequence[ToolSchema] = ()
    _: KW_ONLY
    sampling: Sampling = Sampling()
    timeout_s: float
    cancel: threading.Event = field(default_factory=threading.Event)
    route: Route | None = None


class Model(Protocol):
    """Whatever answers. One instance serves many threads."""

    @property
    def name(self) -> str:
        """What identifies the model in a trace."""

    def reply(self, prompt: Prompt) -> Reply:
        """Return the next message of a conversation.

        Raises ModelError when the endpoint cannot be used: wrong key, unknown model, and its `UnreachableError` when nobody is there after the retries.
        """
