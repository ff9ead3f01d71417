"""What the code around the strongest candidates adds: a short random walk from them over calls, imports, inheritance and tests.

An issue names what it sees, the caller or the test; the fault is often one step away. Only a small working subgraph is walked, so the cost does
not depend on the size of the repository.

Source: personalised PageRank, Page et al. 1999, section 6; edges are walked both ways, since a fault may lie in the caller or the callee.
"""

from collections.abc import Mapping, Sequence

import networkx
import numpy as np

from backstory.agent.corpus import Corpus
from backstory.agent.signals import Scores, Signal
from backstory.graph.repograph import RepoGraph
from backstory.graph.types import EdgeKind, Evidence, RepoPath

# The walk starts at this many of the best files and symbols, looks this far and holds this many nodes at most.
SEED_FILES = 10
SEED_SYMBOLS = 20
DEPTH = 1
MAX_NODES = 1500
# Probability of going on rather than back to a seed; lower than PageRank's usual 0.85, because what is two steps away is rarely the place.
DAMPING = 0.5
KINDS: tuple[EdgeKind, ...] = ("contains", "calls", "imports", "inherits", "overrides", "tests")
# How readily the walk takes an edge: an import says less than a call, and what merely stands in the same file least.
KIND_WEIGHTS: Mapping[str, float] = {"contains": 0.3, "calls": 1.0, "imports": 0.3, "inherits": 1.0, "overrides": 1.0, "tests": 1.0}
_SAYS: Mapping[str, tuple[str, str]] = {
    "contains": ("contains {}", "is part of {}"),
    "calls": ("calls {}", "is called by {}"),
    "imports": ("imports {}", "is imported by {}"),
    "inherits": ("inherits from {}", "is the base of {}"),
    "overrides": ("overrides {}", "is overridden by {}"),
    "tests": ("tests {}", "is tested by {}"),
}


def neighbour_signals(graph: RepoGraph, corpus: Corpus, files: Scores, symbols: Scores) -> tuple[Signal, Signal]:
    """Return signals over (files, symbols): how often the walk from the best-scored ones arrives there, its starts themselves not counted."""
    seeds = _seeds(corpus, files, symbols)
    around = graph.subgraph(list(seeds), KINDS, DEPTH, MAX_NODES)
    walk = networkx.Graph()
    walk.add_nodes_from(around.nodes)
    for source, target, kind, values in around.edges(keys=True, data=True):
        weight = KIND_WEIGHTS[kind] * values["weight"]
        if source != target and weight > 0:
            known = walk.get_edge_data(source, target, {"weight": 0.0})["weight"]
            walk.add_edge(source, target, weight=known + weight)
    arrived = _arrivals(walk, seeds)
    by_file, by_symbol = np.zeros(len(corpus.paths)), np.zeros(len(corpus.symbols))
    numbers = corpus.symbol_number
    for node, mass in arrived.items():
        path = RepoPath(corpus.symbols[numbers[node]].path if node in numbers else node)
        if node in numbers:
            by_symbol[numbers[node]] += mass
        if path in corpus.number:
            by_file[corpus.number[path]] += mass

    def why(nodes: Sequence[str]) -> Evidence:
        """Name the strongest seed that one of `nodes` is linked to."""
        reasons = [
            (seeds[other], kind, other, is_source)
            for node in nodes
            if node in around
            for other, kind, is_source in _links(around, node)
            if other in seeds and other not in nodes
        ]
        if not reasons:
            return Evidence("neighbour", nodes[0], "is close to several candidates in the code")
        _, kind, other, is_source = max(reasons, key=lambda reason: (reason[0], reason[2], reason[1]))
        return Evidence("neighbour", other, _SAYS[kind][0 if is_source else 1].format(other))

    def why_file(number: int) -> Evidence:
        path = corpus.paths[number]
        return why([path, *(node for node in arrived if node.startswith(f"{path}:"))])

    return Signal(by_file, why_file), Signal(by_symbol, lambda number: why([corpus.symbols[number].id]))


def _seeds(corpus: Corpus, files: Scores, symbols: Scores) -> dict[str, float]:
    """Return the weight of each start of the walk; files and symbols get half each."""
    seeds: dict[str, float] = {}
    for scores, names, count in ((files, corpus.paths, SEED_FILES), (symbols, [symbol.id for symbol in corpus.symbols], SEED_SYMBOLS)):
        best = [int(number) for number in (-scores).argsort(kind="stable")[:count] if scores[number] > 0]
        whole = float(sum(scores[number] for number in best))
        for number in best:
            seeds[names[number]] = float(scores[number]) / whole / 2
    return seeds


def _arrivals(walk: "networkx.Graph[str]", seeds: Mapping[str, float]) -> dict[str, float]:
    """Return how often each node is reached by a step rather than by a restart."""
    starts = {node: weight for node, weight in seeds.items() if node in walk}
    if not starts or walk.number_of_edges() == 0:
        return {}
    rank = networkx.pagerank(walk, alpha=DAMPING, personalization=starts, weight="weight", tol=1e-8)
    whole = sum(starts.values())
    return {node: max(0.0, mass - (1 - DAMPING) * starts.get(node, 0.0) / whole) for node, mass in rank.items()}


def _links(around: "networkx.MultiDiGraph[str]", node: str) -> list[tuple[str, str, bool]]:
    """Return (other node, kind, whether `node` is the source) of each edge at a node."""
    out = [(target, kind, True) for _, target, kind in around.out_edges(node, keys=True)]
    return out + [(source, kind, False) for source, _, kind in around.in_edges(node, keys=True)]
