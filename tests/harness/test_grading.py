"""The definition of resolved, from what a runner recorded and from a log."""

import pytest

from backstory.errors import UserError
from backstory.harness.grading import meant_by, official_grade, strict_grade
from backstory.harness.instances import Instance
from backstory.harness.logs import read_pytest, read_pytest_coloured, read_pytest_options, read_sympy, read_unittest, reader_named

PYTEST = """\
==== PASSES ====
PASSED tests/a.py::test_one
PASSED tests/a.py::test_blank[1 2]
FAILED tests/a.py::test_two - assert 1 == 2
FAILED tests/a.py::test_three -- what
ERROR tests/a.py::test_four - boom
SKIPPED [2] tests/a.py:12: not here
XFAIL tests/a.py::test_five
XPASS tests/a.py::test_six
PASSEDX tests/a.py::test_seven
PASSED
"""


def instance(fixed, kept=()):
    return Instance("i", "a/b", "c", "t", "p", fail_to_pass=tuple(fixed), pass_to_pass=tuple(kept))


def test_the_summary_of_pytest_is_read_by_first_words():
    """A name ends at its first blank; an unexpected pass is no word of the official graders."""
    assert read_pytest(PYTEST) == {
        "tests/a.py::test_one": "PASSED",
        "tests/a.py::test_blank[1": "PASSED",
        "tests/a.py::test_two": "FAILED",
        "tests/a.py::test_three": "FAILED",
        "tests/a.py::test_four": "ERROR",
        "tests/a.py::test_five": "XFAIL",
    }


def test_paths_in_parameters_are_shortened_where_the_form_says_so():
    """`[/a/b/c]` is `[/c]`; an address and a pattern stay."""
    log = "PASSED t.py::a[/x/y/z]\nPASSED t.py::b[//host/z]\nFAILED t.py::c[/x/*]\n"
    assert read_pytest_options(log) == {"t.py::a[/z]": "PASSED", "t.py::b[//host/z]": "PASSED", "t.py::c[/x/*]": "FAILED"}


def test_colours_are_taken_out_and_words_at_the_end_are_read():
    """`-v` puts the word behind the name, and colour around both."""
    log = "\x1b[32mPASSED\x1b[0m t.py::a[1 2]\nt.py::b \x1b[31mFAILED\x1b[0m\nFAILED t.py::c[1 2] - assert 1\n"
    assert read_pytest_coloured(log) == {"t.py::a[1 2]": "PASSED", "t.py::b": "FAILED", "t.py::c[1 2]": "FAILED"}


def test_sympys_runner_is_read_as_the_official_grader_does():
    """A mark at the end of a file's last line hides that test, and a traceback's head names one by file."""
    log = "test_a ok\ntest_b F\ntest_c E\ntest_d f\ntest_e ok [OK]\n___ sympy/core/tests/test_x.py:test_b ___\n"
    assert read_sympy(log) == {"test_a": "PASSED", "test_b": "FAILED", "test_c": "ERROR", "sympy/core/tests/test_x.py:test_b": "FAILED"}


def test_unittest_is_read_from_its_lines_and_its_failures():
    """What an interleaved line hid is read from the head of its traceback."""
    log = "test_a (m.T) ... ok\ntest_b (m.T) ... skipped 'x'\nnoise test_c\nFAIL: test_c (m.T)\n"
    assert read_unittest(log) == {"test_a (m.T)": "PASSED", "test_b (m.T)": "SKIPPED", "test_c (m.T)": "FAILED"}


def test_a_form_of_logs_nobody_reads_is_named():
    """An unknown form is an error that says which there are."""
    with pytest.raises(UserError, match="'parse_log_cobol' cannot be read; there are recorded, pytest"):
        reader_named("parse_log_cobol")


@pytest.mark.parametrize(
    ("ended", "resolved"),
    [("passed", True), ("xfailed", True), ("failed", False), ("error", False), ("skipped", False), (None, False)],
)
def test_what_has_to_be_fixed_has_to_pass(ended, resolved):
    """An expected failure passes; a skipped test and one that is not there do not."""
    results = {"t.py::b": "passed"} | ({"t.py::a": ended} if ended else {})
    assert strict_grade(instance(["t.py::a"], ["t.py::b"]), results).resolved is resolved


@pytest.mark.parametrize(("ended", "kept"), [("passed", True), ("skipped", True), ("xfailed", True), ("failed", False), (None, False)])
def test_what_passed_has_to_hold(ended, kept):
    """A test that is skipped now still holds, one that is gone does not."""
    results = {"t.py::a": "passed"} | ({"t.py::b": ended} if ended else {})
    grade = strict_grade(instance(["t.py::a"], ["t.py::b"]), results)
    assert (grade.resolved, grade.kept.missed) == (kept, () if kept else ("t.py::b",))


def test_a_cut_id_stands_for_all_that_begin_with_it():
    """All of them have to pass, and those that only look alike have no say."""
    results = {"t.py::a[1 2]": "passed", "t.py::a[1 3]": "passed", "t.py::a[1]": "failed", "t.py::a[10 2]": "failed"}
    assert strict_grade(instance(["t.py::a[1"]), results).resolved
    assert not strict_grade(instance(["t.py::a[1"]), {**results, "t.py::a[1 3]": "failed"}).resolved


def test_a_bare_name_stands_for_the_functions_of_that_name():
    """In whichever file; all of them have to pass."""
    assert strict_grade(instance(["test_a"]), {"x.py::test_a": "passed", "y.py::test_ab": "failed"}).resolved
    assert not strict_grade(instance(["test_a"]), {"x.py::test_a": "passed", "y.py::test_a": "failed"}).resolved
    assert meant_by("test_z", {"x.py::test_a": "passed"}) == []


def test_a_record_that_is_not_believed_resolves_nothing():
    """Whatever the tests say, a reason against the record stands over them."""
    grade = strict_grade(instance(["t.py::a"]), {"t.py::a": "passed"}, reason="the exit code disagrees")
    assert not grade.resolved and not grade.fixed.missed


def test_the_official_reading_of_a_log():
    """Fixed tests pass or are expected to fail, kept ones may be skipped, missing ones failed, cut ones have to agree."""
    words = read_pytest(PYTEST)
    one, five = "tests/a.py::test_one", "tests/a.py::test_five"
    assert official_grade(instance([one, five], ["tests/a.py::test_blank[1"]), words).resolved
    assert official_grade(instance([one], ["tests/a.py::test_two"]), words).kept.missed == ("tests/a.py::test_two",)
    assert official_grade(instance(["tests/a.py::nowhere"]), words).fixed.missed == ("tests/a.py::nowhere",)
    assert official_grade(instance([one]), words).fixed.share == 1.0


def test_a_failing_exit_code_without_a_failing_test_overrules_the_log():
    """Lines that claim success do not outweigh the exit code of the run."""
    words = read_pytest("PASSED tests/a.py::test_one\n")
    assert official_grade(instance(["tests/a.py::test_one"]), words, exit_code=0).resolved
    assert not official_grade(instance(["tests/a.py::test_one"]), words, exit_code=1).resolved
    assert official_grade(instance(["x"]), {}).reason == "the log names no test"
