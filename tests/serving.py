"""A real client against the scripted server, over real HTTP."""

import os
import threading
from contextlib import contextmanager

from backstory.agent.messages import Message, Prompt, Sampling, ToolSchema
from backstory.agent.model import Endpoint, RemoteModel
from backstory.agent.scripted import Settings, serve
from backstory.agent.secret import Secret
from backstory.config import keep_litellm_quiet

READ = ToolSchema("read", "Show a file.", {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]})
EDIT = ToolSchema(
    "edit",
    "Replace a text that occurs once.",
    {
        "type": "object",
        "properties": {"path": {"type": "string"}, "old": {"type": "string"}, "new": {"type": "string"}},
        "required": ["path", "old", "new"],
    },
)
TOOLS = (READ, EDIT)
START = (Message("system", "You mend faults. " * 20), Message("user", "The sum is wrong."))


def remote(api_base, *, key=None, model="hosted_vllm/scripted", jitter=lambda: 0.0):
    """Return the model behind an address, which waits no longer between two tries than it must."""
    endpoint = Endpoint(model, api_base, Secret(key) if key else None)
    return RemoteModel(endpoint, before_import=lambda: keep_litellm_quiet(os.environ), jitter=jitter)


def ask(model, messages=START, *, tools=TOOLS, timeout_s=60.0, cancel=None, **sampling):
    """Ask for one reply."""
    return model.reply(Prompt(messages, tools, sampling=Sampling(**sampling), timeout_s=timeout_s, cancel=cancel or threading.Event()))


@contextmanager
def conversation(answers, settings=None, **remote_options):
    """Yield a model whose server plays `answers`, and the list of exchanges, which grows."""
    exchanges = []
    with serve(answers, settings or Settings(), on_exchange=exchanges.append) as server:
        yield remote(server.api_base, **remote_options), exchanges
