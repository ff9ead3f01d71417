"""Builds the graph of one commit: the mirror, then the history in two tiers, then the code.

Each tier reads only what is not stored yet and writes in batches, so a build that is killed goes on where it stopped and a second run does no
work. One process builds a repository at a time; another waits, and then finds the work done.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, Literal, TypeVar

from backstory.errors import DamagedStore, StorageError
from backstory.graph.dag import reachable
from backstory.graph.git import Git, GitError
from backstory.graph.history import GIANT_FILES, LINE_TIER, PATH_TIER, Hunks, read_line_tier, read_path_tier
from backstory.graph.lock import exclusively
from backstory.graph.mirror import Mirror, find_mirror, open_mirror
from backstory.graph.past import Past
from backstory.graph.repograph import Built, RepoGraph
from backstory.graph.source import Source
from backstory.graph.store import Store
from backstory.graph.types import Oid, Report, silent

GraphTier = Literal["paths", "lines", "code"]
ALL_TIERS: frozenset[GraphTier] = frozenset({"paths", "lines", "code"})
HISTORY_TIERS: frozenset[GraphTier] = frozenset({"paths", "lines"})
STORE_NAME = "graph.db"
LINE_READERS = 2  # git processes that print lines: one thread each, and what reads them keeps up with two
TURN_COMMITS = 64  # commits read from one of them before the next, some 400 kB: less than a pipe holds
BATCH_COMMITS = 2_000  # a transaction of well under a second, so a kill loses little and a reader never waits long

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


def build_graph(
    source: Source,
    at: Oid,
    *,
    cache_dir: Path,
    tiers: frozenset[GraphTier] = ALL_TIERS,
    report: Report | None = None,
    may_lack_blobs: bool = False,
) -> RepoGraph:
    """Return the graph of `source` pinned at `at`, building those tiers that are missing; the path tier always is.

    Without "code" the code is parsed when it is first asked for. may_lack_blobs: see `open_mirror`. `graph.built` says what was done.
    A store that is damaged is removed and made anew, which `graph.built` says too: all of it can be derived again.
    Raises UserError when the repository's history is incomplete, StorageError when the cache cannot be written or the mirror is damaged.
    """
    tell = report or silent
    seconds: dict[str, float] = {}
    fetched = find_mirror(source, at, cache_dir=cache_dir, may_lack_blobs=may_lack_blobs) is None
    mirror = _timed(seconds, "mirror", lambda: open_mirror(source, at, cache_dir=cache_dir, report=tell, may_lack_blobs=may_lack_blobs))
    path = mirror.folder / STORE_NAME
    seen = _identity(path)
    try:
        graph = _read(mirror, at, tiers, tell, seconds)
    except DamagedStore as error:
        log.warning("graph.rebuilding at=%s because=%s", at, error)
        if seen in (None, _identity(path)):  # otherwise another process has replaced it meanwhile
            remove_store(mirror)
        graph = _read(mirror, at, tiers, tell, seconds)
        graph.built = replace(graph.built, damage=str(error))
    graph.built = replace(graph.built, fetched=fetched)
    log.info(
        "graph.built at=%s commits=%d lines=%d seconds=%.2f", at, graph.built.commits, graph.built.commits_with_lines, sum(seconds.values())
    )
    return graph


def _read(mirror: Mirror, at: Oid, tiers: frozenset[GraphTier], tell: Report, seconds: dict[str, float]) -> RepoGraph:
    """Return the graph after reading what the store lacks; seconds: gets those of each phase."""
    store = Store(mirror.folder / STORE_NAME)
    try:
        commits = _timed(seconds, "paths", lambda: read_paths(mirror, store, at, report=tell))
        lines = _timed(seconds, "lines", lambda: read_lines(mirror, store, at, report=tell)) if "lines" in tiers else 0
        parsing = _Watched(tell)
        graph = RepoGraph(mirror, store, at, report=parsing)
        if "code" in tiers:
            _timed(seconds, "code", lambda: graph.code)
    except BaseException:
        store.close()
        raise
    graph.built = Built(
        commits=commits,
        commits_with_lines=lines,
        files_parsed=parsing.done.get("parsing", 0),
        linked="linking" in parsing.done,
        seconds=seconds,
    )
    return graph


def _identity(path: Path) -> int | None:
    """Return what tells a file from another of the same name, None when there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def remove_store(mirror: Mirror) -> None:
    """Remove what is stored beside a mirror; who has it open goes on with what it was. Raises StorageError when that is not allowed."""
    path = mirror.folder / STORE_NAME
    with exclusively(mirror.folder / "graph.lock"):
        try:
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(name).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot remove {str(path)!r}: {error.strerror}; make its folder writable or set BACKSTORY_CACHE_DIR"
            ) from error


