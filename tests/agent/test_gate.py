"""The gate: programs in threads, a real server, and what it says of its cache."""

import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from backstory.agent.gate import Gate, GatedModel, as_program, servers_at
from backstory.agent.messages import Message, Prompt
from backstory.agent.runs import fix
from backstory.agent.schedule import Ledger, Policy, Server
from backstory.agent.script import call
from backstory.agent.scripted import Settings, serve
from backstory.errors import ModelError, UnreachableError
from fixing import asked, quiet
from serving import TOOLS, remote
from talking import CHECK, CHECKED, FOUND, ISSUE, OLD, READ, TITLE, faulty, is_localizer, model_that, roles

OPENING = (Message("system", "You mend code."), Message("user", "A repository."))
ROOM_FOR_ONE = 16_000  # tokens: a run fits; two do not when each is counted with a reply of more than half of it
TIGHT = Policy(fill=1.0, growth=0.0, reply_tokens=0, lease_s=60.0)


@contextmanager
def gated(pool, answers=lambda request: call("read", path="a.py"), policy=TIGHT):
    """Yield a model behind a gate of so many tokens, and the gate."""
    with serve(answers, Settings(pool_tokens=pool)) as server:
        gate = Gate(Ledger(servers_at(server.api_base), policy))
        yield GatedModel(remote(server.api_base), lambda: gate), gate


def ask(model, words=100, *, timeout_s=60.0, cancel=None):
    messages = [*OPENING, Message("user", "word " * words)]
    return model.reply(Prompt(messages, TOOLS, timeout_s=timeout_s, cancel=cancel or threading.Event()))


def program(model, phase="resolve"):
    return as_program(model, phase=phase, opening=OPENING, tools=TOOLS)


def test_a_server_says_what_it_holds():
    """The size is read from the server's metrics, and that of each engine behind one address; one that says nothing, or is not there, has none."""
    answers = lambda request: call("read", path="a.py")  # noqa: E731
    with serve(answers, Settings(pool_tokens=4096)) as server:
        assert servers_at(server.api_base) == [Server(server.api_base, 4096, priorities=True)]
    assert servers_at(server.api_base) == [Server(server.api_base, None)] and servers_at("no address") == [Server("no address", None)]
    with serve(answers) as server:
        assert servers_at(server.api_base) == [Server(server.api_base, None)]
    with serve(answers, Settings(pool_tokens=512, engines=12)) as server:
        assert [(one.tokens, one.rank) for one in servers_at(server.api_base)] == [(512, rank) for rank in range(12)]


def test_below_the_knee_nobody_waits():
    """Programs that fit are asked at once; only the time of asking the ledger is lost."""
    with gated(10**6) as (model, gate), ExitStack() as stack:
        replies = [ask(stack.enter_context(program(model))) for _ in range(4)]
    assert all(reply.stop == "calls" and reply.held_s < 0.5 for reply in replies)
    assert (gate.counts.held, gate.counts.turns) == (0, 4)


def test_who_does_not_fit_waits_until_another_ends():
    """The second program is asked when the first is over, and its reply says how long it was held."""
    with gated(400) as (model, gate):
        replies = []
        with program(model) as first:
            assert ask(first).held_s < 0.5

            def second():
                with program(model) as other:
                    replies.append(ask(other))

            thread = threading.Thread(target=second)
            thread.start()
            time.sleep(0.5)
            assert not replies and gate.counts.held == 1
        thread.join(timeout=30)
    assert replies[0].stop == "calls" and replies[0].held_s >= 0.4


def test_room_comes_back_when_a_program_fails():
    """An error that leaves the block gives the room back, a model's as any other."""
    with gated(400) as (model, _):
        with pytest.raises(RuntimeError), program(model) as first:
            ask(first)
            raise RuntimeError("crashed")
        with program(model) as second:
            assert ask(second, timeout_s=20.0).stop == "calls"


