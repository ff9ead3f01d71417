"""Traces: what is recorded is never lost, resumes and replays."""

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.agent.budget import Budget, Purse
from backstory.agent.runs import seconds_at_work
from backstory.agent.trace import Codec, Divergence, Event, RecordedTrace, ReplayedTrace, is_held, read_events
from backstory.errors import StorageError, UserError

NUMBER: Codec[int] = Codec(
    encode=lambda value: {"value": value, "noise": os.urandom(4).hex()}, decode=lambda j: j["value"], stable=lambda j: j["value"]
)


def walk(trace, ran, *, offset=0):
    """A small deterministic program: sums what three steps give."""
    trace.note("began", words=("a", "b"))
    total = 0
    for number in range(3):

        def effect(number=number):
            ran.append(number)
            return number * 10 + offset

        total += trace.step("add", {"number": number}, effect, NUMBER)
    trace.note("summed", total=total)
    return total


def test_a_resumed_run_repeats_no_recorded_step(tmp_path):
    """What is on disk is returned, what is not is run."""
    path, ran = tmp_path / "events.jsonl", []
    with RecordedTrace(path, "r") as trace:
        assert walk(trace, ran) == 30
    with RecordedTrace(path, "r") as trace:
        assert walk(trace, ran) == 30
    assert ran == [0, 1, 2]


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 1200))
def test_a_run_cut_at_any_byte_resumes_to_the_same_end(tmp_path_factory, cut):
    """The torn line is dropped; the rest stands; the end is the same."""
    path = tmp_path_factory.mktemp("cut") / "events.jsonl"
    with RecordedTrace(path, "r") as trace:
        walk(trace, [])
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    with RecordedTrace(path, "r") as trace:
        assert walk(trace, []) == 30
    events = read_events(path)
    assert [(event.seq, event.kind) for event in events] == list(enumerate(["began", "add", "add", "add", "summed"]))


def test_a_replay_runs_every_step_again_and_compares(tmp_path):
    """The same way passes; another result, another key or a shorter way is named with its event."""
    path, ran = tmp_path / "events.jsonl", []
    with RecordedTrace(path, "r") as trace:
        walk(trace, [])
    replay = ReplayedTrace(read_events(path))
    assert walk(replay, ran) == 30
    replay.finish()
    assert ran == [0, 1, 2]
    with pytest.raises(Divergence, match=r"event 1 \(add\): recorded 0, now 1") as caught:
        walk(ReplayedTrace(read_events(path)), [], offset=1)
    assert caught.value.seq == 1
    with pytest.raises(Divergence, match="did not come again"):
        ReplayedTrace(read_events(path)).finish()
    with pytest.raises(Divergence, match="had ended"):
        walk(ReplayedTrace(read_events(path)[:3]), [])


def test_a_resumption_that_goes_another_way_overrules_what_followed(tmp_path):
    """After a divergence the new events count, and a second resumption follows them."""
    path = tmp_path / "events.jsonl"
    with RecordedTrace(path, "r") as trace:
        walk(trace, [])
    for expected_runs in ([0, 1], []):
        ran = []
        with RecordedTrace(path, "r") as trace:
            trace.note("began", words=["a", "b"])
            for number in range(2):
                trace.step("other", number, lambda number=number, ran=ran: ran.append(number) or number, NUMBER)
        assert ran == expected_runs
    assert "diverged" in [event.kind for event in read_events(path)]
    replay = ReplayedTrace(read_events(path))
    replay.note("began", words=["a", "b"])
    for number in range(2):
        replay.step("other", number, lambda number=number: number, NUMBER)
    replay.finish()


def test_a_run_is_held_by_one_process(tmp_path):
    """A second writer is refused in one line, and `is_held` tells."""
    path = tmp_path / "events.jsonl"
    with RecordedTrace(path, "r"):
        assert is_held(path)
        with pytest.raises(UserError, match="in progress"):
            RecordedTrace(path, "r")
    assert not is_held(path)


