"""One module a runtime. The folder is the registry: `backends/<name>.py` with the members of `Backend`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, cast

from inference_engine.machine import Machine
from inference_engine.negotiation import Offer, Reason
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Session, SessionOptions

#: CPU flags of which one is enough to compute in bfloat16; without them it is emulated, and slower than float32.
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


class Backend(Protocol):
    """What every module in this folder offers; its runtime is imported by `open_session`, not before."""

    def probe(self, machine: Machine) -> Offer:
        """What it can do on this machine, from data alone."""
        ...

    def switches(self, package: ModelPackage, device: str) -> tuple[str, ...]:
        """Fields of `SessionOptions` that are on or off and change how it runs there; `measured` tries them."""
        ...

    def open_session(self, package: ModelPackage, device: str, options: SessionOptions) -> Session:
        """Load the package's artefact.

        Raises:
            PackageInvalid: the artefact is not what the package says.
            SessionFailed: the runtime refused it.
        """
        ...


def known_backends() -> tuple[str, ...]:
    """Names only; nothing is imported."""
    return tuple(sorted(module.name for module in iter_modules(__path__) if not module.ispkg))


def backend(name: str) -> Backend:
    """The backend's module; its runtime is not imported yet."""
    return cast("Backend", import_module(f"{__name__}.{name}"))


def offers(machine: Machine) -> Mapping[str, Offer]:
    """What each backend can do on this machine."""
    return {name: backend(name).probe(machine) for name in known_backends()}


def installed(machine: Machine, runtime: str, hint: str) -> Reason | None:
    """Why this runtime cannot be used; None when it can."""
    if runtime in machine.problems:
        return Reason("broken_runtime", f"{runtime}: {machine.problems[runtime]}", hint)
    if runtime not in machine.packages:
        return Reason("not_installed", f"{runtime} is not installed", hint)
    return None


def lower_precisions(machine: Machine, *devices: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """Precisions below float32 that pay on this machine, by device and the package's precision, for an offer."""
    by_device = {
        "cpu": ("bf16",) if _BF16_FLAGS & set(machine.cpu_features) else (),
        "cuda": ("fp16", "bf16") if any(float(gpu.compute_capability) >= 8 for gpu in machine.gpus) else ("fp16",),
    }
    return {(device, "fp32"): by_device[device] for device in devices if by_device[device]}
