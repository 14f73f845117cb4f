"""The fleet as the store knows it: workers, what waits for them, what they learned, and what they could not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobstore import backlog, heartbeats, learned, machines, old_workers, quarantine
from jobstore.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from jobstore.connection import Database
    from jobstore.schema import ModelBuild, QuarantinedMessage, WorkerId, WorkerRow
    from jobstore.views import AutoscaleFigures, MachineReport, QueueRow


class Fleet:
    """Workers and queues of a store; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def heartbeat(self, row: WorkerRow, machine: Mapping[str, Any] | None = None) -> bool:
        """Write a worker's report of itself, and say whether somebody asked it to drain.

        Args:
            machine: what the worker runs on, which is kept: with its first heartbeat is enough.
        """
        return self._db.write(lambda db: machines.introduce(db, row, machine))

    def machine_of_class(self, hardware: str) -> MachineReport | None:
        """Give the machine of a class's newest live worker, or of the last one; None: none has reported one."""
        return self._db.read(lambda db: machines.machine_of_class(db, hardware))

    def classes_seen(self, max_age_s: float) -> list[str]:
        """List the hardware classes that workers heard within `max_age_s` serve or served."""
        return self._db.read(lambda db: machines.classes_seen(db, max_age_s))

    def drain_worker(self, worker_id: WorkerId) -> bool:
        """Ask a worker to finish what it has and to leave; False: no such worker is alive."""
        return self._db.write(lambda db: heartbeats.drain_worker(db, worker_id))

    def worker_stopped(self, worker_id: WorkerId) -> None:
        """Note that a worker ended by itself."""
        self._db.write(lambda db: heartbeats.worker_stopped(db, worker_id))

    def workers(self, max_age_s: float = heartbeats.ALIVE_S) -> list[WorkerRow]:
        """List workers; one that is silent for more than `max_age_s` has the state `lost`."""
        return self._db.read(lambda db: heartbeats.list_workers(db, max_age_s))

    def forget_workers(self, older_than_s: float, *, is_trial: bool = False) -> int:
        """Remove workers that were heard of last so long ago, with machines that none names, or count them."""
        if is_trial:
            return self._db.read(lambda db: old_workers.count_old(db, older_than_s))
        return self._db.write(lambda db: old_workers.forget(db, older_than_s))

    def queues(self, hardware: str | None = None, tenant: str | None = None) -> list[QueueRow]:
        """Give what waits and runs in each queue, and why; of one hardware class or of all, of one tenant or of all."""
        return self._db.read(lambda db: backlog.list_queues(db, hardware, tenant))

    def queues_with_work(self, hardware: Sequence[str]) -> list[str]:
        """List the queues of these hardware classes in which shards wait; cheap whatever the backlog."""
        return self._db.read(lambda db: heartbeats.queues_with_work(db, hardware))

    def autoscale(self, hardware: str) -> AutoscaleFigures:
        """Give how much work a hardware class has, and how many workers."""
        return self._db.read(lambda db: backlog.autoscale(db, hardware))

    def report_speed(self, queue: str, seconds_per_item: float) -> None:
        """Mix a measurement of one worker process into a queue's seconds an item."""
        self._db.write(lambda db: backlog.report_speed(db, queue, seconds_per_item))

    def learned_batch(self, build: ModelBuild, hardware: str) -> int | None:
        """Give the batch size that fitted on this hardware class where a larger one did not."""
        return self._db.read(lambda db: learned.learned_batch(db, build, hardware))

    def learn_batch(self, build: ModelBuild, hardware: str, max_batch_size: int) -> None:
        """Note for every worker of this hardware class that a larger batch does not fit."""
        self._db.write(lambda db: learned.learn_batch(db, build, hardware, max_batch_size))

    def quarantine(self, row: QuarantinedMessage) -> None:
        """Keep a message that no worker can read, for people; of many only the newest are kept."""
        row_id = new_id()
        self._db.write(lambda db: quarantine.quarantine(db, row_id, row))

    def quarantined(self, limit: int = 50) -> list[QuarantinedMessage]:
        """List messages that were set aside, the newest first."""
        return self._db.read(lambda db: quarantine.quarantined(db, limit))
