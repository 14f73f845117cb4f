import json

import numpy as np
import pytest
import torch
from transformers import DetrImageProcessorPil, RTDetrImageProcessorPil, YolosImageProcessorPil

from inference_engine import AutoModel
from inference_engine.backends import backend
from inference_engine.errors import ModelNotFound, OutputInvalid, PackageInvalid, SessionFailed
from inference_engine.families import hf_detection
from inference_engine.hf_folder import package_from_hf
from inference_engine.hf_sizes import with_aspect_ratio
from inference_engine.images import Fit
from inference_engine.sessions import SessionOptions
from tests.fixtures.hf_models import MAKERS, write_hf_model

PROCESSORS = {"detr": DetrImageProcessorPil, "rt_detr": RTDetrImageProcessorPil, "yolos": YolosImageProcessorPil}
ONE = SessionOptions(threads=1)


@pytest.fixture(scope="module", params=list(MAKERS))
def made(request, tmp_path_factory):
    """Model type, its folder, transformers' own model and image processor."""
    folder = tmp_path_factory.mktemp(request.param) / "model"
    model, steps = write_hf_model(folder, request.param)
    canvas = {"pad_size": {"height": 96, "width": 96}} if request.param == "detr" else {}
    return request.param, folder, model, PROCESSORS[request.param](**steps, **canvas)


@pytest.fixture(scope="module")
def model(made):
    opened = AutoModel.from_pretrained(str(made[1]), options=ONE)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def images():
    """Three pictures of different sizes, smooth as photographs are."""
    rng = np.random.default_rng(3)
    small = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((6, 9), (12, 5), (8, 8))]
    return [image.repeat(14, 0).repeat(14, 1) for image in small]


def theirs(made, image):
    """Boxes by transformers alone: its image processor, its model, its decoding."""
    _, _, model, processor = made
    found = processor(images=image, return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**found)
    (decoded,) = processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=[image.shape[:2]])
    return found, {name: value.numpy() for name, value in decoded.items()}


def test_a_folder_in_hugging_face_format_is_recognised(made, model):
    assert model.package.kind == "hf"
    assert model.package.architecture == made[0]
    assert model.class_names == ("cat", "dog", "cow")
    assert model.decision.chosen.backend == "hf"


def test_pixels_are_those_of_transformers(made, model, images):
    for image in images:
        tensors, _ = model.preprocess(image)
        found, _ = theirs(made, image)
        # One grey level of 255, over the smallest deviation: Pillow rounds after each of its two passes.
        np.testing.assert_allclose(tensors["pixel_values"], found["pixel_values"].numpy(), atol=1 / 255 / 0.224 + 1e-5)
        if "pixel_mask" in tensors:
            np.testing.assert_array_equal(tensors["pixel_mask"], found["pixel_mask"].numpy())


@pytest.mark.reaches("hf_detection", "object-detection", "hf", "agrees")
def test_boxes_are_those_of_transformers(made, model, images):
    for image in images:
        _, expected = theirs(made, image)
        (found,) = model([image], input_color_format="rgb", confidence=0.0)
        order = np.argsort(-expected["scores"], kind="stable")
        height, width = image.shape[:2]

        assert len(found) == len(order) > 0
        np.testing.assert_allclose(found.confidence, expected["scores"][order], atol=1e-4)
        np.testing.assert_array_equal(found.class_id, expected["labels"][order])
        clipped = np.clip(expected["boxes"][order], 0, (width, height, width, height))
        np.testing.assert_allclose(found.xyxy, clipped, atol=1e-4 * max(height, width))


def test_a_batch_of_mixed_sizes_is_what_its_pictures_are_alone(model, images):
    together = model(images, confidence=0.0)
    alone = [model([image], confidence=0.0)[0] for image in images]

    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.class_id, other.class_id)
        np.testing.assert_allclose(one.xyxy, other.xyxy, atol=1e-3)
        np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-5)


def test_only_wanted_classes_and_the_best_come_back(model, images):
    (everything,) = model([images[0]], confidence=0.0)
    (some,) = model([images[0]], confidence=0.0, classes=["dog"], max_detections=2)

    assert set(some.names) <= {"dog"}
    assert len(some) <= 2
    assert everything.confidence.tolist() == sorted(everything.confidence.tolist(), reverse=True)


