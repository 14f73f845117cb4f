"""Keeps Redis in step with SQL: what was lost is sent again, what is dead is taken back. Any number may run."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from jobstore.dispatch import Doorbell
from jobstore.errors import BrokerUnavailable, StoreUnavailable
from jobstore.store import JobStore

logger = logging.getLogger(__name__)

#: Seconds between two looks at what is kept too long: adding up the sizes of a million results takes a tenth of one.
PRUNE_S = 600.0


@dataclass(frozen=True, slots=True)
class Relay:
    """One tick repairs everything that is broken at that moment; each repair is one statement of the store.

    Attributes:
        window: hints that a queue holds in Redis at most.
        unserved_after_s: a class of which no worker was seen for so long is left for the next one of a job's list.
        draft_expires_s: a draft to which nothing was added for so long is given up.
        result_cache_bytes: above it, the least recently used results of earlier runs go.
        records_kept_s: how long webhooks that were sent, exports that were made and workers that ended are remembered.
        resend_after_s: a hint that is this old, in a queue that Redis holds empty, was lost.
    """

    store: JobStore
    doorbell: Doorbell
    window: int = 32
    resend_after_s: float = 5.0
    max_deaths: int = 3
    unserved_after_s: float = 60.0
    draft_expires_s: float = 86_400.0
    result_cache_bytes: int = 2 * 2**30
    records_kept_s: float = 30 * 86_400.0

    def tick(self) -> int:
        """Repair once; returns how many hints were sent.

        Raises:
            StoreUnavailable, BrokerUnavailable: nothing is lost by it, the next tick does the rest.
        """
        taken_back = self._repair_sql()
        if self.doorbell.lost_its_memory():
            forgotten = self.store.relay.forget_hints()
            logger.info("Redis is new or was emptied: %d hints go again", forgotten, extra={"event": "redis_epoch"})
        empty = self.doorbell.empty_queues(self.store.relay.hinted_queues())
        lost = self.store.relay.requeue_lost(empty, self.resend_after_s)
        if taken_back or lost:
            logger.warning("%d leases expired, %d hints lost", taken_back, lost, extra={"event": "relay_repaired"})
        return release_and_ring(self.store, self.doorbell, self.window)

    def _repair_sql(self) -> int:
        """Do what needs no Redis; gives the number of expired leases."""
        taken_back = self.store.relay.expire_leases(self.max_deaths)
        for job_id in (*self.store.relay.expire_jobs(), *self.store.drafts.expire(self.draft_expires_s)):
            self.doorbell.announce_end(job_id)
        repairs = self.store.relay
        judged, offered = repairs.judge_jobs(), repairs.offer_stragglers()
        self.store.openings.retry_due()
        rerouted, recalled = repairs.reroute(self.window, self.unserved_after_s), repairs.recall_outranked()
        if judged or offered or rerouted or recalled:
            logger.info(
                "%d jobs judged, %d stragglers offered, %d shards rerouted, %d hints recalled",
                judged, offered, rerouted, recalled, extra={"event": "relay_steered"},
            )  # fmt: skip
        return taken_back

    def prune(self) -> None:
        """Remove what is not kept for ever."""
        self.store.known.prune(self.result_cache_bytes)
        self.store.outbox.prune(self.records_kept_s)
        self.store.exports.prune(self.records_kept_s)
        self.store.fleet.forget_workers(self.records_kept_s)

    def run(self, stop: threading.Event, interval_s: float) -> None:
        """Tick until `stop`; a broker or database that is away is reported once, not each second."""
        troubled, next_prune = False, 0.0
        while not stop.wait(interval_s):
            try:
                self.tick()
                if time.monotonic() >= next_prune:
                    next_prune = time.monotonic() + PRUNE_S
                    self.prune()
            except (StoreUnavailable, BrokerUnavailable) as error:
                if not troubled:
                    logger.warning("relay waits: %s", error, extra={"event": "relay_waits"})
                troubled = True
            except Exception:
                logger.exception("relay tick failed", extra={"event": "relay_failed"})
            else:
                troubled = False


def release_and_ring(store: JobStore, doorbell: Doorbell, window: int, queue: str | None = None) -> int:
    """Release shards into the window and send their hints; a hint that cannot be sent is found by the next tick."""
    hints = store.release(window, queue)
    doorbell.ring(hints)
    return len(hints)
