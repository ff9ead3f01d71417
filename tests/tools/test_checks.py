"""Verdicts on small trees, by real tests in the real sandbox."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import mocha
from backstory.tools.checks import Check, run_check, run_recorded, verdict_from_json, verdict_to_json
from backstory.tools.environment import Environment, find_environment
from backstory.tools.inside import RESULTS_PLUGIN, SITECUSTOMIZE
from backstory.tools.limits import MIB, Limits
from backstory.tools.sandbox import open_sandbox
from backstory.tools.shell import Mount

pytestmark = pytest.mark.sandbox

PYTEST = "python -m pytest -q -p no:randomly"
LIMITS = Limits(wall_s=60)
ADD = "def add(a, b):\n    return a + b\n"


@pytest.fixture(scope="session")
def environment() -> Environment:
    """The environment of these tests, as a user's active one."""
    return find_environment(None, active=Path(sys.prefix), path="/usr/bin:/bin")


@pytest.fixture
def judged(tmp_path, environment):
    """Return a function that writes files into a tree and gives a command's verdict on it."""

    def judge(
        files, command=PYTEST, *, sandbox="bwrap", limits=LIMITS, mounts=(), environment=environment, bound_at=Path("/checkout/project")
    ):
        root = tmp_path / "tree"
        root.mkdir(exist_ok=True)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        check = Check(command, limits.wall_s)
        return run_check(
            check, root=root, bound_at=bound_at, sandbox=open_sandbox(sandbox), environment=environment, limits=limits, mounts=mounts
        )

    return judge


@pytest.mark.parametrize("sandbox", ["bwrap", "none"])
def test_passing_tests(judged, sandbox):
    """Tests that pass give each its result, and the code they tested is proved to be the tree's."""
    verdict = judged(
        {"calc.py": ADD, "tests/test_calc.py": "import calc, pytest\n@pytest.mark.parametrize('n', [1, 2])\ndef test_add(n): assert calc.add(n, 0) == n\n"
         "class TestMore:\n    def test_zero(self): assert calc.add(0, 0) == 0\n    @pytest.mark.skip\n    def test_not(self): pass\n"},
        sandbox=sandbox,
    )  # fmt: skip
    assert (verdict.status, verdict.proof, verdict.failure) == ("passed", "in_tree", ())
    assert verdict.results == {
        "tests/test_calc.py::test_add[1]": "passed",
        "tests/test_calc.py::test_add[2]": "passed",
        "tests/test_calc.py::TestMore::test_zero": "passed",
        "tests/test_calc.py::TestMore::test_not": "skipped",
    }
    assert verdict.summary == "3 passed, 1 skipped"


def test_failing_tests(judged):
    """A failing test is told with the exception it failed with; a failing fixture is an error."""
    verdict = judged(
        {"test_a.py": "import pytest\ndef test_ok(): pass\ndef test_eq(): assert 1 == 2\ndef test_key(): {}['k']\n"
         "@pytest.fixture\ndef bad(): raise OSError('no')\ndef test_bad(bad): pass\n"}
    )  # fmt: skip
    assert verdict.status == "failed"
    assert verdict.failure == ("AssertionError", "KeyError", "OSError")
    assert verdict.results == {
        "test_a.py::test_ok": "passed",
        "test_a.py::test_eq": "failed",
        "test_a.py::test_key": "failed",
        "test_a.py::test_bad": "error",
    }
    assert verdict.summary.startswith("2 failed, 1 with errors, 1 passed: test_a.py::test_eq, and 2 more: ")


def test_expected_failures_are_no_failures(judged):
    """A test marked as failing counts as skipped while it fails."""
    verdict = judged({"test_a.py": "import pytest\n@pytest.mark.xfail\ndef test_x(): assert 0\ndef test_y(): pass\n"})
    assert (verdict.status, verdict.results["test_a.py::test_x"]) == ("passed", "skipped")


