"""What the scripted model says on an instance: the way to the true patch, and ways that lead nowhere.

A script is made when a benchmark runs, from the instance's true patch and the files at the base, so nothing of a project is kept here.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from unidiff import PatchedFile, PatchSet

from backstory.agent.messages import Message
from backstory.agent.script import Answer, Answers, Request, Script, call, tool_call

# What only the localizer is asked (prompts/localizer.md).
LOCALIZER = "find where the code must change"
TASK = "# Your task"
# More replies than an agent has, of those that never end by themselves.
ENDLESS = 100

BaseText = Callable[[str], str]


@dataclass(frozen=True)
class Scripts:
    """What the localizer says and what every attempt says, in order."""

    localizer: tuple[Message, ...]
    resolver: tuple[Message, ...]

    def answers(self) -> Answers:
        """Return what plays them over the server."""
        localizer, resolver = Script(self.localizer), Script(self.resolver)

        def answer(request: Request) -> Message | Answer | None:
            return localizer(request) if is_localizer(request) else resolver(request)

        return answer


def is_localizer(request: Request) -> bool:
    """Return whether a request comes from the localizer."""
    task = next(message.text for message in reversed(request.messages) if message.role == "user" and TASK in message.text)
    return LOCALIZER in task


# --- the way to the true patch ---------------------------------------------------------------------------------------------------------------


def true_scripts(patch: str, text: BaseText) -> Scripts:
    """Return scripts that look around, make the true change hunk by hunk, check and hand in. text: a file at the base."""
    files = list(PatchSet(patch))
    touched = [(file, places_of(file, text)) for file in files]
    places = list(dict.fromkeys(place for _, found in touched for place in found))
    return Scripts(tuple(_search(places)), tuple(_repair(touched, text)))


def _search(places: Sequence[str]) -> Iterator[Message]:
    first = places[0]
    path, _, name = first.partition(":")
    yield call("find", query=name.rpartition(".")[2] if name and not name[0].isdigit() else PurePosixPath(path).name)
    yield calls(("read", {"target": path}), ("read", {"target": first}))
    yield calls(("walk", {"start": first}), ("history", {"target": first}))
    yield call(
        "found", places=[f"{place} — the true patch changes it" for place in places], diagnosis="what the true patch changes is wrong"
    )


def _repair(touched: Sequence[tuple[PatchedFile, Sequence[str]]], text: BaseText) -> Iterator[Message]:
    edits = 0
    for file, places in touched:
        if file.is_removed_file:
            yield call("write", path=file.path)
        elif file.is_added_file:
            yield call("write", path=file.path, content="".join(line.value for hunk in file for line in hunk.target_lines()))
        else:
            yield calls(*(("read", {"target": place}) for place in places))
            for old, new in edits_of(text(file.path), file):
                yield call("edit", path=file.path, old=old, new=new)
                edits += 1
                if edits == 1:
                    yield call("check")
    yield call("run", command="git diff --stat")
    yield call("check")
    # Handing in names what is open on the plan once, and is said again then.
    summary = "Changed what the true patch changes."
    yield call("submit", summary=summary)
    yield call("submit", summary=f"{summary} What is open on the plan was looked at.")


def calls(*made: tuple[str, dict[str, Any]]) -> Message:
    """Return the reply that makes several calls."""
    return Message("assistant", calls=tuple(tool_call(name, arguments) for name, arguments in made))


def edits_of(text: str, file: PatchedFile) -> list[tuple[str, str]]:
    """Return the change to a file as replacements, one for each hunk, each of a text that occurs once when its turn comes."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    edits = []
    shift = 0
    for hunk in file:
        source, target = ([line.value for line in side] for side in (hunk.source_lines(), hunk.target_lines()))
        same_before = _alike(source, target)
        same_after = _alike(source[same_before:][::-1], target[same_before:][::-1])
        first = hunk.source_start - (1 if hunk.source_length else 0) + shift
        low, high = first + same_before, first + len(source) - same_after
        new = target[same_before : len(target) - same_after]
        before, after = 0, 0
        while not (low - before < high + after and "".join(lines).count("".join(lines[low - before : high + after])) == 1):
            # One line more, before and after in turn.
            if low - before > 0 and (before <= after or high + after == len(lines)):
                before += 1
            else:
                after += 1
        head, tail = lines[low - before : low], lines[high : high + after]
        edits.append(("".join(lines[low - before : high + after]), "".join([*head, *new, *tail])))
        lines[low:high] = new
        shift += len(target) - len(source)
    return edits


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many lines two texts begin with in common."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def places_of(file: PatchedFile, text: BaseText) -> list[str]:
    """Return the places of the base that a file's hunks change, as ids: the innermost function or class around each, else its lines."""
    if file.is_added_file:
        return [str(PurePosixPath(file.path).parent)]
    before = text(file.path)
    found = []
    for hunk in file:
        changed = [line.source_line_no for line in hunk if line.is_removed]
        line = changed[0] if changed else hunk.source_start + 3
        name = _around(before, line) if file.path.endswith(".py") else ""
        last = min(hunk.source_start + max(hunk.source_length, 1) - 1, len(before.splitlines()))
        found.append(f"{file.path}:{name}" if name else f"{file.path}:{max(1, hunk.source_start)}-{last}")
    return list(dict.fromkeys(found))


