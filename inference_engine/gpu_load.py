"""How much the GPUs of this machine have to do at this moment."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """One GPU.

    Attributes:
        index: the driver's number.
        utilization: share of the last moments in which a kernel ran, 0 to 1 (NVML's `utilization.gpu`).
    """

    index: int
    memory_used_bytes: int
    utilization: float


def gpu_loads() -> list[GpuLoad]:
    """Ask the driver about every GPU; none where there is no driver, or where it does not say."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 (NVMLError, OSError of the library, a namesake of the module ...)
        return []
    try:
        return [_load(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # noqa: BLE001 (a device that fell off the bus; the others' numbers come with the next scrape)
        return []
    finally:
        with suppress(Exception):
            pynvml.nvmlShutdown()


def _load(index: int) -> GpuLoad:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    used = int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
    return GpuLoad(index, used, pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
