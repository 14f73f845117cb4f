"""Which hardware classes a process serves, and how it divides its cores and memory. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from inference_engine.batching import BatchPolicy
from inference_engine.machine import Gpu, Machine
from inference_engine.sessions import SessionOptions

CPU_CLASS = "cpu"
#: A CPU with Advanced Matrix Extensions: bf16 and int8 run several times faster there.
AMX_CLASS = "cpu-amx"
#: Every GPU, whatever its compute capability.
ANY_GPU_CLASS = "gpu-any"
#: Shares that models may fill by default: of a machine's memory (the rest is for images, the database's cache and other
#: programs), and of a GPU's (the rest is for a batch's intermediate tensors, which grow after the load).
_CPU_MEMORY_SHARE, _GPU_MEMORY_SHARE = 0.5, 0.8


@dataclass(frozen=True, slots=True)
class Slot:
    """One worker process to be: its hardware class, its device, and the cores it may use.

    Attributes:
        hardware: the most special class that it serves.
        visible_gpu: the driver's number, for `CUDA_VISIBLE_DEVICES`; None hides all GPUs.
        model_bytes: memory of the device that open models may take; 0: not known.
    """

    hardware: str
    device: str
    cores: tuple[int, ...]
    visible_gpu: int | None = None
    model_bytes: int = 0

    @property
    def serves(self) -> tuple[str, ...]:
        """The classes whose queues it consumes, its own first."""
        return served_classes(self.hardware)


def gpu_class(gpu: Gpu) -> str:
    """`gpu-sm90` for compute capability 9.0."""
    return f"gpu-sm{gpu.compute_capability.replace('.', '')}"


def cpu_class(machine: Machine) -> str:
    """`cpu-amx` where the CPU reports AMX tiles, else `cpu`."""
    return AMX_CLASS if "amx_tile" in machine.cpu_features else CPU_CLASS


def served_classes(hardware: str) -> tuple[str, ...]:
    """A class and the more general one that it can stand in for."""
    general = ANY_GPU_CLASS if hardware.startswith("gpu-") else CPU_CLASS
    return (hardware,) if hardware == general else (hardware, general)


def plan_slots(machine: Machine, hardware: str, cores: Sequence[int], cpu_processes: int) -> list[Slot]:
    """One process for each wanted GPU, and where the CPU is wanted, the cores divided between CPU processes.

    Args:
        hardware: classes joined by commas. `auto` is every GPU, or the CPU where there is none; `auto,cpu` is both.

    Raises:
        ValueError: the machine has no such hardware.
    """
    wanted = [word.strip() for word in hardware.split(",")]
    gpus = [gpu for gpu in machine.gpus if {"auto", ANY_GPU_CLASS, gpu_class(gpu)}.intersection(wanted)]
    own_cpu = cpu_class(machine)
    has_cpu = bool({*served_classes(own_cpu)}.intersection(wanted)) or ("auto" in wanted and not gpus)
    _check_known(machine, wanted)
    cpus = min(cpu_processes, len(cores)) if has_cpu else 0
    shares = divide(cores, len(gpus) + cpus)
    cpu_bytes = int(machine.memory_bytes * _CPU_MEMORY_SHARE) // max(1, cpus)
    return [
        Slot(gpu_class(gpu), "cuda:0", share, gpu.nvml_index, int(gpu.memory_bytes * _GPU_MEMORY_SHARE))
        for gpu, share in zip(gpus, shares, strict=False)
    ] + [Slot(own_cpu, "cpu", share, None, cpu_bytes) for share in shares[len(gpus) :]]


def _check_known(machine: Machine, wanted: Sequence[str]) -> None:
    here = {*served_classes(cpu_class(machine)), *(gpu_class(gpu) for gpu in machine.gpus)}
    known = {"auto", *here, *([ANY_GPU_CLASS] if machine.gpus else [])}
    for word in wanted:
        if word not in known:
            gpus = ", ".join(sorted({gpu_class(gpu) for gpu in machine.gpus})) or "no GPU"
            raise ValueError(f"hardware {word!r} is not here: this machine has {cpu_class(machine)}, {gpus}")


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
