"""Which of today's files an old name belongs to.

A file is followed backwards through its renames. Names are reused: when `a.py` became `b.py` and a new `a.py` was made later, an older change of
`a.py` belongs to today's `b.py`. So a name has an owner for each stretch of history, and a stretch is told by *position*: the place of a commit in
an order that has children before parents, 0 the newest.

A branch may still have used the old name after the rename happened elsewhere; its commits stand *before* the rename in that order. For them
the nearest later owner is right, because the merge carried their changes over to the new name.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence

from backstory.graph.types import RepoPath


class Lineage:
    """Old names and the files of today they belong to. today: the paths that exist now. renames: (position, old, new), by position."""

    def __init__(self, today: Iterable[RepoPath], renames: Sequence[tuple[int, RepoPath, RepoPath]]) -> None:
        self._positions: dict[RepoPath, list[int]] = {path: [-1] for path in today}
        self._owners: dict[RepoPath, list[RepoPath]] = {path: [path] for path in self._positions}
        later = [rename for rename in renames if not self._adopt(*rename)]
        for rename in later:  # on a branch a chain of renames may stand in the order with its older half first
            self._adopt(*rename)
        self._names: dict[RepoPath, list[RepoPath]] = defaultdict(list)
        for name, owners in self._owners.items():
            for owner in dict.fromkeys(owners):
                self._names[owner].append(name)

    def today(self, name: RepoPath, position: int) -> RepoPath | None:
        """Return the file of today that `name` was at that place in history, None when it has none."""
        positions = self._positions.get(name)
        if positions is None:
            return None
        # A rename at a position owns the old name only before it, that is at greater positions.
        return self._owners[name][max(0, bisect_left(positions, position) - 1)]

    def stretches(self, name: RepoPath) -> tuple[Sequence[int], Sequence[RepoPath]]:
        """Return (positions, owners) of a name: an owner has it at the places after its position, up to the next; the first one before that too."""
        return self._positions.get(name, ()), self._owners.get(name, ())

    def names(self, path: RepoPath) -> Sequence[RepoPath]:
        """Return all names today's file has had, sorted but for today's, which is first."""
        return sorted(self._names.get(path, ()), key=lambda name: (name != path, name))

    def _adopt(self, position: int, was: RepoPath, path: RepoPath) -> bool:
        """Give the old name to the owner of the new one, from this position back; False when the new one has no owner yet."""
        owner = self.today(path, position)
        if owner is None:
            return False
        positions, owners = self._positions.setdefault(was, []), self._owners.setdefault(was, [])
        place = bisect_left(positions, position)
        positions.insert(place, position)
        owners.insert(place, owner)
        return True
