"""Reading one file: its definitions, references, imports and words.

`parse_blob` is a pure function of a language and bytes, so its result is kept by blob id and used in every snapshot that holds the blob. It says
what is written, not what it means: which definition a reference points at depends on other files and is decided by `backstory.graph.link`.

Tree-sitter does the walking. Two queries a language say everything: the *structure* query is read match by match (definitions, documentation,
imports, exports, types of variables), the *names* query capture by capture (references). Nothing here recurses, and
size, depth and effort are bounded; where the syntax is broken, what could be parsed is kept.

Captures of the structure query:
  @class @function   a definition; with @name, @body, and @owner for `Owner.name = ...`; without @name it is called "default"
  @scope             gives names below it a prefix without being a symbol, and holds them as a class does (an object literal, `impl`)
  @space             the same, but holds them as a file does (a namespace)
  @hidden            a definition that no other file can name
  @wrapper @wrapped  the definition's span grows to the wrapper (decorators, `export`)
  @doc               documentation, inside the definition or right before it (a rule of the language)
  @import            with .module (its parts, when there are several), .name, .alias, .star, .default;   @export with .local, .name, .same
  @package           the package the file says it belongs to
  @typed @type       a variable and the type written for it; @typed.own for a member of the class, @returns for what a function gives
  @made              instead of @type: what is called to make the variable's value
Captures of the names query: @call (a bare name), @call.member (an expression that ends with the name), @call.named (one with the name as a
field), @call.token (a name whose receiver is in the text before it), @base, @name and @member (kept when what they begin with is defined, imported or bound here), @use and @use.member (always kept), @skip
for a name that is bound here rather than used, and @local for one that from there on hides, in its function, what is called so outside.
"""

import re
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Literal, NamedTuple

from tree_sitter import Language as Grammar
from tree_sitter import Node, Parser, Query, QueryCursor

from backstory.graph.languages import Language, compiled, language_in
from backstory.graph.outline import WHOLE_FILE, Captures, Definition, Outline, text_between, text_of
from backstory.graph.spelling import MAX_NAME_CHARS, SIMPLE_NAME, plain_path, plain_type, split_member
from backstory.graph.words import count_words, tokens

MAX_FILE_BYTES = 1_000_000  # larger source files are generated or vendored; git hosts stop rendering there as well
TOO_LARGE = f"larger than {MAX_FILE_BYTES} bytes"
MAX_LINE_BYTES = 50_000  # no person writes such a line: the file is minified or holds encoded data
BINARY_PREFIX_BYTES = 8_000  # git looks for a NUL in as many bytes
READ_BYTES = 1 << 16  # what the parser is handed at a time
MAX_PARSE_CPU_S = 10.0  # fifty times what the largest valid file takes; only error recovery over rubble gets there
CALLS_A_LOOK = 500  # progress reports to one look at the clock: they come in microseconds, and the clock of a thread may be slow to ask
MAX_ERROR_CHILDREN = 20_000  # a second of querying; a file with one error in thousands of lines stays well below
MAX_DEPTH = 500  # of syntax nodes; code written by people stays below 100, and the cost of querying grows with depth
MAX_MEMBER_BYTES = 200  # of `receiver.name`; a longer receiver is no simple one


ReferenceKind = Literal["call", "name"]


class Reference(NamedTuple):
    """A use of a name, once for each owner, receiver and kind; in order of first use.

    receiver: "" for a bare name, dotted text when it is simple (`self`, `module.part`, `shop().till`), None for any other expression.
    line: of the first use. owner: index of the innermost definition around it, or WHOLE_FILE. uses: how often in all.
    """

    kind: ReferenceKind
    name: str
    receiver: str | None
    owner: int
    line: int
    uses: int


class Import(NamedTuple):
    """One name bound by an import.

    module: dotted name or path as written, without leading dots when level counts them. name: what is taken from the module, "*" for all of
    it, None for the module itself. alias: the name it gets here when that differs. level: leading dots of a relative import.
    """

    module: str
    name: str | None
    alias: str | None
    level: int
    line: int


class Base(NamedTuple):
    """A class named as a base. scope: the class that says so, which for `impl Base for scope` may be one of another file. receiver: as in Reference."""

    scope: str
    receiver: str
    name: str
    line: int


