"""The numbers and the health of one worker machine over HTTP, served by its launcher.

`/metrics` for Prometheus, `/healthz` and `/readyz` for whoever restarts containers, `/v1/autoscale/CLASS` for whoever
starts more of them. Nothing secret stands in any of them, and all of them only read.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from jobstore.dispatch import Doorbell
from jobstore.errors import JobStoreError
from jobstore.queues import is_hardware
from jobstore.store import JobStore
from workers.config import WorkerConfig
from workers.health import REPLACE_S, Health, ProcessState
from workers.machine_numbers import MachineNumbers, ProcessFiles

logger = logging.getLogger(__name__)

AUTOSCALE = "/v1/autoscale/"
#: Seconds that the database has for an answer to a request.
PATIENCE_S = 3.0


class AddressTaken(Exception):
    """The address for numbers and health is in use, or is not of this machine."""

    code: ClassVar[str] = "address_taken"
    retryable: ClassVar[bool] = False
    hint = "set NIGHTSHIFT_WORKER__METRICS_PORT to another port, or to 0 for no numbers and no health"


class Answer(NamedTuple):
    """What a request gets."""

    status: int
    content_type: str
    body: bytes


class Exporter:
    """Answers on one address until it is closed. A request that takes long holds up no other."""

    def __init__(self, host: str, port: int, numbers: MachineNumbers, health: Health) -> None:
        """Listen at once.

        Args:
            port: 0 takes any that is free.

        Raises:
            OSError: the address is taken, or is not of this machine.
        """
        self._numbers, self._health = numbers, health
        self._server = ThreadingHTTPServer((host, port), _handler(self.answer))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="exporter", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str) -> Answer:
        """Give what a path says; a database or a broker that is away is an answer, not an exception."""
        if path == "/metrics":
            return Answer(200, CONTENT_TYPE_LATEST, generate_latest(self._numbers))
        if path in ("/healthz", "/readyz"):
            report = self._health.live() if path == "/healthz" else self._health.ready()
            return _json(200 if report.is_well else 503, asdict(report))
        if path.startswith(AUTOSCALE):
            return self._autoscale(unquote(path.removeprefix(AUTOSCALE)))
        known = ("/metrics", "/healthz", "/readyz", f"{AUTOSCALE}CLASS")
        return _json(404, {"error": "not_found", "message": f"expected one of {', '.join(known)}"})

    def _autoscale(self, hardware: str) -> Answer:
        if not is_hardware(hardware):
            return _json(404, {"error": "not_found", "message": "expected a hardware class such as cpu or gpu-sm90"})
        try:
            return _json(200, asdict(self._numbers.store.fleet.autoscale(hardware)))
        except JobStoreError as error:
            return _json(503, {"error": error.code, "message": str(error)})


class Machine(Protocol):
    """The launcher, as the exporter sees it."""

    files: ProcessFiles | None
    restarts: int

    @property
    def alive(self) -> int:
        """Processes that run."""
        ...

    def processes(self) -> Sequence[ProcessState]:
        """How each stands."""
        ...


@contextlib.contextmanager
def exported(config: WorkerConfig, machine: Machine) -> Iterator[None]:
    """Serve a launcher's numbers and health for the length of a block; nothing where the port is 0.

    Raises:
        AddressTaken: the port is taken, or the address is not of this machine.
    """
    files = machine.files
    if files is None:
        yield
        return
    cache_dir = Path(config.cache_dir) if config.cache_dir else None
    with contextlib.ExitStack() as closing:
        store = closing.enter_context(JobStore.open(config.database_url, patience_s=PATIENCE_S))
        doorbell = Doorbell(config.broker_url)
        closing.callback(doorbell.close)
        numbers = MachineNumbers(files, store, cache_dir, machine)
        silent_s = config.forward_timeout_s + config.lease_s + REPLACE_S
        health = Health(store, doorbell, machine.processes, files.beats, silent_s)
        try:
            exporter = Exporter(config.metrics_host, config.metrics_port, numbers, health)
        except OSError as error:
            address = f"{config.metrics_host}:{config.metrics_port}"
            raise AddressTaken(f"numbers and health cannot be served on {address}: {error}") from error
        closing.callback(exporter.close)
        yield


def _json(status: int, value: dict[str, Any]) -> Answer:
    return Answer(status, "application/json", json.dumps(value).encode() + b"\n")


def _handler(answer: Callable[[str], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One request."""

        protocol_version = "HTTP/1.1"
        timeout = 10  # seconds for a client to send its request

        def do_GET(self) -> None:
            try:
                found = answer(urlsplit(self.path).path)
            except Exception:
                logger.exception("a request was not answered", extra={"event": "exporter_failed"})
                found = _json(500, {"error": "internal_error", "message": "see the log of the worker machine"})
            self.send_response(found.status)
            self.send_header("Content-Type", found.content_type)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (the base class's name)
            logger.debug(format, *arguments, extra={"event": "exporter_request"})

    return Handler
