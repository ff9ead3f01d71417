"""What an agent means by a target: a path, a symbol, lines, a commit or an issue number, written as models write them.

The ids that tools print are `path`, `path:Qual.name`, `path:12-40`, ten digits of a commit and `#123`. Read generously: `./` and a leading folder that
is not the repository's, `::` as in test ids, `()`, the end of a path, a dotted name, any unique beginning of a commit id. What can mean two things is
answered with both; only what the base can reach is ever found.
"""

import os
import posixpath
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from backstory.graph.origin import line_count
from backstory.graph.types import Oid, RepoPath, Span, Symbol
from backstory.tools.near import NearNames
from backstory.tools.page import label, refuse, shown_id
from backstory.tools.tool import Observation
from backstory.tools.view import View, last_name

COMMIT_DIGITS = 10  # shown of a commit id; enough for the largest public repositories
HINT = "find(query) searches names and text"  # what an agent is told to do where nothing is like what it asked for
CANDIDATES = 8  # shown when a target is unclear
SUBMODULE = 0o160000
NEAR = 3  # names offered for a mistyped one
MAX_WRITTEN = 1000  # characters of a target that are looked at

_COMMIT = re.compile(r"(?:commit\s+)?([0-9a-fA-F]{4,40})")
_BASE = ("HEAD", "BASE")
_ISSUE = re.compile(r"(?:#|GH-)(\d{1,7})")
_LINES = re.compile(r"(.+?)(?::|#)L?(\d{1,9})(?:(?:-|:|,|\.\.)L?(\d{1,9}))?:?")
_QUOTES = "`'\" \t\n"
_DECORATION = re.compile(r"\(.*\)?$|\[.*$")
_KEYWORD = re.compile(r"(?:async\s+)?(?:def|class|function|method|func|fn)\s+")


@dataclass(frozen=True)
class Folder:
    """A folder; path is "" for the repository itself."""

    path: str


@dataclass(frozen=True)
class File:
    """A file that is there now."""

    path: RepoPath


@dataclass(frozen=True)
class Lines:
    """Lines of a file that is there now, within it."""

    path: RepoPath
    span: Span


@dataclass(frozen=True)
class Revision:
    """A commit the base can reach."""

    oid: Oid


@dataclass(frozen=True)
class IssueNumber:
    """An issue's number as messages name it, `#123`."""

    node: str


Target = Folder | File | Lines | Symbol | Revision | IssueNumber


def find_target(view: View, written: str) -> Target | Observation:
    """Return what `written` means, or an answer that says why it means nothing (or not one thing) and what is near."""
    asked = written[:MAX_WRITTEN].strip(_QUOTES)
    found = (
        _exact(view, asked)
        or _of_history(view, asked)
        or _lines(view, asked)
        or _in_file(view, asked)
        or _by_path_end(view, asked)
        or _by_name(view, asked)
    )
    return found or _unknown(view, asked)


def _exact(view: View, asked: str) -> Target | None:
    path = tidy_path(asked)
    if path in view:
        return File(RepoPath(path))
    symbol = view.symbol(asked)
    if symbol is not None:
        return symbol
    if is_folder(view, path):
        return Folder(path)
    meant = view.odd_ids.get(asked)
    return _exact(view, meant) if meant is not None and meant != asked else None


def _of_history(view: View, asked: str) -> Target | Observation | None:
    issue = _ISSUE.fullmatch(asked)
    if issue:
        return IssueNumber(f"#{int(issue[1])}")
    if asked.upper() in _BASE:
        return Revision(view.graph.at)
    if _COMMIT.fullmatch(asked) and not view.named(asked):
        return find_commit(view, asked)
    return None


def _lines(view: View, asked: str) -> Target | Observation | None:
    """Return the lines `path:12-40` names, cut to the file."""
    match = _LINES.fullmatch(asked)
    if match is None:
        return None
    files = files_ending(view, match[1])
    if len(files) != 1:
        return None
    count = line_count(view.text(files[0]) or b"")
    first, last = int(match[2]), int(match[3] or match[2])
    if not 1 <= first <= count:
        return refuse(f"{shown_id(files[0])} has {count} lines, so there is no line {first}", hint="ask for lines it has")
    return Lines(files[0], Span(first, min(max(first, last), count)))


