"""COCO's metric over what both sides have: boxes, masks, key points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from producer.errors import ExtraMissing, TruthInvalid
from producer.judging.evaluation.figures import ClassFigures, Curve, Evaluation, KindFigures
from producer.judging.evaluation.predictions import Predictions, gather

if TYPE_CHECKING:
    from jobstore.views import JobStatus, ResultRow
    from producer.judging.evaluation.truth import Truth

_Array = npt.NDArray[np.float64]

#: Kind -> the evaluator's name of it, and the field of an object that it judges.
_KINDS = {"boxes": ("bbox", "bbox"), "masks": ("segm", "segmentation"), "key points": ("keypoints", "keypoints")}
#: COCO's tolerances are for its own 17 points of people (cocodataset/cocoapi, cocoeval.py); points of other skeletons
#: have none, so each gets this one, near the mean of COCO's.
_COCO_POINTS, _SIGMA = 17, 0.05
_EXAMPLES = 3


def evaluate(job: JobStatus, rows: Iterable[ResultRow], truth: Truth, *, allow_missing: bool = False) -> Evaluation:
    """Judge a job's rows by labelled data; classes are told by name, pictures by path.

    Only objects on the truth's pictures are kept in memory.

    Args:
        allow_missing: judge what is there, where the job has no outcome for some of the truth's pictures.

    Raises:
        ExtraMissing: faster-coco-eval is not installed.
        TruthInvalid: pictures or classes of job and truth do not fit.
        NotComparable: the records hold no boxes.
    """
    _import_evaluator()
    predictions = gather(rows, truth)
    missing = tuple(sorted(set(truth.images) - set(predictions.items)))
    if missing and not allow_missing:
        shown = ", ".join(missing[:_EXAMPLES]) + (", ..." if len(missing) > _EXAMPLES else "")
        raise TruthInvalid(
            f"the job has no outcome for {len(missing):,} of {len(truth.images):,} pictures of {truth.path}: {shown}\n"
            "label them too, or judge the others alone: --allow-missing"
        )
    lacking = _check_classes(job, predictions, truth)
    kinds, notes = _kinds(predictions, truth)
    return Evaluation(
        job_id=job.job_id,
        model=job.model,
        truth=truth.path,
        images=len(predictions.items),
        failed=predictions.failed,
        missing=missing,
        strangers=predictions.stranger_count,
        unknown_to_truth=dict(predictions.unknown.most_common()),
        unknown_to_model=lacking,
        kinds=tuple(_judge(kind, predictions, truth) for kind in kinds),
        notes=tuple(notes),
    )


def _check_classes(job: JobStatus, predictions: Predictions, truth: Truth) -> tuple[str, ...]:
    """Classes of the truth that the model lacks."""
    has = job.class_names
    lacking = tuple(name for name in truth.categories if has is not None and name not in has)
    if len(lacking) == len(truth.categories) or (predictions.unknown and not predictions.found and has is None):
        names = ", ".join(sorted(has or predictions.unknown)[:12])
        raise TruthInvalid(
            f"{truth.path} and the model have no class in common\nthe truth has "
            f"{', '.join(sorted(truth.categories)[:12])}; the model has {names}; expected the same names"
        )
    return lacking


def _kinds(predictions: Predictions, truth: Truth) -> tuple[list[str], list[str]]:
    """What both sides have, and why not the rest."""
    kinds, notes = ["boxes"], []
    if any("segmentation" in each for each in predictions.found):
        unsized = [name for name, number in truth.images.items() if number not in truth.sizes]
        if not truth.has_masks:
            notes.append("masks: not every object of the truth has a segmentation")
        elif unsized:
            notes.append(f"masks: the truth does not say the size of {len(unsized):,} pictures")
        else:
            kinds.append("masks")
    if truth.points and any(each["num_keypoints"] for each in truth.annotations):
        counts = {len(names) for names in truth.points.values()}
        if len(counts) > 1:
            notes.append(f"key points: classes with {sorted(counts)} points cannot be judged together")
        elif any("keypoints" in each for each in predictions.found):
            kinds.append("key points")
        else:
            notes.append("key points: the model has none, or lacks some that the truth names")
    return kinds, notes


def _judge(kind: str, predictions: Predictions, truth: Truth) -> KindFigures:
    name, key = _KINDS[kind]
    found = list(_results(predictions.found, key))
    image_ids = [truth.images[name] for name in predictions.items]
    points = next((len(names) for names in truth.points.values()), 0)
    sigmas = None if points == _COCO_POINTS or kind != "key points" else [_SIGMA] * points
    precision, recall, sizes = _arrays(truth, found, name, image_ids, sigmas)
    categories = {number: category for category, number in truth.categories.items()}
    judged = set(image_ids)
    counted = Counter(
        each["category_id"] for each in truth.annotations if each["image_id"] in judged and not each["iscrowd"]
    )
    found_counts = Counter(each["category_id"] for each in found)
    classes = [
        ClassFigures(
            categories[number],
            counted[number],
            found_counts[number],
            *_precisions(precision[:, :, [place], :, :]),
            _mean(recall[:, place, 0, -1]),
        )
        for place, number in enumerate(sorted(categories))
    ]
    curves = [Curve(each.name, _curve(precision[0, :, place, 0, -1])) for place, each in enumerate(classes)]
    has_truth = [place for place, each in enumerate(classes) if each.ap is not None]
    mean = np.mean(precision[0][:, has_truth, 0, -1], axis=1) if has_truth else np.full(precision.shape[1], -1.0)
    ap, ap50, ap75 = _precisions(precision)
    return KindFigures(
        kind=kind,
        ap=ap,
        ap50=ap50,
        ap75=ap75,
        ar=_mean(recall[:, :, 0, -1]),
        ap_by_size={size: _mean(precision[:, :, :, place, -1]) for place, size in sizes.items()},
        ar_by_size={size: _mean(recall[:, :, place, -1]) for place, size in sizes.items()},
        classes=tuple(classes),
        curves=tuple(curve for curve in (Curve("", _curve(mean)), *curves) if curve.precision),
    )


def _results(found: Sequence[Mapping[str, Any]], key: str) -> Iterator[dict[str, Any]]:
    """Objects with one kind alone: an evaluator takes a mask's size from the box where there is one."""
    for each in found:
        if key in each:
            yield {name: each[name] for name in ("image_id", "category_id", "score", key)}


