"""Which programs a model server serves at a time: admission of whole programs by what fits into its KV cache, as a ledger without threads or clock.

A program is one conversation: it asks, runs tools, asks again, and each prompt begins with the one before. A paged KV cache serves that beginning from
memory as long as nothing pushed it out; once the contexts of all programs that take turns exceed the pool, each pushes out the others and everything
is computed again at every turn. The server cannot see it coming: a program whose tool runs holds no blocks. So the client keeps the ledger: a program
is admitted when its expected peak fits beside those already there, or when what it pushes out costs less to compute again than its waiting does
(`backstory.agent.pace`), runs to its end without further queueing, and gives its room up early only while its tool runs past a lease and another one waits.

Every method is an event at a time and returns the programs that may ask now; `Ledger.wake_s` says when time alone changes that. `backstory.agent.gate`
puts threads around it, and a simulator can put its own time. After ThunderAgent (arXiv 2602.13692), Continuum (2511.02230) and the replication of
the former that found the knee between .75 and .87 of the pool.
"""

import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from backstory.agent.messages import Usage
from backstory.agent.pace import Pace

# A peak that nothing is known about: so many first prompts and so many tokens beside them, but no more than a share of the pool: one that holds fewer
# conversations than that is too small to share, and a guess that says so would hold programs back that fit (docs/log.md, 2026-11-27).
COLD_PROMPTS: Final = 3
COLD_TOKENS: Final = 6_000
COLD_SHARE: Final = 3
# Of a phase's newest programs.
PEAKS_KEPT: Final = 100
# A program that was paused and let in again takes so many turns before it can be paused once more.
SAFE_TURNS: Final = 3
# Nine in ten of a tool's runs end within its lease; so many of its newest runs say how long that is.
RUNS_KEPT: Final = 100
# The controller of `Policy.fill` looks back over so many turns, and moves it by one step at most.
WINDOW_TURNS: Final = 200
FILL_STEP: Final = 0.05
LEAST_FILL, MOST_FILL = 0.6, 1.0
GOOD_REUSE, BEST_REUSE = 0.85, 0.97
MANY_PAUSES: Final = 0.1

Mode = Literal["fit", "cap", "open"]
"""By what a program is admitted: what fits; a fixed number of programs; always."""


@dataclass(frozen=True)
class Policy:
    """How a ledger decides.

    fill: share of the pool that admitted programs may fill; growth: share of what a program is still expected to grow that is counted when it is let in;
    worth: what one that does not fit has to bring at least, as a share of what one would that costs nothing; reply_tokens: the longest reply; lease_s: how
    long a tool may run at least before its program can be paused; patience_s: nobody overtakes a program that has waited longer; hold_s: after so long a
    program is let in whatever fits, and counted; lost_s: a turn that takes longer belongs to a program that is gone; most: programs at a time in the mode
    "cap"; adapts: whether `fill` follows how much of the prompts was reused.
    """

    mode: Mode = "fit"
    fill: float = 0.9
    growth: float = 0.6
    worth: float = 0.5
    reply_tokens: int = 4096
    lease_s: float = 30.0
    patience_s: float = 60.0
    hold_s: float = 600.0
    lost_s: float = 3600.0
    most: int = 1
    adapts: bool = True


@dataclass(frozen=True)
class Server:
    """A model server, or one engine of several behind an address.

    name: its address; tokens: what its KV cache holds (`kv_cache_size_tokens` of vLLM), None when it does not say: then nothing is ever held. rank: which
    data-parallel engine, None where there is one; priorities: whether it takes requests by priority.
    """

    name: str
    tokens: int | None
    rank: int | None = None
    priorities: bool = False


@dataclass(frozen=True)
class Header:
    """The beginning that prompts share: system text, tools, repository card. key: equal for equal bytes; it is counted once while anyone uses it."""

    key: str
    tokens: int


