"""The gate that programs pass before they ask a model: `backstory.agent.schedule` with threads around it.

A conversation is a program from its first reply to its end. Each reply passes the gate: at once while the program is admitted, else when the ledger lets
it in. Nothing polls; whoever waits is woken by another program's event, or when time alone can change the answer. Below the point where contexts stop
fitting into the server's cache, and where a server does not say how large that is, nobody ever waits.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

from backstory.agent.messages import Message, Model, Reply, Sampling, ToolSchema, Usage
from backstory.agent.schedule import Counts, Header, Ledger
from backstory.agent.wire import prompt_bytes

# How soon somebody who waits at the gate sees that nobody wants its reply any more; nothing else wakes it for that.
CANCEL_S = 0.5
# Bytes of a prompt that make a token, until a server has said how many tokens a prompt of so many bytes really was.
BYTES_A_TOKEN = 4.0


class Gate:
    """Who may ask which server when. Serves many threads."""

    def __init__(self, ledger: Ledger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger, self._clock = ledger, clock
        self._changed = threading.Condition()
        self._bytes_a_token = BYTES_A_TOKEN
        self._begun = 0

    @property
    def counts(self) -> Counts:
        """What was decided so far."""
        with self._changed:
            return self._ledger.counts

    @contextmanager
    def program(self, model: Model, *, phase: str, opening: Sequence[Message], tools: Sequence[ToolSchema]) -> Iterator["Program"]:
        """Yield `model` as one program asks it; its room is given back when the block ends, however it ends.

        phase: programs of one phase are expected to grow alike. opening: messages that other programs begin with too, after the tools.
        """
        header = prompt_bytes(opening, tools)
        with self._changed:
            self._begun += 1
            id = f"{phase}-{self._begun}"
            tokens = self._tokens(len(header))
            self._ledger.begin(id, phase=phase, header=Header(hashlib.sha256(header).hexdigest(), tokens), now=self._clock())
        try:
            yield Program(self, model, id)
        finally:
            with self._changed:
                self._ledger.end(id, now=self._clock())
                self._changed.notify_all()

    def enter(self, id: str, prompt: int, *, timeout_s: float, cancel: threading.Event) -> bool:
        """Wait until a program may ask with a prompt of so many bytes; False when it was cancelled, or the time was over, before."""
        with self._changed:
            until = self._clock() + timeout_s
            if self._ledger.ask(id, self._tokens(prompt), now=self._clock()):
                self._changed.notify_all()
            while not self._ledger.may_ask(id):
                now = self._clock()
                if cancel.is_set() or now >= until:
                    self._ledger.withdraw(id, now=now)
                    self._changed.notify_all()
                    return False
                wake_s = self._ledger.wake_s(now=now)
                self._changed.wait(min(CANCEL_S, until - now, CANCEL_S if wake_s is None else wake_s))
                if self._ledger.tick(now=self._clock()):
                    self._changed.notify_all()
            return True

    def leave(self, id: str, prompt: int, reply: Reply | None) -> None:
        """Tell that a program's turn is over. reply: None when there was none."""
        with self._changed:
            usage = reply.usage if reply is not None else Usage()
            if usage.input_tokens:
                self._bytes_a_token = prompt / usage.input_tokens
            context = usage.input_tokens + usage.output_tokens or self._tokens(prompt)
            tool = reply.message.calls[0].name if reply is not None and reply.message.calls else ""
            self._ledger.answered(id, context, cached=usage.cached_tokens, reusable=usage.reusable_tokens, tool=tool, now=self._clock())
            self._changed.notify_all()

    def _tokens(self, length: int) -> int:
        return int(length / self._bytes_a_token)


@dataclass(frozen=True)
class GatedModel:
    """A model whose programs pass a gate. Asked by itself, as for a single question, it passes none.

    gate: gives the gate when the first program begins, None where there is nothing to reckon with; always the same one.
    """

    model: Model
    gate: Callable[[], Gate | None]

    @property
    def name(self) -> str:
        """What identifies the model in a trace."""
        return self.model.name

    def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSchema], *, sampling: Sampling, timeout_s: float, cancel: threading.Event
    ) -> Reply:
        """Return the next message; see `Model`."""
        return self.model.reply(messages, tools, sampling=sampling, timeout_s=timeout_s, cancel=cancel)


def with_inside(model: Model, wrap: Callable[[Model], Model]) -> Model:
    """Return a model with a layer around what is asked, inside its gate if it has one."""
    return replace(model, model=wrap(model.model)) if isinstance(model, GatedModel) else wrap(model)


def as_program(model: Model, *, phase: str, opening: Sequence[Message], tools: Sequence[ToolSchema]) -> AbstractContextManager[Model]:
    """Return a model as one conversation asks it: through its gate, where it has one. The arguments are those of `Gate.program`."""
    if not isinstance(model, GatedModel):
        return nullcontext(model)
    gate = model.gate()
    return nullcontext(model.model) if gate is None else gate.program(model.model, phase=phase, opening=opening, tools=tools)


@dataclass(frozen=True)
class Program:
    """A model, asked by one program through the gate; a `Model` itself."""

    gate: Gate
    model: Model
    id: str

    @property
    def name(self) -> str:
        """What identifies the model in a trace."""
        return self.model.name

    def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSchema], *, sampling: Sampling, timeout_s: float, cancel: threading.Event
    ) -> Reply:
        """Return the next message; see `Model`. The time at the gate counts as the call's, and is told in the reply."""
        started = time.monotonic()
        prompt = len(prompt_bytes(messages, tools))
        if not self.gate.enter(self.id, prompt, timeout_s=timeout_s, cancel=cancel):
            return Reply(Message("assistant"), "cancelled", Usage(seconds=time.monotonic() - started))
        held_s = time.monotonic() - started
        reply: Reply | None = None
        try:
            reply = self.model.reply(messages, tools, sampling=sampling, timeout_s=max(0.001, timeout_s - held_s), cancel=cancel)
        finally:
            self.gate.leave(self.id, prompt, reply)
        return replace(reply, held_s=held_s)
