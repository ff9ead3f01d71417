"""What an agent may call: a name, typed parameters, and a function from arguments to an observation.

Parameters are declared once; the JSON schema a model reads and the reading of what it wrote both come from that declaration. Weak models write
numbers as text, lists as text and text as lists; what can only mean one thing is taken for it, anything else becomes an observation that says what
was wrong, since a model can act on that and an exception helps nobody.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

ParameterType = Literal["string", "integer", "boolean", "strings"]
Argument = str | int | bool | tuple[str, ...] | None
Arguments = Mapping[str, Argument]

Effect = Literal["reads", "changes", "runs", "notes", "judges", "ends"]
"""What calling a tool does: nothing that lasts (such calls may run side by side); changes the work tree; runs a program in it; keeps notes of its own; asks a check
for a verdict; ends the conversation."""


@dataclass(frozen=True)
class Observation:
    """What a tool gives back. ok: False when the call achieved nothing, and the text says what to do instead.

    exit_code: of a program that was run. seconds: of the work itself. dropped_chars: cut out of the text, which says so.
    """

    text: str
    ok: bool = True
    exit_code: int | None = None
    seconds: float = 0.0
    dropped_chars: int = 0


@dataclass(frozen=True)
class Parameter:
    """doc: what the model is told. choices: of a string, or of each of "strings". default: what an absent one stands for; None is absent."""

    name: str
    type: ParameterType
    doc: str
    required: bool = False
    choices: tuple[str, ...] = ()
    default: Argument = None


@dataclass(frozen=True)
class Tool:
    """doc: one or two sentences for the model. run: never raises for what the arguments say; that is an observation with ok False."""

    name: str
    doc: str
    parameters: tuple[Parameter, ...]
    effect: Effect
    run: Callable[[Arguments], Observation]

    def schema(self) -> dict[str, Any]:
        """Return the parameters as a JSON schema, keys in a fixed order."""
        properties = {parameter.name: _property(parameter) for parameter in self.parameters}
        required = [parameter.name for parameter in self.parameters if parameter.required]
        return {"type": "object", "properties": properties, "required": required}


def read_arguments(tool: Tool, written: Mapping[str, Any]) -> Arguments | str:
    """Return every parameter with its value, or one sentence for the model on what is wrong with what it wrote."""
    known = {parameter.name: parameter for parameter in tool.parameters}
    strange = [name for name in written if name not in known]
    if strange:
        return f"{tool.name} has no parameter {strange[0]!r}; it takes {_listed(known)}"
    values: dict[str, Argument] = {}
    for name, parameter in known.items():
        value = written.get(name)
        if value is None:
            if parameter.required:
                return f"{tool.name} needs {name!r} ({parameter.doc})"
            values[name] = parameter.default
            continue
        read = _READERS[parameter.type](value)
        if read is None:
            return f"{tool.name}: {name!r} must be {_EXPECTED[parameter.type]}, not {_shown(value)}"
        if parameter.choices and not set(read if isinstance(read, tuple) else (read,)) <= set(parameter.choices):
            return f"{tool.name}: {name!r} must be {'some' if isinstance(read, tuple) else 'one'} of {', '.join(parameter.choices)}, not {_shown(value)}"
        values[name] = read
    return values


def text_argument(arguments: Arguments, name: str) -> str:
    """Return a text that was read by `read_arguments`, "" for an absent one."""
    value = arguments[name]
    return value if isinstance(value, str) else ""


def number_argument(arguments: Arguments, name: str, *, least: int, most: int) -> int | None:
    """Return a number that was read by `read_arguments`, brought within bounds; None for an absent one."""
    value = arguments[name]
    return min(max(value, least), most) if isinstance(value, int) else None


def _property(parameter: Parameter) -> dict[str, Any]:
    kind = parameter.type
    base: dict[str, Any] = {"type": "array", "items": {"type": "string"}} if kind == "strings" else {"type": kind}
    if parameter.choices:
        (base["items"] if kind == "strings" else base)["enum"] = list(parameter.choices)
    return {**base, "description": parameter.doc}


def _string(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
        return "\n".join(value)  # a text given line by line
    return None


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.removeprefix("-").isdecimal() else None
    return value if isinstance(value, int) else None


def _boolean(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _strings(value: object) -> tuple[str, ...] | None:
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                value = json.loads(text)
            except ValueError:
                return None
        else:
            return (value,) if text else ()
    if not isinstance(value, Sequence):
        return None
    texts = [_string(item) for item in value]
    return tuple(text for text in texts if text is not None) if None not in texts else None


_READERS: Mapping[ParameterType, Callable[[object], Argument]] = {
    "string": _string,
    "integer": _integer,
    "boolean": _boolean,
    "strings": _strings,
}
_EXPECTED: Mapping[ParameterType, str] = {
    "string": "a text",
    "integer": "a whole number",
    "boolean": "true or false",
    "strings": "a list of texts",
}


def _listed(names: Mapping[str, Parameter]) -> str:
    return ", ".join(names) or "none"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
