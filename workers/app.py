"""The Celery side of a worker process: one task, and the boot steps that Celery lacks."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from celery import bootsteps
from celery.signals import worker_shutting_down
from kombu.transport import virtual

from jobstore.dispatch import celery_app
from jobstore.errors import StoreUnavailable
from jobstore.queues import TASK_NAME, decode_hint, idle_queue
from workers.demand import Demand
from workers.gate import gate_step
from workers.reserve import Reserve
from workers.shards import Runtime, process_shard

logger = logging.getLogger(__name__)

#: Seconds between two looks at which queues have work for this process's hardware classes.
DEMAND_INTERVAL_S = 0.25


def build_app(runtime: Runtime, reserve: Reserve, broker_url: str, demand: Demand) -> Any:
    """A Celery application whose one task works on this runtime."""
    app = celery_app(broker_url)

    def run_shard(self: Any, **message: Any) -> None:
        queue = self.request.delivery_info["routing_key"]
        with reserve.taking_a_place():
            reserve.refill.shard_ended(queue, *process_shard(runtime, decode_hint(message, queue)))

    app.task(run_shard, name=TASK_NAME, bind=True)
    app.steps["consumer"].add(gate_step(runtime.store, runtime.worker_id, runtime.meter))
    app.steps["consumer"].add(AckGuard)
    app.steps["consumer"].add(demand_step(reserve, demand))

    def drain(**_: Any) -> None:
        runtime.draining.set()

    worker_shutting_down.connect(drain, weak=False)
    return app


class AckGuard(bootsteps.StartStopStep):  # type: ignore[misc]
    """Frees the prefetch slot when an acknowledgement fails.

    kombu 5.7 swallows the failure and keeps the slot: after a cut network the consumer never consumes again
    (docs/decisions/0003). SQL's fence makes the message's second delivery harmless.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, c: Any) -> None:
        """Wrap the channel's acknowledgement."""
        qos = c.task_consumer.channel.qos
        original = qos.ack

        def ack(tag: str) -> None:
            try:
                original(tag)
            except Exception:  # noqa: BLE001 (any broker error; the second try is on a fresh connection)
                try:
                    original(tag)
                except Exception:
                    virtual.QoS.ack(qos, tag)  # type: ignore[no-untyped-call]
                    raise

        qos.ack = ack


class FollowDemand(bootsteps.StartStopStep):  # type: ignore[misc]
    """Consumes the queues that `Demand` chooses of those that have work, and has the reserved place look at them.

    Celery makes the instance itself; `demand_step` gives the class what it needs.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)
    reserve: Reserve
    demand: Demand

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stopped = threading.Event()

    def start(self, c: Any) -> None:
        """Follow the demand in a thread of its own."""
        self._stopped.clear()
        threading.Thread(target=self._follow, args=(c,), name="demand", daemon=True).start()

    def stop(self, c: Any) -> None:  # noqa: ARG002 (Celery's signature)
        """End the thread."""
        self._stopped.set()

    def _follow(self, c: Any) -> None:
        while not self._stopped.is_set():
            try:
                wanted = self.reserve.runtime.store.fleet.queues_with_work(self.demand.serves)
                self.reserve.look(self._consumed(c).intersection(wanted))
            except StoreUnavailable as error:
                logger.warning("demand not known: %s", error, extra={"event": "demand_failed"})
            else:
                self._adjust(c, wanted)
            self._stopped.wait(DEMAND_INTERVAL_S)

    def _adjust(self, c: Any, wanted: list[str]) -> None:
        loaded = self.reserve.runtime.models.references()
        change = self.demand.choose(wanted, self._consumed(c), loaded, time.monotonic())
        for queue in change.add:
            logger.info("consuming %s", queue, extra={"event": "queue_added", "queue": queue})
            c.call_soon(c.add_task_queue, queue)
        for queue in change.drop:
            c.call_soon(c.cancel_task_queue, queue)

    def _consumed(self, c: Any) -> set[str]:
        return set(c.app.amqp.queues.consume_from) - {idle_queue(self.demand.serves[0])}


def demand_step(reserve: Reserve, demand: Demand) -> type[FollowDemand]:
    """The boot step for this process."""
    return type("FollowDemand", (FollowDemand,), {"reserve": reserve, "demand": demand})
