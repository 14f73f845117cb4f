"""Bytes to pixels: the guard first, then OpenCV, then a check of what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inference_engine.errors import ImageUnreadable
from inference_engine.opencv import import_cv2
from inference_engine.sniff import DEFAULT_LIMITS, ImageHeader, ImageLimits, sniff

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["decode_image"]


def decode_image(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Decode one picture to `(H, W, 3)` RGB, upright: EXIF orientation is applied.

    Deeper samples keep their upper 8 bits, alpha is dropped (its hidden colours show), grey becomes three equal
    channels, CMYK is converted, of an animation or a multi-page file the first picture is taken.

    Raises:
        ImageUnreadable: `reason` says why, see `inference_engine.errors.IMAGE_REASONS`.
    """
    header = sniff(data, limits)
    image = _decode(data, header)
    height, width = image.shape[:2]
    if height * width > limits.max_pixels or max(height, width) > limits.max_side:
        raise ImageUnreadable(
            "image_too_large", f"{header.format} decoded to {width} x {height}; its header said {_size(header)}"
        )
    return image


def _decode(data: bytes, header: ImageHeader) -> NDArray[np.uint8]:
    cv2 = import_cv2()
    buffer = np.frombuffer(data, np.uint8)
    try:
        image: NDArray[np.uint8] | None = _decode_rgb(cv2, buffer)
    except (cv2.error, MemoryError) as error:
        raise _undecodable(header, str(error)) from error
    if image is None:
        raise _undecodable(header, "the decoder gave no picture")
    return image


def _decode_rgb(cv2: Any, buffer: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    if hasattr(cv2, "IMREAD_COLOR_RGB"):  # since OpenCV 4.11
        return cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB)  # type: ignore[no-any-return]
    image = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def _undecodable(header: ImageHeader, cause: str) -> ImageUnreadable:
    words = " ".join(cause.split())[:200]
    return ImageUnreadable("image_corrupt", f"{header.format} of {_size(header)} cannot be decoded: {words}")


def _size(header: ImageHeader) -> str:
    return f"{header.width} x {header.height} pixels"
