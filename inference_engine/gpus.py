"""NVIDIA's GPUs, as the driver describes them. No CUDA context is made, no runtime imported."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU.

    Attributes:
        index: as CUDA counts in this process: `cuda:<index>`.
        compute_capability: for example `9.0`.
        memory_bytes: of the whole device.
        free_bytes: when it was looked at; None: not known.
        uuid: the driver's name for it; empty: not known.
    """

    index: int
    name: str
    compute_capability: str
    memory_bytes: int
    free_bytes: int | None = field(default=None, compare=False)
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Nvidia:
    """What the driver says.

    Attributes:
        cuda_version: the newest that it supports.
        problem: what is in the way of asking it.
    """

    gpus: tuple[Gpu, ...] = ()
    driver_version: str | None = None
    cuda_version: str | None = None
    problem: str | None = None


def probe_nvidia(visible: str | None = None) -> Nvidia:
    """Ask the driver by NVML; never raises.

    Args:
        visible: `CUDA_VISIBLE_DEVICES`, which NVML does not look at; None: unset.
    """
    try:
        import pynvml
    except ImportError:
        return Nvidia(problem="nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
    except Exception as error:  # noqa: BLE001 (NVMLError, OSError of the library, AttributeError of a namesake ...)
        return Nvidia(problem=f"no NVIDIA driver ({error})")
    try:
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        gpus = tuple(_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))
        driver = pynvml.nvmlSystemGetDriverVersion()
        seen = visible_gpus(gpus, visible)
        problem = None if seen or not gpus else f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU"
        return Nvidia(seen, driver, f"{cuda // 1000}.{cuda % 1000 // 10}", problem)
    except Exception as error:  # noqa: BLE001 (probing never raises; the words say what was in the way)
        return Nvidia(problem=f"the NVIDIA driver does not answer ({type(error).__name__}: {error})")
    finally:
        with suppress(Exception):
            pynvml.nvmlShutdown()


def visible_gpus(gpus: Sequence[Gpu], visible: str | None) -> tuple[Gpu, ...]:
    """The GPUs that CUDA shows this process, counted as it counts them. Pure.

    As the CUDA programming guide has it: indices or uuids (or their beginnings), and what follows an entry that names
    no GPU is hidden. A part of a GPU (`MIG-...`) is not looked up: then all are given as they are.
    """
    if visible is None or "MIG-" in visible:
        return tuple(gpus)
    found: list[Gpu] = []
    for entry in (part.strip() for part in visible.split(",")):
        named = [gpu for gpu in gpus if str(gpu.index) == entry or (entry.startswith("GPU-") and entry in gpu.uuid)]
        if len(named) != 1 or named[0].uuid in [gpu.uuid for gpu in found if gpu.uuid]:
            break
        found.append(replace(named[0], index=len(found)))
    return tuple(found)


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    uuid = ""
    with suppress(Exception):
        uuid = str(nvml.nvmlDeviceGetUUID(handle))
    free = getattr(memory, "free", None)
    name = nvml.nvmlDeviceGetName(handle)
    return Gpu(index, name, f"{major}.{minor}", int(memory.total), None if free is None else int(free), uuid)
