"""What this machine has: devices, drivers, CPU features, installed runtimes. No runtime is imported to find out."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from inference_engine.gpus import Gpu, probe_nvidia
from inference_engine.tegra import Tegra, probe_tegra

__all__ = ["DISTRIBUTIONS", "Gpu", "Machine", "probe_machine"]

#: Runtime -> the distributions that provide it, best first.
DISTRIBUTIONS = {
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt_lean": ("tensorrt-lean", "tensorrt-lean-cu13", "tensorrt-lean-cu12"),
    "transformers": ("transformers",),
}
#: /proc/cpuinfo flags that change which precision is fast.
_CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "sve")


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as data, so that choosing a backend is a pure function of it.

    Attributes:
        cpu_count: cores that this process may use.
        packages: runtime -> installed version; a runtime that is absent is not a key.
        distributions: runtime -> the distribution that provides it (`onnxruntime-gpu` has other providers).
        problems: runtime -> why it cannot be used although it is installed.
        free_bytes: memory that was free when it was looked at; None: not known.
        jetson_type: its product name, where this is a Jetson.
        l4t_version: of its Jetson Linux.
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
    free_bytes: int | None = field(default=None, compare=False)
    jetson_type: str | None = None
    l4t_version: str | None = None

    def to_record(self) -> dict[str, Any]:
        """JSON-safe."""
        return asdict(self)


@lru_cache(maxsize=1)
def probe_machine() -> Machine:
    """Look once a process; never raises, never imports a runtime."""
    packages, distributions = _installed()
    nvidia, tegra = probe_nvidia(os.environ.get("CUDA_VISIBLE_DEVICES")), probe_tegra()
    gpus = nvidia.gpus or _tegra_gpus(tegra)
    return Machine(
        os=platform.system(),
        arch=platform.machine(),
        python=platform.python_version(),
        cpu_name=_cpu_name(),
        cpu_count=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu_features=_cpu_features(),
        memory_bytes=_memory_bytes(),
        gpus=gpus,
        driver_version=nvidia.driver_version,
        cuda_version=nvidia.cuda_version or (tegra.cuda_version if tegra else None),
        packages=packages,
        distributions=distributions,
        problems={} if gpus or nvidia.problem is None else {"nvidia": nvidia.problem},
        free_bytes=_free_memory_bytes(),
        jetson_type=tegra.product if tegra else None,
        l4t_version=tegra.l4t_version if tegra else None,
    )


def _tegra_gpus(tegra: Tegra | None) -> tuple[Gpu, ...]:
    """The GPU of a Jetson whose driver has no NVML; it has the CPU's memory. An empty variable hides it as well."""
    if tegra is None or tegra.gpu is None or os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] != "0":
        return ()
    return (Gpu(0, *tegra.gpu, _memory_bytes(), _free_memory_bytes()),)


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


def _free_memory_bytes(root: Path = Path("/")) -> int | None:
    """What the kernel could give away now, and no more than the control group leaves; None: it does not say."""
    said = [_available(root / "proc/meminfo"), _group_left(root / "sys/fs/cgroup")]
    return min((size for size in said if size is not None), default=None)


def _available(path: Path) -> int | None:
    """`MemAvailable:   123456 kB` in bytes."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(found.split()[1]) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _group_left(folder: Path) -> int | None:
    """Control groups of version 2: `max` where there is no limit. Caches count as used, and could be given back."""
    try:
        limit, used = ((folder / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current"))
        cached = re.search(r"^inactive_file (\d+)$", (folder / "memory.stat").read_text(encoding="ascii"), re.MULTILINE)
        return max(0, int(limit) - int(used) + int(cached[1] if cached else 0))
    except (OSError, ValueError):
        return None
