"""How far a replay may lie from its original where backend, machine or versions differ. Data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What another backend or machine may cost.

    Attributes:
        max_disagreement: of one picture, as `producer.judging.comparison` measures it for its task.
        min_share: of the pictures that must keep within it.
    """

    max_disagreement: float
    min_share: float


#: By the lower of both precisions. Full precision differs by the order of additions alone; 16 bits move boxes by some
#: pixels; int8 has 256 steps a tensor, and objects near the threshold come and go (ONNX Runtime against OpenVINO, a
#: YOLOv8n in int8 on 15 photos: 0.006 in the mean, 0.017 at most).
TOLERANCES = {
    "fp32": Tolerance(0.02, 0.95),
    "fp16": Tolerance(0.1, 0.9),
    "bf16": Tolerance(0.1, 0.9),
    "int8": Tolerance(0.25, 0.9),
}
#: The coarsest first.
_ORDER = ("int8", "bf16", "fp16", "fp32")


def tolerance_of(precisions: Iterable[str]) -> Tolerance:
    """The widest of these precisions; one that is not known counts as bfloat16."""
    known = {name if name in TOLERANCES else "bf16" for name in precisions}
    return TOLERANCES[next((name for name in _ORDER if name in known), "bf16")]
