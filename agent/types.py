"""The values the agents hand each other: an issue, who is suspected, what is proposed."""

from collections.abc import Mapping
from dataclasses import dataclass

from backstory.graph.types import Evidence, Oid, RepoPath


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

    kind: how it was made ("undo", "undo-part", "restore-lines", "drop-lines", "sibling").
    title: one line for a person. edits: whole new contents by path; None deletes the file. size: lines added and removed against the base.
    """

    kind: str
    title: str
    edits: Mapping[RepoPath, bytes | None]
    size: int
    why: tuple[Evidence, ...]
