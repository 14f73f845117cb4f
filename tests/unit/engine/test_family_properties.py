"""What holds for every family of exported networks, whatever its network gives and however the picture lies in it."""

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inference_engine.errors import OutputInvalid
from inference_engine.families import own_families, recipe, tasks_of
from inference_engine.images import plan_fit
from inference_engine.inference_config import InferenceConfig
from inference_engine.masks import InstancesRLEMasks
from inference_engine.model import VisionModel
from inference_engine.network_input import Crop, NetworkInput, ResizeMode
from inference_engine.tasks import prediction_type, read_prediction, write_prediction
from inference_engine.tasks.depth import DepthMap
from tests.fixtures.detector_heads import HEADS, SIDE, batch_of, package_fields

NAMES = ("background", "cat", "dog")


@dataclass(frozen=True)
class Case:
    """One network's outputs, drawn at random.

    Attributes:
        fields: of the package.
        draw: outputs of one image, by a random generator and the scale of its numbers.
        is_partial: pictures of which the network sees a part are decoded too.
    """

    fields: dict[str, Any]
    draw: Any
    is_partial: bool = True


def fields(family, task, names=NAMES):
    config = InferenceConfig(NetworkInput((SIDE, SIDE)), max_batch_size=8)
    return {"family": family, "task": task, "architecture": family, "class_names": names, "config": config}


def objects(name):
    """A head for objects anywhere, also outside of the input, of any size and score."""

    def draw(rng, scale):
        count = rng.integers(0, 15)
        corner = rng.normal(SIDE / 2, SIDE * scale, (count, 2))
        size = np.abs(rng.normal(0, SIDE / 2 * scale, (count, 2))) + 0.01
        scores = np.round(rng.uniform(0.001, 0.999, count), 3)
        rows = np.column_stack([corner, corner + size]).tolist()
        found = [(*row, int(rng.integers(0, 3)), score) for row, score in zip(rows, scores.tolist(), strict=True)]
        outputs = HEADS[name].encode(found, HEADS[name].task)
        # Maps of masks are anything.
        planes = {key: rng.normal(0, scale, np.shape(value)) for key, value in outputs.items() if np.ndim(value) == 3}
        return outputs | planes

    return draw


def noise(*shape):
    return lambda rng, scale: {"output": rng.normal(0, scale, shape)}


def likely(rng, scale):
    return {"output": rng.uniform(0, 1, (1, 8, 8)).repeat(2, 1).repeat(2, 2) ** min(scale, 3)}


CASES = {name: Case(package_fields(name), objects(name)) for name in HEADS} | {
    "classifier": Case(fields("classification", "classification"), noise(3)),
    "classifier of several labels": Case(fields("classification", "multi-label-classification"), noise(3)),
    "depth": Case(fields("depth", "depth-estimation", ()), noise(16, 16), is_partial=False),
    "embedding": Case(fields("embedding", "embedding", ()), noise(8)),
    "label map": Case(fields("semantic_segmentation", "semantic-segmentation"), noise(3, 16, 16)),
    "label map of one class": Case(fields("semantic_segmentation", "semantic-segmentation", NAMES[:2]), noise(1, 9, 9)),
    "text finder": Case(fields("text_detection", "object-detection", ("text",)), likely),
    "text reader": Case(fields("text_recognition", "text-only-ocr", tuple("abcd")), noise(7, 5)),
}


@st.composite
def geometries(draw, *, is_partial):
    """A way to fit pictures, and sizes of some."""
    modes = [ResizeMode.LETTERBOX, ResizeMode.STRETCH]
    modes += [ResizeMode.CENTER_CROP, ResizeMode.SHORT_EDGE_CROP] if is_partial else []
    low, high = (st.integers(*ends) for ends in ((0, 45), (55, 100)))
    crop = draw(st.none() | st.builds(Crop, low, low, high, high)) if is_partial else None
    network = NetworkInput((SIDE, SIDE), draw(st.sampled_from(modes)), crop=crop)
    sides = st.integers(1, 150)
    # A cut that leaves no pixel of a tiny picture is refused before any network runs.
    sizes = draw(st.lists(st.tuples(sides, sides), min_size=3, max_size=3))
    assume(crop is None or min(min(hw) for hw in sizes) >= 20)
    return network, [plan_fit(hw, network)[0] for hw in sizes]


@pytest.fixture(scope="session")
def packages(make_package):
    return {name: make_package(**case.fields) for name, case in CASES.items()}


def decoded(package, images, fits, **asked):
    return decoded_batch(package, batch_of(images), fits, **asked)


def decoded_batch(package, outputs, fits, **asked):
    """What a model makes of its session's outputs."""
    model = VisionModel(package, SimpleNamespace(inputs=()), recipe(package.family, package.task), None)
    return model.postprocess(outputs, fits, model.check_params(asked))


def check_boxes(found, height, width):
    assert np.isfinite(found.xyxy).all()
    assert (found.xyxy[:, :2] <= found.xyxy[:, 2:]).all()
    assert (found.xyxy >= 0).all()
    assert (found.xyxy <= [width, height, width, height]).all()


