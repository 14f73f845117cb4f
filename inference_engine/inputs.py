"""What callers pass as images, turned into `(H, W, 3)` uint8 RGB; our own errors only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.decoding import decode_image
from inference_engine.errors import ImageUnreadable, InputInvalid
from inference_engine.images import Image

_EXPECTED = (
    "expected an array (H, W, 3), a torch tensor (3, H, W), a PIL image, encoded bytes, a path, or a list of these"
)

_ORIENTATION_TAG = 0x0112


def as_rgb_images(images: Any, color_format: str | None = None) -> list[Image]:
    """Turn one image or a collection into a list of `(H, W, 3)` uint8 RGB arrays.

    Args:
        images: see `VisionModel.__call__`.
        color_format: `bgr` or `rgb`; None: arrays are BGR (as OpenCV reads them), tensors RGB.

    Raises:
        InputInvalid: not an image, with what was found.
        ImageUnreadable: bytes or a file that cannot be decoded.
    """
    if color_format not in (None, "bgr", "rgb"):
        raise InputInvalid(f"input_color_format must be 'bgr' or 'rgb', found {color_format!r}")
    if isinstance(images, list | tuple):
        if not images:
            raise InputInvalid(f"an empty list of images; {_EXPECTED}")
        return [image for entry in images for image in as_rgb_images(entry, color_format)]
    if isinstance(images, str | os.PathLike):
        return [_from_path(images)]
    if isinstance(images, bytes | bytearray | memoryview):
        return [decode_image(bytes(images))]
    if isinstance(images, np.ndarray):
        return _from_array(images, color_format or "bgr")
    if hasattr(images, "detach"):
        return _from_tensor(images, color_format or "rgb")
    if hasattr(images, "convert") and hasattr(images, "getexif"):
        return [_from_pil(images)]
    raise InputInvalid(f"found {type(images).__name__}; {_EXPECTED}")


def _from_path(path: Any) -> Image:
    try:
        return decode_image(Path(path).read_bytes())
    except (OSError, ValueError, TypeError) as error:  # ValueError: a null byte in the name; TypeError: a path of bytes
        raise InputInvalid(f"{path!r} cannot be read: {error}") from error
    except ImageUnreadable as error:
        raise ImageUnreadable(error.reason, f"{path}: {error}") from error


def _from_pil(image: Any) -> Image:
    try:
        pixels = np.asarray(image.convert("RGB"))
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except (OSError, SyntaxError, ValueError, AttributeError) as error:  # what Pillow raises for a damaged file
        raise InputInvalid(f"a PIL image whose pixels cannot be read: {error}") from error
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise InputInvalid(f"a PIL image of shape {pixels.shape}, expected no empty side")
    return np.ascontiguousarray(_upright(pixels, orientation))


def _upright(pixels: Image, orientation: int) -> Image:
    """Turn and mirror as EXIF tag 274 says (JEITA CP-3451, 4.6.4); Pillow keeps the tag until someone applies it."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _plain(tensor: Any) -> Any:
    """Numpy has no bfloat16."""
    return tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor


def _from_tensor(tensor: Any, color_format: str) -> list[Image]:
    try:
        array = np.asarray(_plain(tensor.detach().cpu()).numpy())
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise InputInvalid(f"a tensor that has no array: {error}") from error
    if array.ndim not in (3, 4) or array.shape[-3] not in (1, 3, 4):
        raise InputInvalid(f"a tensor of shape {array.shape}, expected (3, H, W) or (B, 3, H, W)")
    return _from_array(np.moveaxis(array, -3, -1), color_format)


def _from_array(array: npt.NDArray[Any], color_format: str) -> list[Image]:
    if array.ndim == 4 and len(array):
        # The range of the whole batch says what its floats are: one dark image must not be taken for 0 to 1.
        pixels = _as_uint8(array) if array.size else array
        return [image for entry in pixels for image in _from_array(entry, color_format)]
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise InputInvalid(f"an array of shape {array.shape}, expected (H, W, 3) or (B, H, W, 3) with no empty side")
    pixels = _as_uint8(array)
    if pixels.shape[2] == 1:
        return [np.repeat(pixels, 3, axis=2)]
    pixels = pixels[:, :, :3]
    return [np.ascontiguousarray(pixels[:, :, ::-1] if color_format == "bgr" else pixels)]


def _as_uint8(array: npt.NDArray[Any]) -> Image:
    """Floats must lie in 0..1 or in 0..255: the range says which, and anything else is an error."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype.kind not in "fiu":
        raise InputInvalid(f"an array of dtype {array.dtype}, expected uint8 or float")
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > 255:
        raise InputInvalid(f"pixels from {low:g} to {high:g}, expected 0 to 1 or 0 to 255 (no NaN)")
    scale = 255.0 if array.dtype.kind == "f" and high <= 1 else 1.0
    return np.rint(array * scale).astype(np.uint8)
