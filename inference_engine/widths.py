"""Whether a network scores as many classes as its package names; a shifted name would be wrong in every result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from inference_engine.errors import PackageInvalid
from inference_engine.packages import ModelPackage
from inference_engine.sessions import TensorSpec
from inference_engine.tasks import detection, instance_segmentation, oriented


@dataclass(frozen=True, slots=True)
class _Width:
    """What one axis of one output must have.

    Attributes:
        axes: of the output.
        axis: the one that counts.
        sizes: those that it may have.
        why: what they are the sum of.
        output: number of the output.
    """

    axes: int
    axis: int
    sizes: tuple[int, ...]
    why: str
    output: int = 0


def check_widths(outputs: Sequence[TensorSpec], package: ModelPackage) -> None:
    """Refuse an artefact whose head has another width than the package's class names; a free one passes.

    Raises:
        PackageInvalid: with both numbers.
    """
    expected = _expected(package, outputs)
    if expected is None or expected.output >= len(outputs):
        return
    found = outputs[expected.output]
    if len(found.shape) != expected.axes or found.shape[expected.axis] not in (None, *expected.sizes):
        raise PackageInvalid(
            f"{package.weights}: output {found.name} is {found.shape}, expected "
            f"{' or '.join(map(str, expected.sizes))} on axis {expected.axis} of {expected.axes} ({expected.why}); "
            "class_names.txt does not belong to these weights"
        )


def _expected(package: ModelPackage, outputs: Sequence[TensorSpec]) -> _Width | None:
    """The width that the classes make; None where the family is not known here, or its classes have no width."""
    count = package.network_class_count
    if package.family in _FIXED:
        return _FIXED[package.family](count)
    extra = _extra(package, outputs)
    if package.family not in _ROWS or extra is None:
        return None
    if package.config.is_fused:
        # Boxes, scores and classes apart do not say how many classes there are.
        is_apart = package.task == detection.TASK and len(outputs) > 1
        return None if is_apart else _Width(3, 2, (6 + extra,), f"box, score, class{_beside(extra)}")
    axis, before, why = _ROWS[package.family]
    found = _Width(3, axis, (before + count + extra,), f"{why}{count} classes{_beside(extra)}")
    return replace(found, output=1) if package.family == "yolo_nas" else found


#: Families of one head each: the width that a number of classes makes.
_FIXED: Mapping[str, Callable[[int], _Width]] = {
    "classification": lambda count: _Width(2, 1, (count,), f"{count} classes"),
    "rf_detr": lambda count: _Width(3, 2, (count, count + 1), f"{count} classes, and no object", output=1),
}
#: Families that also suppress boxes inside: axis of the classes, numbers before them, and what these are.
_ROWS = {
    "yolo": (1, 4, "a box, "),
    "yolo_objectness": (2, 5, "a box, objectness, "),
    "yolox": (2, 5, "a box, objectness, "),
    "yolo_nas": (2, 0, ""),
}


def _extra(package: ModelPackage, outputs: Sequence[TensorSpec]) -> int | None:
    """Numbers that the task has for each box; None where the number of prototypes is free."""
    if package.task == instance_segmentation.TASK:
        return next((spec.shape[1] for spec in outputs if len(spec.shape) == 4), None)
    return 1 if package.task == oriented.TASK else 3 * package.key_point_places


def _beside(extra: int) -> str:
    return f" and {extra} numbers of masks, points or angles" if extra else ""
