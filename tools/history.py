"""`history`: what happened to a file, a symbol or some lines, and what a commit did.

Commits are lines, newest first; the diff of one comes when it is named, cut down to the target. Everything shown is an ancestor of the base.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backstory.graph.history import fixed_issues, issue_numbers
from backstory.graph.types import Change, Commit, Hunk, Oid, RepoPath, Span, Symbol
from backstory.tools.diff import carried, diff
from backstory.tools.lines import split_lines
from backstory.tools.numbered import shown
from backstory.tools.page import BODY_TOKENS, answer, label, refuse
from backstory.tools.targets import File, Folder, IssueNumber, Lines, Revision, find_commit, find_target, lines_of, short
from backstory.tools.tool import Arguments, Observation, Parameter, Tool, number_argument, text_argument
from backstory.tools.view import View
from backstory.tools.visible import clean

LIMIT = 15
MAX_LIMIT = 200
BODY_LINES = 20  # of a commit message
DIFF_LINE_CHARS = 300
SYMBOLS_NAMED = 6  # of those a change touched, in one file
ROW_SUBJECT_CHARS = 110
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def history_tool(view: View) -> Tool:
    """Return the tool over a view."""
    return Tool(
        "history",
        "Show the past of a file, symbol or lines: its commits, newest first, with lines added and removed, issues, and whether one was reverted. With"
        " commit: that commit's diff of the target. With a commit as target: its message and files.",
        (
            Parameter("target", "string", "a path, symbol, path:first-last, or a commit id", required=True),
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
    named = text_argument(arguments, "commit")
    if named:
        revision = find_commit(view, named)
        if isinstance(revision, Observation):
            return revision
        return show_diff(view, revision.oid, None if arguments["whole"] or isinstance(target, Revision | IssueNumber) else target)
    limit = number_argument(arguments, "limit", least=1, most=MAX_LIMIT) or LIMIT
    match target:
        case Revision():
            return show_diff(view, target.oid, None) if arguments["whole"] else show_commit(view, target.oid)
        case IssueNumber():
            commits = [Oid(edge.src) for edge in view.graph.mentions() if edge.dst == target.node]
            return _listed(view, f"{len(commits)} commits name {target.node}", commits, limit, None)
        case Folder():
            return refuse(f"{label(target.path) or '.'} is a folder", hint="ask for the history of one of its files")
        case File():
            commits = list(view.graph.touched(target.path))
            return _listed(view, f"{label(target.path)}: {len(commits)} commits changed it", commits, limit, target.path)
    span = base_span(view, target)
    if span is None:
        return refuse(f"these lines of {label(target.path)} are new since the base", hint="they have no history yet")
    commits = sorted({oid for _, oid in view.graph.origin(target.path, span)}, key=_places(view).__getitem__)
    name = target.id if isinstance(target, Symbol) else f"{target.path}:{lines_of(target.span)}"
    head = f"{label(name)}: its lines come from {len(commits)} commits (lines of the base {lines_of(span)}; history({label(target.path)!r}) has all of the file's)"
    return _listed(view, head, commits, limit, target.path)


def base_span(view: View, target: Symbol | Lines) -> Span | None:
    """Return the lines of the base that a place came from; None when it is new."""
    path = target.path
    if path not in view.changed:
        return target.span
    if path not in view.graph.files():
        return None
    if isinstance(target, Symbol):
        then = view.graph.code.symbol(target.id)
        if then is not None:
            return then.span
    now, then_lines = split_lines(view.text(path) or b""), split_lines(view.graph.text(path))
    edits = diff(now, then_lines)
    first, last = carried(edits, target.span.first - 1) + 1, carried(edits, target.span.last - 1) + 1
    return Span(first, min(last, len(then_lines))) if first <= len(then_lines) else None


def _places(view: View) -> dict[Oid, int]:
    return {oid: place for place, oid in enumerate(view.graph.order())}


# --- lists of commits ----------------------------------------------------------------------------------------------------------------------


def _listed(view: View, head: str, commits: Sequence[Oid], limit: int, path: RepoPath | None) -> Observation:
    rows = [commit_row(view, oid, path) for oid in commits[:limit]]
    left = len(commits) - len(rows)
    tail = [f"({left} older not shown; raise limit)"] if left > 0 else []
    return answer([head], rows, tail=tail, more=lambda n: f"({n} of these did not fit)")


def commit_row(view: View, oid: Oid, path: RepoPath | None = None) -> str:
    """Return a commit as a line: date, id, lines added and removed (in one of today's files, or in all), subject, issues, what became of it."""
    commit = view.graph.commit(oid)
    changes = commit.changes
    if path is not None:
        changes = tuple(change for change, today in zip(changes, view.graph.changed_paths(oid), strict=True) if today == path)
    parts = [f"{commit.when:%Y-%m-%d} {short(oid)}", _sizes(changes), label(commit.subject, ROW_SUBJECT_CHARS), _flags(view, commit)]
    return " ".join(part for part in parts if part)


def _sizes(changes: Sequence[Change]) -> str:
    """Return `+3 -1`, or nothing when the lines were not read."""
    hunks = [hunk for change in changes for hunk in change.hunks or ()]
    if not hunks:
        return ""
    return f"+{sum(hunk.new_count for hunk in hunks)} -{sum(hunk.old_count for hunk in hunks)}"


def _flags(view: View, commit: Commit) -> str:
    said = f"{commit.subject}\n{commit.body}"
    fixed = fixed_issues(said)
    flags = [f"fixes {' '.join(fixed)}"] if fixed else []
    others = [number for number in issue_numbers(said) if number not in fixed and number not in commit.subject]
    flags += [" ".join(others[:3])] if others else []
    flags += [f"reverts {short(Oid(edge.dst))}" for edge in view.graph.reverts() if edge.src == commit.oid]
    flags += [f"reverted by {short(Oid(edge.src))}" for edge in view.graph.reverts() if edge.dst == commit.oid]
    flags += ["merge"] if commit.is_merge else []
    return f"[{'; '.join(flags)}]" if flags else ""


# --- one commit ----------------------------------------------------------------------------------------------------------------------------


def show_commit(view: View, oid: Oid) -> Observation:
    """Return a commit's message and the files it changed, with the symbols."""
    commit = view.graph.commit(oid)
    head = [
        f"commit {short(oid)} {commit.when:%Y-%m-%d} {label(commit.author, 60)} {_flags(view, commit)}".rstrip(),
        label(commit.subject, 200),
    ]
    body = clean(commit.body).text.splitlines()
    head += [f"  {label(line, 200)}" for line in body[:BODY_LINES] if line.strip()]
    if len(body) > BODY_LINES:
        head.append(f"  … {len(body) - BODY_LINES} lines more")
    rows = [file_change_row(view, change, today) for change, today in zip(commit.changes, view.graph.changed_paths(oid), strict=True)]
    if commit.is_merge:
        rows = [f"merges {', '.join(short(parent) for parent in commit.parents)}; its changes are told by the commits it joins"]
    tail = [f"(history(target, commit={short(oid)!r}) shows its diff of a target; with whole, all of it)"] if commit.changes else []
    return answer(head, rows, tail=tail, more=lambda n: f"({n} files not shown)")


def file_change_row(view: View, change: Change, today: RepoPath | None) -> str:
    """Return what a commit did to a file as a line: its path then and today, lines, and the symbols it touched."""
    said = [label(change.path)]
    if change.was is not None:
        said.append(f"(was {label(change.was, 80)})")
    elif change.status != "modified":
        said.append(f"({change.status})")
    if today != change.path and change.status != "deleted":
        said.append(f"(now {label(today, 80)})" if today else "(gone since)")
    said.append(_sizes([change]))
    names = touched_symbols(view, change)
    shown_names = ", ".join(label(name, 60) for name in names[:SYMBOLS_NAMED])
    if len(names) > SYMBOLS_NAMED:
        shown_names += f" and {len(names) - SYMBOLS_NAMED} more"
    return " ".join(part for part in [*said, f": {shown_names}" if names else ""] if part).replace(" : ", ": ")


def touched_symbols(view: View, change: Change) -> Sequence[str]:
    """Return the qualified names, innermost, of what a change touched, in order of position: on its new side, or the old one of a deletion."""
    old_side = change.blob is None
    blob = change.was_blob if old_side else change.blob
    if blob is None or not change.hunks:
        return []
    spans = definitions_at(view, blob, change.path)
    names: dict[str, None] = {}
    for hunk in change.hunks:
        first, last = (
            (hunk.old_first, hunk.old_first + max(0, hunk.old_count - 1))
            if old_side
            else (hunk.new_first, hunk.new_first + max(0, hunk.new_count - 1))
        )
        names.update(dict.fromkeys(_innermost(spans, Span(first, last))))
    return list(names)


def _innermost(spans: Sequence[tuple[str, Span]], lines: Span) -> Iterator[str]:
    """Yield the definitions that share a line with a span, without those around another of them that holds all of it."""
    inside = [(name, span) for name, span in spans if span.overlaps(lines)]
    for name, span in inside:
        inner = [other for other_name, other in inside if other_name.startswith(f"{name}.") and other != span]
        if not any(other.first <= lines.first and lines.last <= other.last for other in inner) and not (
            inner and span.first < lines.first and lines.last < span.last and _covered(lines, inner)
        ):
            yield name


def _covered(lines: Span, inner: Sequence[Span]) -> bool:
    return all(any(line in span for span in inner) for line in range(lines.first, lines.last + 1))


def definitions_at(view: View, blob: Oid, path: RepoPath) -> Sequence[tuple[str, Span]]:
    """Return (qualified name, lines) of what is defined in one version of a file."""
    return view.definitions(blob, path)


# --- diffs ---------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """One hunk of a diff as printed. path: after the change, or before a deletion."""

    path: str
    place: Hunk
    lines: tuple[str, ...]


def show_diff(view: View, oid: Oid, target: File | Symbol | Lines | Folder | None) -> Observation:
    """Return what a commit changed: all of it, or the target's part."""
    commit = view.graph.commit(oid)
    head = [commit_row(view, oid)]
    if commit.is_merge:
        return answer(head, ["a merge: its changes are told by the commits it joins"], more=str)
    changes = list(zip(commit.changes, view.graph.changed_paths(oid), strict=True))
    if target is not None:
        changes = [(change, today) for change, today in changes if today is not None and _concerns(target, today)]
        if not changes:
            rows = [
                file_change_row(view, change, today) for change, today in zip(commit.changes, view.graph.changed_paths(oid), strict=True)
            ]
            said = f"{short(oid)} did not change {label(target.path) or '.'}; it changed"
            return refuse(said, candidates=rows, hint="name one of these, or pass whole=true")
    rows = []
    left_out = 0
    for change, today in changes:
        said = file_change_row(view, change, today)
        parts = list(_hunks_of(view.graph.diff(oid, [change.path])))
        wanted: Sequence[_Part] = parts
        if isinstance(target, Symbol):
            wanted = _of_symbol(view, change, target.qualname, parts)
            left_out += len(parts) - len(wanted)
        rows.append(said)
        rows += ["\n".join(part.lines) for part in wanted]
    tail = [f"({left_out} hunks elsewhere in the file not shown; whole=true shows all)"] if left_out else []
    return answer(
        head, rows, tail=tail, more=lambda n: f"({n} hunks or files did not fit; name a file or symbol as target)", budget=BODY_TOKENS
    )


def _concerns(target: File | Symbol | Lines | Folder, today: RepoPath) -> bool:
    if isinstance(target, Folder):
        return not target.path or today.startswith(target.path + "/")
    return today == target.path


def _of_symbol(view: View, change: Change, qualname: str, parts: Sequence[_Part]) -> Sequence[_Part]:
    """Return the hunks that lie in a symbol before or after the change; all of them when it was not there under that name."""
    new = [span for name, span in definitions_at(view, change.blob, change.path) if name == qualname] if change.blob else []
    old = (
        [span for name, span in definitions_at(view, change.was_blob, change.was or change.path) if name == qualname]
        if change.was_blob
        else []
    )
    if not new and not old:
        return parts
    return [
        part
        for part in parts
        if any(span.overlaps(Span(part.place.new_first, part.place.new_first + max(0, part.place.new_count - 1))) for span in new)
        or any(span.overlaps(Span(part.place.old_first, part.place.old_first + max(0, part.place.old_count - 1))) for span in old)
    ]


def _hunks_of(said: bytes) -> Iterator[_Part]:
    """Yield the hunks of a diff of one file, cleaned line by line; nothing of a binary one."""
    place: Hunk | None = None
    lines: list[str] = []
    for raw in said.split(b"\n"):
        text = shown(raw.removesuffix(b"\r"))[0]
        header = _HUNK.match(text)
        if header:
            if place is not None:
                yield _Part("", place, tuple(lines))
            place, lines = _place(header), [label(text, 120)]
        elif place is not None and text[:1] in (" ", "+", "-", "\\"):
            lines.append(text if len(text) <= DIFF_LINE_CHARS else text[:DIFF_LINE_CHARS] + "…")
        elif place is not None and raw.startswith(b"diff --git "):
            yield _Part("", place, tuple(lines))
            place, lines = None, []
    if place is not None:
        yield _Part("", place, tuple(lines))


def _place(header: "re.Match[str]") -> Hunk:
    old_first, old_count, new_first, new_count = header.groups()
    return Hunk(int(old_first), int(old_count or 1), int(new_first), int(new_count or 1))
