"""The tools that change a tree: `edit`, `write`, `revert`, and `run` for what only a program can do.

Editing is replacement of text that occurs once. It is the form weak models get right most often, it needs no line numbers that shift, and it cannot
hit the wrong place. What a model copies is not always what stands there: line numbers in front, other line ends. Those are taken off when the rest
then matches exactly; nothing is ever matched "about". When nothing matches, the answer shows the text that comes nearest, so that the next try can
copy it.
"""

import ast
import re
from collections.abc import Callable
from difflib import SequenceMatcher

from backstory.errors import SandboxError
from backstory.graph.languages import language_of
from backstory.graph.parse import is_well_formed
from backstory.graph.types import RepoPath, Span
from backstory.tools.bounded import bounded
from backstory.tools.desk import Desk
from backstory.tools.diff import diff
from backstory.tools.numbered import lines_and_notes, numbered
from backstory.tools.tool import Arguments, Observation, Parameter, Tool
from backstory.tools.visible import visible

# What a model is shown of one program's output: enough for a failing test with its traceback.
OUTPUT_CHARS = 6_000
# Lines around a change that are shown after it.
CONTEXT_LINES = 3
SHOWN_LINES = 30
NEAREST_LINES = 12
# A text is compared with at most so many places of a file when the nearest one is looked for.
PLACES_COMPARED = 4_000
# Whoever writes more than this into one file at once is not editing.
MAX_TEXT_BYTES = 1 << 20
# Seconds a program may run unless it asks for others, and at most: a test file takes seconds, a suite minutes.
RUN_S, RUN_AT_MOST_S = 120, 600

# A line number in front of a copied line, as our own tools print it, and as others do with a blank after it.
_NUMBERS = (re.compile(r"^ *\d+[|:→\t]", re.M), re.compile(r"^ *\d+[|:→\t] ", re.M))


def editing_tools(desk: Desk, *, seconds_left: Callable[[], float | None]) -> tuple[Tool, ...]:
    """Return the tools that change the tree on `desk`. seconds_left: of the run's budget, None without limit."""
    return (
        Tool(
            "edit",
            "Replace text in a file. `old` must occur exactly once, copied exactly (indentation too, without line numbers).",
            (
                Parameter("path", "string", "file, relative to the repository", required=True),
                Parameter("old", "string", "the text to replace; enough lines to occur only once", required=True),
                Parameter("new", "string", "what to put in its place; empty deletes it", required=True),
            ),
            "changes",
            lambda arguments: _refusing(lambda: _edit(desk, arguments)),
        ),
        Tool(
            "write",
            "Write a whole file, new or in place of what is there. Without `content` the file is deleted.",
            (
                Parameter("path", "string", "file, relative to the repository", required=True),
                Parameter("content", "string", "the whole text of the file"),
            ),
            "changes",
            lambda arguments: _refusing(lambda: _write(desk, arguments)),
        ),
        Tool(
            "revert",
            "Go back: one file to the base, or the whole work tree to a checkpoint.",
            (
                Parameter("path", "string", "file to make as it was at the base"),
                Parameter("checkpoint", "integer", "number of the checkpoint to go back to; 0 is the base"),
            ),
            "changes",
            lambda arguments: _refusing(lambda: _revert(desk, arguments)),
        ),
        Tool(
            "run",
            "Run a shell command in the work tree, in a sandbox without network. For looking and trying; verdicts come from `check`.",
            (
                Parameter("command", "string", "for example: python -c 'import pkg; print(pkg.f(1))'", required=True),
                Parameter("seconds", "integer", f"time limit, at most {RUN_AT_MOST_S}", default=RUN_S),
            ),
            "runs",
            lambda arguments: _run(desk, arguments, seconds_left),
        ),
    )


def _refusing(effect: Callable[[], Observation]) -> Observation:
    try:
        return effect()
    except SandboxError as error:
        return Observation(f"refused: {error}", ok=False)


