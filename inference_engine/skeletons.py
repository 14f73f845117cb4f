"""Names and lines of key points: `keypoints_metadata.json` of a package, as the peer library writes it.

The file is a list with one object a class: `object_class_id`, `keypoints` (name by the point's number, as text) and
`edges` (`from` and `to`, point numbers).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference_engine.errors import PackageInvalid
from inference_engine.tasks.keypoints import Skeleton

FILE = "keypoints_metadata.json"


def read_skeletons(path: Path, classes: int) -> tuple[Skeleton, ...]:
    """By the network's class id; a class that the file does not name has no points.

    Args:
        classes: of the network.

    Raises:
        PackageInvalid: the file is absent or is not of that form.
    """
    try:
        entries = _entries(json.loads(path.read_text(encoding="utf-8")))
        found = {int(entry["object_class_id"]): _skeleton(entry) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PackageInvalid(
            f"{path}: expected a list of object_class_id, keypoints and edges, one a class ({error})"
        ) from error
    if len(found) != len(entries) or (odd := [key for key in found if not 0 <= key < classes]):
        what = f"class {odd[0]}" if len(found) == len(entries) else "a class twice"
        raise PackageInvalid(f"{path}: it describes {what}, and the network has {classes} classes")
    return tuple(found.get(index, Skeleton(())) for index in range(classes))


def reported(skeletons: Sequence[Skeleton], reported_ids: Sequence[int]) -> tuple[Skeleton, ...]:
    """Those of the classes that results show, by their class id."""
    return tuple(skeleton for skeleton, class_id in zip(skeletons, reported_ids, strict=True) if class_id >= 0)


def skeleton_entries(skeletons: Sequence[Skeleton]) -> list[dict[str, Any]]:
    """The file's list, one object a class; `read_skeletons` reads it back."""
    return [
        {
            "object_class_id": class_id,
            "keypoints": {str(number): name for number, name in enumerate(skeleton.names)},
            "edges": [{"from": first, "to": last} for first, last in skeleton.edges],
        }
        for class_id, skeleton in enumerate(skeletons)
    ]


def _entries(data: Any) -> list[Any]:
    if not isinstance(data, list) or not data:
        raise ValueError(f"found {data!r}")
    return data


def _skeleton(entry: Mapping[str, Any]) -> Skeleton:
    names = {int(number): str(name) for number, name in entry["keypoints"].items()}
    if sorted(names) != list(range(len(names))):
        raise ValueError(f"points are numbered {sorted(names)}, expected 0 and up without a gap")
    edges = tuple((int(edge["from"]), int(edge["to"])) for edge in entry.get("edges") or ())
    return Skeleton(tuple(names[number] for number in range(len(names))), edges)
