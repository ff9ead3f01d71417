"""Finds the tool calls that a model wrote into its text, in the markup of any of the model families in use (`backstory.agent.dialects`).

* Markup (`<tool_call>`, `[TOOL_CALLS]`, ...) counts wherever it stands in the text, except inside a code block or a quoted line, where it is shown
  and not meant, and except after a tool's result that the model made up: what follows that rests on nothing.
* JSON and Python calls without markup, and markup inside a code block, count only if they end the text and name a tool there is: a model that
  explains goes on talking, one that acts stops.
* In the reasoning only markup that ends it counts, and only if nothing was said besides: the server cut the call off with the thought.

Finding takes time linear in the text: the number of places where a call is tried, and of tries that fail, is bounded.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias
from xml.sax.saxutils import unescape

from backstory.agent.arguments import Object, read_object, read_values
from backstory.agent.messages import Message, ToolSchema
from backstory.agent.offer import example, properties_of, shown, tool_name

_MOST_TRIES: Final = 64  # places in a text where a call is looked for
_MOST_FAILURES: Final = 8  # tries in vain, each of which may read to the end of the text


@dataclass(frozen=True)
class Written:
    """A call found in a text. start, end: where it stands, its markup included."""

    name: str
    arguments: Object
    start: int
    end: int


@dataclass(frozen=True)
class Found:
    """The calls of a message's text or reasoning, what is left of both, and a sentence for the model on one that could not be read, or ""."""

    written: tuple[Written, ...] = ()
    text: str = ""
    reasoning: str = ""
    complaint: str = ""


_THINK = re.compile(r"</?think(?:ing)?>")
_MADE_UP = re.compile(r"<tool_response>|<tool_result|<function_results>|<\|tool_response|\[TOOL_RESULTS\]|<｜tool▁outputs▁begin｜>")
_FENCE_LINE = re.compile(r"^[ \t]{0,3}```[^\n]*$", re.MULTILINE)


def find_calls(message: Message, known: Mapping[str, ToolSchema], cut: bool) -> Found:
    """Return the calls that a message without calls holds in its text, else in its reasoning."""
    spoken, thought = _without_thoughts(message.text)
    reasoning = "\n".join(part for part in (message.reasoning, thought) if part)
    found, problem = _marked(spoken, known, cut)
    marked = _before_results(spoken, found)
    meant = _meant(spoken, marked) or _ending(spoken, marked)
    if not found and not problem:
        meant = _bare(spoken, known, cut)
    if meant:
        return Found(tuple(meant), _before(spoken, meant), reasoning, problem)
    thoughts, thought_problem = _marked(reasoning, known, cut)
    ending = _ending(reasoning, thoughts)
    if ending and not problem and not spoken.strip():
        return Found(tuple(ending), "", _before(reasoning, ending))
    if not problem and not spoken.strip():
        problem = thought_problem
    if not problem and (ending or (thoughts and not spoken.strip())):
        problem = f"the call of `{thoughts[-1].name}` stands inside the reasoning, so it was not made; make it after thinking"
    return Found(complaint=problem)


def _without_thoughts(text: str) -> tuple[str, str]:
    """Return a text without what stands in `<think>...</think>`, and that. A template may have written the first opening mark itself."""
    marks = list(_THINK.finditer(text))
    if not marks:
        return text, ""
    spoken: list[str] = []
    thoughts: list[str] = []
    at, thinking = 0, marks[0][0].startswith("</")
    for mark in marks:
        (thoughts if thinking else spoken).append(text[at : mark.start()])
        thinking, at = not mark[0].startswith("</"), mark.end()
    (thoughts if thinking else spoken).append(text[at:])
    return "".join(spoken), "\n".join(thought.strip() for thought in thoughts if thought.strip())


def _before_results(text: str, calls: Sequence[Written]) -> list[Written]:
    """Return the calls up to the first result that the model made up (or echoed)."""
    at = 0
    for place, call in enumerate(calls):
        if _MADE_UP.search(text, at, call.start):
            return list(calls[:place])
        at = call.end
    return list(calls)


