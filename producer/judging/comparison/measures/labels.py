"""Labels of whole pictures: the best class, or all that are there. Pure."""

from __future__ import annotations

from producer.judging.comparison.figures import Change, Difference, Kind
from producer.judging.comparison.measures.prediction import Prediction


def measure_best(one: Prediction, other: Prediction) -> Difference:
    """The same best class or not; 0 or 1."""
    (name_a, score_a), (name_b, score_b) = _best(one), _best(other)
    if name_a is None or name_b is None:
        kind = Kind.NEW if name_a is None else Kind.MISSING
        changes = () if name_a is name_b else (Change(kind, name_a, name_b, score_a, score_b),)
        return Difference(float(name_a is not name_b), {"agreement": float(name_a is name_b)}, changes)
    is_same = name_a == name_b
    change = Change(Kind.MATCHED if is_same else Kind.FLIPPED, name_a, name_b, score_a, score_b)
    figures = {"agreement": float(is_same)}
    if is_same:
        figures["score_shift"] = abs((score_b or 0.0) - (score_a or 0.0))
    return Difference(1.0 - is_same, figures, (change,))


def measure_all(one: Prediction, other: Prediction) -> Difference:
    """1 - labels that both have / labels that either has (Jaccard's distance)."""
    a, b = _scores(one), _scores(other)
    changes = [Change(Kind.MATCHED, name, name, a[name], b[name]) for name in a if name in b]
    changes += [Change(Kind.MISSING, name, score_a=a[name]) for name in a if name not in b]
    changes += [Change(Kind.NEW, class_b=name, score_b=b[name]) for name in b if name not in a]
    either = set(a) | set(b)
    both = set(a) & set(b)
    figures = {"agreement": float(set(a) == set(b))}
    if both:
        figures["score_shift"] = sum(abs(a[name] - b[name]) for name in both) / len(both)
    return Difference(1.0 - len(both) / len(either) if either else 0.0, figures, tuple(changes))


def _scores(prediction: Prediction) -> dict[str, float]:
    record = prediction.record
    return dict(zip(record["class_name"], record["confidence"], strict=True))


def _best(prediction: Prediction) -> tuple[str | None, float | None]:
    """The class of the highest score; None where no class was sure enough."""
    found = _scores(prediction)
    return max(found.items(), key=lambda item: item[1], default=(None, None))
