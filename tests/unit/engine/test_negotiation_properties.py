"""What holds of every negotiation, whatever the machine, the packages and the wishes."""

import json
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from inference_engine.backends import offers
from inference_engine.inference_config import InferenceConfig, NetworkInput
from inference_engine.judging import Way, reasons_against
from inference_engine.machine import Gpu, Machine
from inference_engine.negotiation import BACKEND_ORDER, REASON_CODES, NmsFusion, Reason, Wishes, negotiate
from inference_engine.packages import ModelPackage
from inference_engine.remote_packages import RemoteFile, RemotePackage
from inference_engine.requirements import COMPATIBILITY, Requirements
from inference_engine.trust import TrustPolicy

VERSIONS = st.sampled_from([None, "8.6.1", "10.3.0", "10.16.1", "11.4.0"])
CAPABILITIES = st.sampled_from(["7.5", "8.0", "8.6", "8.7", "8.9", "9.0", "10.0", "12.0"])
NAMES = st.sampled_from(["Tesla T4", "NVIDIA L4", "nvidia-l4", "NVIDIA H100 PCIe", "Orin"])
KINDS = ["onnx", "torch", "torch-script", "torch-export", "hf", "trt", "custom-code", "coreml", "", "tflite/../x"]
PRECISIONS = st.sampled_from(["fp32", "fp16", "bf16", "int8", "unknown"])
SIZES = st.sampled_from([None, 1, 1 << 30, 1 << 36])
COUNTS = st.sampled_from([None, 1, 4, 16])


@st.composite
def machines(draw):
    gpus = tuple(
        Gpu(index, draw(NAMES), draw(CAPABILITIES), 1 << 34, draw(SIZES)) for index in range(draw(st.integers(0, 2)))
    )
    versions = {
        "torch": draw(st.sampled_from([None, "2.6.0+cpu", "2.8.0", "unknown"])),
        "onnxruntime": draw(st.sampled_from([None, "1.8.0", "1.20.1", "1.31.1", "nightly"])),
        "openvino": draw(st.sampled_from([None, "2026.1"])),
        "transformers": draw(st.sampled_from([None, "4.57.0"])),
        "tensorrt": draw(VERSIONS),
    }
    distribution = draw(st.sampled_from(["onnxruntime", "onnxruntime-gpu"]))
    return Machine(
        "Linux",
        "x86_64",
        "3.11",
        "cpu",
        4,
        draw(st.sampled_from([(), ("avx512_bf16",)])),
        1 << 34,
        gpus,
        draw(st.sampled_from([None, "535.1", "580.65.06"])) if gpus else None,
        draw(st.sampled_from([None, "12.2", "13.0"])) if gpus else None,
        {name: version for name, version in versions.items() if version},
        {"onnxruntime": distribution},
        dict.fromkeys(draw(st.sets(st.sampled_from(["torch", "tensorrt", "onnxruntime"]))), "a library is missing"),
        draw(SIZES),
        *draw(st.sampled_from([(None, None), ("NVIDIA Jetson Orin NX", "36.4.3"), ("NVIDIA Jetson Orin NX", None)])),
    )


requirements = st.builds(
    Requirements,
    devices=st.sampled_from([(), ("cuda",), ("cpu",), ("cpu", "cuda"), ("mps",)]),
    device_name=st.none() | NAMES,
    compute_capability=st.none() | CAPABILITIES,
    compatibility=st.sampled_from(COMPATIBILITY),
    driver_version=st.sampled_from([None, "535", "570.86"]),
    cuda_version=st.sampled_from([None, "12.8", "13.0"]),
    trt_version=VERSIONS,
    version_compatible=st.booleans(),
    lean_runtime_excluded=st.booleans(),
    host_code=st.booleans(),
    jetson=st.sampled_from([None, True, False]),
    l4t_version=st.sampled_from([None, "35.4", "36.4"]),
    torch_version=st.sampled_from([None, "2.5", "2.9.1"]),
    incompatible_providers=st.sampled_from([(), ("CUDAExecutionProvider",), ("CPUExecutionProvider",)]),
    peak_memory=st.sampled_from([(), ((1, 1 << 20),), ((1, 1 << 20), (8, 1 << 40))]),
)


