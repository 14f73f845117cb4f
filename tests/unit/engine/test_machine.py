"""Looking at a machine imports no runtime and survives what is missing or damaged."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from inference_engine import machine
from inference_engine.backends import offers
from inference_engine.machine import probe_machine


@pytest.fixture
def fresh():
    """The probe without what it remembers of this process."""
    return probe_machine.__wrapped__


def test_looking_imports_no_runtime():
    program = (
        "import json, sys; from inference_engine import probe_machine; from inference_engine.backends import offers;"
        "offers(probe_machine()); print(json.dumps(sorted(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    loaded = set(json.loads(done.stdout))
    assert not loaded & {"torch", "onnxruntime", "openvino", "tensorrt", "transformers", "cv2"}


def test_what_is_installed_is_found_with_its_version(fresh):
    found = fresh()

    assert found.packages["torch"] == metadata.version("torch")
    assert found.distributions["onnxruntime"] in machine.DISTRIBUTIONS["onnxruntime"]
    assert found.cpu_count >= 1
    assert found.memory_bytes > 1 << 28


def test_the_record_is_json(fresh):
    assert json.loads(json.dumps(fresh().to_record()))["packages"]


def test_a_machine_without_proc_is_described(fresh, monkeypatch):
    real = Path.open

    def refuse(self, *args, **options):
        if str(self).startswith("/proc"):
            raise FileNotFoundError(self)
        return real(self, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)

    assert (fresh().cpu_features, bool(fresh().cpu_name)) == ((), True)


def test_a_machine_without_sysconf_and_affinity_is_described(fresh, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "sysconf", lambda _: (_ for _ in ()).throw(ValueError("unknown name")))

    assert (fresh().memory_bytes, fresh().cpu_count >= 1) == (0, True)


@pytest.mark.parametrize(
    "files", [{}, {"METADATA": ""}, {"METADATA": "\xff\xfe garbage"}, {"METADATA": "Name: torch\n"}]
)
def test_a_distribution_with_damaged_metadata_is_of_unknown_version(fresh, tmp_path, monkeypatch, files):
    folder = tmp_path / "torch-9.9.dist-info"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_bytes(text.encode("latin-1"))
    monkeypatch.syspath_prepend(tmp_path)

    found = fresh()

    assert found.packages["torch"] == "unknown"
    assert "cpu" in offers(found)["torch"].devices


@pytest.mark.parametrize("error", [KeyError("Version"), TypeError("None"), OSError("I/O error"), UnicodeError("utf-8")])
def test_metadata_that_raise_are_of_unknown_version(fresh, monkeypatch, error):
    monkeypatch.setattr(metadata, "version", lambda _: (_ for _ in ()).throw(error))

    assert set(fresh().packages.values()) == {"unknown"}


def nvml(**changes):
    """A driver library with one GPU."""
    members = {
        "NVMLError": type("NVMLError", (Exception,), {}),
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetCudaDriverVersion_v2": lambda: 12080,
        "nvmlSystemGetDriverVersion": lambda: "570.1",
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetCudaComputeCapability": lambda _: (9, 0),
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=80 << 30),
        "nvmlDeviceGetName": lambda _: "Test GPU",
    }
    return SimpleNamespace(**members | changes)


def raising(error):
    def function(*_):
        raise error

    return function


def test_a_gpu_is_described(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml())

    found = fresh()

    assert found.gpus == (machine.Gpu(0, "Test GPU", "9.0", 80 << 30),)
    assert (found.driver_version, found.cuda_version, found.problems) == ("570.1", "12.8", {})


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [(None, [0, 1, 2, 3]), ("2,0", [2, 0]), ("", []), ("1,GPU-0f3a,2", [1]), ("0,9,1", [0])],
)
def test_only_the_gpus_that_cuda_shows_are_there_in_its_order(fresh, monkeypatch, visible, numbers):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(nvmlDeviceGetCount=lambda: 4))
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert [(gpu.index, gpu.nvml_index) for gpu in fresh().gpus] == list(enumerate(numbers))


def test_a_containers_limit_is_the_memory_that_there_is(fresh, monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    limit.write_text("1048576\n")
    monkeypatch.setattr(machine, "_CGROUP_LIMITS", (str(tmp_path / "absent"), str(limit)))

    assert fresh().memory_bytes == 1 << 20
    limit.write_text("max\n")
    assert fresh().memory_bytes > 1 << 20


def test_a_driver_that_does_not_answer_is_a_problem_and_no_crash(fresh, monkeypatch):
    library = nvml()
    failed = library.NVMLError("GPU is lost")
    changes = [
        {"nvmlInit": raising(failed)},
        {"nvmlDeviceGetCount": raising(failed)},
        {"nvmlDeviceGetMemoryInfo": raising(failed)},
        {"nvmlDeviceGetCount": raising(failed), "nvmlShutdown": raising(failed)},
        {"nvmlInit": raising(OSError("libnvidia-ml.so.1: wrong ELF class"))},
        {"nvmlDeviceGetName": raising(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"))},
    ]

    for change in changes:
        monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(**vars(library) | change))
        found = fresh()
        assert found.gpus == ()
        assert "nvidia" in found.problems


@pytest.mark.parametrize("missing", ["NVMLError", "nvmlSystemGetCudaDriverVersion_v2"])
def test_another_library_of_that_name_is_a_problem_and_no_crash(fresh, monkeypatch, missing):
    library = nvml()
    delattr(library, missing)
    monkeypatch.setitem(sys.modules, "pynvml", library)

    assert fresh().gpus == (machine.Gpu(0, "Test GPU", "9.0", 80 << 30),) * (missing == "NVMLError")


def test_a_machine_without_the_library_has_no_gpu(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)

    assert (fresh().gpus, "nvidia" in fresh().problems) == ((), True)
