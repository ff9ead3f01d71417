"""`bench mine` on a small history: what becomes an instance, in which words, and why other commits do not."""

import json

import pytest
from github_like import server

import mocha
from command import CommandLine
from repos import Repo
from shop import CODE, FIXED, RECIPE, SITE, TESTS, VERSION

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

NEW_TEST = "\n\ndef test_price_of_nothing():\n    assert price({}) == 0\n"
FLAKE = "\n\ndef test_flake():\n    import os\n    assert price({}) == 0 and os.urandom(1)[0] % 2\n"


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """A history with one fix to mine, one that came by an issue, and one of every kind that is none."""
    root = tmp_path_factory.mktemp("past")
    repo = Repo(root / "shop")
    repo.commit("Start", {"shop.py": CODE, "test_shop.py": TESTS, "README": "a shop\n"})
    repo.commit("Say more", {"README": "a small shop\n"})
    fixed = FIXED + "\n\ndef cost_or_nothing(item):\n    return price(item)\n"
    message = "Fix crash of price() without a cost (#7)\n\nUse cost_or_nothing, as in 1234567abc.\n\nSigned-off-by: Ada <ada@example.org>"
    repo.commit(message, {"shop.py": fixed, "test_shop.py": TESTS + NEW_TEST})
    repo.commit("Fix the README, which was wrong about everything it said", {"README": "the shop\n"})
    repo.commit("Fix", {"shop.py": fixed + "\nA = 1\n", "test_shop.py": TESTS + NEW_TEST + "\n\ndef test_a():\n    from shop import A\n"})
    again = fixed.replace("item['mass']", "item.get('mass', 0)")
    repo.commit(
        "Weigh nothing as 0\n\nFixes #3, see pull 4.",
        {"shop.py": again, "test_shop.py": TESTS + NEW_TEST + "\n\ndef test_no_weight():\n    assert weight({}) == 0\n"},
    )
    repo.commit(
        "Fix what was never broken in any way at all",
        {"shop.py": again + "\nB = 2\n", "test_shop.py": TESTS + NEW_TEST + "\n\ndef test_same():\n    pass\n"},
    )
    late = TESTS + NEW_TEST + "\n\ndef test_late():\n    import time\n    from shop import C\n    time.sleep(600)\n"
    repo.commit("Fix what takes for ever, or for longer than anybody waits", {"shop.py": again + "\nC = 3\n", "test_shop.py": late})
    recipes = root / "recipes"
    recipes.mkdir()
    (recipes / "shop.toml").write_text(RECIPE.replace('["1.0"]', '["*"]'))
    (root / "issues.json").write_text(json.dumps([{"number": 3, "title": "weight() raises KeyError", "body": "Nothing should weigh 0."}]))
    return root, repo


def test_fixes_become_instances_oldest_first(past, tmp_path):
    """With their tests found by running, in words that do not tell the answer; every other commit has a reason; and what is mined can be run."""
    root, repo = past
    run = CommandLine(tmp_path / "home", PIP_FIND_LINKS=str(SITE))
    where = ("--name", "octo/shop", "--recipes", root / "recipes", "--issues", root / "issues.json", "--test-timeout", "20")
    ended = run("bench", "mine", repo.root, *where, "--out", tmp_path / "mined.jsonl", "--json")
    assert ended.exit_code == 0, ended.err
    told = json.loads(ended.out)
    first, second = told["mined"]
    assert [json.loads(line) for line in (tmp_path / "mined.jsonl").read_text().splitlines()] == [first, second]
    assert first["problem_statement"] == "Fix crash of price() without a cost\n\nUse […], as in ."
    assert (first["statement_from"], first["statement_withheld"], first["statement_overlap"] > 0) == ("message", ["cost_or_nothing"], True)
    assert (first["instance_id"], first["FAIL_TO_PASS"]) == ("octo__shop-7", ["test_shop.py::test_price_of_nothing"])
    assert first["PASS_TO_PASS"] == ["test_shop.py::test_price", "test_shop.py::test_weight[1]", "test_shop.py::test_weight[2 kg]"]
    assert "test_shop" not in first["patch"] and "shop.py" not in first["test_patch"].replace("test_shop.py", "")
    assert (first["install_config"]["python"], first["install_config"]["log_parser"]) == (VERSION, "pytest")
    assert first["collected_before"] and second["collected_before"]
    assert second["problem_statement"] == "weight() raises KeyError\n\nNothing should weigh 0."
    assert (second["statement_from"], second["created_at"] > first["created_at"]) == ("issue", True)
    assert {reason: len(oids) for reason, oids in told["rejected"].items()} == {
        "says no fix": 1,
        "changes no code or no tests": 1,
        "statement says too little": 1,
        "tests do not end in time": 1,
        "nothing fails before and passes after": 1,
    }
    (slow,) = told["rejected"]["tests do not end in time"]
    assert told["said"] == {slow: told["said"][slow]} and "did not end in time, in test_shop.py::test_late" in told["said"][slow]
    gold = run(
        *("bench", "run", "--data", tmp_path / "mined.jsonl", "--repos", root / "{name}"),
        *("--gold", "--out", tmp_path / "gold", "--json"),
    )  # the rows say how they are installed and tested
    assert [row["status"] for row in json.loads(gold.out)["rows"]] == ["resolved", "resolved"], gold.err


