"""What goes into a Hugging Face model: the picture by its steps, and what else its architecture takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import PackageInvalid
from inference_engine.hf_architectures import MASK, PATCH_GRID, PATCH_MASK, PIXELS, TEXTS
from inference_engine.hf_folder import settings_of
from inference_engine.hf_pictures import to_pixels
from inference_engine.hf_pixels import normalised, on_canvas, resized
from inference_engine.hf_processors import Steps
from inference_engine.hf_sizes import patched_hw
from inference_engine.images import Fit
from inference_engine.packages import ModelPackage
from inference_engine.pixels import Image
from inference_engine.sessions import Tensors, TensorSpec
from inference_engine.tasks import keypoints, open_vocabulary, video_classification

#: Keys of `config.json` with the frames of a clip.
_FRAMES = ("num_frames", "frames_per_clip")


def prepared(image: Image, package: ModelPackage) -> tuple[Tensors, Fit]:
    """One picture as its folder's steps make it.

    Returns:
        Tensors by the names of `input_specs`, words aside, and how the picture lies in its pixels.

    Raises:
        InputInvalid: the picture is too small, or does not fit the canvas.
    """
    settings = settings_of(package)
    if PATCH_GRID in settings.row.beside:
        return _patches(image, settings.steps)
    pixels, fit = to_pixels(image, settings.steps)
    if not settings.row.is_masked:
        return {PIXELS: pixels[None]}, fit
    canvas, mask = on_canvas(pixels, package.config.network_input.hw)
    tensors: dict[str, npt.NDArray[Any]] = {PIXELS: canvas, MASK: mask}
    return tensors, fit


def clip_frames(package: ModelPackage) -> int:
    """Frames that a clip has.

    Raises:
        PackageInvalid: the folder does not say it.
    """
    config = settings_of(package).config
    found = next((config[key] for key in _FRAMES if key in config), None)
    if not isinstance(found, int) or found < 1:
        keys = " or ".join(_FRAMES)
        raise PackageInvalid(f"{package.weights.parent}: {keys} in config.json must be a count, found {found!r}")
    return found


def input_specs(package: ModelPackage) -> list[TensorSpec]:
    """Names and shapes of what `prepared` and the families make, with words last."""
    settings, network = settings_of(package), package.config.network_input
    row, steps = settings.row, settings.steps
    height, width = (None, None) if network.is_dynamic else network.hw
    if PATCH_GRID in row.beside:
        most, numbers = steps["max_num_patches"], 3 * steps["patch_size"] ** 2
        return [
            TensorSpec(PIXELS, (None, most, numbers), "float32"),
            TensorSpec(PATCH_MASK, (None, most), "int64"),
            TensorSpec(PATCH_GRID, (None, 2), "int64"),
        ]
    if package.task == video_classification.TASK:
        return [TensorSpec(row.pixels, (None, clip_frames(package), 3, height, width), "float32")]
    if package.task == keypoints.TASK:
        return [TensorSpec(PIXELS, (None, None, 3, height, width), "float32")]
    specs = [TensorSpec(PIXELS, (None, 3, height, width), "float32")]
    if row.is_masked:
        specs.append(TensorSpec(MASK, (None, height, width), "int64"))
    if package.task == open_vocabulary.TASK:
        specs.append(TensorSpec(TEXTS, (None, None), "str"))
    return specs


def _patches(image: Image, steps: Steps) -> tuple[Tensors, Fit]:
    """Rows of patches, filled up with zeros under a mask to as many as there may be (Siglip2ImageProcessor)."""
    original, patch, most = (image.shape[0], image.shape[1]), steps["patch_size"], steps["max_num_patches"]
    height, width = patched_hw(original, steps)
    rows, columns = height // patch, width // patch
    pixels = normalised(resized(image, (height, width), steps["resample"]), steps)
    cut = pixels.reshape(3, rows, patch, columns, patch).transpose(1, 3, 2, 4, 0).reshape(rows * columns, -1)
    values = np.zeros((1, most, cut.shape[1]), dtype=np.float32)
    values[0, : len(cut)] = cut
    mask = (np.arange(most) < len(cut)).astype(np.int64)[None]
    grid = np.asarray([[rows, columns]], dtype=np.int64)
    fit = Fit((width / original[1], height / original[0]), (0, 0), original)
    return {PIXELS: values, PATCH_MASK: mask, PATCH_GRID: grid}, fit