def test_tests_that_cannot_be_collected_are_no_answer(judged):
    """An import that fails while collecting is broken, not failed, and is named."""
    verdict = judged({"test_a.py": "import not_installed_anywhere\ndef test_x(): pass\n"})
    assert verdict.status == "broken"
    assert "test_a.py" in verdict.summary and "No module named 'not_installed_anywhere'" in verdict.summary


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"{PYTEST} no/such/test.py", "file or directory not found"),
        (f"{PYTEST} --no-such-option", "unrecognized arguments"),
        (f"{PYTEST} test_a.py::test_gone", "not found"),
        (f"{PYTEST} -k nothing_has_this_name", "pytest found no tests"),
        ("no-such-program", "a program was not found"),
        ("exit 125", "cannot be tested"),
    ],
)
def test_a_command_that_runs_no_test_is_no_answer(judged, command, said):
    """A missing file, a wrong option, a test that is gone, a missing program: broken, with the reason."""
    verdict = judged({"test_a.py": "def test_x(): pass\n"}, command)
    assert verdict.status == "broken" and said in verdict.summary


def test_only_skipped_tests_are_no_answer(judged):
    """When every test was skipped, nothing was tested."""
    verdict = judged({"test_a.py": "import pytest\n@pytest.mark.skip\ndef test_x(): pass\n"})
    assert (verdict.status, verdict.summary) == ("broken", "no test ran: 1 skipped")


@pytest.mark.slow
def test_a_hanging_test_times_out(judged):
    """A test that never ends is timed out, and named; the ones before it keep their results."""
    verdict = judged({"test_a.py": "import time\ndef test_a(): pass\ndef test_b(): time.sleep(600)\n"}, limits=replace(LIMITS, wall_s=12))
    assert verdict.status == "timed_out" and "test_a.py::test_b" in verdict.summary
    assert verdict.results == {"test_a.py::test_a": "passed"}


def test_a_test_over_another_limit_is_no_answer(judged):
    """A test that prints for ever is stopped; that is broken and not failed."""
    verdict = judged(
        {"test_a.py": "def test_a():\n    while True: print('x' * 1000)\n"}, f"{PYTEST} -s", limits=replace(LIMITS, output_bytes=4 * MIB)
    )
    assert verdict.status == "broken" and "printed more than allowed" in verdict.summary


def test_a_crash_is_a_failure_of_the_test_that_ran(judged):
    """A test that crashes the interpreter fails, and is known by name."""
    verdict = judged({"test_a.py": "import ctypes\ndef test_ok(): pass\ndef test_crash(): ctypes.string_at(0)\n"})
    assert (verdict.status, verdict.failure) == ("failed", ("SIGSEGV",))
    assert verdict.results == {"test_a.py::test_ok": "passed", "test_a.py::test_crash": "error"}


@pytest.mark.parametrize(("code", "status"), [(0, "broken"), (1, "failed")])
def test_a_test_that_leaves_the_process(judged, code, status):
    """A test that ends pytest with success is not believed; with failure it failed."""
    verdict = judged({"test_a.py": f"import os\ndef test_ok(): pass\ndef test_leave(): os._exit({code})\n"})
    assert verdict.status == status and "test_a.py::test_leave" in verdict.summary


@pytest.mark.parametrize("ending", ["import sys; sys.exit(0)", "import os; os._exit(0)"])
def test_a_conftest_that_exits_is_not_believed(judged, ending):
    """Exit code 0 without finished tests is broken."""
    verdict = judged({"conftest.py": ending, "test_a.py": "def test_x(): assert 0\n"})
    assert verdict.status == "broken"


def test_a_shadowed_pytest_is_not_believed(judged):
    """A `pytest.py` in the tree that exits with success runs no test and leaves no record."""
    verdict = judged({"pytest.py": "raise SystemExit(0)", "test_a.py": "def test_x(): assert 0\n"})
    assert verdict.status == "broken" and "no record" in verdict.summary


