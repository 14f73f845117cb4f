"""Where a model's time goes in this process, and how full its batches are."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: An image's way in order; `forward` holds its wait for a batch, `store` its share of the transaction.
STAGES = ("fetch", "decode", "preprocess", "forward", "postprocess", "store")


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums since the model was opened.

    Attributes:
        items: images that have an outcome.
        batches: runs of the model.
        images: images in those runs.
        places: images that those runs could have had.
        run_s: seconds of those runs, by which `forward` is split into waiting and running.
        stage_ms: milliseconds by stage, over all items.
    """

    items: int = 0
    batches: int = 0
    images: int = 0
    places: int = 0
    run_s: float = 0.0
    stage_ms: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.items + other.items,
            self.batches + other.batches,
            self.images + other.images,
            self.places + other.places,
            self.run_s + other.run_s,
            Counter(self.stage_ms) + Counter(other.stage_ms),
        )

    @property
    def batch_fill(self) -> float:
        """Share of the places in batches that had an image, 0 to 1."""
        return self.images / self.places if self.places else 0.0

    def to_record(self) -> dict[str, Any]:
        """What a worker's row holds: means by item, and each stage's share of an image's time."""
        total = sum(self.stage_ms.values()) or 1.0
        stages = {stage: self.stage_ms.get(stage, 0.0) for stage in STAGES}
        return {
            "items": self.items,
            "batches": self.batches,
            "batch_fill": round(self.batch_fill, 3),
            "run_s": round(self.run_s, 3),
            "stage_ms": {stage: round(value / max(1, self.items), 3) for stage, value in stages.items()},
            "stage_share": {stage: round(value / total, 3) for stage, value in stages.items()},
        }


@dataclass(slots=True)
class Tally:
    """Counts what `Figures` shows; one addition an item."""

    items: int = 0
    _stage_ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, timings_ms: Mapping[str, float]) -> None:
        """An item has its outcome."""
        with self._lock:
            self.items += 1
            for stage, value in timings_ms.items():
                self._stage_ms[stage] += value

    def add_store(self, milliseconds: float) -> None:
        """A transaction with outcomes is over."""
        with self._lock:
            self._stage_ms["store"] += milliseconds

    def stage_ms(self) -> dict[str, float]:
        """Milliseconds by stage so far."""
        with self._lock:
            return dict(self._stage_ms)
