"""A job's rows as an evaluator takes them: per picture of the truth, what was found on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drawing import run_lengths
from jobstore.schema import OutcomeState
from producer.errors import NotComparable, TruthInvalid
from producer.judging.evaluation.names import NameTable

if TYPE_CHECKING:
    from jobstore.views import ResultRow
    from producer.judging.evaluation.truth import Truth

_EXAMPLES = 3


@dataclass(slots=True)
class Predictions:
    """What was found, of pictures that the truth knows.

    Attributes:
        items: picture's name -> the URI of its item.
        found: one dictionary an object, with what its record has of `bbox`, `segmentation` and `keypoints`.
        failed: pictures without a prediction.
        strangers: URIs of other pictures, the first of them; `stranger_count` are all.
        unknown: class -> objects of classes that the truth has not.
    """

    items: dict[str, str] = field(default_factory=dict)
    found: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0
    strangers: list[str] = field(default_factory=list)
    stranger_count: int = 0
    unknown: Counter[str] = field(default_factory=Counter)

    def add_stranger(self, uri: str) -> None:
        """Count a picture that the truth does not know."""
        self.stranger_count += 1
        if len(self.strangers) < _EXAMPLES:
            self.strangers.append(uri)


def gather(rows: Iterable[ResultRow], truth: Truth) -> Predictions:
    """Sort a job's rows to the truth's pictures; what the truth does not know is counted and not kept.

    Raises:
        TruthInvalid: two items fit one picture, or no item fits any.
        NotComparable: records without boxes, or damaged ones.
    """
    table = NameTable(truth.images)
    whole, below = Predictions(), Predictions()
    for row in rows:
        if row.state is OutcomeState.SKIPPED:
            continue
        fit = table.find(row.uri, row.frame)
        for side in (whole, below):
            if fit is None or fit.is_whole is not (side is whole):
                side.add_stranger(row.uri)
        if fit is not None:
            _add(whole if fit.is_whole else below, fit.name, row, truth)
    chosen = whole if whole.items else below
    if not chosen.items:
        raise TruthInvalid(
            f"no item of the job is a picture of {truth.path}\nthe truth has {_listed(truth.images)}; the job has "
            f"{_listed(chosen.strangers)}; expected items whose paths end with the truth's file names"
        )
    return chosen


def _add(side: Predictions, name: str, row: ResultRow, truth: Truth) -> None:
    if (other := side.items.setdefault(name, row.uri)) != row.uri:
        raise TruthInvalid(
            f"two items fit the picture {name!r} of {truth.path}: {other} and {row.uri}\n"
            "expected file names in the truth that say the folder, too"
        )
    if not row.holds_prediction or row.record is None:
        side.failed += 1
        return
    try:
        for class_name, each in _objects(row.record, truth):
            if (category := truth.categories.get(class_name)) is None:
                side.unknown[class_name] += 1
            else:
                side.found.append({"image_id": truth.images[name], "category_id": category, **each})
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise NotComparable(
            f"the record of {row.uri} cannot be judged: {error!r}; expected boxes with scores and class names, "
            f"found task {row.record.get('task')!r}"
        ) from error


def _objects(record: Mapping[str, Any], truth: Truth) -> Iterator[tuple[str, dict[str, Any]]]:
    columns = zip(record["xyxy"], record["confidence"], record["class_name"], strict=True)
    for index, ((left, top, right, bottom), score, name) in enumerate(columns):
        found: dict[str, Any] = {"score": score, "bbox": [left, top, right - left, bottom - top]}
        if "masks" in record:
            found["segmentation"] = _mask(record["masks"][index])
        if "xy" in record and (points := _points(record, index, truth.points.get(name, ()))):
            found["keypoints"] = points
        yield name, found


def _mask(mask: Mapping[str, Any]) -> dict[str, Any]:
    """Checked, as what reads it next believes its counts."""
    height, width = mask["size"]
    run_lengths.area(str(mask["counts"]).encode("ascii"), (height, width))
    return {"size": [height, width], "counts": mask["counts"]}


def _points(record: Mapping[str, Any], index: int, wanted: tuple[str, ...]) -> list[float] | None:
    """x, y, 2 for each of the truth's points, found by name; None where the model lacks one of them."""
    names = record["skeletons"][record["class_id"][index]]["names"]
    places = dict(zip(names, record["xy"][index], strict=False))
    if not wanted or any(name not in places for name in wanted):
        return None
    return [value for name in wanted for value in (*places[name], 2)]


def _listed(values: Iterable[str]) -> str:
    shown = [value for value, _ in zip(values, range(_EXAMPLES), strict=False)]
    return ", ".join(map(repr, shown)) or "none"
