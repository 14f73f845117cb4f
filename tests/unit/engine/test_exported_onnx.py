"""A bare ONNX file with an exporter's metadata runs without a package folder, or says what it lacks."""

import numpy as np
import pytest
from onnx import TensorProto

from inference_engine import AutoModel
from inference_engine.errors import PackageInvalid
from inference_engine.exported_onnx import package_from_onnx

# Anchors: a cat at (4, 4)-(12, 20), the same cat again and weaker, a dog at (16, 16)-(32, 24), and nothing.
HEAD = np.array(
    [
        [8, 8, 24, 5],
        [12, 12.5, 20, 5],
        [8, 8, 16, 2],
        [16, 16, 8, 2],
        [0.9, 0.6, 0.1, 0.01],
        [0.1, 0.1, 0.8, 0.02],
    ]
)
LEFT = {
    "description": "Ultralytics YOLOv8n model trained on pets.yaml",
    "stride": "32",
    "task": "detect",
    "batch": "1",
    "imgsz": "[32, 32]",
    "names": "{0: 'cat', 1: 'dog'}",
    "end2end": "False",
}


def changed(**changes):
    return {key: text for key, text in (LEFT | changes).items() if text is not None}


def test_a_bare_file_gives_right_boxes(write_onnx):
    model = AutoModel.from_pretrained(write_onnx(HEAD, metadata=LEFT))

    (found,) = model(np.zeros((32, 64, 3), np.uint8))

    # 64 x 32 pixels lie in the network at half size, 8 rows of padding above: x doubles, y loses 8 and doubles.
    assert found.xyxy.tolist() == [[8, 0, 24, 24], [32, 16, 64, 32]]
    assert found.names == ["cat", "dog"]
    np.testing.assert_allclose(found.confidence, [0.9, 0.8])


def test_the_same_file_is_found_by_a_text(write_onnx):
    assert AutoModel.from_pretrained(str(write_onnx(HEAD, metadata=LEFT))).class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("{0: 'cat', 1: 'dog'}", ("cat", "dog")),
        ("{1: 'dog', 0: 'cat'}", ("cat", "dog")),
        ("['cat', 'dog']", ("cat", "dog")),
        ("('cat', 'dog')", ("cat", "dog")),
        ('{"0": 1}', None),
        ("{0: 'cat', 2: 'dog'}", None),
        ("{0: 'cat', 'x': 'dog'}", None),
        ("{0: 'cat', 1: 'cat'}", None),
        ("{0: 'cat', 1: ' '}", None),
        ("{}", None),
        ("[]", None),
        ("7", None),
        ("{[]: 1}", None),
        ("{0: 'cat', 1:", None),
        ("(" * 5000, None),
        (None, None),
    ],
)
def test_names_are_a_python_literal_of_different_names(write_onnx, names, expected):
    path = write_onnx(HEAD, metadata=changed(names=names))

    if expected:
        assert package_from_onnx(path).class_names == expected
        return
    with pytest.raises(PackageInvalid, match="class names"):
        package_from_onnx(path)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('pathlib').Path({path!r}).touch()",
        "[__import__('pathlib').Path({path!r}).touch()]",
        "{{0: open({path!r}, 'w')}}",
        "().__class__",
        "f'{{open({path!r}, chr(119))}}'",
    ],
)
def test_names_are_never_evaluated(write_onnx, tmp_path, text):
    witness = tmp_path / "evaluated"
    path = write_onnx(HEAD, metadata=changed(names=text.format(path=str(witness))))

    with pytest.raises(PackageInvalid, match="class names"):
        package_from_onnx(path)
    assert not witness.exists()


def test_a_file_without_names_says_what_to_do(write_onnx):
    with pytest.raises(PackageInvalid, match=r"model_config\.json, class_names\.txt and inference_config\.json"):
        AutoModel.from_pretrained(write_onnx(HEAD, metadata=changed(names=None)))


