"""Every key of `inference_config.json` is applied or refused; none is ignored in silence."""

import copy
import math

import pytest

from inference_engine.errors import PackageInvalid
from inference_engine.inference_config import NmsDefaults, ResizeMode, parse_inference_config

WHOLE = {
    "image_pre_processing": {"auto-orient": {"enabled": True}, "grayscale": {"enabled": False}},
    "network_input": {
        "training_input_size": {"height": 480, "width": 640},
        "dynamic_spatial_size_supported": False,
        "color_mode": "bgr",
        "resize_mode": "stretch",
        "padding_value": 7,
        "input_channels": 3,
        "scaling_factor": 127.5,
        "normalization": [[0.1, 0.2, 0.3], [1, 2, 3]],
    },
    "forward_pass": {"static_batch_size": 4, "max_dynamic_batch_size": None},
    "post_processing": {
        "type": "nms",
        "fused": False,
        "nms_parameters": {
            "max_detections": 12,
            "confidence_threshold": 0,
            "iou_threshold": 0.7,
            "class_agnostic": True,
        },
    },
}
LEAST = {"network_input": {"training_input_size": {"height": 32, "width": 32}}}


def parse(data):
    return parse_inference_config(data, "inference_config.json")


def changed(path, value):
    data = copy.deepcopy(WHOLE)
    *folders, name = path.split("/")
    target = data
    for folder in folders:
        target = target[folder]
    target[name] = value
    return data


def test_every_key_is_applied():
    config = parse(WHOLE)

    assert config.network_input.hw == (480, 640)
    assert config.network_input.resize_mode is ResizeMode.STRETCH
    assert config.network_input.color_mode == "bgr"
    assert config.network_input.padding_value == 7
    assert config.network_input.scaling_factor == 127.5
    assert config.network_input.mean == (0.1, 0.2, 0.3)
    assert config.network_input.std == (1, 2, 3)
    assert config.nms == NmsDefaults(0.0, 0.7, 12, class_agnostic=True)
    assert (config.static_batch_size, config.max_batch_size) == (4, None)


def test_an_absent_padding_is_black_and_an_absent_scaling_one():
    network = parse(LEAST).network_input

    assert (network.padding_value, network.scaling_factor, network.mean, network.std) == (0, 1.0, None, None)


def test_absent_parameters_are_the_defaults():
    assert parse(LEAST).nms == NmsDefaults()


@pytest.mark.parametrize("null", ["image_pre_processing", "forward_pass", "post_processing"])
def test_a_null_section_is_an_absent_one(null):
    assert parse(LEAST | {null: None}) == parse(LEAST)


@pytest.mark.parametrize(
    "path",
    [
        "colour",
        "network_input/colour",
        "forward_pass/min_batch",
        "post_processing/threshold",
        "post_processing/nms_parameters/soft",
    ],
)
def test_an_unknown_key_is_refused_and_named(path):
    with pytest.raises(PackageInvalid, match=f"unknown key '{path.rpartition('/')[2]}'"):
        parse(changed(path, 1))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("image_pre_processing/static-crop", {"enabled": True, "x_min": 0}),
        ("image_pre_processing/static-crop", {"x_min": 0, "x_max": 101, "y_min": 0, "y_max": 100}),
        ("image_pre_processing/static-crop", {"x_min": 50, "x_max": 50, "y_min": 0, "y_max": 100}),
        ("image_pre_processing/static-crop", {"x_min": 0, "x_max": math.nan, "y_min": 0, "y_max": 100}),
        ("image_pre_processing/contrast", {"type": "More"}),
        ("image_pre_processing/contrast", {"enabled": True}),
        ("image_pre_processing/grayscale", {"enabled": "yes"}),
        ("image_pre_processing/grayscale", True),
        ("image_pre_processing/tile", {"enabled": True}),
        ("image_pre_processing", [1]),
        ("network_input", "rgb"),
        ("network_input/training_input_size", None),
        ("network_input/training_input_size", {"height": 480}),
        ("network_input/training_input_size/height", 0),
        ("network_input/training_input_size/height", True),
        ("network_input/training_input_size/width", 640.0),
        ("network_input/dataset_version_resize_dimensions", {"height": 1}),
        ("network_input/dataset_version_resize_dimensions", [640, 640]),
        ("network_input/dynamic_spatial_size_supported", "yes"),
        ("network_input/color_mode", "grey"),
        ("network_input/resize_mode", "fit-shorter-edge"),
        ("network_input/resize_mode", "fit-longer-edge"),
        ("network_input/padding_value", 256),
        ("network_input/padding_value", -1),
        ("network_input/padding_value", "114"),
        ("network_input/padding_value", 0.5),
        ("network_input/input_channels", 1),
        ("network_input/scaling_factor", 0),
        ("network_input/scaling_factor", -255),
        ("network_input/scaling_factor", "255"),
        ("network_input/scaling_factor", math.nan),
        ("network_input/scaling_factor", math.inf),
        ("network_input/normalization", [[0, 0, 0], [1, 0, 1]]),
        ("network_input/normalization", [[0, 0, 0], [1, 1, math.nan]]),
        ("network_input/normalization", [[0, 0], [1, 1]]),
        ("network_input/normalization", 255),
        ("forward_pass", []),
        ("forward_pass/static_batch_size", 0),
        ("forward_pass/static_batch_size", "4"),
        ("forward_pass/max_dynamic_batch_size", -1),
        ("forward_pass/max_dynamic_batch_size", 1.5),
        ("post_processing/type", "wbf"),
        ("post_processing/fused", "yes"),
        ("model_initialization", [1]),
        ("class_names_operations", {"type": "class_name_removal"}),
        ("class_names_operations", [{"type": "class_name_rename", "class_name": "x"}]),
        ("class_names_operations", [{"type": "class_name_removal", "class_name": ""}]),
        ("post_processing/nms_parameters", [0.5]),
        ("post_processing/nms_parameters/confidence_threshold", 1.1),
        ("post_processing/nms_parameters/confidence_threshold", "best"),
        ("post_processing/nms_parameters/iou_threshold", -0.1),
        ("post_processing/nms_parameters/iou_threshold", math.nan),
        ("post_processing/nms_parameters/max_detections", 0),
        ("post_processing/nms_parameters/max_detections", "300"),
        ("post_processing/nms_parameters/class_agnostic", "false"),
    ],
)
def test_a_wrong_value_is_refused_and_the_key_named(path, value):
    named = path.rpartition("/")[2] if path.count("/") else path

    with pytest.raises(PackageInvalid) as raised:
        parse(changed(path, value))

    assert "inference_config.json" in str(raised.value)
    assert named in str(raised.value) or "post_processing" in str(raised.value)