def test_statements_may_be_asked_of_github(past, tmp_path):
    """What an export has is not asked for; what GitHub has not is said by the message; GitHub is asked for a repository that was named."""
    root, repo = past
    run = CommandLine(tmp_path / "home", PIP_FIND_LINKS=str(SITE))
    fix = repo.git("log", "--format=%H", "--grep=Weigh nothing")
    command = (
        "bench",
        "mine",
        repo.root,
        "--recipes",
        root / "recipes",
        "--until",
        fix,
        "--commits",
        "1",
        "--out",
        tmp_path / "mined",
        "--json",
    )
    there = {"/repos/octo/shop/issues/3": {"number": 3, "title": "Nothing weighs something", "body": "It should be 0."}}
    with server(lambda _, path: (200, {}, there[path]) if path in there else (404, {}, {})) as (address, seen):
        named = (*command, "--name", "octo/shop", "--github")
        (row,) = json.loads(run(*named, GITHUB_API_URL=address).out)["mined"]
        assert (row["problem_statement"], row["statement_from"]) == ("Nothing weighs something\n\nIt should be 0.", "issue")
        there.clear()
        (row,) = json.loads(run(*named, GITHUB_API_URL=address).out)["mined"]
        assert (row["problem_statement"].startswith("Weigh nothing as 0"), row["statement_from"]) == (True, "message")
        asked = len(seen)
        (row,) = json.loads(run(*named, "--issues", root / "issues.json", GITHUB_API_URL=address).out)["mined"]
        assert (row["problem_statement"].startswith("weight() raises"), len(seen)) == (True, asked)
    unnamed = run(*command, "--github")
    assert unnamed.exit_code == 2 and "--github needs --name" in unnamed.error


LIST = "exports.last = list => list[list.length - 1];\nexports.first = list => list[0];\n"
BROKEN = LIST.replace("list.length - 1", "list.length")
LIST_TESTS = (
    "const {first, last} = require('../list.js'), assert = require('assert');\n\n"
    "describe('first()', () => { it('is the first', () => assert.equal(first([1, 2]), 1)); });\n"
)
LAST_TEST = "\ndescribe('last()', () => { it('is the last', () => assert.equal(last([1, 2]), 2)); });\n"
MOCHA_RECIPE = f"""
repository = "octo/list"

[[environment]]
versions = ["*"]
python = "{VERSION}"
commands = ["cp -r mocha_modules node_modules && mkdir node_modules/.bin && ln -s ../mocha/cli.js node_modules/.bin/mocha"]
test = "node node_modules/.bin/mocha"
log = "recorded"
one = "{{file}} --fgrep '{{titles}}'"
"""


