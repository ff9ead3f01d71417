r"""Reads the arguments of a tool call as models write them: JSON, or something that was meant to be JSON.

What is JSON is read as JSON. Anything else goes through a reader that forgives what can only mean one thing: code fences around it, text encoded
twice, trailing and missing commas, single quotes, triple quotes, Python's `True` and `None`, bare keys, raw newlines and tabs in strings, escapes
JSON does not know (`"\d"`), and quotes inside a string that were not escaped. A quote ends a string only where the object could go on after it: before
`}`, before `,` and the next key. What stays in doubt is not guessed: the answer is then a sentence that says where reading stopped.

The reader looks at each character a bounded number of times, so a reply of megabytes costs milliseconds, whatever is in it.

>>> read_object("{'path': 'a.py', all: True,}")
{'path': 'a.py', 'all': True}
>>> read_object('{"old": "say("hi")", "new": "x"}')
{'old': 'say("hi")', 'new': 'x'}
"""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeAlias

Object: TypeAlias = Mapping[str, Any]

_DEEPEST: Final = 40  # levels of nesting; no tool takes more than two, and the reader recurses
_ENCODED_TWICE: Final = 3  # times a text that holds the text of an object is opened; more was never seen
_EXCERPT_CHARS: Final = 24  # shown of the place where reading stopped

_SPACE = re.compile(r"\s*")
_FENCE = re.compile(r"\A\s*```[\w+-]*[ \t]*\n(?P<body>.*?)\n?[ \t]*```\s*\Z", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_$][\w$-]*")
_NUMBER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])")
_STRING_STOPS: Final = {quote: re.compile(r"[\\" + quote + "]") for quote in "\"'`"}
_ESCAPE = re.compile(r"\\(?:u(?P<hex>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})|x(?P<byte>[0-9a-fA-F]{2})|(?P<char>[\s\S]))?")
_PLAIN_ESCAPES: Final = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "b": "\b",
    "f": "\f",
    "\\": "\\",
    "/": "/",
    '"': '"',
    "'": "'",
    "`": "`",
    "\n": "",
}
_WORDS: Final[Mapping[str, Any]] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None, "undefined": None,
}  # fmt: skip
# What follows the quote that ends a value: the end of the object (and of what holds it), or a comma and the next key.
_NEXT_KEY = r"""(?:"[^"\\\n]{1,64}"|'[^'\\\n]{1,64}'|[A-Za-z_$][\w$-]{0,64})\s*[:=](?!=)"""  # no parameter's name is longer than 64
_AFTER_VALUE = re.compile(r"\s*(?:,\s*(?:" + _NEXT_KEY + r"|[}\])]|\Z)|[}\])][\s}\]),;`]*(?:\Z|<|\[)|\Z|\n\s*" + _NEXT_KEY + ")")
_AFTER_ARGUMENT = re.compile(r"\s*(?:,\s*(?:[A-Za-z_]\w{0,64}\s*=(?!=)|\))|\)|\Z)")
_AFTER_ITEM = re.compile(r"""\s*(?:,\s*(?:["'\[{\d\]-]|[tfnTFN]\w+\s*[,\]])|\]|\Z)""")
_AFTER_KEY = re.compile(r"\s*(?::|=(?!=))")


