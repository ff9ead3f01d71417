"""Whether a server's prefix cache took each turn of a conversation up where the one before had ended, told from what it says it had cached.

A turn's prompt is the one before, its reply and what came of it, so a server that kept everything has all whole blocks of the first two. One that has the
prompt and not the reply renders a reply in another way than it was generated: that costs the reply at each turn, and a template or a parser is to blame.
One that has less pushed some of it out.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import gcd
from typing import Literal

from backstory.agent.messages import Reply, Usage
from backstory.agent.trace import Event
from backstory.agent.written import from_json

# How finely a cache can match, where what it had says nothing of that.
BLOCK = 16


@dataclass(frozen=True)
class Reuse:
    """Turns after the first of each conversation, by what the server had of the turn before: all of it, the prompt without the reply, less than that.

    lost_tokens: those of whole blocks sent before that were computed again.
    """

    whole: int = 0
    drifted: int = 0
    pushed_out: int = 0
    lost_tokens: int = 0


def reuse_of(events: Sequence[Event]) -> Reuse | None:
    """Return how a run's turns were taken up, None where the server did not say what it had, or there was no second turn."""
    pairs: list[tuple[Usage, Usage]] = []
    last: dict[str, Usage] = {}
    for event in events:
        if event.kind == "compacted":
            last.pop(event.lane, None)  # begins anew, which is no loss of the server's
        if event.kind != "reply":
            continue
        with suppress(ValueError, KeyError):
            usage = from_json(event.body["result"], Reply).usage
            if event.lane in last:
                pairs.append((last[event.lane], usage))
            last[event.lane] = usage
    pairs = [(before, after) for before, after in pairs if after.cached_tokens is not None and before.input_tokens]
    if not pairs:
        return None
    block = gcd(*(usage.cached_tokens or 0 for pair in pairs for usage in pair)) or BLOCK
    kinds = Counter(_taken_up(before, after.cached_tokens or 0, block) for before, after in pairs)
    lost = sum(max(0, (before.input_tokens - 1) // block * block - (after.cached_tokens or 0)) for before, after in pairs)
    return Reuse(kinds["whole"], kinds["drifted"], kinds["pushed out"], lost)


def _taken_up(before: Usage, cached: int, block: int) -> Literal["whole", "drifted", "pushed out"]:
    """Return what was found in the cache of a turn and its reply: whole blocks of both, of the prompt alone, or less."""
    if cached >= (before.input_tokens + before.output_tokens - 1) // block * block:
        return "whole"
    return "drifted" if cached >= (before.input_tokens - 1) // block * block else "pushed out"
