"""Top-down key points against transformers' own cutting and decoding."""

import json

import numpy as np
import pytest
import torch
import transformers

from inference_engine import AutoModel, KeyPointsDetectionModel
from inference_engine.errors import OutputInvalid, PackageInvalid, ParameterInvalid
from inference_engine.hf_folder import package_from_hf
from inference_engine.hf_poses import skeleton_of
from inference_engine.sessions import SessionOptions
from tests.fixtures.hf_zoo import write_zoo_model
from tests.fixtures.hf_zoo_moves import POSES

ONE = SessionOptions(threads=1)
#: Within the picture, across its edge, wide, and high.
BOXES = [[10.0, 12.0, 60.5, 70.25], [-8.0, 30.0, 40.0, 100.0], [20.0, 40.0, 80.0, 50.0], [5.0, 5.0, 12.0, 60.0]]


@pytest.fixture(scope="module")
def images():
    """Three pictures of different sizes, smooth as photographs are."""
    rng = np.random.default_rng(3)
    small = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((6, 9), (12, 6), (8, 8))]
    return [image.repeat(14, 0).repeat(14, 1) for image in small]


@pytest.fixture(scope="module", params=list(POSES))
def made(request, tmp_path_factory):
    """The model opened here, transformers' own, its processor, and what else it is given."""
    folder = tmp_path_factory.mktemp(request.param) / "model"
    theirs, steps = write_zoo_model(folder, POSES[request.param], "vitpose")
    ours = AutoModel.from_pretrained(str(folder), options=ONE)
    more = {"dataset_index": torch.zeros(len(BOXES), dtype=torch.int64)} if "experts" in request.param else {}
    yield ours, theirs, transformers.VitPoseImageProcessorPil(**steps), more
    ours.close()


def corner_and_size(boxes):
    """As COCO writes boxes, and as transformers takes them."""
    return [[x_min, y_min, x_max - x_min, y_max - y_min] for x_min, y_min, x_max, y_max in boxes]


def test_cuts_are_those_of_transformers(made, images):
    ours, _, processor, _ = made
    params = ours.check_params({"boxes": BOXES})
    for image in images:
        expected = processor(image, boxes=[corner_and_size(BOXES)], return_tensors="np")["pixel_values"]
        found = ours.preprocess(image, params)[0]["pixel_values"]

        assert found.shape == (1, len(BOXES), 3, 64, 48)
        # A sum that ends in one half may be rounded either way: one grey level of 255, for a few pixels of a thousand.
        is_near = np.isclose(found[0], expected, atol=1e-4)
        assert is_near.mean() > 0.998
        np.testing.assert_allclose(found[0], expected, atol=1 / 255 / 0.224 + 1e-4)


@pytest.mark.reaches("hf_pose", "keypoint-detection", "hf", "agrees")
def test_points_are_those_of_transformers(made, images):
    ours, theirs, processor, more = made
    params = ours.check_params({"boxes": BOXES})
    for image in images:
        pixels = torch.from_numpy(ours.preprocess(image, params)[0]["pixel_values"][0])
        with torch.inference_mode():
            outputs = theirs(pixels, **more)
        (expected,) = processor.post_process_pose_estimation(outputs, boxes=[corner_and_size(BOXES)])
        (found,) = ours([image], input_color_format="rgb", boxes=BOXES)
        scores = np.stack([each["scores"].numpy() for each in expected])
        points = np.stack([each["keypoints"].numpy() for each in expected])
        order = np.argsort(-scores.clip(0, 1).mean(axis=1), kind="stable")

        np.testing.assert_allclose(found.key_points_confidence, scores[order].clip(0, 1), atol=1e-4)
        np.testing.assert_allclose(found.xy, points[order], atol=1e-2, rtol=1e-4)
        assert found.names == ["person"] * len(BOXES)


