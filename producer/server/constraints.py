"""What of a body is refused beyond its types, as far as JSON Schema can say it; what it cannot, answers do in words."""

from __future__ import annotations

from typing import Any

from producer.exports.registry import known_formats
from producer.jobfile.model import JobFile

_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "array", "items": _TEXT, "minItems": 1}
_COUNT = {"type": "integer", "minimum": 1}
_ONE_OR_SEVERAL = {"anyOf": [_TEXT, _TEXTS]}
_FUSION: dict[str, Any] = {name: {} for name in ("max_detections", "confidence", "iou_threshold", "class_agnostic")}
#: Of `jobstore.wishes.WISHES`; a test holds both against each other.
WISHES: dict[str, Any] = {
    "backend": _ONE_OR_SEVERAL,
    "quantization": _ONE_OR_SEVERAL,
    "batch_size": {"anyOf": [_COUNT, {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2}]},
    "device": _TEXT,
    "strategy": {"enum": ["order", "measured"]},
    "measuring_budget_s": {"type": "number", "exclusiveMinimum": 0},
    "package_id": _TEXT,
    "backend_order": _TEXTS,
    "execution_providers": {
        "type": "array",
        "minItems": 1,
        "items": {
            "anyOf": [
                _TEXT,
                {"type": "array", "prefixItems": [_TEXT, {"type": "object"}], "items": False, "minItems": 2},
            ]
        },
    },
    "nms_fusion": {
        "anyOf": [
            {"type": "boolean"},
            {"type": "object", "properties": _FUSION, "additionalProperties": False, "minProperties": 1},
        ]
    },
}
#: Fields of a video that exclude each other where both are more than their defaults.
_SAID = {
    "fps": {"type": "number"},
    "every": {"type": "integer"},
    "keyframes": {"const": True},
    "track": {"const": True},
    "segment_s": {"type": "number"},
}
_EXCLUDING = (("fps", "every"), ("fps", "keyframes"), ("every", "keyframes"), ("track", "segment_s"))
_SINCE = {"anyOf": [{"pattern": "^[0-9]{1,6}[mhdw]$"}, {"format": "date"}, {"format": "date-time"}]}


def constrain(schemas: dict[str, Any]) -> dict[str, Any]:
    """Give the components of the description with what is refused of them; and the job file that schedules are."""
    for name in ("DraftBody", "JobBody"):
        fields = schemas[name]["properties"]
        fields["wishes"] |= {"properties": WISHES, "additionalProperties": False}
        fields["hardware"] |= {"uniqueItems": True}
    schemas["ExportBody"]["properties"]["formats"]["items"]["enum"] = list(known_formats())
    schemas["VideoBody"]["allOf"] = [_not_both(*names) for names in _EXCLUDING]
    job = schemas["JobBody"]
    job["anyOf"] = [{"required": [name], "properties": {name: {"minItems": 1}}} for name in ("sources", "items")]
    text = next(each for each in job["properties"]["since"]["anyOf"] if each["type"] == "string")
    text.update(_SINCE)
    return schemas | job_file()


def job_file() -> dict[str, Any]:
    """Give the schema of a job file with a schedule, whose name its path says, and those of its sections."""
    schema = JobFile.model_json_schema(ref_template="#/components/schemas/{model}")
    sections = schema.pop("$defs")
    schema["required"] = sorted({*schema["required"], "schedule"})
    schema["properties"]["schedule"] = {"$ref": "#/components/schemas/ScheduleSection"}
    return {**sections, "JobFile": schema}


def _not_both(one: str, other: str) -> dict[str, Any]:
    return {"not": {"required": [one, other], "properties": {one: _SAID[one], other: _SAID[other]}}}
