"""Pictures and videos that come with a request: kept under the hash of their bytes, in a place of their tenant.

That is a folder of the server's, for workers that share it, or a prefix of a bucket, for a fleet that shares no disk.
Workers have a bucket's endpoint and credentials where every S3 tool has them.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from producer.answers import Uploaded
from producer.errors import SourceUnsupported
from producer.exports.bucket import as_bucket_error, connect, is_bucket, split
from producer.server.errors import UploadFailed
from producer.sources.kinds import PICTURE_SUFFIXES, VIDEO_SUFFIXES, suffix_of

if TYPE_CHECKING:
    from producer.server.services import ServerOptions

_CHUNK_BYTES = 2**20
_LONGEST_NAME = 255


def uploads_of(options: ServerOptions, tenant: str) -> str:
    """Give the folder, or the prefix of a bucket, of a tenant's uploads; without a slash at its end."""
    place = options.uploads or str(options.data_dir / "uploads")
    return f"{place.rstrip('/')}/{tenant}"


def keep(place: str, name: str, content: BinaryIO) -> Uploaded:
    """Write one file below a folder or prefix, and say what a job names it by; the same bytes are kept once.

    The given name is only told, never used as a path: of it, the ending alone, which is one of a closed list.

    Raises:
        SourceUnsupported: its ending is no picture's and no video's.
        UploadFailed: the bucket refuses, or does not answer.
    """
    shown = os.path.basename(name.replace("\\", "/"))[:_LONGEST_NAME]  # noqa: PTH119 (a name, not a path of ours)
    suffix = suffix_of(shown)
    if suffix not in PICTURE_SUFFIXES | VIDEO_SUFFIXES:
        known = ", ".join(sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES))
        raise SourceUnsupported(f"{shown!r} is not taken by its ending; expected one of {known}")
    write = _to_bucket if is_bucket(place) else _to_folder
    uri, digest, size = write(place, suffix, content)
    return Uploaded(shown, uri, digest, size)


def _to_folder(place: str, suffix: str, content: BinaryIO) -> tuple[str, str, int]:
    folder = Path(place)
    folder.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    descriptor, part = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += file.write(chunk)
            os.fchmod(file.fileno(), 0o644)  # workers may be other users
        path = folder / f"{digest.hexdigest()}{suffix}"
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    return str(path), digest.hexdigest(), size


def _to_bucket(place: str, suffix: str, content: BinaryIO) -> tuple[str, str, int]:
    digest, size = hashlib.sha256(), 0
    while chunk := content.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    content.seek(0)
    uri = f"{place}/{digest.hexdigest()}{suffix}"
    bucket, key = split(uri)
    with as_bucket_error(uri, UploadFailed):
        connect().upload_fileobj(content, bucket, key)  # it appears when all of it is there
    return uri, digest.hexdigest(), size
