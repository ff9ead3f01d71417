"""One streamed read of the past: what git prints becomes commits, changes and hunks.

History is read in two tiers, in long streams with no process per commit. The *path tier* (`log --raw`) gives every commit with the files it
touched, in seconds even for large repositories. The *line tier* (`diff-tree -p -U0`) adds the changed lines; it costs ten times as much, so it
comes second and can be stopped and taken up again. The parsers here are pure: bytes in, values out; `backstory.graph.build` runs git.

Merges carry no changes of their own (`--diff-merges=off`): what they bring is told by the commits they join. Giant commits are left path-only,
because vendored trees and mass reformatting say nothing about lines and would dominate the cost.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, NamedTuple

from backstory.graph.encoding import message_text, path_text
from backstory.graph.types import Change, Hunk, Oid, RepoPath, Status

GIANT_FILES = 2_000  # a commit touching more files is path-only; PyDriller's users report hangs from here on
GIANT_PATCH_BYTES = 1_000_000  # a commit with a longer zero-context patch is path-only
RENAME_LIMIT = 1_000  # git's own default, said aloud so that no config can change what is stored; beyond it only exact renames are found
READ_BYTES = 1 << 20

RENAMES = ("-M", f"-l{RENAME_LIMIT}")
NO_PROGRAMS = ("--no-textconv", "--no-ext-diff")

_FORMAT = "%x01%H%x00%P%x00%an <%ae>%x00%at%x00%ct%x00%e%x00%B%x00"
PATH_TIER = (
    "log",
    "--topo-order",
    "--reverse",
    "--encoding=UTF-8",
    "--raw",
    "-z",
    "--no-abbrev",
    "--diff-merges=off",
    "--no-mailmap",
    *RENAMES,
    *NO_PROGRAMS,
    f"--format=tformat:{_FORMAT}",
    "--stdin",
)
"""Arguments of the path tier; the tips come on standard input. Parents are printed before their children."""

BIG_FILE_BYTES = 4 << 20
"""Files over this size are compared as whole blobs and have no lines, so one generated file cannot fill the memory."""

LINE_TIER = (
    *("-c", f"core.bigFileThreshold={BIG_FILE_BYTES}"),
    *("diff-tree", "--stdin", "-r", "--root", "--raw", "-p", "-U0", "--no-color", "--full-index", "--no-abbrev"),
    *RENAMES,
    *NO_PROGRAMS,
)
"""Arguments of the line tier; the commits come on standard input, one a line."""

WORD_TIER = (
    "-c",
    f"core.bigFileThreshold={BIG_FILE_BYTES}",
    "diff-tree",
    "--stdin",
    "-r",
    "--root",
    "-p",
    "-U0",
    "--no-color",
    *RENAMES,
    *NO_PROGRAMS,
)
"""Arguments for the lines some commits changed; the commits come on standard input, one a line, and paths may follow."""

# Without -C git never says "C"; it is read as what it is, a new file.
_STATUS: dict[str, Status] = {"A": "added", "C": "added", "M": "modified", "D": "deleted", "R": "renamed", "T": "type_changed"}
_NO_OID = "0" * 40
_SUBMODULE = "160000"
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_COMMIT_LINE = re.compile(rb"[0-9a-f]{40}\n")

Hunks = tuple[Hunk, ...] | None


@dataclass(frozen=True)
class PathCommit:
    """A commit as the path tier gives it. authored, committed: seconds since 1970, UTC. changes: without hunks, in git's order."""

    oid: Oid
    parents: tuple[Oid, ...]
    author: str
    authored: int
    committed: int
    subject: str
    body: str
    changes: tuple[Change, ...]


def read_path_tier(stream: IO[bytes]) -> Iterator[PathCommit]:
    """Yield the commits of a `PATH_TIER` stream in its order."""
    fields = nul_fields(stream)
    token = next(fields, None)
    while token is not None:
        assert token.startswith(b"\x01"), f"not the start of a commit: {token[:80]!r}"
        oid = token[1:].decode("ascii")
        head = list(islice(fields, 7))  # the last is the empty field between our closing NUL and git's
        if len(head) < 7:
            return  # git broke off; its exit code tells
        parents, author, authored, committed, encoding, message, _ = head
        changes: list[Change] = []
        token = next(fields, None)
        while token is not None and token.lstrip(b"\n").startswith(b":"):
            changes.append(raw_change(token.lstrip(b"\n"), fields))
            token = next(fields, None)
        subject, body = _split_message(message_text(message, encoding))
        yield PathCommit(
            oid=Oid(oid),
            parents=tuple(Oid(parent) for parent in parents.decode("ascii").split()),
            author=message_text(author, encoding),
            authored=_seconds(authored),
            committed=_seconds(committed),
            subject=subject,
            body=body,
            changes=tuple(changes),
        )