def _edit(desk: Desk, arguments: Arguments) -> Observation:
    path, old, new = (str(arguments[name]) for name in ("path", "old", "new"))
    content = desk.read(path)
    if content is None:
        return Observation(f"there is no file {path!r}; `find` looks for one, `write` makes one", ok=False)
    if b"\0" in content:
        return Observation(f"{path!r} is a binary file; it cannot be edited as text", ok=False)
    if not old:
        return Observation("`old` is empty; copy the text to replace, or use `write` for a whole file", ok=False)
    if len(new.encode("utf-8", "surrogateescape")) > MAX_TEXT_BYTES:
        return Observation(f"`new` is over {MAX_TEXT_BYTES >> 20} MB; an edit replaces a few lines", ok=False)
    text = content.decode("utf-8", "surrogateescape")
    for wanted, instead in _spellings(text, old, new):
        times = text.count(wanted)
        if times == 1 and wanted == instead:
            return Observation("`old` and `new` are the same; nothing to change", ok=False)
        if times == 1:
            return _changed(desk, path, text, text.replace(wanted, instead))
        if times > 1:
            lines = _lines_of(text, wanted)
            return Observation(
                f"`old` occurs {times} times in {path} (lines {', '.join(map(str, lines[:10]))}); add lines around it until it occurs once",
                ok=False,
            )
    if new and new != old and text.count(new) == 1 and len(new.splitlines()) > 1:
        return Observation(f"`old` is not in {path}, and `new` stands there already (line {_lines_of(text, new)[0]})", ok=False)
    return Observation(_not_found(path, text, old), ok=False)


def _spellings(text: str, old: str, new: str) -> list[tuple[str, str]]:
    """Return the readings of an edit, the literal one first: with the file's line ends, and without copied line numbers."""
    readings = [(old, new)]
    readings += [(number.sub("", old), number.sub("", new)) for number in _NUMBERS if len(number.findall(old)) >= len(old.splitlines())]
    if "\r\n" in text:
        readings += [tuple(part.replace("\r\n", "\n").replace("\n", "\r\n") for part in reading) for reading in readings]  # type: ignore[misc]
    return list(dict.fromkeys(readings))


def _changed(desk: Desk, path: str, before: str, after: str) -> Observation:
    desk.put(path, after.encode("utf-8", "surrogateescape"))
    return Observation(f"edited {path} (checkpoint {desk.next_checkpoint}){_warning(path, before, after)}\n{shown_change(before, after)}")


def _write(desk: Desk, arguments: Arguments) -> Observation:
    path, content = str(arguments["path"]), arguments["content"]
    before = desk.read(path)
    if content is None:
        if before is None:
            return Observation(f"there is no file {path!r} to delete", ok=False)
        desk.put(path, None)
        return Observation(f"deleted {path} (checkpoint {desk.next_checkpoint})")
    text = str(content)
    raw = text.encode("utf-8", "surrogateescape")
    if len(raw) > MAX_TEXT_BYTES:
        return Observation(f"`content` is over {MAX_TEXT_BYTES >> 20} MB; write smaller files", ok=False)
    if raw == before:
        return Observation(f"{path} is that already; nothing to change", ok=False)
    desk.put(path, raw)
    was = before.decode("utf-8", "replace") if before is not None else ""
    did = "wrote" if before is None else "rewrote"
    return Observation(f"{did} {path}, {len(text.splitlines())} lines (checkpoint {desk.next_checkpoint}){_warning(path, was, text)}")


def _run(desk: Desk, arguments: Arguments, seconds_left: Callable[[], float | None]) -> Observation:
    command, asked = str(arguments["command"]), arguments["seconds"]
    left = seconds_left()
    wall_s = min(
        float(asked if isinstance(asked, int) and asked > 0 else RUN_S),
        RUN_AT_MOST_S,
        max(1.0, left if left is not None else RUN_AT_MOST_S),
    )
    before = desk.tree
    execution = desk.run(command, wall_s=wall_s)
    text, dropped = bounded(
        visible(execution.output).rstrip("\n"), OUTPUT_CHARS, more="narrow the command, or write to a file and `read` it"
    )
    ended = f"stopped: {execution.stopped} limit" if execution.stopped else f"exit {execution.exit_code}"
    if execution.stopped == "wall":
        ended = f"stopped after {wall_s:g} s; it waits for input, or needs `seconds`"
    moved = f"; it changed files of the work tree (checkpoint {desk.next_checkpoint})" if desk.tree != before else ""
    return Observation(
        f"{ended}{moved}\n{text}".rstrip("\n"),
        ok=execution.exit_code == 0,
        exit_code=execution.exit_code,
        seconds=round(execution.seconds, 3),
        dropped_chars=dropped + execution.dropped_bytes,
    )


