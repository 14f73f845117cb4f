"""One PyTorch classifier in three files: whatever runs it, the classes are those of the module itself."""

import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from inference_engine import AutoModel
from inference_engine.sessions import SessionOptions

NAMES = [f"class {index}" for index in range(7)]
SIDE, BATCH = 24, 3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ONE_THREAD = SessionOptions(threads=1)


class TinyResNet(nn.Module):
    """A stem, one residual block, a mean over the picture, a linear head: what ResNets are made of."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 12, 1))
        self.head = nn.Linear(12, len(NAMES))

    def forward(self, images):
        found = self.stem(images)
        found = torch.relu(found + self.block(found))
        return self.head(found.mean((2, 3)))


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(3)
    made = TinyResNet().eval()
    with torch.no_grad():
        # Far apart, as training would leave them: a random head hardly tells two pictures apart.
        made.head.weight.mul_(20)
    return made


@pytest.fixture(scope="module")
def packages(module, tmp_path_factory):
    """Folders by the backend that opens them; the middle of the picture is looked at, normalised as ImageNet's is."""
    root = tmp_path_factory.mktemp("classifier")
    example = torch.rand(2, 3, SIDE, SIDE)
    onnx_folder, script_folder = root / "onnx", root / "script"
    _describe(onnx_folder, "onnx", "model.onnx")
    _describe(script_folder, "torch-script", "model.pt")
    with warnings.catch_warnings():
        # The older exporter, and TorchScript itself, say that they are deprecated; their files are opened all the same.
        warnings.simplefilter("ignore")
        axes = {"images": {0: "n"}, "logits": {0: "n"}}
        names = {"input_names": ["images"], "output_names": ["logits"], "dynamic_axes": axes, "opset_version": 17}
        torch.onnx.export(module, (example,), str(onnx_folder / "model.onnx"), dynamo=False, **names)
        torch.jit.save(torch.jit.trace(module, example), script_folder / "model.pt")
    shutil.copytree(onnx_folder, root / "openvino")
    return {"onnx": onnx_folder, "openvino": root / "openvino", "torch": script_folder}


def _describe(folder, kind, weights):
    folder.mkdir()
    (folder / "class_names.txt").write_text("\n".join(NAMES), encoding="utf-8")
    inference = {
        "network_input": {
            "training_input_size": {"height": SIDE, "width": SIDE},
            "resize_mode": "center-crop",
            "scaling_factor": 255,
            "normalization": [MEAN, STD],
        },
        "forward_pass": {"max_dynamic_batch_size": BATCH},
        "post_processing": {"type": "softmax", "fused": False},
    }
    (folder / "inference_config.json").write_text(json.dumps(inference), encoding="utf-8")
    config = {
        "model_architecture": "resnet",
        "task_type": "classification",
        "backend_type": kind,
        "quantization": "fp32",
        "weights": weights,
    }
    (folder / "model_config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.fixture(scope="module")
def images():
    """Five pictures, larger than the network's input: more than one batch, the last of them not full."""
    rng = np.random.default_rng(8)
    tints = {(24, 24): (1, 0, 0), (40, 30): (0, 1, 0), (25, 61): (0, 0, 1), (64, 48): (1, 1, 1), (31, 24): (0, 1, 1)}
    return [rng.integers(0, 256, (*hw, 3), np.uint8) * np.asarray(tint, np.uint8) for hw, tint in tints.items()]


def expected(module, image):
    """Shares of all classes by torch alone, from pixels that the test cuts and normalises itself."""
    height, width = image.shape[:2]
    top, left = (height - SIDE) // 2, (width - SIDE) // 2
    cut = torch.from_numpy(image[top : top + SIDE, left : left + SIDE].astype(np.float32) / 255).permute(2, 0, 1)
    cut = (cut - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.inference_mode():
        return module(cut[None]).softmax(1)[0].numpy()


@pytest.mark.reaches("classification", "classification", "{backend}", "agrees")
@pytest.mark.parametrize("backend", ["onnx", "openvino", "torch"])
def test_a_backend_gives_the_modules_own_classes(module, packages, images, backend):
    trust = backend == "torch"
    model = AutoModel.from_pretrained(packages[backend], backend=backend, options=ONE_THREAD, trust=trust)

    found = model(images, input_color_format="rgb", max_classes=len(NAMES))

    for image, prediction in zip(images, found, strict=True):
        shares = expected(module, image)
        assert prediction.name == NAMES[shares.argmax()]
        np.testing.assert_allclose(prediction.confidence, np.sort(shares)[::-1], atol=1e-4)
        np.testing.assert_allclose(prediction.confidence, shares[prediction.class_id], atol=1e-4)
    assert len({prediction.name for prediction in found}) > 1
    model.close()