def read_line_tier(stream: IO[bytes]) -> Iterator[tuple[Oid, tuple[Hunks, ...]]]:
    """Yield (commit, hunks of each change) from a `LINE_TIER` stream, in its order; commits that changed nothing do not appear.

    The hunks are in the order of the path tier's changes; None where there are none to read: a binary file, a changed type, a giant commit.
    """
    oid: Oid | None = None
    patch = _PatchReader()
    for line in stream:
        first = line[0]
        if first in b"+-\\":  # most lines; contents and file headers are never looked at
            patch.size += len(line)
        elif len(line) == 41 and _COMMIT_LINE.fullmatch(line):
            if oid is not None:
                yield oid, patch.finish()
            oid, patch = Oid(line[:40].decode("ascii")), _PatchReader()
        elif first == 0x3A:
            patch.expect(line)
        elif line.startswith(b"@@"):
            patch.hunk(line)
        elif line.startswith(b"diff --git "):
            patch.next_file()
        elif line.startswith(b"Binary files "):
            patch.binary()
    if oid is not None:
        yield oid, patch.finish()


class ChangedLines(NamedTuple):
    """The lines a commit added and removed, in the order of its diff."""

    oid: Oid
    added: list[bytes]
    removed: list[bytes]


def read_changed_lines(stream: IO[bytes]) -> Iterator[ChangedLines]:
    """Yield what each commit of a `WORD_TIER` stream added and removed, in its order; of a giant patch only the beginning."""
    found: ChangedLines | None = None
    in_hunk = False  # a removed line may look like a file's header, but a header stands in no hunk
    size = 0
    for line in stream:
        if len(line) == 41 and _COMMIT_LINE.fullmatch(line):
            if found is not None:
                yield found
            found, in_hunk, size = ChangedLines(Oid(line[:40].decode("ascii")), [], []), False, 0
        elif line.startswith(b"diff --git "):
            in_hunk = False
        elif line.startswith(b"@@"):
            in_hunk = True
        elif in_hunk and found is not None and size < GIANT_PATCH_BYTES:
            size += len(line)
            if line[0] == 0x2B:
                found.added.append(line[1:])
            elif line[0] == 0x2D:
                found.removed.append(line[1:])
    if found is not None:
        yield found


class _PatchReader:
    """Collects the hunks of one commit. The raw lines come first and say how many file sections follow."""

    def __init__(self) -> None:
        self.size = 0
        self._sections: list[int] = []  # which change each `diff --git` section belongs to
        self._hunks: list[list[Hunk] | None] = []
        self._section = -1

    def expect(self, raw: bytes) -> None:
        """Take a raw line: one change. A changed type is printed as two sections, a removal and a creation, and has no hunks of its own."""
        status = raw.split(b"\t", 1)[0].rsplit(b" ", 1)[-1][:1]
        self._sections.extend([len(self._hunks)] * (2 if status == b"T" else 1))
        self._hunks.append(None if status == b"T" else [])

    def next_file(self) -> None:
        self._section += 1

    def hunk(self, line: bytes) -> None:
        self.size += len(line)
        hunks = self._hunks[self._sections[self._section]]
        found = _HUNK.match(line)
        if hunks is None or found is None or self.size > GIANT_PATCH_BYTES:
            return
        old_first, old_count, new_first, new_count = found.groups()
        hunks.append(
            Hunk(int(old_first), 1 if old_count is None else int(old_count), int(new_first), 1 if new_count is None else int(new_count))
        )

    def binary(self) -> None:
        self._hunks[self._sections[self._section]] = None

    def finish(self) -> tuple[Hunks, ...]:
        if self.size > GIANT_PATCH_BYTES or len(self._hunks) > GIANT_FILES:
            return (None,) * len(self._hunks)
        return tuple(None if hunks is None else tuple(hunks) for hunks in self._hunks)


def revert_targets(body: str) -> Sequence[str]:
    """Return the commit ids (possibly shortened) that a message says it reverts, in order."""
    return _REVERTS.findall(body)


def issue_numbers(message: str) -> Sequence[str]:
    """Return the issue numbers a message names, as `#123`, sorted by number: `#123`, `GH-123` or a full URL."""
    return [f"#{number}" for number in sorted({int(a or b or c) for a, b, c in _MENTIONS.findall(message)})]


