"""Which commits look like the fix of a described defect or advisory: retrieval over messages and changed lines, with no model.

A message is matched by BM25, as for recall; so are the words of the lines that the first few hundred commits changed, because an advisory names
functions and files where the message of its fix, on purpose, says little. A commit that names what the text names (`#123`, `CVE-2020-1234`, a ticket)
comes first whatever else it says. What says of itself that it mends a fault counts more than what does not, and what touches no code counts less.
That a cheap ranking in front of a careful reader finds the fixes of advisories is shown by Favia (2026, arXiv 2602.12500).
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backstory.graph.history import says_fix
from backstory.graph.languages import is_test
from backstory.graph.repograph import Message, RepoGraph
from backstory.graph.said import message_words
from backstory.graph.selection import place_of
from backstory.graph.types import Evidence, Oid
from backstory.graph.words import count_words, tokens
from backstory.memory.bm25 import CountedBM25, Words, query_words
from backstory.memory.recall import past_of, similarity

READ = 500  # commits whose changed lines are read, the likeliest by their messages; about a CPU second
LINE_BYTES = 200  # of a changed line that are looked at; what is longer is generated
CHANGE_BYTES = 40_000  # of a commit's changed lines that are counted; what changes more is not the fix of one defect
# What a likely fix gains and loses; docs/log.md has the measurement.
SAYS_FIX = 1.25
NO_CODE = 0.5
LINES_SHARE = 1.0
NAMED = 10.0
WORDS_NAMED = 4
# Tickets of one tracker that a past names at least; UTF-8 and SHA-256 look like tickets too.
TICKETS = 8

_TICKET = re.compile(r"(?!CVE-)[A-Z][A-Z0-9]+-\d+")
_NAMES = re.compile(r"\b(?i:CVE-\d{4}-\d{4,}|GHSA(?:-[0-9a-z]{4}){3})\b|\b[A-Z][A-Z0-9]+-\d+\b|(?<![\w&])#\d+\b")


@dataclass(frozen=True)
class LikelyFix:
    """A commit that may mend what was described. score: above 0, comparable within one answer only."""

    commit: Oid
    score: float
    why: tuple[Evidence, ...]


def names_in(text: str) -> frozenset[str]:
    """Return the issues, tickets and advisories a text names, in capitals.

    >>> sorted(names_in("cve-2020-1234 (see #12, HADOOP-7) with pluggy-1.0"))
    ['#12', 'CVE-2020-1234', 'HADOOP-7']
    """
    return frozenset(found.upper() for found in _NAMES.findall(text))


def rank_fixes(text: str, graph: RepoGraph, *, limit: int) -> list[LikelyFix]:
    """Return the `limit` ancestors that most look like the fix of what `text` describes, best first, newest first on a tie; merges are left out."""
    messages = graph.messages()
    query, asked = query_words(text), names_in(text)
    queries = [query_words(next(iter(text.strip().splitlines()), "")), query]  # a title says what the rest wanders about
    said = similarity(past_of(graph).messages(sorted(query)), queries)
    named = _naming(asked, messages)
    scores = {place: float(said[place]) + (NAMED if place in named else 0.0) for place in {*np.flatnonzero(said).tolist(), *named}}
    likeliest = [
        place for place in sorted(scores, key=lambda place: (-scores[place], place)) if len(graph.parents(messages[place].oid)) < 2
    ]
    likeliest = likeliest[:READ]
    changed = _changed_words(graph, [messages[place].oid for place in likeliest])
    documents = [changed.get(messages[place].oid, {}) for place in likeliest]
    lines = _resembling(documents, queries)
    found = [
        _likely(
            graph,
            messages[place],
            scores[place] + LINES_SHARE * float(lines[number]),
            named.get(place, frozenset()),
            query,
            documents[number],
        )
        for number, place in enumerate(likeliest)
    ]
    return sorted(found, key=lambda fix: -fix.score)[:limit]


def _naming(asked: frozenset[str], messages: Sequence[Message]) -> dict[int, frozenset[str]]:
    """Return which of the names each message says, by its place. What looks like a ticket is one where the past names many of its kind."""
    named: dict[int, frozenset[str]] = {}
    kinds: dict[str, set[str]] = defaultdict(set)
    for place, message in enumerate(messages if asked else ()):  # most texts name nothing
        said = names_in(f"{message.subject}\n{message.body}")
        if said & asked:
            named[place] = said & asked
        for name in said:
            kinds[name.rpartition("-")[0]].add(name)
    no_tickets = frozenset(name for name in asked if _TICKET.fullmatch(name) and len(kinds[name.rpartition("-")[0]]) < TICKETS)
    return {place: both - no_tickets for place, both in named.items() if both - no_tickets}


def _resembling(documents: Sequence[Words], queries: Sequence[Words]) -> NDArray[np.float64]:
    """Return how much each document resembles several queries, as `similarity` does for messages."""
    total = np.zeros(len(documents))
    for query in queries if documents else ():
        scores = CountedBM25(documents, query).scores()
        total += scores / (scores.max(initial=0.0) or 1.0)
    return total / max(1, len(queries))


def _changed_words(graph: RepoGraph, commits: Sequence[Oid]) -> dict[Oid, dict[str, int]]:
    """Return the counted words of the lines each commit added or removed, and of the names of the files it changed."""
    found: dict[Oid, dict[str, int]] = {}
    for changed in graph.changed_lines(commits, ()):
        lines = b"\n".join(line[:LINE_BYTES] for line in (*changed.added, *changed.removed))[:CHANGE_BYTES]
        paths = " ".join(change.path for change in graph.commit(changed.oid).changes)
        found[changed.oid] = count_words(tokens(f"{lines.decode('utf-8', 'replace')}\n{paths}"))
    return found


def _likely(
    graph: RepoGraph, message: Message, score: float, names: frozenset[str], query: Mapping[str, float], changed: Mapping[str, int]
) -> LikelyFix:
    kinds = {place_of(change.path, is_test=is_test(change.path)) for change in graph.commit(message.oid).changes}
    is_fix = says_fix(message.subject, message.body)
    score *= (SAYS_FIX if is_fix else 1.0) * (1.0 if "code" in kinds else NO_CODE)
    why = [Evidence("mentions", name, f"names {name}") for name in sorted(names)]
    words = _shared(message_words(message.subject, message.body), query)
    if words:
        why.append(Evidence("message", ", ".join(words), f"its message speaks of {', '.join(words)}"))
    words = _shared(changed, query)
    if words:
        why.append(Evidence("words", ", ".join(words), f"it changed lines with {', '.join(words)}"))
    if is_fix:
        why.append(Evidence("fix", message.oid, "says that it mends a fault"))
    return LikelyFix(message.oid, score, tuple(why))


def _shared(document: Mapping[str, int], query: Mapping[str, float]) -> list[str]:
    """Return the words of a query that a document holds, longest first: those are names, and the short ones are everywhere."""
    return sorted(query.keys() & document.keys(), key=lambda word: (-len(word), word))[:WORDS_NAMED]
