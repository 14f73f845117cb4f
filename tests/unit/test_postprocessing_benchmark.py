"""The decoding benchmark runs, and what it measures is what it says."""

import numpy as np

from benchmarks.postprocessing import ANCHORS, CLASSES, HW, MASKS, OBJECTS, dense_masks, head, measure, work


def test_the_measured_head_holds_twenty_objects_at_the_usual_confidence():
    assert head().shape == (1, 4 + CLASSES, ANCHORS)
    (found,) = work()["head, 20 boxes"]()

    assert len(found) == OBJECTS


def test_the_measured_masks_are_of_1080p_and_none_is_empty():
    masks = dense_masks()

    assert masks.shape == (OBJECTS, *HW)
    assert masks.any(axis=(1, 2)).all()


def test_a_round_gives_a_figure_for_what_was_asked_for():
    best = measure(1, (MASKS,))

    assert list(best) == [MASKS]
    assert np.isfinite(best[MASKS])