def test_sessions_of_different_threads_run_each_with_its_own(made):
    package = package_from_hf(made[1])
    before = torch.get_num_threads()
    try:
        one, two = (backend("hf").open_session(package, "cpu", SessionOptions(threads=count)) for count in (1, 2))
        batch = {spec.name: np.ones((1, *spec.shape[1:]), spec.dtype) for spec in one.inputs}

        counts = [session.run(batch) and torch.get_num_threads() for session in (one, two, one)]

        assert counts == [1, 2, 1]
    finally:
        torch.set_num_threads(before)


def test_a_session_of_lower_precision_answers_in_float32(made):
    package = package_from_hf(made[1])
    session = backend("hf").open_session(package, "cpu", SessionOptions(threads=1, precision="bf16"))
    batch = {
        spec.name: np.ones((2, *spec.shape[1:]), np.float32 if spec.dtype == "float32" else np.int64)
        for spec in session.inputs
    }

    assert {value.dtype.name for value in session.run(batch).values()} == {"float32"}
    session.close()
    with pytest.raises(SessionFailed, match="closed"):
        session.run(batch)


@pytest.fixture
def folder(tmp_path):
    write_hf_model(tmp_path / "model", "detr")
    return tmp_path / "model"


def change(path, **changes):
    data = json.loads(path.read_text("utf-8")) | changes
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not None}), "utf-8")


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("config.json", {"model_type": "llama"}, "'llama' is not one of detr"),
        ("config.json", {"auto_map": {"AutoModel": "code.Model"}}, "which is not run"),
        ("config.json", {"id2label": {"1": "cat"}}, "0, 1, 2"),
        ("preprocessor_config.json", {"size": 800}, "expected height and width, or shortest_edge and longest_edge"),
        ("preprocessor_config.json", {"size": {"shortest_edge": "800"}}, "expected whole numbers"),
        ("preprocessor_config.json", {"image_processor_type": "PerceiverImageProcessor"}, "'Perceiver' is not one of"),
        ("preprocessor_config.json", {"do_thumbnail": True}, "do_thumbnail is asked for"),
        ("preprocessor_config.json", {"image_std": [0.2, 0.0, 0.2]}, "a 0, by which"),
        ("preprocessor_config.json", {"image_mean": 0.5}, "expected three numbers"),
        ("preprocessor_config.json", {"auto_map": {}}, "which is not run"),
    ],
)
def test_a_folder_that_cannot_be_right_is_refused(folder, file, changes, words):
    change(folder / file, **changes)

    with pytest.raises(PackageInvalid, match=words):
        package_from_hf(folder)


def test_pickled_weights_are_not_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    with pytest.raises(PackageInvalid, match="pickled and sharded weights are not read"):
        package_from_hf(folder)


def test_weights_that_are_missing_are_not_drawn_at_random(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if "class_labels" in name))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})

    with pytest.raises(PackageInvalid, match="lacks 1 weights"):
        backend("hf").open_session(package_from_hf(folder), "cpu", ONE)


def test_names_that_repeat_get_their_number(folder):
    change(folder / "config.json", id2label={"0": "N/A", "1": "cat", "2": "N/A"})

    assert package_from_hf(folder).class_names == ("N/A", "cat", "N/A 2")


def test_a_folder_without_a_model_is_still_none(tmp_path):
    with pytest.raises(ModelNotFound):
        AutoModel.from_pretrained(str(tmp_path))


@pytest.mark.parametrize(
    ("hw", "resized"),
    [((480, 640), (800, 1066)), ((640, 480), (1066, 800)), ((800, 900), (800, 900)), ((300, 1200), (333, 1333))],
)
def test_the_shortest_edge_is_as_asked_unless_the_longest_grows_too_long(hw, resized):
    assert with_aspect_ratio(hw, 800, 1333) == resized


def test_numbers_that_are_not_finite_are_this_images_own_error(folder):
    package = package_from_hf(folder)
    logits, boxes = np.zeros((2, 5, 4), np.float32), np.full((2, 5, 4), 0.5, np.float32)
    logits[1, 2, 3] = np.nan
    fits = [Fit((1, 1), (0, 0), (10, 10))] * 2

    params = hf_detection.check_params({}, package)
    good, bad = hf_detection.postprocess({"logits": logits, "pred_boxes": boxes}, fits, package, params)

    assert len(good) == 0
    assert isinstance(bad, OutputInvalid)
    with pytest.raises(OutputInvalid, match=r"\(2, queries, 4\)"):
        hf_detection.postprocess({"logits": logits[:, :, 1:], "pred_boxes": boxes}, fits, package, params)
