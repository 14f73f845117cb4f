"""Uploads as they lie in a server's folder or in its bucket: what is ours of it is listed, and removed when told.

Ours is what lies at `TENANT/NAME` with a name that a server gives: the bytes' hash or random digits, and the ending of
a picture or video. Whatever else lies there is somebody else's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fetching.errors import FetchError
from fetching.policy import FetchPolicy
from fetching.s3 import S3Store
from producer.errors import PruneFailed
from producer.exports.bucket import as_bucket_error, connect, split
from producer.sources.kinds import is_taken

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = re.compile(r"(?:[0-9a-f]{32}|[0-9a-f]{64})\.[a-z0-9]+")
#: A file that was not whole when its server ended.
_PART = re.compile(r"\.[A-Za-z0-9_]+\.part")


@dataclass(frozen=True, slots=True)
class Upload:
    """One file that was uploaded.

    Attributes:
        uri: what jobs name it by.
        modified: when it was sent last, seconds since the epoch.
    """

    name: str
    uri: str
    size_bytes: int
    modified: float


class UploadPlace(Protocol):
    """Where a server keeps uploads."""

    @property
    def at_once(self) -> int:
        """How many uploads are removed in some tenths of a second."""
        ...

    def listing(self) -> Iterator[Upload]:
        """Give every upload, of all tenants.

        Raises:
            PruneFailed: between two of them, too.
        """
        ...

    def remove(self, uploads: Sequence[Upload]) -> None:
        """Remove uploads, but for those that were sent again since they were listed; one that is gone is well.

        Raises:
            PruneFailed: some may be removed by then.
        """
        ...


@dataclass(frozen=True, slots=True)
class UploadFolder:
    """A folder with one of each tenant in it."""

    folder: Path
    at_once: int = 500

    def listing(self) -> Iterator[Upload]:
        """Give every upload, and what is left of those that broke off."""
        with as_prune_failed(self.folder):
            for tenant in entries(self.folder):
                for each in entries(tenant.path) if tenant.is_dir(follow_symlinks=False) else ():
                    if each.is_file(follow_symlinks=False) and (_is_ours(each.name) or _PART.fullmatch(each.name)):
                        with suppress(FileNotFoundError):  # another machine that shares the folder was faster
                            found = each.stat(follow_symlinks=False)
                            yield Upload(each.name, each.path, found.st_size, found.st_mtime)

    def remove(self, uploads: Sequence[Upload]) -> None:
        """Remove their files."""
        with as_prune_failed(self.folder):
            for each in uploads:
                with suppress(FileNotFoundError):
                    if Path(each.uri).stat(follow_symlinks=False).st_mtime == each.modified:
                        Path(each.uri).unlink()


class UploadBucket:
    """`s3://bucket/prefix`, with a prefix of each tenant below it."""

    at_once = 10

    def __init__(self, url: str) -> None:
        self.url = url

    def listing(self) -> Iterator[Upload]:
        """Give every upload."""
        bucket, prefix = split(self.url.rstrip("/"))
        prefix = f"{prefix}/" if prefix else ""
        store = S3Store(FetchPolicy())
        try:
            for found in store.listing(bucket, prefix):
                tenant, _, name = found.key.removeprefix(prefix).partition("/")
                if tenant and _is_ours(name):
                    yield Upload(name, f"s3://{bucket}/{found.key}", found.size, found.modified)
        except FetchError as error:
            raise PruneFailed(f"{self.url} cannot be listed: {error}") from error
        finally:
            store.close()

    @cached_property
    def _client(self) -> Any:
        return connect(connect_timeout=2, read_timeout=5, retries={"mode": "legacy", "total_max_attempts": 2})

    def remove(self, uploads: Sequence[Upload]) -> None:
        """Remove their objects, one by one: not every storage removes many at once.

        A storage that does not answer is given up soon: others wait for us.
        """
        client = self._client
        with as_bucket_error(self.url, PruneFailed):
            for each in uploads:
                bucket, key = split(each.uri)
                if _modified(client, bucket, key) == int(each.modified):
                    client.delete_object(Bucket=bucket, Key=key)


def _modified(client: Any, bucket: str, key: str) -> int | None:
    """Give when an object was written, in whole seconds: some listings know more; None: it is gone."""
    from botocore.exceptions import ClientError

    try:
        return int(client.head_object(Bucket=bucket, Key=key)["LastModified"].timestamp())
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            return None
        raise


def entries(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Give what lies in a folder, however much it is; none where there is no such folder."""
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        yield from found


@contextmanager
def as_prune_failed(folder: Path) -> Iterator[None]:
    """Turn what a disk refuses into an error of ours.

    Raises:
        PruneFailed.
    """
    try:
        yield
    except OSError as error:
        raise PruneFailed(f"{folder} cannot be cleared: {error}; give the server's files one owner") from error


def _is_ours(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and is_taken(name)
