"""The gate that programs pass before they ask a model: `backstory.agent.schedule` with threads around it.

A conversation is a program from its first reply to its end. Each reply passes the gate: at once while the program is admitted, else when the ledger lets
it in. Nothing polls; whoever waits is woken by another program's event, or when time alone can change the answer. Below the point where contexts stop
fitting into the server's cache, and where a server does not say how large that is, nobody ever waits.

A server that has answered and does not any more went away. Its programs wait until it is ready again, and go on: the history is on our side, so that all it
costs is each prompt computed once more. Where there is another server they go there at once. Only here is a server asked again and again, by one
thread for all who wait.

How much a server holds is read before its first program and whenever it may be another than before: when it is back, when it answers for the first time
and had not said it, and when a reply shows that nothing is left of what its cache held, as after a start that nobody noticed.
"""

import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Final, Literal

from backstory.agent.messages import Message, Model, Prompt, Reply, Route, ToolSchema, Usage
from backstory.agent.schedule import Counts, Header, Ledger, Server
from backstory.agent.vitals import healthy, metrics_of, pools
from backstory.agent.wire import prompt_bytes
from backstory.errors import UnreachableError

log = logging.getLogger(__name__)

# How soon somebody who waits at the gate sees that nobody wants its reply any more; nothing else wakes it for that.
CANCEL_S = 0.5
# Bytes of a prompt that make a token, until a server has said how many tokens a prompt of so many bytes really was.
BYTES_A_TOKEN = 4.0
# Share of a server's cache that one prompt may fill: a vLLM server lets a longer one wait for ever, and everyone behind it (notes of its users).
MOST_OF_POOL: Final = 0.9
# A turn is begun anew after so many losses of its server, and no more: one that loses every turn has something against this one.
LOSSES: Final = 3
# How often a server that went away is looked at: soon at first, since another process may have restarted it, then ever more rarely.
FIRST_LOOK_S, LOOK_S = 0.25, 5.0


def servers_at(base: str) -> list[Server]:
    """Return the engines of the server at an address, as far as it tells of them: one of unknown size where it does not, or is not there."""
    sizes = pools(metrics_of(base) or "")
    if len(sizes) < 2:
        return [Server(base, sizes[0] if sizes else None, priorities=bool(sizes))]
    return [Server(base, size, rank, priorities=True) for rank, size in enumerate(sizes)]


Passage = Literal["in", "cancelled", "overflow"]
"""How waiting at the gate ends: the program may ask; it, or its time, was over before; its prompt does not fit into any server's cache."""


