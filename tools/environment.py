"""Where a repository's tests run: an interpreter with what is installed for it, shown read-only inside the sandbox.

Found, in this order: the checkout's own `.venv` or `venv`, the active environment, the `python3` on the search path. Nothing is installed and no
interpreter of the repository is run to find it. `prepare_environment` builds one instead, on the user's word, with network, inside the sandbox,
and keeps it by what it was built from; `build_environment` does so by commands that a recipe names.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pygit2

from backstory.errors import StorageError, UserError
from backstory.graph.types import RepoPath, Report
from backstory.tools.dependencies import Dependencies, find_dependencies
from backstory.tools.interpreter import Interpreter, fingerprint, from_prefix, is_file, on_path, site_folders
from backstory.tools.limits import GIB, Limits
from backstory.tools.sandbox import SYSTEM_PATH, Sandbox
from backstory.tools.shell import SHELL, Command, Execution, Mount

# The same on every machine and in every run; nothing of the caller's environment is passed on.
FIXED = {
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
}
# What an install leaves in the checkout, git ignores, and an editable install needs.
OUTPUT_FOLDERS = (".egg-info",)
MODULES_FOLDER = "node_modules"  # what npm installs into the tree; of a checkout it is laid over with node itself
OUTPUT_FILES = (".so", ".pyd", "_version.py", "version.py", "_version.pyi")
_NOT_ENTERED = frozenset({".git", ".hg", ".venv", "venv", "env", "node_modules", "build", "dist", ".tox", ".nox", ".eggs", "__pycache__"})
OUTPUTS_MOUNTED = 200
_ENTRIES_SEEN = 50_000  # a checkout larger than this is searched no further; a walk of this many takes about a second
_LOCAL_PATH = re.compile(r"(?:file://|(?<![\w:/]))(/[^\s,'\"]+)")
_TAIL_LINES = 25
_PREPARE_LIMITS = Limits(wall_s=1800, cpu_s=1800, memory_bytes=8 * GIB, file_bytes=4 * GIB, processes=1024)
_PREPARED = "prepared.json"


@dataclass(frozen=True)
class Environment:
    """Where commands run.

    id: changes when the interpreter or what is installed changes; part of a verdict's key. label: for a person. python: None when there is none.
    mounts: read-only, each at its own path. env: all variables, PATH with the environment's own programs first. notes: what a person should know.
    """

    id: str
    label: str
    python: Path | None
    mounts: tuple[Mount, ...]
    env: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PipSettings:
    """The user's own settings of pip and npm, used only while an environment is prepared. config: a pip.conf; env: PIP_* and npm_config_* variables."""

    config: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def find_environment(checkout: Path | None, *, active: Path | None, path: str) -> Environment:
    """Return the environment the repository's tests run in.

    checkout: the user's work tree, None for a bare repository. active: the active virtual or conda environment. path: where programs are looked for.
    """
    notes: list[str] = []
    chosen: tuple[str, Interpreter] | None = None
    for label, prefix in _places(checkout, active):
        found = from_prefix(prefix)
        if isinstance(found, Interpreter):
            chosen = (label, found)
            break
        notes.append(f"{label} {str(prefix)!r} is not used: {found}")
    if chosen is None:
        found = on_path(path, checkout=checkout)
        if isinstance(found, Interpreter):
            chosen = (f"python3 on PATH ({found.program})", found)
        else:
            notes.append(found)
    return _environment(chosen, notes, checkout=checkout, path=path)


def build_outputs(checkout: Path) -> tuple[Mount, ...]:
    """Return mounts that lay what an install left in the checkout, and git ignores, over a work tree shown at the checkout's path.

    egg-info folders, generated versions and compiled modules, sorted, capped: absent from a work tree made from git, and an editable install
    needs them. Empty when the checkout is no git repository.
    """
    try:
        repository = pygit2.Repository(str(checkout))
    except pygit2.GitError:
        return ()
    found = []
    for path, is_folder in _walk(checkout):
        if _is_output(path, is_folder) and repository.path_is_ignored(path + "/" if is_folder else path):
            found.append(Mount(checkout / path, checkout / path))
            if len(found) == OUTPUTS_MOUNTED:
                break
    return tuple(sorted(found, key=lambda mount: mount.target))


