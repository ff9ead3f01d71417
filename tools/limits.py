"""How much a program may use, and what holds it to that.

Three nets, each under the one before: resource limits on the process (set before it starts), a group of the kernel's pids and memory controllers
when this user may make one, and a supervisor that looks at what runs every few hundredths of a second. RLIMIT_NPROC is no net here: it counts
all processes of a user, and root is exempt from it, so the number of processes is held by the group or by the supervisor (and, where user
namespaces count apart, by `ulimit` inside the sandbox: see `backstory.tools.sandbox`).

A group of the old hierarchy (cgroup v1) is made for pids alone: its memory controller is often another manager's, and resource limits and the
supervisor hold memory without it.
"""

import os
import resource
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

MIB = 1 << 20
GIB = 1 << 30

_PROC = Path("/proc")
_NUMBERS = count()
_GROUP_PREFIX = "backstory-"
_EMPTY_WITHIN_S = 2.0  # how long killed processes may take to be gone; the kernel needs milliseconds
_REMOVALS_TRIED = 40  # five milliseconds apart
_CPU_GRACE_S = 2  # between the signal a program may answer (SIGXCPU) and the one it may not
_PAGE = resource.getpagesize()


@dataclass(frozen=True)
class Limits:
    """What one run may use.

    wall_s: from start to end. cpu_s: of any one process. memory_bytes: of all processes together, and the writable memory of any one.
    processes: alive at once. file_bytes: of any one file. output_bytes: printed in all; the run is killed above it.
    kept_bytes: of the output, half from its head and half from its tail; the rest is read and dropped. open_files: per process.
    """

    wall_s: float = 300.0
    cpu_s: float = 600.0
    memory_bytes: int = 4 * GIB
    processes: int = 512
    file_bytes: int = GIB
    output_bytes: int = 256 * MIB
    kept_bytes: int = MIB
    open_files: int = 4096


def restrict(pid: int, limits: Limits) -> None:
    """Put the resource limits on a process that has not begun its work; what it starts inherits them.

    A hard limit already lower stays. RLIMIT_DATA and not RLIMIT_AS: runtimes such as V8 reserve address space by the terabyte and use little.
    """
    if not hasattr(resource, "prlimit"):
        return  # not Linux: wall time and output are still held
    cpu = max(1, int(limits.cpu_s + 0.999))
    wanted = (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_CPU, cpu, cpu + _CPU_GRACE_S),
        (resource.RLIMIT_DATA, limits.memory_bytes, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files, limits.open_files),
    )
    for kind, soft, hard in wanted:
        ceiling = resource.prlimit(pid, kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.prlimit(pid, kind, (soft, hard))


@dataclass(frozen=True)
class Group:
    """A control group made for one run. kind: "cgroup v1" or "cgroup v2"; memory: whether it also holds memory."""

    path: Path
    kind: str
    memory: bool

    def admit(self, pid: int) -> bool:
        """Move a process in; return whether the kernel let it."""
        try:
            (self.path / "cgroup.procs").write_text(str(pid))
        except OSError:
            return False
        return True

    def pids(self) -> list[int]:
        """Return the processes inside, in no order."""
        try:
            return [int(word) for word in (self.path / "cgroup.procs").read_text().split()]
        except OSError:
            return []

    def refused(self) -> str | None:
        """Return "processes" or "memory" when the kernel refused one more, else None."""
        if _counter(self.path / "pids.events", "max"):
            return "processes"
        if self.memory and _counter(self.path / "memory.events", "oom_kill"):
            return "memory"
        return None

    def remove(self) -> None:
        """Remove the group. What was killed in it may take a moment to be gone; one that stays is left for a later run to remove."""
        for _ in range(_REMOVALS_TRIED):
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.005)
            else:
                return


def open_group(limits: Limits) -> Group | None:
    """Make a group with room for `limits.processes`, or return None when this user may not."""
    for parent, kind, memory in _group_parents():
        _remove_stale(parent)
        path = parent / f"{_GROUP_PREFIX}{os.getpid()}-{next(_NUMBERS)}"
        try:
            path.mkdir()
        except OSError:
            continue
        try:
            (path / "pids.max").write_text(str(limits.processes))
            if memory:
                (path / "memory.max").write_text(str(limits.memory_bytes))
                with suppress(OSError):  # a kernel without swap accounting has no such file
                    (path / "memory.swap.max").write_text("0")
        except OSError:
            path.rmdir()
            continue
        return Group(path, kind, memory)
    return None


