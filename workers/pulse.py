"""Signs of life: the worker's row, and the leases that it holds."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from jobstore.errors import StoreUnavailable
from jobstore.schema import WorkerRow
from workers.placement import Slot
from workers.shards import Runtime

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Pulse:
    """Beats in a thread of its own, so that a busy model does not look like a dead worker.

    Attributes:
        leave: begins the drain of this process; SIGTERM is what a launcher begins it with.
    """

    runtime: Runtime
    slot: Slot
    interval_s: float
    leave: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM)
    _counted: int = 0
    _at: float = field(default_factory=time.monotonic)

    def run(self, stopped: threading.Event) -> None:
        """Beat until `stopped`."""
        while True:
            try:
                self.beat()
            except StoreUnavailable as error:
                logger.warning("no heartbeat: %s", error, extra={"event": "heartbeat_failed"})
            if stopped.wait(self.interval_s):
                return

    def beat(self) -> None:
        """Renew the leases, then the row: the leases must not wait for anything. Leave when somebody asked for it."""
        models = self.runtime.models.names()
        self.runtime.meter.beat(len(models))
        self.runtime.leases.renew()
        is_asked_to_leave = self.runtime.store.heartbeat(
            WorkerRow(
                worker_id=self.runtime.worker_id,
                host=socket.gethostname(),
                pid=os.getpid(),
                hardware=self.slot.hardware,
                device=self.slot.device,
                state="draining" if self.runtime.draining.is_set() else "running",
                models=models,
                items_per_second=self._speed(),
            )
        )
        if is_asked_to_leave and not self.runtime.draining.is_set():
            logger.info("somebody asked this worker to drain", extra={"event": "drain_asked"})
            self.leave()

    def _speed(self) -> float:
        now, counted = time.monotonic(), self.runtime.written.value
        speed = (counted - self._counted) / max(now - self._at, 1e-3)
        self._counted, self._at = counted, now
        return round(speed, 2)
