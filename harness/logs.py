"""What the log of a test run says, read as the official graders read it: the name of each test with how it ended.

A log is text that the code under test can write into, so nothing here is to be believed by itself: these readings give the official-compatible verdict
that stands beside our own. They follow the official ones where those are odd: in most forms a name ends at its first blank, the last word on a name
counts, and sympy's runner ends a file's last line with a mark that hides that test.

The names of the forms are those of the official graders; several of them read alike.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, get_args

from backstory.errors import UserError

Word = Literal["PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL"]
"""How a test ended; XFAIL is a failure that was expected."""

Reader = Callable[[str], dict[str, Word]]

_WORDS: Final[tuple[Word, ...]] = get_args(Word)
_CONTROL = re.compile(r"[\x01-\x1f]")
_COLOUR = re.compile(r"\[\d+m")
_OPTION = re.compile(r"(.*?)\[(.*)\]")
_SKIPPED_PLACE = re.compile(r"\[\d+\]")  # "SKIPPED [2] tests/a.py:12: why" names a place and no test
_SYMPY_FAILED = re.compile(r"(_*) (.*)\.py:(.*) (_*)")
_SYMPY_ENDS: Mapping[str, Word] = {" E": "ERROR", " F": "FAILED", " ok": "PASSED"}
_UNITTEST_LINE = re.compile(r"^(?P<name>\S.*?) \.\.\. (?P<word>ok|FAIL|ERROR|skipped|expected failure|unexpected success)")
_UNITTEST_FAILED = re.compile(r"^(?P<word>FAIL|ERROR): (?P<name>\S+ \([\w.]+\))", re.MULTILINE)


def read_pytest(log: str) -> dict[str, Word]:
    """Return what pytest's short summary (`-rA`) says, a name up to its first blank."""
    return {words[0]: word for word, words in _summary(log.split("\n"))}


def read_pytest_options(log: str) -> dict[str, Word]:
    """The same, with a path in a test's parameters cut to its last part, which alone is the same on every machine."""
    return {_without_folders(name): word for name, word in read_pytest(log).items()}


def read_pytest_coloured(log: str) -> dict[str, Word]:
    """The same from coloured output, with whole names, and from lines that end in the word (`-v`)."""
    found: dict[str, Word] = {}
    for line in log.split("\n"):
        # In this order, since a colour is a control character and the bracket behind it.
        plain = _CONTROL.sub("", _COLOUR.sub("", line))
        at_end = next((word for word in _WORDS if plain.endswith(word)), None)
        if plain.startswith(_WORDS):
            found |= {
                " ".join(words): word for word, words in _summary([plain.partition(" - ")[0] if plain.startswith("FAILED") else plain])
            }
        elif at_end is not None and plain.split()[-1] == at_end and len(plain.split()) > 1:
            found[" ".join(plain.split()[:-1])] = at_end
    return found


def read_sympy(log: str) -> dict[str, Word]:
    """Return what sympy's own runner (`bin/test --verbose`) says, by bare names, and `file.py:name` for each traceback."""
    found: dict[str, Word] = {f"{path}.py:{name}": "FAILED" for _, path, name, _ in _SYMPY_FAILED.findall(log)}
    for line in map(str.strip, log.splitlines()):
        word = next((word for end, word in _SYMPY_ENDS.items() if line.endswith(end)), None)
        if word is not None and line.startswith("test_"):
            found[line.split()[0]] = word
    return found


def read_unittest(log: str) -> dict[str, Word]:
    """Return what unittest's verbose runner says, by `name (class)`."""
    words: Mapping[str, Word] = {
        "ok": "PASSED",
        "FAIL": "FAILED",
        "ERROR": "ERROR",
        "skipped": "SKIPPED",
        "expected failure": "XFAIL",
        "unexpected success": "FAILED",
    }
    found = {match["name"].strip(): words[match["word"]] for line in log.splitlines() if (match := _UNITTEST_LINE.match(line))}
    return found | {match["name"]: words[match["word"]] for match in _UNITTEST_FAILED.finditer(log)}


RECORDED = "recorded"
"""The form of logs that no grader reads: what was recorded outside the tree is all there is."""

READERS: Final[Mapping[str, Reader]] = {
    RECORDED: lambda log: {},
    "pytest": read_pytest,
    "parse_log_pytest": read_pytest,
    "parse_log_pytest_options": read_pytest_options,
    "parse_log_pytest_v2": read_pytest_coloured,
    **{f"parse_log_{name}": read_pytest for name in ("astroid", "flask", "marshmallow", "pvlib", "pyvista", "sqlfluff", "xarray")},
    **{f"parse_log_{name}": read_pytest_options for name in ("pydicom", "requests", "pylint")},
    **{f"parse_log_{name}": read_pytest_coloured for name in ("astropy", "scikit", "sphinx")},
    "sympy": read_sympy,
    "parse_log_sympy": read_sympy,
    "unittest": read_unittest,
}


def reader_named(name: str) -> Reader:
    """Return the reader of that name. Raises UserError for a form that nobody reads here."""
    found = READERS.get(name)
    if found is None:
        raise UserError(f"logs of the form {name!r} cannot be read; there are {', '.join(READERS)}")
    return found


def _summary(lines: Iterable[str]) -> Iterator[tuple[Word, list[str]]]:
    """Yield the word that a line begins with, and the words behind it; a word with something written against it ("PASSEDX a") is none."""
    for line in lines:
        words = (line.replace(" - ", " ") if line.startswith("FAILED") else line).split()
        word = next((word for word in _WORDS if words and line.startswith(word) and words[0] == word), None)
        if word is not None and len(words) > 1 and not (word == "SKIPPED" and _SKIPPED_PLACE.fullmatch(words[1])):
            yield word, words[1:]


def _without_folders(name: str) -> str:
    found = _OPTION.search(name)
    if found is None:
        return name
    main, option = found.groups()
    if option.startswith("/") and not option.startswith("//") and "*" not in option:
        option = f"/{option.rpartition('/')[2]}"
    return f"{main}[{option}]"
