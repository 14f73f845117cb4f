"""A shard whose model is not open yet: whoever is lost before it is has touched no item, and no item is blamed."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from inference_engine.decoding import decode_image
from inference_engine.errors import EngineError, ImageUnreadable, NoRunnableBackend, ProviderUnavailable, SessionFailed
from jobstore.openings import Stage
from jobstore.schema import JobId, Lease, OpeningTrouble
from videos.errors import VideoUnreadable
from workers.media import MediaError
from workers.video_run import first_frame

if TYPE_CHECKING:
    from inference_engine.images import Image
    from workers.shards import Runtime

logger = logging.getLogger(__name__)

#: Pictures of a job that candidates are measured with.
SAMPLES = 8


class FirstUse:
    """What the pool asks and tells while it opens a shard's model; see `workers.models.Borrower`."""

    def __init__(self, runtime: Runtime, lease: Lease) -> None:
        self._runtime, self.lease = runtime, lease

    def samples(self) -> list[Image]:
        """The first readable pictures of the shard; an unreadable one has its outcome later."""
        images: list[Image] = []
        for item in self.lease.items:
            if len(images) == SAMPLES:
                break
            with contextlib.suppress(MediaError, ImageUnreadable, VideoUnreadable):
                if item.clip is None:
                    images.append(decode_image(self._runtime.media.read(item.uri), self._runtime.limits))
                else:
                    images.extend(first_frame(self._runtime.media, item.uri, self._runtime.limits))
        return images

    def waits(self) -> None:
        """The model is not open: it is fetched, or loaded for somebody else."""
        self._runtime.store.openings.note_stage(self.lease, Stage.WAITS)

    def loads(self) -> None:
        """It is loaded for this shard from now on."""
        self._runtime.store.openings.note_stage(self.lease, Stage.LOADS)

    def opened(self) -> None:
        """It is open, after this shard had to wait."""
        self._runtime.store.openings.opened(self.lease)

    def abandon(self, *, is_guilty: bool) -> None:
        """Give the shard back: the process is about to end, `is_guilty` because this loading does not."""
        if is_guilty:
            self._runtime.store.count_death(self.lease, self._runtime.max_deaths)
        else:
            self._runtime.store.release_shard(self.lease)

    def failed(self, error: EngineError) -> JobId | None:
        """The model did not open: wait for what passes, try other hardware, or fail the job; give a job that ended."""
        if isinstance(error, ProviderUnavailable):
            self._postpone(error)
            return None
        if isinstance(error, NoRunnableBackend | SessionFailed):
            return self._refuse(error)
        return fail_job(self._runtime, self.lease, error)

    def _postpone(self, error: ProviderUnavailable) -> None:
        trouble = OpeningTrouble(error.code, str(error), error.retry_after_s)
        seconds = self._runtime.store.openings.postpone(self.lease, trouble, self._runtime.open_retry_s)
        following = "no further try" if seconds is None else f"next try in {seconds:.0f} s"
        logger.warning(
            "job %s waits for its model, %s: %s",
            self.lease.job_id,
            following,
            error,
            extra={"event": "opening_postponed", "job_id": self.lease.job_id, "seconds": seconds},
        )

    def _refuse(self, error: EngineError) -> JobId | None:
        """Other hardware may run it."""
        lease = self.lease
        following = self._runtime.store.refuse_class(lease.job_id, lease.hardware, error.code, str(error))
        logger.error(
            "job %s does not run on %s: %s",
            lease.job_id,
            lease.hardware,
            error,
            extra={"event": "class_refused", "job_id": lease.job_id, "next": following},
        )
        if following is None:
            return lease.job_id
        self._runtime.store.release_shard(lease)
        return None


def fail_job(runtime: Runtime, lease: Lease, error: EngineError) -> JobId:
    """The parameters are wrong, or there is no such model: no item of this job can ever succeed."""
    logger.error("job %s: %s", lease.job_id, error, extra={"event": "job_failed", "job_id": lease.job_id})
    runtime.store.fail_job(lease.job_id, error.code, str(error))
    return lease.job_id
