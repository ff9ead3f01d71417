"""Commands in containers of a real engine: they see what they would see in bubblewrap, are held to their limits, and leave nothing."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backstory.errors import SandboxError
from backstory.tools.engine import OWNER, SOCKET, Engine, _Pieces, archive, open_engine, owner
from backstory.tools.limits import MIB, Limits
from backstory.tools.sandbox import HOME, Containers, open_sandbox
from backstory.tools.shell import Command, Mount
from interpreter import INTERPRETER, PATH

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def sandbox(engine):
    return open_sandbox("docker", Containers(engine=engine, cpus=1.0))


def run(sandbox, *argv, cwd=Path("/"), env=None, mounts=(), network=False, **limits):
    return sandbox.run(Command(argv, cwd, env or {"PATH": PATH}, tuple(mounts), network), Limits(**{"wall_s": 60, **limits}))


def python(sandbox, code, *, mounts=(), **keywords):
    return run(sandbox, str(Path(sys.executable).resolve()), "-S", "-E", "-c", code, mounts=(*INTERPRETER, *mounts), **keywords)


def containers(sandbox):
    """Return the ids of all containers that the engine has."""
    return {one["Id"] for one in sandbox.engine._api.containers(all=True)}


def test_the_exit_code_the_output_and_its_order_are_the_programs_own(sandbox):
    """Exit code, signal, order of both streams and a missing program are as in the other sandboxes, and no container is left."""
    done = run(sandbox, "sh", "-c", "echo out; echo err >&2; printf 'end\\377'; read x || exit 41")
    assert (done.exit_code, done.output, done.stopped) == (41, b"out\nerr\nend\xff", None)
    killed = run(sandbox, "sh", "-c", "kill -ABRT $$")
    assert (killed.exit_code, killed.signal) == (128 + signal.SIGABRT, signal.SIGABRT)
    assert run(sandbox, "no-such-program").exit_code == 127
    assert run(sandbox, "sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 9").exit_code == 9
    assert containers(sandbox) == set()


def test_only_what_is_given_is_seen(sandbox, tmp_path):
    """No variable, process, home, secret or socket of the machine's is inside."""
    (tmp_path / "canary").write_text("private")
    code = f"env | cut -d= -f1; cat {tmp_path}/canary /etc/shadow /proc/*/environ 2>/dev/null; ls -A /root /var/run /run {Path.home()} $HOME 2>/dev/null"
    done = run(sandbox, "sh", "-c", code)
    words = set(done.output.replace(b"\0", b"\n").decode().split())
    assert "private" not in words and not any(word.startswith("root:") for word in words)
    assert {word for word in words if word.isidentifier() and "=" not in word} == {"PATH", "HOME", "TMPDIR", "HOSTNAME", "PWD"}
    assert str(os.getpid()) not in run(sandbox, "sh", "-c", "ls /proc").output.decode().split()


def test_there_is_no_network_unless_asked_for(sandbox):
    """Nothing but the loopback inside; with network it is the machine's own."""
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2); print('reached')"
        assert b"ConnectionRefused" in python(sandbox, code).output
        assert python(sandbox, code, network=True).output == b"reached\n"
    assert b"unreachable" in python(sandbox, "import socket; socket.create_connection(('192.0.2.1', 80), 2)").output
    assert run(sandbox, "sh", "-c", "ls /sys/class/net").output == b"lo\n"


def test_only_what_is_private_or_bound_writable_can_be_written(sandbox, tmp_path):
    """As in bubblewrap: /tmp, HOME and a writable mount; what is written there is the caller's, and what lies deeper is mounted over."""
    for name in ("kept", "given", "over"):
        (tmp_path / name).mkdir()
    (tmp_path / "kept" / "inner").mkdir()
    (tmp_path / "over" / "name").write_text("over")
    mounts = [
        Mount(tmp_path / "over", Path("/work/kept/inner")),
        Mount(tmp_path / "kept", Path("/work/kept"), writable=True),
        Mount(tmp_path / "given", Path("/work/given")),
    ]
    code = "for at in / /usr /etc /dev /work /work/given /tmp $HOME /dev/shm /work/kept; do touch $at/mark 2>/dev/null && echo $at; done; cat inner/name"
    done = run(sandbox, "sh", "-c", code, cwd=Path("/work/kept"), mounts=mounts)
    assert [at for at in done.output.decode().split() if at not in ("/dev", "/dev/shm")] == ["/tmp", str(HOME), "/work/kept", "over"]
    assert (tmp_path / "kept" / "mark").stat().st_uid == os.getuid() and not (tmp_path / "given" / "mark").exists()


