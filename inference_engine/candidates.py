"""From a detector's candidates to the boxes that are reported; the same for every family, whatever its head looks like.

A head is read into candidates (boxes, scores a class, the task's own numbers), which are thresholded, suppressed and
cut here; or its boxes are suppressed already, by the network or because each query stands for one object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import centre_to_corners, suppress, top_k
from inference_engine.errors import EngineError, OutputInvalid, ParameterInvalid
from inference_engine.packages import ModelPackage
from inference_engine.scores import activated
from inference_engine.tasks import detection
from inference_engine.tasks.detection import DetectionParams
from inference_engine.tasks.keypoints import KeyPointsParams
from inference_engine.tasks.parts.parameters import class_thresholds

#: Parameters of the tasks that have boxes.
BoxParams: TypeAlias = DetectionParams | KeyPointsParams
Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Boxes of one image that are reported.

    Attributes:
        boxes: `(k, 4)` corners in network pixels; of turned boxes what their head has.
        confidence: `(k,)` float32, descending.
        class_id: `(k,)` of results.
        extra: `(k, extra)` float32, the task's own numbers.
    """

    boxes: Floats
    confidence: Floats
    class_id: Ids
    extra: Floats


class Geometry(Protocol):
    """How boxes are written in a head, and how they suppress each other."""

    def read(self, numbers: Floats) -> Floats:
        """Boxes of some candidates, `(n, 4)` or `(n, 5)`."""
        ...

    def suppress(
        self, boxes: Floats, scores: Floats, class_id: Ids, *, iou_threshold: float, class_agnostic: bool, limit: int
    ) -> Ids:
        """Indices of the boxes that stay, by score descending; at most `limit`."""
        ...


class Centres:
    """Upright boxes as centre x, centre y, width, height."""

    read = staticmethod(centre_to_corners)
    suppress = staticmethod(suppress)


class Corners:
    """Upright boxes as x_min, y_min, x_max, y_max."""

    suppress = staticmethod(suppress)

    @staticmethod
    def read(numbers: Floats) -> Floats:
        """As they are."""
        return numbers


@dataclass(frozen=True, slots=True, eq=False)
class _Reporting:
    """What becomes of a network's classes.

    Attributes:
        class_id: `(network classes,)` id of results, -1 for a class that is not reported.
        threshold: `(network classes,)` lowest score that is kept, infinity for a class that is not reported.
        lowest: of them.
    """

    class_id: Ids
    threshold: Floats
    lowest: np.float32

    def look_up(self, network_id: npt.NDArray[Any], score: npt.NDArray[Any]) -> tuple[Ids, npt.NDArray[np.bool_]]:
        """Class ids of results, and which of them are wanted: of a class that is reported, at or above its threshold.

        Args:
            score: finite.
        """
        return self.class_id[network_id], score >= self.threshold[network_id]


@lru_cache(maxsize=64)
def _reporting(params: BoxParams, class_names: tuple[str, ...], reported_ids: tuple[int, ...]) -> _Reporting:
    """The table for a job's parameters; asked for every image."""
    class_id = np.asarray(reported_ids, dtype=np.int64)
    threshold = np.where(class_id >= 0, class_thresholds(params, class_names)[class_id], np.float32(np.inf))
    return _Reporting(class_id, threshold, threshold.min())


def keep_candidates(
    boxes: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    extra: npt.NDArray[Any],
    package: ModelPackage,
    params: BoxParams,
    geometry: Geometry = Centres(),  # noqa: B008 (has no state)
) -> Kept | EngineError:
    """Threshold, suppress and cut the candidates of one image; each counts for its best class.

    Args:
        boxes: `(anchors, 4)` or what the geometry reads, in network pixels.
        scores: `(classes, anchors)` in [0, 1].
        extra: `(anchors, extra)`.
    """
    best = scores.max(axis=0)
    # One comparison finds NaN too, which every comparison with a threshold would hide.
    if not np.isfinite(best).all():
        return OutputInvalid("the model gave scores that are not finite numbers for this image")
    table = _reporting(params, package.class_names, package.reported_ids)
    (anchors,) = (best >= table.lowest).nonzero()
    class_id, wanted = table.look_up(scores[:, anchors].argmax(axis=0), best[anchors])
    anchors, class_id = anchors[wanted], class_id[wanted]
    found = geometry.read(boxes[anchors].astype(np.float32, copy=False))
    if not np.isfinite(found).all():
        return OutputInvalid("the model gave boxes that are not finite numbers for this image")
    confidence = best[anchors].astype(np.float32, copy=False)
    kept = geometry.suppress(
        found,
        confidence,
        class_id,
        iou_threshold=params.iou_threshold,
        class_agnostic=params.class_agnostic,
        limit=params.max_detections,
    )
    return _checked(found[kept], confidence[kept], class_id[kept], extra[anchors[kept]])


