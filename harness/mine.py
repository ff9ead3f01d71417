"""Fixes of a repository's own past, made into instances: so that a team measures on what its users reported, in the order in which it happened.

    first parents before a commit -> those that say they mend something, and change code and tests -> a statement that does not tell the answer
          -> tests that fail before and pass after, run several times -> an instance of the classic form

A commit is looked at by what it changed against its first parent, so a merged branch and a squashed one are alike. What a statement may say: the linked
issue, where an export or GitHub has it; else the commit's own message, in which names that the fix brings are withheld. Both are cut from what
names the fix itself (commit ids, its number, addresses).
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal, get_args

import pygit2
from pygit2.enums import SortMode

from backstory.graph.history import NO_PROGRAMS, fixed_issues, says_fix
from backstory.graph.languages import is_test, language_of
from backstory.graph.mirror import Mirror
from backstory.graph.selection import place_of
from backstory.graph.types import Oid, RepoPath, Report, silent
from backstory.harness.instances import Instance, added_text
from backstory.harness.judging import Grader, Trial, gave_no_answer
from backstory.harness.native import Native, NotHere
from backstory.harness.recipes import Recipe, setup_of
from backstory.harness.trees import judged_trees
from backstory.tools.trees import differing, objects

RUNS = 3  # of the tests before and after, to tell a fix from a flake
# Larger changes are seldom one fix (medians of SWE-bench: one file, a dozen lines); they are counted as rejected, not lost from sight.
CODE_FILES_AT_MOST = 5
CODE_LINES_AT_MOST = 300
STATEMENT_CHARS = 30  # a shorter one says nothing to work from

Rejection = Literal[
    "says no fix",
    "changes no code or no tests",
    "too large",
    "statement says too little",
    "the same change was seen",
    "environment",
    "does not apply",
    "tests do not end in time",
    "nothing fails before and passes after",
    "flaky",
    "failing tests cannot be collected before",
]
REJECTIONS: tuple[Rejection, ...] = get_args(Rejection)

_DIFF = (
    "-p",
    "--binary",
    "--full-index",
    "--no-renames",
    *NO_PROGRAMS,
    "--no-color",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)
_NUMBER = re.compile(r"\(#(\d{1,7})\)\s*$|^Merge pull request #(\d{1,7})\b", re.MULTILINE)
_TRAILER = re.compile(
    r"^(?:[A-Z][\w-]+-by|Change-Id|Reviewed-on|git-svn-id|Merge pull request|Merge branch|\(cherry picked).*$", re.MULTILINE
)
_NAMES_THE_FIX = re.compile(r"\b[0-9a-f]{7,40}\b|\(?(?:#|GH-|\bPR )\d{1,7}\)?|https?://\S+")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")
_NO_MODULE = re.compile(r"No module named '(\w+)")
WITHHELD = "[…]"


@dataclass(frozen=True)
class Statement:
    """What an instance is asked. source: "issue" or "message"; withheld: names of the fix that stood in it; overlap: their share of all its names."""

    text: str
    source: Literal["issue", "message"]
    withheld: tuple[str, ...]
    overlap: float


@dataclass(frozen=True)
class Candidate:
    """A commit that may be an instance. base: its first parent. patch, test_patch: what it changed in code and all else, and in tests.

    number: of its pull request, or "".
    """

    commit: Oid
    base: Oid
    subject: str
    body: str
    when: datetime
    patch: str
    test_patch: str
    number: str


@dataclass(frozen=True)
class Mined:
    """An instance with where it comes from, and by what recipe its tests ran.

    collected_before: whether any of its failing tests can be collected without the fix; where none can, they ask for a name that only the fix brings.
    """

    instance: Instance
    commit: Oid
    statement: Statement
    recipe: Recipe
    collected_before: bool


@dataclass
class Tally:
    """What became of the commits that were looked at. rejected: commits by reason; said: what a run or an installation said, by commit."""

    commits: int = 0
    candidates: int = 0
    rejected: dict[Rejection, list[Oid]] = field(default_factory=dict)
    said: dict[Oid, str] = field(default_factory=dict)

    def reject(self, reason: Rejection, commit: Oid, said: str = "") -> None:
        """Count a commit."""
        self.rejected.setdefault(reason, []).append(commit)
        if said:
            self.said[commit] = said


@dataclass(frozen=True)
class Mine:
    """Where instances are mined.

    repository: owner/name. issues: title and body by number, None where there is no such issue. commits: how many are looked at. languages: what code and tests are written in.
    collected: whether fixes are left out whose failing tests cannot be collected without them.
    """

    repository: str
    mirror: Mirror
    until: Oid
    native: Native
    grader: Grader
    issues: Callable[[str], tuple[str, str] | None]
    commits: int
    languages: Collection[str] = ("python",)
    version: str = ""
    runs: int = RUNS
    collected: bool = False
    report: Report = silent


def mine(where: Mine, *, on_mined: Callable[[Mined], None] = lambda mined: None) -> tuple[list[Mined], Tally]:
    """Return the instances of the last commits before `where.until`, oldest first, and what became of every commit."""
    tally = Tally()
    found: list[Mined] = []
    seen: set[str] = set()
    commits = list(_first_parents(where.mirror, where.until, where.commits))
    for done, commit in enumerate(reversed(commits)):
        where.report("commits", done, len(commits))
        tally.commits += 1
        candidate = _candidate(where.mirror, commit, tally, where.languages)
        if candidate is None:
            continue
        statement = statement_of(where, candidate)
        if len(statement.text) < STATEMENT_CHARS:
            tally.reject("statement says too little", candidate.commit)
            continue
        same = _same_change(candidate.patch)
        if same in seen:
            tally.reject("the same change was seen", candidate.commit)
            continue
        seen.add(same)
        tally.candidates += 1
        mined = _validated(where, candidate, statement, tally)
        if mined is not None:
            found.append(mined)
            on_mined(mined)
    return found, tally


def statement_of(where: Mine, candidate: Candidate) -> Statement:
    """Return what an instance is asked, without what would answer it."""
    message = f"{candidate.subject}\n\n{candidate.body}"
    found = (where.issues(number.removeprefix("#")) for number in fixed_issues(message))
    linked = next((issue for issue in found if issue is not None), None)
    source: Literal["issue", "message"] = "issue" if linked else "message"
    text = f"{linked[0]}\n\n{linked[1]}" if linked else _TRAILER.sub("", message)
    text = re.sub(r"[ \t]+$", "", _NAMES_THE_FIX.sub("", text), flags=re.MULTILINE).strip()
    names = set(_IDENTIFIER.findall(text))
    brought = sorted(
        name
        for name in names & set(_IDENTIFIER.findall(added_text(candidate.patch)))
        if _is_a_name(name) and not _base_has(where.mirror, candidate.base, name)
    )
    if brought and source == "message":  # a reporter's own words stay, and the overlap is told
        text = re.sub(rf"\b(?:{'|'.join(map(re.escape, brought))})\b", WITHHELD, text)
    return Statement(text, source, tuple(brought), round(len(brought) / len(names), 3) if names else 0.0)


def row_of(mined: Mined) -> dict[str, object]:
    """Return an instance as a row with the classic fields, how it is installed and tested, and where it comes from."""
    instance, setup = mined.instance, setup_of(mined.recipe)
    return {
        "instance_id": instance.id,
        "repo": instance.repository,
        "base_commit": instance.base,
        "problem_statement": instance.text,
        "patch": instance.patch,
        "test_patch": instance.test_patch,
        "FAIL_TO_PASS": list(instance.fail_to_pass),
        "PASS_TO_PASS": list(instance.pass_to_pass),
        "version": instance.version,
        "created_at": instance.created_at,
        "install_config": {
            "python": setup.python,
            "install": list(setup.commands),
            "test_cmd": setup.test_command,
            "log_parser": setup.parser,
            **({"one": setup.one} if setup.one else {}),
            "at": setup.at,
        },
        "fix_commit": mined.commit,
        "statement_from": mined.statement.source,
        "statement_overlap": mined.statement.overlap,
        "statement_withheld": list(mined.statement.withheld),
        "collected_before": mined.collected_before,
    }


def _first_parents(mirror: Mirror, until: Oid, count: int) -> Iterator[pygit2.Commit]:
    """Yield commits along first parents, newest first, the one without a parent left out."""
    walker = objects(mirror.path).walk(until, SortMode.TOPOLOGICAL)
    walker.simplify_first_parent()
    for _, commit in zip(range(count), walker, strict=False):
        if commit.parent_ids:
            yield commit


def _candidate(mirror: Mirror, commit: pygit2.Commit, tally: Tally, languages: Collection[str]) -> Candidate | None:
    oid, base = Oid(str(commit.id)), Oid(str(commit.parent_ids[0]))
    message = commit.message
    subject, _, body = message.partition("\n")
    merged = re.match(r"Merge pull request #\d+.*", subject)
    if merged:  # its subject names the branch, its body the change
        subject, _, body = body.strip().partition("\n")
    if not says_fix(subject, body):
        tally.reject("says no fix", oid)
        return None
    paths = differing(objects(mirror.path), Oid(str(commit.parents[0].tree.id)), Oid(str(commit.tree.id)))
    tests = [path for path in paths if is_test(path)]
    others = [path for path in paths if not is_test(path)]
    code = [path for path in others if place_of(path, is_test=False) == "code" and _is_in(path, languages)]
    if not code or not any(_is_in(path, languages) for path in tests):
        tally.reject("changes no code or no tests", oid)
        return None
    patch = _diff(mirror, base, oid, others)
    lines = sum(line.startswith(("+", "-")) for line in _diff(mirror, base, oid, code).splitlines())
    if len(code) > CODE_FILES_AT_MOST or lines > CODE_LINES_AT_MOST:
        tally.reject("too large", oid)
        return None
    when = datetime.fromtimestamp(commit.commit_time, UTC)
    return Candidate(oid, base, subject.strip(), body.strip(), when, patch, _diff(mirror, base, oid, tests), _number(message))


def _is_in(path: RepoPath, languages: Collection[str]) -> bool:
    language = language_of(path)
    return language is not None and language.name in languages


def _number(message: str) -> str:
    found = _NUMBER.search(message)
    return (found[1] or found[2]) if found else ""


def _diff(mirror: Mirror, base: Oid, oid: Oid, paths: Sequence[RepoPath]) -> str:
    return mirror.git.run("diff-tree", "-r", *_DIFF, base, oid, "--", *paths).decode("utf-8", "surrogateescape")


def _same_change(patch: str) -> str:
    """Return what two patches share that change the same lines in the same files, wherever these lie (git's patch id, in short)."""
    lines = [line for line in patch.splitlines() if line.startswith(("+", "-"))]
    return sha256("\n".join("".join(line.split()) for line in lines).encode("utf-8", "surrogateescape")).hexdigest()


def _is_a_name(name: str) -> bool:
    """Return whether a word is a name of code rather than one of prose."""
    return "_" in name or any(letter.isupper() for letter in name[1:]) or any(letter.isdigit() for letter in name)


def _base_has(mirror: Mirror, base: Oid, name: str) -> bool:
    return bool(mirror.git.run("grep", "-l", "-I", "-F", "-w", "-e", name, base, "--", allowed=(0, 1)))


def _validated(where: Mine, candidate: Candidate, statement: Statement, tally: Tally) -> Mined | None:
    """Return the instance, its lists made of what the tests do here; None when it is none."""
    instance = Instance(
        id=f"{where.repository.replace('/', '__')}-{candidate.number or candidate.commit[:12]}",
        repository=where.repository,
        base=candidate.base,
        text=statement.text,
        patch=candidate.patch,
        test_patch=candidate.test_patch,
        version=where.version,
        created_at=candidate.when.isoformat(),
    )
    ready = where.native.open(instance)
    if isinstance(ready, NotHere):
        tally.reject("environment", candidate.commit, ready.reason)
        return None
    before, after = (judged_trees(ready.mirror, instance, patch, runner=ready.recipe.runner) for patch in ("", instance.patch))
    if isinstance(before, str) or isinstance(after, str):
        tally.reject("does not apply", candidate.commit)
        return None
    if not after.tests:
        tally.reject("changes no code or no tests", candidate.commit)
        return None
    runs: list[tuple[Trial, Trial]] = []
    for repeat in range(where.runs):
        mended, plain = (where.grader.trial(ready, trees.ours, after.tests, repeat) for trees in (after, before))
        silent_one = next((trial for trial in (mended, plain) if gave_no_answer(trial)), None)
        if silent_one is not None:  # no list of tests that it would give could be judged by
            reason: Rejection = "tests do not end in time" if silent_one.stopped in ("wall", "cpu") else "environment"
            tally.reject(reason, candidate.commit, gave_no_answer(silent_one))
            return None
        runs.append((plain, mended))
        if not _lists(runs[:1])[0]:
            break  # the first run says already that nothing is mended
    if not runs[0][1].results:
        tally.reject("environment", candidate.commit, runs[0][1].distrust)
        return None
    fixed, kept = _lists(runs)
    if not _lists(runs[:1])[0]:
        tally.reject("nothing fails before and passes after", candidate.commit)
        return None
    if not fixed:
        tally.reject("flaky", candidate.commit)
        return None
    collected = any(test in plain.results for plain, _ in runs for test in fixed)
    if not collected:
        said = runs[0][0].distrust
        if _lacks_what_the_fix_does_not_bring(where.mirror, candidate.commit, said):
            tally.reject("environment", candidate.commit, said)
            return None
        if where.collected:
            tally.reject("failing tests cannot be collected before", candidate.commit, said)
            return None
    return Mined(replace(instance, fail_to_pass=fixed, pass_to_pass=kept), candidate.commit, statement, ready.recipe, collected)


def _lacks_what_the_fix_does_not_bring(mirror: Mirror, commit: Oid, said: str) -> bool:
    """Return whether a module was not found that is none of the project's own, even at the fix: the fix does without it, and the environment has none."""
    found = _NO_MODULE.search(said)
    if found is None:
        return False
    own = {part.partition(".")[0] for path in mirror.files(commit) for part in path.split("/")}
    return found[1] not in own


def _lists(runs: Sequence[tuple[Trial, Trial]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tests that fail before and pass after in every run, and those that pass both times in every run."""
    before = [_good(one.results) for one, _ in runs]
    after = [_good(other.results) for _, other in runs]
    always = after[0].intersection(*after[1:])
    ever, every = before[0].union(*before[1:]), before[0].intersection(*before[1:])
    return tuple(sorted(always - ever)), tuple(sorted(always & every))


def _good(results: Mapping[str, str]) -> set[str]:
    return {test for test, ended in results.items() if ended in ("passed", "xfailed")}


def told(tally: Tally, mined: Sequence[Mined], seconds: float) -> list[str]:
    """Return what became of the commits, for a person."""
    sources = Counter(one.statement.source for one in mined)
    per_hundred = seconds / 60 / max(1, tally.commits) * 100
    lines = [
        f"{tally.commits} commits, {tally.candidates} candidates, {len(mined)} validated; {per_hundred:.1f} minutes per hundred commits"
    ]
    for reason in REJECTIONS:
        commits = tally.rejected.get(reason, [])
        often = Counter(tally.said[commit].splitlines()[0] for commit in commits if commit in tally.said).most_common(1)
        lines += (
            [f"  {reason}: {len(commits)}" + (f" (most often, {often[0][1]} times: {often[0][0]})" if often else "")] if commits else []
        )
    if mined:
        overlap = sum(one.statement.overlap for one in mined) / len(mined)
        lines.append(
            f"  statements: {', '.join(f'{count} from the {name}' for name, count in sources.items())}; overlap with the fix {overlap:.1%}"
        )
    uncollected = [one.instance.id for one in mined if not one.collected_before]
    if uncollected:
        lines.append(
            f"  {len(uncollected)} whose failing tests cannot be collected without the fix, since they ask for a name that it brings"
            f" (--collected leaves them out): {', '.join(uncollected)}"
        )
    return lines