def test_no_more_rights_can_be_had(sandbox):
    """No capability, none to gain, no namespace and no mount of its own."""
    code = (
        "grep -E '^(CapEff|CapPrm|CapBnd|NoNewPrivs)' /proc/self/status; unshare -U true || echo none; mount -t tmpfs t /tmp || echo none"
    )
    lines = [line.split() for line in run(sandbox, "sh", "-c", code).output.decode().splitlines()]
    assert lines[:4] == [["CapPrm:", "0" * 16], ["CapEff:", "0" * 16], ["CapBnd:", "0" * 16], ["NoNewPrivs:", "1"]]
    assert lines.count(["none"]) == 2


# Shared memory is not the process's own, whose limit would refuse it before the container's is reached.
HOARDING = "import mmap\nheld = mmap.mmap(-1, 400 << 20)\nwhile True: held.write(b'x' * (1 << 20))"
FORKING = "import os, time\nbegun = 0\ntry:\n  for _ in range(500):\n    if not os.fork(): time.sleep(60)\n    begun += 1\nexcept OSError: print('begun', begun, flush=True)\nos._exit(1)"


def test_memory_processes_time_output_and_files_are_limited(sandbox, tmp_path):
    """Each limit ends the run or refuses more: the kernel's for memory (137) and processes, ours for time and output."""
    hoarding = python(sandbox, HOARDING, memory_bytes=200 * MIB)
    assert (hoarding.stopped, hoarding.exit_code, hoarding.signal) == ("memory", None, signal.SIGKILL)  # exit code 137 at the engine
    assert b"MemoryError" in python(sandbox, "x = bytearray(1 << 30)", memory_bytes=200 * MIB).output
    forking = python(sandbox, FORKING, processes=40)
    assert forking.exit_code == 1 and 30 <= int(forking.output.split()[1]) <= 40
    hanging = run(sandbox, "sh", "-c", "trap '' TERM; echo begun; sleep 1000; sleep 1000", wall_s=2)
    assert (hanging.stopped, hanging.exit_code, hanging.output) == ("wall", None, b"begun\n")
    endless = run(sandbox, "yes", output_bytes=4 * MIB, kept_bytes=100)
    assert endless.stopped == "output" and endless.dropped_bytes > 3 * MIB
    filled = run(
        sandbox, "dd", "if=/dev/zero", "of=big", "bs=1M", "count=9", cwd=tmp_path, file_bytes=MIB, mounts=[Mount(tmp_path, tmp_path, True)]
    )
    assert filled.stopped == "file" and (tmp_path / "big").stat().st_size == MIB
    assert python(sandbox, "while True: pass", cpu_s=1).stopped == "cpu"
    assert containers(sandbox) == set()


def test_cores_are_limited(sandbox):
    """The engine's own figure for the share of cores, read inside."""
    quota = run(
        sandbox, "sh", "-c", "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us || cat /sys/fs/cgroup/cpu.max"
    )
    most, period = map(int, quota.output.split()[-2:])
    assert most == period


KILLED = """
import sys
from pathlib import Path
from backstory.tools.limits import Limits
from backstory.tools.sandbox import Containers, open_sandbox
from backstory.tools.shell import Command, Mount
sandbox = open_sandbox("docker", Containers(engine=sys.argv[1]))
mount = Mount(Path(sys.argv[2]), Path("/shared"), True)
code = "exec 9>/shared/lock; flock 9; touch /shared/ready; setsid sleep 600 9>&9 & sleep 600"
sandbox.run(Command(("sh", "-c", code), Path("/"), {"PATH": "/usr/bin:/bin"}, (mount,)), Limits())
"""


