"""What this process, or a device, holds in memory at this moment."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    import resource

    return pages * resource.getpagesize()


def device_used_bytes(nvml_index: int) -> int:
    """Memory in use on an NVIDIA GPU, by whatever process; 0 where the driver does not say."""
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(nvml_index)).used)
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # noqa: BLE001 (as `machine.probe_machine`: a driver that does not answer is no reason to end)
        return 0


def trim() -> None:
    """Give freed memory back to Linux; elsewhere, and with another C library than glibc, nothing happens.

    Memory is flat over loads without it, too; but what one model leaves behind hides what the next one costs (1 MB was
    measured in place of 7).
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
