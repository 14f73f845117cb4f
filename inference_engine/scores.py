"""From a network's raw numbers to scores in [0, 1]. Pure, in single precision, and the same alone and in a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]


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
