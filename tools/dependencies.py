"""What a repository says its tests need to be installed: extras, dependency groups and requirements files. Pure: reads text, installs nothing."""

import configparser
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from backstory.graph.types import RepoPath
from backstory.tools.formats import ini, toml_table

Read = Callable[[RepoPath], bytes | None]
"""The content of a file, or None when there is none."""

# Under these names projects list what their tests need; the first group found is taken, since `dev` often pulls in far more.
_TEST_NAMES = ("test", "tests", "testing")
_DEV_NAMES = ("dev", "develop", "development")
_DECLARING = ("pyproject.toml", "setup.py", "setup.cfg", "Pipfile", "tox.ini", "constraints.txt")
_REQUIREMENTS = re.compile(r"(?:.*/)?[\w.-]*requirements[\w.-]*\.(?:txt|in)|(?:.*/)?requirements/[\w.-]+\.(?:txt|in)")
_TEST_WORD = re.compile(r"(?:^|[^a-z])tests?(?:ing)?(?:[^a-z]|$)")
_DEV_WORD = re.compile(r"(?:^|[^a-z])dev(?:el|elop|elopment)?(?:[^a-z]|$)")


@dataclass(frozen=True)
class Dependencies:
    """What to install.

    project: whether the repository itself can be installed. extras: of the project. requirements: named outright. files: requirements files.
    declared_in: every file that was read or that pip will read, whose change means a new environment.
    """

    project: bool
    extras: tuple[str, ...]
    requirements: tuple[str, ...]
    files: tuple[RepoPath, ...]
    declared_in: tuple[RepoPath, ...]

    def pip_targets(self, more: Iterable[str] = ()) -> list[str]:
        """Return what `pip install` is to be told, with `more` requirements, the project last and editable; empty when there is nothing to install."""
        targets = [word for name in self.files for word in ("-r", name)] + [*self.requirements, *more]
        if self.project:
            targets += ["-e", f".[{','.join(self.extras)}]" if self.extras else "."]
        return targets


def find_dependencies(paths: Collection[RepoPath], read: Read) -> Dependencies:
    """Return what the files of a tree say its tests need."""
    pyproject = toml_table(read(RepoPath("pyproject.toml")))
    setup = ini(read(RepoPath("setup.cfg")))
    listed = [path for path in sorted(paths) if path.count("/") <= 1 and _REQUIREMENTS.fullmatch(path)]
    return Dependencies(
        project="setup.py" in paths or "project" in pyproject or "build-system" in pyproject or setup.has_section("metadata"),
        extras=_preferred(_extras(pyproject, setup)),
        requirements=tuple(_group_requirements(pyproject)),
        files=tuple(_requirement_files(listed)),
        declared_in=tuple(RepoPath(path) for path in sorted({*(name for name in _DECLARING if name in paths), *listed})),
    )


def _extras(pyproject: Mapping[str, object], setup: configparser.ConfigParser) -> list[str]:
    names = list(_table(_table(pyproject, "project"), "optional-dependencies"))
    names += list(_table(_table(_table(pyproject, "tool"), "poetry"), "extras"))
    if setup.has_section("options.extras_require"):
        names += setup.options("options.extras_require")
    return names


def _preferred(names: Collection[str]) -> tuple[str, ...]:
    for wanted in (_TEST_NAMES, _DEV_NAMES):
        found = tuple(dict.fromkeys(name for name in names if name.lower() in wanted))
        if found:
            return found
    return ()


def _group_requirements(pyproject: Mapping[str, object]) -> list[str]:
    """Return the requirements of the dependency groups (PEP 735) that tests need, groups they include written out."""
    groups = _table(pyproject, "dependency-groups")

    def flat(name: str, seen: frozenset[str]) -> list[str]:
        found: list[str] = []
        entries = groups.get(name)
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, str):
                found.append(entry)
            elif isinstance(entry, dict) and (included := str(entry.get("include-group", ""))) not in seen:
                found += flat(included, seen | {included})
        return found

    return list(dict.fromkeys(line for name in _preferred(groups) for line in flat(name, frozenset({name}))))


def _requirement_files(listed: list[RepoPath]) -> list[RepoPath]:
    """Return the project's own requirements, and those of its tests or else of its development.

    A `.in` file is the source of the `.txt` beside it, which is then the one to install.
    """
    listed = [path for path in listed if not (path.endswith(".in") and path.removesuffix(".in") + ".txt" in listed)]
    plain = [path for path in listed if path.rpartition("/")[2] in ("requirements.txt", "base.txt", "main.txt")]
    for word in (_TEST_WORD, _DEV_WORD):
        named = [path for path in listed if word.search(path.lower()) and path not in plain]
        if named:
            return [*plain, *named]
    return plain


def _table(table: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = table.get(name)
    return found if isinstance(found, dict) else {}