class Typed(NamedTuple):
    """A variable whose class can be told: `name: type`, or `name = type` where type ends with `()` or is a class.

    name: dotted for a member; RETURNS for what the owner gives when called. owner: as in Reference.
    """

    name: str
    type: str
    owner: int


RETURNS = "()"


@dataclass(frozen=True)
class Parse:
    """What one file holds. skipped: why it was not parsed, else ""; all else is empty then.

    definitions: in order of position, outer before inner. exports: public name -> local name, where they differ or are said.
    packages: those the file says it belongs to. hidden: qualnames no other file can name.
    own_words: search words outside all definitions first, then those of each definition without the ones nested in it. Empty when the words
    were not loaded.
    """

    language: str
    skipped: str = ""
    definitions: Sequence[Definition] = ()
    references: Sequence[Reference] = ()
    imports: Sequence[Import] = ()
    typed: Sequence[Typed] = ()
    exports: Mapping[str, str] = field(default_factory=dict)
    bases: Sequence[Base] = ()
    packages: Sequence[str] = ()
    hidden: Sequence[str] = ()
    own_words: Sequence[Mapping[str, int]] = ()

    @property
    def words(self) -> dict[str, int]:
        """Search words of the whole file with their counts."""
        total: Counter[str] = Counter()
        for part in self.own_words:
            total.update(part)
        return dict(total)


def parse_blob(language: Language, source: bytes) -> Parse:
    """Return what `source` holds when read as `language`; never raises on any bytes."""
    reason = why_skipped(source)
    if reason:
        return Parse(language.name, skipped=reason)
    language = language_in(language, source)
    ready = compiled(language.name)
    root = _tree(ready.grammar, _masked(language, source))
    if root is None or _is_rubble(root):
        return Parse(language.name, skipped="its syntax is too broken")
    matches = [captures for _, captures in _cursor(ready.structure).matches(root)]
    outline = Outline(language, source, matches)
    imports = _imports(language, source, matches)
    known = outline.names() | _bound_names(language, imports)
    captures = _cursor(ready.names).captures(root)
    typed = _typed(language, source, matches, outline, known)
    told = known | outline.holders() | {row.name.partition(".")[0] for row in typed}
    return Parse(
        language=language.name,
        definitions=outline.definitions(matches),
        references=_references(language, source, captures, outline, known, told),
        imports=imports,
        typed=typed,
        exports=_exports(source, matches),
        bases=_bases(language, source, captures, outline),
        packages=_packages(language, source, matches),
        hidden=outline.hidden(matches),
        own_words=_own_words(language, source, outline),
    )


def parse_definitions(language: Language, source: bytes) -> tuple[Definition, ...]:
    """Return what `parse_blob` would say is defined in `source`, at half its cost; nothing where it would skip the file."""
    if why_skipped(source):
        return ()
    language = language_in(language, source)
    root = _tree(compiled(language.name).grammar, _masked(language, source))
    if root is None or _is_rubble(root):
        return ()
    matches = [captures for _, captures in _cursor(compiled(language.name).structure).matches(root)]
    return Outline(language, source, matches).definitions(matches)


def is_well_formed(language: Language | None, source: bytes) -> bool:
    """Return whether `source` parses without an error; True for an unknown language and for what is not worth parsing: it cannot be told."""
    if language is None or why_skipped(source):
        return True
    language = language_in(language, source)
    return not Parser(compiled(language.name).grammar).parse(_masked(language, source)).root_node.has_error


def why_skipped(source: bytes) -> str:
    """Return why a file is not worth parsing (too large, binary, minified), or ""."""
    if len(source) > MAX_FILE_BYTES:
        return TOO_LARGE
    if b"\0" in source[:BINARY_PREFIX_BYTES]:
        return "binary"
    if len(source) > MAX_LINE_BYTES and max(map(len, source.split(b"\n"))) > MAX_LINE_BYTES:
        return f"a line is longer than {MAX_LINE_BYTES} bytes"
    return ""


