"""What callers pass as images, turned into `(H, W, 3)` uint8 RGB; our own errors only.

The rules, which `docs/engine.md` repeats for readers:

* Arrays are `(H, W)`, `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)`, with a batch axis before them or not; BGR unless said.
* Tensors have their channels first, `(3, H, W)`; RGB unless said. `(H, W)` is grey.
* Alpha is left out: colours stay as they are stored, nothing is blended.
* Integers are taken by value, 0 to 255; 16-bit samples are refused, because a dark picture of them would look like a
  whole one of 8 bits. Floats lie in 0 to 1 or in 0 to 255: the greatest value of the array says which. One between 1
  and 2 is neither, and one call cannot have both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
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
#: Lists within lists; more is a list that holds itself.
_DEEPEST = 8
#: Floats whose greatest value lies above 1 and not above this are a mistake: neither range would show a picture.
_AMBIGUOUS_TO = 2.0


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
    ranges: set[float] = set()
    return [image for entry in _entries(images, 0) for image in _read(entry, color_format, ranges)]


def _entries(images: Any, depth: int) -> Iterator[Any]:
    """What the lists hold, in order."""
    if not isinstance(images, list | tuple):
        yield images
        return
    if not images:
        raise InputInvalid(f"an empty list of images; {_EXPECTED}")
    if depth == _DEEPEST:
        raise InputInvalid(f"lists within lists, more than {_DEEPEST} deep; {_EXPECTED}")
    for entry in images:
        yield from _entries(entry, depth + 1)


def _read(entry: Any, color_format: str | None, ranges: set[float]) -> list[Image]:
    """One entry's images.

    Args:
        ranges: greatest values that floats may have, as they were found so far in this call; one is added.
    """
    if isinstance(entry, str | os.PathLike):
        return [_from_path(entry)]
    if isinstance(entry, bytes | bytearray | memoryview):
        return [decode_image(bytes(entry))]
    if isinstance(entry, np.ndarray):
        return _from_array(np.asarray(entry), color_format or "bgr", ranges)
    if hasattr(entry, "detach"):
        return _from_tensor(entry, color_format or "rgb", ranges)
    if hasattr(entry, "convert") and hasattr(entry, "getexif"):
        return [_from_pil(entry, ranges)]
    raise InputInvalid(f"found {type(entry).__name__}; {_EXPECTED}")


def _from_path(path: Any) -> Image:
    try:
        return decode_image(Path(path).read_bytes())
    except (OSError, ValueError, TypeError) as error:  # ValueError: a null byte in the name; TypeError: a path of bytes
        raise InputInvalid(f"{path!r} cannot be read: {error}") from error
    except ImageUnreadable as error:
        raise ImageUnreadable(error.reason, f"{path}: {error}") from error


def _from_pil(image: Any, ranges: set[float]) -> Image:
    try:
        # Pillow cuts samples of more than 8 bits off at 255: they are judged as arrays are.
        is_wide = image.mode == "F" or image.mode.startswith("I")
        pixels = np.asarray(image if is_wide else image.convert("RGB"))
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except (OSError, SyntaxError, ValueError, AttributeError) as error:  # what Pillow raises for a damaged file
        raise InputInvalid(f"a PIL image whose pixels cannot be read: {error}") from error
    (rgb,) = _from_array(pixels, "rgb", ranges)
    return np.ascontiguousarray(_upright(rgb, orientation))


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


def _from_tensor(tensor: Any, color_format: str, ranges: set[float]) -> list[Image]:
    try:
        array = np.asarray(_plain(tensor.detach().cpu()).numpy())
    except (TypeError, RuntimeError, NotImplementedError, AttributeError) as error:
        raise InputInvalid(f"a tensor that has no array: {error}") from error
    if array.ndim == 2:
        return _from_array(array, color_format, ranges)
    if array.ndim not in (3, 4) or array.shape[-3] not in (1, 3, 4):
        raise InputInvalid(f"a tensor of shape {array.shape}, expected (3, H, W) or (B, 3, H, W): channels come first")
    return _from_array(np.moveaxis(array, -3, -1), color_format, ranges)


def _from_array(array: npt.NDArray[Any], color_format: str, ranges: set[float]) -> list[Image]:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim not in (3, 4) or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        hint = "; an array's channels come last" if array.ndim in (3, 4) and array.shape[-3] in (1, 3, 4) else ""
        raise InputInvalid(
            f"an array of shape {array.shape}, expected (H, W, 3) or (B, H, W, 3) with no empty side{hint}"
        )
    # The range of the whole batch says what its floats are: one dark image must not be taken for 0 to 1.
    pixels = _as_uint8(array, ranges)
    return [_as_rgb(image, color_format) for image in (pixels if pixels.ndim == 4 else pixels[None])]


def _as_rgb(pixels: Image, color_format: str) -> Image:
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    colours = pixels[:, :, :3]
    return np.ascontiguousarray(colours[:, :, ::-1] if color_format == "bgr" else colours)


def _as_uint8(array: npt.NDArray[Any], ranges: set[float]) -> Image:
    """8 bits a sample, by the rules at the top of this module."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype.kind not in "fiu":
        raise InputInvalid(f"an array of dtype {array.dtype}, expected uint8 or float")
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        raise InputInvalid("16-bit samples, expected uint8 or float: scale them first, (array / 257).astype('uint8')")
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > 255:
        raise InputInvalid(f"pixels from {low:g} to {high:g}, expected 0 to 1 or 0 to 255 (no NaN)")
    scale = _scale(high, ranges) if array.dtype.kind == "f" else 1.0
    return np.rint(array * scale).astype(np.uint8)


def _scale(high: float, ranges: set[float]) -> float:
    """What floats up to `high` are multiplied by.

    Raises:
        InputInvalid: they are in neither range, or in another one than floats before them.
    """
    if 1 < high <= _AMBIGUOUS_TO:
        raise InputInvalid(
            f"floats up to {high:.7g}, expected 0 to 1 or 0 to 255: clip them, array.clip(0, 1), or pass uint8"
        )
    if high > 0:  # black is black in either
        ranges.add(1.0 if high <= 1 else 255.0)
    if len(ranges) > 1:
        raise InputInvalid("floats of 0 to 1 and of 0 to 255 in one call: pass them apart, in one array, or as uint8")
    return 255.0 if high <= 1 else 1.0