def _meant(text: str, calls: Sequence[Written]) -> list[Written]:
    """Return the calls that are not shown in a code block, in inline code or in a quoted line."""
    meant: list[Written] = []
    at, in_block = 0, False
    for call in calls:
        between = text[at : call.start]
        in_block ^= len(_FENCE_LINE.findall(between)) % 2 == 1
        if not in_block and not _is_quoted(between):
            meant.append(call)
        at = call.end
    return meant


def _is_shown(text: str, at: int) -> bool:
    """Return whether a place stands inside a code block, in inline code, or in a quoted line."""
    return len(_FENCE_LINE.findall(text, 0, at)) % 2 == 1 or _is_quoted(text[:at])


def _is_quoted(before: str) -> bool:
    line = before[before.rfind("\n") + 1 :]
    return line.count("`") % 2 == 1 or line.lstrip(" ").startswith(">")


def _ending(text: str, calls: Sequence[Written]) -> list[Written]:
    """Return those of `calls` that end the text: nothing but white space and closing marks stands between and behind them."""
    ending: list[Written] = []
    end = len(text)
    for call in reversed(calls):
        if not _CLOSING.fullmatch(text, call.end, end):
            break
        ending.insert(0, call)
        end = call.start
        # An opening fence before a call belongs to it.
        opening = _OPENING_FENCE.search(text, max(0, end - _FENCE_CHARS), end)
        end -= len(opening[0]) if opening else 0
    return ending


_FENCE_CHARS: Final = 80  # of a line that opens a code block, with its language
_OPENING_FENCE = re.compile(r"^[ \t]*```[\w+-]*[ \t]*\n[ \t]*\Z", re.MULTILINE)
_CLOSING = re.compile(r"(?:\s|```|<[/|｜]{1,2}[\w|｜▁:-]{1,40}>|\]|\}|,|;)*")


def _before(text: str, written: Sequence[Written]) -> str:
    """Return the text without the calls: what stands before the first of them."""
    left = text[: written[0].start]
    return re.sub(
        r"(?:```[^\n`]*|<(?:tool_calls?|function_calls|minimax:tool_call|｜tool▁calls▁begin｜|\|tool_calls_section_begin\|)>|\s)+\Z",
        "",
        left,
    )


# --- Markup -----------------------------------------------------------------------------------------------------------------------------

_Read: TypeAlias = Callable[[str, "re.Match[str]", Mapping[str, ToolSchema], bool], "list[Written] | str"]
"""Reads what an opening mark begins: the calls, or half a sentence on why they cannot be read. The last argument: whether the reply is whole."""

_NAME = r"[\w./:-]{1,64}"
_TAG = r"(?:｜DSML｜|antml:|minimax:)?"


def _marked(text: str, known: Mapping[str, ToolSchema], cut: bool) -> tuple[list[Written], str]:
    """Return the calls in markup, in order, and a sentence on the first that cannot be read, "" if there is none."""
    calls: list[Written] = []
    problem = ""
    at = failures = 0
    for _ in range(_MOST_TRIES):
        opening = _OPENING.search(text, at)
        if opening is None:
            break
        kind = opening.lastgroup
        assert kind is not None
        read = _READERS[kind](text, opening, known, not cut)
        at = opening.end()
        if isinstance(read, str):
            failures += bool(read)
            if failures > _MOST_FAILURES:
                break
            if read and not problem and not _is_shown(text, opening.start()):
                problem = _unread_markup(read, cut, known)
        elif read:
            calls += read
            at = max(at, read[-1].end)
    return calls, problem


def _unread_markup(why: str, cut: bool, known: Mapping[str, ToolSchema]) -> str:
    if cut:
        return "the reply was cut off at its limit inside a tool call, so nothing was done; make the call again with less text"
    tool = next(iter(known.values()), None)
    form = f', or in the form <tool_call>{{"name": "{tool.name}", "arguments": {example(tool)}}}</tool_call>' if tool else ""
    return f"a tool call in the text cannot be read: {why}. Make it again as a tool call{form}"


