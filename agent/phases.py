"""Names what a run is doing and how long each part took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from backstory.graph.types import Report


class Phases:
    """Times phases by name; entering one reports it. seconds: by phase, in the order they began; a phase entered twice adds up."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the block as phase `name`."""
        self.report(name, 0, None)
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started
