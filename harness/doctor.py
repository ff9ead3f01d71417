"""Looks at the machine: is there everything a run needs? Each finding says what is there and, if it will not do, what to do."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import pygit2

from backstory.errors import ExitCode, UserError
from backstory.graph.git import Git, GitError
from backstory.graph.languages import LANGUAGES, compiled
from backstory.tools.sandbox import probe

OLDEST_GIT: Final = (2, 36)  # the first with safe.bareRepository and stable `cat-file --batch-command`
OLDEST_PYTHON: Final = (3, 11)
# A mirror of a large project with its graph takes about this much; below it a run may end for lack of room.
ROOM_BYTES: Final = 2 * 1024**3


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ok: good enough to run; remedy: what to do if not; exit_code: what `doctor` ends with because of it."""

    name: str
    ok: bool
    said: str
    remedy: str = ""
    exit_code: ExitCode = ExitCode.USAGE


def examine(*, cache_dir: Path, state_dir: Path) -> list[Finding]:
    """Return every finding, in a fixed order. Makes nothing but a file that it removes again, and one trial of the sandbox."""
    looks: Sequence[Callable[[], list[Finding]]] = (
        _python,
        _git,
        _grammars,
        _sandbox,
        lambda: [_folder("cache folder", cache_dir, "BACKSTORY_CACHE_DIR"), _folder("state folder", state_dir, "BACKSTORY_STATE_DIR")],
        lambda: [_room(cache_dir)],
    )
    return [finding for look in looks for finding in look()]


def verdict(findings: Sequence[Finding]) -> ExitCode:
    """Return what `doctor` ends with: 0, or the code of the worst finding (a missing sandbox first)."""
    codes = {finding.exit_code for finding in findings if not finding.ok}
    order = (ExitCode.SANDBOX, ExitCode.STORAGE, ExitCode.USAGE)
    return next((code for code in order if code in codes), ExitCode.VERIFIED)


def _python() -> list[Finding]:
    version = sys.version_info[:2]
    return [
        Finding("python", version >= OLDEST_PYTHON, f"{platform.python_version()} at {sys.executable}", "use Python 3.11 or later"),
        Finding("system", sys.platform == "linux", f"{platform.system()} {platform.release()}", "checks run in a sandbox on Linux only"),
    ]


def _git() -> list[Finding]:
    remedy = f"install git {OLDEST_GIT[0]}.{OLDEST_GIT[1]} or later"
    library = Finding("libgit2", True, f"{pygit2.LIBGIT2_VERSION} (pygit2 {metadata.version('pygit2')})")
    try:
        with tempfile.TemporaryDirectory(prefix="backstory-") as folder:
            said = Git(Path(folder)).run("version").decode("utf-8", "replace").strip()
    except (UserError, GitError, OSError) as error:
        return [Finding("git", False, str(error), remedy), library]
    words = said.removeprefix("git version ").split()
    version = tuple(int(part) for part in words[0].split(".")[:2] if part.isdecimal()) if words else ()
    return [Finding("git", version >= OLDEST_GIT, said, remedy), library]


def _grammars() -> list[Finding]:
    broken: list[str] = []
    for language in LANGUAGES:
        try:
            compiled(language.name)
        except (ImportError, OSError, ValueError) as error:
            broken.append(f"{language.name}: {error}")
    names = ", ".join(language.name for language in LANGUAGES)
    return [Finding("grammars", not broken, "; ".join(broken) or names, "install Backstory again: its grammars come as wheels")]


def _sandbox() -> list[Finding]:
    found = probe()
    program = f"bubblewrap {found.version} at {found.program}" if found.program else "no bubblewrap"
    return [
        Finding("sandbox", found.works, program if found.works else found.problem or program, found.remedy, ExitCode.SANDBOX),
        Finding("process limit", True, found.processes),
        Finding("memory limit", True, found.memory),
    ]


def _folder(name: str, path: Path, variable: str) -> Finding:
    """Say whether a file can be made in `path`, or in the nearest folder above it that is there."""
    place = _nearest(path)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".backstory-"):
            return Finding(name, True, str(path))
    except OSError as error:
        return Finding(name, False, f"{path}: {error.strerror}", f"set {variable} to a writable folder", ExitCode.STORAGE)


def _room(cache_dir: Path) -> Finding:
    free = shutil.disk_usage(_nearest(cache_dir)).free
    remedy = "free some room, or set BACKSTORY_CACHE_DIR to a larger disk"
    return Finding("room", free >= ROOM_BYTES, f"{free / 1024**3:.1f} GiB free for the cache", remedy, ExitCode.STORAGE)


def _nearest(path: Path) -> Path:
    """Return `path`, or the closest folder above it that exists."""
    return next((folder for folder in (path, *path.parents) if os.path.lexists(folder)), Path("/"))
