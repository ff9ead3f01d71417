"""Renders what agents are told, most shared first, so that a server's prefix cache serves every step, attempt, agent and issue of a repository.

    system (all runs) -> [tools] -> repository card (one commit) -> issue, check, past (one issue) -> role and what is chosen for the attempt -> transcript

Nothing here looks at a clock, an id or chance. All after the system text is one user message, since many chat templates refuse two in a row.
"""

from collections.abc import Sequence

from backstory.agent.card import repository_card
from backstory.agent.defect import Defect, defect_text
from backstory.agent.inducers import Inducer
from backstory.agent.messages import Message
from backstory.agent.question import Question
from backstory.agent.quote import quoted
from backstory.agent.types import Blamed, Issue
from backstory.graph.languages import language_of
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Evidence, Location
from backstory.memory.recall import PastChange
from backstory.prompts import render, source_hash
from backstory.tools.targets import short
from backstory.tools.verdict import Verdict
from backstory.tools.visible import one_line

PROMPTS = ("system", "case", "localizer", "resolver", "recap", "reader", "origin")

# About 3,000 tokens of issue: longer ones repeat themselves in logs, of which head and tail are kept.
ISSUE_CHARS = 12_000
OUTPUT_CHARS = 4_000
FIX_CHARS = 12_000  # of what a fix changes; one of more mends several things
DIFF_CHARS = 3_000  # what HAFixAgent found a diff of the blamed commit worth
CANDIDATES = 12
REASONS = 2
SIMILAR = 5
PATHS_NAMED = 6


def prompt_versions() -> dict[str, str]:
    """Return the hash of each text that agents are told, by name, for the trace."""
    return {name: source_hash(name)[:16] for name in PROMPTS}


def system() -> Message:
    """Return the text that all agents of all runs share."""
    return Message("system", render("system").text)


def case_text(
    graph: RepoGraph,
    issue: Issue,
    similar: Sequence[PastChange],
    *,
    question: Question | None = None,
    unanswered: Verdict | None = None,
    blamed: Blamed | None = None,
) -> str:
    """Return what is the same for every agent and attempt on one issue. unanswered: what a check gave that is no question."""
    whole = issue.body if issue.body.startswith(issue.title) else issue.text
    return render(
        "case",
        card=repository_card(graph).strip(),
        issue=quoted("issue", whole, limit=ISSUE_CHARS),
        check=_check(question, unanswered),
        blamed=_blamed(blamed, graph),
        similar=similar_text(similar),
    ).text


def localizer_text(candidates: Sequence[Location], *, replies: int) -> str:
    """Return what the localizer is asked."""
    return render("localizer", candidates=places_text(candidates[:CANDIDATES]), replies=str(replies)).text


def resolver_text(places: Sequence[Location], diagnosis: str, similar: Sequence[PastChange], *, has_check: bool, replies: int) -> str:
    """Return what the resolver is asked.

    diagnosis: the localizer's, or "". similar: past changes that this attempt alone is shown. has_check: whether a check was given.
    """
    proof = (
        "A check is given; `check` runs it."
        if has_check
        else "No check is given. First write a test that shows the fault with `reproduce`: it must fail now, and pass when you are done."
    )
    return render(
        "resolver",
        places=places_text(places[:CANDIDATES]),
        diagnosis=quoted("diagnosis", diagnosis, limit=OUTPUT_CHARS) or "Nobody has looked into it yet.",
        similar=f"More past changes that may show the way:\n\n{similar_text(similar)}" if similar else "",
        replies=str(replies),
        proof=proof,
    ).text


def reader() -> Message:
    """Return the system text of who reads the past and changes nothing."""
    return Message("system", render("reader").text)


def origin_text(graph: RepoGraph, defect: Defect, shortlist: Sequence[Inducer], *, reads: int, replies: int) -> str:
    """Return what is asked of who looks for the commit that introduced a defect."""
    shown = "\n\n".join(
        filter(None, (quoted("message", defect.said, limit=OUTPUT_CHARS), quoted("diff", defect_text(defect), limit=FIX_CHARS)))
    )
    return render(
        "origin", fix=shown, candidates="\n".join(_candidate(graph, one) for one in shortlist), reads=str(reads), replies=str(replies)
    ).text


def _candidate(graph: RepoGraph, inducer: Inducer) -> str:
    message = graph.message(inducer.commit)
    return f"- {short(inducer.commit)} {message.when.date()} {one_line(message.subject, limit=100)} — {_reasons(inducer.why)}"


def places_text(places: Sequence[Location]) -> str:
    """Return places, one a line, with their first reasons."""
    return "\n".join(f"- {place_id(place)} — {_reasons(place.why)}" for place in places) or "- none"


def place_id(place: Location) -> str:
    """Return how a place is called when spoken of: its symbol, or its file and lines."""
    return one_line(str(place.symbol)) if place.symbol is not None else f"{one_line(place.path)}:{place.span.first}-{place.span.last}"


def similar_text(changes: Sequence[PastChange]) -> str:
    """Return past changes, one a line: id, subject, what they touched."""
    return "\n".join(_similar(change) for change in changes) or "- none"


def _similar(change: PastChange) -> str:
    more = f" and {len(change.paths) - PATHS_NAMED} more" if len(change.paths) > PATHS_NAMED else ""
    touched = ", ".join(one_line(path) for path in change.paths[:PATHS_NAMED])
    return f"- {short(change.commit)} {one_line(change.subject, limit=100)} — {touched}{more}"


def _reasons(why: Sequence[Evidence]) -> str:
    return "; ".join(one_line(item.note, limit=120) for item in why[:REASONS]) or "no reason given"


def _check(question: Question | None, unanswered: Verdict | None) -> str:
    if question is None:
        said = f" What was run at the base: {one_line(unanswered.summary)}." if unanswered is not None else ""
        return f"None was given, and no failing test belongs to the issue.{said}"
    output = quoted("output", question.verdict.output, limit=OUTPUT_CHARS)
    return f"`{one_line(question.check.command, limit=400)}` fails at the base: {one_line(question.verdict.summary)}\n\n{output}".rstrip()


def _blamed(blamed: Blamed | None, graph: RepoGraph) -> str:
    if blamed is None:
        return "No commit is known to have broken it."
    sure = {"confirmed": "broke it", "narrowed": "or one near it broke it", "suspected": "is suspected of having broken it"}[blamed.status]
    commit = graph.commit(blamed.commit)
    changed = [change.path for change in commit.changes if not graph.code.is_test(change.path)]
    code = [path for path in changed if language_of(path) is not None]
    paths = code or changed  # what documentation says of it has no room beside the code
    diff = graph.diff(blamed.commit, paths).decode("utf-8", "replace") if paths else ""
    head = f"Commit {short(blamed.commit)} of {blamed.when} {sure}: {one_line(blamed.subject, limit=120)}"
    return f"{head}\n\n{quoted('diff', diff, limit=DIFF_CHARS)}".rstrip()
