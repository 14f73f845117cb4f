"""The OpenAPI description: what FastAPI says of parameters, and the wire format's schemas of bodies and answers."""

from __future__ import annotations

from typing import Any

from jobstore.schema import DecisionRow, WorkerRow
from jobstore.views import AutoscaleFigures, FailureGroup, ItemRow, JobStatus, QueueRow, ResultRow
from producer import answers, wire
from producer.gateway import Explanation
from producer.server.bodies import components
from producer.server.constraints import constrain

#: Every type that a body or an answer is.
KINDS = (
    JobStatus, DecisionRow, WorkerRow, AutoscaleFigures, FailureGroup, ItemRow, QueueRow, ResultRow, Explanation,
    wire.JobBody, wire.DraftBody, wire.PartBody, answers.Appended, wire.ResumeBody, wire.RetryBody, wire.PriorityBody,
    wire.ExportBody, answers.ExportAnswer, answers.Change, answers.Uploaded, answers.Drained, answers.ScheduleAnswer,
    wire.PresignBody, answers.Presigned,
    answers.ScheduledRun, answers.GatesAnswer, answers.DeliveryAnswer, answers.Resent, answers.Stats, answers.Health,
)  # fmt: skip
_NUMBER_OR_NULL = {"anyOf": [{"type": "number"}, {"type": "null"}]}
_COUNT, _TRUTH = {"type": "integer", "minimum": 0}, {"type": "boolean"}
_DERIVED = {
    "done": _COUNT,
    "pending": _COUNT,
    "is_ended": _TRUTH,
    "is_settled": _TRUTH,
    "is_over_failure_limit": _TRUTH,
    "elapsed_seconds": {"type": "number", "minimum": 0},
    "items_per_second": _NUMBER_OR_NULL,
    "eta_seconds": _NUMBER_OR_NULL,
}


def described(description: dict[str, Any]) -> dict[str, Any]:
    """Add the schemas and the way to sign in; `Job` is a status with what is computed from it."""
    more = {"type": "object", "required": sorted(_DERIVED), "properties": _DERIVED}
    job = {"allOf": [{"$ref": "#/components/schemas/JobStatus"}, more]}
    known = description.setdefault("components", {}).get("schemas", {})
    described_kinds = {**known, **constrain(components(KINDS)), "Job": job}
    schemes = {"bearer": {"type": "http", "scheme": "bearer"}}
    description["components"] = {"schemas": described_kinds, "securitySchemes": schemes}
    description["security"] = [{"bearer": []}]
    return description
