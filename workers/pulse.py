"""Signs of life: the worker's row, and the leases that it holds."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from dataclasses import dataclass, field

from jobstore.errors import StoreUnavailable
from jobstore.schema import WorkerRow
from workers.placement import Slot
from workers.shards import Runtime

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Pulse:
    """Beats in a thread of its own, so that a busy model does not look like a dead worker."""

    runtime: Runtime
    slot: Slot
    interval_s: float
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
        """Renew the leases, then the row: the leases must not wait for anything."""
        self.runtime.leases.renew()
        self.runtime.store.heartbeat(
            WorkerRow(
                worker_id=self.runtime.worker_id,
                host=socket.gethostname(),
                pid=os.getpid(),
                hardware=self.slot.hardware,
                device=self.slot.device,
                state="draining" if self.runtime.draining.is_set() else "running",
                models=self.runtime.models.names(),
                items_per_second=self._speed(),
            )
        )

    def _speed(self) -> float:
        now, counted = time.monotonic(), self.runtime.written.value
        speed = (counted - self._counted) / max(now - self._at, 1e-3)
        self._counted, self._at = counted, now
        return round(speed, 2)
