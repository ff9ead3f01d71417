"""Reads from the graph what the makers of repairs need, and puts their proposals into one order.

First what the blamed commit did is taken back (`undo`), for each candidate in turn when the search left several; then the edits that similar
places once received are carried over (`sibling`); the two by turns where the search was stopped and the commit is merely suspected. The makers are pure; this module is where they meet the repository.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import chain, islice, zip_longest

from backstory.agent.clues import find_clues
from backstory.agent.python import compiles
from backstory.agent.question import Question
from backstory.agent.repair import Sieve, minimise
from backstory.agent.sibling import PastEdit, sibling_proposals
from backstory.agent.types import Blamed, Proposal
from backstory.agent.undo import torn_files, tree_changes, undo_proposals
from backstory.graph.languages import language_of
from backstory.graph.parse import is_well_formed
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Commit, Location, Oid, RepoPath
from backstory.memory.recall import recall

# Candidates that are taken back in turn when the check could not tell them apart; each costs tens of trials.
CANDIDATES_TRIED = 3
# Files searched for code that moved away from where the culprit left it, nearest folders first.
FILES_SEARCHED = 400
# Past commits whose edits are tried at the located places, and files taken from each: enough for fixes, not for sweeping changes.
PAST_COMMITS = 40
PAST_FILES = 5
PAST_FILE_BYTES = 400_000
PLACES_FOR_SIBLINGS = 10


class Repairs:
    """The repairs that a repository's history offers for one question."""

    def __init__(
        self, graph: RepoGraph, locations: Sequence[Location], question: Question, *, text: str, counts: Callable[[RepoPath], bool]
    ) -> None:
        """counts: whether a path may be changed; tests and documentation never are."""
        self._graph, self._locations, self._question, self._text, self._counts = graph, locations, question, text, counts
        self.dropped: Counter[str] = Counter()

    def proposals(self, blamed: Blamed | None) -> Iterator[Proposal]:
        """Return repairs in the order in which they are best tried, each result once."""
        if blamed is not None and blamed.status == "suspected":
            return filter(None, chain.from_iterable(zip_longest(self._undone(blamed), self._carried(blamed))))
        return chain(self._undone(blamed), self._carried(blamed))

    def _undone(self, blamed: Blamed | None) -> Iterator[Proposal]:
        for commit in blamed.candidates[:CANDIDATES_TRIED] if blamed else ():
            yield from self._sieve(self._undoing(self._graph.commit(commit)))

    def _carried(self, blamed: Blamed | None) -> Iterator[Proposal]:
        located = self._locations[:PLACES_FOR_SIBLINGS]
        edits = list(self._past_edits(located, first=blamed.candidates[:1] if blamed else ()))
        yield from self._sieve(sibling_proposals(edits, located, today=self._today))

    def minimise(self, proposal: Proposal, passes: Callable[[Proposal], bool], go_on: Callable[[], bool]) -> Proposal:
        """Return the least of a passing proposal that still passes, or the least found when `go_on` says stop."""
        return minimise(proposal, passes, today=self._today, parses=_parses, go_on=go_on).proposal

    def _sieve(self, proposals: Iterator[Proposal]) -> Iterator[Proposal]:
        sieve = Sieve(today=self._today, parses=_parses)
        yield from sieve(proposals)
        self.dropped += sieve.dropped

    def _undoing(self, culprit: Commit) -> Iterator[Proposal]:
        """Yield what takes a commit back; for a merge, its own difference to each parent."""
        for parent in culprit.parents or (None,):
            if culprit.is_merge and parent is not None:
                changes = tree_changes(self._blobs(parent), self._blobs(culprit.oid))
                today = {change.path: change.path if change.path in self._graph.files() else None for change in changes}
            else:
                changes = list(culprit.changes)
                today = dict(zip((change.path for change in changes), self._graph.changed_paths(culprit.oid), strict=True))
            torn = torn_files(
                changes,
                culprit=culprit.oid,
                parent=parent,
                base=self._graph.at,
                text=self._graph.mirror.blob_at,
                path_today=lambda _, path, today=today: today.get(path),  # type: ignore[misc]  # mypy takes the default for a third argument
                leave_out=lambda path: self._graph.code.is_test(path) or not self._counts(path),
            )
            yield from undo_proposals(
                torn,
                culprit=culprit,
                today=self._today,
                elsewhere=self._nearest([file.path for file in torn]),
                located=self._locations,
                frames=self._frames,
                dropped=self.dropped,
            )

    def _past_edits(self, located: Sequence[Location], *, first: Sequence[Oid]) -> Iterator[PastEdit]:
        """Yield the edits of `first` (the blamed commit may have forgotten a place), of commits like the issue, of those on the located files."""
        files = dict.fromkeys(place.path for place in located)
        alike = [change.commit for change in recall(self._text, self._graph, limit=PAST_COMMITS)]
        touching = [commit for path in files for commit in self._graph.touched(path)[:PAST_COMMITS]]
        for oid in dict.fromkeys([*first, *alike, *touching]):
            commit = self._graph.commit(oid)
            if len(commit.parents) == 1:
                yield from islice(self._edits_of(commit), PAST_FILES)

    def _edits_of(self, commit: Commit) -> Iterator[PastEdit]:
        for change in commit.changes:
            if change.status not in ("modified", "renamed") or self._graph.code.is_test(change.path):
                continue
            before = self._graph.mirror.blob_at(commit.parents[0], change.was or change.path)
            after = self._graph.mirror.blob_at(commit.oid, change.path)
            if before is not None and after is not None and len(before) + len(after) <= PAST_FILE_BYTES:
                yield PastEdit(commit.oid, commit.subject, change.path, before, after)

    def _nearest(self, to: Sequence[RepoPath]) -> list[RepoPath]:
        """Return today's source files, those in the folders of `to` first, then the ones that share more of their path."""
        folders = [path.split("/")[:-1] for path in to]

        def distance(path: RepoPath) -> tuple[int, RepoPath]:
            parts = path.split("/")[:-1]
            shared = max((_shared(parts, folder) for folder in folders), default=0)
            return (len(parts) - shared - shared, path)

        source = (path for path in self._graph.code.files() if not self._graph.code.is_test(path))
        return sorted(source, key=distance)[:FILES_SEARCHED]

    @cached_property
    def _frames(self) -> list[tuple[RepoPath, int]]:
        """The lines of the base that the failing check's tracebacks name."""
        files = self._graph.files()
        found = []
        for frame in find_clues(self._question.verdict.output).frames:
            path = RepoPath(frame.path.lstrip("./"))
            if path in files:
                found.append((path, frame.line))
            else:
                found += [(known, frame.line) for known in files if frame.path.endswith("/" + known)]
        return found

    @cached_property
    def _today(self) -> Callable[[RepoPath], bytes | None]:
        return lru_cache(maxsize=FILES_SEARCHED)(lambda path: self._graph.mirror.blob_at(self._graph.at, path))

    def _blobs(self, commit: Oid) -> dict[RepoPath, Oid]:
        return {path: entry.blob for path, entry in self._graph.mirror.files(commit).items()}


def _parses(path: RepoPath, content: bytes) -> bool:
    """Return whether a file is well-formed; the grammar of Python forgives indentation that Python does not, so Python is asked as well."""
    language = language_of(path)
    return is_well_formed(language, content) and (language is None or language.name != "python" or compiles(content))


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
