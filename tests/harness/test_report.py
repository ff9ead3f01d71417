"""What a batch came to, from its rows: shares, reasons, and two batches held against each other."""

import pytest

from backstory.agent.messages import Usage
from backstory.harness.audit import Audit, Finding
from backstory.harness.grading import Grade, Side
from backstory.harness.report import Prices, as_html, as_json, as_markdown, compare, failure_of, sign_test, tell
from backstory.harness.run import Changed, Row, Spent


def row(
    id,
    status,
    *,
    files=("a.py",),
    official=None,
    stopped="",
    ended="no_patch",
    excused=(),
    warnings=(),
    broke=(),
    repository="o/c",
    reason="",
):
    spent = Spent("r", 0, ended, "", stopped, Usage(100, 60, 10, 1.0), 3, 5, 7.5)
    grade = Grade(Side((), ()), Side((), broke)) if broke else None
    found = tuple(Finding("identifier", word, "tool message") for word in warnings)
    changed = Changed(files, ("a.py", "b.py"), 6, 3, ("a.py:f", "a.py:g"), ("a.py:f", "b.py:h") if status != "resolved" else ())
    return Row(id, "", repository, status, reason, official, grade, "valid", excused, changed, spent, Audit((), found, 2), (), 2.0)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (row("1", "resolved"), ""),
        (row("1", "failed"), "right file, wrong logic"),
        (row("1", "failed", files=("z.py",)), "wrong file"),
        (row("1", "not_applied"), "not applied"),
        (row("1", "timed_out"), "limit"),
        (row("1", "empty", files=()), "empty"),
        (row("1", "empty", files=(), stopped="the budget of 5 steps is spent"), "limit"),
        (row("1", "leaked"), "leaked"),
        (row("1", "broken"), "broken environment"),
        (row("1", "not_here"), "not runnable here"),
        (row("1", "not_judged"), "not judged"),
    ],
)
def test_why_an_instance_is_not_resolved(made, why):
    """One class for each way to miss."""
    assert failure_of(made) == why


def test_what_says_nothing_about_a_patch_is_in_no_share():
    """Broken environments and instances that cannot run here are counted apart from failed ones."""
    told = tell("n", [row("1", "resolved"), row("2", "failed"), row("3", "broken"), row("4", "not_here")])
    assert (told.all.resolved, told.all.judged, told.instances, told.all.share.mean) == (1, 2, 4, 0.5)
    assert told.by_failure == {"right file, wrong logic": ("2",), "broken environment": ("3",), "not runnable here": ("4",)}


def test_the_figures_of_a_batch():
    """Cost is summed, harm and doubt are named, the official reading stands beside ours."""
    rows = [
        row("1", "resolved", official=True, repository="o/a"),
        row("2", "failed", official=True, broke=("t",), ended="verified"),
        row("3", "failed", official=False, excused=("x", "y"), warnings=("secret_name",)),
    ]
    told = tell("n", rows)
    assert (told.official, told.differ, told.harm, told.verified_wrong) == (2, ("2",), ("2",), ("2",))
    assert (told.excused, told.warnings) == ({"3": 2}, {"3": ("secret_name",)})
    assert (told.tokens, told.cached, told.steps, told.replies, told.seconds, told.judging_seconds) == (330, 180, 15, 9, 22.5, 6.0)
    assert (told.overlap, told.function_overlap, told.bloat, told.cost) == (0.5, 0.5, 2.0, None)
    assert tell("n", rows, Prices(3.0, 0.5, 10.0)).cost == pytest.approx((120 * 3.0 + 180 * 0.5 + 30 * 10.0) / 1e6)
    assert {name: (share.resolved, share.judged) for name, share in told.by_repository.items()} == {"o/a": (1, 1), "o/c": (0, 2)}


def test_two_batches_are_compared_on_what_both_judged():
    """Flips are named, and instances that one of them could not judge are left out."""
    ours = [row("1", "failed"), row("2", "resolved"), row("3", "resolved"), row("4", "broken")]
    theirs = [row("1", "resolved"), row("2", "resolved"), row("3", "failed"), row("4", "resolved")]
    flips = compare("a", ours, "b", theirs)
    assert (flips.both, flips.gained, flips.lost, flips.p, flips.lead.mean) == (3, ("1",), ("3",), 1.0, 0.0)


def test_the_sign_test():
    """Flips all one way are as likely as so many heads, twice; none say nothing."""
    assert (sign_test(0, 0), sign_test(5, 0), sign_test(0, 10)) == (1.0, 0.0625, 2 / 1024)


def test_foreign_text_stays_text():
    """A reason is what a test printed: it opens no tag in the page and no cell in the table."""
    rows = [row("1", "failed", reason="<script>alert(1)</script> | `x`")]
    page, table = as_html(tell("<n>", rows), None, rows), as_markdown(tell("n", rows), None, rows)
    assert "<script>" not in page and "&lt;script&gt;" in page and "<title>&lt;n&gt;" in page
    assert all(line.replace("\\|", "").count("|") == 6 for line in table.splitlines() if line.startswith("| ") and "script" in line)
    assert as_json(tell("n", rows), None, rows)["rows"][0]["reason"] == rows[0].reason
