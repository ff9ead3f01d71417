"""What a model is told during a run, written down as it is told, and models that say again what a recorded run was answered.

The prompts of a run are not in its trace, which holds replies and effects. So whoever has to know what a model saw listens: every message that is not
the model's own is kept, once, in a file of lines that outlives a kill.
"""

import json
import threading
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from backstory.agent.messages import Message, Model, Prompt, Reply, Usage
from backstory.agent.script import Answer, Answers, Request
from backstory.errors import ModelError
from backstory.harness.audit import Heard


class Listening:
    """A model whose prompts are kept in a file. For several threads at once."""

    def __init__(self, model: Model, path: Path) -> None:
        self._model, self._path = model, path
        self._lock = threading.Lock()
        self._known = {_digest(heard.spoken, heard.text) for heard in read_heard(path)}
        if path.exists() and not path.read_bytes().endswith(b"\n"):  # a kill cut the last line off; the next must not be joined to it
            with path.open("a", encoding="ascii") as file:
                file.write("\n")

    @property
    def name(self) -> str:
        """The name of the model that is asked."""
        return self._model.name

    def reply(self, prompt: Prompt) -> Reply:
        """Return the model's reply, once the prompt and the reply are written down."""
        self._write(prompt.messages)
        said = self._model.reply(prompt)
        self._write([said.message])
        return said

    def _write(self, messages: Sequence[Message]) -> None:
        with self._lock:
            lines = []
            for message in messages:
                spoken = message.role == "assistant"
                text = "\n".join([message.text, message.reasoning, *(f"{call.name} {call.arguments}" for call in message.calls)])
                digest = _digest(spoken, text)
                if text.strip() and digest not in self._known:
                    self._known.add(digest)
                    lines.append(json.dumps({"where": f"{message.role} message", "text": text, "spoken": spoken}) + "\n")
            if lines:
                with self._path.open("a", encoding="ascii") as file:
                    file.writelines(lines)


def read_heard(path: Path) -> list[Heard]:
    """Return what was written down, in its order; a last line that was cut off by a kill is left out."""
    found = []
    for line in path.read_text("ascii").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        found.append(Heard(str(row["where"]), str(row["text"]), bool(row["spoken"])))
    return found


class Played:
    """A model that says what a script or a record says, with no server."""

    def __init__(self, name: str, answers: Answers) -> None:
        self.name = name
        self._answers = answers

    def reply(self, prompt: Prompt) -> Reply:
        """Return the next reply. Raises ModelError when there is nothing more to say."""
        said = self._answers(
            Request(self.name, tuple(prompt.messages), tuple(prompt.tools), "auto", prompt.sampling, False, len(prompt.messages))
        )
        if said is None:
            raise ModelError("the recorded run was answered nothing here; it went another way")
        message = said.message if isinstance(said, Answer) else said
        return Reply(message, "calls" if message.calls else "end", Usage())


def _digest(spoken: bool, text: str) -> bytes:
    return sha256(f"{spoken}\0{text}".encode("utf-8", "surrogatepass")).digest()
