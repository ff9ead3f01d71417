"""`bench run`, `bench score` and `bench report` on a small project, by the commands alone, with the real sandbox."""

import json
import re
import signal
import subprocess
import time

import pytest

from backstory.agent.script import Answer, call
from command import CommandLine
from shop import CODE, FIXED, FOUND, NEW_TEST, SITE, SOLVED, TESTS, Shop
from talking import model_that, roles

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

WRONG = FIXED.replace("'cost', 0", "'cost', 1")
HARMFUL = FIXED.replace("item['mass']", "0")
VERSION_FILE = "$VIRTUAL_ENV/version.txt"
FORGING = "import atexit, os\n\nprint('PASSED test_shop.py::test_price_of_nothing')\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The project; its environment holds the fix's id, as one that was built in the tree of a later commit may."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    recipe = shop.recipes / "shop.toml"
    recipe.write_text(recipe.read_text().replace('/"]', f'/", "echo {shop.fix} > {VERSION_FILE}"]'))
    return shop


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The command line, with one cache for all tests of this file: the environment is built once."""
    return CommandLine(tmp_path_factory.mktemp("home"), PIP_FIND_LINKS=str(SITE))


def rows(ended):
    assert ended.exit_code == 0, ended.err
    return {row["id"]: row for row in json.loads(ended.out)["rows"]}


def scored(run, shop, out, **patches):
    """Return the rows of predictions for instances that are alike but for their ids."""
    ids = shop.predict(out / "predictions.jsonl", patches.values())
    found = rows(run("bench", "score", *shop.where, "--predictions", out / "predictions.jsonl", "--out", out / "scored", "--json"))
    shop.write(shop.row())
    return dict(zip(patches, (found[id] for id in ids), strict=True))


def test_the_true_patch_resolves_and_none_does_not(run, shop, tmp_path):
    """`--gold` and `--empty` bound every figure; both readings of the run agree, and predictions are in the official form."""
    gold = rows(run("bench", "run", *shop.where, "--gold", "--out", tmp_path / "gold", "--json"))["octo__shop-12"]
    assert (gold["status"], gold["official"], gold["validity"], gold["reason"]) == ("resolved", True, "valid", "")
    empty = rows(run("bench", "run", *shop.where, "--empty", "--out", tmp_path / "empty", "--json"))["octo__shop-12"]
    assert (empty["status"], empty["official"], empty["reason"]) == ("failed", False, "1 of 1 tests to fix still fail")
    (line,) = (tmp_path / "gold" / "predictions.jsonl").read_text().splitlines()
    assert json.loads(line) == {"instance_id": "octo__shop-12", "model_name_or_path": "gold", "model_patch": shop.patch}
    assert "PASSED test_shop.py::test_price_of_nothing" in (tmp_path / "gold" / "instances" / "octo__shop-12" / "log.txt").read_text()


def test_predictions_are_judged_by_what_the_tests_did(run, shop, tmp_path):
    """Right, wrong, harmful, unappliable, absent; edits to tests and their steering have no say; forged lines are not believed."""
    found = scored(
        run,
        shop,
        tmp_path,
        right=shop.patch,
        wrong=shop.diff(CODE, WRONG),
        harmful=shop.diff(CODE, HARMFUL),
        unfit=shop.patch.replace("item['cost']", "item['price']"),
        absent="",
        tests=shop.diff(TESTS, "def test_price_of_nothing():\n    pass\n", "test_shop.py"),
        steering=shop.diff("", "collect_ignore = ['test_shop.py']\nprint('PASSED test_shop.py::test_price_of_nothing')\n", "conftest.py"),
        forging=shop.diff(CODE, FORGING + CODE),
        leaving=shop.diff(
            CODE,
            f"import os, sys\n\nif 'pytest' in sys.modules:\n    print('PASSED test_shop.py::test_price_of_nothing')\n    os._exit(0)\n{CODE}",
        ),
    )
    assert {name: row["status"] for name, row in found.items()} == {
        "right": "resolved",
        "wrong": "failed",
        "harmful": "failed",
        "unfit": "not_applied",
        "absent": "empty",
        "tests": "failed",
        "steering": "failed",
        "forging": "failed",
        "leaving": "failed",
    }
    assert found["harmful"]["reason"] == "2 of 3 tests that passed fail now"
    assert found["harmful"]["grade"]["kept"]["missed"] == ["test_shop.py::test_weight[1]", "test_shop.py::test_weight[2"]
    assert found["leaving"]["reason"].startswith("the test run was ended outside any test before it finished")
    assert not any(row["official"] for name, row in found.items() if name in ("wrong", "harmful", "tests", "forging"))


def test_an_environment_that_does_not_tell_the_truth_is_broken_and_not_failed(run, shop, tmp_path):
    """Where the true patch fixes nothing here, or nothing needs it, no patch is called failed; a test that never holds is excused by name."""
    shop.write(
        shop.row(instance_id="octo__shop-1", FAIL_TO_PASS=["test_shop.py::test_not_there"]),
        shop.row(instance_id="octo__shop-2", FAIL_TO_PASS=["test_shop.py::test_price"]),
        shop.row(instance_id="octo__shop-3", PASS_TO_PASS=["test_shop.py::test_price", "test_shop.py::test_gone"]),
        shop.row(instance_id="octo__shop-4", version="9.9"),
        shop.row(instance_id="octo__shop-5", test_patch=shop.test_patch.replace("test_weight", "test_length")),
    )
    found = rows(run("bench", "run", *shop.where, "--gold", "--out", tmp_path / "out", "--json"))
    strict = rows(run("bench", "run", *shop.where, "--gold", "--out", tmp_path / "strict", "--json", "--strict"))
    shop.write(shop.row())
    assert {id[-1]: row["status"] for id, row in found.items()} == {
        "1": "broken",
        "2": "broken",
        "3": "resolved",
        "4": "not_here",
        "5": "broken",
    }
    assert found["octo__shop-1"]["reason"].startswith("the true patch does not resolve it here: 1 tests that it should fix fail")
    assert found["octo__shop-2"]["reason"] == "what has to be fixed passes here without a patch"
    assert (found["octo__shop-3"]["validity"], found["octo__shop-3"]["excused"]) == ("excused", ["test_shop.py::test_gone"])
    assert "natively (no recipe for octo/shop names version '9.9'" in found["octo__shop-4"]["reason"]
    assert strict["octo__shop-3"]["status"] == "broken"


def test_a_flaky_test_is_named(run, shop, tmp_path):
    """A test that should hold and ends otherwise in a second run of the same tree is named; the verdict is that of the first."""
    shop.write(shop.row(test_patch=shop.test_patch + shop.diff("", "def test_other():\n    pass\n", "test_other.py")))
    command = ("bench", "run", *shop.where, "--gold", "--no-validate", "--json", "--out")
    (key,) = rows(run(*command, tmp_path / "first"))["octo__shop-12"]["trials"]
    kept = run.home / "cache" / "trials" / key / "trial.json"
    trial = json.loads(kept.read_text())
    kept.write_text(
        json.dumps({**trial, "results": {**trial["results"], "test_shop.py::test_price": "failed"}})
    )  # as if it had failed then
    row = rows(run(*command, tmp_path / "second"))["octo__shop-12"]
    shop.write(shop.row())
    assert (row["status"], row["grade"]["kept"]["missed"]) == ("failed", ["test_shop.py::test_price"])
    assert row["flaky"] == ["test_shop.py::test_price"]


def test_finished_instances_are_not_run_again(run, shop, tmp_path):
    """The same command goes on, with more instances too; one that asks for something else, or of other data, is refused."""
    ids = ("--ids", ",".join(["octo__shop-12"] * 400))  # longer than a file's name may be
    first = rows(run("bench", "run", *shop.where, *ids, "--gold", "--out", tmp_path, "--json"))
    row = tmp_path / "instances" / "octo__shop-12" / "row.json"
    before = row.stat().st_mtime_ns
    assert rows(run("bench", "run", *shop.where, "--gold", "--out", tmp_path, "--json")) == first
    assert row.stat().st_mtime_ns == before
    other = run("bench", "run", *shop.where, "--empty", "--out", tmp_path)
    assert other.exit_code == 2 and "holds a batch with another name ('gold', now 'empty')" in other.error
    shop.write(shop.row(), shop.row(instance_id="octo__shop-13"))
    more = rows(run("bench", "run", *shop.where, "--gold", "--out", tmp_path, "--json"))
    assert sorted(more) == ["octo__shop-12", "octo__shop-13"] and row.stat().st_mtime_ns == before
    shop.write(shop.row(problem_statement="something else"))
    changed = run("bench", "run", *shop.where, "--gold", "--out", tmp_path)
    shop.write(shop.row())
    assert changed.exit_code == 2 and "holds what came of another octo__shop-12" in changed.error


def test_what_could_not_run_here_is_tried_again(run, shop, tmp_path):
    """Nothing was run of it, and the same command may find what was missing; what is no pattern of repositories is said before anything begins."""
    data, _, recipes = (shop.where[place : place + 2] for place in (0, 2, 4))
    command = ("bench", "run", *data, *recipes, "--gold", "--out", tmp_path / "out", "--json", "--repos")
    assert rows(run(*command, tmp_path / "{name}"))["octo__shop-12"]["status"] == "not_here"
    assert rows(run(*command, f"{shop.root}/repos/{{owner}}+{{name}}"))["octo__shop-12"]["status"] == "resolved"
    none = run(*command, "/mirrors/{own}")
    assert none.exit_code == 2 and "'/mirrors/{own}' is no pattern of repositories" in none.error


def test_a_batch_that_is_killed_goes_on(run, shop, tmp_path):
    """After kill -9 at any moment the same command finishes every instance once, and no prediction is lost."""
    ids = [f"octo__shop-{number}" for number in range(200, 206)]
    shop.write(*(shop.row(instance_id=id, base_commit=shop.base) for id in ids))
    command = run.argv("bench", "run", *shop.where, "--no-model", "--out", tmp_path / "out", "--json", "--workers", "2")
    for wait in (2.0, 3.0, 4.0):
        process = subprocess.Popen(command, env=run.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
    found = rows(run(*command[3:]))
    shop.write(shop.row())
    assert sorted(found) == ids
    predictions = [json.loads(line)["instance_id"] for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert predictions == ids
    for id in ids:
        runs = list((tmp_path / "out" / "instances" / id / "runs").glob("*/events.jsonl"))
        assert len(runs) == 1  # a run that was begun is gone on with, not begun again


def test_an_interrupt_ends_a_batch_at_once_and_it_goes_on(run, shop, tmp_path):
    """Ctrl-C waits for no instance: the exit code is that of an interrupt, and the same command finishes what was begun."""
    with model_that(roles([Answer(FOUND, seconds=600)], SOLVED)) as (model, _, _):
        command = run.argv("bench", "run", *shop.where, "--model", model.name, "--api-base", model.api_base, "--out", tmp_path)
        process = subprocess.Popen(command, env=run.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while not list(tmp_path.glob("instances/*/heard.jsonl")):  # the model is being asked, and would answer in ten minutes
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and b"Traceback" not in said
    assert not list(tmp_path.glob("instances/*/row.json"))
    with model_that(roles([FOUND], SOLVED)) as (model, _, _):
        assert rows(asked(run, shop, model, tmp_path))["octo__shop-12"]["status"] == "resolved"  # at another address
    assert len(list(tmp_path.glob("instances/*/runs/*"))) == 1


def test_the_budget_of_a_batch_stops_it(run, shop, tmp_path):
    """No instance begins once it is spent; what is finished stays, and the exit code is that of a limit."""
    ended = run("bench", "run", *shop.where, "--gold", "--out", tmp_path, "--json", "--batch-seconds", "0.0")
    assert ended.exit_code == 5 and json.loads(ended.out)["rows"] == []
    assert json.loads(ended.out)["stopped"] == "the batch has taken its 0 seconds"


def test_kept_runs_are_graded_again_without_a_run(run, shop, tmp_path):
    """`score --again` computes grades from the record: with other lists of tests the same run means something else."""
    rows(run("bench", "run", *shop.where, "--gold", "--out", tmp_path, "--json"))
    shop.write(shop.row(PASS_TO_PASS=["test_shop.py::test_gone"]))
    again = run("bench", "score", *shop.where, "--again", "--out", tmp_path, "--json")
    shop.write(shop.row())
    assert rows(again)["octo__shop-12"]["grade"]["kept"] == {"held": [], "missed": ["test_shop.py::test_gone"]}


def test_the_report_tells_two_batches_apart(run, shop, tmp_path):
    """Share with interval, reasons, a paired comparison with its flips; the page is whole in itself."""
    for arm in ("gold", "empty"):
        rows(run("bench", "run", *shop.where, f"--{arm}", "--out", tmp_path / arm, "--json"))
    told = json.loads(run("bench", "report", tmp_path / "gold", "--against", tmp_path / "empty", "--format", "json").out)
    assert (told["batch"]["all"]["resolved"], told["batch"]["all"]["judged"]) == (1, 1)
    assert (told["compared"]["gained"], told["compared"]["lost"], told["compared"]["p"]) == (["octo__shop-12"], [], 1.0)
    assert "resolved 0 of 1 judged" in run("bench", "report", tmp_path / "empty").out
    run("bench", "report", tmp_path / "gold", "--format", "html", "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>") and "octo__shop-12" in page and "http" not in page
    assert run("bench", "report", tmp_path).exit_code == 2


def asked(run, shop, model, out, *more):
    return run("bench", "run", *shop.where, "--model", model.name, "--api-base", model.api_base, "--out", out, "--json", *more)


def test_a_model_is_run_audited_and_judged_and_can_be_said_again(run, shop, tmp_path):
    """The patch of a scripted model resolves; its words, tokens and trace are kept; a replay needs no server and gives the same patch."""
    with model_that(roles([FOUND], SOLVED)) as (model, _, exchanges):
        row = rows(asked(run, shop, model, tmp_path / "asked"))["octo__shop-12"]
        assert exchanges
    assert (row["status"], row["official"], row["changed"]["files"]) == ("resolved", True, ["shop.py"])
    assert (row["changed"]["functions"], row["changed"]["true_functions"]) == (["shop.py:price"], ["shop.py:price"])
    assert row["spent"]["replies"] >= 4 and row["spent"]["usage"]["input_tokens"] > 0
    assert (row["audit"]["leaks"], row["audit"]["warnings"]) == ([], []) and row["audit"]["texts"] > 4
    again = rows(run("bench", "run", *shop.where, "--replay", tmp_path / "asked", "--out", tmp_path / "again", "--json"))["octo__shop-12"]
    assert again["status"] == "resolved" and again["spent"]["replies"] >= 4
    assert (tmp_path / "again" / "predictions.jsonl").read_text().split('"model_patch"')[1] == (
        tmp_path / "asked" / "predictions.jsonl"
    ).read_text().split('"model_patch"')[1]


def test_a_run_that_lost_its_model_is_gone_on_with(run, shop, tmp_path):
    """Where nobody answers, the instance is told of and not finished; the same command goes on when the server is back."""
    nowhere = ("--model", "hosted_vllm/scripted", "--api-base", "http://127.0.0.1:9/v1")
    lost = rows(run("bench", "run", *shop.where, *nowhere, "--out", tmp_path, "--json"))["octo__shop-12"]
    assert (lost["status"], lost["spent"]["exit_code"]) == ("empty", 7)
    with model_that(roles([FOUND], SOLVED)) as (model, _, _):
        found = rows(asked(run, shop, model, tmp_path))["octo__shop-12"]
    assert found["status"] == "resolved" and len(list(tmp_path.glob("instances/*/runs/*"))) == 1


def test_a_run_that_is_shown_the_future_counts_for_nothing(run, shop, tmp_path):
    """A later commit's id before the model fails the run closed, however good its patch."""
    shop.write(shop.row(problem_statement=f"price fails\n\nIt is mended in {shop.fix[:10]}."))
    with model_that(roles([FOUND], SOLVED)) as (model, _, _):
        row = rows(asked(run, shop, model, tmp_path))["octo__shop-12"]
    shop.write(shop.row())
    assert (row["status"], row["grade"]) == ("leaked", None)
    assert row["reason"].startswith(f"later commit '{shop.fix[:10]}' in a ")


