"""Whether a model server gets on with what it was asked: one whose queue holds requests while none runs and nothing is computed stands still.

That happens to vLLM with a prompt that is larger than its pool though not longer than its window, and with some ways of moving its cache out; health is
well all the while, and the caller would wait until its own time is over.
"""

import time
from collections.abc import Callable
from typing import Final

from backstory.agent.vitals import Vitals, vitals_of

# Between two looks; a server that starts on what waits does so at once.
LOOK_S: Final = 30.0
# Looks in a row that show the same before it counts.
LOOKS: Final = 3


class Stall:
    """Watches the server at an address while a call is under way."""

    def __init__(
        self,
        base: str,
        *,
        look_s: float = LOOK_S,
        clock: Callable[[], float] = time.monotonic,
        look: Callable[[str], Vitals | None] = lambda base: vitals_of((base,)),
    ) -> None:
        self._base, self._look_s, self._clock, self._look = base, look_s, clock, look
        self._next = clock() + look_s
        self._done: tuple[int, int] | None = None
        self._same = 0

    def stands_still(self) -> bool:
        """Return whether the server stood still at several looks in a row; looks when it is time to. A server without vLLM's metrics never does."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._look_s
        seen = self._look(self._base)
        if seen is None or seen.running or not seen.waiting:
            self._same = 0
        else:
            done = (seen.computed, seen.generated)
            self._same, self._done = self._same + 1 if done == self._done else 1, done
        return self._same >= LOOKS
