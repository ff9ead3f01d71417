"""What an issue's text itself points at: paths, dotted modules, names, traceback frames, code.

Everything here is a pure reading of the text; no repository is consulted. Whether a mentioned path or name exists, and where, is for
`backstory.agent.places` to say. Recognised traceback forms are those of Python (the plain one, pytest's, and IPython's two) and of
JavaScript engines (V8's `at f (file:1:2)` and the `f@file:1:2` of the others).
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

# A paste of logs may hold millions of lines; this much of it is read, half at the beginning, where the complaint is, and half at the end, where the
# log stops at the fault. A search stays bounded.
MAX_CHARS = 200_000
# No path, name or line of a traceback is longer; cutting what is keeps every pattern below linear in practice (encoded images, minified code).
_TOO_LONG_WORD = re.compile(r"\S{301,}")
_TOO_LONG_LINE = re.compile(r"([^\n]{2000})[^\n]+")

# How much a name counts by where it stands, for one mention. Blocks hold much that only sets the scene.
TITLE_WEIGHT = 3.0
INLINE_WEIGHT = 2.0
PROSE_WEIGHT = 1.0
BLOCK_WEIGHT = 0.5


@dataclass(frozen=True)
class Frame:
    """One line of a traceback. depth: 0 for the innermost frame of its traceback, 1 for its caller, and so on; line 0 when not told."""

    path: str
    line: int
    function: str
    depth: int


@dataclass(frozen=True)
class Mention:
    """A path written in the text; first and last lines when it names some, else 0."""

    path: str
    first: int = 0
    last: int = 0


@dataclass(frozen=True)
class Clues:
    """What the text points at; each tuple in the order of the text, without repeats.

    title: the first line. prose: the text without blocks of code, addresses and comments of its template. blocks: fenced or indented code.
    modules: dotted names. names: weight of each identifier, by where it stands. errors: exception names.
    """

    title: str
    prose: str
    blocks: tuple[str, ...]
    paths: tuple[Mention, ...]
    modules: tuple[str, ...]
    names: Mapping[str, float]
    frames: tuple[Frame, ...]
    errors: tuple[str, ...]


_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_FENCE = re.compile(r"^[ \t]*(```|~~~)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.S | re.M)
_INDENTED = re.compile(r"(?:^(?: {4}|\t)[^\n]*\n?|^[ \t]*>>> [^\n]*\n?)+", re.M)
_INLINE = re.compile(r"``?([^`\n]{1,200})``?")
_URL = re.compile(r"https?://[^\s<>()\[\]\"'`]+")
_CODE_URL = re.compile(
    r"https?://[^\s/]+/[^\s/]+/[^\s/]+/(?:blob|tree|blame|raw)/[^/\s]+/(?P<path>[^\s#?)\]>\"'`]+)(?:#L(?P<first>\d+)(?:-L?(?P<last>\d+))?)?"
)
_PATH = re.compile(
    r"(?<![\w@])(?P<path>(?:[A-Za-z]:)?[\w.+~@-]*(?:[/\\][\w.+@-]+)*[/\\]?[\w+@-]+\.[A-Za-z][A-Za-z0-9]{0,4})(?::(?P<line>\d+))?(?![\w/\\(])"
)
_DOTTED = re.compile(r"(?<![\w./\\@-])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_FROM = re.compile(r"^[ \t>]*from\s+([\w.]+)\s+import\s+\(?([^\n#)]+)", re.M)
_IMPORT = re.compile(r"^[ \t>]*import\s+([\w.]+)", re.M)
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_CALLED = re.compile(r"[A-Za-z_$][\w$]*(?=\()")
_ERROR = re.compile(r"\b(?:[a-z_]\w*\.)*([A-Z]\w*(?:Error|Exception|Warning|Interrupt|Exit))\b")

# What a name must look like to count in prose: an underscore inside, mixed case inside, or letters mixed with digits.
_CODE_LIKE = re.compile(
    r"\w*[a-z0-9]_[a-z0-9]\w*|_+[a-z]\w+|[a-z]+[A-Z]\w*|[A-Z][a-z0-9]+[A-Z]\w*|[A-Z]{2,}[a-z]\w+|[A-Z][A-Z0-9]*_[A-Z0-9_]+", re.A
)

_PYTHON_FRAME = re.compile(r'^[^\n]{0,40}?File "(?P<path>[^"\n]+)", line (?P<line>\d+)(?:, in (?P<function>[^\n]+))?', re.M)
_IPYTHON_FRAME = re.compile(r"^(?:File )?(?P<path>[~/.\w][^\s:]*\.pyx?)(?::(?P<line>\d+))?,? in (?P<function>[\w.<>]+)\([^\n]*$", re.M)
_IPYTHON_LINE = re.compile(r"^-{1,5}> ?(\d+)\b", re.M)
_PYTEST_FRAME = re.compile(r"^(?:E[ \t]+)?(?P<path>[\w./\\~-]+\.py):(?P<line>\d+):(?: in (?P<function>\S+)| [A-Z][\w.]*)?[ \t]*$", re.M)
_V8_FRAME = re.compile(
    r"^[ \t]*at (?:async |new )?(?:(?P<function>[^\s(]+)(?: \[as [^\]]+\])? )?\(?(?P<path>[^\s()]+?):(?P<line>\d+):\d+\)?\s*$", re.M
)
_GECKO_FRAME = re.compile(r"^[ \t]*(?P<function>[\w$.<>/]*)@(?P<path>\S+?):(?P<line>\d+):\d+[ \t]*$", re.M)
_NEW_TRACEBACK = re.compile(r"^.{0,20}Traceback \(most recent call last\)|^_{3,} .* _{3,}$|^During handling of|^The above exception", re.M)

_STOP_NAMES = frozenset({"self", "cls", "None", "True", "False", "GitHub", "StackOverflow", "JavaScript", "TypeScript", "this"})


def find_clues(text: str) -> Clues:
    """Read `text`, whose first line is its title. Any text is accepted; of more than MAX_CHARS the middle is not read."""
    text = _COMMENT.sub(" ", _bounded(text))
    title, _, body = text.lstrip().partition("\n")
    prose, blocks = _split_blocks(_URL.sub(" ", body))
    frames = tuple(_frames(text))
    return Clues(
        title=title.strip(),
        prose=prose,
        blocks=tuple(blocks),
        paths=tuple(dict.fromkeys(_paths(text))),
        modules=tuple(dict.fromkeys(_modules(text))),
        names=_names(title, prose, blocks, frames),
        frames=frames,
        errors=tuple(dict.fromkeys(match[1] for match in _ERROR.finditer(text))),
    )


def ends(text: str) -> str:
    """Return a text without the middle of what is more than MAX_CHARS."""
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS // 2]}\n{text[-MAX_CHARS // 2 :]}"


def _bounded(text: str) -> str:
    text = ends(text).replace("\r\n", "\n")
    return _TOO_LONG_LINE.sub(r"\1", _TOO_LONG_WORD.sub(" ", text))


def _split_blocks(body: str) -> tuple[str, list[str]]:
    """Return the prose and the blocks of code of a Markdown body."""
    blocks: list[str] = []

    def take(match: re.Match[str], group: int) -> str:
        blocks.append(match[group])
        return "\n"

    body = _FENCE.sub(lambda match: take(match, 2), body)
    body = _INDENTED.sub(lambda match: take(match, 0), body)
    return body, blocks


def _paths(text: str) -> Iterator[Mention]:
    for match in _CODE_URL.finditer(text):
        first = int(match["first"] or 0)
        yield Mention(match["path"], first, int(match["last"] or first))
    for match in _PATH.finditer(_URL.sub(" ", text)):
        line = int(match["line"] or 0)
        yield Mention(match["path"].replace("\\", "/"), line, line)


def _modules(text: str) -> Iterator[str]:
    text = _URL.sub(" ", text)
    for match in _FROM.finditer(text):
        for part in match[2].split(","):
            name = part.split(" as ")[0].strip()
            yield f"{match[1]}.{name}" if name.isidentifier() else match[1]
    for match in _IMPORT.finditer(text):
        yield match[1]
    for match in _DOTTED.finditer(text):
        yield match[0]


def _names(title: str, prose: str, blocks: list[str], frames: tuple[Frame, ...]) -> dict[str, float]:
    """Return the identifiers with their weights, heaviest first; a repeat adds less each time (square root of the count)."""
    weights: Counter[str] = Counter()

    def add(names: Counter[str], weight: float) -> None:
        for name, count in names.items():
            if len(name) > 1 and name not in _STOP_NAMES and not name.isdigit():
                weights[name] += weight * count**0.5

    inline = Counter(name for match in _INLINE.finditer(prose) for name in _NAME.findall(match[1]))
    add(Counter(_code_names(title)) + Counter(name for match in _INLINE.finditer(title) for name in _NAME.findall(match[1])), TITLE_WEIGHT)
    add(inline, INLINE_WEIGHT)
    add(Counter(_code_names(_INLINE.sub(" ", prose))), PROSE_WEIGHT)
    for block in blocks:
        add(Counter(set(_NAME.findall(block))), BLOCK_WEIGHT)
    add(Counter(frame.function.split(".")[-1] for frame in frames if frame.function), PROSE_WEIGHT)
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0])))


def _code_names(text: str) -> Iterator[str]:
    """Yield the words of prose that look like identifiers: called, dotted, or written as only code is."""
    called = set(_CALLED.findall(text))
    dotted = {part for match in _DOTTED.finditer(text) for part in match[0].split(".")}
    for name in _NAME.findall(text):
        if name in called or name in dotted or _CODE_LIKE.fullmatch(name):
            yield name


def _frames(text: str) -> Iterator[Frame]:
    """Yield the frames of every traceback, in the order of the text."""
    starts = [0, *(match.start() for match in _NEW_TRACEBACK.finditer(text)), len(text)]
    for start, end in pairwise(starts):
        part = text[start:end]
        yield from _numbered(_python_frames(part), innermost_last=True)
        yield from _numbered(_script_frames(part), innermost_last=False)


def _numbered(frames: list[tuple[str, int, str]], *, innermost_last: bool) -> Iterator[Frame]:
    for index, (path, line, function) in enumerate(frames):
        depth = len(frames) - 1 - index if innermost_last else index
        yield Frame(path.replace("\\", "/"), line, function, depth)


def _python_frames(text: str) -> list[tuple[str, int, str]]:
    found = [
        (match.start(), match["path"], int(match["line"] or 0), (match["function"] or "").strip())
        for pattern in (_PYTHON_FRAME, _PYTEST_FRAME)
        for match in pattern.finditer(text)
    ]
    for match in _IPYTHON_FRAME.finditer(text):
        arrow = _IPYTHON_LINE.search(text, match.end())
        line = int(match["line"] or (arrow[1] if arrow else 0))
        found.append((match.start(), match["path"], line, match["function"]))
    return [(path, line, function) for _, path, line, function in sorted(found)]


def _script_frames(text: str) -> list[tuple[str, int, str]]:
    found = [
        (
            match.start(),
            re.sub(r"^(?:file|webpack|https?|webpack-internal)://+", "", match["path"]).split("?")[0],
            int(match["line"]),
            match["function"] or "",
        )
        for pattern in (_V8_FRAME, _GECKO_FRAME)
        for match in pattern.finditer(text)
    ]
    return [(path, line, function) for _, path, line, function in sorted(found)]
