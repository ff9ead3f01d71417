"""What a project's own files say about the names of its modules: `go.mod`, `Cargo.toml`, `package.json`, `tsconfig.json`.

An import may name a module by a name that no path tells, such as a Go module's or a package of a JavaScript workspace. The few files that say so
are read whenever a tree is linked; they are no source files and hold no symbols. Whatever is wrong with one makes it say nothing.
"""

import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from backstory.graph.types import RepoPath

MAX_MANIFEST_BYTES = 1_000_000  # as for source files; larger ones are generated


@dataclass(frozen=True)
class Manifest:
    """One project file. folder: where it lies, "" at the top. name: what the module is imported as, "" when it has no such name.

    entry: the file an import of the bare name gives, relative to the folder, "" when it is not said. paths: for import names that begin with a
    key, the folders (or files) they are looked for in, relative to the repository; a key that ends with `*` is a prefix.
    """

    kind: str
    folder: str
    name: str = ""
    entry: str = ""
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def is_manifest(path: RepoPath) -> bool:
    """Return whether a file is one of those that say how modules are named."""
    return posixpath.basename(path) in _READERS


def read_manifests(files: Mapping[RepoPath, bytes]) -> list[Manifest]:
    """Return what project files say, in order of path; those that say nothing or cannot be read are left out."""
    found = (_read(path, files[path]) for path in sorted(files))
    return [manifest for manifest in found if manifest is not None]


def _read(path: RepoPath, content: bytes) -> Manifest | None:
    folder, name = posixpath.split(path)
    if len(content) > MAX_MANIFEST_BYTES:
        return None
    try:
        return _READERS[name](folder, content.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # a JSON, TOML or decoding error is a ValueError
        return None


def _go(folder: str, text: str) -> Manifest | None:
    found = re.search(r"^\s*module\s+\"?([^\s\"]+)", text, re.MULTILINE)
    return Manifest("go", folder, found[1]) if found else None


def _cargo(folder: str, text: str) -> Manifest | None:
    said = tomllib.loads(text)
    package, library = _table(said, "package"), _table(said, "lib")
    name = _text(library, "name") or _text(package, "name")
    return Manifest("rust", folder, name.replace("-", "_"), _text(library, "path")) if name else None


def _package(folder: str, text: str) -> Manifest | None:
    said = json.loads(text)
    name = _text(said, "name")
    # `source` is what bundlers read; the others may name what is built and not in the repository.
    entries = [_text(said, key) for key in ("source", "types", "module", "main")]
    return Manifest("script", folder, name, next(filter(None, entries), "")) if name else None


def _tsconfig(folder: str, text: str) -> Manifest | None:
    said = json.loads(_TRAILING_COMMA.sub(r"\1", _JSON_COMMENT.sub(lambda found: found[1] or "", text)))
    options = _table(said, "compilerOptions")
    base = posixpath.normpath(posixpath.join(folder, _text(options, "baseUrl") or "."))
    paths = {
        key: tuple(posixpath.normpath(posixpath.join(base, target)) for target in targets if isinstance(target, str))
        for key, targets in _table(options, "paths").items()
        if isinstance(targets, list)
    }
    if "baseUrl" in options:
        paths.setdefault("*", (posixpath.normpath(posixpath.join(base, "*")),))
    return Manifest("script", folder, paths=paths) if paths else None


_READERS: Mapping[str, Callable[[str, str], Manifest | None]] = {
    "go.mod": _go,
    "Cargo.toml": _cargo,
    "package.json": _package,
    "tsconfig.json": _tsconfig,
    "jsconfig.json": _tsconfig,
}
_JSON_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")


def _table(said: object, key: str) -> Mapping[str, object]:
    found = said.get(key) if isinstance(said, dict) else None
    return found if isinstance(found, dict) else {}


def _text(said: object, key: str) -> str:
    found = said.get(key) if isinstance(said, dict) else None
    return found if isinstance(found, str) else ""
