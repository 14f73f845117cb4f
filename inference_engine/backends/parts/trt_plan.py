"""What a TensorRT plan needs of a machine, read from the files beside it, and whether this machine has it. Pure checks.

A plan is executable: NVIDIA says never to load one that is not trusted. So its hash must be written down beside it, and
version and device are compared before the library sees a byte: a plan of another version or GPU is refused by TensorRT
with a line in a log, or crashes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference_engine.errors import PackageInvalid
from inference_engine.package_files import read_object
from inference_engine.packages import CONFIG_FILE, file_sha256

if TYPE_CHECKING:
    from inference_engine.machine import Gpu
    from inference_engine.packages import ModelPackage

#: Beside the plan; the batch keys are the peer library's, the others are ours.
TRT_CONFIG = "trt_config.json"
#: trt.HardwareCompatibilityLevel, in lower case.
COMPATIBILITY = ("none", "same_compute_capability", "ampere_plus")


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What a plan was built with.

    Attributes:
        trt_version: of the TensorRT that built it, for example `10.16.1`.
        device_name: of the GPU that it was built on; None: not said.
        compute_capability: for example `9.0`; None: not said.
        compatibility: one of `COMPATIBILITY`.
        version_compatible: whether newer versions of the same or the next major read it.
        host_code: whether it holds code for the host (a lean runtime), which runs when it is loaded.
        sha256: of the plan.
    """

    trt_version: str
    sha256: str
    device_name: str | None = None
    compute_capability: str | None = None
    compatibility: str = "none"
    version_compatible: bool = False
    host_code: bool = False


def read_plan_facts(package: ModelPackage) -> PlanFacts:
    """Read `trt_config.json` beside a plan, and compare the plan's hash.

    Raises:
        PackageInvalid: no version or no hash is written down, a field is wrong, or the plan has another hash.
    """
    where = package.weights.parent / TRT_CONFIG
    data = read_object(where)
    version, level = data.get("trt_version"), data.get("hardware_compatibility", "none")
    if not isinstance(version, str) or not re.match(r"\d+\.\d+", version):
        raise PackageInvalid(f"{where}: trt_version must be the version that built the plan, found {version!r}")
    if level not in COMPATIBILITY:
        raise PackageInvalid(f"{where}: hardware_compatibility is {level!r}, expected {', '.join(COMPATIBILITY)}")
    facts = PlanFacts(
        trt_version=version,
        sha256=_declared_hash(package, data),
        device_name=data.get("device_name"),
        compute_capability=data.get("compute_capability"),
        compatibility=level,
        version_compatible=data.get("version_compatible") is True,
        host_code=data.get("host_code") is True,
    )
    if (found := file_sha256(package.weights)) != facts.sha256:
        raise PackageInvalid(f"{package.weights}: sha256 is {found}, expected {facts.sha256}: fetch the package again")
    return facts


def why_not(facts: PlanFacts, trt_version: str, gpu: Gpu) -> str | None:
    """Why this plan does not run with this TensorRT on this GPU; None when it does."""
    return _against_version(facts, trt_version) or _against_gpu(facts, gpu)


def _against_version(facts: PlanFacts, installed: str) -> str | None:
    built, here = _numbers(facts.trt_version), _numbers(installed)
    if built[:3] == here[:3] or (facts.version_compatible and built <= here and here[0] - built[0] <= 1):
        return None
    hint = "build it here: nightshift compile MODEL --to trt"
    if facts.version_compatible:
        return f"the plan needs TensorRT {facts.trt_version} or newer, here is {installed}; {hint}"
    return f"the plan runs on TensorRT {facts.trt_version} only, here is {installed}; {hint}"


def _against_gpu(facts: PlanFacts, gpu: Gpu) -> str | None:
    capability = facts.compute_capability
    if facts.compatibility == "ampere_plus":
        fits = _numbers(gpu.compute_capability) >= (8, 0)
    elif facts.compatibility == "same_compute_capability":
        fits = capability in (None, gpu.compute_capability)
    else:
        fits = facts.device_name in (None, gpu.name) and capability in (None, gpu.compute_capability)
    if fits:
        return None
    built = f"{facts.device_name or 'a GPU'} of compute capability {capability or 'unknown'}"
    return f"built for {built} ({facts.compatibility}), here is {gpu.name} of {gpu.compute_capability}; build it here"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])


def _declared_hash(package: ModelPackage, data: Mapping[str, Any]) -> str:
    files = read_object(package.weights.parent / CONFIG_FILE).get("files") or {}
    entry = files.get(package.weights.name) if isinstance(files, Mapping) else None
    found = entry.get("sha256") if isinstance(entry, Mapping) else data.get("plan_sha256")
    if not isinstance(found, str):
        raise PackageInvalid(
            f"{package.weights}: a plan is executable, and its sha256 stands neither in {CONFIG_FILE} (files) nor in "
            f"{TRT_CONFIG} (plan_sha256); write down that of the plan that you trust"
        )
    return found
