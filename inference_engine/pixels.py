"""Steps that change pixels before they are resized: static crop, grayscale, contrast. Pure.

Their order is crop, grayscale, contrast (reference: the peer library's preprocessing); the formulas follow
scikit-image's `exposure` module for 8-bit pictures: `rescale_intensity` between percentiles, `equalize_hist`,
`equalize_adapthist`.
"""

from __future__ import annotations

from math import floor
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.network_input import Contrast, Crop, NetworkInput
from inference_engine.opencv import import_cv2

Image = npt.NDArray[np.uint8]  # (H, W, 3), RGB

_PERCENTILES = (2, 98)
#: `equalize_adapthist` cuts a tile's histogram at this share of its pixels; OpenCV counts in 256ths.
_CLIP_LIMIT, _TILES = 0.03, (8, 8)


def crop_box(hw: tuple[int, int], crop: Crop | None) -> tuple[int, int, int, int]:
    """The cropped region in whole pixels, `x_min, y_min, x_max, y_max`; at least one pixel wide and high."""
    height, width = hw
    if crop is None:
        return 0, 0, width, height
    left, top = floor(width * crop.x_min / 100), floor(height * crop.y_min / 100)
    left, top = min(left, width - 1), min(top, height - 1)
    right, bottom = floor(width * crop.x_max / 100), floor(height * crop.y_max / 100)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def adjust(image: Image, network: NetworkInput) -> Image:
    """Crop, then grayscale, then contrast, as far as the network's input asks for them; else the picture itself."""
    if network.crop is not None:
        left, top, right, bottom = crop_box((image.shape[0], image.shape[1]), network.crop)
        image = image[top:bottom, left:right]
    if network.grayscale:
        image = to_gray(image)
    return image if network.contrast is None else _CONTRAST[network.contrast](image)


def to_gray(image: Image) -> Image:
    """Three equal channels of luma (ITU-R BT.601, as OpenCV weights them)."""
    cv2 = import_cv2()
    gray: Image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return gray


def stretch(image: Image) -> Image:
    """Spread what lies between the 2nd and the 98th percentile of all samples over the whole range."""
    low, high = _percentiles(_counts(image))
    if low >= high:
        return image
    return _look_up(image, (np.arange(256) - low) / (high - low))


def equalize(image: Image) -> Image:
    """Map each sample to the share of samples that are not above it."""
    return _look_up(image, np.cumsum(_counts(image)) / image.size)


def equalize_locally(image: Image) -> Image:
    """CLAHE of the HSV value (the greatest of R, G, B); hue and saturation stay."""
    cv2 = import_cv2()
    value = image.max(axis=2)
    raised = cv2.createCLAHE(_CLIP_LIMIT * 256, _TILES).apply(value)
    gain = raised.astype(np.float32) / np.maximum(value, 1)
    # Black has no hue to keep: it takes the new value in every channel.
    result = np.where(value[..., None] == 0, raised[..., None], np.rint(image * gain[..., None]))
    local: Image = result.astype(np.uint8)
    return local


def _counts(image: Image) -> npt.NDArray[np.int64]:
    """How many samples have each of the 256 levels, all channels together."""
    flat = np.ascontiguousarray(image).reshape(len(image), -1)
    counts: npt.NDArray[np.int64] = import_cv2().calcHist([flat], [0], None, [256], [0, 256]).astype(np.int64).ravel()
    return counts


def _percentiles(counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    """As `numpy.percentile` gives them, from the counts: sorting the samples takes fifty times as long."""
    ranks = (counts.sum() - 1) * np.asarray(_PERCENTILES) / 100
    below = np.searchsorted(np.cumsum(counts), np.floor(ranks), side="right")
    above = np.searchsorted(np.cumsum(counts), np.ceil(ranks), side="right")
    low, high = below + (above - below) * (ranks - np.floor(ranks))
    return float(low), float(high)


def _look_up(image: Image, levels: npt.NDArray[Any]) -> Image:
    """Replace each sample by its level, 0 to 1, of 256."""
    table = np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8)
    looked_up: Image = import_cv2().LUT(np.ascontiguousarray(image), table)
    return looked_up


_CONTRAST = {
    Contrast.ADAPTIVE: equalize_locally,
    Contrast.STRETCHING: stretch,
    Contrast.EQUALIZATION: equalize,
}
