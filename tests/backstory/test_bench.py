"""`bench locate` on a small repository with known answers, by the command alone."""

import json

import pytest

from command import CommandLine
from repos import Repo

SHOP = "def price(item):\n    return item.cost\n\n\ndef weigh(item):\n    return item.mass\n"


@pytest.fixture
def data(tmp_path):
    """Two instances that run, one whose repository is missing, one whose base is."""
    repo = Repo(tmp_path / "repos" / "corner+shop")
    base = repo.commit("Start", {"shop.py": SHOP, "till.py": "def open_till():\n    return 1\n"})
    repo.commit("Fix", {"shop.py": SHOP.replace("item.cost", "item.cost or 0")})
    patch = repo.git("diff", base, "HEAD") + "\n"
    rows = [
        ("shop-1", "corner/shop", base, "price fails without a cost\n\nprice(item) raises", patch),
        ("shop-2", "corner/shop", base, "the till does not open\n\nopen_till", patch),
        ("shop-3", "corner/shop", "f" * 40, "x", patch),
        ("none-1", "no/where", base, "x", patch),
    ]
    names = ("instance_id", "repo", "base_commit", "problem_statement", "patch")
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("workers", ["1", "2"])
def test_figures_rows_and_failures_are_told(data, tmp_path, workers):
    """Each arm has its measures with intervals and what the first leads by; rows hold what was found; what could not run is named with the reason."""
    run = CommandLine(tmp_path / "home")
    ended = run(
        *("bench", "locate", "--data", data, "--repos", f"{tmp_path}/repos/{{owner}}+{{name}}", "--json", "--out", tmp_path / "rows.jsonl"),
        *("--workers", workers, "--arms", "full,no-history"),
    )
    assert ended.exit_code == 0, ended.err
    told = json.loads(ended.out)
    assert told["instances"] == 2
    assert {one["id"] for one in told["failed"]} == {"shop-3", "none-1"}
    full = told["arms"]["full"]
    assert (full["file one @1"]["mean"], full["file one @3"]["mean"], full["file one @1"]["count"]) == (0.5, 1.0, 2)
    assert full["function all @1"]["mean"] == 0.5
    assert full["file reciprocal rank"]["mean"] == 0.75
    assert "lead" not in full["file one @1"]
    assert told["arms"]["no-history"]["file one @1"]["lead"]["count"] == 2
    assert told["repositories"]["corner/shop"]["full"]["file all @5"] == {"mean": 1.0, "count": 2.0}
    assert set(told["seconds"]["corner/shop"]) == {"new_p50", "new_p95", "warm_p50", "warm_p95"}
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [(row["id"], row["arm"], row["gold_files"], row["files"][0]) for row in rows] == [
        ("shop-1", "full", ["shop.py"], "shop.py"),
        ("shop-1", "no-history", ["shop.py"], "shop.py"),
        ("shop-2", "full", ["shop.py"], "till.py"),
        ("shop-2", "no-history", ["shop.py"], "till.py"),
    ]


def test_the_figures_are_shown_to_a_person(data, tmp_path):
    """Without --json the same stands as lines, with intervals and the reasons of failures."""
    ended = CommandLine(tmp_path / "home")(
        "bench", "locate", "--data", data, "--repos", f"{tmp_path}/repos/{{owner}}+{{name}}", "--arms", "full,churn"
    )
    assert "2 instances, 2 that could not run" in ended.out
    assert "  file one @3                1.000 [1.000, 1.000] of 2" in ended.out
    assert "could not run none-1: " in ended.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--arms", "full,fuller"), "unknown arms fuller"),
        (("--arms", ","), "unknown arms (none)"),
        (("--only", "none-1"), "no instance could run; the first: "),
        (("--only", "zzz"), "no instance in "),
        (("--only", "shop-1", "--out", "/no/folder/rows"), "cannot write '/no/folder/rows'"),
    ],
)
def test_what_cannot_be_measured_is_one_line(data, tmp_path, options, said):
    """Wrong arms, nothing to run and a file that cannot be written are told with exit code 2."""
    ended = CommandLine(tmp_path / "home")("bench", "locate", "--data", data, "--repos", f"{tmp_path}/repos/{{owner}}+{{name}}", *options)
    assert ended.exit_code == 2
    assert ended.error.startswith(said)
