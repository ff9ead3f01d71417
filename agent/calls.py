"""Reads the tool calls out of a reply: those the server recognised, and those the model wrote into its text.

Open-weights models call tools in the markup they were trained on. Where the server has no parser for it, or the parser fails, the reply has no calls
and its text holds the markup; `backstory.agent.markup` says what of it is meant as a call and what is only shown. Where the server did recognise
calls, the text is not searched: whatever stands in it is talk.

Broken arguments are read as what they can only mean (`backstory.agent.arguments`). Names are taken for a tool's if they differ from it in case, in
`-` for `_`, or by a namespace before it; a tool of another name is never guessed. What cannot be read becomes a sentence for the model, which says
what was wrong and shows the right form.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from backstory.agent.arguments import is_object, read_object
from backstory.agent.markup import Found, find_calls
from backstory.agent.messages import Message, ToolCall, ToolSchema
from backstory.agent.offer import example, tool_name

MOST_CALLS: Final = 16  # in one reply; a model that writes more has lost its way


@dataclass(frozen=True)
class Call:
    """A call that can be run. id: what its answer refers to; name: of a tool, or one that no tool has."""

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
    """A reply that was read.

    message: as it goes into the history, calls from the text as calls and their markup gone. calls: one for each of the message's, in order.
    complaint: what to tell the model besides: how to call a tool where there is no call, what in the text could not be read; or "".
    """

    message: Message
    calls: tuple[Call | Unreadable, ...]
    complaint: str


def read_calls(message: Message, tools: Sequence[ToolSchema], *, cut: bool, turn: int) -> Said:
    """Return the calls of a reply. cut: it ended at the token limit, so that its last call may lack its end.

    turn: the message's place in the history, from which calls in the text get their ids, the same in every replay.
    """
    known = {tool.name: tool for tool in tools}
    found = Found() if message.calls else find_calls(message, known, cut)
    if found.written:
        calls = tuple(
            ToolCall(f"call_{turn}_{place}", call.name, json.dumps(dict(call.arguments), ensure_ascii=False))
            for place, call in enumerate(found.written)
        )
        message, cut = replace(message, text=found.text, reasoning=found.reasoning, calls=calls), False
    elif not message.calls:
        return Said(message, (), found.complaint or _nothing_called(message, known, cut))
    mended = tuple(_mended(call, known) for call in message.calls)
    return Said(replace(message, calls=mended), _each_once(mended, known, cut), found.complaint)


def _mended(call: ToolCall, known: Mapping[str, ToolSchema]) -> ToolCall:
    """Return a call with its tool's own name."""
    return replace(call, name=tool_name(call.name, known) or call.name)


def _each_once(calls: Sequence[ToolCall], known: Mapping[str, ToolSchema], cut: bool) -> tuple[Call | Unreadable, ...]:
    """Return what each call asks for; one that repeats another, or comes after too many, is refused."""
    read: list[Call | Unreadable] = []
    made: list[tuple[str, Mapping[str, Any]]] = []
    for place, call in enumerate(calls):
        arguments = read_object(call.arguments, whole=not (cut and place == len(calls) - 1))
        if isinstance(arguments, str):
            read.append(Unreadable(call.id, call.name, _complaint(call, arguments, known, cut and place == len(calls) - 1)))
        elif (call.name, arguments) in made:
            read.append(Unreadable(call.id, call.name, "this repeats a call of the same reply, which was made once"))
        elif len(made) == MOST_CALLS:
            read.append(
                Unreadable(call.id, call.name, f"at most {MOST_CALLS} calls are made in one reply; make this one again in the next")
            )
        else:
            made.append((call.name, arguments))
            read.append(Call(call.id, call.name, arguments))
    return tuple(read)


def _complaint(call: ToolCall, why: str, known: Mapping[str, ToolSchema], cut: bool) -> str:
    if cut and not is_object(call.arguments):
        return (
            f"the reply was cut off at its limit inside the call of `{call.name}`, so nothing was done; make the call again with less text, "
            "in several smaller calls if need be"
        )
    tool = known.get(call.name)
    form = f", such as {example(tool)}" if tool else ""
    return f"the arguments of `{call.name}` cannot be read: {why}. Call it again with one JSON object{form}"


def _nothing_called(message: Message, known: Mapping[str, ToolSchema], cut: bool) -> str:
    names = ", ".join(known)
    if cut:
        return f"the reply was cut off at its limit before a tool was called; say less and call one of the tools: {names}"
    if not message.text.strip():
        what = "the reply holds only reasoning" if message.reasoning.strip() else "the reply is empty"
        return f"{what}; go on by calling one of the tools: {names}"
    return f"nothing was called; go on by calling one of the tools: {names}"
