"""What every command is given: the environment, the streams, how much to say, and the configuration.

One value of this class stands between the commands and the process, so a command neither looks at the environment nor writes to a stream by
itself. Results go to `out`, everything else to `err`.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from backstory.config import Config, Folders, Layer, Value
    from backstory.harness.github import Access
    from backstory.harness.show import Line
    from backstory.issue import IssueText
    from backstory.terminal import Appearance, Screen


@dataclass
class Face:
    """The process as a command sees it. quiet, verbose: set by the options of the command."""

    environ: Mapping[str, str]
    out: TextIO
    err: TextIO
    stdin: IO[bytes]
    quiet: bool = False
    verbose: bool = False

    def folders(self) -> "Folders":
        """Return where things are kept. Raises UserError for a wrong override."""
        from backstory.config import folders

        return folders(self.environ)

    def config(self, flags: "Mapping[str, Value] | None" = None, *, project: "Layer | None" = None) -> "Config":
        """Return the configuration in force, its warnings said. Raises UserError."""
        from backstory.config import load

        loaded = load(flags=flags or {}, environ=self.environ, folders=self.folders(), project=project)
        for warning in loaded.warnings:
            self.warn(warning)
        return loaded

    def issue(self, argument: str) -> "IssueText":
        """Return the issue that an argument stands for, with its notes said."""
        from backstory.harness.github import fetch_issue
        from backstory.issue import read_issue

        access = self.github()
        issue = read_issue(argument, stdin=lambda: self.stdin, fetch=lambda address: fetch_issue(address, access))
        for note in issue.notes:
            self.warn(note)
        return issue

    def github(self) -> "Access":
        """Return how the user reaches GitHub's API."""
        from backstory.harness.github import Access

        return Access(self.environ.get("GITHUB_TOKEN") or None, self.environ.get("GITHUB_API_URL") or None)

    @contextmanager
    def screen(self) -> "Iterator[Screen]":
        """Yield the place for progress; it is left in order however the block ends."""
        from backstory.terminal import open_screen

        screen = open_screen(self.err, self._look(self.err), quiet=self.quiet)
        try:
            yield screen
        finally:
            screen.close()

    def say(self, text: str = "", *, style: str = "") -> None:
        """Write lines of a result for a person, cleaned of what could drive the terminal."""
        from backstory.terminal import styled
        from backstory.tools.visible import clean

        visible = clean(text).text
        self.out.write((styled(visible, style, self._look(self.out)) if style and visible else visible) + "\n")

    def say_lines(self, lines: "list[Line]") -> None:
        """Write lines that carry their style."""
        for line in lines:
            self.say(line.text, style=line.style)

    def give(self, value: object) -> None:
        """Write a result for a program: one JSON object, in ASCII, so that nothing in it can drive a terminal."""
        self.out.write(json.dumps(value, indent=2 if self.out.isatty() else None) + "\n")

    def give_bytes(self, content: bytes) -> None:
        """Write bytes as they are, or cleaned if a person's terminal would receive them."""
        if self.out.isatty():
            self.say(content.decode("utf-8", "replace").rstrip("\n"))
            return
        self.out.flush()
        self.out.buffer.write(content)
        self.out.buffer.flush()

    def warn(self, text: str) -> None:
        """Write one line of warning, even when quiet."""
        from backstory.terminal import styled
        from backstory.tools.visible import one_line

        self.err.write(styled(f"backstory: {one_line(text, limit=1000)}", "notice", self._look(self.err)) + "\n")

    def _look(self, stream: TextIO) -> "Appearance":
        from backstory.terminal import appearance

        return appearance(self.environ, is_terminal=stream.isatty(), terminal_width=shutil.get_terminal_size().columns)


def process_face(environ: Mapping[str, str]) -> Face:
    """Return the face of this process. Text that the streams' encoding lacks is written as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIO) or hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return Face(environ, sys.stdout, sys.stderr, sys.stdin.buffer)
