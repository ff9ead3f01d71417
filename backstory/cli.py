"""The command line: the commands, and the one place where anything that went wrong becomes a line and an exit code.

Only click is imported here; each command imports what it needs when it runs. Nothing else reads the environment or the arguments.
"""

import errno
import os
import sys
from pathlib import Path
from typing import Final, NoReturn, TextIO

import click

from backstory import __version__, options
from backstory.command_bench import bench
from backstory.command_fix import fix, replay, resume
from backstory.command_graph import graph
from backstory.command_look import index, locate
from backstory.command_origin import fixes, origin
from backstory.command_past import why
from backstory.command_runs import apply, runs, show, undo
from backstory.command_scripted import scripted
from backstory.command_serve import serve
from backstory.command_upkeep import action, cache, config, doctor
from backstory.errors import ExitCode, UserError
from backstory.face import Face, process_face

PROGRAM: Final = "backstory"
BROKEN_PIPE: Final = 141  # 128 + SIGPIPE, what a shell reports for a program whose reader went away
# What an operating system says when something cannot be kept.
_STORAGE_ERRNOS: Final = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up", errno.EROFS: "the disk is read-only"}


@click.group(
    cls=options.Group,
    examples=('backstory fix issue.md --repo . --check "pytest tests/test_dates.py"',),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes and configuration: docs/cli.md and docs/config.md.",
)
@click.version_option(__version__, "-V", "--version", prog_name=PROGRAM, message="%(prog)s %(version)s")
def commands() -> None:
    """Find the change that broke the code, repair it and prove the repair."""


for command in (
    *(fix, locate, why, origin, fixes, index, graph, show, runs, resume, replay, apply, undo),
    *(cache, doctor, config, bench, serve, scripted, action),
):
    commands.add_command(command)


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    if "_BACKSTORY_COMPLETE" in os.environ:  # the shell asks for completions
        commands.main(prog_name=PROGRAM)
    sys.exit(run(sys.argv[1:], process_face(os.environ)))


def run(arguments: list[str], face: Face) -> int:
    """Run one command and return its exit code; every way it can fail ends as one line on standard error."""
    try:
        code = _invoke(arguments, face)
        face.out.flush()
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else PROGRAM
        return _fail(face, ExitCode.USAGE, f"{error.format_message().rstrip('.')}; `{where} --help` tells more")
    except click.ClickException as error:
        return _fail(face, ExitCode.USAGE, error.format_message())
    except UserError as error:
        return _fail(face, error.exit_code, str(error))
    except (KeyboardInterrupt, click.Abort):
        return _fail(face, ExitCode.INTERRUPTED, "interrupted; `backstory runs` shows what can be resumed")
    except BrokenPipeError:
        _abandon(face.out)
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 (the last handler: a bug becomes a line and a saved traceback)
        storage = _storage_message(error)
        _abandon(face.out)
        return _fail(face, ExitCode.STORAGE, storage) if storage else _report_bug(face, error)
    return code


def _invoke(arguments: list[str], face: Face) -> int:
    """Run the command without click's own handling of errors, which would print several lines."""
    try:
        with commands.make_context(PROGRAM, list(arguments), obj=face) as context:
            return int(commands.invoke(context) or 0)
    except click.exceptions.Exit as done:
        return done.exit_code


def _abandon(stream: TextIO) -> None:
    """Write out what `stream` still holds, or drop it if that fails, so that the interpreter does not try and fail again when it ends."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _storage_message(error: Exception) -> str | None:
    """Return what to say if `error` means that something cannot be kept, else None."""
    if isinstance(error, OSError) and error.errno in _STORAGE_ERRNOS:
        place = f" at {error.filename!r}" if error.filename else ""
        return f"{_STORAGE_ERRNOS[error.errno]}{place}; free some room, or set BACKSTORY_CACHE_DIR and BACKSTORY_STATE_DIR to a writable folder"
    if any(base.__module__ == "sqlite3" for base in type(error).__mro__):  # sqlite3 is not imported for this
        return f"the store cannot be used ({error}); `backstory cache clear` removes it, and it is built again"
    return None


def _report_bug(face: Face, error: Exception) -> int:
    import traceback

    trace = "".join(traceback.format_exception(error))
    if face.verbose:
        face.err.write(trace)
    saved = _save_crash(face, trace)
    where = f"the traceback is in {str(saved)!r}" if saved else "run it again with -v for the traceback"
    return _fail(face, ExitCode.INTERNAL, f"internal error: {type(error).__name__}: {error}; {where}")


def _save_crash(face: Face, trace: str) -> Path | None:
    """Write the traceback below the state folder; None if that cannot be done."""
    import time

    try:
        folder = face.folders().state / "crashes"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        path.write_text(trace, encoding="utf-8", errors="backslashreplace")
    except (OSError, UserError):
        return None
    return path


def _fail(face: Face, code: int, message: str) -> int:
    from backstory.tools.visible import one_line

    try:
        face.err.write(f"{PROGRAM}: error: {one_line(message, limit=1000)}\n")
        face.err.flush()
    except OSError:  # nobody reads any more; the exit code still tells
        pass
    return int(code)
