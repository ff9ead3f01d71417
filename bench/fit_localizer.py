"""Fit the localizer's weights on issues with a known answer, and say how well they do on repositories they were not fitted on.

    python bench/fit_localizer.py --data instances.jsonl --repos '/mirrors/{owner}+{name}.git' --cache DIR --work DIR [--only NAMES]

The first run reads every signal of every instance (`backstory.agent.localize.find_signals`) and keeps it below --work; later runs fit in seconds.

The fit: a score is a weighted sum of signals, a softmax over the candidates of an issue turns scores into probabilities, and the weights make
the gold places as probable as they can be, with a penalty on their squares and none below zero. Source: Cao et al. 2007, ListNet, with the top-one
probability. Candidates are files (or functions in them) of code, examples and the like; the score of a file that is no code is damped afterwards, as
the localizer does. What is printed for held-out repositories was scored by weights fitted on all the others.
"""

from __future__ import annotations

import argparse
import pickle
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from backstory.agent.clues import find_clues
from backstory.agent.corpus import corpus_of
from backstory.agent.localize import PLACE_FACTORS, find_signals
from backstory.errors import UserError
from backstory.graph.build import build_graph
from backstory.graph.source import open_source, resolve
from backstory.harness.instances import Instance, gold_of, read_instances
from backstory.harness.intervals import interval
from backstory.memory.recall import past_of

Array = NDArray[np.float64]
PENALTY = 0.01  # on the mean of the squares; from 0.002 to 0.05 the held-out figures differ by no more than an instance or two
CUTS = (1, 3, 5, 10)


@dataclass(frozen=True)
class Case:
    """The signals of one instance. files, symbols: a column for each name; gold: rows of the gold ones; factor: of each file; file_of: of each symbol."""

    id: str
    repository: str
    file_names: tuple[str, ...]
    files: Array
    gold_files: tuple[int, ...]
    factor: Array
    symbol_names: tuple[str, ...]
    symbols: Array
    gold_symbols: tuple[int, ...]
    is_function: NDArray[np.bool_]
    file_of: NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repos", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", default="", help="comma-separated signals to fit; all when left out")
    parser.add_argument("--penalty", type=float, default=PENALTY)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    cases = [case for instance in read_instances(options.data) if (case := read_case(instance, options.repos, options.cache, options.work))]
    report(cases, options.penalty, tuple(name for name in options.only.split(",") if name))


def read_case(instance: Instance, repos: str, cache: Path, work: Path) -> Case | None:
    """Return the signals of an instance, read now or kept from an earlier run; None when its repository is not at hand."""
    kept = work / f"{instance.id}.pickle"
    if kept.exists():
        found: Case | None = pickle.loads(zlib.decompress(kept.read_bytes()))
        return found
    owner, _, name = instance.repository.partition("/")
    try:
        source = open_source(Path(repos.format(owner=owner, name=name)))
        graph = build_graph(source, resolve(source, instance.base), cache_dir=cache, tiers=frozenset({"paths", "code"}))
    except UserError as error:
        print(f"{instance.id}: {error}")
        return None
    corpus = corpus_of(graph)
    signals = find_signals(graph, corpus, find_clues(instance.text), instance.text, past_of(graph))
    gold = gold_of(instance.patch, graph)
    symbols = graph.code.symbols()
    case = Case(
        instance.id,
        instance.repository,
        tuple(signals.files),
        np.stack([signal.scaled for signal in signals.files.values()], axis=1),
        tuple(corpus.number[path] for path in gold.files),
        signals.factors,
        tuple(signals.symbols),
        np.stack([signal.scaled for signal in signals.symbols.values()], axis=1),
        tuple(graph.code.number_of(symbol) for symbol in gold.functions),
        np.array([symbol.kind != "class" for symbol in symbols], dtype=bool),
        corpus.file_of,
    )
    graph.close()
    kept.write_bytes(zlib.compress(pickle.dumps(case), 1))
    print(instance.id, flush=True)
    return case


@dataclass(frozen=True)
class Problem:
    """What is fitted for one instance. rows: a column for each signal, a row for each candidate; gold: rows."""

    rows: Array
    gold: Sequence[int]