def _tool_call(text: str, opening: "re.Match[str]", known: Mapping[str, ToolSchema], whole: bool) -> "list[Written] | str":
    """`<tool_call>` around JSON (Hermes, Qwen), around `<function=...>` (read from there) or around a name and pairs (GLM)."""
    at = _skip_space(text, opening.end())
    if text.startswith(("{", "[", "```"), at):
        json_at = _skip_fence(text, at)
        calls = _json_calls(text, json_at, opening.start(), whole)
        if isinstance(calls, str):
            return calls
        end = _skip(text, calls[-1].end, "```") if json_at > at else calls[-1].end
        return [*calls[:-1], replace(calls[-1], end=_skip(text, end, "</tool_call>"))]
    name = re.compile(rf"({_NAME})\s*(?=<arg_key>|</tool_call>)").match(text, at)
    if name is None:
        return (
            ""
            if text.startswith("<", at) or (not text[at:].strip() and whole)
            else f"it is neither JSON nor named: {shown(text[at : at + 40])}"
        )
    return _pairs(text, name[1], opening.start(), name.end(), known, whole)


def _pairs(text: str, name: str, start: int, at: int, known: Mapping[str, ToolSchema], whole: bool) -> "list[Written] | str":
    arguments: dict[str, Any] = {}
    while (key := _ARG_KEY.match(text, at)) is not None:
        end = text.find("</arg_value>", key.end())
        if end < 0:
            return f"the value of {shown(key[1])} does not end"
        arguments[key[1].strip()] = _typed(_unwrapped(text[key.end() : end]), key[1].strip(), name, known)
        at = end + len("</arg_value>")
    end = _skip(text, at, "</tool_call>")
    if end == at and (not whole or text.startswith("<arg_", _skip_space(text, at))):
        return "</tool_call> is missing"
    return [Written(name, arguments, start, end)]


_ARG_KEY = re.compile(r"\s*<arg_key>([^<]{1,64})</arg_key>\s*<arg_value>")


def _function(text: str, opening: "re.Match[str]", known: Mapping[str, ToolSchema], whole: bool) -> "list[Written] | str":
    """`<function=NAME>` around one element per parameter (Qwen3-Coder) or around JSON (Llama)."""
    name, at = opening["function_name"], _skip_space(text, opening.end())
    if text.startswith("{", at):
        return _arguments_at(text, at, name, opening.start(), whole, closing="</function>")
    return _elements(text, name, opening.start(), opening.end(), known, whole, closing="</function>")


def _invoke(text: str, opening: "re.Match[str]", known: Mapping[str, ToolSchema], whole: bool) -> "list[Written] | str":
    """`<invoke name="NAME">` around one element per parameter (Claude's XML, MiniMax, DeepSeek V3.2)."""
    return _elements(text, unescape(opening["invoke_name"]), opening.start(), opening.end(), known, whole, closing="</invoke>")


_ELEMENT = re.compile(rf"""\s*<{_TAG}parameter(?:=|\s+name=)\s*["']?(?P<key>[^"'>\n]{{1,64}})["']?[^>\n]{{0,40}}>""")
# A value may hold the closing tag as text: it ends where the next parameter or the end of the call follows.
_ELEMENT_END = re.compile(rf"</{_TAG}parameter>(?=\s*(?:<{_TAG}parameter[= ]|</{_TAG}(?:function|invoke|tool_call)>|\Z))")
_ELEMENT_MISSING = re.compile(rf"\n(?=<{_TAG}parameter[= ]|</{_TAG}(?:function|invoke)>)")
_CALL_END = re.compile(rf"\s*</{_TAG}(?:function|invoke)>(?:\s*</{_TAG}(?:tool_call|function_calls|tool_calls)>)?")


def _elements(
    text: str, name: str, start: int, at: int, known: Mapping[str, ToolSchema], whole: bool, *, closing: str
) -> "list[Written] | str":
    arguments: dict[str, Any] = {}
    while (element := _ELEMENT.match(text, at)) is not None:
        end = _ELEMENT_END.search(text, element.end()) or _ELEMENT_MISSING.search(text, element.end())
        if end is None:
            return f"the parameter {shown(element['key'])} does not end"
        value = _unwrapped(text[element.end() : end.start()])
        arguments[unescape(element["key"]).strip()] = _typed(value, element["key"].strip(), name, known)
        at = end.end()
    end_of_call = _CALL_END.match(text, at)
    if end_of_call is None and (not whole or not arguments):
        return f"{closing} is missing"
    return [Written(name, arguments, start, end_of_call.end() if end_of_call else at)]


