"""What a scripted model says: a list of replies, a function of the conversation, or what a recorded run was answered.

A list keeps no place of its own. How far it has come is read off the request: the replies of the list that the history shows, in order, have been
said. So a request that is sent again gets the same reply again, a reply that was not understood is repeated, a run that was killed goes on where it
was, and two conversations do not disturb each other. Only where a history was shortened, so that nothing of the list is left in it, the list goes on
from where that conversation was.
"""

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from backstory.agent.arguments import read_object
from backstory.agent.faults import check_fault
from backstory.agent.messages import Message, Reply, Sampling, ToolCall, ToolSchema
from backstory.agent.trace import Event, still_valid
from backstory.agent.wire import prompt_digest, read_reply
from backstory.agent.written import from_json
from backstory.errors import UserError


@dataclass(frozen=True)
class Way:
    """What a request says of the way it wants to go: the conversation it belongs to, the data-parallel engine, the priority; None where it says nothing."""

    session: str = ""
    rank: int | None = None
    priority: int | None = None


@dataclass(frozen=True)
class Request:
    """One request for a reply. tool_choice: "auto", "none", "required" or the name of the one tool that may be called; number: from 1."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...]
    tool_choice: str
    sampling: Sampling
    stream: bool
    number: int
    way: Way = Way()

    @property
    def turns(self) -> tuple[Message, ...]:
        """What the model has said so far."""
        return tuple(message for message in self.messages if message.role == "assistant")


@dataclass(frozen=True)
class Answer:
    """What is said. fault: the name of what goes wrong with it, the first time it is due; seconds: how long it takes."""

    message: Message
    fault: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        """Raise UserError for a fault nobody knows."""
        if self.fault:
            check_fault(self.fault)


Answers: TypeAlias = Callable[[Request], Message | Answer | None]
"""What answers a request, from many threads at once. None: there is nothing (more) to say."""


class Script:
    """Replies in a fixed order, for every conversation from the beginning."""

    def __init__(self, replies: Iterable[Message | Answer]) -> None:
        self._replies = tuple(reply if isinstance(reply, Answer) else Answer(reply) for reply in replies)
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}

    def __call__(self, request: Request) -> Answer | None:
        """Return the first reply that the history does not show yet, or None when all were said."""
        beginning = prompt_digest([message for message in request.messages if message.role == "system"] + _first_user(request.messages))
        with self._lock:
            place = self._places.setdefault(beginning, _Place(len(request.messages)))
            at = self._said(request.turns, 0)
            if at == 0 and len(request.messages) != place.first_length:
                at = self._said(request.turns, place.shortened_at)
                if at == place.shortened_at:  # nothing said since then is left either
                    at = place.shortened_at = place.reached
            place.reached = at
        return self._replies[at] if at < len(self._replies) else None

    def _said(self, turns: Sequence[Message], start: int) -> int:
        """Return the place behind the replies from `start` on that `turns` show, in order."""
        at = start
        for turn in turns:
            if at < len(self._replies) and _same(self._replies[at].message, turn):
                at += 1
        return at


@dataclass
class _Place:
    """Where a conversation is. first_length: messages of its first request; reached: replies said; shortened_at: those said when it was cut."""

    first_length: int
    reached: int = 0
    shortened_at: int = 0


class Recording:
    """The replies of a recorded run: to a prompt it had, what was answered to it; to any other, its conversations in the order they began."""

    def __init__(self, replies: Sequence["RecordedReply"]) -> None:
        self._by_prompt = {reply.prompt: reply.message for reply in reversed(replies) if reply.prompt}
        grouped: dict[str, list[Message]] = {}
        for reply in replies:
            grouped.setdefault(reply.conversation, []).append(reply.message)
        self._scripts = [Script(messages) for messages in grouped.values()]
        self._taken: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Message | Answer | None:
        """Return what the run was answered here, or None where it was asked nothing (more)."""
        known = self._by_prompt.get(prompt_digest(request.messages))
        if known is not None:
            return known
        beginning = prompt_digest([message for message in request.messages if message.role != "assistant"][:2])
        with self._lock:
            place = self._taken.setdefault(beginning, len(self._taken))
        return self._scripts[place](request) if place < len(self._scripts) else None


@dataclass(frozen=True)
class RecordedReply:
    """A reply as a trace has it. prompt: digest of the history it answered, "" if unknown; conversation: what tells conversations apart."""

    message: Message
    prompt: str = ""
    conversation: str = ""


def recorded(events: Iterable[Event]) -> Recording:
    """Return the replies that a run was given, without those that a resumption took back. Raises UserError if it asked no model."""
    replies = []
    for event in still_valid(list(events)):
        if event.kind != "reply":
            continue
        key = event.body.get("key")
        named = key if isinstance(key, dict) else {}
        try:
            message = from_json(event.body["result"], Reply).message
        except (ValueError, KeyError) as error:
            raise UserError(f"event {event.seq} of run {event.run} is no reply of a model: {error}") from error
        replies.append(RecordedReply(message, str(named.get("prompt", "")), str(named.get("conversation", ""))))
    if not replies:
        raise UserError("the run asked no model, so there is nothing to say again; name another run (`backstory runs`)")
    return Recording(replies)


def read_script(text: str, *, origin: str) -> Script:
    """Return the script that `text` holds: a JSON list of replies, or one reply per line. Raises UserError naming the reply that is none.

    A reply is an object with any of `text`, `reasoning`, `calls` (a list of {"name", "arguments"}), `fault` and `seconds`, or the assistant's
    message as the API writes it (`content`, `tool_calls`).
    """
    try:
        try:
            rows = json.loads(text)
        except ValueError:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise UserError(f"{origin} is neither a JSON list nor one JSON object per line: {error}") from error
    rows = rows if isinstance(rows, list) else [rows]
    return Script([_answer(row, place, origin) for place, row in enumerate(rows)])


def call(name: str, /, *, id: str = "", **arguments: Any) -> Message:
    """Return the reply that makes one call. The server gives it an id if it has none."""
    return Message("assistant", calls=(tool_call(name, arguments, id=id),))


def tool_call(name: str, arguments: dict[str, Any], *, id: str = "") -> ToolCall:
    """Return a call with its arguments as JSON; the server gives it an id if it has none."""
    return ToolCall(id, name, json.dumps(arguments, ensure_ascii=False))


def _answer(row: object, place: int, origin: str) -> Answer:
    where = f"reply {place + 1} of {origin}"
    if not isinstance(row, dict):
        raise UserError(f"{where} is not an object; give 'text', 'calls' or 'reasoning'")
    unknown = sorted(set(row) - _ROW_KEYS)
    if unknown or not set(row) & _ROW_KEYS:
        raise UserError(f"{where} has {unknown or 'nothing'}; known are {', '.join(sorted(_ROW_KEYS))}")
    if "content" in row or "tool_calls" in row:
        message = read_reply(row, turn=place)
    else:
        calls = row.get("calls", [])
        if not isinstance(calls, list) or not all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in calls):
            raise UserError(f"{where}: 'calls' must be a list of objects with 'name' and 'arguments'")
        message = Message(
            "assistant",
            str(row.get("text", "")),
            tuple(_row_call(item, f"call_{place}_{number}") for number, item in enumerate(calls)),
            str(row.get("reasoning", "")),
        )
    seconds = row.get("seconds", 0)
    if not isinstance(seconds, int | float) or seconds < 0:
        raise UserError(f"{where}: 'seconds' must be a number, 0 or more")
    return Answer(message, str(row.get("fault", "")), float(seconds))


_ROW_KEYS = {"text", "reasoning", "calls", "fault", "seconds", "content", "tool_calls", "reasoning_content", "role"}


def _row_call(item: dict[str, Any], id: str) -> ToolCall:
    arguments = item.get("arguments", {})
    return ToolCall(id, item["name"], arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False))


def _first_user(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if message.role == "user"][:1]


def _same(due: Message, turn: Message) -> bool:
    """Return whether a turn of the history is the reply that was due: the same calls, or the same text where nothing was called."""
    if due.calls or turn.calls:
        return [_meaning(one) for one in due.calls] == [_meaning(one) for one in turn.calls]
    return due.text.strip() == turn.text.strip()


def _meaning(one: ToolCall) -> tuple[str, object]:
    arguments = read_object(one.arguments)
    return one.name, arguments
