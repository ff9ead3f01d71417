"""Issues with a known answer: what their patches say."""

import re

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
        ({"shop.py": CODE.replace("return a\n", "return a\n\n    def shut(self):\n        b = 1\n")}, ("shop.py",), ()),
        ({"shop.py": CODE.replace("return a\n", "return a\n        b = 1\n")}, ("shop.py",), ("shop.py:Shop.open",)),
        ({"shop.py": CODE.replace("return 2\n", "return 2\n\n    def outer():\n        return 3\n")}, ("shop.py",), ("shop.py:close",)),
        ({"shop.py": CODE + "\n\ndef last():\n    return 1\n"}, ("shop.py",), ()),
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


def test_a_hunk_is_looked_for_where_its_lines_stand(repo, tmp_path):
    """A patch made against another tree counts its lines from elsewhere; its functions are those around the lines themselves."""
    base = repo.head
    repo.commit("Fix", {"shop.py": CODE.replace("a = 1", "a = 3")})
    repo.git("diff", f"--output={tmp_path / 'patch'}", base, "HEAD")
    patch = (tmp_path / "patch").read_text()
    [numbers] = re.findall(r"^@@ -(\d+)", patch, re.M)
    graph = graph_of(repo, tmp_path / "cache", at=base)
    for moved in (-3, 7):
        assert gold_of(patch.replace(f"@@ -{numbers},", f"@@ -{int(numbers) + moved},"), graph).functions == ("shop.py:Shop.open",)


def test_a_patch_that_is_none_is_told(repo, tmp_path):
    """A broken patch makes its instance fail with a reason, not the benchmark."""
    broken = "--- a/shop.py\n+++ b/shop.py\n@@ -1,3 +1,3 @@\n import os\n"
    with pytest.raises(UserError, match="no unified diff"):
        gold_of(broken, graph_of(repo, tmp_path / "cache"))
