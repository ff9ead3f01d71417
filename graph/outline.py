"""The definitions of one file: their names, how they nest, and which of them is the innermost at any byte.

Read from the matches of a language's structure query; what the captures mean is said in `backstory.graph.parse`.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tree_sitter import Node

from backstory.graph.languages import Language
from backstory.graph.spelling import SIMPLE_NAME, plain_name
from backstory.graph.types import Span, SymbolKind

MAX_SIGNATURE_CHARS = 300
MAX_DOC_CHARS = 400

WHOLE_FILE = -1
"""The owner of what stands outside all definitions."""


class Definition(NamedTuple):
    """A class, function or method as written.

    scope: qualname of what encloses it, "" at the top of the file. span: with decorators and `export`. signature, doc: see `types.Symbol`.
    """

    kind: SymbolKind
    name: str
    qualname: str
    scope: str
    span: Span
    signature: str
    doc: str


Captures = Mapping[str, list[Node]]


class _Found:
    """A definition (or scope) while the outline is built; offsets are bytes, `end` exclusive. is_scope: it gives a prefix and is no symbol."""

    __slots__ = ("body", "end", "index", "is_scope", "kind", "name", "node", "owner", "parent", "qualname", "scope", "start")

    def __init__(self, kind: str, node: Node, name: str, owner: str, body: Node | None) -> None:
        self.kind, self.node, self.name, self.owner, self.body = kind, node, name, owner, body
        self.start, self.end = node.start_byte, node.end_byte
        self.is_scope = kind in ("scope", "space")
        self.parent: _Found | None = None
        self.qualname = self.scope = ""
        self.index = WHOLE_FILE


class Outline:
    """The definitions of a file and, for any byte, the innermost one around it."""

    def __init__(self, language: Language, source: bytes, matches: Sequence[Captures]) -> None:
        self.language = language
        self.source = source
        self._nested = _nest(_found_definitions(language, source, matches))
        self.found = [item for item in self._nested if not item.is_scope]
        for index, item in enumerate(self.found):
            item.index = index
        self.starts, self.owners = _segments(self.found, len(source))

    def names(self) -> set[str]:
        """Return the last names of all definitions."""
        return {item.name for item in self.found}

    def holders(self) -> set[str]:
        """Return the names of what holds members without being a definition."""
        return {part for item in self._nested if item.is_scope or item.owner for part in (item.name, item.owner.partition(".")[0])}

    def owner_at(self, byte: int) -> int:
        """Return the index of the innermost definition around a byte, or WHOLE_FILE."""
        return self.owners[bisect_right(self.starts, byte) - 1]

    def scope_at(self, byte: int) -> str:
        """Return the qualname of the innermost definition or scope around a byte, "" for the whole file."""
        return next((item.qualname for item in reversed(self._nested) if item.start <= byte < item.end), "")

    def hidden(self, matches: Sequence[Captures]) -> tuple[str, ...]:
        """Return the qualnames of those definitions at the top of the file that no other file can name."""
        nodes = {node.id for captures in matches for node in captures.get("hidden", ())}
        return tuple(item.qualname for item in self.found if item.node.id in nodes and (item.parent is None or item.parent.kind == "space"))

    def definitions(self, matches: Sequence[Captures]) -> tuple[Definition, ...]:
        docs = self._docs(matches)
        return tuple(
            Definition(
                kind=_kind(item),
                name=item.name,
                qualname=item.qualname,
                scope=item.scope,
                span=self._span(item),
                signature=self._signature(item),
                doc=docs.get(item.index, ""),
            )
            for item in self.found
        )

    def _span(self, item: _Found) -> Span:
        # A node ends after its last byte: one that ends at the start of a line does not reach into that line.
        first = item.node.start_point.row - self.source.count(b"\n", item.start, item.node.start_byte) + 1
        end = item.node.end_point
        last = end.row + 1 if end.column else end.row
        last += self.source.count(b"\n", item.node.end_byte, item.end)
        return Span(first, max(first, last))

    def _signature(self, item: _Found) -> str:
        start, end = item.node.start_byte, item.node.end_byte
        if item.body is not None:
            end = item.body.start_byte
            before = item.body.prev_sibling
            while before is not None and before.type == "comment" and before.start_byte > start:
                end, before = before.start_byte, before.prev_sibling
        text = " ".join(text_between(self.source, start, min(end, start + 4 * MAX_SIGNATURE_CHARS)).split())
        return text.removesuffix("=>").rstrip(" :{;")[:MAX_SIGNATURE_CHARS]

    def _docs(self, matches: Sequence[Captures]) -> dict[int, str]:
        docs: dict[int, str] = {}
        comments = sorted({(node.start_byte, node.end_byte) for captures in matches for node in captures.get("doc", ())})
        if self.language.doc == "inside":
            owners = [(self.owner_at(start), start, end) for start, end in comments]
        else:
            begins = {item.start: item.index for item in reversed(self.found)}
            owners = [(begins.get(after, WHOLE_FILE), start, end) for start, end, after in _before(self.source, comments)]
        for owner, start, end in owners:
            if owner != WHOLE_FILE:
                docs[owner] = first_paragraph(text_between(self.source, start, end))
        return docs


def _before(source: bytes, comments: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Return (start, end, where the code after it begins) of comments, those of whole lines that follow one another taken as one.

    Only a comment with its own closing mark may have an empty line between it and what it speaks of.
    """
    found: list[tuple[int, int, int]] = []
    for start, end in comments:
        end = end - 1 if source[end - 1 : end] == b"\n" else end  # some grammars count the line's end
        gap = _GAP.match(source, end)
        after = gap.end() if gap else end
        in_lines = not source.startswith(b"/*", start)
        if in_lines and source.count(b"\n", end, after) > 1:
            after = end
        if found and in_lines and found[-1][2] == start and not source.startswith(b"/*", found[-1][0]):
            found[-1] = (found[-1][0], end, after)
        else:
            found.append((start, end, after))
    return found


