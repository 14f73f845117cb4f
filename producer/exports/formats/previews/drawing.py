"""One picture of a page: read again, drawn on, and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drawing import draw_record, is_drawn
from drawing.opencv import import_cv2

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

_MAX_SIDE = 1280
_JPEG_QUALITY = 88


class PreviewFailed(Exception):
    """One picture cannot be drawn."""


def decode(data: bytes) -> Image:
    """Decode to `(H, W, 3)` BGR, upright.

    Raises:
        PreviewFailed: the bytes are no picture any more.
    """
    cv2 = import_cv2()
    try:
        image: Image | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        raise PreviewFailed("the picture cannot be decoded any more") from error
    if image is None:
        raise PreviewFailed("the picture cannot be decoded any more")
    return image


def draw_preview(image: Image, record: Mapping[str, Any], blob: bytes | None, path: Path) -> tuple[int, int]:
    """Shrink to 1280 pixels a side at most, draw the record, write `path`; gives its height and width.

    A record of a task that is not known here leaves the picture as it is.

    Args:
        image: `(H, W, 3)` BGR.

    Raises:
        PreviewFailed: this is not the picture that was labelled, or the record is damaged.
    """
    cv2 = import_cv2()
    if list(image.shape[:2]) != list(record.get("image_hw") or image.shape[:2]):
        raise PreviewFailed("the file is another picture than the one that was labelled")
    scale = min(1.0, _MAX_SIDE / max(image.shape[:2]))
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if is_drawn(record):
        image = _drawn(image, record, blob)
    return _write(cv2, image, path)


def _drawn(image: Any, record: Mapping[str, Any], blob: bytes | None) -> Any:
    """OpenCV reads and writes BGR; records are drawn on RGB."""
    try:
        return draw_record(image[..., ::-1], record, blob)[..., ::-1]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise PreviewFailed(f"the record cannot be drawn: {error!r}") from error


def _write(cv2: Any, image: Any, path: Path) -> tuple[int, int]:
    options = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    is_encoded, encoded = cv2.imencode(path.suffix.lower(), np.ascontiguousarray(image), options)
    if not is_encoded:
        raise PreviewFailed(f"OpenCV cannot write {path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded.tobytes())
    return image.shape[0], image.shape[1]
