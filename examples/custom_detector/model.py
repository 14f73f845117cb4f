"""A detector of one's own that jobs can run: it boxes the ink on a picture of a page.

Whatever has `class_names` and can be called with pictures is an `ObjectDetectionModel`: `AutoModel` gives it as it is,
and `nightshift run --allow-code` runs it. Keyword-only arguments of the call are the model's parameters. Copy this
folder and put your own network into `__call__`.
"""
# ruff: noqa: INP001

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from inference_engine import Detections
from inference_engine.inputs import as_rgb_images


class InkDetector:
    """One box around everything that is darker than a limit."""

    def __init__(self, folder: Path, *, device: str = "cpu", darker_than: float = 0.3) -> None:  # noqa: ARG002
        self.darker_than = darker_than
        self.class_names = tuple((Path(folder) / "class_names.txt").read_text("utf-8").split())

    def __call__(
        self, images: Any, *, input_color_format: str | None = None, confidence: float = 0.0
    ) -> list[Detections]:
        """One prediction a picture; the confidence is the darkest pixel's share of black."""
        return [self._detect(image, confidence) for image in as_rgb_images(images, input_color_format)]

    def _detect(self, image: np.ndarray, confidence: float) -> Detections:
        dark = 1 - image.mean(axis=2, dtype=np.float32) / 255
        y, x = np.nonzero(dark > 1 - self.darker_than)
        kept = len(x) > 0 and dark.max() >= confidence
        boxes = [[x.min(), y.min(), x.max() + 1, y.max() + 1]] if kept else np.zeros((0, 4))
        return Detections(
            np.asarray(boxes, np.float32),
            np.full(len(boxes), dark.max(), np.float32),
            np.zeros(len(boxes), np.int64),
            image.shape[:2],
            self.class_names,
        )