def _tree(grammar: Grammar, source: bytes) -> Node | None:
    """Return the root of the syntax tree, None when making it takes too long."""
    until: float | None = None
    calls = count(1)

    def read(at: int, _point: object) -> bytes:
        return source[at : at + READ_BYTES]

    def stop(_at: int, _has_error: bool) -> bool:
        nonlocal until
        if next(calls) % CALLS_A_LOOK:
            return False
        now = time.thread_time()
        until = now + MAX_PARSE_CPU_S if until is None else until
        return now > until

    try:
        return Parser(grammar).parse(read, progress_callback=stop).root_node
    except ValueError:  # how a stopped parser ends
        return None


def _masked(language: Language, source: bytes) -> bytes:
    """Return the source with what its grammar cannot know replaced by spaces, so that every other byte stays where it is."""
    if language.masked is None:
        return source

    def blank(found: re.Match[bytes]) -> bytes:
        start, end = found.span(found.lastindex or 0)
        whole, at = found.group(), found.start()
        return whole[: start - at] + b" " * (end - start) + whole[end - at :]

    return language.masked.sub(blank, source)


def _is_rubble(root: Node) -> bool:
    """Return whether an error node has so many children that querying them, quadratic in their number, would take seconds."""
    waiting = [root] if root.has_error else []
    while waiting:
        node = waiting.pop()
        if node.is_error and node.child_count > MAX_ERROR_CHILDREN:
            return True
        waiting += [child for child in node.children if child.has_error]
    return False


def _cursor(query: Query) -> QueryCursor:
    cursor = QueryCursor(query)
    cursor.set_max_start_depth(MAX_DEPTH)
    return cursor


# --- imports, exports, types ----------------------------------------------------------------------------------------------------------


def _imports(language: Language, source: bytes, matches: Sequence[Captures]) -> tuple[Import, ...]:
    found: dict[Import, None] = {}  # several matches may tell of one import
    for captures in matches:
        if "import" not in captures:
            continue
        parts = captures.get("import.module", captures["import"][:1])
        node = parts[0]
        module = ".".join("".join(text_of(source, part).split()) for part in parts) if "import.module" in captures else ""
        level = len(module) - len(module.lstrip(".")) if language.modules == "dotted" else 0
        if language.modules in ("packages", "crates"):
            module = re.sub(language.joints, ".", module)
        name = text_of(source, captures["import.name"][0]).strip("'\"") if "import.name" in captures else None
        if language.modules == "includes":
            if name is None and "import.star" not in captures:
                module = module.strip("<>")
            else:
                module, name = plain_type(language, module) or "", name and plain_type(language, name)
        if "import.star" in captures:
            name = "*"
        elif "import.default" in captures:
            name = "default"
        alias = text_of(source, captures["import.alias"][0]).strip("'\"") if "import.alias" in captures else None
        if name == "self":  # `use a::b::{self, c}` takes the module itself
            module, _, name = module.rpartition(".")
        found[Import(module[level:], name, alias, level, node.start_point.row + 1)] = None
    return tuple(found)


def bound_name(language: Language, binding: Import) -> str:
    """Return the name an import makes visible: "" for a star import or one for its effects only.

    `import a.b` makes `a` visible where modules are dotted names.
    """
    if binding.alias is not None:
        return binding.alias
    if binding.name is not None:
        return "" if binding.name == "*" else binding.name
    match language.modules:
        case "dotted" | "crates":
            return binding.module.partition(".")[0]
        case "folders":  # by custom the last part of the path, without the number of a major version
            *_, before, last = ("", *binding.module.split("/"))
            return before if before and re.fullmatch(r"v\d+", last) else last.partition(".v")[0]
    return ""


def _bound_names(language: Language, imports: Sequence[Import]) -> set[str]:
    """Return the names imports bind here, with "*" when there is a star import."""
    return {"*" if binding.name == "*" else bound_name(language, binding) for binding in imports} - {""}


def _exports(source: bytes, matches: Sequence[Captures]) -> dict[str, str]:
    exports: dict[str, str] = {}
    for captures in matches:
        if "export.local" not in captures:
            continue
        local = text_of(source, captures["export.local"][0])
        if "export.name" in captures:
            exports[text_of(source, captures["export.name"][0]).strip("'\"")] = local
        else:
            exports[local if "export.same" in captures else "default"] = local
    return exports