@dataclass(frozen=True)
class Counts:
    """What a ledger did. forced: let in because they had waited too long; lost: turns that never ended; moved: to another server, since theirs went away."""

    admitted: int = 0
    held: int = 0
    paused: int = 0
    forced: int = 0
    lost: int = 0
    turns: int = 0
    moved: int = 0


@dataclass
class _Program:
    """One conversation.

    state: "idle" (its tool runs, or it has not asked), "waiting" to be let in, "asking". since: when that began. context: its tokens now; first: those of
    its first prompt; safe: turns in which it cannot be paused.
    """

    id: str
    phase: str
    header: Header
    server: Server
    order: int
    since: float
    state: Literal["idle", "waiting", "asking"] = "idle"
    admitted: bool = False
    context: int = 0
    first: int = 0
    turns: int = 0
    safe: int = 0
    tool: str = ""

    @property
    def own(self) -> int:
        """Tokens that nobody else's prompts begin with."""
        return max(0, self.context - self.header.tokens)


@dataclass
class _Window:
    """What the newest turns came to, in tokens and pauses. beyond: programs that were let in though they did not fit, for they were worth it."""

    turns: int = 0
    pauses: int = 0
    beyond: int = 0
    cached: int = 0
    reusable: int = 0


@dataclass
class Ledger:
    """Who is admitted where. Not for several threads at once; times are seconds of any clock that never goes back."""

    servers: Sequence[Server]
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        self._programs: dict[str, _Program] = {}
        self._peaks: dict[str, deque[int]] = {}
        self._runs: dict[str, deque[float]] = {}
        self._paces: dict[str, Pace] = {}
        self._needs: dict[tuple[str, int | None], int] = {}  # what was reckoned since the last event that changes it
        self._away: set[str] = set()
        self._window = _Window()
        self._fill = self.policy.fill
        self._submitted = 0
        self.counts = Counts()

    # --- events -----------------------------------------------------------------------------------------------------------------------

    def begin(self, id: str, *, phase: str, header: Header, now: float) -> None:
        """Make a program known. phase: programs of one phase are expected to grow alike. It holds nothing until it asks."""
        self._submitted += 1
        self._programs[id] = _Program(id, phase, header, self.servers[0], self._submitted, now)

    def ask(self, id: str, tokens: int, *, now: float) -> tuple[str, ...]:
        """A program wants a turn with a prompt of so many tokens."""
        program = self._programs[id]
        if program.turns:
            self._pace_of(program.server).came_back(now - program.since)
            if program.tool:
                self._runs.setdefault(program.tool, deque(maxlen=RUNS_KEPT)).append(now - program.since)
        if not program.turns:
            program.first = tokens
        program.context, program.state, program.since = tokens, "waiting", now
        self._needs.clear()
        passed = self.tick(now=now)
        if program.state == "waiting":
            self.counts = replace(self.counts, held=self.counts.held + 1)
        return passed

    def answered(self, id: str, usage: Usage, *, tool: str = "", now: float) -> tuple[str, ...]:
        """A turn ended; the program's context is its prompt and the reply now. tool: what the program does now."""
        program = self._programs[id]
        if usage.cached_tokens is not None and usage.reusable_tokens is not None:
            self._window.cached += usage.cached_tokens
            self._window.reusable += usage.reusable_tokens
        self._pace_of(program.server).answered(usage)
        program.context = usage.input_tokens + usage.output_tokens or program.context
        self._needs.clear()
        program.state, program.since, program.tool = "idle", now, tool
        program.turns += 1
        program.safe = max(0, program.safe - 1)
        self.counts = replace(self.counts, turns=self.counts.turns + 1)
        self._window.turns += 1
        self._adapt()
        self._make_room()
        return self.tick(now=now)

    def withdraw(self, id: str, *, now: float) -> tuple[str, ...]:
        """A turn comes to nothing: the program does not wait for it any more, or was not answered. What it holds stays its own."""
        program = self._programs[id]
        program.state, program.since = "idle", now
        return self.tick(now=now)

    def end(self, id: str, *, now: float) -> tuple[str, ...]:
        """A program is over, however it ended; its room is free. Unknown ids are nothing: an end may be told twice."""
        program = self._programs.pop(id, None)
        self._needs.clear()
        if program is not None and program.turns:
            self._peaks.setdefault(program.phase, deque(maxlen=PEAKS_KEPT)).append(program.context)
        return self.tick(now=now)

    def away(self, name: str, *, now: float) -> tuple[str, ...]:
        """The server at an address went away and what its cache held with it: its programs wait until it is back, or ask another that is there."""
        self._away.add(name)
        for program in self._programs.values():
            program.admitted &= program.server.name != name
        return self.tick(now=now)

    def back(self, name: str, *, now: float) -> tuple[str, ...]:
        """The server at an address that had gone away may be asked again."""
        self._away.discard(name)
        return self.tick(now=now)

    def renew(self, name: str, engines: Sequence[Server], *, now: float) -> tuple[str, ...]:
        """The server at an address is these engines now: what they hold may be another than before. Its programs keep their ranks."""
        place = [server.name for server in self.servers].index(name)
        others = [server for server in self.servers if server.name != name]
        self.servers = [*others[:place], *engines, *others[place:]]
        for program in self._programs.values():
            if program.server.name == name:
                program.server = next((engine for engine in engines if engine.rank == program.server.rank), engines[0])
        self._make_room()
        return self.tick(now=now)

    def tick(self, *, now: float) -> tuple[str, ...]:
        """Let time pass; return who may ask now."""
        for program in self._programs.values():
            if program.state == "asking" and program.admitted and now >= program.since + self.policy.lost_s:
                program.admitted = False
                self.counts = replace(self.counts, lost=self.counts.lost + 1)
        return tuple(program.id for program in self._let_in(now))

    # --- what is known ----------------------------------------------------------------------------------------------------------------

    def may_ask(self, id: str) -> bool:
        """Return whether a program that wanted a turn has it."""
        return self._programs[id].state == "asking"

    def server_of(self, id: str) -> Server:
        """Return the server a program is bound to, from its first turn on."""
        return self._programs[id].server

    def is_away(self, name: str) -> bool:
        """Return whether the server at an address went away and is not back."""
        return name in self._away

    def is_idle(self) -> bool:
        """Return whether no program is there."""
        return not self._programs

    def wake_s(self, *, now: float) -> float | None:
        """Return in how many seconds `tick` may let somebody in without another event, None when it cannot."""
        waiting = [program for program in self._programs.values() if program.state == "waiting" and not self.is_away(program.server.name)]
        if not waiting:
            return None
        times = [program.since + self.policy.hold_s for program in waiting]
        times += [program.since + self._lease_s(program) for program in self._programs.values() if self._pausable(program)]
        times += [
            program.since + self.policy.lost_s for program in self._programs.values() if program.state == "asking" and program.admitted
        ]
        return min((time - now for time in times if time > now), default=None)

    def priority(self, id: str) -> int:
        """Return the request priority of a program's next turn, lower first: 0 to 9 by how near its end is expected, 10 for a first turn."""
        program = self._programs[id]
        if not program.turns:
            return 10
        left = max(0, self._peak(program) - program.context) / max(1, self._peak(program))
        return min(9, int(10 * left))

    def load(self, server: Server) -> int:
        """Return the tokens that the programs admitted to a server are counted with."""
        return self._counted(self._admitted(server))

    # --- deciding ---------------------------------------------------------------------------------------------------------------------

    def _let_in(self, now: float) -> Iterator[_Program]:
        """Let those ask who may, and yield them: the admitted at once, then the queue in its order as far as it fits."""
        for program in self._programs.values():
            if program.state == "waiting" and program.admitted:
                yield self._pass(program, now)
        for program in self._queue():
            if program.turns == 0 or self.is_away(program.server.name):
                self._bind(program)
            if self.is_away(program.server.name):
                continue
            if self._fits(program):
                pass
            elif self._is_worth(program):
                self._window.beyond += 1
            elif not self._gave_way(program, now):
                if now >= program.since + self.policy.hold_s:
                    self.counts = replace(self.counts, forced=self.counts.forced + 1)
                elif now > program.since + self.policy.patience_s:
                    return  # nobody overtakes it any more
                else:
                    continue
            program.admitted = True
            self.counts = replace(self.counts, admitted=self.counts.admitted + 1)
            yield self._pass(program, now)

    def _pass(self, program: _Program, now: float) -> _Program:
        program.state, program.since = "asking", now
        return program

    def _queue(self) -> list[_Program]:
        """Return who waits to be admitted: those that were paused, then those that share a header with somebody admitted, then by age."""
        resident = {program.header.key for program in self._programs.values() if program.admitted}
        waiting = [program for program in self._programs.values() if program.state == "waiting" and not program.admitted]
        return sorted(waiting, key=lambda one: (one.turns == 0, one.header.key not in resident, one.order))

    def _bind(self, program: _Program) -> None:
        """Give a program the server it fits on, best with its header there, then the one with most room, of those that are there."""

        def standing(server: Server) -> tuple[bool, bool, bool, float]:
            shares = any(other.header.key == program.header.key for other in self._admitted(server))
            free = float("inf") if server.tokens is None else self._fill * server.tokens - self.load(server)
            return (self.is_away(server.name), not self._fits(replace(program, server=server)), not shares, -free)

        server = min(self.servers, key=standing)
        if program.turns and server != program.server and not self.is_away(server.name):
            self.counts = replace(self.counts, moved=self.counts.moved + 1)
        program.server = server

    def _fits(self, program: _Program, without: Sequence[_Program] = ()) -> bool:
        """Return whether a program fits on its server, with the room of some others given up."""
        admitted = [one for one in self._admitted(program.server) if one not in without and one is not program]
        if self.policy.mode == "cap":
            return len(admitted) < self.policy.most
        if self.policy.mode == "open" or program.server.tokens is None or not admitted:
            return True
        everyone = [*admitted, program]
        return self._counted(everyone) <= self._fill * program.server.tokens

    def _is_worth(self, program: _Program) -> bool:
        """Return whether a program brings enough though it does not fit beside those admitted, and what is pushed out is computed again."""
        if self.policy.mode != "fit":
            return False
        others = [one for one in self._admitted(program.server) if one is not program]
        before, after = (self._pace(program.server, programs) for programs in (others, [*others, program]))
        return before is not None and after is not None and after >= before * (1 + self.policy.worth / len(others))

    def _pace(self, server: Server, programs: Sequence[_Program]) -> float | None:
        """Return the turns a second of programs at a server; of contexts that outgrow the pool the share that does not fit is computed again."""
        counted = self._counted(programs)
        lost = max(0.0, 1 - self._fill * (server.tokens or counted) / max(1, counted))
        return self._pace_of(server).turns_a_second(len(programs), lost * statistics.fmean(program.own for program in programs))

    def _pace_of(self, server: Server) -> Pace:
        return self._paces.setdefault(server.name, Pace())

    def _gave_way(self, program: _Program, now: float) -> bool:
        """Pause the programs, longest idle first, that make room for one that waits; None are paused when that would not do."""
        if self.policy.mode != "fit":
            return False
        idle = [one for one in self._admitted(program.server) if self._pausable(one) and now >= one.since + self._lease_s(one)]
        idle.sort(key=lambda one: (one.since, one.own))
        for count in range(1, len(idle) + 1):
            if self._fits(program, idle[:count]):
                for one in idle[:count]:
                    self._pause(one)
                return True
        return False

    def _make_room(self) -> None:
        """Pause idle programs while the contexts that are there exceed the pool: they push each other out already."""
        if self.policy.mode != "fit":
            return
        for server in self.servers:
            admitted = self._admitted(server)
            idle = sorted((one for one in admitted if self._pausable(one)), key=lambda one: (one.since, one.own))
            while (
                server.tokens is not None
                and len(admitted) > 1
                and idle
                and sum(one.own for one in admitted) + _headers(admitted) > server.tokens
            ):
                if self._is_worth(idle[0]):
                    self._window.beyond += 1
                    break
                self._pause(idle[0])
                admitted.remove(idle.pop(0))

    def _pause(self, program: _Program) -> None:
        program.admitted, program.safe = False, SAFE_TURNS
        self._window.pauses += 1
        self.counts = replace(self.counts, paused=self.counts.paused + 1)

    def _pausable(self, program: _Program) -> bool:
        return program.admitted and program.state == "idle" and program.safe == 0

    def _admitted(self, server: Server) -> list[_Program]:
        return [one for one in self._programs.values() if one.admitted and one.server == server]

    def _counted(self, programs: Sequence[_Program]) -> int:
        """Return the tokens that programs are counted with together."""
        return sum(map(self._need, programs)) + _headers(programs)

    def _need(self, program: _Program) -> int:
        """Return the tokens a program is counted with: what it has, a reply, and a part of what it is expected to grow."""
        asked = (program.id, program.server.tokens)
        if asked not in self._needs:
            growth = max(0, self._peak(program) - program.context)
            self._needs[asked] = program.own + self.policy.reply_tokens + int(self.policy.growth * growth)
        return self._needs[asked]

    def _peak(self, program: _Program) -> int:
        """Return how long a program's context is expected to become: by those of its phase that ended or are under way, and a guess beside them."""
        guess = COLD_PROMPTS * program.first + COLD_TOKENS
        if program.server.tokens is not None:
            guess = min(guess, max(program.first, program.server.tokens // COLD_SHARE))
        ended = (*self._peaks.get(program.phase, ()), guess)
        under_way = (other.context for other in self._programs.values() if other.phase == program.phase and other.turns)
        return int(mean_beyond(program.context, ended, under_way) or program.context)

    def _lease_s(self, program: _Program) -> float:
        """Return how long a program's tool may run before it can be paused: longer where the tool usually takes longer."""
        runs = self._runs.get(program.tool, ())
        return max(self.policy.lease_s, statistics.quantiles(runs, n=10)[-1] if len(runs) > 1 else 0.0)

    def _adapt(self) -> None:
        """Move the share that may be filled one step, when a window of turns says so."""
        if self._window.turns < WINDOW_TURNS:
            return
        window, self._window = self._window, _Window()
        if not self.policy.adapts or not window.reusable or window.beyond:
            return
        reuse = window.cached / window.reusable
        if reuse < GOOD_REUSE or window.pauses > MANY_PAUSES * window.turns:
            self._fill = max(LEAST_FILL, self._fill - FILL_STEP)
        elif reuse > BEST_REUSE and any(program.state == "waiting" for program in self._programs.values()):
            self._fill = min(MOST_FILL, self._fill + FILL_STEP)


def mean_beyond(reached: int, ended: Iterable[int], under_way: Iterable[int]) -> float:
    """Return the mean length of what is longer than `reached`, of lengths that ended and others that are still growing; 0 where nothing is.

    Those under way become longer than they are by nobody knows how much, so each hands its share on to all that are longer: the product-limit estimate.
    Source: Kaplan and Meier, Nonparametric Estimation from Incomplete Observations, JASA 53, 1958.

    >>> mean_beyond(0, [2, 4], [])
    3.0
    >>> mean_beyond(2, [2, 4, 6], [])
    5.0
    >>> mean_beyond(0, [2, 6], [4])
    4.666666666666667
    """
    lengths = sorted(
        [(length, True) for length in ended if length > reached] + [(length, False) for length in under_way if length > reached]
    )
    mean, left = 0.0, 1.0
    for place, (length, has_ended) in enumerate(lengths):
        if has_ended or place == len(lengths) - 1:
            share = left / (len(lengths) - place)
            mean, left = mean + share * length, left - share
    return mean


def _headers(programs: Sequence[_Program]) -> int:
    """Return the tokens of the headers that programs share, each once."""
    headers: Mapping[str, int] = {program.header.key: program.header.tokens for program in programs}
    return sum(headers.values())
