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
from typing import TYPE_CHECKING, Any

import msgspec

from workers.config import WorkerConfig
from workers.placement import Slot

if TYPE_CHECKING:
    from workers.shards import Runtime

#: Exit status of a process that ends itself because it could not drain in time; the launcher starts another.
EXIT_STUCK = 75
#: Seconds between two signs of life of a worker in SQL.
HEARTBEAT_S = 2.0


@dataclass(frozen=True, slots=True)
class Orders:
    """What a launcher tells a process: the machine's configuration and this process's slot."""

    config: WorkerConfig
    slot: Slot
    name: str


#: Python's lock changes hands after 5 ms by default: as long as a thread that writes to SQL would keep those waiting
#: that come back from a forward.
_SWITCH_INTERVAL_S = 0.005
#: glibc gives freed memory back to Linux and asks for it again, page by page: a third of the CPU time of a light
#: model, because each image allocates and frees a few megabytes. Keeping up to 128 MiB an arena ends that.
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(128 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}


def environment(slot: Slot) -> dict[str, str]:
    """Variables that must stand before the process starts: thread pools, visible devices, the allocator."""
    threads = "1" if slot.device == "cpu" else str(max(1, len(slot.cores)))
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    visible = "" if slot.visible_gpu is None else str(slot.visible_gpu)
    return {**dict.fromkeys(names, threads), "CUDA_VISIBLE_DEVICES": visible, **_MALLOC}


def main() -> int:
    """Work until told to stop; 0 after a clean drain."""
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    die_with_parent()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, orders.slot.cores)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    from workers.logs import configure_logging

    configure_logging(orders.config.log_level, orders.config.log_format)
    return _work(orders)


def _work(orders: Orders) -> int:
    from jobstore.dispatch import Doorbell
    from jobstore.queues import idle_queue
    from workers.app import build_app
    from workers.assembly import build_runtime
    from workers.pulse import Pulse

    config, slot = orders.config, orders.slot
    runtime = build_runtime(config, slot)
    doorbell = Doorbell(config.broker_url)
    app = build_app(runtime, doorbell, config.broker_url, slot.hardware, config.window)
    stopped = threading.Event()
    pulse = Pulse(runtime, slot, min(HEARTBEAT_S, config.lease_s / 4))
    beat = threading.Thread(target=pulse.run, args=(stopped,), name="pulse", daemon=True)
    beat.start()
    _leave_after_drain(runtime, config.drain_s)
    try:
        return _consume(app, orders, idle_queue(slot.hardware))
    finally:
        stopped.set()
        beat.join()
        runtime.decoders.shutdown()
        runtime.finishers.shutdown()
        runtime.models.close()
        runtime.store.worker_stopped(runtime.worker_id)
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


def _leave_after_drain(runtime: Runtime, drain_s: float) -> None:
    """A watchdog: whoever hangs in a forward when the time is over leaves at once; its leases run out by themselves."""

    def watch() -> None:
        runtime.draining.wait()
        threading.Event().wait(drain_s)
        os._exit(EXIT_STUCK)

    threading.Thread(target=watch, name="drain-watchdog", daemon=True).start()


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the launcher dies, however it dies; elsewhere nothing happens."""
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
