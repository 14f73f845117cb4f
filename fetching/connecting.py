"""How connections are made: a name is resolved once, each answer is checked, and the checked address is connected to.

So a name that leads elsewhere a moment later (DNS rebinding) leads nowhere: nobody asks a second time. The layer above
speaks of the host's name throughout, so `Host` and the certificate's name are right.
"""

from __future__ import annotations

import contextvars
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import httpcore

from fetching.errors import FetchDenied, FetchFailed, FetchTimeout

if TYPE_CHECKING:
    import ssl

#: From a host's name to its addresses. Raises OSError.
Resolver = Callable[[str, int], Sequence[str]]

_DEADLINE: contextvars.ContextVar[float | None] = contextvars.ContextVar("deadline", default=None)


def system_resolver(host: str, port: int) -> list[str]:
    """Addresses as the operating system knows them, in its order; its own time limit applies (resolv.conf)."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Let nothing that this thread reads or writes within the block last longer, however slowly bytes drip."""
    token = _DEADLINE.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def left_s() -> float:
    """Seconds until the deadline of this thread's block.

    Raises:
        FetchTimeout: it is over.
    """
    end = _DEADLINE.get()
    seconds = float("inf") if end is None else end - time.monotonic()
    if seconds <= 0:
        raise FetchTimeout("the time for this item is over; is the server slow, or the item very large?")
    return seconds


class AddressRule(Protocol):
    """Whoever knows which addresses may be connected to; `FetchPolicy` for items."""

    def check_address(self, host: str, address: str) -> None:
        """Raise an error of its own for an address that `host` must not lead to."""


class CheckedBackend(httpcore.NetworkBackend):
    """Connects to addresses that the rule allows, and to no other."""

    def __init__(self, rule: AddressRule, resolve: Resolver = system_resolver) -> None:
        self._rule, self._resolve, self._system = rule, resolve, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first of the host's addresses that answers.

        Raises:
            FetchDenied: any of them is not allowed (or the rule's own error): a name that leads to both worlds is a
                trap.
            FetchFailed: the host is not known now.
        """
        addresses = self._addresses(host, port)
        for address in addresses:
            self._rule.check_address(host, address)
        for address in addresses[:-1]:
            try:
                return self._connect(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connect(addresses[-1], port, timeout, local_address, socket_options)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002 (the seam's signature)
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """Refuse: no address names one."""
        raise FetchDenied(f"{path} is a socket of this machine; expected a web address")

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise FetchFailed(f"{host}: no address is known for it ({error}); is the name right?") from error
        if not addresses:
            raise FetchFailed(f"{host}: no address is known for it; is the name right?")
        return addresses

    def _connect(
        self,
        address: str,
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: Iterable[Any] | None,
    ) -> httpcore.NetworkStream:
        timeout = _shorter(timeout)
        return _TimedStream(self._system.connect_tcp(address, port, timeout, local_address, socket_options))


class _TimedStream(httpcore.NetworkStream):
    """A connection whose waits end with the deadline of the thread that uses it."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _shorter(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _shorter(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, _shorter(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _shorter(timeout: float | None) -> float:
    """The wait that is asked for, cut where the deadline is nearer; infinite waits are none of ours."""
    return min(left_s(), 60.0 if timeout is None else timeout)
