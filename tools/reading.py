"""`read`: a folder's parts, a file's outline, a symbol's body, or lines.

Previews before bodies: a file that is not small is shown as the signatures of what it defines, each with its lines; a long symbol as its head and the
outline of what is inside. Naming lines shows them. Whatever is shown is the text as it is now.
"""

import posixpath
from collections.abc import Sequence

from backstory.graph.types import RepoPath, Span, Symbol
from backstory.tools.find import defines, test_mark
from backstory.tools.lines import is_binary
from backstory.tools.numbered import LINE_CHARS, lines_and_notes, numbered
from backstory.tools.outline import outline
from backstory.tools.page import ANSWER_TOKENS, BODY_TOKENS, TOKEN_BYTES, answer, counted, refuse, shown_id, size
from backstory.tools.targets import Folder, IssueNumber, Lines, Revision, find_target, lines_of, short
from backstory.tools.tool import Arguments, Observation, Parameter, Tool, text_argument
from backstory.tools.view import View

SMALL_FILE_TOKENS = 800  # a file up to this is shown whole: its outline would save little
HEAD_LINES = 30  # of a symbol too long to be shown: its signature, documentation and first steps
MAX_READ_BYTES = 16 << 20  # larger ones are data, and splitting them into lines takes memory and seconds
FEW_LINES = 3  # asked for by number: shown even when they are very long
SPARE_BYTES = 100  # of an outline's room, for its last line


def read_tool(view: View) -> Tool:
    """Return the tool over a view."""
    return Tool(
        "read",
        "Read what is there now, line-numbered as `12|text`. A folder: its parts. A file: its outline (signatures with their lines), or all of a small one."
        " A symbol: its body. Lines of a file: first and last. What is long comes as an outline; read its parts.",
        (
            Parameter("target", "string", "a path, a symbol (path:Qual.name or a unique name), or path:first-last", required=True),
            Parameter("first", "integer", "first line to show, counted in the file"),
            Parameter("last", "integer", "last line to show"),
        ),
        "reads",
        lambda arguments: read(view, arguments),
    )


def read(view: View, arguments: Arguments) -> Observation:
    """Answer one call."""
    target = find_target(view, text_argument(arguments, "target"))
    first, last = arguments["first"], arguments["last"]
    match target:
        case Observation():
            return target
        case Folder():
            return read_folder(view, target.path)
        case Revision():
            return refuse(f"{short(target.oid)} is a commit", hint=f"history(target={short(target.oid)!r}) shows it")
        case IssueNumber():
            return refuse(f"{target.node} is an issue number", hint=f"find(query={target.node!r}) lists the commits that name it")
    source = _readable(view, target.path)
    if isinstance(source, Observation):
        return source
    lines, _ = lines_and_notes(source)
    if first is not None or last is not None:
        span = _asked_span(lines, first, last)
        if span is None:
            return refuse(
                f"{shown_id(target.path)} has {len(lines)} lines; there are none from {first} to {last}", hint="ask for lines it has"
            )
        return _page_of_lines(view, target.path, source, span, whole=False)
    match target:
        case Lines():
            return _page_of_lines(view, target.path, source, target.span, whole=False)
        case Symbol():
            return read_symbol(view, target, source)
    return read_file(view, target.path, source)


def read_folder(view: View, folder: str) -> Observation:
    """Return the parts of a folder: folders with how many files lie below, then files with how much they define."""
    prefix = f"{folder}/" if folder else ""
    below: dict[str, list[RepoPath]] = {}
    files: list[RepoPath] = []
    for path in view.paths():
        if path.startswith(prefix):
            name, slash, _ = path[len(prefix) :].partition("/")
            if slash:
                below.setdefault(name, []).append(path)
            else:
                files.append(path)
    rows = [f"{shown_id(name)}/ {counted(len(paths), 'file')}" for name, paths in below.items()]
    rows += [_file_part(view, path) for path in files]
    head = f"{shown_id(prefix) or 'the repository'}: {counted(len(below), 'folder')}, {counted(len(files), 'file')}"
    return answer(
        [head], rows, more=lambda n: f"({n} parts not shown; find(query=a name or glob, path={shown_id(prefix) or '.'!r}) narrows)"
    )


def read_file(view: View, path: RepoPath, source: bytes) -> Observation:
    """Return a small file whole, a larger one as its outline; one without an outline from its beginning."""
    lines, _ = lines_and_notes(source)
    if not lines:
        return answer([f"{shown_id(path)}  empty"], [], more=str)
    span = Span(1, len(lines))
    symbols = view.symbols(path)
    if len(source) <= SMALL_FILE_TOKENS * TOKEN_BYTES or not symbols:
        return _page_of_lines(view, path, source, span, whole=True)
    return _outlined(
        _head(view, path, source, ""), symbols, f"read(target={shown_id(path)!r}, first, last) shows lines; read(path:Name) a body"
    )


