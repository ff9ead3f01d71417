"""The breadth-first walk behind `walk`, against a plain one, on any graph."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from backstory.tools.spread import Link, spread

NODES = [f"n{number}" for number in range(12)]
WAYS = ["calls", "called by", "touched by"]


@st.composite
def graphs(draw):
    """Return for each node what it is linked to: each other node at most once."""
    links = {}
    for node in NODES:
        others = draw(st.lists(st.sampled_from([other for other in NODES if other != node]), unique=True, max_size=8))
        links[node] = [Link(other, (draw(st.sampled_from(WAYS)),)) for other in others]
    return links


def distances(links, start, depth):
    """Return how far each node within `depth` is, as a textbook search says."""
    found = {start: 0}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        if found[node] < depth:
            for link in links[node]:
                if link.node not in found:
                    found[link.node] = found[node] + 1
                    queue.append(link.node)
    return found


def shown(root):
    """Return how far each node of a tree is from its root; no node may stand in it twice."""
    found = {}
    waiting = [(root, 0)]
    while waiting:
        branch, distance = waiting.pop()
        assert branch.node not in found
        found[branch.node] = distance
        waiting += [(below, distance + 1) for below in branch.shown]
    return found


@given(graphs(), st.integers(1, 4))
def test_with_room_for_all_it_is_a_plain_breadth_first_search(links, depth):
    """Every node in range is shown once, at its least distance, and none beyond."""
    assert shown(spread("n0", links.__getitem__, depth=depth, limit=len(NODES))) == distances(links, "n0", depth)


@given(graphs(), st.integers(1, 4), st.integers(1, 12))
def test_without_room_it_is_filled_and_each_branch_is_a_link(links, depth, limit):
    """As many nodes as there is room for are shown, each below a node it is linked to, and none farther than a plain search says it may be."""
    root = spread("n0", links.__getitem__, depth=depth, limit=limit)
    found, near = shown(root), distances(links, "n0", depth)
    assert found.keys() <= near.keys() and all(found[node] >= near[node] for node in found) and max(found.values()) <= depth
    at_hand = sum(1 for distance in near.values() if distance == 1)
    assert min(limit, at_hand) <= len(found) - 1 <= limit
    for branch in root.all():
        assert [below.link for below in branch.shown] == [link for link in branch.links if link.node in {b.node for b in branch.shown}]
        assert not branch.links or branch.links == links[branch.node]


def test_a_hub_leaves_room_for_its_siblings_and_for_what_is_farther():
    """With room for a few, each distance and each parent gets its share, and each way of being linked its turn."""
    links = {
        "start": [Link("hub", ("calls",)), Link("small", ("calls",)), *(Link(f"caller{n}", ("called by",)) for n in range(9))],
        "hub": [Link(f"deep{n}", ("calls",)) for n in range(9)],
        "small": [Link("leaf", ("calls",))],
    }
    root = spread("start", lambda node: links.get(node, []), depth=2, limit=8)
    assert [branch.node for branch in root.shown] == ["hub", "small", "caller0", "caller1"]
    assert [branch.node for branch in root.shown[0].shown] == ["deep0", "deep1", "deep2"]
    assert [branch.node for branch in root.shown[1].shown] == ["leaf"]
