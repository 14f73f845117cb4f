"""Whether a network scores as many classes as its package names; a shifted name would be wrong in every result."""

from __future__ import annotations

from collections.abc import Sequence

from inference_engine.errors import PackageInvalid
from inference_engine.packages import ModelPackage
from inference_engine.sessions import TensorSpec


def check_widths(outputs: Sequence[TensorSpec], package: ModelPackage) -> None:
    """Refuse an artefact whose first output has another width than the package's class names; a free one passes.

    Raises:
        PackageInvalid: with both numbers.
    """
    expected = _expected(package)
    if expected is None or not outputs:
        return
    axes, width, what = expected
    shape = outputs[0].shape
    if len(shape) != axes[0] or shape[axes[1]] not in (None, width):
        raise PackageInvalid(
            f"{package.weights}: output {outputs[0].name} is {shape}, expected {width} on axis {axes[1]} "
            f"of {axes[0]} ({what}); class_names.txt does not belong to these weights"
        )


def _expected(package: ModelPackage) -> tuple[tuple[int, int], int, str] | None:
    """Axes of the output and the one that counts, its size, and why; None where the family is not known here."""
    count = package.network_class_count
    if package.family == "classification":
        return (2, 1), count, f"{count} classes"
    if package.family not in ("yolo", "yolo_objectness") or package.task != "object-detection":
        return None
    if package.config.is_fused:
        return (3, 2), 6, "box, score and class"
    if package.family == "yolo_objectness":
        return (3, 2), 5 + count, f"a box, objectness and {count} classes"
    return (3, 1), 4 + count, f"a box and {count} classes"
