"""The demo's two halves that are not a job: pages with a known truth, and the judgement of what was found on them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from jobstore.views import ResultRow

#: The seed of the demo's pages; none of their digits was seen in training, whatever the seed.
SEED = 2026


@dataclass(frozen=True, slots=True)
class Judgement:
    """How well the boxes fit the truth, by faster-coco-eval's COCO metric.

    Attributes:
        map50: mean average precision at IoU 0.5, over classes.
        map50_95: its mean over the IoU thresholds 0.5 to 0.95.
    """

    map50: float
    map50_95: float


def make_pages(folder: Path, count: int) -> Path:
    """Write pages of held-out handwritten digits and their `truth.json`; give the latter's path."""
    from nightshift.pages import write_pages

    return write_pages(folder, count, split="held_out", seed=SEED)


def judge(truth: Path, rows: Iterable[ResultRow]) -> Judgement:
    """Compare a job's records with the truth.

    Args:
        truth: COCO file whose pictures are found by name.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    images = {entry["file_name"]: entry["id"] for entry in json.loads(truth.read_text(encoding="utf-8"))["images"]}
    results = [found for row in rows for found in _results(images[row.uri.rpartition("/")[2]], row)]
    if not results:
        return Judgement(0.0, 0.0)
    coco = COCO(str(truth))
    judged = COCOeval_faster(coco, coco.loadRes(results), "bbox", print_function=lambda *_: None)
    judged.run()
    return Judgement(float(judged.stats[1]), float(judged.stats[0]))


def _results(image_id: int, row: ResultRow) -> Iterable[dict[str, Any]]:
    record = row.record or {}
    for (x0, y0, x1, y1), score, class_id in zip(
        record.get("xyxy", ()), record.get("confidence", ()), record.get("class_id", ()), strict=True
    ):
        box = [x0, y0, x1 - x0, y1 - y0]
        yield {"image_id": image_id, "category_id": class_id + 1, "bbox": box, "score": score}
