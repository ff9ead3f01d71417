"""Fits the weights by which `backstory origin` ranks its candidates, and says how good they are on rows they were not fitted on.

    backstory bench origin --data ROWS --repos MIRRORS --out rows.jsonl
    python bench/fit_origin.py rows.jsonl

The model is a conditional logit (McFadden 1974): of the candidates of a fix one is the culprit, with probability proportional to exp(weights . clues).
Its likelihood, of any true culprit where a row has several, is maximised by gradient ascent with a penalty on the squares of the weights, on the rows of
the tune half. `NEARLY` is chosen on the same half, for the best F1. Weights are rounded to tenths: what is finer is noise at a hundred rows.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backstory.agent.inducers import DEFAULT_WEIGHTS
from backstory.harness.origin_bench import split_of

NOT_FITTED = ("named",)
PENALTY = 0.03  # of the mean log-likelihood of a row, times the sum of squares over two
STEPS, RATE = 400, 0.1
SHARES = tuple(share / 100 for share in range(50, 101, 5))


@dataclass(frozen=True)
class Choice:
    """The candidates of one row: their clues (a row each, columns as `names`), which are true, and in which half the row is."""

    repository: str
    clues: NDArray[np.float64]
    is_true: NDArray[np.bool_]
    inducers: int
    split: str


def main() -> None:
    """Fit, and print weights and figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path, help="what `backstory bench origin --out` wrote")
    parser.add_argument("--without", default="", metavar="CLUES", help="leave these clues out, to see what they are worth")
    asked = parser.parse_args()
    given = asdict(DEFAULT_WEIGHTS)
    names = [name for name in given if name not in (*NOT_FITTED, *asked.without.split(","))]
    choices = [read_choice(json.loads(line), names) for line in asked.rows.read_text().splitlines()]
    tune, held = ([choice for choice in choices if choice.split == split] for split in ("tune", "held"))
    fitted = np.round(fit(tune), 1)
    share = max(SHARES, key=lambda share: f1(tune, fitted, share))
    print("weights fitted on the tune half:", {name: float(weight) for name, weight in zip(names, fitted, strict=True)}, "NEARLY", share)
    current = np.array([given[name] for name in names])
    for what, weights in (("current", current), ("fitted", fitted)):
        for split, part in (("tune", tune), ("held", held)):
            print(f"{what:8} {split}: {figures(part, weights, share)}")
    repositories = sorted({choice.repository for choice in tune})
    left_out: list[int] = []
    for repository in repositories:
        weights = fit([choice for choice in tune if choice.repository != repository])
        left_out += [place(choice, weights) for choice in tune if choice.repository == repository]
    print(f"tune, each repository by weights fitted on the others: {firsts(left_out)}")


def read_choice(row: dict[str, object], names: Sequence[str]) -> Choice:
    """Return a row's candidates from a line of the benchmark."""
    ranking, told = row["ranking"], row["row"]
    assert isinstance(ranking, list) and isinstance(told, dict)
    clues = np.array([[one["clues"].get(name, 0.0) for name in names] for one in ranking], dtype=float)
    places = row["places"]
    assert isinstance(places, list)
    is_true = np.zeros(len(ranking), dtype=bool)
    is_true[[place - 1 for place in places]] = True
    return Choice(told["repository"], clues, is_true, len(told["inducers"]), split_of(told["repository"]))


def fit(choices: Sequence[Choice]) -> NDArray[np.float64]:
    """Return the weights of greatest penalised likelihood; rows whose culprit is no candidate say nothing."""
    useful = [choice for choice in choices if choice.is_true.any()]
    weights = np.zeros(useful[0].clues.shape[1])
    mean, spread = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, STEPS + 1):  # Adam (Kingma and Ba 2015): the scales of the clues differ
        slope = PENALTY * weights
        for choice in useful:
            share = shares(choice, weights)
            wanted = np.where(choice.is_true, share, 0.0)
            slope = slope + (share - wanted / wanted.sum()) @ choice.clues / len(useful)
        mean = 0.9 * mean + 0.1 * slope
        spread = 0.999 * spread + 0.001 * slope * slope
        weights = weights - RATE * (mean / (1 - 0.9**step)) / (np.sqrt(spread / (1 - 0.999**step)) + 1e-8)
    return weights


def shares(choice: Choice, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of each candidate."""
    scores = choice.clues @ weights
    powers = np.exp(scores - scores.max())
    return np.asarray(powers / powers.sum())


def place(choice: Choice, weights: NDArray[np.float64]) -> int:
    """Return where the first true culprit stands, from 1; far away where it is no candidate."""
    scores = choice.clues @ weights
    order = np.argsort(-scores, kind="stable")
    found = np.flatnonzero(choice.is_true[order])
    return int(found[0]) + 1 if len(found) else 10**6


def f1(choices: Sequence[Choice], weights: NDArray[np.float64], share: float) -> float:
    """Return F1 over all rows when every candidate nearly as likely as the first is answered."""
    right = answered = true = 0
    for choice in choices:
        likely = shares(choice, weights)
        chosen = likely >= share * likely.max()
        right, answered, true = right + int(choice.is_true[chosen].sum()), answered + int(chosen.sum()), true + choice.inducers
    return 2 * right / (answered + true)


def firsts(places: Sequence[int]) -> str:
    """Return the shares of rows with a true culprit among the first 1, 3, 5 and 10."""
    return ", ".join(f"first {cut} {sum(place <= cut for place in places) / len(places):.3f}" for cut in (1, 3, 5, 10))


def figures(choices: Sequence[Choice], weights: NDArray[np.float64], share: float) -> str:
    """Return what weights are worth on some rows."""
    return f"{firsts([place(choice, weights) for choice in choices])}, F1 {f1(choices, weights, share):.3f}, {len(choices)} rows"


if __name__ == "__main__":
    main()
