"""Issues with a known answer: what their patches say."""

import pytest
from graphs import graph_of

from backstory.errors import UserError
from backstory.harness.instances import changed_functions, gold_of
from repos import Repo

CODE = "import os\n\n\nclass Shop:\n    name = 1\n\n    def open(self):\n        a = 1\n        return a\n\n\ndef close():\n    def inner():\n        return 2\n\n    return inner\n"


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit("Start", {"shop.py": CODE, "tests/test_shop.py": CODE, "notes.txt": "a\n", "gone.py": "x = 1\n"})
    return repo


@pytest.mark.parametrize(
    ("change", "files", "functions"),
    [
        ({"shop.py": CODE.replace("a = 1", "a = 3")}, ("shop.py",), ("shop.py:Shop.open",)),
        ({"shop.py": CODE.replace("return 2", "return 3")}, ("shop.py",), ("shop.py:close.inner",)),
        ({"shop.py": CODE.replace("        a = 1\n", "        b = 0\n        a = 1\n")}, ("shop.py",), ("shop.py:Shop.open",)),
        ({"shop.py": CODE.replace("name = 1", "name = 2")}, ("shop.py",), ()),
        ({"shop.py": "# head\n" + CODE}, ("shop.py",), ()),
        ({"tests/test_shop.py": "", "new.py": "y = 1\n"}, (), ()),
        ({"notes.txt": "b\n", "gone.py": None}, ("gone.py", "notes.txt"), ()),
        (
            {"shop.py": CODE.replace("a = 1", "a = 3").replace("    return inner", "    return None")},
            ("shop.py",),
            ("shop.py:Shop.open", "shop.py:close"),
        ),
    ],
)
def test_gold_is_what_the_patch_changes_at_the_base(repo, tmp_path, change, files, functions):
    """Files that exist and are no tests; innermost functions around removed lines or the place of an insertion, none at module or class level."""
    base = repo.head
    repo.commit("Fix", change)
    repo.git("diff", f"--output={tmp_path / 'patch'}", base, "HEAD")
    patch, graph = (tmp_path / "patch").read_text(), graph_of(repo, tmp_path / "cache", at=base)
    gold = gold_of(patch, graph)
    assert (gold.files, gold.functions) == (files, functions)
    assert changed_functions(patch, lambda path: graph.mirror.blob_at(base, path)) == functions  # without the graph


def test_a_patch_that_is_none_is_told(repo, tmp_path):
    """A broken patch makes its instance fail with a reason, not the benchmark."""
    broken = "--- a/shop.py\n+++ b/shop.py\n@@ -1,3 +1,3 @@\n import os\n"
    with pytest.raises(UserError, match="no unified diff"):
        gold_of(broken, graph_of(repo, tmp_path / "cache"))
