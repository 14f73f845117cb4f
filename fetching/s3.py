"""S3 and whatever speaks its protocol, by boto3.

Endpoint, region and credentials come from where every S3 tool takes them: `AWS_ENDPOINT_URL_S3`, `AWS_REGION`, a
profile, the machine's role. They are the operator's, so an endpoint in a private network is fine.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from fetching.connecting import left_s
from fetching.errors import (
    FetchAnswerInvalid,
    FetchDenied,
    FetchError,
    FetchFailed,
    FetchForbidden,
    FetchNotFound,
    FetchTimeout,
    FetchTooLarge,
)
from fetching.objects import StoredObject
from fetching.policy import shown
from fetching.retrying import tried

if TYPE_CHECKING:
    from fetching.policy import FetchPolicy

_CHUNK_BYTES = 1 << 20
#: S3 asks for patience by `SlowDown` more often than a web server does by 503.
_PATIENCE = 2
_MAX_CONNECTIONS = 64


class _Replaced(FetchFailed):
    """The object is another one than the one whose beginning we have."""


#: By S3's codes and by bare statuses, which a HEAD or a proxy gives.
_ERRORS: Mapping[str, type[FetchError]] = {
    "NoSuchKey": FetchNotFound,
    "NoSuchBucket": FetchNotFound,
    "404": FetchNotFound,
    "AccessDenied": FetchForbidden,
    "InvalidAccessKeyId": FetchForbidden,
    "SignatureDoesNotMatch": FetchForbidden,
    "ExpiredToken": FetchForbidden,
    "InvalidObjectState": FetchForbidden,  # archived: it has to be restored first
    "403": FetchForbidden,
    "412": _Replaced,
    "416": _Replaced,
}


@dataclass(slots=True)
class _Progress:
    """How far one object has come: the bytes written, and the version they are of."""

    written: int = 0
    etag: str | None = None

    def start_over(self, sink: BinaryIO) -> None:
        """Throw away what came."""
        self.written, self.etag = 0, None
        sink.seek(0)
        sink.truncate()


@dataclass(slots=True)
class S3Store:
    """An `ObjectStore`; threads may share it. The client is made at the first use, which costs a fifth of a second."""

    policy: FetchPolicy
    _client: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def listing(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        """Give the keys with this prefix, a thousand at a time.

        Raises:
            FetchError: between two pages, too; what was given before holds.
        """
        asked: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        while True:
            page = tried(partial(self._page, asked), _PATIENCE * self.policy.attempts)
            for entry in page.get("Contents", ()):
                yield StoredObject(entry["Key"], entry["Size"], entry["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def copy(self, bucket: str, key: str, sink: BinaryIO, max_bytes: int, beat: Callable[[], None]) -> None:
        """Write one object into `sink`; one that breaks off is gone on with, by a range of the same version.

        Raises:
            FetchError: of the class that says whose fault it is.
        """
        progress = _Progress()
        tried(
            lambda: self._copy_rest(bucket, key, sink, max_bytes, beat, progress),
            _PATIENCE * self.policy.attempts,
            self.policy.connect_s + self.policy.read_s,
        )

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            if self._client is not None:
                self._client.close()

    def _page(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        with _typed(f"s3://{asked['Bucket']}/{asked['Prefix']}"):
            found: dict[str, Any] = self._connected().list_objects_v2(**asked)
            return found

    def _copy_rest(
        self, bucket: str, key: str, sink: BinaryIO, max_bytes: int, beat: Callable[[], None], progress: _Progress
    ) -> None:
        place, asked = f"s3://{bucket}/{key}", {"Bucket": bucket, "Key": key}
        if progress.written and progress.etag:
            asked |= {"Range": f"bytes={progress.written}-", "IfMatch": progress.etag}
        else:
            progress.start_over(sink)
        try:
            with _typed(place):
                left_s()
                found = self._connected().get_object(**asked)
                _check_part(found, place, progress.written)
                progress.etag = found.get("ETag")
                for chunk in _chunks(found, place, max_bytes - progress.written):
                    sink.write(chunk)
                    progress.written += len(chunk)
                    beat()
        except _Replaced:
            progress.start_over(sink)
            raise

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = _connect(self.policy)
            return self._client


def _connect(policy: FetchPolicy) -> Any:
    import boto3
    from botocore.config import Config
    from botocore.session import get_session

    core = get_session()  # not the default one, which other threads may be making, too
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    return boto3.Session(botocore_session=core).client(
        "s3",
        config=Config(
            connect_timeout=policy.connect_s,
            read_timeout=policy.read_s,
            retries={"total_max_attempts": 1},  # it knows no deadline: see `tried`
            max_pool_connections=_MAX_CONNECTIONS,
            response_checksum_validation="when_required",  # bodies are read below boto3: see `_chunks`
        ),
    )


def _moment(told: Any) -> datetime:
    """Read a time as listings have it; botocore's own reader takes half of the time of a long listing."""
    from botocore.utils import parse_timestamp

    with contextlib.suppress(TypeError, ValueError):
        found = datetime.fromisoformat(told)
        if found.tzinfo is not None:
            return found
    other: datetime = parse_timestamp(told)
    return other


def _check_part(found: Mapping[str, Any], place: str, start: int) -> None:
    """Refuse another part than the one from `start` on: some storages heed no ranges."""
    if start and not found.get("ContentRange", "").startswith(f"bytes {start}-"):
        raise _Replaced(f"{shown(place)}: asked for the bytes from {start} on, and others came")


def _chunks(found: Mapping[str, Any], place: str, max_bytes: int) -> Iterator[bytes]:
    """Give the body as it comes, so that one that drips is noticed at the deadline; boto3's own read waits for all."""
    expected, total = found["ContentLength"], 0
    if expected > max_bytes:
        raise FetchTooLarge(f"{place} has {expected} bytes; at most {max_bytes} are read")
    with found["Body"] as raw:
        while chunk := raw.read1(_CHUNK_BYTES):
            left_s()
            total += len(chunk)
            yield chunk
    if total != expected:
        raise FetchFailed(f"{place} broke off after {total} of {expected} bytes")


@contextlib.contextmanager
def _typed(place: str) -> Iterator[None]:
    """Turn an error of boto3, or of what it reads with, into ours."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectTimeoutError,
        NoCredentialsError,
        ParamValidationError,
        ReadTimeoutError,
    )
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError
    from urllib3.exceptions import TimeoutError as SilentServer

    place = shown(place)
    try:
        yield
    except ClientError as error:
        raise _client_error(place, error.response) from error
    except (ConnectTimeoutError, ReadTimeoutError, SilentServer) as error:
        left_s()
        raise FetchTimeout(f"{place}: the storage does not answer in time") from error
    except NoCredentialsError as error:
        raise FetchForbidden(
            f"{place}: no credentials for S3 were found here; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a "
            "profile, or give the machine a role"
        ) from error
    except ParamValidationError as error:
        raise FetchDenied(f"{place} is no address in S3: {error}") from error
    except (BotoCoreError, ResponseParserError, HTTPError, OSError) as error:
        raise FetchFailed(f"{place}: {type(error).__name__}: {error}") from error


def _client_error(place: str, answer: Mapping[str, Any]) -> FetchError:
    code = str(answer.get("Error", {}).get("Code", ""))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    kind = _ERRORS.get(code) or _ERRORS.get(str(status))
    if kind is None:
        kind = FetchFailed if status >= 500 or status in {408, 429} else FetchAnswerInvalid
    return kind(f"{place}: the storage answered {status} {code}")
