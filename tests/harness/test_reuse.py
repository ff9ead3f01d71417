"""How turns were taken up by a server's cache, from recorded replies."""

import pytest

from backstory.agent.messages import Message, Reply, Usage
from backstory.agent.trace import Event
from backstory.agent.vitals import vitals
from backstory.agent.written import to_json
from backstory.harness.reuse import Reuse, reuse_of
from backstory.harness.show import reuse_words, served_words


def events(*usages, lane="attempt-1", kind="reply"):
    """Return replies of (prompt, cached, output) tokens in one conversation; a word is an event of that kind."""
    made = []
    for number, one in enumerate(usages):
        reply = None if isinstance(one, str) else Reply(Message("assistant", "x"), "end", Usage(one[0], one[1], one[2], 1.0))
        body = {} if reply is None else {"key": number, "result": to_json(reply), "seconds": 1.0}
        made.append(Event("r", number, "2026-01-01T00:00:00", one if reply is None else kind, body, lane))
    return made


@pytest.mark.parametrize(
    ("turns", "reuse"),
    [
        ([(100, 0, 28), (200, 128, 20), (300, 208, 20)], Reuse(2, 0, 0, 0)),  # all whole blocks of 16 of 128 and of 220 less one
        ([(100, 16, 28), (200, 96, 20), (300, 192, 20)], Reuse(0, 2, 0, 0)),  # the prompts' 96 and 192, and nothing of the replies
        ([(1000, 16, 28), (1100, 64, 20)], Reuse(0, 0, 1, 992 - 64)),
        ([(1000, 0, 28), (1100, 0, 20)], Reuse(0, 0, 1, 992)),  # nothing at all is the end of all blocks, of the usual size
        ([(1000, 0, 28), "compacted", (200, 16, 20), (300, 192, 20)], Reuse(0, 1, 0, 0)),
    ],
)
def test_each_turn_is_one_of_three(turns, reuse):
    """The whole turn before, its prompt alone, or less; a compaction begins anew and is no loss."""
    assert reuse_of(events(*turns)) == reuse


def test_conversations_are_kept_apart():
    """What another agent asked between two turns of one is neither's turn before."""
    one, other = events((100, 0, 28), (200, 128, 20)), events((5000, 0, 28), (6000, 5024, 20), lane="localizer")
    mixed = [one[0], other[0], one[1], other[1]]
    assert reuse_of(mixed) == Reuse(2, 0, 0, 0)


def test_who_says_nothing_is_not_judged():
    """A server that does not say what it had, and a run of one turn, tell nothing; nor does an event that is no reply."""
    assert reuse_of(events((100, None, 28), (200, None, 20))) is None
    assert reuse_of(events((100, 0, 28))) is None
    assert reuse_of(events((100, 0, 28), (200, 128, 20), kind="check")) is None


def test_what_was_lost_is_said_in_words():
    """Each kind that there was."""
    assert reuse_words(Reuse(3, 0, 0, 0)) == "cache: of 3 turns 3 found all of the turn before"
    said = reuse_words(Reuse(3, 2, 1, 4096))
    assert "of 6 turns 3 found all" in said and "2 its prompt and not its reply" in said and "4,096 tokens of prompts pushed out" in said


BEFORE = """
# TYPE vllm:num_preemptions counter
process_start_time_seconds 1000.5
vllm:prompt_tokens_by_source_total{engine="0",source="local_compute"} 100
vllm:prompt_tokens_by_source_total{engine="0",source="local_cache_hit"} 40
vllm:prefix_cache_queries_total{engine="0"} 140
vllm:prefix_cache_hits_total{engine="0"} 40
vllm:prefix_cache_hits_created{engine="0"} 1700000000
vllm:num_preemptions_total{engine="0"} 1
vllm:num_preemptions_total{engine="1"} 1
vllm:request_queue_time_seconds_sum{engine="0"} 2.5
vllm:request_queue_time_seconds_count{engine="0"} 5
"""


def test_what_a_server_did_meanwhile():
    """The difference of its counters, over its engines; requests that were put back are named, since no hit rate shows them."""
    after = BEFORE.replace("} 100", "} 130").replace("} 40", "} 110").replace('{engine="1"} 1', '{engine="1"} 3')
    did = vitals(after).since(vitals(BEFORE))
    assert (did.computed, did.found, did.preempted, did.queued_s) == (30, 70, 2, 0.0)
    said = served_words(did)
    assert (
        said
        == "the server meanwhile: 70 tokens of prompts found in its cache and 30 computed (70 %), 2 requests put back and computed again"
    )


def test_a_server_that_was_started_again_has_done_what_it_did_since():
    """Its counters began anew; a difference would say nothing."""
    again = vitals(BEFORE.replace("1000.5", "2000.5"))
    assert again.since(vitals(BEFORE)) == again


def test_a_server_without_counts_by_source():
    """Older versions say what was looked up and what was found."""
    assert vitals("\n".join(line for line in BEFORE.splitlines() if "source" not in line)).computed == 100
