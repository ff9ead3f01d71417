"""Fit the localizer's weights on issues with a known answer, and say how well they do on repositories they were not fitted on.

    python bench/fit_localizer.py --data instances.jsonl --repos '/mirrors/{owner}+{name}.git' --cache DIR --work DIR [--without NAMES]

The first run reads every signal of every instance (`backstory.agent.localize.find_signals`) and keeps it below --work; later runs fit in seconds.

The fit: a score is a weighted sum of signals, a softmax over the candidates of an issue turns scores into probabilities, and the weights make
the gold places as probable as they can be, with a penalty on their squares and none below zero. Source: Cao et al. 2007, ListNet, with the top-one
probability. Candidates are files (or functions in them) of code, examples and the like; the score of a file that is no code is damped afterwards, as
the localizer does. What is printed for held-out repositories was scored by weights fitted on all the others.
"""

from __future__ import annotations

import argparse
import math
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
from backstory.agent.localize import PLACE_FACTORS, file_signals, find_signals
from backstory.agent.signals import folder_signal, rank_signal
from backstory.errors import UserError
from backstory.graph.build import build_graph
from backstory.graph.source import open_source, resolve
from backstory.graph.types import RepoPath
from backstory.harness.data import read_dataset
from backstory.harness.instances import Instance, folder_of, gold_of
from backstory.harness.intervals import interval, paired
from backstory.memory.recall import past_of

Array = NDArray[np.float64]
PENALTY = 0.01  # on the mean of the squares; from 0.002 to 0.05 the held-out figures differ by no more than an instance or two
CUTS = (1, 3, 5, 10)


@dataclass(frozen=True)
class Case:
    """The signals of one instance. paths: its files. files, symbols: a column for each name; matched: how much of the text each file has; gold: rows of the gold ones; factor: of each file; file_of: of each symbol."""

    id: str
    repository: str
    paths: tuple[RepoPath, ...]
    file_names: tuple[str, ...]
    files: Array
    matched: Array
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
    parser.add_argument("--without", default="", help="comma-separated signals; says how far all are ahead of the others by themselves")
    parser.add_argument("--penalty", type=float, default=PENALTY)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    cases = [
        case
        for instance in read_dataset(options.data).instances
        if (case := read_case(instance, options.repos, options.cache, options.work))
    ]
    report(cases, options.penalty, tuple(name for name in options.without.split(",") if name))


def read_case(instance: Instance, repos: str, cache: Path, work: Path) -> Case | None:
    """Return the signals of an instance, read now or kept from an earlier run; None when its repository is not at hand."""
    kept = work / f"{instance.id}.pickle"
    if kept.exists():
        found: Case | None = pickle.loads(zlib.decompress(kept.read_bytes()))
        return found
    try:
        source = open_source(folder_of(instance.repository, repos))
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
        tuple(corpus.paths),
        tuple(signals.files),
        np.stack([signal.scaled for signal in signals.files.values()], axis=1),
        signals.files["text"].scores,
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


def report(cases: Sequence[Case], penalty: float, without: Sequence[str]) -> None:
    """Print the weights, what held-out repositories get, and how far all signals are ahead of all but some."""
    files, functions = score(cases, penalty, ())
    measures = measure(cases, files, functions)
    fewer = measure(cases, *score(cases, penalty, without)) if without else {}
    for name, values in measures.items():
        found = interval(values)
        lead = paired(values, fewer[name]) if without else None
        ahead = f", ahead by {lead.mean:+.3f} [{lead.low:+.3f}, {lead.high:+.3f}]" if lead else ""
        print(f"{name:20} {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}] of {found.count}{ahead}")
    calibrate(files, cases)


def score(cases: Sequence[Case], penalty: float, without: Sequence[str]) -> tuple[list[Array], list[Array]]:
    """Return the scores of files and of functions (-1 for a class) by weights fitted on the other repositories; print those fitted on all."""
    repositories = [case.repository for case in cases]
    names = [name for name in cases[0].file_names if name not in without]
    columns = [cases[0].file_names.index(name) for name in names]
    rows = [case.files[:, columns] for case in cases]
    if "folder" not in without:
        names.append("folder")
        first = held_out([file_problem(case, own) for case, own in zip(cases, rows, strict=True)], repositories, penalty)
        totals = [scored(case, own, weights) for case, own, weights in zip(cases, rows, first, strict=True)]
        beside = [folder_signal(case.paths, total).scaled for case, total in zip(cases, totals, strict=True)]
        rows = [np.concatenate([own, other[:, None]], axis=1) for own, other in zip(rows, beside, strict=True)]
    problems = [file_problem(case, own) for case, own in zip(cases, rows, strict=True)]
    say("files", names, fit(problems, penalty))
    files = [scored(case, own, weights) for case, own, weights in zip(cases, rows, held_out(problems, repositories, penalty), strict=True)]
    names = [name for name in ("file", "file_rank", *cases[0].symbol_names) if name not in without]
    rows = [symbol_columns(case, own, names) for case, own in zip(cases, files, strict=True)]
    if "rank" not in without:
        names.append("rank")
        first = held_out([symbol_problem(case, own) for case, own in zip(cases, rows, strict=True)], repositories, penalty)
        rows = [with_ranks(case, *of_case) for case, *of_case in zip(cases, files, rows, first, strict=True)]
    problems = [symbol_problem(case, own) for case, own in zip(cases, rows, strict=True)]
    say("symbols", names, fit(problems, penalty))
    functions = []
    for case, own, weights in zip(cases, rows, held_out(problems, repositories, penalty), strict=True):
        functions.append(np.where(case.is_function, own @ weights * case.factor[case.file_of], -1.0))
    return files, functions


