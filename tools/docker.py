"""The sandbox that is a container: for machines where bubblewrap cannot make namespaces, and for programs that an image brings.

Without an image a container is an empty one that this machine's programs are mounted into, read-only, so that a command sees what it would see in
bubblewrap: the same interpreters, the same environment, the same paths. With an image it sees the image's programs. In both, files cannot be changed
but in private /tmp and HOME and in writable mounts; there is no network, no capability, and no way to more rights; memory, processes, cores, time and
the size of files are limited. It runs as the calling user, whose files it may then write, and be deleted by.

A container takes about half a second to begin where bubblewrap takes twenty milliseconds.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from backstory.errors import SandboxError
from backstory.tools.engine import Engine, Image, Spec, archive, open_engine
from backstory.tools.limits import Limits
from backstory.tools.sandbox import (
    ETC_FILES,
    ETC_NETWORK,
    HOME,
    SHM_BYTES,
    SYSTEM_FOLDERS,
    SYSTEM_PATH,
    TMP,
    TMPFS_BYTES,
    Containers,
    is_system,
    refuse_mounts,
)
from backstory.tools.shell import Command, Execution, Mount

# The engine makes these itself.
_ENGINES_OWN = frozenset({"hosts", "resolv.conf"})
_OVER_FILES = ("CHOWN", "DAC_OVERRIDE", "FOWNER")
_TRIAL_LIMITS = Limits(wall_s=60)
_MARKER = Path(__file__).name  # a file that is there wherever we are installed


@dataclass(frozen=True)
class Docker:
    """Containers of `engine`. image: whose programs are used, those of this machine where it has no name of its own (`own_programs`)."""

    engine: Engine
    image: Image
    own_programs: bool
    cpus: float | None = None
    mounts: tuple[Mount, ...] = ()
    name: str = "docker"
    isolates: bool = True

    def run(self, command: Command, limits: Limits) -> Execution:
        """Run a command in a container of its own; see the module."""
        refuse_mounts(command.mounts)
        given = [*self.mounts, *command.mounts]
        given = [mount for mount in given if not (self.own_programs and is_system(mount))]
        spec = Spec(
            image=self.image,
            argv=command.argv,
            cwd=command.cwd,
            env={"HOME": str(HOME), "TMPDIR": str(TMP), **command.env},
            user=self.user,
            mounts=[*(_machines_own(network=command.network) if self.own_programs else ()), *given],
            private={TMP: TMPFS_BYTES, HOME: TMPFS_BYTES},
            shared_memory=SHM_BYTES,
            network=command.network,
            cpus=self.cpus,
        )
        return self.engine.run(spec, limits)

    def run_in_layer(self, command: Command, limits: Limits, overlay: bytes) -> Execution:
        """Run a command as root of the image, on a copy of the image's own files that is gone afterwards. overlay: a tar laid over them first.

        Of the rights that root has otherwise, those over the image's files are left. Variables of the image are there as well as the command's.
        """
        refuse_mounts((*self.mounts, *command.mounts))
        spec = Spec(
            image=self.image,
            argv=command.argv,
            cwd=command.cwd,
            env=command.env,
            user="0:0",
            mounts=[*self.mounts, *command.mounts],
            shared_memory=SHM_BYTES,
            writable=True,
            rights=_OVER_FILES,
            overlay=overlay,
            cpus=self.cpus,
        )
        return self.engine.run(spec, limits)

    @property
    def user(self) -> str:
        """Whose rights commands have: the caller's, who is the engine's root where the engine has none of its own."""
        return "0:0" if self.engine.rootless else f"{os.getuid()}:{os.getgid()}"


@cache
def open_docker(containers: Containers) -> Docker:
    """Return the sandbox of containers, once one has shown that it sees our files. Raises SandboxError when it cannot be had."""
    engine = open_engine(containers.engine)
    engine.room(containers.free_gib, "for containers")
    mounts = tuple(Mount(Path(path), Path(path)) for path in containers.mounts)
    if containers.image:
        image = engine.image(containers.image, pull=containers.pull, platform=containers.platform, free_gib=containers.free_gib)
        sandbox = Docker(engine, image, own_programs=False, cpus=containers.cpus, mounts=mounts)
    else:
        links = {path.name: str(path.readlink()) for path in SYSTEM_FOLDERS if path.is_symlink()}
        content = archive({}, links, ["usr", "etc", "tmp"])
        image = engine.empty_image(f"backstory-empty:{hashlib.sha256(content).hexdigest()[:12]}", content)
        sandbox = Docker(engine, image, own_programs=True, cpus=containers.cpus, mounts=mounts)
    _try(sandbox)
    return sandbox


def _try(sandbox: Docker) -> None:
    """Raise SandboxError unless a container begins and reads a file of ours, which one on another machine cannot."""
    here = Path(__file__).resolve().parent
    command = Command(("cat", "/backstory/" + _MARKER), Path("/"), {"PATH": SYSTEM_PATH}, (Mount(here, Path("/backstory")),))
    try:
        tried = sandbox.run(command, _TRIAL_LIMITS)
    except SandboxError as error:
        raise SandboxError(f"no sandbox: a container cannot begin here: {error}") from error
    if tried.exit_code != 0 or tried.output != (here / _MARKER).read_bytes():
        said = " ".join(tried.output.decode("utf-8", "replace").split())[:200] or f"exit code {tried.exit_code}"
        raise SandboxError(
            f"no sandbox: a container of {sandbox.engine.address} does not see files of this machine ({said}); use an engine that runs here"
        )


def _machines_own(*, network: bool) -> Iterator[Mount]:
    """Yield this machine's programs, and what they need to find users, libraries and time."""
    for path in SYSTEM_FOLDERS:
        if path.is_dir() and not path.is_symlink():
            yield Mount(path, path)
    for name in (*ETC_FILES, *(ETC_NETWORK if network else ())):
        source = Path("/etc", name).resolve()
        if source.exists() and name not in _ENGINES_OWN:
            yield Mount(source, Path("/etc", name))
