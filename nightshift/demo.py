"""The demo's two halves that are not a job: pages with a known truth, and the judgement of what was found on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from jobstore.views import JobStatus, ResultRow

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


def judge(job: JobStatus, truth: Path, rows: Iterable[ResultRow]) -> Judgement:
    """Compare a job's records with the truth."""
    from producer.judging.evaluation import evaluate, read_truth

    found = evaluate(job, rows, read_truth(truth)).kinds[0]
    return Judgement(found.ap50 or 0.0, found.ap or 0.0)
