"""Whether a network scores as many classes as its package names; a shifted name would be wrong in every result."""

from __future__ import annotations

from collections.abc import Sequence

from inference_engine.errors import PackageInvalid
from inference_engine.packages import ModelPackage
from inference_engine.sessions import TensorSpec
from inference_engine.tasks import detection, instance_segmentation


def check_widths(outputs: Sequence[TensorSpec], package: ModelPackage) -> None:
    """Refuse an artefact whose first output has another width than the package's class names; a free one passes.

    Raises:
        PackageInvalid: with both numbers.
    """
    expected = _expected(package, outputs)
    if expected is None or not outputs:
        return
    axes, width, what = expected
    shape = outputs[0].shape
    if len(shape) != axes[0] or shape[axes[1]] not in (None, width):
        raise PackageInvalid(
            f"{package.weights}: output {outputs[0].name} is {shape}, expected {width} on axis {axes[1]} "
            f"of {axes[0]} ({what}); class_names.txt does not belong to these weights"
        )


def _expected(package: ModelPackage, outputs: Sequence[TensorSpec]) -> tuple[tuple[int, int], int, str] | None:
    """Axes of the output and the one that counts, its size, and why; None where the family is not known here."""
    count = package.network_class_count
    if package.family == "classification":
        return (2, 1), count, f"{count} classes"
    if package.family == "yolo_objectness" and package.task == detection.TASK:
        return ((3, 2), 6, "box, score, class") if package.config.is_fused else _objectness(count)
    if package.family != "yolo":
        return None
    extra = _coefficients(outputs) if package.task == instance_segmentation.TASK else 3 * package.key_point_places
    if extra is None:
        return None
    beside = f" and {extra} numbers of masks or points" if extra else ""
    if package.config.is_fused:
        return (3, 2), 6 + extra, f"box, score, class{beside}"
    return (3, 1), 4 + count + extra, f"a box, {count} classes{beside}"


def _objectness(count: int) -> tuple[tuple[int, int], int, str]:
    return (3, 2), 5 + count, f"a box, objectness, {count} classes"


def _coefficients(outputs: Sequence[TensorSpec]) -> int | None:
    """How many prototypes there are; None where their number is free."""
    return next((spec.shape[1] for spec in outputs if len(spec.shape) == 4), None)
