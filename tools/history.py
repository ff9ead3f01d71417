"""`history`: what happened to a file, a symbol or some lines, and what a commit did.

Commits are lines, newest first; the diff of one comes when it is named, cut down to the target. Places are those of the base: what was changed since is
traced back to it. Everything shown is an ancestor of the base.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from backstory.graph.follow import Step
from backstory.graph.repograph import History
from backstory.graph.telling import said_of
from backstory.graph.types import Change, Hunk, Oid, RepoPath, Span, Symbol
from backstory.tools.commits import FileChange, change_row, commit_row, file_changes, hunk_lines
from backstory.tools.diff import carried, diff
from backstory.tools.lines import split_lines
from backstory.tools.numbered import shown
from backstory.tools.page import BODY_TOKENS, answer, counted, label, refuse, shown_id
from backstory.tools.targets import File, Folder, IssueNumber, Lines, Revision, Target, find_commit, find_target, short, target_id
from backstory.tools.tool import Arguments, Observation, Parameter, Tool, number_argument, text_argument
from backstory.tools.view import View
from backstory.tools.visible import clean

LIMIT = 15
MAX_LIMIT = 200
BODY_LINES = 20  # of a commit message
DIFF_LINE_CHARS = 300
A_MERGE = "a merge: its changes are told by the commits it joins"
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def history_tool(view: View) -> Tool:
    """Return the tool over a view."""
    return Tool(
        "history",
        "Show the past of a file, symbol or lines, through renames and moves: its commits, newest first, with lines added and removed in it, issues, and"
        " whether one was reverted. With commit: that commit's diff of the target. With a commit as target: its message and files.",
        (
            Parameter("target", "string", "a path, symbol, path:first-last, a commit id or #issue", required=True),
            Parameter("commit", "string", "show what this commit did to the target"),
            Parameter("whole", "boolean", "with commit: its whole diff, not the target's part alone", default=False),
            Parameter("limit", "integer", "at most so many commits", default=LIMIT),
        ),
        "reads",
        lambda arguments: history(view, arguments),
    )


def history(view: View, arguments: Arguments) -> Observation:
    """Answer one call."""
    target = find_target(view, text_argument(arguments, "target"))
    if isinstance(target, Observation):
        return target
    named, whole = text_argument(arguments, "commit"), arguments["whole"] is True
    if named or (whole and isinstance(target, Revision)):
        revision = find_commit(view, named) if named else target
        if not isinstance(revision, Revision):
            return revision if isinstance(revision, Observation) else refuse("name a commit")
        return show_diff(view, revision.oid, None if whole else target)
    limit = number_argument(arguments, "limit", least=1, most=MAX_LIMIT) or LIMIT
    match target:
        case Revision():
            return show_commit(view, target.oid)
        case IssueNumber():
            return _issue(view, target.node, limit)
        case Folder():
            return refuse(f"{shown_id(target.path) or '.'} is a folder", hint="ask for the history of one of its files")
    if target.path not in view.graph.files():
        return refuse(f"{shown_id(target.path)} is new since the base", hint="it has no history yet")
    past = past_of(view, target, limit + 1)
    if past is None:
        return refuse(f"these lines of {shown_id(target.path)} are new since the base", hint="they have no history yet")
    return _steps(view, target, past, limit)


def past_of(view: View, target: File | Symbol | Lines, newest: int | None) -> History | None:
    """Return at least the newest steps (None: all) of a place, as the base tells them; None when the place is new since."""
    match target:
        case File():
            return view.graph.history(target.path)
        case Symbol():
            if target.path not in view.changed or view.graph.code.symbol(target.id) is not None:
                return view.graph.history(target.id, newest=newest)
            span = base_span(view, target.path, target.span)
        case Lines():
            span = base_span(view, target.path, target.span)
    return None if span is None else view.graph.history(target.path, span, newest=newest)


def base_span(view: View, path: RepoPath, span: Span) -> Span | None:
    """Return the lines of the base that lines of the current text came from; None when they are new."""
    if path not in view.changed:
        return span
    if path not in view.graph.files():
        return None
    now, then = split_lines(view.text(path) or b""), split_lines(view.graph.text(path))
    edits = diff(now, then)
    new = [range(edit.start, edit.stop) for edit in edits if edit.new_start == edit.new_stop]
    old = [carried(edits, line) + 1 for line in range(span.first - 1, span.last) if not any(line in lines for lines in new)]
    return Span(old[0], old[-1]) if old else None


# --- lists of commits ----------------------------------------------------------------------------------------------------------------------


def _steps(view: View, target: File | Symbol | Lines, past: History, limit: int) -> Observation:
    name = target_id(target)
    steps = past.steps
    if isinstance(target, File) or len(steps) <= limit:  # what else is kept of a symbol's past depends on what was asked before
        since = f", the first {view.graph.message(steps[-1].commit).when:%Y-%m-%d}" if steps else ""
        head = f"{shown_id(name)}: {counted(len(steps), 'change')}{since}"
        tail = [f"({len(steps) - limit} older not shown; raise limit)"] if len(steps) > limit else []
    else:
        head = f"{shown_id(name)}: the newest {counted(limit, 'change')}"
        tail = ["(older ones not shown; raise limit)"]
    rows = [commit_row(view, view.graph.commit(step.commit), size=_done(step)) for step in steps[:limit]]
    return answer([head], rows, tail=tail, more=lambda n: f"({n} of these did not fit; lower limit)")


def _done(step: Step) -> str:
    """Return what a step did, in a few words; that it edited goes without saying."""
    return label(said_of(step).removeprefix("edited").lstrip(", "), 100)


def _issue(view: View, node: str, limit: int) -> Observation:
    commits = [Oid(edge.src) for edge in view.graph.mentions() if edge.dst == node]
    if not commits:
        return refuse(f"no ancestor of the base names {node}")
    rows = [commit_row(view, view.graph.commit(oid)) for oid in commits[:limit]]
    tail = [f"({len(commits) - limit} older not shown; raise limit)"] if len(commits) > limit else []
    return answer([f"{len(commits)} commits name {node}:"], rows, tail=tail, more=lambda n: f"({n} of these did not fit; lower limit)")


# --- one commit ----------------------------------------------------------------------------------------------------------------------------


def show_commit(view: View, oid: Oid) -> Observation:
    """Return a commit's message and the files it changed, with the symbols."""
    commit = view.graph.commit(oid)
    body = [line for line in clean(commit.body).text.splitlines() if line.strip()]
    head = [
        commit_row(view, commit),
        f"  by {label(commit.author.partition(' <')[0], 60)}",
        *(f"  {label(line, 200)}" for line in body[:BODY_LINES]),
    ]
    if len(body) > BODY_LINES:
        head.append(f"  … {len(body) - BODY_LINES} lines more")
    rows = [change_row(view, file) for file in file_changes(view, oid)]
    if commit.is_merge:
        rows = [A_MERGE + ": " + ", ".join(short(parent) for parent in commit.parents)]
    tail = [f"(history(target, commit={short(oid)!r}) shows its diff of a target, with whole=true all of it)"] if commit.changes else []
    return answer(head, rows, tail=tail, more=lambda n: f"({n} files not shown)")