@st.composite
def packages(draw, number):
    precision, kind = draw(PRECISIONS), draw(st.sampled_from(KINDS))
    opset, static = draw(st.sampled_from([None, 17, 99])), draw(COUNTS)
    if draw(st.booleans()):
        file = RemoteFile("weights.bin", size=draw(st.sampled_from([None, 1, 1 << 37])))
        manifest = draw(
            st.sampled_from([{}, {"trtVersion": "10.3.0", "cudaDeviceCC": "8.9"}, {"machineType": "jetson"}])
        )
        features = draw(st.sampled_from([{}, {"nms_fused": {"iou_threshold": 0.5}}]))
        names = (f"p{number}", "m", "far", kind, "yolov8", "object-detection", precision)
        return RemotePackage(*names, (file,), static, opset=opset, manifest=manifest, features=features)
    config = InferenceConfig(
        NetworkInput((32, 32)), static_batch_size=static, max_batch_size=8, is_fused=draw(st.booleans())
    )
    return ModelPackage(
        f"p{number}",
        "m",
        kind,
        "yolov8",
        "yolo",
        "object-detection",
        Path("weights"),
        precision,
        ("cat",),
        config,
        "0" * 64,
        opset=opset,
        requirements=draw(requirements),
        weights_bytes=draw(SIZES),
    )


def one_or_several(values):
    return st.none() | values | st.lists(values, min_size=1, max_size=3, unique=True).map(tuple)


wishes_sets = st.builds(
    Wishes,
    backend=one_or_several(st.sampled_from([*BACKEND_ORDER, "nobody"])),
    quantization=one_or_several(PRECISIONS),
    batch_size=st.sampled_from([None, None, 1, 4, (1, 4), (2, 99)]),
    device=st.sampled_from(["auto", "auto", "cpu", "cuda", "cuda:1", "cuda:9"]),
    trust=st.sampled_from([TrustPolicy(), TrustPolicy(allows_compiled=True), TrustPolicy(("0" * 64,))]),
    package_id=st.sampled_from([None, None, "p0", "nobody"]),
    execution_providers=st.sampled_from([None, None, ("CPUExecutionProvider",), ("CUDAExecutionProvider",)]),
    nms_fusion=st.sampled_from([None, None, True, False, NmsFusion(iou_threshold=(0.4, 0.6))]),
    allows_host_code=st.booleans(),
)
package_lists = st.integers(0, 4).flatmap(lambda count: st.tuples(*map(packages, range(count)))).map(list)
broken_sets = st.sets(st.sampled_from(["x", "y"])).map(lambda names: dict.fromkeys(names, "damaged"))


def check(decision, names, broken):
    """What holds before and after a candidate turned out not to open."""
    best = decision.chosen
    assert {c.package_id for c in decision.candidates} == {*names, *broken}
    assert all(c.reasons for c in decision.candidates if c is not best)
    assert best is None or (best is decision.candidates[0] and not best.reasons)
    assert sum(c.verdict == "chosen" for c in decision.candidates) <= 1
    assert len({c.key for c in decision.candidates}) == len(decision.candidates)
    assert {r.code for c in decision.candidates for r in c.reasons} <= REASON_CODES.keys()
    runs = [c for c in decision.candidates if c.verdict != "rejected"]
    assert best is not None or all(c.is_lowered for c in runs)
    assert json.loads(json.dumps(decision.to_record()))["candidates"] or not decision.candidates
    assert str(decision).startswith("package")


@settings(max_examples=400, deadline=None)
@given(package_lists, machines(), wishes_sets, broken_sets, st.randoms())
def test_what_is_chosen_runs_and_everything_else_has_a_reason_in_any_order_of_input(
    found, on, wishes, broken, shuffler
):
    offered = offers(on)

    decision = negotiate("m", found, offered, wishes, machine=on, broken=broken)

    check(decision, [p.package_id for p in found], broken)
    for candidate in decision.candidates:
        if candidate.verdict != "rejected":
            package, offer = decision.packages[candidate.package_id], offered[candidate.backend]
            assert reasons_against(Way(package, offer, candidate.device, candidate.quantization), on, wishes) == ()
            assert package.kind in offer.opens
            assert candidate.device.partition(":")[0] in offer.devices
    best = decision.chosen
    assert best is None or wishes.quantization or not best.is_lowered
    shuffled, entries = list(found), list(offered.items())
    shuffler.shuffle(shuffled)
    shuffler.shuffle(entries)
    assert negotiate("m", shuffled, dict(entries), wishes, machine=on, broken=broken) == decision


@settings(max_examples=150, deadline=None)
@given(package_lists, machines(), wishes_sets, broken_sets, st.booleans())
def test_when_what_was_chosen_does_not_open_the_next_is_chosen_until_nothing_is_left(found, on, wishes, broken, whole):
    decision = negotiate("m", found, offers(on), replace(wishes, package_id=None), machine=on, broken=broken)
    seen = set()

    while (best := decision.chosen) is not None:
        assert best.key not in seen
        seen.add(best.key)
        count = len(decision.candidates)
        if whole:
            decision = decision.without_package(best.package_id, Reason("package_invalid", "the hash is wrong"))
        else:
            decision = decision.without(best, Reason("open_failed", "damaged"))
        check(decision, [p.package_id for p in found], broken)
        assert len(decision.candidates) == count
