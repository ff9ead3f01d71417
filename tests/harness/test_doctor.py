"""What the doctor says of a model, asked over real HTTP."""

import json
import sys

import pytest

from backstory.agent.messages import Message
from backstory.agent.script import Script, call
from backstory.agent.scripted import Settings, serve
from backstory.errors import ExitCode
from backstory.harness.doctor import READY, examine_model, verdict
from command import CommandLine
from serving import conversation

CALLED = call("ready", word="yes")


def looked(answers, settings=None):
    """Return the findings by name, the exit code, and the requests that were made."""
    with conversation(Script(answers), settings) as (model, exchanges):
        findings = examine_model(model)
    return {finding.name: finding for finding in findings}, verdict(findings), exchanges


def test_a_model_that_calls_tools_is_fine():
    """One request is made, with one tool, and it is told what came back."""
    findings, code, exchanges = looked([CALLED])
    assert code == ExitCode.VERIFIED and all(finding.ok for finding in findings.values())
    assert findings["calls of tools"].said == "as calls"
    assert findings["tokens"].said.endswith(" out") and " cached), " in findings["tokens"].said
    assert [[tool.name for tool in exchange.request.tools] for exchange in exchanges] == [[READY.name]]


def test_calls_in_text_are_told_apart():
    """A server without a parser for its model's calls will do, and this is said."""
    findings, code, _ = looked([CALLED], Settings(at={1: "text_tool_call:hermes"}))
    assert (code, findings["calls of tools"].said) == (ExitCode.VERIFIED, "in its text, where they are read too")


def test_a_model_that_only_talks_is_of_no_use():
    """A reply without a call is exit code 7, with what to change."""
    findings, code, _ = looked([Message("assistant", "Yes, I am ready to call the tool.")])
    assert (code, findings["calls of tools"].ok) == (ExitCode.MODEL, False)
    assert findings["calls of tools"].remedy.startswith("choose a model trained to call tools")


@pytest.mark.parametrize("fault", ["bad_key", "unknown_model", "bad_request"])
def test_a_server_that_refuses_is_told(fault):
    """What the server refuses is the one finding, in the words of any run that meets it."""
    findings, code, _ = looked([CALLED], Settings(at={1: fault}))
    assert (code, list(findings)) == (ExitCode.MODEL, ["model"])
    assert findings["model"].said and not findings["model"].ok


def test_the_command_asks_the_model_that_is_named(tmp_path):
    """`doctor --model` adds the model's findings to those of the machine; without one, or with --no-model, nobody is asked."""
    cli = CommandLine(tmp_path / "home", VIRTUAL_ENV=sys.prefix)
    with serve(Script([CALLED])) as server:
        named = ("--model", "hosted_vllm/scripted", "--api-base", server.api_base)
        given = json.loads(cli("doctor", "--json", *named).out)
        assert [finding["name"] for finding in given["findings"]][-3:] == ["model", "calls of tools", "tokens"]
        assert "model" not in cli("doctor", "--no-model", *named).out
