"""`scripted`: a model server that says what it is told, for trying out everything between an agent and a model without a model."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstory import options
from backstory.face import Face

if TYPE_CHECKING:
    from backstory.agent.script import Answers
    from backstory.agent.scripted import Exchange


@click.command(
    short_help="Serve a scripted model, to try things out.",
    cls=options.Command,
    examples=(
        "backstory scripted --script replies.json --port 8123",
        "backstory scripted --run last --fault 429@2 --fault bad_json --seed 7",
    ),
)
@click.option("--script", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Replies to give, as JSON or JSON lines.")
@click.option("--run", metavar="RUN", help="Give the replies that a recorded run was given.")
@click.option("--port", type=click.IntRange(min=0, max=65535), default=0, metavar="N", help="Port on 127.0.0.1.  [default: a free one]")
@click.option("--fault", "faults", multiple=True, metavar="NAME[@N]", help="What goes wrong: at the N-th request, else at random ones.")
@click.option("--chance", type=click.FloatRange(0, 1), default=0.2, show_default=True, help="How likely a random fault is, per request.")
@click.option("--seed", type=click.INT, default=0, show_default=True, help="Which requests and faults chance picks.")
@click.option("--window", type=click.IntRange(min=1), metavar="N", help="Refuse prompts of more than N tokens (of four bytes).")
@click.option("--name", default="scripted", show_default=True, help="Name of the model.")
@options.as_json
@options.talk
@options.with_face
def scripted(
    face: Face,
    script: Path | None,
    run: str | None,
    port: int,
    faults: tuple[str, ...],
    chance: float,
    seed: int,
    window: int | None,
    name: str,
    as_json: bool,
) -> int:
    """Serve a model that says what a script says, over OpenAI's API, until it is interrupted.

    The replies, the faults and what else the server does are described in docs/model.md. Each request is a line on standard error, or with --json
    an object on standard output.
    """
    if (script is None) == (run is None):
        raise click.UsageError("give either --script or --run", click.get_current_context())
    from backstory.agent.scripted import Settings, serve

    at, by_chance = _faults(faults)
    settings = Settings(models=(name,), window=window, at=at, faults=by_chance, chance=chance, seed=seed)
    answers = _from_file(script) if script is not None else _from_run(face, str(run))
    with suppress(KeyboardInterrupt), serve(answers, settings, port=port, on_exchange=_told(face, as_json)) as server:
        # Whoever reads the address may interrupt at once, before anything waits; an interrupt is the way to end it from here on.
        if as_json:
            face.give({"api_base": server.api_base, "model": name})
        else:
            face.say(
                f"serving {name} at {server.api_base}; try `backstory fix ... --model hosted_vllm/{name} --api-base {server.api_base}`"
            )
        face.out.flush()
        server.wait()
    return 0


def _faults(written: tuple[str, ...]) -> tuple[Mapping[int, str], tuple[str, ...]]:
    """Return the faults by the number of their request, and those that come by chance. Raises UserError for one that does not exist or cannot."""
    from backstory.agent.faults import FAULTS, check_fault
    from backstory.errors import UserError

    at: dict[int, str] = {}
    by_chance: list[str] = []
    for text in written:
        fault, mark, number = text.partition("@")
        check_fault(fault)
        if not mark and FAULTS[fault].ends:
            raise UserError(f"--fault {fault} makes a client give up, so it never comes by chance; say at which request, such as {fault}@1")
        if not mark:
            by_chance.append(fault)
        elif number.isdecimal() and int(number) > 0:
            at[int(number)] = fault
        else:
            raise UserError(f"--fault {text!r}: {number!r} is no number of a request; they count from 1, such as {fault}@1")
    return at, tuple(by_chance)


def _from_file(path: Path) -> "Answers":
    from backstory.agent.script import read_script
    from backstory.errors import UserError

    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}; name a file of replies (docs/model.md describes it)") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{str(path)!r} is not UTF-8; a script is JSON in UTF-8") from error
    return read_script(text, origin=repr(str(path)))


def _from_run(face: Face, run: str) -> "Answers":
    from backstory.agent.runs import open_run
    from backstory.agent.script import recorded

    return recorded(open_run(face.folders().state, run)[1])


def _told(face: Face, as_json: bool) -> "Callable[[Exchange], None] | None":
    """Return what tells of each exchange as it happens, or None if nobody wants to know. Called from the server's threads."""
    from threading import Lock

    lock = Lock()

    def tell(exchange: "Exchange") -> None:
        with lock:
            if as_json:
                face.give(_row(exchange))
                face.out.flush()
            else:
                face.warn(_line(exchange))

    return None if face.quiet and not as_json else tell


def _row(exchange: "Exchange") -> dict[str, object]:
    from backstory.agent.faults import Said

    outcome = exchange.outcome
    return {
        "number": exchange.request.number,
        "status": exchange.status,
        "fault": exchange.fault or None,
        "messages": len(exchange.request.messages),
        "calls": [call.name for call in outcome.message.calls] if isinstance(outcome, Said) else [],
        "tokens": {"input": exchange.prompt_tokens, "cached": exchange.cached_tokens, "output": exchange.output_tokens},
    }


def _line(exchange: "Exchange") -> str:
    from backstory.agent.faults import Said

    request, outcome = exchange.request, exchange.outcome
    fault = f" [{exchange.fault}]" if exchange.fault else ""
    if not isinstance(outcome, Said):
        return f"{request.number}: {len(request.messages)} messages -> {exchange.status}{fault}"
    said = ", ".join(call.name for call in outcome.message.calls) or f"text of {len(outcome.message.text)} characters"
    cost = f"{exchange.prompt_tokens} tokens in ({exchange.cached_tokens} cached), {exchange.output_tokens} out"
    return f"{request.number}: {len(request.messages)} messages -> {said}{fault}, {cost}"
