"""What a failed call to a model means: pass over it and ask again, shorten the prompt, or tell the user what to mend.

Servers agree on little but the status, so the text decides the rest. The patterns are the texts of vLLM 0.18 to 0.32, SGLang 0.5, llama.cpp, OpenAI
and Anthropic, each of which the scripted server can send (`backstory.agent.faults`).
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from backstory.agent.secret import Secret
from backstory.tools.visible import clean

_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})  # 529: Anthropic is overloaded
# A prompt that does not fit is refused with 400, by llama.cpp until 2025-10 with 500, by Anthropic above 32 MB with 413.
_OVERFLOW_STATUS: Final = frozenset({400, 413, 422, 500})
_OVERFLOW = re.compile(
    r"maximum context length|maximum model length|context[ _-]?(?:length|window|size|limit)[ _]?exceeded|exceed_context_size|"
    r"(?:exceeds?|longer than|larger than|greater than|beyond)[^.\n]{0,60}context (?:length|window|size|limit)|"
    r"prompt is too long|input is too long|input tokens exceed|maximum (?:prompt|input) length|request_too_large|exceeds the maximum number of tokens",
    re.IGNORECASE,
)
# The reply asked for is larger than the window: no shorter prompt helps (vLLM up to 0.20).
_REPLY_TOO_LARGE = re.compile(r"max_(?:completion_)?tokens['`\"]?\s*(?:is too large|=\s*\d+ cannot be greater)", re.IGNORECASE)
_OUT_OF_QUOTA = re.compile(r"insufficient_quota|exceeded your current quota|credit balance is too low|billing", re.IGNORECASE)
# What is refused because the queue is as long as its owner lets it be: it passes as soon as others are served, however long that takes.
_QUEUE_FULL = re.compile(r"currently busy|backlog limit", re.IGNORECASE)
_RETRYABLE = re.compile(r"please retry", re.IGNORECASE)
_NO_TOOLS = re.compile(r"enable-auto-tool-choice|tool-call-parser|does not support tools|--jinja", re.IGNORECASE)
_PREFIXES = re.compile(r"^(?:litellm\.)?\w+: (?:\w+: )?(?:\w+Exception - )?| ssl:(?:<[^>]*>|\w+)")
TRIES: Final = 6  # after the first; a server that restarts is back within a minute or not at all
ERROR_TRIES: Final = 2  # of an error inside a server: what is not over by then will not be over
LOST_TRIES: Final = 1  # of a server that had answered and does not: more is for whoever waits for it to come back
_SAID_CHARS: Final = 200  # of the server's own words in a message


@dataclass(frozen=True)
class Failure:
    """A call that gave no reply. status: of HTTP, None where there was none; said: what came instead; retry_after_s: what the server asks for."""

    status: int | None
    said: str
    retry_after_s: float | None = None

    @property
    def passes(self) -> bool:
        """Whether asking again may help."""
        if self.status == 429 and _OUT_OF_QUOTA.search(self.said):
            return False
        return self.status is None or self.status in _PASSING

    def tries(self, *, known: bool) -> int | None:
        """Return how often it is worth asking again, None for as long as there is time. known: the server has answered before, and somebody waits for it."""
        if not self.passes:
            return 0
        if self.status == 503 and _QUEUE_FULL.search(self.said):
            return None
        if self.status == 500 or (self.status == 503 and _RETRYABLE.search(self.said)):
            return ERROR_TRIES
        return LOST_TRIES if self.status is None and known else TRIES

    def refuses(self, fields: Iterable[str]) -> set[str]:
        """Return those of a request's extra fields that a server names when it refuses the request: it does not know them."""
        if self.status not in (400, 422):
            return set()
        return {name for name in fields if re.search(rf"\b{re.escape(name)}\b", self.said)}


def is_overflow(failure: Failure) -> bool:
    """Return whether the prompt did not fit the model's window."""
    return failure.status in _OVERFLOW_STATUS and bool(_OVERFLOW.search(failure.said)) and not _REPLY_TOO_LARGE.search(failure.said)


def read_retry_after(value: str | None, now: float) -> float | None:
    """Return how many seconds from `now` (since the epoch) a Retry-After header names, in either of its forms; None if it says nothing usable.

    >>> read_retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 30.0)
    30.0
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None  # NaN is not itself


def is_unreachable(failure: Failure) -> bool:
    """Return whether nobody was there, or what is there fails inside."""
    return failure.status is None or (failure.status >= 500 and failure.passes)


def remedy(failure: Failure, model: str, api_base: str | None, key: Secret | None) -> str:
    """Return one line on what is wrong and what to do."""
    where = api_base or f"the provider of {model!r}"
    said = _said(failure, key)
    match failure.status:
        case 401:
            return (
                f"{where} refuses the key; "
                + ("set another" if key else "name the variable that holds one")
                + " (api_key_env names the variable)"
            )
        case 403:
            return f"{where} does not let this key use {model!r}; use another key or another model"
        case 404:
            return f"{where} has no model {model!r} ({said}); `backstory doctor` lists those it has, and an address usually ends in /v1"
        case 429 if _OUT_OF_QUOTA.search(failure.said):
            return f"the quota of this key at {where} is used up ({said}); raise it, or use another model"
        case 429:
            return f"{where} is still too busy after several tries ({said}); try again later, or with fewer --attempts"
        case 400 | 422 if _NO_TOOLS.search(failure.said):
            return (
                f"{where} does not let {model!r} call tools ({said}); start vLLM with --enable-auto-tool-choice --tool-call-parser NAME, "
                "llama.cpp with --jinja"
            )
        case 400 | 413 | 422:
            return f"{where} refuses the request ({said}); see docs/model.md"
        case None:
            return f"cannot reach {where} ({said}); is the server running, and is the address right?"
        case status:
            return f"{where} keeps failing with status {status} ({said}); see its log, and `backstory resume` once it works"


def _said(failure: Failure, key: Secret | None) -> str:
    """Return the server's own words on one line, without the key and without what litellm puts before them."""
    text = _PREFIXES.sub("", failure.said)
    try:
        error = json.loads(text)
        error = error.get("error", error)
        text = error["message"] if isinstance(error, dict) else str(error)
    except (ValueError, KeyError, AttributeError, TypeError):
        pass
    text = " ".join(clean(str(text)).text.split())
    text = key.hidden_in(text) if key else text
    return text if len(text) <= _SAID_CHARS else text[: _SAID_CHARS - 1] + "…"
