"""What makes a patch verified: it passes the check and breaks nothing around it, and whatever falls short is not delivered as verified."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backstory.agent.budget import Budget
from fixing import solved
from repos import Repo

pytestmark = pytest.mark.sandbox


BARE = "def {0}(values):\n    first = values[0]\n    return {1}(values) - first\n"
GUARDED = "def {0}(values):\n    if not values:\n        return 0\n    first = values[0]\n    return {1}(values) - first\n"
ASKS_BELOW = "from below import below\nassert below([3, 1]) == -2\nassert below([]) == 0\n"
BELOW = "below() fails on no values\n\nIndexError in below.py, as above.py once did\n"


def siblings(tmp_path):
    """Return a repository of two functions alike, of which one received a guard that the other never had."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Begin", {"above.py": BARE.format("above", "max"), "below.py": BARE.format("below", "min")})
    repo.commit("above: no values are no error", {"above.py": GUARDED.format("above", "max")})
    return repo


def subject(outcome):
    return outcome.solution.blamed and outcome.solution.blamed.subject


class TestTests:
    """The tests around a repair."""

    @pytest.fixture
    def repo(self, tmp_path):
        """The culprit brought a rule with its test, and broke another thing by it: taking the rule back breaks that test."""
        repo = Repo(tmp_path / "repo")
        before = "def price(amount):\n    return amount * 3\n"
        after = "def price(amount):\n    if amount > 5:\n        return amount * 2\n    return amount * 2 + 1\n"
        repo.commit("Name a price", {"price.py": before, "check.py": "from price import price\nassert price(2) == 6 and price(10) >= 20\n"})
        test = "from price import price\n\n\ndef test_many_are_cheap():\n    assert price(10) == 20\n"
        repo.commit("Many are cheap", {"price.py": after, "test_price.py": test})
        repo.commit("Say more", {"README": "prices\n"})
        return repo

    def test_a_repair_that_breaks_a_test_of_the_culprit_is_not_verified(self, repo, tmp_path):
        """Taking the whole commit back makes the check pass and breaks what the commit was for; it is noted so and not delivered as verified."""
        outcome = solved(repo.root, tmp_path, issue_text="price(2) in price.py is wrong\n")
        assert subject(outcome) == "Many are cheap" and outcome.solution.blamed.status == "confirmed"
        broke = [tried for tried in outcome.solution.tried if tried.outcome == "breaks tests"]
        assert broke and all("test_price.py::test_many_are_cheap" in tried.note for tried in broke), outcome.solution.tried
        if outcome.exit_code == 0:  # a part of the commit may have been taken back that keeps the rule
            assert b"-    return amount * 2 + 1" in outcome.solution.patch.diff and "test_price.py" in outcome.solution.scope
        else:
            assert outcome.exit_code == 3 and outcome.solution.patch is None

    def test_deleting_what_is_tested_is_no_repair(self, tmp_path):
        """The check asks that a thing be gone which a test of the culprit holds: no patch."""
        repo = Repo(tmp_path / "repo")
        repo.commit(
            "Begin",
            {"shop.py": "def total(prices):\n    return sum(prices)\n", "check.py": "import shop\nassert not hasattr(shop, 'mean')\n"},
        )
        mean = "\n\ndef mean(prices):\n    return total(prices) / len(prices)\n"
        test = "from shop import mean\n\n\ndef test_mean():\n    assert mean([1, 3]) == 2\n"
        repo.commit("Add the mean", {"shop.py": "def total(prices):\n    return sum(prices)\n" + mean, "test_shop.py": test})
        outcome = solved(repo.root, tmp_path, issue_text="mean is in the way\n")
        assert (outcome.exit_code, outcome.solution.verified_by) == (3, "")
        assert {tried.outcome for tried in outcome.solution.tried} <= {"breaks tests", "fails the check"}
        assert "repairs were tried and none holds" in outcome.solution.reason

    def test_a_command_is_answered_as_a_whole(self, tmp_path):
        """History is searched with the tests that fail, but a repair has to pass all that the command runs."""
        repo = Repo(tmp_path / "repo")
        repo.commit("Begin", {"shop.py": "def total(prices):\n    return sum(prices)\n"})
        repo.commit("Count dear things", {"shop.py": "def total(prices):\n    return sum(price for price in prices if price > 1)\n"})
        test = "from shop import total\n\n\ndef test_cheap():\n    assert total([1, 2]) == 3\n\n\ndef test_none():\n    assert total([]) == 0\n"
        repo.commit("Test totals", {"test_shop.py": test})
        outcome = solved(repo.root, tmp_path, issue_text="total is wrong\n", check="python -m pytest -q")
        assert (outcome.exit_code, subject(outcome)) == (0, "Count dear things"), outcome.solution
        assert outcome.solution.check == "python -m pytest -q" and outcome.solution.verified_by.startswith(
            "'python -m pytest -q' (given) fails at "
        )
        assert outcome.solution.scope == ("test_shop.py",)