def fixed_issues(message: str) -> Sequence[str]:
    """Return the issue numbers a message says it closes, with one of the words that close an issue on a forge."""
    return [f"#{number}" for number in sorted({int(a or b) for a, b in _FIXES.findall(message)})]


def is_bot(author: str) -> bool:
    """Return whether an author (`Name <address>`) says that it is a program: its name ends in `[bot]`, as forges have it, or in the word `bot`.

    >>> is_bot("dependabot[bot] <1@example.org>"), is_bot("pytest bot <2@example.org>"), is_bot("Ann Talbot <3@example.org>")
    (True, True, False)
    """
    return _BOT.search(author.partition(" <")[0]) is not None


def says_fix(subject: str, body: str = "") -> bool:
    """Return whether a message says that a fault was mended: its subject has one of the words of faults, or it closes an issue.

    Faults of prose and of checkers (typos, lint, types) do not count.

    >>> says_fix("Fix crash on empty input"), says_fix("Fix typo in docs"), says_fix("Add a flag")
    (True, False, False)
    """
    if _NO_FAULT.search(subject):
        return False
    return _FAULT.search(subject) is not None or bool(fixed_issues(f"{subject}\n{body}"))


_FAULT = re.compile(
    r"\b(?:(?:bug|hot)?fix(?:e[sd]|ing)?|bugs?|regress\w*|crash\w*|brok\w+|breaks?|wrong\w*|incorrect\w*|fail(?:s|ed|ing|ure)?"
    r"|errors?|leak\w*|overflow\w*|deadlock\w*|race|faults?|repair\w*|hang(?:s|ing)?|segfault\w*|cve-\d\S*)\b",
    re.IGNORECASE,
)
_NO_FAULT = re.compile(
    r"\b(?:typos?|spelling|lint\w*|flake8|mypy|pyright|pylint|pep ?8|docstrings?|formatting|whitespace|changelog)\b", re.IGNORECASE
)
_BOT = re.compile(r"(?:\[bot\]|(?<![^\W_])bot)$", re.IGNORECASE)
_REVERTS = re.compile(r"(?i:this reverts commit)\s+([0-9a-f]{7,40})\b")
_URL = r"https?://[\w.-]+/[\w.-]+/[\w.-]+/(?:issues|pull|merge_requests)/(\d{1,7})\b"
_MENTIONS = re.compile(rf"(?<![\w&/])#(\d{{1,7}})\b|\b[Gg][Hh]-(\d{{1,7}})\b|{_URL}")
_FIXES = re.compile(rf"\b(?:fix(?:e[sd])?|close[sd]?|resolve[sd]?)\b:?\s+(?:(?:issue\s+)?#(\d{{1,7}})\b|{_URL})", re.IGNORECASE)


def nul_fields(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield what lies between NULs; a last piece without one is not yielded, for git ends each field."""
    rest: list[bytes] = []
    while chunk := stream.read(READ_BYTES):
        *whole, last = chunk.split(b"\0")
        if whole:
            yield b"".join([*rest, whole[0]])
            yield from whole[1:]
            rest = []
        rest.append(last)


def raw_change(raw: bytes, fields: Iterable[bytes]) -> Change:
    """Return one change from its raw line (`:mode mode oid oid S`) and the path or two that follow it. A submodule's commit is no blob of ours."""
    words = raw.decode("ascii").split(" ")
    letter = words[4][0]
    status = _STATUS[letter]
    paths = iter(fields)
    path = path_text(next(paths))
    was: RepoPath | None = None
    if letter in "RC":
        was, path = path if letter == "R" else None, path_text(next(paths))
    modes = words[0].removeprefix(":"), words[1]
    was_blob, blob = (None if oid == _NO_OID or mode == _SUBMODULE else Oid(oid) for mode, oid in zip(modes, words[2:4], strict=True))
    return Change(path=path, was=was, status=status, hunks=None, blob=blob, was_blob=was_blob)


def _split_message(message: str) -> tuple[str, str]:
    """Return subject and body. The subject is the first paragraph folded into one line, as git does."""
    lines = message.strip("\n").split("\n")
    end = next((number for number, line in enumerate(lines) if not line.strip()), len(lines))
    return " ".join(line.strip() for line in lines[:end]), "\n".join(lines[end:]).strip()


def _seconds(raw: bytes) -> int:
    """Return a time stamp; 0 where a damaged commit has none."""
    try:
        return int(raw)
    except ValueError:
        return 0
