"""What a caller may ask of `AutoModel`, in every spelling, and what is refused before anything is opened."""

import numpy as np
import pytest
import torch

from inference_engine import (
    AutoModel,
    BackendType,
    MeasuringOptions,
    NmsFusion,
    Quantization,
    SelectionOptions,
    explain,
)
from inference_engine.errors import ModelNotFound, NoRunnableBackend, ParameterInvalid
from inference_engine.loading import open_decided

PICTURE = np.zeros((16, 16, 3), np.uint8)
CPU = "CPUExecutionProvider"


@pytest.fixture
def pets(write_package, tmp_path):
    """A model of two ONNX packages, fp32 and int8."""
    write_package("pets/full")
    write_package("pets/small", quantization="int8")
    return tmp_path / "pets"


def runnable(decision):
    return {(c.package_id, c.backend) for c in decision.candidates if c.verdict != "rejected"}


def codes(decision, package_id):
    return {reason.code for c in decision.candidates if c.package_id == package_id for reason in c.reasons}


@pytest.mark.parametrize(
    "wish",
    ["onnx", BackendType.ONNX, ["onnx"], ("onnx", BackendType.TRT), {"onnx"}],
    ids=["text", "member", "list", "tuple", "set"],
)
def test_backends_may_be_spelled_in_every_way(pets, wish):
    assert runnable(explain(pets, backend=wish)) == {("full", "onnx"), ("small", "onnx")}


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ("int8", {"small"}),
        (Quantization.FP32, {"full"}),
        ([Quantization.INT8, "fp32"], {"full", "small"}),
        (["bf16", "fp16"], set()),
    ],
    ids=["text", "member", "list", "none there"],
)
def test_precisions_may_be_spelled_in_every_way(pets, wish, expected):
    found = runnable(explain(pets, backend="onnx", quantization=wish))

    assert {package for package, _ in found} == expected


@pytest.mark.parametrize(
    ("wish", "fits"), [(1, True), (8, True), (9, False), ((1, 8), True), ([2, 4], True), ((1, 9), False)], ids=str
)
def test_a_batch_is_one_size_or_the_fewest_and_the_most(pets, wish, fits):
    assert bool(runnable(explain(pets, backend="onnx", batch_size=wish))) == fits


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")], ids=["text", "torch.device"])
def test_a_device_may_be_an_object_of_torch(pets, device):
    assert explain(pets, device=device).wishes.device == "cpu"


@pytest.mark.parametrize(
    "wishes",
    [
        {"backend": "onxx"},
        {"backend": []},
        {"backend": ["onnx", "onxx"]},
        {"backend": 7},
        {"backend": [7]},
        {"quantization": "fp8"},
        {"quantization": ()},
        {"quantization": 32},
        {"batch_size": 0},
        {"batch_size": (4, 2)},
        {"batch_size": (1, 2, 3)},
        {"device": "tpu"},
        {"device": None},
        {"trust": "short"},
    ],
    ids=str,
)
def test_a_wish_that_nothing_could_fulfil_is_refused_with_what_there_is(pets, wishes):
    with pytest.raises(ParameterInvalid):
        AutoModel.from_pretrained(pets, **wishes)


def test_one_package_may_be_asked_for_by_its_id(pets):
    selection = SelectionOptions(model_package_id="small")

    model = AutoModel.from_pretrained(pets, selection=selection)

    assert model.decision.chosen.package_id == "small"
    assert codes(model.decision, "full") == {"package_not_wanted"}


def test_a_package_id_that_is_not_there_leaves_nothing(pets):
    with pytest.raises((NoRunnableBackend, ModelNotFound), match="nope"):
        AutoModel.from_pretrained(pets, selection=SelectionOptions(model_package_id="nope"))


@pytest.mark.parametrize(
    "providers",
    [[CPU], (CPU,), [(CPU, {})], [(CPU, {"arena_extend_strategy": "kSameAsRequested"})], [[CPU, {}]]],
    ids=["list", "tuple", "pair", "pair with options", "list as pair"],
)
def test_execution_providers_may_be_names_or_pairs(pets, providers):
    """The peer library rejects its own documented pairs: every ONNX package was "not available" (its defect 4)."""
    selection = SelectionOptions(onnx_execution_providers=providers)

    model = AutoModel.from_pretrained(pets, backend="onnx", selection=selection)

    assert model.session._session.get_providers() == [CPU]
    assert len(model(PICTURE)) == 1


