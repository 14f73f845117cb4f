"""How fast a job was."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobstore.views import JobStatus


def images_per_second(job: JobStatus) -> float | None:
    """Pictures, or frames of videos, a second from the first shard's lease to the end.

    None before it ends, and where nothing was computed: what was taken over from an earlier run is not counted.
    """
    number = job.frames or job.ok + job.failed
    if not number or job.started is None or job.finished is None or job.finished <= job.started:
        return None
    return number / (job.finished - job.started)
