"""Whether a patch resolves an instance, from how the tests ended. Pure: words of tests and the lists of the data set to a grade.

Resolved means that every FAIL_TO_PASS test passes and every PASS_TO_PASS test still does; an expected failure counts as a pass, and a test that is
not there failed. Two readings of one run stand side by side:

- ours, from what the runner recorded outside the tree, test by test and by full id, with the exit code in agreement. A skipped PASS_TO_PASS test
  still holds, a skipped FAIL_TO_PASS test failed.
- the official one, from the log, by the names that its graders make of it (`backstory.harness.logs`).

An id of the data set may stand for several tests: one that was cut at a blank for all that begin with it, a bare name for the functions of that name
in any of the files. All of them have to pass.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from backstory.harness.data import is_cut
from backstory.harness.instances import Instance
from backstory.harness.logs import Word

Ended = Literal["passed", "failed", "error", "skipped", "xfailed"]
"""How a test ended, as its runner recorded it."""

_HOLDING = frozenset({"passed", "xfailed"})


@dataclass(frozen=True)
class Side:
    """One list of an instance's tests, each in the order of the data set: those that ended as they should, and the others."""

    held: tuple[str, ...]
    missed: tuple[str, ...]

    @property
    def share(self) -> float:
        """The part that held; 1 where the list is empty."""
        return len(self.held) / (len(self.held) + len(self.missed)) if self.held or self.missed else 1.0


@dataclass(frozen=True)
class Grade:
    """How an instance's tests ended. fixed: FAIL_TO_PASS; kept: PASS_TO_PASS. reason: what overrules the tests, "" for nothing."""

    fixed: Side
    kept: Side
    reason: str = ""

    @property
    def resolved(self) -> bool:
        """Whether the instance is resolved."""
        return not self.fixed.missed and not self.kept.missed and not self.reason


def strict_grade(instance: Instance, results: Mapping[str, Ended], *, reason: str = "") -> Grade:
    """Return the grade by what the runner recorded. results: by full id. reason: why the record is not to be believed, "" when it is."""
    return Grade(
        _side(instance.fail_to_pass, results, lambda test: results[test] in _HOLDING),
        _side(instance.pass_to_pass, results, lambda test: results[test] in _HOLDING or results[test] == "skipped"),
        reason,
    )


def official_grade(instance: Instance, words: Mapping[str, Word], *, exit_code: int | None = None) -> Grade:
    """Return the grade by the words of a log, as the official grader gives it.

    exit_code: of the test command, where it is known. One that says failure where no test of the log failed overrules the tests: such a log was forged
    or cut.
    """
    failing = any(word in ("FAILED", "ERROR") for word in words.values())
    reason = ""
    if not words:
        reason = "the log names no test"
    elif exit_code not in (None, 0) and not failing:
        reason = f"no test of the log failed, yet the exit code is {exit_code}"
    return Grade(
        _by_log(instance.fail_to_pass, words, ("PASSED", "XFAIL")),
        _by_log(instance.pass_to_pass, words, ("PASSED", "XFAIL", "SKIPPED")),
        reason,
    )


def meant_by(test: str, results: Mapping[str, object]) -> list[str]:
    """Return the recorded tests that an id of the data set stands for, in their order; none when there is no such test.

    >>> meant_by("test_x", {"a.py::test_x": 1, "b.py::T::test_x": 1, "b.py::test_y": 1})
    ['a.py::test_x', 'b.py::T::test_x']
    >>> meant_by("a.py::t[1", {"a.py::t[1 2]": 1, "a.py::t[1]": 1, "a.py::t[10]": 1})
    ['a.py::t[1 2]']
    """
    if test in results:
        return [test]
    if is_cut(test):
        return [name for name in results if name.startswith(f"{test} ")]
    if "::" not in test and "/" not in test:
        return [name for name in results if name.rpartition("::")[2] == test]
    return []


def _side(wanted: Sequence[str], results: Mapping[str, Ended], holds: Callable[[str], bool]) -> Side:
    by_name: dict[str, list[str]] = {}
    for name in results:
        by_name.setdefault(name.rpartition("::")[2], []).append(name)

    def held(test: str) -> bool:
        meant = by_name.get(test, []) if "::" not in test and test not in results else meant_by(test, results)
        return bool(meant) and all(map(holds, meant))

    good = {test for test in wanted if held(test)}
    return Side(tuple(test for test in wanted if test in good), tuple(test for test in wanted if test not in good))


def _by_log(wanted: Sequence[str], words: Mapping[str, Word], good: Sequence[Word]) -> Side:
    held = {test for test in wanted if _word_on(test, words) in good}
    return Side(tuple(test for test in wanted if test in held), tuple(test for test in wanted if test not in held))


def _word_on(test: str, words: Mapping[str, Word]) -> Word | None:
    """Return what a log says of a test of the data set. One that was cut stands for all names that begin with it, if they agree on passing."""
    if test in words or not is_cut(test):
        return words.get(test)
    meant = [words[name] for name in words if name.startswith(test)]
    return meant[0] if len({word in ("PASSED", "XFAIL") for word in meant}) == 1 else None
