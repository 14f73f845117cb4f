"""Pictures of a page: read again, drawn on, made small, side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drawing import draw_record, is_drawn
from drawing.opencv import import_cv2
from producer.exports.formats.previews import _pixels
from producer.exports.formats.previews.drawing import PreviewFailed as PictureFailed

__all__ = ["PictureFailed", "picture_file"]

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
    image = _small(np.ascontiguousarray(_pixels(rows[0])[..., ::-1]), rows[0])
    drawn = [_drawn(image, row) for row in rows]
    gap = np.full((image.shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for each in drawn for part in (gap, each)][1:]
    joined = np.concatenate(parts, axis=1)
    cv2 = import_cv2()
    _, encoded = cv2.imencode(
        ".jpg", np.ascontiguousarray(joined[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    name = hashlib.sha256(f"{rows[0].uri}@{rows[0].frame}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    path = folder / "images" / f"{name}.jpg"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encoded.tobytes())
    return f"images/{name}.jpg", (joined.shape[0], joined.shape[1])


def _small(image: Image, row: ResultRow) -> Image:
    hw = (row.record or {}).get("image_hw")
    if hw is not None and list(image.shape[:2]) != list(hw):
        raise PictureFailed("the file is another picture than the one that was labelled")
    scale = min(1.0, _MAX_SIDE / max(image.shape[:2]))
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    if scale == 1.0:
        return image
    cv2 = import_cv2()
    resized: Any = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return resized  # type: ignore[no-any-return]


def _drawn(image: Image, row: ResultRow) -> Image:
    record = row.record or {}
    if not is_drawn(record):
        return image
    try:
        return draw_record(image, record, row.blob)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise PictureFailed(f"the record cannot be drawn: {error!r}") from error
