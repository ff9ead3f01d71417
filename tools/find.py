"""`find`: where something is, by its id, its name, its text, or its words.

The steps go from what can mean one thing to what resembles: an exact id or path; the name of a symbol; the name of a file; a text or a pattern in the
lines; BM25 over symbols and files. The first step that finds something answers, and the answer says which it was.
"""

import fnmatch
import posixpath
import re
from collections.abc import Sequence

import numpy as np

from backstory.graph.types import Oid, RepoPath, Symbol, SymbolId
from backstory.memory.bm25 import query_words, table_scores
from backstory.tools.numbered import shown
from backstory.tools.page import answer, counted, label, refuse, shown_id
from backstory.tools.search import MAX_HITS, BadPattern, Hits, search_pattern, search_text
from backstory.tools.targets import (
    File,
    Folder,
    IssueNumber,
    Revision,
    bare_name,
    files_ending,
    find_target,
    is_folder,
    near_ids,
    short,
    symbol_row,
    symbols_called,
    tidy_path,
)
from backstory.tools.tool import Arguments, Observation, Parameter, Tool, number_argument, text_argument
from backstory.tools.view import View

LIMIT = 20
MAX_LIMIT = 500
KINDS = ("symbol", "file", "text", "words")
LINE_CHARS = 200  # of a line that holds the text; longer ones are cut around it
_NOTHING = {
    "": "nothing is called, holds or resembles",
    "symbol": "no symbol is called",
    "file": "no file is called",
    "text": "no line holds",
    "words": "nothing resembles",
}
OTHER_FILES = 8  # named with their counts when not all lines are shown
_IDENTIFIER = re.compile(r"[\w.]+")
_PATTERN_SIGNS = re.compile(r"[\\^$*+?{}\[\]|()]|\.\*")


def find_tool(view: View) -> Tool:
    """Return the tool over a view."""
    return Tool(
        "find",
        "Find where something is. Tries in turn: an exact path or id (path:Qual.name, commit, #issue), a symbol's name (dotted, any ending of it), a"
        " file name or glob, a literal text or regular expression in the lines, then the words' relevance (BM25). Says which of these answered.",
        (
            Parameter("query", "string", "a name, path, text, regular expression, or some words", required=True),
            Parameter("kind", "string", "go straight to one step: symbol, file, text (lines; literal or regex), words", choices=KINDS),
            Parameter("path", "string", "only in this folder or file, or glob such as src/**/*.py"),
            Parameter("limit", "integer", "at most so many results", default=LIMIT),
        ),
        "reads",
        lambda arguments: find(view, arguments),
    )


def find(view: View, arguments: Arguments) -> Observation:
    """Answer one call."""
    query, kind, path = (text_argument(arguments, name) for name in ("query", "kind", "path"))
    limit = number_argument(arguments, "limit", least=1, most=MAX_LIMIT) or LIMIT
    if not query.strip():
        return refuse("the query is empty", hint="give a name, a path, a text or some words")
    within = _paths_within(view, path) if path else view.paths()
    if not within:
        return refuse(f"no file lies in {label(path)!r}", candidates=near_ids(view, path), hint="leave path out to search everywhere")
    search = _Search(view, query, within, narrowed=bool(path), limit=limit)
    steps = {
        "": (search.exact, search.symbols, search.files, search.text, search.words),
        "symbol": (search.symbols,),
        "file": (search.files,),
        "text": (search.text,),
        "words": (search.words,),
    }
    try:
        for step in steps[kind]:
            found = step()
            if found is not None:
                return found
    except BadPattern as error:
        return refuse(label(str(error), 300))
    return search.nothing(kind)


