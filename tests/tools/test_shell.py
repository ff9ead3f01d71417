"""Programs under limits, with nothing between them and the machine: whatever they do, the run ends, with the truth and with nothing left."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.tools.limits import MIB, Census, Limits
from backstory.tools.shell import Kept, execute

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


def run(*argv, env=ENV, mark=None, **limits):
    return execute(argv, cwd=Path("/"), env=env, limits=Limits(**{"wall_s": 20, **limits}), mark=mark)


def python(code, **keywords):
    return run(sys.executable, "-S", "-E", "-c", code, **keywords)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_output_of_both_streams_comes_in_order():
    """Standard output and error share one pipe, so their order is kept."""
    done = run("sh", "-c", "echo one; echo two >&2; echo three; exit 3")
    assert (done.output, done.exit_code, done.signal, done.stopped) == (b"one\ntwo\nthree\n", 3, None, None)


def test_a_missing_program_is_exit_code_127():
    """A program that does not exist ends as a shell says it."""
    assert run("no-such-program-anywhere").exit_code == 127


def test_a_signal_is_told_apart():
    """A program that dies of a signal has both the shell's exit code and the signal's number."""
    done = run("sh", "-c", "kill -SEGV $$")
    assert (done.exit_code, done.signal) == (128 + signal.SIGSEGV, signal.SIGSEGV)


def test_standard_input_is_closed():
    """A program that waits for input gets its end at once."""
    assert run("sh", "-c", "read line; echo $?").output == b"1\n"


def test_a_program_that_hangs_is_stopped():
    """The wall limit ends a program that would never end, and keeps what it said."""
    done = run("sh", "-c", "echo begun; sleep 1000", wall_s=3)
    assert (done.stopped, done.exit_code, done.output) == ("wall", None, b"begun\n")


def test_a_program_that_closed_its_output_is_still_waited_for():
    """The end of the output is not the end of the program."""
    assert run("sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 9").exit_code == 9


def test_endless_output_is_drained_then_stopped():
    """A program that prints for ever is stopped at the hard limit; the head and the tail are kept and the rest is counted."""
    done = run("sh", "-c", "echo first; yes", output_bytes=8 * MIB, kept_bytes=1000)
    assert done.stopped == "output"
    assert done.output.startswith(b"first\ny\n") and done.output.endswith(b"y\n")
    assert len(done.output) < 1100 and done.dropped_bytes > 7 * MIB


def test_one_very_long_line_keeps_its_tail_and_its_exit_code():
    """One line of a gigabyte costs no memory, and the exit code after it is real."""
    done = python(
        "import os\nfor _ in range(1024): os.write(1, b'x' * (1 << 20))\nos.write(1, b'the end')\nos._exit(5)",
        output_bytes=2 << 30,
        kept_bytes=4096,
    )
    assert (done.exit_code, done.stopped) == (5, None)
    assert done.output.endswith(b"xthe end") and done.dropped_bytes == (1 << 30) + 7 - 4096


def test_invalid_text_is_passed_through():
    """Output is bytes: nothing is decoded here."""
    assert python("import os; os.write(1, bytes(range(256)))").output == bytes(range(256))


def test_a_spinning_program_is_stopped_by_its_cpu_time():
    """CPU time is limited apart from wall time."""
    done = python("while True: pass", cpu_s=1)
    assert (done.stopped, done.exit_code) == ("cpu", None)


def test_memory_of_one_process_is_limited():
    """A process that asks for more memory than the limit is refused it."""
    done = python("x = bytearray(1 << 30)", memory_bytes=256 * MIB)
    assert b"MemoryError" in done.output and done.exit_code == 1


def test_memory_of_all_processes_together_is_limited():
    """Processes that stay below the limit each, but not together, are stopped."""
    code = "import os, time\nfor _ in range(4):\n  if not os.fork(): break\nx = bytearray(b'x') * (100 << 20)\ntime.sleep(30)"
    assert python(code, memory_bytes=250 * MIB).stopped == "memory"


def test_memory_shared_by_processes_counts_once():
    """What forked workers share with their parent is not counted for each of them."""
    code = "import os, time\nx = bytearray(b'x') * (100 << 20)\nfor _ in range(5):\n  if not os.fork(): break\ntime.sleep(0.4)"
    assert python(code, memory_bytes=250 * MIB).stopped is None


def test_a_file_cannot_grow_past_the_limit(tmp_path):
    """A program that fills the disk is refused at the size of one file."""
    big = tmp_path / "big"
    done = run("dd", "if=/dev/zero", f"of={big}", "bs=1M", "count=64", file_bytes=4 * MIB)
    assert done.stopped == "file" and big.stat().st_size == 4 * MIB


def test_too_many_processes_are_refused_or_stopped():
    """A program that forks without end (ten thousand here) gets no further than the limit and leaves nothing."""
    code = """if True:
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
    done = python(code, processes=60)
    assert done.stopped == "processes"
    if done.output:  # refused by the kernel, not stopped by the supervisor
        assert int(done.output.split()[1]) <= 60


