"""What each agent of a run saw, as Markdown: every part whole or its beginning, with how much was left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from agent_scripts import LOCALIZER

from backstory.agent.faults import Said
from backstory.agent.messages import Message
from backstory.agent.prefix_cache import count_tokens
from backstory.agent.scripted import Exchange
from backstory.agent.wire import write_messages, write_tools

# Lines and characters of one part that are shown.
PART_LINES = 14
LINE_CHARS = 140
ARGUMENT_CHARS = 160


def transcript(exchanges: Sequence[Exchange]) -> str:
    """Return the conversations of a run, in the order in which they began."""
    conversations: dict[str, list[Exchange]] = {}
    for exchange in exchanges:
        conversations.setdefault(exchange.request.messages[1].text, []).append(exchange)
    return "\n".join(line for told in conversations.values() for line in _conversation(told))


def _conversation(exchanges: Sequence[Exchange]) -> Iterator[str]:
    last = exchanges[-1]
    system, user, *others = last.request.messages
    role = "localizer" if LOCALIZER in user.text else "resolver"
    first, final = exchanges[0], last
    yield f"### The {role}"
    yield ""
    yield (
        f"{len(exchanges)} replies; the first prompt has {first.prompt_tokens} tokens, the last {final.prompt_tokens}, "
        f"of which {final.cached_tokens} were cached."
    )
    yield ""
    yield f"System text, {_tokens([system])} tokens; then the tools, {count_tokens(json.dumps(write_tools(last.request.tools)).encode())} tokens: "
    yield ", ".join(f"`{tool.name}`" for tool in last.request.tools)
    yield ""
    for heading, text in _sections(user.text):
        yield f"**{heading}**"
        yield ""
        yield from _block(text)
    said = [final.outcome.message] if isinstance(final.outcome, Said) else []
    for message in [*others, *said]:
        if message.role == "assistant":
            yield "Reply: " + ("; ".join(_call(call.name, call.arguments) for call in message.calls) or message.text)
            yield ""
        else:
            yield from _block(message.text)


def _tokens(messages: Sequence[Message]) -> int:
    return count_tokens(json.dumps(write_messages(messages)).encode())


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of the opening by their headings."""
    heading, lines = "Opening", []
    for line in text.splitlines():
        if line.startswith("# "):
            if any(lines):
                yield heading, "\n".join(lines)
            heading, lines = line.removeprefix("# "), []
        else:
            lines.append(line)
    yield heading, "\n".join(lines)


def _block(text: str) -> Iterator[str]:
    lines = text.strip("\n").splitlines()
    left = len(lines) - PART_LINES
    yield "````text"
    yield from (line if len(line) <= LINE_CHARS else line[: LINE_CHARS - 1] + "…" for line in lines[:PART_LINES])
    if left > 0:
        yield f"[… {left} more lines]"
    yield "````"
    yield ""


def _call(name: str, arguments: str) -> str:
    short = arguments if len(arguments) <= ARGUMENT_CHARS else arguments[: ARGUMENT_CHARS - 1] + "…"
    return f"`{name} {short}`"
