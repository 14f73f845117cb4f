"""A job's state again and again, until nothing happens any more by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobstore.schema import JobId
    from jobstore.views import JobStatus
    from producer.gateway import Gateway


def watch(gateway: Gateway, job_id: JobId, interval_s: float | None = None) -> Iterator[JobStatus]:
    """Give a job's status at intervals; the last one has ended, or needs attention.

    Args:
        interval_s: None: as often as the gateway can well be asked.
    """
    while True:
        status = gateway.status(job_id)
        yield status
        if status.is_settled:
            return
        time.sleep(gateway.interval_s if interval_s is None else interval_s)
