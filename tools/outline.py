"""The outline of a file or of a symbol, as much of it as fits.

Five ways to say what is defined, from most to least, and the first that fits is taken: every signature with its lines; the same without what functions
hold inside; signatures at the top, and below each the bare names of its members; the last with as many names as there is room for, shared out by how
many each has; where the signatures at the top alone are too much, their names, as many as there is room for.
"""

from collections.abc import Iterator, Mapping, Sequence

from backstory.graph.types import Symbol
from backstory.tools.page import label, size
from backstory.tools.targets import lines_of

SIGNATURE_CHARS = 120
NAMES_A_ROW = 10
WAY_BYTES = 40  # kept for saying how many names are left out


def outline(symbols: Sequence[Symbol], room: int) -> list[str]:
    """Return rows that take about `room` bytes at most.

    symbols: in order of position, outer before inner; those that no other of them encloses are the top.
    """
    names = {symbol.qualname: symbol for symbol in symbols}
    plain = [symbol for symbol in symbols if not _in_function(symbol, names)]
    for shown in (symbols, plain):
        rows = [_signature_row(symbol, _depth(symbol, names)) for symbol in shown]
        if _length(rows) <= room:
            return rows
    top = [symbol for symbol in plain if _depth(symbol, names) == 0]
    members = {symbol.qualname: [inner for inner in plain if inner.qualname.startswith(f"{symbol.qualname}.")] for symbol in top}
    head = _length([_signature_row(symbol, 0) for symbol in top])
    if head > room:
        return _rows(_as_many([_bare(symbol, symbol.qualname.rpartition(".")[0]) for symbol in top], room))
    wanted = {name: [_bare(symbol, name) for symbol in inner] for name, inner in members.items()}
    return list(_with_names(top, wanted, room - head))


def _with_names(top: Sequence[Symbol], wanted: Mapping[str, Sequence[str]], room: int) -> Iterator[str]:
    """Yield the signatures at the top, each followed by as many of its names as its share of the room holds."""
    whole = sum(_length(_rows(names)) for names in wanted.values())
    for symbol in top:
        yield _signature_row(symbol, 0)
        names = wanted[symbol.qualname]
        if whole <= room:
            yield from _rows(names)
        elif names:
            yield from _rows(_as_many(names, max(0, room) * _length(_rows(names)) // whole))


def _as_many(names: Sequence[str], room: int) -> list[str]:
    """Return the first names that fit, and how many more there are."""
    taken = len(names) if _length(_rows(names)) <= room else _fitting(names, room - WAY_BYTES)
    left = len(names) - taken
    return [*names[:taken], f"… {left} more" if taken else f"{left} inside"] if left else list(names)


def _fitting(names: Sequence[str], room: int) -> int:
    """Return how many of the first names fit."""
    taken = 0
    for name in names:
        room -= size(name) + 2
        if room < 0:
            break
        taken += 1
    return taken


def _rows(names: Sequence[str]) -> list[str]:
    return [f"  {', '.join(names[at : at + NAMES_A_ROW])}" for at in range(0, len(names), NAMES_A_ROW)]


def _bare(symbol: Symbol, around: str) -> str:
    return f"{label(symbol.qualname.removeprefix(f'{around}.'), 60)} {symbol.span.first}"


def _signature_row(symbol: Symbol, depth: int) -> str:
    return f"{'  ' * depth}{lines_of(symbol.span)} {label(symbol.signature, SIGNATURE_CHARS)}"


def _around(symbol: Symbol, names: Mapping[str, Symbol]) -> Iterator[Symbol]:
    """Yield the symbols a symbol is in, innermost first."""
    name = symbol.qualname.rpartition(".")[0]
    while name:
        if name in names:
            yield names[name]
        name = name.rpartition(".")[0]


def _in_function(symbol: Symbol, names: Mapping[str, Symbol]) -> bool:
    return any(around.kind != "class" for around in _around(symbol, names))


def _depth(symbol: Symbol, names: Mapping[str, Symbol]) -> int:
    return sum(1 for _ in _around(symbol, names))


def _length(rows: Sequence[str]) -> int:
    return sum(size(row) + 1 for row in rows)
