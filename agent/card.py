"""The repository card: what an engineer who knows a repository would say of it in half a page, for a reader who has never seen it.

It is found by reading files and history, with no model; the same commit always gives the same bytes, so that a server's prefix cache holds across
steps, attempts and issues. Its size is bounded: facts are gathered with a rank, and while the card is too long the least of them goes. What is
obvious from a listing of the tree is left out; a card says where the weight lies, how things are done here, and what moved lately.

Names, versions and quoted words are the repository's own: each stands on one line, cleaned of what cannot be seen, cut short, and the first line
says whose they are. Nothing of it is obeyed or run here.
"""

import math
import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from backstory.graph.languages import language_of
from backstory.graph.repograph import RepoGraph
from backstory.graph.selection import place_of
from backstory.graph.types import Oid, RepoPath
from backstory.tools.commands import find_check_command
from backstory.tools.formats import text_of
from backstory.tools.libraries import find_libraries
from backstory.tools.manifest import find_conventions, find_entry_points
from backstory.tools.visible import one_line

CARD_TOKENS = 600
# No tokenizer is asked, so that the card does not depend on the model. Cards of six repositories run at 2.9 to 3.3 bytes a token (docs/log.md,
# 2026-11-25), so counting at less overstates a little and keeps the promise.
BYTES_PER_TOKEN = 2.75
# No single fact, however long its path or its sentence, may crowd out the others.
FACT_CHARS = 120
PURPOSE_CHARS = 70

MAX_PARTS = 14
# A folder that holds more than this share of the code is no part but the whole: its own folders are the parts.
WHOLE_SHARE = 0.35
KEY_SYMBOLS = 3
# How much a file counts for the size of a part: tests matter, but there are as many of them as of anything; texts and examples hardly do.
KIND_WEIGHTS: Mapping[str, float] = {"code": 1.0, "test": 0.25, "prose": 0.02, "aside": 0.02}
# What changed lately: enough commits for a ranking, few enough to be about the present.
LATELY_COMMITS = 500
# A companion is told when at least this share of the recent changes to code came with it (a rarer one is no convention), out of at least so many.
COMPANION_SHARE = 0.25
COMPANION_CHANGES = 20
MAX_HOT_SPOTS = 8
MAX_PATHS = 30  # a change of more files is a move or a reformatting: it tells of no file in particular
PURPOSE_BYTES = 20_000

