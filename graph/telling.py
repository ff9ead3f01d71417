"""Puts what the past says of a place into words: plain lines, newest first, cut to a budget of tokens.

The text is for whoever reads next, a person or a model. What came from the repository (subjects, names, paths) is on one line each but not cleaned
of control characters; whoever shows it does that.
"""

from collections.abc import Sequence

from backstory.graph.follow import WHITE_SPACE, Step
from backstory.graph.repograph import History, RepoGraph

CHARS_A_TOKEN = 3.5  # of English mixed with code and commit ids, by the tokenizers in use; a budget should rather be kept than filled
SHORT_OID = 12  # digits; unique in any repository seen so far
SUBJECT_CHARS = 90


def tell_history(graph: RepoGraph, history: History, *, tokens: int | None = None) -> str:
    """Return a history as text: what the place is, then a line for each step, newest first.

    tokens: at most about so many; the first step, the newest, renames, moves and large edits are kept longest, and how many steps are left out is said.
    """
    rows = [_row(graph, step) for step in history.steps]
    head = _head(graph, history)
    kept = _within(rows, history.steps, None if tokens is None else int(tokens * CHARS_A_TOKEN) - len(head) - len(LEFT_OUT) - 10)
    lines = [head, *(rows[number] for number in kept)]
    if len(kept) < len(rows):
        lines.append(LEFT_OUT.format(len(rows) - len(kept)))
    return "\n".join(lines) + "\n"


LEFT_OUT = "({} smaller changes left out)"


def _head(graph: RepoGraph, history: History) -> str:
    where = f" (lines {history.span.first}-{history.span.last})" if history.symbol and history.span is not None else ""
    if not history.steps:
        return f"{history.name}{where}: no commit changed it"
    oldest = graph.message(history.steps[-1].commit).when.date()
    count = len(history.steps)
    return f"{history.name}{where}: {count} {'change' if count == 1 else 'changes'} since {oldest}, newest first"


def _row(graph: RepoGraph, step: Step) -> str:
    message = graph.message(step.commit)
    subject = " ".join(message.subject.split())
    subject = subject if len(subject) <= SUBJECT_CHARS else subject[: SUBJECT_CHARS - 1] + "…"
    return f"{message.when.date()} {step.commit[:SHORT_OID]} {said_of(step)}: {subject}"


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


def _within(rows: Sequence[str], steps: Sequence[Step], chars: int | None) -> list[int]:
    """Return the numbers of the rows that fit, in order: the most telling ones."""
    if chars is None or sum(len(row) + 1 for row in rows) <= chars + len(LEFT_OUT):
        return list(range(len(rows)))

    def telling(number: int) -> tuple[bool, bool, int, int]:
        step = steps[number]
        return (
            number in (0, len(steps) - 1),
            step.kind != "edited",
            0 if step.evidence == WHITE_SPACE else step.added + step.removed,
            -number,
        )

    kept: list[int] = []
    for number in sorted(range(len(rows)), key=telling, reverse=True):
        chars -= len(rows[number]) + 1
        if chars < 0:
            break
        kept.append(number)
    return sorted(kept)
