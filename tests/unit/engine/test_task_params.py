"""Parameters that a call or a job gives: checked the same way for every task, and filled up by the package's."""

import numpy as np
import pytest

from inference_engine.errors import PackageInvalid, ParameterInvalid
from inference_engine.inference_config import NmsDefaults
from inference_engine.packages import read_package
from inference_engine.recommended import Recommended, parse_recommended
from inference_engine.tasks.action_recognition import action_recognition_params
from inference_engine.tasks.classification import classification_params
from inference_engine.tasks.detection import detection_params
from inference_engine.tasks.embedding import embedding_params
from inference_engine.tasks.keypoints import key_points_params
from inference_engine.tasks.multi_label import multi_label_params
from inference_engine.tasks.open_vocabulary import open_vocabulary_params
from inference_engine.tasks.panoptic_segmentation import panoptic_segmentation_params
from inference_engine.tasks.parts.parameters import class_thresholds
from inference_engine.tasks.promptable_segmentation import MaskPrompt, prompted_masks_params
from inference_engine.tasks.prompting import prompt_params
from inference_engine.tasks.semantic_segmentation import semantic_segmentation_params
from inference_engine.tasks.structured_ocr import structured_ocr_params

NAMES = ("cat", "dog", "bird")
NMS = NmsDefaults(confidence=0.25)
NOTHING = Recommended()
TUNED = Recommended(0.3, (("dog", 0.7),))
OF_CLASSES = {
    "detection": lambda given, tuned=NOTHING: detection_params(given, NMS, NAMES, tuned),
    "key points": lambda given, tuned=NOTHING: key_points_params(given, NMS, NAMES, tuned),
    "classification": lambda given, tuned=NOTHING: classification_params(given, NAMES, tuned, confidence=0.25),
    "multi-label": lambda given, tuned=NOTHING: multi_label_params(given, NAMES, tuned),
    "panoptic": lambda given, tuned=NOTHING: panoptic_segmentation_params(given, NAMES, tuned),
    "actions": lambda given, tuned=NOTHING: action_recognition_params(given, NAMES, tuned),
}
EVERY = {
    **OF_CLASSES,
    "open vocabulary": lambda given: open_vocabulary_params({"classes": ["cat"], **given}, NMS),
    "semantic": semantic_segmentation_params,
    "text": structured_ocr_params,
}


def thresholds(params):
    return class_thresholds(params, NAMES).tolist()


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)
def test_zero_as_a_whole_number_is_zero(make):
    assert make({"confidence": 0}) == make({"confidence": 0.0})
    assert make({"confidence": 0}).confidence == 0.0


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("value", [-0.1, 1.1, "0.5", True, float("nan"), [0.5]], ids=repr)
def test_a_confidence_that_is_no_share_is_refused(make, value):
    with pytest.raises(ParameterInvalid, match="confidence must be a number from 0 to 1"):
        make({"confidence": value})


@pytest.mark.parametrize(
    "make", [*EVERY.values(), embedding_params, prompt_params, prompted_masks_params],
    ids=[*EVERY, "embedding", "prompt", "masks"],
)  # fmt: skip
def test_a_parameter_that_nothing_reads_is_named_with_those_that_are(make):
    with pytest.raises(ParameterInvalid, match=r"unknown parameter 'confidense'; .* takes "):
        make({"confidense": 0.5})


@pytest.mark.parametrize("make", OF_CLASSES.values(), ids=OF_CLASSES)
def test_a_class_may_have_its_own_threshold_without_a_common_one(make):
    common = make({}).confidence

    found = make({"per_class_confidence": {"dog": 0.75}})

    assert thresholds(found) == pytest.approx([common, 0.75, common])


@pytest.mark.parametrize("make", OF_CLASSES.values(), ids=OF_CLASSES)
def test_classes_that_are_not_wanted_can_never_reach_their_threshold(make):
    assert thresholds(make({"confidence": 0, "classes": ["bird"]})) == [np.inf, np.inf, 0.0]


@pytest.mark.parametrize("make", OF_CLASSES.values(), ids=OF_CLASSES)
def test_what_a_package_recommends_holds_until_the_call_says_otherwise(make):
    assert thresholds(make({}, TUNED)) == pytest.approx([0.3, 0.7, 0.3])
    assert thresholds(make({"confidence": 0.5}, TUNED)) == [0.5, 0.5, 0.5]
    assert thresholds(make({"per_class_confidence": {"cat": 0.1}}, TUNED)) == pytest.approx([0.1, 0.7, 0.3])


@pytest.mark.parametrize("make", OF_CLASSES.values(), ids=OF_CLASSES)
def test_a_packages_threshold_of_one_class_holds_without_a_common_one(make):
    common = make({}).confidence

    assert thresholds(make({}, Recommended(None, (("dog", 0.9),)))) == pytest.approx([common, 0.9, common])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"per_class_confidence": {"wolf": 0.5}}, "no class 'wolf'"),
        ({"per_class_confidence": {"dog": 2}}, "per_class_confidence of 'dog' must be"),
        ({"per_class_confidence": [0.5]}, "must map class names"),
        ({"classes": ["wolf"]}, "no class 'wolf'; it has 3: cat, dog, bird"),
        ({"classes": []}, "classes must be names"),
    ],
    ids=["unknown class", "no share", "no mapping", "unknown filter", "empty filter"],
)
@pytest.mark.parametrize("make", OF_CLASSES.values(), ids=OF_CLASSES)
def test_thresholds_and_filters_that_fit_no_class_are_refused(make, given, message):
    with pytest.raises(ParameterInvalid, match=message):
        make(given)


