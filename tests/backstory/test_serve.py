"""`serve` with a program that speaks like vLLM: started, tried out, found by other commands, stopped; and everything that goes wrong on the way."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from vllm_like import make_vllm

from command import CommandLine


@pytest.fixture
def vllm(tmp_path):
    return make_vllm(tmp_path / "vllm")


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture
def background(cli, vllm, port):
    """Start a server in the background with faults of its; whatever runs at the end is stopped."""

    def start(*arguments, fault=""):
        return cli("serve", "small", "--cpu", "--python", vllm, "--port", port, "--background", *arguments, VLLM_LIKE=fault)

    yield start
    cli("serve", "stop")


def record(cli):
    return json.loads((cli.home / "state" / "server.json").read_text())


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_it_is_started_tried_out_found_and_stopped(cli, background, port):
    """A server in the background passes the self-test, answers `status`, is what `fix` would ask, and is gone after `stop`."""
    started = background()
    assert started.exit_code == 0, started.err
    assert [line.split(":")[0] for line in started.out.splitlines()[:4]] == [
        "ok   prefix cache",
        "ok   calls of tools",
        "ok   streaming",
        "ok   overflow",
    ]
    assert started.out.splitlines()[4] == f"serving small at http://127.0.0.1:{port}/v1; `backstory fix ISSUE` finds it"
    pid = record(cli)["service"]["pid"]
    status = json.loads(cli("serve", "status", "--json").out)
    assert (status["answers"], status["pool"], status["window"], status["vllm"], status["pid"]) == (True, 4096, 8192, "0.32.0", pid)
    said = cli("serve", "status").out.splitlines()
    assert said[0] == f"small at http://127.0.0.1:{port}/v1: answers" and "  a cache of 4,096 tokens" in said
    assert "Application startup complete." in cli("serve", "logs").out
    doctor = cli("doctor", "--json")
    assert f"asking small at http://127.0.0.1:{port}/v1" in doctor.err
    assert "asking" not in cli("doctor", "--no-model").err
    again = cli("serve", "other", "--cpu", "--python", "python3")
    assert again.exit_code == 2 and "small is served already" in again.error
    assert cli("serve", "stop").out == "small is stopped\n"
    assert not runs(pid)
    gone = cli("serve", "status")
    assert gone.exit_code == 2 and gone.error.startswith("no server is known")


def test_in_the_foreground_an_interrupt_stops_it(cli, vllm, port):
    """Without --background the command stays with the server and ends it with itself, whether by Ctrl-C or by SIGTERM."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        argv = cli.argv("serve", "small", "--cpu", "--python", vllm, "--port", port, "--json")
        with subprocess.Popen(argv, env=cli.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            told = json.loads(process.stdout.readline())
            assert told["ok"] and runs(told["pid"])
            process.send_signal(sign)
            assert process.wait(30) == 0
        assert not runs(told["pid"]) and not (cli.home / "state" / "server.json").exists()


def test_a_server_that_ends_by_itself_is_started_again(cli, vllm, port):
    """Programs wait for it, so it comes back at its address and is written down anew; one that ends again and again ends the command with code 7."""
    argv = cli.argv("serve", "small", "--cpu", "--python", vllm, "--port", port, "--json")
    with subprocess.Popen(argv, env=cli.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        pids = [json.loads(process.stdout.readline())["pid"]]
        for _ in range(3):
            os.kill(pids[-1], signal.SIGKILL)
            until = time.monotonic() + 60
            while record(cli)["service"]["pid"] == pids[-1] and time.monotonic() < until:
                time.sleep(0.05)
            pids.append(record(cli)["service"]["pid"])
            assert runs(pids[-1]) and cli("serve", "status").exit_code == 0
        os.kill(pids[-1], signal.SIGKILL)
        assert process.wait(60) == 7
        said = process.stderr.read()
        assert (
            said.count("small ended by itself; starting it again") == said.count("small is back") == 3
            and "small ended by itself 4 times" in said
        )
    assert len(set(pids)) == 4 and not any(runs(pid) for pid in pids)


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("forgets", "BAD  prefix cache: 0 tokens of a repeated prompt were in the cache"),
        ("silent", "BAD  prefix cache: it does not say how much of a prompt was in its cache"),
        ("unparsed", "BAD  calls of tools: a call that was forced came back as text"),
        ("unending", "BAD  streaming: 1 pieces, without what they cost, without an end"),
        ("swallows", "BAD  overflow: a prompt that does not fit is answered with 200"),
    ],
)
def test_a_server_that_fails_the_self_test_is_not_left_running(cli, background, fault, finding):
    """Each thing that an agent needs and the server has not is named with its remedy; the command ends with 7 and the server with it."""
    failed = background(fault=fault)
    assert failed.exit_code == 7
    assert any(line.startswith(finding) for line in failed.out.splitlines()), failed.out
    assert len([line for line in failed.out.splitlines() if line.startswith("BAD")]) == 1
    assert not (cli.home / "state" / "server.json").exists()


def test_a_server_that_dies_at_its_start_shows_its_last_words(cli, background):
    """The end of the log is shown, then one line that says where the rest is."""
    failed = background(fault="dies")
    assert failed.exit_code == 7
    assert "RuntimeError: no memory is left" in failed.err
    assert failed.error.startswith("vLLM ended before it was ready")
    assert "RuntimeError: no memory is left" in cli("serve", "logs").out


