"""What a run may spend, asked before each call.

Three purses: seconds of wall clock, steps (a check that runs, a model's reply) and tokens. A stop is a value, never an exception: who asks
`spent_out` and gets a reason winds up with what it has. The decision to stop is recorded in the trace, so that a resumed or replayed run stops
where the first one did, however fast the machine is. Attempts that run side by side spend from one budget, and each records its own stop.
"""

import threading
import time
from dataclasses import dataclass
from typing import TypeVar

from backstory.agent.messages import Usage
from backstory.agent.trace import Trace


@dataclass(frozen=True)
class Budget:
    """None means without limit."""

    seconds: float | None = None
    steps: int | None = None
    tokens: int | None = None


class _Spent:
    """What all lanes of a run have spent together."""

    def __init__(self, seconds_before: float) -> None:
        self.started = time.monotonic() - seconds_before
        self.steps = 0
        self.usage = Usage(cached_tokens=None)
        self.replies = 0
        self.lock = threading.Lock()


class Purse:
    """What is left of a budget, for one lane of a run."""

    def __init__(self, budget: Budget, trace: Trace, seconds_before: float = 0.0, *, _spent: _Spent | None = None) -> None:
        """seconds_before: spent by the run before it was resumed."""
        self.budget = budget
        self._stopped: str | None = None
        self._trace = trace
        self._spent = _spent or _Spent(seconds_before)
        self._whole: Purse | None = None
        self._share = 1.0

    def in_lane(self, trace: Trace) -> "Purse":
        """Return the same purse for a lane that records into `trace`."""
        return Purse(self.budget, trace, _spent=self._spent)

    def for_share(self, share: float) -> "Purse":
        """Return the same purse for what may spend no more than a share (0 to 1) of the seconds and steps, so that the rest is left to what follows."""
        part = Purse(self.budget, self._trace, _spent=self._spent)
        part._whole, part._share = self, share
        return part

    @property
    def stopped(self) -> str | None:
        """Why the run was told to stop, None as long as it was not."""
        return self._stopped or (self._whole.stopped if self._whole is not None else None)

    @property
    def steps(self) -> int:
        """Return the steps taken so far, in all lanes."""
        return self._spent.steps

    @property
    def usage(self) -> Usage:
        """Return what all replies so far cost together."""
        return self._spent.usage

    @property
    def replies(self) -> int:
        """Return how many replies of a model were had."""
        return self._spent.replies

    def count_step(self) -> None:
        """Take one step out of the purse."""
        with self._spent.lock:
            self._spent.steps += 1

    def count_reply(self, usage: Usage) -> None:
        """Take one reply of a model out of the purse."""
        with self._spent.lock:
            self._spent.usage = total(self._spent.usage, usage)
            self._spent.replies += 1
            self._spent.steps += 1

    def seconds_left(self) -> float | None:
        """Return the seconds left, never negative, or None without limit."""
        if self.budget.seconds is None:
            return None
        return max(0.0, self.budget.seconds - self._seconds())

    def tokens_left(self) -> int | None:
        """Return the tokens left, never negative, or None without limit."""
        return None if self.budget.tokens is None else max(0, self.budget.tokens - self._tokens())

    def spent_out(self, *, tokens: int = 0) -> str | None:
        """Return why the run must stop now, or None. Once stopped it stays stopped. tokens: what the next call costs at least."""
        if self.stopped is None:
            self._stopped = self._trace.limit(lambda: self._reason(tokens), kind="limit" if self._whole is None else "share")
        return self.stopped

    def _reason(self, next_tokens: int) -> str | None:
        spent = "the" if self._share == 1 else f"{self._share:.0%} of the"
        if self.budget.steps is not None and self._spent.steps >= self._share * self.budget.steps:
            return f"{spent} budget of {self.budget.steps} steps is spent"
        if self.budget.tokens is not None and self._tokens() + next_tokens >= self.budget.tokens:
            more = (
                f" but for {self.budget.tokens - self._tokens()}, and the next prompt is longer"
                if self._tokens() < self.budget.tokens
                else ""
            )
            return f"the budget of {self.budget.tokens} tokens is spent{more}"
        if self.budget.seconds is not None and self._seconds() >= self._share * self.budget.seconds:
            return f"{spent} budget of {self.budget.seconds:g} seconds is spent"
        return None

    def _tokens(self) -> int:
        return self._spent.usage.input_tokens + self._spent.usage.output_tokens

    def _seconds(self) -> float:
        return time.monotonic() - self._spent.started


def total(one: Usage, other: Usage) -> Usage:
    """Return what two replies cost together; what a server may leave out is known where either tells it."""
    return Usage(
        one.input_tokens + other.input_tokens,
        _known_sum(one.cached_tokens, other.cached_tokens),
        one.output_tokens + other.output_tokens,
        round(one.seconds + other.seconds, 3),
        _known_sum(one.reusable_tokens, other.reusable_tokens),
        _known_sum(one.queued_s, other.queued_s),
        _known_sum(one.first_s, other.first_s),
    )


N = TypeVar("N", int, float)


def _known_sum(one: N | None, other: N | None) -> N | None:
    return one if other is None else other if one is None else one + other
