"""How names are spelled: what stands in a file as `ns::Box<T>*` or `this.store.open(path)` becomes dotted parts.

Everything after parsing speaks of names in one form, whatever a language writes between their parts: `ns.Box`, `this.store.open()`. A part that
is called ends with `()`, its arguments left out. An expression that is more than that, such as one in brackets, has no name: None.
"""

import re
from functools import cache

from backstory.graph.languages import Language

MAX_NAME_CHARS = 100  # names in broken or obfuscated files can be whole lines
MAX_NESTED = 8  # brackets within brackets that are folded; deeper ones are an expression

SIMPLE_NAME = re.compile(r"[\w$#]+(?:\.[\w$#]+)*")
_DOTTED = re.compile(r"[\w$#.]+")
_PATH = re.compile(r"[\w$#]+(?:\(\))?(?:\.[\w$#]+(?:\(\))?)*")
_LAST = re.compile(r"[\w$#~]+[!?]?$")
_CALLED = re.compile(r"\([^()]*\)")
_FOLDED = "\x01"  # stands for brackets and what was in them
# What stands before or behind the name of a type without changing whose members it has.
_TYPE_WORDS = re.compile(r"\b(?:const|volatile|struct|class|enum|union|typename|mut|dyn|impl|ref|readonly|final)\b|'\w+\b(?!')|[&*?!]")
_MAKING = re.compile(r"^(?:new|await)\s+")  # `new Shop().open()` is said of what `Shop()` is
_NOTHING = frozenset({"None", "null", "undefined", ""})


def split_member(language: Language, text: str) -> tuple[str | None, str]:
    """Return (receiver, name) of a member expression or a bare name: "" for a bare name's receiver, None for one that is an expression.

    >>> from backstory.graph.languages import language_named
    >>> split_member(language_named("java"), "this.shelf(1).open"), split_member(language_named("java"), "(a + b).open")
    (('this.shelf()', 'open'), (None, 'open'))
    """
    if "." in text and _DOTTED.fullmatch(text):  # nearly all of them
        receiver, _, name = text.rpartition(".")
        if _PATH.fullmatch(receiver):
            return (receiver if len(name) <= MAX_NAME_CHARS else None), name[:MAX_NAME_CHARS]
    text = _without_generics(language, text.rstrip(), "<>")
    found = _LAST.search(text)
    if found is None:
        return None, text[-MAX_NAME_CHARS:]
    name, before = found.group(), text[: found.start()]
    if len(name) > MAX_NAME_CHARS:
        return None, name[:MAX_NAME_CHARS]
    name = name.lstrip(language.sigils) if language.sigils else name
    if not before.strip(language.sigils):
        return "", name
    joint = _joint(language.joints, at_end=True).search(before)
    if joint is not None and not before[: joint.start()].strip():  # `\\strlen` and `::Top` begin at the top of all names
        return "", name
    return (None if joint is None else plain_path(language, before[: joint.start()])), name


def plain_path(language: Language, text: str) -> str | None:
    """Return an expression as dotted parts, those that are called marked with `()`; None when it is anything else.

    >>> from backstory.graph.languages import language_named
    >>> plain_path(language_named("python"), "super(Shop, self)"), plain_path(language_named("python"), "rows[0]")
    ('super()', None)
    """
    if not language.sigils and _PATH.fullmatch(text):
        return text
    text = _without_generics(language, _MAKING.sub("", text.strip(), count=1), "<>")
    for _ in range(MAX_NESTED):
        if "(" not in text:
            break
        text = _CALLED.sub(_FOLDED, text)
    text = _joint(language.joints).sub(".", text.replace(_FOLDED, "()")).removeprefix(".")
    if text.startswith("@") and "@" in language.sigils:  # a member of the object itself
        text = f"self.{text}"
    for sigil in language.sigils:
        text = text.replace(sigil, "")
    return text if _PATH.fullmatch(text) else None


def plain_type(language: Language, text: str) -> str | None:
    """Return the class whose members a written type has, as dotted parts; None when it has no name, as an array has none.

    >>> from backstory.graph.languages import language_named
    >>> plain_type(language_named("python"), "'Shop | None'"), plain_type(language_named("java"), "Map.Entry<K, V>")
    ('Shop', 'Map.Entry')
    """
    if SIMPLE_NAME.fullmatch(text):
        return None if text in language.keywords and text not in language.own else text
    text = " ".join(text.split())
    for _ in range(MAX_NESTED):
        text = _TYPE_WORDS.sub(" ", text.strip("'\"")).strip()
        inner = _argument(language, text)
        if inner is None:
            break
        text = inner
    if "|" in text:
        choices = [choice for choice in map(str.strip, text.split("|")) if choice not in _NOTHING]
        text = choices[0] if len(choices) == 1 else ""
    text = _joint(language.joints).sub(".", _without_generics(language, text, language.generics)).strip(". ")
    return text if SIMPLE_NAME.fullmatch(text) and (text not in language.keywords or text in language.own) else None


def plain_name(language: Language, text: str) -> tuple[str, str]:
    """Return (owner, name) of a definition: `A::B<T>::f` is defined in `A.B` as `f`. The owner is "" for a plain name."""
    text = "".join(text.split()).strip("'\"")
    named_last = text.find("operator")  # what follows it in C++ is the name, whatever it holds
    at = text.rfind("::", 0, named_last if named_last >= 0 else len(text))
    if at < 0:
        return "", (text if named_last >= 0 else _without_generics(language, text, language.generics))[:MAX_NAME_CHARS] or "default"
    owner, name = plain_type(language, text[:at]) or "", text[at + 2 :]
    return owner, (name if named_last >= 0 else _without_generics(language, name, language.generics))[:MAX_NAME_CHARS]


def _argument(language: Language, text: str) -> str | None:
    """Return the first type argument of a wrapper."""
    if not language.wrappers or not text.endswith((">", "]")):
        return None
    outer, bracket, rest = text.partition(language.generics[:1])
    if not bracket or re.split(language.joints, outer.strip())[-1] not in language.wrappers:
        return None
    depth = 0
    for place, character in enumerate(rest):
        if character in "<[(":
            depth += 1
        elif depth and character in ">])":
            depth -= 1
        elif character in ",>])" and not depth:
            return rest[:place]
    return None


def _without_generics(language: Language, text: str, brackets: str) -> str:
    """Return text without type arguments, as far as they follow a name; `rows[0]` is none, so square brackets count in types alone."""
    if not brackets or brackets != language.generics or brackets[0] not in text:
        return text
    for _ in range(MAX_NESTED):
        shorter = _GENERIC[brackets].sub("", text)
        if shorter == text:
            break
        text = shorter
    return text


# `f::<T>()` and `this.<T>f()` have a joint before the bracket.
_GENERIC = {"<>": re.compile(r"(?<=\w)(?:::)?\s?<[^<>();]*>(?!\w)|(?<=\.)<[^<>();]*>"), "[]": re.compile(r"(?<=\w)\[[^\[\];]*\](?!\w)")}


@cache
def _joint(joints: str, *, at_end: bool = False) -> re.Pattern[str]:
    return re.compile(rf"\s*[?!]?(?:{joints})\s*{'$' if at_end else ''}")
