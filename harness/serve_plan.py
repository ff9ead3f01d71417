"""What to serve and how: a model for the memory that is there, and the command of vLLM with the reason for each of its flags.

The models are those that vLLM's own recipes and model cards recommend for coding agents, smallest memory first; those with full or sliding-window attention
come before hybrids, whose prefix cache has been seen to find nothing. None of them was run by us: no machine here holds one. The flags are those of
vLLM 0.32.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from backstory.errors import UserError
from backstory.harness.gpus import Gpu

MODULE: Final = "vllm.entrypoints.openai.api_server"
"""What is run: the `vllm` program asks for a distribution of that name, which the build for CPUs has not."""

# An agent's conversation seldom comes to more: published ones on SWE-bench have their median peak between 30,000 and 60,000 tokens.
CONTEXT_TOKENS: Final = 65_536
CPU_CONTEXT_TOKENS: Final = 8_192
CPU_POOL_GIB: Final = 2
CPU_BLOCK: Final = 32  # the build's own 128 computes up to 127 tokens of every turn again
GPU_ARCHITECTURE_FP8: Final = (8, 9)
# A card of "24 GB" shows a little less.
SHOWN_SHARE: Final = 0.93

Attention = Literal["full", "sliding window", "hybrid"]


@dataclass(frozen=True)
class Offer:
    """A model for a card. card_gb: what the card is sold as; weights_gib: at least so much of it; tool_parser, reasoning_parser: vLLM's names."""

    card_gb: int
    model: str
    weights_gib: int
    attention: Attention
    tool_parser: str
    reasoning_parser: str | None
    why: str


OFFERS: Final = (
    Offer(
        24, "openai/gpt-oss-20b", 16, "sliding window", "openai", None, "the strongest that leaves room for several contexts; MXFP4 weights"
    ),
    Offer(
        48,
        "poolside/Laguna-XS-2.1-FP8",
        40,
        "sliding window",
        "poolside_v1",
        "poolside_v1",
        "made for coding agents: 33B parameters of which 3B compute",
    ),
    Offer(
        80,
        "poolside/Laguna-XS-2.1-FP8",
        40,
        "sliding window",
        "poolside_v1",
        "poolside_v1",
        "the same as on 48 GB: half of the card is left for contexts",
    ),
    Offer(141, "openai/gpt-oss-120b", 96, "sliding window", "openai", None, "the largest that leaves room for contexts; MXFP4 weights"),
)

# Families by a part of the model's name, in lower case: the parsers of what they write. The first that is found counts.
PARSERS: Final[tuple[tuple[str, str, str | None], ...]] = (
    ("gpt-oss", "openai", None),
    ("laguna", "poolside_v1", "poolside_v1"),
    ("qwen3-coder", "qwen3_coder", None),
    ("qwen3.", "qwen3_coder", "qwen3"),
    ("qwen3", "hermes", "qwen3"),
    ("mistral", "mistral", None),
    ("devstral", "mistral", None),
    ("gemma-4", "gemma4", None),
    ("llama-3", "llama3_json", None),
    ("llama-4", "llama4_pythonic", None),
)
DEFAULT_PARSER: Final = "hermes"


