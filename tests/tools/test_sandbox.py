"""What a command can see, reach and do inside the sandbox. Every test runs real programs in real namespaces."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from backstory.errors import SandboxError
from backstory.tools.limits import MIB, Limits
from backstory.tools.sandbox import HOME, NoSandbox, _remedy, open_sandbox, probe
from backstory.tools.shell import Command, Mount
from interpreter import INTERPRETER, PATH


@pytest.fixture(scope="module")
def sandbox():
    return open_sandbox("bwrap")


@pytest.fixture(params=["bwrap", "none"])
def either(request):
    return open_sandbox(request.param)


def run(sandbox, *argv, cwd=Path("/"), env=None, mounts=(), network=False, **limits):
    return sandbox.run(Command(argv, cwd, env or {"PATH": PATH}, tuple(mounts), network), Limits(**{"wall_s": 20, **limits}))


def python(sandbox, code, *, mounts=(), **keywords):
    return run(sandbox, str(Path(sys.executable).resolve()), "-S", "-E", "-c", code, mounts=(*INTERPRETER, *mounts), **keywords)


@pytest.mark.sandbox
def test_the_exit_code_and_the_output_are_the_programs_own(either):
    """Exit code, signal and output are the same with and without isolation."""
    done = run(either, "sh", "-c", "echo out; echo err >&2; exit 41")
    assert (done.exit_code, done.output, done.stopped) == (41, b"out\nerr\n", None)
    killed = run(either, "sh", "-c", "kill -ABRT $$")
    assert (killed.exit_code, killed.signal) == (128 + signal.SIGABRT, signal.SIGABRT)
    assert run(either, "no-such-program").exit_code == 127


@pytest.mark.sandbox
def test_only_the_given_environment_is_seen(either):
    """No variable of the caller reaches a command."""
    os.environ["BACKSTORY_TEST_CANARY"] = "secret"
    try:
        said = run(either, "env").output
    finally:
        del os.environ["BACKSTORY_TEST_CANARY"]
    names = {line.partition(b"=")[0].decode() for line in said.splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_", "BACKSTORY_RUN"} == {"PATH", "HOME", "TMPDIR"}


@pytest.mark.sandbox
def test_no_process_outside_can_be_seen(sandbox):
    """The caller's environment cannot be read through /proc: its processes are not there."""
    done = run(sandbox, "sh", "-c", "cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'; ls -d /proc/[0-9]* | wc -l; echo $PPID")
    assert str(os.getpid()).encode() not in done.output.split()
    assert int(done.output.split()[-2]) < 10


@pytest.mark.sandbox
def test_the_users_home_and_the_systems_secrets_are_not_there(sandbox, tmp_path):
    """Neither the real home, nor /etc/shadow, nor a container engine's socket, nor an unmounted file can be reached."""
    canary = tmp_path / ".ssh" / "id_canary"
    canary.parent.mkdir()
    canary.write_text("private")
    home = Path("~").expanduser()
    done = run(sandbox, "sh", "-c", f"cat {canary} /etc/shadow; ls -A {home} $HOME /var/run /run /root; true")
    assert b"private" not in done.output and b"root:" not in done.output
    listed = [line for line in done.output.splitlines() if b":" not in line and line]
    assert listed == []


@pytest.mark.sandbox
def test_there_is_no_network(sandbox, tmp_path):
    """Names, TCP, UDP and abstract sockets of the machine all fail; the loopback inside works."""
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as abstract:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        name = f"\0backstory-{tmp_path.name}-{os.getpid()}"
        abstract.bind(name)
        abstract.listen()
        code = f"""if True:
            import socket
            def tried(what, do):
                try: do()
                except OSError as error: print(what, 'failed')
                else: print(what, 'worked')
            tried('dns', lambda: socket.getaddrinfo('example.org', 80))
            tried('tcp', lambda: socket.create_connection(('127.0.0.1', {tcp.getsockname()[1]}), 2))
            tried('outside', lambda: socket.create_connection(('192.0.2.1', 80), 2))
            tried('udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53)))
            tried('unix', lambda: socket.socket(socket.AF_UNIX).connect({name!r}))
            server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen()
            tried('loopback', lambda: socket.create_connection(server.getsockname(), 2))
        """
        done = python(sandbox, code)
    assert done.output.decode().splitlines() == [
        "dns failed",
        "tcp failed",
        "outside failed",
        "udp failed",
        "unix failed",
        "loopback worked",
    ]


