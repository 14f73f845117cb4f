"""Pictures for pages: read within the server's rules and limits, made small, drawn on where shapes cannot, and a JPEG.

Those of this machine are read from its disk, others by `producer.server.pages.remote`.

Only what decodes as a picture leaves, re-encoded, so that no other file of the machine can be fetched by its name.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from PIL import Image as Pillow

from drawing.opencv import import_cv2
from fetching.errors import FetchDenied
from fetching.paths import NotRegular, open_regular
from fetching.policy import is_remote
from producer.errors import SourceDenied
from producer.exports.pictures import PictureFailed, decode, drawn, encode
from producer.server.reading import check_place, folder_of_uploads
from producer.sources.checking import path_of
from videos.errors import VideoUnreadable

if TYPE_CHECKING:
    from drawing import Image
    from jobstore.views import ResultRow
    from producer.server.auth import Caller
    from producer.server.pages.remote import RemotePictures

#: Pixels of the longer side, by the name that an address asks for.
SIDES = {"small": 560, "large": 1600}
#: More is not decoded for a page: 150 MB of pixels. Workers have limits of their own.
MAX_PIXELS = 50_000_000
MAX_FILE_BYTES = 128 * 2**20
_JPEG_QUALITY = 84
#: What workers label; Pillow reads their headers alone, and tries no other parser.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM")
#: Pictures that are decoded at a time, so that a gallery cannot take all memory.
_DECODERS = threading.BoundedSemaphore(2)


@dataclass(frozen=True, slots=True)
class Subject:
    """A picture, or a frame of a video counted from 1, with what is drawn into it where that is asked for."""

    uri: str
    frame: int = 0
    attempt: int = 0
    record: Mapping[str, Any] | None = None
    blob: bytes | None = None


def can_show(caller: Caller, row: ResultRow) -> bool:
    """Say whether pages may have the picture of an outcome; of videos elsewhere they have none."""
    if not is_remote(row.uri):
        return True
    try:
        caller.services.options.fetch.check_remote(row.uri)
    except FetchDenied:
        return False
    return not row.frame


def thumbnail(caller: Caller, remote: RemotePictures, subject: Subject, size: str, *, is_drawn: bool = False) -> bytes:
    """Give a JPEG of a picture or frame.

    Args:
        remote: fetches it where it lies on another machine, and keeps the JPEG.
        size: a name of `SIDES`.
        is_drawn: whether the record is drawn into it.

    Raises:
        PictureFailed: it is not there any more, may not be read here, is too large, or is no picture.
    """
    if is_remote(subject.uri):
        tag = tag_of(subject, size, is_drawn=is_drawn)
        return remote.once(tag, lambda: _jpeg(_fetched(remote, subject), subject, size, is_drawn=is_drawn))
    return _jpeg(_opened(caller, subject.uri), subject, size, is_drawn=is_drawn)


def tag_of(subject: Subject, size: str, *, is_drawn: bool) -> str:
    """Give what changes whenever the picture may look different: the item, its attempt, and how it is shown."""
    told = f"{subject.uri}@{subject.frame}#{subject.attempt}/{size}/{is_drawn}"
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _jpeg(opened: BinaryIO, subject: Subject, size: str, *, is_drawn: bool) -> bytes:
    with _DECODERS, opened as file:
        image = _frame(file, subject.frame) if subject.frame else _picture(file)
        small = _fitted(image, SIDES[size])
        return encode(drawn(small, subject.record or {}, subject.blob) if is_drawn else small, ".jpg", _JPEG_QUALITY)


def _fetched(remote: RemotePictures, subject: Subject) -> BinaryIO:
    if subject.frame:
        raise PictureFailed("the video lies on another machine, and pages fetch pictures only")
    return io.BytesIO(remote.read(subject.uri))


def _opened(caller: Caller, uri: str) -> BinaryIO:
    roots = caller.services.options.fetch.allowed_roots
    own = folder_of_uploads(caller)
    try:
        check_place(caller, uri)
        descriptor, size = open_regular(path_of(uri), None if roots is None else (own, *roots))
    except (SourceDenied, FetchDenied, NotRegular) as error:
        raise PictureFailed("the picture lies where this server may not read") from error
    except (OSError, ValueError) as error:
        raise PictureFailed("the picture cannot be read any more") from error
    file = os.fdopen(descriptor, "rb")
    if size > MAX_FILE_BYTES and not _is_video(file):
        file.close()
        raise PictureFailed(f"the file has {size:,} bytes; pages show up to {MAX_FILE_BYTES:,}")
    return file


def _is_video(file: BinaryIO) -> bool:
    """Whether Pillow finds no picture's header: videos are read piece by piece, so their size says nothing."""
    try:
        Pillow.open(file, formats=_FORMATS)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError, Pillow.DecompressionBombWarning):
        return True
    finally:
        file.seek(0)
    return False


def _picture(file: BinaryIO) -> Image:
    data = file.read(MAX_FILE_BYTES + 1)
    try:
        with Pillow.open(io.BytesIO(data), formats=_FORMATS) as header:
            width, height = header.size
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise PictureFailed(f"the picture has more than {MAX_PIXELS:,} pixels") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise PictureFailed("the file is no picture any more") from error
    if width * height > MAX_PIXELS:
        raise PictureFailed(f"the picture has {width * height:,} pixels; pages show up to {MAX_PIXELS:,}")
    return decode(data)


def _frame(file: BinaryIO, number: int) -> Image:
    from videos.reading import Video

    try:
        with Video(file) as video:
            found = next(iter(video.frames(video.timeline(), [number - 1])), None)
    except (OSError, VideoUnreadable) as error:
        raise PictureFailed("the video cannot be read any more") from error
    if found is None:
        raise PictureFailed("the frame cannot be decoded any more")
    return found.image


def _fitted(image: Image, side: int) -> Image:
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    cv2 = import_cv2()
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    small: Image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small
