"""This machine in the words of the peer library's runtime x-ray, for code that was written for it.

`describe_runtime` says more. No runtime is imported and no program is run to find out, so a broken one breaks nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from inference_engine.backends import offers
from inference_engine.errors import ParameterInvalid
from inference_engine.machine import Machine, probe_machine


@dataclass(frozen=True, slots=True)
class RuntimeXRay:
    """What is installed and what it can use; None where a thing is not there.

    Attributes:
        gpu_devices: names, by index.
        gpu_devices_cc: compute capabilities, such as `9.0`, by index.
        cuda_version: newest CUDA that the driver runs.
        jetson_type: product name of a Jetson.
        available_onnx_execution_providers: those that the installed build can use on this machine, best first.
    """

    gpu_available: bool
    gpu_devices: tuple[str, ...]
    gpu_devices_cc: tuple[str, ...]
    gpu_driver: str | None
    cuda_version: str | None
    trt_version: str | None
    jetson_type: str | None
    l4t_version: str | None
    os_version: str
    torch_available: bool
    onnxruntime_version: str | None
    available_onnx_execution_providers: tuple[str, ...]
    hf_transformers_available: bool
    trt_python_package_available: bool
    torch_version: str | None
    torchvision_version: str | None
    coremltools_version: str | None


def x_ray_runtime_environment() -> RuntimeXRay:
    """Describe this machine in the peer library's fields; never raises."""
    return x_ray(probe_machine(), torchvision=_version("torchvision"), coremltools=_version("coremltools"))


def x_ray(machine: Machine, *, torchvision: str | None = None, coremltools: str | None = None) -> RuntimeXRay:
    """Say of any machine what the peer library would. Pure."""
    packages = machine.packages
    return RuntimeXRay(
        gpu_available=bool(machine.gpus),
        gpu_devices=tuple(gpu.name for gpu in machine.gpus),
        gpu_devices_cc=tuple(gpu.compute_capability for gpu in machine.gpus),
        gpu_driver=machine.driver_version,
        cuda_version=machine.cuda_version,
        trt_version=packages.get("tensorrt"),
        jetson_type=machine.jetson_type,
        l4t_version=machine.l4t_version,
        os_version=f"{machine.os} {machine.arch}",
        torch_available="torch" in packages,
        onnxruntime_version=packages.get("onnxruntime"),
        available_onnx_execution_providers=_providers(machine, ("cuda", "cpu")),
        hf_transformers_available="transformers" in packages,
        trt_python_package_available="tensorrt" in packages,
        torch_version=packages.get("torch"),
        torchvision_version=torchvision,
        coremltools_version=coremltools,
    )


def get_selected_onnx_execution_providers(device: str = "cpu") -> tuple[str, ...]:
    """ONNX Runtime's execution providers that serve a kind of device here, the usual one first.

    Raises:
        ParameterInvalid: none does, or ONNX Runtime is not installed.
    """
    kind = device.partition(":")[0]
    if not (found := _providers(probe_machine(), (kind,))):
        raise ParameterInvalid(f"no execution provider of ONNX Runtime serves {device!r} here: nightshift doctor")
    return found


def _providers(machine: Machine, devices: tuple[str, ...]) -> tuple[str, ...]:
    by_device = offers(machine)["onnx"].providers
    return tuple(dict.fromkeys(name for device in devices for name in by_device.get(device, ())))


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except Exception:  # noqa: BLE001 (absent, or its metadata are damaged in any way)
        return None
