"""What an attempt asks of the checks: does the tree pass, and, where no check was given, does this new test show the fault.

A verdict is given on the tree with its original tests (`backstory.agent.originals`) and the check's own files laid over it, in a worktree of the judge,
so nothing that an edit or a program does to tests can make it pass. A reproduction is a test that an attempt writes when there is no other check: it
lives beside the tree, is laid over it like any check's file, and is accepted only when it fails at the base.
"""

from collections.abc import Sequence

from backstory.agent.judge import Judge
from backstory.agent.originals import with_original_tests
from backstory.agent.question import Question
from backstory.agent.types import Reproduced
from backstory.errors import SandboxError
from backstory.graph.languages import is_test
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import Oid, RepoPath
from backstory.tools.bounded import bounded
from backstory.tools.checks import Check, Verdict
from backstory.tools.commands import command_for_tests
from backstory.tools.desk import Desk
from backstory.tools.paths import repo_path
from backstory.tools.tool import Arguments, Observation, Parameter, Tool

# What is shown of a check's output: the tracebacks of a few failing tests.
OUTPUT_CHARS = 5_000
TESTS_NAMED = 8
MAX_TEST_BYTES = 200_000
OWN = "written for this issue"


class Examiner:
    """The checks of one attempt."""

    def __init__(self, graph: RepoGraph, judge: Judge, desk: Desk, question: Question | None, *, timeout_s: float) -> None:
        """question: what a repair has to answer to, None when it has to be written first."""
        self.question = question
        self.reproduction: Reproduced | None = None
        self._graph, self._judge, self._desk, self._timeout_s = graph, judge, desk, timeout_s
        self._said: dict[Oid, Verdict] = {}

    def judged(self, tree: Oid) -> Oid:
        """Return a tree as it is judged."""
        return with_original_tests(self._graph, tree)

    def verdict(self) -> Verdict | None:
        """Return how the present tree answers the question: its failing tests first, the whole check once they pass. None without a question."""
        if self.question is None:
            return None
        judged = self.judged(self._desk.tree)
        known = self._said.get(judged)
        if known is not None:
            return known
        verdict = self._judge.verdict(judged, self.question.narrowed, role="attempt")
        if verdict.status == "passed" and self.question.narrowed != self.question.check:
            verdict = self._judge.verdict(judged, self.question.check, role="attempt")
        if verdict.status != "not_run":
            self._said[judged] = verdict
        return verdict

    def known(self) -> Verdict | None:
        """Return the last verdict on the present tree, None when it was not asked for."""
        return self._said.get(self.judged(self._desk.tree)) if self.question is not None else None

    def tools(self) -> tuple[Tool, Tool]:
        """Return `check` and `reproduce`."""
        return (
            Tool(
                "check",
                "Ask for a verdict on the work tree, with the original tests: the failing check of the issue, or the tests you name.",
                (Parameter("tests", "strings", "test files or ids such as tests/test_a.py::test_x; without: the check of the issue"),),
                "judges",
                self._check,
            ),
            Tool(
                "reproduce",
                "Write a test that shows the fault. It must fail at the base; then it is the check. Only where no check was given.",
                (
                    Parameter("path", "string", "new test file, beside the tests it is like", required=True),
                    Parameter("content", "string", "the whole file; assert what should happen", required=True),
                ),
                "judges",
                self._reproduce,
            ),
        )

    def _check(self, arguments: Arguments) -> Observation:
        tests = arguments["tests"]
        if isinstance(tests, tuple) and tests:
            return self._named(tests)
        verdict = self.verdict()
        if verdict is None:
            return Observation("no check was given for this issue; write a test that shows the fault with `reproduce`", ok=False)
        return shown(verdict)

    def _named(self, tests: Sequence[str]) -> Observation:
        command = command_for_tests(tests, like=self.question.check.command if self.question is not None else "")
        if command is None:
            return Observation(f"no known runner takes {', '.join(tests)}; name test files or ids of one kind, or use `run`", ok=False)
        own = {RepoPath(test.partition("::")[0]) for test in tests} - set(self._graph.files())
        tree = with_original_tests(self._graph, self._desk.tree, but=own)
        return shown(self._judge.verdict(tree, Check(command, self._timeout_s), role="attempt"))

    def _reproduce(self, arguments: Arguments) -> Observation:
        if self.question is not None and self.reproduction is None:
            return Observation(f"a check was given for this issue: {self.question.check.command}", ok=False)
        try:
            path = repo_path(str(arguments["path"]))
        except SandboxError as error:
            return Observation(f"refused: {error}", ok=False)
        if not is_test(path):
            return Observation(f"{path!r} does not look like a test file; name it like the tests of this repository", ok=False)
        if path in self._graph.files():
            return Observation(f"{path!r} exists; choose a new file, it stays beside the patch", ok=False)
        content = str(arguments["content"]).encode("utf-8", "surrogateescape")
        command = command_for_tests([path])
        if command is None or len(content) > MAX_TEST_BYTES:
            return Observation(f"{path!r} cannot be run as a test; write a small test file in the language of the code", ok=False)
        check = Check(command, self._timeout_s, (path,))
        verdict = self._judge.verdict(self._graph.at, check, role="reproduction", instead={path: content})
        if verdict.status == "failed":
            self._judge.add_overlay({path: content})
            self.reproduction = Reproduced(path, content)
            self.question = Question(check, OWN, verdict, check)
            self._said.clear()
            return Observation(f"it fails at the base, as it should; it is the check now.\n{shown(verdict).text}")
        said = "it passes at the base, so it does not show the fault" if verdict.status == "passed" else "it gives no answer at the base"
        return Observation(f"{said}; write it again\n{shown(verdict).text}", ok=False)


def shown(verdict: Verdict) -> Observation:
    """Return a verdict in words for a model."""
    failed = [test for test, outcome in verdict.results.items() if outcome in ("failed", "error")]
    more = f" and {len(failed) - TESTS_NAMED} more" if len(failed) > TESTS_NAMED else ""
    lines = [f"{verdict.status}: {verdict.summary}" if verdict.summary else verdict.status]
    if failed:
        lines.append(f"failing: {', '.join(failed[:TESTS_NAMED])}{more}")
    dropped = 0
    if verdict.status != "passed" and verdict.output.strip():
        text, dropped = bounded(verdict.output.strip("\n"), OUTPUT_CHARS, more="`check` fewer tests")
        lines.append(text)
    return Observation("\n".join(lines), ok=verdict.status == "passed", dropped_chars=dropped)
