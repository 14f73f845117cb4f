"""Pictures as transformers' image processors make them, without torchvision. Pure; steps come from `hf_processors`.

Pictures are resized by Pillow, whose filter the weights were trained with: OpenCV's bilinear filter does not smooth
when it shrinks. Sides are cut to whole pixels as transformers 5 does it (image_transforms.py and each processor's
`resize`), so that the network sees the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import InputInvalid
from inference_engine.hf_processors import Steps
from inference_engine.images import Fit
from inference_engine.opencv import import_cv2
from inference_engine.pixels import Image

Pixels = npt.NDArray[np.float32]  # (3, height, width)
Size = tuple[int, int]  # height, width

#: YOLOS cuts both sides down to a multiple of it (YolosImageProcessor, get_size_with_aspect_ratio_yolos).
_YOLOS_DIVISOR = 16
#: Below this edge ConvNeXt's pictures are resized larger and cropped (ConvNextImageProcessor.resize).
_CONVNEXT_CROPPED = 384


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
    if steps["processor"] == "Owlv2":
        return _owlv2(image, steps)
    if steps["processor"] == "RfDetr":
        return _rf_detr(image, steps)
    hw = resized_hw(original, steps) if steps["do_resize"] else original
    if min(hw) < 1:
        raise InputInvalid(f"a picture of {original} (height, width) is too small for this model: it becomes {hw}")
    resized = _resize(image, hw, steps["resample"]) if hw != original else image
    top, left = 0, 0
    if steps["processor"] == "Eomt" and (canvas := fixed_hw(steps)) is not None:
        resized = _centre(resized, canvas, (0, 0))
    if (crop := crop_hw(steps)) is not None:
        top, left = -((hw[0] - crop[0]) // 2), -((hw[1] - crop[1]) // 2)
        resized = _centre(resized, crop, (top, left))
    scale = hw[1] / original[1], hw[0] / original[0]
    return normalised(resized.transpose(2, 0, 1), steps), Fit(scale, (left, top), original)


def fixed_hw(steps: Steps) -> Size | None:
    """Height and width that every picture has after these steps; None where they follow the picture."""
    if (crop := crop_hw(steps)) is not None:
        return crop
    size = steps["size"]
    if not steps["do_resize"] or steps.get("keep_aspect_ratio"):
        return None
    if steps["processor"] == "ConvNext":
        return size["shortest_edge"], size["shortest_edge"]
    if steps["processor"] == "Eomt" and steps["do_pad"]:
        return size["shortest_edge"], size.get("longest_edge", size["shortest_edge"])
    return resized_hw((1, 1), steps) if "height" in size else None


def crop_hw(steps: Steps) -> Size | None:
    """Height and width of the middle that is kept; None where nothing is cropped away."""
    if steps["processor"] == "ConvNext" and (edge := steps["size"]["shortest_edge"]) < _CONVNEXT_CROPPED:
        return edge, edge
    return (steps["crop_size"]["height"], steps["crop_size"]["width"]) if steps["do_center_crop"] else None


def resized_hw(hw: Size, steps: Steps) -> Size:
    """Height and width of the resized picture."""
    return _RULES.get(steps["processor"], _plain)(hw, steps)


def with_aspect_ratio(hw: Size, shortest: int, longest: int | None) -> Size:
    """The shortest edge as asked, unless the longest grows too long (image_transforms.get_size_with_aspect_ratio)."""
    short, long = min(hw), max(hw)
    edge: float = shortest
    if longest is not None and long / short * edge > longest:
        edge = longest * short / long
    side, other = round(edge), int(edge * long / short)
    if short == side:
        return hw
    return (max(1, side), other) if hw[0] <= hw[1] else (other, max(1, side))


def normalised(planes: npt.NDArray[Any], steps: Steps) -> Pixels:
    """Rescale and normalise `(3, height, width)` from 0 to 255."""
    pixels = planes.astype(np.float32)
    if steps["do_rescale"]:
        pixels *= np.float32(steps["rescale_factor"])
    return _standardised(pixels, steps)


def on_canvas(pixels: Pixels, hw: Size) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Pixels in the upper left of zeros `(1, 3, *hw)`, and the mask `(1, *hw)` of what is picture.

    Raises:
        InputInvalid: they do not fit.
    """
    height, width = pixels.shape[1:]
    if height > hw[0] or width > hw[1]:
        raise InputInvalid(f"a picture of {height} x {width} does not fit the canvas of {hw[0]} x {hw[1]}")
    canvas = np.zeros((1, 3, *hw), dtype=np.float32)
    canvas[0, :, :height, :width] = pixels
    mask = np.zeros((1, *hw), dtype=np.int64)
    mask[0, :height, :width] = 1
    return canvas, mask


def _plain(hw: Size, steps: Steps) -> Size:
    size = steps["size"]
    if "height" in size:
        return size["height"], size["width"]
    if "longest_edge" in size:
        return with_aspect_ratio(hw, size["shortest_edge"], size["longest_edge"])
    return _shortest(hw, size["shortest_edge"])