def _mistral(text: str, opening: "re.Match[str]", known: Mapping[str, ToolSchema], whole: bool) -> "list[Written] | str":
    """`[TOOL_CALLS]` before a list of calls, one call, or NAME and JSON, once per call."""
    at = _skip_space(text, opening.end())
    if text.startswith(("[", "{"), at):
        return _json_calls(text, at, opening.start(), whole)
    name = re.compile(rf"({_NAME})(?:\[CALL_ID\][^\[\s]{{0,64}})?(?:\[ARGS\])?\s*(?={{)").match(text, at)
    return _arguments_at(text, name.end(), name[1], opening.start(), whole) if name else "no call follows [TOOL_CALLS]"


def _python_tag(text: str, opening: "re.Match[str]", known: Mapping[str, ToolSchema], whole: bool) -> "list[Written] | str":
    """`<|python_tag|>` before JSON (Llama 3)."""
    at = _skip_space(text, opening.end())
    return _json_calls(text, at, opening.start(), whole) if text.startswith(("{", "["), at) else "no JSON follows <|python_tag|>"


def _named(text: str, opening: "re.Match[str]", known: Mapping[str, ToolSchema], whole: bool) -> "list[Written] | str":
    """A mark that holds the name, before JSON: Kimi, gpt-oss, DeepSeek."""
    name = next(value for key, value in opening.groupdict().items() if key.endswith("_name") and value)
    before = _skip_space(text, opening.end())
    at = _skip_fence(text, before)
    if not text.startswith("{", at):
        return f"no JSON follows the name {shown(name)}"
    return _arguments_at(text, at, name, opening.start(), whole, closing="```" if at > before else "")


_OPENING = re.compile(
    rf"(?P<tool_call><(?:tool_call|function_call|tools)>)"
    rf"|(?P<function><function=(?P<function_name>{_NAME})>)"
    rf"|(?P<invoke><{_TAG}invoke\s+name=[\"'](?P<invoke_name>[^\"'\n]{{1,64}})[\"']\s*>)"
    r"|(?P<mistral>\[TOOL_CALLS\])"
    r"|(?P<python_tag><\|python_tag\|>)"
    rf"|(?P<kimi><\|tool_call_begin\|>\s*(?P<kimi_name>{_NAME})\s*<\|tool_call_argument_begin\|>)"
    rf"|(?P<harmony>(?:<\|channel\|>\w+ )?to=(?P<harmony_name>{_NAME})(?:<\|channel\|>\w+)?\s*(?:<\|constrain\|>)?\s*(?:json)?\s*<\|message\|>)"
    rf"|(?P<deepseek><｜tool▁call▁begin｜>\s*(?:function<｜tool▁sep｜>)?(?P<deepseek_name>{_NAME})\s*(?:<｜tool▁sep｜>)?)"
)
_READERS: Final[Mapping[str, _Read]] = {
    "tool_call": _tool_call,
    "function": _function,
    "invoke": _invoke,
    "mistral": _mistral,
    "python_tag": _python_tag,
    "kimi": _named,
    "harmony": _named,
    "deepseek": _named,
}


# --- JSON and Python without markup -----------------------------------------------------------------------------------------------------

_BLOCK_START = re.compile(rf"^[ \t]*(?:```[\w+-]*[ \t]*\n[ \t]*)?(?=[{{\[]|{_NAME}\()", re.MULTILINE)


def _bare(text: str, known: Mapping[str, ToolSchema], cut: bool) -> list[Written]:
    """Return the calls of known tools, in JSON or in Python's form, that end the text."""
    calls: list[Written] = []
    at = failures = 0
    for start in list(_BLOCK_START.finditer(text))[-_MOST_TRIES:]:
        if start.end() < at or failures == _MOST_FAILURES:
            continue
        read = _json_calls(text, start.end(), start.start(), not cut)
        if isinstance(read, str) and not text.startswith("{", start.end()):
            read = _python_calls(text, start.end(), start.start(), known)
        if isinstance(read, str):
            failures += 1
        elif all(tool_name(call.name, known) for call in read):
            calls += read
            at = calls[-1].end
    return _ending(text, calls)


