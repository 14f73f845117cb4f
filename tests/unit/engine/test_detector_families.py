"""Every head that gives boxes: the same objects, the same parameters, the same results, in one table."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from inference_engine.boxes import PRE_NMS_TOP_K
from inference_engine.errors import OutputInvalid, ParameterInvalid
from inference_engine.families import recipe
from inference_engine.images import Fit, plan_fit
from inference_engine.inference_config import InferenceConfig, NetworkInput
from inference_engine.network_input import ResizeMode
from tests.fixtures.detector_heads import ANCHORS, CLASSES, HEADS, SIDE, batch_of, package_fields

#: Half the size in the network, 8 rows of padding above.
FIT = Fit((0.5, 0.5), (0, 8), (96, 128))
# Two cats on each other, a dog on them, a bird apart; in network pixels.
OBJECTS = [
    (8, 16, 28, 40, 0, 0.9),
    (8, 16, 28, 36, 0, 0.6),
    (8, 20, 28, 40, 1, 0.7),
    (40, 20, 56, 44, 2, 0.5),
]
IN_PICTURE = {0.9: [16, 16, 56, 64], 0.6: [16, 16, 56, 56], 0.7: [16, 24, 56, 64], 0.5: [80, 24, 112, 72]}
SUPPRESSING = [name for name, head in HEADS.items() if head.suppresses]
OTHERS = [name for name in HEADS if name not in SUPPRESSING]


@pytest.fixture
def package(make_package):
    def make(name, **nms):
        return make_package(**package_fields(name, **nms))

    return make


def decode(name, package, images, fits=None, **given):
    found = recipe(package.family, package.task)
    params = found.check_params(given, package)
    return found.postprocess(batch_of(images), fits or [FIT] * len(images), package, params)


def encode(name, objects):
    return HEADS[name].encode(objects, HEADS[name].task)


def confidences(prediction):
    return [round(float(score), 3) for score in prediction.confidence]


@pytest.mark.parametrize("name", HEADS)
def test_boxes_lie_where_the_objects_are(package, name):
    (found,) = decode(name, package(name), [encode(name, OBJECTS)], confidence=0.3)

    suppressed = {0.6} if HEADS[name].suppresses else set()
    expected = [score for score in (0.9, 0.7, 0.6, 0.5) if score not in suppressed]
    assert confidences(found) == expected
    np.testing.assert_allclose(found.xyxy, [IN_PICTURE[score] for score in expected], atol=1e-3)
    assert found.names == [{0.9: "cat", 0.6: "cat", 0.7: "dog", 0.5: "bird"}[score] for score in expected]
    assert found.image_hw == (96, 128)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"confidence": 0.65}, [0.9, 0.7]),
        ({"confidence": 1}, []),
        ({"confidence": 0.3, "max_detections": 1}, [0.9]),
        ({"confidence": 0.3, "classes": ["bird", "dog"]}, [0.7, 0.5]),
        ({"confidence": 0.8, "per_class_confidence": {"bird": 0.4}}, [0.9, 0.5]),
        ({"per_class_confidence": {"cat": 0.95, "dog": 0.7}}, [0.7, 0.5]),
    ],
    ids=["threshold", "threshold of one", "number", "classes", "threshold of a class", "a score at its threshold"],
)
def test_parameters_mean_the_same_for_every_head(package, name, given, expected):
    (found,) = decode(name, package(name), [encode(name, OBJECTS)], **given)

    assert confidences(found) == expected


@pytest.mark.parametrize("name", HEADS)
def test_zero_as_a_whole_number_and_as_a_float_are_one_threshold(package, name):
    whole, real = (decode(name, package(name), [encode(name, OBJECTS)], confidence=zero) for zero in (0, 0.0))

    assert whole == real
    assert len(whole[0]) >= 3


@pytest.mark.parametrize("name", SUPPRESSING)
def test_boxes_of_all_classes_suppress_each_other_where_that_is_asked_for(package, name):
    (found,) = decode(name, package(name), [encode(name, OBJECTS)], class_agnostic=True)

    assert confidences(found) == [0.9, 0.5]


@pytest.mark.parametrize("name", SUPPRESSING)
def test_an_overlap_of_one_keeps_every_box(package, name):
    (found,) = decode(name, package(name), [encode(name, OBJECTS)], iou_threshold=1.0)

    assert confidences(found) == [0.9, 0.7, 0.6, 0.5]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("given", [{"iou_threshold": 0.5}, {"class_agnostic": True}], ids=["overlap", "agnostic"])
def test_heads_without_suppression_refuse_its_parameters(package, name, given):
    with pytest.raises(ParameterInvalid, match=f"{next(iter(given))} cannot be changed"):
        decode(name, package(name), [encode(name, OBJECTS)], **given)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("given", [{"confidence": -0.1}, {"max_detections": 0}, {"classes": ["cow"]}, {"colour": 1}])
def test_parameters_that_cannot_be_are_refused_by_every_head(package, name, given):
    with pytest.raises(ParameterInvalid):
        decode(name, package(name), [encode(name, OBJECTS)], **given)


@pytest.mark.parametrize("name", HEADS)
def test_a_batch_gives_what_its_images_give_alone(package, name):
    images = [encode(name, objects) for objects in (OBJECTS, [], OBJECTS[2:])]
    fits = [FIT, Fit((1.0, 1.0), (0, 0), (64, 64)), Fit((2.0, 2.0), (16, 0), (32, 16))]
    made = package(name)

    together = decode(name, made, images, fits)

    assert together == [decode(name, made, [image], [fit])[0] for image, fit in zip(images, fits, strict=True)]
    assert len(together[0]) >= 3
    assert len(together[1]) == 0


@pytest.mark.parametrize("name", [name for name, head in HEADS.items() if head.family != "rf_detr"])  # has logits
def test_scores_that_are_no_shares_are_the_error_of_their_image_alone(package, name):
    good, odd = encode(name, OBJECTS), encode(name, [(8, 16, 28, 40, 0, 0.9), (40, 20, 56, 44, 2, 7.0)])

    first, damaged = decode(name, package(name), [good, odd])

    assert isinstance(damaged, OutputInvalid)
    assert "for this image" in str(damaged)
    assert first == decode(name, package(name), [good])[0]


@pytest.mark.parametrize("name", SUPPRESSING)
def test_suppression_looks_at_a_bounded_number_of_candidates_at_confidence_zero(package, name):
    side = 1024
    image = encode(name, [])
    anchors = 21504 if HEADS[name].family == "yolox" else 9000
    grown = {}
    for key, array in image.items():
        axis = [i for i, size in enumerate(array.shape) if size == ANCHORS]
        grown[key] = np.repeat(array, anchors // ANCHORS, axis[0]) if axis else array
    made = package(name)
    config = InferenceConfig(NetworkInput((side, side)), is_fused=False)
    made = replace(made, config=config)

    (found,) = decode(name, made, [grown], confidence=0.0, iou_threshold=1.0, max_detections=10**6)

    assert len(found) <= PRE_NMS_TOP_K


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("change", ["a name too many", "a missing output", "another batch"])
def test_outputs_that_do_not_fit_the_package_are_refused_with_their_shapes(package, name, change):
    outputs = batch_of([encode(name, OBJECTS)] * 2)
    made = package(name)
    if change == "a name too many":
        made = replace(made, class_names=(*CLASSES, "cow", "sheep"))
        outputs = {key: value[..., :-1] for key, value in outputs.items()}
    elif change == "a missing output":
        outputs = {"other": np.zeros((2, 7), np.float32)}
    else:
        outputs = {key: value[:1] for key, value in outputs.items()}
    found = recipe(made.family, made.task)

    with pytest.raises(OutputInvalid, match="expected"):
        found.postprocess(outputs, [FIT, FIT], made, found.check_params({}, made))


@pytest.mark.parametrize("name", [name for name, head in HEADS.items() if "protos" in encode(name, [])])
def test_masks_fill_the_boxes_of_their_instances(package, name):
    (found,) = decode(name, package(name), [encode(name, OBJECTS)])

    for mask, (x0, y0, x1, y1) in zip(found.masks, found.xyxy.round().astype(int).tolist(), strict=True):
        expected = np.zeros(found.image_hw, np.bool_)
        expected[y0:y1, x0:x1] = True
        np.testing.assert_array_equal(mask, expected)


def test_the_masks_of_queries_are_their_logits_enlarged_wherever_they_are_positive(package):
    rng = np.random.default_rng(5)
    image = encode("rf-detr seg", OBJECTS)
    image["masks"] = cv2.GaussianBlur(rng.normal(size=(16, 16, 20)), (5, 5), 1).transpose(2, 0, 1) - 0.1

    (found,) = decode("rf-detr seg", package("rf-detr seg"), [image], [Fit((0.5, 0.5), (0, 0), (128, 128))])

    # Objects stand in their order, results in that of their scores.
    for mask, query in zip(found.masks, (0, 2, 1, 3), strict=True):
        enlarged = cv2.resize(image["masks"][query].astype(np.float32), (128, 128), interpolation=cv2.INTER_LINEAR)
        is_clear = np.abs(enlarged) > 0.02  # the sampler has steps of 1/32 of a grid's pixel
        np.testing.assert_array_equal(mask[is_clear], enlarged[is_clear] > 0)
        assert 0 < mask.sum() < mask.size


def test_a_query_may_stand_for_two_classes_and_no_object_is_not_reported(package):
    image = encode("rf-detr", OBJECTS[:1])
    image["labels"][0, 1] = 2.0

    (found,) = decode("rf-detr", package("rf-detr"), [image], confidence=0.3)

    assert found.names == ["cat", "dog"]
    assert found.xyxy[0].tolist() == found.xyxy[1].tolist()


def test_masks_of_an_input_that_follows_the_picture_lie_on_its_own_grid(package):
    network = NetworkInput((SIDE, SIDE), ResizeMode.FIT_LONGER_EDGE, is_dynamic=True, divisor=32)
    made = package("yolo11 seg")
    made = replace(made, config=replace(made.config, network_input=network))
    fit, _ = plan_fit((64, 30), network)  # in an input of 64 x 32, whose grid is 16 x 8
    image = encode("yolo11 seg", [(0, 0, 30, 64, 0, 0.9)])
    image["protos"] = np.where(np.arange(8) < 4, 1.0, -1.0) * np.ones((1, 16, 8))

    (found,) = decode("yolo11 seg", made, [image], [fit])

    (mask,) = found.masks
    assert mask[:, :15].all()  # a column of padding stands before the picture
    assert not mask[:, 15:].any()
