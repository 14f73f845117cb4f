"""Pipelines: opened from ids, keywords or open models, checked part by part; the one that ships, on real packages."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import inference_engine.pipelines as registry
from inference_engine import AutoModel, AutoModelPipeline, ClassificationPrediction, ClassifiedDetections, Detections
from inference_engine.cutting import cut_out
from inference_engine.errors import ModelNotFound, OutputInvalid, ParameterInvalid
from inference_engine.roles import Role

MODELS = Path(__file__).parents[3] / "models"
PAGE = MODELS / "digits" / "page.jpg"
SHADES = ("dark", "bright")


@pytest.fixture
def write_shades(tmp_path):
    """A function that writes a classifier of one family's package: is the mean of a picture above a shade?"""

    def write(folder="shades/onnx", above=0.5):
        where = tmp_path / folder
        where.mkdir(parents=True)
        steep = np.array([[-1], [1]], np.float32) * np.full((1, 3), 200 / 3, np.float32)
        graph = helper.make_graph(
            [
                helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=0),
                helper.make_node("Gemm", ["mean", "weight", "bias"], ["logits"], transB=1),
            ],
            "shades",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 16, 16])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
            [
                numpy_helper.from_array(steep, "weight"),
                numpy_helper.from_array(np.array([above, -above], np.float32) * 200, "bias"),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, where / "model.onnx")
        (where / "class_names.txt").write_text("\n".join(SHADES), encoding="utf-8")
        inference = {
            "network_input": {
                "training_input_size": {"height": 16, "width": 16},
                "resize_mode": "stretch",
                "scaling_factor": 255,
            },
            "forward_pass": {"max_dynamic_batch_size": 4},
        }
        (where / "inference_config.json").write_text(json.dumps(inference), encoding="utf-8")
        config = {"model_architecture": "resnet", "task_type": "classification", "backend_type": "onnx"}
        (where / "model_config.json").write_text(json.dumps(config), encoding="utf-8")
        return where

    return write


class Detector:
    """Finds the boxes that it was given, in every picture."""

    class_names = ("thing",)

    def __init__(self, *boxes):
        self.boxes, self.calls, self.is_closed = boxes, [], False

    def __call__(self, images, *, input_color_format=None, **params):
        self.calls.append((len(images), input_color_format, params))
        return [self.found(image, boxes) for image, boxes in zip(images, self.boxes, strict=True)]

    def found(self, image, boxes):
        xyxy = np.asarray(boxes, np.float32).reshape(-1, 4)
        zeros = np.zeros(len(xyxy), np.int64)
        return Detections(xyxy, np.ones(len(xyxy), np.float32), zeros, image.shape[:2], self.class_names)

    def close(self):
        self.is_closed = True


class Classifier:
    """Tells by a picture's red channel; of a black one it is not sure enough."""

    task = "classification"
    class_names = ("low", "high")

    def __init__(self):
        self.cuts = []

    def __call__(self, images, *, input_color_format=None, **params):
        assert input_color_format == "rgb"
        self.cuts.append([image.shape for image in images])
        return [self.told(image) for image in images]

    def told(self, image):
        red = int(image[..., 0].max())
        kept = 1 if red else 0
        return ClassificationPrediction(
            np.full(kept, red > 100, np.int64), np.full(kept, red / 255, np.float32), image.shape[:2], self.class_names
        )


def joined(detector, classifier):
    return AutoModelPipeline.from_pretrained("detect-then-classify", {"detector": detector, "classifier": classifier})


