"""What GPUs have to do, with a driver and without."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from inference_engine.gpu_load import GpuLoad, gpu_loads


class Driver:
    """NVML of a machine with two GPUs."""

    def __init__(self, broken: str = "") -> None:
        self.broken, self.is_open = broken, False

    def nvmlInit(self) -> None:  # noqa: N802 (NVML's names)
        if self.broken == "driver":
            raise OSError("no libnvidia-ml.so.1")
        self.is_open = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.is_open = False

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=1000 * (handle + 1))

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:  # noqa: N802
        if self.broken == "device" and handle == 1:
            raise RuntimeError("GPU is lost")
        return SimpleNamespace(gpu=50 * handle)


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        pytest.param("", [GpuLoad(0, 1000, 0.0), GpuLoad(1, 2000, 0.5)], id="two GPUs"),
        pytest.param("driver", [], id="no driver"),
        pytest.param("device", [], id="a GPU fell off the bus"),
    ],
)
def test_gpus_are_asked_and_the_driver_is_closed(monkeypatch: pytest.MonkeyPatch, broken, expected):
    driver = Driver(broken)
    monkeypatch.setitem(sys.modules, "pynvml", driver)

    assert gpu_loads() == expected
    assert not driver.is_open
