"""What this machine has: devices, drivers, CPU features, installed runtimes. No runtime is imported to find out."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

#: Runtime -> the distributions that provide it, best first.
DISTRIBUTIONS = {
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "transformers": ("transformers",),
}
#: /proc/cpuinfo flags that change which precision is fast.
_CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "sve")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU.

    Attributes:
        index: CUDA's number in this process: devices that `CUDA_VISIBLE_DEVICES` hides are not counted.
        compute_capability: for example `9.0`.
        memory_bytes: of the whole device.
        nvml_index: the driver's number, which counts every device.
    """

    index: int
    name: str
    compute_capability: str
    memory_bytes: int
    nvml_index: int = 0


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as data, so that choosing a backend is a pure function of it.

    Attributes:
        cpu_count: cores that this process may use.
        packages: runtime -> installed version; a runtime that is absent is not a key.
        distributions: runtime -> the distribution that provides it (`onnxruntime-gpu` has other providers).
        problems: runtime -> why it cannot be used although it is installed.
    """

    os: str
    arch: str
    python: str
    cpu_name: str
    cpu_count: int
    cpu_features: tuple[str, ...]
    memory_bytes: int
    gpus: tuple[Gpu, ...] = ()
    driver_version: str | None = None
    cuda_version: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    distributions: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe."""
        return asdict(self)


@lru_cache(maxsize=1)
def probe_machine() -> Machine:
    """Look once a process; never raises, never imports a runtime."""
    packages, distributions = _installed()
    gpus, driver, cuda, problem = _nvidia()
    return Machine(
        os=platform.system(),
        arch=platform.machine(),
        python=platform.python_version(),
        cpu_name=_cpu_name(),
        cpu_count=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu_features=_cpu_features(),
        memory_bytes=_memory_bytes(),
        gpus=gpus,
        driver_version=driver,
        cuda_version=cuda,
        packages=packages,
        distributions=distributions,
        problems={"nvidia": problem} if problem else {},
    )


def _installed() -> tuple[dict[str, str], dict[str, str]]:
    versions: dict[str, str] = {}
    sources: dict[str, str] = {}
    for runtime, names in DISTRIBUTIONS.items():
        for name in names:
            version = _version(name)
            if version:
                versions[runtime], sources[runtime] = version, name
                break
    return versions, sources


def _version(distribution: str) -> str | None:
    """None where it is not installed; `unknown` where its metadata are damaged: opening it will tell."""
    try:
        return metadata.version(distribution) or "unknown"
    except metadata.PackageNotFoundError:
        return None
    except Exception:  # noqa: BLE001 (a damaged METADATA raises KeyError, TypeError, OSError ... by Python version)
        return "unknown"


def _cpuinfo(key: str) -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            return next((line.partition(":")[2].strip() for line in file if line.startswith(key)), "")
    except OSError:
        return ""


def _cpu_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpu_features() -> tuple[str, ...]:
    flags = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    return tuple(flag for flag in _CPU_FLAGS if flag in flags)


#: Where Linux states a container's limit: control groups of version 2 and of version 1.
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def _memory_bytes() -> int:
    """Of the machine, or of the container where that is less."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return 0
    limits = [limit for path in _CGROUP_LIMITS if (limit := _cgroup_limit(Path(path)))]
    return min([physical, *limits])


def _cgroup_limit(path: Path) -> int | None:
    """None without a limit: the word `max`, or no such file."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _visible(count: int) -> list[int]:
    """The driver's numbers of the devices that CUDA shows this process, in CUDA's order.

    `CUDA_VISIBLE_DEVICES` is part of the machine as CUDA sees it. A word that is no number of a device ends the list,
    as it does for CUDA.
    """
    words = os.environ.get("CUDA_VISIBLE_DEVICES")
    if words is None:
        return list(range(count))
    shown: list[int] = []
    for word in words.split(","):
        if not word.strip().isdigit() or int(word) >= count:
            break
        shown.append(int(word))
    return shown


def _nvidia() -> tuple[tuple[Gpu, ...], str | None, str | None, str | None]:
    """Devices, driver version, CUDA version of the driver, and what is in the way."""
    try:
        import pynvml
    except ImportError:
        return (), None, None, "nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
    except Exception as error:  # noqa: BLE001 (NVMLError, OSError of the library, AttributeError of a namesake ...)
        return (), None, None, f"no NVIDIA driver ({error})"
    try:
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        shown = _visible(pynvml.nvmlDeviceGetCount())
        gpus = tuple(_gpu(pynvml, index, nvml_index) for index, nvml_index in enumerate(shown))
        return gpus, pynvml.nvmlSystemGetDriverVersion(), f"{cuda // 1000}.{cuda % 1000 // 10}", None
    except Exception as error:  # noqa: BLE001 (probing never raises; the words say what was in the way)
        return (), None, None, f"the NVIDIA driver does not answer ({type(error).__name__}: {error})"
    finally:
        with suppress(Exception):
            pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int, nvml_index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(nvml_index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle).total
    return Gpu(index, nvml.nvmlDeviceGetName(handle), f"{major}.{minor}", int(memory), nvml_index)
