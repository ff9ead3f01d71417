"""Which tree is judged: whatever a patch did to tests and what runs them, the instance's own decide."""

from dataclasses import replace

import pytest

from backstory.errors import UserError
from backstory.graph.mirror import open_mirror, open_source
from backstory.harness.data import read_dataset
from backstory.harness.recipes import Recipe
from backstory.harness.trees import Tree, apply_patch, first_check, judged_trees
from shop import CODE, FIXED, TESTS, Shop


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop")


@pytest.fixture
def mirror(shop, tmp_path):
    return open_mirror(open_source(shop.repo.root), shop.base, cache_dir=tmp_path / "cache")


@pytest.fixture
def instance(shop):
    return read_dataset(shop.data, judged=True).instances[0]


def file(mirror, tree, path):
    found = mirror.blob_at(tree, path)
    return None if found is None else found.decode()


def test_the_true_patch_makes_the_fix(shop, mirror, instance):
    """With the true patch the tree is that of the fix but for what else the fix changed; both readings judge one tree."""
    trees = judged_trees(mirror, instance, instance.patch)
    assert trees.ours == trees.official and trees.tests == ("test_shop.py",)
    assert file(mirror, trees.ours, "shop.py") == FIXED and "test_price_of_nothing" in file(mirror, trees.ours, "test_shop.py")
    assert "test_price_of_nothing" not in file(mirror, trees.applied, "test_shop.py")


def test_tests_that_a_patch_rewrites_are_put_back(shop, mirror, instance):
    """The instance's files in both readings; other tests and what steers runs in ours alone; a file that a patch adds in place of a test is replaced."""
    patch = (
        shop.diff(TESTS, "", "test_shop.py")
        + shop.diff("", "x = 1\n", "conftest.py")
        + shop.diff("", "def test(): pass\n", "tests/test_more.py")
    )
    trees = judged_trees(mirror, instance, patch)
    for tree in (trees.ours, trees.official):
        assert "test_price_of_nothing" in file(mirror, tree, "test_shop.py")
    assert file(mirror, trees.ours, "conftest.py") is None and file(mirror, trees.official, "conftest.py") == "x = 1\n"
    assert file(mirror, trees.ours, "tests/test_more.py") is None


def test_what_the_true_patch_steers_may_be_steered(shop, mirror, instance):
    """Where the fix itself changes such a file, so may any patch."""
    conftest = shop.diff("", "x = 1\n", "conftest.py")
    trees = judged_trees(mirror, replace(instance, patch=instance.patch + conftest), shop.diff("", "y = 2\n", "conftest.py"))
    assert file(mirror, trees.ours, "conftest.py") == "y = 2\n"


def test_a_runner_in_the_tree_is_the_bases(shop, mirror, instance):
    """Paths that a recipe names as the runner are put back, folders whole."""
    patch = (
        shop.diff(CODE, FIXED) + shop.diff("a shop\n", "x\n", "README").replace("a shop", "a small shop") + shop.diff("", "1\n", "bin/run")
    )
    trees = judged_trees(mirror, instance, patch, runner=("README", "bin/"))
    assert file(mirror, trees.ours, "README") == "a small shop\n" and file(mirror, trees.ours, "bin/run") is None
    assert file(mirror, trees.official, "README") == "x\n" and file(mirror, trees.official, "bin/run") == "1\n"


def test_a_patch_that_does_not_fit_says_why(shop, mirror, instance):
    """git's own words; a test patch that does not fit is an error of the data."""
    assert "patch failed: shop.py:1" in judged_trees(mirror, instance, instance.patch.replace("cost", "price"))
    assert isinstance(judged_trees(mirror, instance, "no patch"), str)
    with pytest.raises(UserError, match="the test patch of octo__shop-12 does not apply"):
        judged_trees(mirror, replace(instance, test_patch=instance.test_patch.replace("weight", "length")), "")


