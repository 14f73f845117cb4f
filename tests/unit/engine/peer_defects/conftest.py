"""Models of several families, backends and sizes to run the same questions through."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from inference_engine import AutoModel
from inference_engine.package_writer import NewPackage, add_package
from tests.fixtures.hf_models import write_hf_model
from tests.unit.engine.conftest import detector_model

DIGITS = Path(__file__).parents[4] / "models" / "digits"
#: Centre, size, objectness, two classes.
HEAD = np.random.default_rng(23).uniform([6, 6, 2, 2, 0, 0, 0], [26, 26, 9, 9, 1, 1, 1], (40, 7)).astype(np.float32)


@pytest.fixture(scope="session")
def page():
    """The starter model's page, `(H, W, 3)` uint8 RGB."""
    return cv2.cvtColor(cv2.imread(str(DIGITS / "page.jpg")), cv2.COLOR_BGR2RGB)


def write_family(folder, name, **forward):
    """Make a package of a family in a new folder; its `forward_pass` may be given."""
    limits = {"forward_pass": forward} if forward else {}
    if name == "detr":
        write_hf_model(folder / "saved", "detr")
        return add_package(folder / "saved", folder / "models", NewPackage("detr", inference=limits)).weights.parent
    if name == "objectness":
        onnx.save(detector_model(HEAD, metadata={"names": "['cat', 'dog']"}), folder / "v5.onnx")
        return add_package(folder / "v5.onnx", folder / "models", NewPackage("v5", inference=limits)).weights.parent
    kind = name.split()[1]
    copy = shutil.copytree(DIGITS / f"{kind}-fp32", folder / kind)
    if forward:
        _change(copy / "model_config.json", files=None)
        _change(copy / "inference_config.json", forward_pass=forward)
    return copy


@pytest.fixture(scope="session", params=["yolo onnx", "yolo torch", "objectness", "detr"])
def family(request):
    """Every family, and the backends of the first."""
    return request.param


@pytest.fixture(scope="session")
def model(family, tmp_path_factory):
    """An open model of each family."""
    opened = AutoModel.from_pretrained(write_family(tmp_path_factory.mktemp("package"), family))
    yield opened
    opened.close()


def _change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
