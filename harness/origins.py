"""What is told of where a defect came from, and of what mended one: ranked commits, as lines for a person and as objects for a program."""

from collections.abc import Sequence

from backstory.agent.inducers import Inducer
from backstory.agent.trace import Json
from backstory.graph.repograph import RepoGraph
from backstory.graph.telling import SHORT_OID, SUBJECT_CHARS
from backstory.graph.types import Evidence, Oid
from backstory.harness.show import Line
from backstory.memory.fixes import LikelyFix
from backstory.tools.visible import one_line

REASONS = 4  # told of each candidate to a person; a program gets all


def origin_lines(graph: RepoGraph, ranked: Sequence[Inducer], limit: int) -> list[Line]:
    """Return the likeliest commits as lines: how likely, which, and why."""
    lines: list[Line] = []
    for place, inducer in enumerate(ranked[:limit], 1):
        lines.append(Line(f"{place:2}. {inducer.probability:4.0%}  {_commit_line(graph, inducer.commit)}", "name"))
        lines.append(Line(f"           {_notes(inducer.why)}", "dim"))
    if len(ranked) > limit:
        rest = sum(inducer.probability for inducer in ranked[limit:])
        lines.append(Line(f"    {rest:4.0%}  {len(ranked) - limit} others", "dim"))
    return lines


def origin_json(graph: RepoGraph, ranked: Sequence[Inducer], limit: int) -> list[Json]:
    """Return the likeliest commits as objects; docs/output.md describes their fields."""
    return [
        {
            **_commit_json(graph, inducer.commit),
            "probability": round(inducer.probability, 6),
            "rung": inducer.rung,
            "why": _why(inducer.why),
        }
        for inducer in ranked[:limit]
    ]


def fixes_lines(graph: RepoGraph, found: Sequence[LikelyFix]) -> list[Line]:
    """Return likely fixes as lines: which, and why."""
    lines: list[Line] = []
    for place, fix in enumerate(found, 1):
        lines.append(Line(f"{place:2}. {_commit_line(graph, fix.commit)}", "name"))
        lines.append(Line(f"     {_notes(fix.why)}", "dim"))
    return lines


def fixes_json(graph: RepoGraph, found: Sequence[LikelyFix]) -> list[Json]:
    """Return likely fixes as objects; docs/output.md describes their fields."""
    return [{**_commit_json(graph, fix.commit), "score": round(fix.score, 6), "why": _why(fix.why)} for fix in found]


def _commit_line(graph: RepoGraph, oid: Oid) -> str:
    message = graph.message(oid)
    return f"{message.when.date()} {oid[:SHORT_OID]} {one_line(message.subject, limit=SUBJECT_CHARS)} [{message.author.partition(' <')[0]}]"


def _commit_json(graph: RepoGraph, oid: Oid) -> dict[str, Json]:
    message = graph.message(oid)
    return {
        "commit": oid,
        "when": message.when.isoformat(),
        "author": message.author,
        "is_bot": message.is_bot,
        "subject": message.subject,
    }


def _notes(why: Sequence[Evidence]) -> str:
    return "; ".join(one_line(reason.note) for reason in why[:REASONS])


def _why(why: Sequence[Evidence]) -> list[Json]:
    return [{"kind": reason.kind, "ref": reason.ref, "note": reason.note} for reason in why]
