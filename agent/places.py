"""Where in the repository a path, module or name written by a person is.

People write paths as they see them: below `site-packages`, from a parent folder, with another slash, without `src`. A written path means the
files whose path ends like it; a dotted name means the module it starts with, and the definition the rest of it names.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Sequence

from backstory.graph.code import CodeView
from backstory.graph.types import RepoPath, Symbol

# A written path that could mean more files than this means none of them (`__init__.py`, `index.js`).
MAX_FILES = 3
_MODULE_ENDINGS = (".py", "/__init__.py", ".pyx", ".ts", ".tsx", ".js", ".jsx", ".mjs", "/index.ts", "/index.js")


class Places:
    """The files of a tree, found by how their paths end, and the definitions in them."""

    def __init__(self, paths: Iterable[RepoPath], code: CodeView) -> None:
        self._code = code
        self._by_name: dict[str, list[RepoPath]] = defaultdict(list)
        for path in sorted(paths):
            self._by_name[posixpath.basename(path)].append(path)

    def files(self, written: str) -> tuple[RepoPath, ...]:
        """Return the files a written path can mean: those sharing the longest end with it; none when that is ambiguous or too little.

        A file of the repository shares too little when its own folder disagrees with the one written.
        """
        parts = [part for part in written.split("/") if part not in ("", ".", "..", "~")]
        if not parts:
            return ()
        shared: dict[RepoPath, int] = {}
        for path in self._by_name.get(parts[-1], ()):
            own = path.split("/")
            common = _common_end(own, parts)
            if common == len(own) or common == len(parts) or common >= 2:
                shared[path] = common
        longest = max(shared.values(), default=0)
        best = [path for path, common in shared.items() if common == longest]
        return tuple(best) if len(best) <= MAX_FILES else ()

    def module(self, dotted: str) -> tuple[tuple[RepoPath, ...], tuple[str, ...], int]:
        """Return (files of the longest prefix of a dotted name that is a module, the parts that are left, how many parts matched)."""
        parts = dotted.split(".")
        for count in range(len(parts), 0, -1):
            stem = "/".join(parts[:count])
            for ending in _MODULE_ENDINGS:
                wanted = stem + ending
                found = [
                    path for path in self._by_name.get(posixpath.basename(wanted), ()) if path == wanted or path.endswith("/" + wanted)
                ]
                if count == 1:  # `import pytest` means the package itself, not any file of that name somewhere below
                    found = [path for path in found if path.removeprefix("src/").removeprefix("lib/") == wanted]
                if 0 < len(found) <= MAX_FILES:
                    return tuple(found), tuple(parts[count:]), count
        return (), tuple(parts), 0

    def members(self, dotted: str) -> tuple[int, ...]:
        """Return the places among all symbols of the definitions whose qualified name ends with the last two parts of a dotted name (`Dataset.quantile`)."""
        owner, _, name = ".".join(dotted.split(".")[-2:]).rpartition(".")
        ending = f"{owner}.{name}"
        names = self._code.qualnames
        return tuple(number for number in self._code.numbers_named(name) if names[number] == ending or names[number].endswith("." + ending))

    def symbol_in(self, path: RepoPath, function: str, line: int) -> Symbol | None:
        """Return the definition a traceback frame stands in: by its name first, since line numbers belong to another version of the file."""
        name = function.split(".")[-1]
        named = [symbol for symbol in self._code.symbols(path) if symbol.qualname.rsplit(".", 1)[-1] == name]
        if named:
            return min(named, key=lambda symbol: (abs(symbol.span.first - line) if line not in symbol.span else 0, symbol.span.first))
        return self._code.symbol_at(path, line) if line else None


def _common_end(left: Sequence[str], right: Sequence[str]) -> int:
    count = 0
    for one, other in zip(reversed(left), reversed(right), strict=False):
        if one != other:
            break
        count += 1
    return count
