"""A container engine for tests: started by hand, without a bridge and without a rule in the firewall, and stopped by its process id."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

START_S = 60


def why_none() -> str:
    """Return why no engine can be started here, "" when one can."""
    if os.geteuid() != 0:
        return "a container engine is started by root alone"
    if shutil.which("dockerd") is None:
        return "there is no dockerd; apt-get install --no-install-recommends docker.io"
    return ""


@contextmanager
def private_engine():
    """Yield the address of an engine that nobody else uses; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="engine-"))  # a socket's path has to be short
    address = f"unix://{folder}/socket"
    # vfs leaves no mounts behind and works wherever the folder lies.
    command = [
        *("dockerd", "--host", address, "--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid"),
        *("--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip6tables=false"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_S
        while not answers(address):
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the engine does not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            place = line.split()[1]
            if place.startswith(f"{folder}/"):
                subprocess.run(["umount", place], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def answers(address: str) -> bool:
    """Return whether an engine answers."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(address.removeprefix("unix://"))
        connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in connection.recv(100)
    return False
