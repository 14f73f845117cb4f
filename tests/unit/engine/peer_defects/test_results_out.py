"""What comes out of a model: thresholds, scores, boxes, and the same for a picture alone and among others."""

import numpy as np
import pytest

from inference_engine import AutoModel
from inference_engine.boxes import PRE_NMS_TOP_K
from inference_engine.errors import ParameterInvalid
from inference_engine.families import recipe
from inference_engine.images import Fit
from inference_engine.inference_config import InferenceConfig, NetworkInput
from inference_engine.model import VisionModel
from inference_engine.testing import ScriptedSession
from tests.unit.engine.conftest import INFERENCE
from tests.unit.engine.peer_defects.conftest import write_family

FUSED = {"post_processing": {"type": "nms", "fused": True}}
PICTURE = np.zeros((32, 32, 3), np.uint8)
#: What a detector may be asked for, with values that no family takes.
WRONG = {
    "confidence": (-0.1, 1.1, True, "0.5", float("nan")),
    "iou_threshold": (2, "x"),
    "max_detections": (0, 1.5, -1),
    "class_agnostic": (1, "yes"),
    "classes": (["unicorn"], "unicorn"),
}


@pytest.fixture
def pictures():
    """Pictures of different sizes and shades."""
    rng = np.random.default_rng(11)
    return [rng.integers(0, 256, (h, w, 3), np.uint8).repeat(12, 0).repeat(12, 1) for h, w in ((4, 6), (7, 3), (5, 5))]


def test_peer_defect_5_a_confidence_of_0_is_one_of_0_0(model, pictures):
    whole, fraction = model(pictures, confidence=0), model(pictures, confidence=0.0)

    assert whole == fraction
    assert min(map(len, whole)) > 0
    assert sum(map(len, whole)) >= sum(map(len, model(pictures, confidence=0.9)))


def test_peer_defect_13_boxes_keep_their_fractions_in_pixels_and_in_records(model, pictures):
    found = model(pictures, confidence=0)

    for prediction in found:
        assert prediction.xyxy.dtype == np.float32
        assert prediction.from_record(prediction.to_record(), model.class_names) == prediction
    assert any((prediction.xyxy % 1).any() for prediction in found)


def test_peer_defect_17_no_run_is_larger_than_the_package_allows(family, tmp_path, pictures):
    opened = AutoModel.from_pretrained(write_family(tmp_path, family, max_dynamic_batch_size=3))
    session = Counting(opened.session)
    model = VisionModel(opened.package, session, recipe(opened.package.family, opened.package.task), opened.decision)

    found = model(pictures * 3, confidence=0)

    assert (model.batch_size, session.sizes) == (3, [3, 3, 3])
    assert len(found) == 9


class Counting:
    """A session that notes the size of each run."""

    def __init__(self, session):
        self._session, self.sizes = session, []
        self.inputs, self.outputs = session.inputs, session.outputs
        self.max_batch_size, self.concurrency = session.max_batch_size, session.concurrency

    def run(self, inputs):
        self.sizes.append(len(next(iter(inputs.values()))))
        return self._session.run(inputs)

    def close(self):
        self._session.close()


def test_peer_defect_18_a_picture_among_others_gives_what_it_gives_alone(model, pictures):
    together = model(pictures, confidence=0.05)

    for found, picture in zip(together, pictures, strict=True):
        (alone,) = model(picture, confidence=0.05)
        assert found.class_id.tolist() == alone.class_id.tolist()
        np.testing.assert_allclose(found.confidence, alone.confidence, atol=1e-5)
        np.testing.assert_allclose(found.xyxy, alone.xyxy, atol=1e-2)


def test_peer_defect_20_a_box_without_an_object_in_it_is_none_however_sure_its_class(write_package):
    head = np.array([[8, 8, 4, 4, 0.01, 0.99, 0.1], [20, 20, 4, 4, 0.9, 0.1, 0.8]])

    (found,) = AutoModel.from_pretrained(write_package(head=head, model_architecture="yolov5"))(PICTURE)

    assert found.names == ["dog"]
    np.testing.assert_allclose(found.confidence, [0.72])