def _arrays(
    truth: Truth, found: list[dict[str, Any]], kind: str, image_ids: list[int], sigmas: list[float] | None
) -> tuple[_Array, _Array, dict[int, str]]:
    """Precision `(IoU, recall, class, size, limit)`, recall `(IoU, class, size, limit)`; -1 where there is no truth.

    Also the sizes' names by their place; place 0 is all sizes.
    """
    coco_of, evaluator_of = _import_evaluator()
    coco = coco_of(truth.dataset())
    judged = evaluator_of(coco, coco.loadRes(found), kind, print_function=lambda *_: None, kpt_oks_sigmas=sigmas)
    judged.params.imgIds = image_ids
    judged.evaluate()
    judged.accumulate()
    labels = dict(enumerate(judged.params.areaRngLbl))
    labels.pop(0)
    return np.asarray(judged.eval["precision"]), np.asarray(judged.eval["recall"]), labels


def _precisions(precision: _Array) -> tuple[float | None, float | None, float | None]:
    """Mean over the IoU thresholds 0.5, 0.55 ... 0.95, and at 0.5 and 0.75 alone."""
    every = precision[:, :, :, 0, -1]
    return _mean(every), _mean(every[0:1]), _mean(every[5:6])


def _mean(values: _Array) -> float | None:
    there = values[values > -1]
    return float(np.mean(there)) if there.size else None


def _curve(precision: _Array) -> tuple[float, ...]:
    return tuple(precision.tolist()) if precision.size and precision.min() >= 0 else ()


def _import_evaluator() -> tuple[Any, Any]:
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise ExtraMissing('evaluation needs faster-coco-eval: pip install "nightshift[eval]"') from error
    return COCO, COCOeval_faster
