"""What packages say that they need: our `requires`, `trt_config.json`, and the peer's manifests; damaged ones too."""

import json

import pytest

from inference_engine import explain
from inference_engine.errors import AnswerInvalid, PackageInvalid
from inference_engine.inference_config import NmsDefaults
from inference_engine.packages import read_package
from inference_engine.providers import manifest as manifests
from inference_engine.providers import roboflow
from inference_engine.remote_packages import RemoteFile, RemotePackage
from inference_engine.requirements import Requirements, merged, numbers

OURS = {
    "devices": ["cuda"],
    "device_name": "NVIDIA L4",
    "compute_capability": "8.9",
    "hardware_compatibility": "same_compute_capability",
    "driver_version": "570.86.15",
    "cuda_version": "12.8",
    "trt_version": "10.16.1.11",
    "version_compatible": True,
    "lean_runtime_excluded": False,
    "host_code": True,
    "jetson": False,
    "l4t_version": "36.4",
    "os_version": "debian-12",
    "torch_version": "2.8.0",
    "incompatible_execution_providers": ["CoreMLExecutionProvider"],
    "peak_memory_bytes": {"8": 1500, "1": 500},
}
READ = Requirements(
    devices=("cuda",),
    device_name="NVIDIA L4",
    compute_capability="8.9",
    compatibility="same_compute_capability",
    driver_version="570.86.15",
    cuda_version="12.8",
    trt_version="10.16.1.11",
    version_compatible=True,
    host_code=True,
    jetson=False,
    l4t_version="36.4",
    os_version="debian-12",
    torch_version="2.8.0",
    incompatible_providers=("CoreMLExecutionProvider",),
    peak_memory=((1, 500), (8, 1500)),
)
SERVER = {
    "type": "trt-model-package-v1",
    "dynamicBatchSize": False,
    "staticBatchSize": 1,
    "quantization": "fp16",
    "cudaDeviceType": "nvidia-l4",
    "cudaDeviceCC": "8.9",
    "cudaVersion": "12.6",
    "trtVersion": "10.3.0.1",
    "sameCCCompatible": True,
    "trtForwardCompatible": True,
    "trtLeanRuntimeExcluded": False,
    "machineType": "gpu-server",
    "machineSpecs": {"type": "gpu-server-specs-v1", "driverVersion": "560.35.03", "osVersion": "ubuntu-20.04"},
}
JETSON = SERVER | {
    "cudaDeviceType": "orin",
    "cudaDeviceCC": "8.7",
    "sameCCCompatible": False,
    "trtForwardCompatible": False,
    "machineType": "jetson",
    "machineSpecs": {
        "type": "jetson-machine-specs-v1",
        "l4tVersion": "36.4.3",
        "deviceName": "orin",
        "driverVersion": None,
    },
}


def test_our_own_section_is_read(write_package):
    assert read_package(write_package(requires=OURS)).requirements == READ


def test_a_package_that_says_nothing_needs_nothing(write_package):
    package = read_package(write_package())

    assert package.requirements == Requirements()
    assert package.weights_bytes == package.weights.stat().st_size


def test_what_a_provider_said_is_read_from_the_config_that_the_cache_writes(write_package):
    manifest = {"opset": 17, "incompatibleProviders": ["CUDAExecutionProvider"], "requires": {"driver_version": "570"}}

    found = read_package(write_package(manifest=manifest)).requirements

    assert found == Requirements(incompatible_providers=("CUDAExecutionProvider",), driver_version="570")


