"""Signs of life: the worker's row, the leases that it holds, and what it learned about batch sizes."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from inference_engine.memory import resident_bytes
from jobstore.errors import StoreUnavailable
from jobstore.schema import WorkerRow
from workers.lifeline import sound
from workers.opening import build_of
from workers.placement import Slot
from workers.shards import Runtime

logger = logging.getLogger(__name__)

#: Seconds between two renewals, by which a process learns that a job was stopped; its row is written every second time.
INTERVAL_S = 1.0


@dataclass(slots=True)
class Pulse:
    """Beats in a thread of its own, so that a busy model does not look like a dead worker.

    Attributes:
        consumed: gives the queues that this process consumes.
        drain: ends this process after what it has; called when somebody asked for it.
        lifeline: descriptor by which the launcher hears each beat.
        machine: what this process says of its machine, with its first heartbeat only; None: nothing.
    """

    runtime: Runtime
    slot: Slot
    interval_s: float
    consumed: Callable[[], Collection[str]]
    drain: Callable[[], None]
    lifeline: int | None = None
    machine: Mapping[str, Any] | None = None
    _is_described: bool = False
    _beats: int = 0
    _counted: int = 0
    _at: float = field(default_factory=time.monotonic)
    _taught: dict[int, int] = field(default_factory=dict)

    def begin(self) -> None:
        """Beat once, before any work is taken: who works is known, and on what machine."""
        self._try_to_beat()

    def run(self, stopped: threading.Event) -> None:
        """Beat until `stopped`."""
        while not stopped.wait(self.interval_s):
            self._try_to_beat()

    def _try_to_beat(self) -> None:
        if self.lifeline is not None:
            sound(self.lifeline)
        try:
            self.beat()
        except StoreUnavailable as error:
            logger.warning("no heartbeat: %s", error, extra={"event": "heartbeat_failed"})

    def beat(self) -> None:
        """Renew the leases, then the row: the leases must not wait for anything."""
        self.runtime.meter.beat(len(self.runtime.models.names()))
        self.runtime.leases.renew()
        if self._beats % 2 == 0:
            self._report()
        self._beats += 1
        self._teach()

    def _report(self) -> None:
        is_asked = self.runtime.store.fleet.heartbeat(self._row(), None if self._is_described else self.machine)
        self._is_described = True
        if is_asked:
            self.drain()

    def _row(self) -> WorkerRow:
        models = self.runtime.models
        return WorkerRow(
            worker_id=self.runtime.worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            hardware=self.slot.hardware,
            device=self.slot.device,
            state="draining" if self.runtime.draining.is_set() else "running",
            queues=tuple(sorted(self.consumed())),
            models=models.names(),
            items_per_second=self._speed(),
            serves=self.slot.serves,
            active=self.runtime.runs.count(),
            memory_bytes=resident_bytes(),
            stats={model: figures.to_record() for model, figures in models.figures().items()},
        )

    def _speed(self) -> float:
        now, counted = time.monotonic(), self.runtime.written.value
        speed = (counted - self._counted) / max(now - self._at, 1e-3)
        self._counted, self._at = counted, now
        return round(speed, 2)

    def _teach(self) -> None:
        """Tell the fleet of batches that did not fit."""
        for loaded in self.runtime.models.loaded():
            fits = loaded.batcher.max_batch_size
            known = self._taught.get(loaded.serial, loaded.batcher.policy.max_batch_size)
            if fits < known and (build := build_of(loaded.model)) is not None:
                logger.warning("batches of %s, more does not fit", fits, extra={"event": "batch_learned"})
                self.runtime.store.fleet.learn_batch(build, self.slot.hardware, fits)
                self._taught[loaded.serial] = fits