class Census:
    """What runs below one started program.

    mark: `NAME=value` that the program got in its environment, when nothing else would find a child that left its family.
    """

    def __init__(self, root: int, *, group: Group | None, mark: bytes | None = None) -> None:
        self.root = root
        self.group = group
        self.mark = mark

    def pids(self) -> list[int]:
        """Return the living processes, the program itself included."""
        if self.group is not None:
            return self.group.pids()
        return _family(self.root)

    def over(self, limits: Limits) -> str | None:
        """Return the limit that the processes together are over, "processes" or "memory", or None."""
        pids = self.pids()
        if self.group is None and len(pids) > limits.processes:
            return "processes"
        if not (self.group and self.group.memory) and _memory(pids, limits.memory_bytes) > limits.memory_bytes:
            return "memory"
        return None

    def kill(self) -> None:
        """Kill everything that is left and return when it is gone (or after two seconds, for what the kernel holds)."""
        deadline = time.monotonic() + _EMPTY_WITHIN_S
        while True:
            with suppress(OSError):
                os.killpg(self.root, signal.SIGKILL)
            alive = [pid for pid in {*self.pids(), *self._marked()} if _alive(pid)]
            for pid in alive:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            if not alive or time.monotonic() > deadline:
                return
            time.sleep(0.002)

    def _marked(self) -> list[int]:
        if self.mark is None:
            return []
        found = []
        for pid in _all_pids():
            with suppress(OSError):
                if self.mark in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                    found.append(pid)
        return found


def wait_gone(pid: int) -> None:
    """Return when a process, killed already, has ended with all of its namespace (or after two seconds)."""
    deadline = time.monotonic() + _EMPTY_WITHIN_S
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.001)


def _family(root: int) -> list[int]:
    """Return `root` and its descendants, by one pass over /proc (its `children` files are not in every kernel)."""
    children: dict[int, list[int]] = {}
    for pid in _all_pids():
        fields = process_stat(pid)
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(pid)
    found, rest = [], [root]
    while rest:
        pid = rest.pop()
        found.append(pid)
        rest += children.get(pid, [])
    return found


def _all_pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 (names alone, many times a second)
    except OSError:
        return []


BEGAN: Final = 19
"""Which of the fields of `process_stat` says when the process began, in ticks since the machine did."""


def process_stat(pid: int) -> list[bytes] | None:
    """Return the fields of /proc/PID/stat after the name (state, parent, ...), or None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 (as above)
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def _alive(pid: int) -> bool:
    fields = process_stat(pid)
    return fields is not None and fields[0] not in (b"Z", b"X")


def _memory(pids: list[int], enough: int) -> int:
    """Return the bytes in use by `pids` together.

    Resident sizes count shared pages once for each process, so only when they come to more than `enough` are the shares looked at.
    """
    resident = sum(_resident(pid) for pid in pids)
    return resident if resident <= enough else sum(_share(pid) for pid in pids)


def _resident(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _share(pid: int) -> int:
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _resident(pid)


def _counter(path: Path, name: str) -> int:
    try:
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except OSError:
        pass
    return 0


def _group_parents() -> list[tuple[Path, str, bool]]:
    """Return where a group could be made: (folder, kind, whether it can hold memory), best first.

    In the unified hierarchy a group with processes cannot have controlled children, so a sibling of our own group is tried as well.
    """
    own = _own_groups()
    found: list[tuple[Path, str, bool]] = []
    if "" in own:
        for parent in (own[""], own[""].parent):
            try:
                controllers = (parent / "cgroup.subtree_control").read_text().split()
            except OSError:
                continue
            if "pids" in controllers:
                found.append((parent, "cgroup v2", "memory" in controllers))
    if "pids" in own:
        found.append((own["pids"], "cgroup v1", False))
    return found


def _own_groups() -> dict[str, Path]:
    """Return the folder of our own group by controller; "" is the unified hierarchy."""
    try:
        member = [line.split(":", 2) for line in (_PROC / "self" / "cgroup").read_text().splitlines()]
        mounts = [line.split() for line in (_PROC / "self" / "mountinfo").read_text().splitlines()]
    except OSError:
        return {}
    own = {controller: Path(path) for _, controllers, path in member for controller in controllers.split(",")}
    folders: dict[str, Path] = {}
    for fields in mounts:
        kind, options = fields[fields.index("-") + 1], fields[-1].split(",")
        for controller in [""] if kind == "cgroup2" else options if kind == "cgroup" else []:
            if controller in own:
                folders.setdefault(controller, _below_mount(own[controller], root=Path(fields[3]), mounted_at=Path(fields[4])))
    return folders


def _below_mount(group: Path, *, root: Path, mounted_at: Path) -> Path:
    """Return where a group's folder is; a container often sees its own group as the top of the mount."""
    return mounted_at / group.relative_to(root) if group.is_relative_to(root) else mounted_at


def _remove_stale(parent: Path) -> None:
    """End what a killed run left in its groups, and remove them. A group's maker is in its name; one in use has a living one."""
    for path in parent.glob(f"{_GROUP_PREFIX}*"):
        maker = path.name.removeprefix(_GROUP_PREFIX).partition("-")[0]
        if not maker.isdigit() or _alive(int(maker)):
            continue
        left = Group(path, "", memory=False)
        for pid in left.pids():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        left.remove()
