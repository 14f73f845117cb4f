"""Pictures padded up to the network's divisor only: which networks take them, where boxes lie, when it is chosen."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from inference_engine.batching import BatchPolicy, MicroBatcher
from inference_engine.errors import NoRunnableBackend
from inference_engine.families import recipe
from inference_engine.images import plan_fit, to_network, to_original
from inference_engine.inference_config import InferenceConfig
from inference_engine.loading import decide, open_decided
from inference_engine.machine import probe_machine
from inference_engine.measurements import Measurement, Setting
from inference_engine.measuring import measure, resolve
from inference_engine.model import VisionModel
from inference_engine.negotiation import Decision, Wishes
from inference_engine.network_input import MOST_SHAPES, NetworkInput, ResizeMode, rectangular
from inference_engine.resolution_cache import ResolutionCache
from inference_engine.testing import ScriptedSession
from inference_engine.tuning import Limits

SQUARE = NetworkInput((640, 640), is_dynamic=True, padding_value=114, scaling_factor=255.0)
LIMITS = Limits(1)
#: One wide, one high, one square, and their shapes in a network of 128 x 128.
SIZES = {(60, 120): (64, 128), (120, 60): (128, 64), (50, 50): (128, 128)}
PICTURES = [np.full((*hw, 3), 60 * index, np.uint8) for index, hw in enumerate(SIZES)]
INFERENCE = {
    "network_input": {
        "training_input_size": {"height": 128, "width": 128},
        "dynamic_spatial_size_supported": True,
        "padding_value": 114,
        "scaling_factor": 255,
    },
    "forward_pass": {"static_batch_size": None, "max_dynamic_batch_size": 8},
    "post_processing": {"type": "nms", "fused": False, "nms_parameters": {"confidence_threshold": 0.25}},
}


@pytest.mark.parametrize(
    ("changes", "divisor"),
    [
        ({}, 32),
        ({"divisor": 64}, 64),
        ({"divisor": 16, "hw": (320, 320)}, 16),
        ({"hw": (1280, 1280)}, 64),
        ({"hw": (320, 640)}, 32),
        ({"is_dynamic": False}, None),
        ({"hw": (650, 650)}, None),
        ({"resize_mode": ResizeMode.STRETCH}, None),
        ({"resize_mode": ResizeMode.LETTERBOX_REFLECT}, None),
    ],
    ids=["usual", "its own", "a finer one", "many shapes", "oblong", "fixed", "not divisible", "stretch", "reflect"],
)
def test_a_letterbox_of_free_sides_pads_to_its_divisor(changes, divisor):
    found = rectangular(replace(SQUARE, **changes))

    assert (found and found.divisor) == divisor
    assert found is None or sum(found.hw) // found.divisor - 1 <= MOST_SHAPES


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_a_picture_is_scaled_as_in_the_square_and_padded_by_less_than_the_divisor(height, width):
    network = rectangular(SQUARE)

    (square, resized), (oblong, same) = plan_fit((height, width), SQUARE), plan_fit((height, width), network)

    assert (oblong.scale_xy, resized) == (square.scale_xy, same)
    canvas = [-(-side // 32) * 32 for side in resized]
    left, top = oblong.pad_xy
    assert max(canvas) == 640
    assert 2 * top + resized[0] in (canvas[0], canvas[0] - 1)
    assert 2 * left + resized[1] in (canvas[1], canvas[1] - 1)


@pytest.mark.parametrize(("hw", "shape"), SIZES.items(), ids=["wide", "high", "square"])
def test_the_same_picture_lies_in_both_and_boxes_come_back_alike(hw, shape):
    square = replace(SQUARE, hw=(128, 128))
    image = np.random.default_rng(1).integers(0, 256, (*hw, 3), np.uint8)

    (wide, fit), (full, old) = to_network(image, rectangular(square)), to_network(image, square)

    assert wide.shape == (1, 3, *shape)
    moved = np.subtract(old.pad_xy, fit.pad_xy)
    np.testing.assert_array_equal(wide, full[:, :, moved[1] : moved[1] + shape[0], moved[0] : moved[0] + shape[1]])
    box = np.array([[10, 12, 40, 44]], np.float32)
    np.testing.assert_array_equal(to_original(box, fit), to_original(box + np.tile(moved, 2).astype(np.float32), old))


def test_a_model_joins_pictures_of_one_shape_and_answers_in_order(make_package):
    config = InferenceConfig(rectangular(replace(SQUARE, hw=(128, 128))))
    # The box's middle is the picture's mean shade, so that every answer shows whose it is.
    session = ScriptedSession(
        lambda x: np.array([[64], [32], [20], [x.mean() * 100], [0.9], [0]], np.float32), max_batch_size=2
    )
    shapes = []
    run, session.run = session.run, lambda inputs: shapes.append(inputs["images"].shape) or run(inputs)
    model = VisionModel(make_package(config=config), session, recipe("yolo", "object-detection"), _nothing())

    images = [
        np.full((*hw, 3), shade, np.uint8)
        for shade, hw in zip((250, 40, 90, 200, 10), [*SIZES, *SIZES][:5], strict=True)
    ]
    alone = [model(image)[0].xyxy.tolist() for image in images]
    shapes.clear()
    together = [found.xyxy.tolist() for found in model(images)]

    assert together == alone
    assert shapes == [(2, 3, 64, 128), (2, 3, 128, 64), (1, 3, 128, 128)]


def _nothing():
    return Decision("m", (), Wishes())


@pytest.fixture
def write_dynamic(write_package, tmp_path):
    """A function that writes a detector of free height and width: a box in the input's middle, or at a fixed place."""

    def write(*, follows=True, sides=("h", "w"), score=0.9):
        folder = write_package("pets/free", inference=INFERENCE)
        head = np.array([[0], [0], [20], [20], [score], [0]], np.float32)
        middle = np.array([[0, 0.5], [0.5, 0], *[[0, 0]] * 4], np.float32)
        fixed = head + np.array([[64], [64], [0], [0], [0], [0]], np.float32)
        constants = {"head": head[None] if follows else fixed[None], "middle": middle * follows, "zero": np.zeros(1)}
        nodes = [
            helper.make_node("Shape", ["images"], ["shape"], start=2),
            helper.make_node("Cast", ["shape"], ["sides"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["middle", "sides"], ["flat"]),
            helper.make_node("Unsqueeze", ["flat", "axes"], ["moved"]),
            helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Squeeze", ["mean", "last"], ["each"]),
            helper.make_node("Mul", ["each", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "head"], ["heads"]),
            helper.make_node("Add", ["heads", "moved"], ["output0"]),
        ]
        graph = helper.make_graph(
            nodes,
            "free",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, *sides])],
            [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 6, 1])],
            [
                *(numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()),
                numpy_helper.from_array(np.array([0, 2]), "axes"),
                numpy_helper.from_array(np.array([3]), "last"),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, folder / "model.onnx")
        return decide(str(tmp_path / "pets"), Wishes(backend="onnx"))

    return write