def test_a_fault_that_was_always_there_is_no_regression(tmp_path):
    """Nothing passes in the past: said so, nothing blamed, suspects and places delivered."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Begin", {"shop.py": "def total(prices):\n    return 0\n"})
    repo.commit("Describe", {"README": "shop\n"})
    repo.commit("Ask", {"check.py": "from shop import total\nassert total([1]) == 1\n"})
    outcome = solved(repo.root, tmp_path, issue_text="total in shop.py is always 0\n")
    assert (outcome.exit_code, outcome.solution.blamed, outcome.solution.patch) == (3, None, None)
    assert outcome.solution.reason.startswith("not a regression: no tested ancestor passes the check (")
    assert outcome.solution.suspects and outcome.solution.locations[0].path == "shop.py"


def test_what_a_sibling_once_received_is_carried_over(tmp_path):
    """A guard that one function received in the past mends its sibling, which never had it: verified although nothing is to blame."""
    repo = siblings(tmp_path)
    repo.commit("Ask", {"check.py": ASKS_BELOW})
    outcome = solved(repo.root, tmp_path, issue_text=BELOW)
    assert outcome.exit_code == 0, (outcome.solution.reason, outcome.solution.tried)
    assert outcome.solution.blamed is None
    assert outcome.solution.patch.files == ("below.py",) and b"+    if not values:" in outcome.solution.patch.diff


def test_a_search_that_finds_nothing_leaves_steps_for_repairs(tmp_path):
    """A third of the budget is kept: where no tested commit passes and more are left, what a sibling once received is still tried, and proven."""
    repo = siblings(tmp_path)
    for number in range(30):  # nothing can be said of most of them
        torn = "" if number > 25 else f"raise KeyError({number})\n"
        repo.commit(f"Say {number}", {"below.py": f"# {number}\n{torn}" + BARE.format("below", "min")})
    repo.commit("Ask", {"check.py": ASKS_BELOW})
    outcome = solved(
        repo.root,
        tmp_path,
        issue_text=BELOW,
        budget=Budget(steps=15),
    )
    assert (len(outcome.solution.tested), outcome.solution.blamed.status) == (9, "suspected"), outcome.solution.tested
    assert outcome.exit_code == 0, (outcome.solution.reason, outcome.solution.tried)
    assert b"+    if not values:" in outcome.solution.patch.diff


def test_a_feature_that_did_not_exist_gets_no_blame(tmp_path):
    """Before the function existed the check fails otherwise, which says nothing; the commit that broke it is found, not the one that brought it."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Begin", {"shop.py": "NAME = 'shop'\n", "check.py": "pass\n"})
    repo.commit("Open late", {"shop.py": "NAME = 'shop'\nLATE = True\n"})
    total = "NAME = 'shop'\nLATE = True\n\n\ndef total(prices):\n    return sum(prices)\n"
    repo.commit("Bring the total", {"shop.py": total})
    repo.commit("Say more", {"README": "shop\n"})
    repo.commit("Count from one", {"shop.py": total.replace("sum(prices)", "sum(prices, 1)")})
    repo.commit("Ask", {"check.py": "from shop import total\nassert total([1, 2]) == 3\n"})
    outcome = solved(repo.root, tmp_path, issue_text="total in shop.py is one too high\n")
    assert (outcome.exit_code, subject(outcome), outcome.solution.blamed.status) == (0, "Count from one", "confirmed")
    assert all(
        tested.outcome != "bad" or repo.git("show", f"{tested.commit}:shop.py").count("sum(prices, 1)")
        for tested in outcome.solution.tested
    )


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(2, 12), at=st.integers(0, 11), seed=st.integers(0, 3))
def test_one_planted_fault_is_found(tmp_path_factory, length, at, seed):
    """Whatever else a linear history did to the same file, the commit with the fault is found and undone, and the rest stays."""
    at = 1 + at % (length - 1) if length > 1 else 1
    home = tmp_path_factory.mktemp("planted")
    repo = Repo(home / "repo")
    lines = [f"VALUE_{number} = {number}" for number in range(6)]
    asks = "import values\nassert values.VALUE_3 == 3, values.VALUE_3\n"
    repo.commit("Begin", {"values.py": "\n".join(lines) + "\n", "check.py": asks})
    for number in range(1, length + 1):
        if number == at:
            lines = [line.replace("VALUE_3 = 3", "VALUE_3 = 30") for line in lines]
            culprit = repo.commit("Tidy", {"values.py": "\n".join(lines) + "\n"})
        else:
            lines.insert((number * 7 + seed) % len(lines), f"MORE_{number} = {number * seed}")
            repo.commit("Tidy", {"values.py": "\n".join(lines) + "\n"})
    outcome = solved(repo.root, home, issue_text="VALUE_3 in values.py is wrong\n")
    assert (outcome.exit_code, outcome.solution.blamed.commit, outcome.solution.blamed.status) == (0, culprit, "confirmed")
    mended = [line.replace("VALUE_3 = 30", "VALUE_3 = 3") for line in lines]
    changed = [line for line in outcome.solution.patch.diff.decode().splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert mended != lines and changed == ["-VALUE_3 = 30", "+VALUE_3 = 3"]
