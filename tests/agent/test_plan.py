"""The checklist: own items, users of a changed declaration, files that always come along."""

from contextlib import contextmanager

from backstory.agent.plan import Plan, changed_declarations
from backstory.tools.tool import read_arguments
from backstory.tools.view import View
from judging import graph_of
from repos import Repo

CODE = "def price(code):\n    return len(code)\n"
USER = "from prices import price\n\n\ndef bill(codes):\n    return sum(price(code) for code in codes)\n"


@contextmanager
def plan_on(tmp_path):
    """Yield a graph in which `prices.py` is used by bills.py and has always changed with CHANGES, and a plan on it."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Begin", {"prices.py": "# 0\n", "CHANGES": "0\n", "bills.py": USER, "test_prices.py": USER})
    for number in range(5):
        repo.commit(f"Step {number}", {"prices.py": f"# {number}\n{CODE}", "CHANGES": f"{number} more\n"})
    with graph_of(repo.root, tmp_path / "home") as graph:
        yield graph, Plan(graph)


def call(plan, **written):
    tool = plan.tool()
    return tool.run(read_arguments(tool, written))


def test_a_changed_declaration_puts_its_users_on_the_list(tmp_path):
    """Callers outside the tests are named, once, with the file that always came along."""
    with plan_on(tmp_path) as (graph, plan):
        view = View(graph, changed=lambda: ["prices.py"], current=lambda path: CODE.replace("(code)", "(code, sale)").encode())
        changed = changed_declarations(graph.code.symbols("prices.py"), view.symbols("prices.py"))
        said = plan.edited("prices.py", changed)
        assert said.splitlines() == [
            "plan:",
            "[ ] 1. bills.py:bill calls price, whose declaration you changed",
            "[ ] 2. CHANGES changed in 6 of the last 6 commits on prices.py",
        ]
        assert plan.edited("prices.py", changed) == ""


def test_a_changed_body_names_no_users(tmp_path):
    """Who only changes what happens inside has no callers to look at."""
    with plan_on(tmp_path) as (graph, plan):
        view = View(graph, changed=lambda: ["prices.py"], current=lambda path: CODE.replace("len(code)", "9").encode())
        assert changed_declarations(graph.code.symbols("prices.py"), view.symbols("prices.py")) == []
        assert "calls" not in plan.edited("prices.py", [])


def test_items_are_added_and_ticked_off_by_number(tmp_path):
    """The list is shown with every change; a number that is not there is said."""
    with plan_on(tmp_path) as (_, plan):
        assert call(plan).text == "the plan is empty"
        assert call(plan, add=["look at\nthe docs", "  "]).text == "[ ] 1. look at the docs"
        assert call(plan, add=["test"], done=["1."]).text == "[x] 1. look at the docs\n[ ] 2. test"
        assert plan.open() == ["[ ] 2. test"]
        refused = call(plan, done=["7"])
        assert not refused.ok and "there is no item '7'" in refused.text
