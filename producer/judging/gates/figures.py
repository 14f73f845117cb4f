"""What a run came to, in numbers that two nights can be compared by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobstore.schema import OutcomeState
from producer.judging.speed import images_per_second

if TYPE_CHECKING:
    from jobstore.views import JobStatus, ResultRow


@dataclass(frozen=True, slots=True)
class RunFigures:
    """One run.

    Attributes:
        images: pictures and frames with a prediction.
        failed: pictures, frames and videos without one.
        empty: of `images`, those in which nothing was found; None for tasks that always give something.
        objects: found in all of them.
        classes: class -> objects of it; of label maps, shares of a picture, added up.
        computed: of `images`, those that were not taken over from an earlier run.
        images_per_second: of what was computed; None before the job has ended.
    """

    job_id: str
    images: int
    failed: int
    empty: int | None
    objects: int
    classes: Mapping[str, float]
    computed: int
    images_per_second: float | None

    @property
    def empty_rate(self) -> float | None:
        """Share of the pictures in which nothing was found."""
        return None if self.empty is None or not self.images else self.empty / self.images

    @property
    def objects_per_image(self) -> float | None:
        """Mean over pictures."""
        return None if self.empty is None or not self.images else self.objects / self.images

    @property
    def failed_rate(self) -> float | None:
        """Share of what was tried that gave no prediction: mostly what could not be read."""
        tried = self.images + self.failed
        return self.failed / tried if tried else None


def figures_of(job: JobStatus, rows: Iterable[ResultRow]) -> RunFigures:
    """Count a job's rows in one pass; memory grows with its classes only."""
    images = failed = empty = objects = counted = computed = 0
    classes: Counter[str] = Counter()
    for row in rows:
        if row.state is OutcomeState.FAILED:
            failed += 1
        elif row.holds_prediction and row.record is not None:
            images += 1
            computed += row.state is OutcomeState.OK
            found = _objects(row.record)
            if found is not None:
                counted, objects, empty = counted + 1, objects + found, empty + (found == 0)
            classes.update(_classes(row.record))
    nothing = None if images and not counted else empty
    return RunFigures(job.job_id, images, failed, nothing, objects, dict(classes), computed, images_per_second(job))


def _objects(record: Mapping[str, Any]) -> int | None:
    """Objects, labels or texts of a record; None for a map or a vector, of which there is one always."""
    if "pixels" not in record and "confidence" in record:
        return len(record["confidence"])
    return int(bool(str(record["text"]).strip())) if "text" in record else None


def _classes(record: Mapping[str, Any]) -> Mapping[str, float]:
    names = record.get("class_name") or ()
    if "pixels" in record:
        total = sum(record["pixels"])
        return {name: pixels / total for name, pixels in zip(names, record["pixels"], strict=True)}
    if record.get("task") == "classification":
        names = names[:1]  # the best comes first; the others are what it is not
    return Counter(names)
