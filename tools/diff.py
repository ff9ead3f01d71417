"""What changed between two sequences, as the fewest edits: lines of a file, or tokens of a stretch.

Elements that only one side holds can never match and are set aside first, which leaves little to compare in most real changes; the rest is
Myers' greedy search for a shortest edit script (Myers 1986, "An O(ND) difference algorithm and its variations"). Its cost grows with the square
of the number of edits, so past `MYERS_LIMIT` edits the sequences are cut at elements that are unique on both sides (Cohen's patience diff) and each
gap is searched by itself; the script is then still right but may be longer than needed.

A pure insertion or deletion that could sit at several places (a repeated line) is put at the last of them, as git does, so that two diffs
against one base agree. Nothing here knows about text: elements are anything hashable.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

MYERS_LIMIT = 1000
"""Edits searched exactly before anchors are used: half a million inner steps, about a quarter of a second."""

Pair = tuple[int, int]


@dataclass(frozen=True, order=True)
class Edit:
    """`old[start:stop]` became `new[new_start:new_stop]`: positions count from 0 and stops are excluded, as in slices."""

    start: int
    stop: int
    new_start: int
    new_stop: int

    @property
    def size(self) -> int:
        """Elements removed and added together."""
        return self.stop - self.start + self.new_stop - self.new_start


def diff(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[Edit]:
    """Return the edits that turn `old` into `new`, in order; two neighbours always have a kept element between them.

    >>> diff("abcd", "abxd")
    [Edit(start=2, stop=3, new_start=2, new_stop=3)]
    """
    a, b = _interned(old, new)
    head = _common_head(a, b)
    tail = _common_head(a[head:][::-1], b[head:][::-1])
    middle_a, middle_b = a[head : len(a) - tail], b[head : len(b) - tail]
    pairs = [(i + head, j + head) for i, j in _common(middle_a, middle_b)]
    pairs = [(i, i) for i in range(head)] + pairs + [(len(a) - tail + i, len(b) - tail + i) for i in range(tail)]
    return _settled(list(_between(pairs, len(a), len(b))), a, b)


def apply(edits: Sequence[Edit], old: Sequence[Hashable], new: Sequence[Hashable]) -> list[Hashable]:
    """Return `old` with `edits` (any of those `diff(old, new)` gave, in order) made, and nothing else."""
    out: list[Hashable] = []
    at = 0
    for edit in edits:
        out += old[at : edit.start]
        out += new[edit.new_start : edit.new_stop]
        at = edit.stop
    return out + list(old[at:])


def carried(edits: Sequence[Edit], position: int) -> int:
    """Return where the element at `position` of the old sequence is in the new one; of a replaced element, where its replacement starts."""
    shift = 0
    for edit in edits:
        if position < edit.start:
            break
        if position < edit.stop:
            return min(edit.new_start + position - edit.start, max(edit.new_start, edit.new_stop - 1))
        shift = edit.new_stop - edit.stop
    return position + shift


def _interned(old: Sequence[Hashable], new: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """Number the elements, so that each comparison after this one is of two small integers."""
    numbers: dict[Hashable, int] = {}
    return (
        [numbers.setdefault(element, len(numbers)) for element in old],
        [numbers.setdefault(element, len(numbers)) for element in new],
    )


def _common_head(a: Sequence[int], b: Sequence[int]) -> int:
    shorter = min(len(a), len(b))
    return next((i for i in range(shorter) if a[i] != b[i]), shorter)


def _common(a: Sequence[int], b: Sequence[int]) -> list[Pair]:
    """Return matching positions, increasing on both sides, as many as there can be (unless past MYERS_LIMIT)."""
    in_a, in_b = set(a), set(b)
    at_a = [i for i, element in enumerate(a) if element in in_b]
    at_b = [j for j, element in enumerate(b) if element in in_a]
    if not at_a:
        return []
    kept_a, kept_b = [a[i] for i in at_a], [b[j] for j in at_b]
    pairs = _myers(kept_a, kept_b)
    if pairs is None:
        pairs = _anchored(kept_a, kept_b)
    return [(at_a[i], at_b[j]) for i, j in pairs]


def _myers(a: Sequence[int], b: Sequence[int]) -> list[Pair] | None:
    """Return a longest common subsequence as pairs, or None when it takes more than MYERS_LIMIT edits."""
    n, m = len(a), len(b)
    reach = [0] * (2 * (n + m) + 3)  # reach[k]: the furthest x on diagonal k = x - y; negative k wrap round, which the length allows for
    rounds: list[list[int]] = []
    for d in range(min(n + m, MYERS_LIMIT) + 1):
        rounds.append([reach[k] for k in range(-d - 1, d + 2)])
        # Diagonals past the edge of either sequence cannot lead anywhere.
        for k in range(-d if d <= m else d - 2 * m, (d if d <= n else 2 * n - d) + 1, 2):
            down = k == -d or (k != d and reach[k - 1] < reach[k + 1])
            x = reach[k + 1] if down else reach[k - 1] + 1
            y = x - k
            while x < n and y < m and a[x] == b[y]:
                x += 1
                y += 1
            reach[k] = x
            if x >= n and y >= m:
                return _retraced(rounds, n, m)
    return None


def _retraced(rounds: list[list[int]], x: int, y: int) -> list[Pair]:
    """Walk back from the end through the saved rounds; round d holds diagonals -d-1 to d+1."""
    pairs: list[Pair] = []
    for d in range(len(rounds) - 1, -1, -1):
        reach, middle, k = rounds[d], d + 1, x - y
        down = k == -d or (k != d and reach[middle + k - 1] < reach[middle + k + 1])
        came = k + 1 if down else k - 1
        start_x = reach[middle + came] if d else 0
        start_y = start_x - came if d else 0
        entered = (start_x if down else start_x + 1) if d else 0
        while x > entered:
            x, y = x - 1, y - 1
            pairs.append((x, y))
        x, y = start_x, start_y
    return pairs[::-1]


def _anchored(a: Sequence[int], b: Sequence[int]) -> list[Pair]:
    """Return common pairs, cut at elements unique on both sides; a gap that has none and needs too many edits stays unmatched."""
    count_a, count_b = Counter(a), Counter(b)
    place_b = {element: j for j, element in enumerate(b) if count_b[element] == 1}
    anchors = _increasing([(i, place_b[e]) for i, e in enumerate(a) if count_a[e] == 1 and e in place_b])
    if not anchors:
        return []
    pairs: list[Pair] = []
    for (i, j), (next_i, next_j) in pairwise([(-1, -1), *anchors, (len(a), len(b))]):
        pairs += [(i + 1 + x, j + 1 + y) for x, y in _common(a[i + 1 : next_i], b[j + 1 : next_j])]
        pairs.append((next_i, next_j))
    return pairs[:-1]


def _increasing(pairs: Sequence[Pair]) -> list[Pair]:
    """Return a longest subsequence of `pairs` (sorted by the first part) that also grows in the second: patience sorting."""
    tops: list[int] = []
    piles: list[int] = []
    back: list[int] = []
    for index, (_, j) in enumerate(pairs):
        pile = bisect_left(tops, j)
        back.append(piles[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [j]
        piles[pile : pile + 1] = [index]
    out: list[Pair] = []
    at = piles[-1] if piles else -1
    while at >= 0:
        out.append(pairs[at])
        at = back[at]
    return out[::-1]


def _between(pairs: Sequence[Pair], n: int, m: int) -> Iterator[Edit]:
    i = j = 0
    for next_i, next_j in [*pairs, (n, m)]:
        if i < next_i or j < next_j:
            yield Edit(i, next_i, j, next_j)
        i, j = next_i + 1, next_j + 1


def _settled(edits: list[Edit], a: Sequence[int], b: Sequence[int]) -> list[Edit]:
    """Move each pure insertion or deletion to the last place it can have, joining it to the edit it then touches."""
    out: list[Edit] = []
    for edit in reversed(edits):
        start, stop, new_start, new_stop = edit.start, edit.stop, edit.new_start, edit.new_stop
        limit = out[-1].start if out else len(a)
        while stop < limit and (
            (start == stop and b[new_start] == a[stop]) or (new_start == new_stop and a[start] == a[stop])
        ):  # the kept element after the edit is its first element again
            start, stop, new_start, new_stop = start + 1, stop + 1, new_start + 1, new_stop + 1
        if out and stop == limit:
            after = out.pop()
            stop, new_stop = after.stop, after.new_stop
        out.append(Edit(start, stop, new_start, new_stop))
    return out[::-1]
