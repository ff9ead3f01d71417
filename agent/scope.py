"""Which tests must keep passing, and whether they do.

A repair that makes one check pass may break what other tests hold. The scope of that question is chosen by evidence, in this order, up to a cap:
the check's own files, the test files of the blamed commit, the tests linked to the symbols that the repair changes, and those of the newest commits
on the same files. It is printed with every verdict, because "nothing else broke" means nothing without it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, takewhile

from backstory.agent.judge import Judge
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Oid, RepoPath, Span
from backstory.tools.checks import Check, Verdict
from backstory.tools.commands import commands_for_files
from backstory.tools.patch import Patch
from backstory.tools.unified import PatchHunk, parse_patch

# Test files run beside the check: what a minute allows on a middle-sized project.
SCOPE_FILES = 20
# Files run before the others: what a bad repair breaks is mostly here.
FIRST_FILES = 3
# Seconds that the others may take; files that do not come to their end by then, at the base, are no part of the scope.
LATER_S = 120.0
# Commits on the changed files whose tests are taken in, newest first.
RECENT_COMMITS = 30


@dataclass(frozen=True)
class ScopeVerdict:
    """Whether what passed at the base still passes.

    broke: ids of the tests that passed at the base and no longer do, sorted. held: how many still do. reason: why it could not be judged, or "".
    """

    files: tuple[RepoPath, ...]
    broke: tuple[str, ...]
    held: int
    reason: str

    @property
    def holds(self) -> bool:
        return not self.broke and not self.reason


def scope_files(
    graph: RepoGraph, changed: Mapping[RepoPath, tuple[Span, ...]], *, check_files: Iterable[RepoPath], blamed: Oid | None
) -> tuple[RepoPath, ...]:
    """Return the test files to keep passing, most telling first, at most `SCOPE_FILES`. changed: the spans of the base that a repair touches, by path."""
    ordered = dict.fromkeys(_candidates(graph, changed, check_files, blamed))
    return tuple(islice((path for path in ordered if _holds_tests(graph, path)), SCOPE_FILES))


def _holds_tests(graph: RepoGraph, path: RepoPath) -> bool:
    """Return whether a file of the base defines tests; what only serves them (fixtures, helpers) has nothing to run."""
    if path not in graph.files() or not graph.code.is_test(path):
        return False
    return not path.endswith(".py") or any(
        symbol.qualname.rpartition(".")[2].lower().startswith("test") for symbol in graph.code.symbols(path)
    )


def changed_spans(patch: Patch) -> dict[RepoPath, tuple[Span, ...]]:
    """Return the spans of the base that a patch replaces, by path; an insertion counts as the line before it. Context lines do not count."""
    return {file.was or file.path: tuple(_replaced(hunk) for hunk in file.hunks) for file in parse_patch(patch.diff)}


def _replaced(hunk: PatchHunk) -> Span:
    """Return the span between the context lines at both ends of a hunk."""
    before = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(hunk.old, hunk.new, strict=False)))
    after = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reversed(hunk.old), reversed(hunk.new), strict=False)))
    first = hunk.place.old_first + before
    return Span(
        max(1, min(first, hunk.place.old_first + len(hunk.old) - 1)), max(1, first, hunk.place.old_first + len(hunk.old) - 1 - after)
    )


def _candidates(
    graph: RepoGraph, changed: Mapping[RepoPath, tuple[Span, ...]], check_files: Iterable[RepoPath], blamed: Oid | None
) -> Iterator[RepoPath]:
    yield from check_files
    if blamed is not None:
        yield from _now(graph, blamed)
    symbols = [
        symbol.id
        for path, spans in changed.items()
        for symbol in graph.code.symbols(path)
        if any(symbol.span.overlaps(span) for span in spans)
    ]
    yield from graph.code.tests_of(symbols)
    for path in changed:
        for commit in graph.touched(path)[:RECENT_COMMITS]:
            yield from _now(graph, commit)
    yield from graph.code.tests_of(list(changed))


def _now(graph: RepoGraph, commit: Oid) -> Iterator[RepoPath]:
    """Yield the paths a commit changed, as they are called at the base."""
    yield from (path for path in graph.changed_paths(commit) if path is not None)


class Scope:
    """Judges sets of test files at the base once, and any number of repairs against that. like: the check, whose settings the tests run with too."""

    def __init__(self, judge: Judge, *, timeout_s: float, like: str = "") -> None:
        self._judge = judge
        self._like = like
        self._timeout_s = timeout_s
        self._at_base: dict[str, Verdict] = {}

    def verdict(self, tree: Oid, files: tuple[RepoPath, ...], *, clean: bool) -> ScopeVerdict:
        """Return whether the tests of `files` that passed at the base pass on `tree` too. Files that give no result at the base are left out.

        The most telling files are run first; when one of them breaks, the rest is not run.
        """
        if not files:
            return ScopeVerdict((), (), 0, "")
        judged: list[ScopeVerdict] = []
        first = [(group, self._timeout_s) for group in _by_folder(files[:FIRST_FILES])]
        later = [(group, min(LATER_S, self._timeout_s)) for group in _by_folder(files[FIRST_FILES:])]
        for group, timeout_s in [*first, *later]:
            verdict = self._of_folder(tree, group, timeout_s, clean=clean)
            judged += [verdict] if verdict is not None else []
            if judged and judged[-1].broke:
                break
        if not judged:
            return ScopeVerdict(files, (), 0, "they give no result at the base")
        return ScopeVerdict(
            files=tuple(path for verdict in judged for path in verdict.files),
            broke=tuple(test for verdict in judged for test in verdict.broke),
            held=sum(verdict.held for verdict in judged),
            reason=next((verdict.reason for verdict in judged if verdict.reason), ""),
        )

    def _of_folder(self, tree: Oid, files: tuple[RepoPath, ...], timeout_s: float, *, clean: bool) -> ScopeVerdict | None:
        """Return the verdict on files that run together, None when nothing that can run them gives a result at the base.

        The check's own files fail at the base as a matter of course: where none of their tests passes there, they hold nothing and do not count.
        Where the time is over at the base before all have run, the files that came to their end are judged.
        """
        for place, command in enumerate(commands_for_files(files, like=self._like)):
            check = Check(command, timeout_s, files)
            if command not in self._at_base:
                self._at_base[command] = self._judge.verdict(self._judge.base, check, role="scope")
            before = self._at_base[command]
            if before.status == "not_run":
                return ScopeVerdict(files, (), 0, before.summary)
            if before.status == "timed_out" and (ended := _ended(files, before)):
                files, before = ended, _only(before, ended)
                check = Check(commands_for_files(files, like=self._like)[place], timeout_s, files)
            if before.status == "passed" or "passed" in before.results.values():
                after = self._judge.verdict(tree, check, role="scope", clean=clean)
                return _compared(files, before, after)
            if before.status == "failed" and before.results and set(files) <= self._judge.overlay.keys():
                return ScopeVerdict((), (), 0, "")
        return None


def _ended(files: tuple[RepoPath, ...], verdict: Verdict) -> tuple[RepoPath, ...]:
    """Return the files that came to their end before the time was over: those with results, but for the last one."""
    begun = [path for path in dict.fromkeys(test.partition("::")[0] for test in verdict.results) if path in files]
    return tuple(RepoPath(path) for path in begun[:-1])


def _only(verdict: Verdict, files: tuple[RepoPath, ...]) -> Verdict:
    """Return a verdict with the results of some files alone."""
    return replace(verdict, results={test: outcome for test, outcome in verdict.results.items() if test.partition("::")[0] in files})


def _compared(files: tuple[RepoPath, ...], before: Verdict, after: Verdict) -> ScopeVerdict:
    """Return what became of the tests that passed before; of the command as a whole where it tells of no single tests.

    A test without a result with the patch is broken, unless the time was over before its turn. Where it was over at the base too, the tests that ran in
    both say what holds; where it was not, the patch made them slow, and that is no proof.
    """
    if not after.results and after.status in ("timed_out", "not_run"):  # but a file that can no longer be imported has broken its tests
        return ScopeVerdict(files, (), 0, f"they give no result with the patch ({after.status}: {after.summary})")
    passed = {test for test, outcome in before.results.items() if outcome == "passed"}
    if not passed:
        as_a_whole = f"{len(files)} test files as a whole: {after.summary}"
        return ScopeVerdict(files, () if after.status == "passed" else (as_a_whole,), 0, "")
    cut = after.status == "timed_out"
    broke = tuple(sorted(test for test in passed if after.results.get(test, "passed" if cut else "") != "passed"))
    held = sum(after.results.get(test) == "passed" for test in passed)
    slow = cut and before.status != "timed_out"
    ran = {test.partition("::")[0] for test in passed if not cut or test in after.results}
    return ScopeVerdict(
        tuple(path for path in files if path in ran),
        broke,
        held,
        f"they do not end in time with the patch: {held} of {len(passed)} tests were held to" if slow else "",
    )


def _by_folder(files: tuple[RepoPath, ...]) -> list[tuple[RepoPath, ...]]:
    """Return the files by top folder: below different ones they may belong to different projects, whose settings do not go together in one run."""
    groups: dict[str, list[RepoPath]] = {}
    for path in files:
        groups.setdefault(path.split("/")[0] if "/" in path else "", []).append(path)
    return [tuple(group) for group in groups.values()]