def test_the_digits_of_a_page_are_found_and_each_is_classified_as_it_is_alone(write_shades):
    image = cv2.imread(str(PAGE))
    detector = AutoModel.from_pretrained("digits", model_dirs=[MODELS], backend="onnx")
    (alone,) = detector(image, confidence=0.5)
    cuts = [image[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] for x0, y0, x1, y1 in alone.xyxy.tolist()]
    shades = [cv2.resize(cut, (16, 16)).mean() / 255 for cut in cuts]
    above = float(np.sort(shades)[len(shades) // 2 - 1 :][:2].mean())
    folder = write_shades(above=above)

    pipeline = AutoModelPipeline.from_pretrained(
        "detect-then-classify",
        {"detector": "digits", "classifier": {"model_id_or_path": folder, "batch_size": 4}},
        shared={"model_dirs": [MODELS], "backend": "onnx"},
    )
    (page,) = pipeline(PAGE, detector={"confidence": 0.5})

    classifier = pipeline.classifier
    expected = [prediction for cut in cuts for prediction in classifier(cut)]
    (found,) = detector(PAGE, confidence=0.5)
    assert page.detections == found
    np.testing.assert_allclose(found.xyxy, alone.xyxy, atol=0.5)  # two decoders of one JPEG
    assert page.labels == [SHADES[int(shade > above)] for shade in shades] == [each.name for each in expected]
    assert set(page.labels) == set(SHADES)
    np.testing.assert_allclose(page.label_confidence, [each.confidence[0] for each in expected], rtol=1e-4)
    pipeline.close()


@pytest.fixture
def write_own(tmp_path):
    """A function that writes a classifier with its own code; the text is added to its class."""

    def write(added=""):
        folder = tmp_path / "own" / "python"
        folder.mkdir(parents=True)
        (folder / "model.py").write_text(
            "import numpy as np\n"
            "from inference_engine import ClassificationPrediction\n"
            "class Own:\n"
            "    class_names = ('any',)\n"
            "    def __init__(self, folder, *, device='cpu'):\n"
            "        self.folder = folder\n"
            "    def __call__(self, images, *, input_color_format=None, **params):\n"
            "        one = np.zeros(1, np.int64), np.ones(1, np.float32)\n"
            f"        return [ClassificationPrediction(*one, i.shape[:2], self.class_names) for i in images]\n{added}",
            encoding="utf-8",
        )
        config = {"model_module": "model.py", "model_class": "Own"}
        (folder / "model_config.json").write_text(json.dumps(config), encoding="utf-8")
        return folder

    return write


def test_a_detector_and_a_package_with_its_own_code_work_together(write_own):
    pipeline = AutoModelPipeline.from_pretrained(
        "detect-then-classify",
        {
            "detector": {"model_id_or_path": "digits", "model_dirs": [MODELS]},
            "classifier": {"model_id_or_path": write_own(), "allow_local_code_packages": True},
        },
    )
    (page,) = pipeline([PAGE], detector={"confidence": 0.5})

    assert page.labels == ["any"] * len(page)
    assert len(page) > 0
    pipeline.close()


def test_cuts_of_all_boxes_and_images_are_classified_in_one_call_and_go_back_to_their_boxes():
    red = np.zeros((20, 30, 3), np.uint8)
    red[:, 10:, 2] = 200  # BGR: the right two thirds are red
    black = np.zeros((10, 10, 3), np.uint8)
    detector = Detector([[0, 0, 5, 5], [12, 2, 20, 12]], [], [[1, 1, 4, 4]])
    classifier = Classifier()

    first, second, third = joined(detector, classifier)([red, black, black])

    assert classifier.cuts == [[(5, 5, 3), (10, 8, 3), (3, 3, 3)]]
    assert (first.labels, second.labels, third.labels) == ([None, "high"], [], [None])
    assert first.label_confidence.tolist() == [0.0, pytest.approx(200 / 255)]
    assert detector.calls == [(3, "rgb", {})]


def test_where_nothing_is_found_the_classifier_is_not_asked():
    classifier = Classifier()

    (found,) = joined(Detector([]), classifier)(np.zeros((4, 4, 3), np.uint8))

    assert (len(found), classifier.cuts) == (0, [])


def test_parameters_reach_the_model_that_they_are_for():
    detector = Detector([[0, 0, 2, 2]])

    joined(detector, Classifier())(np.zeros((4, 4, 3), np.uint8), detector={"confidence": 0.3}, classifier={"k": 1})

    assert detector.calls[0][2] == {"confidence": 0.3}


@pytest.mark.parametrize(
    ("box", "margin", "hw"),
    [
        ([2, 3, 5, 7], 0.0, (4, 3)),
        ([2.2, 3.9, 4.1, 6.1], 0.0, (4, 3)),
        ([10, 10, 14, 18], 0.25, (12, 6)),
        ([0, 0, 4, 4], 1.0, (8, 8)),
        ([0, 0, 30, 20], 0.5, (20, 30)),
        ([5, 5, 5, 5], 0.5, (1, 1)),
        ([30, 20, 30, 20], 0.0, (1, 1)),
        ([-9, -9, -5, -5], 0.0, (1, 1)),
        ([8, 8, 4, 4], 0.0, (1, 1)),
    ],
    ids=[
        "whole",
        "touched pixels",
        "margin",
        "clipped",
        "all of it",
        "empty",
        "in the corner",
        "outside",
        "inside out",
    ],
)
def test_a_box_is_cut_out_to_whole_pixels_on_the_picture(box, margin, hw):
    (cut,) = cut_out(np.zeros((20, 30, 3), np.uint8), np.asarray([box], np.float32), margin)

    assert cut.shape == (*hw, 3)


@given(
    st.lists(st.tuples(*[st.floats(-50, 150, width=32)] * 4), max_size=5),
    st.floats(0, 1),
    st.integers(1, 60),
    st.integers(1, 60),
)
def test_any_boxes_give_cuts_that_have_pixels(boxes, margin, height, width):
    cuts = cut_out(np.zeros((height, width, 3), np.uint8), np.asarray(boxes, np.float32).reshape(-1, 4), margin)

    assert len(cuts) == len(boxes)
    assert all(cut.shape[0] >= 1 and cut.shape[1] >= 1 for cut in cuts)


@pytest.mark.parametrize("margin", [-0.1, 1.1, True, None, "much", float("nan")])
def test_a_margin_that_cannot_be_is_refused(margin):
    with pytest.raises(ParameterInvalid, match="margin"):
        joined(Detector([]), Classifier())(np.zeros((4, 4, 3), np.uint8), margin=margin)


@pytest.mark.parametrize("answer", [None, [], ["a box"], [None, None]], ids=str)
def test_a_detector_that_gives_something_else_is_refused(answer):
    def detector(images, **params):
        return answer

    detector.class_names = ()

    with pytest.raises(OutputInvalid, match="1 predictions of type Detections"):
        joined(detector, Classifier())(np.zeros((4, 4, 3), np.uint8))


def test_a_classifier_that_forgets_a_cut_is_refused():
    def classifier(images, **params):
        return [Classifier().told(images[0])]

    classifier.class_names = ("low", "high")

    with pytest.raises(OutputInvalid, match="2 predictions of type ClassificationPrediction"):
        joined(Detector([[0, 0, 2, 2], [1, 1, 3, 3]]), classifier)(np.zeros((4, 4, 3), np.uint8))


def test_the_record_is_json_and_the_prediction_comes_back_from_it():
    detector = Detector([[0, 0, 5.5, 5.25], [12, 2, 20, 12]])
    red = np.zeros((20, 30, 3), np.uint8)
    red[:, 10:, 2] = 200
    (found,) = joined(detector, Classifier())(red)

    record = json.loads(json.dumps(found.to_record(), allow_nan=False))
    back = ClassifiedDetections.from_record(record, found.detections.class_names, found.label_names)

    assert record["label"] == [None, "high"]
    assert back == found
    assert back.to_record() == record
    drawn = found.draw(red)
    assert drawn.shape == red.shape
    assert (drawn != red).any()


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ({}, "takes models for detector, classifier; missing: detector, classifier"),
        ({"detector": "digits"}, "missing: classifier"),
        ({"detector": "digits", "classifier": "x", "judge": "y"}, "not known: judge"),
        ({"detector": "digits", "clasifier": "x"}, "missing: classifier; not known: clasifier"),
    ],
    ids=["none", "one missing", "one too many", "misspelled"],
)
def test_a_set_of_models_that_does_not_fit_is_refused_before_any_is_opened(models, told):
    with pytest.raises(ParameterInvalid, match=told):
        AutoModelPipeline.from_pretrained("detect-then-classify", models)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model_dirs": []}, "classifier: no model_id_or_path"),
        ({"model_id_or_path": "x", "backnd": "onnx"}, "classifier: unknown keyword 'backnd'"),
        (7, "classifier: expected a ClassificationModel, found int"),
        (print, "expected a ClassificationModel"),
    ],
    ids=["no model", "misspelled keyword", "number", "function"],
)
def test_a_model_that_is_none_is_refused_by_the_name_of_its_part(given, told):
    with pytest.raises(ParameterInvalid, match=told):
        joined(Detector(), given)


