"""Pictures of a page: made small, drawn on, side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drawing.opencv import import_cv2
from producer.exports.pictures import drawn, encode, read_picture

if TYPE_CHECKING:
    from drawing import Image
    from jobstore.views import ResultRow

#: Pixels of the longer side of one of two pictures: both fit on a screen.
_MAX_SIDE = 800
_GAP = 8
_JPEG_QUALITY = 88


def picture_file(rows: Sequence[ResultRow], folder: Path) -> tuple[str, tuple[int, int]]:
    """Write one JPEG with what each row found on the same picture, from left to right.

    Returns:
        The file's path below `folder`, and its height and width.

    Raises:
        PictureFailed: the picture is not there any more, or is another one, or a record is damaged.
    """
    image = _small(read_picture(rows[0]))
    gap = np.full((image.shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for row in rows for part in (gap, drawn(image, row.record or {}, row.blob))]
    joined = np.concatenate(parts[1:], axis=1)
    name = hashlib.sha256(f"{rows[0].uri}@{rows[0].frame}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    path = folder / "images" / f"{name}.jpg"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode(joined, path.suffix, _JPEG_QUALITY))
    return f"images/{path.name}", (joined.shape[0], joined.shape[1])


def _small(image: Image) -> Image:
    scale = _MAX_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    cv2 = import_cv2()
    resized: Any = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return resized  # type: ignore[no-any-return]
