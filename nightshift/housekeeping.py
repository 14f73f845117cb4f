"""Housekeeping as the settings want it: what worker machines and the server run beside their own work."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobstore.store import JobStore
    from nightshift.settings import Settings
    from producer.direct import Direct
    from producer.housekeeping import Housekeeper
    from producer.pruning import Pruner
    from producer.webhooks import Sender

#: Seconds that a receiver of webhooks may be silent, and may take in all.
_READ_S, _DEADLINE_S = 10.0, 20.0


def housekeeping(settings: Settings, broker_url: str) -> Callable[[threading.Event], None]:
    """Give what keeps house until an event is set, with a store of its own; it may run in a thread.

    Args:
        broker_url: of the Redis that new jobs are announced to; empty: none runs, and its relay will find them.
    """

    def keep_house(stop: threading.Event) -> None:
        from jobstore.dispatch import Doorbell, MuteDoorbell
        from jobstore.store import JobStore
        from producer.direct import Direct

        store = JobStore.open(settings.store_url)
        gateway = Direct(store, Doorbell(broker_url) if broker_url else MuteDoorbell())
        try:
            with housekeeper(settings, store, gateway) as keeper:
                keeper.run(stop)
        finally:
            gateway.close()

    return keep_house


@contextlib.contextmanager
def house_kept(settings: Settings, broker_url: str) -> Iterator[None]:
    """Keep house in a thread until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=housekeeping(settings, broker_url), args=(stop,), name="house", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def housekeeper(settings: Settings, store: JobStore, gateway: Direct) -> Iterator[Housekeeper]:
    """Open a housekeeper of this process."""
    from producer.export_work import ExportMaker
    from producer.gate_work import Watchman
    from producer.housekeeping import Housekeeper
    from producer.scheduling import Scheduler
    from producer.sources import SourceOptions

    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    options = SourceOptions(policy=settings.fetch_policy)
    with sender(settings, store) as sending:
        exporter = ExportMaker(store, gateway, owner, shelf_folder=settings.server_dir)
        scheduler, watchman = Scheduler(store, gateway, owner, options), Watchman(store, owner)
        yield Housekeeper(scheduler, sending, exporter, watchman, pruner(settings, store))


def pruner(settings: Settings, store: JobStore) -> Pruner | None:
    """Give what removes old files of the server as the settings want it; None: all are kept."""
    from producer.pruning import Pruner

    kept = settings.server.uploads_kept_s, settings.server.exports_kept_s
    if kept == (None, None):
        return None
    return Pruner(store, settings.server_dir, settings.server.uploads, *kept)


@contextlib.contextmanager
def sender(settings: Settings, store: JobStore) -> Iterator[Sender]:
    """Open what sends webhooks, to any port of public addresses."""
    from fetching.http import SafeClient
    from fetching.policy import WEB_SCHEMES, FetchPolicy
    from producer.webhooks import Sender

    policy = FetchPolicy(
        schemes=WEB_SCHEMES,
        allow_private=settings.webhooks_allow_private,
        allowed_ports=frozenset(range(1, 65_536)),
        read_s=_READ_S,
        deadline_s=_DEADLINE_S,
        attempts=1,
    )
    with SafeClient(policy) as client:
        yield Sender(store, client, os.environ)
