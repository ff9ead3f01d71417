"""What goes to a person's screen: progress on standard error, results on standard output, nothing that drives the terminal from outside.

On a terminal progress is live (phases with bars and counts, by rich); elsewhere it is one plain line when a phase begins to count and one when
it ends. Everything printed here passes through `clean`, because names, messages and output of a repository may hold control sequences; the few
sequences for colour are added after that.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Protocol

from backstory.tools.visible import one_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

DEFAULT_WIDTH = 80  # columns where neither COLUMNS nor a terminal says
# Plain progress repeats itself at most this often within one phase, so that a log of a long run shows life without flooding.
PLAIN_EVERY_S = 15.0

_STYLES = {"bold": "1", "dim": "2", "good": "32", "bad": "31", "notice": "33", "name": "36"}


@dataclass(frozen=True)
class Appearance:
    """How one stream is written to. live: the cursor may move; width: columns."""

    colour: bool
    live: bool
    width: int


def appearance(environ: Mapping[str, str], *, is_terminal: bool, terminal_width: int | None = None) -> Appearance:
    """Return how to write to a stream, after NO_COLOR, FORCE_COLOR, COLUMNS and TERM=dumb (in that order of strength for colour)."""
    dumb = environ.get("TERM", "") in ("dumb", "unknown")
    if environ.get("NO_COLOR"):
        colour = False
    elif environ.get("FORCE_COLOR"):
        colour = environ["FORCE_COLOR"] != "0"
    else:
        colour = is_terminal and not dumb
    columns = environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and int(columns) > 0 else terminal_width or DEFAULT_WIDTH
    return Appearance(colour, is_terminal and not dumb, width)


def styled(text: str, style: str, look: Appearance) -> str:
    """Return `text` in a named style where colour is wanted; `text` must be clean already."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if look.colour else text


class Screen(Protocol):
    """Where long work says how far it is, and what a person should know meanwhile."""

    def report(self, phase: str, done: int, total: int | None) -> None:
        """Take the state of a phase; the shape of `backstory.graph.types.Report`."""

    def note(self, text: str, *, style: str = "") -> None:
        """Show one line that stays."""

    def at_work(self, name: str, doing: str) -> None:
        """Show what one of several that are worked on at once is at, "" when it has ended; from any thread."""

    def close(self) -> None:
        """Leave the screen in order; more may be noted after it."""


