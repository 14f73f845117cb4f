"""Detectors whose package removes classes, or whose network suppresses boxes itself."""

import json

import numpy as np
import pytest

from inference_engine import AutoModel
from inference_engine.errors import OutputInvalid, PackageInvalid, ParameterInvalid
from inference_engine.packages import read_package
from tests.unit.engine.conftest import INFERENCE

FUSED = INFERENCE | {"post_processing": {"type": "nms", "fused": True, "nms_parameters": {"confidence_threshold": 0.5}}}
BOXES = np.array(
    [
        [4, 4, 12, 20, 0.9, 1],
        [5, 4, 13, 20, 0.5, 0],
        [16, 16, 32, 24, 0.8, 0],
        [0, 0, 4, 4, 0.49, 1],
        [0, 0, 0, 0, 0, 0],
    ]
)
PICTURE = np.zeros((32, 32, 3), np.uint8)
REMOVAL = {"class_names_operations": [{"type": "class_name_removal", "class_name": "background"}]}
# cx, cy, w, h, background, cat, dog
HEAD = np.array([[8, 20, 24], [8, 20, 24], [8, 4, 4], [8, 4, 4], [0.1, 0.9, 0.1], [0.8, 0.4, 0.1], [0.1, 0.1, 0.7]])


def test_boxes_that_the_network_suppressed_are_taken_as_they_are(write_package):
    model = AutoModel.from_pretrained(write_package(inference=FUSED, head=BOXES))

    (found,) = model(PICTURE)

    assert found.xyxy.tolist() == [[4, 4, 12, 20], [16, 16, 32, 24], [5, 4, 13, 20]]
    assert found.names == ["dog", "cat", "cat"]
    np.testing.assert_allclose(found.confidence, [0.9, 0.8, 0.5])


def test_thresholds_names_and_number_of_fused_boxes_are_the_calls(write_package):
    model = AutoModel.from_pretrained(write_package(inference=FUSED, head=BOXES))

    assert len(model(PICTURE, confidence=0)[0]) == 4
    assert model(PICTURE, max_detections=1)[0].confidence.tolist() == [np.float32(0.9)]
    assert model(PICTURE, classes=["cat"])[0].names == ["cat", "cat"]


def test_fused_boxes_have_thresholds_of_their_classes(write_package):
    model = AutoModel.from_pretrained(write_package(inference=FUSED, head=BOXES))

    assert model(PICTURE, per_class_confidence={"cat": 0.6})[0].names == ["dog", "cat"]


def test_what_a_package_recommends_goes_before_its_suppressions_defaults(write_package):
    recommended = {"per_class_confidence": {"cat": 0.6}}
    model = AutoModel.from_pretrained(write_package(inference=FUSED, head=BOXES, recommended_parameters=recommended))

    assert model(PICTURE)[0].names == ["dog", "cat"]
    assert len(model(PICTURE, confidence=0)[0]) == 4


@pytest.mark.parametrize("given", [{"iou_threshold": 0.3}, {"class_agnostic": True}])
def test_peer_defect_21_a_fused_suppression_refuses_what_it_would_ignore(write_package, given):
    model = AutoModel.from_pretrained(write_package(inference=FUSED, head=BOXES))

    with pytest.raises(ParameterInvalid, match="fused"):
        model(PICTURE, **given)


@pytest.mark.parametrize("row", [[0, 0, 1, 1, 0.9, 2], [0, 0, 1, 1, 0.9, -1]])
def test_a_fused_class_id_outside_of_the_names_is_an_invalid_output(write_package, row):
    model = AutoModel.from_pretrained(write_package(inference=FUSED, head=np.array([row])))

    with pytest.raises(OutputInvalid, match="class id"):
        model(PICTURE)


def test_a_removed_class_is_neither_named_nor_found(write_package):
    folder = write_package(names="background\ncat\ndog\n", inference=INFERENCE | REMOVAL, head=HEAD)

    (found,) = AutoModel.from_pretrained(folder)(PICTURE)

    assert found.class_names == ("cat", "dog")
    assert found.names == ["cat", "dog"]
    assert found.class_id.tolist() == [0, 1]


def test_a_box_of_a_removed_class_does_not_become_another_class(write_package):
    folder = write_package(names="background\ncat\ndog\n", inference=INFERENCE | REMOVAL, head=HEAD)

    (found,) = AutoModel.from_pretrained(folder)(PICTURE, confidence=0.3)

    # The second box is background with 0.9 and cat with 0.4: it goes as a whole.
    assert len(found) == 2


def test_fused_boxes_of_a_removed_class_go_too(write_package):
    folder = write_package(names="background\ndog\n", inference=FUSED | REMOVAL, head=BOXES)

    (found,) = AutoModel.from_pretrained(folder)(PICTURE)

    assert found.names == ["dog"]


def test_a_removed_class_must_be_there_and_leave_others(write_package):
    removal = {
        "class_names_operations": [{"type": "class_name_removal", "class_name": name} for name in ("cat", "dog")]
    }

    with pytest.raises(PackageInvalid, match="'background', which class_names"):
        read_package(write_package(inference=INFERENCE | REMOVAL))
    with pytest.raises(PackageInvalid, match="every class"):
        read_package(write_package(inference=INFERENCE | removal))


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_post_processing_that_the_family_does_not_do_is_refused(write_package, kind):
    with pytest.raises(PackageInvalid, match=f"asks for {kind}"):
        read_package(write_package(inference=INFERENCE | {"post_processing": {"type": kind}}))


def test_arguments_for_no_module_are_refused_and_others_reach_it(write_package):
    inference = INFERENCE | {"model_initialization": {"width": 8}}

    with pytest.raises(PackageInvalid, match="model_initialization"):
        read_package(write_package(inference=inference))
    package = read_package(write_package(inference=inference, module={"name": "tinydet", "args": {"depth": 2}}))
    assert package.module == ("tinydet", {"depth": 2, "width": 8})


def test_a_crop_moves_boxes_to_where_they_are_in_the_picture(write_package):
    crop = {"static-crop": {"enabled": True, "x_min": 50, "x_max": 100, "y_min": 50, "y_max": 100}}
    folder = write_package(inference=json.loads(json.dumps(FUSED | {"image_pre_processing": crop})), head=BOXES)

    (found,) = AutoModel.from_pretrained(folder)(np.zeros((128, 128, 3), np.uint8))

    # The lower right 64 x 64 pixels lie in the network at half size.
    assert found.xyxy[0].tolist() == [72, 72, 88, 104]
    assert found.image_hw == (128, 128)
