"""Whether a TensorRT plan may be loaded here: what built it is written down beside it, and its hash is.

A plan is executable: NVIDIA says never to load one that is not trusted. So its hash must be written down beside it, and
version and device are compared before the library sees a byte: a plan of another version or GPU is refused by TensorRT
with a line in a log, or crashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inference_engine.errors import PackageInvalid
from inference_engine.fitting import against_gpu, against_tensorrt
from inference_engine.package_files import read_object
from inference_engine.packages import CONFIG_FILE, file_sha256
from inference_engine.requirements import Requirements

if TYPE_CHECKING:
    from inference_engine.machine import Gpu
    from inference_engine.packages import ModelPackage

#: Beside the plan; the batch keys are the peer library's, the others are ours.
TRT_CONFIG = "trt_config.json"


def check_plan(package: ModelPackage) -> Requirements:
    """Compare the plan's hash with the one that is written down, and give what the plan needs.

    Raises:
        PackageInvalid: no version or no hash is written down, or the plan has another hash.
    """
    where = package.weights.parent / TRT_CONFIG
    data = read_object(where)
    if package.requirements.trt_version is None:
        raise PackageInvalid(f"{where}: trt_version must be the version that built the plan, it is not there")
    expected = _declared_hash(package, data)
    if (found := file_sha256(package.weights)) != expected:
        raise PackageInvalid(f"{package.weights}: sha256 is {found}, expected {expected}: fetch the package again")
    return package.requirements


def why_not(needs: Requirements, trt_version: str, gpu: Gpu) -> str | None:
    """Why this plan does not run with this TensorRT on this GPU; None when it does."""
    reasons = (*against_tensorrt(needs, trt_version), *against_gpu(needs, gpu))
    return "; ".join(f"{reason.message} ({reason.hint})" for reason in reasons) or None


def _declared_hash(package: ModelPackage, data: Mapping[str, Any]) -> str:
    files = package.settings.get("files") or {}
    entry = files.get(package.weights.name) if isinstance(files, Mapping) else None
    found = entry.get("sha256") if isinstance(entry, Mapping) else data.get("plan_sha256")
    if not isinstance(found, str):
        raise PackageInvalid(
            f"{package.weights}: a plan is executable, and its sha256 stands neither in {CONFIG_FILE} (files) nor in "
            f"{TRT_CONFIG} (plan_sha256); write down that of the plan that you trust"
        )
    return found
