"""What a run may spend, asked before each call.

Three purses: seconds of wall clock, steps (a check that runs, later a model call) and tokens. A stop is a value, never an exception: who asks
`spent_out` and gets a reason winds up with what it has. The decision to stop is recorded in the trace, so that a resumed or replayed run stops
where the first one did, however fast the machine is.
"""

import time
from dataclasses import dataclass, field

from backstory.agent.trace import Trace


@dataclass(frozen=True)
class Budget:
    """None means without limit."""

    seconds: float | None = None
    steps: int | None = None
    tokens: int | None = None


@dataclass
class Purse:
    """What is left of a budget. seconds_before: spent by the run before it was resumed."""

    budget: Budget
    trace: Trace
    seconds_before: float = 0.0
    steps: int = 0
    tokens: int = 0
    stopped: str | None = None
    _started: float = field(default_factory=time.monotonic)

    def count_step(self) -> None:
        """Take one step out of the purse."""
        self.steps += 1

    def seconds_left(self) -> float | None:
        """Return the seconds left, never negative, or None without limit."""
        if self.budget.seconds is None:
            return None
        return max(0.0, self.budget.seconds - self._seconds())

    def spent_out(self) -> str | None:
        """Return why the run must stop now, or None. Once stopped it stays stopped."""
        if self.stopped is None:
            self.stopped = self.trace.limit(self._reason)
        return self.stopped

    def _reason(self) -> str | None:
        if self.budget.steps is not None and self.steps >= self.budget.steps:
            return f"the budget of {self.budget.steps} steps is spent"
        if self.budget.tokens is not None and self.tokens >= self.budget.tokens:
            return f"the budget of {self.budget.tokens} tokens is spent"
        if self.budget.seconds is not None and self._seconds() >= self.budget.seconds:
            return f"the budget of {self.budget.seconds:g} seconds is spent"
        return None

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self._started