def test_a_forged_report_in_the_tree_counts_for_nothing(judged):
    """Results are read from outside the tree, so a report that a commit carries is not taken for one."""
    forged = '<testsuites><testsuite tests="1" failures="0"><testcase classname="test_a" name="test_x"/></testsuite></testsuites>'
    line = json.dumps({"event": "report", "id": "test_a.py::test_x", "when": "call", "outcome": "passed"})
    verdict = judged({"junit.xml": forged, "pytest-1.jsonl": line, "results/pytest-1.jsonl": line, "test_a.py": "def test_x(): assert 0\n"})
    assert (verdict.status, verdict.results) == ("failed", {"test_a.py::test_x": "failed"})


@pytest.mark.parametrize("command", [f"{PYTEST} || true", f"{PYTEST}; exit 0"])
def test_results_and_exit_code_have_to_agree(judged, command):
    """Failing tests with exit code 0 are broken, and so are passing tests with another one."""
    verdict = judged({"test_a.py": "def test_x(): assert 0\n"}, command)
    assert verdict.status == "broken" and "yet the exit code is 0" in verdict.summary
    verdict = judged({"test_a.py": "def test_x(): pass\n"}, f"{PYTEST}; exit 3")
    assert verdict.status == "broken" and "no test failed, yet the exit code is 3" in verdict.summary


def test_two_sessions_in_one_command_are_read_together(judged):
    """A command may run pytest twice; both count."""
    files = {"test_a.py": "def test_x(): pass\n", "test_b.py": "def test_y(): assert 0\n"}
    verdict = judged(files, f"{PYTEST} test_a.py && {PYTEST} test_b.py")
    assert (verdict.status, verdict.results) == ("failed", {"test_a.py::test_x": "passed", "test_b.py::test_y": "failed"})


def test_a_session_inside_a_test_does_not_count(judged):
    """A test that runs pytest itself, in its process or in another one, is judged by its own outcome."""
    verdict = judged(
        {"inner/case.py": "def test_inner(): assert 0\n",
         "test_a.py": "import pytest, subprocess, sys\ndef test_same(): assert pytest.main(['-q', 'inner/case.py']) == 1\n"
         "def test_other(): assert subprocess.call([sys.executable, '-m', 'pytest', '-q', 'inner/case.py']) == 1\n"},
        f"{PYTEST} test_a.py",
    )  # fmt: skip
    assert (verdict.status, verdict.results) == ("passed", {"test_a.py::test_same": "passed", "test_a.py::test_other": "passed"})


def test_workers_of_xdist_are_read_once(judged):
    """Tests spread over processes are recorded by the one that leads them, exception names included."""
    verdict = judged({"test_a.py": "def test_x(): pass\ndef test_y(): {}[1]\n"}, f"{PYTEST} -n 2")
    assert verdict.results == {"test_a.py::test_x": "passed", "test_a.py::test_y": "failed"}
    assert verdict.failure == ("KeyError",)


@pytest.mark.parametrize("name", ["pkg", "src/pkg"])
def test_an_installed_copy_is_no_proof(judged, tmp_path, environment, name):
    """When the tests import another copy of the project than the tree's, no verdict is given about the tree."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "pkg").mkdir(parents=True)
    (elsewhere / "pkg" / "__init__.py").write_text("value = 1\n")
    installed = replace(environment, mounts=(*environment.mounts, Mount(elsewhere, Path("/opt/site-packages"))))
    # As a .pth file of an installed package would: the folder is added after the tree's own.
    add = "import sys; sys.path.append('/opt/site-packages'); sys.path[:] = [p for p in sys.path if not p.startswith('/checkout')]\n"
    files = {
        f"{name}/__init__.py": "value = 2\n",
        "tests/conftest.py": add,
        "tests/test_a.py": "import pkg\ndef test_x(): assert pkg.value == 1\n",
    }
    verdict = judged(files, environment=installed)
    assert (verdict.status, verdict.proof) == ("broken", "elsewhere")
    assert verdict.summary.startswith(
        "'pkg' was imported from '/opt/site-packages/pkg/__init__.py', not from the work tree; install it editable"
    )


def make_venv(folder: Path, pth: str) -> Path:
    """Make a virtual environment by hand: links, a configuration, and a .pth file, with the packages of these tests visible."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    site.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (folder / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\ninclude-system-site-packages = false\n")
    (site / "project.pth").write_text(pth)
    for path in map(Path, sys.path):
        if path.name in ("site-packages", "dist-packages"):
            for entry in path.iterdir():
                if not entry.name.endswith(".pth") and "backstory" not in entry.name and not (site / entry.name).exists():
                    (site / entry.name).symlink_to(entry)
    return folder


