"""What a model is told is written down once, in order, and outlives a kill."""

import pytest

from backstory.agent.messages import Message, Prompt
from backstory.agent.script import Script, call
from backstory.errors import ModelError
from backstory.harness.listening import Listening, Played, read_heard


def ask(model, *messages):
    return model.reply(Prompt(messages, timeout_s=1.0))


def test_every_prompt_is_kept_once_with_what_was_said(tmp_path):
    """Messages that a later prompt repeats are not written again, and the model's own words are marked."""
    model = Listening(Played("m", Script([call("read", target="a"), Message("assistant", "done")])), tmp_path / "heard.jsonl")
    system, user = Message("system", "mend"), Message("user", "it is broken")
    first = ask(model, system, user)
    ask(model, system, user, first.message, Message("tool", "line 1", answers="x"))
    heard = read_heard(tmp_path / "heard.jsonl")
    assert [(one.where, one.spoken) for one in heard] == [
        ("system message", False),
        ("user message", False),
        ("assistant message", True),
        ("tool message", False),
        ("assistant message", True),
    ]
    assert '"a"' in heard[2].text and model.name == "m"


def test_a_resumed_run_goes_on_listening(tmp_path):
    """What was heard before a kill is not written again, a line that was cut off is passed over."""
    path = tmp_path / "heard.jsonl"
    ask(Listening(Played("m", Script([Message("assistant", "a")])), path), Message("user", "one"))
    with path.open("a") as file:
        file.write('{"where": "tool mess')
    again = Listening(Played("m", Script([Message("assistant", "a"), Message("assistant", "b")])), path)
    assert [one.text.strip() for one in read_heard(path)] == ["one", "a"]
    assert ask(again, Message("user", "one")).message.text == "a"
    ask(again, Message("user", "one"), Message("assistant", "a"), Message("tool", "two"))
    assert [one.text.strip() for one in read_heard(path)] == ["one", "a", "two", "b"]


def test_a_record_that_ends_is_told():
    """Where the recorded run was answered nothing, the model cannot be asked any more."""
    with pytest.raises(ModelError, match="went another way"):
        ask(Played("m", Script([])), Message("user", "x"))
