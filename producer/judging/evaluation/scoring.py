"""COCO's metric of one kind: boxes, masks or key points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from producer.errors import MissingExtra
from producer.judging.evaluation.figures import ClassFigures, Curve, KindFigures

if TYPE_CHECKING:
    from producer.judging.evaluation.predictions import Predictions
    from producer.judging.evaluation.truth import Truth

_Array = npt.NDArray[np.float64]

#: Kind -> the evaluator's name of it, and the field of an object that it judges.
_KINDS = {"boxes": ("bbox", "bbox"), "masks": ("segm", "segmentation"), "key points": ("keypoints", "keypoints")}
#: COCO's tolerances are for its own 17 points of people (cocodataset/cocoapi, cocoeval.py); points of other skeletons
#: have none, so each gets this one, near the mean of COCO's.
_COCO_POINTS, _SIGMA = 17, 0.05


def score(kind: str, predictions: Predictions, truth: Truth) -> KindFigures:
    """Judge one kind on the pictures that have an item.

    Args:
        kind: `boxes`, `masks` or `key points`; both sides have it.
    """
    name, key = _KINDS[kind]
    names = {number: category for category, number in truth.categories.items()}
    if kind == "key points":
        names = {number: category for number, category in names.items() if category in truth.points}
    found = list(_results(predictions.found, key))
    arrays = _arrays(truth, found, name, [truth.images[each] for each in predictions.items], sorted(names))
    every = arrays.average_precision(slice(None))
    in_truth, in_job = _truth_counts(kind, predictions, truth), Counter(each["category_id"] for each in found)
    classes = [
        ClassFigures(
            names[number],
            in_truth[number],
            in_job[number],
            *arrays.average_precision([place]),
            _mean(arrays.recall[:, place, 0, -1]),
        )
        for place, number in enumerate(sorted(names))
    ]
    return KindFigures(
        kind,
        *every,
        ar=_mean(arrays.recall[:, :, 0, -1]),
        ap_by_size={size: _mean(arrays.precision[:, :, :, at, -1]) for at, size in arrays.sizes.items()},
        ar_by_size={size: _mean(arrays.recall[:, :, at, -1]) for at, size in arrays.sizes.items()},
        classes=tuple(classes),
        curves=_curves(arrays.precision[0, :, :, 0, -1], [each.name for each in classes]),
    )


def import_evaluator() -> tuple[Any, Any]:
    """faster-coco-eval's dataset and evaluator.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise MissingExtra('evaluation needs faster-coco-eval: pip install "nightshift[eval]"') from error
    return COCO, COCOeval_faster


@dataclass(frozen=True, slots=True)
class _Arrays:
    """What the evaluator gives; -1 where there is no truth.

    Attributes:
        precision: `(IoU, recall, class, size, limit)`; IoU from 0.5 to 0.95, recall from 0 to 1.
        recall: `(IoU, class, size, limit)`.
        sizes: names by their place; place 0 is all sizes and is not among them.
    """

    precision: _Array
    recall: _Array
    sizes: Mapping[int, str]

    def average_precision(self, classes: Any) -> tuple[float | None, float | None, float | None]:
        """Mean over all IoU thresholds, and at 0.5 and 0.75 alone."""
        every = self.precision[:, :, classes, 0, -1]
        return _mean(every), _mean(every[0:1]), _mean(every[5:6])


def _arrays(
    truth: Truth, found: list[dict[str, Any]], kind: str, image_ids: list[int], category_ids: list[int]
) -> _Arrays:
    coco_of, evaluator_of = import_evaluator()
    coco = coco_of(truth.dataset())
    points = next((len(names) for names in truth.points.values()), 0)
    sigmas = None if points == _COCO_POINTS else [_SIGMA] * points
    judged = evaluator_of(coco, coco.loadRes(found), kind, print_function=lambda *_: None, kpt_oks_sigmas=sigmas)
    judged.params.imgIds, judged.params.catIds = image_ids, category_ids
    judged.evaluate()
    judged.accumulate()
    sizes = dict(list(enumerate(judged.params.areaRngLbl))[1:])
    return _Arrays(np.asarray(judged.eval["precision"]), np.asarray(judged.eval["recall"]), sizes)


def _results(found: Sequence[Mapping[str, Any]], key: str) -> Iterator[dict[str, Any]]:
    """Objects with one kind alone: an evaluator takes a mask's size from the box where there is one."""
    for each in found:
        if key in each:
            yield {name: each[name] for name in ("image_id", "category_id", "score", key)}


def _truth_counts(kind: str, predictions: Predictions, truth: Truth) -> Counter[int]:
    """Objects of each class that are looked for: no crowds, and none without a point where points are."""
    judged = {truth.images[name] for name in predictions.items}
    return Counter(
        each["category_id"]
        for each in truth.annotations
        if each["image_id"] in judged and not each["iscrowd"] and (kind != "key points" or each["num_keypoints"])
    )


def _curves(precision: _Array, names: Sequence[str]) -> tuple[Curve, ...]:
    """The mean over classes that the truth has, and each of them; `precision` is `(recall, class)`."""
    there = [place for place in range(len(names)) if precision[:, place].min() >= 0]
    if not there:
        return ()
    mean = Curve("", tuple(np.mean(precision[:, there], axis=1).tolist()))
    return mean, *(Curve(names[place], tuple(precision[:, place].tolist())) for place in there)


def _mean(values: _Array) -> float | None:
    there = values[values > -1]
    return float(np.mean(there)) if there.size else None
