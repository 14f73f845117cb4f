"""How a worker process ends before its time, and what it says by its exit status."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING

from jobstore.errors import JobStoreError

if TYPE_CHECKING:
    from workers.first_use import FirstUse
    from workers.flights import Flight
    from workers.shards import Runtime

logger = logging.getLogger(__name__)

#: Seconds in which a process that leaves writes what it has; what is not written by then, the leases bring back.
_LAST_WORDS_S = 3.0


class Exit(IntEnum):
    """Statuses of processes that end themselves; the launcher starts another for all but `DRAINED`."""

    DRAINED = 0  # finished or gave back everything
    STUCK = 75  # did not drain in time
    HUNG = 76  # a forward, a picture or a loading took longer than its limit, or no message came through
    BROKEN = 77  # a model's session broke again after it was reopened
    TOLD = 78  # a second SIGTERM, or SIGQUIT


@dataclass(frozen=True, slots=True)
class Hanging:
    """What took longer than its limit; a run of the model that is nobody's item is none of these.

    Attributes:
        alone: items that hang, each known for itself.
        among: items of runs of several, of which one hangs; a death is counted for their shards.
        loading: shards whose model does not get on with its loading; a death is counted for their class.
    """

    alone: tuple[Flight, ...] = ()
    among: tuple[Flight, ...] = ()
    loading: tuple[FirstUse, ...] = ()


def leave(runtime: Runtime, status: Exit, hanging: Hanging = Hanging()) -> None:
    """Write what is known, give every shard back, and end the process: nothing waits for a lease to run out."""
    runtime.draining.set()
    words = threading.Thread(target=_last_words, args=(runtime, status, hanging), name="last-words", daemon=True)
    words.start()
    words.join(_LAST_WORDS_S)
    runtime.exit(status)


def _last_words(runtime: Runtime, status: Exit, hanging: Hanging) -> None:
    # Not in the thread that leaves: a signal may have come in the middle of a line that it was writing.
    logger.warning("leaving: %s", status.name.lower(), extra={"event": "worker_leaves", "status": int(status)})
    farewells: list[Callable[[], None]] = []
    farewells += [partial(run.abandon, hanging.alone, hanging.among) for run in runtime.runs.active()]
    # The guilty ones first: with them their class may be refused, which moves the others.
    unopened = sorted(runtime.runs.unopened(), key=lambda use: use not in hanging.loading)
    farewells += [partial(use.abandon, is_guilty=use in hanging.loading) for use in unopened]
    for give_back in farewells:
        try:
            give_back()
        except JobStoreError as error:
            logger.warning("a shard waits for its lease to end: %s", error, extra={"event": "abandon_failed"})
    try:
        runtime.store.fleet.worker_stopped(runtime.worker_id)
    except JobStoreError as error:
        logger.warning("not signed off: %s", error, extra={"event": "sign_off_failed"})
