"""Key points of YOLO heads, against points that the test knows, and the file that names them."""

import json

import numpy as np
import pytest

from inference_engine import AutoModel
from inference_engine.errors import NoRunnableBackend, OutputInvalid, PackageInvalid, ParameterInvalid
from inference_engine.families import recipe
from inference_engine.images import Fit
from inference_engine.inference_config import InferenceConfig, NetworkInput, NmsDefaults
from inference_engine.interfaces import KeyPointsDetectionModel
from inference_engine.packages import read_package
from inference_engine.tasks.keypoints import KeyPoints, Skeleton
from tests.unit.engine.conftest import INFERENCE

FIT = Fit((0.5, 0.25), (3, 8), (120, 90), (10, 20))
CAT, DOG = Skeleton(("nose", "tail"), ((0, 1),)), Skeleton(("nose",))
POSE = recipe("yolo", "keypoint-detection")
PICTURE = np.zeros((32, 32, 3), np.uint8)
FILE = [
    {"object_class_id": 1, "keypoints": {"0": "nose"}, "edges": []},
    {"object_class_id": 0, "keypoints": {"1": "tail", "0": "nose"}, "edges": [{"from": 0, "to": 1}]},
]


@pytest.fixture
def package(make_package):
    def make(**changes):
        config = InferenceConfig(NetworkInput((64, 64)), NmsDefaults(confidence=0.3), None, 8, **changes)
        return make_package(task="keypoint-detection", config=config, skeletons=(CAT, DOG), key_point_places=2)

    return make


def to_network(x, y):
    return tuple(
        (value - FIT.offset_xy[axis]) * FIT.scale_xy[axis] + FIT.pad_xy[axis] for axis, value in ((0, x), (1, y))
    )


def head_of(found, anchors=5):
    """The head of `(x0, y0, x1, y1, class_id, score, [(x, y, confidence), ...])` in pixels of the original."""
    head = np.zeros((12, anchors), np.float32)
    for column, (x0, y0, x1, y1, class_id, score, points) in enumerate(found):
        left, top, right, bottom = *to_network(x0, y0), *to_network(x1, y1)
        head[:4, column] = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        head[4 + class_id, column] = score
        for place, (x, y, confidence) in enumerate(points):
            head[6 + 3 * place : 9 + 3 * place, column] = *to_network(x, y), confidence
    return head


def find(heads, package, **given):
    heads = np.asarray(heads, np.float32)
    return POSE.postprocess({"output0": heads}, [FIT] * len(heads), package, POSE.check_params(given, package))


KNOWN = [
    (10, 20, 40, 70, 0, 0.5, [(20, 30, 0.9), (35, 60, 0.2)]),
    (50, 20, 90, 90, 1, 0.9, [(60, 40, 0.8), (77, 77, 0.7)]),
]


def test_known_points_come_out_where_they_are_in_the_image(package):
    (found,) = find([head_of(KNOWN)], package())

    assert found.names == ["dog", "cat"]
    np.testing.assert_allclose(found.xy[1], [[20, 30], [35, 60]], atol=1e-4)
    np.testing.assert_allclose(found.xy[0, 0], [60, 40], atol=1e-4)
    np.testing.assert_allclose(found.xyxy, [[50, 20, 90, 90], [10, 20, 40, 70]], atol=1e-4)
    assert (found.xy.dtype, found.skeletons) == (np.float32, (CAT, DOG))


def test_a_place_that_the_class_has_no_point_for_has_no_confidence(package):
    (found,) = find([head_of(KNOWN)], package())

    np.testing.assert_allclose(found.key_points_confidence, [[0.8, 0], [0.9, 0.2]])
    assert find([head_of(KNOWN)], package(), key_points_threshold=0.5)[0].is_sure.tolist() == [
        [True, False],
        [True, False],
    ]


def test_points_beyond_the_border_are_moved_onto_it(package):
    (found,) = find([head_of([(10, 20, 40, 70, 0, 0.5, [(-9, 30, 0.9), (35, 500, 0.2)])])], package())

    np.testing.assert_allclose(found.xy, [[[0, 30], [35, 120]]], atol=1e-4)


