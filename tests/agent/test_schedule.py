"""The ledger of programs: who is let in, who waits, who gives way; what holds for any history of events."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.agent.messages import Usage
from backstory.agent.pace import LEAST_TURNS
from backstory.agent.schedule import COLD_PROMPTS, COLD_SHARE, COLD_TOKENS, SAFE_TURNS, WINDOW_TURNS, Header, Ledger, Policy, Server

HEADER = Header("card of a repository", 1_000)
PLAIN = Policy(fill=1.0, growth=0.0, reply_tokens=0, lease_s=10.0, adapts=False)
"""Counts what is there and nothing else."""


def ledger_of(tokens, policy=PLAIN, servers=1):
    return Ledger([Server(f"server-{number}", tokens) for number in range(servers)], policy)


def begin(ledger, *ids, header=HEADER, now=0.0):
    for id in ids:
        ledger.begin(id, phase="resolve", header=header, now=now)


class TestAdmission:
    def test_what_fits_asks_at_once_and_the_rest_waits_its_turn(self):
        """Contexts beside their shared header are added up; who does not fit is let in by the end of another."""
        ledger = ledger_of(10_000)
        begin(ledger, "a", "b", "c")
        assert [ledger.ask(id, 5_000, now=0.0) for id in "abc"] == [("a",), ("b",), ()]
        assert not ledger.may_ask("c") and ledger.load(ledger.servers[0]) == 9_000
        assert ledger.end("a", now=1.0) == ("c",)
        assert (ledger.counts.admitted, ledger.counts.held) == (3, 1)

    def test_a_header_counts_once_however_many_share_it(self):
        """Programs with equal beginnings fit where programs with different ones do not."""
        shared, apart = ledger_of(10_000), ledger_of(10_000)
        begin(shared, *"abc", header=Header("one", 4_000))
        for id in "abc":
            begin(apart, id, header=Header(id, 4_000))
        assert [bool(shared.ask(id, 6_000, now=0.0)) for id in "abc"] == [True, True, True]
        assert [bool(apart.ask(id, 6_000, now=0.0)) for id in "abc"] == [True, False, False]

    def test_room_is_kept_for_what_programs_will_grow_by(self):
        """A first program is expected at a guess; peaks that were seen correct it."""
        policy = replace(PLAIN, growth=1.0)
        guess = COLD_PROMPTS * 1_000 + COLD_TOKENS
        ledger = ledger_of(4 * guess - 3 * HEADER.tokens - 1, policy)
        begin(ledger, *"abcd")
        assert [ledger.ask(id, 1_000, now=0.0) for id in "abcd"] == [("a",), ("b",), ("c",), ()]
        ledger.answered("a", Usage(1_200), now=1.0)
        assert ledger.end("a", now=2.0) == ("d",)
        begin(ledger, "e")
        assert ledger.ask("e", 1_000, now=3.0) == ("e",), "programs of this phase turned out small"

    def test_no_guess_exceeds_a_share_of_the_pool(self):
        """In a pool that is small beside the guess as many new programs are let in as the share says; what they do is learnt as ever."""
        policy = replace(PLAIN, growth=1.0)
        ledger = ledger_of(COLD_SHARE * 2_000, policy)
        begin(ledger, *"abcd", header=Header("none", 0))
        assert [ledger.ask(id, 500, now=0.0) for id in "abcd"] == [("a",), ("b",), ("c",), ()]
        large = ledger_of(COLD_SHARE * 2_000, policy)
        begin(large, *"ab", header=Header("none", 0))
        assert [large.ask(id, 3_500, now=0.0) for id in "ab"] == [("a",), ()], "a first prompt beyond the share counts whole"

    def test_who_became_long_is_expected_to_become_longer(self):
        """Of programs of two kinds the short ones say nothing about one that is longer than they became."""
        ledger = ledger_of(9 * 8_000, replace(PLAIN, growth=1.0))
        none = Header("none", 0)
        for id, peak in (("a", 2_000), ("b", 2_000), ("c", 8_000), ("d", 8_000)):
            begin(ledger, id, header=none)
            ledger.ask(id, 500, now=0.0)
            ledger.answered(id, Usage(peak), now=1.0)
            ledger.end(id, now=1.0)
        begin(ledger, "e", header=none)
        (server,) = ledger.servers
        guess = COLD_PROMPTS * 500 + COLD_TOKENS
        ledger.ask("e", 500, now=2.0)
        assert ledger.load(server) == (2 * 2_000 + 2 * 8_000 + guess) // 5
        ledger.answered("e", Usage(3_000), now=3.0)
        assert ledger.load(server) == (2 * 8_000 + guess) // 3
        ledger.answered("e", Usage(9_000), now=4.0)
        assert ledger.load(server) == 9_000

    def test_one_program_is_let_in_however_large_it_is(self):
        """Where nothing is admitted nothing can be pushed out, so nobody is held for ever."""
        ledger = ledger_of(100)
        begin(ledger, *"ab")
        assert ledger.ask("a", 50_000, now=0.0) == ("a",)
        assert ledger.ask("b", 1_001, now=0.0) == ()

    def test_once_admitted_turns_pass_straight_through(self):
        """A program that waits does not come between two turns of one that was let in."""
        ledger = ledger_of(10_000)
        begin(ledger, *"ab")
        ledger.ask("a", 9_000, now=0.0)
        ledger.ask("b", 9_000, now=0.0)
        ledger.answered("a", Usage(9_500), now=1.0)
        assert ledger.ask("a", 9_800, now=2.0) == ("a",)

    def test_programs_that_share_a_header_run_together(self):
        """Of those that wait, the one whose header is in the cache already comes first, though it came later."""
        ledger = ledger_of(10_000)
        begin(ledger, "a", header=Header("x", 1_000))
        begin(ledger, "b", header=Header("y", 1_000))
        begin(ledger, "keeps", "c", header=Header("x", 1_000))
        assert ledger.ask("a", 6_000, now=0.0) and ledger.ask("keeps", 2_000, now=0.0)
        assert ledger.ask("b", 6_000, now=1.0) == () == ledger.ask("c", 6_000, now=2.0)
        assert ledger.end("a", now=3.0) == ("c",)

    def test_small_programs_overtake_a_large_one_until_its_patience_ends(self):
        """What fits goes first, but nobody passes a program that has waited too long; in the end it is let in whatever fits."""
        ledger = ledger_of(10_000, replace(PLAIN, lease_s=1e9))
        begin(ledger, "runs", "large", "small", "late")
        ledger.ask("runs", 5_000, now=0.0)
        assert ledger.ask("large", 8_000, now=0.0) == ()
        assert ledger.ask("small", 2_000, now=1.0) == ("small",)
        assert ledger.ask("late", 2_000, now=PLAIN.patience_s + 1) == ()
        assert ledger.wake_s(now=100.0) == pytest.approx(PLAIN.hold_s - 100)
        assert ledger.tick(now=PLAIN.hold_s) == ("large",) and ledger.counts.forced == 1

    def test_a_cap_counts_programs_and_an_open_gate_counts_nothing(self):
        """The two baselines are modes of the same code."""
        cap, opened = ledger_of(1, replace(PLAIN, mode="cap", most=2)), ledger_of(1, replace(PLAIN, mode="open"))
        for ledger in (cap, opened):
            begin(ledger, *"abc")
        assert [bool(cap.ask(id, 9_000, now=0.0)) for id in "abc"] == [True, True, False]
        assert [bool(opened.ask(id, 9_000, now=0.0)) for id in "abc"] == [True, True, True]

    def test_a_server_that_does_not_say_how_large_it_is_holds_nobody(self):
        """Without a size there is nothing to reckon with."""
        ledger = ledger_of(None)
        begin(ledger, *"abc")
        assert all(ledger.ask(id, 10**9, now=0.0) for id in "abc")


class TestWorth:
    """What a turn costs at the server, where it tells, decides whether a program that does not fit is let in all the same."""

    def after_turns(self, prompt_speed, policy=PLAIN):
        """Return a ledger in which `a` and `b` fill the pool and took turns of 500 new tokens, a reply of a second and a tool of ten."""
        ledger = ledger_of(10_000, policy)
        begin(ledger, *"ab")
        for turn in range(LEAST_TURNS):
            for id in "ab":
                assert ledger.ask(id, 5_400, now=12.0 * turn) == (id,)
                first_s = 500 / prompt_speed
                ledger.answered(id, Usage(5_350, 4_850, 50, 1.0 + first_s, 4_850, 0.0, first_s), now=12.0 * turn + 2)
        return ledger

    def test_where_computing_again_is_cheap_more_are_let_in(self):
        """A context is computed again in a tenth of a second or in a minute, while a tool takes ten."""
        for speed, passed in ((50_000.0, ("c",)), (100.0, ())):
            ledger = self.after_turns(speed)
            begin(ledger, "c")
            assert ledger.ask("c", 5_000, now=111.0) == passed

    def test_contexts_that_outgrew_a_pool_are_left_there_where_that_is_cheap(self):
        """Pausing somebody would save computing what costs nothing."""
        for speed, paused in ((50_000.0, 0), (100.0, 1)):
            ledger = self.after_turns(speed)
            ledger.ask("a", 6_000, now=111.0)
            ledger.answered("a", Usage(7_000), now=112.0)
            assert ledger.counts.paused == paused

    def test_a_cap_is_a_cap(self):
        """The baselines look at no cost."""
        ledger = self.after_turns(50_000.0, replace(PLAIN, mode="cap", most=2))
        begin(ledger, "c")
        assert ledger.ask("c", 5_000, now=111.0) == ()

    def test_reuse_that_was_given_up_does_not_lower_the_share(self):
        """Only what is lost against expectation says that too much was let in."""
        ledger = self.after_turns(50_000.0, replace(PLAIN, adapts=True))
        begin(ledger, "c")
        ledger.ask("c", 5_000, now=111.0)
        for turn in range(WINDOW_TURNS):
            ledger.answered("c", Usage(5_000, 0, reusable_tokens=5_000), now=112.0 + turn)
            ledger.ask("c", 5_000, now=112.5 + turn)
        assert ledger._fill == PLAIN.fill


class TestSeveralServers:
    def test_a_program_goes_where_its_header_is_and_stays(self):
        """A second program joins the first of its repository; one of another goes where there is more room."""
        ledger = ledger_of(10_000, servers=2)
        begin(ledger, "a", "b", header=Header("x", 3_000))
        begin(ledger, "c", header=Header("y", 3_000))
        for id, tokens in (("a", 4_000), ("c", 5_000), ("b", 4_000)):
            assert ledger.ask(id, tokens, now=0.0)
        assert ledger.server_of("a") == ledger.server_of("b") != ledger.server_of("c")
        ledger.answered("b", Usage(4_500), now=1.0)
        ledger.ask("b", 5_000, now=2.0)
        assert ledger.server_of("b") == ledger.server_of("a")

    def test_a_full_server_sends_a_sharer_elsewhere(self):
        """Sharing does not help where nothing fits."""
        ledger = ledger_of(10_000, servers=2)
        begin(ledger, *"ab")
        ledger.ask("a", 9_000, now=0.0)
        assert ledger.ask("b", 9_000, now=0.0) == ("b",) and ledger.server_of("a") != ledger.server_of("b")

    def test_what_a_server_holds_may_change(self):
        """One that comes back with less holds fewer programs, with more it holds those that waited; each stays with its engine as long as there is one."""
        ledger = ledger_of(10_000)
        begin(ledger, *"ab")
        assert [ledger.ask(id, 5_000, now=0.0) for id in "ab"] == [("a",), ("b",)]
        for id in "ab":
            ledger.withdraw(id, now=1.0)
        ledger.away("server-0", now=2.0)
        assert [ledger.ask(id, 5_000, now=3.0) for id in "ab"] == [(), ()]
        assert ledger.renew("server-0", [Server("server-0", 6_000)], now=4.0) == () and ledger.back("server-0", now=4.0) == ("a",)
        assert ledger.renew("server-0", [Server("server-0", 9_500)], now=5.0) == ("b",)
        two = [Server("server-0", 9_500, rank) for rank in range(2)]
        assert ledger.renew("server-0", two, now=6.0) == () and ledger.servers == two and ledger.server_of("a") == two[0]

    def test_a_server_that_holds_less_now_pauses_who_is_idle(self):
        """As contexts do that outgrew it."""
        ledger = ledger_of(10_000)
        begin(ledger, *"ab")
        for id in "ab":
            ledger.ask(id, 5_000, now=0.0)
        ledger.answered("a", Usage(5_000), now=1.0)
        ledger.renew("server-0", [Server("server-0", 8_000)], now=2.0)
        assert ledger.counts.paused == 1 and ledger.ask("a", 5_000, now=3.0) == ()


class TestGivingWay:
    def held(self, policy=PLAIN):
        """Return a ledger in which `a` runs a tool since second 1 and `b` waits."""
        ledger = ledger_of(10_000, policy)
        begin(ledger, *"ab")
        ledger.ask("a", 6_000, now=0.0)
        assert ledger.answered("a", Usage(6_500), tool="run", now=1.0) == ()
        assert ledger.ask("b", 6_000, now=2.0) == ()
        return ledger

    def test_an_idle_program_gives_way_after_its_lease(self):
        """It is told when that is; the program comes first when it asks again, and is safe for some turns then."""
        ledger = self.held()
        assert ledger.wake_s(now=2.0) == pytest.approx(PLAIN.lease_s - 1)
        assert ledger.tick(now=10.9) == () and ledger.tick(now=11.0) == ("b",)
        begin(ledger, "c")
        assert ledger.ask("c", 6_000, now=12.0) == () == ledger.ask("a", 6_500, now=13.0)
        assert ledger.end("b", now=14.0) == ("a",), "who was paused comes before who is new"
        for turn in range(SAFE_TURNS):
            assert ledger.answered("a", Usage(6_500), now=20.0 + 100 * turn) == ()
            assert ledger.tick(now=80.0 + 100 * turn) == (("c",) if turn == SAFE_TURNS - 1 else ())
            if turn < SAFE_TURNS - 1:
                assert ledger.ask("a", 6_500, now=90.0 + 100 * turn) == ("a",)

    def test_nobody_is_paused_where_it_would_not_help(self):
        """A program too large for the room that would be gained leaves the others alone."""
        ledger = ledger_of(10_000)
        begin(ledger, "a", "runs", "b")
        ledger.ask("a", 3_000, now=0.0)
        ledger.ask("runs", 6_000, now=0.0)
        ledger.answered("a", Usage(3_000), now=1.0)
        assert ledger.ask("b", 9_000, now=2.0) == () == ledger.tick(now=500.0)
        assert ledger.counts.paused == 0

    def test_a_tool_that_always_takes_long_has_a_longer_lease(self):
        """The runs of a tool that were seen say how long its program is left alone."""
        ledger = ledger_of(10_000)
        begin(ledger, "a")
        now = 0.0
        for _ in range(5):
            ledger.ask("a", 6_000, now=now)
            ledger.answered("a", Usage(6_000), tool="run", now=now + 1)
            now += 101.0
        begin(ledger, "b")
        assert ledger.ask("b", 6_000, now=now - 90) == () == ledger.tick(now=now - 50)
        assert ledger.tick(now=now + 1) == ("b",)

    def test_contexts_that_outgrew_the_pool_push_out_the_idle(self):
        """Programs that grew beyond what was expected are paused while their tools run, before they push each other out at every turn."""
        ledger = ledger_of(10_000)
        begin(ledger, *"ab")
        for id in "ab":
            ledger.ask(id, 5_000, now=0.0)
        ledger.answered("a", Usage(5_200), now=1.0)
        ledger.answered("b", Usage(7_000), now=2.0)
        assert ledger.counts.paused == 1
        assert ledger.ask("a", 5_200, now=3.0) == () and ledger.ask("b", 7_000, now=3.0) == ("b",)

    def test_a_program_in_the_middle_of_a_turn_is_never_paused(self):
        """Only a lost turn gives its room back, after far longer than any call may take."""
        ledger = ledger_of(10_000)
        begin(ledger, *"ab")
        ledger.ask("a", 9_000, now=0.0)
        assert ledger.ask("b", 9_000, now=1.0) == () == ledger.tick(now=599.0)
        patient = replace(PLAIN, hold_s=1e9)
        ledger = ledger_of(10_000, patient)
        begin(ledger, *"ab")
        ledger.ask("a", 9_000, now=0.0)
        ledger.ask("b", 9_000, now=1.0)
        assert ledger.tick(now=patient.lost_s + 1) == ("b",) and ledger.counts.lost == 1


def test_room_comes_back_with_every_way_to_end():
    """Whether a program is done, crashed while asking, or gave up waiting, the next event lets another in; an end told twice is nothing."""
    for ending in ("idle", "asking"):
        ledger = ledger_of(10_000)
        begin(ledger, *"ab")
        ledger.ask("a", 9_000, now=0.0)
        ledger.ask("b", 9_000, now=0.0)
        if ending == "idle":
            ledger.answered("a", Usage(9_000), now=1.0)
        assert ledger.end("a", now=2.0) == ("b",) and ledger.end("a", now=3.0) == ()
    ledger = ledger_of(10_000)
    begin(ledger, *"abc")
    for id in "abc":
        ledger.ask(id, 9_000, now=0.0)
    ledger.withdraw("b", now=1.0)
    assert ledger.end("a", now=2.0) == ("c",)


def test_the_share_that_may_be_filled_follows_the_reuse():
    """A window of turns with little reuse lowers it a step, one with nearly all of it raises it while others wait."""

    def turns(cached_share, waiting):
        ledger = ledger_of(20_000, replace(PLAIN, fill=0.9, adapts=True, lease_s=1e9, hold_s=1e9))
        begin(ledger, *"ab")
        if waiting:
            begin(ledger, "c")
        for id in "ab":
            ledger.ask(id, 5_000, now=0.0)
        if waiting:
            assert ledger.ask("c", 11_500, now=0.0) == ()
        for number in range(WINDOW_TURNS):
            ledger.answered("ab"[number % 2], Usage(5_000, int(5_000 * cached_share), reusable_tokens=5_000), now=1.0)
            ledger.ask("ab"[number % 2], 5_000, now=1.0)
        return ledger

    assert turns(0.5, waiting=False)._fill == pytest.approx(0.85)
    assert turns(1.0, waiting=False)._fill == pytest.approx(0.9)
    assert turns(1.0, waiting=True)._fill == pytest.approx(0.95)


def test_programs_near_their_end_have_priority():
    """A first turn comes after all others; the nearer a program is to the length that is expected, the lower its number."""
    ledger = ledger_of(10**6)
    begin(ledger, *"ab")
    assert ledger.priority("a") == 10
    for id, tokens in (("a", 3_000), ("b", 12_000)):
        ledger.ask(id, 3_000, now=0.0)
        ledger.answered(id, Usage(tokens), now=1.0)
    assert 0 <= ledger.priority("b") < ledger.priority("a") <= 9


TURNS = st.lists(st.tuples(st.integers(100, 4_000), st.integers(0, 60)), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(TURNS, st.integers(0, 40), st.sampled_from("xyz")), min_size=1, max_size=8), st.integers(2_000, 30_000), st.data()
)
def test_every_program_gets_to_its_end(programs, tokens, data):
    """Whatever they grow by and however long their tools run: nobody is held for ever, nobody asks without being let in, and, unless somebody had to be
    let in by force or alone, the programs that were let in fit.
    """
    policy = Policy(fill=0.9, growth=0.5, reply_tokens=200, lease_s=5.0, patience_s=20.0, hold_s=100.0)
    ledger = ledger_of(tokens, policy)
    left = {f"p{number}": list(turns) for number, (turns, _, _) in enumerate(programs)}
    due = {f"p{number}": float(start) for number, (_, start, _) in enumerate(programs)}
    size = dict.fromkeys(left, 0)
    for number, (_, _, key) in enumerate(programs):
        ledger.begin(f"p{number}", phase=key, header=Header(key, 500), now=0.0)
    asking: dict[str, float] = {}
    waiting: set[str] = set()
    now = 0.0
    for _ in range(10_000):
        if not left:
            break
        wake_s = ledger.wake_s(now=now)
        times = [*due.values(), *asking.values(), *([now + wake_s] if wake_s is not None else [])]
        assert times, f"{waiting} are held for ever"
        now = max(now, min(times))
        passed = list(ledger.tick(now=now))
        for id in [id for id, at in asking.items() if at <= now]:
            del asking[id]
            grown, tool_s = left[id].pop(0)
            size[id] += grown
            passed += ledger.answered(id, Usage(500 + size[id]), tool="run", now=now)
            if left[id]:
                due[id] = now + tool_s
            else:
                del left[id]
                passed += ledger.end(id, now=now)
        for id in [id for id, at in due.items() if at <= now]:
            del due[id]
            waiting.add(id)
            before = ledger.counts
            passed += ledger.ask(id, 500 + size[id], now=now)
            others = [other for other in asking if other != id]
            if id in passed and others and before.forced == ledger.counts.forced and before.admitted != ledger.counts.admitted:
                assert ledger.load(ledger.servers[0]) <= 0.9 * tokens + 1 or len(ledger._admitted(ledger.servers[0])) == 1
        assert len(passed) == len(set(passed))
        for id in passed:
            assert id in waiting and ledger.may_ask(id)
            waiting.discard(id)
            asking[id] = now + data.draw(st.integers(1, 5))
    assert not left
