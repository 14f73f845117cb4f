"""From a network's raw numbers to scores in [0, 1]. Pure, in single precision, and the same alone and in a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
#: How far scores that a network activated itself may leave 0 to 1: half precision near 1 has steps of 0.0005.
_SLACK = 1e-3


def activated(scores: npt.NDArray[Any]) -> Scores | None:
    """Finite scores that a network activated itself, cut to [0, 1]; None where they are logits or something else."""
    if scores.size and not (scores.min() >= -_SLACK and scores.max() <= 1 + _SLACK):
        return None
    cut: Scores = np.clip(scores.astype(np.float32, copy=False), 0, 1)
    return cut


def softmax(logits: npt.NDArray[Any]) -> Scores:
    """Shares over the last axis, which sum to 1; the largest is taken off first, so that no power overflows."""
    wide = logits.astype(np.float32, copy=False)
    # Two finite numbers may lie an infinity apart, whose power is 0 as it should be.
    with np.errstate(over="ignore"):
        shares = np.exp(wide - wide.max(axis=-1, keepdims=True))
    found: Scores = shares / shares.sum(axis=-1, keepdims=True)
    return found


def sigmoid(logits: npt.NDArray[Any]) -> Scores:
    """Each number for itself: `1 / (1 + exp(-x))`; far below zero it overflows to infinity, whose inverse is 0."""
    with np.errstate(over="ignore"):
        found: Scores = np.float32(1) / (np.float32(1) + np.exp(-logits.astype(np.float32, copy=False)))
    return found
