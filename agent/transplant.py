"""Carries tests into the version of their file that an older tree has.

A test file of today often cannot even be imported on an old tree: it asks for a name that did not exist. Then the whole file tells nothing of
that tree, although the one test in question would. So the test is lifted out, with what it needs from its module and the old file lacks (imports,
fixtures, helpers), and set into the old file: in the place of its older self, at the end of its class, or at the end of the file. A name that cannot
be imported there is None. Only Python is carried; nothing here is run.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backstory.agent.python import parsed

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def transplant(old: bytes, new: bytes, tests: Sequence[str]) -> bytes | None:
    r"""Return `old` with `tests` as they are in `new`, or None when a file is not readable Python or a test is not in `new`.

    tests: names within the file, `::` between parts, such as `TestParser::test_empty`; what is in brackets after a name is ignored.

    >>> print(transplant(b"def test_a(): pass\n", b"from x import f, g\ndef test_b(): f()\n", ["test_b"]).decode())
    try:
        from x import f
    except ImportError:
        f = None
    def test_a(): pass
    <BLANKLINE>
    <BLANKLINE>
    def test_b(): f()
    <BLANKLINE>
    """
    source, target = _Module.read(new), _Module.read(old)
    if source is None or target is None:
        return None
    names = list(dict.fromkeys(test.partition("[")[0] for test in tests))
    found = [(name.split("::"), source.find(name.split("::"))) for name in names]
    if not found or any(definition is None for _, definition in found):
        return None
    moved = [(path, definition) for path, definition in found if definition is not None]
    text = list(target.lines)
    placed = [_placed(path, definition, source, target) for path, definition in moved]
    for place in sorted(placed, key=lambda place: -place.start):  # from the end, so that line numbers hold
        text[place.start : place.stop] = place.lines
    top = target.after_imports()
    text[top:top] = _needed([definition for _, definition in moved], source, target)
    return b"".join(text)


@dataclass(frozen=True)
class _Place:
    """Lines `start` to `stop` (from 0, stop excluded) of the old file give way to `lines`."""

    start: int
    stop: int
    lines: list[bytes]


@dataclass(frozen=True)
class _Module:
    """A parsed file. lines: with their ends."""

    tree: ast.Module
    lines: list[bytes]

    @staticmethod
    def read(content: bytes) -> "_Module | None":
        tree = parsed(content)
        return None if tree is None else _Module(tree, _ended(content.splitlines(keepends=True)))

    def find(self, path: Sequence[str]) -> _Definition | None:
        """Return the last definition of that name, as running the file would leave it."""
        body: Sequence[ast.stmt] = self.tree.body
        definition: _Definition | None = None
        for name in path:
            named = [node for node in body if isinstance(node, _Definition) and node.name == name]
            if not named:
                return None
            definition = named[-1]
            body = definition.body
        return definition

    def after_imports(self) -> int:
        """Return the line (from 0) below the docstring and the imports that come before the first definition."""
        top = 0
        for position, node in enumerate(self.tree.body):
            if isinstance(node, _Definition):
                break
            if isinstance(node, ast.Import | ast.ImportFrom) or (position == 0 and isinstance(node, ast.Expr)):
                top = node.end_lineno or node.lineno
        return top

    def text(self, node: ast.stmt) -> list[bytes]:
        """Return the lines of a statement with its decorators."""
        return _ended(self.lines[_first(node) - 1 : node.end_lineno])


def _first(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, _Definition) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _ended(lines: list[bytes]) -> list[bytes]:
    """Return lines of which the last has an end."""
    return [*lines[:-1], lines[-1] + b"\n"] if lines and not lines[-1].endswith((b"\n", b"\r")) else lines


def _placed(path: Sequence[str], definition: _Definition, source: _Module, target: _Module) -> _Place:
    """Return where a test goes in the old file."""
    older = target.find(path)
    lines = source.text(definition)
    if older is not None:
        return _Place(_first(older) - 1, older.end_lineno or older.lineno, lines)
    for depth in range(len(path) - 1, 0, -1):
        outer = target.find(path[:depth])
        if outer is not None:
            end = outer.end_lineno or outer.lineno
            return _Place(end, end, [b"\n", *_headers(path, depth, source), *lines])
    end = len(target.lines)
    return _Place(end, end, [b"\n", b"\n", *_headers(path, 0, source), *lines])


def _headers(path: Sequence[str], depth: int, source: _Module) -> Iterator[bytes]:
    """Yield the lines that open the classes around a test which the old file does not have."""
    for length in range(depth + 1, len(path)):
        outer = source.find(path[:length])
        assert outer is not None
        yield from source.lines[_first(outer) - 1 : max(outer.lineno, _first(outer.body[0]) - 1)]


def _needed(tests: Sequence[_Definition], source: _Module, target: _Module) -> Iterator[bytes]:
    """Yield what the tests use from their module and the old file has not: helpers whole, each imported name by itself and allowed to fail."""
    known = set(_bound(target.tree.body))
    used = {name for test in tests for name in _used(test)}
    taken: list[ast.stmt] = []
    for _ in range(len(source.tree.body)):  # helpers may need helpers
        more = [node for node in source.tree.body if node not in taken and node not in tests and (set(_bound([node])) & used) - known]
        if not more:
            break
        taken += more
        used |= {name for node in more for name in _used(node)}
    for node in sorted(taken, key=lambda node: node.lineno):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (_careful(node, alias) for alias in node.names if _name_of(alias) in used - known)
        else:
            yield from source.text(node)


def _careful(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> bytes:
    """Return one import as statements that cannot fail; the name is None where there is nothing to import."""
    alone = ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, [alias], node.level)
    return f"try:\n    {ast.unparse(alone)}\nexcept ImportError:\n    {_name_of(alias)} = None\n".encode()


def _name_of(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _bound(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Yield the names that top-level statements give a meaning."""
    for node in body:
        if isinstance(node, _Definition):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (_name_of(alias) for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))


def _used(node: ast.stmt) -> Iterator[str]:
    """Yield the names a statement reads; a parameter may be the name of a fixture, and so may a string."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.arg):
            yield part.arg
        elif isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.isidentifier():
            yield part.value
