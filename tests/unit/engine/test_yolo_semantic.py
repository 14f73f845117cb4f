"""Maps of logits and of depth of a YOLO head, against an enlargement that the test does itself."""

import cv2
import numpy as np
import pytest

from inference_engine import network_maps
from inference_engine.errors import OutputInvalid, ParameterInvalid
from inference_engine.families import recipe
from inference_engine.images import plan_fit
from inference_engine.inference_config import InferenceConfig, NetworkInput
from inference_engine.network_input import ResizeMode
from inference_engine.tasks.depth import DepthUnit

NETWORK = NetworkInput((64, 64))
NAMES = ("background", "cat", "dog")
TASK = "semantic-segmentation"


@pytest.fixture
def package(make_package):
    def make(network=NETWORK, names=NAMES, **changes):
        return make_package(task=TASK, class_names=names, config=InferenceConfig(network, max_batch_size=8), **changes)

    return make


@pytest.fixture
def maps():
    noise = np.random.default_rng(7).normal(size=(2, 16, 16, 3))
    return np.stack([cv2.GaussianBlur(each, (5, 5), 1).transpose(2, 0, 1) * 9 for each in noise]).astype(np.float32)


def label(maps, fits, package, **given):
    found = recipe("yolo", TASK)
    return found.postprocess({"output0": maps}, fits, package, found.check_params(given, package))


@pytest.mark.parametrize("stripe", [10**7, 3 * 48 * 5], ids=["at once", "in stripes"])
def test_every_pixel_has_the_class_of_its_highest_enlarged_logit(package, maps, monkeypatch, stripe):
    monkeypatch.setattr(network_maps, "_STRIPE", stripe)
    fit, _ = plan_fit((96, 48), NETWORK)  # half the width is padding

    (found, _) = label(maps, [fit, fit], package())

    # 32 of 64 columns hold the picture: 8 of the grid's 16, from the fourth on.
    seen = [cv2.resize(np.ascontiguousarray(plane[:, 4:12]), (48, 96)) for plane in maps[0]]
    expected = np.argmax(seen, axis=0)
    ordered = np.sort(seen, axis=0)
    is_clear = ordered[-1] - ordered[-2] > 0.3  # the sampler has steps of 1/32 of a grid's pixel
    assert is_clear.mean() > 0.7
    np.testing.assert_array_equal(found.segmentation_map[is_clear], expected[is_clear])
    assert found.image_hw == (96, 48)


def test_unsure_pixels_are_background_and_the_confidence_is_the_softmaxs(package, maps):
    network = NetworkInput((64, 64), ResizeMode.STRETCH)
    fit, _ = plan_fit((16, 16), network)  # pixel by pixel as the grid
    logits = maps[:1].astype(np.float64)
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum(axis=0)

    (found,) = label(maps[:1], [fit], package(network), confidence=0.6, with_confidence=True)

    np.testing.assert_allclose(found.confidence, shares.max(axis=0), atol=0.5 / 255 + 1e-4)
    expected = np.where(shares.max(axis=0) < 0.6, 0, shares.argmax(axis=0))
    np.testing.assert_array_equal(found.segmentation_map, expected)
    assert (shares.max(axis=0) < 0.6).any()


def test_a_batch_is_what_its_images_are_alone_and_damage_stays_with_its_image(package, maps):
    fits = [plan_fit(hw, NETWORK)[0] for hw in ((30, 50), (80, 40))]
    damaged = maps.copy()
    damaged[1, 0, 3, 3] = np.nan
    made = package()

    together = label(maps, fits, made)

    assert together == [label(maps[i : i + 1], fits[i : i + 1], made)[0] for i in (0, 1)]
    first, error = label(damaged, fits, made)
    assert first == together[0]
    assert isinstance(error, OutputInvalid)


def test_a_removed_class_labels_no_pixel(package, maps):
    made = package(names=("background", "dog"), network_classes=NAMES)

    (found, _) = label(maps, [plan_fit((64, 64), NETWORK)[0]] * 2, made)

    assert found.class_names == ("background", "dog")
    assert set(np.unique(found.segmentation_map)) == {0, 1}


def test_a_threshold_needs_a_class_for_what_lies_below_it(package, maps):
    with pytest.raises(ParameterInvalid, match="no class of m"):
        label(maps, [plan_fit((64, 64), NETWORK)[0]] * 2, package(names=("sky", "cat", "dog")), confidence=0.5)


def test_maps_of_another_number_of_classes_are_refused(package, maps):
    with pytest.raises(OutputInvalid, match=r"expected \(2, 3, h, w\)"):
        label(maps[:, :2], [plan_fit((64, 64), NETWORK)[0]] * 2, package())


@pytest.mark.parametrize("axes", [3, 4])
def test_depth_is_the_map_enlarged_without_its_padding(make_package, maps, axes):
    package = make_package(task="depth-estimation", config=InferenceConfig(NETWORK, max_batch_size=8))
    fit, _ = plan_fit((96, 48), NETWORK)
    found = recipe("yolo", "depth-estimation")
    output = maps[:, :1] if axes == 4 else maps[:, 0]

    first, second = found.postprocess({"d": output}, [fit, fit], package, found.check_params({}, package))

    expected = cv2.resize(np.ascontiguousarray(maps[1, 0, :, 4:12]), (48, 96))
    np.testing.assert_allclose(second.depth, expected, atol=0.3)  # the sampler has steps of 1/32 of a grid's pixel
    assert np.abs(second.depth - expected).mean() < 0.03
    assert (second.unit, first.image_hw) == (DepthUnit.METRES, (96, 48))


def test_a_depth_that_is_not_finite_is_its_images_error_and_a_parameter_is_refused(make_package, maps):
    package = make_package(task="depth-estimation", config=InferenceConfig(NETWORK, max_batch_size=8))
    fits = [plan_fit((96, 48), NETWORK)[0]] * 2
    found = recipe("yolo", "depth-estimation")
    maps[0, 0, 5, 5] = np.inf

    damaged, sound = found.postprocess({"d": maps[:, :1]}, fits, package, found.check_params({}, package))

    assert isinstance(damaged, OutputInvalid)
    assert np.isfinite(sound.depth).all()
    with pytest.raises(ParameterInvalid, match="unknown parameter 'confidence'"):
        found.check_params({"confidence": 0.5}, package)
    with pytest.raises(OutputInvalid, match=r"expected \(2, h, w\)"):
        found.postprocess({"d": maps}, fits, package, found.check_params({}, package))
