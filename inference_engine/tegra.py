"""Jetsons, by the files that Jetson Linux leaves: most of them have no NVML, and share their memory with the CPU."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Chip in the device tree -> CUDA's name of its GPU, and its compute capability (NVIDIA: Your GPU Compute Capability).
CHIPS = {
    "nvidia,tegra210": ("NVIDIA Tegra X1", "5.3"),
    "nvidia,tegra186": ("NVIDIA Tegra X2", "6.2"),
    "nvidia,tegra194": ("Xavier", "7.2"),
    "nvidia,tegra234": ("Orin", "8.7"),
    "nvidia,tegra264": ("NVIDIA Thor", "11.0"),
}


@dataclass(frozen=True, slots=True)
class Tegra:
    """A Jetson.

    Attributes:
        product: for example `NVIDIA Jetson AGX Orin Developer Kit`.
        l4t_version: of Jetson Linux, for example `36.4.3`; None: its file is not there or damaged.
        gpu: name and compute capability; None: a chip that is not known here.
        cuda_version: of the toolkit, which comes with Jetson Linux.
    """

    product: str
    l4t_version: str | None = None
    gpu: tuple[str, str] | None = None
    cuda_version: str | None = None


def probe_tegra(root: Path = Path("/")) -> Tegra | None:
    """Look for a Jetson; None where this is none. Never raises: a damaged file is one that does not say anything."""
    chips = _text(root / "proc/device-tree/compatible").split("\0")
    gpu = next((CHIPS[chip] for chip in chips if chip in CHIPS), None)
    release = _l4t(_text(root / "etc/nv_tegra_release"))
    if gpu is None and release is None and not any(chip.startswith("nvidia,tegra") for chip in chips):
        return None
    product = _text(root / "proc/device-tree/model").strip("\0\n ") or "a Jetson"
    return Tegra(product, release, gpu, _cuda(_text(root / "usr/local/cuda/version.json")))


def _l4t(text: str) -> str | None:
    """`# R36 (release), REVISION: 4.3, GCID: ...` says 36.4.3."""
    found = re.search(r"\bR(\d{1,4}) .{0,40}?REVISION: (\d{1,4}(?:\.\d{1,4})?)", text)
    return f"{found[1]}.{found[2]}" if found else None


def _cuda(text: str) -> str | None:
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        found = re.match(r"\d+\.\d+", json.loads(text)["cuda"]["version"])
        return found[0] if found else None
    return None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(65536).decode("utf-8", errors="replace")
    except OSError:
        return ""
