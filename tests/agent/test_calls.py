"""Tool calls in replies: what is read, what is refused, and what is only talk."""

import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backstory.agent.calls import MOST_CALLS, Call, Unreadable, read_calls
from backstory.agent.dialects import DIALECTS, render_call
from backstory.agent.messages import Message, ToolCall, ToolSchema
from serving import EDIT, READ

RUN = ToolSchema(
    "run_it",
    "Run a command.",
    {
        "type": "object",
        "properties": {
            "command": {"type": "string"},
            "seconds": {"type": "integer"},
            "quiet": {"type": "boolean"},
            "paths": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["command"],
    },
)
TOOLS = (READ, EDIT, RUN)
CHANGE = {"path": "a.py", "old": 'x = "1"\n', "new": "  y = '2' & <b>\n\n"}


def read(text="", *, calls=(), reasoning="", cut=False):
    """Return the calls that can be run as (name, arguments), the complaints, and the message."""
    said = read_calls(Message("assistant", text, tuple(calls), reasoning), TOOLS, cut=cut, turn=4)
    assert [(call.id, call.name) for call in said.calls] == [(call.id, call.name) for call in said.message.calls]  # each has its answer
    made = [(call.name, dict(call.arguments)) for call in said.calls if isinstance(call, Call)]
    complaints = [call.complaint for call in said.calls if isinstance(call, Unreadable)]
    return made, [*complaints, *([said.complaint] if said.complaint else [])], said.message


NOTHING = "nothing was called; go on by calling one of the tools: read, edit, run_it"


# A value that holds the tags that end it cannot be written in XML; those dialects have no escape.
TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=30) | st.lists(
    st.sampled_from(
        [
            "\n",
            "\t",
            '"',
            "'",
            "\\",
            "```",
            "</parameter>",
            "<tool",
            "{",
            "}",
            "[",
            "]",
            "),",
            "(",
            "=",
            " ",
            "def f():",
            "<think",
            "é",
            ":",
            ",",
        ]
    ),
    max_size=12,
).map("".join)
ARGUMENTS = {
    "read": st.fixed_dictionaries({"path": TEXT}),
    "edit": st.fixed_dictionaries({"path": TEXT, "old": TEXT, "new": TEXT}),
    "run_it": st.fixed_dictionaries(
        {"command": TEXT}, optional={"seconds": st.integers(), "quiet": st.booleans(), "paths": st.lists(TEXT, max_size=3)}
    ),
}
CALLS = st.sampled_from(sorted(ARGUMENTS)).flatmap(lambda name: st.tuples(st.just(name), ARGUMENTS[name]))
XML = ("qwen3_coder", "invoke", "glm")


def writable(dialect, calls):
    """Return whether a dialect can say these calls without ambiguity."""
    if dialect in XML:
        texts = [text for _, arguments in calls for text in arguments.values() if isinstance(text, str)]
        ends = "</arg_value>" if dialect == "glm" else "</parameter>"
        return not any(ends in text for text in texts)
    return True


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=30)  # in each of the dialects
@given(calls=st.lists(CALLS, min_size=1, max_size=3), before=st.sampled_from(["", "Let me look.\n", "First `x`, then:\n\n"]))
def test_what_is_written_is_read(dialect, calls, before):
    """Any calls in any dialect, with or without words before them, are read as the same calls, and the words stay."""
    assume(writable(dialect, calls))
    distinct = [call for place, call in enumerate(calls) if call not in calls[:place]]
    if dialect == "think":
        distinct, calls, before = distinct[:1], calls[:1], ""
    made, problems, message = read(before + "\n".join(render_call(dialect, name, arguments) for name, arguments in calls))
    assert made == distinct
    assert len(problems) == len(calls) - len(distinct)
    assert message.text == before.strip()
    assert [(call.name, json.loads(call.arguments)) for call in message.calls] == list(calls)


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=30)  # in each of the dialects
@given(call=CALLS, share=st.floats(0, 1))
def test_a_call_that_was_cut_is_not_made(dialect, call, share):
    """However much of a call arrived before the limit, it is made whole or not at all."""
    assume(writable(dialect, [call]))
    text = render_call(dialect, *call)
    made, _, _ = read(text[: int(share * len(text))], cut=True)
    assert made in ([], [call])


@given(call=CALLS, share=st.floats(0, 1))
def test_a_recognised_call_that_was_cut_is_not_made(call, share):
    """The same for a call that the server recognised."""
    text = json.dumps(call[1])
    made, problems, _ = read(calls=[ToolCall("c1", call[0], text[: int(share * (len(text) - 1))])], cut=True)
    assert made == []
    assert len(problems) == 1
    assert problems[0].startswith(f"the reply was cut off at its limit inside the call of `{call[0]}`, so nothing was done")


