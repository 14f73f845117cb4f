"""Google Cloud Storage and Azure Blob Storage, by obstore (extra `cloud`), with the credentials of the environment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

from fetching.connecting import left_s
from fetching.errors import FetchDenied, FetchFailed, FetchForbidden, FetchNotFound, FetchTooLarge
from fetching.objects import StoredObject
from fetching.policy import shown
from fetching.retrying import tried

if TYPE_CHECKING:
    from fetching.policy import FetchPolicy


_CHUNK_BYTES = 1 << 16


def open_bucket(address: str, policy: FetchPolicy, *, allow_http: bool = False) -> Any:
    """Give the store of one bucket, such as `gs://photos`.

    Args:
        allow_http: whether an endpoint that the operator's credentials name may be without encryption.

    Raises:
        FetchDenied: obstore is not installed.
    """
    try:
        from obstore.store import from_url
    except ImportError as error:
        raise FetchDenied(f"{address} is read by obstore: pip install 'nightshift[cloud]'") from error
    waits = {"connect": policy.connect_s, "read": policy.read_s, "": policy.download_deadline_s}
    client: Any = {f"{name}_timeout".removeprefix("_"): timedelta(seconds=seconds) for name, seconds in waits.items()}
    client["allow_http"] = allow_http
    return from_url(address, client_options=client, retry_config={"max_retries": 0})  # see `tried`


@dataclass(slots=True)
class CloudStore:
    """An `ObjectStore` for one scheme, `gs` or `az`; threads may share it."""

    scheme: str
    policy: FetchPolicy
    open_bucket: Callable[[str, FetchPolicy], Any] = open_bucket
    _stores: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def listing(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        """Give the objects whose key begins with `prefix`, page by page.

        The storage is asked for the folder of the prefix: obstore compares whole parts between slashes.

        Raises:
            FetchError: between two pages, too.
        """
        pages = _Pages(self._store(bucket), prefix.rpartition("/")[0] or None, f"{self.scheme}://{bucket}/{prefix}")
        while page := tried(pages.next, self.policy.attempts):
            for entry in page:
                if entry["path"].startswith(prefix):
                    yield StoredObject(entry["path"], entry["size"], entry["last_modified"].timestamp())

    def copy(self, bucket: str, key: str, sink: BinaryIO, max_bytes: int, beat: Callable[[], None]) -> None:
        """Write one object into `sink`.

        Raises:
            FetchError: of the class that says whose fault it is.
        """
        longest_s = self.policy.connect_s + self.policy.read_s
        tried(lambda: self._copy_once(bucket, key, sink, max_bytes, beat), self.policy.attempts, longest_s)

    def close(self) -> None:
        """Forget the stores, which close their own connections."""
        with self._lock:
            self._stores.clear()

    def _copy_once(self, bucket: str, key: str, sink: BinaryIO, max_bytes: int, beat: Callable[[], None]) -> None:
        place = shown(f"{self.scheme}://{bucket}/{key}")
        sink.seek(0)
        sink.truncate()
        with _typed(place):
            left_s()
            found = self._store(bucket).get(key)
            expected, total = found.meta["size"], 0
            if expected > max_bytes:
                raise FetchTooLarge(f"{place} has {expected} bytes; at most {max_bytes} are read")
            for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                left_s()
                total += len(chunk)
                sink.write(chunk)
                beat()
        if total != expected:
            raise FetchFailed(f"{place} broke off after {total} of {expected} bytes")

    def _store(self, bucket: str) -> Any:
        with self._lock:
            if bucket not in self._stores:
                self._stores[bucket] = self.open_bucket(f"{self.scheme}://{bucket}", self.policy)
            return self._stores[bucket]


@dataclass(slots=True)
class _Pages:
    """A listing page by page; one that broke off is gone on with behind the last key that came."""

    store: Any
    folder: str | None
    place: str
    _stream: Any = None
    _last: str | None = None

    def next(self) -> Sequence[Any]:
        """Give the next page; an empty one is the end."""
        with _typed(self.place):
            try:
                if self._stream is None:
                    self._stream = iter(self.store.list(self.folder, offset=self._last))
                page: Sequence[Any] = next(self._stream, ())
            except BaseException:
                self._stream = None
                raise
        if page:
            self._last = page[-1]["path"]
        return page


@contextmanager
def _typed(place: str) -> Iterator[None]:
    """Turn an error of obstore into ours."""
    from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError

    place = shown(place)
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise FetchNotFound(f"{place}: the storage has no such object") from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise FetchForbidden(f"{place}: the storage does not let us read it; are there credentials for it?") from error
    except (BaseError, OSError) as error:
        raise FetchFailed(f"{place}: {type(error).__name__}") from error
