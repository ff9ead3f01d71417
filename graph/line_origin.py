"""Which commit every line of a tree comes from, all files in one walk back over the stored history.

Each file's lines start at the pinned commit and travel from child to parent. A commit that changed a file keeps the lines its hunks added; the others
move on, shifted. A commit that did not change it costs nothing: what is under way is handed on as it is. So the whole tree costs one pass over the
stored hunks, where blaming file by file reads each file's versions anew.

Merges follow git's own rule (blame.c, `pass_blame`): a file that one parent holds unchanged came from there, the first such parent counting;
otherwise each parent in turn takes the lines it has, and what no parent has is the merge's own work. Where a parent lacks the file, the name it had
there is found as git finds renames. Commits to be ignored (`.git-blame-ignore-revs`) hand their lines on to the lines they replaced, by likeness; what
replaced nothing stays theirs. Giant commits have no stored hunks; the two versions of a file are compared when its lines are there.

An earlier prototype of this walk is what hercules does forwards, with a state for each branch; backwards there is nothing to fork.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, NamedTuple

from backstory.graph.history import RENAMES, nul_fields, raw_change
from backstory.graph.mirror import Mirror
from backstory.graph.past import FileChange, Past, Skeleton, hunk_numbers
from backstory.graph.types import Oid, RepoPath, Span

COMMITS_AT_ONCE = 4_000  # read from the store together: some ten thousand changes


Run = tuple[int, int, int, int]
"""Lines under way: first and last in the version at hand, the number of today's file they are in, and the line there that the first one is.

Plain tuples, of which a walk over 30,000 commits makes millions."""

Numbers = tuple[int, int, int, int]
"""A hunk's four numbers, in the order of `types.Hunk`."""


Origins = dict[RepoPath, list[tuple[Span, int]]]
"""For each file its spans in line order with the row id of the commit each comes from; neighbouring spans differ."""


def trace_lines(
    past: Past,
    mirror: Mirror,
    skeleton: Skeleton,
    visible: bytearray,
    tip: int,
    lines: Mapping[RepoPath, int],
    *,
    ignored: frozenset[int] = frozenset(),
) -> Origins:
    """Return where every line of some files at `tip` comes from.

    lines: how many lines each file has there. visible: which commits `tip` reaches. ignored: row ids whose lines are handed on.
    """
    merges = [commit for commit in range(tip, 0, -1) if visible[commit] and len(skeleton.parents[commit]) > 1]
    return _Trace(past, mirror, skeleton, list(lines), ignored).run(tip, merges, lines)


Under = dict[RepoPath, list[Run]]
"""The lines under way at one commit, by the path they have there; runs by first line."""