@pytest.mark.sandbox
def test_the_network_is_there_when_asked_for(sandbox):
    """A command that may use the network reaches the machine's own loopback."""
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        code = f"import socket; socket.create_connection(('127.0.0.1', {tcp.getsockname()[1]}), 2); print('reached')"
        assert python(sandbox, code, network=True).output == b"reached\n"


@pytest.mark.sandbox
def test_only_what_is_private_or_bound_writable_can_be_written(sandbox, tmp_path):
    """The system and read-only mounts cannot be written; /tmp, HOME and a writable mount can, and only the mount's writes remain."""
    for name in ("kept", "given"):
        (tmp_path / name).mkdir()
    mounts = [Mount(tmp_path / "kept", Path("/work/kept"), writable=True), Mount(tmp_path / "given", Path("/work/given"))]
    code = "for at in / /usr /etc /dev /work /work/given /tmp $HOME /dev/shm /work/kept; do touch $at/mark 2>/dev/null && echo $at; done"
    done = run(sandbox, "sh", "-c", code, cwd=Path("/work/kept"), mounts=mounts)
    assert done.output.decode().split() == ["/tmp", str(HOME), "/dev/shm", "/work/kept"]
    assert (tmp_path / "kept" / "mark").exists() and not (tmp_path / "given" / "mark").exists()


@pytest.mark.sandbox
def test_what_lies_deeper_is_mounted_over(sandbox, tmp_path):
    """A mount inside another one covers what is there, whatever order they are given in."""
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "tree" / "inner" / "name").write_text("tree")
    (tmp_path / "over").mkdir()
    (tmp_path / "over" / "name").write_text("over")
    mounts = [Mount(tmp_path / "over", Path("/w/inner")), Mount(tmp_path / "tree", Path("/w"))]
    assert run(sandbox, "cat", "/w/inner/name", mounts=mounts).output == b"over"


@pytest.mark.sandbox
def test_no_more_rights_can_be_had(sandbox):
    """A command has no capability, cannot gain one through a set-user-id program and cannot make namespaces of its own."""
    done = run(
        sandbox, "sh", "-c", "grep -E '^(CapEff|CapPrm|NoNewPrivs)' /proc/self/status; unshare -U true; mount -t tmpfs t /tmp; echo end"
    )
    lines = done.output.decode().splitlines()
    assert [line.split() for line in lines[:3]] == [["CapPrm:", "0" * 16], ["CapEff:", "0" * 16], ["NoNewPrivs:", "1"]]
    assert sum("unshare" in line or "mount" in line for line in lines[3:]) >= 2


@pytest.mark.sandbox
def test_a_private_folder_in_memory_has_a_size(sandbox):
    """/tmp inside is in memory, so it is bounded however many files fill it."""
    done = run(
        sandbox, "sh", "-c", "for i in 1 2 3; do dd if=/dev/zero of=/dev/shm/$i bs=1M count=200; done 2>&1 | tail -1; du -sm /dev/shm"
    )
    assert int(done.output.split()[-2]) <= 256


@pytest.mark.sandbox
def test_a_hanging_command_is_stopped(either):
    """The wall limit ends a command and keeps its output."""
    done = run(either, "sh", "-c", "trap '' TERM; echo begun; sleep 1000; sleep 1000", wall_s=3)
    assert (done.stopped, done.output) == ("wall", b"begun\n")


@pytest.mark.sandbox
def test_endless_output_is_stopped(either):
    """A command that prints for ever ends at the limit of its output."""
    done = run(either, "yes", output_bytes=4 * MIB, kept_bytes=100)
    assert done.stopped == "output" and done.dropped_bytes > 3 * MIB


@pytest.mark.sandbox
def test_spinning_hoarding_and_filling_are_stopped(either, tmp_path):
    """CPU time, memory and the size of a file are limited."""
    assert python(either, "while True: pass", cpu_s=1).stopped == "cpu"
    assert b"MemoryError" in python(either, "x = bytearray(1 << 30)", memory_bytes=200 * MIB).output
    filled = run(
        either, "dd", "if=/dev/zero", "of=big", "bs=1M", "count=9", cwd=tmp_path, file_bytes=MIB, mounts=[Mount(tmp_path, tmp_path, True)]
    )
    assert filled.stopped == "file" and (tmp_path / "big").stat().st_size == MIB


