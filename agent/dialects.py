"""A tool call as a model writes it into its text when the server did not turn it into a call: the dialects in use.

Each model family was trained on its own markup; a server started without the parser for it (or a parser that fails) hands the markup on as text.
`backstory.agent.calls` reads these, and the scripted server writes them.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, get_args
from xml.sax.saxutils import escape

from backstory.agent.arguments import Object

Dialect = Literal[
    "hermes", "qwen3_coder", "fence", "bare", "mistral", "think", "glm", "invoke", "llama", "kimi", "harmony", "deepseek", "pythonic"
]
DIALECTS: Final[tuple[Dialect, ...]] = get_args(Dialect)
"""hermes: Qwen2.5, Hermes (`<tool_call>` around JSON). qwen3_coder: Qwen3-Coder and later (XML with one element per parameter). fence, bare: what
small models fall back to. mistral: `[TOOL_CALLS]`. think: a call inside the reasoning. glm: GLM-4.5 and later. invoke: Claude's XML, MiniMax. llama:
Llama 3. kimi: Kimi K2. harmony: gpt-oss. deepseek: DeepSeek V3. pythonic: Llama 4."""


def render_call(dialect: Dialect, name: str, arguments: Object) -> str:
    """Return the text of one call."""
    return _RENDERERS[dialect](name, arguments)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _as_text(value: Any) -> str:
    """Return a value as XML dialects write it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else _json(value)


def _set_apart(value: Any) -> str:
    """Return a value on lines of its own where it could not be told from one that was set apart so."""
    text = _as_text(value)
    return f"\n{text}\n" if text[:1] == text[-1:] == "\n" else text


def _hermes(name: str, arguments: Object) -> str:
    return f"<tool_call>\n{_json({'name': name, 'arguments': dict(arguments)})}\n</tool_call>"


def _qwen3_coder(name: str, arguments: Object) -> str:
    parameters = "".join(f"<parameter={key}>\n{_as_text(value)}\n</parameter>\n" for key, value in arguments.items())
    return f"<tool_call>\n<function={name}>\n{parameters}</function>\n</tool_call>"


def _fence(name: str, arguments: Object) -> str:
    return f"```json\n{_json({'name': name, 'arguments': dict(arguments)})}\n```"


def _bare(name: str, arguments: Object) -> str:
    return _json({"name": name, "arguments": dict(arguments)})


def _mistral(name: str, arguments: Object) -> str:
    return f"[TOOL_CALLS][{_json({'name': name, 'arguments': dict(arguments)})}]"


def _think(name: str, arguments: Object) -> str:
    return f"<think>\nI should call the tool.\n{_hermes(name, arguments)}\n</think>"


def _glm(name: str, arguments: Object) -> str:
    pairs = "".join(f"<arg_key>{key}</arg_key>\n<arg_value>{_set_apart(value)}</arg_value>\n" for key, value in arguments.items())
    return f"<tool_call>{name}\n{pairs}</tool_call>"


def _invoke(name: str, arguments: Object) -> str:
    parameters = "".join(f'<parameter name="{escape(key)}">{_set_apart(value)}</parameter>\n' for key, value in arguments.items())
    return f'<function_calls>\n<invoke name="{escape(name)}">\n{parameters}</invoke>\n</function_calls>'


def _llama(name: str, arguments: Object) -> str:
    return f"<|python_tag|>{_json({'name': name, 'parameters': dict(arguments)})}"


def _kimi(name: str, arguments: Object) -> str:
    call = f"<|tool_call_begin|>functions.{name}:0<|tool_call_argument_begin|>{_json(dict(arguments))}<|tool_call_end|>"
    return f"<|tool_calls_section_begin|>{call}<|tool_calls_section_end|>"


def _harmony(name: str, arguments: Object) -> str:
    return f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{_json(dict(arguments))}<|call|>"


def _deepseek(name: str, arguments: Object) -> str:
    call = f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{_json(dict(arguments))}\n```<｜tool▁call▁end｜>"
    return f"<｜tool▁calls▁begin｜>{call}<｜tool▁calls▁end｜>"


def _pythonic(name: str, arguments: Object) -> str:
    return f"[{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})]"


_RENDERERS: Final[Mapping[Dialect, Callable[[str, Object], str]]] = {
    "hermes": _hermes,
    "qwen3_coder": _qwen3_coder,
    "fence": _fence,
    "bare": _bare,
    "mistral": _mistral,
    "think": _think,
    "glm": _glm,
    "invoke": _invoke,
    "llama": _llama,
    "kimi": _kimi,
    "harmony": _harmony,
    "deepseek": _deepseek,
    "pythonic": _pythonic,
}