def measured(decision):
    return measure(decision, PICTURES, 120.0, LIMITS, slice_s=0.01).chosen.measurement


def test_rectangular_input_that_agrees_is_measured_beside_the_square(write_dynamic):
    found = measured(write_dynamic())

    assert {point.setting.rectangular for point in found.curve} == {False, True}
    assert found.not_taken == ()


def test_rectangular_input_that_changes_boxes_is_not_taken_and_the_figures_say_why(write_dynamic):
    found = measured(write_dynamic(follows=False))

    assert {point.setting.rectangular for point in found.curve} == {False}
    (entry,) = found.not_taken
    assert entry.variant == "rectangular"
    assert "33.3% of 6 boxes" in entry.why


def test_rectangular_input_is_not_taken_on_trust_where_nothing_was_found_to_judge_it_by(write_dynamic):
    found = measured(write_dynamic(score=0.0))

    (entry,) = found.not_taken
    assert "finds nothing in 3 pictures, so rectangular input cannot be judged" in entry.why


def test_a_file_of_fixed_sides_is_not_run_with_others_whatever_its_configuration_promises(write_dynamic):
    found = measured(write_dynamic(sides=(128, 128)))

    assert "has a fixed height and width" in found.not_taken[0].why


def with_setting(decision, **switches):
    setting = Setting(batch=2, streams=1, threads=1, **switches)
    chosen = replace(decision.chosen, measurement=Measurement(setting, 1.0, ()))
    return replace(decision, candidates=(chosen,))


def test_a_model_opens_with_the_input_that_was_measured(write_dynamic):
    decision = write_dynamic()
    oblong = open_decided(with_setting(decision, rectangular=True))
    square = open_decided(with_setting(decision))

    assert [oblong.preprocess(picture)[0]["images"].shape[2:] for picture in PICTURES] == list(SIZES.values())
    assert {square.preprocess(picture)[0]["images"].shape[2:] for picture in PICTURES} == {(128, 128)}
    for one, other in zip(oblong(PICTURES), square(PICTURES), strict=True):
        np.testing.assert_array_equal(one.xyxy, other.xyxy)


def test_the_workers_batcher_joins_what_such_a_model_prepares(write_dynamic):
    model = open_decided(with_setting(write_dynamic(), rectangular=True))
    prepared = [model.preprocess(picture)[0] for picture in [*PICTURES, *PICTURES]]
    alone = [model.forward(tensors)["output0"] for tensors in prepared]
    sizes = []
    batcher = MicroBatcher(
        lambda tensors: sizes.append(len(tensors["images"])) or model.forward(tensors), BatchPolicy(2, 20.0)
    )

    futures = [batcher.submit(tensors) for tensors in prepared]

    for future, expected in zip(futures, alone, strict=True):
        np.testing.assert_array_equal(future.result(20)["output0"], expected)
    assert sizes == [2, 2, 2]
    batcher.close()


def test_rectangular_input_of_a_package_without_it_does_not_open(decide_plain):
    with pytest.raises(NoRunnableBackend, match="one height and width"):
        open_decided(with_setting(decide_plain, rectangular=True))


@pytest.fixture
def decide_plain(write_package, tmp_path):
    write_package("pets/plain")
    return decide(str(tmp_path / "pets"), Wishes(backend="onnx"))


def test_the_variants_are_remembered(write_dynamic, tmp_path):
    decision, cache = write_dynamic(follows=False), ResolutionCache(tmp_path / "measured")
    machine = probe_machine()

    first, again = (resolve(decision, machine, PICTURES, limits=LIMITS, cache=cache) for _ in range(2))

    assert again.measured.is_remembered
    assert again.chosen.measurement == first.chosen.measurement
    assert "rectangular" in json.dumps(again.to_record())