def test_points_of_clear_heat_maps_are_those_of_transformers(made, images):
    """A trained model's maps have one warm spot; a cold map has its point before the first pixel."""
    ours, _, processor, _ = made
    y, x = np.mgrid[:16, :12]
    spots = [[(3.3, 4.6), (7.8, 10.1), (0.2, 15.0)], [(11.0, 0.4), (5.5, 5.5), (2.0, 2.0)]]
    maps = np.asarray(
        [[np.exp(-((x - a) ** 2 + (y - b) ** 2) / 4) * 0.9 for a, b in each] for each in spots], np.float32
    )
    maps[1, 2] = 0
    outputs = transformers.models.vitpose.modeling_vitpose.VitPoseEstimatorOutput(heatmaps=torch.from_numpy(maps))
    (expected,) = processor.post_process_pose_estimation(outputs, boxes=[corner_and_size(BOXES[:2])])
    params = ours.check_params({"boxes": BOXES[:2]})

    (found,) = ours.postprocess({"heatmaps": maps[None]}, [ours.preprocess(images[0], params)[1]], params)

    assert found.confidence[0] > found.confidence[1]
    np.testing.assert_allclose(found.xy, [each["keypoints"].numpy() for each in expected], atol=1e-3)
    assert found.key_points_confidence[1, 2] == 0


def test_a_batch_of_mixed_sizes_is_what_its_pictures_are_alone(made, images):
    together = made[0](images, boxes=BOXES)

    for one, image in zip(together, images, strict=True):
        (alone,) = made[0]([image], boxes=BOXES)
        np.testing.assert_allclose(one.xy, alone.xy, atol=1e-2, rtol=1e-4)
        np.testing.assert_allclose(one.confidence, alone.confidence, atol=1e-4)


def test_more_boxes_than_a_batch_takes_are_posed_all_the_same(made, images):
    many = [[float(n), 0.0, float(n) + 20, 40.0] for n in range(made[0].session.max_batch_size + 3)]
    (found,) = made[0](images[:1], boxes=many)

    assert len(found) == len(many)


def test_without_boxes_the_whole_picture_is_one(made, images):
    (found,) = made[0](images[:1])
    height, width = images[0].shape[:2]

    assert found.xyxy.tolist() == [[0, 0, width, height]]
    assert found.xy.shape == (1, 3, 2)
    assert found.skeletons[0].names == ("nose", "neck", "tail")
    assert found.skeletons[0].edges == ((0, 1), (1, 2))
    assert isinstance(made[0], KeyPointsDetectionModel)


def test_numbers_that_are_not_finite_are_this_images_own_error(made, images):
    ours = made[0]
    tensors, fit = ours.preprocess(images[0])
    one = ours.forward(tensors)["heatmaps"]

    good, bad = ours.postprocess(
        {"heatmaps": np.concatenate([one, np.full_like(one, np.nan)])}, [fit, fit], ours.check_params({})
    )

    assert not isinstance(good, Exception)
    assert isinstance(bad, OutputInvalid)


@pytest.mark.parametrize(
    "boxes", [[], [[0, 0, 1]], [[5, 0, 5, 9]], [[0, 0, float("nan"), 9]], "box", [["a", 0, 1, 1]]], ids=repr
)
def test_boxes_that_are_none_are_refused(made, boxes):
    with pytest.raises(ParameterInvalid, match="boxes must be a list of"):
        made[0].check_params({"boxes": boxes})


def test_points_without_names_are_cocos_where_there_are_as_many():
    unnamed = {str(n): f"LABEL_{n}" for n in range(17)}

    assert skeleton_of({"id2label": unnamed}, "config.json").names[:2] == ("nose", "left_eye")
    assert skeleton_of({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, "config.json").names == ("point_0", "point_1")
    with pytest.raises(PackageInvalid, match="edges must be pairs"):
        skeleton_of({"id2label": {"0": "nose"}, "edges": [[0, 4]]}, "config.json")


def test_cuts_that_are_made_otherwise_are_refused(tmp_path):
    write_zoo_model(tmp_path / "model", POSES["vitpose"], "vitpose")
    path = tmp_path / "model" / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"do_affine_transform": False}), "utf-8")

    with pytest.raises(PackageInvalid, match="do_affine_transform"):
        package_from_hf(tmp_path / "model")