def _in_file(view: View, asked: str) -> Target | Observation | None:
    """Return the symbol `path:name` names, the path perhaps cut short and the name perhaps a part of it."""
    before, mark, name = asked.partition("::") if "::" in asked else asked.rpartition(":")
    if not mark or not before:
        return None
    files = files_ending(view, before)
    if len(files) != 1:
        return _several(before, files) if files else None
    name = bare_name(name.replace("::", "."))
    symbols = view.symbols(files[0])
    for matching in (
        [symbol for symbol in symbols if symbol.qualname == name],
        [symbol for symbol in symbols if symbol.qualname.endswith("." + name)],
    ):
        if matching:
            return matching[0] if len(matching) == 1 else _several(asked, matching)
    same_name = [symbol.qualname for symbol in symbols if last_name(symbol) == name.rpartition(".")[2]]
    near = same_name[:CANDIDATES] or NearNames(symbol.qualname for symbol in symbols).nearest(name, NEAR)
    outline = [f"{symbol.qualname} {symbol.span.first}" for symbol in symbols if "." not in symbol.qualname]
    rows = [f"{shown_id(files[0])}:{label(one)}" for one in near or outline[:CANDIDATES]]
    what = "did you mean" if near else "it defines" if rows else "nothing is defined there"
    return refuse(f"{shown_id(files[0])} defines no {label(name)!r}; {what}", candidates=rows)


def _by_path_end(view: View, asked: str) -> Target | Observation | None:
    files = files_ending(view, asked)
    if len(files) == 1:
        return File(files[0])
    return _several(asked, files) if files else None


def _by_name(view: View, asked: str) -> Target | Observation | None:
    symbols = symbols_called(view, asked)
    code = [symbol for symbol in symbols if not view.is_test(symbol.path)]
    if len(symbols) == 1 or len(code) == 1:
        return (code or symbols)[0]
    if symbols:
        return _several(asked, code or symbols)
    module = files_of_module(view, asked)
    return File(module[0]) if len(module) == 1 else None


def _several(asked: str, found: Sequence[Symbol | RepoPath]) -> Observation:
    rows = [symbol_row(one) if isinstance(one, Symbol) else shown_id(one) for one in found[:CANDIDATES]]
    left = f"; {len(found) - CANDIDATES} more not shown" if len(found) > CANDIDATES else ""
    return refuse(f"{label(asked)!r} can mean {len(found)} things; name one of them{left}", candidates=rows)


def _unknown(view: View, asked: str) -> Observation:
    special = _not_a_file(view, tidy_path(asked))
    if special:
        return refuse(special)
    near = near_ids(view, asked)
    if near:
        return refuse(f"there is no {label(asked)!r}; did you mean", candidates=near)
    return refuse(f"there is no {label(asked)!r}", hint=HINT)


def _not_a_file(view: View, path: str) -> str:
    """Return what stands at a path instead of a file of now, "" when nothing does."""
    if not path or "\0" in path:
        return ""
    if path in view.graph.files():
        return f"{shown_id(path)} was deleted since the base"
    entry = view.graph.mirror.entry_at(view.graph.at, RepoPath(path))
    if entry is None:
        return ""
    if entry.mode == SUBMODULE:
        return f"{shown_id(path)} is a submodule, which is not entered"
    return f"{shown_id(path)} is a link to {shown_id(os.fsdecode(view.graph.mirror.read_blob(entry.blob)))}; name its target"


# --- parts the tools share ------------------------------------------------------------------------------------------------------------------


def find_commit(view: View, written: str) -> Revision | Observation:
    """Return the commit that the base can reach and whose id begins so."""
    match = _COMMIT.fullmatch(written.strip(_QUOTES))
    if written.strip(_QUOTES).upper() in _BASE:
        return Revision(view.graph.at)
    if match is None:
        return refuse(f"{label(written)!r} is no commit id", hint="give at least 4 hexadecimal digits, as history prints them")
    begin = match[1].lower()
    ids = view.commit_ids
    place = bisect_left(ids, begin)
    found = [oid for oid in ids[place : place + CANDIDATES + 1] if oid.startswith(begin)]
    if len(found) == 1:
        return Revision(found[0])
    if not found:
        return refuse(f"no ancestor of the base has an id that begins with {begin!r}", hint="history(target) lists commits with their ids")
    rows = [f"{oid[: max(COMMIT_DIGITS, len(begin) + 1)]} {label(view.graph.commit(oid).subject)}" for oid in found[:CANDIDATES]]
    return refuse(f"several commits begin with {begin!r}; give more digits", candidates=rows)