class _Trace:
    """The walk. under_way: what has reached each commit that is still to come; settled: runs that have found their commit, by file."""

    def __init__(self, past: Past, mirror: Mirror, skeleton: Skeleton, files: Sequence[RepoPath], ignored: frozenset[int]) -> None:
        self.past, self.mirror, self.skeleton, self.ignored = past, mirror, skeleton, ignored
        self.files = files
        self.under_way: dict[int, Under] = {}
        self.settled: list[list[tuple[int, int, int]]] = [[] for _ in files]

    def run(self, tip: int, merges: Sequence[int], lines: Mapping[RepoPath, int]) -> Origins:
        self.under_way[tip] = {path: [(1, lines[path], number, 1)] for number, path in enumerate(self.files) if lines[path]}
        with self.mirror.git.stream(*_MERGE_TIER, stdin=self._asked(merges)) as stream:
            told = read_merge_tier(stream)
            coming = next(told, None)
            for high in range(tip, 0, -COMMITS_AT_ONCE):
                low = max(1, high - COMMITS_AT_ONCE + 1)
                changes = self.past.changes_between(low, high)
                for commit in range(high, low - 1, -1):
                    here = self.under_way.pop(commit, None)
                    oid = self._oid(commit)
                    differing = coming[1] if coming is not None and coming[0] == oid else {}
                    if coming is not None and coming[0] == oid:
                        coming = next(told, None)
                    if here is None:
                        continue
                    if len(self.skeleton.parents[commit]) > 1:
                        self._merge(commit, here, differing)
                    else:
                        self._ordinary(commit, here, changes.get(commit, ()))
            for _ in told:  # read to its end, so that git's failure is told
                pass
        return {path: _joined(self.settled[number]) for number, path in enumerate(self.files)}

    # --- one commit -------------------------------------------------------------------------------------------------------------------

    def _ordinary(self, commit: int, here: Under, changes: Sequence[tuple[FileChange, bytes]]) -> None:
        """Settle the lines a commit with one parent added, and hand on the others."""
        moved: list[tuple[RepoPath, list[Run]]] = []
        for change, payload in changes:
            runs = here.pop(change.path, None)
            if runs is None:
                continue
            if change.was_blob is None or change.blob is None:
                self._settle(commit, runs)
                continue
            hunks = hunk_numbers(payload, change.ordinal)
            if hunks is None:
                hunks = self._compared(change.was_blob, change.blob)
            if hunks is None:  # binary on one side
                self._settle(commit, runs)
                continue
            kept, own = passed(runs, hunks)
            if own and commit in self.ignored:
                guessed, own = self._guessed(own, hunks, change.was_blob, change.blob)
                kept = sorted([*kept, *guessed])
            self._settle(commit, own)
            if kept:
                moved.append((change.was or change.path, kept))
        parents = self.skeleton.parents[commit]
        for path, runs in moved:
            _add(here, path, runs)
        if not parents:
            for runs in here.values():
                self._settle(commit, runs)
        else:
            self._hand_on(parents[0], here)

    def _merge(self, commit: int, here: Under, differing: Mapping[RepoPath, "Differing"]) -> None:
        """Hand each file's lines to the parents that have them; what none has is the merge's own."""
        parents = self.skeleton.parents[commit]
        given: dict[int, Under] = {parent: {} for parent in parents}
        for path in [path for path in here if path in differing]:
            runs = here.pop(path)
            self._divide(commit, path, runs, differing[path], given)
        self._hand_on(parents[0], here)
        for parent, under in given.items():
            self._hand_on(parent, under)

    def _divide(self, commit: int, path: RepoPath, runs: list[Run], first: "Differing", given: Mapping[int, Under]) -> None:
        parents = self.skeleton.parents[commit]
        versions: list[tuple[int, RepoPath, Oid]] = []
        for parent in parents:
            was: tuple[RepoPath, Oid] | None
            if parent == parents[0]:
                was = (first.was or path, first.was_blob) if first.was_blob is not None else None
            else:
                entry = self.mirror.entry_at(self._oid(parent), path)
                was = (path, entry.blob) if entry is not None else None
            if was is not None and was[0] == path and was[1] == first.blob:
                _add(given[parent], path, runs)
                return
            if was is not None:
                versions.append((parent, *was))
        if len(versions) < len(parents):
            versions = self._with_renames(commit, path, versions)
        for parent, name, blob in versions:
            if blob == first.blob:
                _add(given[parent], name, runs)
                return
        for parent, name, blob in versions:
            hunks = self._compared(blob, first.blob)
            if hunks is None:
                continue
            kept, runs = passed(runs, hunks)
            if kept:
                _add(given[parent], name, kept)
            if not runs:
                return
        self._settle(commit, runs)

    def _with_renames(self, commit: int, path: RepoPath, versions: list[tuple[int, RepoPath, Oid]]) -> list[tuple[int, RepoPath, Oid]]:
        """Return the versions of a merged file with those that a parent has under another name, in the order of the parents."""
        known = {parent: version for parent, *version in versions}
        found: list[tuple[int, RepoPath, Oid]] = []
        for parent in dict.fromkeys(self.skeleton.parents[commit]):
            if parent in known:
                found.append((parent, *known[parent]))  # type: ignore[arg-type]
            elif parent != self.skeleton.parents[commit][0]:  # the first one's renames were told with the rest
                asked = f"{self._oid(commit)} {self._oid(parent)}\n".encode()
                with self.mirror.git.stream(*_MERGE_TIER, stdin=asked) as stream:
                    for _, differing in read_merge_tier(stream):
                        change = differing.get(path)
                        if change is not None and change.was is not None and change.was_blob is not None:
                            found.append((parent, change.was, change.was_blob))
        return found

    def _guessed(self, runs: Sequence[Run], hunks: Sequence[Numbers], old: Oid, new: Oid) -> tuple[list[Run], list[Run]]:
        """Return (runs handed on, runs kept) of lines that a commit to be ignored wrote: each line goes to the old line it is most like."""
        before, after = (self.mirror.read_blob(blob).split(b"\n") for blob in (old, new))
        likely: dict[int, int] = {}
        for old_first, old_count, new_first, new_count in hunks:
            if old_count and new_count:
                gone, come = Span(old_first, old_first + old_count - 1), Span(new_first, new_first + new_count - 1)
                likely.update(_most_alike(before, after, gone, come))
        kept: list[Run] = []
        own: list[Run] = []
        for first, last, file, final in runs:
            for line in range(first, last + 1):
                target = likely.get(line)
                if target is None:
                    own.append((line, line, file, final + line - first))
                else:
                    kept.append((target, target, file, final + line - first))
        return kept, own

    def _compared(self, old: Oid, new: Oid) -> list[Numbers] | None:
        hunks = self.mirror.hunks(old, new)
        return None if hunks is None else [(hunk.old_first, hunk.old_count, hunk.new_first, hunk.new_count) for hunk in hunks]

    # --- handing on -------------------------------------------------------------------------------------------------------------------

    def _settle(self, commit: int, runs: Sequence[Run]) -> None:
        for first, last, file, final in runs:
            self.settled[file].append((final, final + last - first, commit))

    def _hand_on(self, parent: int, under: Under) -> None:
        """Add lines to what has reached a commit; the smaller side is added to the larger."""
        if not under:
            return
        there = self.under_way.get(parent)
        if there is None:
            self.under_way[parent] = under
            return
        if len(there) < len(under):
            there, under = under, there
            self.under_way[parent] = there
        for path, runs in under.items():
            _add(there, path, runs)

    def _asked(self, merges: Sequence[int]) -> bytes:
        return "".join(f"{self._oid(merge)} {self._oid(self.skeleton.parents[merge][0])}\n" for merge in merges).encode()

    def _oid(self, commit: int) -> Oid:
        return Oid(self.skeleton.oids[commit].hex())


