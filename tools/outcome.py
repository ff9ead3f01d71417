"""From how a command ended to what that says about the tests. Pure: an execution, its records and its text to a status with a reason.

Two witnesses have to agree, what the tests did one by one and the exit code; where they do not, the answer is "broken" and says so. Tests that
could not begin gave no answer either: a failing import of a test module is not a failing test.
"""

import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from backstory.tools.commands import framework_of
from backstory.tools.sessions import Session, why_uncollected
from backstory.tools.shell import Execution, Stop
from backstory.tools.verdict import Result, Status

# 125 is what `git bisect run` takes for "cannot be tested"; 126 and 127 are the shell's for a program that cannot be run or found.
_CANNOT_RUN = {125: "the command said it cannot be tested", 126: "a program cannot be run", 127: "a program was not found"}
_PYTEST_CODES = {2: "pytest was interrupted", 3: "pytest failed internally", 4: "pytest was called wrongly", 5: "pytest found no tests"}
_STOPS: Mapping[Stop, str] = {
    "wall": "it did not end in time",
    "cpu": "it used up its processor time",
    "memory": "it used more memory than allowed",
    "processes": "it started more processes than allowed",
    "output": "it printed more than allowed",
    "file": "it wrote a file larger than allowed",
}
_REASON_CHARS = 300
_NAMED = 3  # failing tests in a summary

