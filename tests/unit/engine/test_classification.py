"""Classifiers, from a package folder to ranked classes, against values that the test computes by itself."""

import json
import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference_engine import AutoModel, MeasuringOptions
from inference_engine.errors import NoRunnableBackend, OutputInvalid, PackageInvalid, ParameterInvalid
from inference_engine.families import classification, recipe
from inference_engine.images import Fit
from inference_engine.inference_config import InferenceConfig, NetworkInput
from inference_engine.interfaces import ClassificationModel
from inference_engine.packages import read_package
from inference_engine.sessions import SessionOptions
from inference_engine.tasks.classification import ClassificationPrediction

NAMES = ("cat", "dog", "bird", "fish")
HW = (12, 16)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SINGLE, MULTI = "classification", "multi-label-classification"
ONE_THREAD = SessionOptions(threads=1)
RNG = np.random.default_rng(11)
WEIGHT, BIAS = RNG.normal(size=(len(NAMES), 3)).astype(np.float32), RNG.normal(size=len(NAMES)).astype(np.float32)
#: Of one colour each, which no resize changes.
COLOURS = {(12, 16): (250, 10, 30), (24, 32): (0, 128, 255), (36, 16): (90, 90, 200), (7, 9): (1, 2, 3)}
IMAGES = [np.full((*hw, 3), colour, np.uint8) for hw, colour in COLOURS.items()]


def network(activation=None, batch="n"):
    """A linear layer on the mean of each channel: `(n, classes)`."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["mean", "weight", "bias"], ["logits"], transB=1),
        helper.make_node(activation or "Identity", ["logits"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, *HW])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, len(NAMES)])],
        [numpy_helper.from_array(WEIGHT, "weight"), numpy_helper.from_array(BIAS, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def write_classifier(tmp_path):
    """A function that writes a classifier's package; keywords change its `model_config.json`."""

    def write(folder="pets/onnx", *, post=None, names=NAMES, model=None, inference=None, **changes):
        where = tmp_path / folder
        where.mkdir(parents=True)
        onnx.save(model or network(), where / "model.onnx")
        (where / "class_names.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        fitted = {
            "network_input": {
                "training_input_size": {"height": HW[0], "width": HW[1]},
                "resize_mode": "stretch",
                "scaling_factor": 255,
                "normalization": [MEAN, STD],
            },
            "forward_pass": {"max_dynamic_batch_size": 8},
        }
        fitted |= {"post_processing": post} if post else {}
        (where / "inference_config.json").write_text(json.dumps(fitted | (inference or {})), encoding="utf-8")
        config = {
            "model_architecture": "resnet",
            "task_type": SINGLE,
            "backend_type": "onnx",
            "quantization": "fp32",
            "weights": "model.onnx",
        }
        (where / "model_config.json").write_text(json.dumps(config | changes), encoding="utf-8")
        return where

    return write


def opened(folder, **wishes):
    return AutoModel.from_pretrained(folder, options=ONE_THREAD, **wishes)


def logits_of(image):
    """The network's numbers for a picture of one RGB colour, in plain Python."""
    red, green, blue = (int(value) for value in image[0, 0])
    mean = [(value / 255 - m) / s for value, m, s in zip((red, green, blue), MEAN, STD, strict=True)]
    return [
        sum(w * x for w, x in zip(row, mean, strict=True)) + b for row, b in zip(WEIGHT.tolist(), BIAS, strict=True)
    ]


def shares_of(values):
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


def logistic_of(values):
    return [1 / (1 + math.exp(-value)) for value in values]


def ranked(scores, least=0.0, most=None):
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    kept = [index for index in order if scores[index] >= least][:most]
    return kept, [scores[index] for index in kept]


def check(found, expected):
    class_id, confidence = expected
    assert found.class_id.tolist() == class_id
    np.testing.assert_allclose(found.confidence, confidence, atol=2e-5)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
@pytest.mark.parametrize("image", IMAGES, ids=lambda image: f"{image.shape[1]}x{image.shape[0]}")
def test_a_single_label_has_the_softmax_of_its_class(write_classifier, backend, image):
    model = opened(write_classifier(), backend=backend)

    (found,) = model(image, input_color_format="rgb", max_classes=4)

    check(found, ranked(shares_of(logits_of(image))))
    assert (found.task, found.image_hw) == (SINGLE, image.shape[:2])
    model.close()


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
@pytest.mark.parametrize("image", IMAGES, ids=lambda image: f"{image.shape[1]}x{image.shape[0]}")
def test_several_labels_have_each_their_own_logistic(write_classifier, backend, image):
    model = opened(write_classifier(task_type=MULTI), backend=backend)

    (found,) = model(image, input_color_format="rgb")

    check(found, ranked(logistic_of(logits_of(image)), least=0.5))
    assert found.task == MULTI
    model.close()