def prepare_environment(
    root: Path,
    *,
    bound_at: Path,
    cache_dir: Path,
    sandbox: Sandbox,
    path: str,
    pip: PipSettings | None = None,
    mounts: tuple[Mount, ...] = (),
    requirements: tuple[str, ...] = ("pytest",),
    limits: Limits = _PREPARE_LIMITS,
    report: Report | None = None,
) -> Environment:
    """Build, or take from the cache, a virtual environment with the project in `root` and what its tests need.

    root: a work tree of ours, at the base; the install may write into it. bound_at: where the sandbox shows it, which the editable install will
    name. cache_dir: environments are kept in `envs/<hash>` below it. mounts: beside the tree (a cover for `.git`, for instance).
    requirements: installed in any case. Raises UserError with the end of pip's output when the install fails.
    """
    base = on_path(path, checkout=root)
    if isinstance(base, str):
        raise UserError(f"cannot prepare an environment: {base}; install Python 3 or leave out --prepare")
    wanted = find_dependencies(_tree_files(root), lambda name: _read(root / name))
    bound_at = bound_at if sandbox.isolates else root
    key = _preparation_key(root, wanted, base, bound_at, requirements)
    folder = cache_dir / "envs" / key
    work = _Preparation(folder, root, bound_at, sandbox, base, pip or PipSettings(), mounts, limits, report)
    _make_once(work, _install_steps(folder, wanted, requirements))
    return open_prepared(folder, path=path).environment


@dataclass(frozen=True)
class Prepared:
    """An environment that was built. bound_at: where the sandbox has to show the work tree, since the install may name that place."""

    environment: Environment
    bound_at: Path
    folder: Path


def build_environment(
    root: Path,
    commands: Sequence[str],
    *,
    base: Interpreter,
    name: str,
    bound_at: Path,
    cache_dir: Path,
    sandbox: Sandbox,
    path: str,
    pip: PipSettings | None = None,
    mounts: tuple[Mount, ...] = (),
    limits: Limits = _PREPARE_LIMITS,
    report: Report | None = None,
) -> Prepared:
    """Build, or take from the cache, a virtual environment of `base` in which shell `commands` were run, at the root of the tree and with network.

    name: what the environment is kept for; with the commands, the interpreter and `bound_at` it is the key. The rest is as for `prepare_environment`.
    """
    bound_at = bound_at if sandbox.isolates else root
    folder = built_in(commands, base=base, name=name, bound_at=bound_at, cache_dir=cache_dir)
    work = _Preparation(folder, root, bound_at, sandbox, base, pip or PipSettings(), mounts, limits, report)
    _make_once(work, [(command, (SHELL, "-c", command)) for command in commands])
    return open_prepared(folder, path=path)


