"""Texts of whole pictures. Pure."""

from __future__ import annotations

from difflib import SequenceMatcher

from producer.judging.comparison.figures import Difference
from producer.judging.comparison.measures.prediction import Prediction


def measure(one: Prediction, other: Prediction) -> Difference:
    """1 - the share of words in common, in their order (Ratcliff and Obershelp, as difflib has it).

    Figures: `equal`, 1 where the texts are the same letter by letter; `similarity`, the share.
    """
    a, b = str(one.record["text"]), str(other.record["text"])
    is_equal = a == b
    words = SequenceMatcher(None, a.split(), b.split(), autojunk=False).ratio()
    return Difference(0.0 if is_equal else 1.0 - words, {"equal": float(is_equal), "similarity": words})