def test_a_container_does_not_outlive_its_maker(sandbox, engine, tmp_path):
    """After kill -9 everything inside ends by itself, and what is left of the container is removed by the next of us; others' are left alone."""
    argv = [sys.executable, "-c", KILLED, engine, str(tmp_path)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.05)
    (left,) = containers(sandbox)
    process.kill()
    process.wait()
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as soon as whoever held it is gone
    foreign = sandbox.engine._api.create_container(sandbox.image.id, ["true"], labels={OWNER: "another-machine:1:1:1"})["Id"]
    mine = sandbox.engine._api.create_container(sandbox.image.id, ["true"], labels={OWNER: owner()})["Id"]
    assert containers(sandbox) == {left, foreign, mine}
    assert sandbox.engine.clear_dead() == 1
    assert containers(sandbox) == {foreign, mine}
    for id in (foreign, mine):
        sandbox.engine._remove(id)


def test_an_image_brings_its_own_files_and_variables(sandbox, engine):
    """A local image is used as it stands: with `never` nothing is fetched, another platform is refused, and what is not there is one line."""
    sandbox.engine._api.import_image_from_data(
        archive({"etc/mark": (b"mine", 0o644)}, {}, ["usr"]), repository="octo/cat", tag="1", changes=["ENV COLOUR=red"]
    )
    engine_of_image = sandbox.engine
    image = engine_of_image.image("octo/cat:1", pull="never", platform="linux/amd64", free_gib=0.001)
    assert (image.env["COLOUR"], image.folder) == ("red", "/")
    assert b"mine" in engine_of_image.copied(image, ["/etc/mark"])[0]
    for name, given, said in (
        ("octo/cat:1", {"platform": "linux/arm64"}, "the image 'octo/cat:1' is for linux/amd64 and not for linux/arm64"),
        ("octo/dog:1", {"pull": "never"}, "the image 'octo/dog:1' is not here"),
        ("localhost:1/octo/dog:1", {}, "the image 'localhost:1/octo/dog:1' is not here and cannot be fetched"),
        ("localhost:1/octo/dog:1", {"free_gib": 1e9}, "GiB are free at"),
        ("octo/cat:1", {}, "no sandbox: a container cannot begin here"),  # it has no shell
    ):
        refused(said, Containers(**{"engine": engine, "image": name, "free_gib": 0.001, **given}))


def refused(said, settings):
    with pytest.raises(SandboxError) as error:
        open_sandbox("docker", settings)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_where_no_engine_answers_it_is_said_in_one_line(tmp_path):
    """A socket that is not there, and an address that is none of a machine's own."""
    refused(f"no container engine answers at unix://{tmp_path}/none", Containers(engine=f"unix://{tmp_path}/none"))
    refused("cannot be used; name one on this machine", Containers(engine="ssh://elsewhere"))


def test_a_short_disk_is_said_before_anything_begins(engine):
    """What is free and what is wanted stand in the one line."""
    refused("are wanted for containers", Containers(engine=engine, free_gib=1e9))


def test_pieces_of_output_are_put_together_wherever_they_are_cut():
    """Headers between pieces go, whatever the chunks are."""
    stream = b"".join(bytes([1, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for text in (b"ab", b"", b"cde" * 100))
    for size in (1, 3, 8, 9, 1000):
        pieces = _Pieces()
        got = b"".join(piece for at in range(0, len(stream), size) for piece in pieces.of(stream[at : at + size]))
        assert got == b"ab" + b"cde" * 100


def test_the_engine_is_opened_once(engine):
    """One address has one engine in a process; the default is the usual socket."""
    assert isinstance(open_engine(engine), Engine) and open_engine(engine) is open_engine(engine)
    assert SOCKET == "unix:///var/run/docker.sock"
