"""One candidate against offer, machine and wishes: every reason that speaks against it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from inference_engine.fitting import against_machine, gpu_of
from inference_engine.machine import Machine
from inference_engine.packages import ModelPackage
from inference_engine.reasons import Reason
from inference_engine.remote_packages import RemotePackage
from inference_engine.trust import against_trust
from inference_engine.wishes import NmsFusion, Wishes, ends

#: What is judged: a package on disk, or one that a provider offers.
Package = ModelPackage | RemotePackage
#: Bytes of a weight in a lower precision against those of float32.
_WEIGHT_SHARE = {"fp16": 0.5, "bf16": 0.5}


@dataclass(frozen=True, slots=True)
class Offer:
    """What one backend can do on this machine.

    Attributes:
        opens: kinds of packages.
        devices: `cpu`, `cuda`; empty where the backend cannot be used.
        missing: why it cannot be used; None when it can.
        max_opset: newest ONNX operator set that the runtime reads; None: not limited or not known.
        lowers: (kind of device, a package's precision) -> lower precisions that it can be run in there.
        providers: kind of device -> ONNX Runtime's execution providers that serve it, the usual one first; empty for
            backends that have no such thing.
    """

    backend: str
    opens: frozenset[str]
    version: str | None = None
    devices: tuple[str, ...] = ()
    missing: Reason | None = None
    max_opset: int | None = None
    lowers: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    providers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Way:
    """How a package would be run: by which backend, where, in which precision."""

    package: Package
    offer: Offer
    device: str
    precision: str

    @property
    def device_kind(self) -> str:
        """`cpu` or `cuda`."""
        return self.device.partition(":")[0]


def reasons_against(way: Way, machine: Machine, wishes: Wishes) -> tuple[Reason, ...]:
    """Every reason; of each code the first."""
    found: dict[str, Reason] = {}
    for reason in _all_reasons(way, machine, wishes):
        found.setdefault(reason.code, reason)
    return tuple(found.values())


def _all_reasons(way: Way, machine: Machine, wishes: Wishes) -> Iterator[Reason]:
    package, offer = way.package, way.offer
    if offer.missing:
        yield offer.missing
    yield from _against_device(way, machine)
    yield from against_machine(package.requirements, machine, way.device, allows_host_code=wishes.allows_host_code)
    yield from _against_opset(package, offer)
    yield from _against_providers(way, wishes)
    yield from _against_memory(way, machine, wishes)
    yield from _against_choice(package.package_id, (wishes.package_id,), "package_not_wanted", "package")
    yield from _against_choice(offer.backend, wishes.backends, "backend_not_wanted", "backend")
    yield from _against_choice(way.precision, wishes.precisions, "precision_not_wanted", "precision")
    yield from _against_batch(package, wishes)
    yield from _against_nms(package, wishes)
    if untrusted := against_trust(package, wishes.trust):
        yield Reason(*untrusted)


def _against_device(way: Way, machine: Machine) -> Iterator[Reason]:
    offer = way.offer
    if offer.missing:
        return
    if way.device_kind not in offer.devices:
        yield Reason("device_missing", f"{offer.backend} has {', '.join(offer.devices)} here, not {way.device}")
    elif way.device_kind == "cuda" and gpu_of(machine, way.device) is None:
        here = ", ".join(f"cuda:{gpu.index} ({gpu.name})" for gpu in machine.gpus) or "none"
        yield Reason("device_missing", f"no GPU is {way.device}, here: {here}")


def _against_opset(package: Package, offer: Offer) -> Iterator[Reason]:
    if offer.max_opset is not None and (package.opset or 0) > offer.max_opset:
        reads = f"{offer.backend} {offer.version} reads up to {offer.max_opset}"
        hint = "install a newer runtime, or export with an older operator set"
        yield Reason("opset_too_new", f"the file has operator set {package.opset}, {reads}", hint)


def _against_providers(way: Way, wishes: Wishes) -> Iterator[Reason]:
    """The wished execution providers that serve this device, or else the usual one; the package must take them all."""
    here = way.offer.providers.get(way.device_kind, ())
    if not here:
        return
    wished = wishes.execution_providers
    taken = here[:1] if wished is None else tuple(name for name in wished if name in here)
    if not taken:
        has = f"{way.offer.backend} has {', '.join(here)} on {way.device}"
        yield Reason("execution_provider_absent", f"asked for {', '.join(wished or ())}; {has}")
    refused = [name for name in taken if name in way.package.requirements.incompatible_providers]
    if refused:
        others = [name for name in here if name not in way.package.requirements.incompatible_providers]
        hint = f'execution_providers=["{others[0]}"]' if others else ""
        yield Reason("execution_provider_incompatible", f"the package does not run with {', '.join(refused)}", hint)


def _against_memory(way: Way, machine: Machine, wishes: Wishes) -> Iterator[Reason]:
    """A measured peak against what the GPU has free; without one, only weights that alone are larger than that.

    Weights lie in the device's memory at least once, whatever the runtime, so a package whose weights are larger cannot
    run. What comes on top (activations, arenas, copies while loading) differs by runtime and is not guessed.
    """
    gpu = gpu_of(machine, way.device)
    free = machine.free_bytes if way.device_kind == "cpu" else gpu.free_bytes if gpu else None
    batch = way.package.static_batch_size or wishes.largest_batch or 1
    peak = way.package.requirements.peak_for(batch) if gpu else None
    # Packages of unknown precision, and those below float32, are on disk as they are in memory.
    share = _WEIGHT_SHARE.get(way.precision, 1.0) if way.package.quantization == "fp32" else 1.0
    least = int((way.package.weights_bytes or 0) * share)
    where = f"cuda:{gpu.index}" if gpu else "the machine"
    if free is None or max(peak or 0, least) <= free:
        return
    needs = (
        f"peaks at {_size(peak)} for a batch of {batch}" if peak and peak > free else f"its weights are {_size(least)}"
    )
    yield Reason("not_enough_memory", f"{needs}, {where} has {_size(free)} free", "free it, or use another device")


def _against_choice(found: str, wished: tuple[str | None, ...], code: str, what: str) -> Iterator[Reason]:
    names = [name for name in wished if name is not None]
    if names and found not in names:
        yield Reason(code, f"{what} is {found}, asked for {' or '.join(names)}")


def _against_batch(package: Package, wishes: Wishes) -> Iterator[Reason]:
    if wishes.batch_size is None:
        return
    least, most = ends(wishes.batch_size)
    static = package.static_batch_size
    if not (least <= static <= most if static else most <= package.max_batch_size):
        has = f"exactly {static}" if static else f"at most {package.max_batch_size}"
        asked = f"{least} to {most}" if least != most else str(most)
        yield Reason("batch_not_fitting", f"takes {has} images a run, asked for {asked}")


def _against_nms(package: Package, wishes: Wishes) -> Iterator[Reason]:
    wish, fused = wishes.nms_fusion, package.fused_nms
    if wish is None:
        return
    if wish is False or fused is None:
        if (fused is None) != (wish is False):
            has = "has none" if fused is None else "suppresses boxes itself"
            yield Reason("nms_fusion_not_wanted", f"the network {has}, asked for {'no ' * (wish is False)}fused NMS")
    elif isinstance(wish, NmsFusion):
        for name in ("max_detections", "confidence", "iou_threshold", "class_agnostic"):
            yield from _against_nms_part(name, getattr(fused, name), getattr(wish, name))


def _against_nms_part(name: str, found: Any, wished: Any) -> Iterator[Reason]:
    least, most = ends(wished)
    if wished is not None and not least <= found <= most:
        asked = f"{least} to {most}" if least != most else str(most)
        yield Reason("nms_fusion_not_wanted", f"fused NMS has {name} {found}, asked for {asked}")


def _size(count: int | None) -> str:
    return f"{(count or 0) / 2**30:.1f} GiB" if (count or 0) >= 2**29 else f"{(count or 0) / 2**20:.0f} MiB"