def test_damage_in_the_middle_is_refused_not_guessed_away(tmp_path):
    """Only the last line may be torn."""
    path = tmp_path / "events.jsonl"
    with RecordedTrace(path, "r") as trace:
        walk(trace, [])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"{broken\n", *lines[2:]]))
    with pytest.raises(StorageError, match="damaged at event 1"):
        read_events(path)


def test_an_event_that_cannot_be_written_is_a_storage_error(tmp_path):
    """A full disk ends the run with the storage code; what was whole before stays readable."""
    path = tmp_path / "events.jsonl"
    with RecordedTrace(path, "r") as trace:
        trace.note("one")
        os.close(trace._journal._file)
        trace._journal._file = os.open("/dev/full", os.O_WRONLY)
        with pytest.raises(StorageError, match="cannot record run"):
            trace.note("two")
    assert [event.kind for event in read_events(path)] == ["one"]


def test_events_are_on_disk_before_the_next_step_begins(tmp_path):
    """A reader sees every earlier event while a step runs."""
    path, seen = tmp_path / "events.jsonl", []
    with RecordedTrace(path, "r") as trace:
        trace.step("first", None, lambda: 1, NUMBER)
        trace.step("second", None, lambda: seen.append([event.kind for event in read_events(path)]) or 2, NUMBER)
    assert seen == [["first"]]


@given(body=st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none(), max_size=5))
def test_an_event_survives_the_round_trip(tmp_path_factory, body):
    """Any text, control characters and lone surrogates included, reads back as it was."""
    path = tmp_path_factory.mktemp("event") / "events.jsonl"
    path.write_bytes(Event("r", 0, "2024-01-01T00:00:00.000+00:00", "k", body).to_line())
    assert read_events(path)[0].body == body


def test_a_stop_is_recorded_and_recurs(tmp_path):
    """A step budget stops the run; a replay stops at the same event whatever its own budget says; a resumption may go on with more."""
    path = tmp_path / "events.jsonl"

    def spend(trace, budget):
        purse, done = Purse(budget, trace), 0
        while done < 5 and purse.spent_out() is None:
            purse.count_step()
            done += trace.step("work", done, lambda: 1, NUMBER)
        return done

    with RecordedTrace(path, "r") as trace:
        assert spend(trace, Budget(steps=3)) == 3
    assert read_events(path)[-1].kind == "limit"
    replay = ReplayedTrace(read_events(path))
    assert spend(replay, Budget()) == 3
    replay.finish()
    with RecordedTrace(path, "r") as trace:
        assert spend(trace, Budget(steps=10)) == 3
    with RecordedTrace(path, "r", past_limit=True) as trace:
        assert spend(trace, Budget(steps=10)) == 5
    assert [event.kind for event in read_events(path)] == [*["work"] * 3, "limit", "resumed", *["work"] * 2]
    replay = ReplayedTrace(read_events(path))
    assert spend(replay, Budget()) == 5
    replay.finish()


def test_a_part_of_the_way_stops_when_its_share_is_spent(tmp_path):
    """What may spend half leaves the rest to what follows, in a replay too; a larger budget resumes where the share was spent."""
    path = tmp_path / "events.jsonl"

    def spend(trace, budget):
        purse, done = Purse(budget, trace), []
        for part in (purse.for_share(0.5), purse):
            while len(done) < 8 and part.spent_out() is None:
                part.count_step()
                done.append(trace.step("work", len(done), lambda: 1, NUMBER))
            done.append(part.stopped)
        return done

    with RecordedTrace(path, "r") as trace:
        spent = spend(trace, Budget(steps=4))
    assert spent == [1, 1, "50% of the budget of 4 steps is spent", 1, 1, "the budget of 4 steps is spent"]
    assert [event.kind for event in read_events(path)] == ["work", "work", "share", "work", "work", "limit"]
    replay = ReplayedTrace(read_events(path))
    assert spend(replay, Budget()) == spent
    replay.finish()
    with RecordedTrace(path, "r", past_limit=True) as trace:
        assert spend(trace, Budget(steps=10))[:6] == [1, 1, 1, 1, 1, "50% of the budget of 10 steps is spent"]