@pytest.mark.parametrize(
    "changes",
    [
        {"memory": 1},
        {"devices": "cuda"},
        {"devices": [1]},
        {"device_name": 4},
        {"device_name": ""},
        {"compute_capability": 8.9},
        {"compute_capability": "sm89"},
        {"hardware_compatibility": "any"},
        {"hardware_compatibility": ["none"]},
        {"driver_version": ["570"]},
        {"cuda_version": {}},
        {"trt_version": "ten"},
        {"version_compatible": "yes"},
        {"host_code": 1},
        {"jetson": "orin"},
        {"l4t_version": 36.4},
        {"torch_version": "v2.8"},
        {"incompatible_execution_providers": "CUDAExecutionProvider"},
        {"peak_memory_bytes": 500},
        {"peak_memory_bytes": {"0": 500}},
        {"peak_memory_bytes": {"one": 500}},
        {"peak_memory_bytes": {"1": "500"}},
        {"peak_memory_bytes": {"1": -1}},
        {"peak_memory_bytes": {"1": True}},
        {"peak_memory_bytes": {"1": 1e99}},
    ],
    ids=str,
)
def test_a_section_of_another_form_makes_a_rejected_candidate(write_package, tmp_path, changes):
    write_package("pets/good")
    folder = write_package("pets/bad", requires=OURS | changes)

    with pytest.raises(PackageInvalid, match=f"requires.*{next(iter(changes))}"):
        read_package(folder)
    decision = explain(tmp_path / "pets")
    assert decision.chosen.package_id == "good"
    assert [r.code for c in decision.candidates if c.package_id == "bad" for r in c.reasons] == ["package_invalid"]


def remote_package(kind="trt", features=None, **manifest):
    files = (RemoteFile("engine.plan", size=12), RemoteFile("class_names.txt", size=3))
    names = ("p", "m", "far", kind, "yolov8", "object-detection", "fp16")
    return RemotePackage(*names, files, manifest=manifest, features=features or {})


def test_a_plan_of_a_server_is_read():
    assert remote_package(**SERVER).requirements == Requirements(
        devices=("cuda",),
        device_name="nvidia-l4",
        compute_capability="8.9",
        compatibility="same_compute_capability",
        driver_version="560",
        cuda_version="12.6",
        trt_version="10.3.0.1",
        version_compatible=True,
        host_code=True,
        jetson=False,
        os_version="ubuntu-20.04",
    )


def test_a_plan_of_a_jetson_is_read():
    assert remote_package(**JETSON).requirements == Requirements(
        devices=("cuda",),
        device_name="orin",
        compute_capability="8.7",
        cuda_version="12.6",
        trt_version="10.3.0.1",
        jetson=True,
        l4t_version="36.4.3",
    )


def test_a_plan_without_its_lean_runtime_holds_no_host_code():
    found = remote_package(**SERVER | {"trtLeanRuntimeExcluded": True}).requirements

    assert (found.version_compatible, found.lean_runtime_excluded, found.host_code) == (True, True, False)


def test_an_archive_of_torch_is_read():
    found = remote_package(
        "torch-script", supportedDeviceTypes=["cuda", "cpu"], torchVersion="2.6.0", torchVisionVersion="0.21"
    )

    assert found.requirements == Requirements(devices=("cuda", "cpu"), torch_version="2.6.0")


def test_peaks_of_memory_are_in_bytes_and_a_batch_has_that_of_the_next_measured_one():
    needs = remote_package(memoryProfile={"peakVramMb": {"1": 500, "8": 1500.5}}).requirements

    assert needs.peak_memory == ((1, 500 << 20), (8, int(1500.5 * 2**20)))
    assert [needs.peak_for(batch) for batch in (1, 2, 8, 64)] == [500 << 20, *(int(1500.5 * 2**20),) * 3]
    assert Requirements().peak_for(1) is None


def test_fused_suppression_is_read():
    features = {"nms_fused": {"max_detections": 100, "confidence_threshold": 0.3, "class_agnostic": True}}

    assert remote_package(features=features).fused_nms == NmsDefaults(0.3, 0.5, 100, class_agnostic=True)
    assert remote_package().fused_nms is None


def test_the_largest_file_is_the_weights():
    assert remote_package().weights_bytes == 12


def test_a_stored_record_has_the_same_requirements():
    package = remote_package(**JETSON)

    again = RemotePackage.from_record(json.loads(json.dumps(package.to_record())))

    assert again.requirements == package.requirements


