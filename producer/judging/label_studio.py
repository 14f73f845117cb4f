"""Tasks for Label Studio: pictures with what one or more jobs found on them, to be corrected by people.

Fields: https://labelstud.io/guide/predictions. Places are in percent of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import degrees
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    from jobstore.views import ResultRow

_DECIMALS = 4


def write_tasks(tasks: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write tasks as a file that Label Studio imports."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(list(tasks)), indent=1) + b"\n")


def task_of(number: int, found: Mapping[str, ResultRow], **data: Any) -> dict[str, Any]:
    """One picture as a task.

    Args:
        number: the task's, from 1.
        found: by the model version that is shown, what it found; all of the same picture.
        data: further columns.
    """
    row = next(iter(found.values()))
    predictions = [
        {"model_version": version, "result": list(_results(each.record or {}))} for version, each in found.items()
    ]
    return {"id": number, "data": {"image": row.uri, "frame": row.frame, **data}, "predictions": predictions}


def _results(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Boxes as rectangles (of masks and key points too), classes as choices, texts as text areas."""
    if "xyxy" in record:
        yield from (_rectangle(record, index) for index in range(len(record["xyxy"])))
    elif "class_id" in record and "confidence" in record:
        scores = record["confidence"]
        yield {
            "id": "c1", "type": "choices", "from_name": "choice", "to_name": "image",
            "score": max(scores, default=0.0), "value": {"choices": list(record["class_name"])},
        }  # fmt: skip
    elif "text" in record:
        value = {"text": [record["text"]]}
        yield {"id": "t1", "type": "textarea", "from_name": "answer", "to_name": "image", "value": value}


def _rectangle(record: Mapping[str, Any], index: int) -> dict[str, Any]:
    height, width = record["image_hw"]
    left, top, right, bottom = record["xyxy"][index]
    box_wh, rotation = (right - left, bottom - top), 0.0
    if "xywhr" in record:
        x, y, *box_wh, angle = record["xywhr"][index]
        across, down = np.asarray((np.cos(angle), np.sin(angle))), np.asarray((-np.sin(angle), np.cos(angle)))
        # Label Studio turns a rectangle around its upper left corner.
        left, top = (np.asarray((x, y)) - across * box_wh[0] / 2 - down * box_wh[1] / 2).tolist()
        rotation = degrees(angle) % 360
    place = {"x": left / width, "y": top / height, "width": box_wh[0] / width, "height": box_wh[1] / height}
    value = {key: round(100 * share, _DECIMALS) for key, share in place.items()}
    return {
        "id": f"o{index + 1}", "type": "rectanglelabels", "from_name": "label", "to_name": "image",
        "original_width": width, "original_height": height, "image_rotation": 0, "score": record["confidence"][index],
        "value": {**value, "rotation": round(rotation, _DECIMALS), "rectanglelabels": [record["class_name"][index]]},
    }  # fmt: skip
