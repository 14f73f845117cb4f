"""One way to read whatever a remote URI names."""

from __future__ import annotations

import io
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from fetching.cloud import CloudStore
from fetching.connecting import deadline
from fetching.http import SafeClient
from fetching.objects import ObjectStore, StoredObject
from fetching.policy import FetchPolicy, scheme_of
from fetching.s3 import S3Store


@dataclass(slots=True)
class Fetcher:
    """Reads remote items under one policy; threads may share it.

    Attributes:
        web: for http and https; made at the first use, which reads the machine's certificates.
        stores: for each scheme of object storages.
    """

    policy: FetchPolicy
    web: SafeClient | None = None
    stores: Mapping[str, ObjectStore] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        known: dict[str, ObjectStore] = {name: CloudStore(name, self.policy) for name in ("gs", "az")}
        self.stores = {"s3": S3Store(self.policy), **known, **self.stores}

    def read(self, uri: str, max_bytes: int | None = None) -> bytes:
        """All bytes of one item.

        Raises:
            FetchError: of the class that says whose fault it is.
        """
        body = io.BytesIO()
        with deadline(self.policy.deadline_s):
            self._copy(uri, body, max_bytes or self.policy.max_bytes, lambda: None)
        return body.getvalue()

    def download(self, uri: str, beat: Callable[[], None] = lambda: None) -> BinaryIO:
        """One large item as a file without a name, read from its beginning; the disk has it back when it is closed.

        Raises:
            FetchError: as `read`.
        """
        file = tempfile.TemporaryFile(prefix="nightshift-")  # noqa: SIM115 (the caller closes it)
        try:
            with deadline(self.policy.download_deadline_s):
                self._copy(uri, file, self.policy.max_download_bytes, beat)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def listing(self, uri: str) -> Iterator[StoredObject]:
        """Give what lies below an s3://, gs:// or az:// prefix.

        Raises:
            FetchError: also between two pages.
        """
        bucket, prefix = self.policy.check_bucket(uri)
        return self.stores[scheme_of(uri)].listing(bucket, prefix)

    def close(self) -> None:
        """Give the connections back."""
        if self.web is not None:
            self.web.close()
        for store in self.stores.values():
            store.close()

    def _copy(self, uri: str, sink: BinaryIO, max_bytes: int, beat: Callable[[], None]) -> None:
        scheme = scheme_of(uri)
        if scheme in self.stores:
            bucket, key = self.policy.check_bucket(uri)
            self.stores[scheme].copy(bucket, key, sink, max_bytes, beat)
        else:
            self._web().copy(uri, sink, max_bytes, beat)

    def _web(self) -> SafeClient:
        with self._lock:
            if self.web is None:
                self.web = SafeClient(self.policy)
            return self.web
