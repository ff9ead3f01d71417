"""`bench run --executor ray` on a Ray of this machine, where Ray is installed."""

import importlib.util
import json

import pytest

from command import CommandLine
from shop import SITE, Shop

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed; pip install 'backstory[ray]'")


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop")


@pytest.fixture
def run(tmp_path):
    return CommandLine(tmp_path / "home", PIP_FIND_LINKS=str(SITE), RAY_ADDRESS="local")


@needs_ray
def test_a_batch_on_a_cluster_is_the_same_batch(run, shop, tmp_path):
    """Instances are judged in tasks, rows and predictions are those of a local batch, and what is finished is not done again."""
    ids = ["octo__shop-12", "octo__shop-13"]
    shop.write(*(shop.row(instance_id=id) for id in ids))
    command = ("bench", "run", *shop.where, "--env", "native", "--gold", "--json", "--workers", "2", "--out", tmp_path / "out")
    spread = run(*command, "--executor", "ray")
    assert spread.exit_code == 0, spread.err
    assert {row["id"]: row["status"] for row in json.loads(spread.out)["rows"]} == dict.fromkeys(ids, "resolved")
    kept = [tmp_path / "out" / "instances" / id / "row.json" for id in ids]
    before = [file.stat().st_mtime_ns for file in kept]
    assert json.loads(run(*command).out)["rows"] == json.loads(spread.out)["rows"]
    assert [file.stat().st_mtime_ns for file in kept] == before
    predictions = [json.loads(line)["instance_id"] for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert predictions == ids


@needs_ray
def test_a_run_of_backstory_is_a_task(run, shop, tmp_path):
    """A run without a model, with its check, is worked on in a task as it is here."""
    row = run(
        "bench",
        "run",
        *shop.where,
        "--env",
        "native",
        "--no-model",
        "--with-check",
        "--json",
        "--executor",
        "ray",
        "--out",
        tmp_path / "out",
    )
    assert row.exit_code == 0, row.err
    assert json.loads(row.out)["rows"][0]["spent"]["steps"] > 0


def test_without_a_cluster_it_is_said_in_one_line(run, shop, tmp_path):
    """Ray that is not installed, or that nobody started, is exit code 2 with what to do."""
    ended = run(
        *("bench", "run", *shop.where, "--env", "native", "--gold", "--executor", "ray", "--out", tmp_path / "out"),
        RAY_ADDRESS="127.0.0.1:1",
    )
    assert ended.exit_code == 2
    assert ended.error.startswith(("spreading instances over a cluster needs Ray", "no Ray cluster answers at '127.0.0.1:1'"))
