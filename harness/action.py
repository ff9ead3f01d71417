"""The GitHub Action: for an issue or pull request, where to look and which commits to suspect, as a job summary.

It reads and never runs: the text of the event, and the history of the checkout. So it is safe on a pull request from a fork. What it writes is
Markdown in which foreign text stands in code spans, so that it mentions nobody, closes nothing and shows no image.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from backstory.agent.types import Suspect
from backstory.errors import UserError
from backstory.graph.types import Commit, Evidence, Location, Oid
from backstory.harness.github import visible
from backstory.harness.untrusted import code_span

# GitHub drops a step's summary above 1 MiB; this much is still read by a person, and fits a comment as well.
SUMMARY_CHARS: Final = 60_000
ROWS: Final = 10
REASONS: Final = 3  # reasons shown for one row


@dataclass(frozen=True)
class Asked:
    """What an event asks about. base: for a pull request the commit it would be merged into, whose code is trusted; else None."""

    id: str
    title: str
    text: str
    base: Oid | None


def asked_by(event: bytes) -> Asked:
    """Return what the event in GITHUB_EVENT_PATH is about. Raises UserError if it is about neither an issue nor a pull request."""
    try:
        payload = json.loads(event)
    except ValueError as error:
        raise UserError("GITHUB_EVENT_PATH does not hold JSON; run this inside a GitHub workflow") from error
    payload = payload if isinstance(payload, dict) else {}
    pull, issue = payload.get("pull_request"), payload.get("issue")
    about = pull if isinstance(pull, dict) else issue
    if not isinstance(about, dict):
        raise UserError("this event has no issue and no pull request; start the workflow on `issues` or `pull_request`")
    base = about.get("base")
    sha = base.get("sha") if isinstance(base, dict) else None
    kind = "pull request" if about is pull else "issue"
    return Asked(
        f"{kind} #{about.get('number')}",
        _text(about.get("title")),
        visible(_text(about.get("body"))),
        Oid(sha) if isinstance(sha, str) else None,
    )


def summary(
    *, title: str, at: Oid, places: Sequence[Location], suspects: Sequence[Suspect], commits: Mapping[Oid, Commit], notes: Iterable[str]
) -> str:
    """Return the job summary. commits: what the suspects' ids mean."""
    parts = [
        "## Backstory: where to look",
        f"For {code_span(title)} at {code_span(at[:12])}. Found from the repository's code and history alone; nothing of it was run.",
        "### Places",
        _numbered(f"{code_span(_place(place))}{_reasons(place.why)}" for place in places[:ROWS]) or "No place matches the text.",
        "### Commits to suspect",
        _numbered(_suspect(suspect, commits) for suspect in suspects[:ROWS]) or "No commit stands out.",
        *(f"> {code_span(note)}" for note in notes),
    ]
    whole = "\n\n".join(parts) + "\n"
    if len(whole) <= SUMMARY_CHARS:
        return whole
    # Cut at the end of a line: every code span is closed on the line it begins on.
    return whole[:SUMMARY_CHARS].rpartition("\n")[0].rstrip() + "\n\nThe rest was left out.\n"


def _suspect(suspect: Suspect, commits: Mapping[Oid, Commit]) -> str:
    commit = commits.get(suspect.commit)
    said = f" {code_span(commit.subject)} ({code_span(commit.author)}, {commit.when:%Y-%m-%d})" if commit else ""
    return f"{suspect.probability:.0%} {code_span(suspect.commit[:12])}{said}{_reasons(suspect.why)}"


def _place(place: Location) -> str:
    lines = f"{place.path}:{place.span.first}-{place.span.last}"
    return f"{lines} {place.symbol.partition(':')[2]}" if place.symbol else lines


def _reasons(why: Sequence[Evidence]) -> str:
    return "".join(f"\n   - {code_span(item.note)}" for item in why[:REASONS])


def _numbered(rows: Iterable[str]) -> str:
    return "\n".join(f"{number}. {row}" for number, row in enumerate(rows, start=1))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
