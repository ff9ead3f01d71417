"""Fits the weights by which `backstory origin` ranks its candidates, and says how good they are on rows they were not fitted on.

    backstory bench origin --data ROWS --repos MIRRORS --out rows.jsonl
    python bench/fit_origin.py rows.jsonl

The model is a conditional logit (McFadden 1974): of the candidates of a fix one is the culprit, with probability proportional to exp(weights . clues).
Its likelihood, of any true culprit where a row has several, is maximised with a penalty on the squares of the weights, on the rows of the tune half.
Weights are rounded to tenths: what is finer is noise at a hundred rows.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from backstory.agent.inducers import DEFAULT_WEIGHTS
from backstory.harness.origin_bench import split_of

NOT_FITTED = ("named",)
PENALTY = 0.01  # of the mean log-likelihood of a row, times the sum of squares over two; the best of 0.003, 0.01 and 0.03 across folds of the tune half


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
    print("weights fitted on the tune half:", {name: float(weight) for name, weight in zip(names, fitted, strict=True)})
    current = np.array([given[name] for name in names])
    for what, weights in (("current", current), ("fitted", fitted)):
        for split, part in (("tune", tune), ("held", held)):
            print(f"{what:8} {split}: {figures(part, weights)}")
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
    clues = np.concatenate([choice.clues for choice in useful])
    is_true = np.concatenate([choice.is_true for choice in useful])
    sizes = [len(choice.clues) for choice in useful]
    starts, row = np.cumsum([0, *sizes[:-1]]), np.repeat(np.arange(len(sizes)), sizes)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = clues @ weights
        powers = np.exp(scores - np.maximum.reduceat(scores, starts)[row])
        wanted = np.where(is_true, powers, 0.0)
        every, right = np.add.reduceat(powers, starts), np.add.reduceat(wanted, starts)
        slope = (powers / every[row] - wanted / right[row]) @ clues / len(sizes) + PENALTY * weights
        return float(-np.log(right / every).mean() + PENALTY / 2 * weights @ weights), slope

    return np.asarray(minimize(loss, np.zeros(clues.shape[1]), jac=True, method="L-BFGS-B").x)


def place(choice: Choice, weights: NDArray[np.float64]) -> int:
    """Return where the first true culprit stands, from 1; far away where it is no candidate."""
    scores = choice.clues @ weights
    order = np.argsort(-scores, kind="stable")
    found = np.flatnonzero(choice.is_true[order])
    return int(found[0]) + 1 if len(found) else 10**6


def f1(choices: Sequence[Choice], weights: NDArray[np.float64]) -> float:
    """Return F1 over all rows when the first candidate is answered."""
    right = sum(place(choice, weights) == 1 for choice in choices)
    return 2 * right / (len(choices) + sum(choice.inducers for choice in choices))


def firsts(places: Sequence[int]) -> str:
    """Return the shares of rows with a true culprit among the first 1, 3, 5 and 10."""
    return ", ".join(f"first {cut} {sum(place <= cut for place in places) / len(places):.3f}" for cut in (1, 3, 5, 10))


def figures(choices: Sequence[Choice], weights: NDArray[np.float64]) -> str:
    """Return what weights are worth on some rows."""
    return f"{firsts([place(choice, weights) for choice in choices])}, F1 {f1(choices, weights):.3f}, {len(choices)} rows"


if __name__ == "__main__":
    main()
