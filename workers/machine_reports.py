"""A worker's machine as it tells the fleet of it, so that whoever explains a backend need not stand on it. Pure.

A report holds what negotiation looks at: no environment, no folder, no name of a host, and nothing that changes while
a process lives, so that machines which are alike are described by the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from inference_engine.machine import Gpu, Machine
from workers.placement import AMX_CLASS, CPU_CLASS

#: Of the report's form. Fields are added without another number: a reader passes over what it does not know.
VERSION = 1
#: CPU features that `cpu-amx` promises; `placement.cpu_class` asks for the first.
_AMX_FEATURES = ("amx_tile", "amx_int8", "amx_bf16")


@dataclass(frozen=True, slots=True)
class _Report:
    schema_version: int
    machine: Machine


class ReportUnreadable(ValueError):
    """A report is of a newer form, or none at all; the message says which."""


def report_of(machine: Machine) -> dict[str, Any]:
    """Give what a worker says of its machine, as JSON's types."""
    told = replace(
        machine,
        gpus=tuple(replace(gpu, uuid="", free_bytes=None) for gpu in machine.gpus),
        problems={name: _without_folders(words) for name, words in machine.problems.items()},
        free_bytes=None,
    )
    report: dict[str, Any] = msgspec.to_builtins(_Report(VERSION, told))
    return report


def machine_of(report: Mapping[str, Any]) -> Machine:
    """Give the machine of a report, with all its memory free: what is free differs from moment to moment.

    Raises:
        ReportUnreadable.
    """
    if (version := report.get("schema_version")) != VERSION:
        raise ReportUnreadable(f"the report has version {version!r}, this nightshift reads {VERSION}")
    try:
        machine = msgspec.convert(report, _Report).machine
    except msgspec.ValidationError as error:
        raise ReportUnreadable(f"the report cannot be read: {error}") from error
    gpus = tuple(replace(gpu, free_bytes=gpu.memory_bytes) for gpu in machine.gpus)
    return replace(machine, gpus=gpus, free_bytes=machine.memory_bytes)


def assumed_machine(hardware: str, here: Machine) -> Machine | None:
    """Give this machine with the device that a class's name implies in the place of its own; None: it implies none.

    Runtimes are those of this machine. Drivers and memory, of which a name says nothing, are unknown and held against
    no package.
    """
    bare = replace(here, gpus=(), driver_version=None, cuda_version=None, problems={}, free_bytes=None)
    if hardware == CPU_CLASS:
        return bare
    if hardware == AMX_CLASS:
        return replace(bare, cpu_features=tuple(dict.fromkeys((*here.cpu_features, *_AMX_FEATURES))))
    if (found := re.fullmatch(r"gpu-sm(\d{1,2})(\d)", hardware)) is None:
        return None
    capability = f"{found[1]}.{found[2]}"
    return replace(bare, gpus=(Gpu(0, f"a GPU of compute capability {capability}", capability, 0),))


def _without_folders(words: str) -> str:
    """Cut the folders off paths in a driver's words."""
    return re.sub(r"(?<![\w/])(?:/[^\s/:'\"]+)+/", "", words)