@pytest.mark.parametrize(
    ("kind", "activation", "by_hand"),
    [("softmax", "Softmax", shares_of), ("sigmoid", "Sigmoid", logistic_of)],
    ids=["softmax", "sigmoid"],
)
def test_an_activation_that_is_fused_in_is_not_done_again(write_classifier, kind, activation, by_hand):
    model = opened(write_classifier(post={"type": kind, "fused": True}, model=network(activation)))

    (found,) = model(IMAGES[0], input_color_format="rgb", max_classes=4)

    check(found, ranked(by_hand(logits_of(IMAGES[0]))))
    model.close()


def test_the_package_names_the_activation_whatever_its_task(write_classifier):
    model = opened(write_classifier(post={"type": "sigmoid", "fused": False}))

    (found,) = model(IMAGES[0], input_color_format="rgb", max_classes=4)

    check(found, ranked(logistic_of(logits_of(IMAGES[0]))))
    model.close()


@pytest.mark.parametrize("task", [SINGLE, MULTI])
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_batch_gives_what_its_images_give_alone(write_classifier, task, backend):
    model = opened(write_classifier(task_type=task), backend=backend)
    pictures = [RNG.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((30, 20), (12, 16), (5, 50), (64, 48), (9, 9))]

    together = model(pictures, confidence=0, max_classes=4)
    alone = [model(picture, confidence=0, max_classes=4)[0] for picture in pictures]

    for one, other in zip(together, alone, strict=True):
        assert one.class_id.tolist() == other.class_id.tolist()
        np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-6)
    model.close()


@pytest.mark.parametrize("task", [SINGLE, MULTI])
def test_candidates_are_measured_by_the_classes_that_they_give(write_classifier, task):
    pictures = [RNG.integers(0, 256, (12, 16, 3), np.uint8) for _ in range(3)]
    measuring = MeasuringOptions(samples=pictures, budget_s=2)

    model = opened(write_classifier(task_type=task), strategy="measured", measuring=measuring)

    others = [c.measurement.agreement for c in model.decision.candidates if c.measurement and c.measurement.agreement]
    assert {(found.by, found.compared, found.agrees) for found in others} == {("classes", 3, True)}
    model.close()


def test_a_classifier_has_its_interface_and_says_its_task(write_classifier):
    model = opened(write_classifier())

    assert isinstance(model, ClassificationModel)
    assert (model.task, model.class_names) == (SINGLE, NAMES)
    model.close()


@pytest.mark.parametrize("names", [NAMES[:3], (*NAMES, "ghost")], ids=["too few", "too many"])
def test_names_that_do_not_belong_to_the_weights_are_refused_when_it_opens(write_classifier, names):
    with pytest.raises(NoRunnableBackend, match=r"expected . on axis 1 of 2"):
        opened(write_classifier(names=names))


@pytest.mark.parametrize("architecture", ["resnet", "vit", "efficientnet", "convnext", "dinov2"])
def test_architectures_of_classifiers_are_of_this_family(write_classifier, architecture):
    assert read_package(write_classifier(model_architecture=architecture)).family == "classification"


def test_suppression_of_boxes_is_nothing_for_a_classifier(write_classifier):
    with pytest.raises(PackageInvalid, match=r"asks for nms .* applies class removal, fused, sigmoid, softmax only"):
        read_package(write_classifier(post={"type": "nms", "fused": False}))


def test_a_package_whose_thresholds_were_tuned_class_by_class_needs_no_common_one(write_classifier):
    expected = ranked(shares_of(logits_of(IMAGES[0])))
    best = NAMES[expected[0][0]]
    model = opened(write_classifier(recommended_parameters={"per_class_confidence": {best: expected[1][0] + 0.001}}))

    (found,) = model(IMAGES[0], input_color_format="rgb")
    (anyway,) = model(IMAGES[0], input_color_format="rgb", confidence=0)

    assert found.name == NAMES[expected[0][1]]
    assert anyway.name == best
    model.close()


