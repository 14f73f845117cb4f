"""Pictures that were labelled, read again: files of this machine and frames of its videos."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import numpy as np

from drawing import draw_record, is_drawn
from drawing.opencv import import_cv2
from videos.errors import VideoUnreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from jobstore.views import ResultRow
    from videos.reading import Frame

    Image = NDArray[np.uint8]

# A picture's file was within the workers' limit when it was labelled; since then it may have been replaced.
_MAX_FILE_BYTES = 256 * 1024 * 1024


class PictureFailed(Exception):
    """One picture cannot be read again, or not drawn on; the message says why."""


def read_picture(row: ResultRow) -> Image:
    """The pixels that were labelled, `(H, W, 3)` RGB, upright.

    Raises:
        PictureFailed: they are not there any more, or are others.
    """
    if not row.frame:
        return checked(decode(read_bytes(row.uri)), row)
    with open_frames(row.uri) as read_frames:
        found = next(read_frames([row.frame - 1]), None)
    if found is None:
        raise PictureFailed("the frame cannot be decoded any more")
    return checked(found.image, row)


def checked(image: Image, row: ResultRow) -> Image:
    """The image, if it has the size of the one that was labelled."""
    hw = (row.record or {}).get("image_hw")
    if hw is not None and list(image.shape[:2]) != list(hw):
        raise PictureFailed("the file is another picture than the one that was labelled")
    return image


@contextmanager
def open_frames(uri: str) -> Iterator[Callable[[Sequence[int]], Iterator[Frame]]]:
    """Give a function from indices, ascending, to frames; those that cannot be decoded any more are left out.

    Raises:
        PictureFailed: the video cannot be read any more; inside the block too.
    """
    from videos.reading import Video

    try:
        with local_path(uri).open("rb") as file, Video(file) as video:
            timeline = video.timeline()
            yield lambda indices: video.frames(timeline, indices)
    except (OSError, VideoUnreadable) as error:
        raise PictureFailed(f"the video cannot be read any more: {error}") from error


def drawn(image: Image, record: Mapping[str, Any], blob: bytes | None) -> Image:
    """A new picture with the record on it; the picture itself where the record's task is not known here.

    Raises:
        PictureFailed: the record is damaged.
    """
    if not is_drawn(record):
        return image
    try:
        return draw_record(image, record, blob)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise PictureFailed(f"the record cannot be drawn: {error!r}") from error


def decode(data: bytes) -> Image:
    """Decode to `(H, W, 3)` RGB, upright.

    Raises:
        PictureFailed: the bytes are no picture any more.
    """
    cv2 = import_cv2()
    try:
        image: Image | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        raise PictureFailed("the picture cannot be decoded any more") from error
    if image is None:
        raise PictureFailed("the picture cannot be decoded any more")
    return image[..., ::-1].copy()


def encode(image: NDArray[Any], suffix: str, quality: int) -> bytes:
    """A file's bytes of a picture, `(H, W, 3)` RGB; JPEG of a quality, or PNG.

    Raises:
        PictureFailed: OpenCV does not write such files.
    """
    cv2 = import_cv2()
    options = [] if suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    is_encoded, encoded = cv2.imencode(suffix.lower(), np.ascontiguousarray(image[..., ::-1]), options)
    if not is_encoded:
        raise PictureFailed(f"OpenCV cannot write {suffix}")
    data: bytes = encoded.tobytes()
    return data


def read_bytes(uri: str) -> bytes:
    """A local picture's file.

    Raises:
        PictureFailed: it cannot be read any more.
    """
    path = local_path(uri)
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise PictureFailed("the file is too large")
        return path.read_bytes()
    except OSError as error:
        raise PictureFailed(f"the file cannot be read any more: {error.strerror}") from error


def local_path(uri: str) -> Path:
    """Where a local, regular file lies.

    Raises:
        PictureFailed: it is no file of this machine, or is not there any more.
    """
    path = os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))) if uri.startswith("file://") else uri
    if "://" in path:
        raise PictureFailed("only local files are read again")
    if not Path(path).is_file():
        raise PictureFailed("the file cannot be read any more, or is no regular file")
    return Path(path)
