"""Commits and what they changed, as lines of a list."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backstory.graph.history import fixed_issues, issue_numbers
from backstory.graph.types import Change, Commit, Hunk, Oid, RepoPath, Span
from backstory.tools.page import label, shown_id
from backstory.tools.targets import short
from backstory.tools.view import View

SUBJECT_CHARS = 110
NAME_CHARS = 60
SYMBOLS_NAMED, TESTS_NAMED = 6, 2  # of those a change touched, in one file
ISSUES_NAMED = 3  # besides those a subject names


def commit_row(view: View, commit: Commit, *, size: str | None = None) -> str:
    """Return a commit as a line: date, id, lines added and removed, subject, and in brackets what else is to be known.

    size: what it did to a part; None for all it changed.
    """
    lines = sizes(commit.changes) if size is None else size
    flags = list(_flags(view, commit))
    parts = [
        f"{commit.when:%Y-%m-%d} {short(commit.oid)}",
        lines,
        label(commit.subject, SUBJECT_CHARS),
        f"[{'; '.join(flags)}]" if flags else "",
    ]
    return " ".join(part for part in parts if part)


def sizes(changes: Sequence[Change]) -> str:
    """Return `+3 -1`, or nothing when the lines were not read."""
    hunks = [hunk for change in changes for hunk in change.hunks or ()]
    return f"+{sum(hunk.new_count for hunk in hunks)} -{sum(hunk.old_count for hunk in hunks)}" if hunks else ""


@dataclass(frozen=True)
class FileChange:
    """What a commit did to one file. today: where it is at the base, None when it is gone. symbols: qualified names of those touched."""

    change: Change
    today: RepoPath | None
    symbols: tuple[str, ...]


def file_changes(view: View, oid: Oid) -> list[FileChange]:
    """Return what a commit changed, in git's order."""
    touched = view.graph.symbols_touched([oid])[oid]
    return [
        FileChange(change, today, tuple(symbol.qualname for symbol in touched if symbol.path in (change.path, change.was)))
        for change, today in zip(view.graph.commit(oid).changes, view.graph.changed_paths(oid), strict=True)
    ]


def change_row(view: View, file: FileChange) -> str:
    """Return what a commit did to a file as a line: its path then and today, lines, and the symbols it touched."""
    change, today = file.change, file.today
    said = [shown_id(change.path)]
    if change.was is not None:
        said.append(f"(was {shown_id(change.was)})")
    elif change.status != "modified":
        said.append(f"({change.status})")
    if today != change.path and change.status != "deleted":
        said.append(f"(now {shown_id(today)})" if today else "(gone since)")
    said.append(sizes([change]))
    names = file.symbols
    row = " ".join(part for part in said if part)
    if not names:
        return row
    most = TESTS_NAMED if view.is_test(change.path) else SYMBOLS_NAMED
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{row}: {', '.join(label(name, NAME_CHARS) for name in names[:most])}{more}"


def hunk_lines(hunk: Hunk, *, old: bool) -> Span:
    """Return the lines of one side of a hunk; where it has none there, the line before the place."""
    first, count = (hunk.old_first, hunk.old_count) if old else (hunk.new_first, hunk.new_count)
    return Span(max(1, first), max(1, first + count - 1, first))


def _flags(view: View, commit: Commit) -> Iterator[str]:
    """Yield what a message tells of issues and of reverts, and what later commits said of this one."""
    said = f"{commit.subject}\n{commit.body}"
    fixed = fixed_issues(said)
    if fixed:
        yield f"fixes {' '.join(fixed)}"
    others = [number for number in issue_numbers(said) if number not in fixed and number not in commit.subject]
    if others:
        yield " ".join(others[:ISSUES_NAMED])
    for edge in view.reverts_at(commit.oid):
        yield f"reverts {short(Oid(edge.dst))}" if edge.src == commit.oid else f"reverted by {short(Oid(edge.src))}"
    if commit.is_merge:
        yield "merge"
