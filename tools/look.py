"""The tools an agent looks with; none of them changes anything or runs a program.

`find` says where something is, `read` shows it, `walk` what it is linked to, `history` what happened to it, `similar` what was done about the like of it
before. All work on one `View`: the graph of the base and the files as they are now. Answers are held to a budget and end with what was cut and how
to get it; a wrong name is answered with what is near.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from backstory.tools.find import find_tool
from backstory.tools.history import history_tool
from backstory.tools.reading import read_tool
from backstory.tools.similar import similar_tool
from backstory.tools.tool import Argument, Arguments, Observation, Tool
from backstory.tools.view import View
from backstory.tools.walk import walk_tool

__all__ = ["View", "look_tools"]


def look_tools(view: View) -> tuple[Tool, ...]:
    """Return the tools over a view, always in this order. They may be called from several threads; one looks at a time."""
    lock = threading.Lock()
    return tuple(_one_at_a_time(make(view), view, lock) for make in (find_tool, walk_tool, read_tool, history_tool, similar_tool))


def _writable(value: Argument) -> Argument:
    """Return an argument without half surrogates, which JSON can hold and no file or id does."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _one_at_a_time(tool: Tool, view: View, lock: threading.Lock) -> Tool:
    look: Callable[[Arguments], Observation] = tool.run

    def run(arguments: Arguments) -> Observation:
        with lock:
            started = time.perf_counter()
            view.refresh()
            return replace(look({name: _writable(value) for name, value in arguments.items()}), seconds=time.perf_counter() - started)

    return replace(tool, run=run)
