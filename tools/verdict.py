"""How a check ended on a tree, as a value that can be stored and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from backstory.graph.types import RepoPath
from backstory.tools.proof import ProofStatus

Status = Literal["passed", "failed", "timed_out", "broken", "not_run"]
Result = Literal["passed", "failed", "error", "skipped"]
Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
_Word = TypeVar("_Word", bound=str)


@dataclass(frozen=True)
class Check:
    """A question to a tree. command: for `sh -c`, at the root of the tree. files: the test files it names, laid over every tree it is asked of."""

    command: str
    timeout_s: float
    files: tuple[RepoPath, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """How a check ended.

    status: "broken" when the tests gave no answer (they could not be collected, the command is wrong, another copy of the code ran, ...), which is
    never counted as failed; "timed_out" when a limit of time ended it; "not_run" when nothing was started.
    results: each test's outcome by its id (`path::Class::name` from pytest); empty when the command speaks of no single tests.
    failure: the names of the exceptions (or signals) that tests failed with, sorted, to tell the same failure from another one.
    summary: one line for a person, with the reason. output: head and tail of what was printed, control characters removed.
    proof: where the code under test was imported from.
    """

    status: Status
    results: Mapping[str, Result]
    failure: tuple[str, ...]
    summary: str
    output: str
    seconds: float
    proof: ProofStatus


def verdict_to_json(verdict: Verdict) -> dict[str, Json]:
    """Return the verdict as plain values of JSON."""
    return {
        "status": verdict.status,
        "results": dict(sorted(verdict.results.items())),
        "failure": list(verdict.failure),
        "summary": verdict.summary,
        "output": verdict.output,
        "seconds": verdict.seconds,
        "proof": verdict.proof,
    }


def verdict_from_json(value: object) -> Verdict:
    """Return the verdict that `verdict_to_json` wrote. Raises ValueError when it is none."""
    try:
        fields = dict(value)  # type: ignore[call-overload]
        return Verdict(
            status=_one_of(fields["status"], "passed", "failed", "timed_out", "broken", "not_run"),
            results={str(test): _one_of(result, "passed", "failed", "error", "skipped") for test, result in fields["results"].items()},
            failure=tuple(map(str, fields["failure"])),
            summary=str(fields["summary"]),
            output=str(fields["output"]),
            seconds=float(fields["seconds"]),
            proof=_one_of(fields["proof"], "in_tree", "elsewhere", "unknown"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no verdict: {error!r}") from error


def _one_of(value: object, *allowed: _Word) -> _Word:
    for word in allowed:
        if word == value:
            return word
    raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
