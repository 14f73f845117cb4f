"""Which family decodes which architecture: ours, and those of third parties.

A third party's family comes in by `families.register_family`, or by an entry point of the group
`inference_engine.families`: its name is the family's, it loads to a module with `RECIPES`, as those of
`inference_engine.families` are, and with `ARCHITECTURES`, names of `model_config.json` that it decodes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from inference_engine.errors import ParameterInvalid

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "inference_engine.families"
#: Which of our families decodes which architecture.
ARCHITECTURES = {
    "yolov8": "yolo",
    "yolov9": "yolo",
    "yolov10": "yolo",
    "yolov11": "yolo",
    "yolo11": "yolo",
    "yolov12": "yolo",
    "yolo12": "yolo",
    "yolov5": "yolo_objectness",
    "yolov7": "yolo_objectness",
    "resnet": "classification",
    "vit": "classification",
    "deit": "classification",
    "efficientnet": "classification",
    "mobilenet": "classification",
    "convnext": "classification",
    "swin": "classification",
    "dinov2": "classification",
    "dinov3": "classification",
    "deep-lab-v3-plus": "semantic_segmentation",
    "deeplabv3plus": "semantic_segmentation",
    "segformer": "semantic_segmentation",
    "depth-anything-v2": "depth",
    "depth-anything-v3": "depth",
    "midas": "depth",
    "clip": "embedding",
    "siglip": "embedding",
    "siglip2": "embedding",
    "perception-encoder": "embedding",
    "db-text": "text_detection",
    "ctc-text": "text_recognition",
    "yolo26": "yolo",
    "yolonas": "yolo_nas",
    "yolo_nas": "yolo_nas",
    "yolox": "yolox",
    "rfdetr": "rf_detr",
    "rf-detr": "rf_detr",
    "rtdetr": "detr_exports",
    "rt-detr": "detr_exports",
    "rtdetrv2": "detr_exports",
    "dfine": "detr_exports",
    "d-fine": "detr_exports",
    "deim": "detr_exports",
    "deimv2": "detr_exports",
}
#: Architectures whose boxes need no suppression; a package of another export of them says `fused: false`.
END_TO_END = frozenset({"yolov10", "yolo26"})
_registered: dict[str, str] = {}


def family_of(architecture: str) -> str | None:
    """The family that decodes an architecture; None where nobody does.

    Third parties' modules are imported only for a name that is neither ours nor registered.
    """
    known = {**_registered, **ARCHITECTURES}
    if architecture in known:
        return known[architecture]
    points = ((point, load_family(point)) for point in family_points())
    return next((point.name for point, found in points if architecture in getattr(found, "ARCHITECTURES", ())), None)


def known_architectures() -> list[str]:
    """Names that need no import to be known: ours first, then those that were registered."""
    return [*ARCHITECTURES, *_registered]


def register_architectures(names: Sequence[str], family: str) -> None:
    """Let a family decode these architectures.

    Raises:
        ParameterInvalid: one is no text, or is decoded by a family already; none is registered then.
    """
    for name in names:
        if not isinstance(name, str) or not name:
            raise ParameterInvalid(f"an architecture is named by a text, found {name!r}")
        if (taken := family_of(name)) is not None:
            raise ParameterInvalid(f"architecture {name!r} is decoded by family {taken!r} already")
    _registered.update(dict.fromkeys(names, family))


def family_points() -> tuple[EntryPoint, ...]:
    """Entry points of installed families, by name; nothing is imported."""
    return tuple(sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name))


def load_family(point: EntryPoint) -> Any:
    """The module that an entry point names; None, with a line in the log, where it does not load."""
    try:
        return point.load()
    except Exception:  # a third party's broken module must not keep other models from loading
        logger.exception("family %r of %s does not load", point.name, point.value)
        return None
