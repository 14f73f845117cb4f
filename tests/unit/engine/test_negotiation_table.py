"""Machines x packages: what runs where, and exactly which codes stand against what does not."""

from dataclasses import replace

import pytest

from inference_engine.backends import offers
from inference_engine.inference_config import InferenceConfig, NetworkInput, NmsDefaults
from inference_engine.machine import Gpu, Machine
from inference_engine.negotiation import REASON_CODES, NmsFusion, Wishes, negotiate
from inference_engine.requirements import Requirements
from inference_engine.trust import TrustPolicy

GIB = 1 << 30


def gpu(name, capability, *, gib=24, free=20, index=0):
    return Gpu(index, name, capability, gib * GIB, free * GIB)


T4 = gpu("Tesla T4", "7.5", gib=16, free=15)
A10G = gpu("NVIDIA A10G", "8.6")
A100 = gpu("NVIDIA A100-SXM4-80GB", "8.0", gib=80, free=79)
L4 = gpu("NVIDIA L4", "8.9")
H100 = gpu("NVIDIA H100 80GB HBM3", "9.0", gib=80, free=79)
B200 = gpu("NVIDIA B200", "10.0", gib=180, free=178)
RTX5090 = gpu("NVIDIA GeForce RTX 5090", "12.0", gib=32, free=30)
ORIN = gpu("Orin (nvgpu)", "8.7", gib=32, free=28)

FULL = {"torch": "2.8.0+cu128", "onnxruntime": "1.22.0", "transformers": "4.57.0", "tensorrt": "10.16.1.11"}
CPU_BUILDS = {"torch": "2.8.0+cpu", "onnxruntime": "1.22.0", "openvino": "2026.1.0", "transformers": "4.57.0"}


def machine(*gpus, driver="580.65.06", cuda="13.0", gpu_build=True, problems=None, **changes):
    """A server with GPUs and every runtime; without GPUs, one with CPU builds and no driver."""
    fields = {
        "gpus": gpus,
        "driver_version": driver if gpus else None,
        "cuda_version": cuda if gpus else None,
        "packages": FULL if gpus else CPU_BUILDS,
        "distributions": {"onnxruntime": "onnxruntime-gpu" if gpus and gpu_build else "onnxruntime"},
        "problems": problems or ({} if gpus else {"nvidia": "no NVIDIA driver"}),
        "free_bytes": 12 * GIB,
    }
    return Machine("Linux", "x86_64", "3.11", "cpu", 4, (), 16 * GIB, **fields | changes)


CPU = machine()
ADA = machine(L4)
AMPERE, TURING, HOPPER, BLACKWELL = machine(A10G), machine(T4), machine(H100), machine(B200)
TWO = machine(T4, replace(L4, index=1))
JETSON = machine(ORIN, driver=None, cuda="12.6", jetson_type="NVIDIA Jetson AGX Orin", l4t_version="36.4.3")


def with_versions(base, **versions):
    """The machine with other runtimes; None takes one away."""
    return replace(base, packages={k: v for k, v in (base.packages | versions).items() if v is not None})


def plan(**needs):
    """A plan that was built on an L4 by TensorRT 10.16.1."""
    built = {"trt_version": "10.16.1.11", "device_name": "nvidia-l4", "compute_capability": "8.9"}
    return {"kind": "trt", "quantization": "fp16", "requirements": Requirements(("cuda",), **(built | needs))}


def onnx(**changes):
    return {"kind": "onnx", "opset": 17} | changes


def script(**needs):
    return {"kind": "torch-script", "requirements": Requirements(**needs)}


def config(**changes):
    return InferenceConfig(NetworkInput((32, 32)), max_batch_size=8, **changes)


TORCH, HF, ALIEN = {"kind": "torch"}, {"kind": "hf", "family": "hf"}, {"kind": "coreml"}
FORWARD = {"version_compatible": True, "host_code": True}
FUSED = onnx(config=config(is_fused=True, nms=NmsDefaults(0.3, 0.6, 100)))
HEAVY = {"peak_memory": ((1, 2 * GIB), (8, 21 * GIB))}
TRT_EP = {"execution_providers": ("TensorrtExecutionProvider", "CUDAExecutionProvider")}
NO_TRT = with_versions(ADA, tensorrt=None)
ORT_ONLY = with_versions(CPU, torch=None, openvino=None, transformers=None)

