"""The conversation of one agent with a model: reply, calls, observations, until a tool that ends it is called or a limit stops it.

    while nothing stops us: ask the model -> read its calls -> run them, each recorded -> append what they gave -> watch for circles

History is only appended to. A turn without a readable call is answered, a few times; a prompt that no longer fits is compacted once, as an explicit
event; every way to end is a value. What ends a conversation well is a tool call with arguments, never a word in some text, so nothing that a file or
a program prints can end it.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import groupby
from typing import Literal, cast

from backstory.agent.acted import ACTED, Acted
from backstory.agent.budget import Purse
from backstory.agent.calls import Call, Unreadable, read_calls
from backstory.agent.gate import as_program
from backstory.agent.messages import Message, Model, Prompt, Reply, Sampling
from backstory.agent.stuck import Advisor, Said, Turn, Watch
from backstory.agent.toolbox import Toolbox
from backstory.agent.trace import Codec, Json, Trace
from backstory.agent.wire import prompt_digest
from backstory.agent.written import from_json, to_json
from backstory.errors import ModelError
from backstory.graph.types import Oid
from backstory.tools.tool import Arguments, Observation

# Turns in a row that hold no call which can be run; after so many the model will not learn the form any more.
UNREADABLE_TURNS = 4
# Read-only calls of one reply that run side by side.
AT_ONCE = 4
# Share of the context window at which the prompt is compacted before the server refuses it (notes of vLLM users: count and compact at 0.85).
FULL = 0.85
# No tokenizer in use makes longer tokens of prose and code than this on average.
MOST_CHARS_A_TOKEN = 6
# Share of the steps after which an agent is told how many are left.
REMIND_AT = 0.75

End = Literal["done", "limit", "steps", "stuck", "unreadable", "superseded", "overflow", "model"]
"""How a conversation ended: with its ending tool; at the run's budget or its own number of steps; going in circles; without readable calls; because
another attempt was proven; with a prompt too long even after compaction; because the model could not be reached any more."""


Handover = Literal["findings", "transcript"]
"""What a conversation that follows upon another begins with: what the first found, or all that was said in it."""


@dataclass(frozen=True)
class Ended:
    """arguments: of the ending call when `why` is "done". note: what happened, in words. replies: how many were had."""

    why: End
    note: str
    replies: int
    arguments: Arguments | None = None


@dataclass(frozen=True)
class Asked:
    """A model and how it is asked. context_tokens: its window, None when unknown. handover: how the localizer's work goes to who repairs."""

    model: Model
    sampling: Sampling
    reply_timeout_s: float
    context_tokens: int | None = None
    handover: Handover = "findings"


@dataclass(frozen=True)
class Voice:
    """Who is asked, how, and where that is recorded.

    name: of the conversation, in the trace. cancel: set from outside. shared: what the first words to the agent begin with in other conversations too.
    """

    name: str
    asked: Asked
    trace: Trace
    purse: Purse
    cancel: threading.Event = field(default_factory=threading.Event)
    shared: str = ""


REPLY: Codec[Reply] = Codec(
    encode=lambda reply: cast(Json, to_json(reply)), decode=lambda written: from_json(written, Reply), stable=lambda _: None
)


class _Cut(Exception):
    """A reply was ended from our side; keeps it from being recorded, and does not leave this module."""