_UNITTEST_RAN = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
_UNITTEST_END = re.compile(r"^(OK|FAILED|NO TESTS RAN)(?: \((.*)\))?\s*$", re.MULTILINE)
_UNITTEST_TEST = re.compile(r"^(ERROR|FAIL): (\S+)(?: \(([\w.]+)\))?", re.MULTILINE)
_UNITTEST_NOT_LOADED = re.compile(r"^ERROR: (\S+) \(unittest\.loader\.|^ImportError: Failed to import test module: (\S+)", re.MULTILINE)
_SKIPPED = re.compile(r"skipped=(\d+)")
_RAISED = re.compile(r"^((?:\w+\.)*[A-Za-z_]\w*)(?=: |$)")
_PYTEST_ERROR_LINE = re.compile(r"^(?:ERROR:? |E   |.*: error: |Error: )(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What an execution says about the tests; the fields are those of `Verdict`."""

    status: Status
    summary: str
    results: Mapping[str, Result] = field(default_factory=dict)
    failure: tuple[str, ...] = ()


def judge(command: str, execution: Execution, *, sessions: Sequence[Session], text: str) -> Outcome:
    """Return what the execution of `command` says. sessions: what pytest recorded; text: the output, cleaned."""
    results = _together(sessions)
    failure = sorted({name for session in sessions for name in session.failure})
    if execution.stopped is not None:
        running = next((f", in {session.running}" for session in sessions if session.running), "")
        status: Status = "timed_out" if execution.stopped in ("wall", "cpu") else "broken"
        return Outcome(status, f"stopped after {execution.seconds:.1f} s: {_STOPS[execution.stopped]}{running}", results, tuple(failure))
    assert execution.exit_code is not None
    if execution.exit_code in _CANNOT_RUN:
        return Outcome("broken", f"{_CANNOT_RUN[execution.exit_code]}: {_last_line(text)}", results)
    if execution.signal == signal.SIGKILL:
        return Outcome("broken", "killed from outside, perhaps because the machine ran out of memory", results)
    if sessions:
        return _pytest(execution, sessions, results, failure, text)
    if framework_of(command) == "pytest":
        if execution.exit_code in _PYTEST_CODES:  # wrong options are found before the recorder begins
            return Outcome("broken", _short(f"{_PYTEST_CODES[execution.exit_code]}: {_error_line(text)}"))
        return Outcome("broken", f"pytest left no record of its tests (exit code {execution.exit_code}): {_last_line(text)}")
    if framework_of(command) == "unittest" or _UNITTEST_RAN.search(text):
        return _unittest(execution.exit_code, text)
    return _plain(execution, text)


def _pytest(execution: Execution, sessions: Sequence[Session], results: dict[str, Result], failure: list[str], text: str) -> Outcome:
    code = execution.exit_code
    cut_off = [session for session in sessions if session.finished is None]
    if cut_off:
        return _ended_early(execution, cut_off, results, failure)
    failing = [test for test, result in results.items() if result in ("failed", "error")]
    messages = {test: message for session in sessions for test, message in session.messages.items()}
    uncollected = [pair for session in sessions for pair in session.uncollected]
    if failing and code != 0:
        return Outcome("failed", _failing(failing, results, messages), results, tuple(failure))
    if failing:
        return Outcome("broken", f"{len(failing)} tests failed ({failing[0]}), yet the exit code is 0", results, tuple(failure))
    if uncollected:
        where, why = uncollected[0]
        more = f" (and {len(uncollected) - 1} more)" if len(uncollected) > 1 else ""
        return Outcome("broken", _short(f"tests could not be collected: {where}: {why_uncollected(why)}{more}"), results)
    for session in sessions:
        if session.finished in _PYTEST_CODES:
            return Outcome("broken", _short(f"{_PYTEST_CODES[session.finished]}: {_error_line(text)}"), results)
    if code != 0:
        return Outcome("broken", f"no test failed, yet the exit code is {code}: {_last_line(text)}", results)
    if "passed" not in results.values():
        return Outcome("broken", f"no test ran: {_counts(results) or 'none was found'}", results)
    return Outcome("passed", _counts(results), results)


def _ended_early(execution: Execution, sessions: list[Session], results: dict[str, Result], failure: list[str]) -> Outcome:
    """Judge a run that something ended from within: a crash, `os._exit`, `sys.exit` in a conftest or a plugin."""
    running = next((session.running for session in sessions if session.running), None)
    how = f"signal {_signal_name(execution.signal)}" if execution.signal else f"exit code {execution.exit_code}"
    where = f"in {running}" if running else "outside any test"
    if execution.exit_code == 0 or (running is None and not execution.signal):
        return Outcome("broken", f"the test run was ended {where} before it finished, with {how}", results, tuple(failure))
    if running:
        results[running] = "error"
    named = _signal_name(execution.signal) if execution.signal else "exit"
    return Outcome("failed", f"ended {where} by {how}", results, tuple(sorted({*failure, named})))


def _unittest(code: int, text: str) -> Outcome:
    runs = _UNITTEST_RAN.findall(text)
    ran = sum(int(number) for number in runs)
    ended = _UNITTEST_END.findall(text)
    if not runs or not ended:
        return Outcome("broken", f"the tests did not run to their end (exit code {code}): {_last_line(text)}")
    failing = [(kind, name, where) for kind, name, where in _UNITTEST_TEST.findall(text)]
    not_loaded = [first or second for first, second in _UNITTEST_NOT_LOADED.findall(text)]
    results: dict[str, Result] = {
        _dotted(name, where): "failed" if kind == "FAIL" else "error" for kind, name, where in failing if "unittest.loader" not in where
    }
    failure = tuple(raised_in(text))
    bad = any(word == "FAILED" for word, _ in ended)
    if bad and code == 0:
        return Outcome("broken", f"{len(failing)} tests failed, yet the exit code is 0", results, failure)
    if bad and not_loaded and not results:
        return Outcome("broken", _short(f"tests could not be loaded: {not_loaded[0]}: {_last_raised(text)}"), results, failure)
    if bad:
        names = ", ".join(list(results)[:_NAMED])
        return Outcome("failed", f"{len(failing)} of {ran} tests failed: {names}", results, failure)
    if code != 0 and ran:
        return Outcome("broken", f"no test failed, yet the exit code is {code}: {_last_line(text)}", results)
    skipped = sum(int(number) for _, notes in ended for number in _SKIPPED.findall(notes))
    if ran <= skipped:
        return Outcome("broken", f"no test ran: {skipped} skipped" if skipped else "no test was found", results)
    return Outcome("passed", f"{ran - skipped} passed", results)


def _plain(execution: Execution, text: str) -> Outcome:
    if execution.exit_code == 0:
        return Outcome("passed", "exit code 0")
    if execution.signal:
        name = _signal_name(execution.signal)
        return Outcome("failed", f"killed by signal {name}", {}, (name,))
    return Outcome("failed", _short(f"exit code {execution.exit_code}: {_last_line(text)}"), {}, tuple(raised_in(text)))


def raised_in(text: str) -> list[str]:
    r"""Return the type names of the exceptions that end the tracebacks of a text, sorted.

    >>> raised_in("Traceback (most recent call last):\n  File ...\npkg.Broken: why\n")
    ['Broken']
    """
    return sorted({name.rpartition(".")[2] for name, _ in _tracebacks(text)})


def _tracebacks(text: str) -> Iterable[tuple[str, str]]:
    inside = False
    for line in text.splitlines():
        if line.startswith("Traceback (most recent call last)"):
            inside = True
        elif inside and line and not line[0].isspace():
            found = _RAISED.match(line)
            if found:
                yield found[1], line
            inside = False


def _last_raised(text: str) -> str:
    return next((line for _, line in reversed(list(_tracebacks(text)))), _last_line(text))


def _together(sessions: Sequence[Session]) -> dict[str, Result]:
    """Return the results of all sessions; a test that two of them ran counts as the worse."""
    order: list[Result] = ["error", "failed", "passed", "skipped"]
    together: dict[str, Result] = {}
    for session in sessions:
        for test, result in session.results.items():
            together[test] = min(result, together.get(test, result), key=order.index)
    return together


def _failing(failing: list[str], results: Mapping[str, Result], messages: Mapping[str, str]) -> str:
    first = " ".join(messages.get(failing[0], "").split())
    more = f", and {len(failing) - 1} more" if len(failing) > 1 else ""
    return _short(f"{_counts(results)}: {failing[0]}{more}" + (f": {first}" if first else ""))


def _counts(results: Mapping[str, Result]) -> str:
    words = list(results.values())
    return ", ".join(
        f"{words.count(word)} {said}"
        for word, said in (("failed", "failed"), ("error", "with errors"), ("passed", "passed"), ("skipped", "skipped"))
        if word in words
    )


def _dotted(name: str, where: str) -> str:
    """Return one id for a test, whichever way this unittest prints it: `test_x (tests.A)` or `test_x (tests.A.test_x)`."""
    return name if not where else where if where.rpartition(".")[2] == name else f"{where}.{name}"


def _signal_name(number: int | None) -> str:
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"


def _error_line(text: str) -> str:
    found = _PYTEST_ERROR_LINE.findall(text)
    return str(found[-1]).strip() if found else _last_line(text)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _short(lines[-1]) if lines else "nothing was printed"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _REASON_CHARS else text[: _REASON_CHARS - 1] + "…"
