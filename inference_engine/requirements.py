"""What an artefact needs of a machine: read from `requires`, `trt_config.json` and the peer's manifests.

Ours, all optional, in `model_config.json`:

    "requires": {"devices": ["cuda"], "device_name": "NVIDIA L4", "compute_capability": "8.9",
                 "hardware_compatibility": "none", "driver_version": "570", "cuda_version": "12.8",
                 "trt_version": "10.16.1", "version_compatible": false, "lean_runtime_excluded": false,
                 "host_code": false, "jetson": false, "l4t_version": "36.4", "os_version": "debian-12",
                 "torch_version": "2.7.0", "incompatible_execution_providers": ["CoreMLExecutionProvider"],
                 "peak_memory_bytes": {"1": 500000000, "8": 1500000000}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from inference_engine.config_fields import check_known, flag, is_number, one_of, section
from inference_engine.errors import PackageInvalid
from inference_engine.inference_config import NmsDefaults, parse_nms

#: trt.HardwareCompatibilityLevel, in lower case.
COMPATIBILITY = ("none", "same_compute_capability", "ampere_plus")
#: The peer's machine types -> whether it is a Jetson.
_MACHINES = {"gpu-server": False, "jetson": True, None: None}
_VERSION = re.compile(r"\d+(\.\d+)*[0-9A-Za-z.+_-]{0,40}")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What an artefact needs of a machine; None, or nothing, where it does not say.

    Attributes:
        devices: kinds of devices that it runs on, `cpu`, `cuda` or what nobody here has; empty: any.
        device_name: of the GPU that it was compiled for; with `compatibility` of none it must be that one.
        compute_capability: for example `8.9`.
        compatibility: one of `COMPATIBILITY`.
        driver_version: the oldest NVIDIA driver.
        cuda_version: that it was built with.
        trt_version: of the TensorRT that built it.
        version_compatible: newer TensorRTs of the same or the next major read it.
        lean_runtime_excluded: version compatible, but without the runtime that makes it so.
        host_code: it holds code that runs on the host when it is loaded.
        jetson: built on a Jetson, or on none.
        l4t_version: of the Jetson Linux that it was built under.
        os_version: that it was built under; recorded, not judged: plans do not link against the system.
        torch_version: of the PyTorch that wrote it; older ones may not read it.
        incompatible_providers: of ONNX Runtime.
        peak_memory: (batch, bytes) as they were measured, by batch.
    """

    devices: tuple[str, ...] = ()
    device_name: str | None = None
    compute_capability: str | None = None
    compatibility: str = "none"
    driver_version: str | None = None
    cuda_version: str | None = None
    trt_version: str | None = None
    version_compatible: bool = False
    lean_runtime_excluded: bool = False
    host_code: bool = False
    jetson: bool | None = None
    l4t_version: str | None = None
    os_version: str | None = None
    torch_version: str | None = None
    incompatible_providers: tuple[str, ...] = ()
    peak_memory: tuple[tuple[int, int], ...] = ()

    @property
    def needs_gpu(self) -> bool:
        """Whether it runs on a GPU only."""
        return bool(self.devices) and "cpu" not in self.devices

    def peak_for(self, batch: int) -> int | None:
        """Bytes at the peak of a run of so many images: of the next measured batch, or the largest."""
        larger = [size for count, size in self.peak_memory if count >= batch]
        return larger[0] if larger else self.peak_memory[-1][1] if self.peak_memory else None


_OWN_KEYS = {
    "devices",
    "hardware_compatibility",
    "incompatible_execution_providers",
    "peak_memory_bytes",
    *(
        field.name
        for field in fields(Requirements)
        if field.name not in ("compatibility", "incompatible_providers", "peak_memory")
    ),
}


def numbers(version: str) -> tuple[int, ...]:
    """The release of a version, four numbers: `2.13.0+cpu` gives (2, 13, 0, 0); empty where it begins with none."""
    found = re.match(r"\d+(\.\d+)*", version)
    parts = [int(part) for part in found[0].split(".")] if found else []
    return tuple((*parts, 0, 0, 0)[:4]) if parts else ()


def package_requirements(config: Mapping[str, Any], plan: Mapping[str, Any], kind: str, where: str) -> Requirements:
    """What a package folder says.

    Args:
        config: `model_config.json`: its `requires`, and the `manifest` that a provider gave.
        plan: `trt_config.json` beside a plan; empty where there is none.

    Raises:
        PackageInvalid: a key of `requires` is unknown, or a value is of a wrong form.
    """
    own = section(config, "requires", where)
    check_known(own, _OWN_KEYS, f"{where}: requires")
    said = [
        own_requirements(own, f"{where}: requires"),
        own_requirements(plan, f"{where}: trt_config.json"),
        remote_requirements(section(config, "manifest", where), kind, f"{where}: manifest"),
    ]
    return _of_kind(merged(*said), kind)