class Conversation:
    """One agent at work.

    opening: system, card, issue and role. begin: what it begins with instead, which a compaction leaves behind. recap: what is known so far, in words, for a compaction. remark: what to add to an observation, given the
    call, what it gave and the tree before it; it must follow from these and the graph alone, since it is said again when a run is resumed.
    """

    def __init__(
        self,
        voice: Voice,
        toolbox: Toolbox,
        opening: Sequence[Message],
        *,
        steps: int,
        recap: Callable[[], str],
        remark: Callable[[Call, Observation, Oid], str] = lambda call, observation, before: "",
        begin: Sequence[Message] = (),
    ) -> None:
        self.messages = list(begin or opening)
        self._voice, self._toolbox, self._recap, self._remark = voice, toolbox, recap, remark
        self._opening = tuple(opening)
        self._schemas = toolbox.schemas()
        self._steps, self._replies, self._silent = steps, 0, 0
        self._next_prompt = _least_tokens(self.messages)
        self._compacted = False
        self._reminded = False
        self._watch, self._advisor = Watch(), Advisor()
        self._arguments: Arguments | None = None
        self._model = voice.asked.model

    def run(self) -> Ended:
        """Talk until the end, as one program of the model's server."""
        shared = (*self._opening[:1], Message("user", self._voice.shared))
        with as_program(self._voice.asked.model, phase=self._toolbox.ending, opening=shared, tools=self._schemas) as self._model:
            while True:
                end = self._stop() or self._turn()
                if end is not None:
                    return end

    def _stop(self) -> Ended | None:
        superseded = self._voice.trace.limit(
            lambda: "another attempt was proven" if self._voice.cancel.is_set() else None, kind="superseded"
        )
        if superseded is not None:
            return self._end("superseded", superseded)
        spent = self._voice.purse.spent_out(tokens=self._next_prompt)
        if spent is not None:
            return self._end("limit", spent)
        return self._end("steps", f"{self._steps} replies and not done") if self._replies >= self._steps else None

    def _turn(self) -> Ended | None:
        try:
            reply = self._ask()
        except _Cut:
            return None  # the next look at what stops us says why
        except ModelError as error:
            return self._end("model", str(error))
        if reply.stop == "overflow":
            if self._compacted:
                return self._end("overflow", "the prompt does not fit the model's window, also after it was compacted")
            self._compact()
            return None
        said = read_calls(reply.message, self._schemas, cut=reply.stop == "length", turn=len(self.messages))
        calls = [call for call in said.calls if isinstance(call, Call)]
        self.messages.append(said.message)
        if not said.calls:
            return self._answer_silence(said.complaint)
        self._silent = 0 if calls else self._silent + 1
        before = self._toolbox.tree()
        observations = self._act(said.calls)
        end = self._end("done", "", self._arguments) if self._arguments is not None else None
        end = end or self._unreadable()
        stuck = self._watch.saw(self._as_turn(calls)) if calls else None
        if end is None and stuck is not None and stuck.stop:
            end = self._end("stuck", stuck.text)
        unread = Said(said.complaint) if said.complaint else None
        self._append(said.calls, observations, [unread, stuck, self._reminder(changed=self._toolbox.tree() != before)])
        if end is None and self._is_full(reply):
            self._compact()
        return end

    # --- asking -----------------------------------------------------------------------------------------------------------------------

    def _ask(self) -> Reply:
        voice, asked, left = self._voice, self._voice.asked, self._voice.purse.seconds_left()
        timeout_s = asked.reply_timeout_s if left is None else max(0.1, min(left, asked.reply_timeout_s))
        room = voice.purse.tokens_left()
        sampling = (
            asked.sampling if room is None else replace(asked.sampling, output_tokens=max(1, min(room, asked.sampling.output_tokens)))
        )

        prompt = Prompt(tuple(self.messages), self._schemas, sampling=sampling, timeout_s=timeout_s, cancel=voice.cancel)

        def effect() -> Reply:
            reply = self._model.reply(prompt)
            if reply.stop == "cancelled":
                if not voice.cancel.is_set() and (left is None or timeout_s < left):
                    raise ModelError(f"the model gave no reply within {timeout_s:g} s; raise reply_timeout or ask a faster one")
                raise _Cut
            return reply

        key: Json = {"conversation": voice.name, "number": self._replies, "prompt": prompt_digest(self.messages)}
        reply = voice.trace.decide("reply", key, effect, REPLY)
        self._replies += 1
        voice.purse.count_reply(reply.usage)
        self._next_prompt = reply.usage.input_tokens + reply.usage.output_tokens  # the next prompt is this one with the reply, and more
        return reply

    def _is_full(self, reply: Reply) -> bool:
        window = self._voice.asked.context_tokens
        return window is not None and not self._compacted and reply.usage.input_tokens + reply.usage.output_tokens > FULL * window

    def _compact(self) -> None:
        """Begin anew after the opening, with what is known so far; once in a conversation."""
        self._compacted = True
        self.messages = [*self._opening, Message("user", self._recap())]
        self._next_prompt = _least_tokens(self.messages)
        self._voice.trace.note("compacted", prompt=prompt_digest(self.messages))

    # --- acting -----------------------------------------------------------------------------------------------------------------------

    def _act(self, calls: Sequence[Call | Unreadable]) -> list[Observation]:
        observations: list[Observation] = []
        for side_by_side, group in groupby(calls, key=self._may_run_beside):
            batch = list(group)
            if side_by_side and len(batch) > 1:
                observations += self._read_at_once(cast("list[Call]", batch))
            else:
                observations += (self._one(call) for call in batch)
        return observations

    def _may_run_beside(self, call: Call | Unreadable) -> bool:
        tool = self._toolbox.get(call.name) if isinstance(call, Call) else None
        return tool is not None and tool.effect == "reads"

    def _read_at_once(self, calls: "list[Call]") -> Iterator[Observation]:
        prepared = [self._toolbox.prepare(call.name, call.arguments) for call in calls]
        with ThreadPoolExecutor(AT_ONCE) as pool:

            @cache
            def running() -> list[Future[Observation] | None]:
                """Start all of them, when the first is needed: a resumed run may have every answer on record."""
                return [None if isinstance(ready, Observation) else pool.submit(ready[0].run, ready[1]) for ready in prepared]

            def answer(number: int) -> Observation:
                future = running()[number]
                assert future is not None
                return future.result()

            for number, (call, ready) in enumerate(zip(calls, prepared, strict=True)):
                yield ready if isinstance(ready, Observation) else self._record(call, partial(answer, number))

    def _one(self, call: Call | Unreadable) -> Observation:
        if isinstance(call, Unreadable):
            return Observation(call.complaint, ok=False)
        if self._arguments is not None:
            return Observation("not run: the work was finished by the call before", ok=False)
        ready = self._toolbox.prepare(call.name, call.arguments)
        if isinstance(ready, Observation):
            return ready
        tool, arguments = ready
        if tool.effect in ("notes", "judges", "ends"):
            # What they ask of a judge is recorded there, and the rest follows from it; it has to happen again when a run is resumed.
            observation = tool.run(arguments)
            if tool.effect == "ends" and observation.ok:
                self._arguments = arguments
            return observation
        return self._record(call, lambda: tool.run(arguments))

    def _record(self, call: Call, effect: Callable[[], Observation]) -> Observation:
        key: Json = {"tool": call.name, "arguments": hashlib.sha256(canonical(call.arguments).encode()).hexdigest()[:16]}
        before = self._toolbox.tree()
        acted = self._voice.trace.step("tool", key, lambda: Acted(effect(), self._toolbox.tree()), ACTED)
        self._toolbox.settle(acted.tree)
        remark = self._remark(call, acted.observation, before)
        return replace(acted.observation, text=f"{acted.observation.text}\n{remark}") if remark else acted.observation

    # --- answering --------------------------------------------------------------------------------------------------------------------

    def _append(self, calls: Sequence[Call | Unreadable], observations: list[Observation], words: Sequence[Said | None]) -> None:
        """Append one tool message for each call; what there is to say besides stands in the last, so that no new user turn begins."""
        notes = [advice for call, seen in zip(calls, observations, strict=True) if (advice := self._advisor.saw(call.name, seen))]
        notes += [said.text for said in words if said is not None]
        for number, (call, seen) in enumerate(zip(calls, observations, strict=True)):
            last = number == len(calls) - 1
            text = "\n".join([seen.text, *(f"note: {note}" for note in dict.fromkeys(notes))]) if last else seen.text
            self.messages.append(Message("tool", text, answers=call.id))

    def _answer_silence(self, complaint: str) -> Ended | None:
        self._silent += 1
        end = self._unreadable()
        if end is None:
            self.messages.append(Message("user", complaint))
        return end

    def _unreadable(self) -> Ended | None:
        if self._silent < UNREADABLE_TURNS:
            return None
        return self._end("unreadable", f"{self._silent} replies in a row without a call that can be read")

    def _reminder(self, *, changed: bool) -> Said | None:
        if self._reminded or changed or self._replies < REMIND_AT * self._steps:
            return None
        self._reminded = True
        return Said(f"{self._steps - self._replies} replies are left; come to an end with `{self._toolbox.ending}`")

    def _as_turn(self, calls: Sequence[Call]) -> Turn:
        return Turn(
            tuple((call.name, canonical(call.arguments)) for call in calls),
            self._toolbox.tree(),
            reverted=any(call.name == "revert" for call in calls),
        )

    def _end(self, why: End, note: str, arguments: Arguments | None = None) -> Ended:
        return Ended(why, note, self._replies, arguments)


def _least_tokens(messages: Sequence[Message]) -> int:
    """Return how many tokens a prompt has at least, before any server has counted it."""
    return sum(len(message.text) for message in messages) // MOST_CHARS_A_TOKEN


def canonical(value: object) -> str:
    """Return JSON with sorted keys and no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=list)