def test_options_of_an_execution_provider_reach_the_runtime(pets):
    selection = SelectionOptions(onnx_execution_providers=[(CPU, {"use_arena": 0})])

    model = AutoModel.from_pretrained(pets, backend="onnx", selection=selection)

    assert selection.provider_options == {CPU: {"use_arena": "0"}}
    assert model.session._session.get_provider_options()[CPU] is not None


def test_an_execution_provider_that_is_not_here_is_a_reason(pets):
    selection = SelectionOptions(onnx_execution_providers=["CUDAExecutionProvider"])

    found = explain(pets, backend="onnx", device="cpu", selection=selection)

    assert "execution_provider_absent" in codes(found, "full")


@pytest.mark.parametrize(
    "providers", [CPU, [], [7], ["cpu"], [(CPU,)], [(CPU, 7)], [(CPU, {}, {})], [({}, CPU)], 7, [None]], ids=str
)
def test_execution_providers_that_cannot_be_are_refused(providers):
    with pytest.raises(ParameterInvalid, match="execution"):
        SelectionOptions(onnx_execution_providers=providers)


@pytest.fixture
def fused(write_package, tmp_path):
    """A model of which one package suppresses boxes itself."""
    inference = {
        "network_input": {"training_input_size": {"height": 32, "width": 32}, "scaling_factor": 255},
        "forward_pass": {"max_dynamic_batch_size": 8},
        "post_processing": {"type": "nms", "fused": True, "nms_parameters": {"iou_threshold": 0.6}},
    }
    write_package("pets/plain")
    write_package("pets/fused", inference=inference, head=np.zeros((10, 6)))
    return tmp_path / "pets"


@pytest.mark.parametrize(
    ("preference", "expected"),
    [
        (None, {"plain", "fused"}),
        (False, {"plain"}),
        (True, {"fused"}),
        ({"iou_threshold": (0.5, 0.7)}, {"fused"}),
        ({"iou_threshold": 0.4}, set()),
        ({"confidence_threshold": [0.3, 0.5]}, {"fused"}),
        (NmsFusion(max_detections=300), {"fused"}),
    ],
    ids=["either", "not fused", "fused", "range", "another value", "the peer's name", "object"],
)
def test_fused_suppression_may_be_wished_refused_or_described(fused, preference, expected):
    found = explain(fused, backend="onnx", selection=SelectionOptions(nms_fusion_preferences=preference))

    assert {package for package, _ in runnable(found)} == expected


@pytest.mark.parametrize("preference", [{"iou": 0.5}, {"iou_threshold": "high"}, {"iou_threshold": (1, 2, 3)}], ids=str)
def test_a_preference_for_fusion_that_cannot_be_is_refused(fused, preference):
    with pytest.raises(ParameterInvalid):
        explain(fused, selection=SelectionOptions(nms_fusion_preferences=preference))


def test_the_order_of_backends_can_be_another(pets):
    first = explain(pets, quantization="fp32", selection=SelectionOptions(backend_order=("onnx", "openvino")))

    assert first.chosen.backend == "onnx"
    assert first.order == ("onnx", "openvino")


def test_no_more_candidates_are_opened_than_was_said(pets):
    decided = explain(pets, backend="onnx")
    for name in ("full", "small"):
        (pets / name / "model.onnx").write_bytes(b"damaged")

    with pytest.raises(NoRunnableBackend) as once:
        open_decided(decided, attempts=1)
    with pytest.raises(NoRunnableBackend) as all_of_them:
        open_decided(decided)
    assert "stopped after 1 attempts" in str(once.value)
    assert str(once.value).count("open_failed") == 1
    assert str(all_of_them.value).count("open_failed") == 2


@pytest.mark.parametrize("attempts", [0, -1, 1.5, True, "2"])
def test_a_number_of_attempts_that_cannot_be_is_refused(attempts):
    with pytest.raises(ParameterInvalid, match="max_package_loading_attempts"):
        SelectionOptions(max_package_loading_attempts=attempts)


def test_options_are_values_that_can_be_compared_and_kept():
    assert SelectionOptions() == SelectionOptions()
    assert MeasuringOptions(samples=[PICTURE]) == MeasuringOptions(samples=[PICTURE])
    assert "zeros" not in repr(MeasuringOptions(samples=[PICTURE]))


def test_explain_is_one_function_under_two_names():
    assert AutoModel.explain is explain