def passed(runs: Sequence[Run], hunks: Sequence[Numbers]) -> tuple[list[Run], list[Run]]:
    """Return (runs that were there before a change, where they were; runs it added); runs by first line, hunks in order.

    >>> passed([(1, 5, 0, 1)], [(1, 0, 2, 1)])
    ([(1, 1, 0, 1), (2, 4, 0, 3)], [(2, 2, 0, 2)])
    """
    kept: list[Run] = []
    own: list[Run] = []
    count = len(hunks)
    behind = shift = 0  # hunks that end before the run at hand, and how much they moved it
    for run in runs:
        first, last, file, final = run
        while behind < count:
            _, old_count, new_first, new_count = hunks[behind]
            if new_first + (new_count - 1 if new_count else 0) >= first:
                break
            shift += old_count - new_count
            behind += 1
        at, moved, place = behind, shift, first
        while place <= last:
            if at == count:
                kept.append((place + moved, last + moved, file, final + place - first))
                break
            _, old_count, new_first, new_count = hunks[at]
            begin = new_first if new_count else new_first + 1
            if begin > last:
                kept.append((place + moved, last + moved, file, final + place - first))
                break
            if begin > place:
                kept.append((place + moved, begin - 1 + moved, file, final + place - first))
                place = begin
            end = begin + new_count - 1
            if end >= place:
                own.append((place, min(end, last), file, final + place - first))
                place = min(end, last) + 1
            if end > last:
                break
            moved += old_count - new_count
            at += 1
    return kept, own


class Differing(NamedTuple):
    """How a merge's file differs from its first parent's: the blob it has, and path and blob it had there, None where it is new."""

    blob: Oid
    was: RepoPath | None
    was_blob: Oid | None


_MERGE_TIER = ("diff-tree", "--stdin", "-r", "--raw", "-z", "--no-abbrev", *RENAMES)


def read_merge_tier(stream: IO[bytes]) -> Iterator[tuple[Oid, dict[RepoPath, Differing]]]:
    """Yield (merge, its files that differ from the other commit on the line asked) in the order asked; those without a difference are left out."""
    oid: Oid | None = None
    found: dict[RepoPath, Differing] = {}
    fields = nul_fields(stream)
    for token in fields:
        if not token.startswith(b":"):
            if oid is not None:
                yield oid, found
            oid, found = Oid(token.decode("ascii")), {}
            continue
        change = raw_change(token, fields)
        if change.blob is not None:
            found[change.path] = Differing(change.blob, change.was, change.was_blob)
    if oid is not None:
        yield oid, found


def _add(under: Under, path: RepoPath, runs: list[Run]) -> None:
    """Add runs to those of a path, in order; neither list is used by anybody else afterwards."""
    there = under.get(path)
    under[path] = runs if there is None else sorted(there + runs)


def _most_alike(before: Sequence[bytes], after: Sequence[bytes], old: Span, new: Span) -> dict[int, int]:
    """Return for each new line of a hunk the old line that shares most words with it, the nearest in proportion where several do; none where none do."""
    words = {line: Counter(_WORD.findall(before[line - 1])) for line in range(old.first, old.last + 1)}
    scale = (old.last - old.first) / max(1, new.last - new.first)
    found: dict[int, int] = {}
    for line in range(new.first, new.last + 1):
        own = Counter(_WORD.findall(after[line - 1]))
        expected = old.first + (line - new.first) * scale
        score, _, best = max(((own & other).total(), -abs(place - expected), place) for place, other in words.items())
        if score or not own:
            found[line] = best
    return found


_WORD = re.compile(rb"\w+|[^\w\s]")


def _joined(settled: list[tuple[int, int, int]]) -> list[tuple[Span, int]]:
    joined: list[tuple[Span, int]] = []
    for first, last, commit in sorted(settled):
        if joined and joined[-1][1] == commit:
            joined[-1] = (Span(joined[-1][0].first, last), commit)
        else:
            joined.append((Span(first, last), commit))
    return joined
