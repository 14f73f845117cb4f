"""Label maps of an exported network, against torch's own resize and softmax."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import interpolate

from inference_engine import AutoModel
from inference_engine.errors import OutputInvalid, PackageInvalid, ParameterInvalid
from inference_engine.families import recipe
from inference_engine.images import plan_fit
from inference_engine.interfaces import SemanticSegmentationModel
from inference_engine.network_input import NetworkInput
from inference_engine.packages import read_package
from inference_engine.planes import at_pixels, plane_step, seen_region
from inference_engine.sessions import SessionOptions
from tests.fixtures.exported_modules import BACKENDS, write_packages

NAMES = ("background", "road", "car", "tree")
SIDE = 32
ONE = SessionOptions(threads=1)
DECODE = recipe("semantic_segmentation", "semantic-segmentation")


def inference(mode="letterbox", **more):
    size = {"training_input_size": {"height": SIDE, "width": SIDE}, "resize_mode": mode, "scaling_factor": 255}
    return {"network_input": size, "forward_pass": {"max_dynamic_batch_size": 3}} | more


class Strided(nn.Module):
    """Logits at a quarter of the input, as SegFormer gives them."""

    def __init__(self, classes):
        super().__init__()
        torch.manual_seed(5)
        self.conv = nn.Conv2d(3, classes, 5, 4, 2)

    def forward(self, images):
        return self.conv(images) * 12


def write(root, classes=4, names=NAMES, given=None, architecture="segformer", **more):
    config = {"model_architecture": architecture, "task_type": "semantic-segmentation"} | more
    module = Strided(classes).eval()
    files = {"class_names.txt": "\n".join(names)}
    return module, write_packages(root, module, torch.rand(2, 3, SIDE, SIDE), config, given or inference(), files=files)


@pytest.fixture(scope="module", params=["segformer", "yolo26"])
def made(tmp_path_factory, request):
    return write(tmp_path_factory.mktemp("segmenter"), architecture=request.param)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(8)
    return [rng.integers(0, 256, (*hw, 3), np.uint8) for hw in ((32, 64), (64, 32), (48, 48), (16, 32))]


def expected(module, image, package):
    """Shares `(classes, H, W)`: torch cuts the padding off the logits and resizes them.

    Sides of 16 x 32 are such that the padding is a whole number of the logits' pixels.
    """
    tensors, fit = DECODE.preprocess(image, package)
    with torch.inference_mode():
        logits = module(torch.from_numpy(tensors["images"]))
    pad_x, pad_y = (pad // 4 for pad in fit.pad_xy)
    inner = logits[:, :, pad_y : logits.shape[2] - pad_y, pad_x : logits.shape[3] - pad_x]
    return interpolate(inner, image.shape[:2], mode="bilinear", align_corners=False).softmax(1)[0].numpy()


@pytest.mark.reaches("semantic_segmentation", "semantic-segmentation", "{backend}", "agrees")
@pytest.mark.parametrize("backend", BACKENDS)
def test_pixels_have_the_classes_that_torch_gives_them(made, images, backend):
    module, folders = made
    model = AutoModel.from_pretrained(folders[backend], backend=backend, options=ONE, trust=backend == "torch")

    found = model(images, input_color_format="rgb", with_confidence=True)

    assert isinstance(model, SemanticSegmentationModel)
    for image, one in zip(images, found, strict=True):
        shares = expected(module, image, model.package)
        second, best = np.sort(shares, axis=0)[-2:]
        clear = best - second > 1e-3
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(one.segmentation_map[clear], shares.argmax(0)[clear])
        np.testing.assert_allclose(one.confidence, best, atol=0.5 / 255 + 1e-4)
    model.close()


def test_a_batch_of_mixed_sizes_is_what_its_pictures_are_alone(made, images):
    model = AutoModel.from_pretrained(made[1]["onnx"], backend="onnx", options=ONE)

    together = model(images, confidence=0.5)

    assert together == [model(image, confidence=0.5)[0] for image in images]
    model.close()


def decode(package, logits, hw, **params):
    fit, _ = plan_fit(hw, package.config.network_input)
    outputs = {"logits": np.asarray(logits, np.float32)}
    return DECODE.postprocess(outputs, [fit] * len(logits), package, DECODE.check_params(params, package))


def test_pixels_below_the_threshold_become_background_wherever_it_stands(tmp_path):
    package = read_package(write(tmp_path, names=("road", "car", "background", "tree"))[1]["onnx"])
    logits = np.zeros((1, 4, 2, 2))
    logits[0, 1, 0] = 3  # a share of 0.87 in the upper half; 0.25 for all below

    (found,) = decode(package, logits, (SIDE, SIDE), confidence=0.5)

    assert set(found.segmentation_map[:6].ravel()) == {1}
    assert set(found.segmentation_map[-6:].ravel()) == {2}


def test_a_removed_class_labels_no_pixel_and_takes_no_share(tmp_path):
    inferred = inference(class_names_operations=[{"type": "class_name_removal", "class_name": "road"}])
    package = read_package(write(tmp_path, given=inferred)[1]["onnx"])
    logits = np.zeros((1, 4, 1, 1))
    logits[0, :, 0, 0] = [0, 9, 2, 0]  # of background, the road, cars, trees

    (found,) = decode(package, logits, (8, 8), with_confidence=True)

    assert package.class_names == ("background", "car", "tree")
    assert set(found.segmentation_map.ravel()) == {1}
    np.testing.assert_allclose(found.confidence, np.exp(2) / (np.exp(2) + 2), atol=0.5 / 255 + 1e-6)


def test_a_background_that_the_network_does_not_score_keeps_its_id(tmp_path):
    package = read_package(write(tmp_path, classes=3, names=("road", "background", "car", "tree"))[1]["onnx"])
    logits = np.zeros((1, 3, 1, 1))
    logits[0, 1] = 4

    assert set(decode(package, logits, (8, 8))[0].segmentation_map.ravel()) == {2}


@pytest.mark.parametrize(("score", "given", "label"), [(0.1, {}, 1), (-0.1, {}, 0), (-0.1, {"confidence": 0.4}, 1),
                                                       (0.1, {"confidence": 0.6}, 0)])  # fmt: skip
def test_one_class_alone_has_a_sigmoid(tmp_path, score, given, label):
    package = read_package(write(tmp_path, classes=1, names=("background", "road"))[1]["onnx"])

    (found,) = decode(package, np.full((1, 1, 4, 4), score), (8, 8), **given)

    assert set(found.segmentation_map.ravel()) == {label}


@pytest.mark.parametrize("corner", [0, 25], ids=["at the corner", "inside"])
def test_peer_defect_30_a_crop_gives_a_map_of_the_whole_picture(tmp_path, corner):
    crop = {"enabled": True, "x_min": corner, "y_min": corner, "x_max": corner + 50, "y_max": corner + 50}
    given = inference("stretch", image_pre_processing={"static-crop": crop})
    package = read_package(write(tmp_path, given=given)[1]["onnx"])
    logits = np.zeros((1, 4, 8, 8))
    logits[0, 3] = 5

    (found,) = decode(package, logits, (40, 80), with_confidence=True)

    cut = np.zeros((40, 80), bool)
    cut[40 * corner // 100 :, 80 * corner // 100 :][:20, :40] = True
    np.testing.assert_array_equal(found.segmentation_map, np.where(cut, 3, 0))
    assert not found.confidence_255[~cut].any()


def test_peer_defect_30_what_a_centre_crop_pads_or_cuts_is_background_and_no_logit(tmp_path):
    package = read_package(write(tmp_path, given=inference("center-crop"))[1]["onnx"])
    logits = np.full((1, 4, 8, 8), -9.0)
    logits[0, 2] = -5

    (found,) = decode(package, logits, (16, 64))

    assert set(found.segmentation_map[:, 16:48].ravel()) == {2}
    assert set(found.segmentation_map[:, [0, 15, 48, 63]].ravel()) == {0}


def test_a_number_that_is_none_is_that_images_error_only(made):
    package = read_package(made[1]["onnx"])
    logits = np.zeros((2, 4, 8, 8))
    logits[0, 1, 2, 3] = np.nan

    bad, good = decode(package, logits, (SIDE, SIDE))

    assert isinstance(bad, OutputInvalid)
    assert good.segmentation_map.shape == (SIDE, SIDE)


def test_many_classes_of_a_large_picture_are_labelled_band_by_band(made, monkeypatch):
    package = read_package(made[1]["onnx"])
    logits = np.random.default_rng(0).normal(size=(1, 4, 8, 8))
    whole = decode(package, logits, (50, 70), with_confidence=True)

    monkeypatch.setattr("inference_engine.families.semantic_segmentation._BAND_BYTES", 4 * 4 * 70 * 7)

    assert decode(package, logits, (50, 70), with_confidence=True) == whole


def test_what_cannot_be_is_refused(made, tmp_path):
    package = read_package(made[1]["onnx"])
    nameless = read_package(write(tmp_path / "a", names=("sky", "road", "car", "tree"))[1]["onnx"])
    with pytest.raises(OutputInvalid, match=r"expected logits \(1, 4, h, w\)"):
        decode(package, np.zeros((1, 6, 8, 8)), (8, 8))
    with pytest.raises(PackageInvalid, match="a map of one class, road, says nothing"):
        decode(replace(package, class_names=("road",)), np.zeros((1, 1, 8, 8)), (8, 8))
    with pytest.raises(ParameterInvalid, match="no class of this model is called so"):
        DECODE.check_params({"confidence": 0.5}, nameless)
    with pytest.raises(ParameterInvalid, match="unknown parameter"):
        DECODE.check_params({"iou_threshold": 0.5}, package)
    with pytest.raises(PackageInvalid, match="asks for fused"):
        read_package(
            write(tmp_path / "b", given=inference(post_processing={"type": "softmax", "fused": True}))[1]["onnx"]
        )


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(["letterbox", "stretch"]))
def test_a_ramp_over_the_network_is_a_ramp_over_the_picture(height, width, mode):
    network = NetworkInput((SIDE, SIDE), resize_mode=mode)
    fit, _ = plan_fit((height, width), network)
    across = np.tile(np.arange(SIDE, dtype=np.float32), (SIDE, 1))

    plane = at_pixels(across, (0, 0, width, height), fit, plane_step(across.shape, fit, network))

    assert plane.shape == (height, width)
    assert seen_region(fit, network) == (0, 0, width, height)
    inside = (np.arange(width) + 0.5) * fit.scale_xy[0] + fit.pad_xy[0] - 0.5
    np.testing.assert_allclose(plane[height // 2], np.clip(inside, 0, SIDE - 1), atol=1e-3)