def test_a_later_commit_in_what_a_tool_gives_fails_the_run(run, shop, tmp_path):
    """The model asked for it by a program, and mended the fault as well: the patch counts for nothing."""
    with model_that(roles([FOUND], [call("run", command=f"cat {VERSION_FILE}"), *SOLVED])) as (model, _, exchanges):
        row = rows(asked(run, shop, model, tmp_path))["octo__shop-12"]
    assert any(shop.fix in message.text for exchange in exchanges for message in exchange.request.messages if message.role == "tool")
    assert (row["status"], row["grade"], row["reason"]) == ("leaked", None, f"later commit '{shop.fix}' in a tool message")


def test_a_later_commit_in_the_output_of_a_check_fails_a_run_without_a_model(run, shop, tmp_path):
    """There is no prompt then; what checks printed is searched."""
    prints = NEW_TEST.replace(
        "\n    assert", "\n    import os, sys\n    print(open(os.path.join(sys.prefix, 'version.txt')).read())\n    assert"
    )
    diff = shop.diff(TESTS, TESTS + prints, "test_shop.py")
    shop.write(shop.row(test_patch=f"diff --git a/test_shop.py b/test_shop.py\n{diff}"))
    row = rows(run("bench", "run", *shop.where, "--no-model", "--with-check", "--out", tmp_path, "--json"))["octo__shop-12"]
    shop.write(shop.row())
    assert (row["status"], row["reason"]) == ("leaked", f"later commit '{shop.fix}' in a check event")


