"""The container engine: the one place that speaks to it, by its SDK.

A container is made, followed and removed here: its output is read as it comes and held to the limits, and whatever happens it is gone when `run`
returns. It cannot outlive us either. Its first process waits on a pipe that closes with ours, so a container whose maker was killed ends by itself; and
each has a label that names its maker, by which the next of us removes those whose maker is gone.

Everything the engine refuses is a SandboxError of one line. What a container may see is decided in `backstory.tools.docker`.
"""

import io
import os
import select
import shutil
import socket
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from backstory.errors import SandboxError
from backstory.tools.limits import BEGAN, GIB, Limits, process_stat
from backstory.tools.shell import SHELL, Execution, Kept, Mount, Stop, ended

SOCKET: Final = "unix:///var/run/docker.sock"
OWNER: Final = "backstory.owner"  # label of a container: who made it
MADE: Final = "backstory.made"  # label of an image: what it is for

# The first process of a container. Its input is a pipe that ends with us, and then it takes everything along. As a shell that waits it also reaps what
# loses its parent. The program is a child, since signals do not end a first process; its errors go where its output goes, so that their order is kept.
_FIRST = 'exec 3<&0 </dev/null 2>/dev/null; { read -r _ <&3; kill -9 -1; } & (exec "$@") 2>&1 3<&-; exit $?'
_FIRST_PROCESSES = 2  # of its own
_ANSWER_S = 60  # for one request to the engine, pulls apart
_PULL_S = 3600
_CHUNK = 1 << 16
_HEADER = 8  # bytes before each piece of output: its stream, three zeros, its size


@dataclass(frozen=True)
class Image:
    """An image that is here. id: of its contents; env: what it sets; folder: where it begins, "/" when it does not say."""

    name: str
    id: str
    env: Mapping[str, str]
    folder: str


@dataclass(frozen=True)
class Spec:
    """One container. user: "uid:gid". private: size in bytes of folders in memory. overlay: a tar laid over the image's files before the start.

    writable: whether the image's files may be changed, for as long as the container is there. rights: capabilities that are left. network: the machine's
    own, else none.
    """

    image: Image
    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    user: str
    mounts: Sequence[Mount] = ()
    private: Mapping[Path, int] = field(default_factory=dict)
    shared_memory: int = 64 << 20
    network: bool = False
    writable: bool = False
    rights: Sequence[str] = ()
    overlay: bytes = b""
    cpus: float | None = None


