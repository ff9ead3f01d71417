"""What can go wrong for a user, and the exit code each kind carries.

    UserError              2  usage or configuration
    ├── SandboxError       6  no sandbox, or a path or policy refusal
    ├── ModelError         7  model or network
    │   └── UnreachableError  7  the latter: nobody answers there, which may pass
    ├── GitHubError        8  GitHub's API
    └── StorageError       9  disk full, read-only, damaged store
        └── DamagedStore   9  the latter: what can be made anew

A `UserError` is shown as one line that says what is wrong and what to do; it never shows a traceback. Failures of a tool that an agent can act
on are values (`Observation`, `Verdict`), and everything else is a bug and propagates.
"""

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """The documented exit codes of every command; numbers are a contract."""

    VERIFIED = 0
    INTERNAL = 1
    USAGE = 2
    NO_PATCH = 3
    UNVERIFIED = 4
    LIMIT = 5
    SANDBOX = 6
    MODEL = 7
    GITHUB = 8
    STORAGE = 9
    INTERRUPTED = 130


class UserError(Exception):
    """A mistake or circumstance the user can mend; `str(error)` is one line with the remedy."""

    exit_code: ClassVar[ExitCode] = ExitCode.USAGE


class SandboxError(UserError):
    """No sandbox can be made, or a path or command is refused by policy."""

    exit_code = ExitCode.SANDBOX


class ModelError(UserError):
    """The model or its endpoint cannot be used."""

    exit_code = ExitCode.MODEL


class UnreachableError(ModelError):
    """Nobody answers at a model's address, or what answers keeps `failing`: the server went away, and may come back."""

    def __init__(self, message: str, *, failing: bool = False) -> None:
        super().__init__(message)
        self.failing = failing


class GitHubError(UserError):
    """GitHub refused, or cannot be reached."""

    exit_code = ExitCode.GITHUB


class StorageError(UserError):
    """The disk is full or read-only, or the store is damaged."""

    exit_code = ExitCode.STORAGE


class DamagedStore(StorageError):
    """What is stored about a repository cannot be read. All of it can be derived again, and building a graph does so."""
