"""Puts what the past says of a place into words, within a budget of tokens.

A history is a line for each step, newest first; a story is the events in the order they happened, with what hangs together, then what moves with the
place and what tests hold it. The text is for whoever reads next, a person or a model. What came from the repository (subjects, names, paths) has its
white space folded but is not cleaned of control characters; whoever shows it does that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backstory.graph.follow import WHITE_SPACE, Step
from backstory.graph.repograph import History, Message, RepoGraph
from backstory.graph.story import Event, Story
from backstory.graph.types import Oid

CHARS_A_TOKEN = 4  # what tokenizers make of code and English
SHORT_OID = 12  # digits; unique in any repository seen so far
SUBJECT_CHARS = 90
WHY_CHARS = 280  # of a message's body: its first sentences
EVENTS_SHARE = (
    0.7  # of a story's room, for the events themselves when not everything fits; the rest is for what they have to do with each other
)
FEWEST_CHARS = 400  # a smaller budget than this says nothing
LEFT_OUT = "({} smaller changes left out)"

TellingKind = Literal["place", "event", "detail", "heading", "item"]


@dataclass(frozen=True)
class Telling:
    """One line of a story, and what kind of line it is, for whoever gives it a look."""

    text: str
    kind: TellingKind


def tell_history(graph: RepoGraph, history: History, *, tokens: int | None = None) -> str:
    """Return a history as text: what the place is, then a line for each step, newest first.

    tokens: at most about so many; the first step, the newest, renames, moves and large edits are kept longest, and how many steps are left out is said.
    """
    rows = [step_line(step, graph.message(step.commit)) for step in history.steps]
    head = _history_head(graph, history)
    room = None if tokens is None else tokens * CHARS_A_TOKEN - len(head) - len(LEFT_OUT) - 10
    kept = _within([len(row) for row in rows], [_worth(step) for step in history.steps], room)
    lines = [head, *(rows[number] for number in kept)]
    if len(kept) < len(rows):
        lines.append(LEFT_OUT.format(len(rows) - len(kept)))
    return "\n".join(lines) + "\n"


def tell_story(story: Story, *, tokens: int | None = None) -> list[Telling]:
    """Return a story as lines: the place, its events oldest first with their reasons, what moves with it, and the tests that hold it.

    tokens: at most about so many. Kept longest are the first and the newest event, fixes, reverts, renames and moves; of what is kept the reasons
    (the first sentences of a message) are cut before the links between events.
    """
    head = Telling(_story_head(story), "place")
    tail = _tail(story)
    room = None if tokens is None else max(FEWEST_CHARS, tokens * CHARS_A_TOKEN) - _chars([head, *tail]) - len(LEFT_OUT) - 10
    lines = [Telling(step_line(event.step, event.message, event), "event") for event in story.events]
    worth = [_worth_of_event(event) for event in story.events]
    kept = _within([len(line.text) for line in lines], worth, None if room is None else int(room * EVENTS_SHARE))
    room = None if room is None else room - _chars([lines[number] for number in kept])
    details: dict[int, list[Telling]] = {number: [] for number in kept}
    by_worth = sorted(kept, key=lambda number: worth[number], reverse=True)
    for say in (_links, _reason):
        for number in by_worth:
            said = say(story, story.events[number])
            if said and (room is None or len(said) + 5 <= room):
                details[number].append(Telling(f"    {said}", "detail"))
                room = None if room is None else room - len(said) - 5
    told = [head]
    for number in kept:
        told += [lines[number], *reversed(details[number])]
    if len(kept) < len(lines):
        told.append(Telling(LEFT_OUT.format(len(lines) - len(kept)), "detail"))
    return told + tail


def step_line(step: Step, message: Message, event: Event | None = None) -> str:
    """Return a commit as one line: date, id, what it did to the place, its subject; with an event its author and the issues it closes too."""
    line = f"{message.when.date()} {step.commit[:SHORT_OID]} {said_of(step)}: {_cut(message.subject, SUBJECT_CHARS)}"
    if event is None:
        return line
    closes = f" (closes {', '.join(event.closes)})" if event.closes else ""
    return f"{line}{closes} [{message.author.partition(' <')[0]}]"


def said_of(step: Step) -> str:
    """Return what a step did, in a few words.

    >>> from backstory.graph.types import Oid, RepoPath, Span
    >>> said_of(Step(Oid("a" * 40), "edited", RepoPath("a.py"), Span(1, 9), "f", None, Span(1, 7), None, 3, 1, "3 added, 1 removed"))
    'edited +3 -1'
    """
    size = f" +{step.added} -{step.removed}"
    match step.kind:
        case "added":
            return f"added in {step.path}{size}"
        case "removed":
            return f"removed from {step.path}{size}"
        case "renamed":
            return f"renamed from {step.was_name}{size}"
        case "moved":
            name = f":{step.was_name}" if step.was_name else ""
            return f"moved from {step.was_path}{name} to {step.path}{size if step.added or step.removed else ''}"
        case "edited":
            return "edited, white space only" if step.evidence == WHITE_SPACE else f"edited{size}"


def _history_head(graph: RepoGraph, history: History) -> str:
    if not history.steps:
        return f"{_place(history)}: no commit changed it"
    oldest = graph.message(history.steps[-1].commit).when.date()
    return f"{_place(history)}: {_changes(len(history.steps))} since {oldest}, newest first"


def _story_head(story: Story) -> str:
    around = f", in {story.around.rpartition(':')[2]}" if story.around else ""
    count = f": {_changes(len(story.events))} since {story.events[0].message.when.date()}" if story.events else ": no commit changed it"
    return f"{_place(story.history)}{around}{count}"


def _place(history: History) -> str:
    where = f" (lines {history.span.first}-{history.span.last})" if history.symbol and history.span is not None else ""
    return f"{history.name}{where}"


def _links(story: Story, event: Event) -> str:
    """Return how an event hangs together with others, "" when it does not."""
    dates = {other.step.commit: other.message.when.date() for other in story.events}

    def named(oids: Sequence[Oid]) -> str:
        return ", ".join(f"{oid[:SHORT_OID]} ({dates[oid]})" if oid in dates else oid[:SHORT_OID] for oid in oids)

    parts = [
        ("undoes", event.undoes),
        ("undone by", event.undone_by),
        ("mends what came with", event.mends),
        ("mended by", event.mended_by),
    ]
    return "; ".join(f"{what} {named(oids)}" for what, oids in parts if oids)


def _reason(_: Story, event: Event) -> str:
    """Return the first sentences of a message's body, without the trailers that say who and where."""
    kept: list[str] = []
    for line in event.message.body.splitlines():
        if not line.strip() and kept:
            break
        if line.strip() and not _is_trailer(line):
            kept.append(line.strip())
    return _cut(" ".join(kept), WHY_CHARS)