def test_an_editable_install_tests_the_work_tree(judged, tmp_path, environment):
    """The tree is shown at the checkout's path, so what is installed editable from there is the tree; installed from elsewhere, it is not."""
    checkout = tmp_path / "checkout"
    other = tmp_path / "other"
    for folder in (checkout, other):
        (folder / "src" / "pkg").mkdir(parents=True)
        (folder / "src" / "pkg" / "__init__.py").write_text("value = 'user'\n")
    packages = environment.mounts  # where the packages linked into the environments are
    files = {"src/pkg/__init__.py": "value = 'tree'\n", "tests/test_a.py": "import pkg\ndef test_x(): assert pkg.value == 'tree'\n"}
    make_venv(checkout / ".venv", f"{checkout / 'src'}\n")
    found = find_environment(checkout, active=None, path="/usr/bin")
    assert found.label.startswith("the checkout's environment")
    verdict = judged(files, environment=replace(found, mounts=(*packages, *found.mounts)), bound_at=checkout)
    assert (verdict.status, verdict.proof) == ("passed", "in_tree"), verdict.output
    assert not (tmp_path / "tree" / ".venv").exists()  # the mount left nothing behind

    foreign = find_environment(None, active=make_venv(tmp_path / "foreign", f"{other / 'src'}\n"), path="/usr/bin")
    assert any("cannot be seen" in note for note in foreign.notes)
    seen = replace(foreign, mounts=(*packages, *foreign.mounts, Mount(other, other)))
    verdict = judged(files, environment=seen, bound_at=checkout)
    assert (verdict.status, verdict.proof) == ("broken", "elsewhere")


def test_a_vendored_helper_is_forgiven(judged, environment, tmp_path):
    """A single module of the tree that is also installed is no reason to doubt, while the tree's own package is seen."""
    helper = tmp_path / "helper"
    helper.mkdir()
    (helper / "vendored.py").write_text("")
    seen = replace(environment, mounts=(*environment.mounts, Mount(helper, Path("/opt/site-packages"))))
    test = "import sys; sys.path.insert(0, '/opt/site-packages')\nimport vendored, pkg\ndef test_x(): assert vendored.__file__.startswith('/opt')\n"
    files = {"vendored.py": "", "pkg/__init__.py": "", "test_a.py": test}
    verdict = judged(files, environment=seen)
    assert (verdict.status, verdict.proof) == ("passed", "in_tree")


def test_a_command_that_sets_its_own_import_path(judged):
    """PYTHONPATH set by the command keeps the recorders."""
    files = {"lib/pkg/__init__.py": "value = 1\n", "test_a.py": "import pkg\ndef test_x(): assert pkg.value\n"}
    verdict = judged(files, f"PYTHONPATH=lib {PYTEST}")
    assert (verdict.status, verdict.proof, verdict.results) == ("passed", "in_tree", {"test_a.py::test_x": "passed"})