def read_symbol(view: View, symbol: Symbol, source: bytes) -> Observation:
    """Return a symbol's body; of a long one its first lines and the outline of what is inside."""
    lines, _ = lines_and_notes(source)
    span = Span(symbol.span.first, min(symbol.span.last, len(lines)))
    part = numbered(lines, span)
    head = _head(view, symbol.path, source, f":{symbol.qualname}", span)
    notes = part.notes()
    if sum(size(row) + 1 for row in [*part.rows, *notes, head]) <= BODY_TOKENS * TOKEN_BYTES:
        return answer([head], part.rows, tail=notes, more=_no_more, budget=BODY_TOKENS)
    inner = [
        one
        for one in view.symbols(symbol.path)
        if one.qualname.startswith(symbol.qualname + ".") and span.first <= one.span.first <= span.last
    ]
    begin = Span(
        span.first, min(span.last, span.first + HEAD_LINES - 1, *(one.span.first - 1 for one in inner[:1] if one.span.first > span.first))
    )
    shown = numbered(lines, begin)
    rest = f"lines {begin.last + 1}-{span.last} not shown: read(target={shown_id(symbol.path)!r}, first, last)"
    if not inner:
        budget = BODY_TOKENS
        return _page_of_lines(view, symbol.path, source, span, whole=False, budget=budget, name=f":{symbol.qualname}")
    return _outlined("\n".join([head, *shown.rows, *shown.notes()]), inner, rest)


def _outlined(head: str, symbols: Sequence[Symbol], hint: str) -> Observation:
    """Return what is defined, as much of it as there is room for."""
    room = ANSWER_TOKENS * TOKEN_BYTES - size(head) - size(hint) - SPARE_BYTES
    rows = outline(symbols, room)
    return answer([head], rows, tail=[f"({hint})"], more=lambda n: f"({n} lines of the outline did not fit; find names in this path)")


def _page_of_lines(
    view: View, path: RepoPath, source: bytes, span: Span, *, whole: bool, budget: int = BODY_TOKENS, name: str = ""
) -> Observation:
    """Return lines as many as fit, and how to go on."""
    lines, _ = lines_and_notes(source)
    few = span.last - span.first < FEW_LINES
    part = numbered(lines, span, line_chars=budget * TOKEN_BYTES // 4 if few else LINE_CHARS)
    head = _head(view, path, source, name, None if whole else span)
    notes = part.notes()

    def more(left: int) -> str:
        at = span.last - left + 1
        return f"(lines {at}-{span.last} not shown: read(target={shown_id(path)!r}, first={at}, last={span.last}))"

    return answer([head], part.rows, tail=notes, more=more, budget=budget)


def _head(view: View, path: RepoPath, source: bytes, name: str, span: Span | None = None) -> str:
    """Return the first line of an answer: the id, which lines of how many, and what must be known of the file."""
    lines, notes = lines_and_notes(source)
    where = f"lines {lines_of(span)} of {len(lines)}" if span else f"{len(lines)} lines"
    said = [where, *(["changed since the base"] if path in view.changed else []), *notes]
    skipped = view.graph.code.skipped().get(path)
    if skipped:
        said.append(f"not parsed: {skipped}")
    return f"{shown_id(path + name)}{test_mark(view, path)}  {', '.join(said)}"


def _file_part(view: View, path: RepoPath) -> str:
    return f"{shown_id(posixpath.basename(path))}{defines(view, path)}{' changed' if path in view.changed else ''}"


def _readable(view: View, path: RepoPath) -> bytes | Observation:
    """Return a file's bytes, or why they are not shown."""
    length = view.size(path)
    if length is None:
        return refuse(f"there is no file {shown_id(path)!r} now")
    if length > MAX_READ_BYTES:
        return refuse(f"{shown_id(path)} has {length} bytes; files over {MAX_READ_BYTES} are not read")
    source = view.text(path) or b""
    if is_binary(source):
        return refuse(f"{shown_id(path)} is binary ({length} bytes)", hint="it cannot be shown as text")
    return source


def _asked_span(lines: Sequence[bytes], first: object, last: object) -> Span | None:
    """Return the lines asked for, cut to the file; None when there are none."""
    begin = int(str(first)) if first is not None else 1
    end = int(str(last)) if last is not None else len(lines)
    if first is not None and last is not None:
        begin, end = min(begin, end), max(begin, end)
    begin, end = max(1, begin), min(len(lines), end)
    return Span(begin, end) if begin <= end else None


def _no_more(left: int) -> str:
    return f"({left} lines not shown)"
