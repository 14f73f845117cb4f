"""Pictures, classes and kinds of a job and its truth brought together, then scored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from producer.errors import TruthInvalid
from producer.judging.evaluation.figures import Evaluation
from producer.judging.evaluation.predictions import Predictions, gather
from producer.judging.evaluation.scoring import import_evaluator, score

if TYPE_CHECKING:
    from jobstore.views import JobStatus, ResultRow
    from producer.judging.evaluation.truth import Truth

_EXAMPLES = 3


def evaluate(job: JobStatus, rows: Iterable[ResultRow], truth: Truth, *, allow_missing: bool = False) -> Evaluation:
    """Judge a job's rows by labelled data; classes are told by name, pictures by path.

    Only objects on the truth's pictures are kept in memory.

    Args:
        allow_missing: judge what is there, where the job has no outcome for some of the truth's pictures.

    Raises:
        MissingExtra: faster-coco-eval is not installed.
        TruthInvalid: pictures or classes of job and truth do not fit.
        NotComparable: the records hold no boxes.
    """
    import_evaluator()
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
        kinds=tuple(score(kind, predictions, truth) for kind in kinds),
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
