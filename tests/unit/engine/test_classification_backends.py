"""One PyTorch classifier in three files: whatever runs it, the classes are those of the module itself."""

import numpy as np
import pytest
import torch
from torch import nn

from inference_engine import AutoModel
from inference_engine.sessions import SessionOptions
from tests.fixtures.exported_modules import BACKENDS, write_packages

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


#: The activation of each task, on the logits of one picture.
TASKS = {
    "classification": lambda logits: logits.softmax(-1),
    "multi-label-classification": torch.sigmoid,
}


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    return request.param


@pytest.fixture(scope="module")
def packages(module, task, tmp_path_factory):
    """Folders by the backend that opens them; the middle of the picture is looked at, normalised as ImageNet's is."""
    inference = {
        "network_input": {
            "training_input_size": {"height": SIDE, "width": SIDE},
            "resize_mode": "center-crop",
            "scaling_factor": 255,
            "normalization": [MEAN, STD],
        },
        "forward_pass": {"max_dynamic_batch_size": BATCH},
    }
    config = {"model_architecture": "resnet", "task_type": task}
    files = {"class_names.txt": "\n".join(NAMES)}
    example = torch.rand(2, 3, SIDE, SIDE)
    return write_packages(tmp_path_factory.mktemp("classifier"), module, example, config, inference, files=files)


@pytest.fixture(scope="module")
def images():
    """Five pictures, larger than the network's input: more than one batch, the last of them not full."""
    rng = np.random.default_rng(8)
    tints = {(24, 24): (1, 0, 0), (40, 30): (0, 1, 0), (25, 61): (0, 0, 1), (64, 48): (1, 1, 1), (31, 24): (0, 1, 1)}
    return [rng.integers(0, 256, (*hw, 3), np.uint8) * np.asarray(tint, np.uint8) for hw, tint in tints.items()]


def expected(module, image, task):
    """Scores of all classes by torch alone, from pixels that the test cuts and normalises itself."""
    height, width = image.shape[:2]
    top, left = (height - SIDE) // 2, (width - SIDE) // 2
    cut = torch.from_numpy(image[top : top + SIDE, left : left + SIDE].astype(np.float32) / 255).permute(2, 0, 1)
    cut = (cut - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.inference_mode():
        return TASKS[task](module(cut[None])[0]).numpy()


@pytest.mark.reaches("classification", "{task}", "{backend}", "agrees")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_gives_the_modules_own_classes(module, packages, task, images, backend):
    trust = backend == "torch"
    model = AutoModel.from_pretrained(packages[backend], backend=backend, options=ONE_THREAD, trust=trust)

    found = model(images, input_color_format="rgb", max_classes=len(NAMES), confidence=0)

    assert model.task == task
    for image, prediction in zip(images, found, strict=True):
        scores = expected(module, image, task)
        assert prediction.name == NAMES[scores.argmax()]
        np.testing.assert_allclose(prediction.confidence, np.sort(scores)[::-1], atol=1e-4)
        np.testing.assert_allclose(prediction.confidence, scores[prediction.class_id], atol=1e-4)
    assert len({prediction.name for prediction in found}) > 1
    model.close()
