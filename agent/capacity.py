"""How much a model server's KV cache holds, as the server tells it: what a gate reckons with.

vLLM says it in the labels of one gauge of its metrics, `vllm:cache_config_info`: `kv_cache_size_tokens`, which is right for every kind of attention, or
in older versions the number of blocks and their size. A server that says neither is asked without a gate.
"""

import re
from typing import Final
from urllib.parse import urlsplit, urlunsplit

GAUGE: Final = "vllm:cache_config_info"
ANSWER_S: Final = 3.0

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def pool_tokens(api_base: str) -> int | None:
    """Return the tokens that the cache of the server at `api_base` holds, None where it does not say, or there is no server."""
    import httpx  # only where a server is asked: the gauge's name is needed without it

    try:
        answer = httpx.get(metrics_address(api_base), timeout=ANSWER_S)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
    return told(answer.text) if answer.is_success else None


def told(metrics: str) -> int | None:
    """Return the size that metrics tell; that of several engines together, since each serves its part of the programs.

    >>> told('vllm:cache_config_info{block_size="16",kv_cache_size_tokens="4096",num_gpu_blocks="256"} 1.0')
    4096
    >>> told('vllm:cache_config_info{block_size="16",num_gpu_blocks="10"} 1.0')
    160
    >>> told("vllm:num_requests_running 0")
    """
    sizes = [_size(dict(_LABEL.findall(line))) for line in metrics.splitlines() if line.startswith(GAUGE + "{")]
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None


def _size(labels: dict[str, str]) -> int | None:
    whole, blocks, block = (labels.get(name, "") for name in ("kv_cache_size_tokens", "num_gpu_blocks", "block_size"))
    if whole.isdecimal():
        return int(whole)
    return int(blocks) * int(block) if blocks.isdecimal() and block.isdecimal() else None


def metrics_address(api_base: str) -> str:
    """Return where metrics are: beside the API, at the server's root.

    >>> metrics_address("http://127.0.0.1:8000/v1/")
    'http://127.0.0.1:8000/metrics'
    """
    parts = urlsplit(api_base)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{api_base!r} is no address of a server")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/").removesuffix("/v1") + "/metrics", "", ""))
