"""Reads the tool calls out of a reply.

A reply is read to the calls it makes, each with its arguments as a mapping, or with one sentence for the model on what could not be read. This module
reads calls that the server made out of the reply; calls left in its text are not read yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backstory.agent.arguments import read_object
from backstory.agent.messages import Message, ToolSchema


@dataclass(frozen=True)
class Call:
    """A call that can be run. id: what its answer refers to."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Unreadable:
    """A call that cannot be run. complaint: what is wrong, and the right form, in a sentence for the model."""

    id: str
    name: str
    complaint: str


@dataclass(frozen=True)
class Said:
    """A reply that was read. message: as it goes into the history. calls: in order. complaint: what to answer when there is none, or ""."""

    message: Message
    calls: tuple[Call | Unreadable, ...]
    complaint: str


def read_calls(message: Message, tools: Sequence[ToolSchema], *, cut: bool) -> Said:
    """Return the calls of a reply. cut: it ended at the token limit, so that its last call may lack its end."""
    calls: list[Call | Unreadable] = []
    for number, call in enumerate(message.calls, 1):
        read = read_object(call.arguments)
        if isinstance(read, str):
            calls.append(Unreadable(call.id, call.name, f"the arguments of `{call.name}` cannot be read: {read}"))
        elif cut and number == len(message.calls):
            calls.append(Unreadable(call.id, call.name, f"the reply was cut off inside `{call.name}`; call it again with less text"))
        else:
            calls.append(Call(call.id, call.name, read))
    names = ", ".join(tool.name for tool in tools)
    return Said(message, tuple(calls), "" if calls else f"nothing was called; go on by calling one of the tools: {names}")