def test_a_python_that_ignores_the_environment_proves_nothing(judged):
    """With -I nothing is recorded: a plain command is judged by its exit code with the proof unknown, tests of pytest are not believed."""
    files = {"pkg.py": "", "test_a.py": "def test_x(): pass\n"}
    plain = judged(files, "python -I -c 'import sys; sys.path.insert(0, \".\"); import pkg'")
    assert (plain.status, plain.proof) == ("passed", "unknown")
    assert judged(files, "python -I -m pytest").status == "broken"


def test_an_existing_sitecustomize_still_runs(judged):
    """The one that was there before is imported by ours."""
    files = {
        "site/sitecustomize.py": "import os; os.environ['CUSTOM'] = '1'\n",
        "test_a.py": "import os\ndef test_x(): assert os.environ['CUSTOM'] == '1'\n",
    }
    assert judged(files, f"PYTHONPATH=site {PYTEST}").status == "passed"


UNITTEST = "python -m unittest"


def test_unittest_passing_and_failing(judged):
    """Tests of unittest are known by its output and its exit code."""
    case = "import unittest, calc\nclass T(unittest.TestCase):\n    def test_a(self): self.assertEqual(calc.add(1, 1), {0})\n    def test_b(self): pass\n"
    verdict = judged({"calc.py": ADD, "test_c.py": case.format(2)}, UNITTEST)
    assert (verdict.status, verdict.summary, verdict.proof) == ("passed", "2 passed", "in_tree")
    verdict = judged({"test_c.py": case.format(3)}, UNITTEST)
    assert (verdict.status, verdict.results, verdict.failure) == ("failed", {"test_c.T.test_a": "failed"}, ("AssertionError",))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"test_c.py": "import not_installed_anywhere\n"}, "tests could not be loaded: test_c"),
        ({"readme": ""}, "no test"),
        (
            {"test_c.py": "import unittest\nclass T(unittest.TestCase):\n    @unittest.skip('')\n    def test_a(self): pass\n"},
            "no test ran: 1 skipped",
        ),
    ],
)
def test_unittest_without_an_answer(judged, files, said):
    """A test module that cannot be imported, no tests at all, or only skipped ones, are broken."""
    verdict = judged(files, UNITTEST)
    assert verdict.status == "broken" and said in verdict.summary


def test_a_plain_command_is_judged_by_its_exit_code(judged):
    """Any command will do: 0 passes, another fails, and a traceback says with what."""
    assert judged({"calc.py": ADD}, "grep -q 'a + b' calc.py").status == "passed"
    assert judged({"calc.py": ADD}, "grep -q 'a - b' calc.py").status == "failed"
    verdict = judged({"calc.py": ADD}, "python -c 'import calc; calc.add(1, None)'")
    assert (verdict.status, verdict.failure) == ("failed", ("TypeError",))
    assert judged({}, "kill -ABRT $$").failure == ("SIGABRT",)


def test_output_is_visible_text(judged):
    """Escape sequences and invisible characters of a command's output are removed, and its middle when it is long."""
    verdict = judged({}, r"printf '\033[31mred\033[0m \033]0;title\007 \342\200\256end\377\n'; seq 100000; exit 1")
    assert verdict.output.startswith("red  end�\n1\n2\n") and verdict.output.endswith("\n100000\n") and "bytes left out" in verdict.output


def test_a_verdict_survives_being_written(judged):
    """What is written as JSON is read back the same."""
    verdict = judged({"test_a.py": "def test_x(): assert 0\n"})
    assert verdict_from_json(json.loads(json.dumps(verdict_to_json(verdict)))) == verdict
    for wrong in ({}, [], {"status": "odd"}, {**verdict_to_json(verdict), "results": {"a": "maybe"}}):
        with pytest.raises(ValueError):
            verdict_from_json(wrong)


def pythons():
    """Return every Python 2.7 or later that a version switch on this machine keeps, besides the one running."""
    folder = Path(sys.base_prefix).parent
    return sorted(path for path in folder.glob("*/bin/python") if path.parent.parent.name[:1].isdigit()) or [Path(sys.executable)]