@dataclass
class Silent:
    """Shows nothing, for `--quiet`; warnings are still written."""

    stream: IO[str]

    def report(self, phase: str, done: int, total: int | None) -> None:
        """Show nothing."""

    def note(self, text: str, *, style: str = "") -> None:
        """Show the line if it is a warning."""
        if style == "notice":
            _write_line(self.stream, one_line(text, limit=1000))

    def at_work(self, name: str, doing: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Leave everything as it is."""


@dataclass
class Plain:
    """One line when a phase begins, one when it ends, and a sign of life in between."""

    stream: IO[str]
    look: Appearance
    clock: Callable[[], float] = time.monotonic
    _phase: str = ""
    _counts: str = ""
    _written: str = ""
    _spoke_at: float = 0.0

    def report(self, phase: str, done: int, total: int | None) -> None:
        """Write a line if the phase is new or complete, or if nothing was written for a while."""
        fresh, complete = phase != self._phase, done == total
        if fresh:
            self._end_phase()
        self._phase, self._counts = phase, counted(done, total)
        if fresh or complete or self.clock() - self._spoke_at >= PLAIN_EVERY_S:
            self._speak()

    def note(self, text: str, *, style: str = "") -> None:
        """Write the line."""
        line = one_line(text, limit=1000)
        _write_line(self.stream, styled(line, style, self.look) if style else line)

    def at_work(self, name: str, doing: str) -> None:
        """Write nothing: lines of several at once would say little."""

    def close(self) -> None:
        """Write where the last phase ended."""
        self._end_phase()
        self._phase = self._counts = self._written = ""

    def _end_phase(self) -> None:
        if self._phase and self._written != self._line():
            self._speak()

    def _line(self) -> str:
        return f"{one_line(self._phase)} {self._counts}".rstrip()

    def _speak(self) -> None:
        line = self._line()
        if line != self._written:
            _write_line(self.stream, line)
            self._written = line
        self._spoke_at = self.clock()


@dataclass
class Live:
    """Phases with bars and counts that move in place, and below them a row for each that is worked on at once."""

    stream: IO[str]
    look: Appearance
    _bars: "Progress | None" = None
    _tasks: dict[str, "TaskID"] = field(default_factory=dict)
    _at_work: dict[str, "TaskID"] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def report(self, phase: str, done: int, total: int | None) -> None:
        """Move the bar of `phase`; a new phase closes the one before."""
        bars = self._open()
        name = one_line(phase, limit=40)
        if name not in self._tasks:
            self._settle(bars)
            self._tasks[name] = bars.add_task(name, total=total, counts="")
        bars.update(self._tasks[name], completed=done, total=total, counts=counted(done, total))

    def note(self, text: str, *, style: str = "") -> None:
        """Write the line above the bars."""
        line = one_line(text, limit=1000)
        line = styled(line, style, self.look) if style else line
        if self._bars is None:
            _write_line(self.stream, line)
            return
        from rich.text import Text

        self._bars.console.print(Text.from_ansi(line), soft_wrap=True)

    def at_work(self, name: str, doing: str) -> None:
        """Move the row of `name`, which goes when it has ended."""
        with self._lock:
            if self._bars is None:
                return
            if not doing:
                task = self._at_work.pop(name, None)
                if task is not None:
                    self._bars.remove_task(task)
                return
            doing = one_line(doing, limit=60)
            if name in self._at_work:
                self._bars.update(self._at_work[name], counts=doing)
            else:
                self._at_work[name] = self._bars.add_task(one_line(name, limit=40), total=None, counts=doing)

    def close(self) -> None:
        """Stop the bars where they are."""
        with self._lock:
            if self._bars is not None:
                for task in self._at_work.values():
                    self._bars.remove_task(task)
                self._settle(self._bars)
                self._bars.stop()
            self._bars, self._tasks, self._at_work = None, {}, {}

    def _open(self) -> "Progress":
        if self._bars is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            console = Console(
                file=self.stream,
                force_terminal=True,
                color_system="standard" if self.look.colour else None,
                width=self.look.width,
                markup=False,
                highlight=False,
                _environ={},  # what the environment says is in `look` already
            )
            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=min(30, self.look.width // 3)),
                TextColumn("{task.fields[counts]}", markup=False),
                TimeElapsedColumn(),
                console=console,
            )
            self._bars.start()
        return self._bars

    def _settle(self, bars: "Progress") -> None:
        """Show every phase so far as finished, so that no bar of unknown length goes on moving."""
        for task in bars.tasks:
            if not task.finished and task.id not in self._at_work.values():
                bars.update(task.id, total=max(task.completed, 1), completed=max(task.completed, 1))
                bars.stop_task(task.id)


def open_screen(stream: IO[str], look: Appearance, *, quiet: bool) -> Screen:
    """Return the way to show progress on `stream`."""
    if quiet:
        return Silent(stream)
    return Live(stream, look) if look.live else Plain(stream, look)


def counted(done: int, total: int | None) -> str:
    """Return counts for a person: `12 of 40`, `1,200`, or nothing before anything is counted.

    >>> counted(1200, None), counted(3, 40), counted(0, None)
    ('1,200', '3 of 40', '')
    """
    if total is not None:
        return f"{done:,} of {total:,}"
    return f"{done:,}" if done else ""


def _write_line(stream: IO[str], line: str) -> None:
    stream.write(line + "\n")
    stream.flush()
