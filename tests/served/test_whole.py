"""A real server from its start to its end, and a whole fix in between."""

import json
import sys

from command import CommandLine
from fixing import state_of
from real_vllm import running_of_group
from talking import CHECK, ISSUE, faulty

BLOCK, WINDOW = 32, 8192  # what `serve --cpu` asks vLLM for
BUDGET_TOKENS = 30_000

OKS = ["ok   prefix cache", "ok   calls of tools", "ok   streaming", "ok   overflow"]


def test_it_passes_the_self_test_and_is_found(small, tmp_path):
    """A server of `serve` passes its four questions, also when another home adopts it; `status` tells what it holds, and it runs on after that."""
    assert [line.split(":")[0] for line in small.started.out.splitlines()[:4]] == OKS
    status = json.loads(small.cli("serve", "status", "--json").out)
    assert (status["answers"], status["model"], status["window"], status["block"], status["vllm"]) == (
        True,
        "small",
        WINDOW,
        BLOCK,
        "0.32.0",
    )
    assert status["pool"] > 10 * WINDOW and status["missing"] == []
    other = CommandLine(tmp_path / "other")
    adopted = other("serve", "--endpoint", small.api_base)
    assert adopted.exit_code == 0 and [line.split(":")[0] for line in adopted.out.splitlines()[:4]] == OKS
    assert "not ours to stop" in other("serve", "stop").out
    assert small.cli("serve", "status").exit_code == 0


def test_a_fix_tells_what_it_asked(small, tmp_path):
    """`fix` finds the server, ends with a documented code, leaves the checkout alone and keeps its budget; each reply's cost and waiting is on record, the costs come
    to what the server counted, the beginning is in the cache from the second on, in whole blocks; `show` prints the sums, `replay` gives the same unasked.
    """
    repo = faulty(tmp_path / "repo")
    before, counted = state_of(repo.root), work(small)
    words = ("fix", ISSUE, "--repo", repo.root, "--check", CHECK, "--attempts", "1", "--budget-tokens", str(BUDGET_TOKENS), "--json")
    ended = small.cli(*words, VIRTUAL_ENV=sys.prefix)
    said = json.loads(ended.out)
    assert f"asking small at {small.api_base}, which `backstory serve` told of" in ended.err
    assert ended.exit_code == said["exit_code"] and ended.exit_code in (3, 5), ended.out + ended.err
    assert state_of(repo.root) == before

    events = small.cli.home / "state" / "runs" / said["run"] / "events.jsonl"
    usages = [
        event["body"]["result"]["usage"] for line in events.read_text().splitlines() if (event := json.loads(line))["kind"] == "reply"
    ]
    assert len(usages) > 2
    assert all(0 <= usage["cached_tokens"] < usage["input_tokens"] and usage["output_tokens"] > 0 for usage in usages)
    assert all(usage["cached_tokens"] > 0 for usage in usages[1:])
    assert all(usage["cached_tokens"] % BLOCK == 0 for usage in usages)
    sums = [sum(usage[name] for usage in usages) for name in ("input_tokens", "cached_tokens", "output_tokens")]
    assert sums[0] + sums[2] <= BUDGET_TOKENS
    asked = work(small)
    assert sums == [now - then for now, then in zip(asked, counted, strict=True)]
    tokens, served = said["agents"]["tokens"], said["served"]
    assert [tokens["input"], tokens["cached"], tokens["output"]] == sums
    assert [served["computed"] + served["found"], served["found"], served["generated"]] == sums
    assert all(usage["queued_s"] is not None and usage["first_s"] > 0 for usage in usages)

    shown = small.cli("show", "last").out
    assert f"{len(usages)} replies: {sums[0]:,} tokens in ({sums[1]:,} of them cached" in shown
    assert f"the server meanwhile: {sums[1]:,} tokens of prompts found in its cache and {sums[0] - sums[1]:,} computed" in shown
    replayed = small.cli("replay", "last", VIRTUAL_ENV=sys.prefix)
    assert (replayed.exit_code, replayed.out) == (0, "the same, without a patch\n"), replayed.out + replayed.err
    assert work(small) == asked


def test_stopping_it_ends_every_process(small):
    """vLLM is several processes; `serve stop` leaves none of them, and nothing is known any more."""
    pid = small.pid
    assert len(small.processes()) >= 3
    assert small.stop().out == "small is stopped\n"
    assert running_of_group(pid) == []
    gone = small.cli("serve", "status")
    assert gone.exit_code == 2 and gone.error.startswith("no server is known")


def work(server):
    """Return what a server counted of the prompts' tokens, those found in the cache, and the replies' tokens."""
    return [server.counted(name) for name in ("prompt_tokens_total", "prompt_tokens_cached_total", "generation_tokens_total")]
