"""The yolo family against boxes that the test knows, and against independent decoding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_engine.candidates import check_params
from inference_engine.errors import OutputInvalid, ParameterInvalid
from inference_engine.families import known_families, recipe
from inference_engine.families.yolo.detection import postprocess
from inference_engine.images import Fit, plan_fit
from inference_engine.inference_config import InferenceConfig, NetworkInput, NmsDefaults
from inference_engine.model import VisionModel, fitted
from inference_engine.negotiation import Decision, Wishes
from inference_engine.testing import ScriptedSession

FIT = Fit((0.5, 0.25), (3, 8), (120, 90))


@pytest.fixture(scope="module")
def package(make_package):
    network = NetworkInput((32, 64))
    return make_package(
        class_names=("cat", "dog", "bird"), config=InferenceConfig(network, NmsDefaults(confidence=0.3), None, 8)
    )


def head_of(found, fit, anchors=20):
    """The head whose decoding gives these boxes: `(x0, y0, x1, y1, class_id, score)` in pixels of the original."""
    head = np.zeros((7, anchors), np.float32)
    (sx, sy), (px, py) = fit.scale_xy, fit.pad_xy
    for column, (x0, y0, x1, y1, class_id, score) in enumerate(found):
        head[:4, column] = (x0 + x1) / 2 * sx + px, (y0 + y1) / 2 * sy + py, (x1 - x0) * sx, (y1 - y0) * sy
        head[4 + class_id, column] = score
    return head


def decode(head, package, fit=FIT, **given):
    (found,) = postprocess({"output0": head[None]}, [fit], package, check_params(given, package))
    return found


def test_known_boxes_come_out(package):
    known = [(0, 0, 40, 100, 2, 0.5), (50, 20, 90, 60, 0, 0.9), (10, 110, 30, 120, 1, 0.31), (5, 5, 9, 9, 1, 0.29)]

    found = decode(head_of(known, FIT), package)

    np.testing.assert_allclose(found.xyxy, [known[1][:4], known[0][:4], known[2][:4]], atol=1e-4)
    np.testing.assert_allclose(found.confidence, [0.9, 0.5, 0.31])
    assert found.names == ["cat", "bird", "dog"]
    assert (found.image_hw, found.xyxy.dtype, found.confidence.dtype, found.class_id.dtype) == (
        (120, 90), np.float32, np.float32, np.int64,
    )  # fmt: skip


def test_a_class_has_its_own_threshold_without_a_common_one(package):
    """Peer defect 31: the map of classes is ignored unless a global threshold is there too."""
    known = [(0, 0, 40, 100, 2, 0.5), (50, 20, 90, 60, 0, 0.9), (10, 60, 30, 120, 1, 0.2)]

    found = decode(head_of(known, FIT), package, per_class_confidence={"bird": 0.6, "dog": 0.1})

    assert found.names == ["cat", "dog"]


def independent(head, fit, params, names):
    """Box by box in plain Python."""
    candidates = []
    for anchor in range(head.shape[1]):
        cx, cy, w, h = (float(v) for v in head[:4, anchor])
        scores = head[4:, anchor].tolist()
        score = max(scores)
        class_id = scores.index(score)
        if score >= params["confidence"] and (not params["classes"] or names[class_id] in params["classes"]):
            candidates.append(([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], score, class_id))
    candidates.sort(key=lambda entry: -entry[1])
    kept = []
    for box, score, class_id in candidates:
        if all(other[2] != class_id or iou(box, other[0]) <= params["iou_threshold"] for other in kept):
            kept.append((box, score, class_id))
    height, width = fit.original_hw
    original = []
    for (x0, y0, x1, y1), score, class_id in kept[: params["max_detections"]]:
        xs = [min(max((x - fit.pad_xy[0]) / fit.scale_xy[0], 0), width) for x in (x0, x1)]
        ys = [min(max((y - fit.pad_xy[1]) / fit.scale_xy[1], 0), height) for y in (y0, y1)]
        original.append(([xs[0], ys[0], xs[1], ys[1]], score, class_id))
    return original


def iou(a, b):
    both = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / area if area else 0


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0, 0.3, 0.6]), st.sampled_from([None, ["dog"], ["cat", "bird"]]))
def test_decoding_agrees_with_independent_code(package, seed, confidence, classes):
    rng = np.random.default_rng(seed)
    head = np.concatenate([rng.integers(-20, 80, (2, 40)), rng.integers(1, 40, (2, 40)), rng.random((3, 40))])
    params = {"confidence": confidence, "classes": classes, "iou_threshold": 0.5, "max_detections": 15}

    found = decode(head.astype(np.float32), package, **params)

    expected = independent(head.astype(np.float32), FIT, params, package.class_names)
    assert found.class_id.tolist() == [class_id for _, _, class_id in expected]
    np.testing.assert_allclose(found.confidence, [score for _, score, _ in expected])
    np.testing.assert_allclose(found.xyxy, np.array([box for box, _, _ in expected]).reshape(-1, 4), atol=1e-3)


def random_heads(count, seed=3):
    rng = np.random.default_rng(seed)
    heads = np.concatenate([rng.uniform(0, 64, (count, 4, 50)), rng.random((count, 3, 50))], axis=1)
    return heads.astype(np.float32)


def test_a_batch_equals_its_images_alone(package):
    heads = random_heads(8)
    fits = [plan_fit((20 + i, 90 - i), package.config.network_input)[0] for i in range(8)]
    params = check_params({}, package)

    together = postprocess({"output0": heads}, fits, package, params)

    assert together == [postprocess({"output0": heads[i : i + 1]}, [fits[i]], package, params)[0] for i in range(8)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("row", [0, 3, 4, 6], ids=["centre", "height", "first score", "last score"])
def test_a_head_that_is_not_finite_costs_its_own_image_only(package, row, value):
    heads = random_heads(3)
    clean = postprocess({"output0": heads.copy()}, [FIT] * 3, package, check_params({}, package))
    heads[1, row] = value

    found = postprocess({"output0": heads}, [FIT] * 3, package, check_params({}, package))

    assert isinstance(found[1], OutputInvalid)
    assert [found[0], found[2]] == [clean[0], clean[2]]


@pytest.mark.parametrize("shape", [(1, 6, 20), (1, 20, 7), (2, 7, 20), (7, 20), (1, 7)])
def test_a_head_of_another_shape_is_refused(package, shape):
    with pytest.raises(OutputInvalid, match=r"expected \(1, 7, anchors\)"):
        postprocess({"output0": np.zeros(shape, np.float32)}, [FIT], package, check_params({}, package))


def test_half_precision_is_decoded(package):
    head = head_of([(8, 16, 40, 80, 1, 0.5)], FIT).astype(np.float16)

    found = decode(head, package)

    assert found.xyxy.dtype == np.float32
    np.testing.assert_allclose(found.xyxy, [[8, 16, 40, 80]], atol=0.1)


def test_confidence_zero_means_zero_and_is_bounded(package):
    rng = np.random.default_rng(0)
    head = np.concatenate([rng.uniform(0, 64, (2, 8400)), rng.uniform(1, 2, (2, 8400)), rng.random((3, 8400))])

    whole = decode(head.astype(np.float32), package, confidence=0)

    assert len(whole) == 300
    assert whole == decode(head.astype(np.float32), package, confidence=0.0)


def test_a_score_at_the_threshold_is_kept(package):
    assert len(decode(head_of([(8, 16, 40, 80, 1, 0.5)], FIT), package, confidence=0.5)) == 1


def test_only_wanted_classes_stay(package):
    head = head_of([(0, 0, 20, 20, 0, 0.9), (30, 30, 50, 50, 1, 0.8), (60, 60, 80, 80, 2, 0.7)], FIT)

    assert decode(head, package, classes=["bird", "cat"]).names == ["cat", "bird"]
    assert decode(head, package, classes="dog").names == ["dog"]


def test_agnostic_suppression_lets_classes_meet(package):
    head = head_of([(0, 0, 20, 20, 0, 0.9), (0, 0, 20, 20, 1, 0.8)], FIT)

    assert decode(head, package).names == ["cat", "dog"]
    assert decode(head, package, class_agnostic=True).names == ["cat"]


def test_the_packages_defaults_apply_where_nothing_is_said(package):
    params = check_params({"confidence": None}, package)

    assert (params.confidence, params.iou_threshold, params.max_detections) == (0.3, 0.5, 300)
    assert (params.class_agnostic, params.classes) == (False, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("confidence", 1.1),
        ("confidence", -0.1),
        ("confidence", float("nan")),
        ("confidence", "0.5"),
        ("confidence", True),
        ("iou_threshold", 2),
        ("iou_threshold", [0.5]),
        ("max_detections", 0),
        ("max_detections", 1.5),
        ("max_detections", True),
        ("class_agnostic", "false"),
        ("class_agnostic", 1),
        ("classes", ["wolf"]),
        ("classes", []),
        ("classes", 3),
        ("classes", [["cat"]]),
    ],
)
def test_a_parameter_out_of_its_range_is_refused_and_named(package, name, value):
    with pytest.raises(ParameterInvalid) as raised:
        check_params({name: value}, package)

    assert name in str(raised.value) or "class" in str(raised.value)


def test_an_unknown_parameter_is_refused_with_the_known_ones(package):
    with pytest.raises(ParameterInvalid, match=r"'conf'; a detector takes confidence, iou_threshold"):
        check_params({"conf": 0.5}, package)


def test_preprocessing_gives_one_tensor_of_the_networks_size(package):
    tensors, fit = fitted(np.zeros((10, 40, 3), np.uint8), package)

    assert {name: tensor.shape for name, tensor in tensors.items()} == {"images": (1, 3, 32, 64)}
    assert fit.original_hw == (10, 40)


def test_a_model_cuts_many_images_into_batches_of_the_session(package):
    session = ScriptedSession(head_of([(0, 0, 20, 20, 0, 0.9)], FIT), input_hw=(32, 64), max_batch_size=4)
    model = VisionModel(package, session, recipe("yolo", "object-detection"), Decision("m", (), Wishes()))

    found = model([np.zeros((8, 8, 3), np.uint8)] * 10)

    assert [len(each) for each in found] == [1] * 10
    assert session.batch_sizes == [4, 4, 2]


def test_a_model_raises_for_a_head_that_is_not_finite(package):
    session = ScriptedSession(np.full((7, 20), np.nan, np.float32), input_hw=(32, 64))
    model = VisionModel(package, session, recipe("yolo", "object-detection"), Decision("m", (), Wishes()))

    with pytest.raises(OutputInvalid, match="not finite"):
        model(np.zeros((8, 8, 3), np.uint8))


def test_families_are_the_modules_of_their_folder():
    assert "yolo" in known_families()
    assert recipe("yolo", "object-detection").preprocess is fitted