@dataclass(frozen=True)
class _Part:
    """One hunk of a diff as printed."""

    place: Hunk
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Side:
    """Where a place was after and before a commit; empty for nowhere."""

    new: tuple[Span, ...]
    old: tuple[Span, ...]

    def holds(self, hunk: Hunk) -> bool:
        """Return whether a hunk lies in it on either side."""
        new, old = hunk_lines(hunk, old=False), hunk_lines(hunk, old=True)
        return any(span.overlaps(new) for span in self.new) or any(span.overlaps(old) for span in self.old)


def show_diff(view: View, oid: Oid, target: Target | None) -> Observation:
    """Return what a commit changed: all of it (None, a commit, an issue), or the target's part."""
    commit = view.graph.commit(oid)
    head = [commit_row(view, commit)]
    if commit.is_merge:
        return answer(head, [A_MERGE], more=str)
    place = None if isinstance(target, Revision | IssueNumber) else target
    files = file_changes(view, oid)
    concerned = [file for file in files if place is None or _concerns(place, file)]
    step = None
    if isinstance(place, Lines) or (isinstance(place, Symbol) and not any(_by_name(view, place, file.change) for file in concerned)):
        step = _step_at(view, place, oid)
        concerned = [file for file in files if step is not None and file.change.path == step.path]
    if not concerned:
        said = f"{short(oid)} did not change {target_id(place) if place else 'anything'}; it changed"
        return refuse(said, candidates=[change_row(view, file) for file in files], hint="name one of these as target, or pass whole=true")
    rows = []
    left_out = 0
    for file in concerned:
        parts = list(_parts(view.graph.diff(oid, [file.change.path])))
        side = _side(view, place, step, file.change) if isinstance(place, Symbol | Lines) else None
        wanted = [part for part in parts if side is None or side.holds(part.place)]
        left_out += len(parts) - len(wanted)
        rows += [change_row(view, file), *("\n".join(part.lines) for part in wanted)]
    elsewhere = f"({counted(left_out, 'hunk')} elsewhere in this file not shown; target={shown_id(concerned[0].change.path)!r} shows all)"
    return answer(
        head,
        rows,
        tail=[elsewhere] if left_out else [],
        more=lambda n: f"({n} hunks or files did not fit; name a file or symbol as target)",
        budget=BODY_TOKENS,
    )


