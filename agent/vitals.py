"""What a model server tells of itself: whether it is ready, how much its KV cache holds, and what it has done so far.

vLLM says it in its metrics. The size of the cache stands in the labels of one gauge, `vllm:cache_config_info`: `kv_cache_size_tokens`, which is right for
every kind of attention, or in older versions the number of blocks and their size; a server with data parallelism has a line for each of its engines. A
server that says none of this is asked without a gate, and without a look at what it does.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    import httpx

GAUGE: Final = "vllm:cache_config_info"
BEGAN: Final = "process_start_time_seconds"
ANSWER_S: Final = 3.0

_SAMPLE = re.compile(r"^(?P<name>\w[\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Vitals:
    """What a server has done since it began, for all its clients, and does now.

    computed, found: tokens of prompts that it computed, and that its cache had; generated: tokens; preempted: requests put back, whose prompts are computed
    again; queued_s, first_s: seconds that requests waited in its queue, and until their first tokens, of so many requests; running, waiting: requests now.
    began: when its process did, in seconds since the epoch.
    """

    computed: int = 0
    found: int = 0
    generated: int = 0
    preempted: int = 0
    queued_s: float = 0.0
    queued: int = 0
    first_s: float = 0.0
    firsts: int = 0
    running: int = 0
    waiting: int = 0
    began: float = 0.0

    def since(self, before: "Vitals") -> "Vitals":
        """Return what was done since, of a server that was started again what it did from then on; `running` and `waiting` are how many more there are."""
        if self.began != before.began:
            return self
        return Vitals(**{one.name: round(getattr(self, one.name) - getattr(before, one.name), 3) for one in fields(self)})

    def __add__(self, other: "Vitals") -> "Vitals":
        """Return what two servers did together."""
        return Vitals(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)})


def get(address: str, *, timeout_s: float = ANSWER_S) -> "httpx.Response | None":
    """Return what a server answers to a GET, None where nobody answers. A proxy of the environment is not asked for this machine."""
    import httpx  # only where a server is asked: the names above are needed without it

    try:
        return httpx.get(address, timeout=timeout_s, trust_env=urlsplit(address).hostname not in _LOOPBACK)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None


def healthy(api_base: str) -> bool:
    """Return whether the server is ready; one without vLLM's `/health` is when it lists its models, or asks for a key before it does."""
    try:
        health = get(f"{root(api_base)}/health")
    except ValueError:
        return False
    if health is not None and health.status_code == 404:
        health = get(f"{api_base.rstrip('/')}/models")
        return health is not None and health.status_code < 500 and health.status_code != 404
    return health is not None and health.is_success


def metrics_of(api_base: str) -> str | None:
    """Return the metrics of the server at `api_base`, None where it has none, or there is no server."""
    try:
        answer = get(metrics_address(api_base))
    except ValueError:
        return None
    return answer.text if answer is not None and answer.is_success else None


def pools(metrics: str) -> tuple[int | None, ...]:
    """Return how many tokens each engine's KV cache holds, by rank; nothing where metrics are not vLLM's. None: an engine that does not say it.

    >>> pools('vllm:cache_config_info{block_size="16",engine="0",kv_cache_size_tokens="4096",num_gpu_blocks="256"} 1.0')
    (4096,)
    >>> pools('vllm:cache_config_info{block_size="16",num_gpu_blocks="10"} 1.0')
    (160,)
    >>> pools("vllm:num_requests_running 0")
    ()
    """
    engines = [labels for name, labels, _ in samples(metrics) if name == GAUGE]
    return tuple(_size(labels) for labels in sorted(engines, key=lambda labels: (len(labels.get("engine", "")), labels.get("engine", ""))))


def vitals(metrics: str) -> Vitals | None:
    r"""Return what a server did by its metrics, all engines together; None where they are not vLLM's.

    >>> vitals('vllm:num_requests_waiting{engine="0"} 2\nvllm:generation_tokens_total{engine="0"} 7.0').waiting
    2
    >>> vitals("process_cpu_seconds_total 1")
    """
    sums: dict[str, float] = defaultdict(float)
    began = 0.0
    for name, labels, value in samples(metrics):
        if name == BEGAN:
            began = value
        elif name.startswith("vllm:"):
            source = labels.get("source")
            sums[f"{name} {source}" if source else name] += value
    if not sums:
        return None
    count = {name: int(sums[f"vllm:{name}"]) for name in _COUNTERS}
    # Versions without counts by source have the looked up and the found tokens of the cache.
    by_source = "vllm:prompt_tokens_by_source_total local_compute"
    computed = sums[by_source] if by_source in sums else count["prefix_cache_queries_total"] - count["prefix_cache_hits_total"]
    return Vitals(
        int(computed),
        count["prefix_cache_hits_total"],
        count["generation_tokens_total"],
        count["num_preemptions_total"],
        sums["vllm:request_queue_time_seconds_sum"],
        count["request_queue_time_seconds_count"],
        sums["vllm:time_to_first_token_seconds_sum"],
        count["time_to_first_token_seconds_count"],
        count["num_requests_running"],
        count["num_requests_waiting"],
        began,
    )


def vitals_of(bases: Sequence[str]) -> Vitals | None:
    """Return what the servers at some addresses did together, None where one of them does not tell."""
    told = [vitals(metrics_of(base) or "") for base in bases]
    known = [one for one in told if one is not None]
    return sum(known[1:], known[0]) if known and len(known) == len(told) else None


_COUNTERS: Final = (
    "prefix_cache_queries_total",
    "prefix_cache_hits_total",
    "generation_tokens_total",
    "num_preemptions_total",
    "request_queue_time_seconds_count",
    "time_to_first_token_seconds_count",
    "num_requests_running",
    "num_requests_waiting",
)


def samples(metrics: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Yield the samples of metrics in Prometheus' text form: name, labels, value. What is no sample is passed over."""
    for sample in _SAMPLE.finditer(metrics):
        try:
            value = float(sample["value"])
        except ValueError:
            continue
        yield sample["name"], dict(_LABEL.findall(sample["labels"] or "")), value


def _size(labels: Mapping[str, str]) -> int | None:
    whole, blocks, block = (labels.get(name, "") for name in ("kv_cache_size_tokens", "num_gpu_blocks", "block_size"))
    if whole.isdecimal():
        return int(whole)
    return int(blocks) * int(block) if blocks.isdecimal() and block.isdecimal() else None


def root(api_base: str) -> str:
    """Return where a server has what is not of the API. Raises ValueError if `api_base` is no address.

    >>> root("http://127.0.0.1:8000/v1/")
    'http://127.0.0.1:8000'
    """
    parts = urlsplit(api_base)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{api_base!r} is no address of a server")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/").removesuffix("/v1"), "", ""))


def metrics_address(api_base: str) -> str:
    """Return where metrics are: beside the API, at the server's root. Raises ValueError if `api_base` is no address."""
    return f"{root(api_base)}/metrics"