@mocha.needs_node
def test_fixes_of_a_javascript_project_become_instances(tmp_path):
    """By a recipe, with tests known by file and titles; a run that is given one of them mends what a past commit broke."""
    repo = Repo(tmp_path / "list")
    start = {"package.json": "{}", ".gitignore": "node_modules\n", "list.js": LIST, "test/list.js": LIST_TESTS}
    repo.commit("Start", start)
    repo.commit("Count to the end", {"list.js": BROKEN})
    repo.commit("Fix the last of a list, which was always undefined", {"list.js": LIST, "test/list.js": LIST_TESTS + LAST_TEST})
    # What tests need is that of the end of the stretch, for all of it.
    end = repo.commit("Test by mocha", {"mocha_modules/mocha/lib/runner.js": mocha.RUNNER, "mocha_modules/mocha/cli.js": mocha.CLI})
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "list.toml").write_text(MOCHA_RECIPE)
    run = CommandLine(tmp_path / "home")
    ended = run(
        *("bench", "mine", repo.root, "--name", "octo/list", "--recipes", tmp_path / "recipes", "--out", tmp_path / "list.jsonl", "--json")
    )
    assert ended.exit_code == 0, ended.err
    (row,) = json.loads(ended.out)["mined"]
    assert (row["FAIL_TO_PASS"], row["PASS_TO_PASS"]) == (
        ["test/list.js::last()::is the last"],
        ["test/list.js::first()::is the first"],
    )
    assert row["install_config"]["at"] == end
    ended = run(
        *("bench", "run", "--data", tmp_path / "list.jsonl", "--repos", tmp_path / "{name}", "--no-model", "--with-check"),
        *("--out", tmp_path / "out", "--json"),
    )
    (row,) = json.loads(ended.out)["rows"]
    assert (row["status"], row["official"], row["spent"]["ended"]) == ("resolved", None, "verified"), ended.err
    assert "mocha test/list.js --fgrep 'last() is the last'" in row["spent"]["verified_by"]
    assert "1 tests in 1 files that passed at the base still pass" in row["spent"]["verified_by"]


def test_what_the_environment_lacks_is_told(tmp_path):
    """A fix whose tests cannot run here is no instance, and what they said most often is printed with the count."""
    repo = Repo(tmp_path / "shop")
    repo.commit("Start", {"shop.py": CODE, "test_shop.py": TESTS, "conftest.py": "import not_there\n"})
    repo.commit("Fix the crash of price() without a cost", {"shop.py": FIXED, "test_shop.py": TESTS + NEW_TEST})
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "shop.toml").write_text(RECIPE.replace('["1.0"]', '["*"]'))
    run = CommandLine(tmp_path / "home", PIP_FIND_LINKS=str(SITE))
    where = ("--name", "octo/shop", "--recipes", tmp_path / "recipes")
    ended = run("bench", "mine", repo.root, *where, "--out", tmp_path / "mined.jsonl")
    assert "1 candidates, 0 validated" in ended.out, ended.err
    assert "environment: 1 (most often, 1 times: pytest was called wrongly: ModuleNotFoundError: No module named 'not_there')" in ended.out


def test_failing_tests_that_cannot_be_collected_without_the_fix_are_told_apart(tmp_path):
    """They count, as elsewhere, where they ask for a name of the fix, and may be left out; where the environment lacks what the fix drops, nothing is learnt."""
    repo = Repo(tmp_path / "shop")
    repo.commit("Start", {"shop.py": CODE, "test_shop.py": TESTS})
    named = FIXED + "\n\ndef free(item):\n    return not price(item)\n"
    asks = "\n\ndef test_free():\n    assert free({})\n"
    brings = repo.commit(
        "Fix the crash of price() without a cost",
        {"shop.py": named, "test_shop.py": TESTS.replace("price, weight", "free, price, weight") + asks},
    )
    repo.commit("Weigh by a library", {"shop.py": f"import not_there\n\n{named}"})
    drops = repo.commit("Fix a weight that nobody can install", {"shop.py": named, "test_shop.py": TESTS + NEW_TEST})
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "shop.toml").write_text(RECIPE.replace('["1.0"]', '["*"]'))
    run = CommandLine(tmp_path / "home", PIP_FIND_LINKS=str(SITE))
    command = ("bench", "mine", repo.root, "--name", "octo/shop", "--recipes", tmp_path / "recipes", "--out", tmp_path / "mined.jsonl")
    told = json.loads(run(*command, "--json").out)
    (row,) = told["mined"]
    assert (row["fix_commit"], row["collected_before"], "test_shop.py::test_free" in row["FAIL_TO_PASS"]) == (brings, False, True)
    assert told["rejected"]["environment"] == [drops] and "No module named 'not_there'" in told["said"][drops]
    assert "1 whose failing tests cannot be collected without the fix" in run(*command).out
    told = json.loads(run(*command, "--json", "--collected").out)
    assert (told["mined"], told["rejected"]["failing tests cannot be collected before"]) == ([], [brings])
    assert "cannot import name 'free'" in told["said"][brings]
