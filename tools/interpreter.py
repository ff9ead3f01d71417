"""Which Python runs a repository's tests, and which folders it is made of.

An interpreter named by a repository is never run to find this out: `pyvenv.cfg` is read and links are followed. What is found is to be shown
read-only inside the sandbox at its own path, so every folder is looked at first: it must look like a Python prefix, and may not be the whole
machine, a home directory or something that holds one.
"""

import hashlib
import os
import pwd
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backstory.tools.limits import Limits
from backstory.tools.sandbox import SYSTEM_PATH, NoSandbox
from backstory.tools.shell import Command, Mount

_LINKS_FOLLOWED = 40  # as many as the kernel follows
_SYSTEM_PREFIXES = (Path("/usr"), Path("/bin"), Path("/nix/store"))
_ASK_LIMITS = Limits(wall_s=20)
_VERSION = re.compile(r"\d[0-9A-Za-z.\-]*\Z")


@dataclass(frozen=True)
class Interpreter:
    """A Python, not yet run.

    program: the path to start it by. real: the file that is. prefix: the environment's folder (a virtual environment, or the installation).
    is_venv: whether the prefix is a virtual environment. folders: (source, target) of what it needs beside the system's own folders.
    """

    program: Path
    real: Path
    prefix: Path
    is_venv: bool
    folders: tuple[tuple[Path, Path], ...]

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """Return the folders as read-only mounts."""
        return tuple(Mount(source, target) for source, target in self.folders)


def from_prefix(prefix: Path) -> Interpreter | str:
    """Return the Python of a virtual environment, a conda environment or an installation, or why there is none, as half a sentence."""
    program = next((prefix / "bin" / name for name in ("python", "python3") if is_file(prefix / "bin" / name)), None)
    if program is None:
        return "it has no bin/python, or the link dangles"
    is_venv = is_file(prefix / "pyvenv.cfg")
    folders: dict[Path, Path] = {}
    for folder in _folders(prefix, program, is_venv=is_venv):
        if any(folder.resolve().is_relative_to(system) for system in _SYSTEM_PREFIXES) and folder.resolve() == folder:
            continue
        refusal = _refusal(folder)
        if refusal:
            return refusal
        folders[folder] = folder.resolve()
    return Interpreter(program, program.resolve(), prefix, is_venv, tuple((source, target) for target, source in folders.items()))


def on_path(path: str, *, checkout: Path | None) -> Interpreter | str:
    """Return the `python3` that the search path `path` leads to, or why there is none.

    A shim of pyenv is followed to the version that the checkout's `.python-version` or pyenv's own `version` names.
    """
    program = _which("python3", path) or _which("python", path)
    if program is None:
        return "there is no python3 on PATH"
    if program.parent.name == "shims":
        versions = program.parent.parent / "versions"
        chosen = next(
            (folder for name in _pyenv_versions(program.parent.parent, checkout) if (folder := _version_folder(versions, name))), None
        )
        if chosen is not None:
            return from_prefix(chosen)
    for prefix in (program.parent.parent, program.resolve().parent.parent):
        if _looks_like_python(prefix):
            return from_prefix(prefix)
    asked = _ask(program, path)
    return from_prefix(asked) if asked is not None else f"{str(program)!r} is no Python"


def of_version(version: str, path: str) -> Interpreter | str:
    """Return a Python of a version such as "3.9" that the search path `path` leads to, or why there is none.

    Looked for behind pyenv's shims, newest first, and as `pythonX.Y`.
    """
    for folder in map(Path, path.split(os.pathsep)):
        found = _version_folder(folder.parent / "versions", version) if folder.name == "shims" else None
        if found is not None:
            return from_prefix(found)
    program = _which(f"python{version}", os.pathsep.join(folder for folder in path.split(os.pathsep) if Path(folder).name != "shims"))
    if program is None:
        return f"there is no Python {version} on PATH or among pyenv's versions"
    return from_prefix(program.resolve().parent.parent)


def fingerprint(interpreter: Interpreter) -> str:
    """Return a hash that changes when the interpreter or what is installed for it changes. Reads names and times only: milliseconds."""
    digest = hashlib.sha256()

    def add(*words: object) -> None:
        digest.update("\0".join(map(str, words)).encode("utf-8", "surrogateescape") + b"\n")

    add(interpreter.real, *_times(interpreter.real), interpreter.prefix)
    cfg = interpreter.prefix / "pyvenv.cfg"
    if is_file(cfg):
        add(cfg.read_bytes())
    for site in site_folders(interpreter):
        for entry in sorted(os.scandir(site), key=lambda entry: entry.name):
            if entry.name.endswith((".dist-info", ".egg-info")):
                add(site, entry.name, *_times(Path(entry.path, "RECORD")))
            elif entry.name.endswith((".pth", ".egg-link", ".egg")):
                add(site, entry.name, *_times(Path(entry.path)))
    return digest.hexdigest()


