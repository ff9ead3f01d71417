"""Which versions of which libraries a repository is written against: what its lock files pin, and what it declares where nothing is pinned.

An agent that writes a call needs the interface of the version in use, not of the newest one. Pure: reads text, asks no registry, installs nothing.
"""

import ast
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from backstory.graph.types import RepoPath
from backstory.tools.dependencies import Read
from backstory.tools.formats import ini, text_of, toml_table

MAX_BYTES = 8_000_000  # lock files of the largest JavaScript applications are below this
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REQUIREMENT = re.compile(rf"^\s*(?P<name>{_NAME})\s*(?:\[[^\]]*\])?\s*(?P<range>\(?[=<>!~^][^;#]*)?")
_PINNED = re.compile(rf"^\s*(?P<name>{_NAME})\s*(?:\[[^\]]*\])?\s*={{2,3}}\s*(?P<version>[^\s;#\\*,]+)\s*(?:[;#\\]|--|$)", re.MULTILINE)
_PIN_FILES = re.compile(r"(?:[\w.-]*(?:requirements|constraints)[\w.-]*\.txt|requirements/[\w.-]+\.txt)")
_GO = re.compile(r"^\s*(?:require\s+)?(?P<name>[\w.-]+\.[\w.-]+/\S+)\s+(?P<version>v\S+)(?P<indirect>\s*//\s*indirect)?\s*$", re.MULTILINE)
_YARN = re.compile(r'^"?(?P<name>@?[^@"\s]+)@[^\n]*:\n\s+version:?\s+"?(?P<version>[^"\s]+)"?', re.MULTILINE)


@dataclass(frozen=True)
class Library:
    """A library the code uses. version: exact where locked, else the declared range, "" for any. found_in: the file that says so."""

    name: str
    version: str
    locked: bool
    found_in: RepoPath


def find_libraries(paths: Collection[RepoPath], read: Read) -> tuple[Library, ...]:
    """Return what the files at the top of a tree declare or pin: declared ones in their order, then those that are only pinned, by name.

    Names are compared as package indexes do, without case and with `-`, `_` and `.` alike.
    """

    def content(path: RepoPath) -> bytes:
        found = read(path) if path in paths else None
        return found if found is not None and len(found) <= MAX_BYTES else b""

    declared: dict[str, Library] = {}
    for name, version, path in chain(_python(content), _npm(content), _go(content), _cargo(content)):
        declared.setdefault(_key(name), Library(name, " ".join(version.split()), False, path))
    locked: dict[str, Library] = {}
    requirements: dict[str, Library] = {}
    for name, version, path in _locks(paths, content):
        pinned = requirements if _PIN_FILES.fullmatch(path) else locked
        pinned.setdefault(_key(name), Library(name, version, True, path))
    first = [locked.get(key) or requirements.get(key) or library for key, library in declared.items()]
    # A lock file lists what libraries need in turn, a requirements file what the project asks for.
    return (*first, *(library for key, library in sorted(requirements.items()) if key not in declared))


Content = Read
Found = Iterator[tuple[str, str, RepoPath]]


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _python(content: Content) -> Found:
    path = RepoPath("pyproject.toml")
    yield from _requirements(_strings(toml_table(content(path), "project").get("dependencies")), path)
    for name, value in toml_table(content(path), "tool", "poetry", "dependencies").items():
        version = value.get("version") if isinstance(value, dict) else value
        if name != "python":
            yield name, version if isinstance(version, str) and version != "*" else "", path
    path = RepoPath("setup.cfg")
    setup = ini(content(path))
    if setup.has_option("options", "install_requires"):
        yield from _requirements(setup.get("options", "install_requires").splitlines(), path)
    path = RepoPath("setup.py")
    yield from _requirements(_setup_requirements(text_of(content(path))), path)
    path = RepoPath("requirements.txt")
    yield from _requirements(text_of(content(path)).splitlines(), path)


def _requirements(lines: Sequence[str], path: RepoPath) -> Found:
    for line in lines:
        match = _REQUIREMENT.match(line)
        if match is not None and not line.lstrip().startswith(("http:", "https:", "git+")):
            yield match["name"], (match["range"] or "").strip(" ()\t\\"), path


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _setup_requirements(source: str) -> list[str]:
    """Return the strings that a setup.py gives as `install_requires`, written there or in a list it names; nothing is run."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    named = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "install_requires":
            value = named.get(node.value.id) if isinstance(node.value, ast.Name) else node.value
            items = value.elts if isinstance(value, ast.List | ast.Tuple) else []
            return [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return []


def _npm(content: Content) -> Found:
    path = RepoPath("package.json")
    for key in ("dependencies", "peerDependencies"):
        for name, version in _table(_json(content(path)), key).items():
            yield name, version if isinstance(version, str) else "", path


def _go(content: Content) -> Found:
    path = RepoPath("go.mod")
    for match in _GO.finditer(text_of(content(path))):
        if not match["indirect"]:
            yield match["name"], match["version"], path


def _cargo(content: Content) -> Found:
    path = RepoPath("Cargo.toml")
    for name, value in toml_table(content(path), "dependencies").items():
        version = value.get("version") if isinstance(value, dict) else value
        yield name, version if isinstance(version, str) else "", path


def _locks(paths: Collection[RepoPath], content: Content) -> Found:
    """Yield what lock files and requirements files pin to one version."""
    for name in ("uv.lock", "poetry.lock", "pdm.lock", "Cargo.lock"):
        packages = toml_table(content(RepoPath(name))).get("package")
        for package in packages if isinstance(packages, list) else []:
            if isinstance(package, dict) and isinstance(package.get("version"), str):
                yield str(package.get("name", "")), package["version"], RepoPath(name)
    path = RepoPath("Pipfile.lock")
    for name, package in _table(_json(content(path)), "default").items():
        if isinstance(package, dict) and isinstance(package.get("version"), str):
            yield name, package["version"].lstrip("="), path
    for path in (RepoPath("package-lock.json"), RepoPath("npm-shrinkwrap.json")):
        lock = _json(content(path))
        for place, package in chain(_table(lock, "packages").items(), _table(lock, "dependencies").items()):
            name = place.removeprefix("node_modules/")
            if name and "node_modules/" not in name and isinstance(package, dict) and isinstance(package.get("version"), str):
                yield name, package["version"], path
    path = RepoPath("yarn.lock")
    for match in _YARN.finditer(text_of(content(path))):
        yield match["name"], match["version"], path
    path = RepoPath("go.mod")
    for match in _GO.finditer(text_of(content(path))):
        yield match["name"], match["version"], path
    for path in sorted(path for path in paths if _PIN_FILES.fullmatch(path)):
        for match in _PINNED.finditer(text_of(content(path))):
            yield match["name"], match["version"], path


def _json(content: bytes | None) -> Mapping[str, object]:
    try:
        value = json.loads(text_of(content) or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _table(table: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = table.get(name)
    return found if isinstance(found, dict) else {}
