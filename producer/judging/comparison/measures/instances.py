"""Objects with a place: boxes, masks, turned boxes, key points, texts with boxes, spans of time. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from producer.judging.comparison.figures import Change, Difference, Kind
from producer.judging.comparison.measures.prediction import Prediction
from producer.judging.comparison.overlaps import match, overlaps

#: Class of objects of a task that has no classes.
_UNNAMED = "object"
#: What has a place by points, the most telling first.
_POINTS = ("xy", "xyxy")


def measure(one: Prediction, other: Prediction) -> Difference:
    """Match objects by overlap, and weigh each by its score: a sure one that is gone says more than a doubtful one.

    Disagreement is 1 - sum(overlap * (score a + score b)) / sum(all scores) over matched objects of one class.
    """
    a, b = one.record, other.record
    names_a, names_b = _names(a), _names(b)
    iou = overlaps(a, b)
    pairs = match(iou, np.asarray(names_a, object)[:, None] == np.asarray(names_b, object)[None])
    changes = [_met(a, b, (i, j), (names_a[i], names_b[j]), float(iou[i, j])) for i, j in pairs]
    rest_a, rest_b = _rest(len(names_a), [i for i, _ in pairs]), _rest(len(names_b), [j for _, j in pairs])
    changes += [Change(Kind.MISSING, names_a[i], score_a=a["confidence"][i]) for i in rest_a]
    changes += [Change(Kind.NEW, class_b=names_b[j], score_b=b["confidence"][j]) for j in rest_b]
    return Difference(_disagreement(changes), _figures(changes, _same_texts(a, b, pairs)), tuple(changes))


def _names(record: Mapping[str, Any]) -> list[str]:
    return list(record.get("class_name") or [_UNNAMED] * len(record["confidence"]))


def _rest(count: int, taken: Sequence[int]) -> list[int]:
    return sorted(set(range(count)) - set(taken))


def _met(
    a: Mapping[str, Any], b: Mapping[str, Any], at: tuple[int, int], names: tuple[str, str], overlap: float
) -> Change:
    (i, j), (class_a, class_b) = at, names
    kind = Kind.MATCHED if class_a == class_b else Kind.FLIPPED
    return Change(kind, class_a, class_b, a["confidence"][i], b["confidence"][j], overlap, _shift(a, b, i, j))


def _shift(a: Mapping[str, Any], b: Mapping[str, Any], i: int, j: int) -> float | None:
    """In pixels: of key points the mean distance, of a box the farthest corner's."""
    key = next((key for key in _POINTS if key in a and key in b), None)
    if key is None:
        return None
    one, other = (np.reshape(np.asarray(each, dtype=np.float64), (-1, 2)) for each in (a[key][i], b[key][j]))
    if one.shape != other.shape or not one.size:
        return None
    away = np.hypot(*(one - other).T)
    return float(away.mean() if key == "xy" else away.max())


def _disagreement(changes: Sequence[Change]) -> float:
    total = sum((change.score_a or 0.0) + (change.score_b or 0.0) for change in changes)
    if not total:
        return 0.0
    lost = sum(
        ((change.score_a or 0.0) + (change.score_b or 0.0))
        * (1.0 - (change.overlap or 0.0) * (change.kind is Kind.MATCHED))
        for change in changes
    )
    return lost / total


def _figures(changes: Sequence[Change], same_texts: float | None) -> dict[str, float]:
    met = [change for change in changes if change.kind in (Kind.MATCHED, Kind.FLIPPED)]
    columns = {
        "overlap": [change.overlap for change in met if change.overlap is not None],
        "score_shift": [abs((change.score_b or 0.0) - (change.score_a or 0.0)) for change in met],
        "shift_px": [change.shift for change in met if change.shift is not None],
    }
    found = {name: float(np.mean(values)) for name, values in columns.items() if values}
    return found if same_texts is None else {**found, "same_texts": same_texts}


def _same_texts(a: Mapping[str, Any], b: Mapping[str, Any], pairs: Sequence[tuple[int, int]]) -> float | None:
    """Share of matched parts that say the same; None where nothing is said."""
    if "texts" not in a or "texts" not in b or not pairs:
        return None
    return float(np.mean([a["texts"][i] == b["texts"][j] for i, j in pairs]))
