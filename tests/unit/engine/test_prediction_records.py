"""Every task's prediction becomes JSON, and a blob where it is large, and comes back as it was."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inference_engine.errors import ParameterInvalid
from inference_engine.masks import InstancesRLEMasks
from inference_engine.tasks import known_tasks, prediction_type, read_prediction, write_prediction
from inference_engine.tasks.action_recognition import ActionSpans
from inference_engine.tasks.classification import ClassificationPrediction
from inference_engine.tasks.depth import DepthMap, DepthUnit
from inference_engine.tasks.detection import Detections
from inference_engine.tasks.embedding import Embedding
from inference_engine.tasks.instance_segmentation import InstanceDetections
from inference_engine.tasks.keypoints import KeyPoints, Skeleton
from inference_engine.tasks.oriented import OrientedDetections
from inference_engine.tasks.panoptic_segmentation import PanopticSegments
from inference_engine.tasks.parts import records
from inference_engine.tasks.promptable_segmentation import PromptedMasks
from inference_engine.tasks.prompting import PromptAnswer
from inference_engine.tasks.semantic_segmentation import SemanticSegmentationResult
from inference_engine.tasks.structured_ocr import StructuredText
from inference_engine.tasks.text_ocr import RecognizedText

A, F = np.array, np.float32
NAMES = ("cat", "dog", "große Maus")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.integers(0, 4)


def floats(*shape, low=-9000, high=9000):
    return hnp.arrays(np.float32, shape, elements=st.floats(low, high, width=32))


def scores(*shape):
    return floats(*shape, low=0, high=1)


def whole(n, high=2):
    return hnp.arrays(np.int64, n, elements=st.integers(0, high))


def masks(n, hw):
    return hnp.arrays(np.bool_, (n, *hw)).map(lambda dense: InstancesRLEMasks.from_dense([dense], hw))


def tracks(n):
    return st.none() | hnp.arrays(np.int64, n, elements=st.sampled_from([-1, 1, 2, 3_000]))


@st.composite
def detections(draw, names=NAMES, task="object-detection"):
    n = draw(counts)
    boxes, ids = draw(floats(n, 4)), draw(tracks(n))
    return Detections(boxes, draw(scores(n)), draw(whole(n)), (480, 640), names, task, ids)


@st.composite
def instances(draw):
    n, hw = draw(counts), draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    boxes, ids = draw(floats(n, 4)), draw(tracks(n))
    return InstanceDetections(boxes, draw(scores(n)), draw(whole(n)), draw(masks(n, hw)), hw, NAMES, ids)


@st.composite
def key_points(draw):
    n, k = draw(counts), draw(st.integers(0, 3))
    skeletons = (Skeleton(("nose", "tail"), ((0, 1),)), Skeleton(()), Skeleton(("a", "b", "c"), ((0, 2), (2, 1))))
    boxes, threshold = draw(floats(n, 4)), draw(st.floats(0, 1))
    return KeyPoints(
        draw(floats(n, k, 2)), draw(scores(n, k)), boxes, draw(scores(n)), draw(whole(n)), (48, 64), NAMES, skeletons,
        threshold, draw(tracks(n)),
    )  # fmt: skip


@st.composite
def oriented(draw):
    n = draw(counts)
    return OrientedDetections(draw(floats(n, 5)), draw(scores(n)), draw(whole(n)), (480, 640), NAMES)


@st.composite
def classes(draw, task):
    k = draw(counts)
    return ClassificationPrediction(draw(whole(k)), draw(scores(k)), (480, 640), NAMES, task)


@st.composite
def semantic(draw):
    hw = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    labels = draw(hnp.arrays(draw(st.sampled_from([np.uint8, np.uint16])), hw, elements=st.integers(0, 2)))
    confidence = draw(st.none() | hnp.arrays(np.uint8, hw))
    return SemanticSegmentationResult(labels, NAMES, confidence)


def stored(depth):
    return DepthMap.from_record(depth.to_record(), (), depth.to_blob())


@st.composite
def depth(draw):
    hw = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    return DepthMap(draw(floats(*hw, low=0, high=200)), draw(st.sampled_from(DepthUnit)))


@st.composite
def embedding(draw):
    dtype, width = draw(st.sampled_from([(np.float32, 32), (np.float16, 16)]))
    elements = st.floats(allow_nan=False, allow_infinity=False, width=width)
    return Embedding(draw(hnp.arrays(dtype, st.integers(1, 9), elements=elements)), (480, 640))


@st.composite
def structured(draw):
    n = draw(counts)
    parts = tuple(draw(st.lists(texts, min_size=n, max_size=n)))
    return StructuredText(draw(texts), parts, draw(floats(n, 4)), draw(scores(n)), draw(whole(n)), (9, 9), NAMES)


@st.composite
def prompted(draw):
    n, hw = draw(counts), draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    return PromptedMasks(draw(masks(n, hw)), draw(scores(n)), draw(whole(n)), hw)


@st.composite
def segments(draw):
    n, hw = draw(counts), draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    is_thing = np.asarray(draw(st.lists(st.booleans(), min_size=n, max_size=n)), np.bool_)
    return PanopticSegments(draw(scores(n)), draw(whole(n)), is_thing, draw(masks(n, hw)), hw, NAMES)


@st.composite
def spans(draw):
    n = draw(counts)
    start = draw(whole(n, 10_000))
    end = start + 1 + draw(whole(n, 100))
    fps = draw(st.floats(0.1, 240))
    times_s = draw(st.none() | hnp.arrays(np.float64, (n, 2), elements=st.floats(0, 1e6)))
    return ActionSpans(start, end, draw(scores(n)), draw(whole(n)), fps, (480, 640), NAMES, times_s)


PREDICTIONS = {
    "object-detection": detections(),
    "open-vocabulary-object-detection": detections(NAMES[::-1], "open-vocabulary-object-detection"),
    "instance-segmentation": instances(),
    "keypoint-detection": key_points(),
    "oriented-object-detection": oriented(),
    "classification": classes("classification"),
    "multi-label-classification": classes("multi-label-classification"),
    "semantic-segmentation": semantic(),
    "depth-estimation": depth().map(stored),
    "embedding": embedding(),
    "structured-ocr": structured(),
    "text-only-ocr": st.builds(RecognizedText, texts, st.just((480, 640)), st.none() | st.floats(0, 1)),
    "vlm": st.builds(PromptAnswer, texts, texts, st.just((480, 640)), st.booleans()),
    "interactive-instance-segmentation": prompted(),
    "action-recognition": spans(),
    "panoptic-segmentation": segments(),
    "video-classification": classes("video-classification"),
}


def test_every_task_has_its_round_trip_here():
    assert set(PREDICTIONS) == set(known_tasks())


@pytest.mark.parametrize("task", PREDICTIONS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_record_and_its_blob_give_the_same_bits_back(task, data):
    prediction = data.draw(PREDICTIONS[task])
    record, blob = write_prediction(prediction)

    again = read_prediction(json.loads(json.dumps(record, allow_nan=False)), NAMES, blob)

    assert type(again) is prediction_type(task)
    assert again == prediction


@pytest.mark.parametrize("task", PREDICTIONS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_record_says_its_task_and_the_images_size(task, data):
    prediction = data.draw(PREDICTIONS[task])
    record = prediction.to_record()

    assert (record["task"], tuple(record["image_hw"])) == (task, prediction.image_hw)


@settings(max_examples=60, deadline=None)
@given(depth())
def test_depth_comes_back_within_half_a_step_and_its_ends_exactly(found):
    again = stored(found)

    low, high = found.depth.min(), found.depth.max()
    half = (float(high) - float(low)) / 65535 / 2
    assert np.abs(again.depth.astype(np.float64) - found.depth).max() <= half + np.spacing(np.float32(high))
    assert (again.depth.min(), again.depth.max()) == (low, high)


def test_numbers_are_written_as_short_as_they_can_be():
    found = Detections(A([[0.1, 1, 2.5, 1e-7]], F), A([0.9], F), A([0]), (4, 4), NAMES).to_record()

    assert json.dumps([found["xyxy"], found["confidence"]]) == "[[[0.1, 1.0, 2.5, 1e-07]], [0.9]]"


def test_a_task_that_is_not_known_is_named_with_those_that_are():
    with pytest.raises(ParameterInvalid, match="'detection' is not one of action-recognition, classification"):
        read_prediction({"task": "detection"}, NAMES)


def test_a_record_whose_arrays_are_in_a_blob_is_not_read_without_it():
    record, blob = write_prediction(Embedding(np.ones(3, np.float32), (4, 4)))

    with pytest.raises(ValueError, match="with its blob"):
        read_prediction(record, NAMES)
    with pytest.raises(ValueError, match="2 numbers, expected 3"):
        read_prediction(record, NAMES, blob[:8])


@pytest.mark.parametrize("blob", [b"", b"no picture"], ids=["empty", "other bytes"])
def test_a_blob_that_is_no_png_of_the_size_is_refused(blob):
    record = SemanticSegmentationResult(np.zeros((4, 5), np.uint8), NAMES).to_record()

    with pytest.raises(ValueError, match=r"grey PNG of \(4, 5\)"):
        read_prediction(record, NAMES, blob)


def test_predictions_without_arrays_in_json_have_no_blob():
    assert write_prediction(RecognizedText("a", (4, 4)))[1] is None


BOXES = np.zeros((2, 4), F)
TWO, ONE = np.zeros(2, F), np.zeros(1, F)
IDS = np.zeros(2, np.int64)
MASKS = InstancesRLEMasks.from_dense([np.zeros((2, 4, 4), np.bool_)], (4, 4))


@pytest.mark.parametrize(
    "make",
    [
        lambda: InstanceDetections(BOXES, ONE, IDS, MASKS, (4, 4), NAMES),
        lambda: InstanceDetections(BOXES, TWO, IDS, MASKS, (4, 5), NAMES),
        lambda: InstanceDetections(BOXES[:1], ONE, IDS[:1], MASKS, (4, 4), NAMES),
        lambda: KeyPoints(np.zeros((2, 3, 2), F), BOXES[:, :2], BOXES, TWO, IDS, (4, 4), ("a",), (Skeleton(()),)),
        lambda: KeyPoints(np.zeros((2, 0, 2), F), np.zeros((2, 0), F), BOXES, TWO, IDS, (4, 4), NAMES, ()),
        lambda: Skeleton(("a",), ((0, 1),)),
        lambda: OrientedDetections(BOXES, TWO, IDS, (4, 4), NAMES),
        lambda: ClassificationPrediction(IDS, ONE, (4, 4), NAMES),
        lambda: SemanticSegmentationResult(np.full((4, 4), 3, np.uint8), NAMES),
        lambda: SemanticSegmentationResult(np.zeros((4, 4), np.int64), NAMES),
        lambda: SemanticSegmentationResult(np.zeros((4, 4), np.uint8), NAMES, np.zeros((4, 5), np.uint8)),
        lambda: DepthMap(np.zeros((4, 4), np.float64), DepthUnit.METRES),
        lambda: DepthMap(np.full((4, 4), np.nan, F), DepthUnit.METRES),
        lambda: Embedding(np.zeros((1, 4), F), (4, 4)),
        lambda: Embedding(np.full(4, np.inf, F), (4, 4)),
        lambda: StructuredText("a", ("a",), BOXES, TWO, IDS, (4, 4), NAMES),
        lambda: PromptedMasks(MASKS, TWO, IDS, (5, 4)),
        lambda: PromptedMasks(MASKS, ONE, IDS, (4, 4)),
        lambda: PanopticSegments(TWO, IDS, IDS[:1] > 0, MASKS, (4, 4), NAMES),
        lambda: PanopticSegments(TWO, IDS, IDS > 0, MASKS, (4, 5), NAMES),
        lambda: ActionSpans(IDS, IDS, TWO, IDS, 25.0, (4, 4), NAMES),
        lambda: ActionSpans(IDS, IDS + 1, TWO, IDS, 0.0, (4, 4), NAMES),
    ],
    ids=[
        "instances: scores", "instances: size of masks", "instances: number of masks", "points: confidences",
        "points: skeletons", "skeleton: edge", "oriented: no angle", "classes: scores", "map: class id", "map: dtype",
        "map: confidence", "depth: dtype", "depth: nan", "embedding: axes", "embedding: infinite", "text: parts",
        "prompted: size", "prompted: scores", "segments: things", "segments: size", "spans: empty", "spans: fps",
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(make):
    with pytest.raises(ValueError, match=r"."):
        make()


def test_predictions_differ_by_any_field():
    one = OrientedDetections(np.zeros((2, 5), F), TWO, IDS, (4, 4), NAMES)

    assert one == OrientedDetections(np.zeros((2, 5), F), TWO, IDS, (4, 4), NAMES)
    assert one != OrientedDetections(np.ones((2, 5), F), TWO, IDS, (4, 4), NAMES)
    assert one != OrientedDetections(np.zeros((2, 5), F), TWO, IDS, (4, 5), NAMES)
    assert one != "boxes"


def test_corners_of_a_box_that_is_turned_a_quarter_are_those_of_the_swapped_sides():
    found = OrientedDetections(A([[50, 40, 20, 10, np.pi / 2]], F), A([0.5], F), A([0]), (100, 100), NAMES)

    np.testing.assert_allclose(found.corners, [[[55, 30], [55, 50], [45, 50], [45, 30]]], atol=1e-5)
    np.testing.assert_allclose(found.xyxy, [[45, 30, 55, 50]], atol=1e-5)


def test_the_upright_box_of_a_turned_one_stays_inside_the_image():
    found = OrientedDetections(A([[2, 98, 20, 10, 0.3]], F), A([0.5], F), A([0]), (100, 100), NAMES)

    assert (found.xyxy >= 0).all()
    assert (found.xyxy <= 100).all()


def test_a_point_is_sure_at_its_threshold_and_never_where_there_is_none():
    confidence = A([[0.5, 0.49, 0.0]], F)
    skeletons = (Skeleton(("a", "b", "c")),)
    parts = np.zeros((1, 3, 2), F), confidence, np.zeros((1, 4), F), ONE, IDS[:1], (4, 4), ("one",), skeletons

    assert KeyPoints(*parts, 0.5).is_sure.tolist() == [[True, False, False]]
    assert KeyPoints(*parts, 0.0).is_sure.tolist() == [[True, True, False]]


def test_an_images_label_is_its_best_class_or_none():
    assert ClassificationPrediction(A([2, 0]), A([0.7, 0.2], F), (4, 4), NAMES).name == "große Maus"
    assert ClassificationPrediction(IDS[:0], ONE[:0], (4, 4), NAMES).name is None


def test_spans_are_told_in_seconds():
    found = ActionSpans(A([0, 50]), A([25, 75]), TWO, IDS, 25.0, (4, 4), NAMES)

    assert found.seconds.tolist() == [[0, 1], [2, 3]]


def test_a_map_says_how_many_pixels_each_class_has_and_how_sure_they_are():
    labels = A([[0, 0, 2], [2, 2, 2]], np.uint8)
    found = SemanticSegmentationResult(labels, NAMES, np.full((2, 3), 51, np.uint8))

    record = found.to_record()

    assert (record["class_name"], record["pixels"]) == (["cat", "große Maus"], [2, 4])
    np.testing.assert_allclose(found.confidence, 0.2)
    assert SemanticSegmentationResult(labels, NAMES).confidence is None


def test_a_map_of_more_classes_than_a_byte_counts_keeps_every_id():
    names = tuple(map(str, range(1000)))
    found = SemanticSegmentationResult(A([[999, 256], [0, 512]], np.uint16), names)

    assert read_prediction(found.to_record(), names, found.to_blob()) == found


@given(hnp.arrays(np.float32, st.integers(0, 5), elements=st.floats(width=32)))
@settings(max_examples=500)
def test_numbers_are_the_shortest_decimals_that_come_back(found):
    written = records.numbers(found)

    np.testing.assert_array_equal(F(written), found)
    for short, number in zip(written, found, strict=True):
        if np.isfinite(number):
            assert short == float(str(number))
