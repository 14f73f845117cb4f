"""The one door to supervision, which draws and evaluates predictions and is no dependency."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from inference_engine.images import Boxes
from inference_engine.tasks.parts.records import Scored


def import_supervision() -> ModuleType:
    """The library.

    Raises:
        ImportError: it is not installed; `pip install "nightshift[viz]"`.
    """
    try:
        import supervision
    except ImportError as error:
        raise ImportError('supervision is not installed: pip install "nightshift[viz]"') from error
    return supervision


def supervision_detections(prediction: Scored, xyxy: Boxes, *, mask: Any = None, **data: Any) -> Any:
    """As `supervision.Detections`, with class names, and what else is given, in its data.

    Raises:
        ImportError: `supervision` is not installed.
    """
    return import_supervision().Detections(
        xyxy=xyxy,
        mask=mask,
        tracker_id=getattr(prediction, "track_id", None),
        confidence=prediction.confidence,
        class_id=prediction.class_id.astype(int),
        data={"class_name": np.asarray(prediction.names, dtype=str), **data},
    )
