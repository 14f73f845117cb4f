"""Depth maps of an exported network: resized to the picture, and nothing else is done to them."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from inference_engine import AutoModel
from inference_engine.errors import OutputInvalid, PackageInvalid, ParameterInvalid
from inference_engine.families import recipe
from inference_engine.images import plan_fit
from inference_engine.interfaces import DepthEstimationModel
from inference_engine.packages import read_package
from inference_engine.sessions import SessionOptions
from inference_engine.tasks.depth import DepthUnit
from tests.fixtures.exported_modules import BACKENDS, write_packages

SIDE = 28
INFERENCE = {
    "network_input": {
        "training_input_size": {"height": SIDE, "width": SIDE},
        "resize_mode": "stretch",
        "scaling_factor": 255,
        "normalization": [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]],
    },
    "forward_pass": {"max_dynamic_batch_size": 2},
}
DECODE = recipe("depth", "depth-estimation")
ONE = SessionOptions(threads=1)


class Depth(nn.Module):
    """A map at half of the input, without a channel axis as Depth Anything's exports give it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv2d(3, 1, 3, 2, 1)

    def forward(self, images):
        return torch.relu(self.conv(images) + 2)[:, 0]


def write(root, inference=INFERENCE, **more):
    config = {"model_architecture": "depth-anything-v2", "task_type": "depth-estimation"} | more
    module = Depth().eval()
    return module, write_packages(root, module, torch.rand(2, 3, SIDE, SIDE), config, inference)


#: Architectures, and the unit where a package says none.
UNITS = {"depth-anything-v2": DepthUnit.RELATIVE_INVERSE, "yolo26": DepthUnit.METRES}


@pytest.fixture(scope="module", params=UNITS)
def made(tmp_path_factory, request):
    return write(tmp_path_factory.mktemp("depth"), model_architecture=request.param)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(4)
    dark, light = rng.integers(0, 30, (20, 50, 3), np.uint8), rng.integers(200, 256, (60, 30, 3), np.uint8)
    return [dark, light, rng.integers(0, 256, (28, 28, 3), np.uint8)]


@pytest.mark.reaches("depth", "depth-estimation", "{backend}", "agrees")
@pytest.mark.parametrize("backend", BACKENDS)
def test_depth_is_the_networks_resized_by_torch(made, images, backend):
    module, folders = made
    model = AutoModel.from_pretrained(folders[backend], backend=backend, options=ONE, trust=backend == "torch")

    found = model(images, input_color_format="rgb")

    assert isinstance(model, DepthEstimationModel)
    for image, one in zip(images, found, strict=True):
        with torch.inference_mode():
            plane = module(torch.from_numpy(DECODE.preprocess(image, model.package)[0]["images"]))
        whole = interpolate(plane[None], image.shape[:2], mode="bilinear", align_corners=False)[0, 0]
        np.testing.assert_allclose(one.depth, whole.numpy(), atol=1e-4)
        assert one.unit is UNITS[model.package.architecture]
    model.close()


def test_peer_defect_18_depth_does_not_depend_on_the_other_pictures_of_a_batch(made, images):
    model = AutoModel.from_pretrained(made[1]["onnx"], backend="onnx", options=ONE)

    dark, light, _ = model(images)

    assert dark == model(images[0])[0]
    assert light == model([images[1], images[2]])[0]
    assert abs(dark.depth.mean() - light.depth.mean()) > 0.05, "pictures must differ for this to say anything"
    model.close()


def decode(package, maps, hw):
    fit, _ = plan_fit(hw, package.config.network_input)
    return DECODE.postprocess({"depth": maps}, [fit] * len(maps), package, DECODE.check_params({}, package))


def test_a_map_with_a_channel_axis_is_the_same_map(made):
    package = read_package(made[1]["onnx"])
    maps = np.random.default_rng(0).random((1, 14, 14), np.float32)

    assert decode(package, maps, (31, 17)) == decode(package, maps[:, None], (31, 17))


def test_a_number_that_is_none_is_that_images_error_only(made):
    maps = np.ones((2, 14, 14), np.float32)
    maps[0, 3, 3] = np.inf

    bad, good = decode(read_package(made[1]["onnx"]), maps, (9, 9))

    assert isinstance(bad, OutputInvalid)
    assert (good.depth == 1).all()


def test_a_package_says_metres(tmp_path):
    package = read_package(write(tmp_path, depth_unit="metres")[1]["onnx"])

    assert not package.warnings
    assert decode(package, np.ones((1, 4, 4), np.float32), (4, 4))[0].unit is DepthUnit.METRES


def test_what_cannot_be_is_refused(made, tmp_path):
    package = read_package(made[1]["onnx"])
    with pytest.raises(ParameterInvalid, match="takes none"):
        DECODE.check_params({"confidence": 0.5}, package)
    with pytest.raises(OutputInvalid, match=r"expected \(1, h, w\)"):
        decode(package, np.ones((1, 3, 4, 4), np.float32), (4, 4))
    with pytest.raises(PackageInvalid, match="expected one of metres, relative-inverse"):
        DECODE.check_params({}, read_package(write(tmp_path / "a", depth_unit="feet")[1]["onnx"]))
    cut = INFERENCE | {"network_input": INFERENCE["network_input"] | {"resize_mode": "center-crop"}}
    partly = read_package(write(tmp_path / "b", inference=cut)[1]["onnx"])
    (refused,) = decode(partly, np.ones((1, 4, 4), np.float32), (64, 64))
    assert "depth is for all of it" in str(refused)