def _is_trailer(line: str) -> bool:
    name, colon, _ = line.strip().partition(":")
    return bool(colon) and name.lower().endswith(("-by", "-id", "-url", "svn-id")) and " " not in name


def _tail(story: Story) -> list[Telling]:
    found: list[Telling] = []
    if story.moves_with:
        found.append(Telling("moves with", "heading"))
        found += [Telling(f"    {edge.dst} ({edge.evidence})", "item") for edge in story.moves_with]
    if story.tests:
        found.append(Telling("tests that hold it", "heading"))
        found += [Telling(f"    {path}", "item") for path in story.tests]
    return found


Worth = tuple[int, int]
"""How much a line is worth keeping, more first."""


def _worth(step: Step) -> Worth:
    return (0, 0) if step.evidence == WHITE_SPACE else (step.kind != "edited", step.added + step.removed)


def _worth_of_event(event: Event) -> Worth:
    told = bool(event.undoes or event.undone_by or event.closes) + bool(event.mends or event.mended_by) + event.is_fix
    first, size = _worth(event.step)
    return first + told, size


def _within(chars: Sequence[int], worth: Sequence[Worth], room: int | None) -> list[int]:
    """Return the numbers of the lines that fit, in order: the first and the last, then those worth most, newer first where equal."""
    if room is None or sum(chars) + len(chars) <= room:
        return list(range(len(chars)))
    kept: list[int] = []
    for number in sorted(range(len(chars)), key=lambda number: (number in (0, len(chars) - 1), worth[number], -number), reverse=True):
        room -= chars[number] + 1
        if room < 0:
            break
        kept.append(number)
    return sorted(kept)


def _chars(lines: Sequence[Telling]) -> int:
    return sum(len(line.text) + 1 for line in lines)


def _changes(count: int) -> str:
    return "1 change" if count == 1 else f"{count} changes"


def _cut(text: str, limit: int) -> str:
    folded = " ".join(text.split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"
