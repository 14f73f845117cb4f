"""What goes into a Hugging Face model: the picture by its steps, and a mask where the architecture takes one."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from inference_engine.hf_architectures import MASK, PIXELS
from inference_engine.hf_folder import settings_of
from inference_engine.hf_pixels import on_canvas, to_pixels
from inference_engine.images import Fit
from inference_engine.packages import ModelPackage
from inference_engine.pixels import Image
from inference_engine.sessions import Tensors


def prepared(image: Image, package: ModelPackage) -> tuple[Tensors, Fit]:
    """One picture as its folder's steps make it.

    Returns:
        `pixel_values (1, 3, height, width)`, on the package's canvas with `pixel_mask (1, height, width)` where the
        architecture takes one, and how the picture lies in them.

    Raises:
        InputInvalid: the picture is too small, or does not fit the canvas.
    """
    settings = settings_of(package)
    pixels, fit = to_pixels(image, settings.steps)
    if not settings.row.is_masked:
        return {PIXELS: pixels[None]}, fit
    canvas, mask = on_canvas(pixels, package.config.network_input.hw)
    tensors: dict[str, npt.NDArray[Any]] = {PIXELS: canvas, MASK: mask}
    return tensors, fit
