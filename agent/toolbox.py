"""The tools of a conversation: one list for every agent, some of them closed in a phase.

All agents of a run send the same list in the same bytes, so that a server keeps one prefix for all of them. What an agent must not do now is refused
when it is called, not taken from the list.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Protocol

from backstory.agent.messages import ToolSchema
from backstory.graph.types import Oid
from backstory.tools.tool import Arguments, Observation, Tool, read_arguments


class Bench(Protocol):
    """What tools work on: a tree that steps change."""

    @property
    def tree(self) -> Oid:
        """The tree as it is now."""

    def settle(self, tree: Oid) -> None:
        """Make `tree` the present one, as a step left it."""


class Still:
    """A tree that nothing changes."""

    def __init__(self, tree: Oid) -> None:
        self.tree = tree

    def settle(self, tree: Oid) -> None:
        """Do nothing: no tool here leaves another tree."""


class Toolbox:
    """Tools over one tree. closed: why a tool cannot be used in this phase, by name; ending: the tool that ends it."""

    def __init__(self, tools: Sequence[Tool], bench: Bench, *, closed: Mapping[str, str], ending: str) -> None:
        self._tools = {tool.name: tool for tool in sorted(tools, key=lambda tool: tool.name)}
        self._bench = bench
        self._closed = closed
        self.ending = ending

    def schemas(self) -> tuple[ToolSchema, ...]:
        """Return what a model is told of the tools, by name."""
        return tuple(ToolSchema(tool.name, tool.doc, tool.schema()) for tool in self._tools.values())

    def get(self, name: str) -> Tool | None:
        """Return an open tool, None for any other name."""
        return None if name in self._closed else self._tools.get(name)

    def prepare(self, name: str, written: Mapping[str, Any]) -> tuple[Tool, Arguments] | Observation:
        """Return a tool with the arguments it is called with, or what to tell a model that cannot call it so."""
        tool = self._tools.get(name)
        if tool is None:
            near = get_close_matches(name, self._tools, n=1)
            return Observation(
                f"there is no tool {name!r}{f', but {near[0]!r}' if near else ''}; there are {', '.join(self._tools)}", ok=False
            )
        if name in self._closed:
            return Observation(f"`{name}` {self._closed[name]}", ok=False)
        arguments = read_arguments(tool, written)
        return Observation(arguments, ok=False) if isinstance(arguments, str) else (tool, arguments)

    def tree(self) -> Oid:
        """Return the tree as it is now."""
        return self._bench.tree

    def settle(self, tree: Oid) -> None:
        """Make `tree` the present one, as a step left it."""
        self._bench.settle(tree)
