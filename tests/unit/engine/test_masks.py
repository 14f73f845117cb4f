"""Masks in run lengths: the same pixels, COCO's own form, and never many dense ones at once."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inference_engine.masks import InstancesRLEMasks

HW = (6, 8)


def encode(*masks, hw=HW):
    return InstancesRLEMasks.from_dense([np.asarray(mask, np.bool_)[None] for mask in masks], hw)


def independent_runs(mask):
    """Run lengths down the columns, zeros first, as COCO's uncompressed form has them."""
    flat, runs, value = mask.flatten(order="F").tolist(), [], False
    length = 0
    for pixel in flat:
        if pixel != value:
            runs.append(length)
            value, length = pixel, 0
        length += 1
    return [*runs, length]


def compress(runs):
    """COCO's text of run lengths, as common/maskApi.c describes it: differences, 5 bits a letter, from `0` on."""
    text = ""
    for index, run in enumerate(runs):
        number = run - runs[index - 2] if index > 2 else run
        while True:
            bits, number = number & 31, number >> 5
            more = number != (-1 if bits & 16 else 0)
            text += chr((bits | 32 if more else bits) + 48)
            if not more:
                break
    return text


@settings(deadline=None)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(0, 4), st.integers(1, 12), st.integers(1, 12))))
def test_masks_come_back_pixel_by_pixel(dense):
    hw = dense.shape[1:]
    found = InstancesRLEMasks.from_dense([dense], hw)

    assert len(found) == len(dense)
    np.testing.assert_array_equal(found.to_dense(), dense)
    np.testing.assert_array_equal(InstancesRLEMasks.from_coco(found.to_coco(), hw).to_dense(), dense)
    assert found.areas().tolist() == dense.sum(axis=(1, 2)).tolist()


@settings(deadline=None)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_the_text_is_cocos(mask):
    (coco,) = encode(mask, hw=mask.shape).to_coco()

    assert coco == {"size": list(mask.shape), "counts": compress(independent_runs(mask))}


def test_boxes_are_around_the_masks():
    mask = np.zeros(HW, np.bool_)
    mask[2:5, 1:4] = True

    assert encode(mask, np.zeros(HW)).xyxy().tolist() == [[1, 2, 4, 5], [0, 0, 0, 0]]


def test_no_masks_still_know_their_size():
    nothing = encode()

    assert (nothing.to_dense().shape, nothing.areas().shape, nothing.xyxy().shape) == ((0, *HW), (0,), (0, 4))


def test_chunks_are_taken_one_after_the_other():
    alive, most = [], []

    def chunks():
        for _ in range(5):
            alive.append(1)
            most.append(len(alive))
            yield np.ones((2, *HW), np.bool_)
            alive.pop()

    assert len(InstancesRLEMasks.from_dense(chunks(), HW)) == 10
    assert max(most) == 1


@pytest.mark.parametrize("shape", [(1, 6, 9), (6, 8)])
def test_a_chunk_of_another_size_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected masks \(m, 6, 8\)"):
        InstancesRLEMasks.from_dense([np.zeros(shape, np.bool_)], HW)


def test_a_record_of_another_size_is_refused():
    with pytest.raises(ValueError, match="expected masks of"):
        InstancesRLEMasks.from_coco([{"size": [6, 9], "counts": "`1"}], HW)


@pytest.mark.parametrize("counts", ["", "P", "0", "`2", "`1`1", "`1`1L", "\x7f" * 40], ids=repr)
def test_counts_that_do_not_fill_the_image_are_refused(counts):
    damaged = InstancesRLEMasks.from_coco([{"size": list(HW), "counts": counts}], HW)

    with pytest.raises(ValueError, match="its image is 6 x 8"):
        damaged[0]


def test_a_large_mask_of_many_runs_comes_back():
    mask = np.random.default_rng(5).random((1080, 1920)) > 0.5

    np.testing.assert_array_equal(encode(mask, hw=mask.shape)[0], mask)


def test_outlines_fill_to_the_same_mask_and_the_largest_comes_first():
    mask = np.zeros((40, 60), np.bool_)
    mask[5:9, 5:9] = True
    mask[20:35, 10:50] = True

    outlines = encode(mask, hw=(40, 60)).polygons(0)

    filled = np.zeros((40, 60), np.uint8)
    cv2.fillPoly(filled, [outline.astype(np.int32) for outline in outlines], 1)
    np.testing.assert_array_equal(filled.astype(np.bool_), mask)
    assert outlines[0][:, 1].min() == 20


def test_a_dot_has_no_outline():
    mask = np.zeros(HW, np.bool_)
    mask[3, 3] = True

    assert encode(mask).polygons(0) == []
