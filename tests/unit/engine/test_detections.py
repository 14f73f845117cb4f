from __future__ import annotations

import builtins
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.tasks.detection import Detections

NAMES = ("cat", "dog")
floats = st.floats(0, 8192, width=32)


def some(count=2):
    rng = np.random.default_rng(count)
    return Detections(
        rng.random((count, 4), dtype=np.float32) * 640,
        rng.random(count, dtype=np.float32),
        rng.integers(0, 2, count),
        (480, 640),
        NAMES,
    )


@given(st.lists(st.tuples(floats, floats, floats, floats, st.floats(0, 1, width=32), st.integers(0, 1)), max_size=5))
def test_a_record_gives_the_same_bits_back_through_json(rows):
    found = Detections(
        np.array([row[:4] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[4] for row in rows], np.float32),
        np.array([row[5] for row in rows], np.int64),
        (8192, 8192),
        NAMES,
    )

    again = Detections.from_record(json.loads(json.dumps(found.to_record())), NAMES)

    assert again == found
    assert again.xyxy.dtype == np.float32


def test_a_record_names_task_size_and_classes():
    record = some().to_record()

    assert (record["task"], record["image_hw"]) == ("object-detection", [480, 640])
    assert record["class_name"] == [NAMES[index] for index in record["class_id"]]


def test_to_supervision_carries_boxes_scores_and_class_names():
    found = some(3)

    seen = found.to_supervision()

    np.testing.assert_array_equal(seen.xyxy, found.xyxy)
    np.testing.assert_array_equal(seen.confidence, found.confidence)
    assert seen.data["class_name"].tolist() == found.names


def test_to_supervision_of_nothing_is_empty():
    assert len(some(0).to_supervision()) == 0


def test_without_supervision_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "supervision":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(ImportError, match=r"nightshift\[viz\]"):
        some().to_supervision()


def test_arrays_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="expected shapes"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(1, np.float32), np.zeros(2, np.int64), (1, 1), NAMES)
