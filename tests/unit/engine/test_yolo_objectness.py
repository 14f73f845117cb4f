"""Heads with an objectness: the score is objectness times class score, in packages and in bare files."""

import numpy as np
import pytest

from inference_engine import AutoModel
from inference_engine.errors import OutputInvalid, PackageInvalid
from inference_engine.package_writer import NewPackage, add_package
from inference_engine.packages import read_package
from tests.unit.engine.conftest import INFERENCE

PICTURE = np.zeros((32, 32, 3), np.uint8)
LEFT = {"names": "['cat', 'dog']", "stride": "32"}


def golden(head, confidence, iou):
    """An independent decoding of `(anchors, 7)`, box by box in plain Python."""
    found = []
    for cx, cy, w, h, objectness, *classes in head.tolist():
        scores = [np.float32(objectness) * np.float32(score) for score in classes]
        class_id = int(np.argmax(scores))
        if scores[class_id] >= confidence:
            found.append((float(scores[class_id]), class_id, (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)))
    kept = []
    for candidate in sorted(found, key=lambda entry: -entry[0]):
        if all(other[1] != candidate[1] or overlap(other[2], candidate[2]) <= iou for other in kept):
            kept.append(candidate)
    return kept


def overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared)


@pytest.fixture
def head():
    rng = np.random.default_rng(17)
    centres, sizes = rng.uniform(8, 24, (60, 2)), rng.uniform(4, 14, (60, 2))
    return np.concatenate([centres, sizes, rng.uniform(0, 1, (60, 3))], axis=1).astype(np.float32)


@pytest.mark.reaches("yolo_objectness", "object-detection", "onnx", "agrees")
@pytest.mark.parametrize("architecture", ["yolov5", "yolov7"])
def test_boxes_are_those_of_a_decoding_written_apart(write_package, head, architecture):
    model = AutoModel.from_pretrained(write_package(head=head, model_architecture=architecture))

    (found,) = model(PICTURE, confidence=0.2, iou_threshold=0.4)

    expected = golden(head, 0.2, 0.4)
    assert len(expected) > 5
    assert found.class_id.tolist() == [class_id for _, class_id, _ in expected]
    np.testing.assert_allclose(found.confidence, [score for score, _, _ in expected], rtol=1e-6)
    np.testing.assert_allclose(found.xyxy, [np.clip(box, 0, 32) for _, _, box in expected], atol=1e-4)


def test_an_objectness_of_one_gives_what_a_head_without_it_gives(write_package, head):
    head[:, 4] = 1
    plain = np.delete(head, 4, axis=1).T
    with_objectness = AutoModel.from_pretrained(write_package("a/onnx", head=head, model_architecture="yolov5"))
    without = AutoModel.from_pretrained(write_package("b/onnx", head=plain))

    assert with_objectness(PICTURE, confidence=0.1) == without(PICTURE, confidence=0.1)


def test_a_removed_class_and_a_head_that_is_not_finite_are_as_in_other_heads(write_package, head):
    removal = {"class_names_operations": [{"type": "class_name_removal", "class_name": "cat"}]}
    folder = write_package(head=head, model_architecture="yolov5", inference=INFERENCE | removal)
    (found,) = AutoModel.from_pretrained(folder)(PICTURE, confidence=0)
    head[3, 4] = np.nan
    damaged = read_package(folder)

    assert found.class_names == ("dog",)
    assert set(found.names) == {"dog"}
    model = AutoModel.from_pretrained(folder)
    fit = model.preprocess(PICTURE)[1]
    (error,) = model._recipe.postprocess({"output0": head[None]}, [fit], damaged, model.check_params({}))
    assert isinstance(error, OutputInvalid)


def test_a_head_of_another_width_is_refused_when_it_is_opened(write_package, head):
    with pytest.raises(Exception, match="expected 7 on axis 2 of 3"):
        AutoModel.from_pretrained(write_package(head=head[:, :6], model_architecture="yolov5"))


def test_a_bare_file_of_yolov5s_own_exporter_is_recognised_by_its_head(write_onnx, head, tmp_path):
    path = write_onnx(head, "v5.onnx", metadata=LEFT)

    package = add_package(path, tmp_path / "models", NewPackage("v5"))

    assert (package.architecture, package.family) == ("yolov5", "yolo_objectness")
    alone, added = AutoModel.from_pretrained(path), AutoModel.from_pretrained(package.weights.parent)
    assert alone(PICTURE, confidence=0.2) == added(PICTURE, confidence=0.2)
    assert len(alone(PICTURE, confidence=0.2)[0])


def test_yolov5_with_the_head_of_yolov8_keeps_that_head(write_onnx, tmp_path):
    plain = np.zeros((6, 9), np.float32)
    path = write_onnx(plain, "v5u.onnx", metadata=LEFT | {"description": "Ultralytics YOLOv5nu model"})

    package = add_package(path, tmp_path / "models", NewPackage("v5u"))

    assert (package.architecture, package.family) == ("yolov5", "yolo")


def test_a_bare_file_of_neither_head_is_refused(write_onnx):
    with pytest.raises(PackageInvalid, match=r"expected \(n, 6, anchors\) or \(n, anchors, 7\)"):
        AutoModel.from_pretrained(write_onnx(np.zeros((9, 8)), "odd.onnx", metadata=LEFT))
