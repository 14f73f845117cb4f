"""What has to happen though nobody waits for it: due schedules, webhooks, exports and verdicts, and old files that go.

Run beside the relay on every worker machine and in the server. Any number may run: each piece is claimed by one at a
time, and what a dead one had claimed comes back when its lease is over.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from jobstore.errors import StoreUnavailable
from producer.export_work import ExportMaker
from producer.gate_work import Watchman
from producer.pruning import Pruner
from producer.scheduling import Scheduler
from producer.webhooks import Sender

logger = logging.getLogger(__name__)

#: Threads that send webhooks: a receiver that hangs holds up one of them for as long as a message may take.
SENDERS = 4
#: Seconds between two looks.
INTERVAL_S = 1.0
#: Seconds between two looks for old files.
PRUNE_S = 1800.0
#: Seconds that pieces of work have to end when the process does; what has not is another's, after its lease.
_END_S = 2.0


@dataclass(frozen=True, slots=True)
class Housekeeper:
    """Kinds of work, each in threads of its own, so that a long export holds up no webhook.

    Attributes:
        pruner: None: everything is kept.
    """

    scheduler: Scheduler
    sender: Sender
    exporter: ExportMaker
    watchman: Watchman
    pruner: Pruner | None = None

    def tick(self) -> int:
        """Do once what is due of every kind; give the number of pieces.

        Raises:
            StoreUnavailable: the next tick does the rest.
        """
        submitted, made = self.scheduler.submit_due(), self.exporter.make_due()
        pruned = 0 if self.pruner is None else self.pruner.prune_due()
        return submitted + made + self.watchman.judge_due() + self.sender.send_due() + pruned

    def run(self, stop: threading.Event, interval_s: float = INTERVAL_S) -> None:
        """Work until `stop`; a database that is away is reported once, not each second."""
        works = [("schedules", self.scheduler.submit_due, interval_s), ("exports", self.exporter.make_due, interval_s)]
        works += [("gates", self.watchman.judge_due, interval_s)]
        works += [("webhooks", self.sender.send_due, interval_s)] * SENDERS
        works += [] if self.pruner is None else [("pruning", self.pruner.prune_due, PRUNE_S)]
        threads = [
            threading.Thread(target=_repeat, args=(name, work, stop, pause_s), name=name, daemon=True)
            for name, work, pause_s in works
        ]
        for thread in threads:
            thread.start()
        stop.wait()
        for thread in threads:
            thread.join(_END_S)


def _repeat(name: str, work: Callable[[], int], stop: threading.Event, interval_s: float) -> None:
    is_troubled = False
    while not stop.wait(interval_s):
        try:
            work()
        except StoreUnavailable as error:
            if not is_troubled:
                logger.warning("%s wait: %s", name, error, extra={"event": "housekeeping_waits"})
            is_troubled = True
        except Exception:
            logger.exception("%s failed", name, extra={"event": "housekeeping_failed"})
        else:
            is_troubled = False