@dataclass(frozen=True)
class Flag:
    """Arguments of vLLM that belong together, and why they are there."""

    arguments: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Wanted:
    """What the user asked for; None leaves it to us. gpus: cards that share the model; offload_gib: memory of the machine for contexts that the cards
    have no room for; speculate: guess replies from the prompt; more: arguments handed on as they are.
    """

    model: str | None = None
    cpu: bool = False
    host: str = "127.0.0.1"
    port: int = 8000
    context: int | None = None
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    fp8_cache: bool = False
    offload_gib: float | None = None
    speculate: bool = False
    gpus: int = 1
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A server to start. name: what clients call the model; env: variables beside those of the process, with the reason for each."""

    model: str
    name: str
    api_base: str
    flags: tuple[Flag, ...]
    env: Mapping[str, tuple[str, str]]

    def argv(self, python: str) -> tuple[str, ...]:
        """Return the command."""
        return (python, "-m", MODULE, *(word for flag in self.flags for word in flag.arguments))


def offer_for(gpu: Gpu) -> Offer | None:
    """Return the model for a card, None when it is too small for any."""
    fitting = [offer for offer in OFFERS if gpu.memory_gib * 2**30 / 1e9 >= SHOWN_SHARE * offer.card_gb]
    return fitting[-1] if fitting else None


def make_plan(wanted: Wanted, gpus: Sequence[Gpu]) -> Plan:
    """Return how to serve what is wanted on the cards that are there. Raises UserError when that cannot be."""
    model, chosen = _choose(wanted, gpus)
    tools, reasoning, parsed = _parsers(model, wanted)
    flags = [
        Flag(("--model", model), chosen),
        Flag(("--served-model-name", name_of(model)), "what clients call it"),
        Flag(
            ("--host", wanted.host, "--port", str(wanted.port)),
            "this machine alone: the server asks for no key"
            if wanted.host == "127.0.0.1"
            else "as asked; the server asks for no key, so keep others out",
        ),
        Flag(
            ("--max-model-len", str(_context(wanted))),
            "as asked" if wanted.context else "what an agent's conversation may come to; each request is admitted against it",
        ),
        Flag(("--enable-auto-tool-choice", "--tool-call-parser", tools), parsed),
        *(
            [Flag(("--reasoning-parser", reasoning), "the model thinks before it answers, and its thoughts are kept apart")]
            if reasoning
            else []
        ),
        Flag(("--tool-strict-level", "parameter"), "the arguments of every call fit the tool's schema, whatever the model had in mind"),
        Flag(
            ("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}'),
            "a reply that a schema shapes may not be filled with blanks up to its limit; a call may, where its parser has a grammar of its own",
        ),
        Flag(("--scheduling-policy", "priority"), "turns of programs near their end go first; others keep the order in which they came"),
        Flag(("--enable-prompt-tokens-details",), "each reply says how much of its prompt was in the cache"),
        Flag(("--enable-force-include-usage",), "streams say what they cost, too"),
        Flag(("--enable-per-request-metrics",), "each reply says how long it waited in the queue, and for its first token"),
        Flag(
            ("--watermark", "0.05"), "a twentieth of the cache is kept for replies that grow, so that none is put back and computed again"
        ),
    ]
    if wanted.fp8_cache:
        flags.append(Flag(("--kv-cache-dtype", "fp8"), "twice the contexts in the same memory; look whether replies get worse"))
    if wanted.offload_gib:
        flags.append(
            Flag(
                ("--kv-offloading-size", f"{wanted.offload_gib:g}", "--kv-offloading-backend", "native"),
                "contexts that the card has no room for wait in the machine's memory",
            )
        )
    if wanted.speculate:
        flags.append(
            Flag(
                (
                    "--speculative-config",
                    '{"method": "ngram", "num_speculative_tokens": 5, "prompt_lookup_min": 5, "prompt_lookup_max": 5}',
                ),
                "replies repeat the code of the prompt; what matches is guessed and checked in one step",
            )
        )
    if wanted.gpus > 1:
        flags.append(Flag(("--tensor-parallel-size", str(wanted.gpus)), "the cards share the model"))
    if wanted.cpu:
        flags.append(Flag(("--enforce-eager",), "compiling costs a CPU more than it gives"))
        flags.append(Flag(("--block-size", str(CPU_BLOCK)), "the CPU build's own 128 would compute up to 127 tokens of each turn again"))
    if wanted.more:
        flags.append(Flag(wanted.more, "as given"))
    return Plan(model, name_of(model), f"http://{wanted.host}:{wanted.port}/v1", tuple(flags), _env(wanted))


def name_of(model: str) -> str:
    """Return what clients call a model: the last part of its name or path.

    >>> name_of("openai/gpt-oss-20b"), name_of("/models/small/")
    ('gpt-oss-20b', 'small')
    """
    return Path(model).name or model


def _choose(wanted: Wanted, gpus: Sequence[Gpu]) -> tuple[str, str]:
    if wanted.model is not None:
        _refuse_unfit(wanted, gpus)
        return wanted.model, "as asked"
    if wanted.cpu:
        raise UserError("a CPU serves only very small models: name one, such as `backstory serve --cpu DIRECTORY`")
    if not gpus:
        raise UserError("no GPU was found; name a model to serve with --cpu, or a server that runs already with --endpoint")
    _refuse_unfit(wanted, gpus)
    offer = offer_for(gpus[0])
    if offer is None:
        raise UserError(
            f"{gpus[0].name} has {gpus[0].memory_gib:.0f} GiB, less than the smallest model of the table needs; name one to serve all the same"
        )
    return (
        offer.model,
        f"for a card of {offer.card_gb} GB: {offer.why} ({offer.attention} attention, {offer.weights_gib} GiB; not tried by us)",
    )


def _refuse_unfit(wanted: Wanted, gpus: Sequence[Gpu]) -> None:
    if wanted.cpu:
        return
    if gpus and wanted.gpus > len(gpus):
        raise UserError(f"{wanted.gpus} GPUs were asked for and {len(gpus)} found; give --gpus {len(gpus)} or fewer")
    if gpus and wanted.fp8_cache and gpus[0].capability < GPU_ARCHITECTURE_FP8:
        raise UserError(f"{gpus[0].name} has no 8-bit numbers (compute capability 8.9 has); leave --fp8-cache out")


def _parsers(model: str, wanted: Wanted) -> tuple[str, str | None, str]:
    """Return the parsers of a model's calls and thoughts, and why these."""
    if wanted.tool_parser:
        return wanted.tool_parser, wanted.reasoning_parser, "as asked"
    name = name_of(model).lower()
    for part, tools, reasoning in PARSERS:
        if part in name:
            return tools, wanted.reasoning_parser or reasoning, f"how models named {part!r} write calls"
    return DEFAULT_PARSER, wanted.reasoning_parser, "how most write calls; if the self-test says otherwise, give --tool-parser"


def _context(wanted: Wanted) -> int:
    return wanted.context or (CPU_CONTEXT_TOKENS if wanted.cpu else CONTEXT_TOKENS)


def _env(wanted: Wanted) -> Mapping[str, tuple[str, str]]:
    env = {"VLLM_NO_USAGE_STATS": ("1", "tells nobody"), "DO_NOT_TRACK": ("1", "tells nobody")}
    if wanted.model is not None and Path(wanted.model).is_dir():
        env["HF_HUB_OFFLINE"] = ("1", "the model is a folder, and nothing need be asked of a hub")
    if wanted.cpu:
        env["VLLM_CPU_KVCACHE_SPACE"] = (str(CPU_POOL_GIB), "GiB of the machine's memory for contexts")
    return env
