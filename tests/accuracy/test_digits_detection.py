"""The starter model through `AutoModel`: its packages agree, a batch changes nothing, and the digits are found."""

import json
from pathlib import Path

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster

from inference_engine import AutoModel, SessionOptions
from nightshift.pages import load_scans, make_page, write_pages

DIGITS = Path(__file__).parents[2] / "models" / "digits"
PACKAGES = ("torch-fp32", "onnx-fp32", "onnx-int8")
#: Of the 60 pages that the scores are measured on; the training pages come from other scans and other seeds.
SEED, PAGES = 4000, 60


@pytest.fixture(scope="module")
def models():
    opened = {name: AutoModel.from_pretrained(DIGITS / name, options=SessionOptions(threads=1)) for name in PACKAGES}
    yield opened
    for model in opened.values():
        model.close()


@pytest.fixture(scope="module")
def pages():
    scans = load_scans("held_out")
    return [make_page(scans, np.random.default_rng([41, number])).image for number in range(20)]


def test_the_folder_opens_the_first_backend_of_the_order():
    model = AutoModel.from_pretrained(DIGITS, options=SessionOptions(threads=1))

    assert (model.decision.chosen.backend, model.decision.chosen.quantization) == ("torch", "fp32")
    assert {c.verdict for c in model.decision.candidates[1:]} == {"runnable"}
    model.close()


def test_torch_and_onnx_give_the_same_boxes(models, pages):
    ours = models["torch-fp32"](pages, input_color_format="rgb")
    theirs = models["onnx-fp32"](pages, input_color_format="rgb")

    assert sum(map(len, ours)) > 60
    for one, other in zip(ours, theirs, strict=True):
        assert one.class_id.tolist() == other.class_id.tolist()
        np.testing.assert_allclose(one.xyxy, other.xyxy, atol=0.5, rtol=0)
        np.testing.assert_allclose(one.confidence, other.confidence, atol=0.005, rtol=0)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_batch_of_eight_equals_eight_alone(models, pages, package):
    model = models[package]
    pixels, score = (0.5, 0.02) if package == "onnx-int8" else (0.05, 0.001)

    together = model(pages[:8], input_color_format="rgb")
    alone = [model(page, input_color_format="rgb")[0] for page in pages[:8]]

    for one, other in zip(together, alone, strict=True):
        assert one.class_id.tolist() == other.class_id.tolist()
        np.testing.assert_allclose(one.xyxy, other.xyxy, atol=pixels, rtol=0)
        np.testing.assert_allclose(one.confidence, other.confidence, atol=score, rtol=0)


@pytest.fixture(scope="module")
def scores(models, tmp_path_factory):
    """mAP50 of each package, measured once."""
    truth = write_pages(tmp_path_factory.mktemp("pages"), PAGES, "held_out", SEED)
    return {name: map50(model, truth) for name, model in models.items()}


def map50(model, truth):
    images = json.loads(truth.read_text(encoding="utf-8"))["images"]
    found = model([truth.parent / image["file_name"] for image in images], confidence=0.01)
    results = [
        {"image_id": image["id"], "category_id": class_id + 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}
        for image, each in zip(images, found, strict=True)
        for (x0, y0, x1, y1), class_id, score in zip(
            each.xyxy.tolist(), each.class_id.tolist(), each.confidence.tolist(), strict=True
        )
    ]
    coco = COCO(str(truth))
    judged = COCOeval_faster(coco, coco.loadRes(results), "bbox", print_function=lambda *_: None)
    judged.evaluate()
    judged.accumulate()
    precision = judged.eval["precision"][0, :, :, 0, -1]  # IoU 0.5, (recalls, classes), all areas, 100 boxes
    assert (precision >= 0).all(), "every class must be on the pages"
    return float(precision.mean())


@pytest.mark.reaches("yolo", "object-detection", ("torch", "onnx"), "accurate")
@pytest.mark.parametrize("package", ["torch-fp32", "onnx-fp32"])
def test_a_whole_precision_package_finds_the_digits(scores, package):
    assert scores[package] >= 0.95


def test_int8_finds_nearly_as_many(scores):
    assert scores["onnx-int8"] >= scores["onnx-fp32"] - 0.02
