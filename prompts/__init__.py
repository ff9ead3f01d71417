"""The texts a reader is handed, a model or a person: one Markdown file each, rendered strictly.

A file may open with a comment `<!-- variables: a, b -->`, which is not part of the text; `{{a}}` stands for a value. A missing value and an
unused one are both errors, so a text and its callers cannot drift apart. The hash of a text names its version in traces.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

_HEAD = re.compile(r"\A<!--\s*variables:(?P<names>.*?)-->\n*", re.DOTALL)
_SLOT = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Rendered:
    """A text ready to read, and the SHA-256 of the file it came from (values not included)."""

    text: str
    source_hash: str


def render(name: str, **values: str) -> Rendered:
    """Return the text `prompts/<name>.md` filled from `values`, as `fill` does. Raises FileNotFoundError for an unknown name."""
    return fill(_source(name), **values)


def source_hash(name: str) -> str:
    """Return the SHA-256 of the text `name` as it is shipped, which names its version in traces."""
    return hashlib.sha256(_source(name).encode()).hexdigest()


def _source(name: str) -> str:
    return resources.files("backstory.prompts").joinpath(f"{name}.md").read_text(encoding="utf-8")


def fill(source: str, **values: str) -> Rendered:
    """Return `source` with every `{{slot}}` filled from `values`.

    Values are inserted as they are and never filled again, so a value cannot name another slot.
    Raises KeyError if the variables declared, the slots used and `values` are not the same set of names.
    """
    head = _HEAD.match(source)
    text = source[head.end() :] if head else source
    declared = {word for word in re.split(r"[,\s]+", head["names"]) if word} if head else set()
    slots = set(_SLOT.findall(text))
    if not declared == slots == values.keys():
        raise KeyError(f"text declares {sorted(declared)}, uses {sorted(slots)}, was given {sorted(values)}")
    return Rendered(_SLOT.sub(lambda slot: values[slot[1]], text), hashlib.sha256(source.encode()).hexdigest())
