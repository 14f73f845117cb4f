"""One outcome of a job, as Python sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from producer.detections import Detections, import_supervision
from producer.errors import RecordUnsuitable

if TYPE_CHECKING:
    from jobstore.schema import DecisionRow, ItemError, OutcomeState
    from jobstore.views import ResultRow


@dataclass(frozen=True)
class Result:
    """A picture's or frame's record, or why there is none.

    Attributes:
        row: the outcome as it is stored.
        decision: why its backend ran; None: nothing ran for it.
        kept: indexes of the objects that a `where` expression is true of; None: nobody asked about objects.
    """

    row: ResultRow
    decision: DecisionRow | None = None
    kept: tuple[int, ...] | None = None

    @property
    def idx(self) -> int:
        """The item's number in the job, from 0 on."""
        return self.row.idx

    @property
    def frame(self) -> int:
        """Of a video, from 1 on; 0 for a picture and for what is said of a video as a whole."""
        return self.row.frame

    @property
    def source(self) -> str:
        """The path or URI that was labelled."""
        return self.row.uri

    @property
    def state(self) -> OutcomeState:
        """How it ended."""
        return self.row.state

    @property
    def error(self) -> ItemError | None:
        """Why it failed."""
        return self.row.error

    @property
    def record(self) -> Mapping[str, Any] | None:
        """The prediction as JSON's types; its form is that of docs/predictions.md."""
        return self.row.record

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Extra columns of the manifest that named it."""
        return self.row.metadata or {}

    @property
    def timings(self) -> Mapping[str, float]:
        """Milliseconds by stage: fetch, decode, preprocess, forward, postprocess."""
        return self.row.timings_ms or {}

    @property
    def backend(self) -> str | None:
        """What ran the model."""
        return None if self.decision is None else self.decision.backend

    @cached_property
    def detections(self) -> Detections:
        """Every object of the record.

        Raises:
            RecordUnsuitable: there is no record, or it has no objects with places.
        """
        return Detections(self._record())

    @cached_property
    def matching(self) -> Detections:
        """Those objects that the `where` expression is true of; every one where it asks for none.

        Raises:
            RecordUnsuitable: as for `detections`.
        """
        return self.detections if self.kept is None else Detections(self._record(), self.kept)

    def to_supervision(self) -> Any:
        """As `supervision.Detections`, or `supervision.Classifications` of a record with classes alone.

        Raises:
            RecordUnsuitable: supervision has no type for it.
            MissingExtra: supervision is not installed.
        """
        record = self._record()
        if "class_id" in record and "xyxy" not in record and "masks" not in record:
            scores = np.array(record["confidence"], np.float32)
            return import_supervision().Classifications(np.array(record["class_id"], int), scores)
        return self.detections.to_supervision()

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON's types; bytes of blobs stay in `row.blob`."""
        error = None if self.error is None else {"code": self.error.code, "message": self.error.message}
        return {
            "idx": self.idx,
            "frame": self.frame,
            "timestamp_s": self.row.timestamp_s,
            "source": self.source,
            "state": str(self.state),
            "record": None if self.record is None else dict(self.record),
            "error": error,
            "metadata": dict(self.metadata),
            "timings_ms": dict(self.timings),
            "backend": self.backend,
        }

    def _record(self) -> Mapping[str, Any]:
        if self.row.record is None:
            why = f"{self.error.code}: {self.error.message}" if self.error is not None else "it has no record"
            raise RecordUnsuitable(f"{self.source} is {self.state}, {why}; look at `state` first")
        return self.row.record