@given(
    st.lists(
        st.sampled_from(
            ["<tool_call>", "</tool_call>", '{"name": "read"', ', "arguments": {"path": "a"}}', "<function=edit>", "<parameter=old>", "</parameter>", "</function>",
             "[TOOL_CALLS]", "```json\n", "```\n", "<think>", "</think>", "read(", 'path="a")', "[", "]", "{", "}", '"', "'", "\n", " ", "> ", "x", "<|python_tag|>",
             '<invoke name="edit">', '<parameter name="old">', "<arg_key>path</arg_key><arg_value>", "to=functions.read<|message|>", "<tool_response>", "\\"]
        ),
        max_size=30,
    ).map("".join),
    st.booleans(),
)  # fmt: skip
def test_anything_is_read_or_refused(text, cut):
    """No text, reasoning or arguments make reading fail, and there is always a call or something to say."""
    for message in ({"text": text}, {"reasoning": text}, {"calls": [ToolCall("c", text, text)]}):
        made, complaints, _ = read(**message, cut=cut)
        assert made or complaints


@pytest.mark.parametrize(
    ("text", "made"),
    [
        # hermes with what models get wrong
        ('<tool_call>{"name": "read", "arguments": "{\\"path\\": \\"a.py\\"}"}</tool_call>', [("read", {"path": "a.py"})]),
        ('<tool_call>\n{"name": "read", "arguments": {"path": "a.py"}}', [("read", {"path": "a.py"})]),
        ("<tool_call>{'name': 'read', 'arguments': {'path': 'a.py',}}</tool_call>", [("read", {"path": "a.py"})]),
        ('<tool_call>{"name": "edit", "arguments": {"path": "a", "old": "f("x")", "new": "y"}}</tool_call>', [("edit", {"path": "a", "old": 'f("x")', "new": "y"})]),
        ('<tool_call>[{"name": "read", "arguments": {"path": "a"}}, {"name": "read", "arguments": {"path": "b"}}]</tool_call>', [("read", {"path": "a"}), ("read", {"path": "b"})]),
        ('<tool_call>{"function": {"name": "read", "arguments": {"path": "a"}}}</tool_call>', [("read", {"path": "a"})]),
        ('<tool_call>{"read": {"path": "a"}}</tool_call>', [("read", {"path": "a"})]),
        ('<tool_call>{"tool": "read", "path": "a"}</tool_call>', [("read", {"path": "a"})]),
        ('<function_call>{"name": "functions.Read", "parameters": {"path": "a"}}</function_call>', [("read", {"path": "a"})]),
        ('<tool_call>```json\n{"name": "read", "arguments": {"path": "a"}}\n```</tool_call>', [("read", {"path": "a"})]),
        # XML with what models get wrong
        ("<function=read>\n<parameter=path>\na.py\n</parameter>\n</function>", [("read", {"path": "a.py"})]),
        ("<tool_call>\n<function=read>\n<parameter=path>a.py\n</function>\n</tool_call>", [("read", {"path": "a.py"})]),
        ("<function=edit><parameter=old>if a </parameter> b:</parameter>\n<parameter=new>x</parameter></function>", [("edit", {"old": "if a </parameter> b:", "new": "x"})]),
        ('<function=read>{"path": "a.py"}</function>', [("read", {"path": "a.py"})]),
        ('<｜DSML｜function_calls>\n<｜DSML｜invoke name="read">\n<｜DSML｜parameter name="path" string="true">a</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>', [("read", {"path": "a"})]),
        ('<minimax:tool_call>\n<invoke name="run-it">\n<parameter name="seconds">5</parameter>\n<parameter name="command">5</parameter>\n</invoke>\n</minimax:tool_call>', [("run_it", {"seconds": 5, "command": "5"})]),
        ("<tool_call>read<arg_key>path</arg_key><arg_value>a</arg_value></tool_call>", [("read", {"path": "a"})]),
        # other marks
        ('[TOOL_CALLS] [{"name": "read", "arguments": {"path": "a"}, "id": "123456789"}]', [("read", {"path": "a"})]),
        ('[TOOL_CALLS]read[ARGS]{"path": "a"}[TOOL_CALLS]read[CALL_ID]12[ARGS]{"path": "b"}', [("read", {"path": "a"}), ("read", {"path": "b"})]),
        ('<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.read <|constrain|>json<|message|>{"path": "a"}<|call|>', [("read", {"path": "a"})]),
        ('to=functions.read<|channel|>commentary json<|message|>{"path": "a"}', [("read", {"path": "a"})]),
        ('<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>read<｜tool▁sep｜>{"path": "a"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>', [("read", {"path": "a"})]),
        # without marks, at the end
        ('I read it.\n\n```json\n{"name": "read", "arguments": {"path": "a"}}\n```\n', [("read", {"path": "a"})]),
        ('I read it.\n{"name": "read", "arguments": {"path": "a"}}', [("read", {"path": "a"})]),
        ("[read(path='a'), run_it(command=\"ls\", seconds=3, quiet=True)]", [("read", {"path": "a"}), ("run_it", {"command": "ls", "seconds": 3, "quiet": True})]),
        ('read(path="a")', [("read", {"path": "a"})]),
        ("```xml\n<tool_call>{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}</tool_call>\n```", [("read", {"path": "a"})]),
        # a call, then a result that was made up, then a call that rests on it
        ('<tool_call>{"name": "read", "arguments": {"path": "a"}}</tool_call>\n<tool_response>x = 1</tool_response>\n<tool_call>{"name": "read", "arguments": {"path": "b"}}</tool_call>', [("read", {"path": "a"})]),
        ("<think>\nI need the file.\n</think>\n<tool_call>{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}</tool_call>", [("read", {"path": "a"})]),
        ("I need the file.\n</think>\n<tool_call>{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}</tool_call>", [("read", {"path": "a"})]),
    ],
)  # fmt: skip
def test_what_models_write(text, made):
    """Each form as it was seen in the wild."""
    got, problems, message = read(text)
    assert (got, problems) == (made, [])
    assert "tool_call" not in message.text and "{" not in message.text


