"""The starter model's three packages: whole, small, and of one opinion."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from inference_engine.backends.modules import build_module
from nightshift.pages import CLASS_NAMES, load_scans, make_page

DIGITS = Path(__file__).parents[2] / "models" / "digits"
PACKAGES = ("torch-fp32", "onnx-fp32", "onnx-int8")


def config_of(package):
    return json.loads((DIGITS / package / "model_config.json").read_text(encoding="utf-8"))


def run_onnx(package, images):
    session = onnxruntime.InferenceSession(DIGITS / package / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(["output0"], {"images": images})[0]


def run_torch(images):
    config = config_of("torch-fp32")
    module = build_module(config["module"]["name"], config["module"]["args"]).eval()
    module.load_state_dict(load_file(DIGITS / "torch-fp32" / config["weights"]), strict=True)
    with torch.inference_mode():
        return module(torch.from_numpy(images)).numpy()


@pytest.fixture(scope="module")
def images():
    """Four held-out pages as the network sees them: half the size, on grey, 0 to 1."""
    batch = np.full((4, 320, 320, 3), 114, np.float32)
    for i in range(4):
        page = make_page(load_scans("held_out"), np.random.default_rng([5, i]))
        batch[i, 40:280] = cv2.resize(page.image, (320, 240), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2) / 255)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_is_the_one_that_the_configuration_names(package):
    folder, files = DIGITS / package, config_of(package)["files"]

    found = {name: (folder / name).read_bytes() for name in files}

    assert {p.name for p in folder.iterdir()} == {*files, "model_config.json"}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in found.items()} == {
        name: entry["sha256"] for name, entry in files.items()
    }
    assert {name: len(data) for name, data in found.items()} == {n: entry["bytes"] for n, entry in files.items()}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_called_after_its_backend_and_precision(package):
    config = config_of(package)

    assert config["package_id"] == f"digits-{config['backend_type']}-{config['quantization']}" == f"digits-{package}"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_names_the_ten_digits(package):
    names = (DIGITS / package / "class_names.txt").read_text(encoding="utf-8").splitlines()

    assert names == list(CLASS_NAMES)


def test_the_three_packages_ask_for_the_same_input():
    texts = {(DIGITS / package / "inference_config.json").read_text(encoding="utf-8") for package in PACKAGES}

    assert len(texts) == 1


def test_all_weights_together_stay_under_five_megabytes():
    assert sum((DIGITS / package / config_of(package)["weights"]).stat().st_size for package in PACKAGES) < 5_000_000


def test_torch_and_onnx_give_the_same_raw_output(images):
    ours, theirs = run_torch(images), run_onnx("onnx-fp32", images)

    np.testing.assert_allclose(ours[:, :4], theirs[:, :4], atol=1e-3, rtol=0)
    np.testing.assert_allclose(ours[:, 4:], theirs[:, 4:], atol=1e-4, rtol=0)


@pytest.mark.parametrize("package", ["onnx-fp32", "onnx-int8"])
def test_an_onnx_batch_equals_its_images_alone(package, images):
    together = run_onnx(package, images)

    alone = np.concatenate([run_onnx(package, image[None]) for image in images])

    np.testing.assert_allclose(together, alone, atol=1e-3, rtol=0)


def test_int8_finds_what_fp32_finds(images):
    exact, rough = (run_onnx(package, images)[:, 4:] for package in ("onnx-fp32", "onnx-int8"))

    sure = exact.max(axis=1) > 0.6

    assert sure.sum() > 20
    assert (exact.argmax(axis=1) == rough.argmax(axis=1))[sure].mean() > 0.95