def fit(problems: Sequence[Problem], penalty: float) -> Array:
    """Return the weights, one for each column, that make the gold rows as probable as they can be.

    A signal pays for its weight as often as it is there at all: a traceback is rare and should not be thought little of for it.
    """
    used = [problem for problem in problems if problem.gold]
    width = used[0].rows.shape[1]
    present = np.mean([problem.rows.max(axis=0) > 0 for problem in used], axis=0)

    def loss(weights: Array) -> tuple[float, Array]:
        total, slope = 0.0, np.zeros(width)
        for problem in used:
            scores = problem.rows @ weights
            top = scores.max()
            chances = np.exp(scores - top)
            whole = chances.sum()
            gold = np.asarray(problem.gold)
            total += top + np.log(whole) - scores[gold].mean()
            slope += (chances / whole) @ problem.rows - problem.rows[gold].mean(axis=0)
        count = len(used)
        return total / count + penalty * float(present @ weights**2), slope / count + 2 * penalty * present * weights

    found = minimize(loss, np.ones(width), jac=True, method="L-BFGS-B", bounds=[(0, None)] * width)
    weights: Array = found.x
    return weights


def held_out(problems: Sequence[Problem], repositories: Sequence[str], penalty: float) -> list[Array]:
    """Return for each problem the weights fitted on the other repositories."""
    found: dict[str, Array] = {}
    for repository in sorted(set(repositories)):
        found[repository] = fit([one for one, other in zip(problems, repositories, strict=True) if other != repository], penalty)
    return [found[repository] for repository in repositories]


def report(cases: Sequence[Case], penalty: float, only: Sequence[str]) -> None:
    """Print the weights, and what held-out repositories get."""
    file_names = [name for name in cases[0].file_names if not only or name in only]
    columns = [cases[0].file_names.index(name) for name in file_names]
    repositories = [case.repository for case in cases]
    problems = [file_problem(case, columns) for case in cases]
    weights = held_out(problems, repositories, penalty)
    scores = [(case.files[:, columns] @ own) / own.sum() * case.factor for case, own in zip(cases, weights, strict=True)]
    say("files", file_names, fit(problems, penalty))
    symbol_problems = [symbol_problem(case, own) for case, own in zip(cases, scores, strict=True)]
    symbol_weights = held_out(symbol_problems, repositories, penalty)
    say("symbols", ["file", *cases[0].symbol_names], fit(symbol_problems, penalty))
    measures: dict[str, list[float]] = {}
    for case, own, symbol_own in zip(cases, scores, symbol_weights, strict=True):
        functions = symbol_columns(case, own) @ symbol_own * case.factor[case.file_of]
        functions[~case.is_function] = -1.0
        for what, gold, ranked in (("file", case.gold_files, own), ("function", case.gold_symbols, functions)):
            for measure, value in measured(what, gold, ranked):
                measures.setdefault(measure, []).append(value)
    for measure, values in measures.items():
        found = interval(values)
        print(f"{measure:20} {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}] of {found.count}")


def file_problem(case: Case, columns: Sequence[int]) -> Problem:
    """Return the files that are candidates: code and what stands beside it."""
    kept = np.flatnonzero(case.factor >= PLACE_FACTORS["aside"])
    return Problem(case.files[kept][:, columns], [int(np.searchsorted(kept, gold)) for gold in case.gold_files if gold in kept])


def symbol_columns(case: Case, file_scores: Array) -> Array:
    """Return the columns of symbols with that of their file's score before them."""
    return np.concatenate([file_scores[case.file_of][:, None], case.symbols], axis=1)


def symbol_problem(case: Case, file_scores: Array) -> Problem:
    """Return the functions that are candidates."""
    kept = np.flatnonzero(case.is_function & (case.factor[case.file_of] >= PLACE_FACTORS["aside"]))
    gold = [int(np.searchsorted(kept, number)) for number in case.gold_symbols if number in kept]
    return Problem(symbol_columns(case, file_scores)[kept], gold)


def measured(what: str, gold: Sequence[int], scores: Array) -> Iterator[tuple[str, float]]:
    """Yield the measures of `backstory bench locate` that apply."""
    if not gold:
        return
    order = (-scores).argsort(kind="stable")
    rank_of = np.empty(len(order), dtype=int)
    rank_of[order] = np.arange(1, len(order) + 1)
    ranks = [int(rank_of[number]) for number in gold]
    for cut in CUTS:
        if len(gold) == 1:
            yield f"{what} one @{cut}", float(max(ranks) <= cut)
        yield f"{what} all @{cut}", float(max(ranks) <= cut)
    yield f"{what} reciprocal", 1 / min(ranks)


def say(what: str, names: Sequence[str], weights: Array) -> None:
    """Print weights fitted on everything."""
    print(f"{what}: " + ", ".join(f"{name}={weight:.2f}" for name, weight in zip(names, weights, strict=True)))


if __name__ == "__main__":
    main()