def target_id(target: Target) -> str:
    """Return a target as tools print it and as it can be asked for again."""
    match target:
        case Folder():
            return target.path or "."
        case File():
            return target.path
        case Lines():
            return f"{target.path}:{lines_of(target.span)}"
        case Revision():
            return short(target.oid)
        case IssueNumber():
            return target.node
    return target.id


def tidy_path(written: str) -> str:
    """Return a path as the repository writes it: no `./`, no slash at either end."""
    return posixpath.normpath(written).strip("/").removeprefix("./") if written not in ("", ".", "/") else ""


def is_folder(view: View, path: str) -> bool:
    """Return whether a file lies below `path`; the repository itself is "" ."""
    if not path:
        return True
    paths = view.paths()
    place = bisect_left(paths, RepoPath(path + "/"))
    return place < len(paths) and paths[place].startswith(path + "/")


def files_ending(view: View, written: str) -> Sequence[RepoPath]:
    """Return the files whose path ends with what is written, whole names only; of a longer path, those that share most of its end."""
    asked = tidy_path(written.strip(_QUOTES))
    if asked in view:
        return [RepoPath(asked)]
    parts = asked.split("/")
    same_name = [path for path in view.paths() if path.endswith(parts[-1]) and posixpath.basename(path) == parts[-1]]
    ending = [path for path in same_name if path.endswith("/" + asked)]
    # A path from elsewhere (`/testbed/src/app.py`): the whole of ours is its end.
    return ending or [path for path in same_name if len(parts) > 1 and asked.endswith("/" + path)][:1]


def files_of_module(view: View, dotted: str) -> Sequence[RepoPath]:
    """Return the files that are the module `a.b.c`."""
    if not re.fullmatch(r"\w+(?:\.\w+)+", dotted):
        return []
    stem = dotted.replace(".", "/")
    endings = (f"{stem}.py", f"{stem}/__init__.py")
    return [path for path in view.paths() if path.endswith(endings) and any(f"/{path}".endswith(f"/{ending}") for ending in endings)]


def bare_name(written: str) -> str:
    """Return a name without `def`, `()` and test parameters."""
    return _DECORATION.sub("", _KEYWORD.sub("", written.strip(_QUOTES), count=1)).rstrip(":").strip()


def symbols_called(view: View, written: str) -> Sequence[Symbol]:
    """Return the symbols whose dotted name (module, then qualified name) ends with what is written, code before tests."""
    name = bare_name(written.replace("::", "."))
    last = name.rpartition(".")[2]
    if not last:
        return []
    found = [symbol for symbol in view.named(last) if f".{dotted_name(symbol)}".endswith(f".{name}")]
    return sorted(found, key=lambda symbol: view.is_test(symbol.path))


def dotted_name(symbol: Symbol) -> str:
    """Return a symbol as an import would spell it: `src/flask/app.py:Flask.run` is `src.flask.app.Flask.run`."""
    module = posixpath.splitext(symbol.path)[0].removesuffix("/__init__").replace("/", ".")
    return f"{module}.{symbol.qualname.partition('#')[0]}"


def near_ids(view: View, asked: str) -> list[str]:
    """Return the ids of what a mistyped name or path may mean, nearest first."""
    name = bare_name(asked)
    stem = posixpath.basename(name) if "/" in name else name.rpartition(":")[2].rpartition(".")[2] or name
    if "/" in name or re.search(r"\.\w{1,4}$", name):
        bases: dict[str, list[RepoPath]] = {}
        for path in view.paths():
            bases.setdefault(posixpath.basename(path), []).append(path)
        files = NearNames(bases).nearest(posixpath.basename(name), NEAR)
        if files:
            return [shown_id(path) for base in files for path in bases[base]][:CANDIDATES]
    return [symbol_row(symbol) for near in view.near(stem, NEAR) for symbol in view.named(near)][:CANDIDATES]


def symbol_row(symbol: Symbol) -> str:
    """Return a symbol as a line of a list: id, lines, signature."""
    return f"{shown_id(symbol.id)} {lines_of(symbol.span)} {label(symbol.signature, 100)}"


def lines_of(span: Span) -> str:
    """Return `12-40`, or `12` for one line."""
    return str(span.first) if span.first == span.last else f"{span.first}-{span.last}"


def short(oid: Oid) -> str:
    """Return a commit id as tools print it."""
    return oid[:COMMIT_DIGITS]
