"""Pictures and videos that come with a request: kept under the hash of their bytes, in a place of their tenant.

That is a folder of the server's, for workers that share it, or a prefix of a bucket, for a fleet that shares no disk.
Workers have a bucket's endpoint and credentials where every S3 tool has them.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from producer.answers import Presigned, Uploaded
from producer.errors import PresignUnavailable, SourceUnsupported
from producer.exports.bucket import as_bucket_error, connect, is_bucket, split
from producer.server.errors import BodyTooLarge, UploadFailed
from producer.server.limits import UPLOADS_PATH
from producer.sources.kinds import PICTURE_SUFFIXES, VIDEO_SUFFIXES, suffix_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.server.services import ServerOptions
    from producer.wire import FileBody

_CHUNK_BYTES = 2**20
_LONGEST_NAME = 255
#: Seconds for which a presigned request is good.
PRESIGNED_S = 900


def uploads_of(options: ServerOptions, tenant: str) -> str:
    """Give the folder, or the prefix of a bucket, of a tenant's uploads; without a slash at its end."""
    place = options.uploads or str(options.data_dir / "uploads")
    return f"{place.rstrip('/')}/{tenant}"


def presign(place: str, files: Sequence[FileBody], max_bytes: int) -> list[Presigned]:
    """Give requests by which a client sends files to a bucket himself, each of the length and type that he said.

    Length and type are part of the signature, so the storage refuses another body; names are random, since nobody here
    sees the bytes.

    Args:
        place: the prefix of a tenant, as `uploads_of` gives it.
        max_bytes: of all files together.

    Raises:
        PresignUnavailable: uploads go to a folder.
        BodyTooLarge, SourceUnsupported.
        UploadFailed: there are no credentials to sign with.
    """
    if not is_bucket(place):
        raise PresignUnavailable(
            f"uploads of this server go to a folder, which only it can write: send the files to POST {UPLOADS_PATH}; "
            "its operator gives it a bucket by NIGHTSHIFT_SERVER__UPLOADS=s3://bucket/prefix"
        )
    if (total := sum(each.size_bytes for each in files)) > max_bytes:
        raise BodyTooLarge(f"the files have {total:,} bytes; {max_bytes:,} is the limit here: ask for fewer at a time")
    named = [(each, *_named(each.name)) for each in files]
    client = connect(signature_version="s3v4", request_checksum_calculation="when_required")
    with as_bucket_error(place, UploadFailed):
        return [_presigned(client, f"{place}/{uuid.uuid4().hex}{suffix}", shown, each) for each, shown, suffix in named]


def _presigned(client: Any, uri: str, shown: str, file: FileBody) -> Presigned:
    bucket, key = split(uri)
    signed = {"Bucket": bucket, "Key": key, "ContentLength": file.size_bytes, "ContentType": file.content_type}
    expires = time.time() + PRESIGNED_S
    url = client.generate_presigned_url("put_object", signed, ExpiresIn=PRESIGNED_S, HttpMethod="PUT")
    headers = {"Content-Length": str(file.size_bytes), "Content-Type": file.content_type}
    return Presigned(shown, uri, "PUT", url, headers, expires)


def keep(place: str, name: str, content: BinaryIO) -> Uploaded:
    """Write one file below a folder or prefix, and say what a job names it by; the same bytes are kept once.

    The given name is only told, never used as a path: of it, the ending alone, which is one of a closed list.

    Raises:
        SourceUnsupported: its ending is no picture's and no video's.
        UploadFailed: the bucket refuses, or does not answer.
    """
    shown, suffix = _named(name)
    write = _to_bucket if is_bucket(place) else _to_folder
    uri, digest, size = write(place, suffix, content)
    return Uploaded(shown, uri, digest, size)


def _named(name: str) -> tuple[str, str]:
    """Give what is told of a file's name, and its ending.

    Raises:
        SourceUnsupported.
    """
    shown = os.path.basename(name.replace("\\", "/"))[:_LONGEST_NAME]  # noqa: PTH119 (a name, not a path of ours)
    suffix = suffix_of(shown)
    if suffix not in PICTURE_SUFFIXES | VIDEO_SUFFIXES:
        known = ", ".join(sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES))
        raise SourceUnsupported(f"{shown!r} is not taken by its ending; expected one of {known}")
    return shown, suffix


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