def own_requirements(data: Mapping[str, Any], where: str) -> Requirements:
    """Read our own keys, the other keys are not looked at.

    Raises:
        PackageInvalid: a value is of a wrong form.
    """
    level = data.get("hardware_compatibility", "none")
    return Requirements(
        devices=_texts(data, "devices", where),
        device_name=_text(data, "device_name", where),
        compute_capability=_version(data, "compute_capability", where),
        compatibility=one_of(level, COMPATIBILITY, "hardware_compatibility", where),
        driver_version=_version(data, "driver_version", where),
        cuda_version=_version(data, "cuda_version", where),
        trt_version=_version(data, "trt_version", where),
        version_compatible=flag(data.get("version_compatible"), "version_compatible", where),
        lean_runtime_excluded=flag(data.get("lean_runtime_excluded"), "lean_runtime_excluded", where),
        host_code=flag(data.get("host_code"), "host_code", where),
        jetson=None if data.get("jetson") is None else flag(data["jetson"], "jetson", where),
        l4t_version=_version(data, "l4t_version", where),
        os_version=_text(data, "os_version", where),
        torch_version=_version(data, "torch_version", where),
        incompatible_providers=_texts(data, "incompatible_execution_providers", where),
        peak_memory=_peaks(data.get("peak_memory_bytes"), "peak_memory_bytes", where, 1),
    )


def remote_requirements(manifest: Mapping[str, Any], kind: str, where: str) -> Requirements:
    """Read what a provider says: `requires` in our form, and the keys of the peer library's manifests.

    `torchVisionVersion` is not judged: an archive needs it only where it calls torchvision, which opening it tells.

    Raises:
        PackageInvalid: a value is of a wrong form.
    """
    own = section(manifest, "requires", where)
    check_known(own, _OWN_KEYS, f"{where}: requires")
    specs = section(manifest, "machineSpecs", where)
    is_forward = flag(manifest.get("trtForwardCompatible"), "trtForwardCompatible", where)
    excludes = flag(manifest.get("trtLeanRuntimeExcluded"), "trtLeanRuntimeExcluded", where)
    is_shared = flag(manifest.get("sameCCCompatible"), "sameCCCompatible", where)
    profile = section(manifest, "memoryProfile", where)
    driver = _version(specs, "driverVersion", where)
    peer = Requirements(
        devices=_texts(manifest, "supportedDeviceTypes", where),
        device_name=_text(manifest, "cudaDeviceType", where),
        compute_capability=_version(manifest, "cudaDeviceCC", where),
        compatibility="same_compute_capability" if is_shared else "none",
        # NVIDIA's drivers run what was built under older ones. The manifest names the one of the build machine, which
        # is no lower bound by itself: its branch (the first number) is what another machine has to reach.
        driver_version=driver and driver.partition(".")[0],
        cuda_version=_version(manifest, "cudaVersion", where),
        trt_version=_version(manifest, "trtVersion", where),
        version_compatible=is_forward,
        lean_runtime_excluded=excludes,
        host_code=is_forward and not excludes,
        jetson=_MACHINES[one_of(_text(manifest, "machineType", where), _MACHINES, "machineType", where)],
        l4t_version=_version(specs, "l4tVersion", where),
        os_version=_text(specs, "osVersion", where),
        torch_version=_version(manifest, "torchVersion", where),
        incompatible_providers=_texts(manifest, "incompatibleProviders", where),
        peak_memory=_peaks(profile.get("peakVramMb"), "memoryProfile.peakVramMb", where, 2**20),
    )
    return _of_kind(merged(own_requirements(own, where), peer), kind)


def fused_nms(features: Mapping[str, Any], where: str) -> NmsDefaults | None:
    """What was fused into a network, of a provider's `modelFeatures`; None where nothing was.

    Raises:
        PackageInvalid: a value is of a wrong form.
    """
    found = features.get("nms_fused")
    return parse_nms(section(features, "nms_fused", where), where) if found is not None else None


def merged(first: Requirements, *others: Requirements) -> Requirements:
    """What several places say; the first that says something counts."""
    for other in others:
        silent = (field.name for field in fields(Requirements) if getattr(first, field.name) == field.default)
        first = replace(first, **{name: getattr(other, name) for name in silent})
    return first


def _of_kind(found: Requirements, kind: str) -> Requirements:
    """A plan runs on a GPU, said or not."""
    return replace(found, devices=("cuda",)) if kind == "trt" else found


def _text(data: Mapping[str, Any], key: str, where: str) -> str | None:
    value = data.get(key)
    if value is not None and (not isinstance(value, str) or not value or len(value) > 200):
        raise PackageInvalid(f"{where}: {key} must be a text, found {str(value)[:80]!r}")
    return value


def _texts(data: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = data.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise PackageInvalid(f"{where}: {key} must be a list of texts, found {str(value)[:80]!r}")
    return tuple(value)


def _version(data: Mapping[str, Any], key: str, where: str) -> str | None:
    value = _text(data, key, where)
    if value is not None and not _VERSION.fullmatch(value):
        raise PackageInvalid(f"{where}: {key} must be a version such as 10.16.1, found {value[:80]!r}")
    return value


def _peaks(value: Any, name: str, where: str, unit: int) -> tuple[tuple[int, int], ...]:
    """`{"1": 500, "8": 1500}` as (batch, bytes), by batch."""
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise PackageInvalid(f"{where}: {name} must be an object of batch and size, found {str(value)[:80]!r}")
    for batch, size in value.items():
        if not re.fullmatch(r"[1-9]\d{0,5}", str(batch)) or not is_number(size) or not 0 < size < 2**60:
            raise PackageInvalid(f"{where}: {name} has {str(batch)[:20]!r}: {str(size)[:20]}, expected batch and size")
    return tuple(sorted((int(batch), int(size * unit)) for batch, size in value.items()))