def _packages(language: Language, source: bytes, matches: Sequence[Captures]) -> tuple[str, ...]:
    """Return the packages a file says it belongs to, in order; one that is declared inside another is a part of it."""
    nodes = sorted((captures["package"][0] for captures in matches if "package" in captures), key=lambda node: node.start_byte)
    found: dict[str, None] = {}
    around: list[tuple[int, str]] = []
    for node in nodes:
        name = re.sub(rf"\s*(?:{language.joints})\s*", ".", text_of(source, node))
        while around and around[-1][0] <= node.start_byte:
            around.pop()
        name = f"{around[-1][1]}.{name}" if around else name
        found[name] = None
        around.append((node.parent.end_byte if node.parent is not None else node.end_byte, name))
    return tuple(found)


def _typed(language: Language, source: bytes, matches: Sequence[Captures], outline: Outline, known: set[str]) -> tuple[Typed, ...]:
    """Return the variables whose class may be one this repository defines.

    Where names come by imports alone, the type begins with what is defined or imported here, with the object itself, or with such a variable.
    """
    found: dict[Typed, None] = {}
    for captures in matches:
        if "type" in captures:
            kind = plain_type(language, text_of(source, captures["type"][0]))
        elif "made" in captures:
            kind = plain_path(language, text_of(source, captures["made"][0]))
            kind = kind if kind is None or kind.endswith("()") else f"{kind}()"
        else:
            continue
        if kind is None:
            continue
        for capture, prefix in _TYPED_CAPTURES:
            for node in captures.get(capture, ()):
                name = RETURNS if capture == "returns" else plain_path(language, text_of(source, node)) or ""
                if name == RETURNS or SIMPLE_NAME.fullmatch(name):
                    found[Typed(f"{prefix}{name}", kind, outline.owner_at(node.start_byte))] = None
    if language.shares_names:
        return tuple(found)
    roots = known | language.own
    waiting, kept = list(found), set[Typed]()
    while new := [row for row in waiting if _root(row.type) in roots]:
        kept.update(new)
        roots |= {row.name for row in new}
        waiting = [row for row in waiting if row not in kept]
    return tuple(row for row in found if row in kept)


# A member of the class is stored as one of the object itself, whatever the language calls that.
_TYPED_CAPTURES = (("typed", ""), ("typed.own", "."), ("returns", ""))


def _root(dotted: str) -> str:
    return dotted.partition(".")[0].removesuffix("()")


def _bases(language: Language, source: bytes, captures: Captures, outline: Outline) -> tuple[Base, ...]:
    """Return the bases of all classes, in order of position; a base that is an expression is none."""
    found: dict[Base, None] = {}
    for node in sorted(captures.get("base", ()), key=lambda node: node.start_byte):
        receiver, name = split_member(language, text_of(source, node))
        if receiver is not None:
            found[Base(outline.scope_at(node.start_byte), receiver, name, node.start_point.row + 1)] = None
    return tuple(found)


# --- references -----------------------------------------------------------------------------------------------------------------------


