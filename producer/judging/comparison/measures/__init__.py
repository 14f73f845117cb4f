"""How two records of one picture differ, task by task; a measure is a function of two predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from producer.errors import NotComparable
from producer.judging.comparison.measures import depth, instances, label_map, labels, texts, vectors
from producer.judging.comparison.measures.prediction import Prediction

if TYPE_CHECKING:
    from jobstore.views import ResultRow
    from producer.judging.comparison.figures import Difference

Measure: TypeAlias = Callable[[Prediction, Prediction], "Difference"]

#: Task of both records -> its measure.
MEASURES: Mapping[str, Measure] = {
    "object-detection": instances.measure,
    "open-vocabulary-object-detection": instances.measure,
    "instance-segmentation": instances.measure,
    "interactive-instance-segmentation": instances.measure,
    "panoptic-segmentation": instances.measure,
    "keypoint-detection": instances.measure,
    "oriented-object-detection": instances.measure,
    "structured-ocr": instances.measure,
    "action-recognition": instances.measure,
    "classification": labels.measure_best,
    "video-classification": labels.measure_best,
    "multi-label-classification": labels.measure_all,
    "semantic-segmentation": label_map.measure,
    "depth-estimation": depth.measure,
    "embedding": vectors.measure,
    "text-only-ocr": texts.measure,
    "vlm": texts.measure,
}


def measure(one: ResultRow, other: ResultRow) -> Difference:
    """How two outcomes of one picture differ.

    Raises:
        NotComparable: their tasks differ, the task is not known, or a record is damaged.
    """
    first, second = Prediction.of(one), Prediction.of(other)
    task = str(first.record.get("task"))
    if task != second.record.get("task") or task not in MEASURES:
        raise NotComparable(
            f"{one.uri} has records of the tasks {task!r} and {second.record.get('task')!r}; "
            f"expected the same one, of {', '.join(MEASURES)}"
        )
    if first.record.get("image_hw") != second.record.get("image_hw"):
        raise NotComparable(
            f"{one.uri} was {first.record.get('image_hw')} pixels (height, width) for the first job and "
            f"{second.record.get('image_hw')} for the second: the picture was replaced between them"
        )
    try:
        return MEASURES[task](first, second)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise NotComparable(f"the records of {one.uri} cannot be compared: {error!r}") from error
