"""Whether the code that was judged is the code in the work tree.

An installed copy of the project, or an editable install of another checkout, would be tested in its place and say nothing about an edit. So every
Python that a check starts records where it loaded the project's modules from, and a verdict without that is not believed: see `Proof.status`.

A module proves nothing when its name is also one of the standard library, of tests, or of a helper script; what counts is a package or module that
the tree itself holds at its root, below `src` or below `lib`. One single-file module that came from elsewhere while the tree's packages were seen
in the tree is a vendored helper, not the project, and is forgiven.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from backstory.tools.inside import (
    MOCHA_RECORDER,
    MOCHA_RECORDER_PROGRAM,
    NAMES_FILE,
    PLUGIN,
    RESULTS_PLUGIN,
    SITECUSTOMIZE,
    SYMPY_RECORDER,
    SYMPY_RECORDER_PROGRAM,
)

ProofStatus = Literal["in_tree", "elsewhere", "unknown"]

_SOURCE_ROOTS = ("", "src", "lib")
# Code of a repository that is not what it delivers.
_NOT_DELIVERED = frozenset(
    (
        "bench",
        "benchmark",
        "benchmarks",
        "bin",
        "build",
        "ci",
        "conftest",
        "contrib",
        "demo",
        "demos",
        "dist",
        "doc",
        "docs",
        "env",
        "example",
        "examples",
        "fabfile",
        "manage",
        "noxfile",
        "runtests",
        "sample",
        "samples",
        "script",
        "scripts",
        "setup",
        "tasks",
        "test",
        "testing",
        "tests",
        "tool",
        "tools",
        "util",
        "utils",
        "venv",
        "versioneer",
    )
)
_RECORD_BYTES = 16 << 20  # of one file of records; a process that wrote more is read up to here


@dataclass(frozen=True)
class Proof:
    """Where the project's code was imported from.

    status: "in_tree": the work tree's own code ran; "elsewhere": another copy ran in its place; "unknown": no project module was seen.
    names: the packages concerned, sorted. places: where they were loaded from, when elsewhere.
    """

    status: ProofStatus
    names: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    @property
    def complaint(self) -> str:
        """Return one sentence for a person, empty unless another copy ran."""
        if self.status != "elsewhere":
            return ""
        return f"{self.names[0]!r} was imported from {self.places[0]!r}, not from the work tree; install it editable (pip install -e .) or use --prepare"


def project_packages(root: Path) -> Mapping[str, bool]:
    """Return the importable names that a tree delivers, dotted below namespace packages, and whether each is a package (else one file)."""
    found: dict[str, bool] = {}
    for source in _SOURCE_ROOTS:
        for name, is_package in _importable(root / source, below_source=bool(source)):
            top = name.partition(".")[0]
            if top not in _NOT_DELIVERED and top not in sys.stdlib_module_names and not top.startswith(("test_", ".")):
                found.setdefault(name, is_package)
    return dict(sorted(found.items()))


def write_witness(folder: Path, root: Path) -> None:
    """Write what has to be on PYTHONPATH inside: the recorder of imports, for the names of the tree in `root`, and that of test results."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    (folder / f"{PLUGIN}.py").write_text(RESULTS_PLUGIN)
    names = {name.partition(".")[0] for name in project_packages(root)}
    (folder / NAMES_FILE).write_text("\n".join(sorted(names)))
    if "sympy" in names:  # the one project whose own runner is recorded too
        (folder / f"{SYMPY_RECORDER}.py").write_text(SYMPY_RECORDER_PROGRAM)
    if (root / "package.json").is_file():
        (folder / MOCHA_RECORDER).write_text(MOCHA_RECORDER_PROGRAM)


def read_proof(results: Path, *, root: Path, bound_at: Path) -> Proof:
    """Return what the records in `results` prove about the tree in `root`, which the processes saw at `bound_at`."""
    packages = project_packages(root)
    inside: set[str] = set()
    outside: dict[str, str] = {}
    for module, file in _loaded(results):
        package = _package_of(module, packages)
        if package is None:
            continue
        if _is_in_tree(file, root, bound_at):
            inside.add(package)
        else:
            outside.setdefault(package, file)
    foreign = [name for name in sorted(outside) if name not in inside and (packages[name] or not inside)]
    if foreign:
        return Proof("elsewhere", tuple(foreign), tuple(outside[name] for name in foreign))
    return Proof("in_tree", tuple(sorted(inside))) if inside else Proof("unknown")


def _importable(folder: Path, *, below_source: bool) -> Iterator[tuple[str, bool]]:
    """Yield (name, is a package) of what is importable from `folder`; only below a source root is a bare folder a namespace package."""
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        if entry.suffix == ".py" and entry.stem.isidentifier() and not entry.is_dir():
            yield entry.stem, False
        elif entry.name.isidentifier() and entry.is_dir() and not entry.is_symlink():
            if (entry / "__init__.py").exists():
                yield entry.name, True
            elif below_source:
                for name, is_package in _importable(entry, below_source=True):
                    yield f"{entry.name}.{name}", is_package


def _package_of(module: str, packages: Mapping[str, bool]) -> str | None:
    """Return the longest of `packages` that the module is or lies in."""
    name = module
    while name:
        if name in packages:
            return name
        name = name.rpartition(".")[0]
    return None


def _loaded(results: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(results.glob("modules-*.jsonl")):
        with path.open("rb") as file:
            for line in file.read(_RECORD_BYTES).splitlines():
                try:
                    seen = json.loads(line)
                except ValueError:
                    continue  # cut off when the process was killed
                if isinstance(seen, dict):
                    yield from ((module, file) for module, file in seen.items() if isinstance(file, str))


def _is_in_tree(file: str, root: Path, bound_at: Path) -> bool:
    """Return whether a file, as a process saw it, is one of the tree's: below the tree and there in git's checkout too.

    An environment inside the checkout lies below the tree as well, but is mounted over it and not there. Relative paths are the tree's.
    """
    path = PurePosixPath(file)
    if path.is_absolute():
        if not path.is_relative_to(bound_at):
            return False
        path = path.relative_to(bound_at)
    return "site-packages" not in path.parts and (root / path).is_file()
