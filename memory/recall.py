"""Which past changes resemble a text: retrieval over the messages of all ancestors, with no model.

A commit message is the one place where a repository says, in the words of its own people, which files a complaint turned out to be about. So a
new issue is matched against past messages by BM25 (a subject's words count more than its body's), and what comes back says which of today's
files each of those changes touched. Merges are left out: their message repeats that of the change they bring.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from weakref import WeakKeyDictionary

from backstory.graph.repograph import Message, RepoGraph
from backstory.graph.types import Oid, RepoPath
from backstory.graph.words import count_words, tokens
from backstory.memory.bm25 import CountedBM25, query_words

# A subject is written to say what the change is about; bodies wander (trailers, lists of squashed commits).
SUBJECT_WEIGHT = 2
BODY_CHARS = 2000
# A change of more files than this says nothing about any of them: a release, a reformatting, a move.
MAX_PATHS = 100


@dataclass(frozen=True)
class PastChange:
    """A past commit that resembles a text. score: BM25, any positive number; paths: what it changed, under today's names, still existing."""

    commit: Oid
    score: float
    subject: str
    paths: tuple[RepoPath, ...]


def recall(text: str, graph: RepoGraph, *, limit: int) -> list[PastChange]:
    """Return the `limit` ancestors whose messages resemble `text` most and that changed files existing today, best first, newest first on a tie."""
    past = _past_of(graph)
    if not past.messages:
        return []
    scores = CountedBM25(past.words, query_words(text), lengths=past.lengths).scores()
    ranked = (index for index in (-scores).argsort(kind="stable").tolist() if scores[index] > 0)
    found = (_change(graph, past.messages[index], float(scores[index])) for index in ranked)
    return list(islice((change for change in found if change is not None), limit))


def _change(graph: RepoGraph, message: Message, score: float) -> PastChange | None:
    paths = tuple(dict.fromkeys(path for path in graph.changed_paths(message.oid) if path is not None))
    if not paths or len(paths) > MAX_PATHS:
        return None
    return PastChange(message.oid, score, message.subject, paths)


@dataclass(frozen=True)
class _Past:
    """The messages of a graph with their words counted."""

    messages: Sequence[Message]
    words: Sequence[Mapping[str, int]]
    lengths: Sequence[int]


# Counting the words of 60,000 messages takes longer than asking them; a graph is pinned, so they never change.
_counted: "WeakKeyDictionary[RepoGraph, _Past]" = WeakKeyDictionary()


def _past_of(graph: RepoGraph) -> _Past:
    past = _counted.get(graph)
    if past is None:
        messages = graph.messages()
        words = [message_words(message) for message in messages]
        past = _counted[graph] = _Past(messages, words, [sum(counts.values()) for counts in words])
    return past


def message_words(message: Message) -> dict[str, int]:
    """Return the counted words of a message, those of its subject twice."""
    return count_words(tokens(message.subject) * SUBJECT_WEIGHT + tokens(message.body[:BODY_CHARS]))