def test_a_head_of_another_width_is_refused(write_onnx):
    with pytest.raises(PackageInvalid, match=r"expected \(n, 6, anchors\) or \(n, anchors, 7\) for 2 classes"):
        AutoModel.from_pretrained(write_onnx(np.zeros((84, 10)), metadata=LEFT))


@pytest.mark.parametrize("task", ["semantic", ""])
def test_another_task_than_detection_is_refused(write_onnx, task):
    with pytest.raises(PackageInvalid, match="task"):
        AutoModel.from_pretrained(write_onnx(HEAD, metadata=changed(task=task)))


@pytest.mark.parametrize("said", [{"end2end": "True"}, {"args": "{'batch': 1, 'nms': True}"}])
def test_a_head_with_suppression_inside_is_read_as_boxes(write_onnx, said):
    model = AutoModel.from_pretrained(write_onnx([[4, 4, 12, 20, 0.9, 1]] * 3, metadata=changed(**said)))

    (found,) = model(np.zeros((32, 32, 3), np.uint8), max_detections=1)

    assert found.xyxy.tolist() == [[4, 4, 12, 20]]
    assert found.names == ["dog"]


def test_a_head_that_should_have_suppression_inside_and_has_another_shape_is_refused(write_onnx):
    with pytest.raises(PackageInvalid, match=r"expected \(n, boxes, 6\)"):
        package_from_onnx(write_onnx(np.zeros((8, 5)), metadata=changed(end2end="True")))


def test_a_network_for_grey_pictures_is_refused(write_onnx):
    with pytest.raises(PackageInvalid, match="3, height, width"):
        package_from_onnx(write_onnx(HEAD, metadata=LEFT, channels=1))


@pytest.mark.parametrize(("imgsz", "hw"), [("[64, 96]", (64, 96)), ("(64, 96)", (64, 96)), ("64", (64, 64))])
def test_a_free_input_takes_the_size_that_the_exporter_left(write_onnx, imgsz, hw):
    path = write_onnx(HEAD, metadata=changed(imgsz=imgsz), hw=("h", "w"))

    assert package_from_onnx(path).config.network_input.hw == hw


@pytest.mark.parametrize("imgsz", [None, "[0, 64]", "[64]", "'x'", "[True, True]", "[64.0, 64.0]"])
def test_a_free_input_without_a_size_is_refused(write_onnx, imgsz):
    with pytest.raises(PackageInvalid, match="imgsz"):
        package_from_onnx(write_onnx(HEAD, metadata=changed(imgsz=imgsz), hw=("h", "w")))


def test_a_fixed_input_wins_over_the_size_in_the_metadata(write_onnx):
    path = write_onnx(HEAD, metadata=changed(imgsz="[640, 640]"))

    assert package_from_onnx(path).config.network_input.hw == (32, 32)


@pytest.mark.parametrize(("batch", "expected"), [(4, 4), ("n", None)])
def test_a_static_batch_is_seen(write_onnx, batch, expected):
    assert package_from_onnx(write_onnx(HEAD, metadata=LEFT, batch=batch)).static_batch_size == expected


def test_a_static_batch_takes_any_number_of_pictures(write_onnx):
    model = AutoModel.from_pretrained(write_onnx(HEAD, metadata=LEFT, batch=4))

    found = model([np.zeros((32, 32, 3), np.uint8)] * 6)

    assert [len(each) for each in found] == [2] * 6


@pytest.mark.parametrize(
    ("description", "expected"),
    [("Ultralytics YOLO11n model", "yolo11"), ("Ultralytics YOLOv9c model", "yolov9"), ("mine", "yolov8")],
)
def test_the_architecture_comes_from_the_description(write_onnx, description, expected):
    assert package_from_onnx(write_onnx(HEAD, metadata=changed(description=description))).architecture == expected


def test_a_half_precision_input_is_fed_half_precision(write_onnx):
    model = AutoModel.from_pretrained(write_onnx(HEAD, metadata=LEFT, dtype=TensorProto.FLOAT16))

    assert model.package.quantization == "fp16"
    assert [len(each) for each in model([np.zeros((32, 32, 3), np.uint8)] * 2)] == [2, 2]
