"""What every image processor of transformers does to pixels: one filter, one arithmetic, one canvas. Pure.

Pictures are resized by Pillow, whose filter the weights were trained with: OpenCV's bilinear filter does not smooth
when it shrinks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inference_engine.errors import InputInvalid
from inference_engine.hf_processors import Steps
from inference_engine.hf_sizes import Size
from inference_engine.pixels import Image

Pixels = npt.NDArray[np.float32]  # (3, height, width)


def resized(image: Image, hw: Size, resample: int) -> Image:
    """Pillow's resize on 8-bit pixels `(H, W, 3)`, which smooths where it shrinks.

    Args:
        resample: a number of `PIL.Image.Resampling`.
    """
    if image.shape[:2] == hw:
        return image
    from PIL import Image as Pictures

    return np.asarray(Pictures.fromarray(image).resize((hw[1], hw[0]), Pictures.Resampling(resample)))


def normalised(image: Image, steps: Steps) -> Pixels:
    """`(H, W, 3)` uint8 as `(3, height, width)`, rescaled and normalised as far as the file asks for it."""
    pixels = image.transpose(2, 0, 1).astype(np.float32)
    if steps["do_rescale"]:
        pixels *= np.float32(steps["rescale_factor"])
    return standardised(pixels, steps)


def standardised(pixels: Pixels, steps: Steps) -> Pixels:
    """Less the mean, over the deviation, channel by channel; in place."""
    if steps["do_normalize"]:
        pixels -= np.asarray(steps["image_mean"], dtype=np.float32)[:, None, None]
        pixels /= np.asarray(steps["image_std"], dtype=np.float32)[:, None, None]
    return pixels


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
