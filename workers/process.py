"""One worker process: `python -m workers.process`, its orders as JSON on standard input.

Standard input, because orders hold the database's password and a command line can be read by every user. The launcher
sets `environment(slot)` for the process, because allocator and thread pools read theirs when they start.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from dataclasses import dataclass
from typing import Any

import msgspec

from workers.config import WorkerConfig
from workers.placement import Slot


@dataclass(frozen=True, slots=True)
class Orders:
    """What a launcher tells a process: the machine's configuration and this process's slot.

    Attributes:
        launcher: the launcher's process id.
        lifeline: descriptor by which the launcher hears that it runs; None: nobody listens.
    """

    config: WorkerConfig
    slot: Slot
    name: str
    launcher: int
    lifeline: int | None = None


#: Python's lock changes hands after 5 ms by default: as long as a thread that writes to SQL would keep those waiting
#: that come back from a forward.
_SWITCH_INTERVAL_S = 0.005
#: glibc gives freed memory back to Linux and asks for it again, page by page: a third of the CPU time of a light
#: model, because each image allocates and frees a few megabytes. Keeping up to 128 MiB an arena ends that.
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(128 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}


#: How the thread pools of numeric libraries and tokenizers learn their size.
_POOLS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)


def environment(slot: Slot) -> dict[str, str]:
    """Variables that must stand before the process starts: thread pools, visible devices, the allocator.

    CUDA counts the fastest device first unless told otherwise; the driver, whose numbers we have, counts by bus.
    """
    threads = "1" if slot.device == "cpu" else str(max(1, len(slot.cores)))
    visible = "" if slot.visible_gpu is None else str(slot.visible_gpu)
    devices = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": visible}
    return {**dict.fromkeys(_POOLS, threads), **devices, **_MALLOC}


def main() -> int:
    """Work until told to stop; 0 after a clean drain."""
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    if not dies_with(orders.launcher):
        return 0
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, orders.slot.cores)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    from workers.logs import configure_logging

    configure_logging(orders.config.log_level, orders.config.log_format)
    return _work(orders)


def _work(orders: Orders) -> int:
    from inference_engine.machine import probe_machine
    from jobstore.dispatch import Doorbell
    from jobstore.queues import idle_queue
    from workers.app import build_app
    from workers.assembly import build_runtime
    from workers.demand import Demand
    from workers.logs import configure_logging
    from workers.machine_reports import report_of
    from workers.news import News
    from workers.pulse import INTERVAL_S, Pulse
    from workers.refill import Refill
    from workers.reserve import Reserve
    from workers.stopping import drain, leave_after_drain, signals_step
    from workers.watchdog import Watchdog

    config, slot = orders.config, orders.slot
    runtime = build_runtime(config, slot)
    configure_logging(config.log_level, config.log_format, {"worker": runtime.worker_id, "hardware": slot.hardware})
    doorbell = Doorbell(config.broker_url)
    refill = Refill(runtime.store, doorbell, config.window, runtime.draining)
    reserve = Reserve(runtime, refill, config.concurrency)
    news = News(doorbell)
    app = build_app(runtime, reserve, config.broker_url, Demand(slot.serves, config.models), news)
    app.steps["worker"].add(signals_step(runtime))
    own_queue = idle_queue(slot.hardware)

    def consumed() -> set[str]:
        return set(app.amqp.queues.consume_from) - {own_queue}

    stopped = threading.Event()
    interval_s = min(INTERVAL_S, config.lease_s / 4)
    machine = report_of(probe_machine())
    pulse = Pulse(runtime, slot, interval_s, consumed, lambda: drain(runtime), orders.lifeline, machine)
    pulse.begin()
    watchers = (
        pulse,
        Watchdog(runtime, config.item_timeout_s, config.forward_timeout_s, config.open_timeout_s, consumed),
        refill,
        news,
    )
    threads = [
        threading.Thread(target=each.run, args=(stopped,), name=type(each).__name__, daemon=True) for each in watchers
    ]
    for thread in threads:
        thread.start()
    leave_after_drain(runtime, config.drain_s)
    try:
        return _consume(app, orders, own_queue)
    finally:
        reserve.close()
        stopped.set()
        for thread in threads:
            thread.join()
        runtime.turns.decoders.shutdown()
        runtime.finishers.shutdown()
        runtime.models.close()
        runtime.store.fleet.worker_stopped(runtime.worker_id)
        doorbell.close()
        runtime.store.close()


def _consume(app: Any, orders: Orders, queue: str) -> int:
    from celery.platforms import SecurityWarning

    # Celery warns root of pickle; only JSON is accepted here.
    warnings.simplefilter("ignore", SecurityWarning)
    worker = app.Worker(
        hostname=f"{orders.name}@{os.uname().nodename}",
        pool="threads",
        concurrency=orders.config.concurrency,
        queues=[queue],
        loglevel=orders.config.log_level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def dies_with(launcher: int) -> bool:
    """Ask Linux for SIGTERM when the launcher dies, however it dies. False: it has died before we could ask."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    return os.getppid() == launcher


if __name__ == "__main__":
    sys.exit(main())
