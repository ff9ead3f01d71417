"""What the gate of `agent/schedule.py` is worth, simulated: programs that take turns at one server with a paged KV cache.

    python bench/gate_simulation.py [--programs 32] [--pool 7] [--seeds 3] [--sizes uniform|mixed]

The ledger is the product's own, with simulated time. The server is a model of vLLM's scheduler, not a measurement of it: requests are admitted in order when
their whole prompt finds room; the longest known beginning, in whole blocks, is not computed; a step computes up to so many tokens, those of replies first; blocks
that nobody uses are kept until they are needed, the longest unused first and of one sequence its end first; a request that finds no block for its reply is put
back and computed again. Programs, sizes and times are drawn from the seed: one repository, a header that all share, tools that mostly take less than a second
and now and then half a minute.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from backstory.agent.messages import Usage
from backstory.agent.schedule import Header, Ledger, Policy, Server

TOOLS = ((0.80, 0.8), (0.95, 6.0), (1.0, 30.0))  # share of the calls up to which the mean seconds hold


@dataclass(frozen=True)
class Machine:
    """How fast the server is. block, header_tokens: of the cache and of what all prompts begin with. step_tokens: computed in a step at most, which takes
    step_s, a second for every prefill_tokens_s of a prompt, and reply_step_s for each reply under way; each then says reply_tokens (more than the
    engine's one, to simulate in coarser steps). replies_reused: whether a reply's own blocks are those of the history that follows; not so where the history
    has a recorded reply in its place.
    """

    block: int = 16
    header_tokens: int = 3_072
    step_tokens: int = 2_048
    prefill_tokens_s: float = 8_000.0
    step_s: float = 0.02
    reply_step_s: float = 0.0004
    reply_tokens: int = 8
    replies_reused: bool = True


@dataclass(frozen=True)
class Turn:
    """adds: tokens the prompt has more than the context before it; reply: tokens of the reply; tool_s: what the tool takes after it."""

    adds: int
    reply: int
    tool_s: float


@dataclass(frozen=True)
class Outcome:
    """reuse: share of prompt tokens found in the cache; bound: the same for a cache that forgets nothing; computed, least: prompt tokens."""

    makespan_s: float
    mean_s: float
    reuse: float
    bound: float
    computed: int
    least: int
    paused: int
    forced: int
    preempted: int


def programs_of(count: int, sizes: str, seed: int) -> list[list[Turn]]:
    """Return the turns of each program, the same for every policy."""
    draw = random.Random(seed)
    return [[_turn(draw, first=number == 0) for number in range(_turns(draw, sizes, program))] for program in range(count)]


def _turns(draw: random.Random, sizes: str, program: int) -> int:
    if sizes == "uniform":
        return draw.randint(10, 24)
    return draw.randint(4, 10) if program % 2 else draw.randint(20, 34)


def mean_tool_s(draw: random.Random) -> float:
    """Return the mean seconds of the kind of tool that is called next."""
    share = draw.random()
    return next(seconds for upto, seconds in TOOLS if share <= upto)


def _turn(draw: random.Random, *, first: bool) -> Turn:
    mean_s = mean_tool_s(draw)
    adds = Machine.header_tokens + draw.randint(500, 2_500) if first else int(min(6_000, draw.expovariate(1 / 700)))
    return Turn(adds, draw.randint(100, 500), draw.expovariate(1 / mean_s))


class Pool:
    """The blocks of the cache. A block is named by whose it is and its place; the header's are everybody's."""

    def __init__(self, blocks: int) -> None:
        self._free = blocks
        self._used: dict[tuple[int, int], int] = {}
        self._kept: OrderedDict[tuple[int, int], None] = OrderedDict()

    def room(self, wanted: Sequence[tuple[int, int]]) -> bool:
        """Return whether all these blocks can be had at once."""
        missing = sum(block not in self._used and block not in self._kept for block in wanted)
        return missing <= self._free + len(self._kept) - sum(block in self._kept for block in wanted)

    def known(self, wanted: Sequence[tuple[int, int]]) -> int:
        """Return how many of the blocks, from the first, are in the cache."""
        return next((place for place, block in enumerate(wanted) if block not in self._used and block not in self._kept), len(wanted))

    def take(self, wanted: Sequence[tuple[int, int]]) -> None:
        """Use blocks, those that are kept again, others in place of the longest unused."""
        for block in wanted:
            if block in self._kept:
                del self._kept[block]
                self._used[block] = 1
            elif block in self._used:
                self._used[block] += 1
        for block in wanted:
            if block not in self._used:
                if self._free:
                    self._free -= 1
                else:
                    self._kept.popitem(last=False)
                self._used[block] = 1

    def give(self, blocks: Sequence[tuple[int, int]]) -> None:
        """Use blocks no more; what nobody uses is kept, the end of the sequence to go first."""
        for block in reversed(blocks):
            self._used[block] -= 1
            if not self._used[block]:
                del self._used[block]
                self._kept[block] = None


@dataclass
class Request:
    """One turn at the server. known: tokens of its prompt that may be in the cache; computed: prompt tokens it has; said: tokens of its reply; blocks:
    those it uses; found: tokens of its prompt that the cache had; came, began, first: when it came, was begun with, and had its prompt computed, in seconds.
    """

    program: int
    prompt: int
    reply: int
    known: int
    computed: int = 0
    said: int = 0
    blocks: list[tuple[int, int]] = field(default_factory=list)
    found: int = 0
    came: float = 0.0
    began: float | None = None
    first: float | None = None

    def usage(self, now: float, block: int) -> Usage:
        """Return what it cost, ended now, as a server tells it."""
        began, first = self.began or 0.0, self.first or 0.0
        reusable = min(self.known, self.prompt - 1) // block * block
        return Usage(self.prompt, self.found, self.reply, now - self.came, reusable, began - self.came, first - began)


def blocks_of(program: int, tokens: int, machine: Machine) -> list[tuple[int, int]]:
    """Return the blocks of a context; the header's belong to all."""
    shared = machine.header_tokens // machine.block
    return [(-1 if place < shared else program, place) for place in range(-(-tokens // machine.block))]


class Engine:
    """The server."""

    def __init__(self, pool_tokens: int, machine: Machine) -> None:
        self.pool, self.machine = Pool(pool_tokens // machine.block), machine
        self.waiting: list[Request] = []
        self.running: list[Request] = []
        self.cached = self.prompts = self.computed = self.preempted = 0

    def step(self) -> tuple[float, list[Request]]:
        """Compute one step; return the seconds it took and the requests that are done."""
        self._admit()
        if not self.running:
            return 0.0, []
        budget, seconds = self.machine.step_tokens, self.machine.step_s
        for request in list(self.running):
            if request in self.running and request.computed >= request.prompt:
                tokens = min(self.machine.reply_tokens, request.reply - request.said)
                if self._grow(request, tokens):
                    request.said += tokens
                    budget -= tokens
                    seconds += self.machine.reply_step_s
        for request in self.running:
            if request.computed < request.prompt and budget > 0:
                tokens = min(budget, request.prompt - request.computed)
                request.computed += tokens
                self.computed += tokens
                budget -= tokens
                seconds += tokens / self.machine.prefill_tokens_s
        done = [request for request in self.running if request.said >= request.reply]
        for request in done:
            self.running.remove(request)
            self.pool.give(request.blocks)
        return seconds, done

    def _admit(self) -> None:
        while self.waiting:
            request = self.waiting[0]
            wanted = blocks_of(request.program, request.prompt + request.said, self.machine)
            if not self.pool.room(wanted):
                return
            self.waiting.pop(0)
            hit = min(self.pool.known(wanted), min(request.known, request.prompt - 1) // self.machine.block) * self.machine.block
            self.pool.take(wanted)
            request.blocks, request.computed = wanted, hit
            if not request.said:
                request.found = hit
                self.cached += hit
                self.prompts += request.prompt
            self.running.append(request)

    def _grow(self, request: Request, tokens: int) -> bool:
        """Find the blocks for more of a reply, by putting the newest request back if need be."""
        wanted = blocks_of(request.program, request.prompt + request.said + tokens, self.machine)[len(request.blocks) :]
        while not self.pool.room(wanted):
            victim = self.running.pop()
            self.pool.give(victim.blocks)
            victim.blocks, victim.computed, victim.known = [], 0, victim.prompt + victim.said
            self.waiting.insert(0, victim)
            self.preempted += 1
            if victim is request:
                return False
        self.pool.take(wanted)
        request.blocks += wanted
        return True


def simulate(programs: Sequence[Sequence[Turn]], pool_tokens: int, policy: Policy, machine: Machine = Machine()) -> Outcome:
    """Run all programs, begun at once, to their ends."""
    engine, ledger = Engine(pool_tokens, machine), Ledger([Server("server", pool_tokens)], policy)
    now, done_at = 0.0, {}
    contexts, turns = [0] * len(programs), [0] * len(programs)
    events: list[tuple[float, int]] = [(0.0, program) for program in range(len(programs))]
    held: dict[int, Request] = {}
    prompts = least = 0
    for program in range(len(programs)):
        ledger.begin(str(program), phase="solve", header=Header("header", machine.header_tokens), now=0.0)
    seen_header = False

    def let(ids: Sequence[str]) -> None:
        for id in ids:
            request = held.pop(int(id))
            request.came = now
            engine.waiting.append(request)

    while len(done_at) < len(programs):
        while events and events[0][0] <= now:
            _, program = heapq.heappop(events)
            turn = programs[program][turns[program]]
            known = contexts[program] or (machine.header_tokens if seen_header else 0)
            if turns[program] and not machine.replies_reused:
                known -= programs[program][turns[program] - 1].reply
            seen_header = True
            prompt = contexts[program] + turn.adds
            prompts, least = prompts + prompt, least + prompt - known // machine.block * machine.block
            held[program] = Request(program, prompt, turn.reply, known)
            let(ledger.ask(str(program), prompt, now=now))
        began = now
        seconds, finished = engine.step()
        now += seconds
        for request in (*engine.running, *finished):
            request.began = began if request.began is None else request.began
            request.first = now if request.first is None and request.computed >= request.prompt else request.first
        for request in finished:
            program = request.program
            turn = programs[program][turns[program]]
            contexts[program], turns[program] = request.prompt + request.reply, turns[program] + 1
            let(ledger.answered(str(program), request.usage(now, machine.block), tool="tool", now=now))
            if turns[program] < len(programs[program]):
                heapq.heappush(events, (now + turn.tool_s, program))
            else:
                done_at[program] = now
                let(ledger.end(str(program), now=now))
        if not engine.running and not engine.waiting:
            wake_s = ledger.wake_s(now=now)
            times = [*(at for at, _ in events[:1]), *([now + wake_s] if wake_s is not None else [])]
            if len(done_at) < len(programs):
                now = max(now, min(times))
        let(ledger.tick(now=now))
    return Outcome(
        makespan_s=now,
        mean_s=statistics.mean(done_at.values()),
        reuse=engine.cached / engine.prompts,
        bound=1 - least / prompts,
        computed=engine.computed,
        least=least,
        paused=ledger.counts.paused,
        forced=ledger.counts.forced,
        preempted=engine.preempted,
    )


def policies(count: int) -> Iterator[tuple[str, Policy]]:
    """Yield the policies that are compared; the gate as it ships comes last."""
    yield "all at once", Policy(mode="open")
    for most in (4, 6, 8, 12, 16):
        if most < count:
            yield f"at most {most}", Policy(mode="cap", most=most)
    yield "gate, no growth", Policy(growth=0.0, reply_tokens=512)
    yield "gate, all growth", Policy(growth=1.0, reply_tokens=512)
    yield "gate", Policy(reply_tokens=512)


def main() -> None:
    """Print a table for the programs asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=32)
    parser.add_argument("--pool", type=float, default=7.0, help="size of the cache, in mean peaks of the programs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sizes", choices=("uniform", "mixed"), default="uniform")
    options = parser.parse_args()
    print(f"{options.programs} programs, {options.sizes}, pool of {options.pool:g} mean peaks, {options.seeds} seeds\n")
    print("| policy | reuse / bound | computed / least | makespan s | mean s | paused | put back |\n|---|---|---|---|---|---|---|")
    for name, policy in policies(options.programs):
        rows = []
        for seed in range(options.seeds):
            programs = programs_of(options.programs, options.sizes, seed)
            peaks = [sum(turn.adds + turn.reply for turn in turns) for turns in programs]
            rows.append(simulate(programs, int(options.pool * statistics.mean(peaks)), policy))
        cells = (
            [f"{row.reuse / row.bound:.2f}" for row in rows],
            [f"{row.computed / row.least:.1f}" for row in rows],
            [f"{row.makespan_s:.0f}" for row in rows],
            [f"{row.mean_s:.0f}" for row in rows],
            [str(row.paused) for row in rows],
            [str(row.preempted) for row in rows],
        )
        print(f"| {name} | {' | '.join(' '.join(cell) for cell in cells)} |", flush=True)


if __name__ == "__main__":
    main()
