"""What the settings of a repository say of it: how the program is started, and how its code is kept. Pure: reads text, runs nothing."""

import configparser
import json
import re
from collections.abc import Collection, Iterator, Mapping

from backstory.graph.types import RepoPath
from backstory.tools.dependencies import Read
from backstory.tools.formats import ini, text_of, toml_table

MAX_ENTRY_POINTS = 8
_MAIN_FILES = re.compile(r"(?:.*/)?(?:__main__\.py|manage\.py)|main\.go|cmd/[^/]+/main\.go|src/main\.\w+|src/bin/[^/]+\.rs")
_SETUP_SCRIPT = re.compile(r"""["'](?P<name>[\w.-]+)\s*=\s*(?P<target>[\w.]+:[\w.]+)["']""")
_PYTHON_REQUIRES = re.compile(r"""python_requires\s*=\s*["']([^"'\n]+)["']""")
# Settings whose presence says which tool keeps the code, by file; sections of shared files are asked for below.
_TOOL_FILES: Mapping[str, str] = {
    ".pre-commit-config.yaml": "pre-commit",
    ".flake8": "flake8",
    "mypy.ini": "mypy",
    "pyrightconfig.json": "pyright",
    "ruff.toml": "ruff",
    ".ruff.toml": "ruff",
    ".pylintrc": "pylint",
    "pylintrc": "pylint",
    ".clang-format": "clang-format",
    ".golangci.yml": "golangci-lint",
    "rustfmt.toml": "rustfmt",
    "biome.json": "biome",
    "tsconfig.json": "TypeScript",
}
_SCRIPT_TOOLS = re.compile(r"\.(eslint|prettier)rc(?:\.\w+)?|(eslint|prettier)\.config\.\w+")
_PYTHON_TOOLS = ("black", "ruff", "isort", "flake8", "mypy", "pylint", "pyright")
_LINE_LENGTHS = ("line-length", "line_length", "max-line-length", "max_line_length")


def find_entry_points(paths: Collection[RepoPath], read: Read) -> list[str]:
    """Return how the program is started, at most MAX_ENTRY_POINTS: named scripts with their targets, then files that are a program."""
    found = [*_scripts(read), *(path for path in sorted(paths, key=lambda path: (path.count("/"), path)) if _MAIN_FILES.fullmatch(path))]
    return list(dict.fromkeys(found))[:MAX_ENTRY_POINTS]


def find_conventions(paths: Collection[RepoPath], read: Read) -> list[str]:
    """Return what the settings demand of code: which Python, which tools, how long a line."""
    found = [f"Python {wanted}" for wanted in _pythons(read)][:1]
    tools = list(dict.fromkeys(_tools(paths, read)))
    found += [f"kept by {', '.join(tools)}"] if tools else []
    found += [f"lines up to {length} characters" for length in _line_lengths(read)][:1]
    return found


def _scripts(read: Read) -> Iterator[str]:
    pyproject = read(RepoPath("pyproject.toml"))
    for table in (toml_table(pyproject, "project", "scripts"), toml_table(pyproject, "tool", "poetry", "scripts")):
        yield from (f"{name} = {target}" for name, target in table.items() if isinstance(target, str))
    setup = ini(read(RepoPath("setup.cfg")))
    if setup.has_option("options.entry_points", "console_scripts"):
        yield from (" ".join(line.split()) for line in setup.get("options.entry_points", "console_scripts").splitlines() if "=" in line)
    yield from (f"{match['name']} = {match['target']}" for match in _SETUP_SCRIPT.finditer(text_of(read(RepoPath("setup.py")))))
    package = _package(read)
    binary = package.get("bin")
    for name, target in binary.items() if isinstance(binary, dict) else [(str(package.get("name", "bin")), binary)]:
        if isinstance(target, str):
            yield f"{name} = {target}"
    yield from (f"{key} {package[key]}" for key in ("module", "main") if isinstance(package.get(key), str))


def _package(read: Read) -> Mapping[str, object]:
    try:
        package = json.loads(text_of(read(RepoPath("package.json"))) or "{}")
    except (ValueError, RecursionError):
        return {}
    return package if isinstance(package, dict) else {}


def _pythons(read: Read) -> Iterator[str]:
    project = toml_table(read(RepoPath("pyproject.toml")), "project").get("requires-python")
    poetry = toml_table(read(RepoPath("pyproject.toml")), "tool", "poetry", "dependencies").get("python")
    yield from (value for value in (project, poetry) if isinstance(value, str))
    setup = ini(read(RepoPath("setup.cfg")))
    if setup.has_option("options", "python_requires"):
        yield setup.get("options", "python_requires")
    yield from _PYTHON_REQUIRES.findall(text_of(read(RepoPath("setup.py"))))


def _tools(paths: Collection[RepoPath], read: Read) -> Iterator[str]:
    configured = toml_table(read(RepoPath("pyproject.toml")), "tool")
    shared = [ini(read(RepoPath(path))) for path in ("setup.cfg", "tox.ini")]
    for tool in _PYTHON_TOOLS:
        if tool in configured or any(settings.has_section(section) for settings in shared for section in (tool, f"tool:{tool}")):
            yield tool
    yield from (tool for path, tool in _TOOL_FILES.items() if path in paths)
    for path in sorted(paths):
        match = _SCRIPT_TOOLS.fullmatch(path)
        if match is not None:
            yield match[1] or match[2]


def _line_lengths(read: Read) -> Iterator[int]:
    for tool in ("black", "ruff"):
        yield from _numbers(toml_table(read(RepoPath("pyproject.toml")), "tool", tool))
    for path in (".flake8", "setup.cfg", "tox.ini"):
        yield from _numbers(_section(ini(read(RepoPath(path))), "flake8"))


def _section(settings: configparser.ConfigParser, name: str) -> Mapping[str, object]:
    return dict(settings.items(name)) if settings.has_section(name) else {}


def _numbers(table: Mapping[str, object]) -> Iterator[int]:
    for key in _LINE_LENGTHS:
        value = str(table.get(key, ""))
        if value.isascii() and value.isdigit():
            yield int(value)
