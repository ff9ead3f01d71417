"""Notices when a conversation goes in circles, and when it fails again in a way that is known.

Going in circles: the same turn three times, two turns in alternation, or edits that undo each other. A turn is what was called on which tree; what
came back does not count, since a program's output is never twice the same. One nudge is given, then the conversation is ended. A command that takes
long is one turn, however long it takes.

Failing again: each known failure has a signature in what a tool said, and advice that is spoken when it comes the second time, when the model is at a
loss, and not before, when it may well know better.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backstory.graph.types import Oid
from backstory.tools.tool import Observation

# A turn repeated so often is no second look any more.
REPEATS = 3
# Turns without going in circles after which an earlier nudge is forgotten.
FORGIVEN_AFTER = 6
# How often one piece of advice is given in a conversation.
ADVISED = 2

Circle = Literal["repeated", "alternating", "undoing"]

_NUDGES: dict[Circle, str] = {
    "repeated": "this is the third time with the same result; do something else: read another place, change the code, or finish",
    "alternating": "these two steps have alternated without bringing anything new; decide on one, or try a third",
    "undoing": "this edit takes back an earlier one; decide between the two before you edit again (`revert` goes back to a checkpoint)",
}


@dataclass(frozen=True)
class Turn:
    """What one reply did. calls: name and canonical arguments of each; tree: afterwards; reverted: whether it went back on purpose."""

    calls: tuple[tuple[str, str], ...]
    tree: Oid
    reverted: bool = False


@dataclass(frozen=True)
class Said:
    """What is told to the model, and whether the conversation is to end."""

    text: str
    stop: bool = False


class Watch:
    """Watches one conversation."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._trees: list[Oid] = []
        self._clean = 0
        self._nudged: Circle | None = None

    def saw(self, turn: Turn) -> Said | None:
        """Return the nudge for a turn that closes a circle, the end when one was given before, else None."""
        undone = self._undone(turn)
        self._turns.append(turn)
        circle = self._circle() or ("undoing" if undone else None)
        if circle is None:
            self._clean += 1
            if self._clean >= FORGIVEN_AFTER:
                self._nudged = None
            return None
        self._clean = 0
        if self._nudged is not None:
            return Said(f"going in circles ({circle})", stop=True)
        self._nudged = circle
        return Said(_NUDGES[circle])

    def _circle(self) -> Circle | None:
        last = self._turns[-4:]
        if len(last) >= REPEATS and len(set(last[-REPEATS:])) == 1:
            return "repeated"
        if len(last) == 4 and last[0] == last[2] != last[1] == last[3]:
            return "alternating"
        return None

    def _undone(self, turn: Turn) -> bool:
        """Return whether the turn brought the tree back to what it was before its last change."""
        if turn.reverted:
            self._trees = [turn.tree]
            return False
        if not self._trees or turn.tree != self._trees[-1]:
            self._trees.append(turn.tree)
            return len(self._trees) >= 3 and turn.tree == self._trees[-3]
        return False


@dataclass(frozen=True)
class Failure:
    """A known way to fail. tools: those whose observations are looked at, all when empty. signature: found in the text of a failed observation."""

    name: str
    tools: tuple[str, ...]
    signature: re.Pattern[str]
    advice: str


FAILURES: tuple[Failure, ...] = (
    Failure(
        "edit does not match",
        ("edit",),
        re.compile(r"`old` is not in"),
        "`read` the lines first and copy them exactly, or `write` the whole file",
    ),
    Failure("edit is ambiguous", ("edit",), re.compile(r"occurs \d+ times"), "put the line that names the function above it into `old`"),
    Failure(
        "the check is edited", ("edit", "write"), re.compile(r"belongs to the check"), "the check is right; change the code that it tests"
    ),
    Failure(
        "syntax",
        ("check", "run"),
        re.compile(r"\b(?:SyntaxError|IndentationError|TabError)\b"),
        "look at the last edit with `read`; `revert` goes back to a checkpoint",
    ),
    Failure(
        "missing module",
        ("check", "run"),
        re.compile(r"ModuleNotFoundError|No module named"),
        "nothing can be installed here; use what the project imports elsewhere",
    ),
    Failure(
        "no network",
        ("run",),
        re.compile(r"Temporary failure in name resolution|Network is unreachable|Could not resolve"),
        "there is no network in the sandbox; work with what is there",
    ),
    Failure(
        "missing command",
        ("run",),
        re.compile(r"^exit 127|: not found$", re.M),
        "the program is not there; `python -c` and the tools `find` and `read` are",
    ),
    Failure("time", ("check", "run"), re.compile(r"^stopped after|timed_out"), "ask for less: one test instead of a file, a smaller input"),
    Failure(
        "the same assertion",
        ("check",),
        re.compile(r"AssertionError|assert "),
        "the change has not reached what the test looks at; `read` the test, then follow what it calls",
    ),
    Failure(
        "unknown place",
        ("read", "walk", "history"),
        re.compile(r"no such|there is no|unknown|did you mean"),
        "`find` says where a name is; take the id from its answer",
    ),
)


class Advisor:
    """Gives advice on failures that come again, in one conversation."""

    def __init__(self, failures: Sequence[Failure] = FAILURES) -> None:
        self._failures = failures
        self._seen: Counter[str] = Counter()

    def saw(self, tool: str, observation: Observation) -> str:
        """Return what to say to a failure seen before, or ""."""
        if observation.ok:
            return ""
        for failure in self._failures:
            if (not failure.tools or tool in failure.tools) and failure.signature.search(observation.text):
                self._seen[failure.name] += 1
                return failure.advice if 1 < self._seen[failure.name] <= 1 + ADVISED else ""
        return ""
