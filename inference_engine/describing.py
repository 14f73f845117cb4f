"""What there is: models, packages, this machine's runtimes. Data that prints well; nothing is opened or fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from inference_engine.backends import offers
from inference_engine.errors import ModelNotFound, PackageInvalid
from inference_engine.finding import find
from inference_engine.machine import Machine, probe_machine
from inference_engine.negotiation import BACKEND_ORDER, Offer, Package
from inference_engine.packages import ModelPackage
from inference_engine.providers import LOCAL, ProviderOptions
from inference_engine.providers.local import list_models
from inference_engine.remote_packages import RemotePackage
from inference_engine.trust import EXECUTABLE_KINDS

T = TypeVar("T")


class Listing(tuple[T, ...]):
    """A tuple that prints one entry a line."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "none"


@dataclass(frozen=True, slots=True)
class PackageDescription:
    """One package, as its metadata says.

    Attributes:
        source: `local`, or the provider that has it.
        input_hw: height and width of the network's input in pixels; None: not declared, or known once it is fetched.
        batch: `1`, `up to 64` ...
        classes: how many; None as with `input_hw`.
        files: name -> bytes; None where the provider does not say. Nobody is asked for a size.
        digest: what trust may name it by: sha256 over its files; of a remote one, over what the provider declares.
        needs_trust: opening it can run code, so it needs the caller's word.
    """

    package_id: str
    source: str
    kind: str
    quantization: str
    architecture: str
    task: str
    input_hw: tuple[int, int] | None
    batch: str
    classes: int | None
    files: Mapping[str, int | None]
    digest: str
    needs_trust: bool

    @property
    def size_bytes(self) -> int | None:
        """All its files together; None where one's size is not known."""
        sizes = [size for size in self.files.values() if size is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None

    def __str__(self) -> str:
        facts = [f"{self.kind} {self.quantization}", self.architecture, self.task]
        if self.classes is not None:
            facts.append(f"{self.classes} classes")
        if self.input_hw is not None:
            facts.append(f"input {self.input_hw[1]} x {self.input_hw[0]}")
        size = self.size_bytes
        facts += [f"batch {self.batch}", "size not known" if size is None else f"{size / 1e6:.1f} MB"]
        facts += [f"from {self.source}"] * (self.source != LOCAL) + ["needs trust"] * self.needs_trust
        return f"{self.package_id}: {', '.join(facts)}"


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model with its packages, and those that cannot be used with the reason."""

    model_id: str
    packages: tuple[PackageDescription, ...]
    broken: Mapping[str, str]

    def __str__(self) -> str:
        lines = [f"{self.model_id}: {len(self.packages)} packages"]
        lines += [f"  {package}" for package in self.packages]
        lines += [f"  {name}: cannot be used: {why}" for name, why in self.broken.items()]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class BackendDescription:
    """What one backend can do on this machine.

    Attributes:
        opens: kinds of packages.
        devices: kinds of devices; empty where it cannot be used.
        problem: why it cannot be used, and what would help; empty when it can.
    """

    name: str
    version: str | None
    opens: tuple[str, ...]
    devices: tuple[str, ...]
    problem: str

    @property
    def is_usable(self) -> bool:
        """Whether it can open packages here."""
        return not self.problem

    def __str__(self) -> str:
        return f"{self.name}: " + (self.problem or f"{self.version} on {', '.join(self.devices)}")


@dataclass(frozen=True, slots=True)
class RuntimeDescription:
    """This machine, and what each backend can do on it."""

    machine: Machine
    offers: Mapping[str, Offer]

    @property
    def backends(self) -> Listing[BackendDescription]:
        """The backends in the order in which they are preferred."""
        names = sorted(self.offers, key=lambda name: ([*BACKEND_ORDER, name].index(name), name))
        return Listing(_backend(name, self.offers[name]) for name in names)

    def __str__(self) -> str:
        machine = self.machine
        gpus = ", ".join(f"{gpu.name} (sm{gpu.compute_capability.replace('.', '')})" for gpu in machine.gpus) or "none"
        lines = [
            f"{machine.os} {machine.arch}, Python {machine.python}",
            f"CPU: {machine.cpu_name}, {machine.cpu_count} cores, {' '.join(machine.cpu_features)}",
            f"GPU: {gpus}; driver {machine.driver_version or 'none'}, CUDA {machine.cuda_version or 'none'}",
        ]
        return "\n".join([*lines, *map(str, self.backends)])


def describe_model(
    model: str,
    *,
    model_dirs: Sequence[Path] = (),
    provider_options: ProviderOptions = ProviderOptions(),  # noqa: B008 (frozen)
) -> ModelDescription:
    """Describe a model and its packages, local or a provider's.

    Raises:
        ModelNotFound, PackageInvalid, ProviderError.
    """
    found = find(model, model_dirs, provider_options)
    return ModelDescription(found.model_id, tuple(map(_package, found.packages)), dict(found.broken))


def describe_model_package(
    model: str,
    package_id: str,
    *,
    model_dirs: Sequence[Path] = (),
    provider_options: ProviderOptions = ProviderOptions(),  # noqa: B008 (frozen)
) -> PackageDescription:
    """Describe one package of a model.

    Raises:
        ModelNotFound: the model, or a package of this id, is not there.
        PackageInvalid: it is there, and cannot be used.
        ProviderError.
    """
    found = describe_model(model, model_dirs=model_dirs, provider_options=provider_options)
    for package in found.packages:
        if package.package_id == package_id:
            return package
    if package_id in found.broken:
        raise PackageInvalid(f"{found.model_id}, package {package_id!r}: {found.broken[package_id]}")
    known = ", ".join(package.package_id for package in found.packages)
    raise ModelNotFound(f"{found.model_id} has no package {package_id!r}; it has {known}")


def describe_runtime() -> RuntimeDescription:
    """Describe this machine and its backends; imports no runtime, so that a broken one cannot break it."""
    machine = probe_machine()
    return RuntimeDescription(machine, dict(offers(machine)))


def list_backends() -> Listing[BackendDescription]:
    """Describe each backend on this machine, in the order in which they are preferred."""
    return describe_runtime().backends


def describe_models(model_dirs: Sequence[Path]) -> Listing[ModelDescription]:
    """Describe every model below the folders; one that cannot be used is there with the reason."""
    return Listing(_described(model_id, model_dirs) for model_id in list_models(model_dirs))


def _described(model_id: str, model_dirs: Sequence[Path]) -> ModelDescription:
    try:
        return describe_model(model_id, model_dirs=model_dirs)
    except PackageInvalid as error:
        return ModelDescription(model_id, (), {"all packages": str(error)})


def _backend(name: str, offer: Offer) -> BackendDescription:
    missing = offer.missing
    problem = "" if missing is None else f"{missing.message}; {missing.hint}" if missing.hint else missing.message
    return BackendDescription(name, offer.version, tuple(sorted(offer.opens)), offer.devices, problem)


def _package(package: Package) -> PackageDescription:
    return _local(package) if isinstance(package, ModelPackage) else _remote(package)


def _local(package: ModelPackage) -> PackageDescription:
    hw, folder = package.config.network_input.hw, package.weights.parent
    return PackageDescription(
        package_id=package.package_id,
        source=LOCAL,
        kind=package.kind,
        quantization=package.quantization,
        architecture=package.architecture,
        task=package.task,
        input_hw=hw if all(hw) else None,  # a package with its own code need not declare one
        batch=_batch(package),
        classes=len(package.class_names) or None,
        files={name: (folder / name).stat().st_size for name in package.files},
        digest=package.digest,
        needs_trust=package.kind in EXECUTABLE_KINDS,
    )


def _remote(package: RemotePackage) -> PackageDescription:
    return PackageDescription(
        package_id=package.package_id,
        source=package.provider,
        kind=package.kind,
        quantization=package.quantization,
        architecture=package.architecture,
        task=package.task,
        input_hw=None,
        batch=_batch(package),
        classes=None,
        files={file.name: file.size for file in package.files},
        digest=package.key,
        needs_trust=package.kind in EXECUTABLE_KINDS,
    )


def _batch(package: Package) -> str:
    static = package.static_batch_size
    return str(static) if static else f"up to {package.max_batch_size}"