@pytest.mark.parametrize("ending", ["os._exit(7)", "time.sleep(60)"])
def test_a_child_that_leaves_its_family_is_killed(tmp_path, ending):
    """A grandchild in its own session that ignores SIGTERM is gone when the run is over, however that ended."""
    left = tmp_path / "pid"
    code = f"""if True:
        import os, signal, time
        if not os.fork():
            os.setsid()
            if not os.fork():
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
                open({str(left)!r}, 'w').write(str(os.getpid()))
                time.sleep(600)
            os._exit(0)
        while not os.path.exists({str(left)!r}) or not open({str(left)!r}).read(): time.sleep(0.01)
        {ending}
    """
    done = python(code, wall_s=8, mark=f"BACKSTORY_RUN={tmp_path}")
    assert done.exit_code == 7 or done.stopped == "wall"
    assert not alive(int(left.read_text()))


def test_the_environment_is_exactly_what_was_given():
    """A program sees the variables it was given and no other (the shell's own PWD apart)."""
    seen = {line.partition(b"=")[0] for line in run("env", env={**ENV, "GIVEN": "1"}).output.splitlines()}
    assert seen - {b"PWD", b"OLDPWD", b"SHLVL", b"_"} == {b"PATH", b"LANG", b"GIVEN"}


def test_runs_from_several_threads_do_not_mix():
    """Runs at the same time, from several threads, each get their own output and exit code."""
    results = {}

    def one(number):
        results[number] = run("sh", "-c", f"echo {number}; sleep 0.05; exit {number}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: (done.output, done.exit_code) for number, done in results.items()} == {
        number: (f"{number}\n".encode(), number) for number in range(8)
    }


def test_no_descriptor_is_left_open():
    """A run closes every descriptor it opened."""
    run("true")
    before = open_descriptors()
    for _ in range(5):
        run("true")
    assert open_descriptors() == before


def test_an_interrupted_run_leaves_nothing(tmp_path):
    """When the caller is interrupted in the middle, the program is killed all the same."""
    left = tmp_path / "pid"
    main = threading.main_thread().ident
    assert threading.get_ident() == main

    def interrupt():
        while not left.exists() or not left.read_text().strip():
            time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run("sh", "-c", f"echo $$ > {left}; sleep 600")
    thread.join()
    assert not alive(int(left.read_text()))


def test_the_supervisor_counts_what_runs_where_no_group_can_be_made():
    """Without a control group the processes of a run are found as the family of its first one."""
    code = "import os, time\nfor _ in range(5):\n  if not os.fork(): break\nprint(flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, start_new_session=True) as process:
        for _ in range(6):
            process.stdout.readline()
        census = Census(process.pid, group=None)
        assert len(census.pids()) == 6
        assert census.over(Limits(processes=6)) is None
        assert census.over(Limits(processes=5)) == "processes"
        assert census.over(Limits(memory_bytes=1)) == "memory"
        census.kill()
        assert process.wait() == -signal.SIGKILL


@given(st.lists(st.binary(max_size=60)), st.integers(min_value=2, max_value=50))
def test_head_and_tail_are_kept(chunks, room):
    """What is kept is the head and the tail of what was printed, and what is dropped is counted."""
    kept = Kept(room)
    for chunk in chunks:
        kept.add(chunk)
    everything = b"".join(chunks)
    assert kept.dropped == max(0, len(everything) - room)
    if len(everything) <= room:
        assert kept.text() == everything
    else:
        assert kept.text().startswith(everything[: room // 2]) and kept.text().endswith(everything[-(room - room // 2) :])