def _python_calls(text: str, at: int, start: int, known: Mapping[str, ToolSchema]) -> "list[Written] | str":
    """Return `name(key=value, ...)`, or each of a list of them (Llama 4)."""
    in_list = text.startswith("[", at)
    calls: list[Written] = []
    at += in_list
    while (name := _PYTHON_NAME.match(text, at)) is not None and tool_name(name[1], known):
        read = read_values(text, name.end() - 1, whole=False)
        if isinstance(read, str):
            return read
        arguments, at = read
        calls.append(Written(name[1], arguments, name.start() if calls else start, at))
        if not in_list:
            return calls
        at = _skip(text, at, ",")
    closing = _skip(text, at, "]")
    return [*calls[:-1], replace(calls[-1], end=closing)] if calls and closing > at else "no calls in Python's form"


_PYTHON_NAME = re.compile(rf"\s*({_NAME})\(")


def _json_calls(text: str, at: int, start: int, whole: bool) -> "list[Written] | str":
    """Return the call, or the list of calls, that the JSON at a place is."""
    if text.startswith("[", at):
        calls: list[Written] = []
        at += 1
        while text.startswith("{", at := _skip_space(text, at)):
            read = _json_calls(text, at, at if calls else start, whole)
            if isinstance(read, str):
                return read
            calls += read
            at = _skip(text, calls[-1].end, ",")
        closing = _skip(text, at, "]")
        if not calls or (closing == at and not whole):
            return "the list of calls does not end" if calls else "there is no call in the list"
        return [*calls[:-1], replace(calls[-1], end=closing)]
    if not text.startswith("{", at):
        return "there is no JSON"
    read_value = read_values(text, at, whole=whole)
    if isinstance(read_value, str):
        return read_value
    value, end = read_value
    named = _named_arguments(value)
    if named is None:
        return "the object names no tool"
    return [Written(*named, start, end)]


def _named_arguments(value: Object) -> tuple[str, Object] | None:
    """Return the name and the arguments of an object that is a call in one of the ways models write it."""
    if isinstance(value.get("function"), Mapping):
        value = value["function"]
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    if name is None:
        if len(value) == 1:  # {"read": {"path": ...}}
            only, inner = next(iter(value.items()))
            return (only, inner) if isinstance(inner, Mapping) else None
        return None
    key = next((key for key in _ARGUMENT_KEYS if key in value), None)
    if key is None:
        return name, {key: inner for key, inner in value.items() if key not in (*_NAME_KEYS, "id", "type")}
    inner = value[key]
    if isinstance(inner, str):
        read = read_object(inner)
        return None if isinstance(read, str) else (name, read)
    return (name, inner if isinstance(inner, Mapping) else {}) if inner is None or isinstance(inner, Mapping) else None


_NAME_KEYS: Final = ("name", "tool", "tool_name", "function", "function_name", "action")
_ARGUMENT_KEYS: Final = ("arguments", "parameters", "args", "input", "params", "action_input")


def _arguments_at(text: str, at: int, name: str, start: int, whole: bool, *, closing: str = "") -> "list[Written] | str":
    read = read_values(text, at, whole=whole)
    if isinstance(read, str):
        return read
    arguments, end = read
    return [Written(name, arguments, start, _skip(text, end, closing) if closing else end)]


def _typed(value: str, key: str, name: str, known: Mapping[str, ToolSchema]) -> object:
    """Return a value that XML carries as text: text where the tool takes text or is unknown, else what its JSON says."""
    tool = known.get(tool_name(name, known) or "")
    parameter = properties_of(tool).get(key) if tool else None
    kind = parameter.get("type") if isinstance(parameter, dict) else "string"
    if kind == "string":
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _unwrapped(value: str) -> str:
    """Return a value without the line ends that set it apart from its tags, if it has one on either side."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == "\n" else value


_SPACE = re.compile(r"\s*")
_FENCE = re.compile(r"```[\w+-]*\s*")


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _skip_fence(text: str, at: int) -> int:
    found = _FENCE.match(text, at)
    return found.end() if found else at


def _skip(text: str, at: int, what: str) -> int:
    """Return the place behind `what`, if it is the next thing."""
    after = _skip_space(text, at)
    return after + len(what) if text.startswith(what, after) else at
