"""What is slow: where an item's time goes, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobstore.glances import StageTimes
    from jobstore.schema import WorkerRow

#: In the order of the work, each with what it is.
STAGES = {
    "fetch": "reading bytes from disk or network",
    "decode": "bytes to pixels",
    "preprocess": "pixels to the network's input",
    "forward": "the network, its wait for a batch included",
    "postprocess": "the network's output to a prediction",
    "store": "writing outcomes to the database",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage; `share` is percents of an item's time."""

    name: str
    meaning: str
    mean_ms: float
    share: float


@dataclass(frozen=True, slots=True)
class Slowness:
    """The stages in the order of the work, and the slowest of them.

    Attributes:
        items: whose timings were looked at.
    """

    stages: tuple[Stage, ...]
    slowest: str
    items: int


def slowness_of(times: StageTimes, store_ms: float | None) -> Slowness | None:
    """Give the shares of the stages; None: no item has timings yet."""
    mean = dict(times.mean_ms) | ({} if store_ms is None else {"store": store_ms})
    total = sum(mean.values())
    if not total:
        return None
    order = (*STAGES, *(name for name in mean if name not in STAGES))
    stages = tuple(
        Stage(name, STAGES.get(name, ""), mean[name], round(100 * mean[name] / total, 1))
        for name in order
        if name in mean
    )
    return Slowness(stages, max(stages, key=lambda stage: stage.share).name, times.items)


def store_ms_of(workers: Sequence[WorkerRow], model: str) -> float | None:
    """Give milliseconds an item that these workers took to write outcomes of a model; None: they do not say."""
    figures = [worker.stats[model] for worker in workers if model in worker.stats]
    items = sum(each.get("items", 0) for each in figures)
    spent = sum(each.get("items", 0) * each.get("stage_ms", {}).get("store", 0.0) for each in figures)
    return spent / items if items else None
