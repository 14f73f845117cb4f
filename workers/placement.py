"""Which hardware class a process serves, and how it divides its cores. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from inference_engine.batching import BatchPolicy
from inference_engine.machine import Gpu, Machine
from inference_engine.sessions import SessionOptions

CPU_CLASS = "cpu"


@dataclass(frozen=True, slots=True)
class Slot:
    """One worker process to be: its hardware class, its device, and the cores it may use.

    Attributes:
        visible_gpu: index or uuid for `CUDA_VISIBLE_DEVICES`; None hides all GPUs.
    """

    hardware: str
    device: str
    cores: tuple[int, ...]
    visible_gpu: int | str | None = None


def gpu_class(gpu: Gpu) -> str:
    """`gpu-sm90` for compute capability 9.0."""
    return f"gpu-sm{gpu.compute_capability.replace('.', '')}"


def plan_slots(machine: Machine, hardware: str, cores: Sequence[int], cpu_processes: int) -> list[Slot]:
    """One process a GPU; without one, or where the CPU is asked for, the cores divided between CPU processes.

    Raises:
        ValueError: the machine has no such hardware.
    """
    wanted = [gpu for gpu in machine.gpus if hardware in ("auto", "gpu-any", gpu_class(gpu))]
    if wanted and hardware != CPU_CLASS:
        shares = divide(cores, len(wanted))
        # A uuid names one GPU however CUDA counts and whatever variable this process was started with.
        names = [gpu.uuid or gpu.index for gpu in wanted]
        pairs = zip(wanted, shares, names, strict=True)
        return [Slot(gpu_class(gpu), "cuda:0", share, name) for gpu, share, name in pairs]
    if hardware not in ("auto", CPU_CLASS):
        has = ", ".join(sorted({gpu_class(gpu) for gpu in machine.gpus})) or "no GPU"
        raise ValueError(f"hardware {hardware!r} is not here: this machine has {CPU_CLASS}, {has}")
    return [Slot(CPU_CLASS, "cpu", share) for share in divide(cores, min(cpu_processes, len(cores)))]


def divide(cores: Sequence[int], parts: int) -> list[tuple[int, ...]]:
    """Neighbouring cores stay together; with more parts than cores, parts share."""
    if parts > len(cores):
        return [tuple(cores)] * parts
    edges = [round(index * len(cores) / parts) for index in range(parts + 1)]
    return [tuple(cores[a:b]) for a, b in pairwise(edges)]


def session_options(device: str, cores: int) -> SessionOptions:
    """On a CPU as many runs at once as there are cores, one thread each.

    Two concurrent single-thread runs beat one run of two threads (docs/decisions/0006).
    """
    return SessionOptions(threads=1, concurrency=cores) if device == "cpu" else SessionOptions()


def batch_policy(device: str, concurrency: int, batch: tuple[int, int | None], max_wait_s: float) -> BatchPolicy:
    """How images are joined on this device.

    Args:
        batch: what the session takes at most, and what the job asked for.
    """
    most, wished = batch
    if device == "cpu":
        # Larger batches gain nothing on a CPU and cost memory; a static artefact has to be filled.
        return BatchPolicy(min(wished or 1, most), max_wait_s, concurrency)
    return BatchPolicy(min(wished or most, most), max_wait_s, 1)