def _references(
    language: Language, source: bytes, captures: Captures, outline: Outline, known: set[str], told: set[str]
) -> tuple[Reference, ...]:
    """Return the uses of names that could lead somewhere.

    A name that is only mentioned is kept when it is defined or imported here, and a member when its receiver is, or when it belongs to the object
    itself: a mention is resolved by scope or not at all. All calls are kept but those of names that can only be built in. known: what is
    defined or imported here. told: with it, what holds members or has a type that can be told.
    """
    found: dict[tuple[ReferenceKind, str, str | None, int], list[int]] = {}
    starts, owners = outline.starts, outline.owners

    def add(kind: ReferenceKind, node: Node, name: str, receiver: str | None) -> None:
        owner = owners[bisect_right(starts, node.start_byte) - 1]
        if receiver == "" and (name, owner) in hidden and node.type != "type_identifier":
            return  # a variable of the function's own
        if only_by_import and kind == "call" and name in (language.builtins if receiver == "" else language.common):
            root = name if receiver == "" else _root(receiver or "")
            if root not in told and root not in language.own and receiver not in language.above:
                return
        key = (kind, name, receiver, owner)
        line = node.start_point.row + 1
        entry = found.get(key)
        if entry is None:
            found[key] = [line, 1]
        else:  # captures come in no order
            entry[0] = min(entry[0], line)
            entry[1] += 1

    every = "*" in known and not language.shares_names  # what a star import binds is known only where it is resolved
    only_by_import = not every and not language.shares_names
    taken = {node.start_byte for capture in ("skip", "local") for node in captures.get(capture, ())}
    hidden = {(text_of(source, node), owners[bisect_right(starts, node.start_byte) - 1]) for node in captures.get("local", ())}
    hidden = {(name, owner) for name, owner in hidden if owner != WHOLE_FILE}
    ends: set[int] = set()  # of member expressions: no two end at the same byte, as each ends with its own member's name
    for node in captures.get("base", ()):
        taken.add(node.start_byte)
        ends.add(node.end_byte)
    for node in captures.get("call", ()):
        add("call", node, text_of(source, node)[:MAX_NAME_CHARS], "")
        taken.add(node.start_byte)
    for node in captures.get("call.member", ()):
        receiver, name = _split(language, source, node.start_byte, node.end_byte)
        add("call", node, name, receiver)
        ends.add(node.end_byte)
    for node in captures.get("call.named", ()):
        named = node.child_by_field_name("name") or node.child_by_field_name("method")
        if named is not None:
            receiver, name = _split(language, source, node.start_byte, named.end_byte)
            add("call", node, name, receiver)
            ends.add(named.end_byte)
            taken.add(named.start_byte)
    for node in captures.get("call.token", ()):
        if not _OPENS.match(source, node.end_byte):
            continue
        before = _BEFORE_TOKEN.search(source, max(0, node.start_byte - MAX_MEMBER_BYTES), node.start_byte)
        receiver, name = _split(language, source, before.start() if before else node.start_byte, node.end_byte)
        add("call", node, name, receiver)
        taken.add(node.start_byte)
    for node in captures.get("use.member", ()):
        if node.end_byte not in ends:
            receiver, name = _split(language, source, node.start_byte, node.end_byte)
            if receiver is not None:
                add("name", node, name, receiver)
        ends.add(node.end_byte)
        taken.add(node.start_byte)
    for node in captures.get("member", ()):
        if node.end_byte in ends:
            taken.add(node.start_byte)
            continue
        receiver, name = _split(language, source, node.start_byte, node.end_byte)
        if receiver is not None and (_root(receiver) in known or receiver in language.own):
            add("name", node, name, receiver)
            taken.add(node.start_byte)
    for capture in ("name", "use"):
        for node in captures.get(capture, ()):
            start = node.start_byte
            if start in taken or node.end_byte in ends:
                continue
            name = source[start : node.end_byte].decode("utf-8", "replace")
            if capture == "use" or name in known or every:
                add("name", node, name, "")
    rows = [Reference(*key, line, uses) for key, (line, uses) in found.items()]
    return tuple(sorted(rows, key=lambda row: (row.line, row.owner, row.kind, row.receiver or "", row.name, row.receiver is None)))


# Where the parser saw only single tokens: what follows a name that is called, and what may lead to it.
_OPENS = re.compile(rb"\s*(?:!\s*[(\[{]|\()")
_BEFORE_TOKEN = re.compile(rb"(?:\w+\s*(?:\([^()]*\)\s*)?\??(?:\.|::)\s*)+\Z")


def _split(language: Language, source: bytes, start: int, end: int) -> tuple[str | None, str]:
    """Return (receiver, name) of the member expression between two bytes; the receiver is None unless it is simple."""
    cut = max(start, end - MAX_MEMBER_BYTES)  # a chain of calls can be as long as the file
    receiver, name = split_member(language, text_between(source, cut, end))
    return (receiver if cut == start else None), name


# --- words -------------------------------------------------------------------------------------------------------------------


def _own_words(language: Language, source: bytes, outline: Outline) -> tuple[dict[str, int], ...]:
    """Return the words of each owner: identifiers, comments and strings alike, without the language's keywords."""
    found: list[list[str]] = [[] for _ in range(len(outline.found) + 1)]
    for (start, end), owner in zip(pairwise([*outline.starts, len(source)]), outline.owners, strict=True):
        if start < end:
            found[owner + 1] += tokens(text_between(source, start, end))
    counted = []
    for part in found:
        counts = Counter(part)
        for word in language.keywords & counts.keys():
            del counts[word]
        counted.append(count_words(counts))
    return tuple(counted)