def test_a_patch_without_its_last_newline_or_at_other_lines_fits(shop, mirror, instance):
    """What git takes is taken: a missing last newline, shifted places."""
    assert isinstance(apply_patch(mirror, shop.base, instance.patch.rstrip("\n")), Tree)
    assert isinstance(apply_patch(mirror, shop.base, instance.patch.replace("@@ -1,5 +1,5 @@", "@@ -3,5 +3,5 @@")), Tree)


def test_a_patch_whose_context_is_wrong_fits_as_the_official_harness_fits_it(shop, mirror, instance):
    """The judged patch alone is tried with fuzz: a wrong line of context is passed over, a wrong line to be removed is not."""
    wrong = instance.patch.replace(" def price(item):", " def prize(item):")
    assert wrong != instance.patch and "patch failed" in apply_patch(mirror, shop.base, wrong)
    trees = judged_trees(mirror, instance, wrong)
    assert trees.applied == apply_patch(mirror, shop.base, instance.patch).oid
    assert file(mirror, trees.official, "shop.py") == FIXED
    assert "patch failed" in apply_patch(mirror, shop.base, instance.patch.replace("-    return item", "-    return thing"), fuzzy=True)


def test_fuzz_makes_files_and_stays_inside(shop, mirror, instance):
    """Beside a fuzzy hunk files come and are emptied; what is no unified diff, or makes a link, is refused."""
    wrong = instance.patch.replace(" def price(item):", " def prize(item):")
    plain = wrong[wrong.index("--- a/") :] + shop.diff("", "1\n", "new/one.py") + shop.diff("a small shop\n", "", "README")
    tree = apply_patch(mirror, shop.base, plain, fuzzy=True)
    assert file(mirror, tree.oid, "shop.py") == FIXED and file(mirror, tree.oid, "new/one.py") == "1\n"
    assert not file(mirror, tree.oid, "README")
    assert isinstance(apply_patch(mirror, shop.base, "1c\nx = 1\n.\n", fuzzy=True), str)
    link = "diff --git a/out b/out\nnew file mode 120000\n--- /dev/null\n+++ b/out\n@@ -0,0 +1 @@\n+/etc\n\\ No newline at end of file\n"
    assert isinstance(apply_patch(mirror, shop.base, wrong + link, fuzzy=True), str)


def test_without_the_program_the_reason_says_so(shop, mirror, instance, monkeypatch):
    """A verdict that another machine would not give names what is missing here."""
    monkeypatch.setattr("backstory.harness.trees.SYSTEM_PATH", str(shop.root))
    said = apply_patch(mirror, shop.base, instance.patch.replace(" def price(item):", " def prize(item):"), fuzzy=True)
    assert said.endswith("(the program `patch` is not installed, with which the official harness would try next)")


def test_the_first_failing_test_as_a_check(shop, mirror, instance):
    """By its id, by file and name for a runner that takes those, or as a recipe says; with all files of the test patch."""

    def recipe(test, log="pytest", one=""):
        return Recipe("octo/shop", ("*",), "3.11", (), test, log, one=one)

    check = first_check(mirror, instance, recipe("python -m pytest"))
    assert check.command == "python -m pytest test_shop.py::test_price_of_nothing"
    assert [*check.files] == ["test_shop.py"] and b"test_price_of_nothing" in check.files["test_shop.py"]
    bare = replace(instance, fail_to_pass=("test_price_of_nothing",))
    assert first_check(mirror, bare, recipe("bin/test", "sympy")).command == "bin/test test_shop.py -k test_price_of_nothing"
    cut = replace(instance, fail_to_pass=("test_shop.py::test_weight[2",))
    assert first_check(mirror, cut, recipe("t")).command == "t test_shop.py::test_weight"
    titled = replace(instance, fail_to_pass=("test/shop.js::price()::of nothing",))
    one = "{file} --fgrep '{titles}'"
    assert (
        first_check(mirror, titled, recipe("npx mocha", "recorded", one)).command == "npx mocha test/shop.js --fgrep 'price() of nothing'"
    )
    with pytest.raises(UserError, match="no file of the test patch"):
        first_check(mirror, replace(instance, fail_to_pass=("test_nowhere",)), recipe("t", "sympy"))
