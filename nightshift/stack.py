"""Store, broker and workers, opened together: all of them here where nothing is configured, else the fleet's."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

from jobstore.dispatch import Doorbell, MuteDoorbell
from nightshift.claim import Claim
from nightshift.embedded import EmbeddedRedis
from nightshift.errors import StackBusy, WorkersEnded
from producer.machine import DATABASE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobstore.store import JobStore
    from nightshift.settings import Settings
    from producer.direct import Direct
    from workers.launch import Launcher

#: How long another process may take from its lock to its announcement; Redis and a first migration take about 2 s.
JOIN_TIMEOUT_S = 15.0
#: Seconds that workers of an embedded stack have to give back what they hold.
STOP_GRACE_S = 5.0
#: Seconds within which a worker process has to report to the store, and seconds between two looks.
REPORT_TIMEOUT_S, LOOK_INTERVAL_S = 60.0, 10.0


def open_store(settings: Settings) -> JobStore:
    """Open the job store; one in the data folder is made or upgraded, a configured one never is.

    Raises:
        SchemaOutdated: a configured database needs `nightshift db upgrade`.
        StoreUnavailable: the database does not answer.
    """
    from jobstore.errors import SchemaOutdated
    from jobstore.store import JobStore

    if settings.database_url is None:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    store = JobStore.open(settings.store_url)
    try:
        store.check_schema()
    except SchemaOutdated:
        if settings.database_url is not None:
            raise
        import migrations

        migrations.upgrade(settings.store_url)
        store.check_schema()
    return store


@contextlib.contextmanager
def open_stack(
    settings: Settings,
    *,
    with_workers: bool,
    keeps_house: bool = False,
    hardware: str | None = None,
    **worker_options: Any,
) -> Iterator[Stack]:
    """Open everything that a job needs, and close what was opened here.

    Args:
        settings: decide whether the stack is embedded or the fleet's.
        with_workers: run workers in this machine's processes, unless the stack that is joined has some.
        keeps_house: submit due schedules, send webhooks and make exports beside the workers.
        hardware: class that they serve; None: the setting.
        worker_options: further fields of `WorkerConfig` that win over the settings.

    Raises:
        JobStoreError: the configured database or broker cannot be used.
        NightshiftError: the embedded stack cannot be started or joined.
    """
    stack = Stack(settings, {"hardware": hardware, **worker_options}, keeps_house=keeps_house)
    try:
        stack.open(with_workers=with_workers)
        yield stack
    finally:
        stack.close()


@contextlib.contextmanager
def open_client(settings: Settings) -> Iterator[Stack]:
    """Open store and gateway, and the broker if one runs; nothing is started.

    Raises:
        JobStoreError: the database cannot be used.
    """
    stack = Stack(settings, {})
    try:
        stack.open_client()
        yield stack
    finally:
        stack.close()


class Stack:
    """An open stack. `tend` has to be called now and then while waiting for a job."""

    store: JobStore
    gateway: Direct

    def __init__(self, settings: Settings, worker_options: dict[str, Any], *, keeps_house: bool = False) -> None:
        self.settings = settings
        self.broker_url = settings.broker_url or ""
        self.redis: EmbeddedRedis | None = None
        self.workers: Launcher | None = None
        self._doorbell: Doorbell | None = None
        self._claim = Claim(settings.data_dir)
        self._worker_options = worker_options
        self._with_workers, self._keeps_house = False, keeps_house
        self._next_look = time.monotonic() + REPORT_TIMEOUT_S

    @property
    def doorbell(self) -> Doorbell:
        """What rings in the broker that was found, and is silent where none runs."""
        return self._doorbell or MuteDoorbell()

    @property
    def is_joined(self) -> bool:
        """Whether another process on this machine runs Redis for us."""
        return self.settings.is_embedded and self.redis is None and bool(self.broker_url)

    def describe(self, hardware: str) -> str:
        """Give broker, database and workers in a line, without passwords."""
        database = (
            "the configured database" if self.settings.database_url else f"sqlite {_short(self.settings.data_dir)}"
        )
        if not self.settings.is_embedded:
            return f"the configured redis, {database}, workers of class {hardware}"
        if self.redis is None:
            return f"{'joins the stack that runs here' if self.broker_url else 'no workers run'}, {database}"
        processes = max(1, len(self.workers.pids)) if self.workers is not None else 0  # they start in a thread
        return f"redis (unix socket), {database}, {processes} worker{'s' * (processes != 1)} on {hardware}"

    def open(self, *, with_workers: bool) -> None:
        """Open store, broker and workers."""
        self._with_workers = with_workers
        if not self.settings.is_embedded:
            self.store = open_store(self.settings)
            self._start_workers(with_workers=with_workers)
        elif self._own_or_join():
            self._start()
        self._connect()

    def open_client(self) -> None:
        """Open the store, and find the broker without starting one."""
        self.store = open_store(self.settings)
        if self.settings.is_embedded and (resident := self._claim.resident()) is not None:
            self.broker_url = resident.broker_url
        self._connect()

    def tend(self) -> None:
        """See that somebody works on what we wait for: take over from a process that we joined and that is gone.

        Raises:
            WorkersEnded: no worker process of ours gets as far as to report itself.
        """
        if self._with_workers and self.is_joined and self._claim.take():
            self._start()
            self._connect()
        if self.workers is not None and time.monotonic() > self._next_look:
            self._next_look = time.monotonic() + LOOK_INTERVAL_S
            reported = {worker.pid for worker in self.store.fleet.workers() if worker.state != "lost"}
            if not reported.intersection(self.workers.pids):
                raise WorkersEnded(
                    "no worker process stays alive",
                    cause=f"none of them reported itself for {REPORT_TIMEOUT_S:.0f} s; their messages stand above",
                    hint="nightshift doctor",
                )

    def close(self) -> None:
        """Close what was opened here, workers first."""
        with contextlib.ExitStack() as closing:  # each runs even if one before it raises
            closing.callback(self._claim.release)
            if self.redis is not None:
                closing.callback(self.redis.stop)
            if "store" in self.__dict__:
                closing.callback(self.store.close)
            if self._doorbell is not None:
                closing.callback(self._doorbell.close)
            if self.workers is not None:
                closing.callback(self._stop_workers, self.workers)

    def _own_or_join(self) -> bool:
        """Say whether the data folder is ours; if not, the one who has it answers and is joined."""
        deadline = time.monotonic() + JOIN_TIMEOUT_S
        while not self._claim.take():
            if (resident := self._claim.resident()) is not None:
                self.broker_url = resident.broker_url
                self.store = open_store(self.settings)
                self._start_workers(with_workers=self._with_workers and resident.hardware is None)
                return False
            if time.monotonic() > deadline:
                raise StackBusy(
                    f"{self.settings.data_dir} is in use",
                    cause="another nightshift holds it and its Redis does not answer",
                    hint="end that process, or set NIGHTSHIFT_DATA_DIR to another folder",
                )
            time.sleep(0.05)
        return True

    def _start(self) -> None:
        """Start Redis, the workers and the store side by side: a worker needs seconds until it looks for its shards.

        Only a database that is still to be made comes first, so that no worker finds it half made.
        """
        self.redis = EmbeddedRedis()
        self.redis.launch()
        self.broker_url = self.redis.url
        if self.settings.database_url is None and not (self.settings.data_dir / DATABASE_NAME).exists():
            self.store = open_store(self.settings)
        self._start_workers(with_workers=self._with_workers)
        if "store" not in self.__dict__:
            self.store = open_store(self.settings)
        self.redis.wait()
        hardware = str(self.settings.worker.hardware) if self._with_workers else None
        self._claim.announce(self.redis.socket_path, hardware)

    def _start_workers(self, *, with_workers: bool) -> None:
        if with_workers:
            from nightshift.housekeeping import housekeeping
            from workers.launch import Launcher

            self._next_look = time.monotonic() + REPORT_TIMEOUT_S
            beside = (housekeeping(self.settings, self.broker_url),) if self._keeps_house else ()
            config = self.settings.worker_config(self.broker_url, **self._worker_options)
            self.workers = Launcher(config, beside=beside)
            self.workers.start()

    def _stop_workers(self, workers: Launcher) -> None:
        """Drain workers that hold shards; end idle ones at once, since a drain takes more than a second."""
        if not self.settings.is_embedded or any(queue.leased for queue in self.store.fleet.queues()):
            workers.stop(STOP_GRACE_S)
            return
        pids, host = set(workers.pids), socket.gethostname()
        workers.stop(0.0)
        for worker in self.store.fleet.workers():
            if worker.pid in pids and worker.host == host:
                self.store.fleet.worker_stopped(worker.worker_id)

    def _connect(self) -> None:
        from producer.direct import Direct

        if self._doorbell is not None:
            self._doorbell.close()
        self._doorbell = Doorbell(self.broker_url) if self.broker_url else MuteDoorbell()
        self.gateway = Direct(self.store, self._doorbell)


def _short(folder: Path) -> str:
    """Give a folder with `~` for the home folder."""
    home = folder.home()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)
