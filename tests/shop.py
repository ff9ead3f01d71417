"""A small project with a known fix, as an instance of the SWE-bench form, and a recipe that needs no network: for tests of the harness."""

import json
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from backstory.agent.script import call
from repos import Repo

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
SITE = Path(sysconfig.get_paths()["purelib"])
CODE = "def price(item):\n    return item['cost']\n\n\ndef weight(item):\n    return item['mass']\n"
FIXED = CODE.replace("item['cost']", "item.get('cost', 0)")
TESTS = (
    "import pytest\n\nfrom shop import price, weight\n\n\n"
    "def test_price():\n    assert price({'cost': 3}) == 3\n\n\n"
    "@pytest.mark.parametrize('mass', [1, '2 kg'])\ndef test_weight(mass):\n    assert weight({'mass': mass}) == mass\n"
)
NEW_TEST = "\n\ndef test_price_of_nothing():\n    assert price({}) == 0\n"
ISSUE = "price() fails without a cost\n\nprice({}) raises KeyError and should be 0."
# What a model says that mends the shop, as it goes about it.
FOUND = call("found", places=["shop.py:price — a missing cost"], diagnosis="a cost that is not said raises")
SOLVED = (
    call("read", target="shop.py:price"),
    call("edit", path="shop.py", old="item['cost']", new="item.get('cost', 0)"),
    call("submit", summary="A missing cost is 0."),
    call("submit", summary="A missing cost is 0, and nothing else was changed."),
)
# The folder that a variable of pip's names is shown while an environment is built; this interpreter's own pytest is copied from there.
RECIPE = f"""
repository = "octo/shop"

[[environment]]
versions = ["1.0"]
python = "{VERSION}"
commands = ["cp -r $(ls -d $PIP_FIND_LINKS/* | grep -E '/(_pytest|pytest|pluggy|iniconfig|packaging|pygments|py[.]py)(-.*)?$') $VIRTUAL_ENV/lib/python{VERSION}/site-packages/"]
test = "python -m pytest -rA -p no:cacheprovider"
timeout = 120
"""


class Shop:
    """The project below `root`: its repository (which knows the fix), a file of instances, and a folder of recipes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repo = Repo(root / "repos" / "octo+shop")
        self.repo.commit("Start", {"shop.py": CODE, "test_shop.py": TESTS, "README": "a shop\n"})
        self.base = self.repo.commit("Say more", {"README": "a small shop\n"})
        self.fix = self.repo.commit("Cost nothing where no cost is said (#12)", {"shop.py": FIXED, "test_shop.py": TESTS + NEW_TEST})
        self.repo.git("tag", "v2", self.fix)
        self.patch = self.repo.git("diff", self.base, self.fix, "--", "shop.py") + "\n"
        self.test_patch = self.repo.git("diff", self.base, self.fix, "--", "test_shop.py") + "\n"
        self.recipes = root / "recipes"
        self.recipes.mkdir()
        (self.recipes / "shop.toml").write_text(RECIPE)
        self.data = root / "data.jsonl"
        self.write(self.row())

    def row(self, **changes: object) -> dict[str, object]:
        """Return the instance as a row. changes: other fields."""
        return {
            "instance_id": "octo__shop-12",
            "repo": "octo/shop",
            "base_commit": self.base,
            "version": "1.0",
            "problem_statement": ISSUE,
            "patch": self.patch,
            "test_patch": self.test_patch,
            "FAIL_TO_PASS": json.dumps(["test_shop.py::test_price_of_nothing"]),
            "PASS_TO_PASS": json.dumps(["test_shop.py::test_price", "test_shop.py::test_weight[1]", "test_shop.py::test_weight[2"]),
            **changes,
        }

    def write(self, *rows: dict[str, object]) -> None:
        """Write the file of instances."""
        self.data.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def predict(self, file: Path, patches: Iterable[str]) -> list[str]:
        """Write a prediction for each patch, and instances that are alike but for their ids for them to be judged by; return the ids."""
        predictions = {f"octo__shop-{number}": patch for number, patch in enumerate(patches, 100)}
        self.write(*(self.row(instance_id=id) for id in predictions))
        lines = [json.dumps({"instance_id": id, "model_name_or_path": "m", "model_patch": patch}) for id, patch in predictions.items()]
        file.write_text("\n".join(lines))
        return list(predictions)

    def diff(self, before: str, after: str, path: str = "shop.py") -> str:
        """Return a patch of one file from one text to another."""
        import difflib

        lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}")
        return (
            "".join(lines)
            if before
            else f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{after.count(chr(10))} @@\n"
            + "".join(f"+{line}" for line in after.splitlines(keepends=True))
        )

    @property
    def where(self) -> tuple[str, ...]:
        """The options that say where everything is."""
        return ("--data", str(self.data), "--repos", f"{self.root}/repos/{{owner}}+{{name}}", "--recipes", str(self.recipes))
