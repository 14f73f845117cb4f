"""One picture of a page: made smaller, drawn on, and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from drawing.opencv import import_cv2
from producer.exports.pictures import drawn, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producer.exports.pictures import Image

_MAX_SIDE = 1280
_JPEG_QUALITY = 88


def draw_preview(image: Image, record: Mapping[str, Any], blob: bytes | None, path: Path) -> tuple[int, int]:
    """Shrink to 1280 pixels a side at most, draw the record, write `path`; gives its height and width.

    Args:
        image: `(H, W, 3)` RGB.

    Raises:
        PictureFailed: the record is damaged.
    """
    scale = min(1.0, _MAX_SIDE / max(image.shape[:2]))
    if scale < 1:
        cv2 = import_cv2()
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    data = encode(drawn(image, record, blob), path.suffix, _JPEG_QUALITY)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return image.shape[0], image.shape[1]
