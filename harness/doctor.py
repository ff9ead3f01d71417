"""Looks at the machine: is there everything a run needs? Each finding says what is there and, if it will not do, what to do."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Final

import pygit2

from backstory.agent.calls import Call, read_calls
from backstory.agent.messages import Message, Model, Prompt, Sampling, ToolSchema
from backstory.errors import ExitCode, ModelError, SandboxError, UserError
from backstory.graph.git import Git, GitError
from backstory.graph.languages import LANGUAGES, compiled
from backstory.tools.sandbox import CONTAINERS, Containers, open_sandbox, probe

OLDEST_GIT: Final = (2, 36)  # the first with safe.bareRepository and stable `cat-file --batch-command`
OLDEST_PYTHON: Final = (3, 11)
# A mirror of a large project with its graph takes about this much; below it a run may end for lack of room.
ROOM_BYTES: Final = 2 * 1024**3
# How long a model may take to answer the one question it is asked here, a cold start of its server included.
ANSWER_S: Final = 60.0
READY: Final = ToolSchema(
    "ready",
    "Says that tools can be called.",
    {"type": "object", "properties": {"word": {"type": "string", "description": "The word that was given."}}, "required": ["word"]},
)
GREETING: Final = (
    Message("system", "You call tools. Never answer in words."),
    Message("user", "Call the tool `ready` with the word `yes`."),
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ok: good enough to run; remedy: what to do if not; exit_code: what `doctor` ends with because of it."""

    name: str
    ok: bool
    said: str
    remedy: str = ""
    exit_code: ExitCode = ExitCode.USAGE


def examine(*, cache_dir: Path, state_dir: Path, containers: Containers = CONTAINERS) -> list[Finding]:
    """Return every finding, in a fixed order. Makes nothing but a file that it removes again, and one trial of each sandbox."""
    looks: Sequence[Callable[[], list[Finding]]] = (
        _python,
        _git,
        _grammars,
        lambda: _sandbox(containers),
        lambda: [_folder("cache folder", cache_dir, "BACKSTORY_CACHE_DIR"), _folder("state folder", state_dir, "BACKSTORY_STATE_DIR")],
        lambda: [_room(cache_dir)],
    )
    return [finding for look in looks for finding in look()]


def examine_model(model: Model) -> list[Finding]:
    """Return whether a model answers, whether its calls of tools can be read, and whether it tells what a reply cost. Asks for one short reply."""
    try:
        reply = model.reply(Prompt(GREETING, (READY,), sampling=Sampling(temperature=0.0, output_tokens=512), timeout_s=ANSWER_S))
    except ModelError as error:
        return [Finding("model", False, str(error), "see docs/model.md for what a server needs", ExitCode.MODEL)]
    if reply.stop == "cancelled":
        return [Finding("model", False, f"{model.name} did not answer in {ANSWER_S:.0f} s", "look at its server's log", ExitCode.MODEL)]
    usage = reply.usage
    said = read_calls(reply.message, (READY,), cut=reply.stop == "length", turn=len(GREETING))
    called = [one for one in said.calls if isinstance(one, Call) and one.name == READY.name]
    how = "as calls" if reply.message.calls else "in its text, where they are read too"
    cached = "not told" if usage.cached_tokens is None else f"{usage.cached_tokens} of them cached"
    told = (
        f"{usage.input_tokens} in ({cached}), {usage.output_tokens} out" if usage.input_tokens else "not told; --budget-tokens cannot hold"
    )
    remedy = "choose a model trained to call tools; for vLLM set --enable-auto-tool-choice and the --tool-call-parser of its family"
    return [
        Finding("model", True, f"{model.name} answered in {usage.seconds:.1f} s"),
        Finding("calls of tools", bool(called), how if called else "it was asked for a call and made none", remedy, ExitCode.MODEL),
        Finding("tokens", True, told),
    ]


