"""What the fleet remembers of batches that did not fit."""

from __future__ import annotations

import pytest

from jobstore import learned
from jobstore.schema import ModelBuild

BUILD = ModelBuild("d1", "onnx", "fp32")


def test_a_size_is_learned_for_one_build_and_hardware_class(store):
    store.fleet.learn_batch(BUILD, "gpu-sm90", 16)

    assert store.fleet.learned_batch(BUILD, "gpu-sm90") == 16
    assert store.fleet.learned_batch(BUILD, "gpu-sm80") is None
    assert store.fleet.learned_batch(ModelBuild("d1", "onnx", "fp16"), "gpu-sm90") is None


@pytest.mark.parametrize(("sizes", "kept"), [([16, 8], 8), ([8, 16], 8), ([4, 4], 4)])
def test_the_smallest_size_that_was_learned_counts(store, sizes, kept):
    for size in sizes:
        store.fleet.learn_batch(BUILD, "cpu", size)

    assert store.fleet.learned_batch(BUILD, "cpu") == kept


def test_what_was_learned_long_ago_is_tried_again(store, monkeypatch):
    store.fleet.learn_batch(BUILD, "cpu", 2)
    monkeypatch.setattr(learned, "FORGOTTEN_AFTER_S", -1.0)
    assert store.fleet.learned_batch(BUILD, "cpu") is None

    store.fleet.learn_batch(BUILD, "cpu", 8)

    monkeypatch.undo()
    assert store.fleet.learned_batch(BUILD, "cpu") == 8
