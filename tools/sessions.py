"""What pytest did, test by test, from the records its plugin left (see `backstory.tools.inside`).

Records are written as things happen, so a session that was killed, or that something ended from within, is told from one that finished. They come
from a process that ran the repository's code: each line is read as a foreign value, and what has the wrong shape is skipped.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from backstory.tools.verdict import Result

_RECORD_BYTES = 64 << 20
_TYPE = re.compile(r"(?:\w+\.)*(\w+)(?=:|\s*$)")
_IMPORT = re.compile(r"^E?\s*((?:\w+\.)*\w*(?:Error|Exception)\b.*)$", re.MULTILINE)


@dataclass
class Session:
    """One run of pytest. finished: its exit status, None when it never finished. collected: tests found, None when it did not get that far.

    results: final outcome by test id. failure: exception type names. uncollected: (id, reason) of what could not be collected.
    messages: what a failing test said, by id. running: the test that had begun and not ended. expected: those of the skipped ones that failed as was
    expected of them.
    """

    finished: int | None = None
    collected: int | None = None
    results: dict[str, Result] = field(default_factory=dict)
    failure: set[str] = field(default_factory=set)
    uncollected: list[tuple[str, str]] = field(default_factory=list)
    messages: dict[str, str] = field(default_factory=dict)
    running: str | None = None
    expected: set[str] = field(default_factory=set)

    def take(self, line: Mapping[str, object]) -> None:
        """Take one record in, in the order they were written."""
        test, message = str(line.get("id", "")), str(line.get("message", ""))
        match line.get("event"):
            case "start":
                self.running = test
            case "report":
                self._report(test, str(line.get("when")), str(line.get("outcome")), line.get("type"), message)
                if line.get("expected") is True:
                    self.expected.add(test)
            case "collect":
                self.uncollected.append((test, message))
            case "collected":
                self.collected = _number(line.get("count"))
            case "finish":
                self.finished = _number(line.get("status"))

    def _report(self, test: str, when: str, outcome: str, kind: object, message: str) -> None:
        if when == "setup" and outcome != "failed":
            self.results.pop(test, None)  # a rerun: the last one counts
            self.expected.discard(test)
            self.messages.pop(test, None)
        if outcome == "failed":
            self.results[test] = "failed" if when == "call" else "error"
            self.messages.setdefault(test, message)
            named = kind if isinstance(kind, str) else exception_name(message)
            if named:
                self.failure.add(named)
        elif outcome == "skipped":
            self.results.setdefault(test, "skipped")
        elif outcome == "passed" and when == "call":
            self.results.setdefault(test, "passed")
        if when == "teardown" and test == self.running:
            self.running = None


def read_sessions(folder: Path) -> list[Session]:
    """Return every session of pytest recorded in `folder`, in no particular order."""
    sessions = []
    for path in sorted(folder.glob("pytest-*.jsonl")):
        session: Session | None = None
        for line in _lines(path):
            if line.get("event") == "begin":  # one process may run pytest several times
                session = Session()
                sessions.append(session)
            elif session is not None:
                session.take(line)
    return sessions


def exception_name(message: str) -> str | None:
    """Return the exception's type that a message such as `pkg.Broken: why` begins with; a bare assertion has none of its own.

    >>> exception_name("pkg.errors.Broken: why"), exception_name("assert 1 == 2")
    ('Broken', 'AssertionError')
    """
    first = message.strip().split("\n", 1)[0]
    if first.startswith("assert "):
        return "AssertionError"
    found = _TYPE.match(first)
    return found[1] if found else None


def why_uncollected(message: str) -> str:
    """Return the line of a failed collection that names the exception, or its last line."""
    named = _IMPORT.findall(message)
    lines = [line for line in message.splitlines() if line.strip()]
    return str(named[-1]) if named else lines[-1].strip() if lines else "no reason given"


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _lines(path: Path) -> Iterator[Mapping[str, object]]:
    with path.open("rb") as file:
        for raw in file.read(_RECORD_BYTES).splitlines():
            try:
                line = json.loads(raw)
            except ValueError:
                continue  # the last one, cut off when the process was killed
            if isinstance(line, dict):
                yield line