class Gate:
    """Who may ask which server when. Serves many threads."""

    def __init__(self, ledger: Ledger, *, clock: Callable[[], float] = time.monotonic, is_healthy: Callable[[str], bool] = healthy) -> None:
        """is_healthy: whether the server at an address is ready."""
        self._ledger, self._clock, self._is_healthy = ledger, clock, is_healthy
        self._changed = threading.Condition()
        self._bytes_a_token: float | None = None
        self._begun = 0
        self._mark = secrets.token_hex(4)  # tells programs of one process from those of another
        self._known: set[str] = set()

    @property
    def counts(self) -> Counts:
        """What was decided so far."""
        with self._changed:
            return self._ledger.counts

    @property
    def servers(self) -> Sequence[Server]:
        """The servers as they are known now."""
        with self._changed:
            return self._ledger.servers

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

    def enter(self, id: str, prompt: int, *, timeout_s: float, cancel: threading.Event) -> Passage:
        """Wait until a program may ask with a prompt of so many bytes. Raises UnreachableError when the time was over with its server away."""
        with self._changed:
            if self._is_too_long(prompt):
                return "overflow"
            until = self._clock() + timeout_s
            if self._ledger.ask(id, self._tokens(prompt), now=self._clock()):
                self._changed.notify_all()
            while not self._ledger.may_ask(id):
                now = self._clock()
                if cancel.is_set() or now >= until:
                    server = self._ledger.server_of(id)
                    self._ledger.withdraw(id, now=now)
                    self._changed.notify_all()
                    if self._ledger.is_away(server.name) and not cancel.is_set():
                        raise UnreachableError(
                            f"{server.name} went away and was not back within {timeout_s:g} s; start it again, and `backstory resume` the run"
                        )
                    return "cancelled"
                wake_s = self._ledger.wake_s(now=now)
                self._changed.wait(min(CANCEL_S, until - now, CANCEL_S if wake_s is None else wake_s))
                if self._ledger.tick(now=self._clock()):
                    self._changed.notify_all()
            return "in"

    def leave(self, id: str, prompt: int, reply: Reply | None) -> None:
        """Tell that a program's turn is over. reply: None when there was none."""
        looks = False
        with self._changed:
            server = self._ledger.server_of(id)
            if reply is None:
                self._ledger.withdraw(id, now=self._clock())
            else:
                usage = reply.usage
                if usage.input_tokens:
                    self._bytes_a_token = prompt / usage.input_tokens
                    looks = (server.tokens is None and server.name not in self._known) or (
                        usage.cached_tokens == 0 and bool(usage.reusable_tokens)
                    )
                    self._known.add(server.name)
                tool = reply.message.calls[0].name if reply.message.calls else ""
                self._ledger.answered(id, usage, tool=tool, now=self._clock())
            self._changed.notify_all()
        if looks:
            self._renew(server.name)

    def route(self, id: str) -> Route:
        """Return the way of a program's next turn."""
        with self._changed:
            server = self._ledger.server_of(id)
            priority = self._ledger.priority(id) if server.priorities else None
            return Route(server.name, f"{self._mark}-{id}", server.rank, priority, server.name in self._known)

    def lost(self, id: str, error: UnreachableError) -> None:
        """Tell that a program's server did not answer. Raises `error` where waiting is of no use: it never did, or it does and keeps failing."""
        with self._changed:
            name = self._ledger.server_of(id).name
            alone = all(server.name == name for server in self._ledger.servers)
            if alone and name not in self._known:
                raise error
        if error.failing and self._is_healthy(name):
            raise error
        with self._changed:
            if self._ledger.is_away(name):
                return
            log.info("gate.away server=%s", name)
            self._ledger.away(name, now=self._clock())
            self._changed.notify_all()
        threading.Thread(target=self._watch, args=(name,), name="away", daemon=True).start()

    def _watch(self, name: str) -> None:
        """Look at a server until it is ready again, or nobody is left who would ask it."""
        pause_s = FIRST_LOOK_S
        while not self._is_healthy(name):
            with self._changed:
                if self._ledger.is_idle():
                    break
            time.sleep(pause_s)
            pause_s = min(LOOK_S, 2 * pause_s)
        self._renew(name)
        with self._changed:
            log.info("gate.back server=%s", name)
            self._ledger.back(name, now=self._clock())
            self._changed.notify_all()

    def _renew(self, name: str) -> None:
        """Read how much the server at an address holds now; where it does not tell, what is known of it stays."""
        engines = servers_at(name)
        if any(engine.tokens is not None for engine in engines):
            with self._changed:
                log.info("gate.holds server=%s tokens=%s", name, [engine.tokens for engine in engines])
                self._ledger.renew(name, engines, now=self._clock())
                self._changed.notify_all()

    def _is_too_long(self, prompt: int) -> bool:
        """Return whether no server can hold a prompt; False until one has said how many tokens so many bytes are."""
        sizes = [server.tokens for server in self._ledger.servers if server.tokens is not None]
        known = self._bytes_a_token is not None and len(sizes) == len(self._ledger.servers)
        return known and self._tokens(prompt) > MOST_OF_POOL * max(sizes)

    def _tokens(self, length: int) -> int:
        return int(length / (self._bytes_a_token or BYTES_A_TOKEN))


@dataclass(frozen=True)
class GatedModel:
    """A model whose programs pass a gate. Asked by itself, as for a single question, it passes none.

    gate: gives the gate when the first program begins; always the same one.
    """

    model: Model
    gate: Callable[[], Gate]

    @property
    def name(self) -> str:
        """What identifies the model in a trace."""
        return self.model.name

    def reply(self, prompt: Prompt) -> Reply:
        """Return the next message; see `Model`."""
        return self.model.reply(prompt)


def with_inside(model: Model, wrap: Callable[[Model], Model]) -> Model:
    """Return a model with a layer around what is asked, inside its gate if it has one."""
    return replace(model, model=wrap(model.model)) if isinstance(model, GatedModel) else wrap(model)


def as_program(model: Model, *, phase: str, opening: Sequence[Message], tools: Sequence[ToolSchema]) -> AbstractContextManager[Model]:
    """Return a model as one conversation asks it: through its gate, where it has one. The arguments are those of `Gate.program`."""
    if not isinstance(model, GatedModel):
        return nullcontext(model)
    return model.gate().program(model.model, phase=phase, opening=opening, tools=tools)


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

    def reply(self, prompt: Prompt) -> Reply:
        """Return the next message; see `Model`. The time at the gate counts as the call's, and is told in the reply; the gate chooses the route."""
        started = time.monotonic()
        length = len(prompt_bytes(prompt.messages, prompt.tools))
        losses, held_s = 0, 0.0
        while True:
            came = time.monotonic()
            passage = self.gate.enter(self.id, length, timeout_s=prompt.timeout_s - (came - started), cancel=prompt.cancel)
            now = time.monotonic()
            held_s += now - came
            if passage != "in":
                return Reply(Message("assistant"), passage, Usage(seconds=now - started), losses, held_s)
            reply: Reply | None = None
            try:
                left_s = max(0.001, prompt.timeout_s - (now - started))
                reply = self.model.reply(replace(prompt, timeout_s=left_s, route=self.gate.route(self.id)))
            except UnreachableError as error:
                unreachable = error
            finally:
                self.gate.leave(self.id, length, reply)
            if reply is not None:
                return replace(reply, held_s=held_s, retries=reply.retries + losses)
            losses += 1
            if losses > LOSSES:
                raise unreachable
            self.gate.lost(self.id, unreachable)