def shown_change(before: str, after: str) -> str:
    """Return the lines of `after` around what changed, numbered; removed lines are not shown."""
    old, new = _lines(before), _lines(after)
    spans: list[Span] = []
    for change in diff(old, new):
        around = Span(max(1, change.new_start + 1 - CONTEXT_LINES), min(len(new), change.new_stop + CONTEXT_LINES))
        if spans and around.first <= spans[-1].last + 1:
            around = Span(spans.pop().first, around.last)
        spans.append(around)
    rows = [row for span in spans for row in numbered(new, span).rows]
    more = [f"[... {len(rows) - SHOWN_LINES} more lines ...]"] if len(rows) > SHOWN_LINES else []
    return "\n".join([*rows[:SHOWN_LINES], *more])


def _warning(path: str, before: str, after: str) -> str:
    """Return what is wrong with the syntax now and was not before, or ""."""
    complaint = syntax_complaint(path, after)
    if not complaint or (before and syntax_complaint(path, before)):
        return ""
    return f"\nwarning: {complaint}"


def syntax_complaint(path: str, text: str) -> str:
    """Return why a file cannot be parsed, or "" when it can, or its language is not known."""
    if is_well_formed(language_of(RepoPath(path)), text.encode("utf-8", "surrogateescape")):
        return ""
    where = ""
    if path.endswith((".py", ".pyi")):
        try:
            ast.parse(text)
        except SyntaxError as error:
            where = f": {error.msg} (line {error.lineno})"
        except (ValueError, RecursionError, MemoryError):
            pass  # the parser above has spoken
    return f"{path} no longer parses{where}"


def _lines_of(text: str, wanted: str) -> list[int]:
    found, at = [], text.find(wanted)
    while at >= 0:
        found.append(text.count("\n", 0, at) + 1)
        at = text.find(wanted, at + 1)
    return found


def _lines(text: str) -> list[bytes]:
    """Return the lines of a file as `read` counts them."""
    return lines_and_notes(text.encode("utf-8", "surrogateescape"))[0]


def _not_found(path: str, text: str, old: str) -> str:
    lines = _lines(text)
    wanted = [line for line in old.splitlines() if line.strip()]
    if not wanted or not lines:
        return f"`old` is not in {path}"
    first = _nearest([line.decode("utf-8", "surrogateescape") for line in lines], wanted)
    if first is None:
        return f"`old` is not in {path}, and nothing there resembles it; `read` the place again"
    last = min(len(lines), first + min(NEAREST_LINES, max(len(old.splitlines()), 3)))
    nearest = "\n".join(numbered(lines, Span(first + 1, last)).rows)
    return f"`old` is not in {path}; the nearest text is\n{nearest}\ncopy it exactly, without the numbers"


def _nearest(lines: list[str], wanted: list[str]) -> int | None:
    """Return the index of the line where text like `wanted` begins, None when nothing is half as alike."""
    best, best_at = 0.5, None
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted[0].strip())
    rest = {line.strip() for line in wanted[1:]}
    for at, line in enumerate(lines[:PLACES_COMPARED]):
        matcher.set_seq1(line.strip())
        if matcher.real_quick_ratio() <= best - 0.5 or matcher.quick_ratio() <= best - 0.5:
            continue
        near = [other.strip() for other in lines[at + 1 : at + 1 + 2 * len(wanted)]]
        alike = matcher.ratio() + (sum(line in rest for line in near) / len(rest) if rest else 0.0)
        if alike > best:
            best, best_at = alike, at
    return best_at


def _revert(desk: Desk, arguments: Arguments) -> Observation:
    path, number = arguments["path"], arguments["checkpoint"]
    if (path is None) == (number is None):
        return Observation("give `path` (a file, as at the base) or `checkpoint` (everything, as it was then; 0 is the base)", ok=False)
    if isinstance(number, int):
        if not 0 <= number < desk.next_checkpoint:
            return Observation(f"there is no checkpoint {number}; the last is {desk.next_checkpoint - 1}", ok=False)
        desk.move_to(desk.checkpoints[number])
        changed = desk.changed()
        return Observation(f"back at checkpoint {number}: {', '.join(changed) if changed else 'nothing'} differs from the base")
    before = desk.tree
    desk.put_back(str(path))
    if desk.tree == before:
        return Observation(f"{path} is as at the base already", ok=False)
    return Observation(f"{path} is as at the base again (checkpoint {desk.next_checkpoint})")