def test_a_server_that_takes_too_long_is_ended(background):
    """--wait bounds the start."""
    failed = background("--wait", "1", fault="slow slow")
    assert failed.exit_code in (0, 7)  # one second may be just enough
    if failed.exit_code:
        assert "vLLM was not ready after 1 s" in failed.error


def test_a_server_that_ignores_being_asked_is_killed(cli, background):
    """SIGTERM first, SIGKILL when that does nothing; the command says so."""
    from backstory.tools.service import Service

    assert background(fault="stubborn").exit_code == 0
    kept = record(cli)["service"]
    service = Service(kept["pid"], kept["began"])
    assert service.runs() and not service.stop(within_s=0.5)
    assert not service.runs()
    assert cli("serve", "stop").out == "small had ended already\n"


def test_a_process_with_the_same_id_is_not_taken_for_it():
    """A service is its id and when it began; another process with that id is left alone."""
    from backstory.tools.service import Service

    child = subprocess.Popen(["sleep", "60"])
    try:
        other = Service(child.pid, 1)
        assert not other.runs()
        assert other._signal(signal.SIGKILL, 1) and child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_a_running_server_is_adopted(cli, background, tmp_path, port):
    """--endpoint tries a server out and writes it down; `stop` forgets it and leaves it running."""
    assert background().exit_code == 0
    other = CommandLine(tmp_path / "other")
    adopted = other("serve", "--endpoint", f"http://127.0.0.1:{port}")
    assert adopted.exit_code == 0 and "begun by somebody else" in adopted.out
    assert adopted.out.splitlines()[-1] == f"small at http://127.0.0.1:{port}/v1 is known now; `backstory fix ISSUE` finds it"
    assert "not ours to stop" in other("serve", "stop").out
    assert json.loads(cli("serve", "status", "--json").out)["answers"]


def test_a_server_that_is_gone_is_said_to_be_gone(cli, background):
    """A record whose server died is no server: `status` ends with 7 and other commands go on without a model."""
    background()
    os.kill(record(cli)["service"]["pid"], signal.SIGKILL)
    until = time.monotonic() + 10
    while cli("serve", "status").exit_code == 0 and time.monotonic() < until:
        pass
    assert cli("serve", "status").exit_code == 7
    assert "does not answer; going on without a model" in cli("doctor").err


def test_the_command_is_printed_with_its_reasons(cli):
    """--print needs neither vLLM nor a GPU; every flag has a reason and what is asked for is in it."""
    printed = json.loads(
        cli("serve", "--print", "Qwen/Qwen3-Coder-30B", "--speculate", "--offload", "8", "--gpus", "1", "--json", "--", "--seed", "1").out
    )
    command = printed["command"]
    assert command[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]
    assert command[command.index("--tool-call-parser") + 1] == "qwen3_coder"
    assert command[-2:] == ["--seed", "1"]
    assert [command[command.index(flag) + 1] for flag in ("--max-model-len", "--kv-offloading-size", "--host")] == [
        "65536",
        "8",
        "127.0.0.1",
    ]
    assert all(row["why"] for row in printed["why"])
    said = cli("serve", "--print", "Qwen/Qwen3-Coder-30B").out
    assert "--scheduling-policy: turns of programs near their end go first" in said


def test_without_a_gpu_it_says_what_would_serve(cli):
    """Neither a GPU nor --cpu: what a GPU would serve, what works here, and the code of wrong usage."""
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has a GPU")
    said = cli("serve")
    assert said.exit_code == 2 and "gpt-oss-20b" in said.out and "--endpoint URL" in said.out and "`fix` searches the history" in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cpu"], "a CPU serves only very small models"),
        (["--endpoint", "http://127.0.0.1:9/v1"], "no server lists its models"),
        (["--endpoint", "http://127.0.0.1:9/v1", "small"], "--endpoint adopts a server as it is"),
        (["--cpu", "small", "--python", "/nonexistent/python"], "is no program"),
        (["--cpu", "small", "--port", "0"], "--port"),
        (["stop"], "no server is known"),
        (["logs"], "no server was started here"),
    ],
)
def test_bad_input_gets_one_line(cli, arguments, words):
    """What is wrong and what to do, in one line."""
    refused = cli("serve", *arguments)
    assert refused.exit_code in (2, 7) and words in refused.error


def test_models_and_parsers_go_by_what_is_there():
    """The table's model is the largest that the card holds; parsers go by the model's name; 8-bit caches need a card that has them."""
    from backstory.errors import UserError
    from backstory.harness.gpus import Gpu
    from backstory.harness.serve_plan import Wanted, make_plan, offer_for

    cards = {
        23.5: "openai/gpt-oss-20b",
        47.4: "poolside/Laguna-XS-2.1-FP8",
        79.6: "poolside/Laguna-XS-2.1-FP8",
        140.4: "openai/gpt-oss-120b",
    }
    for gib, model in cards.items():
        card = Gpu("card", gib, (9, 0))
        assert offer_for(card).model == make_plan(Wanted(), [card]).model == model
    assert offer_for(Gpu("small", 15.7, (7, 5))) is None
    with pytest.raises(UserError, match="less than the smallest model"):
        make_plan(Wanted(), [Gpu("small", 15.7, (7, 5))])
    with pytest.raises(UserError, match="no 8-bit numbers"):
        make_plan(Wanted(model="m", fp8_cache=True), [Gpu("old", 40, (8, 0))])
    with pytest.raises(UserError, match="2 GPUs were asked for and 1 found"):
        make_plan(Wanted(model="m", gpus=2), [Gpu("one", 40, (9, 0))])