def site_folders(interpreter: Interpreter) -> list[Path]:
    """Return the folders third-party packages are installed in, sorted; Debian's own for a system Python."""
    prefixes = {interpreter.prefix} | ({target for _, target in interpreter.folders} if _sees_system_packages(interpreter) else set())
    if not interpreter.is_venv and interpreter.real.is_relative_to("/usr"):
        prefixes |= {Path("/usr"), Path("/usr/local")}
    patterns = ("lib/python*/site-packages", "lib64/python*/site-packages", "lib/python*/dist-packages", "lib/pypy*/site-packages")
    return sorted({folder.resolve() for prefix in prefixes for pattern in patterns for folder in prefix.glob(pattern)})


def is_file(path: Path) -> bool:
    """Return whether there is a file that this user may know of."""
    try:
        return path.is_file()
    except OSError:
        return False


def _sees_system_packages(interpreter: Interpreter) -> bool:
    cfg = interpreter.prefix / "pyvenv.cfg"
    return is_file(cfg) and re.search(r"(?im)^include-system-site-packages\s*=\s*true", cfg.read_text(errors="replace")) is not None


def _folders(prefix: Path, program: Path, *, is_venv: bool) -> Iterator[Path]:
    """Yield the prefix, and that of every file the program is a link to, and the one pyvenv.cfg calls home."""
    yield prefix
    if not is_venv:
        if program.resolve().parent.parent != prefix.resolve():
            yield program.resolve().parent.parent
        return
    hop = program
    for _ in range(_LINKS_FOLLOWED):
        if not hop.is_symlink():
            break
        hop = Path(os.path.normpath(hop.parent / hop.readlink()))
        if hop.parent.parent != prefix:
            yield hop.parent.parent
    yield program.resolve().parent.parent
    home = re.search(r"(?im)^home\s*=\s*(.+?)\s*$", (prefix / "pyvenv.cfg").read_text(errors="replace"))
    if home and Path(home[1]).is_absolute():
        yield Path(os.path.normpath(home[1])).parent


def _refusal(folder: Path) -> str:
    """Return why a folder is not shown inside the sandbox, or an empty string."""
    real = folder.resolve()
    if real == Path("/") or any(Path(entry.pw_dir).resolve().is_relative_to(real) for entry in pwd.getpwall() if _is_home(entry.pw_dir)):
        return f"{str(folder)!r} is, or holds, a home directory"
    if not _looks_like_python(real):
        return f"{str(folder)!r} does not look like a Python installation"
    return ""


def _is_home(folder: str) -> bool:
    """Return whether a folder named by the user database is somebody's own; services have folders of the system there."""
    return (
        Path(folder).is_absolute()
        and not folder.startswith(("/usr", "/bin", "/sbin", "/var", "/dev", "/proc", "/run", "/nonexistent"))
        and folder != "/"
    )


def _looks_like_python(prefix: Path) -> bool:
    try:
        return any((prefix / "bin").glob("python*")) and any(
            folder.is_dir() for lib in ("lib", "lib64") for name in ("python*", "pypy*") for folder in (prefix / lib).glob(name)
        )
    except OSError:  # somebody else's folder
        return False


def _which(name: str, path: str) -> Path | None:
    for folder in path.split(os.pathsep):
        candidate = Path(folder, name)
        if Path(folder).is_absolute() and is_file(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return None


def _pyenv_versions(root: Path, checkout: Path | None) -> Iterator[str]:
    """Yield the versions pyenv would choose, first choice first. Only plain version names count: the file may be the repository's."""
    for file in ([checkout / ".python-version"] if checkout else []) + [root / "version"]:
        try:
            words = file.read_text(errors="replace").split()
        except OSError:
            continue
        yield from (word for word in words if _VERSION.match(word))
    with_folder = sorted((folder.name for folder in (root / "versions").glob("3.*")), key=_numbers, reverse=True)
    yield from with_folder


def _version_folder(versions: Path, name: str) -> Path | None:
    """Return the folder of a version, or of the newest that it is a prefix of ("3.11" is served by 3.11.7)."""
    if (versions / name / "bin").is_dir():
        return versions / name
    newer = sorted(versions.glob(f"{name}.*"), key=lambda folder: _numbers(folder.name))
    return newer[-1] if newer else None


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _ask(program: Path, path: str) -> Path | None:
    """Return the prefix that a program on the user's own PATH (a wrapper, another version switch) reports; it is run outside every repository."""
    command = Command((str(program), "-I", "-c", "import sys; print(sys.prefix)"), Path("/"), {"PATH": f"{path}{os.pathsep}{SYSTEM_PATH}"})
    said = NoSandbox().run(command, _ASK_LIMITS)
    lines = said.output.decode("utf-8", "surrogateescape").split("\n")
    return Path(lines[0]) if said.exit_code == 0 and Path(lines[0]).is_absolute() and Path(lines[0]).is_dir() else None


def _times(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return found.st_size, found.st_mtime_ns