def read_paths(mirror: Mirror, store: Store, at: Oid, *, report: Report) -> int:
    """Store the ancestors of `at` with the files they touched; return how many were not there before."""
    past = Past(store)
    if past.commit_id(at) is not None:
        return 0  # a commit is stored after all its ancestors
    with exclusively(mirror.folder / "graph.lock"), _damage_told(mirror):
        known = [oid for oid in past.frontier() if mirror.holds(oid)]
        tips = "".join(f"{line}\n" for line in [at, *(f"^{oid}" for oid in known)]).encode()
        total = int(mirror.git.run("rev-list", "--count", "--stdin", stdin=tips))
        done = 0
        with closing(_whole_ones(mirror.git, PATH_TIER, tips, read_path_tier)) as commits:
            for batch in _batches(commits, BATCH_COMMITS):
                past.save_commits(batch)
                done += len(batch)
                report("history", done, total)
    return done


def read_lines(mirror: Mirror, store: Store, at: Oid, *, report: Report) -> int:
    """Store the hunks of the ancestors of `at`, whose paths are stored; return how many commits were read for it."""
    past = Past(store)
    tip = past.commit_id(at)
    assert tip is not None, "the path tier comes first"
    if past.is_complete(tip, "lines"):
        return 0
    with exclusively(mirror.folder / "graph.lock"), _damage_told(mirror):
        wanted = _without_lines(past, tip)
        readable = {oid: number for oid, (number, changes) in wanted.items() if changes <= GIANT_FILES}
        past.save_hunks((number, [None] * changes) for oid, (number, changes) in wanted.items() if oid not in readable)
        done = 0
        with ExitStack() as stack:
            readers = [
                stack.enter_context(
                    closing(_whole_ones(mirror.git, LINE_TIER, "".join(f"{oid}\n" for oid in share).encode(), read_line_tier))
                )
                for share in _shares(list(readable))
            ]
            for batch in _batches(_by_turns(readers), BATCH_COMMITS):
                past.save_hunks((readable[oid], of_length(hunks, wanted[oid][1])) for oid, hunks in batch)
                done += len(batch)
                report("lines", done, len(readable))
        past.mark_complete(tip, "lines")
    return len(wanted)


def _without_lines(past: Past, tip: int) -> dict[Oid, tuple[int, int]]:
    """Return (row id, number of changes) of the commits with changes that `tip` reaches and whose lines are not stored, oldest row first."""
    skeleton = past.skeleton()
    have = past.with_hunks()
    visible = reachable(skeleton, tip)
    return {
        Oid(skeleton.oids[number].hex()): (number, changes)
        for number, changes in sorted(past.change_counts().items())
        if visible[number] and number not in have
    }


def of_length(hunks: tuple[Hunks, ...], changes: int) -> tuple[Hunks, ...]:
    """Return hunks for that many changes; if git now pairs the files otherwise than in the path tier, none are better than wrong ones."""
    return hunks if len(hunks) == changes else (None,) * changes


def _whole_ones(
    git: Git, arguments: Sequence[str], stdin: bytes, read: Callable[[IO[bytes]], Iterator[Item]]
) -> Generator[Item, None, None]:
    """Yield what `read` makes of git's output; the last only when git has ended well, for what it was printing when it failed is not whole.

    Raises GitError when git failed.
    """
    with git.stream(*arguments, stdin=stdin) as stream:
        held: list[Item] = []
        for item in read(stream):
            yield from held
            held = [item]
    yield from held


def _shares(commits: Sequence[Oid]) -> list[list[Oid]]:
    """Deal commits out to the git processes that print their lines, in turns, since newer commits cost more."""
    shares: list[list[Oid]] = [[] for _ in range(LINE_READERS)]
    for number, start in enumerate(range(0, len(commits), TURN_COMMITS)):
        shares[number % LINE_READERS] += commits[start : start + TURN_COMMITS]
    return [share for share in shares if share]


def _by_turns(readers: Sequence[Iterator[Item]]) -> Iterator[Item]:
    """Yield from each reader in turn until all have ended, so that none waits long with a full pipe."""
    waiting = deque(readers)
    while waiting:
        reader = waiting.popleft()
        if some := list(islice(reader, TURN_COMMITS)):
            yield from some
            waiting.append(reader)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    stream = iter(items)
    while batch := list(islice(stream, size)):
        yield batch


def _timed(seconds: dict[str, float], phase: str, work: Callable[[], Result]) -> Result:
    started = time.perf_counter()
    try:
        return work()
    finally:
        seconds[phase] = time.perf_counter() - started


@contextmanager
def _damage_told(mirror: Mirror) -> Iterator[None]:
    """Turn git's failure on the mirror, whose completeness the fetch proved, into what the user can do about it."""
    try:
        yield
    except GitError as error:
        raise StorageError(
            f"the mirror {str(mirror.path)!r} cannot be read ({error}); run `backstory cache clear` and try again"
        ) from error


class _Watched:
    """A `Report` that hands on what it is told and keeps how far each phase came."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.done: dict[str, int] = {}

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        self.done[phase] = done
        self._report(phase, done, total)