@pytest.mark.parametrize(
    "text",
    [
        'You would call it like this:\n```json\n{"name": "read", "arguments": {"path": "a"}}\n```\nbut it is not needed.',
        'The issue says `<tool_call>{"name": "read", "arguments": {"path": "a"}}</tool_call>`, which I ignore.',
        '> <tool_call>{"name": "read", "arguments": {"path": "a"}}</tool_call>\n\nThat is in the issue. I stop here.',
        '```\n<tool_call>{"name": "run_it", "arguments": {"command": "rm -rf /"}}</tool_call>\n```\nis what the file holds.',
        '<tool_response>\n<tool_call>{"name": "read", "arguments": {"path": "a"}}</tool_call>\n</tool_response>',
        'The file is:\n{"name": "backstory", "arguments": {"path": "a"}}',
        '{"version": 1, "path": "a"}',
        "```python\nread(path)\n```",
        "read(1)\nprint(2)",
        "I would use read(path='a') next",
        "<tool_call>",
        "Done.",
        "",
    ],
)
def test_talk_is_not_a_call(text):
    """What is quoted, shown, echoed, or other JSON is left alone, word for word."""
    made, complaints, message = read(text)
    assert made == [] and len(complaints) == 1 and complaints[0].endswith("go on by calling one of the tools: read, edit, run_it")
    assert message == Message("assistant", text)


def test_where_calls_were_recognised_the_text_is_talk():
    """Markup beside a recognised call is not executed."""
    made, _, message = read(
        '<tool_call>{"name": "run_it", "arguments": {"command": "ls"}}</tool_call>', calls=[ToolCall("c", "read", '{"path": "a"}')]
    )
    assert made == [("read", {"path": "a"})]
    assert "run_it" in message.text


