"""A resolver's checklist: its own items, and what an edit makes worth a look.

Who changes what a function takes has to look at its callers, and files that have always changed together with this one are often forgotten. Both
can be read off the graph, so they are put on the list when the edit is made, with the reason, and an open item is named when the work is handed in.
A list of everything linked would be ignored like any long list: callers count only when the declaration changed, companions only when they nearly
always came along.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from backstory.graph.repograph import RepoGraph
from backstory.graph.types import RepoPath, Symbol, SymbolId
from backstory.tools.tool import Arguments, Observation, Parameter, Tool
from backstory.tools.visible import one_line

# Places put on the list for one edited symbol, and companions for one edited file.
DEPENDANTS = 6
COMPANIONS = 2
# A companion changed in at least so many commits with the file, and in at least this share of the newest ones on it.
COMPANION_COMMITS = 4
COMPANION_SHARE = 0.5
RECENT_COMMITS = 40
ITEM_CHARS = 200
ITEMS = 40

Origin = Literal["own", "dependant", "companion"]


@dataclass(frozen=True)
class Item:
    """origin: who put it there. done: settled, by a change or by a look."""

    text: str
    origin: Origin
    done: bool = False


class Plan:
    """The checklist of one attempt. Follows from calls and edits alone, so nothing of it is recorded."""

    def __init__(self, graph: RepoGraph) -> None:
        self._graph = graph
        self._items: list[Item] = []
        self._seen: set[str] = set()

    def open(self) -> list[str]:
        """Return the items that are not done, numbered as they are shown."""
        return [_line(number, item) for number, item in enumerate(self._items, 1) if not item.done]

    def show(self) -> str:
        """Return the whole list."""
        return "\n".join(_line(number, item) for number, item in enumerate(self._items, 1)) or "the plan is empty"

    def edited(self, path: RepoPath, declarations: Iterable[Symbol]) -> str:
        """Put on the list what an edit of `path` makes worth a look, and return it in words.

        declarations: the symbols of the base whose declaration changed or went.
        """
        new = list(self._dependants(declarations)) + list(self._companions(path))
        added = [item for item in new if item.text not in self._seen][: max(0, ITEMS - len(self._items))]
        self._seen.update(item.text for item in added)
        first = len(self._items) + 1
        self._items += added
        return "\n".join(["plan:", *(_line(first + number, item) for number, item in enumerate(added))]) if added else ""

    def tool(self) -> Tool:
        """Return the tool that shows and changes the list."""
        return Tool(
            "plan",
            "Show the checklist; add items; mark items done by number. Callers and companions of what you edit are put on it.",
            (
                Parameter("add", "strings", "new items"),
                Parameter("done", "strings", "numbers of items that are settled"),
            ),
            "notes",
            self._called,
        )

    def _called(self, arguments: Arguments) -> Observation:
        add, done = arguments["add"] or (), arguments["done"] or ()
        assert isinstance(add, tuple) and isinstance(done, tuple)
        self._items += [Item(one_line(text, limit=ITEM_CHARS), "own") for text in add if text.strip()][: max(0, ITEMS - len(self._items))]
        for written in done:
            number = written.strip().strip(".#[]")
            if not number.isdecimal() or not 1 <= int(number) <= len(self._items):
                return Observation(f"there is no item {written!r}\n{self.show()}", ok=False)
            self._items[int(number) - 1] = replace(self._items[int(number) - 1], done=True)
        return Observation(self.show())

    def _dependants(self, declarations: Iterable[Symbol]) -> Iterator[Item]:
        changed = {symbol.id: symbol for symbol in declarations}
        for symbol in changed.values():
            edges = self._graph.code.neighbours(symbol.id, ("calls", "overrides", "inherits"), "in")
            users = [
                edge for edge in edges if edge.src not in changed and not self._graph.code.is_test(RepoPath(edge.src.partition(":")[0]))
            ]
            for edge in sorted(users, key=lambda edge: (-edge.weight, edge.src))[:DEPENDANTS]:
                yield Item(f"{edge.src} {edge.kind} {symbol.qualname}, whose declaration you changed", "dependant")

    def _companions(self, path: RepoPath) -> Iterator[Item]:
        if path not in self._graph.files():
            return
        newest = self._graph.touched(path)[:RECENT_COMMITS]
        if len(newest) < COMPANION_COMMITS:
            return
        times: dict[RepoPath, int] = {}
        for commit in newest:
            for other in {name for name in self._graph.changed_paths(commit) if name is not None and name != path}:
                times[other] = times.get(other, 0) + 1
        often = [other for other, count in times.items() if count >= max(COMPANION_COMMITS, COMPANION_SHARE * len(newest))]
        for other in sorted(often, key=lambda other: (-times[other], other))[:COMPANIONS]:
            yield Item(f"{other} changed in {times[other]} of the last {len(newest)} commits on {path}", "companion")


def changed_declarations(before: Iterable[Symbol], after: Iterable[Symbol]) -> list[Symbol]:
    """Return the symbols of `before` that `after` lacks, or declares otherwise."""
    now: dict[SymbolId, str] = {symbol.id: symbol.signature for symbol in after}
    return [symbol for symbol in before if now.get(symbol.id) != symbol.signature]


def _line(number: int, item: Item) -> str:
    return f"[{'x' if item.done else ' '}] {number}. {item.text}"
