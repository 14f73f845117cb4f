"""A model with an interface of its own: it says how bright a picture is.

Copy this folder and put your own network behind the same few lines. The class is made with the package's folder and
with the arguments of `model_initialization`; what it offers beyond that is up to you.
"""
# ruff: noqa: INP001

from __future__ import annotations

from pathlib import Path

import numpy as np

from .words import in_words


class BrightnessModel:
    """Brightness of pictures, in numbers and in words."""

    def __init__(self, folder: Path, *, device: str = "cpu", dark_below: float = 0.5) -> None:
        self.folder, self.device, self.dark_below = Path(folder), device, dark_below

    def measure(self, image: np.ndarray) -> tuple[float, str]:
        """The mean of an array `(H, W, 3)` uint8 as a share of white, and what people call it."""
        share = float(image.mean()) / 255
        return share, in_words(share, self.dark_below)
