"""`serve`: a vLLM server for the agents, begun, tried out, found again and stopped; or one that runs already, adopted."""

import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from backstory import options
from backstory.endpoint import RECORD
from backstory.face import Face

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backstory.harness.gpus import Gpu
    from backstory.harness.selftest import Served
    from backstory.harness.serve_plan import Plan, Wanted
    from backstory.harness.served import Record
    from backstory.tools.service import Service

LOOK_S: Final = 0.5
LOG_LINES: Final = 30
# How often a server that ends by itself is started again; one that ends oftener has a fault that starting does not mend.
RESTARTS: Final = 3
RESTARTS_WITHIN_S: Final = 3600.0
LAST_WORDS: Final = 8  # lines of the log that are shown when the server ends at its start
START: Final = "start"
LOG: Final = "server.log"
"""What the server says, beside its record."""


class _Serve(options.Group):
    """A group whose first command goes without saying: `serve MODEL` is `serve start MODEL`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `start` in front unless another command, or help, is asked for."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [START, *args]
        return super().parse_args(ctx, args)


@click.group(
    short_help="Serve a model on this machine's GPU with vLLM.",
    cls=_Serve,
    examples=(
        "backstory serve --print",
        "backstory serve openai/gpt-oss-20b --background",
        "backstory serve --endpoint http://127.0.0.1:8000/v1",
        "backstory serve stop",
    ),
)
def serve() -> None:
    """Serve a model for the agents with vLLM, on the GPU of this machine; `serve MODEL` is short for `serve start MODEL`.

    The commands that ask a model find the server by themselves, unless --model or the configuration names another.
    """


@serve.command(
    START,
    short_help="Start a server, or adopt one that runs.",
    cls=options.Command,
    examples=(
        "backstory serve",
        "backstory serve --print Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8 --fp8-cache",
        "backstory serve --cpu ./SmolLM2-135M --python ./vllm-venv/bin/python",
    ),
)
@click.argument("model", required=False)
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="[-- VLLM ARGUMENTS]")
@click.option("--print", "only_print", is_flag=True, help="Show the command and the reason for each flag, and start nothing.")
@click.option("--endpoint", metavar="URL", help="Adopt a server that runs already: vLLM, or any with OpenAI's API.")
@click.option("--cpu", is_flag=True, help="Serve on the CPU, with vLLM's build for it. For trying things out.")
@click.option(
    "--python", "interpreter", metavar="PATH", help="Interpreter that has vLLM.  [default: this one, else that of `vllm` on PATH]"
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at. The server asks for no key.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port to listen at.")
@click.option(
    "--context", type=click.IntRange(min=1024), metavar="N", help="Tokens a conversation may come to.  [default: 65536; CPU: 8192]"
)
@click.option("--gpus", type=click.IntRange(min=1), default=1, show_default=True, help="GPUs that share the model.")
@click.option("--tool-parser", metavar="NAME", help="vLLM's parser of the model's calls.  [default: by the model's name]")
@click.option("--reasoning-parser", metavar="NAME", help="vLLM's parser of the model's thoughts.  [default: by the model's name]")
@click.option("--fp8-cache", is_flag=True, help="Keep contexts in 8 bits: twice as many fit.")
@click.option(
    "--offload", "offload_gib", type=click.FloatRange(min=0), metavar="GIB", help="Memory of the machine for contexts that do not fit."
)
@click.option("--speculate", is_flag=True, help="Guess replies from the prompt and check them in one step.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(min=1), default=1800.0, show_default=True, help="Seconds the server may take to come up."
)
@click.option("--background", is_flag=True, help="Leave the server running and return; `serve stop` ends it.")
@options.as_json
@options.talk
@options.with_face
def start(
    face: Face,
    /,
    model: str | None,
    more: tuple[str, ...],
    only_print: bool,
    endpoint: str | None,
    cpu: bool,
    interpreter: str | None,
    wait_s: float,
    background: bool,
    as_json: bool,
    **flags: Any,
) -> int:
    """Start vLLM with MODEL, or with the one of the table that suits the GPU; try it out; keep it until it is interrupted.

    Ends with 7 if the server does not come up or fails the self-test, with 2 if there is nothing to serve on.
    """
    from backstory.harness.gpus import find_gpus
    from backstory.harness.serve_plan import Wanted, make_plan

    if endpoint is not None:
        if model or cpu or only_print or more:
            raise click.UsageError("--endpoint adopts a server as it is; leave the rest out", click.get_current_context())
        return _adopt(face, endpoint.rstrip("/"), as_json=as_json)
    wanted = Wanted(model=model, cpu=cpu, more=more, **flags)
    gpus = () if cpu else find_gpus()
    if not gpus and not cpu and not only_print:
        return _nothing_here(face, as_json=as_json)
    plan = make_plan(wanted, gpus)
    if only_print:
        return _print(face, plan, wanted, gpus, interpreter, as_json=as_json)
    _refuse_second(face)
    return _run(face, plan, _python_with_vllm(face, interpreter), wait_s, background=background, as_json=as_json)


@serve.command(
    "status", short_help="Say what is served, and whether it answers.", cls=options.Command, examples=("backstory serve status",)
)
@options.as_json
@options.talk
@options.with_face
def status(face: Face, as_json: bool) -> int:
    """Say which server is known and whether it answers. Ends with 7 if it does not."""
    from backstory.errors import ExitCode
    from backstory.harness.served import known_server

    record = known_server(face.folders().state / RECORD)
    answers = record.answers()
    if as_json:
        face.give(_row(record) | {"answers": answers})
    else:
        face.say(
            f"{record.model} at {record.served.api_base}: {'answers' if answers else 'does not answer'}", style="" if answers else "bad"
        )
        for line in _facts(record):
            face.say(f"  {line}")
    return int(ExitCode.VERIFIED if answers else ExitCode.MODEL)


@serve.command("stop", short_help="Stop the server that was started.", cls=options.Command, examples=("backstory serve stop",))
@options.talk
@options.with_face
def stop(face: Face) -> int:
    """Stop the server that was started here, or forget the one that was adopted."""
    from backstory.harness.served import known_server

    known = face.folders().state / RECORD
    record = known_server(known)
    if record.service is None:
        face.say(f"{record.served.api_base} is not ours to stop; it is known no more")
    elif not record.service.runs():
        face.say(f"{record.model} had ended already")
    else:
        clean = record.service.stop()
        face.say(f"{record.model} is stopped" + ("" if clean else "; it did not end when asked and was killed"))
    known.unlink(missing_ok=True)
    return 0


@serve.command("logs", short_help="Show the end of the server's log.", cls=options.Command, examples=("backstory serve logs --lines 100",))
@click.option("--lines", type=click.IntRange(min=1), default=LOG_LINES, show_default=True, metavar="N", help="So many of its last lines.")
@options.talk
@options.with_face
def logs(face: Face, lines: int) -> int:
    """Show the end of the log of the server that was started last."""
    from backstory.errors import UserError

    log = face.folders().state / LOG
    if not log.exists():
        raise UserError(f"there is no log at {str(log)!r}: no server was started here")
    for line in _tail(log, lines):
        face.say(line)
    return 0


def _print(face: Face, plan: "Plan", wanted: "Wanted", gpus: "Sequence[Gpu]", interpreter: str | None, *, as_json: bool) -> int:
    import shlex

    argv = plan.argv(interpreter or "python")
    if as_json:
        face.give(
            {
                "model": plan.model,
                "api_base": plan.api_base,
                "command": list(argv),
                "env": {name: value for name, (value, _) in plan.env.items()},
                "why": [{"flag": " ".join(flag.arguments), "why": flag.why} for flag in plan.flags],
            }
        )
        return 0
    for gpu in gpus:
        face.say(f"{gpu.name}, {gpu.memory_gib:.0f} GiB, compute capability {gpu.capability[0]}.{gpu.capability[1]}")
    if not gpus and not wanted.cpu:
        face.say("no GPU was found here; this is for a machine that has one")
    for name, (value, why) in plan.env.items():
        face.say(f"export {name}={shlex.quote(value)}  # {why}")
    face.say(f"{argv[0]} -m {argv[2]} \\")
    for place, flag in enumerate(plan.flags):
        end = "" if place == len(plan.flags) - 1 else " \\"
        face.say(f"  {shlex.join(flag.arguments)}{end}")
    face.say()
    for flag in plan.flags:
        face.say(f"{flag.arguments[0]}: {flag.why}")
    return 0


def _nothing_here(face: Face, *, as_json: bool) -> int:
    """Say what would serve here and what works without a model; that is no success."""
    from backstory.errors import ExitCode, UserError
    from backstory.harness.serve_plan import OFFERS

    if as_json:
        raise UserError("no GPU was found; give --cpu MODEL, or --endpoint URL of a server that runs already")
    face.say("No GPU was found on this machine. What would serve where there is one (none was tried by us):")
    for offer in OFFERS:
        face.say(f"  {offer.card_gb:>3} GB  {offer.model}: {offer.why}")
    face.say(
        "Here: `backstory serve --endpoint URL` uses a server that runs elsewhere, `--cpu MODEL` a very small model, to try things out."
    )
    face.say("Without a model `fix` searches the history: it undoes or transplants what past commits did, and proves it with the check.")
    return int(ExitCode.USAGE)


def _refuse_second(face: Face) -> None:
    from backstory.errors import UserError
    from backstory.harness.served import read_record

    record = read_record(face.folders().state / RECORD)
    if record is not None and record.service is not None and record.service.runs():
        raise UserError(f"{record.model} is served already, at {record.served.api_base}; `backstory serve stop` ends it")


def _python_with_vllm(face: Face, interpreter: str | None) -> str:
    """Return the interpreter to start vLLM with. Raises UserError when none has it."""
    import shutil
    import sys
    from importlib.util import find_spec

    from backstory.errors import UserError

    if interpreter is not None:
        found = shutil.which(interpreter, path=face.environ.get("PATH"))
        if found is None:
            raise UserError(f"--python {interpreter!r} is no program; name the interpreter of an environment that has vLLM")
        return found
    if find_spec("vllm") is not None:
        return sys.executable
    program = shutil.which("vllm", path=face.environ.get("PATH"))
    if program is not None:
        first = Path(program).read_bytes().partition(b"\n")[0]
        if first.startswith(b"#!"):
            return first[2:].decode().strip()
    raise UserError(
        "vLLM is not installed here; make an environment (`python3 -m venv vllm && vllm/bin/pip install vllm`) and pass --python vllm/bin/python"
    )


def _run(face: Face, plan: "Plan", python: str, wait_s: float, *, background: bool, as_json: bool) -> int:
    """Start the server, try it out, write it down, and stay with it or leave it."""
    import signal
    import threading

    from backstory.config import made
    from backstory.errors import ExitCode
    from backstory.harness.selftest import missing
    from backstory.harness.served import Record, write_record
    from backstory.tools.service import begin

    state = made(face.folders().state)
    argv = plan.argv(python)
    env = dict(face.environ) | {name: value for name, (value, _) in plan.env.items()}
    (state / LOG).unlink(missing_ok=True)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end the server
    service = begin(argv, env=env, log=state / LOG)
    keep = told = False
    try:
        served = _wait_ready(face, plan, service, state / LOG, wait_s)
        ok = _try_out(face, served, as_json=as_json)
        record = Record(served, time.time(), service, argv, tuple(missing(served)))
        write_record(state / RECORD, record)
        keep = background and ok
        told = ok and not background  # whoever reads the address may interrupt at once: from here on that is the way to end it
        if as_json:
            face.give(_row(record) | {"ok": ok})
        elif ok:
            face.say(f"serving {record.model} at {served.api_base}; `backstory fix ISSUE` finds it")
        face.out.flush()
        if told:
            _stay(face, plan, record, env, wait_s)
        return int(ExitCode.VERIFIED if ok else ExitCode.MODEL)
    except KeyboardInterrupt:
        if not told:
            raise
        face.warn("stopping the server")
        return int(ExitCode.VERIFIED)
    finally:
        if not keep:
            service.stop()
            (state / RECORD).unlink(missing_ok=True)


def _stay(face: Face, plan: "Plan", record: "Record", env: "Mapping[str, str]", wait_s: float) -> NoReturn:
    """Keep a server running: one that ends by itself is started again, since programs wait for it. Raises ModelError when it ends too often."""
    from backstory.errors import ModelError
    from backstory.harness.served import write_record
    from backstory.tools.service import begin

    state, ended = face.folders().state, deque[float](maxlen=RESTARTS)
    service = record.service
    assert service is not None
    try:
        while True:
            while service.runs():
                time.sleep(LOOK_S)
            service.stop()  # what is left of its group
            if len(ended) == RESTARTS and time.monotonic() - ended[0] < RESTARTS_WITHIN_S:
                raise ModelError(f"{record.model} ended by itself {RESTARTS + 1} times; `backstory serve logs` shows why")
            ended.append(time.monotonic())
            face.warn(f"{record.model} ended by itself; starting it again")
            service = begin(record.command, env=env, log=state / LOG)
            served = _wait_ready(face, plan, service, state / LOG, wait_s)
            write_record(state / RECORD, replace(record, served=served, since=time.time(), service=service))
            face.warn(f"{record.model} is back")
    finally:
        service.stop()


def _wait_ready(face: Face, plan: "Plan", service: "Service", log: Path, wait_s: float) -> "Served":
    """Return the server once it answers. Raises ModelError when it ends or takes too long."""
    from backstory.agent.vitals import healthy
    from backstory.errors import ModelError
    from backstory.harness.selftest import look

    started = time.monotonic()
    with face.screen() as screen:
        while True:
            took = time.monotonic() - started
            if not service.runs():
                for line in _tail(log, LAST_WORDS):
                    face.warn(line)
                raise ModelError(f"vLLM ended before it was ready, after {took:.0f} s; `backstory serve logs` shows all it said")
            served = look(plan.api_base) if healthy(plan.api_base) else None
            if served is not None and plan.name in served.models:
                return served
            if took > wait_s:
                raise ModelError(
                    f"vLLM was not ready after {wait_s:.0f} s; `backstory serve logs` shows how far it came, --wait gives it longer"
                )
            screen.report(f"starting {plan.name}", int(took), None)
            time.sleep(LOOK_S)


def _tail(log: Path, lines: int) -> list[str]:
    try:
        text = log.read_bytes()[-200_000:].decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]


def _try_out(face: Face, served: "Served", *, as_json: bool) -> bool:
    from backstory.harness.selftest import self_test

    findings = self_test(served)
    for finding in findings:
        if as_json and finding.ok:
            continue
        line = f"{'ok  ' if finding.ok else 'BAD '} {finding.name}: {finding.said}"
        if as_json:
            face.warn(line)
        else:
            face.say(line, style="" if finding.ok else "bad")
        if not finding.ok:
            face.warn(f"     {finding.remedy}")
    return all(finding.ok for finding in findings)


def _adopt(face: Face, endpoint: str, *, as_json: bool) -> int:
    """Write down a server that runs already, with what it can do."""
    from backstory.config import made
    from backstory.errors import ExitCode, ModelError
    from backstory.harness.selftest import look, missing
    from backstory.harness.served import Record, write_record

    served = look(endpoint) or look(f"{endpoint}/v1")
    if served is None:
        raise ModelError(f"no server lists its models at {endpoint!r}; give the address that ends in /v1")
    ok = _try_out(face, served, as_json=as_json)
    record = Record(served, time.time(), missing=tuple(missing(served)))
    write_record(made(face.folders().state) / RECORD, record)
    if as_json:
        face.give(_row(record) | {"ok": ok})
    else:
        for line in _facts(record):
            face.say(f"  {line}")
        face.say(f"{record.model} at {served.api_base} is known now; `backstory fix ISSUE` finds it")
    return int(ExitCode.VERIFIED if ok else ExitCode.MODEL)


def _row(record: "Record") -> dict[str, Any]:
    served = record.served
    return {
        "model": record.model,
        "api_base": served.api_base,
        "window": served.window,
        "pool": served.pool,
        "block": served.block,
        "vllm": served.version,
        "pid": record.service.pid if record.service else None,
        "missing": list(record.missing),
    }


def _facts(record: "Record") -> list[str]:
    served = record.served
    facts = [f"vLLM {served.version}" if served.version else "not vLLM"]
    facts += [f"process {record.service.pid}"] if record.service else ["begun by somebody else"]
    facts += [f"prompts of up to {served.window:,} tokens"] if served.window else []
    facts += [f"a cache of {served.pool:,} tokens"] if served.pool else []
    return facts + list(record.missing)