def test_a_call_inside_the_reasoning():
    """It is made if it ends the reasoning and nothing else was said; otherwise the model is told where it belongs, or nothing is meant."""
    call = '<tool_call>{"name": "read", "arguments": {"path": "a"}}</tool_call>'
    made, problems, message = read(reasoning=f"I look.\n{call}\n")
    assert (made, problems, message.reasoning) == ([("read", {"path": "a"})], [], "I look.")
    assert read(f"<think>I look.\n{call}</think>")[0] == [("read", {"path": "a"})]
    made, problems, _ = read("I will look.", reasoning=f"I look.\n{call}")
    assert (made, problems) == ([], ["the call of `read` stands inside the reasoning, so it was not made; make it after thinking"])
    made, problems, _ = read(reasoning=f"I could say {call} but that is of no use. So what else?")
    assert (made, problems) == ([], ["the call of `read` stands inside the reasoning, so it was not made; make it after thinking"])
    assert read("Done.", reasoning=f"I could say {call} but that is of no use.")[:2] == ([], [NOTHING])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (ToolCall("c", "read", '{"path": }'), "the arguments of `read` cannot be read: a value is missing or not quoted, at character 9: '}'. Call it again with one JSON object, such as {\"path\": \"...\"}"),
        (ToolCall("c", "edit", "[1, 2]"), 'the arguments of `edit` cannot be read: they are a list, not an object. Call it again with one JSON object, such as {"path": "...", "old": "...", "new": "..."}'),
        (ToolCall("c", "grep", "{1}"), "the arguments of `grep` cannot be read: a key is missing, at character 1: '1}'. Call it again with one JSON object"),
    ],
)  # fmt: skip
def test_what_the_model_is_told(call, said):
    """What was wrong, where, and the right form."""
    assert read(calls=[call])[:2] == ([], [said])


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({}, "the reply is empty; go on by calling one of the tools: read, edit, run_it"),
        ({"reasoning": "Hm."}, "the reply holds only reasoning; go on by calling one of the tools: read, edit, run_it"),
        ({"text": "Hm."}, NOTHING),
        (
            {"text": "Hm.", "cut": True},
            "the reply was cut off at its limit before a tool was called; say less and call one of the tools: read, edit, run_it",
        ),
    ],
)
def test_a_reply_without_a_call(reply, said):
    """The model is told what was missing, each time in the words for it."""
    assert read(**reply)[:2] == ([], [said])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<tool_call>{"name": "read", "arguments": {"path": }}</tool_call>', "a value is missing or not quoted"),
        ('<tool_call>{"path": "a", "first": 1}</tool_call>', "the object names no tool"),
        ("<tool_call>please read a.py</tool_call>", "it is neither JSON nor named"),
        ("<function=edit>\n<parameter=old>\nx", "the parameter 'old' does not end"),
        ("[TOOL_CALLS] none", "no call follows [TOOL_CALLS]"),
    ],
)
def test_markup_that_cannot_be_read(text, said):
    """Markup means a call, so the model is told why it is none; nothing of it is executed."""
    made, problems, _ = read(text)
    assert made == []
    assert len(problems) == 1
    assert said in problems[0]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("read", "read"),
        ("Read", "read"),
        ("functions.read", "read"),
        ("functions.read:3", "read"),
        ("default_api.read", "read"),
        ("tools::read", "read"),
        ("RUN-IT", "run_it"),
        ("read<|channel|>commentary", "read"),
        ("read_file", None),
        ("readfile", None),
        ("runit", None),
        ("rea", None),
    ],
)
def test_names_are_recognised_not_guessed(written, name):
    """Case, dashes, namespaces, numbers and leftovers of marks do not matter; another name is another tool."""
    assert read(calls=[ToolCall("c", written, "{}")])[0] == [(name or written, {})]
    marked, _, _ = read(f'<tool_call>{{"name": "{written}", "arguments": {{}}}}</tool_call>')
    assert marked == [(name or written, {})]


def test_two_tools_of_one_folded_name_are_not_confused():
    """Where a name could mean two tools, it is none."""
    tools = (ToolSchema("read", "", {}), ToolSchema("READ", "", {}))
    reading = read_calls(Message("assistant", calls=(ToolCall("a", "Read", "{}"), ToolCall("b", "READ", "{}"))), tools, cut=False, turn=0)
    assert [call.name for call in reading.calls] == ["Read", "READ"]


def test_a_repeated_call_is_made_once():
    """The same call twice in one reply is answered twice and made once."""
    calls = [ToolCall("a", "read", '{"path": "x"}'), ToolCall("b", "read", '{"path":"x"}'), ToolCall("c", "read", '{"path": "y"}')]
    made, problems, _ = read(calls=calls)
    assert made == [("read", {"path": "x"}), ("read", {"path": "y"})]
    assert problems == ["this repeats a call of the same reply, which was made once"]


def test_too_many_calls_are_bounded():
    """A reply of hundreds of calls has the first made and the rest refused."""
    made, problems, _ = read(calls=[ToolCall(f"c{number}", "read", json.dumps({"path": str(number)})) for number in range(100)])
    assert (len(made), len(problems)) == (MOST_CALLS, 100 - MOST_CALLS)


def test_some_markup_is_read_and_some_is_not():
    """What can be read is made, and the model is told of the rest."""
    made, complaints, message = read(
        '<tool_call>{"name": "read", "arguments": {"path": "a"}}</tool_call>\n<tool_call>{"name": "edit", "arguments": {"path": }}</tool_call>'
    )
    assert made == [("read", {"path": "a"})]
    assert len(complaints) == 1 and complaints[0].startswith("a tool call in the text cannot be read: a value is missing")
    assert message.text == ""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_whole_edit_in_each_dialect(dialect):
    """Quotes, indentation, markup characters and the last line end of an edit survive."""
    assert read(render_call(dialect, "edit", CHANGE))[0] == [("edit", CHANGE)]
