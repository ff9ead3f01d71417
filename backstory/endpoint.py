"""Makes the model that a configuration names. The one place that reads its key: it goes into the model and nowhere else."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final

from backstory.errors import UserError

if TYPE_CHECKING:
    from backstory.agent.gate import Gate
    from backstory.agent.messages import Model
    from backstory.agent.runs import ModelSettings
    from backstory.config import ModelChoice
    from backstory.face import Face

RECORD: Final = "server.json"
"""Where `serve` writes the server it began, in the state folder."""


def model_settings(face: "Face", choice: "ModelChoice", *, no_model: bool) -> "ModelSettings | None":
    """Return which model a run asks, None when it does without: the one that is named, else the one that `backstory serve` serves, if it answers."""
    if not no_model:
        choice = _served(face, choice)
    if no_model or choice.model is None:
        return None
    # Only now: it brings the whole agent along, which `locate` without a model does not need.
    from backstory.agent.runs import ModelSettings

    return ModelSettings(choice.model, choice.api_base, choice.temperature, choice.context_tokens, choice.reply_timeout, choice.handover)


def _served(face: "Face", choice: "ModelChoice") -> "ModelChoice":
    """Return the choice with the known server in it where nothing is named; says so."""
    known = face.folders().state / RECORD
    if choice.model is not None or choice.api_base is not None or not known.exists():
        return choice
    from backstory.harness.served import read_record

    record = read_record(known)
    if record is None or not record.answers():
        face.warn("the server that `backstory serve` began does not answer; going on without a model")
        return choice
    face.warn(f"asking {record.model} at {record.served.api_base}, which `backstory serve` told of; --no-model asks none")
    return replace(
        choice,
        model=f"hosted_vllm/{record.model}",
        api_base=record.served.api_base,
        context_tokens=choice.context_tokens or record.served.window,
    )


def open_model(settings: "ModelSettings", choice: "ModelChoice", environ: Mapping[str, str]) -> "Model":
    """Return the model of `settings`. choice: names the variable of the key. Raises UserError when that variable was named and is not set."""
    from backstory.agent.gate import GatedModel
    from backstory.agent.model import Endpoint, RemoteModel
    from backstory.agent.secret import Secret
    from backstory.config import quiet_litellm

    variable = choice.api_key_env or key_variable(settings.name)
    key = environ.get(variable, "")
    if choice.api_key_env and not key:
        raise UserError(
            f"the key of {settings.name!r} should be in the variable {variable}, which is not set; export it, or change api_key_env"
        )
    bases = settings.bases
    model = RemoteModel(Endpoint(settings.name, bases[0] if bases else None, Secret(key) if key else None), before_import=quiet_litellm)
    return GatedModel(model, lambda: gate_of(bases)) if bases else model


@cache
def gate_of(bases: tuple[str, ...]) -> "Gate":
    """Return the gate that all programs of this process pass on their way to the servers at some addresses."""
    from backstory.agent.gate import Gate, servers_at
    from backstory.agent.schedule import Ledger

    return Gate(Ledger([server for base in bases for server in servers_at(base)]))


def key_variable(model: str) -> str:
    """Return the variable in which the key of a model's provider is looked for; where its own name differs, `api_key_env` says it.

    >>> key_variable("anthropic/claude-sonnet-4")
    'ANTHROPIC_API_KEY'
    >>> key_variable("gpt-5")
    'OPENAI_API_KEY'
    """
    provider = model.partition("/")[0] if "/" in model else "openai"
    return "".join(letter if letter.isalnum() else "_" for letter in provider).upper() + "_API_KEY"