def read_object(text: str, *, whole: bool = True) -> Object | str:
    """Return the object that `text` is or was meant to be, or half a sentence on why it cannot be read.

    whole: whether the text is known to be all there is of it. If not (a reply cut at its limit), a missing end is not made up for. No text at
    all is an object without keys, which is how several servers write a call without arguments.
    """
    value: object = text
    for _ in range(_ENCODED_TWICE):
        if not isinstance(value, str):
            break
        inner = _unfenced(value.strip())
        if not inner:
            return {} if whole else "they are empty"
        try:
            value = json.loads(inner, strict=False, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            try:
                value = _Reader(inner, whole=whole).outermost()
            except _Unreadable as error:
                return str(error)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return {}
    return value if isinstance(value, dict) else f"they are {_KINDS.get(type(value), 'no object')}, not an object"


def is_object(text: str) -> bool:
    """Return whether `text` is a JSON object as it is."""
    try:
        return isinstance(json.loads(text, parse_constant=_refuse_constant), dict)
    except (ValueError, RecursionError):
        return False


def read_values(text: str, at: int, *, whole: bool = True) -> tuple[Object, int] | str:
    """Return the object (or Python's keyword arguments) that begins with the bracket at `at`, and the place behind it."""
    try:
        value, end = _DECODER.raw_decode(text, at)
        return value, end
    except (ValueError, RecursionError):
        pass
    try:
        reader = _Reader(text, whole=whole, at=at)
        value = reader.object(0)
    except _Unreadable as error:
        return str(error)
    return value, reader.at


_KINDS: Final[Mapping[type, str]] = {str: "a text", int: "a number", float: "a number", bool: "true or false", list: "a list"}


class _Unreadable(Exception):
    """Why reading stopped, as half a sentence."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are no JSON, whatever Python says


_DECODER: Final = json.JSONDecoder(strict=False, parse_constant=_refuse_constant)


def _unfenced(text: str) -> str:
    found = _FENCE.match(text)
    return found["body"].strip() if found else text


class _Reader:
    """Reads one value from a place in a text, forgiving what the module says."""

    def __init__(self, text: str, *, whole: bool, at: int = 0) -> None:
        self.text = text
        self.whole = whole
        self.at = at

    def outermost(self) -> Any:
        """Return the value the text consists of. Words before the first brace and after the last are no part of it."""
        start = min((place for bracket in "{[\"'" if (place := self.text.find(bracket)) >= 0), default=-1)
        if start < 0:
            raise _Unreadable(f"they are no object: {_excerpt(self.text, 0)}")
        self.at = start
        value = self.value(0, _AFTER_VALUE)
        self.space()
        if self.at < len(self.text) and self.text[self.at] in "{[\"':":
            raise _Unreadable(f"something follows the end of the object at character {self.at}: {_excerpt(self.text, self.at)}")
        return value

    def value(self, depth: int, after: re.Pattern[str]) -> Any:
        """Read a value. after: what follows the quote that ends it, if it is a text."""
        if depth > _DEEPEST:
            raise _Unreadable(f"they are nested more than {_DEEPEST} levels deep")
        self.space()
        here = self.text[self.at : self.at + 1]
        if here == "{":
            return self.object(depth)
        if here == "[":
            return self.list(depth)
        if here in ('"', "'", "`") and here:
            return self.string(after)
        number = _NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            return _number(number[0])
        word = _WORD.match(self.text, self.at)
        if word and word[0] in _WORDS:
            self.at = word.end()
            return _WORDS[word[0]]
        if word and after is not _AFTER_ITEM and after.match(self.text, word.end()):
            self.at = word.end()
            return word[0]  # a bare word: `{"mode": skeleton}`
        raise self.stopped("a value is missing or not quoted")

    def object(self, depth: int) -> dict[str, Any]:
        """Read `{...}`, or `(...)` with Python's keyword arguments."""
        close = {"{": "}", "(": ")"}[self.text[self.at]]
        self.at += 1
        values: dict[str, Any] = {}
        while True:
            self.skip(",")
            if self.ended(close):
                return values
            key = self.key()
            self.space()
            self.at += 1  # the colon, which `key` has seen
            values[key] = self.value(depth + 1, _AFTER_VALUE if close == "}" else _AFTER_ARGUMENT)
            if close == ")" and self.text[self.at : self.at + 1] not in (",", ")", "") and not self.text[self.at].isspace():
                raise self.stopped("a comma is missing")

    def list(self, depth: int) -> list[Any]:
        self.at += 1
        values: list[Any] = []
        while True:
            self.skip(",")
            if self.ended("]"):
                return values
            values.append(self.value(depth + 1, _AFTER_ITEM))

    def key(self) -> str:
        here = self.text[self.at]
        if here in "\"'`":
            key = self.string(_AFTER_KEY)
        else:
            word = _WORD.match(self.text, self.at)
            if word is None:
                raise self.stopped("a key is missing")
            self.at = word.end()
            key = word[0]
        if not _AFTER_KEY.match(self.text, self.at):
            raise self.stopped(f"no colon follows the key {_excerpt(key, 0)}")
        return key

    def string(self, after: re.Pattern[str]) -> str:
        """Read a string, which ends at the first quote that something matching `after` follows."""
        quote, start = self.text[self.at], self.at
        triple = quote * 3
        if quote != "`" and self.text.startswith(triple, self.at):
            end = self.text.find(triple, self.at + 3)
            if end >= 0 and after.match(self.text, end + 3):
                self.at = end + 3
                return self.text[start + 3 : end].removeprefix("\n")
        pieces: list[str] = []
        stops, at = _STRING_STOPS[quote], start + 1
        while (stop := stops.search(self.text, at)) is not None:
            pieces.append(self.text[at : stop.start()])
            if stop[0] == quote:
                if after.match(self.text, stop.end()):
                    self.at = stop.end()
                    return _paired("".join(pieces))
                pieces.append(quote)
                at = stop.end()
            else:
                found = _ESCAPE.match(self.text, stop.start())
                assert found is not None
                pieces.append(_escaped(found))
                at = found.end()
        self.at = start
        raise self.stopped("the text that begins here does not end")

    def ended(self, close: str) -> bool:
        """Step over the closing bracket. Where the text ends without one: said to be whole, it counts as there."""
        self.space()
        if self.at >= len(self.text):
            if self.whole:
                return True
            raise self.stopped(f"the closing {close!r} is missing")
        if self.text[self.at] in ")}]":
            if self.text[self.at] != close:
                raise self.stopped(f"{close!r} belongs here")
            self.at += 1
            return True
        return False

    def skip(self, character: str) -> None:
        self.space()
        while self.text.startswith(character, self.at):
            self.at += 1
            self.space()

    def space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def stopped(self, why: str) -> _Unreadable:
        return _Unreadable(f"{why}, at character {self.at}: {_excerpt(self.text, self.at)}")


def _number(text: str) -> int | float:
    if text.lower().lstrip("-").startswith("0x"):
        return int(text, 16)
    try:
        return int(text)
    except ValueError:
        return float(text)


def _escaped(found: re.Match[str]) -> str:
    """Return what an escape stands for; one that JSON does not know was meant as it is written."""
    code = found["hex"] or found["long"] or found["byte"]
    if code:
        return chr(int(code, 16)) if int(code, 16) <= sys.maxunicode else found[0]
    return _PLAIN_ESCAPES.get(found["char"], found[0]) if found["char"] else found[0]


def _paired(text: str) -> str:
    """Return `text` with the two halves of a character beyond the 16-bit plane, as JSON escapes them, made one."""
    return (
        text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") if any("\ud800" <= c <= "\udbff" for c in text) else text
    )


def _excerpt(text: str, at: int) -> str:
    shown = text[at : at + _EXCERPT_CHARS]
    return repr(shown) + ("..." if len(text) > at + _EXCERPT_CHARS else "")