FIT = Fit((1.0, 1.0), (0, 0), (12, 16))


@pytest.fixture
def package(make_package):
    def make(task=SINGLE, **changes):
        config = InferenceConfig(NetworkInput(HW), **changes.pop("config", {}))
        return make_package(family="classification", task=task, class_names=NAMES, config=config, **changes)

    return make


def rank(heads, package, **given):
    made = recipe("classification", package.task)
    heads = np.asarray(heads, np.float32)
    return made.postprocess({"any": heads}, [FIT] * len(heads), package, made.check_params(given, package))


HEAD = [2.0, 1.0, 0.0, -1.0]
SHARES = shares_of(HEAD)


def test_single_label_classification_takes_a_threshold_for_each_class(package):
    """Peer defect 31: it has none, and its map is ignored unless a global threshold is there too."""
    below, above = {"cat": SHARES[0] + 0.01}, {"cat": SHARES[0] - 0.01}

    assert rank([HEAD], package(), per_class_confidence=above)[0].name == "cat"
    assert rank([HEAD], package(), per_class_confidence=below)[0].name == "dog"
    assert rank([HEAD], package(), per_class_confidence=below, confidence=0.9)[0].name is None


def test_a_class_filter_leaves_the_best_of_those_that_are_wanted(package):
    (found,) = rank([HEAD], package(), classes=["fish", "bird"])

    assert (found.names, found.confidence.tolist()) == (["bird"], pytest.approx([SHARES[2]]))


def test_zero_keeps_every_class_and_one_keeps_none_that_is_unsure(package):
    assert len(rank([HEAD], package(), confidence=0, max_classes=10)[0]) == 4
    assert len(rank([HEAD], package(), confidence=1)[0]) == 0


def test_a_score_at_its_threshold_is_kept(package):
    (found,) = rank([[0.5, 0.25, 0, 0]], package(MULTI, config={"is_fused": True}), confidence=0.25)

    assert found.names == ["cat", "dog"]


def test_equal_scores_rank_by_class_id(package):
    assert rank([[1, 1, 1, 1]], package(), max_classes=4)[0].class_id.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("task", [SINGLE, MULTI])
def test_a_score_that_is_no_number_is_that_images_error_only(package, task, bad):
    first, second, third = rank([HEAD, [0, bad, 0, 0], HEAD], package(task))

    assert isinstance(second, OutputInvalid)
    assert isinstance(first, ClassificationPrediction)
    assert first == third


@pytest.mark.parametrize("head", [HEAD, [0.2, -0.1, 0.4, 0.4]])
def test_raw_scores_of_a_package_that_says_fused_are_an_invalid_output(package, head):
    (found,) = rank([head], package(config={"is_fused": True}))

    assert isinstance(found, OutputInvalid)
    assert "post_processing.fused" in str(found)


def test_half_precisions_last_bit_is_no_invalid_output(package):
    (found,) = rank([[1.0005, -0.0004, 0, 0]], package(config={"is_fused": True}), max_classes=4)

    assert (found.confidence.max(), found.confidence.min()) == (1.0, 0.0)


@pytest.mark.parametrize("shape", [(1, 3), (2, 4), (1, 4, 1)])
def test_an_output_of_another_shape_is_invalid(package, shape):
    made = recipe("classification", SINGLE)

    with pytest.raises(OutputInvalid, match=r"expected \(1, 4\)"):
        made.postprocess({"any": np.zeros(shape, np.float32)}, [FIT], package(), made.check_params({}, package()))


def test_a_removed_class_takes_its_share_with_it(make_package):
    removed = make_package(
        family="classification",
        task=SINGLE,
        class_names=("dog", "fish"),
        network_classes=NAMES,
        config=InferenceConfig(NetworkInput(HW), removed_classes=("cat", "bird")),
    )

    (found,) = rank([HEAD], removed, max_classes=2)

    assert found.names == ["dog", "fish"]
    assert found.confidence.tolist() == pytest.approx([SHARES[1], SHARES[3]])


def test_parameters_of_detectors_are_refused(package):
    with pytest.raises(ParameterInvalid, match=r"'iou_threshold'; a classifier takes confidence, max_classes"):
        rank([HEAD], package(), iou_threshold=0.5)


def test_both_tasks_of_the_family_share_one_decoding():
    assert {made.postprocess for made in classification.RECIPES.values()} == {classification.postprocess}
