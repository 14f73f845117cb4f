"""HTTP towards addresses that strangers name.

httpcore, not httpx: it follows no redirect, reads no proxy, cookie or .netrc from anywhere and unpacks no body, so
there is nothing to be turned off, and its network backend is a public seam.
"""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, BinaryIO, Self

import httpcore
import httpx

from fetching.connecting import CheckedBackend, Resolver, deadline, left_s, system_resolver
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
from fetching.policy import FetchPolicy, shown
from fetching.retrying import tried

if TYPE_CHECKING:
    import ssl

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Answers that pass by themselves (RFC 9110, RFC 6585, RFC 8470).
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_ERRORS: Mapping[int, type[FetchError]] = {
    401: FetchForbidden,
    403: FetchForbidden,
    404: FetchNotFound,
    410: FetchNotFound,
    413: FetchTooLarge,
    451: FetchForbidden,
}
#: What is kept of the answer to a POST: enough for an error's words.
_MAX_ANSWER_BYTES = 64 * 1024
_MAX_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def _nothing() -> None:
    """Nobody counts the chunks."""


class SafeClient:
    """Asks allowed addresses only, takes no more bytes and no more time than the policy says. Threads may share it."""

    def __init__(
        self, policy: FetchPolicy, resolve: Resolver = system_resolver, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._policy, self._ssl_context, self._backend = policy, ssl_context, CheckedBackend(policy, resolve)
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(),  # heeds SSL_CERT_FILE, unlike httpcore's own
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=15.0,
            network_backend=self._backend,
        )

    def get(self, url: str, max_bytes: int | None = None) -> bytes:
        """Give the body behind `url`, after redirects.

        Raises:
            FetchError: of the class that says whose fault it is; what may pass was tried `policy.attempts` times.
        """
        body = io.BytesIO()
        with deadline(self._policy.deadline_s):
            self.copy(url, body, max_bytes or self._policy.max_bytes)
        return body.getvalue()

    def copy(self, url: str, sink: BinaryIO, max_bytes: int, beat: Callable[[], None] = _nothing) -> None:
        """Write the body behind `url` into an empty `sink`, within the caller's `deadline`.

        Args:
            beat: called for each piece that came.

        Raises:
            FetchError: as `get`; `sink` holds anything then.
        """

        def once() -> None:
            sink.seek(0)
            sink.truncate()
            self._copy_once(url, sink, max_bytes, beat)

        tried(once, self._policy.attempts)

    def post(self, url: str, content: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Send `content` once; give the answer whatever its status, redirects included, which are not followed.

        Raises:
            FetchError: no answer came, or the policy does not allow to ask.
        """
        target = self._policy.check_web(url)
        with deadline(self._policy.deadline_s), self._exchange("POST", target, content, headers or {}) as response:
            body = bytearray()
            for chunk in _chunks(response, target, _MAX_ANSWER_BYTES, is_cut=True):
                body += chunk
            return Answer(response.status, _headers(response), bytes(body))

    def close(self) -> None:
        """Give the connections back."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _copy_once(self, url: str, sink: BinaryIO, max_bytes: int, beat: Callable[[], None]) -> None:
        target = self._policy.check_web(url)
        for _ in range(self._policy.max_redirects + 1):
            with self._exchange("GET", target, None, {}) as response:
                if response.status not in _REDIRECTS:
                    _check_answer(response, target)
                    for chunk in _chunks(response, target, max_bytes):
                        sink.write(chunk)
                        beat()
                    return
                target = self._follow(response, target)
        raise FetchAnswerInvalid(
            f"{shown(url)} redirects more than {self._policy.max_redirects} times; write the address that it leads to"
        )

    def _follow(self, response: httpcore.Response, target: httpx.URL) -> httpx.URL:
        """Where a redirect leads, checked like any address."""
        location = _headers(response).get("location")
        if not location:
            raise FetchAnswerInvalid(f"{shown(str(target))} answered {response.status} without saying where to go")
        try:
            following = str(target.join(location))
        except (httpx.InvalidURL, ValueError) as error:
            raise FetchDenied(f"{shown(str(target))} redirects to what is no address: {error}") from error
        try:
            checked = self._policy.check_web(following)
        except FetchDenied as error:
            raise FetchDenied(f"{shown(str(target))} redirects: {error}") from error
        if (target.scheme, checked.scheme) == ("https", "http"):
            raise FetchDenied(f"{shown(str(target))} redirects to {shown(following)}, which is not encrypted")
        return checked

    @contextlib.contextmanager
    def _exchange(
        self, method: str, target: httpx.URL, content: bytes | None, headers: Mapping[str, str]
    ) -> Iterator[httpcore.Response]:
        """One request and its answer, with httpcore's errors as ours."""
        policy = self._policy
        address = httpcore.URL(scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path)
        sent = {"User-Agent": "nightshift", "Accept": "*/*", "Accept-Encoding": "identity", **headers}.items()
        waits = {"connect": policy.connect_s, "read": policy.read_s, "write": policy.read_s, "pool": policy.read_s}
        place = shown(str(target))
        try:
            left_s()
            with self._pool.stream(
                method, address, headers=list(sent), content=content, extensions={"timeout": waits}
            ) as response:
                yield response
        except httpcore.TimeoutException as error:
            left_s()
            raise FetchTimeout(f"{place}: no byte came for {policy.read_s:g} s; is the server overloaded?") from error
        except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol) as error:
            raise FetchDenied(f"{place} cannot be asked: {error}") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise FetchFailed(f"{place}: {error or type(error).__name__}") from error
        except OSError as error:  # of TLS
            raise FetchFailed(f"{place}: {error}") from error


def _check_answer(response: httpcore.Response, target: httpx.URL) -> None:
    """Refuse everything but a whole body as it is."""
    status, headers, place = response.status, _headers(response), shown(str(target))
    if status in _PASSING:
        raise FetchFailed(f"{place} answered {status}; it may pass", retry_after_s(headers.get("retry-after")))
    if status != 200:
        raise _ERRORS.get(status, FetchAnswerInvalid)(f"{place} answered {status}; expected 200")
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"identity", ""}:
        raise FetchAnswerInvalid(f"{place} sends its body as {coding}; expected it as it is, as was asked for")


def _chunks(response: httpcore.Response, target: httpx.URL, max_bytes: int, *, is_cut: bool = False) -> Iterator[bytes]:
    """Give the body in pieces; beyond `max_bytes` it ends where it `is_cut`, else that is an error."""
    declared = _headers(response).get("content-length", "")
    if not is_cut and declared.isdecimal() and int(declared) > max_bytes:
        raise FetchTooLarge(f"{shown(str(target))} has {declared} bytes; at most {max_bytes} are read")
    total = 0
    for chunk in response.iter_stream():
        left_s()
        total += len(chunk)
        if total > max_bytes:
            if is_cut:
                return
            raise FetchTooLarge(f"{shown(str(target))} has more than the {max_bytes} bytes that are read")
        yield chunk


def _headers(response: httpcore.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


def retry_after_s(value: str | None) -> float | None:
    """Seconds of a `Retry-After`, which is a number or a date (RFC 9110, section 10.2.3); None: none that is read."""
    if value is None:
        return None
    try:
        seconds = float(value) if value.strip().isdecimal() else parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
