"""The gate: programs in threads, a real server, and what it says of its cache."""

import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from backstory.agent.capacity import pool_tokens
from backstory.agent.gate import Gate, GatedModel, as_program
from backstory.agent.messages import Message, Sampling
from backstory.agent.runs import fix
from backstory.agent.schedule import Ledger, Policy, Server
from backstory.agent.script import call
from backstory.agent.scripted import Settings, serve
from fixing import asked, quiet
from serving import TOOLS, remote
from talking import CHECK, CHECKED, FOUND, ISSUE, OLD, READ, TITLE, faulty, is_localizer, model_that, roles

OPENING = (Message("system", "You mend code."), Message("user", "A repository."))
TIGHT = Policy(fill=1.0, growth=0.0, reply_tokens=0, lease_s=60.0)


@contextmanager
def gated(pool, answers=lambda request: call("read", path="a.py"), policy=TIGHT):
    """Yield a model behind a gate of so many tokens, and the gate."""
    with serve(answers, Settings(pool_tokens=pool)) as server:
        gate = Gate(Ledger([Server(server.api_base, pool_tokens(server.api_base))], policy))
        yield GatedModel(remote(server.api_base), lambda: gate), gate


def ask(model, words=100, *, timeout_s=60.0, cancel=None):
    messages = [*OPENING, Message("user", "word " * words)]
    return model.reply(messages, TOOLS, sampling=Sampling(), timeout_s=timeout_s, cancel=cancel or threading.Event())


def program(model, phase="resolve"):
    return as_program(model, phase=phase, opening=OPENING, tools=TOOLS)


def test_a_server_says_what_it_holds():
    """The size is read from the server's metrics; one that says nothing, or is not there, is None."""
    with serve(lambda request: call("read", path="a.py"), Settings(pool_tokens=4096)) as server:
        assert pool_tokens(server.api_base) == 4096
    with serve(lambda request: call("read", path="a.py")) as server:
        assert pool_tokens(server.api_base) is None
    assert pool_tokens(server.api_base) is None and pool_tokens("no address") is None


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
    with model_that(roles([FOUND], wrong, wrong), Settings(pool_tokens=100)) as (settings, open_model, exchanges):
        gate = Gate(Ledger([Server("one", pool_tokens(settings.api_base))], replace(TIGHT, lease_s=1e6, hold_s=1e6)))
        request = asked(repo.root, tmp_path / "home", title=TITLE, issue_text=ISSUE, check=CHECK, model=settings, attempts=2)
        outcome = fix(request, report=quiet, open_model=lambda chosen: GatedModel(open_model(chosen), lambda: gate))
    assert [run.ended for run in outcome.solution.agents.runs] == ["done", "done", "done"]
    seeds = [exchange.request.sampling.seed for exchange in exchanges if not is_localizer(exchange.request)]
    assert len(set(seeds)) == 2 and seeds == sorted(seeds, key=seeds.index) and gate.counts.held >= 1


def test_a_model_without_a_gate_is_asked_as_it_is():
    """So is one whose server does not say what it holds."""
    with serve(lambda request: call("read", path="a.py")) as server:
        plain = remote(server.api_base)
        with program(plain) as model:
            assert model is plain
        with program(GatedModel(plain, lambda: None)) as model:
            assert model is plain