def test_steps_of_two_runs_do_not_disturb_each_other(tmp_path):
    """Two runs recorded at once keep their own files and order."""
    totals = []

    def run(name):
        with RecordedTrace(tmp_path / name / "events.jsonl", name) as trace:
            totals.append(walk(trace, []))

    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals == [30, 30]


def side_by_side(trace, ran, *, swapped=False):
    """Two ways gone at once, each with a decision from outside and a step; the barrier makes their events interleave."""
    barrier, given = threading.Barrier(2), {}

    def way(name):
        lane = trace.lane(name)
        given[name] = lane.decide("asked", name, lambda: ran.append(name) or len(ran), NUMBER)
        if not swapped:
            barrier.wait()
        given[name] += lane.step("add", name, lambda: ran.append(name) or 100, NUMBER)

    threads = [threading.Thread(target=way, args=(name,)) for name in (("b", "a") if swapped else ("a", "b"))]
    for thread in threads:
        thread.start()
        if swapped:
            thread.join()
    for thread in threads:
        thread.join()
    trace.note("joined", total=given["a"] + given["b"])
    return given


def test_lanes_resume_whatever_their_order(tmp_path):
    """Ways gone side by side are each resumed in their own order, also when they are gone one after the other the second time."""
    path, ran = tmp_path / "events.jsonl", []
    with RecordedTrace(path, "r") as trace:
        given = side_by_side(trace, ran)
    assert len(ran) == 4
    with RecordedTrace(path, "r") as trace:
        assert side_by_side(trace, ran, swapped=True) == given
    assert len(ran) == 4
    assert {event.lane for event in read_events(path)} == {"a", "b", ""}


def test_a_replay_takes_decisions_from_the_record_and_runs_steps_again(tmp_path):
    """What came from outside is not asked again; what the code did is done again, in each lane."""
    path, ran = tmp_path / "events.jsonl", []
    with RecordedTrace(path, "r") as trace:
        given = side_by_side(trace, [])
    replay = ReplayedTrace(read_events(path))
    assert side_by_side(replay, ran) == given
    replay.finish()
    assert sorted(ran) == ["a", "b"]
    with pytest.raises(Divergence, match="did not come again"):
        ReplayedTrace(read_events(path)).finish()
    with pytest.raises(Divergence, match='recorded for "a", now for "c"'):
        ReplayedTrace(read_events(path)).lane("a").decide("asked", "c", lambda: 1, NUMBER)


def test_a_lane_that_goes_another_way_leaves_the_others_their_record(tmp_path):
    """A divergence in one lane takes back the events of that lane alone."""
    path = tmp_path / "events.jsonl"
    with RecordedTrace(path, "r") as trace:
        side_by_side(trace, [])
    for ran_first, expected in (([], ["c", "d"]), ([], [])):
        with RecordedTrace(path, "r") as trace:
            lane = trace.lane("a")
            lane.decide("asked", "c", lambda ran=ran_first: ran.append("c") or 5, NUMBER)
            lane.step("add", "d", lambda ran=ran_first: ran.append("d") or 5, NUMBER)
            other = trace.lane("b")
            other.decide("asked", "b", lambda: pytest.fail("asked again"), NUMBER)
        assert ran_first == expected


def test_a_step_of_many_lanes_is_timed_once(tmp_path):
    """Seconds at work are those in which anything was under way, however many lanes were."""
    at = "2026-01-01T00:00:{:06.3f}+00:00"
    events = [
        Event("r", n, at.format(end), "add", {"key": n, "seconds": float(s)}, lane)
        for n, (end, s, lane) in enumerate([(10, 5, "a"), (11, 5, "b"), (30, 1, "")])
    ]
    assert seconds_at_work([Event("r", 0, at.format(0), "began", {}), *events]) == pytest.approx(7.0)