@pytest.mark.parametrize("confidence", [0.25, 0.5, 0.75])
def test_peer_defect_29_a_score_at_the_threshold_is_kept_with_and_without_suppression_inside(write_package, confidence):
    scores = np.array([0.75, 0.5, 0.25])
    centres = np.array([4.0, 16.0, 28.0])
    plain = np.stack([centres, centres, *np.full((2, 3), 4.0), scores, np.zeros(3)])
    fused = np.stack([centres - 2, centres - 2, centres + 2, centres + 2, scores, np.zeros(3)], axis=1)
    models = [
        AutoModel.from_pretrained(write_package("plain/onnx", head=plain)),
        AutoModel.from_pretrained(write_package("fused/onnx", head=fused, inference=INFERENCE | FUSED)),
    ]

    (one,), (other,) = (model(PICTURE, confidence=confidence) for model in models)

    assert one == other
    assert one.confidence.tolist() == [score for score in scores if score >= confidence]


def test_peer_defect_29_suppression_looks_at_a_bounded_number_of_candidates(write_package):
    anchors = 8400
    centres = np.linspace(1, 31, anchors)
    scores = np.linspace(0.9, 0.1, anchors)
    head = np.stack([centres, centres, *np.full((2, anchors), 1e-3), scores, np.zeros(anchors)])
    model = AutoModel.from_pretrained(write_package(head=head))

    (found,) = model(PICTURE, confidence=0, max_detections=anchors)

    # No box overlaps another, so each of the candidates that were looked at is there.
    assert len(found) == PRE_NMS_TOP_K < anchors
    np.testing.assert_allclose(found.confidence, scores[:PRE_NMS_TOP_K], rtol=1e-6)


def test_peer_defect_31_a_class_may_have_a_threshold_of_its_own_in_every_family(model, pictures):
    everything = model(pictures, confidence=0, max_detections=1000)
    name = everything[0].names[0]

    found = model(pictures, confidence=0, max_detections=1000, per_class_confidence={name: 1.0})

    assert name in everything[0].names
    for one, all_of_it in zip(found, everything, strict=True):
        assert name not in one.names or (one.confidence[np.array(one.names) == name] >= 1).all()
        assert set(one.names) - {name} <= set(all_of_it.names)
    with pytest.raises(ParameterInvalid, match="no class 'unicorn'"):
        model(pictures, per_class_confidence={"unicorn": 0.5})


def test_peer_defect_31_thresholds_that_a_package_recommends_hold_without_one_for_all(write_package):
    head = np.array([[8, 24], [8, 24], [4, 4], [4, 4], [0.6, 0], [0, 0.6]])
    recommended = {"recommended_parameters": {"per_class_confidence": {"dog": 0.7}}}

    (found,) = AutoModel.from_pretrained(write_package(head=head, **recommended))(PICTURE)

    assert found.names == ["cat"]


def test_peer_defect_31_a_single_label_has_thresholds_of_its_classes_too(make_package):
    kind = {"architecture": "resnet", "family": "classification", "task": "classification"}
    package = make_package(config=InferenceConfig(NetworkInput((32, 32)), post_processing="softmax"), **kind)
    classifier, logits = recipe("classification", "classification"), np.log(np.array([[0.3, 0.7]], np.float32))

    def names(**given):
        fit = Fit((1.0, 1.0), (0, 0), (32, 32))
        params = classifier.check_params(given, package)
        return classifier.postprocess({"output0": logits}, [fit], package, params)[0].names

    assert names() == ["dog"]
    assert names(per_class_confidence={"dog": 0.9}) == ["cat"]
    assert names(per_class_confidence={"dog": 0.9, "cat": 0.9}) == []


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_parameter_has_one_name_and_is_checked_in_every_family(model, name, value):
    with pytest.raises(ParameterInvalid, match=name if name != "classes" else "class"):
        model(PICTURE, **{name: value})


def test_an_unknown_parameter_is_refused_with_the_same_names_in_every_family(model):
    with pytest.raises(ParameterInvalid, match=r"'conf'; a detector takes confidence, iou_threshold, max_detections"):
        model(PICTURE, conf=0.5)


def test_what_a_family_does_without_is_refused_and_not_ignored(tmp_path):
    model = AutoModel.from_pretrained(write_family(tmp_path, "detr"))

    with pytest.raises(ParameterInvalid, match="iou_threshold cannot be changed: no box suppresses another in detr"):
        model(PICTURE, iou_threshold=0.5)


def test_an_output_that_is_no_batch_of_a_familys_heads_is_an_error_of_ours(model):
    params, fit = model.check_params({}), model.preprocess(PICTURE)[1]
    session = ScriptedSession(np.zeros((3, 5), np.float32))
    names = [spec.name for spec in model.session.outputs]
    outputs = session.run({"images": np.zeros((1, 3, 32, 32), np.float32)})

    with pytest.raises(Exception, match="expected") as caught:
        model.postprocess(dict.fromkeys(names, outputs["output0"]), [fit], params)
    assert caught.value.code == "output_invalid"
