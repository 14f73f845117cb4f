"""Notices what hangs, and replaces the process: a thread that hangs in native code cannot be ended otherwise."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from jobstore.errors import StoreUnavailable
from workers.first_use import FirstUse
from workers.flights import Flight
from workers.leaving import Exit, Hanging, leave
from workers.shards import Runtime

logger = logging.getLogger(__name__)

#: Seconds between two looks at what is under way, and between two looks at queues while nothing is.
_LOOK_S, _QUEUE_LOOK_S = 0.25, 10.0
#: Seconds that a hint may wait in a queue that an idle process consumes. Redis clients were seen to consume nothing any
#: more, for ever, after a connection had been cut (docs/decisions/0003); this is for the next such way to hang.
_OVERDUE_S = 60.0


@dataclass(slots=True)
class Watchdog:
    """Looks a few times a second; costs nothing between.

    Attributes:
        item_timeout_s: limit of one stage of one item outside the model: fetch, decode, preprocess, postprocess.
        forward_timeout_s: limit of one run of the model.
        open_timeout_s: limit of loading a model, what it was measured and warmed up with included. Fetching it is not:
            that has limits of its own for each read and each file.
        consumed: gives the queues that this process consumes.
    """

    runtime: Runtime
    item_timeout_s: float
    forward_timeout_s: float
    open_timeout_s: float
    consumed: Callable[[], Collection[str]]
    _queues_looked_at: float = 0.0

    def run(self, stopped: threading.Event) -> None:
        """Watch until `stopped`; replaces the process where something hangs."""
        while not stopped.wait(_LOOK_S):
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Look once."""
        if (hanging := self.hanging(now)) is not None:
            uris = [flight.item.uri for flight in (*hanging.alone, *hanging.among)]
            what = uris[:3] or [f"the loading of {use.lease.model}" for use in hanging.loading] or ["the model"]
            logger.error("hanging: %s", ", ".join(what), extra={"event": "hanging", "items": uris})
            leave(self.runtime, Exit.HUNG, hanging)
        elif self._hears_nothing(now):
            logger.error("idle, and hints wait in queues that it consumes", extra={"event": "worker_deaf"})
            leave(self.runtime, Exit.HUNG)

    def hanging(self, now: float) -> Hanging | None:
        """What hangs at this moment."""
        overdue = [
            [owner for owner in batch.owners if isinstance(owner, Flight)]
            for loaded in self.runtime.models.loaded()
            for batch in loaded.batcher.runs()
            if now - batch.started > self.forward_timeout_s
        ]
        overdue += [
            [flight]
            for run in self.runtime.runs.active()
            for flight in run.flights
            if flight.stage and now - flight.since > self.item_timeout_s
        ]
        loading = self.runtime.models.loading()
        stuck = tuple(use for use, since in loading if isinstance(use, FirstUse) and now - since > self.open_timeout_s)
        if not overdue and not stuck:
            return None
        alone = [flights[0] for flights in overdue if len(flights) == 1]
        among = tuple(flight for flights in overdue if len(flights) > 1 for flight in flights)
        return Hanging(tuple(alone), among, stuck)

    def _hears_nothing(self, now: float) -> bool:
        idle_s = self.runtime.runs.idle_s()
        if idle_s < _OVERDUE_S or self.runtime.draining.is_set() or now - self._queues_looked_at < _QUEUE_LOOK_S:
            return False
        self._queues_looked_at = now
        try:
            return self.runtime.store.relay.hints_overdue(self.consumed(), _OVERDUE_S)
        except StoreUnavailable:
            return False  # it cannot say, and a new process could not either
