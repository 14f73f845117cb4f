"""Masks of YOLO heads, against masks that the test draws, and against sums that it computes pixel by pixel."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference_engine import AutoModel
from inference_engine.errors import NoRunnableBackend, OutputInvalid
from inference_engine.families import recipe
from inference_engine.images import Fit, plan_fit
from inference_engine.inference_config import InferenceConfig, NetworkInput, NmsDefaults
from inference_engine.interfaces import InstanceSegmentationModel
from inference_engine.network_input import Crop
from inference_engine.sessions import SessionOptions
from inference_engine.tasks.instance_segmentation import InstanceDetections
from tests.unit.engine.conftest import INFERENCE

NET, GRID = (64, 96), (16, 24)
SEGMENT = recipe("yolo", "instance-segmentation")
NAMES = ("cat", "dog")


@pytest.fixture
def package(make_package):
    def make(network=None, **changes):
        config = InferenceConfig(network or NetworkInput(NET), NmsDefaults(confidence=0.3), None, 8, **changes)
        return make_package(task="instance-segmentation", class_names=NAMES, config=config)

    return make


def head_of(found, fit, prototypes, anchors=6):
    """The head of `(x0, y0, x1, y1, class_id, score, coefficients)` in pixels of the original."""
    head = np.zeros((6 + prototypes, anchors), np.float32)
    (sx, sy), (px, py), (ox, oy) = fit.scale_xy, fit.pad_xy, fit.offset_xy
    for column, (x0, y0, x1, y1, class_id, score, coefficients) in enumerate(found):
        centre = ((x0 + x1) / 2 - ox) * sx + px, ((y0 + y1) / 2 - oy) * sy + py
        head[:4, column] = *centre, (x1 - x0) * sx, (y1 - y0) * sy
        head[4 + class_id, column] = score
        head[6:, column] = coefficients
    return head


def segment(head, prototypes, fit, package, **given):
    outputs = {"output0": np.asarray(head, np.float32)[None], "output1": np.asarray(prototypes, np.float32)[None]}
    (found,) = SEGMENT.postprocess(outputs, [fit], package, SEGMENT.check_params(given, package))
    return found


def logit_at(prototypes, coefficients, fit, pixel):
    """The weighted sum at the centre of a pixel of the original, bilinear, in plain Python."""
    place = []
    for axis, size in ((0, prototypes.shape[2]), (1, prototypes.shape[1])):
        net = (pixel[axis] + 0.5 - fit.offset_xy[axis]) * fit.scale_xy[axis] + fit.pad_xy[axis]
        at = net * size / NET[1 - axis] - 0.5
        low = min(max(int(np.floor(at)), 0), size - 1)
        place.append((low, min(low + 1, size - 1), min(max(at - low, 0.0), 1.0)))
    (x0, x1, wx), (y0, y1, wy) = place
    plane = np.tensordot(np.asarray(coefficients, np.float64), prototypes.astype(np.float64), 1)
    upper, lower = (plane[y, x0] * (1 - wx) + plane[y, x1] * wx for y in (y0, y1))
    return upper * (1 - wy) + lower * wy


FITS = {
    "letterbox": ((90, 70), NetworkInput(NET)),
    "enlarged": ((20, 30), NetworkInput(NET)),
    "stretch": ((50, 200), NetworkInput(NET, resize_mode="stretch")),
    "static crop": ((128, 160), NetworkInput(NET, crop=Crop(25, 25, 75, 75))),
    "centre crop": ((128, 160), NetworkInput(NET, resize_mode="center-crop")),
}


@pytest.mark.parametrize("case", FITS)
def test_a_mask_is_where_the_weighted_prototypes_are_positive_inside_of_the_box(package, case):
    hw, network = FITS[case]
    fit, _ = plan_fit(hw, network)
    rng = np.random.default_rng(4)
    prototypes = rng.normal(size=(3, *GRID)).astype(np.float32)
    crop = fit.crop_hw or hw
    x0, y0 = fit.offset_xy[0] + crop[1] * 0.3, fit.offset_xy[1] + crop[0] * 0.35
    x1, y1 = fit.offset_xy[0] + crop[1] * 0.7, fit.offset_xy[1] + crop[0] * 0.65
    coefficients = (0.7, -1.1, 0.4)

    found = segment(head_of([(x0, y0, x1, y1, 1, 0.9, coefficients)], fit, 3), prototypes, fit, package(network))

    (mask,) = found.masks
    inside = np.zeros(hw, np.bool_)
    for y in range(hw[0]):
        for x in range(hw[1]):
            is_inside = x0 <= x + 0.5 < x1 and y0 <= y + 0.5 < y1
            inside[y, x] = is_inside
            logit = logit_at(prototypes, coefficients, fit, (x, y)) if is_inside else -1.0
            # The sampler has steps of 1/32 of a prototype's pixel.
            if abs(logit) > 0.15:
                assert mask[y, x] == (logit > 0), (x, y, logit)
    assert 0 < mask.sum() < inside.sum()
    assert not mask[~inside].any()
    assert found.names == ["dog"]


def test_masks_belong_to_their_boxes_in_order_of_confidence(package):
    fit, _ = plan_fit((64, 96), NetworkInput(NET))
    prototypes = np.ones((1, *GRID))
    boxes = [(0, 0, 20, 10, 0, 0.5, 1), (40, 20, 80, 60, 1, 0.9, 1), (4, 30, 30, 60, 0, 0.7, -1)]

    found = segment(head_of(boxes, fit, 1), prototypes, fit, package())

    assert found.masks.areas().tolist() == [40 * 40, 0, 20 * 10]
    assert found.masks.xyxy()[0].tolist() == found.xyxy[0].tolist() == [40, 20, 80, 60]


def test_more_instances_than_a_chunk_have_each_their_own_mask(package):
    fit, _ = plan_fit((64, 96), NetworkInput(NET))
    boxes = [(2 * i, i, 2 * i + 9, i + 5, 0, 0.9 - i / 100, 1) for i in range(40)]

    found = segment(head_of(boxes, fit, 1, anchors=40), np.ones((1, *GRID)), fit, package(), iou_threshold=1.0)

    for mask, box in zip(found.masks, found.xyxy.round().astype(int).tolist(), strict=True):
        expected = np.zeros((64, 96), np.bool_)
        expected[box[1] : box[3], box[0] : box[2]] = True
        np.testing.assert_array_equal(mask, expected)


def test_a_fused_box_brings_its_coefficients(package):
    fit, _ = plan_fit((64, 96), NetworkInput(NET))
    rows = [[10, 10, 20, 20, 0.9, 1, 1], [40, 10, 60, 20, 0.8, 0, -1], [0, 0, 0, 0, 0, 0, 0]]

    found = segment(rows, np.ones((1, *GRID)), fit, package(is_fused=True))

    assert (found.names, found.masks.areas().tolist()) == (["dog", "cat"], [100, 0])


@pytest.mark.parametrize("what", ["score", "coefficient", "prototype"])
def test_a_number_that_is_none_is_that_images_error_only(package, what):
    fit, _ = plan_fit((64, 96), NetworkInput(NET))
    heads = np.stack([head_of([(10, 10, 20, 20, 0, 0.9, 1)], fit, 1)] * 3)
    prototypes = np.ones((3, 1, *GRID), np.float32)
    if what == "prototype":
        prototypes[1, 0, 3, 3] = np.nan
    else:
        heads[1, 4 if what == "score" else 6, 0] = np.nan
    made = package()

    first, second, third = SEGMENT.postprocess(
        {"a": heads, "b": prototypes}, [fit] * 3, made, SEGMENT.check_params({}, made)
    )

    assert isinstance(second, OutputInvalid)
    assert isinstance(first, InstanceDetections)
    assert first == third


@pytest.mark.parametrize(
    "outputs",
    [
        {"a": np.zeros((1, 7, 4), np.float32)},
        {"a": np.zeros((1, 7, 4), np.float32), "b": np.zeros((2, 1, 4, 4), np.float32)},
        {"a": np.zeros((1, 7, 4), np.float32), "b": np.zeros((1, 2, 4, 4), np.float32)},
    ],
    ids=["no prototypes", "of another batch", "of another number"],
)
def test_outputs_that_do_not_belong_together_are_invalid(package, outputs):
    made = package()

    with pytest.raises(OutputInvalid, match="expected"):
        SEGMENT.postprocess(outputs, [Fit((1, 1), (0, 0), (64, 96))], made, SEGMENT.check_params({}, made))


def segmenter(head, prototypes):
    """An ONNX network that gives every picture this head and these prototypes."""
    outputs = {"output0": np.asarray(head, np.float32), "output1": np.asarray(prototypes, np.float32)}
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Squeeze", ["nothing", "last"], ["flat"]),
        helper.make_node("Add", ["flat", "head"], ["output0"]),
        helper.make_node("Add", ["nothing", "prototypes"], ["output1"]),
    ]
    graph = helper.make_graph(
        nodes,
        "segmenter",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, *NET])],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["n", *v.shape]) for k, v in outputs.items()],
        [
            numpy_helper.from_array(outputs["output0"][None], "head"),
            numpy_helper.from_array(outputs["output1"][None], "prototypes"),
            numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
            numpy_helper.from_array(np.array([3], np.int64), "last"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_segmenter(write_package, names="cat\ndog\n"):
    fit, _ = plan_fit((64, 96), NetworkInput(NET))
    head = head_of([(10, 10, 30, 20, 1, 0.9, 1), (50, 20, 60, 40, 0, 0.8, 1)], fit, 1)
    size = {"training_input_size": {"height": NET[0], "width": NET[1]}}
    inference = json.loads(json.dumps(INFERENCE | {"network_input": INFERENCE["network_input"] | size}))
    folder = write_package(names=names, inference=inference, task_type="instance-segmentation")
    onnx.save(segmenter(head, np.ones((1, *GRID))), folder / "model.onnx")
    return folder


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_segmenters_package_gives_masks_on_every_backend(write_package, backend):
    model = AutoModel.from_pretrained(
        write_segmenter(write_package), backend=backend, options=SessionOptions(threads=1)
    )

    several = model([np.zeros((64, 96, 3), np.uint8), np.zeros((128, 192, 3), np.uint8)])

    assert isinstance(model, InstanceSegmentationModel)
    assert [found.masks.areas().tolist() for found in several] == [[200, 200], [800, 800]]
    assert several[1] == model(np.zeros((128, 192, 3), np.uint8))[0]
    model.close()


def test_names_that_do_not_belong_to_a_segmenters_head_are_refused(write_package):
    with pytest.raises(
        NoRunnableBackend, match=r"expected 8 on axis 1 of 3 \(a box, 3\s+classes and 1 numbers of masks"
    ):
        AutoModel.from_pretrained(write_segmenter(write_package, names="cat\ndog\nbird\n"))
