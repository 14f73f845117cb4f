"""What follows a shard's end, for all shards of a process together: windows are filled, ended jobs announced."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from jobstore.dispatch import Doorbell
from jobstore.errors import BrokerUnavailable, StoreUnavailable
from jobstore.schema import JobId
from jobstore.store import JobStore
from workers.relay import release_and_ring

logger = logging.getLogger(__name__)

#: Seconds between two rounds: a release costs some 5 ms, as much as a light image, whatever the number of its shards.
INTERVAL_S = 0.05
#: Seconds between two looks at whether the process stops.
_LOOK_S = 0.5


@dataclass(slots=True)
class _Due:
    """What shards that ended have left to do."""

    queues: set[str] = field(default_factory=set)
    jobs: list[JobId] = field(default_factory=list)
    shards: int = 0


@dataclass(slots=True)
class Refill:
    """One thread for what would otherwise be done after each shard; the first of a burst is served at once.

    Attributes:
        window: hints that a queue holds; when half of them may be gone, nothing waits for the interval's end.
        draining: set when the window is left to other processes.
    """

    store: JobStore
    doorbell: Doorbell
    window: int
    draining: threading.Event
    _due: _Due = field(default_factory=_Due)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def shard_ended(self, queue: str, *ended_jobs: JobId) -> None:
        """A hint of the queue was worked off, or was late; `ended_jobs` are those that ended by it."""
        with self._changed:
            self._due.queues.add(queue)
            self._due.shards += 1
            self._due.jobs += ended_jobs
            self._changed.notify()

    def run(self, stopped: threading.Event) -> None:
        """Work until `stopped`, and off what is due then."""
        while not stopped.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._due.shards > 0, _LOOK_S)
            if self._due.shards:
                self.work_off()
                with self._changed:
                    self._changed.wait_for(lambda: self._due.shards >= self.window // 2, INTERVAL_S)
        self.work_off()

    def work_off(self) -> None:
        """Do what is due now; any thread may."""
        with self._changed:
            due, self._due = self._due, _Due()
        if due.jobs:
            self.doorbell.announce_end(*due.jobs)
        for queue in () if self.draining.is_set() else sorted(due.queues):
            self._refill(queue)

    def _refill(self, queue: str) -> None:
        """The relay would do it within its tick."""
        try:
            release_and_ring(self.store, self.doorbell, self.window, queue)
        except (BrokerUnavailable, StoreUnavailable) as error:
            logger.warning("window not refilled: %s", error, extra={"event": "refill_failed"})
