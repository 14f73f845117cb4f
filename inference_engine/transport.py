"""HTTP as the engine speaks it: no environment, no credentials where they do not belong, patience with a limit."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from fetching.connecting import Resolver, system_resolver
from inference_engine.connecting import LOOPBACK, CheckedTransport, HostRule
from inference_engine.errors import (
    AccessPaused,
    AnswerInvalid,
    DownloadRefused,
    Forbidden,
    ModelNotFound,
    PaymentRequired,
    ProviderError,
    ProviderUnavailable,
    Unauthorized,
)

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: Metadata of a thousand packages is some 2 MB.
MAX_ANSWER_BYTES = 32 * 2**20
#: Answers that pass by themselves.
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_ERRORS: Mapping[int, type[Exception]] = {
    401: Unauthorized,
    402: PaymentRequired,
    403: Forbidden,
    404: ModelNotFound,
    423: AccessPaused,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much.

    Attributes:
        deadline_s: for one file or one answer, all tries together.
        attempts: tries of one request.
        wait_s: before the second try; it doubles from there.
        max_file_bytes: larger files are refused.
        allow_http: take unencrypted addresses; this machine's own are taken anyhow.
        private_hosts: patterns such as `*.corp.example` of hosts that may have addresses in a private network.
        proxy: URL of a proxy; the environment is not asked. It finds the addresses, and has to check them.
    """

    deadline_s: float = 3600.0
    connect_s: float = 10.0
    read_s: float = 60.0
    attempts: int = 5
    wait_s: float = 0.5
    max_wait_s: float = 30.0
    max_file_bytes: int = 64 * 2**30
    allow_http: bool = False
    private_hosts: tuple[str, ...] = ()
    proxy: str | None = field(default=None, repr=False)


def make_client(limits: Limits, resolve: Resolver = system_resolver) -> httpx.Client:
    """A client that follows redirects to allowed addresses only; httpx drops `Authorization` where the host changes.

    Asking raises DownloadRefused where a host leads to an address that is not allowed.
    """
    _hide_queries()
    return httpx.Client(
        transport=None if limits.proxy else CheckedTransport(HostRule(limits.private_hosts), resolve),
        timeout=httpx.Timeout(limits.read_s, connect=limits.connect_s),
        follow_redirects=True,
        trust_env=False,  # neither proxies nor .netrc: the engine reads no environment
        proxy=limits.proxy,
        event_hooks={"request": [lambda request: check_url(str(request.url), limits)]},
    )


def check_url(url: str, limits: Limits) -> None:
    """Raise DownloadRefused for an address that is not HTTPS, unless HTTP is allowed or stays on this machine."""
    parts = urlsplit(url)
    is_plain = parts.scheme == "http" and (limits.allow_http or parts.hostname in LOOPBACK)
    if not parts.hostname or not (parts.scheme == "https" or is_plain):
        raise DownloadRefused(f"{shown(url)}: expected an https:// address")


def shown(url: str) -> str:
    """The address without user, query and fragment: signatures and keys live there."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


def tried(call: Callable[[], T], limits: Limits) -> T:
    """What `call` gives; ProviderUnavailable is tried again within the deadline, when the provider asks to be."""
    end = time.monotonic() + limits.deadline_s
    for number in range(1, limits.attempts):
        try:
            return call()
        except ProviderUnavailable as error:
            wait_s = _wait_s(error, number, limits)
            if time.monotonic() + wait_s > end:
                raise
            logger.info("%s; asked again in %.1f s", error, wait_s)
            time.sleep(wait_s)
    return call()


def _wait_s(error: ProviderUnavailable, number: int, limits: Limits) -> float:
    """Seconds before the next try: the provider's wish, else twice as long each time, with jitter for crowds."""
    grown = limits.wait_s * 2 ** (number - 1) * random.uniform(1.0, 1.5)  # noqa: S311 (no secret)
    return min(grown if error.retry_after_s is None else error.retry_after_s, limits.max_wait_s)


def get_json(client: httpx.Client, url: str, limits: Limits, **request: Any) -> dict[str, Any]:
    """A JSON object, after retries.

    Raises:
        ProviderError: by status; AnswerInvalid where it is no JSON object, or larger than any should be.
    """

    def ask() -> bytes:
        end = time.monotonic() + limits.deadline_s
        try:
            with client.stream("GET", url, **request) as response:
                raise_for_status(response)
                return _whole(response, url, end)
        except httpx.RequestError as error:
            raise not_answered(url, error) from error

    return _json_object(url, tried(ask, limits))


def raise_for_status(response: httpx.Response) -> None:
    """Raise the typed error of an answer that is not 2xx; the body is not shown, it may repeat the request."""
    status = response.status_code
    if response.is_success:
        return
    words = f"{shown(str(response.url))} answers {status} {response.reason_phrase}"
    if status in RETRIED:
        raise ProviderUnavailable(words, retry_after_s=retry_after(response.headers.get("Retry-After")))
    raise _ERRORS.get(status, ProviderError)(words)


def not_answered(url: str, error: httpx.RequestError) -> ProviderError:
    """What a broken connection is to the caller. Endless redirects and broken encodings do not pass by themselves."""
    words = f"{type(error).__name__}: {error}"
    if isinstance(error, httpx.TransportError):
        return ProviderUnavailable(f"{shown(url)} does not answer: {words}")
    return AnswerInvalid(f"{shown(url)}: {words}")


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a `Retry-After` header asks for, as a number or a date (RFC 9110, 10.2.3); None: none."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError):
        return None


def _whole(response: httpx.Response, url: str, end: float) -> bytes:
    """The answer's bytes, if they are not too many and come before `end`, by `time.monotonic`."""
    data = bytearray()
    for piece in response.iter_bytes():
        data += piece
        if len(data) > MAX_ANSWER_BYTES:
            raise AnswerInvalid(
                f"{shown(url)}: an answer of over {MAX_ANSWER_BYTES >> 20} MiB, expected some kB of JSON"
            )
        if time.monotonic() > end:
            raise ProviderUnavailable(f"{shown(url)}: the answer did not come in time")
    return bytes(data)


def _json_object(url: str, answer: bytes) -> dict[str, Any]:
    try:
        data = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise AnswerInvalid(f"{shown(url)}: the answer is no JSON ({error})") from error
    if not isinstance(data, dict):
        raise AnswerInvalid(f"{shown(url)}: expected a JSON object, found {type(data).__name__}")
    return data


class _QueryFilter(logging.Filter):
    """httpx logs every address at INFO, signatures included: this leaves the query out."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(shown(str(arg)) if isinstance(arg, httpx.URL) else arg for arg in record.args)
        return True


def _hide_queries() -> None:
    logger = logging.getLogger("httpx")
    if not any(isinstance(found, _QueryFilter) for found in logger.filters):
        logger.addFilter(_QueryFilter())