_HEAD = "Facts read from the repository's files and history at the base commit. Names and words in quotes are the repository's own."
_DOCSTRING = re.compile(r'\A\ufeff?(?:\s|#[^\n]*\n)*[rRuU]?(?:"""(.*?)"""|\'\'\'(.*?)\'\'\'|"([^"\n]*)")', re.DOTALL)
_GO_PACKAGE = re.compile(r"(?:^//[^\n]*\n)+(?=package )", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n\s*\n")
_MARKUP = re.compile(r"^(?:#|[=*~^\-_ ]+$|\.\. |<|\[!|!\[|:\w+:)")


@dataclass(frozen=True)
class _Section:
    """Facts of one kind, best first. each: how much worse each next fact is than the one before, 0 for those that always stay."""

    title: str
    facts: Sequence[str]
    each: float
    inline: bool = False

    def text(self, kept: int) -> str:
        if not kept:
            return ""
        if self.inline:
            return f"{self.title}: {', '.join(self.facts[:kept])}\n"
        return f"{self.title}:\n" + "".join(f"- {fact}\n" for fact in self.facts[:kept])


def repository_card(graph: RepoGraph, *, tokens: int = CARD_TOKENS) -> str:
    """Return what there is to know of a repository at the commit of `graph`, in at most `tokens` tokens as `card_tokens` counts them.

    The same for the same commit, whatever else the store or the mirror holds. Ends with a newline.
    """
    files = graph.files()

    def read(path: RepoPath) -> bytes | None:
        return graph.text(path) if path in files else None

    place = {path: place_of(path, is_test=graph.code.is_test(path)) for path in files}
    check = find_check_command(files.keys(), read)
    recent = _recent_commits(graph)
    programs = [path for path in files if place[path] == "code"]
    versions = [f"{library.name} {library.version}".strip() for library in find_libraries(files.keys(), read)]
    return _fitted(
        [
            _Section("Test command", [f"{check.command} (from {check.found_in})"] if check else [], 0, inline=True),
            _Section("Languages", _languages(place), 0, inline=True),
            _Section("Parts", _parts(graph, place), 1.0),
            _Section("Entry points", find_entry_points(programs, read), 1.2),
            _Section("Conventions", [*find_conventions(files.keys(), read), *_companions(graph, recent)], 1.0),
            _Section(f"Changed most in the last {len(recent)} commits (in so many)", _hot_spots(graph, recent, place), 1.0),
            _Section("Libraries", versions, 0.6, inline=True),
        ],
        tokens,
    )


def card_tokens(text: str) -> int:
    """Return how many tokens a text is taken to be, rounded up."""
    return math.ceil(len(text.encode("utf-8")) / BYTES_PER_TOKEN)


def _fitted(sections: Sequence[_Section], tokens: int) -> str:
    """Return the card with as many facts as fit; the worst by rank go first, of equals the one of the last section."""
    cut = [
        _Section(section.title, [one_line(fact, limit=FACT_CHARS) for fact in section.facts], section.each, section.inline)
        for section in sections
    ]
    kept = [len(section.facts) for section in cut]
    while True:
        card = f"{_HEAD}\n" + "".join(section.text(count) for section, count in zip(cut, kept, strict=True))
        if card_tokens(card) <= tokens or not any(kept):
            return card
        worst = max((number for number, count in enumerate(kept) if count), key=lambda number: (kept[number] * cut[number].each, number))
        kept[worst] -= 1


def _languages(place: Mapping[RepoPath, str]) -> list[str]:
    counts = Counter(language.name for path in place if (language := language_of(path)) is not None)
    return [f"{name} {count} files" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


# --- parts ----------------------------------------------------------------------------------------------------------------------------


def _parts(graph: RepoGraph, place: Mapping[RepoPath, str]) -> list[str]:
    """Return one line for each folder that is a part of the whole: what it holds and what for, those with most code first."""
    held: dict[str, list[RepoPath]] = {folder: [] for folder in _folders(place)}
    for path in sorted(place):
        folder = posixpath.dirname(path)
        while folder and folder not in held:
            folder = posixpath.dirname(folder)
        if folder:
            held[folder].append(path)
    kinds = {folder: Counter(place[path] for path in paths) for folder, paths in held.items()}
    sizes = {folder: sum(KIND_WEIGHTS[kind] * count for kind, count in counts.items()) for folder, counts in kinds.items()}
    users = dict(zip(graph.code.nodes, graph.code.users().tolist(), strict=True))
    lines = []
    for folder in islice(sorted((folder for folder in held if held[folder]), key=lambda folder: (-sizes[folder], folder)), MAX_PARTS):
        other = kinds[folder]["prose"] + kinds[folder]["aside"]
        counts = ((kinds[folder]["code"], "code"), (kinds[folder]["test"], "test"), (other, "other"))
        line = f"{folder}/ " + ", ".join(f"{count} {name}" for count, name in counts if count)
        purpose = _purpose(graph, folder)
        line += f'; "{purpose}"' if purpose else ""
        names = _key_symbols(graph, held[folder], users) if kinds[folder]["code"] else []
        for place_in_line, name in enumerate(names):
            longer = f"{line}{', ' if place_in_line else '; '}{name}"
            line = longer if len(longer) <= FACT_CHARS else line
        lines.append(line)
    return lines


def _folders(place: Mapping[RepoPath, str]) -> list[str]:
    """Return the folders to speak of: the top ones, and those in one that holds much of the code, besides it."""
    code: Counter[str] = Counter()
    children: dict[str, set[str]] = {}
    for path, kind in place.items():
        folder: str = path
        while folder:
            parent = posixpath.dirname(folder)
            code[parent] += kind == "code"
            if folder != path:
                children.setdefault(parent, set()).add(folder)
            folder = parent
    found: list[str] = []
    opened = [""]
    while opened:
        for child in sorted(children.get(opened.pop(), ())):
            found.append(child)
            if code[child] > WHOLE_SHARE * code[""]:
                opened.append(child)
    return found


def _purpose(graph: RepoGraph, folder: str) -> str:
    """Return the first sentence of what a folder's own files say it is for, "" when none does."""
    files = graph.files()
    for name, said in (("__init__.py", _docstring), ("doc.go", _go_comment), ("README.md", _first_prose), ("README.rst", _first_prose)):
        path = RepoPath(f"{folder}/{name}")
        if path in files:
            text = said(text_of(graph.text(path)[:PURPOSE_BYTES]))
            sentence = one_line(_SENTENCE_END.split(text.strip(), maxsplit=1)[0], limit=PURPOSE_CHARS).replace('"', "'")
            if len(sentence.split()) > 1:
                return sentence
    return ""


def _docstring(source: str) -> str:
    match = _DOCSTRING.match(source)
    return _first_prose(next((group for group in match.groups() if group), "")) if match else ""


def _go_comment(source: str) -> str:
    match = _GO_PACKAGE.search(source)
    return match[0].replace("//", " ") if match else ""


def _first_prose(text: str) -> str:
    """Return what follows the titles, badges and directives at the head of a text."""
    paragraphs = re.split(r"\n\s*\n", text)
    for paragraph in paragraphs:
        lines = paragraph.strip().splitlines()
        if lines and not any(_MARKUP.match(line) for line in lines):
            return paragraph
    return ""


def _key_symbols(graph: RepoGraph, paths: Sequence[RepoPath], users: Mapping[str, int]) -> list[str]:
    """Return the names of the public definitions at the top of some files that most other files use."""
    symbols = [symbol for path in paths for symbol in graph.code.symbols(path)]
    named = [symbol for symbol in symbols if "." not in symbol.qualname and not symbol.qualname.startswith("_") and users[symbol.id]]
    best = sorted(named, key=lambda symbol: (-users[symbol.id], symbol.id))
    return list(dict.fromkeys(symbol.qualname for symbol in best))[:KEY_SYMBOLS]


# --- history --------------------------------------------------------------------------------------------------------------------------


def _recent_commits(graph: RepoGraph) -> list[Oid]:
    """Return the newest commits that changed something, but not so much that they tell of no file in particular; those of bots tell of none."""
    newest = list(islice((oid for oid in graph.order() if 0 < len(graph.changed_paths(oid)) <= MAX_PATHS), LATELY_COMMITS))
    return [oid for oid in newest if not graph.message(oid).is_bot]


def _hot_spots(graph: RepoGraph, recent: Sequence[Oid], place: Mapping[RepoPath, str]) -> list[str]:
    counts = Counter(path for oid in recent for path in set(graph.changed_paths(oid)) if path is not None and place.get(path) == "code")
    best = sorted(counts, key=lambda path: (-counts[path], path))[:MAX_HOT_SPOTS]
    return [f"{path} {counts[path]}" for path in best if counts[path] > 1]


def _companions(graph: RepoGraph, recent: Sequence[Oid]) -> list[str]:
    """Return what recent changes of code were accompanied by: tests, and texts or top folders of texts.

    Files gone since count too: notes of a change are often gathered and removed at the next release.
    """
    seen: Counter[str] = Counter()
    changes = 0
    for oid in recent:
        paths = [change.path for change in graph.commit(oid).changes]
        kinds = {path: place_of(path, is_test=graph.code.is_test(path)) for path in paths}
        if "code" not in kinds.values():
            continue
        changes += 1
        texts = {path for path in paths if kinds[path] == "prose"}
        seen.update({path if "/" not in path else f"{path.partition('/')[0]}/" for path in texts})
        seen["tests"] += "test" in kinds.values()
    told = [name for name in sorted(seen, key=lambda name: (-seen[name], name)) if seen[name] >= COMPANION_SHARE * changes]
    if changes < COMPANION_CHANGES or not told:
        return []
    return [
        f"of {changes} recent changes to code, so many also changed: " + ", ".join(f"{name} {seen[name] / changes:.0%}" for name in told)
    ]
