"""Runs a script on an image's own copy of a project, with what a tree changes laid over it and the recorders beside.

This is how scripts are judged that come with an image: they work in its folder, on its files, as its root, and may change what they like, since all of
it is a layer that is gone afterwards. What is recorded, and how it is read, is as for `backstory.tools.checks`; the tree that is judged has to be
checked out here as well, to tell its modules from others.
"""

import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pygit2

from backstory.graph.types import Oid, RepoPath
from backstory.tools.checks import Recorded
from backstory.tools.docker import Docker
from backstory.tools.engine import archive
from backstory.tools.inside import RESULTS_VARIABLE
from backstory.tools.limits import Limits
from backstory.tools.proof import read_proof, write_witness
from backstory.tools.sessions import read_sessions
from backstory.tools.shell import SHELL, Command, Execution, Mount
from backstory.tools.trees import LINK, SUBMODULE, differing, entry_at, tree_of
from backstory.tools.workspace import CHECK_FOLDER

START = ">>>>> Start Test Output"
END = ">>>>> End Test Output"
"""Between these two a script prints what its tests print; official ones do so too."""

_INSIDE = Path("/run/backstory")
_SCRIPT = "backstory-script"
_EXIT_CODE = "exit-code"
_END_LINE = re.compile(rf"^.*{re.escape(END)}.*$", re.MULTILINE)
# The script is bash's where there is one; what a tree has not is deleted first.
_RUN = f'cd "$0" || exit 126; [ "$#" = 0 ] || rm -f -- "$@"; command -v bash >/dev/null && exec bash /{_SCRIPT}; exec {SHELL} /{_SCRIPT}'
_PERMISSIONS = 0o777


@dataclass(frozen=True)
class Overlay:
    """What makes one tree of another. files: contents and mode; links: targets; removed: what is not there."""

    files: Mapping[RepoPath, tuple[bytes, int]]
    links: Mapping[RepoPath, str]
    removed: Sequence[RepoPath]


def overlay_between(repository: pygit2.Repository, base: Oid, tree: Oid) -> Overlay:
    """Return what makes `tree` of `base`, both commits or trees. Submodules are left as they are."""
    before, after = tree_of(repository, base), tree_of(repository, tree)
    files: dict[RepoPath, tuple[bytes, int]] = {}
    links: dict[RepoPath, str] = {}
    removed: list[RepoPath] = []
    for path in differing(repository, before, after):
        entry = entry_at(repository, after, path)
        if entry is None:
            removed.append(path)
        elif entry.mode == LINK:
            links[path] = repository.odb.read(entry.blob)[1].decode("utf-8", "surrogateescape")
        elif entry.mode != SUBMODULE:
            files[path] = (repository.odb.read(entry.blob)[1], entry.mode & _PERMISSIONS)
    return Overlay(files, links, removed)


def run_script(
    script: str,
    *,
    root: Path,
    shown_at: Path,
    sandbox: Docker,
    env: Mapping[str, str],
    overlay: Overlay,
    limits: Limits,
) -> Recorded:
    """Run a script in the image's folder `shown_at` and return how its tests ended: the exit code is that of the command before the mark `END`.

    root: the tree that is judged, checked out. env: beside the variables of the image. Raises SandboxError when no container can be made.
    """
    with tempfile.TemporaryDirectory(prefix=CHECK_FOLDER, dir=root.parent, ignore_cleanup_errors=True) as name:
        beside = Path(name).resolve()
        (beside / "results").mkdir()
        (beside / "results").chmod(_PERMISSIONS)  # the script may be another user's; the folder around it is ours alone
        write_witness(beside / "witness", root)
        below = str(shown_at).lstrip("/")
        files = {f"{below}/{path}": content for path, content in overlay.files.items()}
        laid = archive(
            {**files, _SCRIPT: (_recording(script).encode("utf-8", "surrogateescape"), 0o755)},
            {f"{below}/{path}": target for path, target in overlay.links.items()},
            when=int(time.time()),  # builds compare times
        )
        search = [str(_INSIDE / "witness"), *([found] if (found := env.get("PYTHONPATH") or sandbox.image.env.get("PYTHONPATH")) else [])]
        command = Command(
            (SHELL, "-c", _RUN, str(shown_at), *overlay.removed),
            shown_at,
            {**env, "PYTHONPATH": ":".join(search), RESULTS_VARIABLE: str(_INSIDE / "results")},
            (
                Mount(beside / "witness", _INSIDE / "witness"),
                Mount(beside / "results", _INSIDE / "results", writable=True),
            ),
        )
        execution = _of_tests(sandbox.run_in_layer(command, limits, laid), beside / "results" / _EXIT_CODE)
        sessions = tuple(read_sessions(beside / "results"))
        return Recorded(execution, sessions, read_proof(beside / "results", root=root, bound_at=shown_at))


def between_marks(log: str) -> str:
    """Return what the tests printed, of a log of a script; the whole of it where it has no marks."""
    if START not in log:
        return log
    return log.split(START)[1].split(END)[0]


def _recording(script: str) -> str:
    """Return the script with its tests' exit code written down before the mark that ends them."""
    marks = list(_END_LINE.finditer(script))
    if not marks:
        return script
    at = marks[-1].start()
    return f"{script[:at]}echo $? >{_INSIDE / 'results' / _EXIT_CODE}\n{script[at:]}"


def _of_tests(execution: Execution, file: Path) -> Execution:
    """Return the execution with the exit code of the tests, where the script came that far."""
    try:
        code = int(file.read_text())
    except (OSError, ValueError):
        return execution
    if execution.stopped is not None:
        return execution
    return replace(execution, exit_code=code, signal=code - 128 if 128 < code < 192 else None)
