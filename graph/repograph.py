"""The graph of a repository as one commit sees it.

A `RepoGraph` is pinned at a commit and shows that commit's ancestors, nothing else: no later commit, tag, branch or unreachable object, whatever
the store or the mirror holds besides. Date is not ancestry; what may be seen is computed from stored parents. The history half answers what
changed, when, with what, and where a line came from; the code half (`graph.code`) answers what is defined and used where.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from backstory.errors import UserError
from backstory.graph.dag import children_first, reachable
from backstory.graph.encoding import path_bytes
from backstory.graph.follow import HISTORY_KIND, Follower, Step, history_version, pack_steps, unpack_steps
from backstory.graph.history import (
    BIG_FILE_BYTES,
    NO_PROGRAMS,
    RENAME_LIMIT,
    RENAMES,
    WORD_TIER,
    ChangedLines,
    fixed_issues,
    is_bot,
    issue_numbers,
    read_changed_lines,
    revert_targets,
    says_fix,
)
from backstory.graph.introduced import KIND as INTRODUCED_KIND
from backstory.graph.introduced import VERSION as INTRODUCED_VERSION
from backstory.graph.introduced import edges as introduced_edges
from backstory.graph.introduced import mended, pack_counts, removed_lines, spans_of, unpack_counts
from backstory.graph.lineage import Lineage
from backstory.graph.mirror import Mirror
from backstory.graph.origin import (
    IGNORED_FILE,
    ORIGIN_KIND,
    ORIGIN_VERSION,
    ignored_commits,
    line_count,
    pack_origin,
    read_blame,
    unpack_origin,
    within,
)
from backstory.graph.outlines import Defined, Outlines
from backstory.graph.pack import Numbers
from backstory.graph.past import MessageRow, Past
from backstory.graph.said import read_said
from backstory.graph.store import Store
from backstory.graph.types import Commit, Edge, EdgeKind, Oid, RepoPath, Report, Span, SymbolId
from backstory.graph.word_table import WordTable

if TYPE_CHECKING:
    import networkx

    from backstory.graph.code import CodeView
    from backstory.graph.symbol_changes import Lasting, SymbolChange

CO_CHANGE_FILES = 30  # commits over about 30 files couple nothing (Rolfsnes et al., rule aggregation)
# Of a place's newest commits so many are looked at, while they changed no more files than that: each file is compared with today's.
CO_CHANGE_STEPS, CO_CHANGE_COMPARED = 10, 40
SEED_STEPS, SEED_FILES = 30, 5  # of a symbol a subgraph starts at: commits it is followed back through, files that change with its own
CO_CHANGE_HALF_LIFE_DAYS = 365.0  # what changed together a year before counts half; not measured yet
FIXES_LOOKED_AT = 12  # of the fixes after a commit, to see whether they mend it; each costs a blame the first time
SECONDS_A_DAY = 86_400.0
BINARY_PREFIX_BYTES = 8_000  # git looks for a NUL in as many bytes
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799  # the first and last second that a datetime can tell

_COMMIT_ID = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Message:
    """What a commit says. when: author date, UTC."""

    oid: Oid
    when: datetime
    author: str
    subject: str
    body: str

    @property
    def is_bot(self) -> bool:
        """Whether a program wrote the commit, by the name of its author."""
        return is_bot(self.author)


@dataclass(frozen=True)
class Said:
    """The messages of all commits as columns, a document for each.

    tables: of their words. positions: for each table the place in `order()` of each of its documents, -1 for a commit that may not be seen.
    commits, files: place in `order()` of a commit and place in the sorted `files()` of a file it changed, under today's name; each pair once, by
    commit.
    """

    tables: Sequence[WordTable]
    positions: Sequence[npt.NDArray[np.int64]]
    commits: npt.NDArray[np.int64]
    files: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """How much a graph holds. edges: by kind, sorted by kind."""

    commits: int
    files: int
    symbols: int
    edges: Mapping[str, int]


@dataclass(frozen=True)
class History:
    """What happened to a place.

    span: None for a whole file; symbol: its qualified name, or "". steps: newest first. is_whole: False when only the newest were asked for and
    older ones may be there.
    """

    path: RepoPath
    span: Span | None
    symbol: str
    steps: Sequence[Step]
    is_whole: bool = True

    @property
    def name(self) -> str:
        """The place as a person writes it: `path`, `path:3-9` or `path:Class.method`."""
        if self.symbol:
            return f"{self.path}:{self.symbol}"
        return self.path if self.span is None else f"{self.path}:{self.span.first}-{self.span.last}"


@dataclass(frozen=True)
class Built:
    """What a build did: units of work done now, 0 when all was there; seconds by phase. damage: why the store was made anew, "" when it was not."""

    fetched: bool = False
    commits: int = 0
    commits_with_lines: int = 0
    files_parsed: int = 0
    linked: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)
    damage: str = ""

    @property
    def did_work(self) -> bool:
        """Whether anything was fetched, read, parsed or linked."""
        return bool(self.fetched or self.commits or self.commits_with_lines or self.files_parsed or self.linked)


class RepoGraph:
    """Everything an agent may know of a repository at one commit. Values are computed when first asked for and kept."""

    def __init__(self, mirror: Mirror, store: Store, at: Oid, *, built: Built | None = None, report: Report | None = None) -> None:
        """Pin a graph at `at`. Raises UserError when the store does not hold its history."""
        self.at = at
        self.mirror = mirror
        self.store = store
        self.shallow = mirror.shallow
        self.built = built or Built()
        self._report = report
        self._past = Past(store)
        tip = self._past.commit_id(at)
        if tip is None:
            raise UserError(f"commit {at} is not indexed; run `backstory index --at {at}`")
        self._skeleton = self._past.skeleton()
        self._visible = reachable(self._skeleton, tip)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    # --- commits ----------------------------------------------------------------------------------------------------------------------

    def __contains__(self, oid: object) -> bool:
        """Return whether a commit is `at` or one of its ancestors."""
        return oid in self._ids

    def __len__(self) -> int:
        """Return how many commits there are."""
        return len(self._ids)

    def order(self) -> Sequence[Oid]:
        """Return all commits, children before parents, otherwise the newest committed first; the same whatever else the store holds."""
        return self._order

    def parents(self, oid: Oid) -> tuple[Oid, ...]:
        """Return a commit's parents, in git's order. Raises KeyError for a commit that may not be seen."""
        return tuple(Oid(self._skeleton.oids[parent].hex()) for parent in self._skeleton.parents[self._ids[oid]])

    def commit(self, oid: Oid) -> Commit:
        """Return a commit with its changes and, where they were read, their hunks. Raises KeyError for one that may not be seen."""
        number = self._ids[oid]
        row = self._past.message(number)
        return Commit(
            oid=oid,
            parents=self.parents(oid),
            author=row.author,
            when=_moment(row.authored),
            subject=row.subject,
            body=row.body,
            changes=self._past.changes(number),
        )

    def change_count(self, oid: Oid) -> int:
        """Return how many files a commit changed. Raises KeyError for one that may not be seen."""
        return self._past.change_count(self._ids[oid])

    def messages(self) -> Sequence[Message]:
        """Return what every commit says, in `order()`: newest first."""
        return self._messages

    def committed(self) -> npt.NDArray[np.float64]:
        """Return when each commit of `order()` was committed, in seconds since 1970."""
        return np.array([self._skeleton.committed[number] for number in self._order_ids], dtype=np.float64)

    def said(self) -> Said:
        """Return what every commit says and touched, as columns; counted now and stored where it was not."""
        return self._said

    def message(self, oid: Oid) -> Message:
        """Return what one commit says, without reading the others'. Raises KeyError for a commit that may not be seen."""
        row = self._past.message(self._ids[oid])
        return Message(oid, _moment(row.authored), row.author, row.subject, row.body)

    def diff(self, oid: Oid, paths: Sequence[RepoPath] | None = None) -> bytes:
        """Return a commit as unified text with three lines of context, against its first parent (a root against nothing).

        paths: names at that commit, to leave out the rest; a renamed file is shown with its old name. Raises KeyError for a commit that may
        not be seen.
        """
        parents = self.parents(oid)
        names = [str(path) for path in paths or ()]
        if names:
            names += [change.was for change in self._past.changes(self._ids[oid]) if change.was is not None and change.path in names]
        between = [parents[0], oid] if parents else ["--root", oid]
        arguments = ["diff-tree", "-r", "-p", "-U3", "--no-color", "--full-index", "--no-commit-id", *RENAMES, *NO_PROGRAMS]
        return self.mirror.git.run(*arguments, *between, "--", *names)

    def changed_lines(self, oids: Sequence[Oid], paths: Sequence[RepoPath]) -> Iterator[ChangedLines]:
        """Yield the lines that commits added to and removed from some of today's files, under any name these had, in the order given.

        Read in one go. Merges, and commits that changed none of these files, do not appear. Raises KeyError for a commit that may not be seen.
        """
        names = sorted({name for path in paths for name in (self._lineage.names(path) or [path])})
        asked = "".join(f"{oid}\n" for oid in oids if self._ids[oid])
        with self.mirror.git.stream(*WORD_TIER, "--", *names, stdin=asked.encode()) as stream:
            yield from read_changed_lines(stream)

    # --- files through time -----------------------------------------------------------------------------------------------------------

    def files(self) -> Mapping[RepoPath, Oid]:
        """Return the blobs of the plain files at `at`, in git's order; links and submodules are left out."""
        return self._files

    def text(self, path: RepoPath) -> bytes:
        """Return a file's contents at `at`. Raises KeyError when there is no such file."""
        return self.mirror.read_blob(self._files[path])

    def touched(self, path: RepoPath) -> Sequence[Oid]:
        """Return the commits that changed the file now at `path`, under any name it had, in `order()`: newest first."""
        found: set[int] = set()
        for name in self._lineage.names(path) or [path]:
            for number in self._past.commits_touching(name):
                position = self._positions.get(number)
                if position is not None and (self._lineage.today(name, position) or name) == path:
                    found.add(position)
        return [self._order[position] for position in sorted(found)]

    def changed_paths(self, oid: Oid) -> Sequence[RepoPath | None]:
        """Return the files a commit changed under the names they have at `at`, in the order of its changes; None for a file gone since."""
        number = self._ids[oid]
        position = self._positions[number]
        return [self._lineage.today(path, position) for _, path in self._past.changed_paths([number])]

    def was_path(self, path: RepoPath, oid: Oid) -> RepoPath | None:
        """Return what the file now at `path` was called right after a commit, None when it was not there."""
        position = self._positions[self._ids[oid]]
        for name in self._lineage.names(path):
            if self._lineage.today(name, position) == path and self.mirror.entry_at(oid, name) is not None:
                return name
        return None

    def origin(self, path: RepoPath, span: Span | None = None) -> Sequence[tuple[Span, Oid]]:
        """Return which commit each line of a file at `at` comes from, as spans in line order; lines outside the file are left out.

        As `git blame` says, with the commits ignored that the repository lists for that (`.git-blame-ignore-revs`). A whole file is kept once asked
        for, and `origins` keeps all. What a shallow history cannot say is given to the commit it is cut at. Raises KeyError when there is no such file.
        """
        blob = self._files[path]
        kept = self._kept_origin(path)
        if kept is not None:
            return within(kept, span)
        lines = line_count(self.mirror.read_blob(blob))
        first, last = (1, lines) if span is None else (max(1, span.first), min(lines, span.last))
        if first > last:
            return []
        found = self.blamed(path, [Span(first, last)])
        if (first, last) == (1, lines):
            self.store.save_derived(ORIGIN_KIND, ORIGIN_VERSION, [(self._origin_key(path), pack_origin(found))])
        return found

    def blamed(
        self, path: RepoPath, spans: Sequence[Span], *, white_space: bool = True, ignoring: bool = True
    ) -> Sequence[tuple[Span, Oid]]:
        """Return what `git blame` says of some lines of a file at `at`, in line order; the spans lie in the file, and there is at least one.

        white_space: whether a change of white space alone is one. ignoring: whether commits are ignored that the repository lists for that.
        """
        ignored = [part for oid in sorted(self._ignored if ignoring else ()) for part in ("--ignore-rev", oid)]
        wanted = [f"-L{span.first},{span.last}" for span in spans]
        options = ["--incremental", "--no-textconv", *([] if white_space else ["-w"])]
        return read_blame(self.mirror.git.run("blame", *options, *ignored, *wanted, self.at, "--", path))

    def origins(self) -> int:
        """Find which commit each line of every text file at `at` comes from, in one walk, and keep it for `origin`; return how many files that was.

        Does nothing for files that are known already.
        """
        found = self.traced([path for path in self._files if self._kept_origin(path) is None])
        self.store.save_derived(
            ORIGIN_KIND, ORIGIN_VERSION, ((self._origin_key(path), pack_origin(spans)) for path, spans in found.items())
        )
        return len(found)

    def traced(self, paths: Sequence[RepoPath], *, ignoring: bool = True) -> Mapping[RepoPath, Sequence[tuple[Span, Oid]]]:
        """Return which commit each line of some files at `at` comes from, found in one walk; binary and very large files are left out.

        ignoring: as in `blamed`.
        """
        from backstory.graph.line_origin import trace_lines

        lines: dict[RepoPath, int] = {}
        for path in paths:
            if self.mirror.blob_size(self._files[path]) <= BIG_FILE_BYTES:
                text = self.mirror.read_blob(self._files[path])
                if b"\0" not in text[:BINARY_PREFIX_BYTES]:
                    lines[path] = line_count(text)
        tip = self._ids[self.at]
        ignored = frozenset(self._ids[oid] for oid in self._ignored) if ignoring else frozenset()
        found = trace_lines(self._past, self.mirror, self._skeleton, self._visible, tip, lines, ignored=ignored)
        oids = [Oid(oid.hex()) for oid in self._skeleton.oids]
        return {path: [(span, oids[commit]) for span, commit in spans] for path, spans in found.items()}

    def _kept_origin(self, path: RepoPath) -> Sequence[tuple[Span, Oid]] | None:
        key = self._origin_key(path)
        payload = self.store.derived(ORIGIN_KIND, [key], ORIGIN_VERSION).get(key)
        return None if payload is None else unpack_origin(payload)

    def _origin_key(self, path: RepoPath) -> bytes:
        return bytes.fromhex(self.at) + path_bytes(path)

    @property
    def ignored(self) -> frozenset[Oid]:
        """The visible commits that the repository asks to be ignored when lines are blamed."""
        return self._ignored

    @cached_property
    def _ignored(self) -> frozenset[Oid]:
        if IGNORED_FILE not in self._files:
            return frozenset()
        return frozenset(oid for oid in ignored_commits(self.text(IGNORED_FILE)) if oid in self._ids)

    def co_changed(self, path: RepoPath, limit: int = 10) -> Sequence[Edge]:
        """Return the files that most often changed together with one, heaviest first, as edges from `path`.

        A commit counts 1 over the number of other files it changed, halved for each `CO_CHANGE_HALF_LIFE_DAYS` before `at`; commits over
        `CO_CHANGE_FILES` files, and those of bots, do not count. Files gone since are left out.
        """
        shared: dict[int, list[RepoPath]] = defaultdict(list)
        few = self._past.at_most(CO_CHANGE_FILES, [self._ids[oid] for oid in self.touched(path)])
        for number, changed in self._past.changed_paths(self._past.of_people(few)):
            shared[number].append(changed)
        weights: dict[RepoPath, float] = defaultdict(float)
        times: dict[RepoPath, int] = defaultdict(int)
        for number, changes in shared.items():
            position = self._positions[number]
            others = {self._lineage.today(name, position) for name in changes} - {path}
            weight = self._decay(number) / max(1, len(others))
            for other in others:
                if other is not None:
                    weights[other] += weight
                    times[other] += 1
        best = sorted(weights, key=lambda other: (-weights[other], other))[:limit]
        return [Edge("co_changed", path, other, weights[other], _together(times[other])) for other in best]

    def symbols_touched(self, oids: Sequence[Oid]) -> "Mapping[Oid, Sequence[SymbolChange]]":
        """Return what each of some commits did to the definitions of the files it changed, under the names of then; kept once asked for.

        Raises KeyError for a commit that may not be seen.
        """
        from backstory.graph.symbol_changes import symbols_touched  # here: it loads the code half

        return symbols_touched(self._follower, self.store, [(oid, self._ids[oid]) for oid in oids])

    def symbols_moving_with(self, history: History, limit: int = 10) -> Sequence[Edge]:
        """Return the symbols that changed in the same commits as a place most often, heaviest first, as edges from the place.

        Weighed as files are in `co_changed`; the newest `CO_CHANGE_STEPS` commits of the place count, fewer where they changed many files. Symbols gone
        since are left out.
        """
        commits = self._past.at_most(CO_CHANGE_FILES, [self._ids[oid] for oid in dict.fromkeys(step.commit for step in history.steps)])
        weights: dict[SymbolId, float] = defaultdict(float)
        times: dict[SymbolId, int] = defaultdict(int)
        own = SymbolId(f"{history.path}:{history.symbol}")
        around = {own, *self.holders(history)}
        compared = 0
        for number in self._past.of_people(commits)[:CO_CHANGE_STEPS]:
            compared += self._past.change_count(number)
            if compared > CO_CHANGE_COMPARED and weights:
                break
            others = self._lasting.changed(number) - around
            for other in others:
                weights[other] += self._decay(number) / len(others)
                times[other] += 1
        self._follower.outlines.save()
        best = sorted(weights, key=lambda other: (-weights[other], other))[:limit]
        return [Edge("co_changed", own, other, weights[other], _together(times[other])) for other in best]

    def holders(self, history: History) -> Sequence[SymbolId]:
        """Return the symbols that hold the whole of a span, outer before inner; none for a symbol or a whole file."""
        if history.span is None or history.symbol:
            return []
        rows = self.outline(history.path)
        inside = [row.qualname for row in rows if row.span.first <= history.span.first and history.span.last <= row.span.last]
        return [SymbolId(f"{history.path}:{qualname}") for qualname in inside]

    def last_writer(self, path: RepoPath, blob: Oid, span: Span, *, before: Oid) -> Oid | None:
        """Return the commit that last wrote lines of the version of a file that a commit found, None when following the lines back leads nowhere.

        path: its name there. Of lines written by several commits it is the newest one. Raises KeyError for a commit that may not be seen.
        """
        step = self._follower.last_writer(path, blob, span, before=before)
        return None if step is None else step.commit

    def outline(self, path: RepoPath) -> Sequence[Defined]:
        """Return what is defined in a file at `at`, outer before inner; nothing in an unknown language. Raises KeyError when there is no such file."""
        found = self._follower.outlines.of(self._files[path], path)
        self._follower.outlines.save()
        return found

    def defined_in(self, blob: Oid, path: RepoPath) -> Sequence[Defined]:
        """Return what is defined in one version of a file, outer before inner, read as the language of `path`; kept by blob."""
        found = self._follower.outlines.of(blob, path)
        self._follower.outlines.save()
        return found

    def history(self, place: SymbolId | RepoPath, span: Span | None = None, *, newest: int | None = None) -> History:
        """Return what happened to a symbol (`path:qualname`), to a span of a file's lines, or to a whole file, newest first.

        A symbol or span is followed through edits, renames and moves between files (`backstory.graph.follow`); not much further back than its
        `newest` steps, where the whole is not kept yet. Raises KeyError when the file, or the symbol in it, is not there at `at`, ValueError for a
        span outside the file.
        """
        if place in self._files:
            path = RepoPath(place)
            if span is None:
                return History(path, None, "", self._follower.follow_file(path))
            if not 1 <= span.first <= span.last <= line_count(self.text(path)):
                raise ValueError(f"{path!r} has no lines {span.first}-{span.last}")
            return self._followed(path, span, "", newest)
        path, _, qualname = place.rpartition(":")  # type: ignore[assignment]
        defined = next((row for row in self.outline(path) if row.qualname == qualname), None)
        if defined is None:
            raise KeyError(place)
        return self._followed(path, defined.span, qualname, newest)

    # --- edges ------------------------------------------------------------------------------------------------------------------------

    def reverts(self) -> Sequence[Edge]:
        """Return an edge from each commit that says it reverts another to that one, newest first; both are visible."""
        return self._reverts

    def mentions(self) -> Sequence[Edge]:
        """Return an edge from each commit to each issue number its message names, newest first."""
        return self._message_edges["mentions"]

    def fixes(self) -> Sequence[Edge]:
        """Return an edge of kind "fixed" from each commit to each issue number its message says it closes, newest first."""
        return self._message_edges["fixed"]

    def rename_limited(self, limit: int = RENAME_LIMIT) -> Sequence[Oid]:
        """Return the commits whose renames may be missing because git, with that many files, looks for exact ones only; newest first."""
        return [
            self._order[position] for position in sorted(self._positions[n] for n in self._past.rename_limited(limit) if self._visible[n])
        ]

    def pinned(self, at: Oid) -> "RepoGraph":
        """Return the same repository as an ancestor sees it, from the same store; closing either closes both. Raises KeyError for any other commit."""
        self._ids[at]  # only an ancestor's own ancestors are certain to be read
        return RepoGraph(self.mirror, self.store, at)

    def introduced(self, fix: Oid) -> Sequence[Edge]:
        """Return an edge from a commit to each that wrote lines it took out, most lines first (`backstory.graph.introduced`); kept once asked for.

        Empty for a merge and for a commit that took nothing out. Raises KeyError for a commit that may not be seen.
        """
        parents = self.parents(fix)
        if len(parents) != 1:
            return []
        key = bytes.fromhex(fix)
        payload = self.store.derived(INTRODUCED_KIND, [key], INTRODUCED_VERSION).get(key)
        if payload is not None:
            return introduced_edges(fix, unpack_counts(payload))
        before = self.pinned(parents[0])
        lines: Counter[Oid] = Counter()
        for change in mended(self.commit(fix).changes):
            assert change.was_blob is not None
            path = change.was or change.path
            removed = removed_lines(change.hunks or (), self.mirror.read_blob(change.was_blob).split(b"\n"))
            for span, oid in before.blamed(path, spans_of(removed), white_space=False) if removed else ():
                lines[oid] += sum(line in span for line in removed)
        counted = sorted(lines.items())
        self.store.save_derived(INTRODUCED_KIND, INTRODUCED_VERSION, [(key, pack_counts(counted))])
        return introduced_edges(fix, counted)

    def mended(self, oid: Oid) -> Sequence[Edge]:
        """Return the edges of `introduced` that end at a commit, nearest fix first: of the first `FIXES_LOOKED_AT` fixes after it of files it changed.

        Empty for a commit over `CO_CHANGE_FILES` files. Raises KeyError for a commit that may not be seen.
        """
        if self._past.change_count(self._ids[oid]) > CO_CHANGE_FILES:
            return []
        position = self._positions[self._ids[oid]]
        later = {
            self._positions[self._ids[commit]] for path in self.changed_paths(oid) if path is not None for commit in self.touched(path)
        }
        after = (self._order[place] for place in sorted(later, reverse=True) if place < position)
        fixes = islice((commit for commit in after if self._says_fix(commit)), FIXES_LOOKED_AT)
        return [edge for fix in fixes for edge in self.introduced(fix) if edge.dst == oid]

    def counts(self) -> Counts:
        """Return how many commits, files, symbols and edges there are; each co-changed pair of files counts once."""
        changes = {number: count for number, count in self._past.change_counts().items() if number in self._positions}
        edges: dict[str, int] = {
            "parent": sum(len(self._skeleton.parents[number]) for number in self._positions),
            "touched": sum(changes.values()),
            "renamed_from": sum(1 for number, _, _ in self._past.renames() if number in self._positions),
            "co_changed": self._count_pairs(changes),
            "reverts": len(self._reverts),
            "authored": len(self._positions),
            **{kind: len(found) for kind, found in self._message_edges.items()},
        }
        edges.update(self.code.edge_counts().items())
        return Counts(commits=len(self), files=len(self._files), symbols=len(self.code.symbols()), edges=dict(sorted(edges.items())))

    @cached_property
    def code(self) -> "CodeView":
        """What is defined and used in the tree of `at`; parsed now when it was not before."""
        from backstory.graph.code import code_view  # here, so that asking for history loads no parser

        return code_view(self.mirror, self.at, self.store, report=self._report)

    def edges_at(self, node: str, kinds: Sequence[EdgeKind]) -> Sequence[Edge]:
        """Return the edges of these kinds that begin or end at a node (as in `subgraph`), in a fixed order; an unknown node has none."""
        return self._edges_at(node, kinds)

    def past_edges(self, symbol: SymbolId, kinds: Sequence[EdgeKind], *, newest: int, files: int) -> Sequence[Edge]:
        """Return the edges of a symbol into the past: the commits that touched it, the symbols and files that change with it; newest and heaviest first.

        newest: of its commits, how far back it is followed. files: of those that change with its own file. Followed now, so not among `edges_at`.
        Raises KeyError when there is no such symbol.
        """
        found: list[Edge] = []
        if "touched" not in kinds and "co_changed" not in kinds:
            return found
        past = self.history(symbol, newest=newest)
        if "touched" in kinds:
            steps = past.steps[:newest]  # more of them may be kept, by chance
            found += [Edge("touched", step.commit, symbol, evidence=step.evidence) for step in steps]
        if "co_changed" in kinds:
            found += self.symbols_moving_with(past)
            found += [replace(edge, src=symbol) for edge in self.co_changed(past.path, files)]
        return found

    def authors(self) -> Mapping[str, Sequence[Oid]]:
        """Return who wrote commits, as they are called there (`Name <address>`), each with theirs, newest first. One person may have several names."""
        return self._commits_of

    def subgraph(self, seeds: Sequence[str], kinds: Sequence[EdgeKind], depth: int, limit: int) -> "networkx.MultiDiGraph[str]":
        """Return the part of the graph within `depth` edges of the seeds (commit ids, paths, symbol ids, `#123`, authors), over edges of these kinds.

        Edges are walked both ways and keep their direction; each carries its kind as key, and `weight` and `evidence`. Nearest first, and not
        over `limit` nodes. The past of a symbol is followed where the symbol is a seed (`past_edges`).
        """
        import networkx  # here: it takes a tenth of a second to load

        found: networkx.MultiDiGraph[str] = networkx.MultiDiGraph()
        found.add_nodes_from(dict.fromkeys(seeds[:limit]))
        edge_now = list(found.nodes)
        for step in range(depth):
            reached: list[str] = []
            for node in edge_now:
                symbol = self.code.symbol(SymbolId(node)) if step == 0 else None
                past = () if symbol is None else self.past_edges(symbol.id, kinds, newest=SEED_STEPS, files=SEED_FILES)
                for edge in (*self._edges_at(node, kinds), *past):
                    other = edge.dst if edge.src == node else edge.src
                    if other not in found:
                        if len(found) >= limit:
                            continue
                        reached.append(other)
                    found.add_edge(edge.src, edge.dst, key=edge.kind, weight=edge.weight, evidence=edge.evidence)
            edge_now = reached
        return found

    # --- computed once ----------------------------------------------------------------------------------------------------------------

    @cached_property
    def _ids(self) -> dict[Oid, int]:
        oids = self._skeleton.oids
        return {Oid(oids[number].hex()): number for number, seen in enumerate(self._visible) if seen}

    @cached_property
    def _order_ids(self) -> list[int]:
        return children_first(self._skeleton, self._visible)

    @cached_property
    def _order(self) -> Sequence[Oid]:
        return [Oid(self._skeleton.oids[number].hex()) for number in self._order_ids]

    @cached_property
    def _positions(self) -> dict[int, int]:
        """Place in `order()` by row id."""
        return {number: position for position, number in enumerate(self._order_ids)}

    @cached_property
    def _messages(self) -> Sequence[Message]:
        rows: dict[int, MessageRow] = {row.commit: row for row in self._past.messages() if row.commit in self._positions}
        return [
            Message(oid, _moment(row.authored), row.author, row.subject, row.body)
            for oid, row in ((oid, rows[number]) for oid, number in zip(self._order, self._order_ids, strict=True))
        ]

    @cached_property
    def _said(self) -> Said:
        pieces = read_said(self.store, self._past, len(self._visible) - 1)
        # The pieces may hold commits that came into the store after this graph was opened.
        rows = max(len(self._visible), pieces[-1].first + len(pieces[-1].words.starts) - 1 if pieces else 0)
        position_of = np.full(rows, -1, dtype=np.int64)
        position_of[self._order_ids] = np.arange(len(self._order_ids))
        positions = [position_of[piece.first : piece.first + len(piece.words.starts) - 1] for piece in pieces]
        commits = np.concatenate([seen[piece.changes] for piece, seen in zip(pieces, positions, strict=True)])
        paths = np.concatenate([piece.paths for piece in pieces])[commits >= 0]
        pairs = self._todays(commits[commits >= 0], paths)
        return Said([piece.words for piece in pieces], positions, *pairs)

    def _todays(self, commits: npt.NDArray[np.int64], paths: Numbers) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the pairs of commit and today's file (both by place) for pairs of commit and path id; files gone since are left out."""
        number_of = {path: number for number, path in enumerate(sorted(self._files))}
        order = np.argsort(paths, kind="stable")
        commits, paths = commits[order], paths[order]
        files = np.full(len(paths), -1, dtype=np.int64)
        names = self._past.paths()
        begins = np.flatnonzero(np.concatenate(([True], paths[1:] != paths[:-1]))) if len(paths) else np.zeros(0, dtype=np.int64)
        for first, end in zip(begins.tolist(), [*begins[1:].tolist(), len(paths)], strict=True):
            places, owners = self._lineage.stretches(names[int(paths[first])])
            if owners:
                owned = np.maximum(0, np.searchsorted(np.asarray(places), commits[first:end], side="left") - 1)
                files[first:end] = np.array([number_of.get(owner, -1) for owner in owners])[owned]
        kept = files >= 0
        # One number for each pair: rows are sorted ten times slower.
        pairs = np.unique(commits[kept] * len(number_of) + files[kept])
        return np.divmod(pairs, max(1, len(number_of)))

    @cached_property
    def _files(self) -> dict[RepoPath, Oid]:
        return {path: entry.blob for path, entry in self.mirror.files(self.at).items() if entry.is_file}

    @cached_property
    def _lineage(self) -> Lineage:
        renames = [(self._positions[number], was, path) for number, was, path in self._past.renames() if number in self._positions]
        return Lineage(self.mirror.files(self.at), sorted(renames))

    @cached_property
    def _follower(self) -> Follower:
        outlines = Outlines(self.store, self.mirror.read_blob)
        return Follower(self._past, self.mirror, self._lineage, self._positions, outlines, self._ids)

    @cached_property
    def _lasting(self) -> "Lasting":
        from backstory.graph.symbol_changes import Lasting  # here: it loads the code half

        return Lasting(self._follower, self._files)

    def _followed(self, path: RepoPath, span: Span, name: str, newest: int | None) -> History:
        """Return the history of a place, as kept since it was followed from `at` before, or followed now; what is whole is kept."""
        key = f"{self.at}:{path}:{name or f'{span.first}-{span.last}'}".encode("utf-8", "surrogateescape")
        payload = self.store.derived(HISTORY_KIND, [key], history_version()).get(key)
        if payload is not None:
            return History(path, span, name, unpack_steps(payload))
        steps = self._follower.follow(path, self._files[path], span, name, newest=newest)
        is_whole = newest is None or len(steps) < newest
        if is_whole:
            self.store.save_derived(HISTORY_KIND, history_version(), [(key, pack_steps(steps))])
        return History(path, span, name, steps, is_whole)

    @cached_property
    def _commits_of(self) -> dict[str, list[Oid]]:
        """Return the commits of each author, newest first."""
        found: dict[str, list[Oid]] = defaultdict(list)
        for message in self._messages:
            found[message.author].append(message.oid)
        return found

    @cached_property
    def _message_edges(self) -> dict[EdgeKind, list[Edge]]:
        """Return the edges that messages tell of, by kind."""
        found: dict[EdgeKind, list[Edge]] = {"mentions": [], "fixed": []}
        for message in self._messages:
            said = f"{message.subject}\n{message.body}"
            found["mentions"].extend(Edge("mentions", message.oid, number, evidence=message.subject) for number in issue_numbers(said))
            found["fixed"].extend(Edge("fixed", message.oid, number, evidence=message.subject) for number in fixed_issues(said))
        return found

    @cached_property
    def _reverts(self) -> list[Edge]:
        sorted_ids = sorted(self._ids)
        found: list[tuple[int, Edge]] = []
        for row in self._past.messages_with("this reverts commit"):
            position = self._positions.get(row.commit)
            for shortened in revert_targets(f"{row.subject}\n{row.body}") if position is not None else ():
                target = _unique_prefix(sorted_ids, shortened)
                if position is not None and target is not None and target != self._order[position]:
                    found.append((position, Edge("reverts", self._order[position], target, evidence=row.subject)))
        return [edge for _, edge in sorted(found, key=lambda item: item[0])]

    @cached_property
    def _message_edges_at(self) -> dict[str, list[Edge]]:
        """Return the edges that messages tell of, by either end."""
        found: dict[str, list[Edge]] = defaultdict(list)
        for edges in (self._reverts, *self._message_edges.values()):
            for edge in edges:
                found[edge.src].append(edge)
                found[edge.dst].append(edge)
        return found

    @cached_property
    def _children(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for number in self._order_ids:
            for parent in self._skeleton.parents[number]:
                found[parent].append(number)
        return found

    def _says_fix(self, oid: Oid) -> bool:
        message = self._past.message(self._ids[oid])
        return says_fix(message.subject, message.body)

    # --- helpers of the above ---------------------------------------------------------------------------------------------------------

    def _decay(self, number: int) -> float:
        """Return what a commit of that age counts, 1 for one as new as `at`."""
        age = self._skeleton.committed[self._ids[self.at]] - self._skeleton.committed[number]
        return float(0.5 ** (max(0.0, age / SECONDS_A_DAY) / CO_CHANGE_HALF_LIFE_DAYS))

    def _count_pairs(self, changes: Mapping[int, int]) -> int:
        """Return how many pairs of today's files changed together in a commit that is small enough to count."""
        paths = self._past.paths()
        together: dict[int, set[RepoPath | None]] = defaultdict(set)
        counted = set(self._past.of_people([number for number, count in changes.items() if 2 <= count <= CO_CHANGE_FILES]))
        for number, path in self._past.all_changed_paths():
            if number in counted:
                together[number].add(self._lineage.today(paths[path], self._positions[number]))
        pairs: set[tuple[RepoPath, RepoPath]] = set()
        for files in together.values():
            names = sorted(name for name in files if name is not None)
            pairs.update((one, other) for place, one in enumerate(names) for other in names[place + 1 :])
        return len(pairs)

    def _edges_at(self, node: str, kinds: Sequence[EdgeKind]) -> Sequence[Edge]:
        """Return the edges of these kinds that begin or end at a node, history first, in a fixed order."""
        told = self._message_edges_at.get(node, ()) if {"mentions", "fixed", "reverts"} & set(kinds) else ()  # it reads all messages
        found: list[Edge] = [edge for edge in told if edge.kind in kinds]
        if "authored" in kinds:
            found += [Edge("authored", node, oid) for oid in self._commits_of.get(node, ())]
        if _COMMIT_ID.fullmatch(node):
            return [*found, *self._edges_at_commit(Oid(node), kinds)] if node in self else []
        path = RepoPath(node)
        if path in self._files:
            if "touched" in kinds:
                found += [Edge("touched", oid, path) for oid in self.touched(path)]
            if "co_changed" in kinds:
                found += self.co_changed(path)
            if "renamed_from" in kinds:
                found += [Edge("renamed_from", path, name) for name in self._lineage.names(path)[1:]]
        return [*found, *self.code.neighbours(node, kinds, "out"), *self.code.neighbours(node, kinds, "in")]

    def _edges_at_commit(self, oid: Oid, kinds: Sequence[EdgeKind]) -> list[Edge]:
        number = self._ids[oid]
        found: list[Edge] = []
        if "parent" in kinds:
            found += [Edge("parent", oid, parent) for parent in self.parents(oid)]
            found += [Edge("parent", Oid(self._skeleton.oids[child].hex()), oid) for child in self._children.get(number, ())]
        if "touched" in kinds:
            found += [Edge("touched", oid, path) for path in dict.fromkeys(self.changed_paths(oid)) if path is not None]
        if "authored" in kinds:
            found.append(Edge("authored", self.message(oid).author, oid))
        if "introduced" in kinds:
            found += [*(self.introduced(oid) if self._says_fix(oid) else ()), *self.mended(oid)]
        return found


def _unique_prefix(sorted_ids: Sequence[str], shortened: str) -> str | None:
    """Return the only id that begins so, None when there is none or more than one."""
    place = bisect_left(sorted_ids, shortened)
    matches = [oid for oid in sorted_ids[place : place + 2] if oid.startswith(shortened)]
    return matches[0] if len(matches) == 1 else None


def _together(times: int) -> str:
    return f"together in {times} commit{'' if times == 1 else 's'}"


def _moment(seconds: int) -> datetime:
    """Return a time stamp as a date, UTC; one that no calendar holds becomes the nearest that does."""
    return datetime.fromtimestamp(max(EARLIEST, min(LATEST, seconds)), UTC)