def check(found, package, hw):
    """Everything that a result of any task promises, as far as its type has it."""
    assert isinstance(found, prediction_type(package.task))
    assert found.image_hw == hw
    if hasattr(found, "xyxy"):
        check_boxes(found, *hw)
    if hasattr(found, "class_id"):
        assert ((found.class_id >= 0) & (found.class_id < len(package.class_names))).all()
        assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
        assert (np.diff(found.confidence) <= 0).all()
    if hasattr(found, "xy"):
        assert ((found.xy >= 0) & (found.xy <= hw[::-1])).all()
        assert ((found.key_points_confidence >= 0) & (found.key_points_confidence <= 1)).all()
    if hasattr(found, "xywhr"):
        assert np.isfinite(found.xywhr).all()
        assert (found.xywhr[:, 2:4] >= 0).all()
    if hasattr(found, "masks"):
        assert all(mask.shape == hw for mask in found.masks)
        assert InstancesRLEMasks.from_coco(found.masks.to_coco(), hw) == found.masks
    if hasattr(found, "segmentation_map"):
        assert found.segmentation_map.shape == hw
        assert found.segmentation_map.max() < len(package.class_names)
    if hasattr(found, "depth"):
        assert found.depth.shape == hw
        assert np.isfinite(found.depth).all()
    if hasattr(found, "vector"):
        assert np.isfinite(found.vector).all()
    if hasattr(found, "text"):
        assert found.confidence is None or 0 <= found.confidence <= 1
    record, blob = write_prediction(found)
    again = read_prediction(json.loads(json.dumps(record, allow_nan=False)), package.class_names, blob)
    assert again == found or isinstance(found, DepthMap)  # depth comes back within half a step


def test_every_family_of_exported_networks_is_here():
    exported = [family for family in own_families() if not family.startswith("hf_")]

    assert {(case.fields["family"], case.fields["task"]) for case in CASES.values()} == {
        (family, task) for family in exported for task in tasks_of(family)
    }


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.1, 1.0, 30.0]))
def test_results_lie_in_their_picture_and_a_batch_is_what_its_pictures_are_alone(packages, name, data, seed, scale):
    case, rng = CASES[name], np.random.default_rng(seed)
    network, fits = data.draw(geometries(is_partial=case.is_partial))
    package = packages[name]
    package = replace(package, config=replace(package.config, network_input=network))
    images = [case.draw(rng, scale) for _ in fits]
    asked = {"confidence": 0} if package.task in ("object-detection", "keypoint-detection", "classification") else {}

    found = decoded(package, images, fits, **asked)

    for each, fit in zip(found, fits, strict=True):
        check(each, package, fit.original_hw)
    assert found == [decoded(package, [image], [fit], **asked)[0] for image, fit in zip(images, fits, strict=True)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", CASES)
def test_an_output_that_is_not_finite_is_the_error_of_its_image_alone(packages, name, bad):
    case, package, rng = CASES[name], packages[name], np.random.default_rng(5)
    fit, _ = plan_fit((50, 70), package.config.network_input)
    image = next(drawn for _ in range(50) if is_full(decoded(package, [drawn := case.draw(rng, 1.0)], [fit])[0]))
    (alone,) = decoded(package, [image], [fit])
    floats = [key for key, value in image.items() if np.asarray(value).dtype.kind == "f"]
    assert floats

    for key in floats:
        damaged = image | {key: np.full_like(image[key], bad)}
        first, error, last = decoded(package, [image, damaged, image], [fit] * 3)
        assert isinstance(error, OutputInvalid), key
        assert "for this image" in str(error)
        assert first == last == alone


def is_full(found):
    """Whether a result has something in it, which damage would change."""
    return not hasattr(found, "class_id") or len(found) > 0


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), bad=st.sampled_from([np.nan, np.inf, -np.inf, 3e38]))
def test_one_odd_number_is_an_error_or_a_result_like_any_other(packages, name, data, seed, bad):
    case, package = CASES[name], packages[name]
    image = batch_of([case.draw(np.random.default_rng(seed), 1.0)])
    fit, _ = plan_fit((50, 70), package.config.network_input)
    key = data.draw(st.sampled_from([key for key, value in image.items() if value.dtype.kind == "f"]))
    image[key].reshape(-1)[data.draw(st.integers(0, image[key].size - 1))] = bad

    (found,) = decoded_batch(package, image, [fit])

    # A number that no result depends on may be odd: a box of a score below the threshold.
    if not isinstance(found, OutputInvalid):
        check(found, package, fit.original_hw)


def test_a_turned_box_that_grows_beyond_all_numbers_in_its_picture_is_an_error_of_its_image(packages):
    package = packages["yolo26 obb"]
    image = CASES["yolo26 obb"].draw(np.random.default_rng(7), 1.0)
    row = next(at for at, score in enumerate(image["output0"][:, 4]) if score > 0.5)
    image["output0"][row, 2] = 3e38
    fit, _ = plan_fit((50, 70), package.config.network_input)
    other = CASES["yolo26 obb"].draw(np.random.default_rng(7), 1.0)

    refused, kept = decoded(package, [image, other], [fit, fit])

    assert isinstance(refused, OutputInvalid)
    assert "not finite" in str(refused)
    check(kept, package, (50, 70))
