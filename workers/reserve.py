"""One place more than a process has, for a tenant who comes while all of them work for others.

Hints are taken only when a place becomes free, and a place is taken for a whole shard: whoever comes late waited for
half a shard of somebody else's. The reserved place looks into SQL instead, when work is handed over (`workers.news`)
and in the rhythm in which a process looks for demand, and only while the process is full; the late shard's items then
go first (`workers.turns`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from jobstore.errors import StoreUnavailable
from jobstore.schema import Hint
from workers.refill import Refill
from workers.shards import Runtime, process_shard

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Reserve:
    """Counts the places that are taken, and works on newcomers' shards while all are.

    Attributes:
        places: shards, or bundles of small ones, that the process works on at a time.
    """

    runtime: Runtime
    refill: Refill
    places: int
    _taken: int = 0
    _thread: threading.Thread | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def taking_a_place(self) -> Iterator[None]:
        """Say for the length of a block that one place is in use."""
        with self._lock:
            self._taken += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1

    @property
    def is_wanted(self) -> bool:
        """Whether every place is taken, and the reserved one is not."""
        is_at_work = self._thread is not None and self._thread.is_alive()
        return self._taken >= self.places and not is_at_work and not self.runtime.draining.is_set()

    def look(self, queues: Collection[str]) -> None:
        """Begin with a newcomer's shard of these queues, if there is one; one caller at a time.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        if self.is_wanted and (hint := self.runtime.store.newcomer(queues)) is not None:
            self._thread = threading.Thread(target=self._work, args=(queues, hint), name="reserve", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for what it works on; the process drains."""
        if self._thread is not None:
            self._thread.join()

    def _work(self, queues: Collection[str], first: Hint) -> None:
        """A newcomer's shards, one after the other: he has nothing else in work between them.

        His next one gets its place in a full window when the one before has ended, so that is asked for here and now.
        """
        hint: Hint | None = first
        try:
            while hint is not None and not self.runtime.draining.is_set():
                self.refill.shard_ended(hint.queue, *process_shard(self.runtime, hint))
                self.refill.work_off()
                hint = self.runtime.store.newcomer(queues)
        except StoreUnavailable as error:
            logger.warning("the reserved place is free again: %s", error, extra={"event": "reserve_failed"})