#: name: machine, package, wishes -> by backend and device: `chosen`, or the codes.
TABLE = {
    # Plans and generations of GPUs.
    "plan on its GPU": (ADA, plan(), {}, {"trt cuda": "chosen"}),
    "plan without a GPU": (CPU, plan(), {}, {"trt cpu": "needs_gpu not_installed"}),
    "plan on Turing": (TURING, plan(), {}, {"trt cuda": "compute_capability_mismatch gpu_name_mismatch"}),
    "plan on Ampere": (AMPERE, plan(), {}, {"trt cuda": "compute_capability_mismatch gpu_name_mismatch"}),
    "plan on Hopper": (HOPPER, plan(), {}, {"trt cuda": "compute_capability_mismatch gpu_name_mismatch"}),
    "plan on Blackwell": (BLACKWELL, plan(), {}, {"trt cuda": "compute_capability_mismatch gpu_name_mismatch"}),
    "plan for an L40S on an L4": (ADA, plan(device_name="NVIDIA L40S"), {}, {"trt cuda": "gpu_name_mismatch"}),
    "plan for sm89, any name": (
        ADA,
        plan(device_name="NVIDIA L40S", compatibility="same_compute_capability"),
        {},
        {"trt cuda": "chosen"},
    ),
    "plan for sm89 on sm86": (
        AMPERE,
        plan(compatibility="same_compute_capability"),
        {},
        {"trt cuda": "compute_capability_mismatch"},
    ),
    "ampere_plus on Turing": (
        TURING,
        plan(compatibility="ampere_plus"),
        {},
        {"trt cuda": "compute_capability_mismatch"},
    ),
    "ampere_plus on Ampere": (machine(A100), plan(compatibility="ampere_plus"), {}, {"trt cuda": "chosen"}),
    "ampere_plus on Hopper": (HOPPER, plan(compatibility="ampere_plus"), {}, {"trt cuda": "chosen"}),
    "ampere_plus on Blackwell": (machine(RTX5090), plan(compatibility="ampere_plus"), {}, {"trt cuda": "chosen"}),
    "plan that names no GPU": (
        HOPPER,
        plan(device_name=None, compute_capability=None),
        {},
        {"trt cuda": "chosen"},
    ),
    "plan on the first of two GPUs": (
        TWO,
        plan(),
        {},
        {"trt cuda": "compute_capability_mismatch gpu_name_mismatch"},
    ),
    "plan on the second of two GPUs": (TWO, plan(), {"device": "cuda:1"}, {"trt cuda:1": "chosen"}),
    "plan on a GPU that is not there": (TWO, plan(), {"device": "cuda:2"}, {"trt cuda:2": "device_missing"}),
    "plan asked for on the CPU": (ADA, plan(), {"device": "cpu"}, {"trt cpu": "device_missing needs_gpu"}),
    # TensorRT's versions.
    "patch build of the same release": (with_versions(ADA, tensorrt="10.16.1.99"), plan(), {}, {"trt cuda": "chosen"}),
    "older TensorRT": (with_versions(ADA, tensorrt="10.3.0"), plan(), {}, {"trt cuda": "tensorrt_version_mismatch"}),
    "newer TensorRT": (with_versions(ADA, tensorrt="11.4.0"), plan(), {}, {"trt cuda": "tensorrt_version_mismatch"}),
    "newer TensorRT, compatible plan": (
        with_versions(ADA, tensorrt="11.4.0"),
        plan(**FORWARD),
        {},
        {"trt cuda": "chosen"},
    ),
    "older TensorRT, compatible plan": (
        with_versions(ADA, tensorrt="10.3.0"),
        plan(**FORWARD),
        {},
        {"trt cuda": "tensorrt_version_mismatch"},
    ),
    "two majors on, compatible plan": (
        ADA,
        plan(**FORWARD, trt_version="8.6.1"),
        {},
        {"trt cuda": "tensorrt_version_mismatch"},
    ),
    "compatible plan without lean runtime": (
        with_versions(ADA, tensorrt="11.4.0"),
        plan(version_compatible=True, lean_runtime_excluded=True),
        {},
        {"trt cuda": "lean_runtime_excluded"},
    ),
    "no lean runtime, same version": (
        ADA,
        plan(version_compatible=True, lean_runtime_excluded=True),
        {},
        {"trt cuda": "chosen"},
    ),
    "host code refused": (ADA, plan(**FORWARD), {"allows_host_code": False}, {"trt cuda": "host_code_refused"}),
    "no host code to refuse": (ADA, plan(), {"allows_host_code": False}, {"trt cuda": "chosen"}),
    "TensorRT of an unknown major": (
        with_versions(ADA, tensorrt="8.6.1"),
        plan(),
        {},
        {"trt cuda": "broken_runtime tensorrt_version_mismatch"},
    ),
    "TensorRT is not installed": (NO_TRT, plan(), {}, {"trt cuda": "not_installed"}),
    "TensorRT is broken": (
        replace(ADA, problems={"tensorrt": "libnvinfer.so.10 is missing"}),
        plan(),
        {},
        {"trt cuda": "broken_runtime"},
    ),
    "TensorRT of unknown version": (with_versions(ADA, tensorrt="unknown"), plan(), {}, {"trt cuda": "broken_runtime"}),
    # Drivers and CUDA.
    "driver as needed": (ADA, plan(driver_version="580"), {}, {"trt cuda": "chosen"}),
    "driver too old": (
        machine(L4, driver="535.104.05", cuda="12.2"),
        plan(driver_version="570"),
        {},
        {"trt cuda": "driver_too_old"},
    ),
    "driver and CUDA too old": (
        machine(L4, driver="535.104.05", cuda="12.2"),
        plan(driver_version="580", cuda_version="13.0"),
        {},
        {"trt cuda": "cuda_too_old driver_too_old"},
    ),
    "newer minor of CUDA": (
        machine(L4, driver="535.104.05", cuda="12.2"),
        plan(cuda_version="12.8"),
        {},
        {"trt cuda": "chosen"},
    ),
    "older major of CUDA": (ADA, plan(cuda_version="12.8"), {}, {"trt cuda": "chosen"}),
    "driver of unknown version": (
        machine(L4, driver=None, cuda=None),
        plan(driver_version="580", cuda_version="13.0"),
        {},
        {"trt cuda": "chosen"},
    ),
    "everything is wrong": (
        with_versions(machine(T4, driver="450.80.02", cuda="11.0"), tensorrt="10.3.0"),
        plan(driver_version="570", cuda_version="12.8", host_code=True),
        {"allows_host_code": False, "trust": TrustPolicy(), "backend": "onnx", "batch_size": 9, "quantization": "fp32"},
        {
            "trt cuda": "backend_not_wanted batch_not_fitting compute_capability_mismatch cuda_too_old driver_too_old "
            "gpu_name_mismatch host_code_refused precision_not_wanted tensorrt_version_mismatch untrusted"
        },
    ),
    # Jetsons.
    "Jetson plan on a Jetson": (
        JETSON,
        plan(device_name="orin", compute_capability="8.7", jetson=True, l4t_version="36.4"),
        {},
        {"trt cuda": "chosen"},
    ),
    "Jetson plan of another L4T": (
        JETSON,
        plan(device_name="orin", compute_capability="8.7", jetson=True, l4t_version="35.4.1"),
        {},
        {"trt cuda": "l4t_mismatch"},
    ),
    "Jetson plan on a server": (
        AMPERE,
        plan(device_name="orin", compute_capability="8.7", jetson=True, l4t_version="36.4"),
        {},
        {"trt cuda": "compute_capability_mismatch gpu_name_mismatch jetson_mismatch"},
    ),
    "server plan on a Jetson": (
        JETSON,
        plan(jetson=False, compatibility="ampere_plus"),
        {},
        {"trt cuda": "jetson_mismatch"},
    ),
    "Jetson whose L4T is not known": (
        replace(JETSON, l4t_version=None),
        plan(device_name="orin", compute_capability="8.7", jetson=True, l4t_version="36.4"),
        {},
        {"trt cuda": "chosen"},
    ),
    "ONNX on a Jetson": (JETSON, onnx(), {}, {"onnx cuda": "chosen", "onnx cpu": "lower_in_order"}),
    # PyTorch.
    "torch on a CPU": (CPU, TORCH, {}, {"torch cpu": "chosen"}),
    "torch on a GPU": (HOPPER, TORCH, {}, {"torch cuda": "chosen", "torch cpu": "lower_in_order"}),
    "CPU build of torch beside a GPU": (with_versions(ADA, torch="2.8.0+cpu"), TORCH, {}, {"torch cpu": "chosen"}),
    "CPU build of torch, GPU asked for": (
        with_versions(ADA, torch="2.8.0+cpu"),
        TORCH,
        {"device": "cuda"},
        {"torch cuda": "device_missing"},
    ),
    "torch is not installed": (ORT_ONLY, TORCH, {}, {"torch cpu": "not_installed"}),
    "torch is broken": (
        replace(CPU, problems={"torch": "libc10.so is missing"}),
        TORCH,
        {},
        {"torch cpu": "broken_runtime"},
    ),
    "archive of an older torch": (CPU, script(torch_version="2.3.0"), {}, {"torch cpu": "chosen"}),
    "archive of the same torch": (CPU, script(torch_version="2.8"), {}, {"torch cpu": "chosen"}),
    "archive of a newer torch": (CPU, script(torch_version="2.9.1"), {}, {"torch cpu": "torch_too_old"}),
    "archive for GPUs, on a CPU": (CPU, script(devices=("cuda",)), {}, {"torch cpu": "needs_gpu"}),
    "archive for GPUs, on a GPU": (
        ADA,
        script(devices=("cuda",)),
        {},
        {"torch cuda": "chosen", "torch cpu": "needs_gpu"},
    ),
    "archive for CPUs, on a GPU": (
        ADA,
        script(devices=("cpu",)),
        {},
        {"torch cpu": "chosen", "torch cuda": "device_not_fitting"},
    ),
    "archive for Apple's GPUs": (CPU, script(devices=("mps",)), {}, {"torch cpu": "device_not_fitting"}),
    "archive that is not trusted": (CPU, script(), {"trust": TrustPolicy()}, {"torch cpu": "untrusted"}),
    # Hugging Face.
    "hf on a GPU": (BLACKWELL, HF, {}, {"hf cuda": "chosen", "hf cpu": "lower_in_order"}),
    "hf without torch": (with_versions(CPU, torch=None), HF, {}, {"hf cpu": "not_installed"}),
    "hf without transformers": (with_versions(CPU, transformers=None), HF, {}, {"hf cpu": "not_installed"}),
    # ONNX Runtime.
    "ONNX on a CPU": (CPU, onnx(), {}, {"openvino cpu": "chosen", "onnx cpu": "lower_in_order"}),
    "ONNX on a CPU without OpenVINO": (ORT_ONLY, onnx(), {}, {"onnx cpu": "chosen"}),
    "ONNX on a GPU": (TURING, onnx(), {}, {"onnx cuda": "chosen", "onnx cpu": "lower_in_order"}),
    "CPU build of ONNX Runtime beside a GPU": (machine(L4, gpu_build=False), onnx(), {}, {"onnx cpu": "chosen"}),
    "opset of a newer runtime": (
        with_versions(ORT_ONLY, onnxruntime="1.20.1"),
        onnx(opset=23),
        {},
        {"onnx cpu": "opset_too_new"},
    ),
    "opset that is read just so": (
        with_versions(ORT_ONLY, onnxruntime="1.22.3"),
        onnx(opset=23),
        {},
        {"onnx cpu": "chosen"},
    ),
    "opset and a runtime newer than the table": (
        with_versions(ORT_ONLY, onnxruntime="1.31.1"),
        onnx(opset=26),
        {},
        {"onnx cpu": "chosen"},
    ),
    "opset and a runtime older than the table": (
        with_versions(ORT_ONLY, onnxruntime="1.8.1"),
        onnx(opset=18),
        {},
        {"onnx cpu": "opset_too_new"},
    ),
    "CUDA's provider without a GPU": (
        ORT_ONLY,
        onnx(),
        {"execution_providers": ("CUDAExecutionProvider",)},
        {"onnx cpu": "execution_provider_absent"},
    ),
    "CUDA's provider with a GPU": (
        ADA,
        onnx(),
        {"execution_providers": ("CUDAExecutionProvider",)},
        {"onnx cuda": "chosen", "onnx cpu": "execution_provider_absent"},
    ),
    "the CPU's provider with a GPU": (
        ADA,
        onnx(),
        {"execution_providers": ("CPUExecutionProvider",)},
        {"onnx cpu": "chosen", "onnx cuda": "execution_provider_absent"},
    ),
    "TensorRT's provider without TensorRT": (
        NO_TRT,
        onnx(),
        {"execution_providers": ("TensorrtExecutionProvider",)},
        {"onnx cuda": "execution_provider_absent", "onnx cpu": "execution_provider_absent"},
    ),
    "TensorRT's provider that the package does not take": (
        ADA,
        onnx(requirements=Requirements(incompatible_providers=("TensorrtExecutionProvider",))),
        TRT_EP,
        {"onnx cuda": "execution_provider_incompatible", "onnx cpu": "execution_provider_absent"},
    ),
    "TensorRT's provider that nobody asked for": (
        ADA,
        onnx(requirements=Requirements(incompatible_providers=("TensorrtExecutionProvider",))),
        {},
        {"onnx cuda": "chosen", "onnx cpu": "lower_in_order"},
    ),
    "package that CUDA's provider does not run": (
        ADA,
        onnx(requirements=Requirements(incompatible_providers=("CUDAExecutionProvider",))),
        {},
        {"onnx cpu": "chosen", "onnx cuda": "execution_provider_incompatible"},
    ),
    # Memory.
    "peak that fits": (ADA, plan(**HEAVY), {}, {"trt cuda": "chosen"}),
    "peak of a batch that does not fit": (ADA, plan(**HEAVY), {"batch_size": 8}, {"trt cuda": "not_enough_memory"}),
    "peak of a batch between": (ADA, plan(**HEAVY), {"batch_size": (1, 4)}, {"trt cuda": "not_enough_memory"}),
    "peak on a busy GPU": (machine(replace(L4, free_bytes=GIB)), plan(**HEAVY), {}, {"trt cuda": "not_enough_memory"}),
    "peak where free memory is not known": (
        machine(replace(L4, free_bytes=None)),
        plan(**HEAVY),
        {"batch_size": 8},
        {"trt cuda": "chosen"},
    ),
    "weights larger than the GPU": (
        TURING,
        TORCH | {"weights_bytes": 18 * GIB, "quantization": "fp16"},
        {"device": "cuda"},
        {"torch cuda": "not_enough_memory"},
    ),
    "weights larger than free memory": (
        CPU,
        TORCH | {"weights_bytes": 13 * GIB},
        {},
        {"torch cpu": "not_enough_memory"},
    ),
    "weights that fit": (CPU, TORCH | {"weights_bytes": 11 * GIB}, {}, {"torch cpu": "chosen"}),
    # Fused suppression of boxes.
    "fused where nobody minds": (ORT_ONLY, FUSED, {}, {"onnx cpu": "chosen"}),
    "fused that is refused": (ORT_ONLY, FUSED, {"nms_fusion": False}, {"onnx cpu": "nms_fusion_not_wanted"}),
    "fused that is asked for": (ORT_ONLY, FUSED, {"nms_fusion": True}, {"onnx cpu": "chosen"}),
    "not fused, asked for": (ORT_ONLY, onnx(), {"nms_fusion": True}, {"onnx cpu": "nms_fusion_not_wanted"}),
    "fused within the ranges": (
        ORT_ONLY,
        FUSED,
        {"nms_fusion": NmsFusion((50, 300), confidence=0.3, iou_threshold=(0.5, 0.7), class_agnostic=False)},
        {"onnx cpu": "chosen"},
    ),
    "fused outside of a range": (
        ORT_ONLY,
        FUSED,
        {"nms_fusion": NmsFusion(iou_threshold=(0.2, 0.5))},
        {"onnx cpu": "nms_fusion_not_wanted"},
    ),
    # Other wishes.
    "another package asked for": (ORT_ONLY, onnx(), {"package_id": "other"}, {"onnx cpu": "package_not_wanted"}),
    "this package asked for": (ORT_ONLY, onnx(quantization="int8"), {"package_id": "it"}, {"onnx cpu": "chosen"}),
    "several backends asked for": (
        CPU,
        onnx(),
        {"backend": ("onnx", "openvino")},
        {"onnx cpu": "chosen", "openvino cpu": "lower_in_order"},
    ),
    "several precisions asked for": (
        CPU,
        onnx(quantization="int8"),
        {"quantization": ("fp32", "bf16")},
        {"openvino cpu": "precision_not_wanted", "onnx cpu": "precision_not_wanted"},
    ),
    "batches asked for that fit": (ORT_ONLY, onnx(), {"batch_size": (1, 8)}, {"onnx cpu": "chosen"}),
    "batches asked for that do not fit": (ORT_ONLY, onnx(), {"batch_size": (1, 9)}, {"onnx cpu": "batch_not_fitting"}),
    "a static batch within": (
        ORT_ONLY,
        onnx(config=config(static_batch_size=4)),
        {"batch_size": (1, 9)},
        {"onnx cpu": "chosen"},
    ),
    "a static batch outside": (
        ORT_ONLY,
        onnx(config=config(static_batch_size=4)),
        {"batch_size": (5, 9)},
        {"onnx cpu": "batch_not_fitting"},
    ),
    # Kinds that nobody opens.
    "unknown kind": (HOPPER, ALIEN, {}, {"coreml cpu": "unknown_kind"}),
    "unknown kind for a GPU": (CPU, ALIEN, {"device": "cuda"}, {"coreml cuda": "unknown_kind"}),
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_each_machine_and_package_has_exactly_these_verdicts(make_package, row):
    on, package, wishes, expected = row
    wished = Wishes(**{"trust": TrustPolicy(allows_compiled=True)} | wishes)

    # OpenVINO opens ONNX packages too: the table leaves it out where it is not installed.
    offered = {name: offer for name, offer in offers(on).items() if name != "openvino" or "openvino" in on.packages}

    decision = negotiate("m", [make_package("it", **package)], offered, wished, machine=on)

    own = [c for c in decision.candidates if not c.is_lowered]
    found = {f"{c.backend} {c.device}": " ".join(sorted(r.code for r in c.reasons)) or c.verdict for c in own}
    assert found == expected
    assert {c.verdict for c in own if "lower_in_order" not in found[f"{c.backend} {c.device}"]} <= {
        "chosen",
        "rejected",
    }


def test_the_table_shows_every_code_that_judging_gives():
    shown = {code for row in TABLE.values() for codes in row[3].values() for code in codes.split()} - {"chosen"}
    measured = {"slower", "outputs_disagree", "outputs_not_compared", "run_failed", "not_measured"}

    assert shown == REASON_CODES.keys() - measured - {"package_invalid", "open_failed", "lower_precision"}
    assert len(TABLE) >= 60


def test_the_hint_names_the_gpu_that_fits(make_package):
    decision = negotiate("m", [make_package("it", **plan())], offers(TWO), machine=TWO)

    assert 'device="cuda:1" fits' in str(decision)


def test_the_order_of_wished_backends_and_precisions_is_the_order_of_candidates(make_package):
    packages = [make_package(name, quantization=name) for name in ("fp32", "int8")]
    wishes = Wishes(backend=("onnx", "openvino"), quantization=("int8", "fp32"))

    decision = negotiate("m", packages, offers(CPU), wishes, machine=CPU)

    found = [(c.backend, c.quantization) for c in decision.candidates]
    assert found == [("onnx", "int8"), ("onnx", "fp32"), ("openvino", "int8"), ("openvino", "fp32")]


def test_a_plan_of_this_version_comes_before_one_that_newer_versions_read(make_package):
    packages = [make_package("a", **plan(**FORWARD)), make_package("b", **plan())]
    wishes = Wishes(trust=TrustPolicy(allows_compiled=True))

    assert negotiate("m", packages, offers(ADA), wishes, machine=ADA).chosen.package_id == "b"
