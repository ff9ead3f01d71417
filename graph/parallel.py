"""Parsing many blobs, in worker processes when there are enough of them to pay for starting some.

A parser is C code reading files a stranger wrote. If a worker dies, the files it might have died of are read again one by one, each in a worker of
its own, and the one that kills its worker is marked as not parsed; the rest go on. Workers are spawned, never forked: a fork of a process with
threads may hang.
"""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from multiprocessing import get_context
from typing import NamedTuple

from backstory.graph.languages import language_named
from backstory.graph.pack import pack
from backstory.graph.parse import Parse, parse_blob
from backstory.graph.types import Oid

IN_PROCESS_BYTES = 4_000_000  # parsed in about two seconds; starting workers takes half a second
BATCH_BYTES = 500_000  # a quarter of a second of work, so that progress is seen and little is repeated after a crash
CRASHED = "the parser died of it"
BATCHES_AHEAD = 3  # batches waiting for each worker; more would only hold more sources in memory


class Job(NamedTuple):
    """A blob to parse."""

    blob: Oid
    language: str
    source: bytes


class Done(NamedTuple):
    """A parsed blob, packed for the store."""

    blob: Oid
    language: str
    payload: bytes


Work = Callable[[Sequence[Job]], list[Done]]


def parse_batch(batch: Sequence[Job]) -> list[Done]:
    """Parse a batch here and now, in order."""
    return [Done(job.blob, job.language, pack(parse_blob(language_named(job.language), job.source))) for job in batch]


def parse_jobs(
    jobs: Iterable[Job], *, workers: int = 2, work: Work = parse_batch, in_process_bytes: int = IN_PROCESS_BYTES
) -> Iterator[list[Done]]:
    """Yield parsed batches of `jobs` as they are ready, in no defined order.

    jobs: read lazily, a few batches ahead. workers: processes; below 2, or where none can be started, everything is parsed in this process.
    in_process_bytes: what is parsed in this process however many workers there may be.
    """
    batches = _batches(jobs)
    first: list[list[Job]] = []
    size = 0
    for batch in batches:  # few files never leave this process
        first.append(batch)
        size += sum(len(job.source) for job in batch)
        if size > in_process_bytes:
            break
    waiting = chain(first, batches)
    if workers < 2 or size <= in_process_bytes or not _can_start():
        yield from map(work, waiting)
        return
    suspects: list[Job] = []
    under_way: list[list[Job]] = []
    while True:
        yield from _through_pool(waiting, workers, work, under_way)
        if not under_way:
            break
        suspects += [job for batch in under_way for job in batch]
        under_way.clear()
    yield from _one_by_one(suspects, work)


def _through_pool(waiting: Iterator[list[Job]], workers: int, work: Work, under_way: list[list[Job]]) -> Iterator[list[Done]]:
    """Yield what a pool of workers makes of `waiting`; when a worker dies, stop and leave in `under_way` the batches that were not done."""
    pending: dict[Future[list[Done]], list[Job]] = {}
    with _pool(workers) as pool:
        try:
            for batch in waiting:
                under_way.append(batch)
                pending[pool.submit(work, batch)] = batch
                if len(pending) >= workers * BATCHES_AHEAD:
                    yield from _finished(pending, under_way)
            while pending:
                yield from _finished(pending, under_way)
        except BrokenProcessPool:
            return
        except BaseException:  # an interrupt, or the caller stops reading
            pool.shutdown(cancel_futures=True)  # what is under way ends within a second
            raise


def _finished(pending: dict[Future[list[Done]], list[Job]], under_way: list[list[Job]]) -> Iterator[list[Done]]:
    ready, _ = wait(pending, return_when=FIRST_COMPLETED)
    for future in ready:
        done = future.result()
        under_way.remove(pending.pop(future))
        yield done


def _one_by_one(suspects: Sequence[Job], work: Work) -> Iterator[list[Done]]:
    """Parse each file on its own in a worker; the one a worker dies of is not parsed."""
    left = list(reversed(suspects))
    while left:
        with _pool(1) as pool:
            try:
                while left:
                    yield pool.submit(work, [left[-1]]).result()
                    left.pop()
            except BrokenProcessPool:
                job = left.pop()
                yield [Done(job.blob, job.language, pack(Parse(job.language, skipped=CRASHED)))]


def _batches(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    batch: list[Job] = []
    size = 0
    for job in jobs:
        batch.append(job)
        size += len(job.source)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_ignore_interrupt)


def _can_start() -> bool:
    """Return whether worker processes can be started: not from a script without a main guard, nor where semaphores are refused."""
    try:
        with _pool(1) as pool:
            return pool.submit(_ready).result()
    except (BrokenProcessPool, OSError, ImportError, RuntimeError):
        return False


def _ready() -> bool:
    return True


def _ignore_interrupt() -> None:
    """Leave Ctrl-C to the parent, which stops its workers in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
