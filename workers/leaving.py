"""How a worker process ends before its time, and what it says by its exit status."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from enum import IntEnum
from typing import TYPE_CHECKING

from jobstore.errors import JobStoreError

if TYPE_CHECKING:
    from workers.flights import Flight
    from workers.shards import Runtime

logger = logging.getLogger(__name__)

#: Seconds in which a process that leaves writes what it has; what is not written by then, the leases bring back.
_LAST_WORDS_S = 3.0


class Exit(IntEnum):
    """Statuses of processes that end themselves; the launcher starts another for all but `DRAINED`."""

    DRAINED = 0  # finished or gave back everything
    STUCK = 75  # did not drain in time
    HUNG = 76  # a forward or a picture took longer than its limit, or no message came through
    BROKEN = 77  # a model's session broke again after it was reopened
    TOLD = 78  # a second SIGTERM, or SIGQUIT


def leave(
    runtime: Runtime, status: Exit, timed_out: Collection[Flight] = (), suspects: Collection[Flight] = ()
) -> None:
    """Write what is known, give every shard back, and end the process: nothing waits for a lease to run out.

    Args:
        timed_out: items that hung, each known to be alone.
        suspects: items of which one hung. A death is counted for their shards, so that it will stand alone.
    """
    runtime.draining.set()
    words = threading.Thread(
        target=_last_words, args=(runtime, status, timed_out, suspects), name="last-words", daemon=True
    )
    words.start()
    words.join(_LAST_WORDS_S)
    runtime.exit(status)


def _last_words(runtime: Runtime, status: Exit, timed_out: Collection[Flight], suspects: Collection[Flight]) -> None:
    # Not in the thread that leaves: a signal may have come in the middle of a line that it was writing.
    logger.warning("leaving: %s", status.name.lower(), extra={"event": "worker_leaves", "status": int(status)})
    for run in runtime.runs.active():
        try:
            run.abandon(timed_out, suspects)
        except JobStoreError as error:
            logger.warning("a shard waits for its lease to end: %s", error, extra={"event": "abandon_failed"})
    try:
        runtime.store.worker_stopped(runtime.worker_id)
    except JobStoreError as error:
        logger.warning("not signed off: %s", error, extra={"event": "sign_off_failed"})