def test_a_run_may_be_given_one_failing_test(run, shop, tmp_path):
    """With the test as its check a run proves its patch, and all tests of the instance judge it."""
    with model_that(roles([FOUND], SOLVED)) as (model, _, _):
        row = rows(asked(run, shop, model, tmp_path, "--with-check"))["octo__shop-12"]
    assert (row["status"], row["spent"]["ended"]) == ("resolved", "verified")
    assert "test_price_of_nothing" in row["spent"]["verified_by"]
    told = run("bench", "report", tmp_path, "--prices", "1000,1000,1000").out
    assert "changed: 100% on average, functions: 100%" in told
    assert re.search(r"tokens cost (\d+\.\d\d), \1 for each that was resolved", told)
    assert run("bench", "report", tmp_path, "--prices", "3,x").exit_code == 2


def test_a_run_without_history_is_given_the_base_alone(run, tmp_path):
    """What a commit broke, and taking it back mends, is mended from the past, and by nothing where the past is cut off."""
    shop = Shop(tmp_path)
    high = "\n\ndef test_a_high_price():\n    assert price({'cost': 9}) == 9\n"
    base = shop.repo.commit("Ask for the price", {"shop.py": FIXED.replace("'cost', 0", "'price', 0")})
    fix = shop.repo.commit("Ask for the cost again", {"shop.py": FIXED, "test_shop.py": TESTS + NEW_TEST + high})
    shop.write(
        shop.row(
            base_commit=base,
            patch=shop.repo.git("diff", base, fix, "--", "shop.py") + "\n",
            test_patch=shop.repo.git("diff", base, fix, "--", "test_shop.py") + "\n",
            FAIL_TO_PASS=["test_shop.py::test_a_high_price", "test_shop.py::test_price"],
            PASS_TO_PASS=["test_shop.py::test_price_of_nothing"],
        )
    )
    command = ("bench", "run", *shop.where, "--no-model", "--with-check", "--json", "--out")
    whole = rows(run(*command, tmp_path / "whole"))["octo__shop-12"]
    cut = rows(run(*command, "cut", "--no-history", cwd=tmp_path))["octo__shop-12"]  # named from where one is
    assert (whole["status"], whole["spent"]["ended"]) == ("resolved", "verified")
    assert (cut["status"], cut["spent"]["ended"]) == ("empty", "no_patch")
    assert json.loads((tmp_path / "cut" / "run.json").read_text())["name"] == "backstory-without-history"
    other = run(*command, tmp_path / "whole", "--no-history")
    assert other.exit_code == 2 and "holds a batch with another" in other.error