class _Search:
    """One query over some files; each step answers or returns None."""

    def __init__(self, view: View, query: str, within: Sequence[RepoPath], *, narrowed: bool, limit: int) -> None:
        self.view, self.query, self.limit = view, query, limit
        self.within, self._narrowed = within, narrowed
        self._allowed = set(within) if narrowed else None
        self._shown = label(query, 100)

    def exact(self) -> Observation | None:
        """Answer for an id or a whole path."""
        query = self.query.strip()
        if query in self.view or self.view.symbol(query) is not None or re.fullmatch(r"#\d+|[0-9a-f]{7,40}", query) or "/" in query:
            target = find_target(self.view, query)
        else:
            return None
        match target:
            case Symbol():
                return self._answer("exactly this symbol:", [self._row(target)])
            case File():
                return self._answer("exactly this file:", [file_row(self.view, target.path)])
            case Folder():
                return self._answer("a folder; read it to see its parts:", [f"{shown_id(target.path)}/"])
            case Revision():
                commit = self.view.graph.commit(target.oid)
                return self._answer("a commit; history shows it:", [f"{short(target.oid)} {commit.when:%Y-%m-%d} {label(commit.subject)}"])
            case IssueNumber():
                return self._issue(target.node)
        return None

    def symbols(self) -> Observation | None:
        """Answer with the symbols of that name: as written, then whatever its case, then by its last part alone."""
        name = bare_name(self.query)
        if not _IDENTIFIER.fullmatch(name.replace("::", ".").replace("#", "")):
            return None
        found = self._allow(symbols_called(self.view, name))
        how = f"named {label(name)!r}"
        if not found:
            last = name.rpartition(".")[2].lower()
            alike = [known for known in self.view.names() if known.lower() == last]
            found = self._allow([symbol for known in alike for symbol in self.view.named(known)])
            how = f"named {label(alike[0])!r} (no {label(name)!r})" if alike else ""
        if not found:
            return None
        return self._answer(f"{counted(len(found), 'symbol')} {how}:", [self._row(symbol) for symbol in found])

    def files(self) -> Observation | None:
        """Answer with the files whose name or end of path it is, or that a glob names."""
        asked = tidy_path(self.query.strip())
        if any(sign in asked for sign in "*?["):
            found = [path for path in self.within if _glob(path, asked)]
        else:
            found = [path for path in files_ending(self.view, asked) if self._allowed is None or path in self._allowed]
            if not found and "/" not in asked:
                found = [path for path in self.within if posixpath.splitext(posixpath.basename(path))[0] == asked]
        if not found:
            return None
        return self._answer(f"{counted(len(found), 'file')} named so:", [file_row(self.view, path) for path in found])

    def text(self) -> Observation | None:
        """Answer with the lines that hold the text; else those the pattern matches; else those that hold it but for case."""
        hits = search_text(self.view, self.query, self.within)
        if hits:
            return self._lines(hits, "hold", "the text")
        if _PATTERN_SIGNS.search(self.query):
            hits = search_pattern(self.view, self.query, self.within)
        if hits:
            return self._lines(hits, "match", "the pattern")
        hits = search_text(self.view, self.query, self.within, ignore_case=True)
        return self._lines(hits, "hold", "the text but for case") if hits else None

    def words(self) -> Observation | None:
        """Answer with what resembles the words most: symbols, and files by what stands outside their symbols."""
        query = query_words(self.query)
        code = self.view.graph.code
        scores = table_scores(code.word_table, query) if query else np.zeros(0)
        files = code.files()
        rows: list[str] = []
        for number in (-scores).argsort(kind="stable").tolist():
            if scores[number] <= 0 or len(rows) >= self.limit:
                break
            node = code.nodes[number]
            symbol = None if number < len(files) else self.view.symbol(node)
            path = files[number] if number < len(files) else symbol.path if symbol else None
            if path is not None and path in self.view and (self._allowed is None or path in self._allowed):
                rows.append(self._row(symbol) if symbol else file_row(self.view, path))
        if not rows:
            return None
        head = ["nothing is called so and no line holds it; nearest by words of the base, best first:"]
        near = near_ids(self.view, self.query) if _IDENTIFIER.fullmatch(self.query.strip()) else []
        if near:
            head = ["nothing is called so; did you mean", *(f"  {row}" for row in near[:3]), "or, nearest by words:"]
        return answer(head, rows, more=lambda n: f"({n} more did not fit)")

    def nothing(self, kind: str) -> Observation:
        """Say that no step found anything, and what is near."""
        near = near_ids(self.view, self.query)
        said = f"{_NOTHING[kind]} {self._shown!r}{' in that path' if self._narrowed else ''}"
        if near:
            return refuse(f"{said}; did you mean", candidates=near)
        return refuse(said, hint="try fewer words, or another name for it")

    def _answer(self, head: str, rows: Sequence[str]) -> Observation:
        shown = rows[: self.limit]
        left = len(rows) - len(shown)
        tail = [f"({left} more; narrow with path, or raise limit)"] if left else []
        return answer([head], shown, tail=tail, more=lambda n: f"({n} of these did not fit; narrow with path)")

    def _lines(self, hits: Sequence[Hits], verb: str, what: str) -> Observation:
        """Return matching lines below the symbol they stand in, code before tests before the rest."""
        ordered = sorted(hits, key=lambda hit: (_place(self.view, hit.path), hit.path))
        total = sum(len(hit.lines) for hit in hits)
        rows: list[str] = []
        shown = 0
        for hit in ordered:
            for node, lines in _by_symbol(self.view, hit):
                part = lines[: self.limit - shown]
                if part:
                    rows.append(
                        "\n".join([mark(self.view, hit.path, node), *(f"{number}|{_cut(line, self.query)}" for number, line in part)])
                    )
                    shown += len(part)
        seen = {hit.path for hit in ordered if any(row.startswith(shown_id(hit.path)) for row in rows)}
        others = [f"{shown_id(hit.path)} ({len(hit.lines)})" for hit in ordered if hit.path not in seen]
        many = f"{MAX_HITS} lines or more" if total >= MAX_HITS else counted(total, "line")
        how = f"{verb if total > 1 else {'hold': 'holds', 'match': 'matches'}[verb]} {what}"
        tail = []
        if others:
            tail.append(
                "also in "
                + ", ".join(others[:OTHER_FILES])
                + (f" and {len(others) - OTHER_FILES} files more" if len(others) > OTHER_FILES else "")
            )
        if shown < total:
            tail.append(f"({total - shown} lines not shown; narrow with path, or raise limit)")
        head = f"{many} in {counted(len(hits), 'file')} {how}:"
        return answer([head], rows, tail=tail, more=lambda n: f"(some of these did not fit: {n} places; narrow with path)")

    def _issue(self, node: str) -> Observation | None:
        edges = [edge for edge in self.view.graph.mentions() if edge.dst == node]
        if not edges:
            return None
        rows = [f"{short(Oid(edge.src))} {self.view.graph.commit(Oid(edge.src)).when:%Y-%m-%d} {label(edge.evidence)}" for edge in edges]
        return self._answer(f"commits that name {node}, newest first:", rows)

    def _allow(self, symbols: Sequence[Symbol]) -> list[Symbol]:
        return [symbol for symbol in symbols if self._allowed is None or symbol.path in self._allowed]

    def _row(self, symbol: Symbol) -> str:
        return symbol_row(symbol) + test_mark(self.view, symbol.path)