def built_in(commands: Sequence[str], *, base: Interpreter, name: str, bound_at: Path, cache_dir: Path) -> Path:
    """Return the folder that `build_environment` keeps an environment in; `is_built` says whether it is there."""
    said = [name, str(base.real), str(base.real.stat().st_mtime_ns), str(bound_at), *commands]
    return cache_dir / "envs" / hashlib.sha256("\0".join(said).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def is_built(folder: Path) -> bool:
    """Return whether an environment was built in `folder` to its end."""
    return (folder / _PREPARED).is_file()


def open_prepared(folder: Path, *, path: str) -> Prepared:
    """Return the environment that was built in `folder`. Raises UserError when there is none that can be used."""
    found = from_prefix(folder)
    try:
        kept = json.loads((folder / _PREPARED).read_text("utf-8"))
        bound_at, outputs = Path(kept["bound_at"]), list(map(str, kept["outputs"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        found, bound_at, outputs = f"it was not made to its end ({error})", Path(), []
    if isinstance(found, str):
        raise UserError(f"the prepared environment at {str(folder)!r} cannot be used: {found}; delete it and try again")
    environment = _environment(
        ("prepared environment", found), [], checkout=bound_at, path=path, modules=folder / "outputs" / MODULES_FOLDER
    )
    shown = {mount.target for mount in environment.mounts}
    laid_over = tuple(Mount(folder / "outputs" / name, bound_at / name) for name in outputs if bound_at / name not in shown)
    return Prepared(replace(environment, mounts=(*environment.mounts, *laid_over)), bound_at, folder)


def _places(checkout: Path | None, active: Path | None) -> Iterator[tuple[str, Path]]:
    for name in (".venv", "venv") if checkout else ():
        assert checkout is not None
        if is_file(checkout / name / "pyvenv.cfg"):
            yield "the checkout's environment", checkout / name
    if active is not None:
        yield "the active environment", active


def _environment(
    chosen: tuple[str, Interpreter] | None, notes: list[str], *, checkout: Path | None, path: str, modules: Path | None = None
) -> Environment:
    """Return the environment of an interpreter. modules: where the checkout's node_modules really are, when not in it."""
    env = dict(FIXED)
    programs: list[str] = []
    mounts: dict[Path, Mount] = {}
    identity = ["none"]
    label, interpreter = chosen if chosen else ("no Python", None)
    if interpreter is not None:
        programs.append(str(interpreter.program.parent))
        mounts |= {mount.target: mount for mount in interpreter.mounts}
        identity = [fingerprint(interpreter)]
        notes += _pointing_elsewhere(interpreter, checkout)
        if interpreter.is_venv:
            env["VIRTUAL_ENV"] = str(interpreter.prefix)
    for mount, folder, version in _node(checkout, path, modules):
        mounts.setdefault(mount.target, mount)
        programs.append(str(folder))
        identity.append(version)
    env["PATH"] = os.pathsep.join([*dict.fromkeys(programs), SYSTEM_PATH])
    identity += [f"{name}={value}" for name, value in sorted(env.items())]
    return Environment(
        id=hashlib.sha256("\0".join(identity).encode("utf-8", "surrogateescape")).hexdigest()[:32],
        label=f"{label} {interpreter.prefix}" if interpreter and str(interpreter.prefix) not in label and "PATH" not in label else label,
        python=interpreter.program if interpreter else None,
        mounts=tuple(mounts.values()),
        env=env,
        notes=tuple(notes),
    )


def _pointing_elsewhere(interpreter: Interpreter, checkout: Path | None) -> list[str]:
    """Return a note for each folder that a .pth file adds and that will not be visible inside."""
    visible = [Path("/usr"), *(target for _, target in interpreter.folders), *([checkout] if checkout else [])]
    added = [
        (Path(line), pth.name)
        for site in site_folders(interpreter)
        for pth in sorted(site.glob("*.pth"))
        for line in (_read(pth) or b"").decode("utf-8", "replace").splitlines()
        if line.startswith("/")
    ]
    return [
        f"{str(folder)!r}, which {pth} adds to the import path, is outside the repository and cannot be seen in the sandbox"
        for folder, pth in added
        if folder.is_dir() and not any(folder.is_relative_to(shown) for shown in visible)
    ]


def _node(checkout: Path | None, path: str, modules: Path | None) -> Iterator[tuple[Mount, Path, str]]:
    """Yield (mount, folder of programs, what it depends on) of the checkout's node_modules and of node, if there are the first."""
    shown = checkout / MODULES_FOLDER if checkout else None
    modules = modules or shown
    node = shutil.which("node", path=path)
    if modules is None or shown is None or not modules.is_dir() or node is None:
        return
    lock = modules / ".package-lock.json"
    yield Mount(modules.resolve(), shown), shown / ".bin", f"{lock.stat().st_mtime_ns if lock.is_file() else 0}"
    prefix = Path(node).resolve().parent.parent
    if not prefix.is_relative_to("/usr") and (prefix / "bin" / "node").is_file() and (prefix / "lib" / "node_modules").is_dir():
        yield Mount(prefix, prefix), prefix / "bin", str(prefix)


def _walk(root: Path) -> Iterator[tuple[str, bool]]:
    """Yield (path below `root`, whether it is a folder), sorted within folders, not entering what is never source."""
    seen = 0
    rest = [""]
    while rest:
        folder = rest.pop()
        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            seen += 1
            if seen > _ENTRIES_SEEN:
                return
            is_folder = entry.is_dir(follow_symlinks=False)
            path = f"{folder}/{entry.name}" if folder else entry.name
            yield path, is_folder
            if is_folder and entry.name not in _NOT_ENTERED and not entry.name.endswith(OUTPUT_FOLDERS):
                rest.append(path)


def _is_output(path: str, is_folder: bool) -> bool:
    return path.endswith(OUTPUT_FOLDERS if is_folder else OUTPUT_FILES)


def _tree_files(root: Path) -> set[RepoPath]:
    return {RepoPath(path) for path, is_folder in _walk(root) if not is_folder}


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError:
        return None


def _preparation_key(root: Path, wanted: Dependencies, base: Interpreter, bound_at: Path, requirements: tuple[str, ...]) -> str:
    digest = hashlib.sha256(f"{base.real}\0{base.real.stat().st_mtime_ns}\0{bound_at}\0{requirements}\0".encode("utf-8", "surrogateescape"))
    for path in wanted.declared_in:
        digest.update(path.encode("utf-8", "surrogateescape") + b"\0" + hashlib.sha256(_read(root / path) or b"").digest())
    return digest.hexdigest()[:16]


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold a lock file, so that two runs do not build one environment."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise StorageError(
            f"cannot keep an environment at {str(path.parent)!r}: {error.strerror}; free some room or set BACKSTORY_CACHE_DIR"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_once(work: "_Preparation", steps: Sequence[tuple[str, tuple[str, ...]]]) -> None:
    """Build an environment unless it is there; another run that builds the same one is waited for."""
    with _held(work.folder.with_suffix(".lock")):
        if not is_built(work.folder):
            shutil.rmtree(work.folder, ignore_errors=True)
            work.make(steps)


def _install_steps(folder: Path, wanted: Dependencies, requirements: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the one command that installs everything, with its name for a person; none when there is nothing to install."""
    targets = wanted.pip_targets(requirements)
    pip = (str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install")
    return [("install", (*pip, *targets))] if targets else []


@dataclass(frozen=True)
class _Preparation:
    """One build of an environment."""

    folder: Path
    root: Path
    bound_at: Path
    sandbox: Sandbox
    base: Interpreter
    pip: PipSettings
    mounts: tuple[Mount, ...]
    limits: Limits
    report: Report | None

    def make(self, steps: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        self.folder.mkdir(parents=True)
        before = set(_walk(self.root))
        steps = [("environment", (str(self.base.program), "-m", "venv", str(self.folder))), *steps]
        for done, (phase, argv) in enumerate(steps):
            if self.report:
                self.report(f"prepare: {phase}", done, len(steps))
            self._run(argv)
        made = sorted(set(_walk(self.root)) - before)
        outputs = [path for path, is_folder in made if _is_output(path, is_folder) or (is_folder and path.endswith(MODULES_FOLDER))]
        self._keep(outputs)
        (self.folder / _PREPARED).write_text(json.dumps({"outputs": outputs, "bound_at": str(self.bound_at)}))

    def _run(self, argv: tuple[str, ...]) -> None:
        programs = os.pathsep.join([str(self.folder / "bin"), str(self.base.program.parent), SYSTEM_PATH])
        env = {**FIXED, **self.pip.env, "PATH": programs, "VIRTUAL_ENV": str(self.folder), "PIP_NO_INPUT": "1"}
        mounts = [*self.base.mounts, *self.mounts, Mount(self.root, self.bound_at, True), Mount(self.folder, self.folder, True)]
        mounts += [Mount(path.resolve(), path) for path in _named_by_pip(self.pip)]
        if self.pip.config is not None:
            env["PIP_CONFIG_FILE"] = str(self.pip.config)
        done = self.sandbox.run(Command(argv, self.bound_at, env, tuple(mounts), network=True), self.limits)
        if done.exit_code != 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise UserError(_failed(argv, done))

    def _keep(self, outputs: list[str]) -> None:
        """Copy what the install left in the tree, which is made anew for every commit."""
        for path in outputs:
            kept = self.folder / "outputs" / path
            kept.parent.mkdir(parents=True, exist_ok=True)
            if (self.root / path).is_dir():
                shutil.copytree(self.root / path, kept, symlinks=True)
            else:
                shutil.copy2(self.root / path, kept)


def _named_by_pip(pip: PipSettings) -> list[Path]:
    """Return the user's pip.conf, the machine's, and the local folders and certificates that they or PIP_* variables name."""
    configs = [path for path in (pip.config, Path("/etc/pip.conf")) if path is not None and path.is_file()]
    settings = [*pip.env.values(), *((_read(path) or b"").decode("utf-8", "replace") for path in configs)]
    named = [Path(match) for text in settings for match in _LOCAL_PATH.findall(text)]
    named = [path.parent if path.name == "simple" else path for path in named]  # an index on disk keeps its files beside `simple`
    return list(dict.fromkeys([*configs, *(path for path in named if path.exists() and len(path.parts) > 2)]))


def _failed(argv: tuple[str, ...], done: Execution) -> str:
    tail = "\n".join(done.output.decode("utf-8", "replace").splitlines()[-_TAIL_LINES:])
    ended = f"stopped by its limit ({done.stopped})" if done.stopped else f"exit code {done.exit_code}"
    if argv[0] == SHELL:
        return f"the command {argv[-1]!r} failed ({ended}). It said:\n{tail}"
    step = "pip could not install what the tests need" if "pip" in argv else "the virtual environment could not be made"
    return f"{step} ({ended}); make an environment yourself in .venv and leave out --prepare. It said:\n{tail}"