def test_models_in_each_others_place_are_refused_although_their_members_are_the_same(write_shades):
    folder, made = write_shades(), {"model_dirs": [MODELS], "backend": "onnx"}

    with pytest.raises(ParameterInvalid, match=r"detector: expected a model of task object-detection, found <shades"):
        AutoModelPipeline.from_pretrained(
            "detect-then-classify", {"detector": folder, "classifier": "digits"}, shared=made
        )


def test_what_was_opened_is_closed_again_when_another_model_fails_and_the_callers_own_is_not(write_own):
    folder = write_own("    def close(self): (self.folder / 'closed').touch()\n")
    own = Detector()

    with pytest.raises(ModelNotFound):
        AutoModelPipeline.from_pretrained(
            "detect-then-classify",
            {"classifier": {"model_id_or_path": folder, "allow_local_code_packages": True}, "detector": "absent"},
        )
    with pytest.raises(ModelNotFound):
        joined(own, "absent")

    assert (folder / "closed").exists()
    assert not own.is_closed


def test_closing_a_pipeline_closes_the_models_that_can_be_closed():
    detector = Detector()

    joined(detector, Classifier()).close()

    assert detector.is_closed


def test_pipelines_are_the_folder_and_an_unknown_one_is_named_with_them():
    assert AutoModelPipeline.list_available_pipelines() == ("detect-then-classify", "detect-then-pose", "read-text")
    with pytest.raises(ParameterInvalid, match="'ocr', only detect-then-classify"):
        AutoModelPipeline.from_pretrained("ocr", {})


def test_an_installed_pipeline_is_found_by_its_entry_point(monkeypatch):
    counts = SimpleNamespace(ROLES={"finder": Role(type(Detector()), "object-detection")}, make=lambda models: models)
    points = [EntryPoint("count", "counting", registry.ENTRY_POINT_GROUP)]
    names = SimpleNamespace(names={"count"})
    monkeypatch.setattr(EntryPoint, "load", lambda _: counts)
    monkeypatch.setattr(registry, "entry_points", lambda **asked: points if "name" in asked else names)
    detector = Detector()

    assert "count" in AutoModelPipeline.list_available_pipelines()
    assert AutoModelPipeline.from_pretrained("count", {"finder": detector}) == {"finder": detector}
