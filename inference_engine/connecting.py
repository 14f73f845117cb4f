"""Connections to hosts of models: where a name leads is checked, and the checked address is connected to.

By `fetching.connecting`, as items are fetched, so that a name that leads elsewhere a moment later leads nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address

import httpcore
import httpx

from fetching.addresses import refusal
from fetching.connecting import CheckedBackend, Resolver, system_resolver
from fetching.errors import FetchFailed
from inference_engine.errors import DownloadRefused

#: This machine by its plain names: whoever writes one means it.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: What a pool raises -> what httpx calls the same; the first that fits decides.
_NAMES: Mapping[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.TimeoutException: httpx.TimeoutException,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.NetworkError: httpx.NetworkError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.ProtocolError: httpx.ProtocolError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
    FetchFailed: httpx.ConnectError,  # the name has no address now
}


@dataclass(frozen=True, slots=True)
class HostRule:
    """Which addresses a host of models may have.

    Attributes:
        private_hosts: patterns such as `*.corp.example` of names that may lead into a private network.
    """

    private_hosts: tuple[str, ...] = ()

    def check_address(self, host: str, address: str) -> None:
        """Refuse an address that `host` leads to.

        Raises:
            DownloadRefused: it is not public, and the operator has not named the host; metadata and link-local
                addresses always are.
        """
        name = host.rstrip(".").lower()
        is_named = name in LOOPBACK or any(fnmatchcase(name, pattern.lower()) for pattern in self.private_hosts)
        words = refusal(ip_address(address.partition("%")[0]), allow_private=is_named)
        if words is not None:
            remedy = "" if is_named else "; the operator may name hosts of a private network: models_private_hosts"
            raise DownloadRefused(f"{host} leads to {address}: {words}{remedy}")


class CheckedTransport(httpx.BaseTransport):
    """httpx's way to the network, but to checked addresses only; no proxy, nothing from the environment."""

    def __init__(self, rule: HostRule, resolve: Resolver = system_resolver) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False), network_backend=CheckedBackend(rule, resolve)
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the body comes as it is read.

        Raises:
            httpx.TransportError: as any transport of httpx.
            DownloadRefused: the host leads where nobody may go.
        """
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        asked = httpcore.Request(
            request.method, target, headers=request.headers.raw, content=request.stream, extensions=request.extensions
        )
        with _in_words_of_httpx():
            answer = self._pool.handle_request(asked)
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions)

    def close(self) -> None:
        """Give the connections back."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    """An answer's bytes as they come."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        with _in_words_of_httpx():
            yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


@contextmanager
def _in_words_of_httpx() -> Iterator[None]:
    try:
        yield
    except tuple(_NAMES) as error:
        name = next(theirs for ours, theirs in _NAMES.items() if isinstance(error, ours))
        raise name(str(error)) from error