DAMAGED = [
    {"cudaDeviceType": 4},
    {"cudaDeviceCC": 8.9},
    {"cudaVersion": "twelve"},
    {"trtVersion": None},
    {"trtVersion": 10},
    {"trtVersion": ""},
    {"sameCCCompatible": "yes"},
    {"trtForwardCompatible": 1},
    {"trtLeanRuntimeExcluded": []},
    {"machineType": "laptop"},
    {"machineType": ["jetson"]},
    {"machineSpecs": "Jetson"},
    {"machineSpecs": {"driverVersion": 570}},
    {"machineSpecs": {"l4tVersion": "R36"}},
    {"supportedDeviceTypes": "cuda"},
    {"incompatibleProviders": {"CUDA": True}},
    {"requires": {"devices": "gpu"}},
    {"requires": {"unheard_of": 1}},
]


@pytest.mark.parametrize("changes", DAMAGED, ids=str)
def test_a_damaged_manifest_costs_its_package_only(server, serve_model, remote, changes):
    def entry(name, manifest):
        return {**serve_model(package_id=name), "packageManifest": manifest}

    server.add_model("pets/1", [entry("good", SERVER), entry("bad", SERVER | changes)])

    found = roboflow.find("pets/1", remote())

    assert [package.package_id for package in found.packages] == ["good"]
    assert next(iter(changes)) in found.broken["bad"] or "package 'bad'" in found.broken["bad"]


@pytest.mark.parametrize(
    "changes",
    [
        {"memoryProfile": 500},
        {"memoryProfile": {"peakVramMb": [1]}},
        {"memoryProfile": {"peakVramMb": {"1": None}}},
        {"modelFeatures": {"nms_fused": True}},
        {"modelFeatures": {"nms_fused": {"iou_threshold": 7}}},
        {"modelFeatures": {"nms_fused": {"speed": 7}}},
    ],
    ids=str,
)
def test_a_damaged_profile_or_feature_costs_its_package_only(server, serve_model, remote, changes):
    server.add_model("pets/1", [serve_model(package_id="good"), {**serve_model(package_id="bad"), **changes}])

    found = roboflow.find("pets/1", remote())

    assert ([package.package_id for package in found.packages], list(found.broken)) == (["good"], ["bad"])


def test_a_manifest_of_our_own_may_say_what_its_packages_require(server, remote):
    files = [{"name": "model.onnx"}]
    package = {"package_id": "a", "backend_type": "onnx", "files": files, "requires": {"cuda_version": "13.0"}}
    model = {"schema_version": 1, "model_id": "m", "model_architecture": "yolov8", "task_type": "object-detection"}
    bad = package | {"package_id": "b", "requires": {"cuda_version": 13}}
    server.add_file("/m/manifest.json", json.dumps(model | {"packages": [package, bad]}).encode())

    found = manifests.find(f"{server.url}/m/manifest.json", remote())

    assert [p.requirements.cuda_version for p in found.packages] == ["13.0"]
    assert "cuda_version" in found.broken["b"]


def test_a_damaged_value_is_an_error_of_the_answer():
    with pytest.raises(AnswerInvalid, match="package 'p': machineType is 'laptop'"):
        remote_package(machineType="laptop")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("10.16.1.11", (10, 16, 1, 11)),
        ("2.13.0+cpu", (2, 13, 0, 0)),
        ("2.6.0a0+git1", (2, 6, 0, 0)),
        ("9", (9, 0, 0, 0)),
        ("1.2.3.4.5", (1, 2, 3, 4)),
        ("nightly", ()),
        ("", ()),
    ],
)
def test_a_version_is_four_numbers(version, expected):
    assert numbers(version) == expected


def test_of_several_places_the_first_that_says_something_counts():
    first, second = Requirements(trt_version="10.3"), Requirements(trt_version="11.4", jetson=False)

    assert merged(first, second) == Requirements(trt_version="10.3", jetson=False)
