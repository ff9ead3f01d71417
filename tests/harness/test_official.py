"""Our reading of logs and our grades beside those of the official package, where it is installed (`pip install 'backstory[swebench]'`)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.harness.grading import official_grade
from backstory.harness.instances import Instance
from backstory.harness.logs import READERS

pytest.importorskip("swebench", reason="the official package is an optional extra")
pytestmark = pytest.mark.filterwarnings("ignore")  # of what it brings along

FORMS = sorted(name for name in READERS if name.startswith("parse_log_"))
NAMES = ("t.py::a", "t.py::b[1 2]", "t.py::b[1", "t.py::c[/x/y]", "t.py::c[/x/y]z", "t.py::d[//x/y]", "[100%]", "[3]", "test_a", "test_b")
WORDS = ("PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL")

names = st.sampled_from(NAMES)
words = st.sampled_from((*WORDS, "XPASS", "\x1b[32mPASSED\x1b[0m", "ok", "E", "F", "f", "ok [OK]"))
lines = st.one_of(
    st.builds("{} {}".format, words, names),
    st.builds("{} {} - assert 1 == 2".format, words, names),
    st.builds("{} {}".format, names, words),
    st.builds("  {}  {}".format, names, words),
    st.builds("___ sympy/core/{}.py:{} ___".format, names, names),
    st.sampled_from(("", " ", "PASSED", "====", "FAILED - ", "noise PASSED")),
)


def official():
    from swebench.harness import log_parsers

    return log_parsers


@pytest.mark.parametrize("form", FORMS)
@given(log=st.lists(lines, max_size=12).map("\n".join))
def test_logs_are_read_as_the_official_parsers_read_them(form, log):
    """Every form, on lines as runners print them and on others."""
    assert READERS[form](log) == official().PARSER_REGISTRY[form](log, None)


@given(
    st.dictionaries(names, st.sampled_from(WORDS), min_size=1),
    st.lists(names, max_size=4, unique=True),
    st.lists(names, max_size=4, unique=True),
)
def test_the_same_words_give_the_same_grade(found, fixed, kept):
    """Resolved or not, and which tests held, whatever the lists and the words."""
    from swebench.harness.grading import get_eval_tests_report, get_resolution_status

    report = get_eval_tests_report(found, {"FAIL_TO_PASS": fixed, "PASS_TO_PASS": kept})
    grade = official_grade(Instance("i", "a/b", "c", "t", "p", fail_to_pass=tuple(fixed), pass_to_pass=tuple(kept)), found)
    assert (list(grade.fixed.held), list(grade.fixed.missed)) == (report["FAIL_TO_PASS"]["success"], report["FAIL_TO_PASS"]["failure"])
    assert (list(grade.kept.held), list(grade.kept.missed)) == (report["PASS_TO_PASS"]["success"], report["PASS_TO_PASS"]["failure"])
    assert grade.resolved == (get_resolution_status(report) == "RESOLVED_FULL")