def _shortest(hw: Size, edge: int) -> Size:
    """The shortest edge as asked (image_transforms.get_resize_output_image_size)."""
    height, width = hw
    return (int(edge * height / width), edge) if width <= height else (edge, int(edge * width / height))


def _convnext(hw: Size, steps: Steps) -> Size:
    edge = steps["size"]["shortest_edge"]
    return (edge, edge) if edge >= _CONVNEXT_CROPPED else _shortest(hw, int(edge / steps["crop_pct"]))


def _dpt(hw: Size, steps: Steps) -> Size:
    """Both sides multiples; of two scales the one nearer to 1 is taken for both where the ratio is kept."""
    wanted, multiple = (steps["size"]["height"], steps["size"]["width"]), steps["ensure_multiple_of"]
    scales = [side / own for side, own in zip(wanted, hw, strict=True)]
    if steps["keep_aspect_ratio"]:
        scales = [scales[abs(1 - scales[1]) < abs(1 - scales[0])]] * 2
    height, width = (round(scale * own / multiple) * multiple for scale, own in zip(scales, hw, strict=True))
    return height, width


def _glpn(hw: Size, steps: Steps) -> Size:
    divisor = steps["size_divisor"]
    return hw[0] // divisor * divisor, hw[1] // divisor * divisor


def _maskformer(hw: Size, steps: Steps) -> Size:
    plain, divisor = _plain(hw, steps), steps["size_divisor"]
    return (plain[0], plain[1]) if not divisor else (_up(plain[0], divisor), _up(plain[1], divisor))


def _up(side: int, divisor: int) -> int:
    return ceil(side / divisor) * divisor


def _yolos(hw: Size, steps: Steps) -> Size:
    if "height" in steps["size"]:
        return _plain(hw, steps)
    height, width = _plain(hw, steps)
    return height - height % _YOLOS_DIVISOR, width - width % _YOLOS_DIVISOR


_RULES: Mapping[str, Callable[[Size, Steps], Size]] = {
    "ConvNext": _convnext,
    "DPT": _dpt,
    "GLPN": _glpn,
    "Mask2Former": _maskformer,
    "MaskFormer": _maskformer,
    "Yolos": _yolos,
}


def _resize(image: Image, hw: Size, resample: int) -> Image:
    from PIL import Image as Pictures

    return np.asarray(Pictures.fromarray(image).resize((hw[1], hw[0]), Pictures.Resampling(resample)))


def _centre(image: Image, hw: Size, at: tuple[int, int]) -> Image:
    """The middle of a picture, with black around one that is smaller; `at` is where its corner comes to lie."""
    cropped = np.zeros((*hw, 3), dtype=np.uint8)
    top, left = at
    inside = image[max(-top, 0) : max(-top, 0) + hw[0], max(-left, 0) : max(-left, 0) + hw[1]]
    first_y, first_x = max(top, 0), max(left, 0)
    inside = inside[: hw[0] - first_y, : hw[1] - first_x]
    cropped[first_y : first_y + inside.shape[0], first_x : first_x + inside.shape[1]] = inside
    return cropped


def _standardised(pixels: Pixels, steps: Steps) -> Pixels:
    if steps["do_normalize"]:
        pixels -= np.asarray(steps["image_mean"], dtype=np.float32)[:, None, None]
        pixels /= np.asarray(steps["image_std"], dtype=np.float32)[:, None, None]
    return pixels


def _rf_detr(image: Image, steps: Steps) -> tuple[Pixels, Fit]:
    """Rescaled first, then resized without smoothing (RfDetrImageProcessor, `antialias=False`)."""
    original = (image.shape[0], image.shape[1])
    height, width = _plain(original, steps)
    scaled = image.astype(np.float32) * np.float32(steps["rescale_factor"] if steps["do_rescale"] else 1)
    resized = import_cv2().resize(scaled, (width, height), interpolation=import_cv2().INTER_LINEAR)
    fit = Fit((width / original[1], height / original[0]), (0, 0), original)
    return _standardised(np.ascontiguousarray(resized.transpose(2, 0, 1)), steps), fit


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
    return _standardised(np.ascontiguousarray(resized), steps), fit


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
    place = (np.arange(count) + 0.5) * (n / count) - 0.5
    low = np.asarray([floor(each) for each in place])
    share = (place - low).astype(np.float32)[:, None, None]
    first, second = _mirrored(low, n), _mirrored(low + 1, n)
    blended: npt.NDArray[np.float32] = values[first] * (1 - share) + values[second] * share
    return blended


def _mirrored(index: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """Indices beyond an end count back from its pixel, which is not doubled."""
    back: npt.NDArray[np.int64] = (n - 1) - np.abs((n - 1) - np.abs(index))
    return back