def _concerns(place: Folder | File | Symbol | Lines, file: FileChange) -> bool:
    path = file.today or file.change.path
    return not place.path or path.startswith(f"{place.path}/") if isinstance(place, Folder) else path == place.path


def _step_at(view: View, place: Symbol | Lines, oid: Oid) -> Step | None:
    """Return what a commit did to a place, looking at its newest changes first; None when it did nothing to it."""
    if place.path not in view.graph.files():
        return None
    for newest in (LIMIT + 1, None):
        past = past_of(view, place, newest)
        found = next((step for step in past.steps if step.commit == oid), None) if past is not None else None
        if found is not None or past is None or past.is_whole:
            return found
    return None


def _side(view: View, place: Symbol | Lines, step: Step | None, change: Change) -> _Side | None:
    """Return where a place was on both sides of a change: as its history says, or by its name; None when that cannot be told."""
    if step is not None:
        return _Side((step.span,) if step.span and step.kind != "removed" else (), (step.was_span,) if step.was_span else ())
    return _by_name(view, place, change) if isinstance(place, Symbol) else None


def _by_name(view: View, symbol: Symbol, change: Change) -> _Side | None:
    """Return where a symbol of that name was on both sides of a change, None when it was on neither."""
    sides = []
    for blob, path in ((change.blob, change.path), (change.was_blob, change.was or change.path)):
        rows = view.graph.defined_in(blob, path) if blob is not None else ()
        sides.append(tuple(row.span for row in rows if row.qualname == symbol.qualname))
    return _Side(sides[0], sides[1]) if any(sides) else None


def _parts(said: bytes) -> Iterator[_Part]:
    """Yield the hunks of a diff, cleaned line by line; nothing of a binary file."""
    place: Hunk | None = None
    lines: list[str] = []
    for raw in said.split(b"\n"):
        text = shown(raw.removesuffix(b"\r"))[0]
        header = _HUNK.match(text)
        if place is not None and (header or raw.startswith(b"diff --git ")):
            yield _Part(place, tuple(lines))
            place = None
        if header:
            old_first, old_count, new_first, new_count = (int(number) if number else 1 for number in header.groups())
            place, lines = Hunk(old_first, old_count, new_first, new_count), [label(text, 120)]
        elif place is not None and text[:1] in (" ", "+", "-", "\\"):
            lines.append(text if len(text) <= DIFF_LINE_CHARS else text[:DIFF_LINE_CHARS] + "…")
    if place is not None:
        yield _Part(place, tuple(lines))
