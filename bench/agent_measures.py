"""What a run with agents cost, read from its events and from what its model server was sent."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from backstory.agent.scripted import Exchange
from backstory.agent.wire import write_messages, write_tools


def overheads(events: Iterable[Mapping[str, Any]]) -> list[float]:
    """Return for each step of an agent the seconds that were neither the model's, nor a tool's, nor a check's (its sandbox included).

    A step goes from the end of a reply to the end of the next: reading the calls, running and recording them, what is remarked on, the limits, the
    next prompt. What each recorded effect took stands in its own event.
    """
    lanes: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        lanes[event.get("lane", "")].append(event)
    found = []
    for lane in lanes.values():
        began: float | None = None
        known = 0.0
        for event in lane:
            known += float(event["body"].get("seconds") or 0.0)
            if event["kind"] == "reply":
                at = datetime.fromisoformat(event["at"]).timestamp()
                if began is not None:
                    found.append(max(0.0, at - began - known))
                began, known = at, 0.0
    return found


def seconds_of(events: Iterable[Mapping[str, Any]], kind: str) -> list[float]:
    """Return what each recorded effect of a kind ("reply", "tool", "check") took."""
    return [float(event["body"].get("seconds") or 0.0) for event in events if event["kind"] == kind]


@dataclass(frozen=True)
class Growth:
    """How the prompts of a run grew. kept: the share of each prompt's bytes that the next one of its conversation begins with; added: bytes each step."""

    first: tuple[int, ...]
    last: tuple[int, ...]
    added: tuple[int, ...]
    kept: tuple[float, ...]
    shared: float
    """Share of the first prompt of the resolver that the localizer's prompts begin with."""


def growth(exchanges: Sequence[Exchange]) -> Growth:
    """Return how the prompts of a run grew, conversation by conversation; a request that was sent again counts once."""
    conversations: dict[str, list[bytes]] = {}
    for exchange in exchanges:
        prompt = rendered(exchange)
        opening = json.dumps(write_messages(exchange.request.messages[:2]))
        prompts = conversations.setdefault(opening, [])
        if not prompts or prompts[-1] != prompt:
            prompts.append(prompt)
    pairs = [pair for prompts in conversations.values() for pair in pairwise(prompts)]
    openings = [prompts[0] for prompts in conversations.values()]
    shared = _common(openings[0], openings[1]) / len(openings[1]) if len(openings) > 1 else 0.0
    return Growth(
        tuple(len(prompts[0]) for prompts in conversations.values()),
        tuple(len(prompts[-1]) for prompts in conversations.values()),
        tuple(len(later) - len(earlier) for earlier, later in pairs),
        tuple(_common(earlier, later) / len(earlier) for earlier, later in pairs),
        shared,
    )


def rendered(exchange: Exchange) -> bytes:
    """Return a prompt as a chat template lays it out: the system text, the tools, the other messages."""
    system, *others = write_messages(exchange.request.messages)
    parts = [system, write_tools(exchange.request.tools), *others]
    return b"\n".join(json.dumps(part, ensure_ascii=False).encode("utf-8", "surrogatepass") for part in parts)


def _common(one: bytes, other: bytes) -> int:
    """Return how many bytes two prompts begin with in common."""
    if other.startswith(one):
        return len(one)
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def spread(values: Sequence[float]) -> str:
    """Return median and 95th percentile of seconds, in milliseconds."""
    ordered = sorted(values)
    return (
        f"median {1000 * statistics.median(ordered):.1f} ms, p95 {1000 * ordered[int(0.95 * (len(ordered) - 1))]:.1f} ms"
        if ordered
        else "none"
    )
