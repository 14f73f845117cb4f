"""What a COCO annotation has beside its box: a mask as run lengths, key points. Pure.

Field definitions: https://cocodataset.org/#format-data (keypoints: x, y and v; v is 0 where a point is not labelled, 1
where it is not visible, 2 where it is).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drawing import run_lengths

# Thousandths of a pixel; float32 coordinates hold no more.
DECIMALS = 3


def annotation_shapes(record: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """For each box of a record: what both files have of it, and what only the dataset has.

    Raises:
        ValueError: a mask does not fill its image.
    """
    masks = record.get("masks")
    for index in range(len(record["xyxy"])):
        shared: dict[str, Any] = {}
        more: dict[str, Any] = {"segmentation": ()}
        if masks is not None:
            more, shared = {"area": _area(masks[index])}, {"segmentation": masks[index]}
        if "xy" in record:
            points = _key_points(record, index)
            shared["keypoints"] = [value for point in points for value in point]
            more["num_keypoints"] = sum(visible > 0 for _, _, visible in points)
        yield shared, more


def category_points(record: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """By class id: names of its key points, and its lines with points counted from 1, as COCO counts them."""
    return {
        class_id: {"keypoints": each["names"], "skeleton": [[a + 1, b + 1] for a, b in each["edges"]]}
        for class_id, each in enumerate(record.get("skeletons") or ())
    }


def _area(mask: Mapping[str, Any]) -> int:
    height, width = mask["size"]
    return run_lengths.area(str(mask["counts"]).encode("ascii"), (height, width))


def _key_points(record: Mapping[str, Any], index: int) -> list[tuple[float, float, int]]:
    """As many as the class has names for; places beyond are of other classes."""
    names: Sequence[str] = record["skeletons"][record["class_id"][index]]["names"]
    threshold = record.get("key_points_threshold", 0.0)
    places = zip(record["xy"][index], record["key_points_confidence"][index], names, strict=False)
    return [_point(xy, score, threshold) for xy, score, _ in places]


def _point(xy: Sequence[float], score: float, threshold: float) -> tuple[float, float, int]:
    if score <= 0:
        return 0, 0, 0
    return round(xy[0], DECIMALS), round(xy[1], DECIMALS), 2 if score >= threshold else 1
