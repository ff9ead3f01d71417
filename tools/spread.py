"""A walk that spreads breadth first from one node and stops where the room for nodes ends.

Nothing here knows what nodes are: a function says what each is linked to, most worth first.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Link:
    """A node beside another. says: how it is linked, surest first. weight: of the surest; note: why it is less than 1."""

    node: str
    says: tuple[str, ...]
    weight: float = 1.0
    note: str = ""


@dataclass
class Branch:
    """A node of the tree. links: all it has, where they were followed; shown: those that are branches of it, in the same order."""

    node: str
    link: Link | None
    links: Sequence[Link] = ()
    shown: list["Branch"] = field(default_factory=list)

    def all(self) -> Iterator["Branch"]:
        """Yield the branch and all below it, in no order that matters."""
        waiting = [self]
        while waiting:
            one = waiting.pop()
            yield one
            waiting += one.shown


def spread(start: str, links: Callable[[str], Sequence[Link]], *, depth: int, limit: int) -> Branch:
    """Return the tree of what lies within `depth` links of `start`: each node once, at its least distance, at most `limit` besides the start.

    With room for all these are the nodes of a plain breadth-first search. Without, each distance gets an equal part of the room, what one does not
    need goes to the next, and what is left at the end to the nearest; within a distance each node above gets an equal share. links: of one node, asked
    once for each; no node is linked to itself, and none twice.
    """
    known: dict[str, Sequence[Link]] = {}

    def once(node: str) -> Sequence[Link]:
        if node not in known:
            known[node] = links(node)
        return known[node]

    rooms = [limit // depth] * depth
    rooms[0] += limit - sum(rooms)
    while True:
        root, full, left = _grown(start, once, rooms)
        if not left or full is None:
            return root
        rooms[full] += left
        for distance in range(depth - 1, full, -1):  # what the farther ones have no use for
            taken = min(left, rooms[distance])
            rooms[distance] -= taken
            left -= taken


def _grown(start: str, links: Callable[[str], Sequence[Link]], rooms: Sequence[int]) -> tuple[Branch, int | None, int]:
    """Return a tree with room for so many nodes at each distance, the first distance that wanted more (None: none did), and the room left."""
    root = Branch(start, None)
    seen = {start}
    level = [root]
    full: int | None = None
    room = 0
    for distance, more in enumerate(rooms):
        room += more
        for branch in level:
            branch.links = links(branch.node)
        for again in (False, True):  # first an equal share for each, then what others left
            for place, branch in enumerate(level):
                fresh = [link for link in branch.links if link.node not in seen]
                taken = _share(fresh, room if again else -(-room // (len(level) - place)))
                room -= len(taken)
                seen.update(link.node for link in taken)
                branch.shown += [Branch(link.node, link) for link in taken]
        for branch in level:
            places = {link.node: place for place, link in enumerate(branch.links)}
            branch.shown.sort(key=lambda below: places[below.node])  # called at once
        if full is None and any(link.node not in seen for branch in level for link in branch.links):
            full = distance
        level = [below for branch in level for below in branch.shown]
    return root, full, room


def _share(links: Sequence[Link], room: int) -> list[Link]:
    """Return `room` links, taken in turn from each way of being linked, in their order."""
    if len(links) <= room:
        return list(links)
    lanes: dict[str, list[Link]] = {}
    for link in links:
        lanes.setdefault(link.says[0], []).append(link)
    taken: set[str] = set()
    for rank in range(room):
        for lane in lanes.values():
            if rank < len(lane) and len(taken) < room:
                taken.add(lane[rank].node)
    return [link for link in links if link.node in taken]
