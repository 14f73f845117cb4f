"""A job against labelled data in COCO's form: how precise, how complete, class by class.

The metric is COCO's (https://cocodataset.org/#detection-eval), computed by faster-coco-eval: 101 points of recall, IoU
from 0.5 to 0.95, the 100 surest objects a picture (20 for key points).
"""

from __future__ import annotations

from producer.judging.evaluation.figures import ClassFigures, Curve, Evaluation, KindFigures
from producer.judging.evaluation.metric import evaluate
from producer.judging.evaluation.truth import Truth, read_truth

__all__ = ["ClassFigures", "Curve", "Evaluation", "KindFigures", "Truth", "evaluate", "read_truth"]
