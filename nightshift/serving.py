"""The HTTP server: what it needs put together, and its life in this process."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nightshift.errors import AddressTaken, ServerMissing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import uvicorn

    from nightshift.settings import Settings
    from nightshift.stack import Stack
    from producer.server.services import Services

#: Bytes of a request's line and headers that are waited for; the application itself takes fewer.
MAX_WAITED_BYTES = 32 * 1024
#: Seconds that a connection may be idle between two requests, and that open ones have when the server stops.
IDLE_S, STOP_S = 15, 3


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens, already bound."""

    listener: socket.socket

    @property
    def url(self) -> str:
        """What people type into a browser."""
        host, port = self.listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{port}"


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def bind(host: str, port: int) -> Address:
    """Take an address; port 0 gives any that is free.

    Raises:
        AddressTaken: another program has it, or this machine has no such address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server((found[4][0], port), family=found[0], backlog=256)
        # What it accepts inherits it. asyncio sets it only on sockets that name their protocol; without it each answer
        # waits 40 ms between head and body, for an acknowledgement that the other side holds back.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Address(listener)
    except OSError as error:
        raise AddressTaken(
            f"cannot listen on {host}:{port}",
            cause=error.strerror or str(error),
            hint="--port gives another, 0 any that is free",
        ) from error


def services_of(stack: Stack, host: str, *, needs_token: bool) -> Services:
    """Give what the routes work with.

    Raises:
        ServerMissing: the extra `server` is not installed.
    """
    if missing := [name for name in ("fastapi", "uvicorn", "jinja2", "python_multipart") if find_spec(name) is None]:
        raise ServerMissing(
            "what serves HTTP and pages is not installed",
            cause=f"there is no {', '.join(missing)}: they come with an extra",
            hint='pip install "nightshift[server]"',
        )
    from prometheus_client import CollectorRegistry, generate_latest

    from nightshift.explaining import explain
    from producer.server.services import Services
    from workers.machine_numbers import FleetNumbers

    numbers = CollectorRegistry()
    numbers.register(FleetNumbers(stack.store))
    return Services(
        producer=stack.gateway,
        store=stack.store,
        doorbell=stack.doorbell,
        options=stack.settings.server_options(host, needs_token=needs_token),
        explain=explain,
        list_models=lambda: models_of(stack.settings),
        metrics=lambda: generate_latest(numbers),
    )


def models_of(settings: Settings) -> Sequence[Mapping[str, Any]]:
    """Describe every model of the folders, as `nightshift models --json` does."""
    from nightshift.model_list import describe, names

    folders = settings.all_model_dirs
    return [describe(name, folders) for name in names(folders)]


def run(services: Services, address: Address) -> None:
    """Serve until SIGINT or SIGTERM."""
    _server(services).run(sockets=[address.listener])


@contextlib.contextmanager
def running(services: Services, address: Address) -> Iterator[None]:
    """Serve in a thread of this process until the block ends."""
    server = _server(services)
    thread = threading.Thread(target=server.run, args=([address.listener],), name="server", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(STOP_S + 2.0)


def _server(services: Services) -> uvicorn.Server:
    """A server whose log has no line a request: paths and headers are where tokens go astray."""
    import uvicorn

    from nightshift.heads import BoundedHeads
    from producer.server.app import create_app

    return uvicorn.Server(
        uvicorn.Config(
            create_app(services),
            http=BoundedHeads,  # of h11, whose header limit is a setting
            h11_max_incomplete_event_size=MAX_WAITED_BYTES,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=STOP_S,
        )
    )
