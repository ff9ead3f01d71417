"""The story of a place: what happened to it in the order it happened, and how these events hang together.

A history (`RepoGraph.history`) lists what each commit did to the place. The story adds what that alone does not tell: the issues a commit names or
closes, what was reverted, which earlier event a later fix mends, what else moves when the place moves, and which tests hold it. That a fix mends an
event is read off the lines the fix took out of the place: the commit that last wrote them is to blame (the rule of Sliwerski, Zimmermann and
Zeller 2005, MSR, here followed through moves and inside the place alone).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from backstory.graph.follow import WHITE_SPACE, Step
from backstory.graph.history import fixed_issues, issue_numbers, says_fix
from backstory.graph.hunks import old_lines
from backstory.graph.repograph import History, Message, RepoGraph
from backstory.graph.types import Change, Edge, Oid, RepoPath, Span, SymbolId

FIXES = 12  # newest fixes of a place whose lines are traced; each costs a walk back
RUNS = 6  # stretches of one fix that are traced
MOVES_WITH = 5  # files, and symbols, told of
TESTS = 5


@dataclass(frozen=True)
class Event:
    """One commit in the story of a place.

    issues: numbers its message names; closes: those it says it closes. undoes, undone_by: commits it says it reverts, and those that say so of it.
    mends: for a fix, the events whose lines it replaced here, most lines first; mended_by: the fixes that replaced lines this event wrote.
    """

    step: Step
    message: Message
    issues: Sequence[str] = ()
    closes: Sequence[str] = ()
    is_fix: bool = False
    undoes: Sequence[Oid] = ()
    undone_by: Sequence[Oid] = ()
    mends: Sequence[Oid] = ()
    mended_by: Sequence[Oid] = ()


@dataclass(frozen=True)
class Story:
    """What there is to tell of a place. events: oldest first. around: the innermost symbol that holds a span, None where there is none.

    moves_with: files and then symbols that changed with it most. tests: files that exercise it, surest first.
    """

    history: History
    around: SymbolId | None
    events: Sequence[Event]
    moves_with: Sequence[Edge]
    tests: Sequence[RepoPath]


def story_of(graph: RepoGraph, place: SymbolId | RepoPath, span: Span | None = None) -> Story:
    """Return the story of a symbol, a span of lines or a whole file. Raises KeyError and ValueError as `RepoGraph.history` does."""
    history = graph.history(place, span)
    around = next(reversed(graph.holders(history)), None)
    holder = SymbolId(f"{history.path}:{history.symbol}") if history.symbol else around
    with_symbols = graph.symbols_moving_with(history, MOVES_WITH) if history.span is not None else ()
    return Story(
        history,
        around,
        _events(graph, history),
        [*graph.co_changed(history.path, MOVES_WITH), *with_symbols],
        graph.code.tests_of([holder or history.path])[:TESTS],
    )


def _events(graph: RepoGraph, history: History) -> list[Event]:
    undone: dict[Oid, list[Oid]] = defaultdict(list)
    undoes: dict[Oid, list[Oid]] = defaultdict(list)
    for edge in graph.reverts():
        undone[Oid(edge.dst)].append(Oid(edge.src))
        undoes[Oid(edge.src)].append(Oid(edge.dst))
    messages = {step.commit: graph.message(step.commit) for step in history.steps}
    mends = _mends(graph, history, messages)
    mended: dict[Oid, list[Oid]] = defaultdict(list)
    for fix, writers in mends.items():
        for writer in writers:
            mended[writer].append(fix)
    events = []
    for step in reversed(history.steps):
        message = messages[step.commit]
        said = f"{message.subject}\n{message.body}"
        events.append(
            Event(
                step,
                message,
                issue_numbers(said),
                fixed_issues(said),
                says_fix(message.subject, message.body),
                undoes.get(step.commit, ()),
                undone.get(step.commit, ()),
                mends.get(step.commit, ()),
                mended.get(step.commit, ()),
            )
        )
    return events


def _mends(graph: RepoGraph, history: History, messages: Mapping[Oid, Message]) -> dict[Oid, list[Oid]]:
    """Return, for the newest fixes of a place, the events whose lines each replaced in it, most lines first."""
    events = set(messages)
    fixes = [
        step
        for step in history.steps
        if step.removed
        and step.kind == "edited"
        and step.evidence != WHITE_SPACE
        and says_fix(messages[step.commit].subject, messages[step.commit].body)
    ]
    found: dict[Oid, list[Oid]] = {}
    if history.span is None:  # every line the fix took out of the file is looked at, as of any other file
        for step in fixes[:FIXES]:
            found[step.commit] = [Oid(edge.dst) for edge in graph.introduced(step.commit) if edge.dst in events]
        return {fix: writers for fix, writers in found.items() if writers}
    for step in fixes[:FIXES]:
        lines: dict[Oid, int] = defaultdict(int)
        for path, blob, run in _removed(graph, step):
            writer = graph.last_writer(path, blob, run, before=step.commit)
            if writer in events:
                lines[writer] += run.last - run.first + 1
        if lines:
            found[step.commit] = sorted(lines, key=lambda oid: (-lines[oid], oid))
    return found


def _removed(graph: RepoGraph, step: Step) -> Iterator[tuple[RepoPath, Oid, Span]]:
    """Yield (path, version, lines) of the stretches a step took out of its place."""
    change = next((change for change in graph.commit(step.commit).changes if change.path == step.path), None)
    if change is None or change.was_blob is None or step.was_span is None:
        return
    for run in _runs(change, step.was_span)[:RUNS]:
        yield change.was or change.path, change.was_blob, run


def _runs(change: Change, within: Span) -> list[Span]:
    runs = [old_lines(hunk) for hunk in change.hunks or () if hunk.old_count]
    cut = [Span(max(run.first, within.first), min(run.last, within.last)) for run in runs if run.overlaps(within)]
    return sorted(cut, key=lambda run: (run.first - run.last, run.first))