def file_row(view: View, path: RepoPath) -> str:
    """Return a file as a line of a list: path, how many symbols it defines."""
    return f"{shown_id(path)}{defines(view, path)}{test_mark(view, path)}"


def defines(view: View, path: RepoPath) -> str:
    """Return how many symbols a file defines, for a list; nothing for none."""
    count = len(view.symbols(path))
    return f" {counted(count, 'symbol')}" if count else ""


def test_mark(view: View, path: RepoPath) -> str:
    """Return what marks a test in a list."""
    return " [test]" if view.is_test(path) else ""


def mark(view: View, path: RepoPath, node: SymbolId | RepoPath) -> str:
    """Return a node as a heading, marked when it is a test."""
    return f"{shown_id(node)}{test_mark(view, path)}"


def _by_symbol(view: View, hit: Hits) -> list[tuple[SymbolId | RepoPath, list[tuple[int, bytes]]]]:
    """Return the lines of one file by the innermost symbol around them, in order of first line."""
    found: dict[SymbolId | RepoPath, list[tuple[int, bytes]]] = {}
    for number, line in hit.lines:
        symbol = view.symbol_at(hit.path, number)
        found.setdefault(symbol.id if symbol else hit.path, []).append((number, line))
    return list(found.items())


def _cut(line: bytes, query: str) -> str:
    """Return a line for a list: tabs kept, cut around the text when it is long."""
    text = shown(line)[0]
    if len(text) > LINE_CHARS:
        at = max(0, text.find(query) - LINE_CHARS // 2)
        text = ("…" if at else "") + text[at : at + LINE_CHARS] + "…"
    return text


def _place(view: View, path: RepoPath) -> int:
    """Return 0 for code, 1 for tests, 2 for what is not parsed."""
    if view.is_test(path):
        return 1
    return 0 if view.symbols(path) or path.endswith(".py") else 2


def _paths_within(view: View, path: str) -> Sequence[RepoPath]:
    asked = tidy_path(path.strip())
    if is_folder(view, asked):
        return [known for known in view.paths() if not asked or known.startswith(asked + "/")]
    if any(sign in asked for sign in "*?["):
        return [known for known in view.paths() if _glob(known, asked)]
    return files_ending(view, asked)


def _glob(path: RepoPath, pattern: str) -> bool:
    """Return whether a glob names a path or its end; `**` stands for any folders, as `*` does."""
    return (
        fnmatch.fnmatchcase(path, pattern)
        or fnmatch.fnmatchcase(path, pattern.replace("**/", ""))
        or fnmatch.fnmatchcase(path, f"*/{pattern}")
    )
