"""Finds the check that a repair has to answer to, and how it ends at the base.

A check the user named is taken as it is. Without one, tests that the issue names, or that exercise the places the issue points at, are run at the
base, and those that fail become the check: an issue with a failing test is a question that can be answered; without one there is nothing that
could prove a repair, and this is said.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from backstory.agent.judge import Judge
from backstory.graph.code import CodeView
from backstory.graph.types import Location, RepoPath
from backstory.tools.checks import Check, Verdict
from backstory.tools.commands import check_files, command_for_tests

# Places whose tests are tried, and test files run, when no check was given: enough for a hit, few enough for a minute.
PLACES_TRIED = 8
TEST_FILES_TRIED = 12
# A command with many failing tests is narrowed to these before history is searched: each is run on a dozen trees.
FAILING_TESTS_KEPT = 20

_MEND = "mend the command or the environment (`backstory doctor`, --prepare)"
_TEST_NAME = re.compile(r"\b(test_\w+|\w+_test)\b")
_TEST_ID = re.compile(r"([\w./-]+\.(?:py|[cm]?[jt]sx?))((?:::\w+)*)((?:\[[^\]\n]*\])?)")


@dataclass(frozen=True)
class Question:
    """A check that fails at the base.

    origin: "given", "named in the issue" or "linked to the places found"; verdict: how it ended at the base; narrowed: the check that asks only for
    the failing tests, which history is searched with.
    """

    check: Check
    origin: str
    verdict: Verdict
    narrowed: Check


@dataclass(frozen=True)
class Unanswerable:
    """There is no question to answer. patchable: never; reason: one sentence for a person that says what to do."""

    reason: str
    verdict: Verdict | None = None


Read = Callable[[RepoPath], bytes | None]
"""A file as the check shall see it: the user's uncommitted test if there is one, else the base's; None when there is none."""


def ask_given(command: str, *, judge: Judge, read: Read, timeout_s: float) -> Question | Unanswerable:
    """Run the user's command at the base, its own files laid over it."""
    files = check_files(command, lambda path: read(path) is not None)
    judge.add_overlay(_contents(files, read))
    check = Check(command, timeout_s, files)
    verdict = judge.verdict(judge.base, check, role="base")
    match verdict.status:
        case "failed":
            return _question(check, "given", verdict, judge=judge, read=read)
        case "passed":
            return Unanswerable(f"the check passes at the base, so it shows no fault: {command!r}; give one that fails", verdict)
        case "broken":
            return Unanswerable(f"the check cannot run at the base: {verdict.summary}; {_MEND}", verdict)
        case _:
            return Unanswerable(
                f"the check gave no answer at the base ({verdict.status}: {verdict.summary}); give a quicker one or a larger budget",
                verdict,
            )


def find_question(
    text: str, locations: list[Location], *, code: CodeView, judge: Judge, read: Read, timeout_s: float
) -> Question | Unanswerable:
    """Run the tests that the issue names, then those linked to the places found; the failing ones are the question."""
    ran: list[str] = []
    silent: Verdict | None = None
    for origin, targets in (
        ("named in the issue", list(_named_tests(text, code))),
        ("linked to the places found", _linked_tests(locations, code)),
    ):
        targets = [target for target in dict.fromkeys(targets) if target not in ran][:TEST_FILES_TRIED]
        if not targets:
            continue
        command = command_for_tests(targets)
        if command is None:
            continue
        files = tuple(dict.fromkeys(RepoPath(target.split("::")[0]) for target in targets))
        judge.add_overlay(_contents(files, read))
        verdict = judge.verdict(judge.base, Check(command, timeout_s, files), role="base")
        failing = [test for test, outcome in sorted(verdict.results.items()) if outcome == "failed"][:FAILING_TESTS_KEPT]
        narrower = command_for_tests(failing) if failing else None
        if narrower is not None:
            check = Check(narrower, timeout_s, tuple(path for path in files if any(test.partition("::")[0] == path for test in failing)))
            verdict = judge.verdict(judge.base, check, role="base")
            if verdict.status == "failed":
                return Question(check, origin, verdict, check)
        elif verdict.status != "passed" and not any(outcome == "passed" for outcome in verdict.results.values()):
            silent = verdict
        ran += targets
    if not ran:
        return Unanswerable("no test is named in the issue or linked to the places found; give a failing one with --check")
    if silent is not None:
        return Unanswerable(
            f"the tests named in or found from the issue gave no answer at the base: {silent.summary}; {_MEND}, or give a check", silent
        )
    return Unanswerable(
        f"{len(ran)} tests or test files named in or found from the issue do not fail at the base; give a failing one with --check"
    )


def _question(check: Check, origin: str, verdict: Verdict, *, judge: Judge, read: Read) -> Question:
    """Return the question of a failing check, narrowed to its failing tests when it does not name their files (a folder, `make test`)."""
    failing = [test for test, outcome in sorted(verdict.results.items()) if outcome in ("failed", "error")][:FAILING_TESTS_KEPT]
    files = tuple(path for path in dict.fromkeys(RepoPath(test.split("::")[0]) for test in failing) if read(path) is not None)
    if set(files) <= set(check.files):
        return Question(check, origin, verdict, check)
    narrower = command_for_tests(failing, like=check.command) if files else None
    if narrower is None:
        return Question(check, origin, verdict, check)
    judge.add_overlay(_contents(files, read))
    narrowed = replace(check, command=narrower, files=files)
    if judge.verdict(judge.base, narrowed, role="base").status != "failed":
        return Question(check, origin, verdict, check)
    return Question(check, origin, verdict, narrowed)


def _named_tests(text: str, code: CodeView) -> Iterator[str]:
    """Yield test ids written out in the issue, then test functions it names, in the order of the text."""
    for path, rest, parameters in _TEST_ID.findall(text):
        for known in code.files():
            if code.is_test(known) and (known == path or known.endswith("/" + path)):
                qualname = rest.removeprefix("::").replace("::", ".")
                # One unknown id would keep the whole command from running; the file is known.
                exists = any(symbol.qualname == qualname for symbol in code.symbols(known))
                yield known + rest + (parameters if rest else "") if exists else known
    for name in dict.fromkeys(_TEST_NAME.findall(text)):
        for symbol in code.definitions(name):
            if code.is_test(symbol.path) and symbol.kind != "class":
                yield f"{symbol.path}::{symbol.qualname.replace('.', '::')}"


def _linked_tests(locations: list[Location], code: CodeView) -> list[str]:
    nodes = [location.symbol or location.path for location in locations[:PLACES_TRIED]]
    return list(code.tests_of(nodes))


def _contents(files: tuple[RepoPath, ...], read: Read) -> Mapping[RepoPath, bytes]:
    contents = {path: read(path) for path in files}
    return {path: content for path, content in contents.items() if content is not None}
