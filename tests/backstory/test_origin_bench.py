"""`bench origin` on small repositories with known culprits, by the command alone."""

import hashlib
import json

import pytest

from backstory.harness.origin_bench import split_of
from command import CommandLine
from repos import Repo

START = "def price(item):\n    return item.cost\n\n\ndef weigh(item):\n    return item.mass\n"
WRONG = START.replace("item.cost", "item.cots")
BESIDE = WRONG + "\n\ndef colour(item):\n    return item.colour\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two rows that run, one of them found at the first place; one with a merge as its fix; one whose repository and one whose inducer is not there."""
    root = tmp_path_factory.mktemp("bench")
    repo = Repo(root / "repos" / "corner+shop")
    start = repo.commit("Start", {"shop.py": START, "till.py": "OPEN = 1\n"})
    wrong = repo.commit("Tell the price", {"shop.py": WRONG})
    beside = repo.commit("Tell the colour", {"shop.py": BESIDE})
    fix = repo.commit(f"Fix the price\n\nFixes: {beside[:12]}", {"shop.py": BESIDE.replace("cots", "cost")})
    repo.git("checkout", "-q", "-b", "side")
    repo.commit("Close the till", {"till.py": "OPEN = 0\n"})
    repo.git("checkout", "-q", "main")
    merge = repo.merge("side", "Merge side")
    rows = [
        ("corner/shop", fix, [wrong], "python", "known"),
        ("corner/shop", fix[:10], [start[:10]], "python", "doubtful"),
        ("corner/shop", merge, [start], "python", "known"),
        ("corner/shop", fix, ["f" * 40], "python", "known"),
        ("no/where", fix, [wrong], "c", "known"),
    ]
    names = ("repo", "fix_commit", "inducing_commits", "language", "source_dataset")
    path = root / "rows.json"
    path.write_text(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
    return path


def run(data, *options):
    return CommandLine(data.parent / "home")(
        "bench", "origin", "--data", data, "--repos", f"{data.parent}/repos/{{owner}}+{{name}}", *options
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_figures_slices_and_failures_are_told(data, workers, tmp_path):
    """Measures have intervals, slices add up to the whole, rows hold every candidate, and what could not run is named with the reason."""
    ended = run(data, "--json", "--workers", workers, "--out", tmp_path / "rows.jsonl")
    assert ended.exit_code == 0, ended.err
    told = json.loads(ended.out)
    assert (told["rows"], told["split"], told["redacted"]) == (2, "all", True)
    assert {name: told["measures"][name]["mean"] for name in ("first 1", "first 3", "precision", "recall", "F1", "reciprocal rank")} == {
        "first 1": 0.5,
        "first 3": 1.0,
        "precision": 0.5,
        "recall": 0.5,
        "F1": 0.5,
        "reciprocal rank": pytest.approx(0.75, abs=0.1),
    }
    assert told["by_source"]["known"]["first 1"]["mean"] == 1.0 and told["by_source"]["doubtful"]["first 1"]["mean"] == 0.0
    assert told["by_language"]["python"]["F1"]["count"] == 2 and list(told["by_repository"]) == ["corner/shop"]
    reasons = [one["reason"] for one in told["failed"]]
    assert len(reasons) == 3 and "is a merge" in reasons[0] and "no commit 'fff" in reasons[1] and "no+where" in reasons[2]
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [len(row["ranking"]) for row in rows] == [3, 3] and rows[0]["ranking"][0]["clues"]["blamed"] == 1.0


def test_messages_are_read_only_when_that_is_asked_for(data):
    """The fix's message blames another commit: unredacted that one comes first."""
    told = json.loads(run(data, "--json", "--unredacted").out)
    assert told["redacted"] is False and told["measures"]["first 1"]["mean"] == 0.0


def test_the_figures_are_shown_to_a_person(data):
    """Without --json the same stands as lines."""
    out = run(data).out
    assert "2 rows, 3 that could not run" in out and "  first 3              1.000 [1.000, 1.000]" in out
    assert "  corner/shop: F1 0.50, first 1 0.50, first 3 1.00, first 10 1.00 of 2" in out and "could not run no/where@" in out


def test_the_split_is_by_the_name_of_the_repository(data):
    """Every repository is on one side, and the sides are the parity of a hash."""
    sides = {name: split_of(name) for name in ("corner/shop", "no/where", "a/b", "c/d")}
    assert sides == {name: ("tune", "held")[hashlib.sha256(name.encode()).digest()[0] % 2] for name in sides}
    own = sides["corner/shop"]
    other = {"tune": "held", "held": "tune"}[own]
    assert json.loads(run(data, "--json", "--split", own).out)["rows"] == 2
    assert run(data, "--split", other).exit_code == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no row in "),
        ("[{}]", "row 1 of "),
        ('{"repo": 1', "cannot read the rows in "),
        (
            '[{"repo": "a/b", "fix_commit": "a", "inducing_commits": [], "language": "c", "source_dataset": "x"}]',
            "with one inducer or more",
        ),
        ("[3]", "row 1 of "),
    ],
)
def test_rows_that_are_none_are_refused(tmp_path, content, said):
    """One line says what is wrong with the data."""
    (tmp_path / "rows.json").write_text(content)
    ended = CommandLine(tmp_path / "home")("bench", "origin", "--data", tmp_path / "rows.json", "--repos", "x")
    assert (ended.exit_code, ended.out) == (2, "") and said in ended.error
