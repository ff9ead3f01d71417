"""What the gate of `agent/schedule.py` is worth at a real vLLM server: the same recorded programs, naive, capped, by priority and through the gate.

    python bench/serving.py --python VLLM_PYTHON --model DIR --out rows.json [--programs 12] [--peak 2048] [--seeds 3] [--sizes uniform,mixed] [-- VLLM ARGUMENTS]
    python bench/serving.py --out rows.json --table
    python bench/serving.py --simulate PROMPT_TOKENS_A_SECOND,SECONDS_A_REPLY_TOKEN [--programs 12] [--peak 2048] [--seeds 3] [--sizes uniform,mixed]

The pool holds three mean peaks. Every arm asks the same prompts, whatever the server generates, with an empty prefix cache at its beginning; arms alternate from
seed to seed. `--model` with a `config.json` and a tokenizer alone serves random weights, with `-- --load-format dummy`. Rows are kept run by run, and a
run that is there is not done again. `--simulate` puts the same programs to the simulator of `bench/gate_simulation.py`, a word as a token. Needs nothing but the standard library beside the package and, at the server, vLLM.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gate_simulation
from serving_engine import BLOCK, Client, Server, started, write_rows
from serving_trace import Program, Shape, Sizes, bound_of, draw_programs

from backstory.agent.gate import Gate, servers_at
from backstory.agent.messages import Message, Prompt, Reply, Sampling, Usage
from backstory.agent.prefix_cache import PrefixCache
from backstory.agent.schedule import Ledger, Policy
from backstory.agent.schedule import Server as Endpoint

POOL_PEAKS = 3
BELOW_KNEE = 3  # programs that fit together
CAPS = (2, 3, 4)
STEP_TOKENS = 1_024  # of a simulated engine's step, as `--max-num-batched-tokens`
OVERHEAD_CALLS = 2_000
PAUSED_S = 0.3  # a later turn that waits longer is one of a program that had been paused
PROBES = 3

Row = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """How programs are let in. priority: whether each turn says how many its program has left."""

    name: str
    policy: Policy
    priority: bool = False


def arms_of(shape: Shape) -> list[Arm]:
    """Return the arms. The gate's times are those of the product, scaled as the tools' are."""
    scale, shipped = shape.tool_scale, Policy()
    scaled = Policy(reply_tokens=shape.reply, lease_s=shipped.lease_s * scale, patience_s=shipped.patience_s * scale)
    return [
        Arm("naive", replace(scaled, mode="open")),
        Arm("gate", scaled),
        *(Arm(f"cap {most}", replace(scaled, mode="cap", most=most)) for most in CAPS),
        Arm("priority", replace(scaled, mode="open"), priority=True),
    ]


def run_arm(server: Server, arm: Arm, programs: Sequence[Program], shape: Shape) -> Row:
    """Run all programs, begun at once, to their ends; return what came of it, and of each call. Times are seconds, amounts tokens."""
    server.forget()
    before, cache, calls = server.vitals(), PrefixCache(), list[Row]()
    gate = Gate(Ledger(servers_at(server.api_base), arm.policy))
    started_at = time.monotonic()

    def converse(number: int) -> float:
        program, client = programs[number], Client(server, cache)
        with gate.program(client, phase="solve", opening=(program.header,), tools=()) as model:
            for place, (turn, said) in enumerate(zip(program.turns, program.prompts(), strict=True)):
                left = len(program.turns) - place
                client.priority = (min(9, left) if place else 10) if arm.priority else None
                asked_at = time.monotonic() - started_at
                reply = model.reply(Prompt(said, sampling=Sampling(temperature=0.0, output_tokens=shape.reply), timeout_s=3600))
                calls.append({"program": number, "turn": place, "asked_at": asked_at, "held_s": reply.held_s, **asdict(reply.usage)})
                if left > 1:
                    time.sleep(turn.tool_s)
        return time.monotonic() - started_at

    with ThreadPoolExecutor(len(programs)) as threads:
        done_s = sorted(threads.map(converse, range(len(programs))))
    work = server.vitals().since(before)
    counts = gate.counts
    first_s = sorted(call["queued_s"] + call["first_s"] for call in calls)
    return {
        "hit": work.found / (work.found + work.computed),
        "computed": work.computed,
        "preempted": work.preempted,
        "makespan_s": done_s[-1],
        "mean_s": statistics.mean(done_s),
        "p95_s": done_s[min(len(done_s) - 1, int(0.95 * len(done_s)))],
        "first_p50_s": statistics.median(first_s),
        "first_p99_s": first_s[int(0.99 * (len(first_s) - 1))],
        "held_max_s": max(call["held_s"] for call in calls),
        "held_s": sum(call["held_s"] for call in calls),
        "held": counts.held,
        "paused": counts.paused,
        "load": os.getloadavg()[0],
        "calls": calls,
    }


def calibrate(server: Server, shape: Shape) -> Row:
    """Return the server's speed alone: tokens of a prompt of the mean length that it computes in a second, and the seconds of one token of a reply."""
    prefill, reply = [], []
    for seed in range(PROBES):
        program = draw_programs(shape, 1_000 + seed)[0]
        prompt = program.prompts()[len(program.turns) // 2]
        client = Client(server, PrefixCache())

        def ask(tokens: int, prompt: tuple[Message, ...] = prompt, client: Client = client) -> Usage:
            return client.reply(Prompt(prompt, sampling=Sampling(output_tokens=tokens), timeout_s=3600)).usage

        server.forget()
        cold, warm, longer = ask(1), ask(1), ask(1 + shape.reply)
        prefill.append(cold.input_tokens / max(1e-6, cold.seconds - warm.seconds))
        reply.append((longer.seconds - warm.seconds) / shape.reply)
    return {"prefill_tokens_s": statistics.median(prefill), "reply_token_s": statistics.median(reply)}


def gate_overhead_s(programs: Sequence[Program]) -> float:
    """Return the median seconds that a reply takes through a gate at which nobody waits, with all programs admitted and no server at all."""
    reply = Reply(Message("assistant", "x"), "length", Usage(1_000, 900, 1))

    class Nobody:
        name = "nobody"

        def reply(self, _: Prompt) -> Reply:
            return reply

    gate = Gate(Ledger([Endpoint("nobody", 10**9)]))
    took: list[float] = []

    def converse(program: Program) -> None:
        with gate.program(Nobody(), phase="solve", opening=(program.header,), tools=()) as model:
            prompt = Prompt(program.prompts()[-1], timeout_s=60)
            for _ in range(OVERHEAD_CALLS // len(programs)):
                begun = time.perf_counter()
                model.reply(prompt)
                took.append(time.perf_counter() - begun)

    for program in programs:
        converse(program)
    return statistics.median(took)


def trace_of(server: Server, programs: Sequence[Program]) -> tuple[list[list[int]], Row]:
    """Return the prompts' lengths in the server's tokens, program by program, and what a cache that forgets nothing would reuse."""
    ids = [[server.tokens(prompt) for prompt in program.prompts()] for program in programs]
    longest = max(map(len, ids))
    in_turn = [prompts[turn] for turn in range(longest) for prompts in ids if turn < len(prompts)]
    bound = bound_of(in_turn, BLOCK)
    return [[len(prompt) for prompt in prompts] for prompts in ids], {
        "bound": bound.share,
        "least": bound.computed,
        "prompts": bound.prompts,
    }


def measure(server: Server, base: Shape, options: argparse.Namespace, rows: Row) -> None:
    """Fill `rows` with what is not there yet."""
    rows["machine"] = {"pool": server.pool(), "cores": os.cpu_count(), "shape": asdict(base), "model": str(options.model)}
    if "speed" not in rows:
        rows["speed"] = calibrate(server, base) | {"gate_s": gate_overhead_s(draw_programs(base, 0))}
        print(f"pool {server.pool()} tokens; {json.dumps(rows['speed'])}", flush=True)
    runs = rows.setdefault("runs", {})
    for seed, shape, arm in _plan(base, options):
        key = f"{shape.sizes}/{shape.programs}/{arm.name}/{seed}"
        if key in runs:
            continue
        programs = draw_programs(shape, seed)
        traces = rows.setdefault("traces", {})
        trace_key = f"{shape.sizes}/{shape.programs}/{seed}"
        if trace_key not in traces:
            lengths, bound = trace_of(server, programs)
            traces[trace_key] = bound | {"lengths": lengths, "tool_s": [[turn.tool_s for turn in one.turns] for one in programs]}
        runs[key] = {
            "sizes": shape.sizes,
            "programs": shape.programs,
            "arm": arm.name,
            "seed": seed,
            **run_arm(server, arm, programs, shape),
        }
        write_rows(rows, options.out)
        said = runs[key]
        print(
            f"{key}: hit {said['hit']:.3f} of {traces[trace_key]['bound']:.3f}, computed {said['computed']},"
            f" makespan {said['makespan_s']:.1f} s, mean {said['mean_s']:.1f} s, load {said['load']:.1f}",
            flush=True,
        )


def _plan(base: Shape, options: argparse.Namespace) -> Iterator[tuple[int, Shape, Arm]]:
    """Yield the runs, so that what matters most comes first and a measurement cut short is still one: seed by seed, the order of arms turned each time."""
    wanted = options.arms.split(",") if options.arms else None
    for seed in range(options.seeds):
        for sizes in options.sizes.split(","):
            shape = replace(base, sizes=sizes)
            arms = [arm for arm in arms_of(shape) if wanted is None or arm.name in wanted]
            yield from ((seed, shape, arm) for arm in (arms if seed % 2 == 0 else arms[::-1]))
        few = replace(base, programs=BELOW_KNEE)
        arms = [arm for arm in arms_of(few) if arm.name in ("naive", "gate")]
        yield from ((seed, few, arm) for arm in (arms if seed % 2 == 0 else arms[::-1]))


def tables(rows: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tables of what was measured, and of the same programs simulated."""
    runs, speed = list(rows["runs"].values()), rows["speed"]
    yield f"pool {rows['machine']['pool']} tokens; {speed['prefill_tokens_s']:.0f} prompt tokens/s alone; gate {1e3 * speed['gate_s']:.2f} ms a call\n"
    for sizes, count in dict.fromkeys((run["sizes"], run["programs"]) for run in runs):
        yield f"{count} programs, {sizes}\n"
        yield (
            "| arm | hit / bound | computed / least | lost after pauses, else | makespan s | mean s | p95 s | prompt tokens/s | first token s p50, p99 | put back | paused |"
            " longest held s |"
        )
        yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
        of = [run for run in runs if (run["sizes"], run["programs"]) == (sizes, count)]
        for arm in dict.fromkeys(run["arm"] for run in of):
            yield _line(rows, [run for run in of if run["arm"] == arm])
        yield ""
    yield from _reached(rows)
    yield from _simulated(rows)


@dataclass(frozen=True)
class EngineTime:
    """Seconds of a run: busy_s: with a request at the server; prompts_s: with a prompt being computed, whatever replies were written meanwhile."""

    busy_s: float
    prompts_s: float


def engine_of(run: Row) -> EngineTime:
    """Return what a run's calls say of the engine's time."""
    came = [call["asked_at"] + call["held_s"] for call in run["calls"]]
    begun = [at + call["queued_s"] for at, call in zip(came, run["calls"], strict=True)]
    return EngineTime(
        _covered((at, at + call["seconds"]) for at, call in zip(came, run["calls"], strict=True)),
        _covered((at, at + call["first_s"]) for at, call in zip(begun, run["calls"], strict=True)),
    )


def lost_of(run: Row) -> tuple[int, int]:
    """Return how many tokens of later turns' prompts were no longer in the cache, of turns that had to wait at the gate, since their program had been paused,
    and of the others.
    """
    later = [call for call in run["calls"] if call["turn"]]
    lost = [(call["held_s"] > PAUSED_S, max(0, call["reusable_tokens"] - (call["cached_tokens"] or 0))) for call in later]
    return sum(tokens for paused, tokens in lost if paused), sum(tokens for paused, tokens in lost if not paused)


def _covered(spans: Iterator[tuple[float, float]]) -> float:
    """Return how long at least one of some spans lasts."""
    total, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


def _line(rows: Mapping[str, Any], runs: Sequence[Row]) -> str:
    traces = [rows["traces"][f"{run['sizes']}/{run['programs']}/{run['seed']}"] for run in runs]
    cells = [
        " ".join(f"{run['hit'] / trace['bound']:.2f}" for run, trace in zip(runs, traces, strict=True)),
        " ".join(f"{run['computed'] / trace['least']:.1f}" for run, trace in zip(runs, traces, strict=True)),
        " ".join("{},{}".format(*lost_of(run)) for run in runs),
        *(" ".join(f"{run[name]:.1f}" for run in runs) for name in ("makespan_s", "mean_s", "p95_s")),
        " ".join(f"{run['computed'] / engine_of(run).prompts_s:.0f}" for run in runs),
        " ".join(f"{run['first_p50_s']:.2f},{run['first_p99_s']:.1f}" for run in runs),
        *(" ".join(str(run[name]) for run in runs) for name in ("preempted", "paused")),
        " ".join(f"{run['held_max_s']:.1f}" for run in runs),
    ]
    return f"| {runs[0]['arm']} | {' | '.join(cells)} |"


def _pairs(rows: Mapping[str, Any], sizes: str, count: int, one: str, other: str) -> list[tuple[Row, Row, Row]]:
    """Return the runs of two arms on the same programs, with their traces."""
    runs, found = rows["runs"], []
    for seed in range(100):
        keys = [f"{sizes}/{count}/{arm}/{seed}" for arm in (one, other)]
        if all(key in runs for key in keys):
            found.append((runs[keys[0]], runs[keys[1]], rows["traces"][f"{sizes}/{count}/{seed}"]))
    return found


def _reached(rows: Mapping[str, Any]) -> Iterator[str]:
    count = rows["machine"]["shape"]["programs"]
    yield "| measure | by seed | reach |\n|---|---|---|"
    for sizes in ("uniform", "mixed"):
        pairs = _pairs(rows, sizes, count, "naive", "gate")
        if not pairs:
            continue
        yield f"| {sizes}: hit / bound, gate | {_each(gate['hit'] / trace['bound'] for _, gate, trace in pairs)} | .95 |"
        yield f"| {sizes}: computed, naive / gate | {_each(naive['computed'] / gate['computed'] for naive, gate, _ in pairs)} | 3 |"
        yield f"| {sizes}: makespan, naive / gate | {_each(naive['makespan_s'] / gate['makespan_s'] for naive, gate, _ in pairs)} | 1.3 |"
        yield f"| {sizes}: mean completion, naive / gate | {_each(naive['mean_s'] / gate['mean_s'] for naive, gate, _ in pairs)} | 1.4 |"
        times = [(engine_of(naive), engine_of(gate)) for naive, gate, _ in pairs]
        yield f"| {sizes}: share of the naive engine's time with a prompt under way | {_each(naive.prompts_s / naive.busy_s for naive, _ in times)} | about .6 |"
        gains = [
            1 / (1 - naive.prompts_s / naive.busy_s * (1 - run["computed"] / all_run["computed"]))
            for (naive, _), (all_run, run, _) in zip(times, pairs, strict=True)
        ]
        yield f"| {sizes}: engine's time, naive / gate, by the formula | {_each(gains)} | |"
        yield f"| {sizes}: the same, measured | {_each(naive.busy_s / gate.busy_s for naive, gate in times)} | within .1 |"
        rests = _each(naive.busy_s - naive.prompts_s for naive, _ in times), _each(gate.busy_s - gate.prompts_s for _, gate in times)
        yield f"| {sizes}: seconds with replies alone, naive; gate | {rests[0]}; {rests[1]} | equal, says the formula |"
        for most in CAPS:
            capped = _pairs(rows, sizes, count, f"cap {most}", "gate")
            if capped:
                spans = _each(cap["makespan_s"] / gate["makespan_s"] for cap, gate, _ in capped)
                means = _each(cap["mean_s"] / gate["mean_s"] for cap, gate, _ in capped)
                yield f"| {sizes}: cap {most} / gate, makespan; mean completion | {spans}; {means} | 1 |"
    few = _pairs(rows, "uniform", BELOW_KNEE, "naive", "gate")
    if few:
        yield f"| {BELOW_KNEE} programs: seconds held | {_each(gate['held_s'] for _, gate, _ in few)} | 0 |"
        yield f"| {BELOW_KNEE} programs: computed, gate / naive | {_each(gate['computed'] / naive['computed'] for naive, gate, _ in few)} | 1.01 |"
    yield f"| gate, seconds a call | {rows['speed']['gate_s']:.5f} | .001 |\n"


def _each(values: Iterator[float] | Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def _simulated(rows: Mapping[str, Any]) -> Iterator[str]:
    """Yield the measured runs beside the simulator's, which knows the traces, the pool and the server's speed alone."""
    shape, speed = Shape(**rows["machine"]["shape"]), rows["speed"]
    machine = _machine(shape, speed["prefill_tokens_s"], speed["reply_token_s"])
    policies = {arm.name: arm.policy for arm in arms_of(shape)}
    yield "| run | hit, measured and simulated | computed | makespan s | mean s |\n|---|---|---|---|---|"
    for key, run in rows["runs"].items():
        if run["arm"] == "priority":
            continue  # the simulator's server has no priorities
        trace = rows["traces"][f"{run['sizes']}/{run['programs']}/{run['seed']}"]
        programs = [_turns(lengths, tools, shape.reply) for lengths, tools in zip(trace["lengths"], trace["tool_s"], strict=True)]
        told = gate_simulation.simulate(programs, rows["machine"]["pool"], policies[run["arm"]], machine)
        yield (
            f"| {key} | {run['hit']:.2f} {told.reuse:.2f} | {run['computed']} {told.computed} | {run['makespan_s']:.1f} {told.makespan_s:.1f}"
            f" | {run['mean_s']:.1f} {told.mean_s:.1f} |"
        )


def _machine(shape: Shape, prompt_tokens_s: float, reply_token_s: float) -> gate_simulation.Machine:
    return gate_simulation.Machine(
        block=BLOCK,
        header_tokens=shape.header,
        step_tokens=STEP_TOKENS,
        prefill_tokens_s=prompt_tokens_s,
        step_s=reply_token_s,
        reply_step_s=0.0,
        reply_tokens=1,
        replies_reused=False,
    )


def _turns(lengths: Sequence[int], tools: Sequence[float], reply: int) -> list[gate_simulation.Turn]:
    """Return a program as the simulator has it. lengths: of its prompts, in tokens; tools: seconds after each."""
    adds = (length - (lengths[place - 1] + reply if place else 0) for place, length in enumerate(lengths))
    return [gate_simulation.Turn(added, reply, tool_s) for added, tool_s in zip(adds, tools, strict=True)]


def simulations(base: Shape, speeds: tuple[float, float], seeds: int, kinds: Sequence[Sizes]) -> Iterator[str]:
    """Yield a table of all arms, simulated. speeds: prompt tokens a second, and seconds of one token of a reply."""
    for sizes in kinds:
        shape = replace(base, sizes=sizes)
        programs = [[_turns(*drawn, shape.reply) for drawn in map(_words, draw_programs(shape, seed))] for seed in range(seeds)]
        yield f"{shape.programs} programs, {sizes}, {seeds} seeds: means\n"
        yield "| arm | hit / bound | computed / least | makespan s | mean s | share of prompts in the makespan | paused |\n|---|---|---|---|---|---|---|"
        fit_alone = Arm("gate, what fits alone", replace(arms_of(shape)[1].policy, worth=float("inf")))
        for arm in (*arms_of(shape), fit_alone):
            if arm.priority:
                continue
            told = [gate_simulation.simulate(one, pool_of(shape), arm.policy, _machine(shape, *speeds)) for one in programs]
            cells = [
                f"{statistics.mean(run.reuse / run.bound for run in told):.2f}",
                f"{statistics.mean(run.computed / run.least for run in told):.1f}",
                f"{statistics.mean(run.makespan_s for run in told):.1f}",
                f"{statistics.mean(run.mean_s for run in told):.1f}",
                f"{statistics.mean(run.computed / speeds[0] / run.makespan_s for run in told):.2f}",
                f"{statistics.mean(run.paused for run in told):.1f}",
            ]
            yield f"| {arm.name} | {' | '.join(cells)} |"
        yield ""


def _words(program: Program) -> tuple[list[int], list[float]]:
    """Return the words of each prompt of a program, and the seconds of its tools."""
    lengths = [sum(len(message.text.split()) for message in prompt) for prompt in program.prompts()]
    return lengths, [turn.tool_s for turn in program.turns]


def pool_of(shape: Shape) -> int:
    """Return how many tokens the cache holds."""
    return POOL_PEAKS * shape.peak // BLOCK * BLOCK


def main() -> None:
    """Measure what is asked for, or print the tables of what was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, help="interpreter that has vLLM")
    parser.add_argument("--model", type=Path, help="directory of the model")
    parser.add_argument("--endpoint", metavar="HOST:PORT", help="a server that runs already, with its pool as it is")
    parser.add_argument("--out", type=Path, help="where rows are kept")
    parser.add_argument(
        "--simulate", metavar="SPEEDS", help="prompt tokens a second and seconds a token of a reply, with a comma; asks no server"
    )
    parser.add_argument("--table", action="store_true", help="measure nothing")
    parser.add_argument("--programs", type=int, default=12)
    parser.add_argument("--peak", type=int, default=2_048, help="mean peak of a program, in tokens")
    parser.add_argument("--header", type=int, default=512)
    parser.add_argument("--reply", type=int, default=24)
    parser.add_argument("--tool-scale", type=float, default=0.25)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sizes", default="uniform,mixed")
    parser.add_argument("--arms", help="names, separated by commas; all by default")
    parser.add_argument("more", nargs="*", help="arguments for vLLM, after --")
    options = parser.parse_args()
    shape = Shape(options.programs, options.header, options.peak, options.reply, "uniform", options.tool_scale)
    if options.simulate:
        prompt_tokens_s, reply_token_s = map(float, options.simulate.split(","))
        print("\n".join(simulations(shape, (prompt_tokens_s, reply_token_s), options.seeds, options.sizes.split(","))))
        return
    if not options.out:
        parser.error("--out says where rows are kept")
    rows: Row = json.loads(options.out.read_text()) if options.out.exists() else {}
    if not options.table:
        window = 2 * options.peak
        source = (
            nullcontext(Server(options.endpoint))
            if options.endpoint
            else started(
                options.python, options.model, pool=pool_of(shape), window=window, log=options.out.with_suffix(".log"), more=options.more
            )
        )
        with source as server:
            measure(server, shape, options, rows)
        write_rows(rows, options.out)
    print("\n".join(tables(rows)))


if __name__ == "__main__":
    main()
