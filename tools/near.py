"""Names that a mistyped one may have meant."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from difflib import SequenceMatcher

COMPARED = 40  # of the names that share most trigrams, how many are compared letter by letter
LEAST_RATIO = 0.7  # a slip or two in a name of eight letters; difflib takes 0.6 for close, which lets a part of a long name in


class NearNames:
    """Names, found by what they look like: those that share most trigrams with a word, ordered by how many letters match in order."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(set(names))
        self._with: dict[str, list[int]] = defaultdict(list)
        for number, name in enumerate(self._names):
            for part in _trigrams(name):
                self._with[part].append(number)

    def nearest(self, word: str, limit: int) -> list[str]:
        """Return at most `limit` names, the nearest first, ties by name; none when nothing is close."""
        shared = Counter(number for part in sorted(_trigrams(word)) for number in self._with.get(part, ()))
        likely = sorted(shared, key=lambda number: (-2 * shared[number] / (len(word) + len(self._names[number])), number))[:COMPARED]
        matcher = SequenceMatcher(autojunk=False)
        matcher.set_seq2(word.lower())
        ratios: dict[str, float] = {}
        for number in likely:
            matcher.set_seq1(self._names[number].lower())
            ratios[self._names[number]] = matcher.ratio()
        close = [name for name in ratios if ratios[name] >= LEAST_RATIO]
        return sorted(close, key=lambda name: (-ratios[name], name))[:limit]


def _trigrams(name: str) -> set[str]:
    padded = f"\n{name.lower()}\n"
    return {padded[at : at + 3] for at in range(len(padded) - 2)}