FORKS = """if True:
    import os, sys, time
    begun = 0
    for _ in range(10_000):
        try:
            if not os.fork():
                time.sleep(60); os._exit(0)
        except OSError:
            break
        begun += 1
    print('begun', begun, flush=True)
    sys.exit(1)
"""


@pytest.mark.sandbox
def test_forking_without_end_is_stopped(either):
    """A command that forks ten thousand times gets no further than the limit, and the run ends."""
    done = python(either, FORKS, processes=50)
    assert done.stopped == "processes" or int(done.output.split()[1]) <= 50


@pytest.mark.sandbox
@pytest.mark.parametrize("ending", ["os._exit(7)", "time.sleep(60)"])
def test_nothing_survives_the_run(sandbox, tmp_path, ending):
    """A daemonised grandchild that ignores signals is gone when the run is over, even one that holds a lock on a file outside."""
    code = f"""if True:
        import fcntl, os, signal, time
        lock = open('/shared/lock', 'w')
        if not os.fork():
            os.setsid()
            if not os.fork():
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
                for number in (0, 1, 2): os.close(number)
                fcntl.flock(lock, fcntl.LOCK_EX)
                open('/shared/ready', 'w').close()
                time.sleep(600)
            os._exit(0)
        while not os.path.exists('/shared/ready'): time.sleep(0.01)
        {ending}
    """
    import fcntl

    done = python(sandbox, code, wall_s=8, mounts=[Mount(tmp_path, Path("/shared"), writable=True)])
    assert done.exit_code == 7 or done.stopped == "wall"
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held, it would raise


@pytest.mark.sandbox
def test_standard_input_is_closed_and_invalid_text_kept(either):
    """A command that waits for input reads its end; output is bytes."""
    assert run(either, "sh", "-c", "read x; printf 'end\\377'").output == b"end\xff"


def test_without_isolation_home_is_private_and_the_folder_is_found(tmp_path):
    """`none` gives an empty HOME and runs where a mount says the folder really is."""
    (tmp_path / "there").mkdir()
    done = run(NoSandbox(), "sh", "-c", "pwd; ls -A $HOME", cwd=Path("/not/there"), mounts=[Mount(tmp_path, Path("/not"), True)])
    assert done.output.decode() == f"{tmp_path / 'there'}\n"


@pytest.mark.sandbox
def test_what_cannot_be_mounted_is_refused(sandbox, tmp_path):
    """The whole machine, or a folder that is not there, is never mounted; the message is one line."""
    (tmp_path / "root").symlink_to("/")
    for mount in (Mount(Path("/"), Path("/all")), Mount(tmp_path / "root", Path("/all")), Mount(tmp_path / "gone", Path("/x"))):
        with pytest.raises(SandboxError) as refused:
            run(sandbox, "true", mounts=[mount])
        assert "\n" not in str(refused.value)


@pytest.mark.sandbox
def test_a_folder_that_is_not_inside_is_an_error_of_the_sandbox(sandbox):
    """A sandbox that cannot be made is told apart from a command that fails."""
    with pytest.raises(SandboxError, match="the sandbox could not be made"):
        run(sandbox, "true", cwd=Path("/not/inside"))


@pytest.mark.sandbox
def test_auto_never_means_none(sandbox):
    """`auto` is the sandbox that isolates."""
    assert open_sandbox("auto").isolates and open_sandbox("auto") == sandbox


@pytest.mark.sandbox
def test_the_probe_says_what_holds_the_limits():
    """`doctor` learns which bubblewrap is used and what holds processes and memory."""
    found = probe()
    assert found.works and found.program and found.version and not found.problem
    assert found.processes in ("cgroup v1 pids", "cgroup v2 pids", "RLIMIT_NPROC in the user namespace", "supervising count")


def test_the_remedy_is_one_line_and_offers_the_way_out():
    """Whatever refuses namespaces, the remedy names what to do and the explicit way around."""
    assert "--sandbox none" in _remedy() and "\n" not in _remedy()
