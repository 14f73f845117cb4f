"""Looking at a machine imports no runtime and survives what is missing or damaged."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from inference_engine import machine
from inference_engine.backends import offers
from inference_engine.gpus import visible_gpus
from inference_engine.machine import probe_machine
from inference_engine.tegra import Tegra, probe_tegra


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


def test_free_memory_of_a_gpu_is_told_and_makes_no_other_machine(fresh, monkeypatch):
    library = nvml(nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(total=80 << 30, free=3 << 30))
    monkeypatch.setitem(sys.modules, "pynvml", library)

    (found,) = fresh().gpus

    assert found.free_bytes == 3 << 30
    assert found == replace(found, free_bytes=None)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [(0, "GPU-aaa1"), (1, "GPU-bbb2"), (2, "GPU-bbb3")]),
        ("0,1,2", [(0, "GPU-aaa1"), (1, "GPU-bbb2"), (2, "GPU-bbb3")]),
        ("2,0", [(0, "GPU-bbb3"), (1, "GPU-aaa1")]),
        (" 1 ", [(0, "GPU-bbb2")]),
        ("GPU-bbb3", [(0, "GPU-bbb3")]),
        ("GPU-aaa", [(0, "GPU-aaa1")]),
        ("GPU-bbb", []),
        ("", []),
        ("-1", []),
        ("1,9,0", [(0, "GPU-bbb2")]),
        ("1,1", [(0, "GPU-bbb2")]),
        ("MIG-1234", [(0, "GPU-aaa1"), (1, "GPU-bbb2"), (2, "GPU-bbb3")]),
    ],
)
def test_gpus_are_counted_as_cuda_counts_them_in_this_process(visible, expected):
    names = ("GPU-aaa1", "GPU-bbb2", "GPU-bbb3")
    gpus = [machine.Gpu(index, "L4", "8.9", 1 << 34, None, name) for index, name in enumerate(names)]

    assert [(gpu.index, gpu.uuid) for gpu in visible_gpus(gpus, visible)] == expected


def test_a_variable_that_hides_every_gpu_is_the_problem_that_is_told(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    found = fresh()

    assert (found.gpus, found.driver_version) == ((), "570.1")
    assert found.problems == {"nvidia": "CUDA_VISIBLE_DEVICES='' hides every GPU"}


ORIN = {
    "proc/device-tree/compatible": b"nvidia,p3737-0000+p3701-0005\0nvidia,p3701-0005\0nvidia,tegra234\0",
    "proc/device-tree/model": b"NVIDIA Jetson AGX Orin Developer Kit\0",
    "etc/nv_tegra_release": b"# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "usr/local/cuda/version.json": b'{"cuda": {"name": "CUDA SDK", "version": "12.6.68"}}',
}


@pytest.fixture
def write_root(tmp_path):
    def write(**files):
        for name, data in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
        return tmp_path

    return write


def test_a_jetson_is_known_by_its_files(write_root):
    found = probe_tegra(write_root(**ORIN))

    assert found == Tegra("NVIDIA Jetson AGX Orin Developer Kit", "36.4.3", ("Orin", "8.7"), "12.6")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"etc/nv_tegra_release": b""}, {"l4t_version": None}),
        ({"etc/nv_tegra_release": b"\xff\xfe\x00garbage"}, {"l4t_version": None}),
        ({"etc/nv_tegra_release": b"# R35 (release), REVISION: 4.1, GCID"}, {"l4t_version": "35.4.1"}),
        ({"proc/device-tree/model": b"\xff\0"}, {"product": "\ufffd"}),
        ({"proc/device-tree/model": b""}, {"product": "a Jetson"}),
        ({"proc/device-tree/compatible": b"nvidia,tegra999\0"}, {"gpu": None}),
        ({"proc/device-tree/compatible": b""}, {"gpu": None}),
        ({"usr/local/cuda/version.json": b"{"}, {"cuda_version": None}),
        ({"usr/local/cuda/version.json": b'{"cuda": []}'}, {"cuda_version": None}),
        ({"usr/local/cuda/version.json": b'{"cuda": {"version": 12}}'}, {"cuda_version": None}),
        ({"usr/local/cuda/version.json": b"[" * 9999}, {"cuda_version": None}),
    ],
)
def test_a_damaged_file_of_a_jetson_says_nothing_and_breaks_nothing(write_root, changes, expected):
    found = probe_tegra(write_root(**(ORIN | changes)))

    assert {name: getattr(found, name) for name in expected} == expected


def test_no_jetson_is_none(write_root):
    assert probe_tegra(write_root()) is None
    assert probe_tegra(write_root(**{"proc/device-tree/compatible": b"raspberrypi,5-model-b\0brcm,bcm2712\0"})) is None


def test_a_jetson_without_nvml_has_the_gpu_of_its_chip(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(nvmlInit=raising(OSError("no libnvidia-ml.so.1"))))
    monkeypatch.setattr(machine, "probe_tegra", lambda: Tegra("Jetson", "36.4.3", ("Orin", "8.7"), "12.6"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    found = fresh()

    assert [(gpu.name, gpu.compute_capability, gpu.memory_bytes) for gpu in found.gpus] == [
        ("Orin", "8.7", found.memory_bytes)
    ]
    assert (found.jetson_type, found.l4t_version, found.cuda_version, found.problems) == (
        "Jetson",
        "36.4.3",
        "12.6",
        {},
    )


@pytest.mark.parametrize("visible", ["", "-1"])
def test_a_jetsons_gpu_can_be_hidden(fresh, monkeypatch, visible):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(nvmlInit=raising(OSError("no libnvidia-ml.so.1"))))
    monkeypatch.setattr(machine, "probe_tegra", lambda: Tegra("Jetson", "36.4.3", ("Orin", "8.7"), "12.6"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert fresh().gpus == ()


MEMINFO = b"MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    4000000 kB\n"
GROUP = {"memory.max": b"3000000000\n", "memory.current": b"2500000000\n", "memory.stat": b"anon 1\ninactive_file 5\n"}


@pytest.mark.parametrize(
    ("meminfo", "group", "expected"),
    [
        (MEMINFO, {}, 4_096_000_000),
        (MEMINFO, GROUP, 500_000_005),
        (MEMINFO, GROUP | {"memory.max": b"max\n"}, 4_096_000_000),
        (MEMINFO, GROUP | {"memory.current": b"9000000000"}, 0),
        (MEMINFO, GROUP | {"memory.stat": b"\n"}, 500_000_000),
        (MEMINFO, GROUP | {"memory.max": b"\xff"}, 4_096_000_000),
        (b"", GROUP, 500_000_005),
        (b"MemAvailable:\n", {}, None),
        (b"MemAvailable: many kB\n", {}, None),
        (b"\xff\xff", {}, None),
    ],
)
def test_free_memory_is_what_the_kernel_and_the_control_group_leave(write_root, meminfo, group, expected):
    root = write_root(**{"proc/meminfo": meminfo}, **{f"sys/fs/cgroup/{name}": data for name, data in group.items()})

    assert machine._free_memory_bytes(root) == expected


def test_tensorrts_lean_runtime_is_found(fresh, tmp_path, monkeypatch):
    folder = tmp_path / "tensorrt_lean_cu13-11.4.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorrt-lean-cu13\nVersion: 11.4.0\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert fresh().packages["tensorrt_lean"] == "11.4.0"
