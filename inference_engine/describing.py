"""What there is: models, packages, this machine's runtimes. Data that prints well; nothing is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference_engine.backends import offers
from inference_engine.errors import ModelNotFound
from inference_engine.machine import Machine, probe_machine
from inference_engine.negotiation import Offer
from inference_engine.packages import ModelPackage
from inference_engine.providers.local import find_model, list_models


@dataclass(frozen=True, slots=True)
class PackageDescription:
    """One package, as its metadata says.

    Attributes:
        size_bytes: of its artefact.
        batch: `1`, `up to 64` ...
    """

    package_id: str
    kind: str
    quantization: str
    architecture: str
    task: str
    input_hw: tuple[int, int]
    batch: str
    classes: int
    size_bytes: int
    digest: str

    def __str__(self) -> str:
        height, width = self.input_hw
        return (
            f"{self.package_id}: {self.kind} {self.quantization}, {self.architecture}, {self.task}, "
            f"{self.classes} classes, input {width} x {height}, batch {self.batch}, {self.size_bytes / 1e6:.1f} MB"
        )


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model with its packages, and those that cannot be used with the reason."""

    model_id: str
    packages: tuple[PackageDescription, ...]
    broken: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{self.model_id}: {len(self.packages)} packages"]
        lines += [f"  {package}" for package in self.packages]
        lines += [f"  {name}: cannot be used: {why}" for name, why in self.broken.items()]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class RuntimeDescription:
    """This machine, and what each backend can do on it."""

    machine: Machine
    offers: dict[str, Offer]

    def __str__(self) -> str:
        machine = self.machine
        gpus = ", ".join(f"{gpu.name} (sm{gpu.compute_capability.replace('.', '')})" for gpu in machine.gpus) or "none"
        lines = [
            f"{machine.os} {machine.arch}, Python {machine.python}",
            f"CPU: {machine.cpu_name}, {machine.cpu_count} cores, {' '.join(machine.cpu_features)}",
            f"GPU: {gpus}; driver {machine.driver_version or 'none'}, CUDA {machine.cuda_version or 'none'}",
        ]
        for name, offer in sorted(self.offers.items()):
            found = f"{offer.version} on {', '.join(offer.devices)}" if offer.missing is None else offer.missing.message
            lines.append(f"{name}: {found}")
        return "\n".join(lines)


def describe_model(model: str, *, model_dirs: Sequence[Path] = ()) -> ModelDescription:
    """Describe a model and its packages.

    Raises:
        ModelNotFound, PackageInvalid.
    """
    found = find_model(model, model_dirs)
    return ModelDescription(
        found.model_id, tuple(_described(p) for p in found.packages if isinstance(p, ModelPackage)), dict(found.broken)
    )


def describe_model_package(model: str, package_id: str, *, model_dirs: Sequence[Path] = ()) -> PackageDescription:
    """Describe one package of a model.

    Raises:
        ModelNotFound: the model, or a package of this id, is not there.
    """
    found = describe_model(model, model_dirs=model_dirs)
    for package in found.packages:
        if package.package_id == package_id:
            return package
    known = ", ".join(package.package_id for package in found.packages)
    raise ModelNotFound(f"{found.model_id} has no package {package_id!r}; it has {known}")


def describe_runtime() -> RuntimeDescription:
    """Describe this machine and its backends; imports no runtime."""
    machine = probe_machine()
    return RuntimeDescription(machine, dict(offers(machine)))


def describe_models(model_dirs: Sequence[Path]) -> list[ModelDescription]:
    """Describe every model below the folders."""
    return [describe_model(model_id, model_dirs=model_dirs) for model_id in list_models(model_dirs)]


def _described(package: ModelPackage) -> PackageDescription:
    static = package.static_batch_size
    return PackageDescription(
        package_id=package.package_id,
        kind=package.kind,
        quantization=package.quantization,
        architecture=package.architecture,
        task=package.task,
        input_hw=package.config.network_input.hw,
        batch=str(static) if static else f"up to {package.max_batch_size}",
        classes=len(package.class_names),
        size_bytes=package.weights.stat().st_size,
        digest=package.digest,
    )
