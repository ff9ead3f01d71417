"""The only place that starts `git`, always on a repository of our own making.

A repository can name programs that git then runs: hooks, filters, textconv, fsmonitor, a remote's helper. Every call here gets an environment
built from nothing, a neutral configuration, a pinned git directory and a closed protocol list, so what the repository says is never run. The
user's own repository is read with libgit2 (`backstory.graph.mirror`), which starts no programs at all; git itself sees it only as the source of
a local fetch.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from backstory.errors import StorageError, UserError

# Highest precedence, so that neither the mirror's config nor a committed file can turn these on again.
_NEUTRAL = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.untrackedCache": "false",
    "core.autocrlf": "false",
    "core.quotePath": "false",
    "core.pager": "cat",
    "core.commitGraph": "true",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "log.showSignature": "false",
    "diff.renames": "true",
    "diff.algorithm": "myers",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "submodule.recurse": "false",
    "safe.bareRepository": "all",
    "user.name": "backstory",
    "user.email": "backstory@localhost",
    "commit.gpgSign": "false",
}
COMPLAINT_LINES = 50  # of a long fetch, what is kept to say why it failed
PIPE_BYTES = 1 << 20  # what any user may ask for
_LINE_ENDS = re.compile(r"[\r\n]+")
_MARKED = re.compile(r"(?:remote: )*(?:fatal|error): ")
# What can no longer be written where something is kept: one message, one exit code.
_DISK_FULL_WORDS = ("no space left on device", "out of diskspace", "disk quota exceeded", "read-only file system", "file too large")


class GitError(Exception):
    """A git command failed; `stderr` is all it said, `complaint` the one line that matters. Callers map it to a `UserError` where the user can do something about it."""

    def __init__(self, arguments: Sequence[str], exit_code: int, stderr: str) -> None:
        self.exit_code = exit_code
        self.stderr = stderr
        super().__init__(f"git {' '.join(arguments[:3])}: exit {exit_code}: {self.complaint}")

    @property
    def complaint(self) -> str:
        """One line: the first that git marked as an error, or the first it said."""
        lines = [line.strip() for line in _LINE_ENDS.split(self.stderr) if line.strip()]
        marked = [line for line in lines if _MARKED.match(line)]
        return _MARKED.sub("", (marked or lines or ["git said nothing"])[0])


def git_program() -> str:
    """Return the path of git. Raises UserError when there is none."""
    found = shutil.which("git")
    if found is None:
        raise UserError("git is not installed; install git 2.36 or later and try again")
    return found


@dataclass(frozen=True)
class Git:
    """Runs git on one git directory that is ours.

    git_dir: the directory every call is pinned to. work_tree: set for commands that touch files. index: a private index file, when one is used.
    """

    git_dir: Path
    work_tree: Path | None = None
    index: Path | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, stdin: bytes | None = None, allowed: Sequence[int] = (0,)) -> bytes:
        """Run `git ARGUMENTS` to its end and return what it printed.

        Raises GitError when the exit code is not in `allowed`, StorageError when the disk is full or read-only.
        """
        done = subprocess.run(
            self._command(arguments),
            input=stdin if stdin is not None else b"",
            capture_output=True,
            env=self._environment(),
            cwd=self._cwd(),
        )
        if done.returncode not in allowed:
            raise self._failure(arguments, done.returncode, done.stderr)
        return done.stdout

    @contextmanager
    def stream(self, *arguments: str, stdin: bytes | None = None) -> Iterator[IO[bytes]]:
        """Yield the standard output of `git ARGUMENTS` as it comes; leaving the block early stops git.

        Raises GitError on leaving when the output was read to its end and git failed.
        """
        with (
            tempfile.TemporaryFile() as complaints,  # a pipe nobody reads would stop git once it is full
            subprocess.Popen(
                self._command(arguments),
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=self._environment(),
                cwd=self._cwd(),
            ) as process,
            _feeding(process, stdin),
        ):
            assert process.stdout is not None
            _widen(process.stdout)
            try:
                yield process.stdout
                ended = process.stdout.read(1) == b""
            except BaseException:
                process.kill()
                raise
            if not ended:
                process.kill()
                return
            if process.wait() != 0:
                complaints.seek(0)
                raise self._failure(arguments, process.returncode, complaints.read())

    def follow(self, *arguments: str, said: Callable[[str], None], stdin: bytes | None = None) -> None:
        """Run `git ARGUMENTS` to its end, handing on what it says about its progress, line by line.

        Raises GitError with all it said when it fails, StorageError when the disk is full or read-only.
        """
        with (
            subprocess.Popen(
                self._command(arguments),
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=self._environment(),
                cwd=self._cwd(),
            ) as process,
            _feeding(process, stdin),
        ):
            assert process.stderr is not None
            kept: deque[bytes] = deque(maxlen=COMPLAINT_LINES)
            try:
                for line in _progress_lines(process.stderr):
                    kept.append(line)
                    said(line.decode("utf-8", "replace"))
            except BaseException:
                process.kill()
                raise
            if process.wait() != 0:
                raise self._failure(arguments, process.returncode, b"\n".join(kept))

    @contextmanager
    def conversation(self, *arguments: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Yield (input, output) pipes of a long-lived git such as `cat-file --batch`; both are closed on leaving."""
        with subprocess.Popen(
            self._command(arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment(),
            cwd=self._cwd(),
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            try:
                yield process.stdin, process.stdout
            finally:
                process.kill()
                with suppress(BrokenPipeError):  # what was still buffered has nobody to go to
                    process.stdin.close()

    def _command(self, arguments: Sequence[str]) -> list[str]:
        settings = [part for name, value in _NEUTRAL.items() for part in ("-c", f"{name}={value}")]
        return [git_program(), "--no-pager", "--literal-pathspecs", *settings, *arguments]

    def _cwd(self) -> Path:
        return self.work_tree or self.git_dir

    def _environment(self) -> dict[str, str]:
        """Return the whole environment of the child: nothing of the caller's is passed on but PATH."""
        environment = {
            "PATH": os.defpath if shutil.which("git", path=os.defpath) else str(Path(git_program()).parent) + os.pathsep + os.defpath,
            "HOME": os.devnull,
            "XDG_CONFIG_HOME": os.devnull,
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "GIT_DIR": str(self.git_dir),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_ASKPASS": "true",
            "GIT_EDITOR": "true",
            "GIT_ADVICE": "0",
            **self.extra,
        }
        if self.work_tree is not None:
            environment["GIT_WORK_TREE"] = str(self.work_tree)
        if self.index is not None:
            environment["GIT_INDEX_FILE"] = str(self.index)
        return environment

    def _failure(self, arguments: Sequence[str], exit_code: int, stderr: bytes) -> Exception:
        said = stderr.decode("utf-8", "replace")
        if any(word in said.lower() for word in _DISK_FULL_WORDS):
            return StorageError(
                f"cannot write below {str(self.git_dir)!r} (disk full or read-only); free some room or set BACKSTORY_CACHE_DIR"
            )
        return GitError(arguments, exit_code, said)


def _progress_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield what git writes to a terminal, cut at line ends and at the carriage returns that overwrite a line."""
    rest = b""
    while chunk := os.read(stream.fileno(), 65536):
        *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        yield from (line for line in lines if line.strip())
    if rest.strip():
        yield rest


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold a megabyte where the system can (Linux), so that git works on while its output is worked at."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):  # the user's pipes hold much already
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


@contextmanager
def _feeding(process: "subprocess.Popen[bytes]", stdin: bytes | None) -> Iterator[None]:
    """Write `stdin` from a second thread, so that a full output pipe cannot block both sides."""
    if stdin is None:
        yield
        return

    def write() -> None:
        assert process.stdin is not None
        with suppress(OSError):  # git ended early; its exit code tells
            process.stdin.write(stdin)
        with suppress(OSError):
            process.stdin.close()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()  # it ends with git: by then the pipe is read or broken
