"""The words the history is written in: who did what, on which branch, to which files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MINA = "Mina Okafor <mina@example.org>"
JON = "Jon Brandt <jon@example.org>"
PRIYA = "Priya Raman <priya@example.org>"
TOMAS = "Tomas Lindqvist <tomas@example.org>"

Edit = tuple[str, str]
"""(what stands there, exactly once; what stands there afterwards)."""


@dataclass(frozen=True)
class Step:
    """One commit.

    move: new names by old ones, done first. write: whole new files. edit: changes to files that are there. reword: in a file, a word and the one
    that takes its place everywhere, done after the edits. delete: files that go.
    branch: where the commit goes; a new branch starts at the newest commit of main. merge: a branch that this commit brings into main, by making
    its edits again on main's files. tag: a name for the commit.
    """

    author: str
    message: str
    branch: str = "main"
    write: Mapping[str, str] = field(default_factory=dict)
    edit: Mapping[str, Sequence[Edit]] = field(default_factory=dict)
    reword: Mapping[str, Edit] = field(default_factory=dict)
    move: Mapping[str, str] = field(default_factory=dict)
    delete: Sequence[str] = ()
    merge: str | None = None
    tag: str | None = None
