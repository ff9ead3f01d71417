"""Writes the generated parts of the documentation, so that nothing the code says is typed a second time.

A part stands between `<!-- generated: name -->` and `<!-- end of name -->` in a Markdown page. `python docs/generate.py` fills every part;
`--check` changes nothing and fails with the names of the pages that are out of date.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click

from backstory.agent.faults import FAULTS
from backstory.cli import BROKEN_PIPE, PROGRAM, commands
from backstory.config import FOLDER_VARIABLES, keys
from backstory.errors import ExitCode

ROOT = Path(__file__).parent.parent
PAGES = (*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "AGENTS.md")
HELP_COLUMNS = 100
CALL_IN_TEXT = "text_tool_call"

_PART = re.compile(r"(?P<head><!-- generated: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(?P<tail><!-- end of (?P=name) -->)", re.DOTALL)

EXIT_WORDS: Mapping[ExitCode, str] = {
    ExitCode.VERIFIED: "Done; for `fix`: a verified patch, even if a limit was reached",
    ExitCode.INTERNAL: "A bug; the message says where the traceback is",
    ExitCode.USAGE: "Wrong usage or configuration",
    ExitCode.NO_PATCH: "No patch; suspects and places are delivered",
    ExitCode.UNVERIFIED: "A patch that is not verified; for `replay`: it came out differently",
    ExitCode.LIMIT: "A budget stopped it before a patch was verified; what there is was kept",
    ExitCode.SANDBOX: "No sandbox, or a path or command refused by policy",
    ExitCode.MODEL: "The model or its network",
    ExitCode.GITHUB: "GitHub refused or cannot be reached",
    ExitCode.STORAGE: "Disk full or read-only, or the store is damaged",
    ExitCode.INTERRUPTED: "Interrupted; `resume` goes on",
}


def exit_codes() -> str:
    """Return the table of exit codes."""
    rows = [f"| {code.value} | {EXIT_WORDS[code]} |" for code in ExitCode if code is not ExitCode.INTERRUPTED]
    last = [
        f"| {ExitCode.INTERRUPTED.value} | {EXIT_WORDS[ExitCode.INTERRUPTED]} |",
        f"| {BROKEN_PIPE} | Whoever read the output went away |",
    ]
    return "\n".join(["| code | meaning |", "| --- | --- |", *rows, *last])


def command_help() -> str:
    """Return the help of every command, hidden ones left out."""
    return "\n\n".join(f"### `{path}`\n\n```text\n{text}\n```" for path, text in _helps(commands, _context(commands, PROGRAM, None)))


def config_keys() -> str:
    """Return the table of configuration keys."""
    rows = [
        f"| `{key.name}` | {_default(key.default)} | `{key.variable}` | {'yes' if key.project else 'no'} | {key.doc} |"
        for key in keys().values()
    ]
    head = ["| key | default | variable | a project may set it | meaning |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *rows])


def folder_variables() -> str:
    """Return the variables that move the folders."""
    return ", ".join(f"`{name}`" for name in FOLDER_VARIABLES)


def arrows() -> str:
    """Return the architecture as a Mermaid graph: who may import whom, without the arrows that follow from others."""
    table = {"backstory": set(_may_import()), **_may_import()}
    lines = []
    for folder, others in table.items():
        implied = {far for other in others for far in table[other]}
        # `graph` alone is a word of Mermaid's, so each node has a name that is none.
        lines += [f'    {folder}_["{folder}"] --> {other}_["{other}"]' for other in table if other in others - implied]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def faults() -> str:
    """Return the table of what the scripted model can be told to do wrong; the forms that differ in their dialect alone share a row."""
    rows = [f"| `{name}` | {fault.doc} |" for name, fault in FAULTS.items() if not name.startswith(f"{CALL_IN_TEXT}:")]
    return "\n".join(["| fault | what the client sees |", "| --- | --- |", *rows])


PARTS: Mapping[str, Callable[[], str]] = {
    "exit-codes": exit_codes,
    "command-help": command_help,
    "config-keys": config_keys,
    "folder-variables": folder_variables,
    "arrows": arrows,
    "faults": faults,
}


def filled(text: str) -> str:
    """Return a page with every generated part made anew. Raises KeyError for a part nobody generates."""
    return _PART.sub(lambda part: part["head"] + PARTS[part["name"]]() + "\n" + part["tail"], text)


def main(arguments: list[str]) -> int:
    """Fill the pages, or check them."""
    old = [page for page in PAGES if page.exists() and filled(page.read_text("utf-8")) != page.read_text("utf-8")]
    for page in old:
        print(f"{page.relative_to(ROOT)}: {'out of date, run `make docs`' if '--check' in arguments else 'written'}")
        if "--check" not in arguments:
            page.write_text(filled(page.read_text("utf-8")), "utf-8")
    return int("--check" in arguments and bool(old))


def _helps(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _helps(child, _context(child, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    settings = {**command.context_settings, "terminal_width": HELP_COLUMNS, "max_content_width": HELP_COLUMNS}
    return click.Context(command, info_name=name, parent=parent, **settings)


def _default(value: object) -> str:
    if value is None or value == ():
        return "none"
    return ", ".join(f"`{part}`" for part in value) if isinstance(value, tuple) else f"`{str(value).lower()}`"


def _may_import() -> dict[str, set[str]]:
    """Return the table that tests/test_layout.py holds the code to, read without running it."""
    tree = ast.parse((ROOT / "tests" / "test_layout.py").read_text("utf-8"))
    for node in tree.body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == "MAY_IMPORT"
            and node.value is not None
        ):
            # `set()` is no literal; every other value is one.
            return {
                ast.literal_eval(key): set() if isinstance(value, ast.Call) else ast.literal_eval(value)
                for key, value in zip(node.value.keys, node.value.values, strict=True)  # type: ignore[attr-defined]
                if key is not None
            }
    raise LookupError("tests/test_layout.py has no MAY_IMPORT")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
