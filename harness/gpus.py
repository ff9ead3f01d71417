"""The GPUs of this machine, as NVIDIA's driver tells of them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Gpu:
    """One card. memory_gib: GiB; capability: the generation of its instructions, such as (9, 0)."""

    name: str
    memory_gib: float
    capability: tuple[int, int]


def find_gpus() -> tuple[Gpu, ...]:
    """Return the cards in the driver's order; none where there is no driver, or it does not answer."""
    import pynvml  # only where a server is to be started

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        return tuple(_gpu(pynvml, place) for place in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: Any, place: int) -> Gpu:
    card = nvml.nvmlDeviceGetHandleByIndex(place)
    return Gpu(
        str(nvml.nvmlDeviceGetName(card)),
        nvml.nvmlDeviceGetMemoryInfo(card).total / 2**30,
        tuple(nvml.nvmlDeviceGetCudaComputeCapability(card)),
    )
