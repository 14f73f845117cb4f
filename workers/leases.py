"""The leases that this process holds, kept alive while it works on their shards."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from jobstore.errors import StoreUnavailable
from jobstore.schema import Lease, WorkerId
from jobstore.store import JobStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease and the news about it.

    Attributes:
        lost: the shard is somebody else's, or its job ended; nothing of it can be written.
        stop: its job was stopped, or something more urgent waits: write what is in flight, give the shard back.
    """

    lease: Lease
    lost: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class LeaseBook:
    """All leases of this process."""

    store: JobStore
    owner: WorkerId
    lease_s: float
    _held: dict[str, HeldLease] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[HeldLease]:
        """Keep the lease alive for the length of a block."""
        held = HeldLease(lease)
        with self._lock:
            self._held[lease.shard_id] = held
        try:
            yield held
        finally:
            with self._lock:
                self._held.pop(lease.shard_id, None)

    def renew(self) -> None:
        """Renew all; mark those that are ours no more. A silent database is no news: the fence decides later."""
        with self._lock:
            held = list(self._held.values())
        if not held:
            return
        try:
            renewal = self.store.renew(self.owner, [(h.lease.shard_id, h.lease.attempt) for h in held], self.lease_s)
        except StoreUnavailable as error:
            logger.warning("leases not renewed: %s", error, extra={"event": "renew_failed"})
            return
        for entry in held:
            if entry.lease.shard_id not in renewal.kept:
                entry.lost.set()
            elif entry.lease.shard_id in renewal.give_back:
                entry.stop.set()
