"""Pictures as transformers' image processors make them, without torchvision. Pure; steps come from `hf_processors`.

Most processors resize, crop, rescale and normalise; those that do it in an order of their own have a function each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt

import numpy as np
import numpy.typing as npt

from inference_engine.errors import InputInvalid
from inference_engine.hf_pixels import Pixels, normalised, resized, standardised
from inference_engine.hf_processors import Steps
from inference_engine.hf_sizes import Size, crop_hw, fixed_hw, plain, resized_hw
from inference_engine.images import Fit
from inference_engine.opencv import import_cv2
from inference_engine.pixels import Image


def to_pixels(image: Image, steps: Steps) -> tuple[Pixels, Fit]:
    """Resize, crop, rescale and normalise one picture.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        steps: as `hf_processors.read_steps` gives them.

    Returns:
        `(3, height, width)`, owned by the caller, and how the picture lies in it.

    Raises:
        InputInvalid: the picture is too small to have a pixel after the resize.
    """
    original = (image.shape[0], image.shape[1])
    if steps["processor"] in _OWN:
        return _OWN[steps["processor"]](image, steps)
    hw = resized_hw(original, steps) if steps["do_resize"] else original
    if min(hw) < 1:
        raise InputInvalid(f"a picture of {original} (height, width) is too small for this model: it becomes {hw}")
    shown = resized(image, hw, steps["resample"])
    top, left = 0, 0
    if steps["processor"] == "Eomt" and (canvas := fixed_hw(steps)) is not None:
        shown = _centre(shown, canvas, (0, 0))
    if (crop := crop_hw(steps)) is not None:
        top, left = -((hw[0] - crop[0]) // 2), -((hw[1] - crop[1]) // 2)
        shown = _centre(shown, crop, (top, left))
    scale = hw[1] / original[1], hw[0] / original[0]
    return normalised(shown, steps), Fit(scale, (left, top), original)


def _centre(image: Image, hw: Size, at: tuple[int, int]) -> Image:
    """The middle of a picture, with black around one that is smaller; `at` is where its corner comes to lie."""
    cropped = np.zeros((*hw, 3), dtype=np.uint8)
    top, left = at
    inside = image[max(-top, 0) : max(-top, 0) + hw[0], max(-left, 0) : max(-left, 0) + hw[1]]
    first_y, first_x = max(top, 0), max(left, 0)
    inside = inside[: hw[0] - first_y, : hw[1] - first_x]
    cropped[first_y : first_y + inside.shape[0], first_x : first_x + inside.shape[1]] = inside
    return cropped


def _rf_detr(image: Image, steps: Steps) -> tuple[Pixels, Fit]:
    """Rescaled first, then resized without smoothing (RfDetrImageProcessor, `antialias=False`)."""
    original = (image.shape[0], image.shape[1])
    height, width = plain(original, steps)
    scaled = image.astype(np.float32) * np.float32(steps["rescale_factor"] if steps["do_rescale"] else 1)
    smaller = import_cv2().resize(scaled, (width, height), interpolation=import_cv2().INTER_LINEAR)
    fit = Fit((width / original[1], height / original[0]), (0, 0), original)
    return standardised(np.ascontiguousarray(smaller.transpose(2, 0, 1)), steps), fit


def _owlv2(image: Image, steps: Steps) -> tuple[Pixels, Fit]:
    """Padded below or to the right to a square, smoothed, then resized (Owlv2ImageProcessor, as scikit-image does)."""
    original = (image.shape[0], image.shape[1])
    side = max(original)
    square = np.zeros((side, side, 3), dtype=np.float32)
    square[: original[0], : original[1]] = image
    if steps["do_rescale"]:
        square *= np.float32(steps["rescale_factor"])
    height, width = steps["size"]["height"], steps["size"]["width"]
    rows = _along_rows(square, height)
    resized = _along_rows(rows.transpose(1, 0, 2), width).transpose(2, 1, 0)
    fit = Fit((width / side, height / side), (0, 0), original)
    return standardised(np.ascontiguousarray(resized), steps), fit


def _along_rows(values: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
    """`(n, w, 3)` to `(count, w, 3)`: a Gaussian of half the shrinking, then linear between pixel centres, mirrored."""
    n = len(values)
    if n == count:
        return values
    sigma = max(0.0, (n / count - 1) / 2)
    if sigma:
        # scipy.ndimage.gaussian_filter reaches four deviations far.
        reach = int(4 * sigma + 0.5)
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        cv2 = import_cv2()
        kernel = (weights / weights.sum()).astype(np.float32)
        values = cv2.sepFilter2D(values, -1, np.ones(1, np.float32), kernel, borderType=cv2.BORDER_REFLECT_101)
    return _between(values, (np.arange(count, dtype=np.float64) + 0.5) * (n / count) - 0.5)


def _between(values: npt.NDArray[np.float32], place: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Rows at any places `(count,)`, linear between two; beyond an end rows count back from it."""
    low = np.floor(place).astype(np.int64)
    share = (place - low).astype(np.float32)[:, None, None]
    first, second = _mirrored(low, len(values)), _mirrored(low + 1, len(values))
    blended: npt.NDArray[np.float32] = values[first] * (1 - share) + values[second] * share
    return blended


def _mirrored(index: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """Indices beyond an end count back from its pixel, which is not doubled."""
    back: npt.NDArray[np.int64] = (n - 1) - np.abs((n - 1) - np.abs(index))
    return back


def zoedepth_pad(hw: Size) -> Size:
    """Rows and columns that ZoeDepth's pictures get on each side (ZoeDepthImageProcessor.pad_image)."""
    return int(sqrt(hw[0] / 2) * 3), int(sqrt(hw[1] / 2) * 3)


def _zoedepth(image: Image, steps: Steps) -> tuple[Pixels, Fit]:
    """Mirrored at its edges, then resized with the corners' centres kept in place (ZoeDepthImageProcessor)."""
    original = (image.shape[0], image.shape[1])
    pad_h, pad_w = zoedepth_pad(original) if steps["do_pad"] else (0, 0)
    pixels = image.astype(np.float32) * np.float32(steps["rescale_factor"] if steps["do_rescale"] else 1)
    pixels = np.pad(pixels, ((pad_h, pad_h), (pad_w, pad_w), (0, 0)), mode="reflect")
    padded = (pixels.shape[0], pixels.shape[1])
    height, width = resized_hw(padded, steps) if steps["do_resize"] else padded
    if min(height, width) < 1:
        raise InputInvalid(f"a picture of {original} (height, width) is too small for this model: it becomes nothing")
    rows = _between(pixels, _with_corners(padded[0], height))
    shown = _between(rows.transpose(1, 0, 2), _with_corners(padded[1], width)).transpose(2, 1, 0)
    scale = width / padded[1], height / padded[0]
    fit = Fit(scale, (round(pad_w * scale[0]), round(pad_h * scale[1])), original)
    return standardised(np.ascontiguousarray(shown), steps), fit


def _with_corners(n: int, count: int) -> npt.NDArray[np.float64]:
    """Places of `count` pixels among `n`, the first on the first and the last on the last."""
    return np.arange(count, dtype=np.float64) * ((n - 1) / max(count - 1, 1))


_OWN: Mapping[str, Callable[[Image, Steps], tuple[Pixels, Fit]]] = {
    "Owlv2": _owlv2,
    "RfDetr": _rf_detr,
    "ZoeDepth": _zoedepth,
}