def test_a_score_that_float32_rounds_below_its_threshold_is_kept():
    table = class_thresholds(detection_params({"confidence": 0.7}, NMS, NAMES), NAMES)

    assert float(np.float32(0.7)) < 0.7
    assert np.float32(0.7) >= table[0]


def test_a_single_label_is_reported_however_unsure_and_several_from_one_half():
    assert (classification_params({}, NAMES).confidence, classification_params({}, NAMES).max_classes) == (0.0, 1)
    assert (multi_label_params({}, NAMES).confidence, multi_label_params({}, NAMES).max_classes) == (0.5, None)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "2"], ids=repr)
def test_a_number_of_classes_that_is_no_count_is_refused(value):
    with pytest.raises(ParameterInvalid, match="max_classes must be a positive whole number"):
        classification_params({"max_classes": value}, NAMES)


@pytest.mark.parametrize("classes", [None, [], "  ", ["cat", "cat"], ["cat", 3]], ids=repr)
def test_an_open_vocabulary_needs_different_words(classes):
    with pytest.raises(ParameterInvalid, match=r"what to look for|different texts"):
        open_vocabulary_params({"classes": classes}, NMS)


def test_an_open_vocabularys_words_are_its_classes():
    found = open_vocabulary_params({"classes": ["a red car", "dog"], "per_class_confidence": {"dog": 0.9}}, NMS)

    assert class_thresholds(found, found.classes).tolist() == pytest.approx([0.25, 0.9])


@pytest.mark.parametrize(
    "given",
    [{}, {"prompt": " "}, {"prompt": "a", "max_new_tokens": 0}, {"prompt": "a", "do_sample": 1}],
    ids=["none", "blank", "no tokens", "no flag"],
)
def test_a_prompt_that_asks_nothing_or_for_nothing_is_refused(given):
    with pytest.raises(ParameterInvalid):
        prompt_params(given)


def test_embeddings_are_float32_or_float16():
    assert (embedding_params({}).dtype, embedding_params({"dtype": "float16"}).dtype) == ("float32", "float16")
    with pytest.raises(ParameterInvalid, match="float32, float16"):
        embedding_params({"dtype": "int8"})


def test_points_lie_on_the_object_unless_they_say_otherwise():
    found = prompted_masks_params({"prompts": [{"points": [[1, 2.5]]}, {"box": [0, 0, 4, 4]}]})

    assert found.prompts == (MaskPrompt(((1.0, 2.5),), (1,)), MaskPrompt((), (), (0.0, 0.0, 4.0, 4.0)))


@pytest.mark.parametrize(
    "prompts",
    [None, [], "box", [{}], [[1, 2]], [{"points": [[1]]}], [{"points": [[1, 2]], "labels": [2]}],
     [{"points": [[1, 2]], "labels": [1, 0]}], [{"box": [4, 0, 0, 4]}], [{"box": [0, 0, float("inf"), 4]}]],
    ids=["none", "empty", "text", "shows nothing", "no object", "half a point", "label", "labels", "inside out", "inf"],
)  # fmt: skip
def test_prompts_that_show_no_object_are_refused(prompts):
    with pytest.raises(ParameterInvalid):
        prompted_masks_params({"prompts": prompts})


def test_a_package_says_what_it_recommends(write_package):
    recommended = {"confidence": 0.2, "per_class_confidence": {"dog": 1}}

    assert read_package(write_package(recommended_parameters=recommended)).recommended == Recommended(
        0.2, (("dog", 1.0),)
    )
    assert read_package(write_package("plain/onnx")).recommended == Recommended()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"confidence": 2}, "confidence must be a number from 0 to 1"),
        ({"per_class_confidence": {"dog": "high"}}, "confidence of 'dog'"),
        ({"per_class_confidence": {"wolf": 0.5}}, "'wolf', which is no class"),
        ({"iou": 0.5}, "unknown key 'iou'"),
        ([0.5], "must be an object"),
    ],
    ids=["no share", "no number", "no class", "key", "list"],
)
def test_a_recommendation_that_would_apply_to_nothing_is_refused(section, message):
    with pytest.raises(PackageInvalid, match=message):
        parse_recommended({"recommended_parameters": section}, NAMES, "model_config.json")


def test_what_is_stuff_is_what_the_call_says_and_else_what_the_package_says():
    assert panoptic_segmentation_params({}, NAMES, stuff_classes=("dog",)).stuff_classes == ("dog",)
    assert panoptic_segmentation_params({"stuff_classes": []}, NAMES, stuff_classes=("dog",)).stuff_classes == ()
    assert panoptic_segmentation_params({"stuff_classes": "cat"}, NAMES).stuff_classes == ("cat",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stuff_classes": ["wolf"]}, "no class 'wolf'"),
        ({"stuff_classes": 3}, "stuff_classes must be names"),
        ({"mask_threshold": 2}, "mask_threshold must be a number from 0 to 1"),
        ({"overlap_threshold": "0.5"}, "overlap_threshold must be a number from 0 to 1"),
    ],
    ids=["unknown class", "no names", "mask", "overlap"],
)
def test_wrong_parameters_of_segments_are_refused(given, message):
    with pytest.raises(ParameterInvalid, match=message):
        panoptic_segmentation_params(given, NAMES)