def test_fused_boxes_bring_their_points(package):
    rows = [[10, 10, 20, 20, 0.9, 0, *to_network(30, 40), 0.7, *to_network(50, 60), 0.6], [0.0] * 12]

    (found,) = find([rows], package(is_fused=True))

    np.testing.assert_allclose(found.xy, [[[30, 40], [50, 60]]], atol=1e-4)
    with pytest.raises(ParameterInvalid, match="fused"):
        find([rows], package(is_fused=True), iou_threshold=0.5)


def test_a_point_that_is_no_number_is_that_images_error_only(package):
    heads = np.stack([head_of(KNOWN)] * 3)
    heads[1, 7, 0] = np.nan

    first, second, third = find(heads, package())

    assert isinstance(second, OutputInvalid)
    assert isinstance(first, KeyPoints)
    assert first == third


def test_nothing_found_keeps_the_places(package):
    assert find([head_of([])], package())[0].xy.shape == (0, 2, 2)


def test_a_head_of_another_number_of_points_is_invalid(package):
    with pytest.raises(OutputInvalid, match=r"expected \(1, 12, anchors\)"):
        find(np.zeros((1, 9, 5)), package())


@pytest.fixture
def write_pose(write_package):
    def write(entries=FILE, **options):
        head = np.zeros((12, 4), np.float32)
        head[:, 0] = [16, 16, 8, 8, 0.9, 0, 12, 14, 0.8, 18, 20, 0.1]
        folder = write_package(task_type="keypoint-detection", head=options.pop("head", head), **options)
        if entries is not None:
            (folder / "keypoints_metadata.json").write_text(json.dumps(entries), encoding="utf-8")
        return folder

    return write


@pytest.mark.reaches("yolo", "keypoint-detection", "{backend}", "agrees")
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_package_names_its_points_and_gives_them_on_every_backend(write_pose, backend):
    model = AutoModel.from_pretrained(write_pose(), backend=backend)

    (found,) = model(PICTURE)

    assert isinstance(model, KeyPointsDetectionModel)
    assert model.skeletons == (CAT, DOG)
    np.testing.assert_allclose(found.xy, [[[12, 14], [18, 20]]], atol=1e-4)
    assert [each == found for each in model([PICTURE] * 3)] == [True] * 3
    model.close()


def test_points_of_a_removed_class_still_have_their_places(write_pose):
    removal = {"class_names_operations": [{"type": "class_name_removal", "class_name": "cat"}]}

    package = read_package(write_pose(inference=INFERENCE | removal))

    assert (package.class_names, package.skeletons, package.key_point_places) == (("dog",), (DOG,), 2)


def test_a_class_that_the_file_leaves_out_has_no_points(write_pose):
    assert read_package(write_pose(FILE[:1])).skeletons == (Skeleton(()), DOG)


def test_points_that_do_not_belong_to_the_head_are_refused_when_it_opens(write_pose):
    with pytest.raises(NoRunnableBackend, match="expected 9 on axis 1 of 3"):
        AutoModel.from_pretrained(write_pose(FILE[:1]))


@pytest.mark.parametrize(
    "entries",
    [
        None,
        {},
        [{}],
        [{"object_class_id": 2, "keypoints": {"0": "nose"}}],
        [FILE[0], FILE[0]],
        [{"object_class_id": 0, "keypoints": {"1": "nose"}}],
        [{"object_class_id": 0, "keypoints": {"0": "nose"}, "edges": [{"from": 0, "to": 1}]}],
        [{"object_class_id": 0, "keypoints": ["nose"]}],
    ],
    ids=["absent", "object", "empty", "no such class", "twice", "gap", "edge", "list"],
)
def test_a_file_of_another_form_is_refused(write_pose, entries):
    with pytest.raises(PackageInvalid, match=r"keypoints_metadata\.json"):
        read_package(write_pose(entries))
