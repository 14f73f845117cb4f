"""Wishes that nothing could fulfil are refused where they are made; those that JSON has are read."""

import json
from dataclasses import asdict

import pytest

from inference_engine.errors import ParameterInvalid
from inference_engine.wishes import NmsFusion, Wishes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("device", value) for value in ("gpu", "cpu:0", "cuda:", "cuda:x", "CUDA", "", None, "cuda:-1")),
        *(("batch_size", value) for value in (0, -1, 1.5, "8", True, (4, 2), (0, 1), (1, 2, 3), (1,), (1, None), ())),
        *(("backend", value) for value in ("", (), ("torch", ""), 3, ("torch", None), {"torch"})),
        *(("quantization", value) for value in ("fp8", (), ("fp32", "fp64"), 32, "FP32")),
        *(("package_id", value) for value in ("", 3, ("a", "b"))),
        *(("execution_providers", value) for value in ("CPUExecutionProvider", (), ("CPU",), (("CPU", {}),), ("",))),
        *(("nms_fusion", value) for value in ("yes", 1, {"max_detections": 3})),
        *(("allows_host_code", value) for value in (None, "yes", 1)),
    ],
    ids=repr,
)
def test_a_wish_that_cannot_be_is_refused_by_name(name, value):
    with pytest.raises(ParameterInvalid, match=name):
        Wishes(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_detections", "many"),
        ("max_detections", (300, 100)),
        ("max_detections", True),
        ("confidence", (0.1, 0.2, 0.3)),
        ("iou_threshold", (None, 0.5)),
        ("class_agnostic", "no"),
        ("class_agnostic", 1),
    ],
)
def test_a_part_of_a_fusion_that_cannot_be_is_refused(name, value):
    with pytest.raises(ParameterInvalid, match=r"range|" + name):
        NmsFusion(**{name: value})


def test_what_json_has_becomes_what_was_wished():
    wishes = Wishes(
        backend=("onnx", "torch"),
        quantization="int8",
        batch_size=(1, 8),
        package_id="a",
        execution_providers=("CPUExecutionProvider",),
        nms_fusion=NmsFusion((1, 300), confidence=0.3),
        allows_host_code=False,
    )
    record = json.loads(json.dumps(asdict(wishes)))

    again = {name: value for name, value in record.items() if name not in ("trust", "nms_fusion")}

    assert Wishes(**again, nms_fusion=NmsFusion(**record["nms_fusion"])) == wishes
    assert hash(Wishes(**again)) == hash(Wishes(**again))


def test_one_wish_and_several_are_read_alike():
    assert (Wishes().backends, Wishes(backend="onnx").backends) == ((), ("onnx",))
    assert Wishes(quantization=("int8", "fp32")).precisions == ("int8", "fp32")
    assert [Wishes(batch_size=size).largest_batch for size in (None, 4, (2, 8))] == [None, 4, 8]
