"""What is told of the past, as objects for a program."""

from collections.abc import Sequence

from backstory.agent.trace import Json
from backstory.graph.story import Event, Story
from backstory.graph.types import Span


def story_json(story: Story) -> dict[str, Json]:
    """Return a story as one object; docs/output.md describes its fields."""
    history = story.history
    return {
        "place": {"path": history.path, "span": _span(history.span), "symbol": history.symbol or None, "around": story.around},
        "events": [_event_json(event) for event in story.events],
        "moves_with": [{"to": edge.dst, "weight": round(edge.weight, 6), "note": edge.evidence} for edge in story.moves_with],
        "tests": list(story.tests),
    }


def _event_json(event: Event) -> dict[str, Json]:
    step, message = event.step, event.message
    return {
        "commit": step.commit,
        "when": message.when.isoformat(),
        "author": message.author,
        "is_bot": message.is_bot,
        "subject": message.subject,
        "body": message.body,
        "what": step.kind,
        "path": step.path,
        "span": _span(step.span),
        "symbol": step.name or None,
        "was_path": step.was_path,
        "was_span": _span(step.was_span),
        "was_symbol": step.was_name,
        "added": step.added,
        "removed": step.removed,
        "note": step.evidence,
        "issues": list(event.issues),
        "closes": list(event.closes),
        "is_fix": event.is_fix,
        "undoes": _oids(event.undoes),
        "undone_by": _oids(event.undone_by),
        "mends": _oids(event.mends),
        "mended_by": _oids(event.mended_by),
    }


def _span(span: Span | None) -> Json:
    return None if span is None else [span.first, span.last]


def _oids(oids: Sequence[str]) -> Json:
    return list(oids)
