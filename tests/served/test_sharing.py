"""The gate before a real server whose cache holds a few conversations: its modes, and what it gives back."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from backstory.agent.gate import Gate, servers_at
from backstory.agent.messages import Message, Prompt, Sampling
from backstory.agent.schedule import Ledger, Policy
from serving import remote

BLOCK = 32
PROGRAMS, TURNS = 6, 3
HEADER = Message("system", "You mend code. " * 100)
# So many programs of this size are twice what the cache holds.
FIRST_WORDS, MORE_WORDS, REPLY_TOKENS = 900, 200, 32


class Watched:
    """A model that counts who is asking it at once. meet: how many of the programs' first turns wait for each other before they ask."""

    def __init__(self, model, meet=1):
        self._model, self.name = model, model.name
        self._lock, self._meeting = threading.Lock(), threading.Barrier(meet)
        self._asking = 0
        self.most = 0

    def reply(self, prompt):
        with self._lock:
            self._asking += 1
            self.most = max(self.most, self._asking)
        try:
            if len(prompt.messages) == 2:
                self._meeting.wait(timeout=120)
            return self._model.reply(prompt)
        finally:
            with self._lock:
                self._asking -= 1


def converse(gate, model, place):
    """Talk as one program to its end; return its replies."""
    draw = random.Random(f"program {place}")
    history, replies = [HEADER], []
    with gate.program(model, phase="solve", opening=(HEADER,), tools=()) as program:
        for turn in range(TURNS):
            history.append(Message("user", words(draw, MORE_WORDS if turn else FIRST_WORDS)))
            replies.append(ask(program, history))
            history.append(Message("assistant", "I see."))
    return replies


def ask(program, history, tokens=REPLY_TOKENS, cancel=None):
    sampling = Sampling(temperature=0.0, output_tokens=tokens)
    return program.reply(Prompt(tuple(history), sampling=sampling, timeout_s=120.0, cancel=cancel or threading.Event()))


def words(draw, count):
    return " ".join(draw.choice(("sum", "list", "price", "test", "line", "call", "file", "name")) for _ in range(count))


def gate_of(server, policy):
    return Gate(Ledger(servers_at(server.api_base), policy))


def model_of(server):
    return remote(server.api_base, model=f"hosted_vllm/{server.model}", jitter=random.random)


def together(server, policy, meet):
    """Return the replies of programs begun at once, the gate they passed and the model they asked."""
    gate, model = gate_of(server, policy), Watched(model_of(server), meet)
    with ThreadPoolExecutor(PROGRAMS) as threads:
        replies = list(threads.map(lambda place: converse(gate, model, place), range(PROGRAMS)))
    return replies, gate, model


@pytest.mark.parametrize(
    ("policy", "meet"),
    [(Policy(mode="open"), PROGRAMS), (Policy(mode="cap", most=2), 2), (Policy(reply_tokens=REPLY_TOKENS), 1)],
    ids=["open", "cap", "gate"],
)
def test_every_mode_brings_all_to_their_ends(tiny, policy, meet):
    """Open lets all ask at once, a cap never more than its number, the gate no more than fit; every reply is whole, and what of its prompt was in the cache is
    blocks of it.
    """
    before = tiny.counted("prompt_tokens_cached_total")
    replies, gate, model = together(tiny, policy, meet)
    assert [len(of_one) for of_one in replies] == [TURNS] * PROGRAMS
    usages = [reply.usage for of_one in replies for reply in of_one]
    assert all(usage.output_tokens == REPLY_TOKENS and usage.cached_tokens % BLOCK == 0 for usage in usages)
    assert sum(usage.cached_tokens for usage in usages) == tiny.counted("prompt_tokens_cached_total") - before
    assert gate.counts.turns == PROGRAMS * TURNS and tiny.counted("num_requests_running") == 0
    match policy.mode:
        case "open":
            assert (model.most, gate.counts.held) == (PROGRAMS, 0)
        case "cap":
            assert (model.most, gate.counts.held) == (2, PROGRAMS - 2)
        case "fit":
            (server,) = servers_at(tiny.api_base)
            assert 1 < model.most < PROGRAMS and gate.counts.held > 0
            assert sum(of_one[-1].usage.input_tokens for of_one in replies) > server.tokens  # so they could not all have stayed


def test_a_program_alone_has_its_beginning_in_the_cache(tiny):
    """All whole blocks that its prompt shares with the one before, at every turn after the first."""
    replies = converse(gate_of(tiny, Policy()), model_of(tiny), "alone")
    prompts = [reply.usage.input_tokens for reply in replies]
    for before, reply in zip(prompts, replies[1:], strict=False):
        assert (before - BLOCK) // BLOCK * BLOCK <= reply.usage.cached_tokens < reply.usage.input_tokens


def test_room_comes_back_when_a_program_is_cancelled(tiny):
    """Under a cap of one the second waits for the first; when that is cancelled in the middle of a reply, the server stops writing it and the second is asked."""
    gate, model = gate_of(tiny, Policy(mode="cap", most=1)), model_of(tiny)
    cancel, written = threading.Event(), tiny.counted("generation_tokens_total")
    with ThreadPoolExecutor(2) as threads:

        def talk(name, tokens, cancel=None):
            with gate.program(model, phase="solve", opening=(HEADER,), tools=()) as program:
                return ask(program, [HEADER, Message("user", name)], tokens, cancel)

        first = threads.submit(talk, "first", 512, cancel)
        while tiny.counted("generation_tokens_total") == written:
            assert not first.done(), first.result()
            time.sleep(0.02)
        second = threads.submit(talk, "second", 8)
        while not gate.counts.held:
            assert not first.done(), first.result()
            time.sleep(0.01)
        cancel.set()
        assert first.result(60).stop == "cancelled"
        assert (second.result(60).stop, second.result().usage.output_tokens) == ("length", 8)
        # The gauge is of the engine's last step, and the server may hear of the cancellation only after the second reply.
        while tiny.counted("num_requests_running"):
            talk("third", 1)
    assert tiny.counted("generation_tokens_total") - written < 512
