"""The values the agents hand each other: an issue, who is suspected, what is proposed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from backstory.agent.messages import Usage
from backstory.graph.types import Evidence, Location, Oid, RepoPath
from backstory.tools.patch import Patch


@dataclass(frozen=True)
class Issue:
    """What has to be solved. id: a short name for people (a file name, `owner/name#12`); links: addresses found in the text."""

    id: str
    repo: str
    base: Oid
    title: str
    body: str
    links: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Title and body as one text, the query of every search."""
        return f"{self.title}\n\n{self.body}" if self.body else self.title


@dataclass(frozen=True)
class Suspect:
    """A commit that may have introduced the fault. probability: over all ancestors of the base, summing to 1."""

    commit: Oid
    probability: float
    why: tuple[Evidence, ...]


@dataclass(frozen=True)
class Proposal:
    """A possible repair of the base, not yet tried.

    kind: how it was made: "undo" (a whole commit), "undo-part" (whole hunks), "restore-lines", "drop-lines", "old-lines", "one-piece", "old-words" (less
    than a hunk: see `undo.py`), "sibling", "model".
    title: one line for a person. edits: whole new contents by path; None deletes the file. size: lines added and removed against the base.
    tree: what it makes of the base, where that is known already; then `edits` is empty.
    """

    kind: str
    title: str
    edits: Mapping[RepoPath, bytes | None]
    size: int
    why: tuple[Evidence, ...]
    tree: Oid | None = None


BlameStatus = Literal["confirmed", "narrowed", "suspected"]
"""confirmed: the check fails at the commit and passes at its parents; narrowed: one of a few that could not be told apart; suspected: ranked only."""

SolutionStatus = Literal["verified", "unverified", "no_patch"]


@dataclass(frozen=True)
class Blamed:
    """The commit held responsible. candidates: all that remain possible, this one first; more than one only when `status` is "narrowed"."""

    commit: Oid
    subject: str
    author: str
    when: str
    status: BlameStatus
    candidates: tuple[Oid, ...]
    why: tuple[Evidence, ...]


@dataclass(frozen=True)
class Tested:
    """One commit on which the check ran while history was searched. outcome: "good", "bad" or "skip"; note: why it was skipped, or how it failed."""

    commit: Oid
    outcome: str
    note: str


@dataclass(frozen=True)
class Tried:
    """One proposal and what became of it. outcome: "verified", "fails the check", "breaks tests", "not judged" ...; note: the detail."""

    kind: str
    title: str
    size: int
    outcome: str
    note: str


@dataclass(frozen=True)
class AgentRun:
    """How one agent's conversation ended. name: "localizer", "attempt-1", ...; ended: see `loop.End`; note: in words."""

    name: str
    ended: str
    note: str
    replies: int


@dataclass(frozen=True)
class Reproduced:
    """A test that an agent wrote to show the fault, where no check was given. It is no part of the patch."""

    path: RepoPath
    content: bytes


@dataclass(frozen=True)
class Agents:
    """What a model did. diagnosis: the localizer's, or "". failure: why the model could not be used to the end, or None."""

    model: str
    runs: tuple[AgentRun, ...]
    usage: Usage
    replies: int
    diagnosis: str
    summary: str
    reproduction: Reproduced | None
    failure: str | None


@dataclass(frozen=True)
class Solution:
    """What came of an issue, good or bad; everything a person needs to go on from here.

    verified_by: how the patch was verified, in words, or "". scope: the test files that had to keep passing. limit: the budget that stopped the
    run, or None. reason: why there is no verified patch, or "". agents: what a model did, None when none was asked.
    """

    status: SolutionStatus
    patch: Patch | None
    verified_by: str
    check: str | None
    scope: tuple[RepoPath, ...]
    blamed: Blamed | None
    tested: tuple[Tested, ...]
    tried: tuple[Tried, ...]
    suspects: tuple[Suspect, ...]
    locations: tuple[Location, ...]
    limit: str | None
    reason: str
    why: tuple[Evidence, ...]
    agents: Agents | None = None