def verdict(findings: Sequence[Finding]) -> ExitCode:
    """Return what `doctor` ends with: 0, or the code of the worst finding (a missing sandbox first)."""
    codes = {finding.exit_code for finding in findings if not finding.ok}
    order = (ExitCode.SANDBOX, ExitCode.STORAGE, ExitCode.USAGE, ExitCode.MODEL)
    return next((code for code in order if code in codes), ExitCode.VERIFIED)


def _python() -> list[Finding]:
    version = sys.version_info[:2]
    return [
        Finding("python", version >= OLDEST_PYTHON, f"{platform.python_version()} at {sys.executable}", "use Python 3.11 or later"),
        Finding("system", sys.platform == "linux", f"{platform.system()} {platform.release()}", "checks run in a sandbox on Linux only"),
    ]


def _git() -> list[Finding]:
    remedy = f"install git {OLDEST_GIT[0]}.{OLDEST_GIT[1]} or later"
    library = Finding("libgit2", True, f"{pygit2.LIBGIT2_VERSION} (pygit2 {metadata.version('pygit2')})")
    try:
        with tempfile.TemporaryDirectory(prefix="backstory-") as folder:
            said = Git(Path(folder)).run("version").decode("utf-8", "replace").strip()
    except (UserError, GitError, OSError) as error:
        return [Finding("git", False, str(error), remedy), library]
    words = said.removeprefix("git version ").split()
    version = tuple(int(part) for part in words[0].split(".")[:2] if part.isdecimal()) if words else ()
    return [Finding("git", version >= OLDEST_GIT, said, remedy), library]


def _grammars() -> list[Finding]:
    broken: list[str] = []
    for language in LANGUAGES:
        try:
            compiled(language.name)
        except (ImportError, OSError, ValueError) as error:
            broken.append(f"{language.name}: {error}")
    names = ", ".join(language.name for language in LANGUAGES)
    return [Finding("grammars", not broken, "; ".join(broken) or names, "install Backstory again: its grammars come as wheels")]


def _sandbox(containers: Containers) -> list[Finding]:
    found = probe()
    program = f"bubblewrap {found.version} at {found.program}" if found.program else "no bubblewrap"
    engine, answers = _engine(containers)
    if not found.works and answers:
        sandbox = Finding("sandbox", True, f"containers, since there is {found.problem}")
    else:
        sandbox = Finding("sandbox", found.works, program if found.works else found.problem or program, found.remedy, ExitCode.SANDBOX)
    return [
        sandbox,
        engine,
        Finding("process limit", True, found.processes),
        Finding("memory limit", True, found.memory),
    ]


def _engine(containers: Containers) -> tuple[Finding, bool]:
    """Return what there is for `--sandbox docker` and `--env docker`, and whether it works. Nothing is wrong where there is none."""
    from backstory.tools.docker import Docker

    try:
        sandbox = open_sandbox("docker", replace(containers, image=""))
    except SandboxError as error:
        return Finding("containers", True, f"none: {error}"), False
    assert isinstance(sandbox, Docker)
    engine = sandbox.engine
    room = "" if engine.free_gib is None else f", {engine.free_gib:.1f} GiB free"
    rootless = ", without root" if engine.rootless else ""
    return Finding("containers", True, f"engine {engine.version} at {engine.address} for {engine.platform}{rootless}{room}"), True


def _folder(name: str, path: Path, variable: str) -> Finding:
    """Say whether a file can be made in `path`, or in the nearest folder above it that is there."""
    place = _nearest(path)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".backstory-"):
            return Finding(name, True, str(path))
    except OSError as error:
        return Finding(name, False, f"{path}: {error.strerror}", f"set {variable} to a writable folder", ExitCode.STORAGE)


def _room(cache_dir: Path) -> Finding:
    free = shutil.disk_usage(_nearest(cache_dir)).free
    remedy = "free some room, or set BACKSTORY_CACHE_DIR to a larger disk"
    return Finding("room", free >= ROOM_BYTES, f"{free / 1024**3:.1f} GiB free for the cache", remedy, ExitCode.STORAGE)


def _nearest(path: Path) -> Path:
    """Return `path`, or the closest folder above it that exists."""
    return next((folder for folder in (path, *path.parents) if os.path.lexists(folder)), Path("/"))
