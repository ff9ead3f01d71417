"""The tools a model is offered, as far as what it writes has to be matched with them: names, parameters, an example of a call."""

import json
import re
from collections.abc import Mapping
from typing import Any

from backstory.agent.messages import ToolSchema

_NAMESPACE = re.compile(r"\A(?:functions?|tools?|default_api|api|mcp)(?:\.|::|__|/|:)", re.IGNORECASE)
_NUMBERED = re.compile(r":\d+\Z")  # Kimi counts its calls in the name


def tool_name(written: str, known: Mapping[str, ToolSchema]) -> str | None:
    """Return the tool that a name stands for: the same, or the same but for case, `-`, a namespace, a number, or a mark that was not cut off."""
    if written in known:
        return written
    bare = _NUMBERED.sub("", _NAMESPACE.sub("", written.split("<|")[0].strip()))
    matching = [name for name in known if _folded(name) == _folded(bare)]
    return matching[0] if len(matching) == 1 else None


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")


def example(tool: ToolSchema) -> str:
    """Return arguments of the right form: the required ones, or the first where none is."""
    properties = properties_of(tool)
    required = tool.parameters.get("required")
    names = [name for name in required if name in properties] if isinstance(required, list) else []
    return json.dumps({name: _placeholder(properties[name]) for name in names or list(properties)[:1]}, ensure_ascii=False)


def _placeholder(parameter: object) -> object:
    fields = parameter if isinstance(parameter, dict) else {}
    choices = fields.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    return {"integer": 1, "number": 1, "boolean": True, "array": ["..."], "object": {}}.get(str(fields.get("type")), "...")


def properties_of(tool: ToolSchema) -> Mapping[str, Any]:
    """Return the parameters of a tool by name."""
    properties = tool.parameters.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def shown(text: str) -> str:
    """Return a text of the model in quotes, on one line, cut."""
    return repr(text) if len(text) <= 60 else repr(text[:59]) + "..."
