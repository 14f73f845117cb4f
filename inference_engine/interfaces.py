"""What models of one behaviour have in common, whatever family and backend they are.

Protocols: a custom model satisfies one by having its members, without inheriting from anything here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from inference_engine.tasks.detection import Detections


@runtime_checkable
class ObjectDetectionModel(Protocol):
    """Finds boxes of known classes: `model(images) -> [Detections, ...]`, one an image."""

    @property
    def class_names(self) -> Sequence[str]:
        """By class id."""
        ...

    def __call__(self, images: Any, *, input_color_format: str | None = None, **params: Any) -> list[Detections]:
        """Label images; see `VisionModel.__call__` for what is taken."""
        ...