def _found_definitions(language: Language, source: bytes, matches: Sequence[Captures]) -> list[_Found]:
    """Return definitions and scopes in order of position, outer first, their spans grown over their wrappers."""
    wrappers: dict[int, Node] = {}
    found: dict[int, _Found] = {}
    for captures in matches:
        if "wrapper" in captures:
            wrapper = min(captures["wrapper"], key=lambda node: node.start_byte)
            wrapped = captures["wrapped"][0].id
            if wrapped not in wrappers or wrapper.start_byte < wrappers[wrapped].start_byte:
                wrappers[wrapped] = wrapper
        for kind in ("class", "function", "scope", "space"):
            for node in captures.get(kind, ()):
                owner, name = plain_name(language, text_of(source, captures["name"][0])) if "name" in captures else ("", "default")
                if "owner" in captures:
                    owner = _plain_owner(text_of(source, captures["owner"][0]))
                body = captures.get("body", [None])[0]
                if node.id not in found or body is not None:  # several patterns may tell of one definition
                    found[node.id] = _Found(kind, node, name, owner, body)
    for item in found.values():
        around = wrappers.get(item.node.id)
        while around is not None:
            item.start, item.end = min(item.start, around.start_byte), max(item.end, around.end_byte)
            around = wrappers.get(around.id)
    return sorted(found.values(), key=lambda item: (item.start, -item.end))


def _nest(found: list[_Found]) -> list[_Found]:
    """Set parents and qualnames; a definition that would overlap another without nesting in it goes back to its own node."""
    seen: dict[str, int] = {}
    stack: list[_Found] = []
    for item in found:
        while stack and stack[-1].end <= item.node.start_byte:
            stack.pop()
        if stack:
            item.start, item.end = max(item.start, stack[-1].start), min(item.end, stack[-1].end)
            item.parent = stack[-1]
        stack.append(item)
        item.scope = ".".join(part for part in (item.parent.qualname if item.parent else "", item.owner) if part)
        qualname = f"{item.scope}.{item.name}" if item.scope else item.name
        seen[qualname] = seen.get(qualname, 0) + (not item.is_scope)
        item.qualname = qualname if seen[qualname] <= 1 else f"{qualname}#{seen[qualname]}"
    return found


def _segments(found: Sequence[_Found], size: int) -> tuple[list[int], list[int]]:
    """Cut the file where the innermost definition changes: return the first byte and the owner of each piece, in order."""
    starts, owners = [0], [WHOLE_FILE]
    stack: list[_Found] = []

    def close_until(byte: int) -> None:
        while stack and stack[-1].end <= byte:
            closed = stack.pop()
            starts.append(closed.end)
            owners.append(stack[-1].index if stack else WHOLE_FILE)

    for item in found:
        close_until(item.start)
        starts.append(item.start)
        owners.append(item.index)
        stack.append(item)
    close_until(size)
    return starts, owners


def _kind(item: _Found) -> SymbolKind:
    if item.kind == "class":
        return "class"
    inside = item.parent is not None and item.parent.kind in ("class", "scope")
    return "method" if inside or item.owner else "function"


def _plain_owner(owner: str) -> str:
    """Return whose member `owner.name = ...` defines: nobody's for the module's exports, the class for its prototype."""
    plain = owner.removesuffix(".prototype")
    return plain if SIMPLE_NAME.fullmatch(plain) and plain not in ("exports", "module.exports", "this") else ""


def first_paragraph(comment: str) -> str:
    """Return the first paragraph of a documentation string or comment, white space folded, quotes, comment marks and tags removed.

    >>> first_paragraph("/** One. */"), first_paragraph("/// <summary>Two.</summary>")
    ('One.', 'Two.')
    """
    text = comment.strip()
    if text.startswith(("//", "#")):
        text = _TAG.sub("", "\n".join(_LINE_MARK.sub("", line) for line in text.splitlines()))
    else:
        text = _DOC_CLOSING.sub("", _DOC_OPENING.sub("", text))
    lines = [_DOC_MARGIN.sub("", line).strip() for line in text.strip().splitlines()]
    paragraph: list[str] = []
    for line in lines:
        if (not line or line.startswith("@")) and paragraph:
            break
        if line.startswith("@"):
            return ""
        paragraph.append(line)
    return " ".join(" ".join(paragraph).split())[:MAX_DOC_CHARS]


_GAP = re.compile(rb"\s*")
_DOC_OPENING = re.compile(r"^(?:/\*+!?|[a-zA-Z]{0,2}(?:\"\"\"|'''|\"|'))")
_DOC_CLOSING = re.compile(r"(?:\*+/|\"\"\"|'''|\"|')$")
_DOC_MARGIN = re.compile(r"^\s*\*(?:\s|$)")
_LINE_MARK = re.compile(r"^\s*(?://[/!]?|#+!?)\s?")
_TAG = re.compile(r"</?(?:summary|remarks|para|c|see|code|returns)\b[^>\n]*>")


def text_of(source: bytes, node: Node) -> str:
    return text_between(source, node.start_byte, node.end_byte)


def text_between(source: bytes, start: int, end: int) -> str:
    return source[start:end].decode("utf-8", "replace")