class Engine:
    """An engine that answers at `address`. For several threads at once."""

    def __init__(self, client: Any, address: str) -> None:
        self.address = address
        self._client = client
        self._api = client.api
        with _asked(address):
            version, info = client.version(), client.info()
        self.version = str(version.get("Version", "unknown"))
        self.platform = f"{version.get('Os', '')}/{version.get('Arch', '')}"
        self._folder = Path(str(info.get("DockerRootDir") or "/var/lib/docker"))
        options = {str(option).split(",")[0].removeprefix("name=") for option in info.get("SecurityOptions") or ()}
        self.rootless = "rootless" in options
        self._remapped = "userns" in options
        self._labelled = "selinux" in options
        self._pulling = threading.Lock()

    def image(self, name: str, *, pull: Literal["missing", "always", "never"], platform: str, free_gib: float) -> Image:
        """Return an image, fetched if it has to be. Raises SandboxError when it is not to be had."""
        import docker.errors

        with self._pulling:
            found = None
            if pull != "always":
                with _asked(self.address), suppress(docker.errors.ImageNotFound):
                    found = self._client.images.get(name)
            if found is None and pull == "never":
                raise SandboxError(
                    f"the image {name!r} is not here; fetch it with `docker pull`, or let it be fetched with pull = 'missing'"
                )
            if found is None:
                self.room(free_gib, f"to fetch the image {name!r}")
                found = self._pulled(name, platform)
        about = found.attrs
        has = f"{about.get('Os', '')}/{about.get('Architecture', '')}"
        if platform and not f"{platform}/".startswith(f"{has}/"):
            raise SandboxError(f"the image {name!r} is for {has} and not for {platform}; fetch the other with pull = 'always'")
        config = about.get("Config") or {}
        env = dict(pair.partition("=")[::2] for pair in config.get("Env") or ())
        return Image(name, str(found.id), env, str(config.get("WorkingDir") or "/"))

    def empty_image(self, name: str, files: bytes) -> Image:
        """Return the image of that name, made of a tar when it is not there yet."""
        import docker.errors

        with _asked(self.address), self._pulling:
            try:
                found = self._client.images.get(name)
            except docker.errors.ImageNotFound:
                repository, _, tag = name.partition(":")
                self._api.import_image_from_data(files, repository=repository, tag=tag, changes=[f"LABEL {MADE}=sandbox"])
                found = self._client.images.get(name)
        return Image(name, str(found.id), {}, "/")

    def room(self, free_gib: float, why: str) -> None:
        """Raise SandboxError when less than that is free on the engine's disk, as far as it can be seen from here."""
        free = self.free_gib
        if free is not None and free < free_gib:
            raise SandboxError(
                f"{free:.1f} GiB are free at {str(self._folder)!r} and {free_gib:g} are wanted {why}; `docker image prune` may free some"
            )

    @property
    def free_gib(self) -> float | None:
        """What is free on the engine's disk, None where that cannot be seen from here."""
        try:
            return shutil.disk_usage(self._folder).free / GIB
        except OSError:
            return None

    def run(self, spec: Spec, limits: Limits) -> Execution:
        """Run a container to its end or its limits and remove it. Raises SandboxError when it cannot be made."""
        with _asked(self.address), self._container(spec, limits) as id:
            kept = Kept(limits.kept_bytes)
            with self._attached(id) as output:
                started = time.monotonic()
                self._api.start(id)
                stopped = _follow(output, kept, limits, started=started)
                seconds = time.monotonic() - started
            if stopped is not None:
                self._kill(id)  # only now: while we are attached and do not read, the engine waits for us
            code = int(self._api.wait(id, timeout=_ANSWER_S)["StatusCode"])
            state = self._api.inspect_container(id)["State"]
        if stopped is None and state.get("Error"):
            raise SandboxError(f"the container could not be made: {_line(str(state['Error']))}; see `backstory doctor`")
        return ended(code, stopped, "memory" if state.get("OOMKilled") else None, limits, kept, seconds)

    def copied(self, image: Image, paths: Sequence[str]) -> list[bytes]:
        """Return files or folders of an image, each as a tar. Raises SandboxError when it has one of them not."""
        if not paths:
            return []
        with _asked(self.address), self._container(Spec(image, ("true",), Path("/"), {}, "0:0"), Limits()) as id:
            return [b"".join(self._api.get_archive(id, path)[0]) for path in paths]

    def clear_dead(self) -> int:
        """Remove the containers whose maker is gone, and return how many."""
        removed = 0
        with _asked(self.address):
            for one in self._api.containers(all=True, filters={"label": OWNER}):
                if _is_gone(str(one.get("Labels", {}).get(OWNER, ""))):
                    self._remove(str(one["Id"]))
                    removed += 1
        return removed

    @contextmanager
    def _container(self, spec: Spec, limits: Limits) -> Iterator[str]:
        """Make a container and remove it."""
        import docker.types

        config = self._api.create_host_config(
            mounts=[
                docker.types.Mount(str(mount.target), str(mount.source), type="bind", read_only=not mount.writable) for mount in spec.mounts
            ],
            tmpfs={str(folder): f"rw,exec,nosuid,nodev,mode=1777,size={size}" for folder, size in spec.private.items()},
            shm_size=spec.shared_memory,
            network_mode="host" if spec.network else "none",
            read_only=not spec.writable,
            cap_drop=["ALL"],
            cap_add=list(spec.rights),
            security_opt=["no-new-privileges", *(["label=disable"] if self._labelled else [])],
            userns_mode="host" if self._remapped else None,
            mem_limit=limits.memory_bytes,
            memswap_limit=limits.memory_bytes,
            pids_limit=limits.processes + _FIRST_PROCESSES,
            nano_cpus=int(spec.cpus * 1e9) if spec.cpus else None,
            ulimits=_ulimits(limits),
            log_config=docker.types.LogConfig(type="none"),  # the engine would keep all that is printed
            init=False,
        )
        container = self._api.create_container(
            spec.image.id,
            command=list(spec.argv),
            entrypoint=[SHELL, "-c", _FIRST, "sh"],
            environment=dict(spec.env),
            user=spec.user,
            working_dir=str(spec.cwd),
            hostname=None if spec.network else "sandbox",
            stdin_open=True,
            labels={OWNER: owner()},
            host_config=config,
        )
        id = str(container["Id"])
        try:
            if spec.overlay:
                self._api.put_archive(id, "/", spec.overlay)
            yield id
        finally:
            self._remove(id)

    @contextmanager
    def _attached(self, id: str) -> Iterator[int]:
        """Yield a descriptor of the container's output; its input stays open for as long."""
        stream = self._api.attach_socket(id, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        with socket.socket(fileno=os.dup(stream.fileno())) as output:
            try:
                yield output.fileno()
            finally:
                # The SDK keeps the connection open for as long as anything of it is referred to.
                with suppress(OSError):
                    output.shutdown(socket.SHUT_RDWR)
                getattr(stream, "_response", stream).close()

    def _kill(self, id: str) -> None:
        import docker.errors

        with suppress(docker.errors.APIError):  # it ended just now
            self._api.kill(id)

    def _remove(self, id: str) -> None:
        import docker.errors
        import requests

        with suppress(docker.errors.APIError, requests.RequestException):  # gone already, or left for whoever clears up next
            self._api.remove_container(id, force=True, v=True)

    def _pulled(self, name: str, platform: str) -> Any:
        import docker
        import docker.errors

        patient = docker.DockerClient(base_url=self.address, timeout=_PULL_S)
        try:
            with _asked(self.address):
                repository, tag = (name, None) if "@" in name or ":" in name.rpartition("/")[2] else (name, "latest")
                return patient.images.pull(repository, tag=tag, platform=platform or None)
        except SandboxError as error:
            raise SandboxError(
                f"the image {name!r} is not here and cannot be fetched: {_said(error)}; check its name and the network"
            ) from error
        finally:
            patient.close()


@cache
def open_engine(address: str = "") -> Engine:
    """Return the engine at an address, that of `SOCKET` when empty, once the containers that killed runs left are removed.

    Raises SandboxError when none answers.
    """
    import docker
    import docker.errors

    address = address or SOCKET
    if not address.startswith(("unix://", "tcp://", "http://")):
        raise SandboxError(f"the engine at {address!r} cannot be used; name one on this machine, such as {SOCKET}, with DOCKER_HOST")
    try:
        if address.startswith("unix://"):  # the SDK leaves a socket open where nobody listens
            with socket.socket(socket.AF_UNIX) as tried:
                tried.connect(address.removeprefix("unix://"))
        client = docker.DockerClient(base_url=address, timeout=_ANSWER_S)
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        raise SandboxError(
            f"no container engine answers at {address} ({_line(str(error))}); start Docker, or name another with DOCKER_HOST"
        ) from error
    engine = Engine(client, address)
    engine.clear_dead()
    return engine


def archive(
    files: Mapping[str, tuple[bytes, int]], links: Mapping[str, str] | None = None, folders: Sequence[str] = (), when: int = 0
) -> bytes:
    """Return a tar of files (contents and mode by path), links (targets by path) and folders, in a fixed order. when: their time, in seconds since 1970."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path in sorted(folders):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path, target in sorted((links or {}).items()):
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
        for path, (content, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(content), mode, when
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def owner() -> str:
    """Return what names this process among all of all machines that share an engine."""
    return _name_of(os.getpid())


def _name_of(pid: int) -> str:
    return f"{_boot()}:{_namespace()}:{pid}:{_began(pid)}"


def _is_gone(name: str) -> bool:
    """Return whether a maker is known to be gone: it was of this machine since it started, and no process has its number and its time."""
    boot, namespace, pid, _ = [*name.split(":"), "", "", ""][:4]
    return (boot, namespace) == (_boot(), _namespace()) and pid.isdigit() and _name_of(int(pid)) != name


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


@cache
def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink()).partition("[")[2].rstrip("]")
    except OSError:
        return "unknown"


def _began(pid: int) -> str:
    """Return when a process began, in ticks since the machine did; "" when there is none."""
    fields = process_stat(pid)
    return fields[BEGAN].decode() if fields else ""


def _ulimits(limits: Limits) -> list[Any]:
    import docker.types

    cpu = max(1, int(limits.cpu_s + 0.999))
    wanted = (
        ("core", 0, 0),
        ("cpu", cpu, cpu + 2),
        ("data", limits.memory_bytes, limits.memory_bytes),
        ("fsize", limits.file_bytes, limits.file_bytes),
        ("nofile", limits.open_files, limits.open_files),
    )
    return [docker.types.Ulimit(name=name, soft=soft, hard=hard) for name, soft, hard in wanted]


@dataclass
class _Pieces:
    """The output of a container without the headers between its pieces."""

    left: int = 0
    header: bytes = b""

    def of(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self.left:
                piece, chunk = chunk[: self.left], chunk[self.left :]
                self.left -= len(piece)
                yield piece
                continue
            missing = _HEADER - len(self.header)
            self.header, chunk = self.header + chunk[:missing], chunk[missing:]
            if len(self.header) == _HEADER:
                self.left, self.header = int.from_bytes(self.header[4:], "big"), b""


def _follow(output: int, kept: Kept, limits: Limits, *, started: float) -> Stop | None:
    """Read output until the container ends or is over a limit; return that limit."""
    pieces = _Pieces()
    while True:
        left = started + limits.wall_s - time.monotonic()
        if left <= 0:
            return "wall"
        if not select.select([output], [], [], left)[0]:
            continue
        chunk = os.read(output, _CHUNK)
        if not chunk:
            return None
        for piece in pieces.of(chunk):
            kept.add(piece)
        if kept.total > limits.output_bytes:
            return "output"


@contextmanager
def _asked(address: str) -> Iterator[None]:
    """Map what the engine and the way to it can say to SandboxError."""
    import docker.errors
    import requests

    try:
        yield
    except docker.errors.APIError as error:
        raise SandboxError(f"the container engine refused: {_line(str(error.explanation or error))}") from error
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise SandboxError(f"the container engine at {address} does not answer: {_line(str(error))}; see `backstory doctor`") from error


def _said(error: SandboxError) -> str:
    return str(error).removeprefix("the container engine refused: ")


def _line(text: str) -> str:
    """Return a message as one line of moderate length."""
    return " ".join(text.split())[:300] or "no reason given"