@pytest.mark.parametrize("python", pythons(), ids=lambda path: path.parent.parent.name)
def test_the_recorder_runs_in_every_python(tmp_path, python):
    """The recorder of imports works in, and the plugin compiles for, each Python found here, silently."""
    (tmp_path / "witness").mkdir()
    (tmp_path / "witness" / "sitecustomize.py").write_text(SITECUSTOMIZE)
    (tmp_path / "witness" / "names.txt").write_text("pkg")
    (tmp_path / "pkg.py").write_text("")
    (tmp_path / "plugin.py").write_text(RESULTS_PLUGIN)
    env = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "witness"), str(tmp_path)]),
        "BACKSTORY_RESULTS": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    code = "import pkg; compile(open('plugin.py').read(), 'plugin.py', 'exec')"
    done = subprocess.run([str(python), "-c", code], cwd=tmp_path, env=env, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    (record,) = tmp_path.glob("modules-*.jsonl")
    assert tmp_path / json.loads(record.read_text())["pkg"] == tmp_path / "pkg.py"  # Python 2 says it relative to where it runs


def test_expected_failures_are_told_from_skipped_tests(tmp_path, environment):
    """Both are skipped to pytest; the record says which failed as was expected of them."""
    (tmp_path / "tree").mkdir()
    tests = (
        "import pytest\n\n@pytest.mark.xfail\ndef test_a(): assert 0\n\n@pytest.mark.skip\ndef test_b(): pass\n\n"
        "@pytest.mark.xfail\ndef test_c(): pass\n\ndef test_d(): pytest.xfail('no')\n"
    )
    (tmp_path / "tree" / "test_x.py").write_text(tests)
    ran = run_recorded(
        PYTEST, root=tmp_path / "tree", bound_at=Path("/w"), sandbox=open_sandbox("bwrap"), environment=environment, limits=LIMITS
    )
    (session,) = ran.sessions
    assert session.expected == {"test_x.py::test_a", "test_x.py::test_d"}
    assert session.results["test_x.py::test_b"] == "skipped" and session.results["test_x.py::test_c"] == "passed"


# As much of sympy's runner as is met from outside: its reporter, which is told what each test does.
SYMPY_RUNNER = """
import os, sys


class PyTestReporter:
    def start(self, seed=None, msg=""): self.good = True
    def finish(self): return self.good
    def entering_filename(self, filename, n): print(filename)
    def entering_test(self, f): print(f.__name__, end=" ")
    def test_pass(self, char="."): print("ok")
    def test_xfail(self): print("f")
    def test_xpass(self, v): print("X")
    def test_skip(self, v=None): print("s")
    def test_fail(self, exc_info): self.good = False; print("F")
    def test_exception(self, exc_info): self.good = False; print("E")
    def import_error(self, filename, exc_info): self.good = False; print("?")


class XFail(Exception): pass
class Skipped(Exception): pass


def run(*paths):
    reporter = PyTestReporter()
    reporter.start()
    for path in paths:
        names = {}
        try:
            exec(open(path).read(), names)
        except Exception:
            reporter.import_error(os.path.abspath(path), sys.exc_info())
            continue
        reporter.entering_filename(os.path.abspath(path), 0)
        for name, test in list(names.items()):
            if name.startswith("test_"):
                reporter.entering_test(test)
                try:
                    test()
                except XFail: reporter.test_xfail()
                except Skipped: reporter.test_skip()
                except AssertionError: reporter.test_fail(sys.exc_info())
                except Exception: reporter.test_exception(sys.exc_info())
                else: reporter.test_pass()
    return reporter.finish()
"""
SYMPY = {
    "sympy/__init__.py": "",
    "sympy/testing/__init__.py": "",
    "sympy/testing/runtests.py": SYMPY_RUNNER,
    "bin/test": "import sys\nsys.path.insert(0, '.')\nfrom sympy.testing.runtests import run\nsys.exit(0 if run(*sys.argv[1:]) else 1)\n",
    "sympy/core/tests/test_a.py": "from sympy.testing.runtests import XFail, Skipped\ndef test_one(): pass\ndef test_two(): raise XFail\ndef test_three(): raise Skipped\n",
    "sympy/sets/tests/test_a.py": "def test_one(): assert 0\ndef test_four(): 1 / 0\n",
    "sympy/sets/tests/test_b.py": "import nowhere\n",
}


def test_what_sympys_own_runner_did_is_recorded_test_by_test(judged):
    """By full ids, so that one name in two files is two tests; expected failures and failing imports are told apart."""
    verdict = judged(SYMPY, "python bin/test sympy/core/tests/test_a.py sympy/sets/tests/test_a.py")
    assert (verdict.status, verdict.proof) == ("failed", "in_tree")
    assert verdict.results == {
        "sympy/core/tests/test_a.py::test_one": "passed",
        "sympy/core/tests/test_a.py::test_two": "skipped",
        "sympy/core/tests/test_a.py::test_three": "skipped",
        "sympy/sets/tests/test_a.py::test_one": "failed",
        "sympy/sets/tests/test_a.py::test_four": "failed",
    }
    assert verdict.failure == ("AssertionError", "ZeroDivisionError")
    assert judged(SYMPY, "python bin/test sympy/core/tests/test_a.py").status == "passed"
    broken = judged(SYMPY, "python bin/test sympy/sets/tests/test_b.py")
    assert (broken.status, broken.summary) == (
        "broken",
        "tests could not be collected: sympy/sets/tests/test_b.py: ModuleNotFoundError: No module named 'nowhere'",
    )


MOCHA = {
    "package.json": "{}",
    "calc.js": "exports.add = (a, b) => a + b;\n",
    "node_modules/mocha/lib/runner.js": mocha.RUNNER,
    "node_modules/mocha/cli.js": mocha.CLI,
    "test/a.js": "const {add} = require('../calc.js'), assert = require('assert');\n"
    "describe('add', () => { it('adds', () => assert.equal(add(1, 2), 3));\n"
    "  describe('two\\n texts', () => it('joins', () => assert.equal(add('a', 'b'), 'ba'))); it('rests'); });\n",
    "test/b.js": "it('adds', () => {});\n",
    "test/c.js": "it('leaves', () => process.exit(0));\n",
}


@mocha.needs_node
@pytest.mark.parametrize("sandbox", ["bwrap", "none"])
def test_what_mocha_did_is_recorded_test_by_test(judged, sandbox):
    """By file and titles; a run that a test ends is not believed, and the exit code has its say as it has with pytest."""
    verdict = judged(MOCHA, "node node_modules/mocha/cli.js test/a.js test/b.js", sandbox=sandbox)
    assert verdict.results == {
        "test/a.js::add::adds": "passed",
        "test/a.js::add::two texts::joins": "failed",
        "test/a.js::add::rests": "skipped",
        "test/b.js::adds": "passed",
    }
    assert (verdict.status, verdict.failure) == ("failed", ("AssertionError",))
    assert verdict.summary.startswith("1 failed, 2 passed, 1 skipped: test/a.js::add::two texts::joins: AssertionError")
    assert judged(MOCHA, "node node_modules/mocha/cli.js test/b.js", sandbox=sandbox).status == "passed"
    assert judged(MOCHA, "node node_modules/mocha/cli.js test/b.js; exit 1", sandbox=sandbox).status == "broken"
    assert judged(MOCHA, "node node_modules/mocha/cli.js test/a.js || true", sandbox=sandbox).status == "broken"
    left = judged(MOCHA, "node node_modules/mocha/cli.js test/b.js test/c.js", sandbox=sandbox)
    assert (left.status, left.summary) == ("broken", "the test run was ended in test/c.js::leaves before it finished, with exit code 0")