def keep_suppressed(rows: npt.NDArray[Any], package: ModelPackage, params: BoxParams) -> Kept | EngineError:
    """Boxes that need no suppression any more: only thresholds, names and their number are left to do.

    Args:
        rows: `(boxes, 6 + extra)`: a box, its score, its class id, the task's own numbers; unused places have score 0.
    """
    if not np.isfinite(rows[:, :6]).all():
        return OutputInvalid("the model gave boxes or scores that are not finite numbers for this image")
    # Unused places have score 0, which a threshold of 0 must not turn into boxes.
    rows = rows[rows[:, 4] > 0]
    network_id = rows[:, 5].astype(np.int64)
    if ((network_id < 0) | (network_id >= package.network_class_count)).any():
        return OutputInvalid(f"the model gave a class id outside of its {package.network_class_count} classes")
    class_id, wanted = _reporting(params, package.class_names, package.reported_ids).look_up(network_id, rows[:, 4])
    rows, class_id = rows[wanted].astype(np.float32, copy=False), class_id[wanted]
    kept = top_k(rows[:, 4], params.max_detections)
    return _checked(rows[kept, :4], rows[kept, 4], class_id[kept], rows[kept, 6:])


def _checked(boxes: Floats, confidence: Floats, class_id: Ids, extra: npt.NDArray[Any]) -> Kept | EngineError:
    if extra.size and not np.isfinite(extra).all():
        return OutputInvalid("the model gave numbers beside its boxes that are not finite for this image")
    # They are in descending order: the first and the last say whether all are scores.
    is_activated = not len(confidence) or (confidence[0] <= 1 and confidence[-1] >= 0)
    scores = confidence if is_activated else activated(confidence)
    if scores is None:
        return OutputInvalid(
            f"the model gave a score of {confidence.max():.4g} for this image, expected 0 to 1: its export lacks the "
            "activation of the scores, or is of another family"
        )
    return Kept(boxes, scores, class_id, extra.astype(np.float32, copy=False))


def best_pairs(scores: Floats) -> tuple[Ids, Ids, Floats]:
    """As many query-class pairs as there are queries, the best first: a query may stand for two classes.

    RT-DETR (arXiv 2304.08069) and its relatives choose so, over the scores of all queries and classes in one row.

    Args:
        scores: `(queries, classes)`.

    Returns:
        Query, class and score of each pair.
    """
    flat = scores.reshape(-1)
    best = top_k(flat, len(scores))
    return best // scores.shape[1], best % scores.shape[1], flat[best]


def check_params(given: Mapping[str, Any], package: ModelPackage) -> DetectionParams:
    """A detector's parameters, filled up from the package.

    Raises:
        ParameterInvalid: a value is wrong, or asks for suppression of a network that has done its own.
    """
    check_fused(given, package)
    return detection.detection_params(given, package.config.nms, package.class_names, package.recommended)


def check_fused(given: Mapping[str, Any], package: ModelPackage) -> None:
    """Refuse to suppress otherwise what the network has suppressed itself."""
    if package.config.is_fused:
        _refuse(given, "non-maximum suppression is fused into the network")


def check_query_params(given: Mapping[str, Any], package: ModelPackage) -> DetectionParams:
    """The parameters of a detector of which no box suppresses another.

    Raises:
        ParameterInvalid: a value is wrong, or asks for suppression.
    """
    _refuse(given, f"no box suppresses another in {package.architecture}")
    return detection.detection_params(given, package.config.nms, package.class_names, package.recommended)


def _refuse(given: Mapping[str, Any], why: str) -> None:
    if late := [name for name in ("iou_threshold", "class_agnostic") if given.get(name) is not None]:
        raise ParameterInvalid(f"{late[0]} cannot be changed: {why}")
