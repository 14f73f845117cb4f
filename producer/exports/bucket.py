"""Exports to `s3://bucket/prefix`: written to a temporary folder first, then uploaded, `manifest.json` last.

A bucket has no rename, so the manifest is what tells a complete export from one under way: it is taken away before the
first file goes up, and put back when all are there. Files of an earlier export that this one does not have are removed.
While an upload is under way, and after one that was killed, the prefix holds a mark instead; the next export goes on
from there. A prefix with neither is somebody's own, and is left alone.

Region, endpoint (`AWS_ENDPOINT_URL_S3`) and credentials are boto3's own settings.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from producer.errors import ExportFailed, ExportOptionInvalid, ProducerError
from producer.exports.atomic import files_below
from producer.exports.manifest import MANIFEST
from producer.exports.writing import write_exports

if TYPE_CHECKING:
    from producer.exports.dataset import Dataset
    from producer.exports.summary import ExportSummary

_SCHEME = "s3://"
#: Its presence says that an upload is under way, or was killed.
UNDER_WAY = ".nightshift-upload"
_THREADS = 16
# The "standard" mode would stop after a hundred repeats of all requests together, which a bucket that asks for
# patience (SlowDown) has soon made of ten thousand files.
_RETRIES = {"mode": "legacy", "total_max_attempts": 7}


def is_bucket(dest: object) -> bool:
    """Whether an export's destination is a bucket, and not a folder."""
    return isinstance(dest, str) and dest.startswith(_SCHEME)


def split(url: str) -> tuple[str, str]:
    """Give bucket and key of `s3://bucket/key`."""
    bucket, _, key = url.removeprefix(_SCHEME).partition("/")
    return bucket, key


def connect(**more: Any) -> Any:
    """Give a client of S3 that tries again what may work then; making one takes a fifth of a second.

    Args:
        more: further fields of botocore's `Config`.
    """
    import boto3
    from botocore.config import Config

    # Not the default session, which other threads may be making, too.
    return boto3.Session().client(
        "s3", config=Config(**{"retries": _RETRIES, "max_pool_connections": _THREADS, **more})
    )


def upload_exports(dataset: Dataset, names: Sequence[str], url: str) -> list[ExportSummary]:
    """Write formats below `s3://bucket/prefix`.

    Needs room for the whole export in the system's temporary folder (`TMPDIR`).

    Raises:
        FormatUnknown, FormatUnsuitable, ExportOptionInvalid: before anything is written.
        ExportFailed: the disk or the bucket refuses; there is no manifest then, unless an earlier one was not touched.
    """
    place = _Place.parse(url)
    with tempfile.TemporaryDirectory(prefix="nightshift-export-") as name:
        folder = Path(name)
        summaries = write_exports(dataset, names, folder)
        with as_bucket_error(url, ExportFailed):
            _upload(place, folder)
        return [_moved(summary, folder, url) for summary in summaries]


@dataclass(frozen=True, slots=True)
class _Place:
    """A prefix of a bucket, and a client that reaches it."""

    bucket: str
    prefix: str  # empty, or with a slash at its end
    client: Any

    @classmethod
    def parse(cls, url: str) -> _Place:
        bucket, prefix = split(url)
        if not bucket:
            raise ExportOptionInvalid(f"{url} names no bucket; expected s3://bucket/prefix")
        return cls(bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else "", connect())

    def names(self) -> Iterator[str]:
        """Everything below the prefix, relative to it."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        for page in pages:
            for found in page.get("Contents", ()):
                yield found["Key"].removeprefix(self.prefix)

    def give_up_parts(self, owned: set[str]) -> None:
        """Give up uploads in parts that a killed export began: nobody sees them, and they cost room."""
        from botocore.exceptions import ClientError

        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self.prefix)
        with suppress(ClientError):  # not every key may list them, nor has every storage such a list
            for page in pages:
                for begun in page.get("Uploads", ()):
                    if begun["Key"].removeprefix(self.prefix).partition("/")[0] in owned:
                        self.client.abort_multipart_upload(
                            Bucket=self.bucket, Key=begun["Key"], UploadId=begun["UploadId"]
                        )

    def put(self, folder: Path, path: Path) -> None:
        """Upload one file, in parts if it is large; it appears when all of them are there."""
        key = self.prefix + path.relative_to(folder).as_posix()
        self.client.upload_file(str(path), self.bucket, key)

    def mark(self, *, is_under_way: bool) -> None:
        """Set the mark, or take it away."""
        key = self.prefix + UNDER_WAY
        if is_under_way:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=b"")
        else:
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def remove(self, name: str) -> None:
        """Remove one file; none is there: nothing happens."""
        self.client.delete_object(Bucket=self.bucket, Key=self.prefix + name)


def _upload(place: _Place, folder: Path) -> None:
    owned = {path.name for path in folder.iterdir()}
    _check_free(place, owned)
    place.mark(is_under_way=True)
    place.remove(MANIFEST)
    place.give_up_parts(owned)
    with ThreadPoolExecutor(_THREADS) as pool:
        under_way = set()
        for path in files_below(folder):
            if path != folder / MANIFEST:
                under_way.add(pool.submit(place.put, folder, path))
            if len(under_way) >= 4 * _THREADS:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                _raise_first(done)
        _raise_first(wait(under_way).done)
    for name in place.names():
        if name.partition("/")[0] in owned and not (folder / name).is_file():
            place.remove(name)
    place.put(folder, folder / MANIFEST)
    place.mark(is_under_way=False)


def _check_free(place: _Place, owned: set[str]) -> None:
    """Refuse a prefix that holds files of the names we are about to write, and was never an export's."""
    taken = None
    for name in place.names():
        if name in (MANIFEST, UNDER_WAY):
            return
        if name.partition("/")[0] in owned:
            taken = name
    if taken:
        raise ExportFailed(
            f"s3://{place.bucket}/{place.prefix} holds {taken}, which is of no earlier export ({MANIFEST} is missing); "
            "name another prefix"
        )


def _raise_first(done: Any) -> None:
    for future in done:
        future.result()


def _moved(summary: ExportSummary, folder: Path, url: str) -> ExportSummary:
    path = summary.path.relative_to(folder)
    files = tuple(each.relative_to(folder) for each in summary.files)
    return replace(summary, path=path, files=files, url=f"{url.rstrip('/')}/{path.as_posix()}")


@contextmanager
def as_bucket_error(url: str, kind: type[ProducerError]) -> Iterator[None]:
    """Turn what boto3 raises while it writes into an error of ours."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error, OSError) as error:
        raise kind(
            f"{url} cannot be written: {error}; check the bucket, its rights and AWS_ENDPOINT_URL_S3, and try again"
        ) from error