def measure(cases: Sequence[Case], files: Sequence[Array], functions: Sequence[Array]) -> dict[str, list[float]]:
    """Return the values of each measure, one for each case it applies to."""
    found: dict[str, list[float]] = {}
    for case, of_files, of_functions in zip(cases, files, functions, strict=True):
        for what, gold, ranked in (("file", case.gold_files, of_files), ("function", case.gold_symbols, of_functions)):
            for name, value in measured(what, gold, ranked):
                found.setdefault(name, []).append(value)
    return found


def scored(case: Case, rows: Array, weights: Array) -> Array:
    """Return the scores of files as the localizer gives them."""
    total: Array = rows @ weights / weights.sum() * case.factor
    return total


def file_problem(case: Case, rows: Array) -> Problem:
    """Return the files that are candidates: code and what stands beside it."""
    kept = np.flatnonzero(case.factor >= PLACE_FACTORS["aside"])
    return Problem(rows[kept], [int(np.searchsorted(kept, gold)) for gold in case.gold_files if gold in kept])


def symbol_columns(case: Case, files: Array, names: Sequence[str]) -> Array:
    """Return the named columns of symbols, of which two come from the scores of their files."""
    columns = {name: signal.scaled for name, signal in file_signals(case.paths, case.file_of, files).items()}
    columns |= dict(zip(case.symbol_names, case.symbols.T, strict=True))
    return np.stack([columns[name] for name in names], axis=1)


def with_ranks(case: Case, files: Array, rows: Array, weights: Array) -> Array:
    """Return the columns of symbols and one more, from the scores of their files and their places there by the other columns."""
    ranks = rank_signal(case.file_of, ~case.is_function, files=files, symbols=rows @ weights)
    return np.concatenate([rows, ranks.scaled[:, None]], axis=1)


def symbol_problem(case: Case, rows: Array) -> Problem:
    """Return the functions that are candidates."""
    kept = np.flatnonzero(case.is_function & (case.factor[case.file_of] >= PLACE_FACTORS["aside"]))
    gold = [int(np.searchsorted(kept, number)) for number in case.gold_symbols if number in kept]
    return Problem(rows[kept], gold)


def calibrate(scores: Sequence[Array], cases: Sequence[Case]) -> None:
    """Print how often the best file is a gold one, by what the localizer knows when it answers (`backstory.agent.localize.Confidence`).

    The curve is fitted on everything; what was said of a repository, and what was, is by the curve fitted on the others.
    """
    found = []
    for case, own in zip(cases, scores, strict=True):
        if case.gold_files:
            top, second = (-own).argsort(kind="stable")[:2].tolist()
            evidence = (own[top], own[top] - own[second], math.log1p(case.matched[top]))
            found.append((case.repository, (1.0, *evidence), float(top in case.gold_files)))
    repositories = np.array([repository for repository, _, _ in found])
    rows, right = np.array([evidence for _, evidence, _ in found]), np.array([was for _, _, was in found])
    fitted = ", ".join(
        f"{name} {value:.2f}" for name, value in zip(("start", "score", "lead", "matched"), fit_curve(rows, right), strict=True)
    )
    print(f"confidence: {fitted}")
    chances = np.zeros(len(rows))
    for repository in sorted(set(repositories)):
        own = repositories == repository
        chances[own] = 1 / (1 + np.exp(-rows[own] @ fit_curve(rows[~own], right[~own])))
    for part in np.array_split(chances.argsort(), 4):
        print(
            f"  said {chances[part].mean():.2f} ({chances[part].min():.2f} to {chances[part].max():.2f}), was {right[part].mean():.2f} of {len(part)}"
        )
    print(f"  squared error {np.mean((chances - right) ** 2):.3f}, of always saying the mean {right.var():.3f}")


def fit_curve(rows: Array, right: Array) -> Array:
    """Return the weights of a logistic curve, with a small penalty on all but the first."""

    def loss(weights: Array) -> float:
        chances = 1 / (1 + np.exp(-rows @ weights))
        return float(-np.mean(np.log(np.where(right > 0, chances, 1 - chances)))) + 1e-3 * float(weights[1:] @ weights[1:])

    found: Array = minimize(loss, np.zeros(rows.shape[1])).x
    return found


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