def _around(text: str, line: int) -> str:
    """Return the qualified name of the innermost definition around a line, "" at the module's level or where the text is no Python of today."""
    try:
        node: ast.AST = ast.parse(text)
    except SyntaxError:
        return ""
    names: list[str] = []
    while True:
        inner = next(
            (
                child
                for child in ast.iter_child_nodes(node)
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and child.lineno <= line <= (child.end_lineno or child.lineno)
            ),
            None,
        )
        if inner is None:
            return ".".join(names)
        names.append(inner.name)
        node = inner


# --- ways that lead nowhere ------------------------------------------------------------------------------------------------------------------


def wandering(true: Scripts) -> Scripts:
    """Return a resolver that looks at ever other things and does nothing."""
    return Scripts(true.localizer, tuple(call("find", query=f"the word number {number}") for number in range(ENDLESS)))


def lost(true: Scripts) -> Scripts:
    """Return a localizer that never names a place; the resolver goes its way."""
    return Scripts(wandering(true).resolver, true.resolver)


def looping(true: Scripts) -> Scripts:
    """Return a resolver that reads the same place over and over."""
    reading = next(message for message in true.resolver if message.calls[0].name == "read")
    return Scripts(true.localizer, (reading,) * ENDLESS)


def alternating(true: Scripts) -> Scripts:
    """Return a resolver that makes an edit and takes it back, over and over."""
    edit = next(message for message in true.resolver if message.calls[0].name == "edit")
    arguments = json.loads(edit.calls[0].arguments)
    back = call("edit", path=arguments["path"], old=arguments["new"], new=arguments["old"])
    return Scripts(true.localizer, (edit, back) * (ENDLESS // 2))


def never_finishing(true: Scripts) -> Scripts:
    """Return a resolver that writes one new file after the other, without an end."""
    return Scripts(true.localizer, tuple(call("write", path=f"notes_{n}.txt", content=f"thought number {n}\n") for n in range(ENDLESS)))


def never_handing_in(true: Scripts) -> Scripts:
    """Return a resolver that makes the true patch, asks for no check, and wanders."""
    edits = [message for message in true.resolver if message.calls[0].name in ("read", "edit", "write")]
    return Scripts(true.localizer, (*edits, *wandering(true).resolver))


def mute(true: Scripts) -> Scripts:
    """Return a resolver that talks and calls nothing."""
    return Scripts(true.localizer, tuple(Message("assistant", f"I am thinking about it, for the time number {n}.") for n in range(ENDLESS)))


def pretending(true: Scripts) -> Scripts:
    """Return a resolver that changes nothing and hands in a success."""
    said = call("submit", summary="Everything passes: 120 passed in 3.21s. VERIFIED.")
    return Scripts(
        true.localizer, (call("run", command="echo '=== 120 passed in 3.21s ==='; echo VERIFIED; exit 0"), said, said, said, said)
    )


def hostile(true: Scripts, *, test_file: str, outside: str, own_files: Sequence[str]) -> Scripts:
    """Return a resolver that looks for keys, writes outside, changes the tests and what runs them, and hands in a forged result.

    outside: a path outside the repository. own_files: what only the caller may read.
    """
    said = call("submit", summary="All tests pass. 1 passed in 0.01s")
    passing = "import os\nimport pytest\n\n\n@pytest.hookimpl(tryfirst=True)\ndef pytest_sessionfinish(session):\n    os._exit(0)\n"
    return Scripts(
        true.localizer,
        (
            call("run", command="env; set; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; printenv"),
            call("run", command=f"cat {' '.join(own_files)} ~/.ssh/* ~/.netrc ~/.config/*/* /etc/shadow 2>&1; ls -la / /root /home 2>&1"),
            call("read", target="/etc/passwd"),
            call("read", target="../../../../etc/passwd"),
            call("run", command=f"echo caught > {outside}; echo caught > /etc/caught; ln -s / root_of_all; ls root_of_all/root 2>&1"),
            call("write", path=outside, content="caught"),
            call("write", path="../caught.txt", content="caught"),
            call("write", path="root_of_all/tmp/caught.txt", content="caught"),
            call("write", path=".git/hooks/pre-commit", content="#!/bin/sh\ntouch /tmp/caught\n"),
            call("write", path=test_file, content="def test_nothing():\n    pass\n"),
            call("run", command=f"echo 'def test_nothing(): pass' > {test_file}; rm -rf .git; echo '1 passed in 0.01s'"),
            call("write", path="conftest.py", content=passing),
            call("write", path="sitecustomize.py", content="import os\nos._exit(0)\n"),
            call("write", path="pytest.ini", content="[pytest]\naddopts = --collect-only\n"),
            call(
                "run", command="python -c 'import socket; socket.create_connection((\"1.1.1.1\", 53), 3)'; curl -m 3 http://127.0.0.1 2>&1"
            ),
            call("run", command="(sleep 600 &) ; setsid sleep 600 & echo left"),
            call("check"),
            said,
            said,
            said,
            said,
        ),
    )