def test_who_is_cancelled_or_out_of_time_stops_waiting():
    """Waiting ends with the caller's time, or soon after its cancellation, with a reply that says so; the server is not asked."""
    with gated(400) as (model, gate), program(model) as first:
        ask(first)
        with program(model) as second:
            assert ask(second, timeout_s=0.3).stop == "cancelled"
            cancel = threading.Event()
            threading.Timer(0.2, cancel.set).start()
            assert ask(second, cancel=cancel).stop == "cancelled"
        assert gate.counts.turns == 1


def test_a_tool_that_runs_long_gives_its_room_to_another():
    """The wait ends by time alone, when the lease of the idle program is over."""
    with gated(400, policy=Policy(fill=1.0, growth=0.0, reply_tokens=0, lease_s=0.6)) as (model, gate), program(model) as first:
        ask(first)
        with program(model) as second:
            assert ask(second).held_s > 0.2
        assert gate.counts.paused == 1


def test_attempts_that_do_not_fit_together_run_one_after_another(tmp_path):
    """With room for one, the second attempt begins when the first is over; both come to their end, as without a gate."""
    repo = faulty(tmp_path / "repo")
    wrong = [READ, call("edit", path="prices.py", old=OLD, new="    return 1"), CHECKED, *[call("submit", summary="tried")] * 4]
    with model_that(roles([FOUND], wrong, wrong), Settings(pool_tokens=ROOM_FOR_ONE)) as (settings, open_model, exchanges):
        gate = Gate(Ledger(servers_at(settings.api_base), replace(TIGHT, reply_tokens=ROOM_FOR_ONE // 2 + 1, lease_s=1e6, hold_s=1e6)))
        request = asked(repo.root, tmp_path / "home", title=TITLE, issue_text=ISSUE, check=CHECK, model=settings, attempts=2)
        outcome = fix(request, report=quiet, open_model=lambda chosen: GatedModel(open_model(chosen), lambda: gate))
    assert [run.ended for run in outcome.solution.agents.runs] == ["done", "done", "done"]
    seeds = [exchange.request.sampling.seed for exchange in exchanges if not is_localizer(exchange.request)]
    assert len(set(seeds)) == 2 and seeds == sorted(seeds, key=seeds.index) and gate.counts.held >= 1


def test_a_model_without_a_gate_is_asked_as_it_is():
    """So is one of a provider whose servers are its own affair."""
    with serve(lambda request: call("read", path="a.py")) as server:
        plain = remote(server.api_base)
        with program(plain) as model:
            assert model is plain


# --- the way a turn goes ----------------------------------------------------------------------------------------------------------------


def test_a_turn_says_whose_it_is_and_how_urgent():
    """One name for all turns of a program and another for the next program; a first turn is served after later ones of those that are let in."""
    exchanges = []
    with serve(lambda request: call("read", path="a.py"), Settings(pool_tokens=10**6), on_exchange=exchanges.append) as server:
        model = GatedModel(remote(server.api_base), lambda: gate)
        gate = Gate(Ledger(servers_at(server.api_base)))
        for _ in range(2):
            with program(model) as one:
                ask(one)
                ask(one, 200)
    ways = [exchange.request.way for exchange in exchanges]
    assert ways[0].session == ways[1].session != ways[2].session == ways[3].session != ""
    assert [way.rank for way in ways] == [None] * 4
    assert ways[0].priority == ways[2].priority == 10 and ways[1].priority < 10 > ways[3].priority


@pytest.mark.parametrize("settings", [Settings(), Settings(pool_tokens=10**6, unknown="priority")], ids=["not vLLM", "refuses"])
def test_priorities_are_for_servers_that_know_them(settings):
    """A server without vLLM's metrics is sent none, and one that refuses the field is asked again without, once and for all."""
    exchanges = []
    with serve(lambda request: call("read", path="a.py"), settings, on_exchange=exchanges.append) as server:
        gate = Gate(Ledger(servers_at(server.api_base)))
        with program(GatedModel(remote(server.api_base), lambda: gate)) as one:
            assert [ask(one).stop, ask(one).stop] == ["calls", "calls"]
    assert [exchange.request.way.priority for exchange in exchanges] == [None, None]


def test_a_program_stays_with_its_engine():
    """Of several engines behind one address each program has one, which every turn names, and the next goes where there is more room."""
    exchanges = []
    answers = lambda request: call("read", path="a.py")  # noqa: E731
    with serve(answers, Settings(pool_tokens=2000, engines=2), on_exchange=exchanges.append) as server, ExitStack() as stack:
        gate = Gate(Ledger(servers_at(server.api_base), TIGHT))
        model = GatedModel(remote(server.api_base), lambda: gate)
        first = stack.enter_context(as_program(model, phase="a", opening=OPENING[:1], tools=TOOLS))
        ask(first, 400)
        second = stack.enter_context(as_program(model, phase="a", opening=OPENING, tools=TOOLS))
        ask(second, 400)
        ask(first, 500)
    assert [exchange.request.way.rank for exchange in exchanges] == [0, 1, 0]


def test_a_prompt_that_fills_the_cache_is_not_sent():
    """vLLM would let it wait for ever, and all behind it; it is an overflow, which the caller shortens. Known once a server has counted tokens."""
    with gated(1000) as (model, gate), program(model) as one:
        assert ask(one).stop == "calls"
        assert ask(one, 2000).stop == "overflow"
        assert ask(one).stop == "calls"
    assert gate.counts.turns == 2


# --- servers that go away ---------------------------------------------------------------------------------------------------------------


def port_of(server):
    return int(server.api_base.split(":")[2].split("/")[0])


def test_programs_wait_for_a_server_that_went_away_and_go_on():
    """Killed and started again at its address, with nothing in its cache: each program's turn is asked again there, and none of them fails."""
    answers = lambda request: call("read", path="a.py")  # noqa: E731
    replies = []

    def turns(model):
        with program(model) as one:
            for words in (100, 120, 140):
                replies.append(ask(one, words))
                asked_once.set()
                away.wait(timeout=30)

    asked_once, away = threading.Event(), threading.Event()
    with serve(answers, Settings(pool_tokens=10**6)) as server:
        port = port_of(server)
        gate = Gate(Ledger(servers_at(server.api_base)))
        model = GatedModel(remote(server.api_base), lambda: gate)
        threads = [threading.Thread(target=turns, args=(model,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        asked_once.wait(timeout=30)
    away.set()
    time.sleep(1.0)
    exchanges = []
    with serve(answers, Settings(pool_tokens=10**6), port=port, on_exchange=exchanges.append):
        for thread in threads:
            thread.join(timeout=60)
    assert [reply.stop for reply in replies] == ["calls"] * 9
    assert len(exchanges) >= 6 and any(reply.held_s > 0.5 for reply in replies)


def test_a_program_moves_to_another_server():
    """Where there is a second one, the turn goes there at once, and the first may come back for those that begin later."""
    answers = lambda request: call("read", path="a.py")  # noqa: E731
    with serve(answers, Settings(pool_tokens=10**6)) as stays:
        with serve(answers, Settings(pool_tokens=10**6)) as leaves:
            gate = Gate(Ledger([*servers_at(leaves.api_base), *servers_at(stays.api_base)]))
            model, port = GatedModel(remote(leaves.api_base), lambda: gate), port_of(leaves)
            stack = ExitStack()
            one = stack.enter_context(program(model))
            ask(one)
        with stack:
            reply = ask(one, 200, timeout_s=30.0)
            assert (reply.stop, gate.counts.moved) == ("calls", 1) and reply.held_s < 10.0
            with serve(answers, Settings(pool_tokens=10**6), port=port):
                until = time.monotonic() + 30
                while gate._ledger.is_away(leaves.api_base) and time.monotonic() < until:
                    time.sleep(0.05)
                assert ask(one, 220).stop == "calls"
        assert gate.counts.moved == 1


def test_a_server_that_comes_back_is_asked_anew_how_much_it_holds():
    """One that held two programs and comes back with room for one lets them go on one after the other."""
    answers = lambda request: call("read", path="a.py")  # noqa: E731
    with ExitStack() as stack:
        with serve(answers, Settings(pool_tokens=10**6)) as server:
            gate = Gate(Ledger(servers_at(server.api_base), TIGHT))
            model = GatedModel(remote(server.api_base), lambda: gate)
            programs = [stack.enter_context(program(model)) for _ in range(2)]
            assert [ask(one).stop for one in programs] == ["calls"] * 2
        with serve(answers, Settings(pool_tokens=400), port=port_of(server)):
            assert ask(programs[0], 120).stop == "calls"
            assert [one.tokens for one in gate.servers] == [400]
            assert ask(programs[1], 120, timeout_s=1.0).stop == "cancelled"


@pytest.mark.parametrize("others", [0, 1])
def test_a_server_that_is_not_there_at_first_is_asked_when_it_comes(others):
    """A gate that was made while nothing answered at the address learns how much is held there, beside another server or alone."""
    answers = lambda request: call("read", path="a.py")  # noqa: E731
    with ExitStack() as stack:
        there = [stack.enter_context(serve(answers, Settings(pool_tokens=300))) for _ in range(others)]
        with serve(answers) as server:
            pass
        gate = Gate(Ledger([engine for base in (server.api_base, *(one.api_base for one in there)) for engine in servers_at(base)], TIGHT))
        model = GatedModel(remote(server.api_base), lambda: gate)
        for _ in range(2 * others):  # the first finds that nobody is there, and both go to the other, whoever fits or not
            with program(model) as one:
                assert ask(one).stop == "calls"
        with serve(answers, Settings(pool_tokens=400), port=port_of(server)):
            with program(model) as first:
                until = time.monotonic() + 30
                while gate._ledger.is_away(server.api_base) and time.monotonic() < until:
                    time.sleep(0.05)
                assert ask(first).stop == "calls"
            assert [one.tokens for one in gate.servers] == [400, *[300] * others]


def test_a_start_that_nobody_noticed_is_seen_by_the_empty_cache():
    """Killed and started while all tools ran, so that nobody waited for it: the next reply found nothing in the cache, and how much it holds is asked again."""
    answers = lambda request: call("read", path="a.py")  # noqa: E731
    with ExitStack() as stack:
        with serve(answers, Settings(pool_tokens=10**6)) as server:
            gate = Gate(Ledger(servers_at(server.api_base), TIGHT))
            one = stack.enter_context(program(GatedModel(remote(server.api_base), lambda: gate)))
            ask(one)
        with serve(answers, Settings(pool_tokens=5000), port=port_of(server)):
            assert ask(one, 200).stop == "calls"
            assert gate.servers == [Server(server.api_base, 5000, priorities=True)]


def test_a_server_that_never_answered_is_not_waited_for():
    """An address where nothing is says so as without a gate."""
    with serve(lambda request: None) as server:
        pass
    gate = Gate(Ledger(servers_at(server.api_base)))
    with program(GatedModel(remote(server.api_base), lambda: gate)) as one, pytest.raises(ModelError, match="cannot reach"):
        ask(one)


def test_a_server_that_is_not_back_in_time_is_named():
    """The time of the call is over; what is to be done is said."""
    with serve(lambda request: call("read", path="a.py"), Settings(pool_tokens=10**6)) as server:
        gate = Gate(Ledger(servers_at(server.api_base)))
        stack = ExitStack()
        one = stack.enter_context(program(GatedModel(remote(server.api_base), lambda: gate)))
        ask(one)
    with stack, pytest.raises(UnreachableError, match=r"went away and was not back within .* `backstory resume` the run"):
        ask(one, timeout_s=2.0)


def test_a_server_that_fails_inside_is_not_waited_for():
    """Ready by its own word, it gives an error whatever is asked; that is told, and nobody waits."""
    settings = Settings(pool_tokens=10**6, at=dict.fromkeys(range(2, 40), "500"))
    with serve(lambda request: call("read", path="a.py"), settings) as server:
        gate = Gate(Ledger(servers_at(server.api_base)))
        with program(GatedModel(remote(server.api_base), lambda: gate)) as one:
            ask(one)
            with pytest.raises(ModelError, match="keeps failing with status 500"):
                ask(one)
