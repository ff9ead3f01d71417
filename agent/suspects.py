"""Which past commits may have introduced a fault: a probability for every ancestor of the base.

The prior feeds a search that runs a check on past trees and weighs each by its probability, so it has to be honest rather than sharp: a likely commit
that is ruled out costs one test, a true culprit with next to no mass costs many. It is therefore a mixture: several simple guesses
(`backstory.agent.guesses`), each a distribution over commits, are added with the share of faults each was seen to explain, and one of them covers
every commit, newest more. What cannot change behaviour is damped, and nothing is ever ruled out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backstory.agent.clues import find_clues
from backstory.agent.corpus import corpus_of
from backstory.agent.guesses import (
    Guess,
    exercised_files,
    frame_places,
    guess_files,
    guess_lines,
    guess_message,
    guess_recent,
    located_files,
    located_places,
    named_files,
)
from backstory.agent.localize import Localization
from backstory.agent.types import Suspect
from backstory.graph.repograph import RepoGraph
from backstory.graph.selection import place_of
from backstory.graph.types import Commit, Evidence, Oid, RepoPath

# Failing output is read from its end, where the traceback is.
OUTPUT_CHARS = 100_000
# Reasons are given for the first suspects only, and their changes read to damp what cannot be the fault.
EXAMINED = 400
EXPLAINED = 500
MAX_REASONS = 4
# A merge changes something itself only where it resolved a conflict.
MERGE_SHARE = 0.02
RECENT_OFFSET = 30.0
# What remains for a root (nothing passed before it), for a commit that changed no code, and for one that undoes another.
ROOT_FACTOR = 0.02
NO_CODE_FACTOR = 0.05
REVERT_FACTOR = 0.5
# A change of this many lines of code counts once; the weight grows with the logarithm of the size, within these bounds.
USUAL_LINES = 20
SIZE_FACTORS = (0.5, 2.0)


@dataclass(frozen=True)
class GuessWeights:
    """The share of faults each guess is thought to explain; what has no evidence gives its share to the others.

    On 20 issues with the last writer of the repaired lines as culprit, expectation maximisation gave lines 0.7, files 0.25, recent 0.06 and messages
    nothing. Those labels favour lines (a third of all true culprits wrote none of the repaired lines), hence the flatter shares here.

    frame_lines: lines of the functions in the failing output. place_lines: of the places found. files: history of the files found.
    exercised: history of the files the check uses. named: of the files defining what the output names. message: similar messages.
    recent: any commit, newer more.
    """

    frame_lines: float = 0.25
    place_lines: float = 0.25
    files: float = 0.2
    exercised: float = 0.1
    named: float = 0.05
    message: float = 0.03
    recent: float = 0.12


DEFAULT_WEIGHTS = GuessWeights()


def rank_suspects(
    graph: RepoGraph,
    *,
    text: str,
    localization: Localization,
    failing_output: str = "",
    check_files: Sequence[RepoPath] = (),
    weights: GuessWeights = DEFAULT_WEIGHTS,
) -> list[Suspect]:
    """Return every ancestor of the base, likeliest first, ties newest first; probabilities sum to 1 and none is 0.

    text: the issue. failing_output: what the check printed at the base. check_files: the check's own files, which may be newer than the base.
    """
    guesses = _guesses(graph, text, localization, failing_output[-OUTPUT_CHARS:], check_files, weights)
    mass = _mix(guesses)
    order = graph.order()
    for oid in order:
        if oid not in mass:
            mass[oid] = MERGE_SHARE / len(order)
    position = {oid: number for number, oid in enumerate(order)}

    def ranked() -> list[Oid]:
        return sorted(mass, key=lambda oid: (-mass[oid], position[oid]))

    for oid in ranked()[:EXAMINED]:
        mass[oid] *= likelihood(graph.commit(oid), is_test=graph.code.is_test)
    whole = math.fsum(mass.values())
    return [Suspect(oid, mass[oid] / whole, _reasons(guesses, oid) if rank < EXPLAINED else ()) for rank, oid in enumerate(ranked())]


def likelihood(commit: Commit, *, is_test: Callable[[RepoPath], bool]) -> float:
    """Return how much likelier than usual a commit is to have introduced a fault, judged by its kind and size alone."""
    if commit.is_merge:
        return 1.0  # its share is small already
    if not commit.parents:
        return ROOT_FACTOR
    code = [change for change in commit.changes if place_of(change.path, is_test=is_test(change.path)) in ("code", "aside")]
    if not code:
        return NO_CODE_FACTOR
    factor = REVERT_FACTOR if commit.subject.lower().startswith("revert") else 1.0
    lines = sum(change.size for change in code)
    if lines == 0:  # not read, or a file moved as it is
        return factor
    least, most = SIZE_FACTORS
    return factor * min(most, max(least, math.log1p(lines) / math.log1p(USUAL_LINES)))


def _guesses(
    graph: RepoGraph,
    text: str,
    localization: Localization,
    output: str,
    check_files: Sequence[RepoPath],
    weights: GuessWeights,
) -> list[Guess]:
    """Return the guesses that have evidence, the weights of each summing to its share."""
    corpus = corpus_of(graph)
    clues = find_clues(output)
    frames = frame_places(graph, corpus, clues)
    exercised = exercised_files(graph, corpus, check_files)
    named = named_files(corpus, clues.names, graph)
    guesses = [
        (weights.frame_lines, guess_lines(graph, frames, kind="traceback")),
        (weights.place_lines, guess_lines(graph, located_places(localization.locations), kind="line")),
        (weights.files, guess_files(graph, located_files(localization), kind="file", what="a file the issue points at")),
        (weights.exercised, guess_files(graph, exercised, kind="test", what="a file the check exercises")),
        (weights.named, guess_files(graph, named, kind="identifier", what="which defines what the failing check names")),
        (weights.message, guess_message(graph, text)),
        (weights.recent, guess_recent(graph, offset=RECENT_OFFSET)),
    ]
    guesses = [(weight, guess) for weight, guess in guesses if weight > 0 and guess.weights]
    shares = math.fsum(weight for weight, _ in guesses)
    return [guess.scaled(weight / shares) for weight, guess in guesses]


def _mix(guesses: Sequence[Guess]) -> dict[Oid, float]:
    mass: dict[Oid, float] = {}
    for guess in guesses:
        for oid, part in guess.weights.items():
            mass[oid] = mass.get(oid, 0.0) + part
    return mass


def _reasons(guesses: Sequence[Guess], oid: Oid) -> tuple[Evidence, ...]:
    """Return why a commit is suspected, the guess that gives it most first."""
    found = [(guess.weights[oid], number, guess.reasons[oid][1]) for number, guess in enumerate(guesses) if oid in guess.weights]
    return tuple(reason for _, _, reason in sorted(found, key=lambda part: (-part[0], part[1]))[:MAX_REASONS])
