"""Recipes as data: which one an instance gets, and what is said of those that are none."""

import pytest

from backstory.errors import UserError
from backstory.harness.instances import Instance, Setup
from backstory.harness.recipes import read_recipes, recipe_for

OWN = """
repository = "octo/cat"

[[environment]]
versions = ["1.0", "1.1"]
python = "3.9"
commands = ["python -m pip install -e ."]
test = "python -m pytest -rA"
log = "parse_log_pytest_v2"
variables = { A = "b" }
timeout = 60
runner = ["run.py"]

[[environment]]
versions = ["*"]
python = "3.11"
test = "python run.py"
"""


def instance(repository="octo/cat", version="1.0", setup=None):
    return Instance("i", repository, "c", "t", "p", version=version, setup=setup or Setup())


def written(folder, text, name="cat.toml"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder


def test_what_is_shipped_can_be_read():
    """Every recipe that comes along is one, and names what the development data needs."""
    recipes = read_recipes()
    assert {"sympy/sympy", "pytest-dev/pytest", "sphinx-doc/sphinx", "pallets/flask"} <= {recipe.repository for recipe in recipes}
    found = recipe_for(instance("sympy/sympy", "1.4"), recipes)
    assert found.name("1.4") == found.name("1.0") == "sympy/sympy" and found.test.startswith("python bin/test")


def test_a_version_that_is_named_wins_over_all(tmp_path):
    """Environments are kept by repository and version, or by the repository alone where all versions share one."""
    recipes = read_recipes([written(tmp_path / "own", OWN)])
    named = recipe_for(instance(version="1.1"), recipes)
    assert (named.python, named.variables, named.timeout_s, named.runner, named.name("1.1")) == (
        "3.9",
        {"A": "b"},
        60.0,
        ("run.py",),
        "octo/cat 1.1",
    )
    assert recipe_for(instance(version="7"), recipes).name("7") == "octo/cat"


def test_a_users_own_recipes_win(tmp_path):
    """Later folders win over earlier ones, and both over what is shipped."""
    first = written(tmp_path / "a", OWN.replace("octo/cat", "sympy/sympy"))
    second = written(tmp_path / "b", OWN.replace("octo/cat", "sympy/sympy").replace("3.9", "3.8"))
    assert recipe_for(instance("sympy/sympy"), read_recipes([first, second])).python == "3.8"


def test_what_the_data_says_itself_will_do():
    """A row with an interpreter and a test command needs no recipe; rows that install the same share an environment."""
    setup = Setup("3.10", ("pip install x",), "pytest -rA", "parse_log_pytest_v2")
    found, other = recipe_for(instance("no/body", "", setup), []), recipe_for(instance("no/body", "", setup), [])
    assert (found.python, found.commands, found.test, found.log) == ("3.10", ("pip install x",), "pytest -rA", "parse_log_pytest_v2")
    assert found.name("") == other.name("")


def test_a_missing_recipe_is_told():
    """The reason says whether the repository or the version has none."""
    assert recipe_for(instance("no/body"), []).startswith("there is no recipe for no/body")
    assert recipe_for(instance("pallets/flask", "0.1"), read_recipes()).startswith("no recipe for pallets/flask names version '0.1'")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "cannot be read"),
        ('repository = "a/b"', "lacks 'environment'"),
        ('repository = "a/b"\n[[environment]]\nversions = ["1"]\npython = "3"', "lacks 'test'"),
        ('repository = "a/b"\n[[environment]]\nversions = "1"\npython = "3"\ntest = "t"', "'versions' is a list"),
        ('repository = "a/b"\n[[environment]]\nversions = ["1"]\npython = "3"\ntest = "t"\npip = "x"', "has no 'pip'"),
        ('repository = "a/b"\n[[environment]]\nversions = ["1"]\npython = "3"\ntest = "t"\nlog = "x"', "form 'x' cannot be read"),
        ('repository = "a/b"\n[[environment]]\nversions = ["1"]\npython = "3"\ntest = "t"\none = "{path}"', "'one' speaks of 'path'"),
    ],
)
def test_what_is_no_recipe_is_named(tmp_path, text, said):
    """The file and what is wrong with it."""
    with pytest.raises(UserError, match=said):
        read_recipes([written(tmp_path / "own", text)])
    with pytest.raises(UserError, match="no folder of recipes"):
        read_recipes([tmp_path / "none"])
