"""Whether an artefact fits a machine: its requirements against devices, drivers and versions. Pure.

What a machine does not say of itself is not judged: opening the package will tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from inference_engine.machine import Gpu, Machine
from inference_engine.reasons import Reason
from inference_engine.requirements import Requirements, numbers

_BUILD_HERE = "build it here: nightshift compile MODEL --to trt"
#: Oldest compute capability that `ampere_plus` plans run on (trt.HardwareCompatibilityLevel.AMPERE_PLUS).
_AMPERE = (8, 0)


def against_machine(needs: Requirements, machine: Machine, device: str, *, allows_host_code: bool) -> Iterator[Reason]:
    """Every reason why an artefact does not run on a device of a machine.

    Args:
        device: `cpu`, `cuda` for the first GPU, or `cuda:<index>`.
    """
    yield from _against_kind(needs, machine, device)
    yield from _against_jetson(needs, machine)
    if device != "cpu":
        gpu = gpu_of(machine, device)
        yield from against_gpu(needs, gpu, _fitting_gpu(needs, machine)) if gpu else ()
    yield from _against_driver(needs, machine)
    yield from against_tensorrt(needs, machine.packages.get("tensorrt", ""))
    if needs.host_code and not allows_host_code:
        hint = "allows_host_code=True, if you know where it comes from"
        yield Reason("host_code_refused", "the plan holds code that runs on the host when it is loaded", hint)
    yield from _against_torch(needs, machine.packages.get("torch", ""))


def gpu_of(machine: Machine, device: str) -> Gpu | None:
    """The GPU that `cuda` or `cuda:<index>` names; None where there is no such one."""
    kind, _, index = device.partition(":")
    return next((gpu for gpu in machine.gpus if kind == "cuda" and gpu.index == int(index or 0)), None)


def against_gpu(needs: Requirements, gpu: Gpu, hint: str = _BUILD_HERE) -> Iterator[Reason]:
    """Compute capability and name, as far as the artefact's hardware compatibility asks for them."""
    built, here = needs.compute_capability, numbers(gpu.compute_capability)
    if needs.compatibility == "ampere_plus":
        fits, wanted = here >= _AMPERE, "8.0 or newer"
    else:
        fits, wanted = built is None or numbers(built) == here, built or ""
    if not fits:
        found = f"cuda:{gpu.index} ({gpu.name}) has {gpu.compute_capability}"
        message = f"built for compute capability {wanted} ({needs.compatibility}), {found}"
        yield Reason("compute_capability_mismatch", message, hint)
    if needs.compatibility == "none" and needs.device_name and _plain(needs.device_name) != _plain(gpu.name):
        yield Reason("gpu_name_mismatch", f"built for {needs.device_name}, cuda:{gpu.index} is {gpu.name}", hint)


def against_tensorrt(needs: Requirements, installed: str) -> Iterator[Reason]:
    """The version that built a plan against the one that is here; patch builds of one release read each other's."""
    built, here = numbers(needs.trt_version or ""), numbers(installed)
    if not built or not here or built[:3] == here[:3]:
        return
    is_newer = built <= here and here[0] - built[0] <= 1
    if needs.version_compatible and is_newer and needs.lean_runtime_excluded:
        message = f"the plan of TensorRT {needs.trt_version} was built without its lean runtime"
        yield Reason("lean_runtime_excluded", f"{message}, which {installed} needs to read it", _BUILD_HERE)
    elif not needs.version_compatible:
        message = f"the plan runs on TensorRT {needs.trt_version} only, here is {installed}"
        yield Reason("tensorrt_version_mismatch", message, _BUILD_HERE)
    elif not is_newer:
        message = f"the plan needs TensorRT {needs.trt_version} or newer, up to the next major, here is {installed}"
        yield Reason("tensorrt_version_mismatch", message, _BUILD_HERE)


def _against_kind(needs: Requirements, machine: Machine, device: str) -> Iterator[Reason]:
    kind = device.partition(":")[0]
    if not needs.devices or kind in needs.devices:
        return
    wanted = ", ".join(needs.devices)
    if needs.devices != ("cuda",) or kind != "cpu":
        yield Reason("device_not_fitting", f"the package runs on {wanted} only, not on {kind}")
    elif machine.gpus:
        yield Reason("needs_gpu", f"the package runs on {wanted} only, not on the CPU", 'device="cuda"')
    else:
        why = machine.problems.get("nvidia", "the driver knows none")
        message = f"the package runs on {wanted} only, and this machine has no GPU: {why}"
        yield Reason("needs_gpu", message, "run it on a machine with one")


def _against_jetson(needs: Requirements, machine: Machine) -> Iterator[Reason]:
    if needs.jetson is not None and needs.jetson is not (machine.jetson_type is not None):
        there = f"a Jetson (L4T {needs.l4t_version or 'unknown'})" if needs.jetson else "a server"
        here = machine.jetson_type or "none"
        yield Reason("jetson_mismatch", f"built for {there}, this machine is {here}", _BUILD_HERE)
    built, here_l4t = numbers(needs.l4t_version or ""), numbers(machine.l4t_version or "")
    if built and here_l4t and built[:2] != here_l4t[:2]:
        message = f"built under L4T {needs.l4t_version}, here is {machine.l4t_version}"
        yield Reason("l4t_mismatch", f"{message}; major and minor have to be the same", _BUILD_HERE)


def _against_driver(needs: Requirements, machine: Machine) -> Iterator[Reason]:
    wanted, found = numbers(needs.driver_version or ""), numbers(machine.driver_version or "")
    if wanted and found and found < wanted:
        message = f"needs NVIDIA driver {needs.driver_version} or newer, here is {machine.driver_version}"
        yield Reason("driver_too_old", message, "update the driver")
    built, known = numbers(needs.cuda_version or ""), numbers(machine.cuda_version or "")
    # Within a major version of CUDA, older drivers run newer minors (CUDA Compatibility: minor version compatibility).
    if built and known and built[0] > known[0]:
        message = f"built with CUDA {needs.cuda_version}, the driver here supports up to CUDA {machine.cuda_version}"
        yield Reason("cuda_too_old", message, "update the driver")


def _against_torch(needs: Requirements, installed: str) -> Iterator[Reason]:
    written, here = numbers(needs.torch_version or ""), numbers(installed)
    if written and here and here < written:
        message = f"written by PyTorch {needs.torch_version}, here is {installed}"
        yield Reason("torch_too_old", message, "update PyTorch, or export with the version that is here")


def _fitting_gpu(needs: Requirements, machine: Machine) -> str:
    """The hint that names a GPU of this machine that would do."""
    fitting = (gpu for gpu in machine.gpus if not any(against_gpu(needs, gpu)))
    found = next(fitting, None)
    return f'device="cuda:{found.index}" fits' if found else _BUILD_HERE


def _plain(name: str) -> str:
    """A GPU's name as NVML, CUDA and the peer's manifests all spell it: `NVIDIA L4`, `nvidia-l4`, `Orin (nvgpu)`."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return words.removeprefix("nvidia-").removesuffix("-nvgpu")
